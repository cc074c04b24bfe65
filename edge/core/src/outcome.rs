//! What is to be done with a request, and what was done, in the words of RFC 9211.
//!
//! In: nothing. Out: [`Verdict`] (decided by [`crate::reuse`]), [`Refusal`], and [`Outcome`], from
//! which the `Cache-Status` field, the log line and the metric label all come.
//! Always holds: a written `Cache-Status` member is a valid Structured Field (RFC 8941 §4.1), and
//! `hit` and `fwd` never stand together (RFC 9211 §2.1).
//! It deliberately does not know how an outcome came about.
//!
//! Hot path: [`Outcome::write_cache_status`] appends to the caller's buffer and allocates nothing
//! while that has room.

#[cfg(test)]
mod tests;

use std::fmt::{self, Write as _};

use http::StatusCode;

use crate::key::CacheKey;

/// What the law says to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Answer with the stored response, which is fresh or stale with the client's consent.
    Hit,
    /// Answer with a stale stored response.
    HitStale {
        /// Whether it is to be refreshed in the background (stale-while-revalidate, RFC 5861 §3).
        refresh: bool,
    },
    /// Go to the origin.
    Forward(ForwardReason),
    /// Answer with an error of our own.
    Refuse(Refusal),
}

/// Why a request went to the origin (RFC 9211 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ForwardReason {
    /// The cache was configured not to handle this request.
    Bypass,
    /// The request method's semantics require the request to be forwarded.
    Method,
    /// The cache did not contain any response that matched the request URI.
    UriMiss,
    /// The cache contained a response that matched the URI, but not the Vary-nominated fields.
    VaryMiss,
    /// The cache did not contain any response that could be used; unclear which of the two.
    Miss,
    /// The cache was able to select a fresh response, but the request's fields forbade its use.
    Request,
    /// The cache was able to select a response, but it was stale.
    Stale,
    /// The cache was able to select a partial response, but not all the ranges asked for.
    Partial,
}

impl ForwardReason {
    /// The token of RFC 9211 §2.2.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

/// Why a request is answered with an error of our own; the client is at fault unless said
/// otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The message is malformed or ambiguous.
    BadRequest,
    /// No site answers for the host.
    MisdirectedHost,
    /// The request target is longer than allowed.
    UriTooLong,
    /// The head is larger, or has more fields, than allowed.
    HeadTooLarge,
    /// The content is larger than allowed.
    ContentTooLarge,
    /// TRACE and CONNECT, which no site offers.
    MethodNotAllowed,
    /// An expectation other than 100-continue (RFC 9110 §10.1.1).
    ExpectationFailed,
    /// The request did not arrive in time.
    RequestTimeout,
    /// Something that this version does not do.
    NotImplemented,
    /// The request has passed this node before (RFC 8586): the operator's configuration.
    Loop,
    /// `only-if-cached`, and nothing stored may be used (RFC 9111 §5.2.1.7).
    OnlyIfCached,
    /// A limit of ours is reached.
    Overloaded,
}

impl Refusal {
    /// The status that the client gets.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::MisdirectedHost => StatusCode::MISDIRECTED_REQUEST,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::ContentTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::ExpectationFailed => StatusCode::EXPECTATION_FAILED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::OnlyIfCached => StatusCode::GATEWAY_TIMEOUT,
            Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The word for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::MisdirectedHost => "misdirected-host",
            Self::UriTooLong => "uri-too-long",
            Self::HeadTooLarge => "head-too-large",
            Self::ContentTooLarge => "content-too-large",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::ExpectationFailed => "expectation-failed",
            Self::RequestTimeout => "request-timeout",
            Self::NotImplemented => "not-implemented",
            Self::Loop => "loop",
            Self::OnlyIfCached => "only-if-cached",
            Self::Overloaded => "overloaded",
        }
    }

    /// The Allow field that a 405 must carry (RFC 9110 §15.5.6).
    #[must_use]
    pub const fn allow(self) -> Option<&'static str> {
        if matches!(self, Self::MethodNotAllowed) {
            Some("GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE")
        } else {
            None
        }
    }
}

/// More about an outcome than RFC 9211's own words say (its §2.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Detail {
    /// The origin was unreachable or failed, and a stale stored response stood in
    /// (RFC 9111 §4.2.4).
    StaleOnFailure,
    /// The response could not be stored, and the key is remembered for it.
    Uncacheable,
    /// The response was larger than what is stored and went through the window.
    Window,
    /// There was no memory to store the response.
    Memory,
    /// The stored response had been invalidated (RFC 9111 §4.4).
    Invalidated,
    /// The stored response had been purged.
    Purged,
    /// The origin could not be reached, and the stored response says must-revalidate
    /// (RFC 9111 §5.2.2.2).
    MustRevalidate,
    /// The origin could not be reached.
    Unreachable,
    /// The origin did not answer in time.
    Timeout,
    /// The origin's queue was full.
    Queue,
    /// The origin is a bucket, and the request is not for an object.
    Withheld,
}

impl Detail {
    /// The token that is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StaleOnFailure => "stale-on-failure",
            Self::Uncacheable => "uncacheable",
            Self::Window => "window",
            Self::Memory => "memory",
            Self::Invalidated => "invalidated",
            Self::Purged => "purged",
            Self::MustRevalidate => "must-revalidate",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Queue => "queue",
            Self::Withheld => "withheld",
        }
    }
}

/// What was done with a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The request was satisfied without going forward.
    pub hit: bool,
    /// Why the request went forward.
    pub forward: Option<ForwardReason>,
    /// The status that the origin answered with; only where it went forward.
    pub forward_status: Option<StatusCode>,
    /// The forwarded request's response was stored.
    pub stored: bool,
    /// The request was collapsed with another one that went forward.
    pub collapsed: bool,
    /// The remaining freshness lifetime in seconds, negative when stale.
    pub ttl: Option<i64>,
    /// What else there is to say.
    pub detail: Option<Detail>,
}

/// The largest integer of RFC 8941 §3.3.1: fifteen decimal digits.
const SF_INTEGER_MAX: i64 = 999_999_999_999_999;

impl Outcome {
    /// Appends this outcome's member of `Cache-Status` to `buf`. It stands behind those of caches
    /// nearer to the origin (RFC 9211 §2).
    pub fn write_cache_status(&self, node: &str, key: Option<&CacheKey>, buf: &mut Vec<u8>) {
        write_identifier(node, buf);
        // `fwd` rules `hit` out, and what is said about the forward needs one.
        if let Some(reason) = self.forward {
            buf.extend_from_slice(b"; fwd=");
            buf.extend_from_slice(reason.as_str().as_bytes());
            if let Some(status) = self.forward_status {
                buf.extend_from_slice(b"; fwd-status=");
                buf.extend_from_slice(status.as_str().as_bytes());
            }
        } else if self.hit {
            buf.extend_from_slice(b"; hit");
        }
        if let Some(ttl) = self.ttl {
            buf.extend_from_slice(b"; ttl=");
            let ttl = ttl.clamp(-SF_INTEGER_MAX, SF_INTEGER_MAX);
            buf.extend_from_slice(itoa::Buffer::new().format(ttl).as_bytes());
        }
        if self.forward.is_some() && self.stored {
            buf.extend_from_slice(b"; stored");
        }
        if self.forward.is_some() && self.collapsed {
            buf.extend_from_slice(b"; collapsed");
        }
        if let Some(key) = key {
            buf.extend_from_slice(b"; key=");
            write_string(key, buf);
        }
        if let Some(detail) = self.detail {
            buf.extend_from_slice(b"; detail=");
            buf.extend_from_slice(detail.as_str().as_bytes());
        }
    }

    /// The metric label and log word.
    #[must_use]
    pub const fn label(&self) -> OutcomeLabel {
        match (self.forward, self.hit, self.ttl) {
            (Some(reason), ..) => OutcomeLabel::of_forward(reason),
            (None, true, Some(..0)) => OutcomeLabel::HitStale,
            (None, true, _) => OutcomeLabel::Hit,
            (None, false, _) => OutcomeLabel::Refused,
        }
    }
}

/// An outcome in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutcomeLabel {
    /// Answered with a stored response.
    Hit,
    /// Answered with a stale stored response without going forward.
    HitStale,
    /// Forwarded: [`ForwardReason::Bypass`].
    Bypass,
    /// Forwarded: [`ForwardReason::Method`].
    Method,
    /// Forwarded: [`ForwardReason::UriMiss`].
    UriMiss,
    /// Forwarded: [`ForwardReason::VaryMiss`].
    VaryMiss,
    /// Forwarded: [`ForwardReason::Miss`].
    Miss,
    /// Forwarded: [`ForwardReason::Request`].
    Request,
    /// Forwarded: [`ForwardReason::Stale`].
    Stale,
    /// Forwarded: [`ForwardReason::Partial`].
    Partial,
    /// Neither: an answer of our own.
    Refused,
}

impl OutcomeLabel {
    /// Every label; each stands at its own [`OutcomeLabel::index`].
    pub const ALL: [Self; 11] = [
        Self::Hit,
        Self::HitStale,
        Self::Bypass,
        Self::Method,
        Self::UriMiss,
        Self::VaryMiss,
        Self::Miss,
        Self::Request,
        Self::Stale,
        Self::Partial,
        Self::Refused,
    ];

    /// The number of labels.
    pub const COUNT: usize = Self::ALL.len();

    /// This label's place among all, below [`OutcomeLabel::COUNT`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::HitStale => "hit-stale",
            Self::Bypass => ForwardReason::Bypass.as_str(),
            Self::Method => ForwardReason::Method.as_str(),
            Self::UriMiss => ForwardReason::UriMiss.as_str(),
            Self::VaryMiss => ForwardReason::VaryMiss.as_str(),
            Self::Miss => ForwardReason::Miss.as_str(),
            Self::Request => ForwardReason::Request.as_str(),
            Self::Stale => ForwardReason::Stale.as_str(),
            Self::Partial => ForwardReason::Partial.as_str(),
            Self::Refused => "refused",
        }
    }

    const fn of_forward(reason: ForwardReason) -> Self {
        match reason {
            ForwardReason::Bypass => Self::Bypass,
            ForwardReason::Method => Self::Method,
            ForwardReason::UriMiss => Self::UriMiss,
            ForwardReason::VaryMiss => Self::VaryMiss,
            ForwardReason::Miss => Self::Miss,
            ForwardReason::Request => Self::Request,
            ForwardReason::Stale => Self::Stale,
            ForwardReason::Partial => Self::Partial,
        }
    }
}

/// The cache's identifier: a token where it is one, else a string (RFC 9211 §2).
fn write_identifier(node: &str, buf: &mut Vec<u8>) {
    if is_sf_token(node) {
        buf.extend_from_slice(node.as_bytes());
    } else {
        write_string(node, buf);
    }
}

/// sf-token of RFC 8941 §3.3.4.
fn is_sf_token(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '*')
        && text.bytes().all(|b| is_tchar(b) || b == b':' || b == b'/')
}

/// tchar of RFC 9110 §5.6.2.
pub(crate) const fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// sf-string of RFC 8941 §3.3.3; what it cannot hold becomes `?`.
fn write_string(text: impl fmt::Display, buf: &mut Vec<u8>) {
    buf.push(b'"');
    // Writing into a Vec cannot fail; a Display that fails leaves a shorter string.
    let _cut = write!(Escaped(buf), "{text}").is_err();
    buf.push(b'"');
}

/// Escapes what passes through for the inside of an sf-string.
struct Escaped<'a>(&'a mut Vec<u8>);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '"' => self.0.extend_from_slice(b"\\\""),
                '\\' => self.0.extend_from_slice(b"\\\\"),
                ' '..='~' => self.0.push(u8::try_from(c).unwrap_or(b'?')),
                _ => self.0.push(b'?'),
            }
        }
        Ok(())
    }
}
