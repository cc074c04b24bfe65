//! What the chosen PoPs put into an answer: addresses, and the parameters of HTTPS records.
//!
//! In: the slate of a choice and how its PoPs stand. Out: iterators over what is answered.
//! Always holds: of a PoP, the addresses that are up, or all of them where none is; no address
//! twice; no more than the route allows.
//! It deliberately does not encode: bytes are ready before a query comes.
//!
//! RFC 1035 §3.4.1 (A), RFC 3596 (AAAA), RFC 9460 (HTTPS). Hot path: nothing allocates.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::slate::Slate;
use crate::{
    fleet::{HttpsView, PopId},
    standing::{Standing, Standings},
};

/// What an HTTPS record of a PoP says: priority 1, the name itself as target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpsAnswer<'s> {
    /// The PoP.
    pub pop: PopId,
    /// Protocols and port.
    pub https: &'s HttpsView,
    /// `ipv4hint`, empty for none.
    pub v4_hints: &'s [Ipv4Addr],
    /// `ipv6hint`, empty for none.
    pub v6_hints: &'s [Ipv6Addr],
}

/// The addresses of A records, at most `max`, each PoP's turned by `draw`.
pub fn v4<'s>(
    slate: &'s Slate,
    standings: &'s Standings,
    draw: u64,
    max: usize,
) -> impl Iterator<Item = Ipv4Addr> + 's {
    standing(slate, standings).flat_map(move |(_, pop)| turned(pop.v4.to_answer(), draw)).take(max)
}

/// The addresses of AAAA records, at most `max`, each PoP's turned by `draw`.
pub fn v6<'s>(
    slate: &'s Slate,
    standings: &'s Standings,
    draw: u64,
    max: usize,
) -> impl Iterator<Item = Ipv6Addr> + 's {
    standing(slate, standings).flat_map(move |(_, pop)| turned(pop.v6.to_answer(), draw)).take(max)
}

/// HTTPS records, one for each PoP, at most `max`.
pub fn https<'s>(
    slate: &'s Slate,
    standings: &'s Standings,
    max: usize,
) -> impl Iterator<Item = HttpsAnswer<'s>> {
    let record = |(id, pop): (PopId, &'s Standing)| {
        let hints = pop.https.hints;
        // One family's addresses that are down are no hints while the other has some that are up.
        let none_up = pop.v4.up.is_empty() && pop.v6.up.is_empty();
        HttpsAnswer {
            pop: id,
            https: &pop.https,
            v4_hints: if hints { pop.v4.hints(none_up) } else { &[] },
            v6_hints: if hints { pop.v6.hints(none_up) } else { &[] },
        }
    };
    standing(slate, standings).map(record).take(max)
}

fn standing<'s>(
    slate: &'s Slate,
    standings: &'s Standings,
) -> impl Iterator<Item = (PopId, &'s Standing)> {
    slate.pops().filter_map(|id| Some((id, standings.pop(id)?)))
}

/// All of them, from one on that the draw decides, so that each comes first in its turn.
fn turned<A: Copy>(addresses: &[A], draw: u64) -> impl Iterator<Item = A> {
    let count = u64::try_from(addresses.len()).unwrap_or(1).max(1);
    let start = usize::try_from(draw.checked_rem(count).unwrap_or(0)).unwrap_or(0);
    let (head, tail) = addresses.split_at_checked(start).unwrap_or((addresses, &[]));
    tail.iter().chain(head).copied()
}
