//! Why a verb did not do what was asked: a message for the operator and an exit code.

use std::{error::Error, fmt};

/// A verb's failure.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    code: u8,
    may_pass: bool,
}

impl Failure {
    /// Refused or failed: exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1, may_pass: false }
    }

    /// The command line is wrong: exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 2, may_pass: false }
    }

    /// A signal ended it before it began, which is no failure: exit code 0.
    pub(crate) fn ended() -> Self {
        Self { code: 0, ..Self::new("ended by a signal before anything answered") }
    }

    /// What failed, and the chain of causes, in one line.
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Self {
        Self::new(chain(error))
    }

    /// What to do about it, after the message.
    pub(crate) fn advise(mut self, advice: &str) -> Self {
        self.message.push_str("; ");
        self.message.push_str(advice);
        self
    }

    /// It may be gone when the same is asked again.
    pub(crate) fn passing(self) -> Self {
        Self { may_pass: true, ..self }
    }

    /// Whether it may be.
    pub(crate) fn may_pass(&self) -> bool {
        self.may_pass
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    /// Says it on stderr.
    #[expect(clippy::print_stderr, reason = "a command line speaks to its user")]
    pub(crate) fn tell(&self) {
        if !self.message.is_empty() {
            eprintln!("nearcast: {}", self.message);
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        message.push_str(": ");
        message.push_str(&inner.to_string());
        cause = inner.source();
    }
    message
}
