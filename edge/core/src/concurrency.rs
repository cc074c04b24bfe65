//! How many requests a server may have at once, as far as its answers tell.
//!
//! In: how long each response took to its first byte, and what broke off. Out: a limit.
//! As long as responses take as long as they do when the server has little to do, the limit grows; when
//! they take longer, requests wait for each other there rather than here, and it shrinks, by the rule of
//! TCP Vegas: what waits is the limit's share of the time that is spent waiting. A request that the
//! server did not answer in time cuts it by a tenth.
//! Always holds: the limit lies between [`LEAST`] and what the settings allow; it grows only while it is
//! used, by one for each round of as many responses.

use std::time::Duration;

use ground::moment::Moment;

/// No server is held to less.
pub const LEAST: u32 = 4;
/// The first limit, where the settings allow as much.
const FIRST: u32 = 32;
/// Requests that may wait at the server before the limit shrinks, and fewer than which let it grow.
const WAITING: (u32, u32) = (3, 6);
/// How long the shortest time is believed: a server may have become slower for good.
const BELIEVED: Duration = Duration::from_secs(60);

/// The limit of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    now: u32,
    max: u32,
    /// The shortest times, in microseconds, of this minute and the one before.
    shortest: (Option<u64>, Option<u64>),
    began: Moment,
    /// Responses of this round, and the sum of their times.
    round: (u32, u64),
    /// Whether the limit was reached in this round.
    was_reached: bool,
}

impl Limit {
    /// The limit of a server of which nothing is known.
    #[must_use]
    pub fn new(max: u32, now: Moment) -> Self {
        Self {
            now: FIRST.min(max),
            max,
            shortest: (None, None),
            began: now,
            round: (0, 0),
            was_reached: false,
        }
    }

    /// Requests that it may have at once.
    #[must_use]
    pub const fn value(&self) -> u32 {
        self.now
    }

    /// A response came after `took`, while the server had so many requests.
    pub fn answered(&mut self, took: Duration, in_flight: u32, now: Moment) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        if now.since(self.began) >= BELIEVED {
            self.shortest = (None, self.shortest.0);
            self.began = now;
        }
        self.shortest.0 = Some(self.shortest.0.map_or(micros, |least| least.min(micros)));
        self.was_reached |= in_flight >= self.now;
        let (count, sum) = self.round;
        self.round = (count.saturating_add(1), sum.saturating_add(micros));
        if self.round.0 >= self.now {
            self.end_round();
        }
    }

    /// A request was not answered in time.
    pub fn was_late(&mut self) {
        let tenth = self.now.div_ceil(10);
        self.now = self.now.saturating_sub(tenth).max(LEAST.min(self.max));
        self.round = (0, 0);
        self.was_reached = false;
    }

    fn end_round(&mut self) {
        let (count, sum) = std::mem::take(&mut self.round);
        let was_reached = std::mem::take(&mut self.was_reached);
        let mean = sum.checked_div(count.into()).unwrap_or(0).max(1);
        let shortest = [self.shortest.0, self.shortest.1].into_iter().flatten().min();
        let excess = mean.saturating_sub(shortest.unwrap_or(mean));
        let waiting = u128::from(self.now).saturating_mul(u128::from(excess));
        let waiting = waiting.checked_div(u128::from(mean)).unwrap_or(0);
        if waiting > u128::from(WAITING.1) {
            self.now = self.now.saturating_sub(1).max(LEAST.min(self.max));
        } else if waiting < u128::from(WAITING.0) && was_reached {
            self.now = self.now.saturating_add(1).min(self.max);
        }
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "sums that a test may get wrong")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    /// The limit after `rounds` of a server that takes 10 ms for as many as it can do at once, and
    /// longer in proportion for more; clients have always more to ask.
    fn settled(capacity: u32, max: u32, responses: u32) -> u32 {
        let mut limit = Limit::new(max, at(0));
        for number in 0..responses {
            let load = limit.value();
            let micros = u64::from(10_000 * load.max(capacity) / capacity);
            limit.answered(Duration::from_micros(micros), load, at(u64::from(number / 100)));
            // Now and then it has little to do, and shows how fast it is.
            if number % 500 == 0 {
                limit.answered(Duration::from_millis(10), 1, at(u64::from(number / 100)));
            }
        }
        limit.value()
    }

    #[test]
    fn the_limit_finds_what_a_server_can_do() {
        for capacity in [10, 50, 150] {
            let limit = settled(capacity, 1000, 200_000);
            assert!((capacity..=capacity + 8).contains(&limit), "{capacity}: {limit}");
        }
        assert_eq!(settled(100, 20, 50_000), 20, "never more than the settings allow");
        assert_eq!(settled(1, 3, 50_000), 3);
    }

    #[test]
    fn a_limit_that_is_not_used_does_not_grow() {
        let mut limit = Limit::new(1000, at(0));
        for _ in 0..10_000 {
            limit.answered(Duration::from_millis(1), 5, at(0));
        }
        assert_eq!(limit.value(), FIRST);
    }

    #[test]
    fn who_does_not_answer_in_time_gets_less() {
        let mut limit = Limit::new(1000, at(0));
        limit.was_late();
        assert_eq!(limit.value(), 28);
        for _ in 0..100 {
            limit.was_late();
        }
        assert_eq!(limit.value(), LEAST);
    }

    #[test]
    fn a_server_that_has_become_slower_for_good_is_believed_in_time() {
        let mut limit = Limit::new(64, at(0));
        for number in 0..400_000_u64 {
            let micros = if number < 10_000 { 1_000 } else { 2_000 };
            limit.answered(Duration::from_micros(micros), limit.value(), at(number));
        }
        assert_eq!(limit.value(), 64);
    }

    proptest! {
        #[test]
        fn a_limit_is_always_within_its_bounds(
            max in 1_u32..200,
            events in prop::collection::vec((0_u64..1_000_000, 0_u32..300, any::<bool>()), 0..600),
        ) {
            let mut limit = Limit::new(max, at(0));
            for (number, (micros, in_flight, is_late)) in (0_u64..).zip(events) {
                if is_late {
                    limit.was_late();
                } else {
                    limit.answered(Duration::from_micros(micros), in_flight, at(number * 500));
                }
                prop_assert!((LEAST.min(max)..=max).contains(&limit.value()));
            }
        }
    }
}
