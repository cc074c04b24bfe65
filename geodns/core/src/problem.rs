//! What is wrong with settings: where, and what is allowed instead.
//!
//! Always holds: all problems of a part are found in one go, in the order of its keys.
//! It deliberately does not know files or lines: `config` adds those to the key path.

use std::fmt;

/// A fault in the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key path inside the section that was given: `pop[1].fence.countries[0]`.
    pub at: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}

/// What was found wrong so far.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    /// `value` is not what is allowed there.
    pub(crate) fn not(&mut self, at: impl Into<String>, value: &str, allowed: &str) {
        self.add(at, format!("\"{value}\" is not {allowed}"));
    }

    /// Anything else.
    pub(crate) fn add(&mut self, at: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem { at: at.into(), message: message.into() });
    }

    /// Everything that was.
    pub(crate) fn all(self) -> Vec<Problem> {
        self.0
    }

    /// `value`, unless something was found wrong.
    pub(crate) fn unless_any<T>(self, value: T) -> Result<T, Vec<Problem>> {
        if self.0.is_empty() { Ok(value) } else { Err(self.0) }
    }
}
