//! Path patterns: exact, or with `*` for any run of characters.
//!
//! In: text and paths, both in the same reading (see [`super::path`]). Always holds: matching takes
//! time in proportion to the path, whatever the pattern.

/// A path pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    /// What the path begins with.
    first: Box<str>,
    /// What follows each star, in order; none for an exact path.
    rest: Box<[Box<str>]>,
}

impl PathPattern {
    /// Reads a pattern that begins with `/` or `*`. Query and fragment are no part of a path.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let in_path = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#');
        if !text.starts_with(['/', '*']) || !text.bytes().all(in_path) {
            return None;
        }
        let mut pieces = text.split('*').map(Box::from);
        Some(Self { first: pieces.next()?, rest: pieces.collect() })
    }

    /// Whether the pattern matches the whole path.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let Some((last, middle)) = self.rest.split_last() else { return path == &*self.first };
        let Some(mut rest) = path.strip_prefix(&*self.first) else { return false };
        // Taking the earliest place for each piece leaves the most for those that follow.
        for piece in middle {
            match rest.split_once(&**piece) {
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
        rest.ends_with(&**last)
    }
}
