//! Whether the ledger knows everybody who may hold a lease.
//!
//! In: epochs of the purge log, as they are met; what this node knew of it before. Out: from when on a
//! purge there may be called complete.
//! Always: a ledger that was made anew knows none of the nodes that go on with what they stored under
//! the one before, and on leases that still run; so nothing there is complete before these have
//! certainly lapsed, counted from when this process first met it. One that was met before it started is
//! taken for the same still. It does not know who holds a lease.
//! Clause: docs/operate.md *When the ledger is away*.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::ledger::Epoch;

/// See the module. By default nothing is strange: of a ledger that is a process's own.
#[derive(Debug, Default)]
pub struct Familiar {
    wait: Duration,
    known: Option<Vec<Epoch>>,
    met: Mutex<Option<Met>>,
}

#[derive(Clone, Copy, Debug)]
struct Met {
    epoch: Epoch,
    /// From when on all who are there are known, if they are not already.
    good_from: Option<Instant>,
}

impl Familiar {
    /// Where leases have lapsed after `wait`, of who knew these epochs before it started; without any
    /// the first one that it meets is taken for an old one.
    #[must_use]
    pub fn after(wait: Duration, known: Option<Vec<Epoch>>) -> Self {
        Self { wait, known, met: Mutex::default() }
    }

    /// Meets an epoch; says from when on a purge of it may be complete, if that is not so already.
    pub(crate) fn meet(&self, epoch: Epoch, now: Instant) -> Option<Instant> {
        let mut met = self.met.lock();
        let is_known = match *met {
            Some(met) if met.epoch == epoch => return met.good_from,
            Some(_) => false,
            None => self.known.as_ref().is_none_or(|known| known.contains(&epoch)),
        };
        let good_from = if is_known { None } else { self.strange(now) };
        *met = Some(Met { epoch, good_from });
        good_from
    }

    /// Documents are not those that were known, whatever the log's epoch.
    pub(crate) fn doubt(&self, now: Instant) {
        if let Some(met) = &mut *self.met.lock() {
            met.good_from = self.strange(now);
        }
    }

    fn strange(&self, now: Instant) -> Option<Instant> {
        if self.wait == Duration::ZERO {
            return None;
        }
        tracing::warn!(
            "the ledger is not one that was known here: no purge is complete for {:?}, since nodes \
             that it does not know yet may hold a lease",
            self.wait
        );
        Some(now + self.wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(11);

    #[test]
    fn what_was_not_known_before_is_strange_for_as_long_as_a_lease() {
        let now = Instant::now();
        let meets = |known: Option<&[u64]>, epoch| {
            let known = known.map(|known| known.iter().copied().map(Epoch).collect());
            Familiar::after(WAIT, known).meet(Epoch(epoch), now)
        };
        assert_eq!(meets(Some(&[6, 7]), 7), None);
        assert_eq!(meets(Some(&[6]), 7), Some(now + WAIT));
        assert_eq!(meets(Some(&[]), 7), Some(now + WAIT));
        assert_eq!(meets(None, 7), None);
        assert_eq!(Familiar::default().meet(Epoch(7), now), None);
    }

    #[test]
    fn another_one_is_strange_from_when_it_is_met_and_so_are_other_documents() {
        let now = Instant::now();
        let familiar = Familiar::after(WAIT, None);
        assert_eq!(familiar.meet(Epoch(7), now), None);
        let later = now + WAIT;
        assert_eq!(familiar.meet(Epoch(8), later), Some(later + WAIT));
        assert_eq!(familiar.meet(Epoch(8), later + WAIT), Some(later + WAIT), "it stays so");
        familiar.doubt(later + WAIT);
        assert_eq!(familiar.meet(Epoch(8), later + WAIT), Some(later + 2 * WAIT));
    }
}
