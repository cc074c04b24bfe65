//! The fields of record data, as they are typed.
//!
//! In: tokens. Out: values, or what is wrong with them and what is allowed.
//! Always holds: a number is decimal digits and nothing else; what is cut off is never guessed.
//!
//! RFC 1035 §5.1, RFC 2181 §8 (TTLs), RFC 3597 §5 (hexadecimal), RFC 4648 §4 (base64).

use std::{fmt::Display, str::FromStr};

use crate::wire::{
    name::{Name, NameRef},
    rrset::TTL_SECONDS_MAX,
    text::{TextError, unescape},
};

use super::lexer::Token;

/// A fault in one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) line: u32,
    pub(super) what: String,
    pub(super) allowed: String,
}

impl Wrong {
    pub(super) fn new(line: u32, what: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self { line, what: what.into(), allowed: allowed.into() }
    }

    /// `token` is not what is allowed there.
    pub(super) fn not(token: &Token<'_>, allowed: impl Into<String>) -> Self {
        Self::new(token.line, format!("\"{}\"", shown(token.raw)), allowed)
    }
}

/// Text as it is shown in a message.
pub(super) fn shown(raw: &[u8]) -> String {
    let cut = raw.get(..80).unwrap_or(raw);
    cut.escape_ascii().to_string().replace("\\\\", "\\").replace("\\\"", "\"")
}

/// The tokens of a record that are still to be read.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a, 't> {
    tokens: &'a [Token<'t>],
    /// The line that a missing field is reported on.
    line: u32,
    pub(super) origin: NameRef<'a>,
}

impl<'a, 't> Fields<'a, 't> {
    pub(super) const fn new(tokens: &'a [Token<'t>], line: u32, origin: NameRef<'a>) -> Self {
        Self { tokens, line, origin }
    }

    pub(super) fn optional(&mut self) -> Option<&'a Token<'t>> {
        let (token, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        self.line = token.line;
        Some(token)
    }

    pub(super) const fn line(&self) -> u32 {
        self.line
    }

    pub(super) const fn peek(&self) -> Option<&'a Token<'t>> {
        self.tokens.first()
    }

    /// The next token, which is called `what`.
    pub(super) fn next(&mut self, what: &str, allowed: &str) -> Result<&'a Token<'t>, Wrong> {
        let line = self.line;
        self.optional().ok_or_else(|| Wrong::new(line, format!("the {what} is missing"), allowed))
    }

    /// Nothing may follow.
    pub(super) fn end(&self) -> Result<(), Wrong> {
        match self.peek() {
            None => Ok(()),
            Some(token) => Err(Wrong::not(token, "nothing more in this record")),
        }
    }

    pub(super) fn number<T: FromStr + Display>(&mut self, what: &str, max: &T) -> Result<T, Wrong> {
        let allowed = format!("for the {what}: a number from 0 to {max}");
        let token = self.next(what, &allowed)?;
        decimal(token.raw).ok_or_else(|| Wrong::not(token, allowed))
    }

    /// Seconds, or a number with units.
    pub(super) fn seconds(&mut self, what: &str) -> Result<u32, Wrong> {
        let allowed = format!("for the {what}: {}", seconds_allowed());
        let token = self.next(what, &allowed)?;
        seconds(token.raw).ok_or_else(|| Wrong::not(token, allowed))
    }

    pub(super) fn name(&mut self, what: &str) -> Result<Name, Wrong> {
        let token = self.next(what, "a domain name")?;
        name(token, self.origin)
    }

    /// A character string, without its length.
    pub(super) fn text(&mut self, what: &str) -> Result<Vec<u8>, Wrong> {
        let token = self.next(what, "a text of at most 255 bytes")?;
        let text = unescape(token.raw).map_err(|error| escape(token, error))?;
        if text.len() > 255 {
            return Err(Wrong::not(token, "a text of at most 255 bytes; write several"));
        }
        Ok(text)
    }

    /// All that is left, as one hexadecimal number of whole bytes.
    pub(super) fn hex(&mut self, what: &str) -> Result<Vec<u8>, Wrong> {
        let allowed = format!("for the {what}: hexadecimal digits, two a byte");
        let first = self.line;
        let mut digits = Vec::new();
        while let Some(token) = self.optional() {
            for byte in token.raw {
                let digit =
                    char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                digits.push(digit.ok_or_else(|| Wrong::not(token, allowed.clone()))?);
            }
        }
        let pairs = digits.chunks(2).map(|pair| match pair {
            [high, low] => Some(high << 4 | low),
            _ => None,
        });
        let bytes: Option<Vec<u8>> = pairs.collect();
        bytes.ok_or_else(|| {
            Wrong::new(first, format!("half a byte at the end of the {what}"), allowed)
        })
    }
}

pub(super) fn name(token: &Token<'_>, origin: NameRef<'_>) -> Result<Name, Wrong> {
    if token.quoted {
        return Err(Wrong::not(token, "a domain name without quotes"));
    }
    Name::parse(token.raw, Some(origin)).map_err(|error| {
        let what = format!("\"{}\" is no domain name: {error}", shown(token.raw));
        Wrong::new(token.line, what, "labels of 1 to 63 bytes between dots, 255 bytes in all")
    })
}

pub(super) fn escape(token: &Token<'_>, error: TextError) -> Wrong {
    Wrong::new(
        token.line,
        format!("\"{}\": {error}", shown(token.raw)),
        "\\\" \\\\ or \\000 to \\255",
    )
}

/// Decimal digits, and nothing else.
pub(super) fn decimal<T: FromStr>(text: &[u8]) -> Option<T> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Seconds, or numbers with the units w, d, h, m and s in this order, such as `1h30m`.
pub(super) fn seconds(text: &[u8]) -> Option<u32> {
    let mut sum = 0_u32;
    let mut rest = text;
    let mut last_unit = u32::MAX;
    while !rest.is_empty() {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, behind) = rest.split_at_checked(digits)?;
        let number: u32 = decimal(number)?;
        let (unit, behind) = match behind.split_first() {
            None if last_unit == u32::MAX => (1, behind),
            None => return None,
            Some((unit, behind)) => (seconds_in(*unit)?, behind),
        };
        if unit >= last_unit {
            return None;
        }
        last_unit = unit;
        sum = sum.checked_add(number.checked_mul(unit)?)?;
        rest = behind;
    }
    (last_unit != u32::MAX && sum <= TTL_SECONDS_MAX).then_some(sum)
}

const fn seconds_in(unit: u8) -> Option<u32> {
    match unit.to_ascii_lowercase() {
        b'w' => Some(604_800),
        b'd' => Some(86_400),
        b'h' => Some(3600),
        b'm' => Some(60),
        b's' => Some(1),
        _ => None,
    }
}

pub(super) fn seconds_allowed() -> String {
    format!("seconds up to {TTL_SECONDS_MAX}, or units such as 1w2d3h4m5s")
}

/// Base64 with its padding, without white space.
pub(super) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    if text.is_empty() || !text.len().is_multiple_of(4) {
        return None;
    }
    let mut quads = text.chunks_exact(4).peekable();
    while let Some(quad) = quads.next() {
        let padding = quad.iter().rev().take_while(|byte| **byte == b'=').count();
        if padding > 2 || (padding > 0 && quads.peek().is_some()) {
            return None;
        }
        let mut bits = 0_u32;
        for byte in quad.iter().take(4_usize.saturating_sub(padding)) {
            bits = bits << 6 | base64_digit(*byte)?;
        }
        bits <<= padding.saturating_mul(6);
        let [_, decoded @ ..] = bits.to_be_bytes();
        let (kept, cut) = decoded.split_at_checked(3_usize.saturating_sub(padding))?;
        if cut.iter().any(|byte| *byte != 0) {
            return None;
        }
        bytes.extend_from_slice(kept);
    }
    Some(bytes)
}

/// Bytes as base64, with padding.
pub(super) fn base64_text(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at| chunk.get(at).copied();
        let (one, two, three) = (byte(0).unwrap_or(0), byte(1), byte(2));
        let (second, third) = (two.unwrap_or(0), three.unwrap_or(0));
        let digit = |six: u8| BASE64.get(usize::from(six)).map_or('=', |digit| char::from(*digit));
        text.extend([digit(one >> 2), digit((one & 3) << 4 | second >> 4)]);
        text.push(two.map_or('=', |_| digit((second & 15) << 2 | third >> 6)));
        text.push(three.map_or('=', |_| digit(third & 63)));
    }
    text
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64_digit(byte: u8) -> Option<u32> {
    let (first, value) = match byte {
        b'A'..=b'Z' => (b'A', 0),
        b'a'..=b'z' => (b'a', 26),
        b'0'..=b'9' => (b'0', 52),
        b'+' => (b'+', 62),
        b'/' => (b'/', 63),
        _ => return None,
    };
    Some(u32::from(byte.saturating_sub(first)).saturating_add(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ttls_have_units() {
        let rows: &[(&str, &str, Option<u32>)] = &[
            ("RFC 1035 §5.1", "3600", Some(3600)),
            ("RFC 1035 §5.1 zero", "0", Some(0)),
            ("RFC 2181 §8 31 bits", "2147483647", Some(2_147_483_647)),
            ("RFC 2181 §8 more", "2147483648", None),
            ("RFC 1035 §5.1 overflow", "99999999999", None),
            ("BIND's units", "1w2d3h4m5s", Some(604_800 + 2 * 86_400 + 3 * 3600 + 4 * 60 + 5)),
            ("BIND's units, upper case", "1H30M", Some(5400)),
            ("BIND's units, overflow", "9999w", None),
            ("units out of order", "1m1h", None),
            ("a unit twice", "1m1m", None),
            ("a number without unit behind one", "1h30", None),
            ("a unit alone", "h", None),
            ("an unknown unit", "1y", None),
            ("nothing", "", None),
            ("a sign", "+1", None),
        ];
        for (row, text, expected) in rows {
            assert_eq!(seconds(text.as_bytes()), *expected, "{row}");
        }
    }

    #[test]
    fn base64_is_read_strictly() {
        let rows: &[(&str, &str, Option<&[u8]>)] = &[
            ("RFC 4648 §10", "Zg==", Some(b"f")),
            ("RFC 4648 §10", "Zm8=", Some(b"fo")),
            ("RFC 4648 §10", "Zm9vYmFy", Some(b"foobar")),
            ("RFC 4648 §4 all digits", "+/+/", Some(&[0xfb, 0xff, 0xbf])),
            ("RFC 4648 §3.5 bits behind", "Zh==", None),
            ("RFC 4648 §3.2 no padding", "Zg", None),
            ("RFC 4648 §4 padding within", "Zg==Zg==", None),
            ("RFC 4648 §4 too much", "Z===", None),
            ("RFC 4648 §3.3 other characters", "Zm8-", None),
            ("RFC 4648 §4 nothing", "", None),
        ];
        for (row, text, expected) in rows {
            assert_eq!(base64(text.as_bytes()).as_deref(), *expected, "{row}");
        }
    }
}
