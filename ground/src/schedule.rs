//! When to probe next.
//!
//! In: the last time, a check, and a draw. Out: a moment. Always holds: it lies within the jitter
//! of the interval; over all draws the mean is the interval. Nodes and targets that began together
//! so drift apart, and their probes do not come in bursts.

use std::time::Duration;

use crate::{
    moment::{Moment, millis},
    state::Pace,
};

/// First probes of a target begin within this time: a node is not ready before they came back.
const FIRST_WITHIN: Duration = Duration::from_secs(1);

/// When a new target is probed first.
#[must_use]
pub fn first(check: &impl Pace, now: Moment, draw: u64) -> Moment {
    let within = millis(check.interval().min(FIRST_WITHIN));
    now.plus(Duration::from_millis(part(draw, within)))
}

/// When a target is probed next whose last probe began at `began`.
#[must_use]
pub fn next(check: &impl Pace, began: Moment, draw: u64) -> Moment {
    let interval = millis(check.interval());
    let either_way = interval.saturating_mul(u64::from(check.jitter())) / 100;
    let early = interval.saturating_sub(either_way);
    let wait = early.saturating_add(part(draw, either_way.saturating_mul(2)));
    began.plus(Duration::from_millis(wait))
}

/// The part of `0..=whole` that a draw names.
fn part(draw: u64, whole: u64) -> u64 {
    let scaled = u128::from(draw).wrapping_mul(u128::from(whole).saturating_add(1)) >> 64;
    u64::try_from(scaled).unwrap_or(whole)
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "sums that a test may get wrong")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::state::tests::Every;

    #[test]
    fn a_draw_names_a_moment_within_the_jitter() {
        let interval = Duration::from_secs(10);
        let mut check = Every { interval, jitter: 20, ..Every::default() };
        let began = Moment::from_millis(1_000);
        let rows = [(0, 9_000), (u64::MAX / 2, 11_000), (u64::MAX, 13_000)];
        for (draw, expected) in rows {
            assert_eq!(next(&check, began, draw).as_millis(), expected, "{draw}");
        }
        assert_eq!(first(&check, began, 0).as_millis(), 1_000);
        assert_eq!(first(&check, began, u64::MAX).as_millis(), 2_000);
        check.interval = Duration::from_millis(100);
        assert_eq!(first(&check, began, u64::MAX).as_millis(), 1_100);
        check.jitter = 0;
        assert_eq!(next(&check, began, 12_345).as_millis(), 1_100);
    }

    proptest! {
        #[test]
        fn the_next_probe_is_never_early_or_late(
            interval in 100..3_600_000_u64, jitter in 0..=50_u32, draw: u64, began in 0..u64::MAX / 2,
        ) {
            let pace = Duration::from_millis(interval);
            let check = Every { interval: pace, jitter, ..Every::default() };
            let wait = next(&check, Moment::from_millis(began), draw).as_millis() - began;
            let slack = interval * u64::from(jitter) / 100;
            prop_assert!((interval - slack..=interval + slack).contains(&wait));
        }
    }
}
