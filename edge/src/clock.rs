//! The one place that reads time for the caching law.
//!
//! `now` is a wall-clock anchor, read once at start, plus monotonic time since: a stepped wall
//! clock neither freshens nor ages what is stored
//! (ARCHITECTURE.md *What never happens* 12). [`Clock::wall`] alone follows it. Under a paused runtime
//! the monotonic part is the paused one, so tests move time by hand.

use std::time::SystemTime;

use edge_core::time::Timestamp;
use tokio::time::Instant;

/// Tells the law what time it is; cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    anchor: Timestamp,
    started: Instant,
    /// Whether the machine's clock may be asked again.
    is_machines: bool,
}

impl Clock {
    /// A clock that reads `anchor` now and moves on monotonically.
    #[must_use]
    pub fn anchored_at(anchor: SystemTime) -> Self {
        let anchor = Timestamp::from_system_time(anchor);
        Self { anchor, started: Instant::now(), is_machines: false }
    }

    /// A clock anchored at the machine's wall clock.
    #[must_use]
    pub fn system() -> Self {
        Self { is_machines: true, ..Self::anchored_at(machines()) }
    }

    /// What the machine's clock says at this moment, stepped or not: for what others compare with
    /// theirs, as a signature's date, and for nothing else.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        if self.is_machines { Timestamp::from_system_time(machines()) } else { self.now() }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.at(Instant::now())
    }

    /// The time at `instant`, for a caller that has read the monotonic clock already.
    #[must_use]
    pub fn at(&self, instant: Instant) -> Timestamp {
        self.anchor.plus(instant.saturating_duration_since(self.started))
    }
}

fn machines() -> SystemTime {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that may ask")]
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_that_was_put_right_is_followed_by_signatures_alone() {
        let behind = machines() - Duration::from_secs(3600);
        let clock = Clock { is_machines: true, ..Clock::anchored_at(behind) };
        let hour = clock.wall().as_millis() - clock.now().as_millis();
        assert!((3_599_000..3_700_000).contains(&hour), "{hour}");
        let fixed = Clock::anchored_at(behind);
        assert!(fixed.wall().as_millis().abs_diff(fixed.now().as_millis()) < 1000);
    }
}
