//! How far the nodes have come with a purge.
//!
//! In: a ledger, a position. Out: each registered node with whether it has applied it.
//! Always: nobody polls: the nodes' reports are watched from before the purge was appended; a purge
//! is complete only when every registered node has reported its position. A delay is this
//! process's own monotonic time from append to report, so no two clocks are compared.
//! It deliberately does not know what was purged.
//! Clause: docs/operate.md *Ordering purges*.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use crate::{
    documents,
    ledger::{Change, Document, Ledger, LedgerError, Position, Watch},
    node::{NODES, NodeDocument},
};

/// A node, as far as a purge is concerned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NodeProgress {
    /// Its name.
    pub node: String,
    /// Whether it has applied the purge.
    pub applied: bool,
    /// How long after the append its report came, in milliseconds; only where that was waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
}

/// Whether every node has applied a purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Every registered node has.
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

/// A node's last report; without a position when it cannot be read.
#[derive(Clone, Copy, Debug)]
struct Report {
    applied: Option<Position>,
    at: Instant,
}

impl Report {
    fn of(value: &[u8], at: Instant) -> Self {
        // A node of a newer version counts as not done: what it reports is not known.
        let document = documents::decode::<NodeDocument>(value).ok();
        Self { applied: document.map(|document| document.applied), at }
    }
}

/// Reports that are watched.
pub struct Reports {
    nodes: BTreeMap<String, (Report, Option<Instant>)>,
    watch: Box<dyn Watch>,
}

impl Reports {
    /// Watches from now on.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn watch(ledger: &dyn Ledger) -> Result<Self, LedgerError> {
        let listing = ledger.list(NODES).await?;
        let watch = ledger.watch(NODES, listing.revision).await?;
        let now = Instant::now();
        let report = |Document { key, value, .. }: Document| {
            (key.name().to_owned(), (Report::of(&value, now), None))
        };
        Ok(Self { nodes: listing.documents.into_iter().map(report).collect(), watch })
    }

    /// Waits until every node has reported `position`, which was appended at `appended`; no longer
    /// than `until`.
    ///
    /// # Errors
    /// When the ledger cannot be watched any more.
    pub async fn wait(
        &mut self,
        position: Position,
        appended: Instant,
        until: Instant,
    ) -> Result<Progress, LedgerError> {
        self.settle(position);
        while !self.is_complete() {
            let Ok(change) = timeout_at(until, self.watch.next()).await else { break };
            self.take(change?);
            self.settle(position);
        }
        Ok(self.progress(Some(appended)))
    }

    /// What is known now.
    #[must_use]
    pub fn now(mut self, position: Position) -> Progress {
        self.settle(position);
        self.progress(None)
    }

    fn take(&mut self, Change { key, value, .. }: Change) {
        let name = key.name().to_owned();
        match value {
            None => drop(self.nodes.remove(&name)),
            Some(value) => {
                let report = Report::of(&value, Instant::now());
                // What it had applied it may have to apply again, after a restart: the newest
                // report counts, and the first one that says so tells the delay.
                let reached = self.nodes.get(&name).and_then(|(_, reached)| *reached);
                self.nodes.insert(name, (report, reached));
            }
        }
    }

    fn settle(&mut self, position: Position) {
        for (report, reached) in self.nodes.values_mut() {
            let is_there = report.applied.is_some_and(|applied| applied.has_reached(position));
            *reached = is_there.then(|| reached.unwrap_or(report.at));
        }
    }

    fn is_complete(&self) -> bool {
        self.nodes.values().all(|(_, reached)| reached.is_some())
    }

    fn progress(&self, appended: Option<Instant>) -> Progress {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let progress = |(node, (_, reached)): (&String, &(Report, Option<Instant>))| {
            let delay = reached
                .zip(appended)
                .map(|(reached, appended)| millis(reached.saturating_duration_since(appended)));
            NodeProgress { node: node.clone(), applied: reached.is_some(), delay_ms: delay }
        };
        let state = if self.is_complete() { State::Complete } else { State::Partial };
        Progress { state, nodes: self.nodes.iter().map(progress).collect() }
    }
}
