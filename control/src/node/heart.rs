//! What a node says to the ledger: how far it has come, and that it is there.
//!
//! In: positions, as they are applied. Out: the node's document, written when the position moves and
//! at least once a heartbeat; a lease that is renewed by that.
//! Always: there is one writer with one write under way; what comes meanwhile goes out with the next
//! one, the newest only, and after a report that spoke of several purges there is a rest, so a flood of
//! purges makes no queue and no flood of reports. It does not know what is applied.
//! Clause: docs/operate.md *The nodes*.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    Applies, NodeDocument, Retry,
    lease::Lease,
    seat::{Look, Seat},
    troubles::{Own, Trouble},
};
use crate::{
    documents,
    ledger::{Expect, Key, Ledger, LedgerError, Log, Position},
    pace::jittered,
};

/// From one report that spoke of several purges to the next: at a thousand purges a second a report
/// for each would cost the ledger more than they do.
const REST: Duration = Duration::from_millis(10);

/// See the module.
pub(super) struct Heart {
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) key: Key,
    pub(super) document: NodeDocument,
    pub(super) edge: Arc<dyn Applies>,
    pub(super) heartbeat: Duration,
    pub(super) seat: Seat,
    pub(super) troubles: Arc<Own>,
    lease: Option<Lease>,
    /// Until when the lease is good, for who tells.
    good_until: watch::Sender<Instant>,
}

impl Heart {
    pub(super) fn new(
        ledger: Arc<dyn Ledger>,
        (key, document): (Key, NodeDocument),
        edge: Arc<dyn Applies>,
        (heartbeat, seat): (Duration, Seat),
        troubles: Arc<Own>,
    ) -> Self {
        let lease = document.lease().map(Lease::new);
        let now = Instant::now();
        if lease.is_some() {
            edge.vouch(now);
        }
        let good_until = watch::Sender::new(now);
        Self { ledger, key, document, edge, heartbeat, seat, troubles, lease, good_until }
    }

    /// Until when its lease is good; nothing without one.
    pub(super) fn good_until(&self) -> Option<watch::Receiver<Instant>> {
        self.lease.is_some().then(|| self.good_until.subscribe())
    }

    /// Writes that `applied` is; what it holds is no better for it yet.
    pub(super) async fn say(&mut self, applied: Position) -> Result<(), LedgerError> {
        self.document.applied = Some(applied);
        self.document.load = self.edge.load();
        let said = match self.write().await {
            // Somebody else was there: look who.
            Err(LedgerError::Conflict { .. }) => self.write().await,
            said => said,
        };
        self.document.rivals = self.seat.rivals(Instant::now());
        self.tell_rivals();
        said
    }

    async fn write(&mut self) -> Result<(), LedgerError> {
        let expect = match self.seat.held() {
            Some(expect) => expect,
            None => self.look().await?,
        };
        self.document.rivals = self.seat.rivals(Instant::now());
        let bytes = documents::encode(&self.document);
        let bytes = bytes.map_err(|error| LedgerError::Unavailable(error.to_string()))?;
        let sent = Instant::now();
        match self.ledger.write(&self.key, bytes, expect).await {
            Ok(revision) => self.seat.hold(revision),
            Err(error) => {
                if matches!(error, LedgerError::Conflict { .. }) {
                    self.seat.lose();
                }
                return Err(error);
            }
        }
        if let Some(lease) = &mut self.lease {
            lease.acknowledged(sent, Instant::now());
        }
        Ok(())
    }

    /// Looks what its place has.
    async fn look(&mut self) -> Result<Expect, LedgerError> {
        let found = self.ledger.read(&self.key).await?;
        match self.seat.find(found.as_ref(), Instant::now()) {
            Look::Write(expect) => Ok(expect),
            Look::Anew => {
                // Purges that were complete without it may be in a log that it does not follow yet.
                if let Some(lease) = &mut self.lease {
                    lease.doubt();
                }
                Ok(Expect::Absent)
            }
            Look::Later(current) => {
                Err(LedgerError::Conflict { key: self.key.clone(), current: Some(current) })
            }
        }
    }

    /// Tells once that another goes by its name, and that none does any more.
    fn tell_rivals(&self) {
        let node = self.key.name();
        if let Some(rival) = self.document.rivals.iter().find(|rival| rival.lives) {
            let reason = "another process runs under its name; no purge is complete while both do";
            if self.troubles.begin(Trouble::Twin, reason) {
                tracing::error!(
                    node,
                    rival = rival.incarnation,
                    "{reason}: end one of them, or give it another name; if it was killed, take it \
                     out with `nearcast node remove {node} --force`"
                );
            }
        } else if self.troubles.end(Trouble::Twin) {
            tracing::info!(node, "no other process runs under its name any more");
        }
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
        reports: &mut watch::Receiver<Position>,
    ) -> Result<Position, LedgerError> {
        let said = *reports.borrow_and_update();
        self.say(said).await?;
        if self.lease.as_ref().is_some_and(Lease::wants_end) {
            let last = self.ledger.ends(Log::Purges).await?.last;
            let applied = *reports.borrow();
            self.ends(last, applied);
        }
        let applied = *reports.borrow();
        self.vouch(applied);
        Ok(said)
    }

    /// Beats until nobody applies any more; at once, unless it `was_said` that it is there.
    pub(super) async fn run(
        mut self,
        mut reports: watch::Receiver<Position>,
        was_said: Option<Position>,
    ) {
        let mut retry = Retry::default();
        let mut said = was_said;
        let mut not_before = Instant::now();
        let mut due = if said.is_some() { self.next() } else { not_before };
        loop {
            let moved = async {
                let moved = reports.changed().await;
                sleep_until(not_before).await;
                moved
            };
            tokio::select! {
                // An error means that the node has ended.
                moved = moved => if moved.is_err() { return },
                () = sleep_until(due) => {}
            }
            let begun = Instant::now();
            match self.beat(&mut reports).await {
                Ok(position) => {
                    let is_flood = said.is_some_and(|before| is_beyond_next(before, position));
                    (said, not_before) =
                        (Some(position), begun + if is_flood { REST } else { Duration::ZERO });
                    retry = Retry::default();
                    due = self.next();
                    self.troubles.end(Trouble::Reporting);
                }
                // Who was there instead is told already.
                Err(LedgerError::Conflict { .. }) => {
                    retry.wait().await;
                    due = Instant::now();
                }
                Err(error) => {
                    if self.troubles.begin(Trouble::Reporting, &error.to_string()) {
                        tracing::warn!(node = self.key.name(), %error, "a report was not taken; trying again");
                    }
                    retry.wait().await;
                    due = Instant::now();
                }
            }
        }
    }

    /// When it is to be said again that it is there.
    fn next(&self) -> Instant {
        let beat = Instant::now() + jittered(self.heartbeat);
        self.seat.next_gone().map_or(beat, |gone| beat.min(gone))
    }
}

/// Whether there is more than one entry from one to the other.
fn is_beyond_next(before: Position, after: Position) -> bool {
    before.epoch == after.epoch && after.seq > before.seq.saturating_add(1)
}
