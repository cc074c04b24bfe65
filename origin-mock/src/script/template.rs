//! Filling in templates: `{n}`, `{date}`, `{date+60}`, `{method}`, `{target}`, `{request:NAME}`.
//!
//! In: octets with templates, and the facts of one request. Out: octets.
//! Always holds: what is no known template stays as it was, so that a lone brace needs no escape.

use std::time::SystemTime;

use crate::clock::http_date;
use crate::request::Request;

/// What a template may ask for.
pub(crate) struct Facts<'a> {
    /// How many requests the route has had, this one counted.
    pub(crate) n: u64,
    /// The time.
    pub(crate) now: SystemTime,
    /// The request.
    pub(crate) request: &'a Request,
}

/// Replaces every template.
pub(crate) fn expand(text: &[u8], facts: &Facts<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.iter().position(|octet| *octet == b'{') {
        let (before, from_open) = rest.split_at(open);
        out.extend_from_slice(before);
        let filled = from_open.iter().position(|octet| *octet == b'}').and_then(|close| {
            let name = std::str::from_utf8(&from_open[1..close]).ok()?;
            Some((value(name, facts)?, close + 1))
        });
        let used = match filled {
            Some((value, used)) => {
                out.extend_from_slice(&value);
                used
            }
            None => {
                out.push(b'{');
                1
            }
        };
        rest = &from_open[used..];
    }
    out.extend_from_slice(rest);
    out
}

fn value(name: &str, facts: &Facts<'_>) -> Option<Vec<u8>> {
    if let Some(offset) = name.strip_prefix("date") {
        let seconds = if offset.is_empty() { 0 } else { signed(offset)? };
        return Some(http_date(facts.now, seconds).into_bytes());
    }
    if let Some(field) = name.strip_prefix("request:") {
        return Some(facts.request.joined(field));
    }
    match name {
        "n" => Some(facts.n.to_string().into_bytes()),
        "method" => Some(facts.request.method.clone().into_bytes()),
        "target" => Some(facts.request.target.clone().into_bytes()),
        _ => None,
    }
}

/// A number with its sign, which is not optional: `{date60}` is no template.
fn signed(text: &str) -> Option<i64> {
    if text.starts_with(['+', '-']) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn known_templates_are_filled_in_and_the_rest_stays() {
        let head = b"GET /a?b HTTP/1.1\r\nAccept: x\r\nAccept: y\r\n\r\n";
        let request = Request::parse(head).unwrap().unwrap().0;
        let facts =
            Facts { n: 3, now: UNIX_EPOCH + Duration::from_secs(784_111_777), request: &request };
        let rows: &[(&str, &str)] = &[
            ("", ""),
            ("{n}", "3"),
            ("a{n}b{n}", "a3b3"),
            ("{date}", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("{date+23}", "Sun, 06 Nov 1994 08:50:00 GMT"),
            ("{date-37}", "Sun, 06 Nov 1994 08:49:00 GMT"),
            ("{date60}", "{date60}"),
            ("{date+x}", "{date+x}"),
            ("{method} {target}", "GET /a?b"),
            ("{request:accept}|{request:none}", "x, y|"),
            ("{ {n} }", "{ 3 }"),
            ("{{n}", "{3"),
            ("{unknown} {", "{unknown} {"),
        ];
        for (text, expected) in rows {
            let filled = expand(text.as_bytes(), &facts);
            assert_eq!(String::from_utf8(filled).unwrap(), *expected, "{text}");
        }
    }
}
