//! `nearcast purge`: makes what is stored unusable, and says when that is so everywhere.
//!
//! In: a site, selectors. Out: what every node says of it. Always: exit code 0 only if what was asked
//! is done: with `--wait`, that every node has applied it. What a selector may be the node says.

use std::time::Duration;

use axum::http::Method;
use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use crate::{client::Api, failure::Failure, say::say};

/// The command line of `purge`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).multiple(true))]
pub(crate) struct Arguments {
    /// The site.
    #[arg(long, value_name = "NAME")]
    site: String,
    /// A URL, with all its variants.
    #[arg(long = "url", value_name = "URL", group = "what")]
    urls: Vec<String>,
    /// How URLs begin: https://host/path, or host/path for both schemes.
    #[arg(long = "prefix", value_name = "PREFIX", group = "what")]
    prefixes: Vec<String>,
    /// Everything of a host.
    #[arg(long = "host", value_name = "HOST", group = "what")]
    hosts: Vec<String>,
    /// Everything that its origin gave this tag.
    #[arg(long = "tag", value_name = "TAG", group = "what")]
    tags: Vec<String>,
    /// Everything of the site.
    #[arg(long, group = "what")]
    all: bool,
    /// Makes it stale rather than gone: it may be served while the origin is asked or fails.
    #[arg(long)]
    soft: bool,
    /// Waits until every node has applied it, 5 s unless told otherwise and at most half a second less
    /// than the node's [admin] request_deadline (29.5 s if that is not set); exit code 1 if one has not.
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "5s")]
    wait: Option<String>,
    /// Counts the stored responses that it speaks of, and purges nothing.
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    #[command(flatten)]
    api: Api,
}

/// Asks the node, and tells what came of it.
pub(crate) fn purge(arguments: &Arguments) -> Result<(), Failure> {
    let (mut path, mut longer) = ("/v1/purges".to_owned(), Duration::ZERO);
    if let Some(wait) = &arguments.wait {
        let parsed = humantime::parse_duration(wait).map_err(|error| {
            Failure::usage(format!("--wait {wait:?}: {error}; allowed: a duration such as 5s"))
        })?;
        longer = parsed;
        // As milliseconds it needs no escape in a URI.
        path.push_str(&format!("?wait={}ms", parsed.as_millis()));
    }
    let order = order(arguments);
    let told = arguments.api.ask(Method::POST, &path, Some(&order), longer)?;
    say(&if arguments.api.json { told.to_string() } else { text(&told) })?;
    if arguments.dry_run || arguments.wait.is_none() || told["state"] == "complete" {
        return Ok(());
    }
    if told["state"] != "partial" {
        // It was taken, but the node could not tell who has applied it.
        return Err(Failure::new("the purge is in the log, but was not seen to be applied")
            .advise("`nearcast status` says how far each node is"));
    }
    let late: Vec<&str> = nodes(&told)
        .filter(|node| node["applied"] == false && node["lapsed"] != true)
        .filter_map(|node| node["node"].as_str())
        .collect();
    if late.is_empty() {
        let failure = Failure::new(
            "the ledger was made anew, and nodes that it does not know yet may hold a lease",
        );
        return Err(failure.advise("the purge is in the log, and complete once that has lapsed"));
    }
    Err(Failure::new(format!("not yet applied by {}", late.join(", ")))
        .advise("the purge is in the log, and each node applies it as soon as it can"))
}

fn order(arguments: &Arguments) -> Value {
    let of = |kind: &'static str, texts: &[String]| -> Vec<Value> {
        texts.iter().map(|text| json!({ kind: text })).collect()
    };
    let mut selectors = of("url", &arguments.urls);
    selectors.extend(of("prefix", &arguments.prefixes));
    selectors.extend(of("host", &arguments.hosts));
    selectors.extend(of("tag", &arguments.tags));
    if arguments.all {
        selectors.push(json!("all"));
    }
    json!({
        "site": arguments.site,
        "selectors": selectors,
        "mode": if arguments.soft { "soft" } else { "hard" },
        "dry_run": arguments.dry_run,
    })
}

fn nodes(told: &Value) -> impl Iterator<Item = &Value> {
    told["nodes"].as_array().into_iter().flatten()
}

fn text(told: &Value) -> String {
    let word = |key: &str| told[key].as_str().unwrap_or_default().to_owned();
    let mut lines = Vec::new();
    if told["dry_run"] == true {
        lines.push(format!("a {} purge of {} would speak of", word("mode"), word("site")));
        for node in nodes(told) {
            let name = node["node"].as_str().unwrap_or_default();
            lines.push(format!("  {name:<12} {} stored responses", node["responses"]));
        }
        lines.push("nothing was purged".to_owned());
        return lines.join("\n");
    }
    lines.push(format!("purge {} of {} ({})", word("id"), word("site"), word("mode")));
    for node in nodes(told) {
        let name = node["node"].as_str().unwrap_or_default();
        let state = match (node["applied"] == true, node["delay_ms"].as_u64()) {
            (true, Some(delay)) => format!("applied in {delay} ms"),
            (true, None) => "applied".to_owned(),
            (false, _) if node["lapsed"] == true => {
                "not yet; it asks its origins until it has".to_owned()
            }
            (false, _) if node["contested"] == true => {
                "not known: other processes go by its name".to_owned()
            }
            (false, _) => "not yet".to_owned(),
        };
        lines.push(format!("  {name:<12} {state}"));
    }
    lines.push(match word("state").as_str() {
        "complete" if nodes(told).any(|node| node["lapsed"] == true) => {
            "complete: no node serves what it took".to_owned()
        }
        "complete" => "complete: every node has applied it".to_owned(),
        "partial" => "partial: not every node has applied it".to_owned(),
        _ => "accepted: every node applies it as soon as it can; --wait waits for that".to_owned(),
    });
    lines.join("\n")
}
