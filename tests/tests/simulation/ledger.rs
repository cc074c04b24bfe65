//! What the counters must say once all is over.
//!
//! In: every visit as its client saw it, then the edge. Out: which counters do not balance.
//! Always holds: a request is counted once by its outcome, whatever became of its client, and once by
//! the status of its head, if there was one; a client that saw a head saw what was counted.

use std::sync::atomic::Ordering;

use edge::Edge;
use edge_core::outcome::OutcomeLabel;

use super::{clients::Visit, judge};

/// What clients saw.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    visits: u64,
    hits: u64,
    forwards: u64,
    /// By class, 1xx first.
    statuses: [u64; 5],
    content_bytes: u64,
}

impl Ledger {
    /// One more visit is over.
    pub(crate) fn note(&mut self, visit: &Visit) {
        self.visits += 1;
        self.content_bytes += visit.answer.body.len() as u64;
        if visit.answer.head.is_none() {
            return;
        }
        self.statuses[usize::from(visit.answer.status() / 100) - 1] += 1;
        let said = judge::said(visit).unwrap_or_default();
        self.hits += u64::from(said.hit);
        self.forwards += u64::from(said.forward);
    }

    /// Compares it with what the edge has counted since its start.
    pub(crate) fn balance(&self, edge: &Edge) -> Result<(), String> {
        let hall = edge.hall();
        let snapshot = hall.snapshot.load();
        let sites: Vec<_> =
            snapshot.sites.values().map(|entry| &entry.metrics).chain([&hall.nowhere]).collect();
        let outcomes = |of: fn(OutcomeLabel) -> bool| -> u64 {
            let labels = OutcomeLabel::ALL.into_iter().filter(|label| of(*label));
            labels.flat_map(|label| sites.iter().map(move |s| s.requests.sum(label.index()))).sum()
        };
        let statuses: Vec<u64> =
            (0..5).map(|class| sites.iter().map(|site| site.statuses.sum(class)).sum()).collect();
        equal("requests by outcome", outcomes(|_| true), self.visits)?;
        // Who left before there was a head got no status, and is told among the aborted.
        let with_status: u64 = statuses.iter().sum();
        let aborted = sites.iter().map(|site| site.aborted.load(Ordering::Relaxed)).sum::<u64>();
        at_least("requests", self.visits, with_status)?;
        at_least("responses by status, and aborted", with_status + aborted, self.visits)?;
        // Who left before the head saw nothing of what is counted.
        at_least("hits", outcomes(is_hit), self.hits)?;
        at_least("forwards", outcomes(is_forward), self.forwards)?;
        for (class, seen) in self.statuses.iter().enumerate() {
            at_least(&format!("{}xx", class + 1), statuses[class], *seen)?;
        }
        let sent = sites.iter().map(|site| site.bytes.sum(0)).sum();
        at_least("content bytes", sent, self.content_bytes)
    }
}

fn is_hit(label: OutcomeLabel) -> bool {
    matches!(label, OutcomeLabel::Hit | OutcomeLabel::HitStale)
}

fn is_forward(label: OutcomeLabel) -> bool {
    label != OutcomeLabel::Refused && !is_hit(label)
}

fn equal(what: &str, counted: u64, seen: u64) -> Result<(), String> {
    if counted == seen { Ok(()) } else { Err(format!("{what}: {counted} counted, {seen} made")) }
}

fn at_least(what: &str, counted: u64, seen: u64) -> Result<(), String> {
    if counted >= seen { Ok(()) } else { Err(format!("{what}: {counted} counted, {seen} seen")) }
}
