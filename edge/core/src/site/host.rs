//! Hosts: what a client asked for, and what a site answers for (RFC 9110 §7.2, RFC 3986 §3.2.2).
//!
//! In: text. Out: [`Host`], [`HostPattern`]. Always holds: a [`Host`] is lower case, without port
//! and trailing dot, and every byte of it may stand in a URI's host; a normal one is borrowed.

use std::{borrow::Cow, net::Ipv6Addr};

/// The host of a request: lower case, without port and trailing dot; IPv6 in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host<'a>(Cow<'a, str>);

impl<'a> Host<'a> {
    /// Reads a Host field or the authority of a target; nothing if it does not follow the grammar
    /// or has user information.
    #[must_use]
    pub fn parse(authority: &'a str) -> Option<Self> {
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']')?;
                address.parse::<Ipv6Addr>().ok()?;
                // The brackets around what was just found in them.
                (authority.get(..address.len().saturating_add(2))?, port)
            }
            None => authority.split_at_checked(authority.find(':').unwrap_or(authority.len()))?,
        };
        is_port(port).then_some(())?;
        let host = host.strip_suffix('.').unwrap_or(host);
        // One dot may end a name; before it there is a label.
        if host.is_empty()
            || host.ends_with('.')
            || !(host.starts_with('[') || host.bytes().all(is_name_byte))
        {
            return None;
        }
        Some(Self(if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(host.to_ascii_lowercase())
        } else {
            Cow::Borrowed(host)
        }))
    }

    /// The normalised text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Nothing, or a colon and digits, if any.
fn is_port(text: &str) -> bool {
    text.is_empty()
        || text.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// unreserved, sub-delims and the percent sign of RFC 3986 §3.2.2.
const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&'..=b',' | b';' | b'='
        )
}

/// A host pattern of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This host.
    Exact(Box<str>),
    /// Every host with at least one label before this suffix, kept with its leading dot.
    Suffix(Box<str>),
    /// Every host that no other pattern matches.
    Any,
}

impl HostPattern {
    /// Reads a host, `*.` and a host, or `*`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        let (name, wild) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        // A port would never match, and a star matches whole leading labels only.
        let port_given = !name.starts_with('[') && name.contains(':') || name.contains("]:");
        let host = Host::parse(name).filter(|host| !host.as_str().contains('*') && !port_given)?;
        Some(if wild {
            Self::Suffix(format!(".{}", host.as_str()).into())
        } else {
            Self::Exact(host.as_str().into())
        })
    }
}

impl std::fmt::Display for HostPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Suffix(suffix) => write!(f, "*{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}
