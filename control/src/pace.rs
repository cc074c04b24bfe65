//! Chance: how long to wait before the next try, and names for messages.
//!
//! In: random numbers. Out: waits that grow, and differ between nodes; ids that nobody else has.
//! Always: a wait is between half of its length and the whole, so that nodes that lost the same
//! server do not come back at one moment. It does not know what is tried.

use std::{fmt::Write as _, time::Duration};

use aws_lc_rs::rand;
use tokio::time::{Instant, sleep_until};

/// The first wait; each further one is twice as long.
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(crate) struct Pace(Duration);

impl Default for Pace {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Pace {
    /// How long to wait now.
    pub(crate) fn step(&mut self) -> Duration {
        let whole = self.0;
        self.0 = (whole * 2).min(LONGEST);
        jittered(whole)
    }

    /// Waits that long.
    pub(crate) async fn wait(&mut self) {
        sleep_until(Instant::now() + self.step()).await;
    }
}

/// Between half of a span and all of it.
pub(crate) fn jittered(whole: Duration) -> Duration {
    let mut byte = [0; 1];
    // Without chance it is the whole.
    let part = if rand::fill(&mut byte).is_ok() { u32::from(byte[0]) } else { 255 };
    whole / 2 + whole * part / 510
}

/// An id for a message; nothing where the system has no random numbers.
pub(crate) fn message_id() -> Option<String> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).ok()?;
    let mut text = String::with_capacity(32);
    for byte in bytes {
        write!(text, "{byte:02x}").ok()?;
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_their_bound_and_are_never_the_same_for_all() {
        let mut pace = Pace::default();
        for whole in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            let whole = Duration::from_millis(whole);
            let wait = pace.step();
            assert!(wait >= whole / 2 && wait <= whole, "{wait:?} of {whole:?}");
        }
        let waits: std::collections::BTreeSet<Duration> =
            (0..64).map(|_| jittered(LONGEST)).collect();
        assert!(waits.len() > 1);
    }
}
