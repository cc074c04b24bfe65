//! The fields of a request as the law reads them: by name, line by line.
//!
//! In: a name. Out: the values of its lines, in the order in which they came (RFC 9110 §5.3).
//! Always holds: names are compared without regard to case (RFC 9110 §5.1).
//! It deliberately does not know who parsed the message: one connection brings a [`HeaderMap`],
//! another the lines as they stand in the message's own bytes.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The fields of a message.
pub trait Fields {
    /// The values of the lines of one field, without the white space around them.
    fn lines<'a>(&'a self, name: &HeaderName) -> impl Iterator<Item = &'a [u8]>;

    /// How many lines there are.
    fn count(&self) -> usize;

    /// Whether there is such a line.
    fn has(&self, name: &HeaderName) -> bool {
        self.lines(name).next().is_some()
    }

    /// The value of a field that must not be sent twice; several say nothing reliable.
    fn only<'a>(&'a self, name: &HeaderName) -> Option<&'a [u8]> {
        let mut lines = self.lines(name);
        let first = lines.next()?;
        lines.next().is_none().then_some(first)
    }
}

impl Fields for HeaderMap {
    fn lines<'a>(&'a self, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
        self.get_all(name).iter().map(HeaderValue::as_bytes)
    }

    fn count(&self) -> usize {
        self.len()
    }
}
