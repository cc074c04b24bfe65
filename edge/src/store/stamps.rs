//! The node's stamps: which responses were struck, by purges and by invalidations.
//!
//! In: names that are struck, by site. Out: whether a response whose fetch began at a stamp is dead
//! or stale; what that means is the law's business ([`edge_core::stamps`]).
//! A response carries the counter's value from when its fetch *began*: a purge that comes while it
//! is on its way strikes it as well (ARCHITECTURE.md *Words*).
//! Always holds: when [`Stamps::strike`] returns, every later look sees it. A look at what is newer
//! than everything that was struck is one atomic comparison; one at anything else is a second, once
//! it was looked up after the newest strike: each stored response remembers what was found.
//!
//! Hot path: [`Stamps::death`]; it locks for what has to be looked up only, and allocates nothing.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use edge_core::{
    key,
    purge::{Name, Tags},
    site::SiteId,
    stamps::{Cause, Forgotten, Place, Room, SiteStamps, Standing, Strike, Subject},
};
use foldhash::quality::RandomState;
use parking_lot::{Mutex, RwLock};

use super::StoredResponse;

/// The counter and what was struck; one per node.
#[derive(Debug)]
pub struct Stamps {
    counter: AtomicU64,
    /// The newest strike of all.
    newest: AtomicU64,
    /// The newest that left something dead in the store.
    newest_left: AtomicU64,
    /// Of each site by itself: one in which much is struck raises its own floors, nobody else's.
    sites: RwLock<HashMap<SiteId, Arc<RwLock<SiteStamps<RandomState>>>>>,
    /// Held over a strike, so that what is newer is there later as well.
    striking: Mutex<Room>,
    hashers: [RandomState; 2],
    /// Stored responses that were found dead, and stale, by [`Cause::index`].
    found: [[AtomicU64; 2]; Cause::ALL.len()],
}

impl Stamps {
    /// Nothing struck.
    #[must_use]
    pub fn new(room: Room) -> Self {
        Self {
            counter: AtomicU64::new(1),
            newest: AtomicU64::new(0),
            newest_left: AtomicU64::new(0),
            sites: RwLock::new(HashMap::new()),
            striking: Mutex::new(room),
            hashers: [RandomState::default(), RandomState::default()],
            found: Default::default(),
        }
    }

    /// From now on there is that much room for each site, and the sites that `is_there` denies are
    /// forgotten: their ids never come back.
    pub fn resize(&self, room: Room, is_there: impl Fn(SiteId) -> bool) {
        let mut order = self.striking.lock();
        *order = room;
        self.sites.write().retain(|id, _| is_there(*id));
        for stamps in self.sites.read().values() {
            stamps.write().resize(room);
        }
    }

    /// How often a site forgot some of what was struck, by the protocol and by operators.
    #[must_use]
    pub fn overflows(&self) -> (u64, u64) {
        let sites = self.sites.read();
        let all = sites.values().map(|stamps| stamps.read().overflows());
        all.fold((0, 0), |(one, other), (protocol, operators)| (one + protocol, other + operators))
    }

    /// Stored responses that were found struck by `cause` since the start: dead, and stale.
    #[must_use]
    pub fn found(&self, cause: Cause) -> (u64, u64) {
        let [dead, stale] = self.counters(cause);
        (dead.load(Ordering::Relaxed), stale.load(Ordering::Relaxed))
    }

    fn counters(&self, cause: Cause) -> &[AtomicU64; 2] {
        #[expect(clippy::indexing_slicing, reason = "an index in ALL, the array's length")]
        &self.found[cause.index()]
    }

    /// The stamp for a fetch that begins now.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.counter.load(Ordering::Acquire)
    }

    /// The newest strike: all up to it are seen by whoever looks after this.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.newest.load(Ordering::Acquire)
    }

    /// Strikes all that `names` mean in `site` and whose fetch began before now.
    pub fn strike(&self, site: SiteId, names: &[Name], strike: Strike) {
        self.strike_after(site, names, strike, |_| ());
    }

    /// The same, with a last look before: nothing else is struck between the two. Out comes what was
    /// seen, and the stamp of a fetch that begins right after.
    pub fn strike_after<T>(
        &self,
        site: SiteId,
        names: &[Name],
        strike: Strike,
        look: impl FnOnce(&Self) -> T,
    ) -> (T, u64) {
        let room = self.striking.lock();
        let seen = look(self);
        let stamps = self.of(site).unwrap_or_else(|| {
            let new = || Arc::new(RwLock::new(SiteStamps::new(*room, self.hashers.clone())));
            Arc::clone(self.sites.write().entry(site).or_insert_with(new))
        });
        let mut stamps = stamps.write();
        let stamp = self.counter.fetch_add(1, Ordering::AcqRel);
        let forgotten: Vec<Forgotten> =
            names.iter().filter_map(|name| stamps.strike(name, strike, stamp)).collect();
        // An invalidated URI is taken out of the store by who invalidates it, but for what a rule's
        // fields set apart, for which the sweeper comes by before it is forgotten.
        let is_left = |name: &Name| !matches!(name, Name::Target(_)) || stamps.wants_sweep();
        if strike == Strike::Dead && names.iter().any(is_left) {
            self.newest_left.store(stamp, Ordering::Release);
        }
        self.newest.store(stamp, Ordering::Release);
        // Those who look go on first: this may take a while.
        drop(stamps);
        drop(forgotten);
        (seen, stamp.saturating_add(1))
    }

    /// Whether something may be dead in the store that was not at `stamp`.
    #[must_use]
    pub fn has_left_since(&self, stamp: u64) -> bool {
        self.newest_left.load(Ordering::Acquire) > stamp
    }

    /// Everything that was dead at `stamp` has left the store.
    pub fn swept(&self, stamp: u64) {
        for stamps in self.sites.read().values() {
            stamps.write().swept(stamp);
        }
    }

    /// By what a response is dead that is stored under `key`; nothing while it is not. One that is
    /// stale knows it from now on ([`StoredResponse::freshness`]).
    #[must_use]
    pub fn death(&self, key: &[u8], stored: &StoredResponse) -> Option<Cause> {
        let newest = self.newest();
        if stored.head.stamp > newest {
            return None;
        }
        match stored.checked.at(newest) {
            Some(known) => known,
            None => self.look_up(key, stored, newest),
        }
    }

    /// Everything up to `newest` is there: it was struck before that was told.
    #[cold]
    fn look_up(&self, key: &[u8], stored: &StoredResponse, newest: u64) -> Option<Cause> {
        let head = &stored.head;
        let standing = self.standing(&Subject {
            key,
            tags: &head.tags,
            content: head.stamp,
            validated: head.validated,
            place: Place::Stored,
        });
        let [dead, stale] = match standing {
            Standing::Alive => [None, None],
            Standing::Stale { since, cause } => [None, stored.checked.outdate(since, cause)],
            Standing::Dead(cause) => [Some(cause), None],
        };
        let died = stored.checked.note(newest, dead);
        for (place, cause) in [died, stale].into_iter().enumerate() {
            if let Some(counter) = cause.and_then(|cause| self.counters(cause).get(place)) {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
        dead
    }

    /// What has become of something on its way into the store under `key`, or held by somebody,
    /// whose fetch began at `stamp`; `tags` as far as they are known.
    #[must_use]
    pub fn on_its_way(&self, key: &[u8], tags: &Tags, stamp: u64) -> Standing {
        if stamp > self.newest() {
            return Standing::Alive;
        }
        let (content, validated, place) = (stamp, stamp, Place::OnItsWay);
        self.standing(&Subject { key, tags, content, validated, place })
    }

    /// Whether any of it was struck, whether dead or stale.
    #[must_use]
    pub fn is_overtaken(&self, key: &[u8], tags: &Tags, stamp: u64) -> bool {
        self.on_its_way(key, tags, stamp) != Standing::Alive
    }

    fn standing(&self, of: &Subject<'_>) -> Standing {
        let stamps = key::site_of(of.key).and_then(|site| self.of(site));
        stamps.map_or(Standing::Alive, |stamps| stamps.read().standing(of))
    }

    fn of(&self, site: SiteId) -> Option<Arc<RwLock<SiteStamps<RandomState>>>> {
        self.sites.read().get(&site).cloned()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use bytes::Bytes;
    use edge_core::{site::Policy, storable, time::Timestamp};
    use http::{HeaderMap, HeaderValue, Method, StatusCode};

    use super::*;
    use crate::store::{StoredBody, budget::Budget};

    pub(in crate::store) const SITE: SiteId = SiteId(1);
    const KEY: &[u8] = b"http/1/h/a";

    fn stamps() -> Stamps {
        Stamps::new(Room { invalidations_max: 4, purges_max: 4 })
    }

    /// A response whose fetch begins now.
    pub(in crate::store) fn response(stamps: &Stamps) -> StoredResponse {
        let mut fields = HeaderMap::new();
        fields.insert("cache-control", HeaderValue::from_static("max-age=60"));
        let now = Timestamp::from_secs(1_700_000_000);
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
        (head.stamp, head.validated) = (stamps.now(), stamps.now());
        let body = StoredBody::new(vec![Bytes::from_static(b"x")]);
        StoredResponse::new(head, body, Budget::new(1).reserve(0).unwrap())
    }

    fn url() -> [Name; 1] {
        [Name::Url(KEY.into())]
    }

    #[test]
    fn a_strike_takes_what_began_before_it_and_nothing_later() {
        let stamps = stamps();
        let (old, before) = (response(&stamps), stamps.now());
        let none = Tags::default();
        assert_eq!(stamps.death(KEY, &old), None);
        assert!(!stamps.is_overtaken(KEY, &none, before));
        stamps.strike(SITE, &url(), Strike::Dead);
        let (new, after) = (response(&stamps), stamps.now());
        assert_eq!(stamps.death(KEY, &old), Some(Cause::Url));
        assert_eq!(stamps.death(KEY, &new), None);
        assert!(stamps.is_overtaken(KEY, &none, before));
        assert!(!stamps.is_overtaken(KEY, &none, after));
        assert!(!stamps.is_overtaken(b"http/1/h/b", &none, before));
        assert!(!stamps.is_overtaken(b"http/2/h/a", &none, before), "another site");
        assert_eq!(stamps.found(Cause::Url), (1, 0), "once, however often it is asked");
        assert_eq!(stamps.death(KEY, &old), Some(Cause::Url));
        assert_eq!(stamps.found(Cause::Url), (1, 0));
    }

    #[test]
    fn what_was_found_is_remembered_until_the_next_strike() {
        let stamps = stamps();
        let old = response(&stamps);
        stamps.strike(SITE, &[Name::Host("g".into())], Strike::Dead);
        let newest = stamps.newest();
        assert_eq!(old.checked.at(newest), None);
        assert_eq!(stamps.death(KEY, &old), None);
        assert_eq!(old.checked.at(newest), Some(None));
        stamps.strike(SITE, &[Name::Host("h".into())], Strike::Stale(Timestamp::from_secs(7)));
        assert_eq!(old.checked.at(stamps.newest()), None);
        assert_eq!(stamps.death(KEY, &old), None);
        assert_eq!(old.freshness().lifetime, std::time::Duration::ZERO, "stale from the start");
        assert_eq!(stamps.found(Cause::Host), (0, 1));
        stamps.strike(SITE, &url(), Strike::Dead);
        assert_eq!(stamps.death(KEY, &old), Some(Cause::Url));
        // Who looked before, and is late to say so, revives nothing.
        assert_eq!(old.checked.note(newest, None), None);
        assert_eq!(stamps.death(KEY, &old), Some(Cause::Url));
    }

    #[test]
    fn an_answer_is_newer_than_what_it_strikes_itself() {
        let stamps = stamps();
        let look = |stamp| move |stamps: &Stamps| stamps.is_overtaken(KEY, &Tags::default(), stamp);
        let target = [Name::Target(KEY.into())];
        let began = stamps.now();
        let (overtaken, after) = stamps.strike_after(SITE, &target, Strike::Dead, look(began));
        assert!(!overtaken && !stamps.is_overtaken(KEY, &Tags::default(), after));
        let (overtaken, _) = stamps.strike_after(SITE, &target, Strike::Dead, look(began));
        assert!(overtaken, "by somebody else");
    }

    #[test]
    fn only_what_stays_in_the_store_has_to_be_swept() {
        let stamps = stamps();
        stamps.strike(SITE, &[Name::Target(KEY.into())], Strike::Dead);
        stamps.strike(SITE, &url(), Strike::Stale(Timestamp::from_secs(1)));
        assert!(!stamps.has_left_since(0));
        stamps.strike(SITE, &url(), Strike::Dead);
        assert!(stamps.has_left_since(0) && !stamps.has_left_since(stamps.newest()));
    }

    #[test]
    fn what_a_rule_sets_apart_is_swept_before_its_invalidation_is_forgotten() {
        let stamps = stamps();
        let (apart, old) = (b"http/1/h/x\nk=1".as_slice(), response(&stamps));
        let invalidate = |number: u64| {
            let uri = format!("http/1/h/{number}").into_bytes().into_boxed_slice();
            stamps.strike(SITE, &[Name::Target(uri)], Strike::Dead);
        };
        let mut swept = 0;
        for number in 0..40 {
            invalidate(number);
            if stamps.has_left_since(swept) {
                // As the sweeper does, which has found nothing that is dead.
                swept = stamps.newest();
                stamps.swept(swept);
            }
        }
        assert!(swept > 0, "nobody called the sweeper");
        assert_eq!(stamps.death(apart, &old), None, "clients took what they did not name");
        stamps.strike(SITE, &[Name::Target(b"http/1/h/x".as_slice().into())], Strike::Dead);
        assert_eq!(stamps.death(apart, &old), Some(Cause::Target));
    }

    #[test]
    fn how_long_something_has_been_stale_does_not_depend_on_who_looked() {
        let since = |looks_between: bool| {
            let stamps = stamps();
            let old = response(&stamps);
            for second in [1_700_000_010, 1_700_000_014] {
                let mode = Strike::Stale(Timestamp::from_secs(second));
                stamps.strike(SITE, &[Name::Host("h".into())], mode);
                if looks_between {
                    assert_eq!(stamps.death(KEY, &old), None);
                }
            }
            stamps.strike(SITE, &url(), Strike::Stale(Timestamp::from_secs(1_700_000_012)));
            assert_eq!(stamps.death(KEY, &old), None);
            old.checked.stale_since()
        };
        let latest = Some(Timestamp::from_secs(1_700_000_014));
        assert_eq!((since(false), since(true)), (latest, latest));
    }

    #[test]
    fn sites_that_are_gone_are_forgotten() {
        let stamps = stamps();
        let old = response(&stamps);
        stamps.strike(SITE, &url(), Strike::Dead);
        let room = Room { invalidations_max: 8, purges_max: 8 };
        stamps.resize(room, |id| id != SITE);
        assert_eq!(stamps.death(KEY, &old), None);
        assert!(stamps.sites.read().is_empty());
    }
}
