//! How many requests a server may have at once, as far as its answers tell.
//!
//! In: how long each response took to its first byte, and what was not answered in time. Out: a limit.
//! It is found by trying: in turn the limit is what has proved right, and a quarter more, each for a
//! round of responses. Requests in flight are throughput times time (Little's law): where times stay as
//! they are, more requests at once were more answers a second, and the limit grows by that quarter;
//! where times rise along with it, requests only waited for each other at the server, and it shrinks by
//! as much.
//! Nothing is believed of how fast the server once was, so a quick answer says nothing of a slow one:
//! rounds are compared with their neighbours alone, in an order in which what changes meanwhile cancels,
//! and by the ratios of times, in which a few long ones count for no more than others. The limit
//! shrinks only if two pairs of rounds say so alike, and grows by the mean of both: what chance, or a
//! client's bursts, make one way as often as the other lets it grow.
//! Where more than half of the requests are not answered in time it is halved.
//! Always holds: the limit lies between [`LEAST`] and what the settings allow; it grows only while it is
//! used. Times are to the first byte, so it does not see whose content is slow.

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "sums that a test may get wrong")]
mod tests;

use std::time::Duration;

use ground::moment::Moment;

/// No server is held to less.
pub const LEAST: u32 = 4;
/// The first limit, where the settings allow as much.
const FIRST: u32 = 32;
/// The least that is tried beyond what has proved right.
const STEP_MIN: u32 = 2;
/// A round has so many responses for each request that may be in flight, and no fewer than the second
/// number. Of 32 at once, of which one in twenty takes a hundred times as long as the others, one trial
/// in a hundred then shrinks the limit for nothing, and three of four let it grow.
const ROUND: (u32, u32) = (4, 64);
/// No round is shorter: what shakes the server for a moment shakes both rounds of a pair.
const ROUND_MIN: Duration = Duration::from_millis(100);
/// The limit grows where times rise by less than the first part of what they would if all that more
/// requests did was to wait, and shrinks where they rise by more than the second.
const RISE: (f64, f64) = (0.25, 0.75);

/// The limit of one server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// What has proved right.
    base: u32,
    max: u32,
    /// Rounds so far.
    turn: u32,
    round: Round,
    /// The mean logarithms of times in the lower and the higher round of a pair that is not whole yet.
    halves: [Option<f64>; 2],
    /// By how much the higher round's was more, in the first pair of this trial.
    first: Option<f64>,
    /// Requests that are over since the last look, and how many of them were not answered in time.
    over: (u32, u32),
}

/// Responses at one limit.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Round {
    /// Responses until the server has done what it was asked at the limit before.
    settling: u32,
    began: Moment,
    responses: u32,
    /// The sum of their times' logarithms.
    sum: f64,
}

impl Limit {
    /// The limit of a server of which nothing is known.
    #[must_use]
    pub fn new(max: u32, now: Moment) -> Self {
        Self::from(FIRST, max, now)
    }

    /// The same under settings that may allow another number.
    #[must_use]
    pub fn within(self, max: u32, now: Moment) -> Self {
        Self::from(self.base, max, now)
    }

    fn from(base: u32, max: u32, now: Moment) -> Self {
        Self {
            base: fitting(base, max),
            max,
            turn: 0,
            round: Round::after(0, now),
            halves: [None; 2],
            first: None,
            over: (0, 0),
        }
    }

    /// Requests that it may have at once.
    #[must_use]
    pub fn value(&self) -> u32 {
        if self.is_higher() { self.higher() } else { self.lower() }
    }

    /// A response came after `took`, while the server had so many requests.
    pub fn answered(&mut self, took: Duration, in_flight: u32, now: Moment) {
        self.count(0, now);
        let limit = self.value();
        let round = &mut self.round;
        if round.settling > 0 {
            round.settling = round.settling.saturating_sub(1);
            round.began = now;
            return;
        }
        // A round is told of by what was sent within it, and while there are enough requests: a few less
        // than the limit, for others are on their way from the queue.
        if took > now.since(round.began) || in_flight < limit.saturating_sub(limit / 8) {
            return;
        }
        round.responses = round.responses.saturating_add(1);
        round.sum += took.as_secs_f64().max(1e-6).ln();
        let enough = limit.saturating_mul(ROUND.0).max(ROUND.1);
        if round.responses >= enough && now.since(round.began) >= ROUND_MIN {
            self.end_round(now);
        }
    }

    /// A request was not answered in time.
    pub fn was_late(&mut self, now: Moment) {
        self.count(1, now);
    }

    /// A request is over. Looks at as many as may be in flight, each once: a client that has a few hang
    /// takes nothing from others.
    fn count(&mut self, late: u32, now: Moment) {
        let (over, known) = self.over;
        let (over, late) = (over.saturating_add(1), known.saturating_add(late));
        self.over = (over, late);
        if over < self.value() {
            return;
        }
        self.over = (0, 0);
        if late > over / 2 {
            *self = Self::from((self.base / 2).max(self.least()), self.max, now);
        }
    }

    fn end_round(&mut self, now: Moment) {
        let mean = self.round.sum / f64::from(self.round.responses);
        let is_higher = self.is_higher();
        let [lower, higher] = &mut self.halves;
        *(if is_higher { higher } else { lower }) = Some(mean);
        if let [Some(lower), Some(higher)] = self.halves {
            self.halves = [None; 2];
            match self.first.take() {
                None => self.first = Some(higher - lower),
                Some(first) => self.base = self.judged(first, higher - lower),
            }
        }
        self.turn = self.turn.wrapping_add(1);
        self.round = Round::after(self.value(), now);
    }

    /// The next limit, where the logarithms of times were more by these in the higher rounds.
    fn judged(&self, first: f64, second: f64) -> u32 {
        let all = (f64::from(self.higher()) / f64::from(self.lower())).ln();
        if first.min(second) > all * RISE.1 {
            self.less()
        } else if (first + second) / 2.0 < all * RISE.0 {
            self.higher()
        } else {
            self.base
        }
    }

    /// Whether this round is one of the higher, in the order of Thue and Morse (low, high, high, low,
    /// then the other way round): what gets slower or faster all the while does so for both.
    fn is_higher(&self) -> bool {
        self.turn.count_ones() % 2 == 1
    }

    /// Where there is no more to try, less has to be.
    fn lower(&self) -> u32 {
        if self.base < self.higher() { self.base } else { self.less() }
    }

    fn higher(&self) -> u32 {
        let step = (self.base / 4).max(STEP_MIN);
        fitting(self.base.saturating_add(step), self.max)
    }

    fn less(&self) -> u32 {
        self.base.saturating_sub(self.base.div_ceil(5)).max(self.least())
    }

    fn least(&self) -> u32 {
        LEAST.min(self.max)
    }
}

/// What leaves too little beyond it to be tried is all.
fn fitting(limit: u32, max: u32) -> u32 {
    if limit.saturating_add(limit / 4) > max { max } else { limit }
}

impl Round {
    fn after(settling: u32, now: Moment) -> Self {
        Self { settling, began: now, responses: 0, sum: 0.0 }
    }
}
