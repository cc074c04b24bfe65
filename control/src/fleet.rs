//! The fleet, as the ledger has it: where each PoP's nodes are reached, and which addresses are out.
//!
//! In: what nodes say of themselves, drains. Out: [`Fleet`].
//! Always: who is away, and for how long, takes no address out: whether it can be reached is for probes
//! to say; but one that is away keeps no drained address in. A node that has left the ledger is no
//! member any more; but a PoP that would have no address left then keeps those that it had, unless a
//! node of another has them, until a node of it is there again: names do not lose their records
//! because everybody of a PoP is restarted, or the ledger was made anew.
//! What a newer version says of a node is not known here, and what was known of it holds on.
//! It deliberately does not know what a settings file says of a PoP.
//! Clause: docs/operate.md *Draining a node*.

mod follow;
mod load;

pub use self::{
    follow::{Following, OnDisk, follow},
    load::{Loads, PopLoad},
};

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use serde::{Deserialize, Serialize};

use crate::{
    drain::{Drains, is_edge},
    kept::{Keep, KeptFile},
    ledger::{Epoch, Position, Revision},
    roster::{Seen, Sighting},
};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fleet {
    /// Edges that say under which addresses clients reach them, by name.
    #[serde(default)]
    pub(crate) members: BTreeMap<String, Member>,
    /// Where clients reach the nodes of each PoP, by its name.
    pub addresses: BTreeMap<String, BTreeSet<IpAddr>>,
    /// The addresses that clients are not to be sent to.
    pub out: BTreeSet<IpAddr>,
    /// The revision of the first drain that each of these is out by.
    #[serde(skip)]
    pub since: BTreeMap<IpAddr, Revision>,
    /// The nodes that are drained.
    pub drained: BTreeSet<String>,
    /// The ledger's revision when that was so of drains, with the epoch of its purge log; nothing where
    /// the ledger has not said so.
    #[serde(skip)]
    pub at: Option<Position>,
}

/// Where a node keeps it.
pub type FleetFile = KeptFile<Fleet>;

impl Keep for Fleet {
    const NAME: &'static str = "fleet";
    const LOST: &'static str = "the fleet cannot be kept on disk; a start without the ledger would know an older one, so drains \
         are not said to hold here until it can: node drain --wait waits for this name server";
}

/// A node of a PoP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    pop: String,
    addresses: Vec<IpAddr>,
}

impl Member {
    /// What a node is now, which was this `before`.
    fn of(sighting: &Sighting, before: Option<&Self>) -> Option<Self> {
        let Ok(document) = &sighting.document else { return before.cloned() };
        let pop = document.pop.clone().filter(|_| is_edge(sighting))?;
        Some(Self { pop, addresses: document.reached_at.clone() })
    }
}

/// Where a node says that clients reach it.
fn reached_at(node: &Sighting) -> impl Iterator<Item = IpAddr> {
    let document = node.document.as_ref().ok();
    document.into_iter().flat_map(|document| document.reached_at.iter().copied())
}

impl Fleet {
    /// The fleet after this one.
    #[must_use]
    fn next(&self, (drains, epoch): (&Drains, Epoch), seen: &Seen) -> Self {
        let member = |(name, sighting): (&str, &Sighting)| {
            let before = self.members.get(name);
            Some((name.to_owned(), Member::of(sighting, before)?))
        };
        let members: BTreeMap<String, Member> = seen.nodes().filter_map(member).collect();
        let mut addresses: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
        for Member { pop, addresses: own } in members.values() {
            addresses.entry(pop.clone()).or_default().extend(own);
        }
        addresses.retain(|_, addresses| !addresses.is_empty());
        // Who is there says itself which PoP its addresses are of, if any.
        let said: BTreeSet<IpAddr> = seen.nodes().flat_map(|(_, node)| reached_at(node)).collect();
        for (pop, before) in &self.addresses {
            let left: BTreeSet<IpAddr> = before.difference(&said).copied().collect();
            if !addresses.contains_key(pop) && !left.is_empty() {
                addresses.insert(pop.clone(), left);
            }
        }
        let out = drains.addresses_out(seen, &self.out);
        Self {
            members,
            addresses,
            since: drains.since(&out, seen),
            out,
            drained: drains.by_node.keys().cloned().collect(),
            at: Some(Position { epoch, seq: drains.revision.0 }),
        }
    }
}
