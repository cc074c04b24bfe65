//! One step of a route: one response, and everything that may be wrong with it.
//!
//! In: JSON keys or Rust fields, all optional. Out: the values that `answer`, `send` and
//! `connection` obey.
//! Always holds: a step in which nothing is said is a well-framed, empty 200 with a `Date`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::raw::Raw;
use crate::script::body::Body;

/// Longest wait that a script may ask for: longer is `never`.
const WAIT_MAX: Duration = Duration::from_secs(86_400);

/// One response.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Step {
    /// The status code, sent as it is.
    pub status: u16,
    /// The reason phrase; the usual one when absent.
    pub reason: Option<Raw>,
    /// The protocol version of the status line; `HTTP/1.1` when absent.
    pub version: Option<Raw>,
    /// The fields, in this order, verbatim but for templates.
    pub fields: Vec<Field>,
    /// The content.
    pub body: Body,
    /// No `Date` of the origin's own. (A scripted `Date` replaces it anyway.)
    pub no_date: bool,
    /// Answer 304 and 412 by the request's preconditions, against the scripted validators.
    pub conditional: bool,
    /// Honour `Range` and `If-Range`.
    pub ranges: bool,
    /// Heads with a 1xx status before the final one.
    pub interim: Vec<Interim>,
    /// How long the final head is kept back.
    #[serde(with = "humantime_serde")]
    pub head_delay: Duration,
    /// Until when the final head is kept back, after its delay.
    pub hold: Option<Hold>,
    /// How fast the content goes out.
    pub pace: Option<Pace>,
    /// How the content is framed.
    pub framing: Framing,
    /// Content octets per chunk, where it is chunked.
    pub chunk_bytes: usize,
    /// Fields after the last chunk.
    pub trailers: Vec<Field>,
    /// Send content although the method or the status forbids it.
    pub content_anyway: bool,
    /// Close after this many octets of content, without a last chunk.
    pub truncate_after: Option<u64>,
    /// Reset the connection after this many octets of content.
    pub reset_after: Option<u64>,
    /// Stop after this many octets of the head: by a reset where `reset_after` is given, else by a
    /// close.
    pub cut_head_after: Option<usize>,
    /// These octets in place of a response; then the connection closes.
    pub gibberish: Option<Raw>,
    /// Read the request and never answer.
    pub never: bool,
    /// Close after the response, and say so in `Connection`.
    pub close: bool,
    /// Close after the response without a word.
    pub close_silently: bool,
    /// What becomes of `Expect: 100-continue`.
    pub expect: Expect,
    /// When the request's content is read.
    pub request_content: RequestContent,
    /// How fast the request's content is read.
    pub request_pace: Option<Pace>,
}

/// A field of a message, or a line in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a field is [name, value], or one string for a raw line")]
pub enum Field {
    /// A name and a value; `: ` goes between them.
    Pair(Raw, Raw),
    /// A whole line; only the line end is added.
    Line(Raw),
}

/// A head with a 1xx status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interim {
    /// The status code.
    pub status: u16,
    /// Its fields.
    #[serde(default)]
    pub fields: Vec<Field>,
    /// How long it is kept back.
    #[serde(default, with = "humantime_serde")]
    pub delay: Duration,
}

/// Until when a head is kept back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hold {
    /// Until a release that comes after the request.
    Release,
    /// Until the route has had this many requests, or a release.
    Joined(u64),
}

/// A speed: some octets at a time, with a wait between two times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pace {
    /// Octets at a time.
    pub bytes: usize,
    /// The wait between two times.
    #[serde(with = "humantime_serde")]
    pub every: Duration,
}

/// How content is framed, for better or worse.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Framing {
    /// A right `Content-Length`, unless a scripted field stands in its place.
    #[default]
    ContentLength,
    /// The chunked coding, with the step's trailers.
    Chunked,
    /// Neither; the close of the connection is the end.
    Close,
    /// This `Content-Length`, whatever the content's length is.
    WrongLength(u64),
    /// A right `Content-Length` and the chunked coding.
    Both,
    /// Two `Content-Length` fields, the second one too long by one.
    DifferingLengths,
    /// The chunked coding with this in place of the first chunk's size.
    BadChunkSize(Raw),
}

/// What becomes of `Expect: 100-continue`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expect {
    /// 100 is sent before the content is read.
    #[default]
    Continue,
    /// Nothing is sent; the origin waits for the content.
    Silent,
}

/// When a request's content is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestContent {
    /// Before the response.
    #[default]
    Before,
    /// After the response.
    After,
    /// Never: the connection closes after the response.
    Ignored,
}

impl Default for Step {
    fn default() -> Self {
        Self {
            status: 200,
            reason: None,
            version: None,
            fields: Vec::new(),
            body: Body::default(),
            no_date: false,
            conditional: false,
            ranges: false,
            interim: Vec::new(),
            head_delay: Duration::ZERO,
            hold: None,
            pace: None,
            framing: Framing::default(),
            chunk_bytes: 16 * 1024,
            trailers: Vec::new(),
            content_anyway: false,
            truncate_after: None,
            reset_after: None,
            cut_head_after: None,
            gibberish: None,
            never: false,
            close: false,
            close_silently: false,
            expect: Expect::default(),
            request_content: RequestContent::default(),
            request_pace: None,
        }
    }
}

impl Step {
    /// An empty response with this status.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// A 200 with this text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { body: Body::Text(text.into()), ..Self::default() }
    }

    /// The same with one more field.
    #[must_use]
    pub fn with_field(mut self, name: impl Into<Raw>, value: impl Into<Raw>) -> Self {
        self.fields.push(field(name, value));
        self
    }

    /// Why this step cannot work, if it cannot.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let paces = [self.pace, self.request_pace];
        if paces.iter().flatten().any(|pace| pace.bytes == 0) {
            return Some("a pace of 0 bytes never ends; say \"never\"");
        }
        let waits = [self.head_delay]
            .into_iter()
            .chain(paces.iter().flatten().map(|pace| pace.every))
            .chain(self.interim.iter().map(|interim| interim.delay));
        if waits.into_iter().any(|wait| wait > WAIT_MAX) {
            return Some("a wait is at most one day; longer is \"never\"");
        }
        if self.chunk_bytes == 0 {
            return Some("chunk_bytes is at least 1");
        }
        None
    }
}

/// A field with a name and a value.
#[must_use]
pub fn field(name: impl Into<Raw>, value: impl Into<Raw>) -> Field {
    Field::Pair(name.into(), value.into())
}

/// A line in the place of a field.
#[must_use]
pub fn raw_line(line: impl Into<Raw>) -> Field {
    Field::Line(line.into())
}

impl Field {
    /// Whether it has this name, in any case.
    pub(crate) fn is(&self, name: &str) -> bool {
        match self {
            Self::Pair(own, _) => own.as_bytes().eq_ignore_ascii_case(name.as_bytes()),
            Self::Line(_) => false,
        }
    }
}
