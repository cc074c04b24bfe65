//! Purges: what an operator makes unusable, and by what names responses can be called.
//!
//! In: the texts of selectors, as operators write them; later, stored keys and tags. Out:
//! [`Selector`], [`Purge`], and whether a stored response is meant by one.
//! Always holds: a selector is normalised as a cache key is (RFC 9110 §4.2.3: the host in lower
//! case, without port and trailing dot) and else stands as it was written, for a key does; what
//! [`fmt::Display`] gives back reads as the same selector again.
//! It deliberately does not know what is stored, nor when a purge was ordered.

mod name;
mod tags;
#[cfg(test)]
mod tests;

pub(crate) use self::tags::invalidated_groups;
pub use self::{
    name::Name,
    tags::{FOR_CACHES, TagLimits, Tags},
};

use std::fmt;

use crate::{key::Scheme, site::Host, stamps::Cause};

/// What a purge speaks of, within its site.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Selector {
    /// One URL, with all its variants and parts.
    Url {
        /// The scheme that clients use.
        scheme: Scheme,
        /// The normalised host.
        host: Box<str>,
        /// Path and query, before any rule has changed the query.
        target: Box<str>,
    },
    /// Every URL that begins so.
    Prefix {
        /// The scheme that clients use; both if none is given.
        scheme: Option<Scheme>,
        /// The normalised host.
        host: Box<str>,
        /// How path and query begin; it ends where it was written to end, in the middle of a
        /// segment as well.
        path: Box<str>,
    },
    /// Every URL of this normalised host.
    Host(Box<str>),
    /// Every response whose origin gave it this tag; case counts.
    Tag(Box<str>),
    /// Everything of the site.
    Everything,
}

/// What becomes of what a purge speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// It is as good as not stored.
    Hard,
    /// It is stale from now on: it may stand in while it is validated or when that fails, as far as
    /// the law lets stale responses be served.
    Soft,
}

/// An operator's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purge {
    /// The site's name.
    pub site: Box<str>,
    /// What it speaks of, any of these.
    pub selectors: Vec<Selector>,
    /// What becomes of it.
    pub mode: Mode,
}

/// A text that is no selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not {allowed}")]
pub struct SelectorProblem {
    /// The text, or its beginning if it is long.
    pub text: String,
    /// What would be one.
    pub allowed: &'static str,
}

/// The longest URL or prefix, in bytes: no longer one reaches a site.
pub const URL_BYTES_MAX: usize = 64 * 1024;
/// The longest tag, in bytes.
pub const TAG_BYTES_MAX: usize = 8 * 1024;

const URL: &str = "a URL: http:// or https://, a host, and a path with its query without spaces \
                   and control characters, up to 64 KiB with what is not ASCII percent-encoded";
const PREFIX: &str = "the beginning of URLs: a host and a path from / on, without spaces and \
                      control characters, before it http:// or https:// for one of the two only; \
                      it holds for all that begins so, with or without a * at its end, and has \
                      none elsewhere; up to 64 KiB with what is not ASCII percent-encoded";
const HOST: &str = "a host name or address, without *";
const TAG: &str = "a tag: printable ASCII and spaces, up to 8 KiB";

/// What of a text an operator is shown again.
const SHOWN_CHARS: usize = 80;

impl Selector {
    /// Reads an absolute URL. A fragment is no part of what is asked for, and left out.
    ///
    /// # Errors
    /// Where it is none that could be asked for here.
    pub fn parse_url(text: &str) -> Result<Self, SelectorProblem> {
        let problem = || SelectorProblem::new(text, URL);
        let (scheme, rest) = split_scheme(text).ok_or_else(problem)?;
        let (authority, target) = split_authority(rest);
        let host = host(authority).ok_or_else(problem)?;
        let target = target.split('#').next().unwrap_or_default();
        let target = match target.as_bytes().first() {
            Some(b'/') => encoded(target),
            // RFC 9110 §4.2.3: an empty path is the same as "/".
            _ => format!("/{}", encoded(target)),
        };
        if text.len().max(target.len()) > URL_BYTES_MAX || !is_printable(&target) {
            return Err(problem());
        }
        Ok(Self::Url { scheme, host, target: target.into() })
    }

    /// Reads how URLs begin: `https://host/path`, or `host/path` for both schemes. A `*` at its end
    /// says no more than that.
    ///
    /// # Errors
    /// Where no URL of ours begins so.
    pub fn parse_prefix(text: &str) -> Result<Self, SelectorProblem> {
        let problem = || SelectorProblem::new(text, PREFIX);
        let (scheme, rest) = match split_scheme(text) {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, text),
        };
        let (authority, path) = split_authority(rest);
        // Another scheme would read as a host with an empty port.
        if authority.ends_with(':') && path.starts_with("//") {
            return Err(problem());
        }
        let host = host(authority).ok_or_else(problem)?;
        let path = path.strip_suffix('*').unwrap_or(path);
        let is_beginning = path.starts_with('/') && !path.contains(['*', '#']);
        let path = encoded(path);
        if text.len().max(path.len()) > URL_BYTES_MAX || !is_beginning || !is_printable(&path) {
            return Err(problem());
        }
        Ok(Self::Prefix { scheme, host, path: path.into() })
    }

    /// Reads a host; a port says nothing, for no response is told from another by it.
    ///
    /// # Errors
    /// Where it is no host.
    pub fn parse_host(text: &str) -> Result<Self, SelectorProblem> {
        host(text).map(Self::Host).ok_or_else(|| SelectorProblem::new(text, HOST))
    }

    /// Reads a tag.
    ///
    /// # Errors
    /// Where no response could have it.
    pub fn parse_tag(text: &str) -> Result<Self, SelectorProblem> {
        if is_tag(text) && text.len() <= TAG_BYTES_MAX {
            Ok(Self::Tag(text.into()))
        } else {
            Err(SelectorProblem::new(text, TAG))
        }
    }

    /// The word for this kind of selector, in the API, on the command line and in metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        self.cause().as_str()
    }

    /// What stamps call this kind of selector.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        match self {
            Self::Url { .. } => Cause::Url,
            Self::Prefix { .. } => Cause::Prefix,
            Self::Host(_) => Cause::Host,
            Self::Tag(_) => Cause::Tag,
            Self::Everything => Cause::Everything,
        }
    }
}

/// The text that reads as the same selector again; `all` for everything.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url { scheme, host, target } => {
                write!(f, "{}://{host}{target}", scheme.as_str())
            }
            Self::Prefix { scheme: Some(scheme), host, path } => {
                write!(f, "{}://{host}{path}*", scheme.as_str())
            }
            Self::Prefix { scheme: None, host, path } => write!(f, "{host}{path}*"),
            Self::Host(text) | Self::Tag(text) => f.write_str(text),
            Self::Everything => f.write_str(self.kind()),
        }
    }
}

impl Mode {
    /// The word for it, in the API, the log and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hard => "hard",
            Self::Soft => "soft",
        }
    }
}

impl SelectorProblem {
    fn new(text: &str, allowed: &'static str) -> Self {
        let shown: String = text.chars().take(SHOWN_CHARS).collect();
        let more = if shown.len() < text.len() { "…" } else { "" };
        Self { text: format!("{}{more}", shown.escape_debug()), allowed }
    }
}

/// The scheme, in whatever case, and what follows `://`.
fn split_scheme(text: &str) -> Option<(Scheme, &str)> {
    let (name, rest) = text.split_once("://")?;
    let is = |scheme: &Scheme| name.eq_ignore_ascii_case(scheme.as_str());
    let scheme = [Scheme::Http, Scheme::Https].into_iter().find(is)?;
    Some((scheme, rest))
}

/// What stands before the first slash, question mark or hash, and the rest with it.
fn split_authority(text: &str) -> (&str, &str) {
    let end = text.find(['/', '?', '#']).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// One host. A star may stand in one (RFC 3986 §3.2.2), but who writes it means a pattern; and two
/// dots at its end name none (RFC 1123 §2.1).
fn host(authority: &str) -> Option<Box<str>> {
    let host = Host::parse(authority)?;
    let is_one = !host.as_str().contains('*') && !host.as_str().ends_with('.');
    is_one.then(|| host.as_str().into())
}

/// What is not ASCII as a client sends it (RFC 3987 §3.1): no target has such an octet as it is.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() {
            encoded.push(character);
            continue;
        }
        for octet in character.encode_utf8(&mut [0; 4]).bytes() {
            encoded.push('%');
            for digit in [octet >> 4, octet & 0xf] {
                encoded
                    .extend(char::from_digit(digit.into(), 16).map(|it| it.to_ascii_uppercase()));
            }
        }
    }
    encoded
}

fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What a String can hold (RFC 9651 §3.3.3), but not nothing.
fn is_tag(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
}
