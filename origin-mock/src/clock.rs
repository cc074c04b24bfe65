//! The wall clock that is handed in, and the HTTP-date made from it.
//!
//! In: a function that tells the time. Out: HTTP-dates (RFC 9110 §5.6.7).
//! Always holds: nothing else in this crate asks for the wall time, so a test that pauses its
//! runtime moves every `Date` and every recorded time with it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tells the wall time; whoever builds an origin supplies it.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The last second that an HTTP-date can write: its year has four digits.
const LAST_SECOND: u64 = 253_402_300_799;

/// A clock that stood at `start` when it was made and moves with the runtime's time since, so that
/// it stops where the runtime's time is paused.
#[must_use]
pub fn anchored(start: SystemTime) -> Clock {
    let anchor = tokio::time::Instant::now();
    Arc::new(move || start + anchor.elapsed())
}

/// The HTTP-date of a time, moved by some seconds and kept within what an HTTP-date can say.
#[must_use]
pub fn http_date(time: SystemTime, offset_seconds: i64) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let moved = seconds.saturating_add_signed(offset_seconds).min(LAST_SECOND);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(moved))
}

/// The time that an HTTP-date names, in any of its three forms.
#[must_use]
pub fn parse_http_date(value: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(std::str::from_utf8(value).ok()?.trim()).ok()
}

/// A time without its fraction of a second, which no HTTP-date can carry.
#[must_use]
pub fn whole_seconds(time: SystemTime) -> SystemTime {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    UNIX_EPOCH + Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_date_moves_and_never_leaves_four_digit_years() {
        let rows = [
            (784_111_777, 0, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (784_111_777, 60, "Sun, 06 Nov 1994 08:50:37 GMT"),
            (784_111_777, -37, "Sun, 06 Nov 1994 08:49:00 GMT"),
            (5, -60, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (5, i64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ];
        for (seconds, offset, expected) in rows {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(http_date(time, offset), expected, "{seconds} {offset}");
        }
    }
}
