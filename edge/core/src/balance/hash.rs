//! `hash`: a cache key has its server, as long as that one is not crowded.
//!
//! Highest random weight: a server that leaves gives up only its own keys, one that comes takes only
//! what it wins, and so with weights. With bounded load, a server whose requests in flight are more than
//! `hash_load_max` percent of its share gives what more comes to the next that the key likes.
//! Always holds: which server a key likes is the same on every node.

use ground::rendezvous::{mix, name_key, score};

use super::ServerView;
use crate::key::behind_site;

/// With so few requests a server is not crowded, and moving keys about would cost more.
const FEW: u32 = 8;

/// The hash of a cache key's bytes, without the part of the site, which is another on every node.
#[must_use]
pub fn key_of(key: &[u8]) -> u64 {
    // A step for each byte as FNV-1a has it: `name_key` would not tell letters' cases apart.
    let step = |key: u64, byte: &u8| (key ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    mix(behind_site(key).iter().fold(0xcbf2_9ce4_8422_2325, step), 0)
}

/// What hashing knows a server by.
#[must_use]
pub fn server_key(url: &str) -> u64 {
    name_key(url.as_bytes())
}

/// The first that the key likes and that is not crowded.
pub(super) fn pick(
    servers: &[ServerView],
    eligible: &[usize],
    key: u64,
    load_max: u32,
) -> Option<usize> {
    let views = eligible.iter().filter_map(|index| Some((*index, servers.get(*index)?)));
    let mut liked: Vec<(f64, usize, &ServerView)> =
        views.map(|(index, view)| (score(key, view.key, view.share()), index, view)).collect();
    liked.sort_by(|one, other| one.0.total_cmp(&other.0));
    let shares: u64 = liked.iter().map(|(_, _, view)| u64::from(view.share())).sum();
    let in_flight: u64 = liked.iter().map(|(_, _, view)| u64::from(view.in_flight)).sum();
    let is_crowded = |view: &ServerView| {
        let bound = u128::from(in_flight.saturating_add(1))
            .saturating_mul(u128::from(load_max))
            .saturating_mul(u128::from(view.share()))
            .div_ceil(u128::from(shares.max(1)).saturating_mul(100));
        !view.is_free || view.in_flight >= FEW && u128::from(view.in_flight) >= bound
    };
    let found = liked.iter().find(|(_, _, view)| !is_crowded(view)).or_else(|| liked.first());
    found.map(|(_, index, _)| *index)
}
