//! Names as people write them, and the escapes of master files.
//!
//! In: text of a zone file or of settings. Out: [`Name`]s, character strings; and names printed.
//! Always holds: what is printed reads back as the same name.
//!
//! RFC 1035 §5.1, RFC 4343 §2.1.

use std::fmt;

use super::name::{LABEL_BYTES_MAX, NAME_BYTES_MAX, Name, NameRef};

/// Why a text is not a name, or not a character string. The operator is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing at all.
    #[error("it is empty")]
    Empty,
    /// Two dots in a row, or one at the beginning.
    #[error("a label is empty")]
    EmptyLabel,
    /// More than 63 bytes between two dots.
    #[error("a label has more than 63 bytes")]
    LabelTooLong,
    /// More than 255 bytes in all.
    #[error("it has more than 255 bytes")]
    TooLong,
    /// A backslash with nothing to escape, or a number beyond 255.
    #[error("a backslash must be followed by a character or by three digits up to 255")]
    Escape,
    /// No dot at the end, and nothing that it could be relative to.
    #[error("it does not end in a dot and there is no origin")]
    Relative,
}

/// A character of a text, escapes resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Character {
    /// As it stands there.
    Plain(u8),
    /// Behind a backslash: it has no meaning but itself.
    Escaped(u8),
}

impl Character {
    pub(crate) const fn byte(self) -> u8 {
        match self {
            Self::Plain(byte) | Self::Escaped(byte) => byte,
        }
    }
}

/// The characters of a text, one by one; an escape that is none ends them.
pub(crate) fn characters(text: &[u8]) -> impl Iterator<Item = Result<Character, TextError>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (first, after) = rest.split_first()?;
        rest = after;
        if *first != b'\\' {
            return Some(Ok(Character::Plain(*first)));
        }
        let escaped = match after {
            [hundreds @ b'0'..=b'9', tens @ b'0'..=b'9', ones @ b'0'..=b'9', after @ ..] => {
                rest = after;
                decimal(*hundreds, *tens, *ones)
            }
            // A digit that does not begin three of them says nothing (RFC 1035 §5.1 \X).
            [b'0'..=b'9', ..] | [] => None,
            [byte, after @ ..] => {
                rest = after;
                Some(*byte)
            }
        };
        if escaped.is_none() {
            rest = &[];
        }
        Some(escaped.map(Character::Escaped).ok_or(TextError::Escape))
    })
}

fn decimal(hundreds: u8, tens: u8, ones: u8) -> Option<u8> {
    let digit = |byte: u8| u16::from(byte.wrapping_sub(b'0'));
    let value = digit(hundreds).wrapping_mul(100).wrapping_add(digit(tens).wrapping_mul(10));
    u8::try_from(value.wrapping_add(digit(ones))).ok()
}

/// The bytes of a character string (RFC 1035 §3.3), without its length.
pub(crate) fn unescape(text: &[u8]) -> Result<Vec<u8>, TextError> {
    characters(text).map(|character| character.map(Character::byte)).collect()
}

impl Name {
    /// Reads a name; one that does not end in a dot is taken relative to `origin`.
    pub fn parse(text: &[u8], origin: Option<NameRef<'_>>) -> Result<Self, TextError> {
        match text {
            [] => return Err(TextError::Empty),
            b"." => return Ok(NameRef::ROOT.into()),
            b"@" => return origin.map(Self::from).ok_or(TextError::Relative),
            _ => {}
        }
        let mut wire = Vec::with_capacity(text.len().saturating_add(2));
        let mut label = Vec::new();
        let mut absolute = false;
        for character in characters(text) {
            let character = character?;
            absolute = character == Character::Plain(b'.');
            if absolute {
                close(&mut wire, &mut label)?;
            } else {
                label.push(character.byte());
            }
        }
        if absolute {
            wire.push(0);
        } else {
            close(&mut wire, &mut label)?;
            wire.extend_from_slice(origin.ok_or(TextError::Relative)?.wire());
        }
        if wire.len() > NAME_BYTES_MAX {
            return Err(TextError::TooLong);
        }
        Self::from_wire(&wire).map_err(|_invariant| TextError::TooLong)
    }
}

/// Ends a label.
fn close(wire: &mut Vec<u8>, label: &mut Vec<u8>) -> Result<(), TextError> {
    if label.is_empty() {
        return Err(TextError::EmptyLabel);
    }
    let length = u8::try_from(label.len()).map_err(|_long| TextError::LabelTooLong)?;
    if label.len() > LABEL_BYTES_MAX {
        return Err(TextError::LabelTooLong);
    }
    wire.push(length);
    wire.append(label);
    Ok(())
}

/// Absolute, with the escapes of a master file.
impl fmt::Display for NameRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        for label in self.labels() {
            for byte in label {
                match byte {
                    b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => {
                        write!(f, "\\{}", char::from(*byte))?;
                    }
                    b'!'..=b'~' => write!(f, "{}", char::from(*byte))?,
                    _ => write!(f, "\\{byte:03}")?,
                }
            }
            f.write_str(".")?;
        }
        Ok(())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_read_as_typed_and_printed() {
        let long = "a".repeat(63);
        let longer = "a".repeat(64);
        let full = format!("{long}.{long}.{long}.{}", "b".repeat(53));
        let overfull = format!("{full}b");
        let printed_full = format!("{full}.example.");
        let rows: &[(&str, &str, Result<&str, TextError>)] = &[
            ("RFC 1035 §5.1 relative", "www", Ok("www.example.")),
            ("RFC 1035 §5.1 absolute", "www.", Ok("www.")),
            ("RFC 1035 §5.1 the origin", "@", Ok("example.")),
            ("RFC 1035 §5.1 the root", ".", Ok(".")),
            ("RFC 1035 §5.1 @ within", "a@b.", Ok("a\\@b.")),
            ("RFC 1035 §5.1 an escaped @", "\\@", Ok("\\@.example.")),
            ("RFC 1035 §5.1 a dot within", "a\\.b.", Ok("a\\.b.")),
            ("RFC 1035 §5.1 a dot escaped at the end", "a\\.", Ok("a\\..example.")),
            ("RFC 1035 §5.1 a number", "\\097.", Ok("a.")),
            ("RFC 1035 §5.1 a number is no dot", "a\\046b.", Ok("a\\.b.")),
            ("RFC 1035 §5.1 the null byte", "\\000.", Ok("\\000.")),
            ("RFC 4343 §2.1 255", "\\255.", Ok("\\255.")),
            ("RFC 4343 §2.1 256", "\\256.", Err(TextError::Escape)),
            ("RFC 1035 §5.1 two digits", "\\12.", Err(TextError::Escape)),
            ("RFC 1035 §5.1 nothing to escape", "a\\", Err(TextError::Escape)),
            ("RFC 1035 §5.1 nothing", "", Err(TextError::Empty)),
            ("RFC 1035 §3.1 empty label", "a..b.", Err(TextError::EmptyLabel)),
            ("RFC 1035 §3.1 empty first label", ".a.", Err(TextError::EmptyLabel)),
            ("RFC 1035 §2.3.4 label of 64", &longer, Err(TextError::LabelTooLong)),
            ("RFC 1035 §2.3.4 255 bytes", &full, Ok(&printed_full)),
            ("RFC 1035 §2.3.4 256 bytes", &overfull, Err(TextError::TooLong)),
        ];
        let origin = Name::parse(b"example.", None).unwrap();
        for (row, text, expected) in rows {
            let read = Name::parse(text.as_bytes(), Some(origin.as_ref()));
            let printed = read.map(|name| name.to_string());
            assert_eq!(printed, expected.map(str::to_owned), "{row}");
        }
        assert_eq!(Name::parse(b"www", None), Err(TextError::Relative));
        assert_eq!(Name::parse(b"@", None), Err(TextError::Relative));
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(labels in prop::collection::vec(
            prop::collection::vec(any::<u8>(), 1..20), 0..8,
        )) {
            let mut wire: Vec<u8> = labels.iter().flat_map(|label| {
                std::iter::once(u8::try_from(label.len()).unwrap()).chain(label.iter().copied())
            }).collect();
            wire.push(0);
            let name = Name::from_wire(&wire).unwrap();
            let again = Name::parse(name.to_string().as_bytes(), None).unwrap();
            prop_assert_eq!(again.as_ref().wire(), wire);
        }

        #[test]
        fn no_text_panics(text in prop::collection::vec(any::<u8>(), 0..300)) {
            let origin = NameRef::ROOT;
            let read = Name::parse(&text, Some(origin));
            prop_assert!(read.is_err() || read.unwrap().as_ref().wire().len() <= NAME_BYTES_MAX);
        }
    }
}
