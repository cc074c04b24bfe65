//! What a node says to the ledger: how far it has come, and that it is there.
//!
//! In: positions, as they are applied. Out: the node's document, written when the position moves, DNS is
//! answered by something else or other sites are served, and at least once a heartbeat; a lease that is renewed by that.
//! Always: there is one writer with one write under way; what comes meanwhile goes out with the next
//! one, the newest only, and after a report that spoke of several purges there is a rest, so a flood of
//! purges makes no queue and no flood of reports. It does not know what is applied.
//! Clause: docs/operate.md *The nodes*.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{Applies, Retry, lease::Lease, pen::Pen, troubles::Trouble};
use crate::ledger::{LedgerError, Log, Position};

/// From one report that spoke of several purges to the next: at a thousand purges a second a report
/// for each would cost the ledger more than they do.
const REST: Duration = Duration::from_millis(10);

/// How far a node has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reached {
    pub(super) position: Position,
    /// Entries that it has applied on the way there: positions do not count them.
    pub(super) entries: u64,
}

/// See the module.
pub(super) struct Heart {
    pen: Pen,
    edge: Arc<dyn Applies>,
    lease: Option<Lease>,
    /// Until when the lease is good, for who tells.
    good_until: watch::Sender<Instant>,
}

impl Heart {
    pub(super) fn new(pen: Pen, edge: Arc<dyn Applies>) -> Self {
        let lease = pen.document.lease().map(Lease::new);
        let now = Instant::now();
        if lease.is_some() {
            edge.vouch(now);
        }
        let good_until = watch::Sender::new(now);
        Self { pen, edge, lease, good_until }
    }

    /// Until when its lease is good; nothing without one.
    pub(super) fn good_until(&self) -> Option<watch::Receiver<Instant>> {
        self.lease.is_some().then(|| self.good_until.subscribe())
    }

    /// Writes that `applied` is; what it holds is no better for it yet.
    pub(super) async fn say(&mut self, applied: Position) -> Result<(), LedgerError> {
        let Self { pen, edge, lease, .. } = self;
        pen.document.applied = Some(applied);
        pen.document.load = edge.load();
        // Purges that were complete without it may be in a log that it does not follow yet.
        let doubt = || lease.iter_mut().for_each(Lease::doubt);
        let sent = pen.write(doubt).await?;
        if let Some(lease) = lease {
            lease.acknowledged(sent, Instant::now());
        }
        Ok(())
    }

    /// The purge log ended there, after the last write; who comes after this has `applied` that.
    pub(super) fn ends(&mut self, last: Position, applied: Position) {
        if let Some(lease) = &mut self.lease {
            lease.ends(last);
            if last.epoch != applied.epoch {
                // Whoever purges there knows nothing of what was vouched for in another log.
                self.edge.vouch(Instant::now());
            }
        }
    }

    /// Lets what the edge holds be reused, as far as that is known to be good by who has `applied` that.
    pub(super) fn vouch(&mut self, applied: Position) {
        let good_until = self.lease.as_mut().and_then(|lease| lease.good_until(applied));
        if let Some(until) = good_until {
            self.edge.vouch(until);
            self.good_until.send_replace(until);
        }
    }

    /// Says it, and what follows from that.
    async fn beat(
        &mut self,
        reports: &mut watch::Receiver<Reached>,
    ) -> Result<Reached, LedgerError> {
        let said = *reports.borrow_and_update();
        self.say(said.position).await?;
        if self.lease.as_ref().is_some_and(Lease::wants_end) {
            let last = self.pen.ledger.ends(Log::Purges).await?.last;
            let applied = reports.borrow().position;
            self.ends(last, applied);
        }
        let applied = reports.borrow().position;
        self.vouch(applied);
        Ok(said)
    }

    /// Beats until nobody applies any more; at once, unless it `was_said` that it is there.
    pub(super) async fn run(
        mut self,
        mut reports: watch::Receiver<Reached>,
        was_said: Option<Reached>,
    ) {
        let mut retry = Retry::default();
        let mut said = was_said;
        let mut not_before = Instant::now();
        let mut due = if said.is_some() { self.pen.next() } else { not_before };
        loop {
            let moved = async {
                let moved = reports.changed().await;
                sleep_until(not_before).await;
                moved
            };
            tokio::select! {
                // An error means that the node has ended.
                moved = moved => if moved.is_err() { return },
                () = self.pen.goes_otherwise() => {}
                () = sleep_until(due) => {}
            }
            let begun = Instant::now();
            match self.beat(&mut reports).await {
                Ok(reached) => {
                    let is_flood = said.is_some_and(|before| is_beyond_next(before, reached));
                    (said, not_before) =
                        (Some(reached), begun + if is_flood { REST } else { Duration::ZERO });
                    retry = Retry::default();
                    due = self.pen.next();
                    self.pen.troubles.end(Trouble::Reporting);
                }
                // Who was there instead is told already.
                Err(LedgerError::Conflict { .. }) => {
                    retry.wait().await;
                    due = Instant::now();
                }
                Err(error) => {
                    if self.pen.troubles.begin(Trouble::Reporting, &error.to_string()) {
                        tracing::warn!(node = self.pen.key.name(), %error, "a report was not taken; trying again");
                    }
                    retry.wait().await;
                    due = Instant::now();
                }
            }
        }
    }
}

/// Whether there is more than one entry from one to the other.
fn is_beyond_next(before: Reached, after: Reached) -> bool {
    after.entries > before.entries.saturating_add(1)
}
