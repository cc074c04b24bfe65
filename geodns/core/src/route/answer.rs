//! What the chosen PoPs put into an answer: addresses, and those that HTTPS records hint at.
//!
//! In: the slate of a choice and how its PoPs stand. Out: iterators over what is answered.
//! Always holds: of a PoP, the addresses that are up, or all of them where none is; no address
//! twice; no more than the route allows; a hint is an address that an A or AAAA record could have.
//! It deliberately does not encode, nor know what else an HTTPS record says ([`super::https`]).
//!
//! RFC 1035 §3.4.1 (A), RFC 3596 (AAAA), RFC 9460 §7.3 (hints). Hot path: nothing allocates.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::slate::Slate;
use crate::standing::{Addresses, Standing, Standings};

/// The addresses of A records, at most `max`, each PoP's turned by `draw`.
pub fn v4<'s>(
    slate: &'s Slate,
    standings: &'s Standings,
    draw: u64,
    max: usize,
) -> impl Iterator<Item = Ipv4Addr> + 's {
    standing(slate, standings).flat_map(move |pop| turned(pop.v4.to_answer(), draw)).take(max)
}

/// The addresses of AAAA records, at most `max`, each PoP's turned by `draw`.
pub fn v6<'s>(
    slate: &'s Slate,
    standings: &'s Standings,
    draw: u64,
    max: usize,
) -> impl Iterator<Item = Ipv6Addr> + 's {
    standing(slate, standings).flat_map(move |pop| turned(pop.v6.to_answer(), draw)).take(max)
}

/// The addresses that an HTTPS record names as `ipv4hint`: those that A records could have.
pub fn v4_hints<'s>(
    slate: &'s Slate,
    standings: &'s Standings,
    draw: u64,
    max: usize,
) -> impl Iterator<Item = Ipv4Addr> + 's {
    let has = |pop: &&Standing| is_hinted(&pop.v4, &pop.v6);
    hinting(slate, standings, has).flat_map(move |pop| turned(pop.v4.to_answer(), draw)).take(max)
}

/// The addresses that an HTTPS record names as `ipv6hint`: those that AAAA records could have.
pub fn v6_hints<'s>(
    slate: &'s Slate,
    standings: &'s Standings,
    draw: u64,
    max: usize,
) -> impl Iterator<Item = Ipv6Addr> + 's {
    let has = |pop: &&Standing| is_hinted(&pop.v6, &pop.v4);
    hinting(slate, standings, has).flat_map(move |pop| turned(pop.v6.to_answer(), draw)).take(max)
}

/// Whether a PoP's own family is hinted at beside the other. One that is up in one family answers for
/// none of the other; one that is up in neither was assumed to be up in both. A family that is drained
/// gives way to one that is not, for clients may connect to what is hinted at before they ask for it.
const fn is_hinted<A, B>(own: &Addresses<A>, other: &Addresses<B>) -> bool {
    if own.enough { !own.drained || !other.enough || other.drained } else { !other.enough }
}

fn hinting<'s>(
    slate: &'s Slate,
    standings: &'s Standings,
    has: impl Fn(&&'s Standing) -> bool + 's,
) -> impl Iterator<Item = &'s Standing> {
    standing(slate, standings).filter(|pop| pop.https.hints).filter(has)
}

fn standing<'s>(slate: &'s Slate, standings: &'s Standings) -> impl Iterator<Item = &'s Standing> {
    slate.pops().filter_map(|id| standings.pop(id))
}

/// All of them, from one on that the draw decides, so that each comes first in its turn.
fn turned<A: Copy>(addresses: &[A], draw: u64) -> impl Iterator<Item = A> {
    let count = u64::try_from(addresses.len()).unwrap_or(1).max(1);
    let start = usize::try_from(draw.checked_rem(count).unwrap_or(0)).unwrap_or(0);
    let (head, tail) = addresses.split_at_checked(start).unwrap_or((addresses, &[]));
    tail.iter().chain(head).copied()
}
