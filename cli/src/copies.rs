//! `nearcast ledger export FILE` and `import FILE`: the ledger's sites, tokens and drains, taken along.
//!
//! In: a file. Out: a file; what was put in. Always: the file is whole or as it was before, and only
//! its owner can read it, since hashes of tokens are in it; what is right in it the node says.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    num::NonZeroU32,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use axum::http::Method;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{client::Api, failure::Failure, say::say, site::serving::Wait};

/// How much longer than other answers one with the whole ledger may take.
const LONGER: Duration = Duration::from_secs(110);

/// The command line of `ledger`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Writes the ledger's sites, tokens and drains to a file; of tokens only hashes are in it.
    Export(Export),
    /// Puts such a file into a ledger that has no sites and no tokens but its first.
    Import(Import),
}

#[derive(Debug, Args)]
struct Export {
    /// The file, which is made or replaced.
    file: PathBuf,
    /// Versions of each site, the newest first; all that are kept without this.
    #[arg(long, value_name = "NUMBER")]
    versions: Option<NonZeroU32>,
    #[command(flatten)]
    api: Api,
}

#[derive(Debug, Args)]
struct Import {
    /// The file.
    file: PathBuf,
    /// Puts it in all the same: its sites take the place of those that are there, which stay as
    /// history; those that it does not have count as deleted; its tokens come beside those that are
    /// there, but for those that were revoked.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    api: Api,
}

/// Asks the node, and tells.
pub(crate) fn ledger(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.verb {
        Verb::Export(arguments) => export(arguments),
        Verb::Import(arguments) => import(arguments),
    }
}

fn export(arguments: &Export) -> Result<(), Failure> {
    let Export { file, versions, api } = arguments;
    let query = versions.map(|versions| format!("?versions={versions}")).unwrap_or_default();
    let told = api.ask(Method::GET, &format!("/v1/ledger{query}"), None, LONGER)?;
    put(file, &told.to_string())
        .map_err(|error| Failure::new(format!("cannot write {}: {error}", file.display())))?;
    let count = |key: &str| told[key].as_array().map_or(0, Vec::len);
    let left_out: Vec<&str> =
        told["left_out"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if api.json {
        let (sites, tokens, drains) = (count("sites"), count("tokens"), count("drains"));
        return say(&json!({
            "file": file, "sites": sites, "tokens": tokens, "drains": drains, "left_out": left_out,
        })
        .to_string());
    }
    let mut lines = vec![format!(
        "{}, {} and {} are in {}",
        counted(count("sites"), "site"),
        counted(count("tokens"), "token"),
        counted(count("drains"), "drain"),
        file.display()
    )];
    lines.extend(left_out.iter().map(|one| format!("left out, as it cannot be read: {one}")));
    say(&lines.join("\n"))
}

/// Writes a file for its owner alone, whole or not at all.
fn put(path: &Path, text: &str) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

fn import(arguments: &Import) -> Result<(), Failure> {
    let Import { file, force, wait, api } = arguments;
    wait.check()?;
    let text = fs::read_to_string(file)
        .map_err(|error| Failure::new(format!("cannot read {}: {error}", file.display())))?;
    let copied: Value = serde_json::from_str(&text).map_err(|error| {
        Failure::new(format!("{} is no copy of a ledger: {error}", file.display()))
    })?;
    let path = if *force { "/v1/ledger?force=true" } else { "/v1/ledger" };
    let told = api.ask(Method::PUT, path, Some(&copied), LONGER)?;
    if !api.json {
        say(&came(&told, &copied))?;
    }
    let revision = told["revision"].as_u64().unwrap_or_default();
    wait.wait(api, (revision, None), told)
}

/// What was put in, for people.
fn came(told: &Value, copied: &Value) -> String {
    let number = |key: &str| usize::try_from(told[key].as_u64().unwrap_or_default());
    let number = |key: &str| number(key).unwrap_or(usize::MAX);
    let mut lines = vec![format!(
        "{} and {} were put in; every node purges all that it has stored (`nearcast status` shows when \
         all have)",
        counted(number("sites"), "site"),
        counted(number("tokens"), "token")
    )];
    if let kept @ 1.. = number("tokens_kept") {
        lines.push(format!("already there, and as before: {}", counted(kept, "token")));
    }
    if let revoked @ 1.. = number("tokens_revoked") {
        let tokens = counted(revoked, "token");
        lines.push(format!("revoked here, or perhaps, and not put in: {tokens}"));
    }
    if let drained @ 1.. = number("drains") {
        let nodes = counted(drained, "node");
        lines.push(format!("drained by it: {nodes} (`nearcast node list` names them)"));
    }
    let left_out = copied["left_out"].as_array().into_iter().flatten().filter_map(Value::as_str);
    lines.extend(left_out.map(|one| format!("not in the copy, as it could not be read: {one}")));
    lines.join("\n")
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
