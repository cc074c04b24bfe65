//! Cache keys, and the variants beneath one.
//!
//! In: what identifies a resource (scheme, site, host, target, and the fields that a rule adds),
//! and the fields that Vary nominates. Out: [`CacheKey`], [`VaryKey`], the target to forward.
//! Always holds: keys are injective (two requests share a key only if all their parts are the
//! same), and what a rule removes from the key is removed from the forward as well.
//! It deliberately does not know what is stored.
//!
//! RFC 9111 §2, §4.1. Hot path: [`VaryKey::matches`], `write_key` into a buffer with room, and
//! `forward_target` of an untouched target allocate nothing.

mod target;
#[cfg(test)]
mod tests;
mod vary;

pub use self::{
    target::forward_target,
    vary::{NOMINATED_BYTES_MAX, NoVariant, VaryKey},
};

use std::{borrow::Borrow, fmt, sync::Arc};

use http::{HeaderMap, HeaderName};

use crate::{fields::Fields, site::SiteId};

/// What a stored response is found by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CacheKey(Arc<[u8]>);

/// The scheme of a target URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `http`
    Http,
    /// `https`
    Https,
}

/// Which query parameters enter the key and the forward, ready to use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryPlan {
    /// Which are kept.
    pub keep: Parameters,
    /// Whether they are sorted by name.
    pub sort: bool,
}

/// Which query parameters are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Parameters {
    /// All of them.
    #[default]
    All,
    /// None: the target loses its query.
    None,
    /// Only these.
    Only(Vec<NamePattern>),
    /// All but these.
    Except(Vec<NamePattern>),
}

/// The name of a query parameter, or how it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamePattern {
    /// This name.
    Exact(Box<str>),
    /// Every name that begins so (`utm_*`).
    Prefix(Box<str>),
}

impl From<&[u8]> for CacheKey {
    fn from(bytes: &[u8]) -> Self {
        Self(Arc::from(bytes))
    }
}

impl Borrow<[u8]> for CacheKey {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// What a key is made of.
#[derive(Clone, Copy, Debug)]
pub struct KeyParts<'a, F = HeaderMap> {
    /// The scheme that the client used.
    pub scheme: Scheme,
    /// The site's id.
    pub site: SiteId,
    /// The normalised host.
    pub host: &'a str,
    /// The target as it is forwarded.
    pub target: &'a str,
    /// The request fields that the rule adds.
    pub key_fields: &'a [HeaderName],
    /// The request's fields.
    pub fields: &'a F,
}

/// Appends a key. It reads as `scheme/site/host/target`, and each field that the rule adds stands
/// on a line of its own, `name=value` or `name` when absent; so no two sets of parts share one:
/// a host holds no slash, and neither a target nor a field value holds a line feed.
pub fn write_key<F: Fields>(buf: &mut Vec<u8>, parts: &KeyParts<'_, F>) {
    buf.extend_from_slice(parts.scheme.as_str().as_bytes());
    buf.push(b'/');
    buf.extend_from_slice(itoa::Buffer::new().format(parts.site.0).as_bytes());
    buf.push(b'/');
    buf.extend_from_slice(parts.host.as_bytes());
    // An origin-form target brings its own slash; any other is set apart from the host.
    if !parts.target.starts_with('/') {
        buf.push(b' ');
    }
    buf.extend_from_slice(parts.target.as_bytes());
    for name in parts.key_fields {
        buf.push(FIELD_SEPARATOR);
        buf.extend_from_slice(name.as_str().as_bytes());
        if let Some(value) = vary::normal(name, parts.fields) {
            buf.push(b'=');
            buf.extend(value);
        }
    }
}

const FIELD_SEPARATOR: u8 = b'\n';

/// The part of a key's bytes that names the URI, without the fields that a rule adds: what an
/// invalidation speaks of (RFC 9111 §4.4).
#[must_use]
pub fn uri_part(key: &[u8]) -> &[u8] {
    key.split(|byte| *byte == FIELD_SEPARATOR).next().unwrap_or_default()
}

/// The site that a key's bytes name.
#[must_use]
pub fn site_of(key: &[u8]) -> Option<SiteId> {
    let digits = key.split(|byte| *byte == b'/').nth(1)?;
    let digit = |id: u64, byte: &u8| {
        let value = byte.is_ascii_digit().then(|| u64::from(byte.wrapping_sub(b'0')))?;
        id.checked_mul(10)?.checked_add(value)
    };
    digits.iter().try_fold(0, digit).map(SiteId)
}

/// The part of a key's bytes that names the URI's origin, within the site.
#[must_use]
pub fn origin_part(key: &[u8]) -> &[u8] {
    let (_, end) = host_bounds(key);
    key.get(..end).unwrap_or(key)
}

/// The part of a key's bytes that names the host.
#[must_use]
pub fn host_part(key: &[u8]) -> &[u8] {
    let (start, end) = host_bounds(key);
    key.get(start..end).unwrap_or_default()
}

/// All but the scheme and the site, whose number is another on every node.
#[must_use]
pub fn behind_site(key: &[u8]) -> &[u8] {
    let (start, _) = host_bounds(key);
    key.get(start..).unwrap_or_default()
}

/// Where the host begins, behind scheme and site, and where it ends: before the target's slash, or
/// what sets another form of target apart.
fn host_bounds(key: &[u8]) -> (usize, usize) {
    let slashes = key.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    let start = slashes.map(|(at, _)| at.saturating_add(1)).nth(1).unwrap_or(key.len());
    let host = key.get(start..).unwrap_or_default();
    let ends = |byte: &u8| matches!(*byte, b'/' | b' ' | FIELD_SEPARATOR);
    let length = host.iter().position(ends).unwrap_or(host.len());
    (start, start.saturating_add(length))
}

impl CacheKey {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Scheme {
    /// As written in a URI.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Printable ASCII as it is, every other byte percent-encoded: for people, not to be read back.
impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &*self.0 {
            match byte {
                b' '..=b'~' => write!(f, "{}", char::from(*byte))?,
                _ => write!(f, "%{byte:02X}")?,
            }
        }
        Ok(())
    }
}
