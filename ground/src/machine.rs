//! The state of one address on one port.
//!
//! In: one probe's outcome after the other. Out: up or down, and how sure that is.
//! Always holds: before the first result the state is what the check says; the first result decides
//! alone, where nothing else is known; after it, and where other checks saw the address before, a
//! state changes when `rise` passes or `fall` failures came in a row.

use std::time::Duration;

use crate::{
    moment::{Moment, millis},
    state::{Pace, PerMille, StateWord},
};

/// Changes that are remembered for flap counting.
const CHANGES_KEPT: usize = 16;
/// Attempts without a result after which nobody waits for the first one.
const BLIND_MAX: u32 = 10;

/// The state of one address on one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    state: StateWord,
    since: Moment,
    has_result: bool,
    /// Attempts so far that came to none.
    blind: u32,
    /// Whether probes said so, these or those of other checks, and nobody guessed.
    is_seen: bool,
    /// Results in a row that speak against the state.
    against: u32,
    /// Whether it was down before it was up.
    recovered: bool,
    changes: u64,
    recent: [Option<Moment>; CHANGES_KEPT],
}

impl Machine {
    /// The state before the first result.
    #[must_use]
    pub fn new(check: &impl Pace, now: Moment) -> Self {
        Self {
            state: check.before(),
            since: now,
            has_result: false,
            blind: 0,
            is_seen: false,
            against: 0,
            recovered: false,
            changes: 0,
            recent: [None; CHANGES_KEPT],
        }
    }

    /// The same state under a check that asks the same and is written differently.
    #[must_use]
    pub fn kept(&self, check: &impl Pace) -> Self {
        let against = self.against.min(self.needed(check).saturating_sub(1));
        Self { against, ..self.clone() }
    }

    /// A state that was seen by another check, and how far that had come: results of this one count
    /// as any do, though the first is still to come.
    #[must_use]
    pub fn resumed(&self, check: &impl Pace) -> Self {
        let Self { state, since, recovered, .. } = *self;
        Self { state, since, recovered, is_seen: true, ..Self::new(check, since) }
    }

    /// Which of two says more of a target that both see: who is down, and then who came back last.
    #[must_use]
    pub fn graver<'m>(&'m self, other: &'m Self) -> &'m Self {
        let rank = |one: &Self| (one.state == StateWord::Down, one.recovered, one.since);
        if rank(other) > rank(self) { other } else { self }
    }

    /// Takes a probe's outcome; the new state, if it changes.
    pub fn take(&mut self, check: &impl Pace, passed: bool, now: Moment) -> Option<StateWord> {
        let said = if passed { StateWord::Up } else { StateWord::Down };
        self.has_result = true;
        let is_first = !std::mem::replace(&mut self.is_seen, true);
        if said == self.state {
            self.against = 0;
            return None;
        }
        self.against = self.against.saturating_add(1);
        if !is_first && self.against < self.needed(check) {
            return None;
        }
        self.against = 0;
        self.state = said;
        self.since = now;
        // What was never seen down does not come back: it begins.
        self.recovered = said == StateWord::Up && !is_first;
        self.changes = self.changes.saturating_add(1);
        self.recent.rotate_right(1);
        if let Some(newest) = self.recent.first_mut() {
            *newest = Some(now);
        }
        Some(said)
    }

    /// Notes that a probe came to no result: nothing is known that was not before.
    pub const fn blind(&mut self) {
        self.blind = self.blind.saturating_add(1);
    }

    /// Whether its first result is still to be waited for: none has come, and one may.
    #[must_use]
    pub const fn is_awaited(&self) -> bool {
        !self.has_result && self.blind < BLIND_MAX
    }

    /// Up or down.
    #[must_use]
    pub const fn state(&self) -> StateWord {
        self.state
    }

    /// Whether that is what probes saw.
    pub const fn is_seen(&self) -> bool {
        self.is_seen
    }

    /// Since when.
    #[must_use]
    pub const fn since(&self) -> Moment {
        self.since
    }

    /// Whether a result has come at all.
    #[must_use]
    pub const fn has_result(&self) -> bool {
        self.has_result
    }

    /// Whether the state may change with the next results: none has come yet, or the last spoke
    /// against it.
    #[must_use]
    pub const fn in_doubt(&self) -> bool {
        !self.has_result || self.against > 0
    }

    /// Changes of state since the start.
    #[must_use]
    pub const fn changes(&self) -> u64 {
        self.changes
    }

    /// Changes of state within the last `window`, as far as they are remembered.
    #[must_use]
    pub fn flaps(&self, window: Duration, now: Moment) -> u32 {
        let recent = self.recent.iter().flatten().filter(|at| now.since(**at) <= window);
        u32::try_from(recent.count()).unwrap_or(u32::MAX)
    }

    /// The share of its clients that it takes: all, or less and growing after it was down.
    #[must_use]
    pub fn ramp(&self, ramp_up: Duration, now: Moment) -> PerMille {
        let whole = millis(ramp_up);
        if !self.recovered || whole == 0 {
            return PerMille::ALL;
        }
        let share = millis(now.since(self.since)).saturating_mul(1000).checked_div(whole);
        let share = share.and_then(|share| u16::try_from(share).ok());
        // A PoP that takes nobody would never show that it can.
        PerMille(share.unwrap_or(u16::MAX).clamp(1, PerMille::ALL.0))
    }

    /// How long it takes at least until the state can change.
    #[must_use]
    pub fn time_to_change(&self, check: &impl Pace) -> Duration {
        let needed = if self.is_seen { self.needed(check) } else { 1 };
        check.interval().saturating_mul(needed.saturating_sub(self.against).max(1))
    }

    fn needed(&self, check: &impl Pace) -> u32 {
        match self.state {
            StateWord::Up => check.fall(),
            StateWord::Down => check.rise(),
        }
    }

    /// What always holds, for tests to ask after each step.
    #[doc(hidden)]
    pub fn check_invariants(&self, check: &impl Pace) {
        assert!(self.against < self.needed(check) || self.needed(check) == 0);
        assert!(self.has_result || (self.changes == 0 && self.against == 0));
        assert!(self.is_seen || !self.has_result);
        assert!(!self.recovered || self.state == StateWord::Up);
        let kept = self.recent.iter().flatten().count();
        assert!(u64::try_from(kept) == Ok(self.changes.min(CHANGES_KEPT as u64)));
        assert!(self.recent.iter().flatten().is_sorted_by(|a, b| a >= b));
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "sums that a test may get wrong")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::state::tests::Every;

    fn check(rise: u32, fall: u32) -> Every {
        Every { rise, fall, ..Every::default() }
    }

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    /// The states after each of a row of results, `+` passed and `-` failed.
    fn states(check: &Every, results: &str) -> String {
        let mut machine = Machine::new(check, at(0));
        let step = |(second, result): (u64, char)| {
            machine.take(check, result == '+', at(second));
            machine.check_invariants(check);
            let state = if machine.state() == StateWord::Up { 'U' } else { 'D' };
            if machine.in_doubt() { state.to_ascii_lowercase() } else { state }
        };
        (1..).zip(results.chars()).map(step).collect()
    }

    #[test]
    fn a_state_changes_after_as_many_results_in_a_row() {
        // Lower case is in doubt.
        let rows = [
            ("the first result decides alone", 2, 3, "-", "D"),
            ("and so does the first pass", 2, 3, "+", "U"),
            ("fall", 2, 3, "+---", "UuuD"),
            ("a pass between begins anew", 2, 3, "+--+---", "UuuUuuD"),
            ("rise", 2, 3, "-++", "DdU"),
            ("a failure between begins anew", 3, 1, "-++-+++", "DddDddU"),
            ("one of each", 1, 1, "+-+-", "UDUD"),
            ("and back", 2, 2, "+--++--", "UuDdUuD"),
        ];
        for (name, rise, fall, results, expected) in rows {
            assert_eq!(states(&check(rise, fall), results), expected, "{name}");
        }
        let down_first = Every { before: StateWord::Down, ..check(3, 3) };
        let machine = Machine::new(&down_first, at(0));
        assert_eq!(
            (machine.state(), machine.in_doubt(), machine.has_result()),
            (StateWord::Down, true, false)
        );
        assert_eq!(states(&down_first, "+"), "U");
    }

    #[test]
    fn changes_are_counted_and_forgotten() {
        let check = check(1, 1);
        let mut machine = Machine::new(&check, at(0));
        for second in 1..=40 {
            machine.take(&check, second % 2 == 0, at(second));
        }
        assert_eq!(machine.changes(), 40);
        let flaps = |window, now| machine.flaps(Duration::from_secs(window), at(now));
        assert_eq!(flaps(9, 40), 10);
        assert_eq!(flaps(1_000, 40), 16, "as many as are remembered");
        assert_eq!(flaps(9, 100), 0);
    }

    #[test]
    fn what_comes_back_ramps_up_and_what_begins_does_not() {
        let check = check(1, 1);
        let ramp = Duration::from_secs(100);
        let mut machine = Machine::new(&check, at(0));
        machine.take(&check, true, at(0));
        assert_eq!(machine.ramp(ramp, at(1)), PerMille::ALL);
        machine.take(&check, false, at(10));
        machine.take(&check, true, at(20));
        let rows = [(20, 1), (21, 10), (70, 500), (119, 990), (120, 1000), (10_000, 1000)];
        for (now, share) in rows {
            assert_eq!(machine.ramp(ramp, at(now)), PerMille(share), "{now}");
        }
        assert_eq!(machine.ramp(Duration::ZERO, at(20)), PerMille::ALL);
        let down_first = Every { before: StateWord::Down, ..check };
        let mut begins = Machine::new(&down_first, at(0));
        begins.take(&down_first, true, at(5));
        assert_eq!(begins.ramp(ramp, at(5)), PerMille::ALL);
    }

    proptest! {
        #[test]
        fn a_machine_is_always_in_order(
            rise in 1..5_u32, fall in 1..5_u32, up_first: bool, results in prop::collection::vec(any::<bool>(), 0..80),
        ) {
            let before = if up_first { StateWord::Up } else { StateWord::Down };
            let check = Every { before, ..check(rise, fall) };
            let mut machine = Machine::new(&check, at(0));
            let mut said = Vec::new();
            for (second, passed) in (1..).zip(results) {
                let before = machine.state();
                let change = machine.take(&check, passed, at(second));
                machine.check_invariants(&check);
                said.push(passed);
                prop_assert_eq!(change.is_some(), machine.state() != before);
                // The plain rule: after the first, as many of one kind in a row at the end.
                if let Some(state) = change {
                    let needed = if state == StateWord::Up { rise } else { fall };
                    let count = said.iter().rev().take_while(|one| **one == passed).count();
                    prop_assert!(said.len() == 1 || count >= usize::try_from(needed).unwrap());
                }
                prop_assert!(machine.time_to_change(&check) >= check.interval);
            }
        }
    }
}
