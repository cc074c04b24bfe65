//! How each PoP stands at this moment: what health, drain and load come to, ready for routes.
//!
//! In: what [`crate::health`] composes whenever anything changes. Out: plain facts per PoP, read
//! by every query. Always holds: one standing for each PoP of the fleet view that it was made from;
//! the addresses that are up are among all addresses.
//! It deliberately does not know probes or reports, only what they came to.

use std::net::{Ipv4Addr, Ipv6Addr};

pub use ground::state::PerMille;

use crate::fleet::{HttpsView, PopId, PopSet};

/// How all PoPs of a fleet view stand.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standings {
    pops: Vec<Standing>,
    /// [`Self::unhindered`], by the kind of record.
    unhindered: [PopSet; 3],
    load_max: PerMille,
    has_out: bool,
}

/// How a PoP stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// What hashing knows it by: it follows from its name alone, so that the fleet may change
    /// around it.
    pub key: u64,
    /// Its share among equals.
    pub weight: u32,
    /// Lower goes first.
    pub priority: u32,
    /// Whether it is taken out of answers as long as others are there.
    pub drained: bool,
    /// How full it is; nothing where no recent report says.
    pub load: Option<PerMille>,
    /// Its addresses, IPv4.
    pub v4: Addresses<Ipv4Addr>,
    /// Its addresses, IPv6.
    pub v6: Addresses<Ipv6Addr>,
    /// What its HTTPS records say.
    pub https: HttpsView,
    /// Whether its state may change soon.
    pub in_doubt: bool,
    /// How long an answer that depends on it may be cached, in seconds.
    pub ttl_max: u32,
}

/// The addresses of a PoP, of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses<A> {
    /// All of them; those that nobody is to be sent to only where there is no other.
    pub all: Vec<A>,
    /// Those that are up.
    pub up: Vec<A>,
    /// Whether those that are up are such as nobody is to be sent to as long as there are other PoPs.
    pub drained: bool,
    /// Whether those that are up are enough for the PoP to be up in this family.
    pub enough: bool,
    /// The share of its clients that the PoP has taken back in this family after it was down.
    pub ramp: PerMille,
}

/// The kind of record that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// A.
    V4,
    /// AAAA.
    V6,
    /// HTTPS (RFC 9460).
    Https,
}

impl Standings {
    /// Of these PoPs, in the order of the fleet view.
    #[must_use]
    pub fn new(pops: Vec<Standing>) -> Self {
        let unhindered = [Wanted::V4, Wanted::V6, Wanted::Https].map(|wanted| {
            let ids = (0..pops.len()).filter_map(PopId::new).zip(&pops);
            ids.filter(|(_, pop)| pop.is_unhindered(wanted)).map(|(id, _)| id).collect()
        });
        let load_max = pops.iter().filter_map(|pop| pop.load).max().unwrap_or(PerMille(0));
        let has_out = pops.iter().any(|pop| pop.v4.drained || pop.v6.drained);
        Self { pops, unhindered, load_max, has_out }
    }

    /// All PoPs.
    #[must_use]
    pub fn pops(&self) -> &[Standing] {
        &self.pops
    }

    /// PoPs that neither the kind of record, nor health or drain takes out of an answer. Most are, most
    /// of the time, and then a query need not look at each of them.
    #[must_use]
    pub const fn unhindered(&self, wanted: Wanted) -> &PopSet {
        let [v4, v6, https] = &self.unhindered;
        match wanted {
            Wanted::V4 => v4,
            Wanted::V6 => v6,
            Wanted::Https => https,
        }
    }

    /// The load of the fullest.
    #[must_use]
    pub const fn load_max(&self) -> PerMille {
        self.load_max
    }

    /// Whether there is a PoP whose addresses nobody is to be sent to.
    #[must_use]
    pub const fn has_out(&self) -> bool {
        self.has_out
    }

    /// How a PoP stands.
    #[must_use]
    pub fn pop(&self, pop: PopId) -> Option<&Standing> {
        self.pops.get(pop.index())
    }
}

impl Standing {
    /// Whether the PoP has a record of this kind, whatever its health.
    #[must_use]
    pub fn offers(&self, wanted: Wanted) -> bool {
        match wanted {
            Wanted::V4 => !self.v4.all.is_empty(),
            Wanted::V6 => !self.v6.all.is_empty(),
            Wanted::Https => {
                let has_address = !self.v4.all.is_empty() || !self.v6.all.is_empty();
                has_address && !self.https.alpn.is_empty()
            }
        }
    }

    /// The share of the clients that ask for this kind of record that it takes.
    #[must_use]
    pub fn ramp(&self, wanted: Wanted) -> PerMille {
        match wanted {
            Wanted::V4 => self.v4.ramp,
            Wanted::V6 => self.v6.ramp,
            Wanted::Https => self.v4.ramp.max(self.v6.ramp),
        }
    }

    fn is_unhindered(&self, wanted: Wanted) -> bool {
        self.offers(wanted)
            && self.is_up(wanted)
            && !self.is_drained(wanted)
            && self.ramp(wanted) == PerMille::ALL
    }

    /// Whether it is taken out of answers of this kind as long as others are there.
    #[must_use]
    pub fn is_drained(&self, wanted: Wanted) -> bool {
        self.drained || self.is_out(wanted)
    }

    /// Whether its records of this kind are of addresses that nobody is to be sent to.
    #[must_use]
    pub fn is_out(&self, wanted: Wanted) -> bool {
        match wanted {
            Wanted::V4 => self.v4.drained,
            Wanted::V6 => self.v6.drained,
            // The record names no family, and whoever reads it takes the one that is there.
            Wanted::Https => {
                let serves =
                    (self.v4.enough && !self.v4.drained) || (self.v6.enough && !self.v6.drained);
                !serves && (self.v4.drained || self.v6.drained)
            }
        }
    }

    /// Whether it is up for clients that ask for this kind of record.
    #[must_use]
    pub fn is_up(&self, wanted: Wanted) -> bool {
        match wanted {
            Wanted::V4 => self.v4.enough,
            Wanted::V6 => self.v6.enough,
            Wanted::Https => self.v4.enough || self.v6.enough,
        }
    }
}

impl<A> Default for Addresses<A> {
    /// None, and nothing to take back.
    fn default() -> Self {
        Self { all: Vec::new(), up: Vec::new(), drained: false, enough: false, ramp: PerMille::ALL }
    }
}

impl<A> Addresses<A> {
    /// The addresses to answer: those that are up, or all where none is.
    #[must_use]
    pub fn to_answer(&self) -> &[A] {
        if self.up.is_empty() { &self.all } else { &self.up }
    }
}
