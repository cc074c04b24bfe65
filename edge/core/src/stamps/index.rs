//! Maps from names of one kind to when they were struck, bounded.
//!
//! In: names in their form as keys of the map. Out: [`Struck`]. Always holds: of names that are
//! struck one after the other, at least the latest half of the room is remembered one by one, where a
//! long name takes the room of several; what is forgotten goes all at once: two generations, of which
//! the older is handed out to be dropped when the younger has filled its half. A strike does a
//! bounded number of things, however many names there are.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    hash::{BuildHasherDefault, Hasher},
    ops::Bound,
};

use super::{Place, Strike, Struck, Subject};

/// One generation of names.
pub(super) trait Index: Default + fmt::Debug {
    type Name: ?Sized;
    /// The latest strikes of all names that mean `name`.
    fn find(&self, name: &Self::Name) -> Struck;
    /// Remembers a strike, the latest of all.
    fn strike(&mut self, name: &Self::Name, strike: Strike, stamp: u64);
    /// Whether a strike of `name` takes no further room.
    fn has(&self, name: &Self::Name) -> bool;
    /// The room that it takes, in names of common length.
    fn weight(&self) -> usize;
    /// The room that one name takes.
    fn weight_of(name: &Self::Name) -> usize;
}

/// While what was dead may still be in the store, the younger generation outgrows its half up to so
/// many times.
const GROWN_MAX: usize = 16;

/// Names of one kind.
#[derive(Debug, Default)]
pub(super) struct Generations<I> {
    young: I,
    old: I,
    /// The latest strikes in each.
    of_young: Struck,
    of_old: Struck,
    /// The latest strikes of all: what is newer needs no look.
    pub(super) latest: Struck,
    /// What was forgotten.
    forgotten: Struck,
    /// The same without what had left the store before.
    forgotten_unswept: u64,
    pub(super) names_max: usize,
    pub(super) overflows: u64,
}

impl<I: Index> Generations<I> {
    /// Whether any name, or what was forgotten, can mean something to a response at all.
    pub(super) fn concerns(&self, of: &Subject<'_>) -> bool {
        of.content <= self.latest.dead || of.validated <= self.latest.stale
    }

    /// The latest strikes of what means `name`, or may have before it was forgotten.
    pub(super) fn find(&self, name: &I::Name, place: Place) -> Struck {
        self.young.find(name).or(self.old.find(name)).or(self.floor(place))
    }

    /// What holds for every name, since some are forgotten.
    pub(super) const fn floor(&self, place: Place) -> Struck {
        match place {
            Place::OnItsWay => self.forgotten,
            Place::Stored => Struck { dead: self.forgotten_unswept, ..self.forgotten },
        }
    }

    /// What holds of a name by itself, whatever is forgotten.
    pub(super) fn find_remembered(&self, name: &I::Name) -> Struck {
        self.young.find(name).or(self.old.find(name))
    }

    /// Whether a sweep would let go of what a floor would else have to stand for.
    pub(super) fn wants_sweep(&self, swept: u64) -> bool {
        self.of_old.dead > swept
    }

    /// Remembers a strike; whatever was dead at `swept` has left the store. Out comes what is
    /// forgotten for it.
    pub(super) fn strike(
        &mut self,
        name: &I::Name,
        strike: Strike,
        (stamp, swept): (u64, u64),
    ) -> Option<I> {
        let forgotten = self.is_full(name, 1).then(|| self.forget(swept));
        self.remember(name, strike, stamp);
        forgotten
    }

    /// The same for what anybody may strike: nothing is forgotten before the sweep came by, as long as
    /// that is not late beyond all measure.
    pub(super) fn strike_patiently(
        &mut self,
        name: &I::Name,
        strike: Strike,
        (stamp, swept): (u64, u64),
    ) {
        let halves = if self.wants_sweep(swept) { GROWN_MAX } else { 1 };
        if self.is_full(name, halves) {
            drop(self.forget(swept));
        }
        self.remember(name, strike, stamp);
    }

    fn is_full(&self, name: &I::Name, halves: usize) -> bool {
        let room = (self.names_max / 2).max(1).saturating_mul(halves);
        let weight = self.young.weight();
        weight > 0 && !self.young.has(name) && weight.saturating_add(I::weight_of(name)) > room
    }

    fn remember(&mut self, name: &I::Name, strike: Strike, stamp: u64) {
        self.young.strike(name, strike, stamp);
        self.of_young.take(strike, stamp);
        self.latest.take(strike, stamp);
    }

    fn forget(&mut self, swept: u64) -> I {
        let gone = std::mem::replace(&mut self.of_old, std::mem::take(&mut self.of_young));
        self.forgotten = self.forgotten.or(gone);
        if gone.dead > swept {
            self.forgotten_unswept = self.forgotten_unswept.max(gone.dead);
        }
        if self.old.weight() > 0 {
            self.overflows = self.overflows.saturating_add(1);
        }
        std::mem::replace(&mut self.old, std::mem::take(&mut self.young))
    }
}

/// Names by their marks.
#[derive(Debug, Default)]
pub(super) struct Marks(HashMap<u128, Struck, BuildHasherDefault<AsItIs>>);

impl Index for Marks {
    type Name = u128;

    fn find(&self, name: &u128) -> Struck {
        self.0.get(name).copied().unwrap_or_default()
    }

    fn strike(&mut self, name: &u128, strike: Strike, stamp: u64) {
        self.0.entry(*name).or_default().take(strike, stamp);
    }

    fn has(&self, name: &u128) -> bool {
        self.0.contains_key(name)
    }

    fn weight(&self) -> usize {
        self.0.len()
    }

    fn weight_of(_name: &u128) -> usize {
        1
    }
}

/// A mark is a keyed hash already.
#[derive(Debug, Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "one of its two halves is enough")]
    fn write_u128(&mut self, mark: u128) {
        self.0 = mark as u64;
    }
}

/// Beginnings, in order. Longer ones that an at least as hard, shorter one has overtaken go, some
/// with each strike, so that few stand above each other.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    struck: BTreeMap<Box<[u8]>, Struck>,
    weight: usize,
}

/// A beginning is kept as it is, and takes the room of one name for each of so many bytes.
const BYTES_OF_A_NAME: usize = 64;
/// Overtaken ones that a strike looks at.
const OVERTAKEN_MAX: usize = 64;

impl Index for Prefixes {
    type Name = [u8];

    /// Walks from the longest beginning to the shortest. Of two neighbours in order, what the lower
    /// one shares with `name` is all that any beginning below can share.
    fn find(&self, name: &[u8]) -> Struck {
        let mut struck = Struck::default();
        let mut rest = name;
        loop {
            let below = (Bound::Unbounded, Bound::Included(rest));
            let Some((beginning, own)) = self.struck.range::<[u8], _>(below).next_back() else {
                break;
            };
            let shared = rest.iter().zip(beginning.iter()).take_while(|(a, b)| a == b).count();
            let left = if shared == beginning.len() {
                struck = struck.or(*own);
                shared.checked_sub(1)
            } else {
                Some(shared)
            };
            let Some(left) = left.and_then(|left| rest.get(..left)) else { break };
            rest = left;
        }
        struck
    }

    fn strike(&mut self, name: &[u8], strike: Strike, stamp: u64) {
        let from = (Bound::Excluded(name), Bound::Unbounded);
        let longer = self.struck.range::<[u8], _>(from).take(OVERTAKEN_MAX);
        let overtaken: Vec<Box<[u8]>> = longer
            .take_while(|(other, _)| other.starts_with(name))
            .filter(|(_, struck)| strike == Strike::Dead || struck.dead == 0)
            .map(|(other, _)| other.clone())
            .collect();
        for other in &overtaken {
            self.struck.remove(other);
            self.weight = self.weight.saturating_sub(Self::weight_of(other));
        }
        if !self.has(name) {
            self.weight = self.weight.saturating_add(Self::weight_of(name));
        }
        self.struck.entry(name.into()).or_default().take(strike, stamp);
    }

    fn has(&self, name: &[u8]) -> bool {
        self.struck.contains_key(name)
    }

    fn weight(&self) -> usize {
        self.weight
    }

    fn weight_of(name: &[u8]) -> usize {
        (name.len() / BYTES_OF_A_NAME).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_overtakes_a_bounded_number_at_once_and_stands_for_all() {
        let mut prefixes = Prefixes::default();
        for stamp in 1..=1000_u64 {
            prefixes.strike(format!("h/a/{stamp:04}").as_bytes(), Strike::Dead, stamp);
        }
        prefixes.strike(b"h/a", Strike::Dead, 1001);
        assert_eq!(prefixes.weight(), 1001 - OVERTAKEN_MAX);
        assert_eq!(prefixes.find(b"h/a/0999").dead, 1001);
        let all: usize = prefixes.struck.keys().map(|name| Prefixes::weight_of(name)).sum();
        assert_eq!(prefixes.weight(), all);
    }
}
