//! Ordered lists of PoPs, each kept once.
//!
//! In: drafts of lists. Out: a number for each, and the list of a number. Millions of networks
//! share a few thousand lists, so a leaf of the tree is a number.
//! Always holds: equal lists have equal numbers; a number that was given out has a list.
//! Hot path: [`Lists::list`] is three slices, without allocation.

use std::collections::HashMap;

use super::order::{Orderer, Ranked};
use crate::fleet::{POPS_MAX, PopId, PopSet};

/// Lists at most: what a leaf of the tree has room for.
pub(super) const LISTS_MAX: usize = 1 << 26;

/// The number of a list in its map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListId(pub(super) u32);

impl ListId {
    pub(super) const FIRST: Self = Self(0);
}

/// The PoPs that are good for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PopList<'m> {
    /// The best, in order; all of them let the client in.
    pub ranked: &'m [Ranked],
    /// All PoPs of the map, in the order in which they are tried when none of those is left.
    pub rest: &'m [PopId],
    /// PoPs whose fence keeps the client out.
    pub excluded: &'m PopSet,
}

/// The lists of a map.
#[derive(Clone, Debug)]
pub(super) struct Lists {
    ranked: Vec<Ranked>,
    rows: Vec<Row>,
    excluded: Vec<PopSet>,
    /// By the first PoP of a list; the last is for lists without one.
    rests: Vec<Box<[PopId]>>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    first: u32,
    count: u8,
    excluded: u16,
}

impl Lists {
    /// The list of a number.
    pub(super) fn list(&self, id: ListId) -> PopList<'_> {
        let row = usize::try_from(id.0).ok().and_then(|index| self.rows.get(index));
        let ranked = row.and_then(|row| {
            let first = usize::try_from(row.first).ok()?;
            self.ranked.get(first..first.checked_add(usize::from(row.count))?)
        });
        let ranked = ranked.unwrap_or_default();
        let excluded = row.and_then(|row| self.excluded.get(usize::from(row.excluded)));
        let rest = ranked.first().map_or(POPS_MAX, |first| first.pop.index());
        PopList {
            ranked,
            rest: self.rests.get(rest).map_or(&[], |rest| rest),
            excluded: excluded.unwrap_or(&PopSet::EMPTY),
        }
    }

    /// All PoPs of the map.
    pub(super) fn members(&self) -> &[PopId] {
        self.rests.last().map_or(&[], |rest| rest)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// What they take.
    pub(super) fn bytes(&self) -> usize {
        let rests = self.rests.iter().map(|rest| size_of_val(&**rest)).sum::<usize>();
        [
            size_of_val(&*self.ranked),
            size_of_val(&*self.rows),
            size_of_val(&*self.excluded),
            size_of_val(&*self.rests),
        ]
        .into_iter()
        .fold(rests, usize::saturating_add)
    }
}

/// Lists as they come, each to be kept once.
#[derive(Debug)]
pub(super) struct ListsBuilder {
    lists: Lists,
    ids: HashMap<Box<[u8]>, ListId, foldhash::fast::FixedState>,
    classes: HashMap<PopSet, u16>,
    key: Vec<u8>,
}

impl ListsBuilder {
    pub(super) fn new() -> Self {
        let lists =
            Lists { ranked: Vec::new(), rows: Vec::new(), excluded: Vec::new(), rests: Vec::new() };
        Self { lists, ids: HashMap::default(), classes: HashMap::new(), key: Vec::new() }
    }

    /// The number of a list; nothing when there is no room for another one.
    pub(super) fn intern(&mut self, ranked: &[Ranked], excluded: &PopSet) -> Option<ListId> {
        let class = self.class(excluded)?;
        self.key.clear();
        self.key.extend_from_slice(&class.to_le_bytes());
        for ranked in ranked {
            self.key.push(u8::try_from(ranked.pop.index()).ok()?);
            self.key.push(ranked.band_end);
        }
        if let Some(id) = self.ids.get(&*self.key) {
            return Some(*id);
        }
        let lists = &mut self.lists;
        if lists.rows.len() >= LISTS_MAX {
            return None;
        }
        let id = ListId(u32::try_from(lists.rows.len()).ok()?);
        let first = u32::try_from(lists.ranked.len()).ok()?;
        let count = u8::try_from(ranked.len()).ok()?;
        lists.ranked.extend_from_slice(ranked);
        lists.rows.push(Row { first, count, excluded: class });
        self.ids.insert(self.key.as_slice().into(), id);
        Some(id)
    }

    fn class(&mut self, excluded: &PopSet) -> Option<u16> {
        if let Some(class) = self.classes.get(excluded) {
            return Some(*class);
        }
        let class = u16::try_from(self.lists.excluded.len()).ok()?;
        self.lists.excluded.push(*excluded);
        self.classes.insert(*excluded, class);
        Some(class)
    }

    /// What the lists take so far.
    pub(super) fn bytes(&self) -> usize {
        self.lists.bytes()
    }

    /// The lists, with the PoPs that follow each.
    pub(super) fn finish(mut self, orderer: &Orderer<'_>) -> Lists {
        let mut firsts = PopSet::EMPTY;
        for row in &self.lists.rows {
            let first = usize::try_from(row.first).ok().filter(|_| row.count > 0);
            if let Some(ranked) = first.and_then(|first| self.lists.ranked.get(first)) {
                firsts.insert(ranked.pop);
            }
        }
        let rest = |index| {
            let first = PopId::new(index);
            let is_used = first.is_none_or(|first| firsts.contains(first));
            let rest = if is_used { orderer.rest(first) } else { Vec::new() };
            rest.into_boxed_slice()
        };
        self.lists.rests = (0..=POPS_MAX).map(rest).collect();
        self.lists.ranked.shrink_to_fit();
        self.lists.rows.shrink_to_fit();
        self.lists
    }
}
