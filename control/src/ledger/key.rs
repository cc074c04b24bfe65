//! Keys of documents.
//!
//! In: text. Out: [`Key`]. Always: segments of letters, digits, `-`, `_` and `.`, joined by `/`, which
//! is what a JetStream bucket takes as well. It does not know which keys there are.

use std::fmt;

/// The longest key.
pub const KEY_BYTES_MAX: usize = 256;

/// Where a document stands: `tokens/5f3a`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Box<str>);

impl Key {
    /// Reads a key; nothing if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        // A bucket's subjects are parted at dots: none may stand at an end, nor two together.
        let is_segment = |segment: &str| {
            segment.split('.').all(|part| !part.is_empty()) && segment.bytes().all(is_fine)
        };
        let fits = text.len() <= KEY_BYTES_MAX && text.split('/').all(is_segment);
        fits.then(|| Self(text.into()))
    }

    /// The key's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last segment.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_what_every_ledger_can_hold() {
        for text in ["nodes/fra-1", "tokens/a_B.9", "x"] {
            assert_eq!(Key::parse(text).unwrap().as_str(), text);
        }
        let long = "x".repeat(KEY_BYTES_MAX + 1);
        for text in ["", "/", "a/", "/a", "a//b", "a b", "a*", "a>", "a..b", ".a", "a.", "é", &long]
        {
            assert_eq!(Key::parse(text), None, "{text:?}");
        }
        assert_eq!(Key::parse("a/b").unwrap().name(), "b");
    }
}
