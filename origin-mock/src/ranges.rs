//! The `Range` field, and the content of the answer to it.
//!
//! In: a request and a representation's length. Out: the spans asked for; or that there are none to
//! be had; or that the field does not count. And the parts of a multipart answer.
//! Always holds: every span lies inside the representation and is not empty; more than
//! [`SPANS_MAX`] spans, or overlapping ones, get the whole (RFC 9110 §14.2 allows it), so that a
//! small request cannot ask for the same octets over and over.
//! Spec: RFC 9110 §14.

use bytes::Bytes;

use crate::reply::{Part, Span};
use crate::request::Request;

/// Most spans that one request may ask for.
const SPANS_MAX: usize = 32;

/// What a request's `Range` comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    Whole,
    Unsatisfiable,
    Spans(Vec<Span>),
}

/// Reads the `Range` of a GET.
pub(crate) fn asked(request: &Request, length: u64) -> Asked {
    let mut values = request.values("range");
    let (Some(value), None) = (values.next(), values.next()) else { return Asked::Whole };
    if request.method != "GET" {
        return Asked::Whole;
    }
    let Some(specs) = std::str::from_utf8(value).ok().and_then(|text| text.trim().split_once('='))
    else {
        return Asked::Whole;
    };
    if !specs.0.eq_ignore_ascii_case("bytes") {
        return Asked::Whole;
    }
    let mut spans = Vec::new();
    for (count, spec) in
        specs.1.split(',').map(str::trim).filter(|spec| !spec.is_empty()).enumerate()
    {
        if count >= SPANS_MAX {
            return Asked::Whole;
        }
        match span(spec, length) {
            Ok(Some(span)) => spans.push(span),
            Ok(None) => {}
            Err(Malformed) => return Asked::Whole,
        }
    }
    if specs.1.split(',').all(|spec| spec.trim().is_empty()) {
        return Asked::Whole;
    }
    if spans.is_empty() {
        return Asked::Unsatisfiable;
    }
    if overlap(&spans) { Asked::Whole } else { Asked::Spans(spans) }
}

struct Malformed;

/// One range-spec: its span, or none when it lies outside.
fn span(spec: &str, length: u64) -> Result<Option<Span>, Malformed> {
    let (first, last) = spec.split_once('-').ok_or(Malformed)?;
    let (first, last) = (first.trim(), last.trim());
    if first.is_empty() {
        let wanted = position(last)?.min(length);
        return Ok((wanted > 0).then_some(Span { start: length - wanted, bytes: wanted }));
    }
    let start = position(first)?;
    let end = if last.is_empty() { u64::MAX } else { position(last)? };
    if end < start {
        return Err(Malformed);
    }
    if start >= length {
        return Ok(None);
    }
    Ok(Some(Span { start, bytes: end.min(length - 1) - start + 1 }))
}

/// A number of digits only; one too large for us is larger than any length.
fn position(text: &str) -> Result<u64, Malformed> {
    if text.is_empty() || !text.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(Malformed);
    }
    Ok(text.parse().unwrap_or(u64::MAX))
}

fn overlap(spans: &[Span]) -> bool {
    let mut sorted = spans.to_vec();
    sorted.sort_by_key(|span| span.start);
    sorted.windows(2).any(|two| two[0].start + two[0].bytes > two[1].start)
}

/// The value of `Content-Range` for a span.
pub(crate) fn content_range(span: Span, length: u64) -> String {
    format!("bytes {}-{}/{length}", span.start, span.start + span.bytes - 1)
}

/// The parts of a `multipart/byteranges` answer, its last boundary counted.
pub(crate) fn multipart(
    spans: &[Span],
    length: u64,
    media_type: Option<&[u8]>,
    boundary: &str,
) -> Vec<Part> {
    let mut parts = Vec::with_capacity(spans.len() * 2 + 1);
    for (index, span) in spans.iter().enumerate() {
        let line_end = if index == 0 { "" } else { "\r\n" };
        let mut head = format!("{line_end}--{boundary}\r\n").into_bytes();
        if let Some(media_type) = media_type {
            head.extend_from_slice(b"Content-Type: ");
            head.extend_from_slice(media_type);
            head.extend_from_slice(b"\r\n");
        }
        let range = content_range(*span, length);
        head.extend_from_slice(format!("Content-Range: {range}\r\n\r\n").as_bytes());
        parts.push(Part::Octets(head.into()));
        parts.push(Part::Span(*span));
    }
    parts.push(Part::Octets(Bytes::from(format!("\r\n--{boundary}--\r\n"))));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_is_read_by_rfc_9110_14() {
        let many = format!("bytes={}", "0-0,".repeat(40));
        let spans = |list: &[(u64, u64)]| {
            Asked::Spans(
                list.iter().map(|(start, bytes)| Span { start: *start, bytes: *bytes }).collect(),
            )
        };
        let rows = [
            ("bytes=0-0", 10, spans(&[(0, 1)])),
            ("Bytes=2-", 10, spans(&[(2, 8)])),
            ("bytes=8-100", 10, spans(&[(8, 2)])),
            ("bytes=-3", 10, spans(&[(7, 3)])),
            ("bytes=-30", 10, spans(&[(0, 10)])),
            ("bytes=8-9, 0-1", 10, spans(&[(8, 2), (0, 2)])),
            ("bytes=0-1,20-30", 10, spans(&[(0, 2)])),
            ("bytes=0-99999999999999999999999", 10, spans(&[(0, 10)])),
            ("bytes=10-", 10, Asked::Unsatisfiable),
            ("bytes=-0", 10, Asked::Unsatisfiable),
            ("bytes=0-", 0, Asked::Unsatisfiable),
            ("bytes=-1", 0, Asked::Unsatisfiable),
            ("bytes=3-2", 10, Asked::Whole),
            ("bytes=", 10, Asked::Whole),
            ("bytes=a-b", 10, Asked::Whole),
            ("bytes=+1-2", 10, Asked::Whole),
            ("bytes", 10, Asked::Whole),
            ("lines=0-1", 10, Asked::Whole),
            ("bytes=0-5,5-6", 10, Asked::Whole),
            (many.as_str(), 10, Asked::Whole),
        ];
        for (value, length, expected) in rows {
            let head = format!("GET / HTTP/1.1\r\nRange: {value}\r\n\r\n");
            let request = Request::parse(head.as_bytes()).unwrap().unwrap().0;
            assert_eq!(asked(&request, length), expected, "{value} of {length}");
        }
    }

    #[test]
    fn range_counts_for_get_alone_and_once_alone() {
        for head in [
            "HEAD / HTTP/1.1\r\nRange: bytes=0-0\r\n\r\n",
            "GET / HTTP/1.1\r\nRange: bytes=0-0\r\nRange: bytes=1-1\r\n\r\n",
        ] {
            let request = Request::parse(head.as_bytes()).unwrap().unwrap().0;
            assert_eq!(asked(&request, 10), Asked::Whole, "{head}");
        }
    }
}
