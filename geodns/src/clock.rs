//! The one place of this package that reads time.
//!
//! In: nothing. Out: [`Now`]: the monotonic time since the start, and the Unix time that cookies
//! carry. Always holds: the wall clock is read once, at the start; from then on time only moves
//! forward (ARCHITECTURE.md *What never happens* 12).
//! It deliberately knows no deadline and no timer.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use geodns_core::moment::Moment;
use tokio::time::Instant;

/// Tells what time it is; cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    /// The wall clock at the start, since the Unix epoch.
    anchor: Duration,
}

/// A point in time, as all its readers need it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Time since the start.
    pub since_start: Duration,
    /// Time since the Unix epoch.
    pub unix: Duration,
}

impl Clock {
    /// A clock that reads `anchor` now and moves on monotonically.
    #[must_use]
    pub fn anchored_at(anchor: SystemTime) -> Self {
        let anchor = anchor.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), anchor }
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
    pub fn now(&self) -> Now {
        let since_start = self.started.elapsed();
        Now { since_start, unix: self.anchor.saturating_add(since_start) }
    }

    /// The instant that was so long after the start.
    #[must_use]
    pub fn instant_at(&self, since_start: Duration) -> Instant {
        self.started + since_start
    }

    /// A time since the start, as health counts it; one before it is the start.
    #[must_use]
    pub fn moment_at(&self, time: Instant) -> Moment {
        let since_start = time.saturating_duration_since(self.started);
        Now { since_start, unix: Duration::ZERO }.moment()
    }

    /// The time now, as health counts it.
    #[must_use]
    pub fn moment(&self) -> Moment {
        self.now().moment()
    }
}

impl Now {
    /// Seconds of the Unix epoch, modulo 2^32 as cookies count them (RFC 9018 §4.3).
    #[must_use]
    pub fn unix_seconds(self) -> u32 {
        u32::try_from(self.unix.as_secs() & u64::from(u32::MAX)).unwrap_or_default()
    }

    /// The same, as health counts it.
    #[must_use]
    pub fn moment(self) -> Moment {
        Moment::from_millis(u64::try_from(self.since_start.as_millis()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_is_the_anchor_plus_what_passed() {
        let clock = Clock::anchored_at(UNIX_EPOCH + Duration::from_secs((1 << 32) + 7));
        assert_eq!((clock.now().since_start, clock.now().unix_seconds()), (Duration::ZERO, 7));
        tokio::time::advance(Duration::from_millis(2500)).await;
        let now = clock.now();
        assert_eq!((now.since_start.as_millis(), now.unix_seconds()), (2500, 9));
        assert_eq!(now.moment(), Moment::from_millis(2500));
    }
}
