//! What the nodes of each PoP carry.
//!
//! In: what nodes say of themselves, drains. Out: a report for each PoP of which somebody says anything.
//! Always: who is away, or of whom nothing is known, counts for nothing, not for an idle node; nor does
//! who is drained, since no clients are sent to it. It does not know what a report comes to.
//! Clause: docs/operate.md *Health*.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::{
    drain::{Drains, is_edge},
    roster::{Presence, Seen},
};

/// What the nodes of a PoP carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PopLoad {
    /// Connections of clients, of all of them.
    pub connections: u64,
    /// How full those are that say so, on average, of a thousand.
    pub share_per_mille: Option<u16>,
    /// When the first of what this is made of was heard.
    pub at: Instant,
}

/// By the name of the PoP.
pub type Loads = BTreeMap<String, PopLoad>;

/// What nodes say now.
pub(super) fn loads(drains: &Drains, seen: &Seen) -> Loads {
    let mut sums: BTreeMap<&str, Sum> = BTreeMap::new();
    for (name, sighting) in seen.nodes() {
        let is_asked = sighting.presence == Presence::Here
            && is_edge(sighting)
            && !drains.by_node.contains_key(name);
        let Some(document) = sighting.document.as_ref().ok().filter(|_| is_asked) else { continue };
        let Some(pop) = &document.pop else { continue };
        let load = document.load;
        let sum = sums.entry(pop).or_insert_with(|| Sum::at(sighting.at));
        sum.at = sum.at.min(sighting.at);
        sum.connections = sum.connections.saturating_add(load.connections);
        if let Some(share) = load.share_per_mille {
            sum.shares = sum.shares.saturating_add(share.into());
            sum.count = sum.count.saturating_add(1);
        }
    }
    sums.into_iter().map(|(pop, sum)| (pop.to_owned(), sum.load())).collect()
}

struct Sum {
    connections: u64,
    shares: u64,
    count: u64,
    at: Instant,
}

impl Sum {
    fn at(at: Instant) -> Self {
        Self { connections: 0, shares: 0, count: 0, at }
    }

    fn load(self) -> PopLoad {
        let share = self.shares.checked_div(self.count);
        PopLoad {
            connections: self.connections,
            share_per_mille: share.and_then(|share| u16::try_from(share).ok()),
            at: self.at,
        }
    }
}
