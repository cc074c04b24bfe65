//! How far the nodes have come with a purge.
//!
//! In: the roster, a position. Out: each registered node with whether it has applied it.
//! Always: nobody polls: the nodes' reports are watched; who is registered is asked of the ledger after
//! the purge was appended, and a node looks where the log ends after it was registered, so each has
//! the purge or is waited for. A purge is complete only when every registered node has reported its
//! position, or reuses nothing any more without its origin's word because its lease has certainly
//! lapsed: it was longer than the lease and a margin, on this process's own monotonic clock, that the
//! node's document was last seen to change, when the ledger was asked again and knew of no change. What
//! a document says counts only while its node's name is one process's, and nothing is complete in a
//! ledger that is not familiar yet. A
//! delay is this process's own time from append to report, so no two clocks are compared.
//! It deliberately does not know what was purged.
//! Clause: docs/operate.md *Ordering purges*, *When the ledger is away*.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    ledger::{LedgerError, Position},
    node::{NodeDocument, lapse_after},
    roster::{Roster, Sighting},
    waiting::{Look, Now, Waiting},
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
    /// True where other processes go by its name, so that what it has applied says nothing of them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub contested: bool,
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
    waiting: Waiting,
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
    /// Nobody can say; the same.
    Contested(Option<Instant>),
}

impl Reports {
    /// Watches from now on.
    #[must_use]
    pub fn watch(roster: &Roster) -> Self {
        Self { waiting: Waiting::begin(roster), reached: BTreeMap::new() }
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
        let Self { waiting, reached } = self;
        let look = |now: Now<'_>| {
            let standings = settle(&now, position, reached);
            let strange = now.strange_until(position.epoch);
            let is_familiar = now.asked.is_some() && strange.is_none();
            let progress = progress(&standings, is_familiar, Some(appended));
            let due = standings.values().filter_map(Standing::lapses).chain(strange).min();
            Look { is_over: progress.state == State::Complete, progress, due, again: None }
        };
        waiting.until(until, look).await
    }

    /// What is known now.
    ///
    /// # Errors
    /// When the ledger cannot be asked.
    pub async fn now(mut self, position: Position) -> Result<Progress, LedgerError> {
        let Self { waiting, reached } = &mut self;
        waiting.ask().await?;
        Ok(waiting.look(|now| {
            let is_familiar = now.strange_until(position.epoch).is_none();
            progress(&settle(&now, position, reached), is_familiar, None)
        }))
    }
}

/// Where each node is that applies purges.
fn settle(
    now: &Now<'_>,
    position: Position,
    reached: &mut BTreeMap<String, Instant>,
) -> BTreeMap<String, Standing> {
    let mut standings = BTreeMap::new();
    for (name, sighting) in now.seen.nodes() {
        // A node of a newer version counts as not done: what it reports is not known.
        let document = sighting.document.as_ref().ok();
        let is_contested = document.is_some_and(NodeDocument::is_contested);
        // One that applies nothing is waited for where it has the place of others that may.
        if !is_contested && document.is_some_and(|document| document.applied.is_none()) {
            continue;
        }
        let applied = document.and_then(|document| document.applied);
        let has_reached = applied.is_some_and(|applied| applied.has_reached(position));
        let standing = if has_reached && !is_contested {
            // What it had applied it may have to apply again, after a restart: the newest
            // report counts, and the first one that says so tells the delay.
            Standing::Reached(*reached.entry(name.to_owned()).or_insert(sighting.at))
        } else {
            reached.remove(name);
            match lapse(sighting) {
                Some(lapse) if now.asked.is_some_and(|asked| asked >= lapse) => Standing::Lapsed,
                lapse if is_contested => Standing::Contested(lapse),
                lapse => Standing::Lacks(lapse),
            }
        };
        standings.insert(name.to_owned(), standing);
    }
    standings
}

fn progress(
    standings: &BTreeMap<String, Standing>,
    is_familiar: bool,
    appended: Option<Instant>,
) -> Progress {
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let progress = |(node, standing): (&String, &Standing)| {
        let reached = match standing {
            Standing::Reached(at) => Some(*at),
            Standing::Lapsed | Standing::Lacks(_) | Standing::Contested(_) => None,
        };
        let delay = reached
            .zip(appended)
            .map(|(reached, appended)| millis(reached.saturating_duration_since(appended)));
        NodeProgress {
            node: node.clone(),
            applied: reached.is_some(),
            lapsed: *standing == Standing::Lapsed,
            contested: matches!(standing, Standing::Contested(_)),
            delay_ms: delay,
        }
    };
    let lacks =
        |standing: &Standing| matches!(standing, Standing::Lacks(_) | Standing::Contested(_));
    // Others may be registered, as long as nobody has asked; or be about to be.
    let is_open = standings.values().any(lacks) || !is_familiar;
    let state = if is_open { State::Partial } else { State::Complete };
    Progress { state, nodes: standings.iter().map(progress).collect() }
}

impl Standing {
    fn lapses(&self) -> Option<Instant> {
        match self {
            Self::Lacks(lapse) | Self::Contested(lapse) => *lapse,
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
