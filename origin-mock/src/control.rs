//! The control route: steering a scripted origin over HTTP.
//!
//! In: `PUT /.mock/script`; `POST /.mock/release` (`?path=`, else everywhere);
//! `GET /.mock/requests` (`?path=` only these, `?wait=N&within=5s` once N have come whole);
//! `DELETE /.mock/requests`; `GET /.mock/stats`. Out: JSON.
//! Always holds: these requests are not in the record, and a connection that begins with one is
//! not among the counted.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use crate::origin::{Inner, Serves};
use crate::reply::{Head, Part, Reply, Source, Span};
use crate::request::Request;
use crate::script::Script;

/// Where the control route begins.
pub(crate) const PREFIX: &str = "/.mock/";

/// How long `?wait=` waits where nothing else is said.
const WITHIN: Duration = Duration::from_secs(5);

/// Longest wait that may be asked for.
const WITHIN_MAX: Duration = Duration::from_secs(600);

/// Answers a request to the control route.
pub(crate) async fn answer(origin: &Inner, request: &Request, content: &[u8]) -> Reply {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let verb = path.strip_prefix(PREFIX).unwrap_or_default();
    match (request.method.as_str(), verb) {
        ("PUT", "script") => put_script(origin, content),
        ("POST", "release") => release(origin, parameter(query, "path").as_deref()),
        ("GET", "requests") => requests(origin, query).await,
        ("DELETE", "requests") => {
            origin.recorder.clear();
            json(200, &serde_json::json!({ "cleared": true }))
        }
        ("GET", "stats") => json(200, &origin.recorder.stats()),
        (_, "script" | "release" | "requests" | "stats") => {
            problem(405, "this control route does not take the method")
        }
        _ => problem(404, "no such control route (have: script, release, requests, stats)"),
    }
}

fn put_script(origin: &Inner, content: &[u8]) -> Reply {
    if matches!(origin.serves, Serves::Files(_)) {
        return problem(409, "this origin serves files and takes no script");
    }
    let script = Script::parse(content);
    let routes = script.as_ref().map_or(0, |script| script.routes.len());
    match script.and_then(|script| origin.set_script(script)) {
        Ok(()) => json(200, &serde_json::json!({ "routes": routes })),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            problem(400, &format!("{error}{}", cause.unwrap_or_default()))
        }
    }
}

fn release(origin: &Inner, path: Option<&str>) -> Reply {
    if origin.release(path) {
        json(200, &serde_json::json!({ "released": true }))
    } else {
        problem(404, "the script has no route for this path")
    }
}

async fn requests(origin: &Inner, query: &str) -> Reply {
    if let Some(wait) = parameter(query, "wait") {
        let Ok(count) = wait.parse() else { return problem(400, "wait is a number") };
        let within =
            parameter(query, "within").map_or(Ok(WITHIN), |text| humantime::parse_duration(&text));
        let Ok(within) = within else { return problem(400, "within is a time such as 5s") };
        if let Err(late) = origin.recorder.wait_for(count, within.min(WITHIN_MAX)).await {
            return problem(504, &late.to_string());
        }
    }
    match parameter(query, "path") {
        Some(path) => json(200, &origin.recorder.requests_for(&path)),
        None => json(200, &origin.recorder.requests()),
    }
}

/// The decoded value of a query parameter.
fn parameter(query: &str, name: &str) -> Option<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.into_iter().find(|(own, _)| *own == name)?;
    String::from_utf8(percent_decoded(value)).ok()
}

/// The octets that a percent-encoded text stands for; what is badly encoded stays as it is.
pub(crate) fn percent_decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, later)) = rest.split_first() {
        let escaped = if *first == b'%' { hex_pair(later) } else { None };
        match escaped {
            Some(octet) => {
                out.push(octet);
                rest = &later[2..];
            }
            None => {
                out.push(*first);
                rest = later;
            }
        }
    }
    out
}

fn hex_pair(octets: &[u8]) -> Option<u8> {
    let digit = |index: usize| char::from(*octets.get(index)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

/// A JSON response.
fn json(status: u16, value: &impl Serialize) -> Reply {
    match serde_json::to_string(value) {
        Ok(text) => {
            content(Head::status(status).field("Content-Type", "application/json"), text.into())
        }
        Err(_) => text(Head::status(500), "the answer does not fit JSON"),
    }
}

/// A JSON response that says what is wrong.
pub(crate) fn problem(status: u16, why: &str) -> Reply {
    json(status, &serde_json::json!({ "error": why }))
}

/// A response of one line of text.
pub(crate) fn text(head: Head, line: &str) -> Reply {
    let head = head.field("Content-Type", "text/plain; charset=utf-8");
    content(head, format!("{line}\n").into())
}

fn content(head: Head, octets: Bytes) -> Reply {
    let bytes = octets.len() as u64;
    let head = head.field("Content-Length", bytes.to_string());
    let part = Part::Span(Span { start: 0, bytes });
    Reply::plain(head, Source::Octets(octets), vec![part])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_percent_decoded() {
        let rows = [
            ("path=/a", Some("/a")),
            ("x=1&path=%2fa%3Fb%3d1&path=/c", Some("/a?b=1")),
            ("path=%", Some("%")),
            ("path=%zz%4", Some("%zz%4")),
            ("path=%ff", None),
            ("paths=/a", None),
        ];
        for (query, expected) in rows {
            assert_eq!(parameter(query, "path").as_deref(), expected, "{query}");
        }
    }
}
