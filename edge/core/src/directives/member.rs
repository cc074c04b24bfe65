//! The members of a Cache-Control value: names and arguments (RFC 9111 §5.2).
//!
//! In: bytes. Out: [`Member`]s, borrowed. Always holds: a comma within a quoted string separates
//! nothing; an argument that does not follow the grammar is [`Argument::Malformed`], never a guess.

use std::time::Duration;

use http::HeaderName;

use super::Qualified;

/// The largest delta-seconds: greater ones count as this one (RFC 9111 §1.2.2).
pub(super) const SECONDS_MAX: u64 = 1 << 31;

/// A directive as it stands in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member<'a> {
    pub(super) name: &'a [u8],
    pub(super) argument: Argument<'a>,
}

/// What follows a directive's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument<'a> {
    /// Nothing.
    Absent,
    /// A token or the inside of a quoted string; both forms say the same (RFC 9111 §5.2).
    Text(&'a [u8]),
    /// An integer of a structured field.
    Number(u64),
    /// A text of a structured field, which is never a number (RFC 9213 §2.1).
    Names(&'a [u8]),
    /// Something that is none of them.
    Malformed,
}

impl<'a> Member<'a> {
    /// Whether this is the directive `name`, given in lower case (names are case-insensitive).
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    fn parse(text: &'a [u8]) -> Self {
        // The name counts whatever stands around it, so that no restriction is missed; only "="
        // directly behind it begins an argument.
        let begin = text.iter().position(|byte| *byte != b'"').unwrap_or(text.len());
        let text = text.get(begin..).unwrap_or_default();
        let end = text.iter().position(|byte| !is_tchar(*byte)).unwrap_or(text.len());
        let (name, rest) = text.split_at_checked(end).unwrap_or((text, &[]));
        let argument = match rest.split_first() {
            None => Argument::Absent,
            Some((b'=', argument)) => Argument::parse(argument),
            Some(_) => Argument::Malformed,
        };
        Self { name, argument }
    }
}

impl<'a> Argument<'a> {
    fn parse(text: &'a [u8]) -> Self {
        if let Some(rest) = text.strip_prefix(b"\"") {
            // An escape says nothing that its plain form would not: no directive needs one.
            return match rest.strip_suffix(b"\"") {
                Some(inner) if !inner.contains(&b'\\') => Self::Text(inner),
                _ => Self::Malformed,
            };
        }
        if !text.is_empty() && text.iter().all(|byte| is_tchar(*byte)) {
            Self::Text(text)
        } else {
            Self::Malformed
        }
    }

    /// Delta-seconds (RFC 9111 §1.2.2), if that is what this is.
    pub(super) fn seconds(self) -> Option<Duration> {
        match self {
            Self::Text(text) => delta_seconds(text),
            Self::Number(seconds) => Some(Duration::from_secs(seconds.min(SECONDS_MAX))),
            Self::Absent | Self::Names(_) | Self::Malformed => None,
        }
    }

    /// The fields that a qualified directive names; the whole response if that is unclear.
    pub(super) fn qualified(self) -> Qualified {
        let (Self::Text(text) | Self::Names(text)) = self else { return Qualified::Whole };
        let mut names = Vec::new();
        for member in text.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if member.is_empty() {
                continue;
            }
            let Ok(name) = HeaderName::from_bytes(member) else { return Qualified::Whole };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if names.is_empty() { Qualified::Whole } else { Qualified::Fields(names) }
    }
}

/// `1*DIGIT`, capped at [`SECONDS_MAX`].
pub(crate) fn delta_seconds(text: &[u8]) -> Option<Duration> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = text.iter().fold(0_u64, |sum, digit| {
        sum.saturating_mul(10).saturating_add(u64::from(digit.saturating_sub(b'0')))
    });
    Some(Duration::from_secs(seconds.min(SECONDS_MAX)))
}

/// The members of one field line, in order; empty ones are skipped (RFC 9110 §5.6.1).
pub(super) fn members(line: &[u8]) -> Members<'_> {
    Members { rest: line, broken: false }
}

/// See [`members`].
pub(super) struct Members<'a> {
    rest: &'a [u8],
    /// A quoted string stands wrong or does not end in this line. What follows may lie inside or
    /// outside of it: names count from there on (for restrictions), arguments do not.
    broken: bool,
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        while !self.rest.is_empty() {
            let end = self.end_of_member();
            let (text, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, &[]));
            self.rest = rest.get(1..).unwrap_or_default();
            let text = text.trim_ascii();
            if text.is_empty() {
                continue;
            }
            let mut member = Member::parse(text);
            if self.broken {
                member.argument = Argument::Malformed;
            }
            return Some(member);
        }
        None
    }
}

impl Members<'_> {
    /// The position of the comma that ends the first member.
    fn end_of_member(&mut self) -> usize {
        if !self.broken {
            match quoted_end(self.rest) {
                Some(end) => return end,
                None => self.broken = true,
            }
        }
        self.rest.iter().position(|byte| *byte == b',').unwrap_or(self.rest.len())
    }
}

/// The first comma outside quoted strings, or the end; nothing if a quoted string does not begin
/// behind "=" or does not end before a comma or the end.
fn quoted_end(text: &[u8]) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    for (position, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' if quoted => {
                let after = text.get(position..).and_then(|rest| rest.get(1..))?.trim_ascii_start();
                if !(after.is_empty() || after.starts_with(b",")) {
                    return None;
                }
                quoted = false;
            }
            b'"' => {
                if text.get(..position)?.last() != Some(&b'=') {
                    return None;
                }
                quoted = true;
            }
            b',' if !quoted => return Some(position),
            _ => {}
        }
    }
    (!quoted).then_some(text.len())
}

/// `tchar` of RFC 9110 §5.6.2.
const fn is_tchar(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
    ) || byte.is_ascii_alphanumeric()
}
