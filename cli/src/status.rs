//! `nearcast status`: the nodes, whether each is here, and how far it has come in the purge log.
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
        // One that holds nothing to purge lacks none.
        .filter(|node| node["behind"] != 0 && !holds_nothing(node))
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
    let mut lines = vec![format!("{:<12} {:<24} {:<16} PURGES", "NODE", "ADDRESS", "STATE")];
    for node in nodes(told) {
        let name = node["name"].as_str().unwrap_or_default();
        let address = node["addresses"][0].as_str().unwrap_or("-");
        let purges = match (node["unreadable"].as_str(), node["behind"].as_u64()) {
            (Some(why), _) => format!("not known: {why}"),
            (None, None) if holds_nothing(node) => "-".to_owned(),
            (None, Some(0)) => "all applied".to_owned(),
            (None, Some(behind)) => format!("{behind} behind"),
            (None, None) => "of another ledger".to_owned(),
        };
        let presence = presence(node);
        lines.push(format!("{name:<12} {address:<24} {presence:<16} {purges}"));
    }
    lines.join("\n")
}

fn holds_nothing(node: &Value) -> bool {
    node["unreadable"].is_null() && node["applied"].is_null()
}

/// Whether a node is here, and if not, how long it has not been heard of.
pub(crate) fn presence(node: &Value) -> String {
    let state = node["state"].as_str().unwrap_or_default();
    match node["silent_ms"].as_u64() {
        Some(silent) if state == "away" => {
            let silent = Duration::from_secs(silent / 1000);
            format!("away {}", humantime::format_duration(silent))
        }
        _ => state.to_owned(),
    }
}
