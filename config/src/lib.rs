//! One file describes a node: this crate reads it, checks all of it, and hands out the settings.
//!
//! In: a TOML file. Out: a [`NodeConfig`], or a [`Report`] with every problem of the file at once.
//! Always: what comes out keeps every bound of the schema and every law between settings; relative
//! paths are resolved against the file's folder; nothing panics on any input; no value is shown
//! that could hold a credential.
//! Does not know: what the settings do. Their types, bounds, defaults and doc lines stand in each
//! part's own `settings.rs`; this is the only place that reads settings files
//! (ARCHITECTURE.md *What never happens* 9).
//! Clause: docs/operate.md *The settings file*.

mod check;
mod compose;
mod cross;
pub mod geodns;
mod kind;
mod named;
pub mod problem;
pub mod reference;
mod shape;
pub mod site_text;
mod sites;
mod syntax;
mod tree;

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use edge_core::settings::{EdgeSettings, SiteSettings};
use nearcast_control::settings::ControlSettings;
use nearcast_daemon::{
    files::Print,
    settings::{AdminSettings, LogSettings, NodeSettings},
};

use crate::{
    compose::Files,
    geodns::GeodnsConfig,
    problem::{Problem, Report},
};

/// The largest node file that is read; a thousand sites take a tenth of it.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// What a node file says, checked.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// `[node]`
    pub node: NodeSettings,
    /// `[edge]`; absent when the node does not play this role.
    pub edge: Option<EdgeSettings>,
    /// `[geodns]` and `[[pop]]`; absent when the node does not play this role.
    pub geodns: Option<GeodnsConfig>,
    /// `[admin]`
    pub admin: AdminSettings,
    /// `[control]`
    pub control: ControlSettings,
    /// `[log]`
    pub log: LogSettings,
    /// `[[site]]`, in file order; with `[geodns]`, each has `<site>.<first zone>` among its hosts.
    pub sites: Vec<SiteSettings>,
    /// The folder that relative paths were resolved against.
    pub base: PathBuf,
}

/// What came of a node file, and the files that this follows from.
#[derive(Debug)]
pub struct Reading {
    /// What it says, or every problem of it.
    pub result: Result<NodeConfig, Report>,
    /// The node file, and of those that it names what is read with it: zone files and what they
    /// include, certificates, keys, secrets. They stand here as they were before they were read,
    /// also those that have faults. Geo data are not among them: GeoDNS watches those itself.
    pub files: Vec<Print>,
}

/// Reads and checks the node file at `path`, and the files which it names: that they are there
/// and hold what they must.
#[must_use]
pub fn read(path: &Path) -> Reading {
    let print = Print::of(path);
    let mut reading = match text(path) {
        Ok(text) => compose::read(&text, path, Files::Looked),
        Err(report) => Reading { result: Err(report), files: Vec::new() },
    };
    reading.files.push(print);
    reading
}

/// The same, for who reads it once.
///
/// # Errors
/// Every problem of the file.
pub fn load(path: &Path) -> Result<NodeConfig, Report> {
    read(path).result
}

/// The text of a node file.
fn text(path: &Path) -> Result<String, Report> {
    let name = path.display().to_string();
    let unreadable = |fault: String| unread(&name, fault);
    let mut bytes = Vec::new();
    let file = named::open(path).map_err(|error| unreadable(format!("cannot be read: {error}")))?;
    file.take(FILE_BYTES_MAX.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(format!("cannot be read: {error}")))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > FILE_BYTES_MAX) {
        return Err(unreadable("larger than 8 MiB, which no node file is".to_owned()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        compose::not_utf8(error.as_bytes(), valid, &name)
    })
}

/// Checks `text` as a node file called `name`; looks at no other file.
///
/// # Errors
/// Every problem of the text.
pub fn parse(text: &str, name: &str) -> Result<NodeConfig, Report> {
    compose::read(text, Path::new(name), Files::Trusted).result
}

fn unread(name: &str, fault: String) -> Report {
    let problem = Problem {
        file: None,
        place: None,
        key: String::new(),
        value: None,
        fault,
        allowed: None,
        advice: None,
    };
    Report { file: name.to_owned(), problems: vec![problem] }
}
