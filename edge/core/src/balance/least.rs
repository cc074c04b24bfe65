//! `least-loaded`: of two servers by chance the one that answers sooner, by what it has to do and how
//! long it takes for that.
//!
//! Two are enough: who always took the one that looks best would send all edges to it at once.
//! Always holds: servers that are alike get alike; a difference of less than a fifth is noise; who fails
//! gets less for it, however fast it does.

use ground::state::PerMille;

use super::{ServerView, groups::scaled};

/// Chooses among `eligible`.
pub(super) fn pick(servers: &[ServerView], eligible: &[usize], draw: u64) -> Option<usize> {
    let first = drawn(servers, eligible, draw, None)?;
    let Some(second) = drawn(servers, eligible, draw.rotate_left(32), Some(first)) else {
        return Some(first);
    };
    let (one, other) = (servers.get(first)?, servers.get(second)?);
    let is_lighter = cost(other, one).saturating_mul(5) < cost(one, other).saturating_mul(4);
    Some(if is_lighter { second } else { first })
}

/// One by chance, in proportion to weight.
fn drawn(
    servers: &[ServerView],
    eligible: &[usize],
    draw: u64,
    without: Option<usize>,
) -> Option<usize> {
    let share = |index: usize| servers.get(index).map_or(0, |view| u64::from(view.share()));
    let mut left = eligible.iter().copied().filter(|index| Some(*index) != without);
    let total = left.clone().map(share).fold(0, u64::saturating_add);
    let point = scaled(draw, total);
    let mut end = 0_u64;
    left.find(|index| {
        end = end.saturating_add(share(*index));
        point < end
    })
}

/// From this share of errors on a server's speed is no merit.
const FAILS: PerMille = PerMille(100);
/// Who fails always costs as much more as one of which this share succeeds.
const SUCCESS_LEAST: u16 = 50;

/// How long a request would take at `view`, beside `other`: its first-byte time for every request
/// that it has, as its weight tells, and for this one; all of it again for each that fails.
fn cost(view: &ServerView, other: &ServerView) -> u128 {
    let known = match view.first_byte {
        // Of what was never measured nothing speaks but its load.
        0 => other.first_byte,
        known if view.faults >= FAILS => known.max(other.first_byte),
        known => known,
    };
    let (own, both) = (u128::from(view.share()), u128::from(other.share()));
    let both = own.saturating_add(both);
    let load = u128::from(view.in_flight).saturating_mul(both).saturating_mul(500);
    let load = load.checked_div(own).unwrap_or(0).saturating_add(1000);
    let succeed = PerMille::ALL.0.saturating_sub(view.faults.0).max(SUCCESS_LEAST);
    let again = u128::from(PerMille::ALL.0).saturating_mul(100).checked_div(succeed.into());
    load.saturating_mul(u128::from(known.max(1))).saturating_mul(again.unwrap_or(100))
}
