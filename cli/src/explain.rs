//! `nearcast explain URL`: what each node has of a URL, and what the next request would come to.
//!
//! Out: a few lines for each node, or JSON. What is stored the node says.

use std::time::Duration;

use axum::http::Method;
use clap::Args;
use serde_json::Value;

use crate::{client::Api, failure::Failure, say::say};

/// The command line of `explain`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The URL as clients ask for it: http:// or https://, host, path and query.
    url: String,
    /// A field of the request that is asked about, as "Accept-Language: de"; may be given again.
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    headers: Vec<String>,
    #[command(flatten)]
    api: Api,
}

/// Asks the node, and tells.
pub(crate) fn explain(arguments: &Arguments) -> Result<(), Failure> {
    let mut query = form_urlencoded::Serializer::new("/v1/explain?".to_owned());
    query.append_pair("url", &arguments.url);
    query.extend_pairs(arguments.headers.iter().map(|field| ("header", field)));
    let path = query.finish();
    let told = arguments.api.ask(Method::GET, &path, None, Duration::ZERO)?;
    say(&if arguments.api.json { told.to_string() } else { text(&told) })
}

fn text(told: &Value) -> String {
    let mut lines = vec![word(told, "url")];
    for node in list(told, "nodes") {
        let next = &node["next"];
        let outcome = match (next["hit"] == true, next["fwd"].as_str()) {
            (true, _) => "hit".to_owned(),
            (false, Some(reason)) => format!("fwd={reason}"),
            (false, None) => "refused".to_owned(),
        };
        let name = word(node, "node");
        lines.push(format!("{name:<12} {outcome}: {}", word(next, "why")));
        lines.extend(list(node, "stored").map(stored));
        if let Some(more @ 1..) = node["more"].as_u64() {
            lines.push(format!("{:<12} and {more} more", ""));
        }
        let fields: Vec<&str> = list(node, "key_fields").filter_map(Value::as_str).collect();
        if !fields.is_empty() {
            lines.push(format!("{:<12} the rule keys {} as well", "", fields.join(", ")));
        }
    }
    // What an origin or a client has said shall not steer a terminal.
    for line in &mut lines {
        line.retain(|character| !character.is_control());
    }
    lines.join("\n")
}

fn stored(held: &Value) -> String {
    let number = |key: &str| held[key].as_i64().unwrap_or_default();
    let mut line = format!(
        "{:<12} {} {}, age {} s, ttl {} s ({}), {} bytes in {}",
        "",
        number("status"),
        word(held, "state"),
        number("age"),
        number("ttl"),
        word(held, "lifetime_of"),
        number("bytes"),
        word(held, "tier"),
    );
    if let Some([first, last]) = held["part"].as_array().map(Vec::as_slice) {
        line.push_str(&format!(", bytes {first} to {last} only"));
    }
    if held["soft_purged"] == true {
        line.push_str(", softly purged");
    }
    let vary: Vec<String> = list(held, "vary")
        .map(|field| {
            let value =
                field[1].as_str().map_or_else(|| " absent".to_owned(), |it| format!(": {it}"));
            format!("{}{value}", field[0].as_str().unwrap_or_default())
        })
        .collect();
    if !vary.is_empty() {
        line.push_str(&format!(", for {}", vary.join(", ")));
    }
    let tags: Vec<&str> = list(held, "tags").filter_map(Value::as_str).collect();
    match (held["every_tag"] == true, tags.is_empty()) {
        (true, _) => line.push_str(", tags: more than are kept, so any"),
        (false, false) => line.push_str(&format!(", tags: {}", tags.join(" "))),
        (false, true) => {}
    }
    line
}

fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value[key].as_array().into_iter().flatten()
}

fn word(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}
