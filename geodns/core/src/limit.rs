//! Response rate limiting: how much is sent to a network that cannot prove that it asked.
//!
//! In: a client, the class of its response, whether it has proven its address, `now` and a draw.
//! Out: [`Verdict`]. Always holds: the table has one size for ever, whoever asks; a flood does not
//! push out of it those who owe more than the flood's own addresses do; a client that has proven
//! its address, by a cookie or a connection, and the operator's own networks are never limited.
//! It deliberately does not count what it says: the caller does.
//!
//! An answer costs its network `1/rate` of a second. A network may be one burst ahead of the clock;
//! what is refused costs too, up to a window, so that a flood is not answered at its allowed rate
//! for as long as it lasts, but not at all. One refusal in a few is sent as an empty answer with
//! TC, by which a client that is really there finds its way over TCP.
//!
//! The clause is custom, not RFC: the scheme of BIND, Knot and NSD, in a table without locks.
//! RFC 7873 §5.2.3 and §5.2.5 (cookies). Hot path: no allocation, no lock; one SipHash and one
//! cache line of atomics, shared by all threads.

mod networks;
#[cfg(test)]
mod tests;

pub use self::networks::ClientNetworks;

use std::{
    fmt,
    hash::Hasher,
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use ipnet::IpNet;
use siphasher::sip::SipHasher13;

use crate::nets::Nets;

/// Entries that share a cache line, among which one finds its place.
const WAYS: usize = 8;
/// After so many lost races others have counted for us.
const RACES_MAX: usize = 4;
/// The lower bits of an entry are a time, the upper ones tell whose it is.
const TIME_BITS: u32 = 40;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
/// The longest window and burst: far from where times of 40 bits turn over (12 days).
const SPAN_MAX: Duration = Duration::from_secs(3600);
/// The largest table: 2^24 cache lines, a gibibyte.
const BUCKETS_MAX: usize = 1 << 24;

/// What a response is, to its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResponseClass {
    /// It has records.
    Answer,
    /// The name has no such records.
    NoData,
    /// There is no such name.
    NxDomain,
    /// The name is delegated.
    Referral,
    /// Any other response code.
    Error,
}

/// Whether a client has proven that it has its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The address may be anybody's.
    None,
    /// By a valid cookie, or by a connection.
    Given,
}

/// What to do with a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send it.
    Send,
    /// Send it empty, with TC.
    Slip,
    /// Send nothing.
    Drop,
}

/// Responses per second and network, by class; 0 means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// See [`ResponseClass::Answer`].
    pub answer: u32,
    /// See [`ResponseClass::NoData`].
    pub nodata: u32,
    /// See [`ResponseClass::NxDomain`].
    pub nxdomain: u32,
    /// See [`ResponseClass::Referral`].
    pub referral: u32,
    /// See [`ResponseClass::Error`].
    pub error: u32,
}

/// What a limiter goes by.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How much each class may have.
    pub rates: Rates,
    /// How far ahead of its rate a network may be.
    pub burst: Duration,
    /// For how long at most a network that asked too much is refused after it has stopped.
    pub window: Duration,
    /// One refusal in so many is sent as TC; 0 for none, 1 for all.
    pub slip: u32,
    /// How many bits of an IPv4 address are one network.
    pub ipv4_prefix_length: u8,
    /// How many bits of an IPv6 address are one network.
    pub ipv6_prefix_length: u8,
    /// Networks that are never limited.
    pub allowed: Vec<IpNet>,
    /// How many networks are remembered, rounded up to a power of two.
    pub entries: usize,
}

/// A table of what networks were sent.
pub struct Limiter {
    buckets: Box<[Bucket]>,
    key: [u8; 16],
    rates: Rates,
    burst: u64,
    window: u64,
    slip: u32,
    networks: ClientNetworks,
    allowed: Nets,
}

/// One cache line.
#[derive(Default)]
#[repr(align(64))]
struct Bucket([AtomicU64; WAYS]);

impl Limiter {
    /// An empty table. `key` is secret and random, so that nobody can aim at an entry.
    #[must_use]
    pub fn new(limits: &Limits, key: [u8; 16]) -> Self {
        let buckets = limits.entries.div_ceil(WAYS).clamp(1, BUCKETS_MAX).next_power_of_two();
        Self {
            buckets: (0..buckets).map(|_| Bucket::default()).collect(),
            key,
            rates: limits.rates,
            burst: micros(limits.burst.min(SPAN_MAX)),
            window: micros(limits.window.min(SPAN_MAX)),
            slip: limits.slip,
            networks: ClientNetworks::new(limits.ipv4_prefix_length, limits.ipv6_prefix_length),
            allowed: Nets::new(&limits.allowed),
        }
    }

    /// Whether a response of `class` may go to `client` at `now`, which is time since any moment
    /// that all callers share. `draw` is any number; which refusals slip depends on it.
    #[must_use]
    pub fn judge(
        &self,
        client: IpAddr,
        class: ResponseClass,
        proof: Proof,
        now: Duration,
        draw: u32,
    ) -> Verdict {
        let rate = self.rates.of(class);
        if rate == 0 || proof == Proof::Given {
            return Verdict::Send;
        }
        if self.allowed.contains(client) {
            return Verdict::Send;
        }
        let cost = 1_000_000_u64.checked_div(rate.into()).unwrap_or(0).max(1);
        let burst = self.burst.max(cost);
        if self.charge(self.hash(client, class), cost, burst, micros(now)) <= burst {
            return Verdict::Send;
        }
        match draw.checked_rem(self.slip) {
            Some(0) => Verdict::Slip,
            Some(_) | None => Verdict::Drop,
        }
    }

    fn hash(&self, client: IpAddr, class: ResponseClass) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        match self.networks.of(client) {
            IpAddr::V4(network) => hasher.write_u32(network.to_bits()),
            IpAddr::V6(network) => hasher.write_u128(network.to_bits()),
        }
        hasher.write_u8(class.number());
        hasher.finish()
    }

    /// Adds `cost` to what a network owes, and says how far ahead of the clock it is then.
    fn charge(&self, hash: u64, cost: u64, burst: u64, now: u64) -> u64 {
        let owner = hash >> TIME_BITS;
        let debt_max = burst.saturating_add(self.window);
        let at = usize::try_from(hash & TIME_MASK).unwrap_or_default();
        let places = at & self.buckets.len().saturating_sub(1);
        let Some(Bucket(entries)) = self.buckets.get(places) else { return 0 };
        for _ in 0..RACES_MAX {
            let Some((entry, seen)) = choose(entries, owner, now, debt_max) else { return 0 };
            let owed = if seen >> TIME_BITS == owner { debt(seen, now, debt_max) } else { 0 };
            let owes = owed.saturating_add(cost);
            let until = now.wrapping_add(owes.min(debt_max)) & TIME_MASK;
            let written = (owner << TIME_BITS) | until;
            // The entries stand for themselves: nothing else is published through them.
            let swap = entry.compare_exchange(seen, written, Ordering::Relaxed, Ordering::Relaxed);
            if swap.is_ok() {
                return owes;
            }
        }
        0
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.buckets.len().saturating_mul(WAYS);
        f.debug_struct("Limiter")
            .field("rates", &self.rates)
            .field("entries", &entries)
            .finish_non_exhaustive()
    }
}

impl Rates {
    const fn of(&self, class: ResponseClass) -> u32 {
        match class {
            ResponseClass::Answer => self.answer,
            ResponseClass::NoData => self.nodata,
            ResponseClass::NxDomain => self.nxdomain,
            ResponseClass::Referral => self.referral,
            ResponseClass::Error => self.error,
        }
    }
}

impl ResponseClass {
    const fn number(self) -> u8 {
        match self {
            Self::Answer => 0,
            Self::NoData => 1,
            Self::NxDomain => 2,
            Self::Referral => 3,
            Self::Error => 4,
        }
    }
}

/// The owner's entry, or else the one that owes least, and what it holds.
fn choose(entries: &[AtomicU64], owner: u64, now: u64, debt_max: u64) -> Option<(&AtomicU64, u64)> {
    let mut least: Option<(&AtomicU64, u64, u64)> = None;
    for entry in entries {
        let seen = entry.load(Ordering::Relaxed);
        if seen >> TIME_BITS == owner {
            return Some((entry, seen));
        }
        let owed = debt(seen, now, debt_max);
        if least.is_none_or(|(_, _, least)| owed < least) {
            least = Some((entry, seen, owed));
        }
    }
    least.map(|(entry, seen, _)| (entry, seen))
}

/// How far ahead of the clock an entry is. One that is further than anything owes was not used for
/// so long that its time seems to lie ahead again; so does one that lies behind.
const fn debt(entry: u64, now: u64, debt_max: u64) -> u64 {
    let ahead = (entry & TIME_MASK).wrapping_sub(now) & TIME_MASK;
    if ahead <= debt_max { ahead } else { 0 }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
