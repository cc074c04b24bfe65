//! Entity tags and modification dates: the validators of a representation.
//!
//! In: field values. Out: [`ETag`], [`Validators`], and lists of tags read without allocation.
//! Always holds: a tag that does not follow the grammar is no tag, and a list with such a member
//! is no list: neither can claim that two representations are the same.
//! RFC 9110 §8.8.

use bytes::Bytes;
use http::{HeaderMap, header};

use crate::{fields::Fields as _, time::Timestamp};

/// An entity tag (RFC 9110 §8.8.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ETag {
    weak: bool,
    opaque: Bytes,
}

impl ETag {
    /// Reads a field value that holds one entity tag and nothing else.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (tag, rest) = EtagRef::split_first(trim(value))?;
        rest.is_empty().then(|| Self { weak: tag.weak, opaque: Bytes::copy_from_slice(tag.opaque) })
    }

    /// Whether this tag promises sameness only in meaning, not in every byte.
    #[must_use]
    pub const fn is_weak(&self) -> bool {
        self.weak
    }

    /// The characters between the quotes.
    #[must_use]
    pub fn opaque(&self) -> &[u8] {
        &self.opaque
    }

    /// Appends the tag as it is written in a field.
    pub fn write(&self, buf: &mut Vec<u8>) {
        if self.weak {
            buf.extend_from_slice(b"W/");
        }
        buf.push(b'"');
        buf.extend_from_slice(&self.opaque);
        buf.push(b'"');
    }

    /// Same characters, neither of them weak (RFC 9110 §8.8.3.2).
    #[must_use]
    pub fn strong_eq(&self, other: &Self) -> bool {
        self.as_ref().strong_eq(other.as_ref())
    }

    /// Same characters (RFC 9110 §8.8.3.2).
    #[must_use]
    pub fn weak_eq(&self, other: &Self) -> bool {
        self.as_ref().weak_eq(other.as_ref())
    }

    pub(crate) fn as_ref(&self) -> EtagRef<'_> {
        EtagRef { weak: self.weak, opaque: &self.opaque }
    }
}

/// An entity tag within a field value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EtagRef<'a> {
    pub(crate) weak: bool,
    pub(crate) opaque: &'a [u8],
}

impl<'a> EtagRef<'a> {
    /// The tag at the very beginning of `value`, and what follows it.
    pub(crate) fn split_first(value: &'a [u8]) -> Option<(Self, &'a [u8])> {
        // "W/" is case-sensitive (RFC 9110 §8.8.3).
        let (weak, quoted) = match value.strip_prefix(b"W/") {
            Some(quoted) => (true, quoted),
            None => (false, value),
        };
        let inner = quoted.strip_prefix(b"\"")?;
        let end = inner.iter().position(|byte| !is_etagc(*byte))?;
        let (opaque, rest) = inner.split_at_checked(end)?;
        Some((Self { weak, opaque }, rest.strip_prefix(b"\"")?))
    }

    pub(crate) fn strong_eq(self, other: EtagRef<'_>) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    pub(crate) fn weak_eq(self, other: EtagRef<'_>) -> bool {
        self.opaque == other.opaque
    }
}

/// Whether a list of tags has one that is `wanted`; a malformed list has none.
pub(crate) fn any_in_list(list: &[u8], wanted: impl Fn(EtagRef<'_>) -> bool) -> bool {
    let mut found = false;
    let mut rest = skip_empty(list);
    while !rest.is_empty() {
        let Some((tag, after)) = EtagRef::split_first(rest) else { return false };
        found |= wanted(tag);
        let after = trim(after);
        if !after.is_empty() && !after.starts_with(b",") {
            return false;
        }
        rest = skip_empty(after);
    }
    found
}

/// What follows white space and empty members (RFC 9110 §5.6.1.2).
fn skip_empty(list: &[u8]) -> &[u8] {
    let start = list.iter().position(|byte| !matches!(byte, b',' | b' ' | b'\t'));
    list.get(start.unwrap_or(list.len())..).unwrap_or_default()
}

/// etagc of RFC 9110 §8.8.3: visible characters except the double quote, and obs-text.
const fn is_etagc(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x7e | 0x80..=0xff)
}

/// A value without the white space around it.
pub(crate) fn trim(value: &[u8]) -> &[u8] {
    let start = value.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(start);
    value.get(start..=end).unwrap_or_default()
}

/// What tells versions of a representation apart (RFC 9110 §8.8).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// The ETag, when there is exactly one and it follows the grammar.
    pub etag: Option<ETag>,
    /// The Last-Modified date, when there is exactly one and it is a date.
    pub last_modified: Option<Timestamp>,
    /// The Date of the response, against which the strength of Last-Modified is measured.
    pub date: Option<Timestamp>,
}

impl Validators {
    /// The validators that a response's fields hold.
    #[must_use]
    pub fn of(fields: &HeaderMap) -> Self {
        Self {
            etag: fields.only(&header::ETAG).and_then(ETag::parse),
            last_modified: fields.only(&header::LAST_MODIFIED).and_then(date_of),
            date: fields.only(&header::DATE).and_then(date_of),
        }
    }

    /// Whether there is neither.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }

    /// Whether Last-Modified may count as strong: the response was made at least a second after
    /// the change, by the same clock (RFC 9110 §8.8.2.2).
    #[must_use]
    pub fn last_modified_is_strong(&self) -> bool {
        match (self.last_modified, self.date) {
            (Some(last_modified), Some(date)) => date.as_secs() > last_modified.as_secs(),
            _ => false,
        }
    }
}

/// The HTTP-date that a value holds.
pub(crate) fn date_of(value: &[u8]) -> Option<Timestamp> {
    Timestamp::from_http_date(std::str::from_utf8(value).ok()?)
}
