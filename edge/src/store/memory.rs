//! The memory tier: moka, weighed in real bytes.
//!
//! In and out: see [`Tier`]. Always holds: one entry per cache key with all its variants, so a
//! lookup is one probe; entries never weigh more than the share of the budget given here.
//! LRU rather than TinyLFU: admission by frequency weighs one large newcomer against the sum of
//! the many small entries that it would displace, and so keeps out what has just become popular
//! (docs/decisions/0002). An entry's place in the index is charged to the byte budget as its
//! responses are; all is given back when the last reference drops, which may be later than the
//! eviction.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use edge_core::key::CacheKey;
use moka::{
    ops::compute::{CompResult, Op},
    policy::EvictionPolicy,
    sync::Cache,
};
use parking_lot::Mutex;

use super::{
    Entries, Insertion, StoredResponse, Tier, Usage, Variants,
    budget::{Budget, Charge},
    reserve,
    tenure::displace,
};

/// Weights are counted in units of this many bytes, because moka's are 32 bits wide.
const UNIT_BYTES: u64 = 64;

/// What an entry costs beside its responses: moka's own nodes, the key twice, the list.
const ENTRY_OVERHEAD_BYTES: usize = 320;

/// Stored responses in memory.
#[derive(Debug)]
pub struct MemoryTier {
    cache: Cache<CacheKey, Arc<Variants>, foldhash::quality::RandomState>,
    variants_max: usize,
    variants_displaced: AtomicU64,
    /// Places that variants have taken so far.
    places: AtomicU64,
    budget: Arc<Budget>,
    /// Held while stored responses give way.
    giving_way: Mutex<()>,
}

/// The ballast's key; no other is empty.
const BALLAST: &[u8] = &[];

/// The least part of the tier that gives way at once, so that small wishes do not pay for an
/// eviction each.
const STEPS: u64 = 64;

impl MemoryTier {
    /// A tier for `bytes` bytes of `budget` and at most `variants_max` responses under one key.
    #[must_use]
    pub fn new(bytes: usize, variants_max: usize, budget: Arc<Budget>) -> Self {
        let cache = Cache::builder()
            .max_capacity(bytes as u64 / UNIT_BYTES)
            .weigher(|key: &CacheKey, variants: &Arc<Variants>| weigh(key, variants))
            .eviction_policy(EvictionPolicy::lru())
            .build_with_hasher(foldhash::quality::RandomState::default());
        let variants_displaced = AtomicU64::new(0);
        Self {
            cache,
            variants_max: variants_max.max(1),
            variants_displaced,
            places: AtomicU64::new(0),
            budget,
            giving_way: Mutex::new(()),
        }
    }

    fn units_max(&self) -> u64 {
        self.cache.policy().max_capacity().unwrap_or(0)
    }

    /// What may still give way, in units.
    fn spare(&self) -> u64 {
        self.cache.weighted_size().saturating_sub(self.units_max() / 2)
    }

    /// What an entry's place in the index is charged with; others give way to it, as to any wish.
    fn place(&self, key: &CacheKey) -> Option<Charge> {
        reserve(&self.budget, self, place_bytes(key), 0)
    }
}

fn place_bytes(key: &CacheKey) -> usize {
    ENTRY_OVERHEAD_BYTES.saturating_add(2 * key.as_bytes().len())
}

fn weigh(key: &CacheKey, variants: &Variants) -> u32 {
    let responses: usize = variants
        .responses
        .iter()
        .map(|response| response.charge.bytes().saturating_add(response.body.weight()))
        .sum();
    let bytes = responses.saturating_add(place_bytes(key));
    let units = u32::try_from((bytes as u64).div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
    units.saturating_add(variants.ballast)
}

impl Tier for MemoryTier {
    fn lookup(&self, key: &[u8]) -> Option<Arc<Variants>> {
        self.cache.get(key)
    }

    fn insert(&self, key: &CacheKey, response: Arc<StoredResponse>) -> Insertion {
        let max = self.variants_max;
        let Some(place) = self.place(key).map(Arc::new) else {
            return Insertion::NoMemory;
        };
        response.tenure.begin(self.places.fetch_add(1, Ordering::Relaxed));
        let done = self.cache.entry_by_ref(key).and_compute_with(|entry| {
            let mut responses = Vec::with_capacity(1);
            responses.push(Arc::clone(&response));
            if let Some(entry) = entry {
                let old = &entry.value().responses;
                // Content that takes long comes after what began later and took less.
                if old.iter().any(|old| replaces(&response, old) && is_newer(old, &response)) {
                    return Op::Nop;
                }
                let (replaced, mut kept): (Vec<_>, Vec<_>) =
                    old.iter().cloned().partition(|old| replaces(&response, old));
                replaced.iter().for_each(|old| response.tenure.inherit(&old.tenure));
                let displaced = displace(&mut kept, &response, max - 1);
                self.variants_displaced.fetch_add(displaced, Ordering::Relaxed);
                responses.append(&mut kept);
            }
            Op::Put(Arc::new(Variants { responses, place: Some(place), ..Variants::default() }))
        });
        match done {
            CompResult::Inserted(_) | CompResult::ReplacedWith(_) => Insertion::Kept,
            CompResult::Unchanged(_) | CompResult::StillNone(_) | CompResult::Removed(_) => {
                Insertion::Outdated
            }
        }
    }

    fn replace(&self, key: &CacheKey, old: &Arc<StoredResponse>, new: Arc<StoredResponse>) {
        self.cache.entry_by_ref(key).and_compute_with(|entry| {
            let Some(entry) = entry else { return Op::Nop };
            let mut responses = entry.value().responses.clone();
            match responses.iter_mut().find(|kept| Arc::ptr_eq(kept, old)) {
                Some(kept) => {
                    new.tenure.inherit(&old.tenure);
                    *kept = new;
                    Op::Put(Arc::new(entry.value().with(responses)))
                }
                None => Op::Nop,
            }
        });
    }

    fn remove(&self, key: &CacheKey, response: &Arc<StoredResponse>) {
        self.cache.entry_by_ref(key).and_compute_with(|old| {
            let Some(old) = old else { return Op::Nop };
            let mut responses = old.value().responses.clone();
            responses.retain(|kept| !Arc::ptr_eq(kept, response));
            if responses.is_empty() {
                Op::Remove
            } else {
                Op::Put(Arc::new(old.value().with(responses)))
            }
        });
    }

    fn withdraw(&self, key: &[u8]) {
        let key = CacheKey::from(key);
        self.cache.entry_by_ref(&key).and_compute_with(|entry| match entry {
            // Its place stays for a while: the next request is told why it is forwarded.
            Some(entry) => {
                let left = Variants { invalidated: true, ..entry.value().with(Vec::new()) };
                Op::Put(Arc::new(left))
            }
            None => Op::Nop,
        });
    }

    fn settle(&self) {
        self.cache.run_pending_tasks();
    }

    /// The index knows which entry was asked for longest ago and does not tell; it evicts them for
    /// a newcomer. So one comes that has no content and weighs what is wanted, and goes again.
    fn give_way(&self, bytes: usize) -> bool {
        if self.spare() == 0 {
            return false;
        }
        let _alone = self.giving_way.lock();
        self.settle();
        let (most, spare) = (self.units_max(), self.spare());
        if spare == 0 {
            return false;
        }
        let wanted = (bytes as u64).div_ceil(UNIT_BYTES).max(most / STEPS).min(spare);
        let free = most.saturating_sub(self.cache.weighted_size());
        let ballast = u32::try_from(free.saturating_add(wanted)).unwrap_or(u32::MAX);
        let newcomer = Variants { ballast, ..Variants::default() };
        self.cache.insert(CacheKey::from(BALLAST), Arc::new(newcomer));
        self.settle();
        self.cache.invalidate(BALLAST);
        self.settle();
        true
    }

    fn entries(&self) -> Entries<'_> {
        Box::new(self.cache.iter().filter(|(key, _)| key.as_bytes() != BALLAST))
    }

    fn usage(&self) -> Usage {
        Usage {
            keys: self.cache.entry_count(),
            bytes: self.cache.weighted_size().saturating_mul(UNIT_BYTES),
            variants_displaced: self.variants_displaced.load(Ordering::Relaxed),
        }
    }
}

impl Variants {
    /// The same entry with these responses.
    fn with(&self, responses: Vec<Arc<StoredResponse>>) -> Self {
        Self { responses, place: self.place.clone(), ..Self::default() }
    }
}

/// Whether `old` is the newer of the two: its fetch began after an invalidation that the other's did
/// not, or its head came later.
fn is_newer(old: &StoredResponse, new: &StoredResponse) -> bool {
    let rank = |of: &StoredResponse| (of.head.stamp, of.head.freshness.response_time);
    rank(old) > rank(new)
}

/// Whether `new` takes the place of `old`: the same variant, and old says nothing that new does
/// not (a whole replaces its parts, a part only the same part).
fn replaces(new: &StoredResponse, old: &StoredResponse) -> bool {
    if !new.head.vary.same_variant(&old.head.vary) {
        return false;
    }
    match (&new.head.range, &old.head.range) {
        (None, _) => true,
        (Some(new), Some(old)) => new == old,
        (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use edge_core::{
        site::Policy,
        storable::{Exchange, judge},
        time::Timestamp,
    };
    use http::{HeaderMap, HeaderValue, Method, StatusCode};

    use super::*;
    use crate::store::{StoredBody, budget::Budget};

    fn response(text: &'static str, stamp: u64, second: u64) -> Arc<StoredResponse> {
        let mut fields = HeaderMap::new();
        fields.insert("cache-control", HeaderValue::from_static("max-age=60"));
        stored(&HeaderMap::new(), &fields, text, Timestamp::from_secs(second), stamp)
    }

    fn stored(
        request_fields: &HeaderMap,
        response_fields: &HeaderMap,
        text: &'static str,
        now: Timestamp,
        stamp: u64,
    ) -> Arc<StoredResponse> {
        let mut head = judge(&Exchange {
            method: &Method::GET,
            target: "http://h/a",
            request_fields,
            status: StatusCode::OK,
            response_fields,
            request_time: now,
            response_time: now,
            policy: &Policy::default(),
        })
        .unwrap();
        head.stamp = stamp;
        let body = StoredBody::new(vec![Bytes::from_static(text.as_bytes())]);
        Arc::new(StoredResponse::new(head, body, Budget::new(1).reserve(0).unwrap()))
    }

    /// A response of the variant that `accept` asked for, `second` seconds after the start.
    fn variant(accept: &str, second: u64) -> Arc<StoredResponse> {
        let mut asked = HeaderMap::new();
        asked.insert("accept", HeaderValue::from_str(accept).unwrap());
        let mut fields = HeaderMap::new();
        fields.insert("cache-control", HeaderValue::from_static("max-age=60"));
        fields.insert("vary", HeaderValue::from_static("accept"));
        stored(&asked, &fields, "", at(second), 1)
    }

    fn at(second: u64) -> Timestamp {
        Timestamp::from_secs(1_700_000_000 + second)
    }

    /// The variants of one key, by what they were asked with.
    struct Key {
        key: CacheKey,
        tier: MemoryTier,
    }

    impl Key {
        fn new(variants_max: usize) -> Self {
            let tier = MemoryTier::new(1_000_000, variants_max, Budget::new(1_000_000));
            Self { key: CacheKey::from(b"http/1/h/a".as_slice()), tier }
        }

        fn find(&self, accept: &str) -> Option<Arc<StoredResponse>> {
            let mut asked = HeaderMap::new();
            asked.insert("accept", HeaderValue::from_str(accept).unwrap());
            let stored = self.tier.lookup(self.key.as_bytes())?;
            stored.responses.iter().find(|one| one.head.vary.matches(&asked)).cloned()
        }

        /// One request, and whether it was a hit.
        fn ask(&self, accept: &str, second: u64) -> bool {
            match self.find(accept) {
                Some(stored) => stored.mark_used(at(second)),
                None => {
                    self.tier.insert(&self.key, variant(accept, second));
                    return false;
                }
            }
            true
        }

        fn ask_all(&self, accepts: &[&str], second: u64) {
            for accept in accepts {
                self.ask(accept, second);
            }
        }

        fn flood(&self, invented: std::ops::Range<u64>, second: u64) {
            for number in invented {
                self.ask(&format!("x{number}"), second);
            }
        }

        fn holds(&self, accepts: &[&str]) -> bool {
            accepts.iter().all(|accept| self.find(accept).is_some())
        }
    }

    #[test]
    fn a_variant_too_many_displaces_one_that_answered_nobody_and_is_counted() {
        let key = Key::new(2);
        key.ask_all(&["a", "b"], 1);
        key.tier.insert(&key.key, variant("b", 1));
        let displaced = || key.tier.usage().variants_displaced;
        assert_eq!(displaced(), 0, "the same variant takes its own place");
        key.ask("c", 1);
        assert!(displaced() == 1 && key.holds(&["b", "c"]), "the oldest");
        key.ask_all(&["b", "x"], 1);
        assert!(key.holds(&["b", "x"]), "who has answered stays");
        key.ask_all(&["x", "y"], 1);
        assert!(key.holds(&["b", "y"]), "of two that have, who was there first");
        assert_eq!(displaced(), 3);
    }

    #[test]
    fn a_new_representation_has_the_place_and_the_answers_of_the_old_one() {
        let key = Key::new(2);
        key.ask_all(&["hot", "hot", "x", "x"], 1);
        let old = key.find("hot").unwrap();
        key.tier.replace(&key.key, &old, variant("hot", 2));
        key.ask_all(&["y", "y"], 2);
        assert!(key.holds(&["hot"]), "validated");
        key.tier.insert(&key.key, variant("hot", 3));
        key.ask_all(&["z", "z", "v"], 3);
        assert!(key.holds(&["hot", "v"]), "fetched anew");
    }

    #[test]
    fn who_has_not_answered_for_a_minute_makes_room() {
        let key = Key::new(3);
        key.ask_all(&["a", "b", "c", "a", "b", "c"], 10);
        key.ask("b", 40);
        key.ask("c", 41);
        key.ask("d", 69);
        assert!(key.holds(&["a", "b", "d"]), "all answered within the minute: the last place goes");
        key.ask("d", 69);
        key.ask("e", 70);
        assert!(key.holds(&["b", "d", "e"]), "a was asked for a minute ago");
        key.ask("f", 71);
        assert!(key.holds(&["b", "d", "f"]), "e answered nobody");
        key.ask("g", 131);
        assert!(key.holds(&["d", "f", "g"]), "of those idle for a minute, who was asked for first");
    }

    /// Whatever the rate and however often each invented variant is asked for.
    #[test]
    fn who_answers_once_a_minute_is_not_displaced_by_the_invented() {
        for (variants_max, often) in [(2, 1), (2, 2), (2, 9), (32, 1), (32, 2), (32, 3), (32, 9)] {
            let key = Key::new(variants_max);
            key.ask_all(&["hot", "hot"], 0);
            for second in 0..600 {
                for _ in 0..often {
                    key.flood(second..second + 1, second);
                }
                // It goes on asking for some that it has invented, too.
                let kept = second / 50 * 50;
                key.flood(kept..kept + 31, second);
                if second % 50 == 49 {
                    let name = format!("{variants_max}, each {often} times, {second}");
                    assert!(key.ask("hot", second), "{name}");
                }
            }
        }
    }

    #[test]
    fn a_newcomer_stays_if_it_is_asked_for_before_others_fill_the_places() {
        let key = Key::new(8);
        key.ask_all(&["a", "a", "b", "b"], 0);
        key.ask("new", 1);
        key.flood(0..5, 1);
        assert!(key.ask("new", 1));
        key.flood(5..50, 1);
        assert!(key.holds(&["a", "b", "new"]));
    }

    #[test]
    fn what_was_asked_for_longest_ago_gives_way_to_half() {
        let budget = Budget::new(1_000_000);
        let tier = MemoryTier::new(64_000, 4, Arc::clone(&budget));
        let key = |number: u32| CacheKey::from(format!("http/1/h/{number}").as_bytes());
        for number in 0..100 {
            tier.insert(&key(number), response("x", 1, 1));
        }
        tier.settle();
        assert!(tier.lookup(key(0).as_bytes()).is_some());
        let used = budget.used();
        assert!(tier.give_way(5_000));
        assert!(budget.used() < used, "its bytes are back at once");
        assert!(tier.lookup(key(0).as_bytes()).is_some(), "asked for just now");
        assert!(tier.lookup(key(1).as_bytes()).is_none());
        for _ in 0..100 {
            tier.give_way(5_000);
        }
        assert!(!tier.give_way(5_000));
        assert!((32_000 - 1_024..=32_000).contains(&tier.usage().bytes), "{:?}", tier.usage());
        assert!(tier.lookup(key(99).as_bytes()).is_some());
        assert!(tier.lookup(BALLAST).is_none());
    }

    #[test]
    fn others_give_way_to_a_place_and_without_one_nothing_is_kept() {
        let key = |number: u32| CacheKey::from(format!("http/1/h/{number}").as_bytes());
        let budget = Budget::new(64_000);
        let tier = MemoryTier::new(64_000, 4, Arc::clone(&budget));
        for number in 0..100 {
            assert_eq!(tier.insert(&key(number), response("x", 1, 1)), Insertion::Kept);
        }
        tier.settle();
        let _rest = budget.reserve(budget.limit() - budget.used()).unwrap();
        let kept = tier.insert(&key(100), response("x", 1, 1));
        assert_eq!(kept, Insertion::Kept, "the oldest gives way");
        assert!(tier.lookup(key(100).as_bytes()).is_some());
        assert!(tier.lookup(key(0).as_bytes()).is_none());

        let full = Budget::new(1000);
        let tier = MemoryTier::new(64_000, 4, Arc::clone(&full));
        let rest = full.reserve(1000).unwrap();
        assert_eq!(tier.insert(&key(1), response("x", 1, 1)), Insertion::NoMemory);
        drop(rest);
        assert_eq!(tier.insert(&key(1), response("x", 2, 1)), Insertion::Kept);
        let older = tier.insert(&key(1), response("older", 1, 1));
        assert_eq!(older, Insertion::Outdated, "the newer one stays");
    }

    #[test]
    fn what_was_withdrawn_leaves_a_word() {
        let budget = Budget::new(1_000_000);
        let tier = MemoryTier::new(64_000, 4, Arc::clone(&budget));
        let key = CacheKey::from(b"http/1/h/a".as_slice());
        tier.withdraw(key.as_bytes());
        assert!(tier.lookup(key.as_bytes()).is_none());
        tier.insert(&key, response("old", 1, 1));
        tier.withdraw(key.as_bytes());
        let left = tier.lookup(key.as_bytes()).unwrap();
        assert!(left.invalidated && left.responses.is_empty());
        tier.insert(&key, response("new", 2, 2));
        let stored = tier.lookup(key.as_bytes()).unwrap();
        assert!(!stored.invalidated && stored.responses.len() == 1);
    }

    #[test]
    fn what_freshens_one_that_is_gone_comes_in_nobodys_place() {
        let Key { key, tier } = Key::new(4);
        let (gone, fresh, newer) = (response("a", 1, 1), response("a", 1, 2), response("b", 2, 2));
        tier.insert(&key, Arc::clone(&gone));
        tier.insert(&key, Arc::clone(&newer));
        tier.replace(&key, &gone, fresh);
        let all = tier.lookup(key.as_bytes()).unwrap();
        assert_eq!(all.responses.len(), 1);
        assert!(Arc::ptr_eq(&all.responses[0], &newer));
    }

    #[test]
    fn an_older_response_never_displaces_a_newer_one() {
        let key = CacheKey::from(b"http/1/h/a".as_slice());
        let rows = [
            ("a later head", (1, 10), (1, 11), "second"),
            ("an earlier head", (1, 11), (1, 10), "first"),
            ("a later stamp", (1, 11), (2, 10), "second"),
            ("an earlier stamp", (2, 10), (1, 11), "first"),
            ("the same moment", (1, 10), (1, 10), "second"),
        ];
        for (name, first, second, stays) in rows {
            let tier = MemoryTier::new(1_000_000, 4, Budget::new(1_000_000));
            tier.insert(&key, response("first", first.0, first.1));
            tier.insert(&key, response("second", second.0, second.1));
            let stored = tier.lookup(key.as_bytes()).unwrap();
            let [only] = &stored.responses[..] else { panic!("{name}: not one") };
            let content = only.body.reader().next_chunk().unwrap();
            assert_eq!(content, stays, "{name}");
        }
    }
}
