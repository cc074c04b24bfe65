//! Reading zone files.
//!
//! In: a zone's settings, the disk. Out: its records, or every fault of its files.
//! Always: an included file is looked for in the folder of the file that includes it, and lies in
//! the folder of the zone's own file or below, whatever links say; bytes and files are counted over
//! all depths, so that files which include each other come to an end.
//! Does not know: whether the records make a zone.
//! Clause: RFC 1035 §5.1 ($INCLUDE).

use std::{
    fs,
    path::{Path, PathBuf},
};

use geodns_core::{
    settings::GeodnsLimits,
    wire::name::Name,
    zonefile::{self, Record, fault::Fault},
};

use super::files;
use crate::check::Findings;

/// The included files of one zone.
struct Includes<'b> {
    base: &'b Path,
    findings: &'b mut Findings,
    /// Where they must lie.
    folder: PathBuf,
    bytes_left: u64,
    files_left: u32,
}

/// Why a zone has no records.
pub(super) enum Unread {
    /// Its own file cannot be read.
    File(std::io::Error),
    /// Its files have faults.
    Faults(Vec<Fault>),
}

/// The records of the zone file `file`, relative to `base`. `findings` learns which files those are.
pub(super) fn read(
    base: &Path,
    file: &Path,
    apex: &Name,
    limits: &GeodnsLimits,
    findings: &mut Findings,
) -> Result<Vec<Record>, Unread> {
    let path = base.join(file);
    let most = limits.zone_bytes_max.0;
    findings.reads(&path);
    let text = files::read(&path, most).map_err(Unread::File)?;
    let folder = files::real_folder(&path).map_err(Unread::File)?;
    let files_left = limits.zone_includes_max;
    let mut includes = Includes { base, findings, folder, bytes_left: most, files_left };
    includes.count(text.len());
    let mut load = |included: &str, from: &str| includes.load(included, from);
    zonefile::read(&file.to_string_lossy(), &text, apex, &mut load).map_err(Unread::Faults)
}

impl Includes<'_> {
    fn load(&mut self, included: &str, from: &str) -> Result<Vec<u8>, String> {
        let Some(files_left) = self.files_left.checked_sub(1) else {
            return Err("more files are included than geodns.limits.zone_includes_max".to_owned());
        };
        self.files_left = files_left;
        let folder = Path::new(from).parent().unwrap_or_else(|| Path::new(""));
        let path = self.base.join(folder).join(included);
        self.findings.reads(&path);
        let real = fs::canonicalize(&path).map_err(|error| error.to_string())?;
        if !real.starts_with(&self.folder) {
            return Err("lies outside of the folder of the zone's file".to_owned());
        }
        let text = files::read(&real, self.bytes_left).map_err(|error| error.to_string())?;
        self.count(text.len());
        Ok(text)
    }

    fn count(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
    }
}
