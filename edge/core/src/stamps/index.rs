//! Maps from names of one kind to when they were struck, bounded.
//!
//! In: names in their form as keys of the map. Out: [`Struck`]. Always holds: of names that are
//! struck one after the other, at least the latest half of the room is remembered one by one; what
//! is forgotten goes all at once, in a time that no number of names makes longer: two generations,
//! of which the older is dropped when the younger has filled its half.

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
    fn len(&self) -> usize;
}

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

    /// Remembers a strike; whatever was dead at `swept` has left the store.
    pub(super) fn strike(&mut self, name: &I::Name, strike: Strike, (stamp, swept): (u64, u64)) {
        if !self.young.has(name) && self.young.len() >= (self.names_max / 2).max(1) {
            self.forget(swept);
        }
        self.young.strike(name, strike, stamp);
        self.of_young.take(strike, stamp);
        self.latest.take(strike, stamp);
    }

    fn forget(&mut self, swept: u64) {
        let gone = std::mem::replace(&mut self.of_old, std::mem::take(&mut self.of_young));
        self.forgotten = self.forgotten.or(gone);
        if gone.dead > swept {
            self.forgotten_unswept = self.forgotten_unswept.max(gone.dead);
        }
        if self.old.len() > 0 {
            self.overflows = self.overflows.saturating_add(1);
        }
        self.old = std::mem::take(&mut self.young);
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

    fn len(&self) -> usize {
        self.0.len()
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

/// Beginnings, in order. A longer one that an at least as hard, shorter one has overtaken is gone,
/// so that few stand above each other.
#[derive(Debug, Default)]
pub(super) struct Prefixes(BTreeMap<Box<[u8]>, Struck>);

impl Index for Prefixes {
    type Name = [u8];

    /// Walks from the longest beginning to the shortest. Of two neighbours in order, what the lower
    /// one shares with `name` is all that any beginning below can share.
    fn find(&self, name: &[u8]) -> Struck {
        let mut struck = Struck::default();
        let mut rest = name;
        loop {
            let below = (Bound::Unbounded, Bound::Included(rest));
            let Some((beginning, own)) = self.0.range::<[u8], _>(below).next_back() else { break };
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
        let longer = self.0.range::<[u8], _>(from).take_while(|(other, _)| other.starts_with(name));
        let mut overtaken: Vec<Box<[u8]>> = Vec::new();
        for (other, struck) in longer {
            if strike == Strike::Dead || struck.dead == 0 {
                overtaken.push(other.clone());
            }
        }
        for other in &overtaken {
            self.0.remove(other);
        }
        self.0.entry(name.into()).or_default().take(strike, stamp);
    }

    fn has(&self, name: &[u8]) -> bool {
        self.0.contains_key(name)
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}
