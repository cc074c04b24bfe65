//! `nearcast status`: the nodes, and how far each has come in the purge log.
//!
//! Out: a table, or JSON. Exit code 1 when a node lacks purges. It asks one node, which says what
//! the ledger knows.

use std::time::Duration;

use axum::http::Method;
use clap::Args;
use serde_json::Value;

use crate::{client::Api, failure::Failure, say::say};

/// The command line of `status`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    api: Api,
}

/// Asks the node, and tells.
pub(crate) fn status(arguments: &Arguments) -> Result<(), Failure> {
    let told = arguments.api.ask(Method::GET, "/v1/nodes", None, Duration::ZERO)?;
    say(&if arguments.api.json { told.to_string() } else { text(&told) })?;
    let late: Vec<&str> = nodes(&told)
        .filter(|node| node["behind"] != 0)
        .filter_map(|node| node["name"].as_str())
        .collect();
    if late.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("purges are yet to be applied by {}", late.join(", "))))
}

fn nodes(told: &Value) -> impl Iterator<Item = &Value> {
    told["nodes"].as_array().into_iter().flatten()
}

fn text(told: &Value) -> String {
    let mut lines = vec![format!("{:<12} {:<24} PURGES", "NODE", "ADDRESS")];
    for node in nodes(told) {
        let name = node["name"].as_str().unwrap_or_default();
        let address = node["addresses"][0].as_str().unwrap_or("-");
        let state = match (node["unreadable"].as_str(), node["behind"].as_u64()) {
            (Some(why), _) => format!("not known: {why}"),
            (None, Some(0)) => "all applied".to_owned(),
            (None, Some(behind)) => format!("{behind} behind"),
            (None, None) => "of another ledger".to_owned(),
        };
        lines.push(format!("{name:<12} {address:<24} {state}"));
    }
    lines.join("\n")
}
