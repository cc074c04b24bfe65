//! Drains that were given up: answers with addresses that nobody is to be sent to.
//!
//! In: the PoPs of such an answer; what fleets of before gave up. Out: when the last one was, by PoP and
//! family of addresses; what fleets of before gave up; a word to who waits for an answer.
//! Always holds: the last one is known to a wake-up's age; PoPs are told apart as the counters do
//! ([`crate::record`]), so those beyond share a place. It deliberately does not know why nobody else was
//! left.
//! Clause: docs/operate.md *Draining a node*.
//!
//! Hot path: one store; whoever waits is woken by the first, and then by one a second at most.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use geodns_core::{answer::Served, fleet::PopId, standing::Wanted};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use crate::{
    clock::Now,
    record::{Labels, PLACES},
};

/// Who was told of an answer looks for the last one by itself for so long.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(crate) struct GivenUp {
    /// By the place of the PoP.
    last: Box<[Last]>,
    /// Until when what fleets of before gave up may be cached.
    former: Mutex<BTreeMap<IpAddr, Instant>>,
    told: Notify,
}

/// When the last answer with addresses of a family was: milliseconds since the start, and one; 0 for
/// never.
#[derive(Debug, Default)]
struct Last {
    v4: AtomicU64,
    v6: AtomicU64,
}

impl Default for GivenUp {
    fn default() -> Self {
        let last = (0..PLACES).map(|_| Last::default()).collect();
        Self { last, former: Mutex::default(), told: Notify::new() }
    }
}

impl GivenUp {
    /// An answer was made of these PoPs.
    pub(crate) fn note(
        &self,
        pops: impl Iterator<Item = PopId>,
        wanted: Wanted,
        (served, labels): (&Served, &Labels),
        now: Now,
    ) {
        let now = millis(now.since_start).saturating_add(1);
        for id in pops {
            let pop = served.standings().pop(id).filter(|pop| pop.is_out(wanted));
            let last = labels.pop(Some(id)).and_then(|at| self.last.get(at));
            let (Some(pop), Some(last)) = (pop, last) else { continue };
            // An HTTPS record hints at both families.
            if pop.v4.drained && wanted != Wanted::V6 {
                self.note_one(&last.v4, now);
            }
            if pop.v6.drained && wanted != Wanted::V4 {
                self.note_one(&last.v6, now);
            }
        }
    }

    fn note_one(&self, last: &AtomicU64, now: u64) {
        let before = last.swap(now, Ordering::Relaxed);
        if before == 0 || now.saturating_sub(before) >= millis(PAUSE) {
            self.told.notify_one();
        }
    }

    /// When the last one with addresses of this PoP and this one's family was, since the start.
    pub(crate) fn last(&self, labels: &Labels, id: PopId, of: IpAddr) -> Option<Duration> {
        let last = self.last.get(labels.pop(Some(id))?)?;
        let last = if of.is_ipv4() { &last.v4 } else { &last.v6 };
        last.load(Ordering::Relaxed).checked_sub(1).map(Duration::from_millis)
    }

    /// The fleet that gave these up is in force no more; until when that may be cached.
    pub(crate) fn keep(&self, given_up: BTreeMap<IpAddr, Instant>, now: Instant) {
        let mut former = self.former.lock();
        merge(&mut former, given_up);
        former.retain(|_, until| now < *until);
    }

    /// What was given up by fleets of before and by this one.
    pub(crate) fn with_former(
        &self,
        mut given_up: BTreeMap<IpAddr, Instant>,
    ) -> BTreeMap<IpAddr, Instant> {
        merge(&mut given_up, self.former.lock().clone());
        given_up
    }

    /// Waits for the next; who comes late hears of the last.
    pub(crate) async fn next(&self) {
        self.told.notified().await;
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Puts these in as well; the later moment counts.
fn merge(into: &mut BTreeMap<IpAddr, Instant>, given_up: BTreeMap<IpAddr, Instant>) {
    for (address, until) in given_up {
        let known = into.entry(address).or_insert(until);
        *known = until.max(*known);
    }
}
