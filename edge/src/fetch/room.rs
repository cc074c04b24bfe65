//! What all fillings of a node share: the store, the budget, the table, what is remembered.

use std::{
    hash::BuildHasher as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering, fence},
    },
    time::Duration,
};

use edge_core::{
    key::{self, CacheKey},
    purge::{Mode, Name, TagLimits, Tags},
    site::SiteId,
    stamps::{Standing, Strike},
    time::Timestamp,
};

use super::table::FillingTable;
use crate::{
    clock::Clock,
    lease::Lease,
    store::{
        self, Insertion, StoredResponse, Tier,
        budget::{Budget, Charge},
        stamps::Stamps,
    },
};

/// The smallest window that content streams through.
pub const WINDOW_BYTES_MIN: usize = 64 * 1024;

/// The least time between two questions about a key that is stored: refreshes in the background,
/// and reloads that a rule honours.
const ASK_PAUSE: Duration = Duration::from_secs(1);

/// What all fillings of a node share.
pub struct FillRoom {
    /// The node's name, for Via.
    pub node: Arc<str>,
    /// The clock of the law.
    pub clock: Clock,
    /// Where responses are stored.
    pub tier: Arc<dyn Tier>,
    /// The byte budget.
    pub budget: Arc<Budget>,
    /// Purges and invalidations.
    pub stamps: Stamps,
    /// Until when anything may be reused unasked; for ever without one.
    pub lease: Option<Lease>,
    /// Fillings that may be joined.
    pub table: FillingTable,
    /// Keys whose last response could not be stored, and until when that is remembered.
    ///
    /// By [`FillRoom::fingerprint`]: keys may be kilobytes long, and two that share one are
    /// forwarded alone a little more often, which is never wrong.
    pub uncacheable: moka::sync::Cache<u64, Timestamp>,
    /// When the origin was last asked about a key of which something is stored, by its fingerprint.
    pub asked: moka::sync::Cache<u64, Timestamp>,
    /// Makes fingerprints that nobody outside can foresee.
    pub hasher: foldhash::quality::RandomState,
    /// What went on, counted.
    pub counts: FillCounts,
}

/// Counters of what fillings did.
#[derive(Debug, Default)]
pub struct FillCounts {
    /// Responses stored.
    pub stored: AtomicU64,
    /// Fillings that gave up storing for want of memory.
    pub unstored_for_memory: AtomicU64,
    /// Fillings that were not stored because they are longer than `object_bytes_max`.
    pub unstored_for_size: AtomicU64,
    /// Fillings broken off because no client was left.
    pub orphaned: AtomicU64,
    /// Fillings whose content broke off.
    pub broken: AtomicU64,
}

/// The limits of a filling, from the settings.
#[derive(Clone, Copy, Debug)]
pub struct FillLimits {
    /// See the settings of the same names.
    pub object_bytes_max: u64,
    /// See the settings.
    pub orphan_bytes_max: u64,
    /// See the settings.
    pub window_bytes: usize,
    /// See the settings.
    pub uncacheable_remembered: Duration,
    /// See the settings.
    pub tags: TagLimits,
}

impl FillRoom {
    /// Whether a response to a fetch for `key` that began at `stamp` may have died since.
    #[must_use]
    pub fn is_dead(&self, key: &[u8], tags: &Tags, stamp: u64) -> bool {
        matches!(self.stamps.on_its_way(key, tags, stamp), Standing::Dead(_))
    }

    /// Whether a request of `now` may reuse what is stored without its origin's word, as the law
    /// allows: no purge that anybody counts on can have been missed.
    #[must_use]
    pub fn is_vouched_for(&self, now: Timestamp) -> bool {
        self.lease.as_ref().is_none_or(|lease| lease.is_good(now))
    }

    /// Whether a stored response that somebody has held for a while has died since.
    #[must_use]
    pub fn is_withdrawn(&self, key: &[u8], stored: &Arc<StoredResponse>) -> bool {
        let is_here = || {
            let variants = self.tier.lookup(key);
            variants.is_some_and(|all| all.responses.iter().any(|one| Arc::ptr_eq(one, stored)))
        };
        self.stamps.death(key, stored).is_some()
            || self.is_dead(key, &stored.head.tags, stored.head.stamp) && !is_here()
    }

    /// Declares everything dead that `names` mean and that is stored, or whose fetch began before
    /// now. `own` is something that such a fetch has just brought, which is newer than that: out
    /// comes its stamp, unless somebody else's strike has overtaken it.
    pub fn invalidate(
        &self,
        site: SiteId,
        names: &[Name],
        own: (&[u8], &Tags, u64),
    ) -> Option<u64> {
        let (key, tags, stamp) = own;
        let look = |stamps: &Stamps| stamps.is_overtaken(key, tags, stamp);
        if names.is_empty() {
            return (!look(&self.stamps)).then_some(stamp);
        }
        let (overtaken, after) = self.stamps.strike_after(site, names, Strike::Dead, look);
        // Whoever stores meanwhile sees the stamp, or we see what was stored.
        fence(Ordering::SeqCst);
        for name in names {
            if let Name::Target(uri) = name {
                self.tier.withdraw(uri);
            }
        }
        (!overtaken).then_some(after)
    }

    /// Purges what `names` mean in `site`: when this returns, nothing of it is served that was
    /// fetched before, or as fresh. The sweeper frees it.
    pub fn purge(&self, site: SiteId, names: &[Name], mode: Mode) {
        let strike = match mode {
            Mode::Hard => Strike::Dead,
            Mode::Soft => Strike::Stale(self.clock.now()),
        };
        self.stamps.strike(site, names, strike);
    }

    /// Stored responses that `names` mean in `site`.
    #[must_use]
    pub fn count(&self, site: SiteId, names: &[Name]) -> u64 {
        let ours =
            self.tier.entries().filter(|(key, _)| key::site_of(key.as_bytes()) == Some(site));
        let meant = ours.map(|(key, variants)| {
            let is_meant = |stored: &&Arc<StoredResponse>| {
                names.iter().any(|name| name.means(key.as_bytes(), &stored.head.tags))
                    && self.stamps.death(key.as_bytes(), stored).is_none()
            };
            variants.responses.iter().filter(is_meant).count() as u64
        });
        meant.sum()
    }

    /// Stores a response, unless it died on its way.
    pub fn insert(&self, key: &CacheKey, response: &Arc<StoredResponse>) -> Insertion {
        let done = self.tier.insert(key, Arc::clone(response));
        fence(Ordering::SeqCst);
        // Only after it: an invalidation in between would have found nothing to remove.
        if self.is_dead(key.as_bytes(), &response.head.tags, response.head.stamp) {
            self.tier.remove(key, response);
            return Insertion::Outdated;
        }
        done
    }

    /// Puts what freshens a stored response in its place. A strike since `looked`, when it was last seen
    /// that nothing had been struck, may have found the one and not the other, and by tags that the
    /// other has no more: what may have been meant by it leaves the store. Says whether it is there.
    pub fn replace(
        &self,
        key: &CacheKey,
        (stored, fresh): (&Arc<StoredResponse>, &Arc<StoredResponse>),
        looked: u64,
    ) -> bool {
        self.tier.replace(key, stored, Arc::clone(fresh));
        fence(Ordering::SeqCst);
        if self.stamps.newest() == looked {
            return true;
        }
        let is_struck = |of: &StoredResponse| {
            let (tags, stamp) = (&of.head.tags, fresh.head.stamp);
            self.stamps.on_its_way(key.as_bytes(), tags, stamp) != Standing::Alive
        };
        let stays = !is_struck(stored) && !is_struck(fresh);
        if !stays {
            self.tier.remove(key, fresh);
        }
        stays
    }

    /// Takes bytes from the budget; if it must, stored responses give way.
    pub fn reserve(&self, bytes: usize) -> Option<Charge> {
        store::reserve(&self.budget, &*self.tier, bytes, 0)
    }

    /// The same for a request that waits: a sixteenth is left for what it waits for, or a crowd
    /// would keep its own answer out.
    pub fn reserve_waiting(&self, bytes: usize) -> Option<Charge> {
        store::reserve(&self.budget, &*self.tier, bytes, self.budget.limit() / 16)
    }

    /// The charge of a window of `bytes`, or of the smallest one.
    ///
    /// Wide windows may take half of what the stored leave; after that all are small, so that a
    /// crowd of slow readers finds place rather than a few of them comfort.
    #[must_use]
    pub fn window(&self, bytes: usize) -> Option<Charge> {
        let stored = usize::try_from(self.tier.usage().bytes).unwrap_or(usize::MAX);
        let room = self.budget.limit().saturating_sub(stored);
        let taken = self.budget.used().saturating_sub(stored);
        let wide = Some(bytes).filter(|bytes| taken.saturating_add(*bytes) <= room / 2);
        let bytes = wide.unwrap_or(0).max(WINDOW_BYTES_MIN);
        self.budget.reserve(bytes).or_else(|| self.reserve(WINDOW_BYTES_MIN))
    }

    /// Whether little memory is left: what nobody waits for then gives way, before somebody who does
    /// is refused.
    #[must_use]
    pub fn is_short(&self) -> bool {
        let limit = self.budget.limit();
        self.budget.used() > limit - limit / 16
    }

    /// Whether `bytes` more would find room now, after what waits to be evicted has gone.
    #[must_use]
    pub fn has_room(&self, bytes: u64) -> bool {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.reserve(bytes).is_some()
    }

    /// A short stand-in for a key.
    #[must_use]
    pub fn fingerprint(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Whether the origin was asked about `key` a moment ago.
    #[must_use]
    pub fn was_asked(&self, key: &[u8], now: Timestamp) -> bool {
        self.asked.get(&self.fingerprint(key)).is_some_and(|at| now.since(at) < ASK_PAUSE)
    }

    /// The origin is asked about `key` now.
    pub fn note_asked(&self, key: &[u8], now: Timestamp) {
        self.asked.insert(self.fingerprint(key), now);
    }

    /// Whether `key` may be refreshed in the background now: at most once a second, so that stale
    /// hits on a failing origin do not become as many forwards.
    #[must_use]
    pub fn may_refresh(&self, key: &[u8], now: Timestamp) -> bool {
        let may = !self.was_asked(key, now);
        if may {
            self.note_asked(key, now);
        }
        may
    }

    /// Whether `key` is remembered as uncacheable.
    #[must_use]
    pub fn is_uncacheable(&self, key: &CacheKey) -> bool {
        self.uncacheable
            .get(&self.fingerprint(key.as_bytes()))
            .is_some_and(|until| self.clock.now() < until)
    }
}

#[cfg(test)]
pub(super) mod tests;
