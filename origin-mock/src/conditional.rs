//! Preconditions: whether a request gets the representation, a 304 or a 412.
//!
//! In: a request and a representation's validators. Out: one of three verdicts; and whether
//! `If-Range` lets a range through.
//! Always holds: `If-None-Match` compares weakly, `If-Match` and `If-Range` strongly; a date counts
//! only where no entity tag was sent.
//! Spec: RFC 9110 §8.8.3, §13.

use std::time::SystemTime;

use crate::clock::{parse_http_date, whole_seconds};
use crate::request::Request;

/// What tells one representation from another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Validators {
    /// An entity tag with its quotes and, if weak, its `W/`.
    pub(crate) etag: Option<Vec<u8>>,
    pub(crate) last_modified: Option<SystemTime>,
}

/// What the preconditions come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Proceed,
    NotModified,
    Failed,
}

/// Evaluates the preconditions in the order of RFC 9110 §13.2.2.
pub(crate) fn judge(request: &Request, validators: &Validators) -> Verdict {
    let reads = matches!(request.method.as_str(), "GET" | "HEAD");
    if has(request, "if-match") {
        if !matches_any(request, "if-match", validators, Comparison::Strong) {
            return Verdict::Failed;
        }
    } else if let (Some(limit), Some(modified)) =
        (date(request, "if-unmodified-since"), validators.last_modified)
        && whole_seconds(modified) > limit
    {
        return Verdict::Failed;
    }
    if has(request, "if-none-match") {
        if matches_any(request, "if-none-match", validators, Comparison::Weak) {
            return if reads { Verdict::NotModified } else { Verdict::Failed };
        }
    } else if let (true, Some(known), Some(modified)) =
        (reads, date(request, "if-modified-since"), validators.last_modified)
        && whole_seconds(modified) <= known
    {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Whether `If-Range`, if there is one, lets a `Range` count.
pub(crate) fn range_counts(request: &Request, validators: &Validators) -> bool {
    let Some(value) = request.values("if-range").next() else { return true };
    let value = value.trim_ascii();
    if value.starts_with(b"\"") || value.starts_with(b"W/") {
        return validators.etag.as_deref().is_some_and(|own| strong(own) && own == value);
    }
    match (parse_http_date(value), validators.last_modified) {
        (Some(sent), Some(own)) => sent == whole_seconds(own),
        _ => false,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

fn has(request: &Request, name: &str) -> bool {
    request.values(name).next().is_some()
}

fn date(request: &Request, name: &str) -> Option<SystemTime> {
    parse_http_date(request.values(name).next()?)
}

fn strong(tag: &[u8]) -> bool {
    !tag.starts_with(b"W/")
}

fn matches_any(
    request: &Request,
    name: &str,
    validators: &Validators,
    comparison: Comparison,
) -> bool {
    let list = request.joined(name);
    if list.trim_ascii() == b"*" {
        return true;
    }
    let Some(own) = validators.etag.as_deref() else { return false };
    tags(&list).any(|sent| match comparison {
        Comparison::Strong => strong(own) && own == sent,
        Comparison::Weak => opaque(own) == opaque(sent),
    })
}

fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// The entity tags of a list. A comma may stand inside one, so quotes decide where each ends.
fn tags(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let begin = rest.iter().position(|octet| !matches!(octet, b',' | b' ' | b'\t'))?;
        let from = &rest[begin..];
        let open = if from.starts_with(b"W/") { 2 } else { 0 };
        if from.get(open) != Some(&b'"') {
            return None;
        }
        let length = from[open + 1..].iter().position(|octet| *octet == b'"')? + open + 2;
        let (tag, later) = from.split_at(length);
        rest = later;
        Some(tag)
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn request(method: &str, fields: &str) -> Request {
        let head = format!("{method} / HTTP/1.1\r\n{fields}\r\n\r\n");
        Request::parse(head.as_bytes()).unwrap().unwrap().0
    }

    fn validators(etag: &str) -> Validators {
        Validators {
            etag: (!etag.is_empty()).then(|| etag.as_bytes().to_vec()),
            last_modified: Some(UNIX_EPOCH + Duration::from_millis(784_111_777_500)),
        }
    }

    const OWN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const OLDER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

    #[test]
    fn preconditions_are_judged_by_rfc_9110_13() {
        use Verdict::{Failed, NotModified, Proceed};
        let own = |name: &str| format!("{name}: {OWN}");
        let older = |name: &str| format!("{name}: {OLDER}");
        let rows: Vec<(&str, String, &str, Verdict)> = vec![
            ("GET", "A: b".into(), "\"x\"", Proceed),
            ("GET", "If-None-Match: \"x\"".into(), "\"x\"", NotModified),
            ("HEAD", "If-None-Match: W/\"x\"".into(), "\"x\"", NotModified),
            ("GET", "If-None-Match: \"a,b\", \"x\"".into(), "W/\"x\"", NotModified),
            ("GET", "If-None-Match: \"a\"\r\nIf-None-Match: \"x\"".into(), "\"x\"", NotModified),
            ("GET", "If-None-Match: *".into(), "", NotModified),
            ("PUT", "If-None-Match: *".into(), "\"x\"", Failed),
            ("GET", "If-None-Match: x".into(), "x", Proceed),
            ("GET", format!("If-None-Match: \"y\"\r\nIf-Modified-Since: {OWN}"), "\"x\"", Proceed),
            ("GET", own("If-Modified-Since"), "\"x\"", NotModified),
            ("GET", older("If-Modified-Since"), "\"x\"", Proceed),
            ("POST", own("If-Modified-Since"), "\"x\"", Proceed),
            ("GET", "If-Modified-Since: yesterday".into(), "\"x\"", Proceed),
            ("GET", "If-Match: \"x\"".into(), "\"x\"", Proceed),
            ("GET", "If-Match: W/\"x\"".into(), "W/\"x\"", Failed),
            ("GET", "If-Match: \"y\"".into(), "\"x\"", Failed),
            ("GET", own("If-Unmodified-Since"), "\"x\"", Proceed),
            ("GET", older("If-Unmodified-Since"), "\"x\"", Failed),
        ];
        for (method, fields, etag, expected) in rows {
            let verdict = judge(&request(method, &fields), &validators(etag));
            assert_eq!(verdict, expected, "{method} {fields} {etag}");
        }
    }

    #[test]
    fn if_range_compares_strongly_and_exactly() {
        let rows = [
            ("A: b".to_owned(), "\"x\"", true),
            ("If-Range: \"x\"".to_owned(), "\"x\"", true),
            ("If-Range: \"y\"".to_owned(), "\"x\"", false),
            ("If-Range: W/\"x\"".to_owned(), "W/\"x\"", false),
            (format!("If-Range: {OWN}"), "", true),
            (format!("If-Range: {OLDER}"), "", false),
            ("If-Range: x".to_owned(), "x", false),
        ];
        for (fields, etag, expected) in rows {
            let counts = range_counts(&request("GET", &fields), &validators(etag));
            assert_eq!(counts, expected, "{fields} {etag}");
        }
    }
}
