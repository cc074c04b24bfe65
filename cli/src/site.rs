//! `nearcast site list|get|apply|delete|history|rollback`: the sites of the ledger.
//!
//! In: names, a file with `[[site]]` tables. Out: what the node says of them. Always: a site is
//! replaced or deleted at the revision that was read, so what somebody else wrote meanwhile is not
//! lost; all sites of a file are checked before one is written. What is right in a site the node
//! says.

mod apply;
pub(crate) mod serving;

use std::{path::PathBuf, time::Duration};

use axum::http::{
    Method, StatusCode,
    header::{IF_MATCH, IF_NONE_MATCH},
};
use clap::{Args, Subcommand};
use serde_json::Value;

use self::serving::Wait;
use crate::{
    client::{Api, Order, Told},
    failure::Failure,
    say::say,
};

/// The form of a site's text.
const TOML: &str = "application/toml";

/// The command line of `site`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Lists the sites of the ledger and of the node's file.
    List(Api),
    /// Prints what a site says, as it was written.
    Get(Get),
    /// Makes or replaces every [[site]] of a file.
    Apply(Apply),
    /// Deletes a site; what is stored of it is never served again.
    Delete(Delete),
    /// Lists the versions of a site that are kept, and who wrote them.
    History(Named),
    /// Writes an older version of a site again, or one that was deleted.
    Rollback(Rollback),
}

#[derive(Debug, Args)]
struct Get {
    /// The site.
    name: String,
    /// An older version, as `history` lists them.
    #[arg(long, value_name = "REVISION")]
    revision: Option<u64>,
    #[command(flatten)]
    api: Api,
}

#[derive(Debug, Args)]
struct Apply {
    /// A TOML file with [[site]] tables, which may be a node file; nothing else of it is looked at.
    file: PathBuf,
    /// Only checks the sites, and writes none.
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    api: Api,
}

#[derive(Debug, Args)]
struct Named {
    /// The site.
    name: String,
    #[command(flatten)]
    api: Api,
}

#[derive(Debug, Args)]
struct Delete {
    #[command(flatten)]
    site: Named,
    #[command(flatten)]
    wait: Wait,
}

#[derive(Debug, Args)]
struct Rollback {
    /// The site.
    name: String,
    /// The version to write again; the one before the last without it.
    #[arg(long, value_name = "REVISION")]
    to: Option<u64>,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    api: Api,
}

/// Asks the node, and tells.
pub(crate) fn site(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.verb {
        Verb::List(api) => list(api),
        Verb::Get(arguments) => get(arguments),
        Verb::Apply(arguments) => apply::apply(arguments),
        Verb::Delete(arguments) => delete(arguments),
        Verb::History(arguments) => history(arguments),
        Verb::Rollback(arguments) => rollback(arguments),
    }
}

fn list(api: &Api) -> Result<(), Failure> {
    let told = api.ask(Method::GET, "/v1/sites", None, Duration::ZERO)?;
    if api.json {
        return say(&told.to_string());
    }
    let mut lines = vec![format!("{:<20} {:<8} {:<10} HOSTS", "SITE", "FROM", "REVISION")];
    for site in told["sites"].as_array().into_iter().flatten() {
        let (name, from) = (text(&site["name"]), text(&site["from"]));
        let revision =
            site["revision"].as_u64().map_or_else(|| "-".to_owned(), |at| at.to_string());
        lines.push(format!("{name:<20} {from:<8} {revision:<10} {}", words(&site["hosts"])));
    }
    say(&lines.join("\n"))
}

fn get(arguments: &Get) -> Result<(), Failure> {
    let mut path = path(&arguments.name)?;
    if let Some(revision) = arguments.revision {
        path.push_str(&format!("?revision={revision}"));
    }
    let told = arguments.api.ask(Method::GET, &path, None, Duration::ZERO)?;
    if arguments.api.json {
        return say(&told.to_string());
    }
    match told["toml"].as_str() {
        Some(toml) => say(toml.trim_end()),
        None => Err(Failure::new(format!(
            "site {} stands in the file of the node, which is where it is looked up and changed",
            arguments.name
        ))),
    }
}

fn delete(arguments: &Delete) -> Result<(), Failure> {
    let Delete { site: Named { name, api }, wait } = arguments;
    wait.check()?;
    let path = path(name)?;
    let there = api.ask(Method::GET, &path, None, Duration::ZERO)?;
    let at = there["revision"].as_u64().ok_or_else(|| {
        Failure::new(format!("site {name} stands in the file of the node; take it out there"))
    })?;
    let fields = [(IF_MATCH, format!("\"{at}\""))];
    let order = Order { method: Method::DELETE, path: &path, fields: &fields, content: None };
    let told = api.order(order, Duration::ZERO)?.done()?;
    if !api.json {
        say(&deleted(name, &told))?;
    }
    wait.wait(api, (number(&told["revision"]), Some(&[])), told)
}

fn deleted(name: &str, told: &Value) -> String {
    let done = format!("site {name} is deleted; `nearcast site rollback {name}` brings it back");
    let tokens = words(&told["tokens"]);
    if tokens.is_empty() {
        return done;
    }
    format!(
        "{done}\ntokens that name it are good for the next site of this name as well: {tokens}; \
         `nearcast token revoke ID` ends one"
    )
}

fn history(arguments: &Named) -> Result<(), Failure> {
    let told = versions(&arguments.api, &arguments.name)?;
    if arguments.api.json {
        return say(&told.to_string());
    }
    let mut lines = vec![format!("{:<10} {:<26} {:<14} HOSTS", "REVISION", "WHEN", "BY")];
    for version in told["versions"].as_array().into_iter().flatten() {
        let (at, by) = (text(&version["at"]), text(&version["by"]));
        let hosts = if version["deleted"] == true {
            "(deleted)".to_owned()
        } else {
            words(&version["hosts"])
        };
        lines.push(format!("{:<10} {at:<26} {by:<14} {hosts}", version["revision"].to_string()));
    }
    say(&lines.join("\n"))
}

fn versions(api: &Api, name: &str) -> Result<Value, Failure> {
    api.ask(Method::GET, &format!("{}/history", path(name)?), None, Duration::ZERO)
}

fn rollback(arguments: &Rollback) -> Result<(), Failure> {
    let Rollback { name, to, wait, api } = arguments;
    wait.check()?;
    let told = versions(api, name)?;
    let versions = told["versions"].as_array().map_or(&[][..], |versions| versions);
    let there = versions.first().filter(|newest| newest["deleted"] != true);
    let at = there.and_then(|newest| newest["revision"].as_u64());
    let older = versions.iter().skip(1).find(|version| version["deleted"] != true);
    let to = to
        .or_else(|| older?["revision"].as_u64())
        .ok_or_else(|| Failure::new(format!("no older version of site {name} is kept")))?;
    let path = path(name)?;
    let older = format!("{path}?revision={to}");
    let older = api.ask(Method::GET, &older, None, Duration::ZERO)?;
    let written = put(api, &path, text(&older["toml"]), at)?.done()?;
    if !api.json {
        let revision = &written["revision"];
        say(&format!("site {name} says again what it said at {to}; this is revision {revision}"))?;
    }
    wait.wait(api, (number(&written["revision"]), Some(&[name])), written)
}

/// Writes a site that is at revision `at`, or not there.
fn put(api: &Api, path: &str, toml: &str, at: Option<u64>) -> Result<Told, Failure> {
    let expected = match at {
        Some(at) => (IF_MATCH, format!("\"{at}\"")),
        None => (IF_NONE_MATCH, "*".to_owned()),
    };
    let content = Some((TOML, toml.to_owned()));
    let order = Order { method: Method::PUT, path, fields: &[expected], content };
    api.order(order, Duration::ZERO)
}

/// What the ledger has of a site: its revision and its text.
fn read(api: &Api, name: &str) -> Result<Option<(u64, String)>, Failure> {
    let path = path(name)?;
    let order = Order { method: Method::GET, path: &path, fields: &[], content: None };
    let told = api.order(order, Duration::ZERO)?;
    if told.status == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    let said = told.done()?;
    let revision = said["revision"].as_u64();
    Ok(revision.map(|revision| (revision, text(&said["toml"]).to_owned())))
}

fn path(name: &str) -> Result<String, Failure> {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if name.is_empty() || !name.bytes().all(is_fine) {
        let message = format!("{name:?} is no site's name; `nearcast site list` has them");
        return Err(Failure::usage(message));
    }
    Ok(format!("/v1/sites/{name}"))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn words(list: &Value) -> String {
    list.as_array().into_iter().flatten().map(text).collect::<Vec<_>>().join(", ")
}
