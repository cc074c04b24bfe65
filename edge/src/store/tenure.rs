//! Which of the variants under one key makes room for one too many.
//!
//! In: when each answered last, and in which order they took their places. Out: what stays.
//! Always holds: of the variants that answer at least once in [`TENURE`], those that took their
//! places first keep them, all but the last place: however many others come, and however often each
//! of them is asked for, they take that one from each other. A new representation of a variant has
//! the place of the old one. Each displacement costs whoever wants it a forward of its own.
//! What it does not promise: a place to who comes late. A client that takes all places first, after a
//! purge for example, and goes on asking for each (half a request a second for 32) leaves the others
//! the last one. Nothing in a request tells an invented value from a real one, and whatever
//! counted requests could be outdone by sending more of them.
//! It deliberately reads no clock: the latest of the times that it is given is now.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use edge_core::time::Timestamp;

use super::StoredResponse;

/// How long an answer protects the variant that gave it, in seconds.
const TENURE: u64 = 60;

/// A variant's claim to its place.
#[derive(Debug)]
pub(crate) struct Tenure {
    /// The second of the law's clock in which it answered a request last; 0 for never.
    answered: AtomicU64,
    /// The tier's count of places when it took its own: the higher, the later.
    place: AtomicU64,
}

impl Default for Tenure {
    fn default() -> Self {
        Self { answered: AtomicU64::new(0), place: AtomicU64::new(u64::MAX) }
    }
}

impl Tenure {
    /// It answers a request. Written once a second, else only read: workers share it.
    pub(super) fn answer(&self, now: Timestamp) {
        if self.answered.load(Ordering::Relaxed) < now.as_secs() {
            self.answered.store(now.as_secs(), Ordering::Relaxed);
        }
    }

    /// It takes the place of that number.
    pub(super) fn begin(&self, place: u64) {
        self.place.store(place, Ordering::Relaxed);
    }

    /// It takes the place of another as well.
    pub(super) fn inherit(&self, old: &Self) {
        self.answered.fetch_max(old.answered.load(Ordering::Relaxed), Ordering::Relaxed);
        self.place.fetch_min(old.place.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// Leaves `max` of the responses under a key beside `newcomer`, in the same order, and says how many
/// went: of those that have answered nobody of late the one that was fetched or asked for longest
/// ago, or if there is none, the one that took its place last.
pub(super) fn displace(
    kept: &mut Vec<Arc<StoredResponse>>,
    newcomer: &StoredResponse,
    max: usize,
) -> u64 {
    let before = kept.len();
    let latest = kept.iter().map(|stored| touched(stored)).max().unwrap_or(0);
    let now = latest.max(touched(newcomer));
    while kept.len() > max {
        let place = |at: &usize| kept.get(*at).map(|one| one.tenure.place.load(Ordering::Relaxed));
        let since = |at: &usize| kept.get(*at).map(|one| touched(one));
        let idle = |at: &usize| kept.get(*at).is_some_and(|one| !answered_of_late(one, now));
        let longest = (0..kept.len()).filter(idle).min_by_key(|at| (since(at), place(at)));
        let Some(at) = longest.or_else(|| (0..kept.len()).max_by_key(place)) else { break };
        kept.remove(at);
    }
    u64::try_from(before.saturating_sub(kept.len())).unwrap_or(u64::MAX)
}

/// The second in which it was fetched, validated or asked for last.
fn touched(stored: &StoredResponse) -> u64 {
    let answered = stored.tenure.answered.load(Ordering::Relaxed);
    answered.max(stored.head.freshness.response_time.as_secs())
}

fn answered_of_late(stored: &StoredResponse, now: u64) -> bool {
    let answered = stored.tenure.answered.load(Ordering::Relaxed);
    answered > 0 && now.saturating_sub(answered) < TENURE
}
