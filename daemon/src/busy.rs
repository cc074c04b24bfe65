//! How busy this process keeps the processors that it may use.
//!
//! In: the processor time that the system has counted. Out: its share of what there was, of a thousand.
//! Always: a share is of a second at least; who asks sooner is told the one before. It does not know what
//! else runs on the machine, nor what the time was spent on.

use std::{num::NonZero, thread, time::Duration};

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// No share is of less.
const SPAN_MIN: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub struct Busy {
    processors: u32,
    last: Mutex<Last>,
}

#[derive(Debug)]
struct Last {
    at: Instant,
    used: Duration,
    share: Option<u16>,
}

impl Busy {
    /// Counts from now on.
    #[must_use]
    pub fn begin() -> Self {
        // As many as affinity and control groups allow.
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let last = Last { at: Instant::now(), used: used(), share: None };
        Self { processors: u32::try_from(processors).unwrap_or(u32::MAX), last: Mutex::new(last) }
    }

    /// The share since it was asked last; nothing in the first second.
    #[must_use]
    pub fn share_per_mille(&self) -> Option<u16> {
        self.last.lock().share(self.processors, Instant::now(), used)
    }
}

impl Last {
    fn share(
        &mut self,
        processors: u32,
        now: Instant,
        used: impl FnOnce() -> Duration,
    ) -> Option<u16> {
        let span = now.saturating_duration_since(self.at);
        if span >= SPAN_MIN {
            let used = used();
            let there_was = span.saturating_mul(processors.max(1));
            let share = used.saturating_sub(self.used).as_micros().saturating_mul(1000);
            let share = share.checked_div(there_was.as_micros());
            // What was counted late may make it more than there was.
            self.share = share.map(|share| u16::try_from(share).unwrap_or(1000).min(1000));
            (self.at, self.used) = (now, used);
        }
        self.share
    }
}

/// The processor time of all threads so far.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_what_there_was_since_it_was_asked_last() {
        let (begin, second) = (Instant::now(), Duration::from_secs(1));
        let mut last = Last { at: begin, used: second, share: None };
        let mut asked =
            |after: u32, used: u32| last.share(4, begin + second * after / 2, || second * used / 2);
        assert_eq!(asked(1, 9), None, "too soon to tell");
        assert_eq!(asked(2, 4), Some(250), "one of four for a second");
        assert_eq!(asked(3, 99), Some(250), "the one before");
        assert_eq!(asked(6, 4), Some(0));
        assert_eq!(asked(8, 99), Some(1000), "no more than there was");
        assert_eq!(asked(10, 1), Some(0), "time that recedes is none");
    }

    #[test]
    fn what_this_process_computes_is_counted() {
        let (before, busy) = (used(), Busy::begin());
        let mut number = 1_u64;
        while used() < before + Duration::from_millis(20) {
            number = std::hint::black_box(number).rotate_left(7);
        }
        assert_eq!(busy.share_per_mille(), None, "within a second");
        let last = &mut *busy.last.lock();
        let share = last.share(1, last.at + Duration::from_secs(2), used);
        assert!(share.is_some_and(|share| share >= 9), "{share:?} of {number}");
    }
}
