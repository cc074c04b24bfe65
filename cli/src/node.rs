//! `nearcast node list|remove`: the nodes of a fleet, and one that is gone for good.
//!
//! Out: a table, or JSON. Whether a node is here the node that is asked says, as far as it has seen.

use std::time::Duration;

use axum::http::Method;
use clap::{Args, Subcommand};
use serde_json::Value;

use crate::{client::Api, failure::Failure, say::say, status::presence};

/// The command line of `node`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Lists the nodes: what each does, and whether it is here.
    List(List),
    /// Removes a node that is gone for good: purges wait for it no more. One that lives is back once it
    /// is heard of.
    Remove(Remove),
}

#[derive(Debug, Args)]
struct List {
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
        Verb::List(arguments) => list(&arguments.api),
        Verb::Remove(arguments) => remove(arguments),
    }
}

fn list(api: &Api) -> Result<(), Failure> {
    let told = api.ask(Method::GET, "/v1/nodes", None, Duration::ZERO)?;
    if api.json {
        return say(&told.to_string());
    }
    let row = |[name, pop, roles, state, connections, memory, version]: [&str; 7]| {
        format!(
            "{name:<12} {pop:<10} {roles:<12} {state:<16} {connections:>11} {memory:>7}  {version}"
        )
    };
    let head = ["NODE", "POP", "ROLES", "STATE", "CONNECTIONS", "MEMORY", "VERSION"];
    let mut lines = vec![row(head)];
    for node in told["nodes"].as_array().into_iter().flatten() {
        let word = |key: &str| node[key].as_str().unwrap_or("-");
        let name = node["name"].as_str().unwrap_or_default();
        if let Some(why) = node["unreadable"].as_str() {
            lines.push(row([name, "", "", &presence(node), "", "", why]));
            continue;
        }
        let connections = node["load"]["connections"].to_string();
        let memory = format!("{} %", percent(&node["load"]));
        let (pop, version, roles) = (word("pop"), word("version"), words(&node["roles"]));
        lines.push(row([name, pop, &roles, &presence(node), &connections, &memory, version]));
    }
    // What nodes say of themselves shall not steer a terminal.
    for line in &mut lines {
        line.retain(|character| !character.is_control());
    }
    say(&lines.join("\n"))
}

/// How much of its memory budget a node uses.
fn percent(load: &Value) -> u64 {
    let bytes = |key: &str| load[key].as_u64().unwrap_or_default();
    bytes("memory_bytes").saturating_mul(100).checked_div(bytes("memory_bytes_max")).unwrap_or(0)
}

fn words(list: &Value) -> String {
    let words: Vec<&str> =
        list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    words.join(",")
}

fn remove(Remove { name, force, api }: &Remove) -> Result<(), Failure> {
    let quoted: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
    let force = if *force { "?force=true" } else { "" };
    let path = format!("/v1/nodes/{}{force}", quoted.replace('+', "%20"));
    let told = api.ask(Method::DELETE, &path, None, Duration::ZERO)?;
    say(&if api.json {
        told.to_string()
    } else {
        format!("node {name} is removed; if it lives, it is back once it is heard of")
    })
}
