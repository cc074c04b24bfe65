//! What `nearcast node drain --wait` waits for: name servers, then caches, then connections.
//!
//! In: a node that is drained, a time. Out: a line for each step, or the last answer as JSON; a failure
//! where the time is over before. Always: each request waits at the node that is asked, which watches
//! what others say; this process's own clock says when the time is over. It does not know what a drain is.
//! Clause: docs/operate.md *Draining a node*.

use std::time::Duration;

use axum::http::Method;
use serde_json::Value;
use tokio::time::Instant;

use crate::{client::Api, failure::Failure, say::say};

/// The longest wait of one request; the node may cut it.
const STEP_MAX: Duration = Duration::from_secs(20);

/// The states, as the API names them, with those before them.
const STATES: [&str; 4] = ["applying", "expiring", "ending", "ended"];

/// A time on the command line.
pub(super) fn time(text: &str) -> Result<Duration, Failure> {
    humantime::parse_duration(text).map_err(|error| {
        Failure::usage(format!("--wait {text:?}: {error}; allowed: a duration such as 10m"))
    })
}

/// Waits until the node's drain at `path` has come to its end.
pub(super) fn wait(api: &Api, name: &str, path: &str, wait: Duration) -> Result<(), Failure> {
    let until = Instant::now() + wait;
    let mut told = step(api, path, STATES[0], Duration::ZERO)?;
    let mut at = state(&told);
    if !api.json {
        say(&line(name, &told))?;
    }
    while let Some(next) = STATES.get(at + 1) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            if api.json {
                say(&told.to_string())?;
            }
            return Err(over(name, &told));
        }
        let before = line(name, &told);
        told = step(api, path, next, left.min(STEP_MAX))?;
        at = state(&told);
        let now = line(name, &told);
        if !api.json && now != before {
            say(&now)?;
        }
    }
    if api.json { say(&told.to_string()) } else { Ok(()) }
}

/// Asks, and waits until it is as far as `until`, if only that comes in time.
fn step(api: &Api, path: &str, until: &str, wait: Duration) -> Result<Value, Failure> {
    let path = format!("{path}?until={until}&wait={}ms", wait.as_millis());
    api.ask(Method::GET, &path, None, wait)
}

/// Where it is among the states; one that is not known is none that can be gone on.
fn state(told: &Value) -> usize {
    let state = told["progress"]["state"].as_str().unwrap_or_default();
    STATES.iter().position(|known| *known == state).unwrap_or_default()
}

fn name_servers(told: &Value) -> impl Iterator<Item = &Value> {
    told["progress"]["name_servers"].as_array().into_iter().flatten()
}

/// How far it is, for people.
fn line(name: &str, told: &Value) -> String {
    let progress = &told["progress"];
    let all = name_servers(told).count();
    let applied = name_servers(told).filter(|server| server["applied"] == true).count();
    match state(told) {
        0 => format!("name servers: {applied} of {all} answer without it"),
        1 => format!(
            "name servers: all {all} answer without it; earlier answers may be cached for up to {} s",
            progress["ttl_s"]
        ),
        2 => match progress["connections"].as_u64() {
            Some(open) => {
                format!(
                    "caches: no earlier answer is left; {name} has {open} connections of clients"
                )
            }
            None => format!(
                "caches: no earlier answer is left; what {name} has open is not known: it is not here"
            ),
        },
        _ => format!("connections: {name} has none of clients any more"),
    }
}

/// Why it did not come to its end in time, and what there is to do about that.
fn over(name: &str, told: &Value) -> Failure {
    let progress = &told["progress"];
    let failure = match state(told) {
        0 if name_servers(told).next().is_none() => Failure::new(
            "no name server is registered in this ledger, so nobody says that clients are sent elsewhere",
        )
        .advise("GeoDNS nodes register once they have [control] with the same ledger"),
        0 => {
            let late: Vec<String> = name_servers(told)
                .filter(|server| server["applied"] != true)
                .map(|server| {
                    let word = |key: &str| server[key].as_str().unwrap_or_default();
                    format!("{} ({})", word("node"), word("state"))
                })
                .collect();
            let late = late.join(", ");
            Failure::new(format!("not known to answer without {name} yet: {late}")).advise(
                "one that is away may go on answering with it: start it again, or, if it is gone for \
                 good, take it out with `nearcast node remove`",
            )
        }
        1 => Failure::new(format!(
            "earlier answers with {name} may be cached for up to {} s after the last change",
            progress["ttl_s"]
        )),
        _ => match progress["connections"].as_u64() {
            Some(open) => {
                Failure::new(format!("{name} has {open} connections of clients open still"))
                    .advise("SIGTERM ends them in order")
            }
            None => Failure::new(format!("what {name} has open is not known, as it is not here")),
        },
    };
    failure.advise("it stays drained; the same command waits on")
}
