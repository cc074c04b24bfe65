//! What a node says to the ledger: how far it has come, and that it is there.
//!
//! In: positions, as they are applied. Out: the node's document, written when the position moves and
//! at least once a heartbeat; a lease that is renewed by that.
//! Always: there is one writer with one write under way; what comes meanwhile goes out with the next
//! one, the newest only, so a flood of purges makes no queue. It does not know what is applied.
//! Clause: docs/operate.md *The nodes*.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{Applies, NodeDocument, Retry, lease::Lease};
use crate::{
    documents,
    ledger::{Expect, Key, Ledger, LedgerError, Log, Position},
    pace::jittered,
};

/// See the module.
pub(super) struct Heart {
    ledger: Arc<dyn Ledger>,
    key: Key,
    document: NodeDocument,
    edge: Arc<dyn Applies>,
    heartbeat: Duration,
    lease: Option<Lease>,
}

impl Heart {
    pub(super) fn new(
        ledger: Arc<dyn Ledger>,
        (key, document): (Key, NodeDocument),
        edge: Arc<dyn Applies>,
        heartbeat: Duration,
    ) -> Self {
        let lease = document.lease().map(Lease::new);
        if lease.is_some() {
            edge.vouch(Instant::now());
        }
        Self { ledger, key, document, edge, heartbeat, lease }
    }

    /// Writes that `applied` is; what it holds is no better for it yet.
    pub(super) async fn say(&mut self, applied: Position) -> Result<(), LedgerError> {
        self.document.applied = Some(applied);
        self.document.load = self.edge.load();
        let bytes = documents::encode(&self.document);
        let bytes = bytes.map_err(|error| LedgerError::Unavailable(error.to_string()))?;
        let sent = Instant::now();
        self.ledger.write(&self.key, bytes, Expect::Anything).await?;
        if let Some(lease) = &mut self.lease {
            lease.acknowledged(sent, Instant::now());
        }
        Ok(())
    }

    /// The purge log ended there, after the last write.
    pub(super) fn ends(&mut self, last: Position) {
        if let Some(lease) = &mut self.lease {
            lease.ends(last);
        }
    }

    /// Lets what the edge holds be reused, as far as that is known to be good by who has `applied` that.
    pub(super) fn vouch(&mut self, applied: Position) {
        let good_until = self.lease.as_mut().and_then(|lease| lease.good_until(applied));
        if let Some(until) = good_until {
            self.edge.vouch(until);
        }
    }

    /// Says it, and what follows from that.
    async fn beat(&mut self, reports: &mut watch::Receiver<Position>) -> Result<(), LedgerError> {
        let applied = *reports.borrow_and_update();
        self.say(applied).await?;
        if self.lease.as_ref().is_some_and(Lease::wants_end) {
            let last = self.ledger.ends(Log::Purges).await?.last;
            self.ends(last);
        }
        let applied = *reports.borrow();
        self.vouch(applied);
        Ok(())
    }

    /// Beats until nobody applies any more.
    pub(super) async fn run(mut self, mut reports: watch::Receiver<Position>) {
        let mut retry = Retry::default();
        let mut told = false;
        let mut due = Instant::now() + jittered(self.heartbeat);
        loop {
            tokio::select! {
                // An error means that the node has ended.
                moved = reports.changed() => if moved.is_err() { return },
                () = sleep_until(due) => {}
            }
            match self.beat(&mut reports).await {
                Ok(()) => {
                    retry = Retry::default();
                    due = Instant::now() + jittered(self.heartbeat);
                }
                Err(error) => {
                    if retry.is_first() {
                        tracing::warn!(node = self.key.name(), %error, "a report was not taken; trying again");
                    }
                    reports.mark_changed();
                    retry.wait().await;
                }
            }
            told = self.tell(told);
        }
    }

    /// Tells once that the lease has lapsed, and that it is back.
    fn tell(&self, told: bool) -> bool {
        let Some(lease) = &self.lease else { return false };
        let (node, lapsed) = (self.key.name(), lease.has_lapsed(Instant::now()));
        match (told, lapsed) {
            (false, true) => {
                tracing::warn!(
                    node,
                    "its lease on the ledger has lapsed; nothing stored is reused before its origin \
                     was asked, until the ledger is back"
                );
            }
            (true, false) => tracing::info!(node, "its lease on the ledger is back"),
            _ => {}
        }
        lapsed
    }
}
