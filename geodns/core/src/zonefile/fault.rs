//! What is wrong with a zone: where it stands, what it is, and what is allowed instead.
//!
//! Always holds: faults are collected, never only the first; their number is bounded.

use std::{fmt, sync::Arc};

/// After so many faults the reader stops looking: they share a cause.
const FAULTS_MAX: usize = 100;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file's name, as it was given or included.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
}

/// A fault. The operator can mend it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Where it is; nothing, if it is that something is nowhere.
    pub place: Option<Place>,
    /// What is wrong.
    pub what: String,
    /// What is allowed.
    pub allowed: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place} ")?;
        }
        write!(f, "{}; allowed: {}", self.what, self.allowed)
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(
        &mut self,
        place: Option<&Place>,
        what: impl Into<String>,
        allowed: impl Into<String>,
    ) {
        if !self.is_full() {
            self.0.push(Fault {
                place: place.cloned(),
                what: what.into(),
                allowed: allowed.into(),
            });
        }
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.0.len() >= FAULTS_MAX
    }

    /// `value`, unless something is wrong.
    pub(crate) fn unless_any<T>(self, value: T) -> Result<T, Vec<Fault>> {
        if self.0.is_empty() { Ok(value) } else { Err(self.0) }
    }
}
