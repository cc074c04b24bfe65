//! The words for a target's state, and what a check says about how often it asks and how many answers
//! count.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether something answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StateWord {
    /// It does.
    #[default]
    Up,
    /// It does not.
    Down,
}

/// A share, in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PerMille(pub u16);

impl PerMille {
    /// All of it.
    pub const ALL: Self = Self(1000);
}

/// How often a check asks, and how many answers in a row count.
pub trait Pace {
    /// Passes in a row after which what was down is up.
    fn rise(&self) -> u32;
    /// Failures in a row after which what was up is down.
    fn fall(&self) -> u32;
    /// What is assumed before the first result.
    fn before(&self) -> StateWord;
    /// Time from one probe to the next.
    fn interval(&self) -> Duration;
    /// How much that may vary either way, in percent.
    fn jitter(&self) -> u32;
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A check that says nothing else.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Every {
        pub(crate) rise: u32,
        pub(crate) fall: u32,
        pub(crate) before: StateWord,
        pub(crate) interval: Duration,
        pub(crate) jitter: u32,
    }

    impl Default for Every {
        fn default() -> Self {
            let interval = Duration::from_secs(5);
            Self { rise: 2, fall: 3, before: StateWord::Up, interval, jitter: 10 }
        }
    }

    impl Pace for Every {
        fn rise(&self) -> u32 {
            self.rise
        }
        fn fall(&self) -> u32 {
            self.fall
        }
        fn before(&self) -> StateWord {
            self.before
        }
        fn interval(&self) -> Duration {
            self.interval
        }
        fn jitter(&self) -> u32 {
            self.jitter
        }
    }
}
