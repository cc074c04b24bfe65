//! The one place that reads time for the caching law.
//!
//! `now` is a wall-clock anchor, read once at start, plus monotonic time since: a stepped wall
//! clock neither freshens nor ages what is stored
//! (ARCHITECTURE.md *What never happens* 12). Under a paused runtime
//! the monotonic part is the paused one, so tests move time by hand.

use std::time::SystemTime;

use edge_core::time::Timestamp;
use tokio::time::Instant;

/// Tells the law what time it is; cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    anchor: Timestamp,
    started: Instant,
}

impl Clock {
    /// A clock that reads `anchor` now and moves on monotonically.
    #[must_use]
    pub fn anchored_at(anchor: SystemTime) -> Self {
        Self { anchor: Timestamp::from_system_time(anchor), started: Instant::now() }
    }

    /// A clock anchored at the machine's wall clock.
    #[must_use]
    pub fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that may ask")]
        let now = SystemTime::now();
        Self::anchored_at(now)
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
