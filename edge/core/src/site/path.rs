//! How a path reads: as it came, and as an origin may resolve it before it routes.
//!
//! In: the path of a target. Out: copies for rules to match; keys and forwards stay as they came.
//! Always holds: what is percent-encoded without need reads as if it were not (RFC 3986 §6.2.2);
//! whoever resolves a path that has no dot segments reads it in one of the two ways given here.
//!
//! Hot path: [`is_plain`] looks at each octet once; nothing allocates for a path in the normal form
//! that has nothing to resolve.

use std::borrow::Cow;

/// Whether there is one way only to read the path, at a glance.
pub(super) fn is_plain(path: &str) -> bool {
    let mut before = 0;
    path.bytes().all(|octet| {
        let follows_slash = before == b'/';
        before = octet;
        match octet {
            b'%' | b'\\' => false,
            b'/' | b'.' => !follows_slash,
            _ => true,
        }
    })
}

/// The path with unreserved octets decoded and escapes in capitals: another way to write the same
/// (RFC 3986 §6.2.2.1, §6.2.2.2).
pub(super) fn normal(path: &str) -> Cow<'_, str> {
    let (_, mut escapes) = pieces(path);
    if escapes.all(|piece| decoded(piece) == Decoded::AsItIs) {
        return Cow::Borrowed(path);
    }
    let (first, escapes) = pieces(path);
    let mut text = first.to_owned();
    for piece in escapes {
        match decoded(piece) {
            Decoded::AsItIs => {
                text.push('%');
                text.push_str(piece);
            }
            Decoded::Character(character, rest) => {
                text.push(character);
                text.push_str(rest);
            }
            Decoded::Capitals(digits, rest) => {
                text.push('%');
                text.push_str(&digits.to_ascii_uppercase());
                text.push_str(rest);
            }
        }
    }
    Cow::Owned(text)
}

/// The normal form of a path as those read it that decode before they route: encoded slashes are
/// slashes, and so are backslashes; of several in a row one counts.
pub(super) fn resolved(normal: &str) -> Cow<'_, str> {
    const SEPARATORS: [&str; 3] = ["%2F", "%5C", "\\"];
    if !normal.contains("//") && !SEPARATORS.iter().any(|text| normal.contains(text)) {
        return Cow::Borrowed(normal);
    }
    let slashed =
        SEPARATORS.iter().fold(normal.to_owned(), |path, separator| path.replace(separator, "/"));
    let mut text = String::with_capacity(slashed.len());
    for character in slashed.chars() {
        if character != '/' || !text.ends_with('/') {
            text.push(character);
        }
    }
    Cow::Owned(text)
}

/// Whether a segment says to go elsewhere (RFC 3986 §5.2.4); some take what follows a semicolon
/// for no part of it.
pub(super) fn has_dot_segment(resolved: &str) -> bool {
    let name = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
    resolved.contains("/.") && resolved.split('/').any(name)
}

/// What stands before the first percent sign, and behind each.
fn pieces(path: &str) -> (&str, impl Iterator<Item = &str>) {
    let mut pieces = path.split('%');
    (pieces.next().unwrap_or_default(), pieces)
}

/// What an escape means, by what stands behind its percent sign.
#[derive(PartialEq, Eq)]
enum Decoded<'a> {
    /// It needs its encoding, or is none.
    AsItIs,
    /// An unreserved character, and the rest.
    Character(char, &'a str),
    /// Its digits, not in capitals, and the rest.
    Capitals(&'a str, &'a str),
}

fn decoded(piece: &str) -> Decoded<'_> {
    let Some((digits, rest)) = piece.split_at_checked(2) else { return Decoded::AsItIs };
    let is_escape = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let octet = u8::from_str_radix(digits, 16).ok().filter(|_| is_escape);
    match octet.map(char::from) {
        None => Decoded::AsItIs,
        Some(c) if c.is_ascii_alphanumeric() || "-._~".contains(c) => Decoded::Character(c, rest),
        Some(_) if digits.bytes().any(|digit| digit.is_ascii_lowercase()) => {
            Decoded::Capitals(digits, rest)
        }
        Some(_) => Decoded::AsItIs,
    }
}
