//! Locating: which PoPs are good for a client, and how far that answer reaches.
//!
//! In: databases as bytes, the operator's networks and preferences, the fleet's places. Out: a
//! [`Map`], which leads from a client's address to an ordered [`PopList`] and the scope of the
//! answer; and a [`Finding`], which says for one client why.
//! Always holds: every address has a list; every address within a returned scope has the same
//! list; scopes of one map never overlap and none could be shorter (RFC 7871 §7.2.1).
//! It deliberately does not know health, drain, load or weight, which change by the second, nor
//! what a query is.
//!
//! RFC 7871. Hot path: [`Map::locate`] is a few looks into tables, without allocation or lock;
//! `a_lookup_allocates_nothing` in `tests/geo_allocation.rs` holds it to that.

pub mod client;
mod compile;
mod country;
pub mod database;
mod explain;
mod fence;
mod lists;
mod networks;
mod order;
pub mod place;
pub mod plan;
mod record;
mod span;
pub mod sphere;
mod strides;
#[cfg(test)]
mod tests;
mod tree;

pub use self::{
    explain::Finding,
    lists::{ListId, PopList},
    order::Ranked,
};

use std::{fmt, net::IpAddr, sync::Arc};

use self::{database::DatabaseError, lists::Lists, strides::Strides};
use crate::fleet::{PopId, PopSet};

/// A map: from every address to a list of PoPs.
#[derive(Clone, Debug)]
pub struct Map {
    name: Arc<str>,
    strides: Strides,
    lists: Lists,
}

/// What a map says of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located<'m> {
    /// The PoPs that are good for it.
    pub list: PopList<'m>,
    /// The list's number in its map.
    pub id: ListId,
    /// The bits of the client's address that the list follows from.
    pub scope: u8,
}

impl Located<'_> {
    /// What a map that does not exist says.
    pub const NOWHERE: Located<'static> = Located {
        list: PopList { ranked: &[], rest: &[], excluded: &PopSet::EMPTY },
        id: ListId::FIRST,
        scope: 0,
    };
}

/// What decided where a client is, from the closest to the farthest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The operator's word on its network.
    Network,
    /// The operator's word on its autonomous system.
    Asn,
    /// The operator's word on its region.
    Region,
    /// The operator's word on its country.
    Country,
    /// The operator's word on its continent.
    Continent,
    /// The distance from its coordinates.
    Coordinates,
    /// The distance from the middle of its country.
    CountryCentre,
    /// The distance from the middle of its continent.
    ContinentCentre,
    /// Nothing is known of it.
    Nothing,
}

/// Why a map is refused. What runs is kept; trying again with the same input changes nothing.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// A database is at fault.
    #[error("a database cannot be used")]
    Database(#[from] DatabaseError),
    /// It would take more memory than the settings allow.
    #[error("map \"{name}\" takes more than {bytes_max} bytes: allow more, or shorten its lists")]
    Memory {
        /// The map.
        name: Arc<str>,
        /// What is allowed.
        bytes_max: u64,
    },
    /// It tells more clients apart than a map can.
    #[error("map \"{name}\" has more different lists than a map can hold: shorten its lists")]
    Lists {
        /// The map.
        name: Arc<str>,
    },
    /// There are more databases than a map can merge.
    #[error("{count} databases, {max} are allowed")]
    Databases {
        /// How many there are.
        count: usize,
        /// How many are allowed.
        max: usize,
    },
}

impl Map {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The PoPs that are good for a client.
    #[must_use]
    pub fn locate(&self, client: IpAddr) -> Located<'_> {
        let (id, scope) = match client {
            IpAddr::V4(four) => self.strides.find_v4(four.to_bits()),
            IpAddr::V6(six) => self.strides.find_v6(six.to_bits()),
        };
        Located { list: self.lists.list(id), id, scope }
    }

    /// Its PoPs.
    #[must_use]
    pub fn members(&self) -> &[PopId] {
        self.lists.members()
    }

    /// The memory that it takes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        u64::try_from(self.strides.bytes().saturating_add(self.lists.bytes())).unwrap_or(u64::MAX)
    }

    /// Different lists.
    #[must_use]
    pub fn list_count(&self) -> usize {
        self.lists.len()
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Network => "preference for its network",
            Self::Asn => "preference for its autonomous system",
            Self::Region => "preference for its region",
            Self::Country => "preference for its country",
            Self::Continent => "preference for its continent",
            Self::Coordinates => "distance from its coordinates",
            Self::CountryCentre => "distance from the middle of its country",
            Self::ContinentCentre => "distance from the middle of its continent",
            Self::Nothing => "nothing known: fallback order",
        })
    }
}
