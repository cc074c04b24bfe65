//! What a response says, in a few bytes: for metrics and the query log.
//!
//! Always holds: everything here is a small number or a word, so that counting allocates nothing;
//! names of zones, routes and PoPs are the snapshot's to tell.

use super::{Transport, records};
use crate::{
    fleet::PopId,
    limit::ResponseClass,
    locate::client::Origin,
    route::{Outcome, RouteId},
    standing::Wanted,
    wire::{
        cookie,
        kind::{Rcode, RecordType},
    },
    zone::ZoneId,
};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What carries it.
    pub transport: Transport,
    /// The zone that it is from.
    pub zone: Option<ZoneId>,
    /// QTYPE, if there was a question that could be read.
    pub rtype: Option<RecordType>,
    /// The response code.
    pub rcode: Rcode,
    /// What it is to the limiter.
    pub class: ResponseClass,
    /// How it was steered, if a route made it.
    pub routed: Option<Routed>,
    /// SCOPE PREFIX-LENGTH; nothing, if the query has no client subnet.
    pub scope: Option<u8>,
    /// What the query's cookie proves; nothing without one, or where cookies are not spoken.
    pub cookie: Option<cookie::Standing>,
    /// Why it has no records but TC.
    pub emptied: Option<Emptied>,
}

impl Facts {
    /// What was asked of PoPs, if any of them are in the answer.
    #[must_use]
    pub fn wanted(&self) -> Option<Wanted> {
        let routed = self.routed.filter(|routed| routed.pop.is_some())?;
        let is_answered = matches!(routed.outcome, Outcome::Answered { .. });
        self.rtype.filter(|_| is_answered).map(records::wanted)
    }
}

/// How a client was steered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Routed {
    /// The route of the name; the outcome may be from one of its fallbacks.
    pub route: RouteId,
    /// Whether anybody answers, from which route, and what had to be assumed.
    pub outcome: Outcome,
    /// The first PoP of the answer.
    pub pop: Option<PopId>,
    /// Whose address decided.
    pub origin: Origin,
    /// Whether that address is known to the maps.
    pub known: Known,
}

/// Whether maps know where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Known {
    /// A source leads to a list of PoPs for it.
    Listed,
    /// Nothing is known of it, or fences keep it out of all that is: the fallback order holds.
    Unlisted,
}

/// Why a response has no records but TC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Emptied {
    /// It would be longer than the client or we allow.
    TooLong,
    /// The limiter let it slip: a client that is really there asks again over a connection.
    Limited,
}

impl Known {
    /// The name, as it stands in metrics and in the query log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Listed => "map",
            Self::Unlisted => "fallback",
        }
    }
}

impl Emptied {
    /// The name, as it stands in metrics and in the query log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "too long",
            Self::Limited => "limited",
        }
    }
}
