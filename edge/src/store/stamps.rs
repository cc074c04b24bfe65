//! The node's stamps: which stored responses an invalidation has made unusable.
//!
//! In: invalidated cache keys. Out: whether a response whose fetch began at a stamp is dead.
//! Always holds: while nothing newer was invalidated than a response's stamp, the check is one
//! atomic comparison; the map is bounded and, when full, raises its floor, which can only declare
//! too much dead, never too little. What it forgets was removed from the store when it was
//! invalidated, so that the floor is for what was on its way then and for keys with a rule's fields,
//! of which an invalidation knows no number: it never empties the store of a site.
//! A response carries the counter's value from when its fetch *began*: an invalidation that comes
//! while it is on its way kills it as well (ARCHITECTURE.md *Words*).

use std::{
    collections::HashMap,
    hash::BuildHasher,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use edge_core::{invalidation::StampMap, key};
use foldhash::quality::RandomState;
use parking_lot::RwLock;

/// The counter and the maps; one per node.
#[derive(Debug)]
pub struct Stamps {
    counter: AtomicU64,
    newest_invalidation: AtomicU64,
    /// One map per site: a site that invalidates much raises its own floor, nobody else's.
    sites: RwLock<HashMap<Box<[u8]>, StampMap>>,
    keys_max: AtomicUsize,
    /// Times that a floor was raised.
    overflows: AtomicU64,
    hashers: [RandomState; 2],
}

impl Stamps {
    /// Nothing invalidated, and room for `keys_max` keys of each site.
    #[must_use]
    pub fn new(keys_max: usize) -> Self {
        Self {
            counter: AtomicU64::new(1),
            newest_invalidation: AtomicU64::new(0),
            sites: RwLock::new(HashMap::new()),
            keys_max: AtomicUsize::new(keys_max),
            overflows: AtomicU64::new(0),
            hashers: [RandomState::default(), RandomState::default()],
        }
    }

    /// From now on there is room for `keys_max` keys of each site.
    pub fn resize(&self, keys_max: usize) {
        self.keys_max.store(keys_max, Ordering::Relaxed);
    }

    /// How often a site invalidated more keys than are remembered.
    #[must_use]
    pub fn overflows(&self) -> u64 {
        self.overflows.load(Ordering::Relaxed)
    }

    /// The stamp for a fetch that begins now.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.counter.load(Ordering::Acquire)
    }

    /// Declares everything under `key` dead whose fetch began before now.
    ///
    /// What is invalidated is a URI; a rule's key fields do not save a response from it.
    pub fn invalidate(&self, key: &[u8]) {
        let selector = self.selector(key);
        let mut sites = self.sites.write();
        // Under the lock, so that stamps enter the maps in order.
        let stamp = self.counter.fetch_add(1, Ordering::AcqRel);
        let site = key::site_part(key);
        let keys_max = self.keys_max.load(Ordering::Relaxed);
        match sites.get_mut(site) {
            Some(map) => {
                let floor = map.floor();
                map.resize(keys_max);
                map.insert(&selector, stamp);
                self.overflows.fetch_add(u64::from(map.floor() > floor), Ordering::Relaxed);
            }
            None => {
                let mut map = StampMap::new(keys_max);
                map.insert(&selector, stamp);
                sites.insert(site.into(), map);
            }
        }
        self.newest_invalidation.store(stamp, Ordering::Release);
    }

    /// Whether a fetch for `key` that began at `stamp` is dead.
    #[must_use]
    pub fn is_dead(&self, key: &[u8], stamp: u64) -> bool {
        self.ask(key, stamp, StampMap::is_dead)
    }

    /// Whether what is stored under `key`, and whose fetch began at `stamp`, is dead.
    #[must_use]
    pub fn is_dead_in_store(&self, key: &[u8], stamp: u64) -> bool {
        if key::uri_part(key).len() < key.len() {
            return self.is_dead(key, stamp);
        }
        self.ask(key, stamp, StampMap::names_dead)
    }

    fn ask(&self, key: &[u8], stamp: u64, ask: fn(&StampMap, &[u8], u64) -> bool) -> bool {
        if stamp > self.newest_invalidation.load(Ordering::Acquire) {
            return false;
        }
        let sites = self.sites.read();
        let map = sites.get(key::site_part(key));
        map.is_some_and(|map| ask(map, &self.selector(key), stamp))
    }

    /// A key may be kilobytes long; 128 bits of keyed hashes stand for it. Two keys that shared
    /// them would be declared dead together, which is never wrong.
    fn selector(&self, key: &[u8]) -> [u8; 16] {
        let uri = key::uri_part(key);
        let [first, second] = &self.hashers;
        let mut selector = [0; 16];
        let (low, high) = selector.split_at_mut(8);
        low.copy_from_slice(&first.hash_one(uri).to_be_bytes());
        high.copy_from_slice(&second.hash_one(uri).to_be_bytes());
        selector
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalidation_kills_what_began_before_it_and_nothing_later() {
        let stamps = Stamps::new(8);
        let before = stamps.now();
        assert!(!stamps.is_dead(b"http/1/h/a", before));
        stamps.invalidate(b"http/1/h/a");
        let after = stamps.now();
        assert!(stamps.is_dead(b"http/1/h/a", before));
        assert!(!stamps.is_dead(b"http/1/h/b", before));
        assert!(!stamps.is_dead(b"http/1/h/a", after));
    }

    #[test]
    fn a_full_map_declares_too_much_dead_never_too_little() {
        let stamps = Stamps::new(4);
        let before = stamps.now();
        for key in 0..100_u32 {
            stamps.invalidate(format!("http/1/h/{key}").as_bytes());
        }
        for key in 0..100_u32 {
            assert!(stamps.is_dead(format!("http/1/h/{key}").as_bytes(), before));
        }
        assert!(!stamps.is_dead(b"http/1/h/new", stamps.now()));
        // What is still stored was not invalidated, unless a rule's fields may have hidden it.
        assert!(stamps.overflows() > 0);
        assert!(!stamps.is_dead_in_store(b"http/1/h/new", before));
        assert!(stamps.is_dead_in_store(b"http/1/h/99", before));
        let with_field = [&b"http/1/h/0"[..], b"\n", b"k"].concat();
        assert!(stamps.is_dead_in_store(&with_field, before));
        // Another site's floor stays where it is.
        assert!(!stamps.is_dead(b"http/2/h/0", before));
    }
}
