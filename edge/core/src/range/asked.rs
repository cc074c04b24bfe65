//! The Range field of a request (RFC 9110 §14.1.1, §14.2).
//!
//! In: a field value. Out: [`RangeSet`], which reads its members without allocating.
//! Always holds: a set is valid as a whole; one invalid member makes it none at all.

use super::content::Span;
use crate::outcome::is_tchar;

/// A valid set of byte ranges.
#[derive(Clone, Copy, Debug)]
pub(super) struct RangeSet<'a>(&'a str);

/// One byte range as asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spec {
    /// `first-last`
    Bounded(Span),
    /// `first-`
    From(u64),
    /// `-length`: that many bytes at the end.
    Suffix(u64),
}

impl<'a> RangeSet<'a> {
    /// Reads `bytes=…`; another unit or an invalid member is to be ignored (RFC 9110 §14.2).
    pub(super) fn parse(value: &'a [u8]) -> Option<Self> {
        let (unit, members) = std::str::from_utf8(value).ok()?.split_once('=')?;
        // Range unit names are case-insensitive (RFC 9110 §14.1).
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let mut members_seen = 0_usize;
        for member in list(members) {
            Spec::parse(member)?;
            members_seen = members_seen.saturating_add(1);
        }
        (members_seen > 0).then_some(Self(members))
    }

    pub(super) fn specs(self) -> impl Iterator<Item = Spec> + 'a {
        list(self.0).filter_map(Spec::parse)
    }

    /// The only member, when there is only one.
    pub(super) fn single(self) -> Option<Spec> {
        let mut specs = self.specs();
        let first = specs.next()?;
        specs.next().is_none().then_some(first)
    }
}

impl Spec {
    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-')?;
        if first.is_empty() {
            return Some(Self::Suffix(position(last)?));
        }
        let first = position(first)?;
        if last.is_empty() {
            return Some(Self::From(first));
        }
        let last = position(last)?;
        // RFC 9110 §14.1.1: a last position before the first is invalid.
        (first <= last).then_some(Self::Bounded(Span { first, last }))
    }

    /// The bytes meant, of a representation that long; none if it has none of them.
    pub(super) fn resolve(self, complete_length: u64) -> Option<Span> {
        let end = complete_length.checked_sub(1)?;
        let span = match self {
            Self::Bounded(span) => Span { first: span.first, last: span.last.min(end) },
            Self::From(first) => Span { first, last: end },
            Self::Suffix(0) => return None,
            Self::Suffix(length) => {
                Span { first: complete_length.saturating_sub(length), last: end }
            }
        };
        (span.first <= end).then_some(span)
    }

    /// The bytes meant when both ends are given.
    pub(super) const fn bounded(self) -> Option<Span> {
        match self {
            Self::Bounded(span) => Some(span),
            Self::From(_) | Self::Suffix(_) => None,
        }
    }

    /// Whether this asks for bytes at the end, and for at least one.
    pub(super) const fn is_suffix(self) -> bool {
        matches!(self, Self::Suffix(1..))
    }
}

/// How many ranges there are in a Range of another unit than bytes; none for bytes, and for what is
/// no Range at all (RFC 9110 §14.2).
pub(super) fn members_of_other_unit(value: &[u8]) -> Option<usize> {
    let (unit, members) = std::str::from_utf8(value).ok()?.split_once('=')?;
    let is_unit = !unit.is_empty() && unit.bytes().all(is_tchar);
    (is_unit && !unit.eq_ignore_ascii_case("bytes")).then(|| list(members).count())
}

/// The members of a list; empty ones are to be ignored (RFC 9110 §5.6.1.2).
fn list(members: &str) -> impl Iterator<Item = &str> {
    members.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|m| !m.is_empty())
}

/// 1*DIGIT; what does not fit is as good as the largest that does, for it lies beyond any end.
fn position(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}
