//! When requests fall due: evenly, from a start that nothing moves.
//!
//! In: a rate and a length. Out: the numbers of requests that are due, with the time that they were
//! due at. What always holds: the n-th request is due at n / rate after the start, no matter when
//! it is taken. Times are durations since the start.

use std::time::Duration;

/// The schedule of one run.
pub(crate) struct Schedule {
    #[expect(clippy::disallowed_types, reason = "a load measures real time; nothing pauses it")]
    start: std::time::Instant,
    rate: f64,
    total: u64,
    taken: u64,
}

impl Schedule {
    /// A run of `rate` requests a second that begins now.
    pub(crate) fn start(rate: f64, seconds: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "a count of requests, far below 2^53")]
        #[expect(clippy::cast_sign_loss, reason = "both are positive")]
        let total = (rate * seconds) as u64;
        #[expect(clippy::disallowed_types, reason = "a load measures real time; nothing pauses it")]
        let start = std::time::Instant::now();
        Self { start, rate, total, taken: 0 }
    }

    /// The time since the start.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// When the last request is due.
    pub(crate) fn end(&self) -> Duration {
        self.due(self.total)
    }

    /// The next request, if it is due.
    pub(crate) fn take_due(&mut self, now: Duration) -> Option<(u64, Duration)> {
        let (number, due) = (self.taken, self.due(self.taken));
        if self.is_over() || due > now {
            return None;
        }
        self.taken += 1;
        Some((number, due))
    }

    /// Whether every request has been taken.
    pub(crate) fn is_over(&self) -> bool {
        self.left() == 0
    }

    /// How many have not been taken.
    pub(crate) fn left(&self) -> u64 {
        self.total - self.taken
    }

    fn due(&self, number: u64) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "a count of requests, far below 2^53")]
        Duration::from_secs_f64(number as f64 / self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_fall_due_by_their_number_however_late_they_are_taken() {
        let mut schedule = Schedule::start(10.0, 1.0);
        assert_eq!(schedule.take_due(Duration::ZERO), Some((0, Duration::ZERO)));
        assert_eq!(schedule.take_due(Duration::from_millis(99)), None);
        let late = Duration::from_secs(9);
        assert_eq!(schedule.take_due(late), Some((1, Duration::from_millis(100))));
        assert_eq!(schedule.take_due(late), Some((2, Duration::from_millis(200))));
        assert_eq!(schedule.left(), 7);
        assert_eq!((0..9).filter_map(|_| schedule.take_due(late)).count(), 7);
        assert!(schedule.is_over());
    }
}
