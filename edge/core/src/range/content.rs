//! The part that a 206 is: Content-Range for bytes (RFC 9110 §14.4).
//!
//! In: a field value. Out: [`ContentRange`], and back. Always holds: `first <= last`, and both lie
//! before the complete length when that is known.

use http::HeaderValue;

/// Consecutive bytes of a representation, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// The first byte's position.
    pub first: u64,
    /// The last byte's position, not before the first's.
    pub last: u64,
}

impl Span {
    /// The number of bytes.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }
}

/// Which bytes of the complete representation a response holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentRange {
    /// The first byte's position.
    pub first: u64,
    /// The last byte's position.
    pub last: u64,
    /// The length of the complete representation, when it is known.
    pub complete: Option<u64>,
}

impl ContentRange {
    /// Reads `bytes first-last/complete`; nothing else says which part a response is.
    #[must_use]
    pub fn parse(value: &HeaderValue) -> Option<Self> {
        let text = value.to_str().ok()?.trim_matches([' ', '\t']);
        let (unit, rest) = text.split_once(' ')?;
        let (range, complete) = rest.trim_start_matches(' ').split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let complete = if complete == "*" { None } else { Some(digits(complete)?) };
        let part = Self { first: digits(first)?, last: digits(last)?, complete };
        // RFC 9110 §14.4: last before first, or a length not beyond last, is invalid.
        let ordered = part.first <= part.last && part.complete.is_none_or(|n| part.last < n);
        (unit.eq_ignore_ascii_case("bytes") && ordered).then_some(part)
    }

    /// The field value.
    #[must_use]
    pub fn to_value(self) -> HeaderValue {
        let text = match self.complete {
            Some(complete) => format!("bytes {}-{}/{complete}", self.first, self.last),
            None => format!("bytes {}-{}/*", self.first, self.last),
        };
        // The text is visible ASCII, which is always a value.
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("bytes */*"))
    }

    /// The bytes it speaks of.
    #[must_use]
    pub const fn span(&self) -> Span {
        Span { first: self.first, last: self.last }
    }
}

/// 1*DIGIT that fits.
fn digits(text: &str) -> Option<u64> {
    let all_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits { text.parse().ok() } else { None }
}
