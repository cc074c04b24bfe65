//! The PoPs that are left in a policy, in order.
//!
//! In: a client's list, or the PoPs that follow it. Out: what filters leave. Always holds: a PoP
//! stands once; there is room for every PoP of a fleet.
//! Hot path: a slate is made once per thread and filled again for each query; nothing allocates.

use crate::{
    fleet::{POPS_MAX, PopId, PopSet},
    locate::Ranked,
};

/// A PoP that is left.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Candidate {
    /// The PoP.
    pub pop: PopId,
    /// Its place in the list it comes from.
    pub place: u16,
    /// The place behind the last one of those that are as near.
    pub band_end: u16,
    /// What it was last ordered by.
    score: f64,
}

/// The PoPs that are left, in order.
#[derive(Clone, Debug)]
pub struct Slate {
    candidates: [Candidate; POPS_MAX],
    count: usize,
}

impl Default for Slate {
    fn default() -> Self {
        Self { candidates: [Candidate::default(); POPS_MAX], count: 0 }
    }
}

impl Slate {
    /// An empty slate.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins with a list.
    pub fn fill(&mut self, ranked: &[Ranked]) {
        let candidate = |(ranked, place): (&Ranked, u16)| Candidate {
            pop: ranked.pop,
            place,
            band_end: u16::from(ranked.band_end),
            score: 0.0,
        };
        self.begin(ranked.iter().zip(0..).map(candidate));
    }

    /// Begins with the PoPs that follow a list, none as near as another.
    pub fn fill_rest(&mut self, rest: &[PopId]) {
        let candidate = |(pop, place): (&PopId, u16)| Candidate {
            pop: *pop,
            place,
            band_end: place.saturating_add(1),
            score: 0.0,
        };
        self.begin(rest.iter().zip(0..).map(candidate));
    }

    fn begin(&mut self, candidates: impl Iterator<Item = Candidate>) {
        self.count = 0;
        for (slot, candidate) in self.candidates.iter_mut().zip(candidates) {
            *slot = candidate;
            self.count = self.count.saturating_add(1);
        }
    }

    /// What is left.
    #[must_use]
    pub fn candidates(&self) -> &[Candidate] {
        self.candidates.get(..self.count).unwrap_or_default()
    }

    /// The PoPs that are left.
    pub fn pops(&self) -> impl Iterator<Item = PopId> {
        self.candidates().iter().map(|candidate| candidate.pop)
    }

    /// Whether none is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether all that are left are in `set`.
    pub(super) fn is_within(&self, set: &PopSet) -> bool {
        self.pops().all(|pop| set.contains(pop))
    }

    /// Keeps those that `keep` says to.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Candidate) -> bool) {
        let mut kept = 0_usize;
        for index in 0..self.count {
            let Some(candidate) = self.candidates.get(index).copied() else { break };
            if keep(&candidate) {
                // Mostly nobody before it was dropped.
                if kept != index
                    && let Some(slot) = self.candidates.get_mut(kept)
                {
                    *slot = candidate;
                }
                kept = kept.saturating_add(1);
            }
        }
        self.count = kept;
    }

    /// Orders by a score, lowest first; equal ones stay in order.
    pub(super) fn order_by(&mut self, mut score: impl FnMut(&Candidate) -> f64) {
        let Some(candidates) = self.candidates.get_mut(..self.count) else { return };
        // One alone is in order: this is what `nearest` leaves of most lists.
        if candidates.len() < 2 {
            return;
        }
        for candidate in candidates.iter_mut() {
            candidate.score = score(candidate);
        }
        // By insertion: there are few, and nothing may allocate.
        for end in 1..candidates.len() {
            for at in (1..=end).rev() {
                let before = at.saturating_sub(1);
                let in_order = match (candidates.get(before), candidates.get(at)) {
                    (Some(left), Some(right)) => left.score <= right.score,
                    _ => true,
                };
                if in_order {
                    break;
                }
                candidates.swap(at, before);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slate(pops: &[usize]) -> Slate {
        let mut slate = Slate::new();
        let pops: Vec<PopId> = pops.iter().filter_map(|index| PopId::new(*index)).collect();
        slate.fill_rest(&pops);
        slate
    }

    fn left(slate: &Slate) -> Vec<usize> {
        slate.pops().map(PopId::index).collect()
    }

    #[test]
    fn what_is_left_stays_in_order() {
        let mut slate = slate(&[5, 3, 8, 1]);
        slate.retain(|candidate| candidate.pop.index() != 3);
        assert_eq!(left(&slate), [5, 8, 1]);
        let places: Vec<u16> = slate.candidates().iter().map(|one| one.place).collect();
        assert_eq!(places, [0, 2, 3], "a place is the one in the list");
        slate.order_by(|candidate| f64::from(u32::try_from(candidate.pop.index()).unwrap() % 4));
        assert_eq!(left(&slate), [8, 5, 1], "equal scores stay in order");
        slate.retain(|_| false);
        assert!(slate.is_empty());
    }

    #[test]
    fn every_pop_of_a_fleet_has_room() {
        let all: Vec<usize> = (0..POPS_MAX).collect();
        let mut slate = slate(&all);
        assert_eq!(slate.candidates().len(), POPS_MAX);
        slate.order_by(|candidate| -f64::from(candidate.place));
        assert_eq!(slate.pops().next(), PopId::new(POPS_MAX - 1));
        assert!(slate.candidates().iter().all(|one| one.band_end == one.place + 1));
    }
}
