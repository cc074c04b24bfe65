//! How often a token may ask.
//!
//! In: a token's id, the time. Out: whether it may, or when it may again. Always: only tokens that
//! were proven are counted, so that strangers cannot fill the table. It knows no request.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

/// From here on tokens that rest are forgotten.
const REMEMBERED_MAX: usize = 2048;

/// See the module.
pub(super) struct Rates {
    per_second: f64,
    of: Mutex<HashMap<String, Bucket>>,
}

/// What is left to a token, and as of when.
struct Bucket {
    left: f64,
    at: Instant,
}

impl Rates {
    pub(super) fn new(per_second: u32) -> Self {
        Self { per_second: f64::from(per_second.max(1)), of: Mutex::default() }
    }

    /// Takes one request of `token`; else how long until the next.
    pub(super) fn take(&self, token: &str, now: Instant) -> Result<(), Duration> {
        let rate = self.per_second;
        let mut of = self.of.lock();
        let left = |bucket: &Bucket| {
            let rested = now.saturating_duration_since(bucket.at).as_secs_f64();
            (bucket.left + rested * rate).min(rate)
        };
        if of.len() >= REMEMBERED_MAX {
            of.retain(|_, bucket| left(bucket) < rate);
        }
        let now_left = of.get(token).map_or(rate, left);
        let (after, result) = if now_left >= 1.0 {
            (now_left - 1.0, Ok(()))
        } else {
            (now_left, Err(Duration::from_secs_f64((1.0 - now_left) / rate)))
        };
        of.insert(token.to_owned(), Bucket { left: after, at: now });
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_its_rate_and_takes_nobody_elses() {
        let rates = Rates::new(3);
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(rates.take("a", start), Ok(()));
        }
        let wait = rates.take("a", start).unwrap_err();
        assert!(wait > Duration::from_millis(300) && wait < Duration::from_millis(340), "{wait:?}");
        assert_eq!(rates.take("b", start), Ok(()));
        let later = start + Duration::from_millis(350);
        assert_eq!(rates.take("a", later), Ok(()));
        rates.take("a", later).unwrap_err();
        let rested = start + Duration::from_secs(60);
        let taken = (0..10).filter(|_| rates.take("a", rested).is_ok()).count();
        assert_eq!(taken, 3, "a rest saves up no more than one second");
    }
}
