//! Where one client is, and from which source that is known.
//!
//! In: an address, and everything that a map was compiled from. Out: a [`Finding`] for an
//! operator's eyes. It reads the sources again, each by its own search and without the tree, so it
//! is slow and no part of an answer; tests hold its list against the map's.

use std::net::IpAddr;

use ground::fold::{Folded, fold, fold_network};
use ipnet::IpNet;

use super::{
    Basis, Ranked,
    database::{Database, DatabaseError},
    order::{Draft, Orderer},
    place::Place,
    plan::MapPlan,
};
use crate::fleet::{FleetView, PopSet};

/// Where a client is.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The address that was looked for, and what was folded away.
    pub client: Folded,
    /// What the databases say together.
    pub place: Place,
    /// The operator's network that holds the client, if one does.
    pub network: Option<IpNet>,
    /// What decided.
    pub basis: Basis,
    /// The PoPs in the order that follows.
    pub ranked: Vec<Ranked>,
    /// PoPs whose fence keeps the client out.
    pub excluded: PopSet,
}

impl Finding {
    /// Finds a client for the map of `plan`.
    ///
    /// # Errors
    /// Damage in a database.
    pub fn find(
        plan: &MapPlan,
        fleet: &FleetView,
        databases: &[Database<'_>],
        client: IpAddr,
    ) -> Result<Self, DatabaseError> {
        Self::by(&Orderer::new(plan, fleet), plan, fleet, databases, client)
    }

    /// The same for one client of several.
    pub(super) fn by(
        orderer: &Orderer<'_>,
        plan: &MapPlan,
        fleet: &FleetView,
        databases: &[Database<'_>],
        client: IpAddr,
    ) -> Result<Self, DatabaseError> {
        let client = fold(client);
        let mut place = Place::default();
        for database in databases {
            place = place.or(database.find(client.address)?);
        }
        let holding = plan.networks.iter().filter(|(network, _)| network.contains(&client.address));
        let network = holding.max_by_key(|(network, _)| network.prefix_len());
        let inside = fleet.iter().filter(|(_, pop)| {
            let mut networks = pop.fence.networks.iter().filter_map(|one| fold_network(*one));
            networks.any(|network| network.contains(&client.address))
        });
        let inside: PopSet = inside.map(|(id, _)| id).collect();
        let mut draft = Draft::default();
        let preference = network.map(|(_, preference)| *preference);
        let basis = orderer.order(&place, preference, &inside, &mut draft);
        Ok(Self {
            client,
            place,
            network: network.map(|(network, _)| *network),
            basis,
            ranked: draft.ranked,
            excluded: draft.excluded,
        })
    }
}
