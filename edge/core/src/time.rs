//! Points in time as the law sees them: milliseconds since the Unix epoch.
//!
//! Arithmetic saturates: a clock before 1970 or an age of millennia is clamped, never wrapped.
//! Where a timestamp comes from (a wall anchor plus monotonic time) is the edge's business.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in time, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The point `millis` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// The point `seconds` seconds after the Unix epoch.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// The time from `earlier` to this point; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This point moved on by `duration`.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// Reads an HTTP-date in any of its three forms (RFC 9110 §5.6.7).
    ///
    /// A date before 1970 reads as the epoch, which is as stale as any.
    #[must_use]
    pub fn from_http_date(text: &str) -> Option<Self> {
        let time = httpdate::parse_http_date(text.trim_matches([' ', '\t'])).ok()?;
        Some(Self::from_system_time(time))
    }

    /// This point as an IMF-fixdate (RFC 9110 §5.6.7).
    #[must_use]
    pub fn to_http_date(self) -> String {
        // 9999-12-31T23:59:59Z is the last date that the form can hold.
        let since = Duration::from_secs(self.as_secs().min(253_402_300_799));
        httpdate::fmt_http_date(UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH))
    }

    /// The point that a system time names; before 1970 it is the epoch.
    #[must_use]
    pub fn from_system_time(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}
