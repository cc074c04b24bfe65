//! An operator's purge, as one edge applies it.
//!
//! In: a [`Purge`]. Out: what it speaks of is dead, or stale; or how much that would be.
//! Always holds: a site's rules say what a URL comes to; of a site that is not here nothing is
//! stored, and one that comes back begins anew, so its purge is no error and does nothing.
//! It deliberately does not know who ordered it, nor when.

use std::{
    sync::{
        Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use edge_core::{
    purge::{Mode, Name, Purge},
    site::SiteId,
    stamps::Cause,
};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::{Edge, fetch::room::FillRoom, store::sweep::sweep};

/// How often the sweeper looks whether there is something to do.
const SWEEP: Duration = Duration::from_secs(1);
/// Times its own work that it rests.
const REST: u32 = 9;

impl Edge {
    /// Purges at once: when this returns, nothing that `purge` speaks of is served any more as it was
    /// before, whether it is stored or on its way.
    pub fn purge(&self, purge: &Purge) {
        let hall = self.hall();
        if let Some((site, names)) = self.meant(purge) {
            hall.room.purge(site, &names, purge.mode);
        }
        for selector in &purge.selectors {
            hall.purges.note(selector.cause(), purge.mode);
        }
    }

    /// How many stored responses `purge` speaks of now. It looks at every one that is stored.
    #[must_use]
    pub fn count(&self, purge: &Purge) -> u64 {
        let meant = self.meant(purge);
        meant.map_or(0, |(site, names)| self.hall().room.count(site, &names))
    }

    /// The site, and what the selectors come to in it.
    fn meant(&self, purge: &Purge) -> Option<(SiteId, Vec<Name>)> {
        let snapshot = self.hall().snapshot.load();
        let site = snapshot.table.sites().iter().find(|site| *site.name == *purge.site)?;
        let names = purge.selectors.iter().flat_map(|selector| selector.names(site));
        Some((site.id, names.collect()))
    }
}

/// Frees what was purged, after each purge that has left something dead in the store, until the room
/// is gone.
pub(crate) async fn free(room: Weak<FillRoom>) {
    let mut ticks = interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut swept = 0;
    loop {
        ticks.tick().await;
        let Some(room) = room.upgrade() else { return };
        if !room.stamps.has_left_since(swept) {
            continue;
        }
        let began = Instant::now();
        swept = sweep(&*room.tier, &room.stamps).await;
        drop(room);
        sleep_until(Instant::now() + began.elapsed().saturating_mul(REST)).await;
    }
}

/// Selectors of purges that were applied, by kind and mode.
#[derive(Debug, Default)]
pub struct PurgeCounts([[AtomicU64; 2]; Cause::ALL.len()]);

impl PurgeCounts {
    /// Applied so far.
    #[must_use]
    pub fn count(&self, cause: Cause, mode: Mode) -> u64 {
        self.counter(cause, mode).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    fn note(&self, cause: Cause, mode: Mode) {
        if let Some(counter) = self.counter(cause, mode) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn counter(&self, cause: Cause, mode: Mode) -> Option<&AtomicU64> {
        let [hard, soft] = self.0.get(cause.index())?;
        Some(match mode {
            Mode::Hard => hard,
            Mode::Soft => soft,
        })
    }
}

#[cfg(test)]
mod tests {
    use edge_core::{key::Scheme, purge::Selector};

    use crate::wire::is_path;

    #[test]
    fn every_target_that_is_let_in_can_be_purged_by_its_url() {
        let mut seen = 0;
        for (octet, before) in (0..=u8::MAX).flat_map(|octet| [(octet, "/a"), (octet, "/a?b")]) {
            let target = [before.as_bytes(), &[octet], b"c"].concat();
            if !is_path(b"GET", &target) {
                continue;
            }
            seen += 1;
            let target = String::from_utf8(target).unwrap();
            let selector = Selector::parse_url(&format!("http://h{target}"));
            let (scheme, host) = (Scheme::Http, Box::from("h"));
            assert_eq!(selector, Ok(Selector::Url { scheme, host, target: target.into() }));
        }
        assert!(seen > 2 * 62, "letters and digits at least");
    }
}
