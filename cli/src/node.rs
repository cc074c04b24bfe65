//! `nearcast node list|drain|undrain|remove`: the nodes of a fleet, those that clients are kept away
//! from, and one that is gone for good.
//!
//! Out: a table, or JSON. Whether a node is here the node that is asked says, as far as it has seen.

mod ending;

use std::time::Duration;

use axum::http::Method;
use clap::{Args, Subcommand};
use serde_json::Value;

use crate::{
    client::{Api, waiting},
    failure::Failure,
    say::say,
    status::presence,
};

/// The command line of `node`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Lists the nodes: what each does, and whether it is here.
    List(Api),
    /// Drains a node: GeoDNS sends nobody to it any more, until it is undrained.
    Drain(Drain),
    /// Lets GeoDNS send clients to a node again.
    Undrain(Undrain),
    /// Removes a node that is gone for good: purges wait for it no more. One that lives is back once it
    /// is heard of.
    Remove(Remove),
}

#[derive(Debug, Args)]
struct Drain {
    /// Its name.
    name: String,
    /// Also where it is the last edge that is neither drained nor away, or nobody knows where clients
    /// reach it.
    #[arg(long)]
    force: bool,
    /// Waits until every name server answers without it, nobody has an earlier answer any more, and the
    /// connections of its clients have ended: 10m unless told otherwise; exit code 1 if that is over
    /// before.
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "10m")]
    wait: Option<String>,
    #[command(flatten)]
    api: Api,
}

#[derive(Debug, Args)]
struct Undrain {
    /// Its name.
    name: String,
    #[command(flatten)]
    api: Api,
}

#[derive(Debug, Args)]
struct Remove {
    /// Its name.
    name: String,
    /// Also where it is here, or may be.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    api: Api,
}

/// Asks the node, and tells.
pub(crate) fn node(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.verb {
        Verb::List(api) => list(api),
        Verb::Drain(arguments) => drain(arguments),
        Verb::Undrain(arguments) => undrain(arguments),
        Verb::Remove(arguments) => remove(arguments),
    }
}

fn list(api: &Api) -> Result<(), Failure> {
    let told = api.ask(Method::GET, "/v1/nodes", None, Duration::ZERO)?;
    if api.json {
        return say(&told.to_string());
    }
    say(&table(&told))
}

/// The nodes, and what is drained though it is none.
fn table(told: &Value) -> String {
    let row = |[name, pop, roles, state, connections, memory, full, version]: [&str; 8]| {
        format!(
            "{name:<12} {pop:<10} {roles:<12} {state:<16} {connections:>11} {memory:>7} {full:>6}  \
             {version}"
        )
    };
    let head = ["NODE", "POP", "ROLES", "STATE", "CONNECTIONS", "MEMORY", "FULL", "VERSION"];
    let mut lines = vec![row(head)];
    let nodes = || told["nodes"].as_array().into_iter().flatten();
    for node in nodes() {
        let word = |key: &str| node[key].as_str().unwrap_or("-");
        let name = node["name"].as_str().unwrap_or_default();
        if let Some(why) = node["unreadable"].as_str() {
            lines.push(row([name, "", "", &state(node), "", "", "", why]));
            continue;
        }
        let load = &node["load"];
        let none = || "-".to_owned();
        let connections = load["connections"].as_u64().map_or_else(none, |open| open.to_string());
        let memory = percent(load).map_or_else(none, |share| format!("{share} %"));
        let full = load["share_per_mille"].as_u64();
        let full = full.map_or_else(none, |share| format!("{} %", share / 10));
        let (pop, version, roles) = (word("pop"), word("version"), words(&node["roles"]));
        lines.push(row([name, pop, &roles, &state(node), &connections, &memory, &full, version]));
    }
    for drain in told["drains"].as_array().into_iter().flatten() {
        if !nodes().any(|node| node["name"] == drain["node"]) {
            let name = drain["node"].as_str().unwrap_or_default();
            lines.push(row([name, "-", "-", "gone, drained", "-", "-", "-", "-"]));
        }
    }
    // What nodes say of themselves shall not steer a terminal.
    for line in &mut lines {
        line.retain(|character| !character.is_control());
    }
    lines.join("\n")
}

/// Whether it is here, and whether clients are sent to it.
fn state(node: &Value) -> String {
    let drained = if node["drained"] == true { ", drained" } else { "" };
    format!("{}{drained}", presence(node))
}

/// How much of its memory budget a node uses, if it has one.
fn percent(load: &Value) -> Option<u64> {
    let (used, max) = (load["memory_bytes"].as_u64()?, load["memory_bytes_max"].as_u64()?);
    used.saturating_mul(100).checked_div(max)
}

fn words(list: &Value) -> String {
    let words: Vec<&str> =
        list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    words.join(",")
}

fn drain(Drain { name, force, wait, api }: &Drain) -> Result<(), Failure> {
    let wait = wait.as_deref().map(waiting::time).transpose()?;
    let force = if *force { "?force=true" } else { "" };
    let path = format!("{}/drain", path(name));
    let told = api.ask(Method::PUT, &format!("{path}{force}"), None, Duration::ZERO)?;
    if !api.json {
        say(&drained(name, &told))?;
    }
    match wait {
        Some(wait) => ending::wait(api, name, &path, wait),
        None if api.json => say(&told.to_string()),
        None => Ok(()),
    }
}

fn drained(name: &str, told: &Value) -> String {
    let addresses = words(&told["addresses"]).replace(',', ", ");
    let goes = if addresses.is_empty() {
        "but no address of it is out of answers: none is known, or others have them; GeoDNS goes on as \
         before"
            .to_owned()
    } else {
        format!("GeoDNS answers without {addresses} as soon as it can")
    };
    format!("node {name} is drained: {goes}; nearcast node undrain {name} ends that")
}

fn undrain(Undrain { name, api }: &Undrain) -> Result<(), Failure> {
    let told = api.ask(Method::DELETE, &format!("{}/drain", path(name)), None, Duration::ZERO)?;
    say(&if api.json {
        told.to_string()
    } else {
        format!("node {name} is drained no more: clients are sent to it as soon as GeoDNS knows")
    })
}

fn remove(Remove { name, force, api }: &Remove) -> Result<(), Failure> {
    let force = if *force { "?force=true" } else { "" };
    let told = api.ask(Method::DELETE, &format!("{}{force}", path(name)), None, Duration::ZERO)?;
    say(&if api.json {
        told.to_string()
    } else {
        format!("node {name} is removed; if it lives, it is back once it is heard of")
    })
}

/// Where a node is in the API.
fn path(name: &str) -> String {
    let quoted: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
    format!("/v1/nodes/{}", quoted.replace('+', "%20"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_edge_carries_nothing_that_is_told() {
        let load = json!({ "connections": 0, "memory_bytes": 5, "memory_bytes_max": 10 });
        let node = |name: &str, load: Value| json!({ "name": name, "state": "here", "load": load });
        let nodes = json!({ "nodes": [node("fra-1", load), node("ns-1", Value::Null)] });
        let table = table(&nodes);
        let words = |name: &str| -> Vec<String> {
            let line = table.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().skip(3).map(str::to_owned).collect()
        };
        assert_eq!(words("fra-1")[..4], ["0", "50", "%", "-"], "{table}");
        assert_eq!(words("ns-1")[..3], ["-", "-", "-"], "{table}");
    }
}
