//! Byte ranges: what was asked for, which part a response is, and multipart answers.
//!
//! In: Range and Content-Range values, and lengths. Out: spans to send, and the bytes that stand
//! between them. Always holds: a span lies within the representation, first not after last, and
//! spans keep the order in which the client asked for them (RFC 9110 §15.3.7.2).
//! It deliberately does not know content, conditions or who has which bytes.
//!
//! Range is optional for a server (RFC 9110 §14.2), so whatever is invalid, in another unit, or
//! looks like a flood (§17.15) is answered with the whole representation. A flood is: more ranges
//! than the setting allows; ranges that together ask for more bytes than there are; more than two
//! ranges that overlap; or more than [`RANGES_UNSUSPECTED`] so small that their multipart
//! envelope would make the answer as large as the whole. RFC 9110 §14, §15.3.7.
//!
//! Hot path: a request without Range, or with a single one, allocates nothing here.

mod asked;
mod content;
mod multipart;
#[cfg(test)]
mod tests;

use http::header;

use self::asked::RangeSet;
pub use self::{
    content::{ContentRange, Span},
    multipart::Multipart,
};
use crate::fields::Fields;

/// What a request's Range means for a representation of known length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranges {
    /// No Range, or one to be ignored: the whole representation.
    Whole,
    /// None of the ranges overlaps the representation: 416.
    Unsatisfiable,
    /// One range: a 206 with Content-Range.
    One(Span),
    /// Two or more, in the order asked: a 206 of multipart/byteranges.
    Many(Vec<Span>),
}

/// Up to this many ranges are never taken for a flood of tiny ones.
pub const RANGES_UNSUSPECTED: usize = 8;

/// About what one part's delimiter and fields cost in a multipart answer.
const PART_HEAD_BYTES: u64 = 100;

/// The Range of a request; several lines of it are no Range.
#[must_use]
pub fn of(request_fields: &impl Fields) -> Option<&[u8]> {
    request_fields.only(&header::RANGE)
}

/// What `range_field` means for a representation of `complete_length` bytes.
#[must_use]
pub fn resolve(range_field: Option<&[u8]>, complete_length: u64, ranges_max: u32) -> Ranges {
    let Some(set) = range_field.and_then(RangeSet::parse) else { return Ranges::Whole };
    if set.specs().count() > usize::try_from(ranges_max).unwrap_or(usize::MAX) {
        return Ranges::Whole;
    }
    let mut spans = set.specs().filter_map(|spec| spec.resolve(complete_length));
    let Some(first) = spans.next() else {
        // A suffix of an empty representation is satisfiable (RFC 9110 §14.1.2), but no 206 can
        // say so: Content-Range has no form for no bytes.
        let nothing_wanted = complete_length == 0 && set.specs().any(|spec| spec.is_suffix());
        return if nothing_wanted { Ranges::Whole } else { Ranges::Unsatisfiable };
    };
    let Some(second) = spans.next() else { return Ranges::One(first) };
    let all: Vec<Span> = [first, second].into_iter().chain(spans).collect();
    if is_flood(&all, complete_length) { Ranges::Whole } else { Ranges::Many(all) }
}

/// A length that no representation has; nothing is a flood for it that is none for a shorter one.
const LENGTH_UNKNOWN: u64 = u64::MAX - 1;

/// Whether a Range may be asked of an origin: it is in order, and no flood, as far as that can be
/// told before the length is known. One in another unit is not ours to judge, but for the number
/// of its members.
#[must_use]
pub fn may_be_asked(range_field: &[u8], ranges_max: u32) -> bool {
    if let Some(members) = asked::members_of_other_unit(range_field) {
        return members <= usize::try_from(ranges_max).unwrap_or(usize::MAX);
    }
    !matches!(resolve(Some(range_field), LENGTH_UNKNOWN, ranges_max), Ranges::Whole)
}

/// The single range that `wanted` asks for, if the stored `part` holds all of it.
#[must_use]
pub fn covers(part: &ContentRange, wanted: &[u8]) -> Option<Span> {
    let spec = RangeSet::parse(wanted)?.single()?;
    let span = match part.complete {
        Some(complete) => spec.resolve(complete)?,
        None => spec.bounded()?,
    };
    (part.first <= span.first && span.last <= part.last).then_some(span)
}

/// Whether so many ranges are wanted that the whole is cheaper, or an attack is likely
/// (RFC 9110 §14.2, §17.15).
fn is_flood(spans: &[Span], complete_length: u64) -> bool {
    let wanted = spans.iter().fold(0_u64, |sum, span| sum.saturating_add(span.length()));
    let parts = u64::try_from(spans.len()).unwrap_or(u64::MAX);
    let enveloped = wanted.saturating_add(parts.saturating_mul(PART_HEAD_BYTES));
    wanted > complete_length
        || (spans.len() > RANGES_UNSUSPECTED && enveloped >= complete_length)
        || overlapping(spans) > 2
}

/// How many of the ranges share a byte with another one.
fn overlapping(spans: &[Span]) -> usize {
    let shares = |a: &Span, b: &Span| a.first <= b.last && b.first <= a.last;
    let others = |at: usize| spans.iter().enumerate().filter(move |(other, _)| *other != at);
    // Quadratic, over at most `ranges_max` ranges.
    let overlaps = |(at, span): &(usize, &Span)| others(*at).any(|(_, other)| shares(span, other));
    spans.iter().enumerate().filter(overlaps).count()
}
