//! How far the nodes have come with a purge.
//!
//! In: the roster, a position. Out: each registered node with whether it has applied it.
//! Always: nobody polls: the nodes' reports are watched; who is registered is asked of the ledger after
//! the purge was appended, and a node looks where the log ends after it was registered, so each has
//! the purge or is waited for. A purge is complete only when every registered node has reported its
//! position, or reuses nothing any more without its origin's word because its lease has certainly
//! lapsed: it was longer than the lease and a margin, on this process's own monotonic clock, that the
//! node's document was last seen to change, when the ledger was asked again and knew of no change. A
//! delay is this process's own time from append to report, so no two clocks are compared.
//! It deliberately does not know what was purged.
//! Clause: docs/operate.md *Ordering purges*, *When the ledger is away*.

use std::{collections::BTreeMap, future::pending, pin::pin, time::Duration};

use schemars::JsonSchema;
use serde::Serialize;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::{
    ledger::{LedgerError, Position},
    node::lapse_after,
    roster::{Roster, Seen, Sighting},
};

/// A node, as far as a purge is concerned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NodeProgress {
    /// Its name.
    pub node: String,
    /// Whether it has applied the purge.
    pub applied: bool,
    /// True where it has not, and its lease has lapsed: until it has, it asks its origins before it
    /// reuses anything.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub lapsed: bool,
    /// How long after the append its report came, in milliseconds; only where that was waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
}

/// Whether every node has applied a purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Every registered node has, or its lease has lapsed.
    Complete,
    /// Some have not.
    Partial,
}

/// What is known of a purge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Whether it is done.
    pub state: State,
    /// The registered nodes, by name.
    pub nodes: Vec<NodeProgress>,
}

/// Reports that are watched.
#[derive(Debug)]
pub struct Reports {
    roster: Roster,
    seen: watch::Receiver<Seen>,
    /// When the ledger was asked last.
    asked: Option<Instant>,
    /// Since when a node has had the purge.
    reached: BTreeMap<String, Instant>,
}

/// Where a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It has applied it, since then.
    Reached(Instant),
    Lapsed,
    /// It has not; with when its lease will have lapsed, if it has one.
    Lacks(Option<Instant>),
}

impl Reports {
    /// Watches from now on.
    #[must_use]
    pub fn watch(roster: &Roster) -> Self {
        let (roster, seen) = (roster.clone(), roster.seen());
        Self { roster, seen, asked: None, reached: BTreeMap::new() }
    }

    /// Waits until every node has reported `position`, which was appended at `appended`; no longer
    /// than `until`.
    ///
    /// # Errors
    /// When the ledger cannot be asked which nodes there are.
    pub async fn wait(
        &mut self,
        position: Position,
        appended: Instant,
        until: Instant,
    ) -> Result<Progress, LedgerError> {
        let roster = self.roster.clone();
        // Not before: it is polled here for the first time, and the purge is in the log.
        let mut asking = pin!(roster.confirm());
        loop {
            let standings = self.settle(position);
            let progress = self.progress(&standings, Some(appended));
            if progress.state == State::Complete {
                return Ok(progress);
            }
            let lapse = standings.values().filter_map(Standing::lapses).min();
            tokio::select! {
                // Its sender lives as long as the roster.
                _ = self.seen.changed() => {}
                asked = &mut asking, if self.asked.is_none() => self.asked = Some(asked?),
                () = at(lapse), if self.asked.is_some() => {
                    self.asked = Some(roster.confirm().await?);
                }
                () = sleep_until(until) => return Ok(progress),
            }
        }
    }

    /// What is known now.
    ///
    /// # Errors
    /// When the ledger cannot be asked.
    pub async fn now(mut self, position: Position) -> Result<Progress, LedgerError> {
        self.asked = Some(self.roster.confirm().await?);
        let standings = self.settle(position);
        Ok(self.progress(&standings, None))
    }

    /// Where each node is that applies purges.
    fn settle(&mut self, position: Position) -> BTreeMap<String, Standing> {
        let Self { seen, asked, reached, .. } = self;
        let seen = seen.borrow_and_update();
        let mut standings = BTreeMap::new();
        for (name, sighting) in seen.nodes() {
            // A node of a newer version counts as not done: what it reports is not known.
            let document = sighting.document.as_ref().ok();
            if document.is_some_and(|document| document.applied.is_none()) {
                continue;
            }
            // Nor is what the others that go by its name have applied.
            let alone = document.filter(|document| !document.is_contested());
            let applied = alone.and_then(|document| document.applied);
            let standing = if applied.is_some_and(|applied| applied.has_reached(position)) {
                // What it had applied it may have to apply again, after a restart: the newest
                // report counts, and the first one that says so tells the delay.
                Standing::Reached(*reached.entry(name.to_owned()).or_insert(sighting.at))
            } else {
                reached.remove(name);
                match lapse(sighting) {
                    Some(lapse) if asked.is_some_and(|asked| asked >= lapse) => Standing::Lapsed,
                    lapse => Standing::Lacks(lapse),
                }
            };
            standings.insert(name.to_owned(), standing);
        }
        standings
    }

    fn progress(
        &self,
        standings: &BTreeMap<String, Standing>,
        appended: Option<Instant>,
    ) -> Progress {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let progress = |(node, standing): (&String, &Standing)| {
            let reached = match standing {
                Standing::Reached(at) => Some(*at),
                Standing::Lapsed | Standing::Lacks(_) => None,
            };
            let delay = reached
                .zip(appended)
                .map(|(reached, appended)| millis(reached.saturating_duration_since(appended)));
            NodeProgress {
                node: node.clone(),
                applied: reached.is_some(),
                lapsed: *standing == Standing::Lapsed,
                delay_ms: delay,
            }
        };
        let lacks = standings.values().any(|standing| matches!(standing, Standing::Lacks(_)));
        // Others may be registered, as long as nobody has asked.
        let state = if lacks || self.asked.is_none() { State::Partial } else { State::Complete };
        Progress { state, nodes: standings.iter().map(progress).collect() }
    }
}

impl Standing {
    fn lapses(&self) -> Option<Instant> {
        match self {
            Self::Lacks(lapse) => *lapse,
            Self::Reached(_) | Self::Lapsed => None,
        }
    }
}

/// From when on a node reuses nothing unasked, unless it is heard of again before; nothing of one that
/// does for ever.
#[must_use]
pub fn lapse(sighting: &Sighting) -> Option<Instant> {
    let lease = sighting.document.as_ref().ok()?.longest_lease()?;
    Some(sighting.at + lapse_after(lease))
}

async fn at(lapse: Option<Instant>) {
    match lapse {
        Some(lapse) => sleep_until(lapse).await,
        None => pending().await,
    }
}
