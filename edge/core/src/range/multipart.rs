//! A 206 of several parts: multipart/byteranges (RFC 9110 §14.6, §15.3.7.2).
//!
//! In: the spans, what the representation is, and a boundary (the core has no randomness). Out:
//! the bytes before each part and after the last, and what the head says of them.
//! Always holds: the announced length is the sum of all heads, parts and the closing delimiter.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};

use super::content::{ContentRange, Span};

/// The envelope of several parts.
#[derive(Clone, Debug)]
pub struct Multipart {
    boundary: String,
    content_type: Option<HeaderValue>,
    spans: Vec<Span>,
    complete: u64,
}

impl Multipart {
    /// An envelope for `spans` of a representation of `complete` bytes. `boundary` is a token of
    /// at most 70 characters that does not occur in the content.
    #[must_use]
    pub fn new(
        boundary: String,
        content_type: Option<HeaderValue>,
        spans: Vec<Span>,
        complete: u64,
    ) -> Self {
        debug_assert!((1..=70).contains(&boundary.len()), "RFC 2046 §5.1.1: 1 to 70 characters");
        Self { boundary, content_type, spans, complete }
    }

    /// The parts' spans, in order.
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// What stands before the content of part `at`: delimiter, Content-Type (as a 200 would have
    /// it), Content-Range, and an empty line. Empty beyond the last part.
    #[must_use]
    pub fn part_head(&self, at: usize) -> Bytes {
        let Some(span) = self.spans.get(at) else { return Bytes::new() };
        let part =
            ContentRange { first: span.first, last: span.last, complete: Some(self.complete) };
        let mut head = Vec::with_capacity(128);
        // The line break before a delimiter belongs to it; nothing stands before the first.
        if at > 0 {
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"--");
        head.extend_from_slice(self.boundary.as_bytes());
        if let Some(content_type) = &self.content_type {
            head.extend_from_slice(b"\r\nContent-Type: ");
            head.extend_from_slice(content_type.as_bytes());
        }
        head.extend_from_slice(b"\r\nContent-Range: ");
        head.extend_from_slice(part.to_value().as_bytes());
        head.extend_from_slice(b"\r\n\r\n");
        Bytes::from(head)
    }

    /// What stands after the last part's content.
    #[must_use]
    pub fn closing(&self) -> Bytes {
        Bytes::from(format!("\r\n--{}--\r\n", self.boundary))
    }

    /// The length of the whole answer's content.
    #[must_use]
    pub fn content_length(&self) -> u64 {
        let heads = (0..self.spans.len()).map(|at| length_of(&self.part_head(at)));
        let contents = self.spans.iter().map(Span::length);
        heads.chain(contents).fold(length_of(&self.closing()), u64::saturating_add)
    }

    /// Makes `fields` those of this answer: its own Content-Type and Content-Length, and no
    /// Content-Range, which belongs to the parts (RFC 9110 §15.3.7.2).
    pub fn describe(&self, fields: &mut HeaderMap) {
        let content_type = format!("multipart/byteranges; boundary={}", self.boundary);
        if let Ok(value) = HeaderValue::try_from(content_type) {
            fields.insert(header::CONTENT_TYPE, value);
        }
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from(self.content_length()));
        fields.remove(header::CONTENT_RANGE);
    }
}

fn length_of(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
