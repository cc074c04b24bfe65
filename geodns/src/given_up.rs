//! Drains that were given up: answers with addresses that nobody is to be sent to.
//!
//! In: the PoPs of such an answer. Out: when the last one was, by PoP; a word to who waits for one.
//! Always holds: the last one is known to a wake-up's age; PoPs are told apart as the counters do
//! ([`crate::record`]), so those beyond share a place. It deliberately does not know why nobody else was
//! left.
//! Clause: docs/operate.md *Draining a node*.
//!
//! Hot path: one store; whoever waits is woken by the first, and then by one a second at most.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use geodns_core::{answer::Served, fleet::PopId, standing::Wanted};
use tokio::sync::Notify;

use crate::{
    clock::Now,
    record::{Labels, PLACES},
};

/// Who was told of an answer looks for the last one by itself for so long.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(crate) struct GivenUp {
    /// By the place of the PoP: milliseconds since the start, and one; 0 for never.
    last: Box<[AtomicU64]>,
    told: Notify,
}

impl Default for GivenUp {
    fn default() -> Self {
        Self { last: (0..PLACES).map(|_| AtomicU64::new(0)).collect(), told: Notify::new() }
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
        for id in pops {
            let is_out = served.standings().pop(id).is_some_and(|pop| pop.is_out(wanted));
            let Some(last) =
                labels.pop(Some(id)).filter(|_| is_out).and_then(|at| self.last.get(at))
            else {
                continue;
            };
            let now = millis(now.since_start).saturating_add(1);
            let before = last.swap(now, Ordering::Relaxed);
            if before == 0 || now.saturating_sub(before) >= millis(PAUSE) {
                self.told.notify_one();
            }
        }
    }

    /// When the last one with this PoP was, since the start.
    pub(crate) fn last(&self, labels: &Labels, id: PopId) -> Option<Duration> {
        let last = self.last.get(labels.pop(Some(id))?)?.load(Ordering::Relaxed);
        last.checked_sub(1).map(Duration::from_millis)
    }

    /// Waits for the next; who comes late hears of the last.
    pub(crate) async fn next(&self) {
        self.told.notified().await;
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
