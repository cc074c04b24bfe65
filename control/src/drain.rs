//! Drains: nodes that clients are not sent to any more, until an operator says otherwise.
//!
//! In: orders, the nodes as a roster sees them. Out: the documents `drains/NAME`; which nodes and
//! addresses are drained.
//! Always: a drain is the ledger's, so it outlives the node's process and its document; it says under
//! which addresses the node was reached, so that these stay out after the node has gone; an address
//! that a node has which is not drained is not out; unless it is forced, a drain that would leave no
//! edge is not taken, and one that two orders at once would come to is taken back.
//! It deliberately does not know what GeoDNS makes of it.
//! Clause: docs/operate.md *Draining a node*.

mod order;
mod progress;

pub use self::{
    order::{DrainError, drain, undrain},
    progress::{NameServer, Progress, Settled, State, Watching},
};

pub(crate) use self::order::DRAINS_MAX;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    documents,
    ledger::{Change, Document, Key, Ledger, LedgerError, Revision},
    node::Role,
    roster::{Presence, Seen, Sighting},
};

/// The keys of drains begin so.
pub const DRAINS: &str = "drains/";

/// The document of a drain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainDocument {
    /// Under which addresses the node was reached when it was drained.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// The id of the token that ordered it.
    #[serde(default)]
    pub by: String,
    /// When, for people.
    #[serde(default)]
    pub at: String,
}

/// A drain, and which version of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    /// What it says; nothing but its being there where a newer version wrote it.
    pub document: DrainDocument,
    /// Its revision.
    pub revision: Revision,
}

/// All drains, by node, as they were together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drains {
    /// They.
    pub by_node: BTreeMap<String, Drain>,
    /// The ledger's revision then.
    pub revision: Revision,
}

/// Why clients are sent to a drained node all the same, as far as the ledger tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Withheld {
    /// Nobody knows where clients reach it, so none of its addresses is out of answers.
    NoAddress,
    /// A node that is not drained has an address of it as well.
    OthersHaveIt,
    /// There is no edge that is neither drained nor away and is reached at addresses of each of its
    /// families: drains are given up where nobody else is left.
    NoOtherEdge,
}

/// The key of a drain; nothing for a name that no node can have.
#[must_use]
pub fn key_of(name: &str) -> Option<Key> {
    Key::parse(&format!("{DRAINS}{name}")).filter(|key| key.name() == name)
}

/// The drains that there are.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn list(ledger: &dyn Ledger) -> Result<Drains, LedgerError> {
    let listing = ledger.list(DRAINS).await?;
    let mut drains = Drains { by_node: BTreeMap::new(), revision: listing.revision };
    listing.documents.iter().for_each(|document| drains.take(document));
    Ok(drains)
}

impl Drains {
    /// A drain was written.
    fn take(&mut self, document: &Document) {
        // What a newer version says beside it does not make it less of a drain.
        let said = documents::decode(&document.value).unwrap_or_default();
        let drain = Drain { document: said, revision: document.revision };
        self.by_node.insert(document.key.name().to_owned(), drain);
    }

    /// Drains changed.
    pub(crate) fn change(&mut self, Change { key, revision, value }: Change) {
        self.revision = self.revision.max(revision);
        match value {
            Some(value) => self.take(&Document { key, revision, value }),
            None => drop(self.by_node.remove(key.name())),
        }
    }

    /// Whether a node is drained.
    #[must_use]
    pub fn has(&self, node: &str) -> bool {
        self.by_node.contains_key(node)
    }

    /// The addresses under which nobody is to be reached: those of drained nodes that no other has.
    /// One that is away has none, as it cannot take them back; of one that may be, what was out
    /// `before` stays so.
    #[must_use]
    pub fn addresses_out(&self, seen: &Seen, before: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
        let mut out: BTreeSet<IpAddr> =
            self.by_node.values().flat_map(|drain| drain.document.addresses.clone()).collect();
        let (drained, others): (Vec<_>, Vec<_>) =
            seen.nodes().partition(|(name, _)| self.has(name));
        out.extend(drained.into_iter().flat_map(|(_, sighting)| addresses(sighting)));
        for (_, other) in others {
            let keeps = |address: &IpAddr| match other.presence {
                Presence::Here => true,
                Presence::Away => false,
                Presence::Unknown => !before.contains(address),
            };
            for address in addresses(other).iter().filter(|address| keeps(address)) {
                out.remove(address);
            }
        }
        out
    }

    /// Since which revision each of these, which are out, is to be out: that of the first drain of a
    /// node that has it; since ever, where no drain says.
    #[must_use]
    pub fn since(&self, out: &BTreeSet<IpAddr>, seen: &Seen) -> BTreeMap<IpAddr, Revision> {
        let mut since = BTreeMap::new();
        for (node, drain) in &self.by_node {
            for address in self.addresses_of(node, seen) {
                let first = since.entry(address).or_insert(drain.revision);
                *first = drain.revision.min(*first);
            }
        }
        since.retain(|address, _| out.contains(address));
        since
    }

    /// The addresses of a drained node.
    #[must_use]
    pub fn addresses_of(&self, node: &str, seen: &Seen) -> BTreeSet<IpAddr> {
        let then = self.by_node.get(node).map(|drain| drain.document.addresses.clone());
        let now = seen.node(node).map(addresses);
        then.into_iter().chain(now).flatten().collect()
    }

    /// Why clients are sent to a drained node all the same, if they are.
    #[must_use]
    pub fn withheld(&self, node: &str, seen: &Seen) -> Option<Withheld> {
        let own = self.addresses_of(node, seen);
        let out = self.addresses_out(seen, &BTreeSet::new());
        if own.is_empty() {
            return Some(Withheld::NoAddress);
        }
        if !own.is_subset(&out) {
            return Some(Withheld::OthersHaveIt);
        }
        let others = seen.nodes().filter(|(name, other)| {
            *name != node && !self.has(name) && other.presence != Presence::Away
        });
        let left: BTreeSet<bool> =
            others.flat_map(|(_, other)| addresses(other)).map(|one| one.is_ipv4()).collect();
        let is_alone = own.iter().any(|one| !left.contains(&one.is_ipv4()));
        is_alone.then_some(Withheld::NoOtherEdge)
    }

    /// Whether clients have an edge left to be sent to if `node` is drained as well: one that says
    /// where it is reached, is not drained and, as far as is known here, not away.
    #[must_use]
    pub fn leave_an_edge(&self, seen: &Seen, node: &str) -> bool {
        seen.nodes().any(|(name, sighting)| {
            name != node
                && !self.has(name)
                && sighting.presence != Presence::Away
                && !addresses(sighting).is_empty()
        })
    }
}

/// Where a node that has said so is reached.
fn addresses(sighting: &Sighting) -> Vec<IpAddr> {
    let document = sighting.document.as_ref().ok();
    let mut addresses =
        document.filter(|_| is_edge(sighting)).map_or_else(Vec::new, |document| document.reached());
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// Whether a node caches HTTP; one that does not say what it does is of a version that did nothing
/// else.
pub(crate) fn is_edge(sighting: &Sighting) -> bool {
    let document = sighting.document.as_ref().ok();
    document
        .is_some_and(|document| document.roles.is_empty() || document.roles.contains(&Role::Edge))
}
