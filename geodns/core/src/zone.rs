//! Zones: what we know of names, checked once and then only looked up.
//!
//! In: records, names that routes generate, a serial. Out: [`Zone`] or every fault; [`Zones`], of
//! which the longest match is asked; [`Found`], which says what a question meets.
//! Always holds: a zone has an SOA and name servers at its apex, an alias stands alone, the records
//! of a set share a TTL, delegations within the zone have their glue, aliases end; which types a
//! name has, and whether it exists, depends on the zone alone and never on a client or on health,
//! for one client's negative answer is everybody's behind the same resolver (RFC 7871 §7.4).
//! It deliberately does not know what a route answers, only that it does.
//!
//! RFC 1034 §4.3.2, RFC 2181, 2308, 4592. Hot path: [`Zones::find`] and [`Zone::lookup`] allocate
//! nothing and take no lock (`tests/answer/allocation.rs`).

mod build;
mod check;
mod draft;
mod lookup;
mod table;
#[cfg(test)]
mod tests;
mod write;

pub use self::{
    lookup::{CHAIN_MAX, Chain, End, Found, Links},
    table::{ZoneId, Zones},
};

use std::collections::{BTreeMap, BTreeSet, HashMap};

use foldhash::fast::FixedState;

use crate::{
    route::RouteId,
    wire::{
        kind::RecordType,
        name::{Name, NameRef},
        rrset::Rrset,
    },
};

/// What is generated at a name: which route answers, and for which types it always has records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// The route.
    pub route: RouteId,
    /// The types that exist, whoever asks.
    pub types: BTreeSet<RecordType>,
}

/// The names that routes generate, in one zone.
pub type GeneratedNames = BTreeMap<Name, Generated>;

/// What holds for all answers of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneSettings {
    /// The longest time that a negative answer may be kept, in seconds, whatever the SOA says.
    pub negative_ttl_max: u32,
    /// How long the answer to ANY may be kept, in seconds (RFC 8482 §4.2).
    pub any_ttl: u32,
}

impl Default for ZoneSettings {
    /// A minute, so that a name that was just added is soon seen; an hour for ANY, which nobody
    /// needs.
    fn default() -> Self {
        Self { negative_ttl_max: 60, any_ttl: 3600 }
    }
}

/// A zone, ready to be asked.
#[derive(Debug)]
pub struct Zone {
    apex: Name,
    serial: u32,
    /// Names in lower case, as places in `nodes`.
    names: HashMap<Box<[u8]>, u32, FixedState>,
    nodes: Box<[Node]>,
    cuts: Box<[Cut]>,
    /// How many labels the longest chain of names has; a name below it cannot exist.
    labels_max: usize,
    /// The SOA as it goes with negative answers (RFC 2308 §3).
    negative: Rrset,
    any: Rrset,
}

/// A name that exists, if only because others stand below it.
#[derive(Debug)]
struct Node {
    sets: Box<[Rrset]>,
    generated: Option<(RouteId, Box<[RecordType]>)>,
    standing: Standing,
    /// The node of `*` directly below this name.
    wildcard: Option<u32>,
}

/// Whether a name is ours to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Ours,
    /// At this zone cut: only DS is ours.
    Cut(u32),
    /// Below this zone cut.
    Below(u32),
}

/// A zone cut: where another zone begins.
#[derive(Debug)]
pub struct Cut {
    owner: Name,
    servers: Rrset,
    glue: Box<[Glue]>,
}

#[derive(Debug)]
struct Glue {
    owner: Name,
    set: Rrset,
    /// Whether its owner lies in the zone that is delegated, so that nothing else can tell it.
    needed: bool,
}

impl Zone {
    /// The name at its top.
    #[must_use]
    pub const fn apex(&self) -> NameRef<'_> {
        self.apex.as_ref()
    }

    /// The serial of its SOA.
    #[must_use]
    pub const fn serial(&self) -> u32 {
        self.serial
    }

    /// How many names exist in it, with those that are only between others.
    #[must_use]
    pub const fn name_count(&self) -> usize {
        self.nodes.len()
    }

    /// The SOA as it goes with negative answers; its owner is the apex.
    #[must_use]
    pub const fn negative(&self) -> &Rrset {
        &self.negative
    }

    fn node(&self, name: NameRef<'_>) -> Option<&Node> {
        self.node_at(*self.names.get(name.wire())?)
    }

    fn node_at(&self, at: u32) -> Option<&Node> {
        self.nodes.get(usize::try_from(at).ok()?)
    }

    fn cut_at(&self, at: u32) -> Option<&Cut> {
        self.cuts.get(usize::try_from(at).ok()?)
    }
}

impl Node {
    fn set(&self, rtype: RecordType) -> Option<&Rrset> {
        self.sets.iter().find(|set| set.rtype() == rtype)
    }
}
