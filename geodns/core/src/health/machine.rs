//! The state of one address on one port.
//!
//! In: one probe's outcome after the other. Out: up or down, and how sure that is.
//! Always holds: before the first result the state is what the check says; the first result decides
//! alone, where nothing else is known; after it, and where other checks saw the address before, a
//! state changes when `rise` passes or `fall` failures came in a row.

use std::time::Duration;

use crate::{
    moment::{Moment, millis},
    settings::{CheckSettings, StateWord},
    standing::PerMille,
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
    pub fn new(check: &CheckSettings, now: Moment) -> Self {
        Self {
            state: check.before,
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
    pub(super) fn kept(&self, check: &CheckSettings) -> Self {
        let against = self.against.min(self.needed(check).saturating_sub(1));
        Self { against, ..self.clone() }
    }

    /// A state that was seen by another check, and how far that had come: results of this one count
    /// as any do, though the first is still to come.
    #[must_use]
    pub(super) fn resumed(&self, check: &CheckSettings) -> Self {
        let Self { state, since, recovered, .. } = *self;
        Self { state, since, recovered, is_seen: true, ..Self::new(check, since) }
    }

    /// Which of two says more of an address that both see: who is down, and then who came back last.
    pub(super) fn graver<'m>(&'m self, other: &'m Self) -> &'m Self {
        let rank = |one: &Self| (one.state == StateWord::Down, one.recovered, one.since);
        if rank(other) > rank(self) { other } else { self }
    }

    /// Takes a probe's outcome; the new state, if it changes.
    pub fn take(&mut self, check: &CheckSettings, passed: bool, now: Moment) -> Option<StateWord> {
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
    pub(super) const fn blind(&mut self) {
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
    pub(super) const fn is_seen(&self) -> bool {
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
    pub fn time_to_change(&self, check: &CheckSettings) -> Duration {
        let needed = if self.is_seen { self.needed(check) } else { 1 };
        check.interval.saturating_mul(needed.saturating_sub(self.against).max(1))
    }

    fn needed(&self, check: &CheckSettings) -> u32 {
        match self.state {
            StateWord::Up => check.fall,
            StateWord::Down => check.rise,
        }
    }

    /// What always holds, for tests to ask after each step.
    #[cfg(test)]
    pub(super) fn check_invariants(&self, check: &CheckSettings) {
        assert!(self.against < self.needed(check) || self.needed(check) == 0);
        assert!(self.has_result || (self.changes == 0 && self.against == 0));
        assert!(self.is_seen || !self.has_result);
        assert!(!self.recovered || self.state == StateWord::Up);
        let kept = self.recent.iter().flatten().count();
        assert_eq!(u64::try_from(kept).unwrap(), self.changes.min(CHANGES_KEPT as u64));
        assert!(self.recent.iter().flatten().is_sorted_by(|a, b| a >= b));
    }
}
