//! What `nearcast node drain --wait` waits for: name servers, then caches, then connections.
//!
//! In: a node that is drained, a time. Out: a line for each step, or the last answer as JSON; a failure
//! where the time is over before. It does not know what a drain is.
//! Clause: docs/operate.md *Draining a node*.

use std::time::Duration;

use serde_json::Value;

use crate::{
    client::{
        Api,
        waiting::{self, Awaited},
    },
    failure::Failure,
    say::say,
};

/// The states, as the API names them, with those before them.
const STATES: [&str; 4] = ["applying", "expiring", "ending", "ended"];

/// Waits until the node's drain at `path` has come to its end.
pub(super) fn wait(api: &Api, name: &str, path: &str, wait: Duration) -> Result<(), Failure> {
    let (told, failure) = waiting::wait(api, &Ending { name, path }, wait)?;
    if api.json {
        say(&told.to_string())?;
    }
    failure.map_or(Ok(()), Err)
}

/// A node that is drained.
struct Ending<'e> {
    name: &'e str,
    path: &'e str,
}

impl Awaited for Ending<'_> {
    fn path(&self, told: Option<&Value>) -> String {
        let next = told.and_then(|told| STATES.get(state(told) + 1)).unwrap_or(&STATES[0]);
        format!("{}?until={next}", self.path)
    }

    fn is_over(&self, told: &Value) -> bool {
        STATES.get(state(told) + 1).is_none()
    }

    fn line(&self, told: &Value) -> String {
        line(self.name, told)
    }

    fn failure(&self, told: &Value) -> Option<Failure> {
        (!self.is_over(told)).then(|| over(self.name, told))
    }
}

/// Where it is among the states; one that is not known is none that can be gone on.
fn state(told: &Value) -> usize {
    let state = told["progress"]["state"].as_str().unwrap_or_default();
    STATES.iter().position(|known| *known == state).unwrap_or_default()
}

fn name_servers(told: &Value) -> impl Iterator<Item = &Value> {
    told["progress"]["name_servers"].as_array().into_iter().flatten()
}

/// Why clients are sent to it all the same, if they are.
fn withheld(name: &str, told: &Value) -> Option<String> {
    Some(match told["progress"]["withheld"].as_str()? {
        "no_address" => {
            format!(
                "no address of {name} is out of answers, as none is known: clients go on coming"
            )
        }
        "others_have_it" => format!(
            "a node that is not drained has an address of {name} as well, so it is not out of answers"
        ),
        "no_other_edge" => format!(
            "the ledger knows no other edge, neither drained nor away, for all of the families of \
             {name}'s addresses, so name servers go on answering with it"
        ),
        other => format!("clients are sent to {name} all the same ({other})"),
    })
}

/// The name servers that it is so of, by name.
fn named(told: &Value, is_so: impl Fn(&Value) -> bool) -> String {
    let names = name_servers(told).filter(|server| is_so(server));
    let names: Vec<&str> =
        names.map(|server| server["node"].as_str().unwrap_or_default()).collect();
    names.join(", ")
}

fn is_given_up(server: &Value) -> bool {
    server["given_up"] == true
}

/// Who sends clients to it all the same.
fn given_up(name: &str, told: &Value) -> String {
    format!(
        "{} had nobody else left for a client, and answered with {name} all the same, so lately that \
         this may be cached",
        named(told, is_given_up)
    )
}

fn has_ended(server: &Value) -> bool {
    server["ended"] == true
}

/// Whether it went by the drain, and may not do so any more, as nobody hears of it.
fn is_unheard(server: &Value) -> bool {
    server["expired"] != true && server["state"] != "here" && !has_ended(server)
}

/// Who may send clients to it by now.
fn unheard(name: &str, told: &Value) -> String {
    format!(
        "not heard of: {}, which may have nobody else left for a client by now, and answer with {name} \
         all the same",
        stated(told, is_unheard)
    )
}

/// The same with whether each is here, and what else keeps it.
fn stated(told: &Value, is_so: impl Fn(&Value) -> bool) -> String {
    let names = name_servers(told).filter(|server| is_so(server)).map(|server| {
        let word = |key: &str| server[key].as_str().unwrap_or_default();
        let state = if has_ended(server) { "ended" } else { word("state") };
        let unkept = if server["unkept"] == true {
            ", does so, but cannot keep that on its disk for a start without the ledger"
        } else {
            ""
        };
        format!("{} ({state}{unkept})", word("node"))
    });
    names.collect::<Vec<_>>().join(", ")
}

/// Why nobody says that clients are sent elsewhere, where no name server is late.
fn nobody(told: &Value) -> Option<String> {
    if name_servers(told).any(|server| server["applied"] != true) {
        return None;
    }
    Some(if name_servers(told).next().is_none() {
        "no name server is registered in this ledger, so nobody says that clients are sent elsewhere"
            .to_owned()
    } else if name_servers(told).all(has_ended) {
        format!(
            "no name server is registered in this ledger any more, so nobody says that clients are \
             sent elsewhere: {}",
            stated(told, |_| true)
        )
    } else {
        "this ledger was made anew, and name servers may be about to register in it".to_owned()
    })
}

/// How far it is, for people.
fn line(name: &str, told: &Value) -> String {
    let progress = &told["progress"];
    let all = name_servers(told).count();
    let applied = name_servers(told).filter(|server| server["applied"] == true).count();
    match state(told) {
        0 => match withheld(name, told).or_else(|| nobody(told)) {
            Some(why) => why,
            None => format!("name servers: {applied} of {all} answer without it"),
        },
        1 if name_servers(told).any(is_given_up) => {
            format!("name servers: {}", given_up(name, told))
        }
        1 => {
            let why = if name_servers(told).any(is_unheard) {
                unheard(name, told)
            } else {
                format!("earlier answers may be cached for up to {} s", progress["ttl_s"])
            };
            let names = named(told, |_| true);
            format!("name servers: all {all} answer without it ({names}); {why}")
        }
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

/// What to do about one that is not heard of.
const START_OR_REMOVE: &str =
    "start it again, or, if it is gone for good, take it out with `nearcast node remove`";

/// Why it did not come to its end in time, and what there is to do about that.
fn over(name: &str, told: &Value) -> Failure {
    if let Some(why) = withheld(name, told) {
        return Failure::new(why).advise("it stays drained; the same command waits on");
    }
    let failure = match state(told) {
        0 => applying(name, told),
        1 => expiring(name, told),
        _ => match told["progress"]["connections"].as_u64() {
            Some(open) => {
                Failure::new(format!("{name} has {open} connections of clients open still"))
                    .advise("SIGTERM ends them in order")
            }
            None => Failure::new(format!("what {name} has open is not known, as it is not here")),
        },
    };
    failure.advise("it stays drained; the same command waits on")
}

fn applying(name: &str, told: &Value) -> Failure {
    if let Some(why) = nobody(told) {
        return Failure::new(why)
            .advise("GeoDNS nodes register once they have [control] with the same ledger");
    }
    let late = stated(told, |server| server["applied"] != true);
    Failure::new(format!("not known to answer without {name} yet: {late}"))
        .advise(&format!("one that is away may go on answering with it: {START_OR_REMOVE}"))
}

fn expiring(name: &str, told: &Value) -> Failure {
    if name_servers(told).any(is_unheard) {
        return Failure::new(unheard(name, told)).advise(START_OR_REMOVE);
    }
    if name_servers(told).any(is_given_up) {
        return Failure::new(given_up(name, told)).advise(
            "mend or undrain another node that these clients may be sent to; probes and fences decide \
             that, as /v1/route of the name server tells",
        );
    }
    Failure::new(format!(
        "earlier answers with {name} may be cached for up to {} s after the last change: {}",
        told["progress"]["ttl_s"],
        stated(told, |server| server["expired"] != true)
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nobody_is_said_to_answer_without_what_clients_are_sent_to() {
        for withheld in ["no_address", "others_have_it", "no_other_edge", "something newer"] {
            let server = json!({ "node": "ns-1", "state": "here", "applied": true });
            let progress = json!({
                "state": "applying", "withheld": withheld, "name_servers": [server],
            });
            let told = json!({ "progress": progress });
            for text in [line("fra-1", &told), over("fra-1", &told).to_string()] {
                assert!(!text.contains("without it") && text.contains("fra-1"), "{text}");
            }
        }
    }

    fn told(state: &str, name_servers: &Value) -> Value {
        let progress = json!({ "state": state, "ttl_s": 30, "name_servers": name_servers });
        json!({ "progress": progress })
    }

    #[test]
    fn whoever_is_waited_for_is_named_with_what_to_do() {
        let here = json!({ "node": "ns-1", "state": "here", "applied": true, "expired": true });
        let other = |more: Value| {
            let mut server = here.clone();
            let server_is = server.as_object_mut().unwrap();
            server_is
                .extend([("node".to_owned(), "ns-2".into()), ("expired".to_owned(), false.into())]);
            server_is.extend(more.as_object().unwrap().clone());
            server
        };
        let rows = [
            ("applying", json!([]), "no name server is registered in this ledger, so"),
            ("applying", json!([other(json!({ "ended": true }))]), "any more, so nobody says"),
            ("applying", json!([here]), "was made anew"),
            (
                "applying",
                json!([here, other(json!({ "applied": false }))]),
                "yet: ns-2 (here); one",
            ),
            ("expiring", json!([here, other(json!({}))]), "last change: ns-2 (here);"),
            ("expiring", json!([here, other(json!({ "ended": true }))]), "change: ns-2 (ended);"),
            (
                "expiring",
                json!([here, other(json!({ "state": "away" }))]),
                "not heard of: ns-2 (away), which",
            ),
            (
                "expiring",
                json!([here, other(json!({ "state": "away", "given_up": true }))]),
                "`nearcast node remove`",
            ),
            ("expiring", json!([here, other(json!({ "given_up": true }))]), "mend or undrain"),
        ];
        for (state, name_servers, expected) in rows {
            let text = over("fra-1", &told(state, &name_servers)).to_string();
            assert!(text.contains(expected) && text.contains("the same command"), "{text}");
        }
    }
}
