//! What a strike takes that comes while something is on its way into the store.

use std::sync::Weak;

use bytes::Bytes;
use edge_core::{
    site::Policy,
    stamps::{Cause, Room},
    storable,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use parking_lot::Mutex;

use super::*;
use crate::store::{Entries, StoredBody, Usage, Variants, memory::MemoryTier};

pub(in crate::fetch) const SITE: SiteId = SiteId(1);
pub(in crate::fetch) const KEY: &[u8] = b"http/1/h/a";
const LIMITS: TagLimits = TagLimits { tags_max: 8, tag_bytes_max: 64 };

/// A tier in which something happens at a moment of it.
struct Meddled {
    tier: MemoryTier,
    then: Mutex<Option<(Moment, Happens)>>,
}

type Happens = Box<dyn FnOnce() + Send>;

/// When.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::fetch) enum Moment {
    /// Somebody wants memory of which there is none.
    Wanting,
    /// Something has just been stored.
    Stored,
}

impl Meddled {
    fn at(&self, moment: Moment) {
        let mut then = self.then.lock();
        let due = then.take_if(|(when, _)| *when == moment);
        drop(then);
        if let Some((_, happens)) = due {
            happens();
        }
    }
}

impl Tier for Meddled {
    fn lookup(&self, key: &[u8]) -> Option<Arc<Variants>> {
        self.tier.lookup(key)
    }

    fn insert(&self, key: &CacheKey, response: Arc<StoredResponse>) -> Insertion {
        let done = self.tier.insert(key, response);
        self.at(Moment::Stored);
        done
    }

    fn replace(&self, key: &CacheKey, old: &Arc<StoredResponse>, new: Arc<StoredResponse>) {
        self.tier.replace(key, old, new);
    }

    fn remove(&self, key: &CacheKey, response: &Arc<StoredResponse>) {
        self.tier.remove(key, response);
    }

    fn withdraw(&self, key: &[u8]) {
        self.tier.withdraw(key);
    }

    fn settle(&self) {
        self.tier.settle();
        self.at(Moment::Wanting);
    }

    fn give_way(&self, bytes: usize) -> bool {
        self.tier.give_way(bytes)
    }

    fn entries(&self) -> Entries<'_> {
        self.tier.entries()
    }

    fn usage(&self) -> Usage {
        self.tier.usage()
    }
}

/// A room in which `then` happens at a moment.
pub(in crate::fetch) fn meddled(
    moment: Moment,
    then: impl FnOnce(&FillRoom) + Send + 'static,
) -> Arc<FillRoom> {
    let quiet = room();
    Arc::new_cyclic(|this: &Weak<FillRoom>| {
        let this = Weak::clone(this);
        let happens: Happens = Box::new(move || {
            then(&this.upgrade().unwrap());
        });
        let tier = MemoryTier::new(1 << 19, 8, Arc::clone(&quiet.budget));
        let tier = Arc::new(Meddled { tier, then: Mutex::new(Some((moment, happens))) });
        FillRoom { tier, ..quiet }
    })
}

pub(in crate::fetch) fn room() -> FillRoom {
    let budget = Budget::new(1 << 20);
    FillRoom {
        node: Arc::from("n"),
        clock: Clock::system(),
        tier: Arc::new(MemoryTier::new(1 << 19, 8, Arc::clone(&budget))),
        budget,
        stamps: Stamps::new(Room { invalidations_max: 8, purges_max: 8 }),
        lease: None,
        table: FillingTable::default(),
        uncacheable: moka::sync::Cache::new(8),
        asked: moka::sync::Cache::new(8),
        hasher: foldhash::quality::RandomState::default(),
        counts: FillCounts::default(),
    }
}

/// A response with a tag, whose content and last validation are of `stamps`.
fn response(room: &FillRoom, tag: &'static str, stamps: (u64, u64)) -> Arc<StoredResponse> {
    let mut fields = HeaderMap::new();
    fields.insert("cache-control", HeaderValue::from_static("max-age=60"));
    fields.insert("surrogate-key", HeaderValue::from_static(tag));
    let now = room.clock.now();
    let mut head = storable::judge(&storable::Exchange {
        method: &Method::GET,
        target: "http://h/a",
        request_fields: &HeaderMap::new(),
        status: StatusCode::OK,
        response_fields: &fields,
        request_time: now,
        response_time: now,
        policy: &Policy::default(),
    })
    .unwrap();
    head.tags = Tags::of(&fields, LIMITS);
    (head.stamp, head.validated) = stamps;
    let body = StoredBody::new(vec![Bytes::from_static(b"x")]);
    Arc::new(StoredResponse::new(head, body, room.reserve(100).unwrap()))
}

/// Whether it is in the store, dead or not.
fn is_there(room: &FillRoom, response: &Arc<StoredResponse>) -> bool {
    let variants = room.tier.lookup(KEY);
    variants.is_some_and(|all| all.responses.iter().any(|one| Arc::ptr_eq(one, response)))
}

/// Whether it is there to be served.
fn is_served(room: &FillRoom, response: &Arc<StoredResponse>) -> bool {
    is_there(room, response) && room.stamps.death(KEY, response).is_none()
}

#[test]
fn what_a_purge_overtook_while_it_was_freshened_is_not_served_afterwards() {
    let tag = |tag: &str| Name::Tag(tag.into());
    let rows = [
        ("nothing", None, true),
        ("a tag that it has no more", Some(tag("old")), false),
        ("a tag that it has now", Some(tag("new")), false),
        ("its URL", Some(Name::Url(KEY.into())), false),
        ("everything", Some(Name::Everything), false),
        ("something else", Some(tag("other")), true),
    ];
    for (struck, name, stays) in rows {
        for mode in [Mode::Hard, Mode::Soft] {
            let room = room();
            let key = CacheKey::from(KEY);
            let began = room.stamps.now();
            let stored = response(&room, "old", (began, began));
            assert_eq!(room.insert(&key, &stored), Insertion::Kept);
            // Something was purged before, or its fetch would be newer than all that was.
            room.purge(SITE, &[tag("before")], Mode::Hard);
            let looked = room.stamps.newest();
            // The validation began after that, and the purge comes before what it says is there.
            let fresh = response(&room, "new", (began, room.stamps.now()));
            if let Some(name) = &name {
                room.purge(SITE, std::slice::from_ref(name), mode);
            }
            assert_eq!(room.replace(&key, (&stored, &fresh), looked), stays, "{struck} {mode:?}");
            assert_eq!(is_served(&room, &fresh), stays, "{struck} {mode:?}");
            assert_eq!(is_there(&room, &fresh), stays, "{struck} {mode:?}: no sweep looks for it");
            assert!(!is_served(&room, &stored), "{struck} {mode:?}");
        }
    }
}

#[test]
fn what_a_purge_overtook_on_its_way_is_not_stored() {
    let key = CacheKey::from(KEY);
    for (mode, stays) in [(Mode::Hard, false), (Mode::Soft, true)] {
        let room = room();
        let began = room.stamps.now();
        room.purge(SITE, &[Name::Tag("a".into())], mode);
        let late = response(&room, "a", (began, began));
        assert_eq!(room.insert(&key, &late) == Insertion::Kept, stays, "{mode:?}");
        assert_eq!(is_served(&room, &late), stays, "{mode:?}");
        assert_eq!(is_there(&room, &late), stays, "{mode:?}: the sweep may have come by before");
        // A soft purge leaves it, and nobody takes it for fresh.
        assert!(!late.freshness().is_fresh(room.clock.now()) || !stays, "{mode:?}");
    }
}

#[test]
fn an_answer_that_invalidates_is_newer_than_that_and_older_than_anybody_elses() {
    let room = room();
    let (key, tags) = (KEY, Tags::default());
    let target = [Name::Target(KEY.into())];
    let began = room.stamps.now();
    let own = room.invalidate(SITE, &target, (key, &tags, began)).expect("overtaken by itself");
    assert!(!room.stamps.is_overtaken(key, &tags, own), "it would die of its own invalidation");
    assert!(room.stamps.is_overtaken(key, &tags, began));
    room.purge(SITE, &[Name::Everything], Mode::Hard);
    assert_eq!(room.invalidate(SITE, &target, (key, &tags, own)), None, "purged meanwhile");
    assert_eq!(room.invalidate(SITE, &[], (key, &tags, own)), None);
    let now = room.stamps.now();
    assert_eq!(room.invalidate(SITE, &[], (key, &tags, now)), Some(now), "nothing was struck");
}

#[test]
fn what_somebody_holds_is_withdrawn_by_any_strike_that_means_it() {
    let key = CacheKey::from(KEY);
    let room = room();
    let began = room.stamps.now();
    let held = response(&room, "a", (began, began));
    assert_eq!(room.insert(&key, &held), Insertion::Kept);
    assert!(!room.is_withdrawn(KEY, &held));
    room.purge(SITE, &[Name::Tag("b".into())], Mode::Hard);
    assert!(!room.is_withdrawn(KEY, &held), "another's");
    // Who holds what was there is told apart from who holds what came since.
    room.invalidate(SITE, &[Name::Target(KEY.into())], (KEY, &Tags::default(), began));
    assert!(room.is_withdrawn(KEY, &held));
    assert!(!is_there(&room, &held), "it may be forgotten that it was struck");
    let since = response(&room, "a", (room.stamps.now(), room.stamps.now()));
    assert_eq!(room.insert(&key, &since), Insertion::Kept);
    assert!(!room.is_withdrawn(KEY, &since));
    room.purge(SITE, &[Name::Tag("a".into())], Mode::Hard);
    assert!(room.is_withdrawn(KEY, &since));
    assert_eq!(room.stamps.death(KEY, &since), Some(Cause::Tag));
}

#[test]
fn what_somebody_holds_is_withdrawn_even_when_its_invalidation_is_forgotten() {
    let room = room();
    let began = room.stamps.now();
    let held = response(&room, "a", (began, began));
    assert_eq!(room.insert(&CacheKey::from(KEY), &held), Insertion::Kept);
    let invalidate = |uri: &[u8]| {
        room.invalidate(SITE, &[Name::Target(uri.into())], (KEY, &Tags::default(), began));
        room.stamps.swept(room.stamps.newest());
    };
    invalidate(KEY);
    for number in 0..20 {
        invalidate(format!("http/1/h/{number}").as_bytes());
    }
    assert_eq!(room.stamps.death(KEY, &held), None, "it would be out of the store by now");
    assert!(room.is_withdrawn(KEY, &held));
}
