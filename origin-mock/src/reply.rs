//! One response, ready to be sent.
//!
//! In: what `script`, `files` and `control` decide. Out: what `send` writes: a head, where the
//! content comes from, how it is framed, what goes wrong.
//! Always holds: a head is octets already, so that nothing on the way can mend it.
//! Spec: RFC 9112 §4.

use bytes::Bytes;

use crate::raw::Raw;
use crate::script::{Field, Pace};

/// One response.
pub(crate) struct Reply {
    /// The head, its empty line counted.
    pub(crate) head: Vec<u8>,
    /// What the content's spans are taken from.
    pub(crate) source: Source,
    /// The content, in order.
    pub(crate) parts: Vec<Part>,
    pub(crate) coding: Coding,
    pub(crate) pace: Option<Pace>,
    pub(crate) cut: Option<Cut>,
    /// Only this much of the head is sent.
    pub(crate) cut_head_after: Option<usize>,
    pub(crate) after: After,
}

/// Where octets come from.
#[derive(Debug)]
pub(crate) enum Source {
    Octets(Bytes),
    Pattern { seed: u64, bytes: u64 },
    File { file: tokio::fs::File, bytes: u64 },
}

/// A piece of content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// These octets.
    Octets(Bytes),
    /// Some octets of the source.
    Span(Span),
}

/// Some octets of a representation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u64,
    pub(crate) bytes: u64,
}

/// How the content is written.
#[derive(Debug, Clone)]
pub(crate) enum Coding {
    Plain,
    Chunked {
        chunk_bytes: usize,
        /// In place of the first chunk's size.
        first_size: Option<Raw>,
        trailers: Vec<u8>,
    },
}

/// The end that a response is brought to before its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Octets of content that go out.
    pub(crate) after: u64,
    pub(crate) by: CutBy,
}

/// How a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CutBy {
    Close,
    Reset,
}

/// What becomes of the connection after a whole response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    Keep,
    Close,
}

impl Source {
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Octets(octets) => octets.len() as u64,
            Self::Pattern { bytes, .. } | Self::File { bytes, .. } => *bytes,
        }
    }
}

impl Part {
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Octets(octets) => octets.len() as u64,
            Self::Span(span) => span.bytes,
        }
    }
}

impl Reply {
    /// A well-framed response without content.
    pub(crate) fn empty(head: Head) -> Self {
        Self::plain(head, Source::Octets(Bytes::new()), Vec::new())
    }

    /// A well-framed response; the head already tells its length.
    pub(crate) fn plain(head: Head, source: Source, parts: Vec<Part>) -> Self {
        Self {
            head: head.end(),
            source,
            parts,
            coding: Coding::Plain,
            pace: None,
            cut: None,
            cut_head_after: None,
            after: After::Keep,
        }
    }
}

/// A response's head in the making.
pub(crate) struct Head(Vec<u8>);

impl Head {
    /// A status line with the usual version and reason.
    pub(crate) fn status(status: u16) -> Self {
        Self::status_line(b"HTTP/1.1", status, reason(status).as_bytes())
    }

    /// Any status line.
    pub(crate) fn status_line(version: &[u8], status: u16, reason: &[u8]) -> Self {
        let mut line = version.to_vec();
        line.extend_from_slice(format!(" {status:03} ").as_bytes());
        line.extend_from_slice(reason);
        line.extend_from_slice(b"\r\n");
        Self(line)
    }

    /// One more field.
    pub(crate) fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.push(name.as_bytes(), value.as_ref());
        self
    }

    /// One more field, in place.
    pub(crate) fn push(&mut self, name: &[u8], value: &[u8]) {
        append_field(&mut self.0, name, value);
    }

    /// One more line, in place.
    pub(crate) fn push_line(&mut self, line: &[u8]) {
        self.0.extend_from_slice(line);
        self.0.extend_from_slice(b"\r\n");
    }

    /// The head so far.
    pub(crate) fn into_lines(self) -> Vec<u8> {
        self.0
    }

    /// The whole head.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(b"\r\n");
        self.0
    }
}

/// Writes fields, one line each.
pub(crate) fn append_fields(into: &mut Vec<u8>, fields: &[Field]) {
    for field in fields {
        match field {
            Field::Pair(name, value) => append_field(into, name.as_bytes(), value.as_bytes()),
            Field::Line(line) => {
                into.extend_from_slice(line.as_bytes());
                into.extend_from_slice(b"\r\n");
            }
        }
    }
}

fn append_field(into: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    into.extend_from_slice(name);
    into.extend_from_slice(b": ");
    into.extend_from_slice(value);
    into.extend_from_slice(b"\r\n");
}

/// The usual reason phrase of a status (RFC 9110 §15 and its registry).
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        102 => "Processing",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        410 => "Gone",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        416 => "Range Not Satisfiable",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        508 => "Loop Detected",
        _ => "",
    }
}
