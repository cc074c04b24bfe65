//! The fleet as one value: which PoPs there are, where, with which addresses, drained or loaded.
//!
//! In: `[[pop]]` settings, or whatever else keeps the fleet's documents. Out: [`FleetView`], which
//! is all that GeoDNS ever learns of the fleet, so that membership, drain and load never disagree
//! with each other. Always holds: names are unique, there are at most [`POPS_MAX`] PoPs, and a
//! [`PopId`] is a PoP's place in one view.
//! It deliberately does not know whether a PoP answers: that is what probes say.

pub(crate) mod build;
mod nodes;
mod pop_set;
#[cfg(test)]
mod tests;

pub use self::{nodes::Nodes, pop_set::PopSet};

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use ipnet::IpNet;

use crate::{
    locate::place::{Continent, Country, Point},
    moment::Moment,
    standing::PerMille,
};

/// PoPs of a fleet at most: a client's way through a policy needs a fixed table of all.
pub const POPS_MAX: usize = 256;

/// A PoP of one [`FleetView`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PopId(u8);

impl PopId {
    /// The PoP at this place in the view.
    #[must_use]
    pub fn new(index: usize) -> Option<Self> {
        u8::try_from(index).ok().map(Self)
    }

    /// Its place in the view.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The fleet at one revision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FleetView {
    /// The revision of the fleet's documents; 0 where the settings of one node are all there is.
    pub revision: u64,
    /// Its PoPs, in the order of the settings.
    pub pops: Vec<PopView>,
}

/// A PoP of the fleet.
#[derive(Clone, Debug, PartialEq)]
pub struct PopView {
    /// Its name.
    pub name: Arc<str>,
    /// Where it is.
    pub location: Option<Point>,
    /// How much nearer it seems than it is, in percent.
    pub bias: i8,
    /// Its share of the clients among equals.
    pub weight: u32,
    /// Lower goes first.
    pub priority: u32,
    /// Connections of clients that it can carry; without it, its nodes say how full they are.
    pub capacity: Option<u64>,
    /// The clients that it may serve.
    pub fence: Fence,
    /// Its addresses, IPv4.
    pub v4: Vec<Ipv4Addr>,
    /// Its addresses, IPv6.
    pub v6: Vec<Ipv6Addr>,
    /// What its HTTPS records say.
    pub https: HttpsView,
    /// Whether it is taken out of answers as long as others are there.
    pub drained: bool,
    /// Those of its addresses that nobody is to be sent to as long as there are others, its own or of
    /// other PoPs.
    pub out: BTreeSet<IpAddr>,
}

/// What the nodes of a PoP carry, as they said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Connections of clients, of all of them: what a capacity is of.
    pub connections: u64,
    /// How full they are on average, where they said so.
    pub share: Option<PerMille>,
    /// When that was heard.
    pub at: Moment,
}

/// The clients that a PoP may serve: those that match any part, or all if every part is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fence {
    /// Countries.
    pub countries: Vec<Country>,
    /// Continents.
    pub continents: Vec<Continent>,
    /// Networks.
    pub networks: Vec<IpNet>,
}

/// What a PoP's HTTPS records say (RFC 9460).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpsView {
    /// The protocols that it speaks, by ALPN; none for no record.
    pub alpn: Vec<Box<str>>,
    /// The port, where it is not 443.
    pub port: Option<u16>,
    /// Whether addresses stand in the record as hints.
    pub hints: bool,
}

impl Fence {
    /// Whether it lets every client in.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.countries.is_empty() && self.continents.is_empty() && self.networks.is_empty()
    }
}

impl FleetView {
    /// The PoP of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<PopId> {
        PopId::new(self.pops.iter().position(|pop| &*pop.name == name)?)
    }

    /// A PoP.
    #[must_use]
    pub fn pop(&self, id: PopId) -> Option<&PopView> {
        self.pops.get(id.index())
    }

    /// A PoP's name.
    #[must_use]
    pub fn name(&self, id: PopId) -> &str {
        self.pop(id).map_or("", |pop| &pop.name)
    }

    /// All PoPs with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (PopId, &PopView)> {
        self.pops.iter().enumerate().filter_map(|(index, pop)| Some((PopId::new(index)?, pop)))
    }

    /// Whether a map that was made for `other` is right for this view too: the same PoPs at the
    /// same places with the same reach. Drain, weight and the addresses themselves change
    /// no map.
    #[must_use]
    pub fn same_geography(&self, other: &Self) -> bool {
        let alike = |(a, b): (&PopView, &PopView)| {
            a.name == b.name
                && a.location == b.location
                && a.bias == b.bias
                && a.fence == b.fence
                && a.v4.is_empty() == b.v4.is_empty()
                && a.v6.is_empty() == b.v6.is_empty()
        };
        self.pops.len() == other.pops.len() && self.pops.iter().zip(&other.pops).all(alike)
    }
}

impl PopView {
    /// A PoP of this name with defaults: no place, no address, weight 100.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            location: None,
            bias: 0,
            weight: 100,
            priority: 0,
            capacity: None,
            fence: Fence::default(),
            v4: Vec::new(),
            v6: Vec::new(),
            https: HttpsView::default(),
            drained: false,
            out: BTreeSet::new(),
        }
    }

    /// Its addresses, IPv4 first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let v4 = self.v4.iter().copied().map(IpAddr::V4);
        v4.chain(self.v6.iter().copied().map(IpAddr::V6))
    }
}
