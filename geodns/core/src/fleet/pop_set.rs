//! Sets of PoPs of a fixed size.

use super::{POPS_MAX, PopId};

const WORDS: usize = POPS_MAX / 64;

/// A set of PoPs of one fleet view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PopSet([u64; WORDS]);

impl PopSet {
    /// The set without members.
    pub const EMPTY: Self = Self([0; WORDS]);

    /// Adds a PoP.
    pub fn insert(&mut self, pop: PopId) {
        if let Some(word) = self.0.get_mut(pop.index() / 64) {
            *word |= bit(pop);
        }
    }

    /// Whether it is in the set.
    #[must_use]
    pub fn contains(&self, pop: PopId) -> bool {
        self.0.get(pop.index() / 64).is_some_and(|word| word & bit(pop) != 0)
    }

    /// The members of both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut union = *self;
        union.0.iter_mut().zip(other.0).for_each(|(word, other)| *word |= other);
        union
    }

    /// Whether it has no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::EMPTY
    }
}

impl FromIterator<PopId> for PopSet {
    fn from_iter<I: IntoIterator<Item = PopId>>(pops: I) -> Self {
        let mut set = Self::EMPTY;
        pops.into_iter().for_each(|pop| set.insert(pop));
        set
    }
}

fn bit(pop: PopId) -> u64 {
    1_u64.wrapping_shl(u32::from(pop.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pop_has_a_bit_of_its_own() {
        for member in 0..POPS_MAX {
            let set: PopSet = PopId::new(member).into_iter().collect();
            for other in 0..POPS_MAX {
                assert_eq!(set.contains(PopId::new(other).unwrap()), other == member);
            }
            assert!(!set.is_empty());
        }
        assert!(PopSet::default().is_empty());
        assert_eq!(PopId::new(POPS_MAX), None);
    }
}
