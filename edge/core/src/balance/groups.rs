//! Groups in order, as data centers are: the first that is there takes all, the next what it cannot.
//!
//! In: how much of each group is up. Out: the servers of one group. Always holds: a group of which
//! `group_up_min` percent are up takes all that comes to it; below that it keeps its part, and the rest
//! goes on to the next; what is back takes its part back as it ramps up.

use super::{Ask, BalancePlan, ServerView};
use crate::settings::BalanceWord;
use ground::rendezvous::mix;

/// A group's part, where it could take all.
const ALL: u64 = 1000;

/// Those of `eligible` in the group that this request falls to; `members` are all that it is spread
/// over, whatever their state.
pub(super) fn narrowed(
    plan: &BalancePlan,
    servers: &[ServerView],
    members: &[usize],
    eligible: Vec<usize>,
    ask: &Ask,
) -> Vec<usize> {
    let group_of = |index: &usize| servers.get(*index).map_or(0, |view| view.group);
    let mut groups: Vec<usize> = members.iter().map(group_of).collect();
    groups.sort_unstable();
    groups.dedup();
    if groups.len() < 2 {
        return eligible;
    }
    let capacity = |group: &usize| {
        let views = members.iter().filter_map(|index| servers.get(*index));
        capacity(views.filter(|view| view.group == *group), plan.group_up_min)
    };
    let parts = parts(groups.iter().map(capacity));
    // By hash, the same keys stay and the same keys go.
    let draw = match plan.by {
        BalanceWord::Hash => mix(ask.key, 1),
        BalanceWord::RoundRobin | BalanceWord::LeastLoaded => ask.draw,
    };
    let Some(drawn) = drawn(&parts, draw) else {
        return eligible;
    };
    let of = |group: Option<&usize>| -> Vec<usize> {
        eligible.iter().filter(|index| Some(&group_of(index)) == group).copied().collect()
    };
    // Where all of the group have had their try, the first of the others.
    let all = std::iter::once(drawn).chain(0..groups.len());
    let found = all.map(|at| of(groups.get(at))).find(|some| !some.is_empty());
    found.unwrap_or(eligible)
}

/// What a group can take, in thousandths of all that comes.
fn capacity<'v>(servers: impl Iterator<Item = &'v ServerView>, up_min: u32) -> u64 {
    let (mut whole, mut up) = (0_u64, 0_u64);
    for view in servers {
        let weight = u64::from(view.weight.max(1));
        whole = whole.saturating_add(weight.saturating_mul(ALL));
        if view.is_up {
            up = up.saturating_add(u64::from(view.share()));
        }
    }
    let enough = whole.saturating_mul(u64::from(up_min.max(1)));
    up.saturating_mul(100).saturating_mul(ALL).checked_div(enough).unwrap_or(0).min(ALL)
}

/// What each group takes: the first what it can, the next of the rest what that can.
fn parts(capacities: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut left = ALL;
    let take = |capacity: u64| {
        let part = capacity.min(left);
        left = left.saturating_sub(part);
        part
    };
    capacities.map(take).collect()
}

/// The group that a draw falls to, in proportion to the parts; none where nothing is up.
fn drawn(parts: &[u64], draw: u64) -> Option<usize> {
    let total: u64 = parts.iter().sum();
    let point = scaled(draw, total);
    let mut end = 0_u64;
    parts.iter().position(|part| {
        end = end.saturating_add(*part);
        point < end
    })
}

/// A draw as a number below `whole`.
pub(super) fn scaled(draw: u64, whole: u64) -> u64 {
    let scaled = u128::from(draw).saturating_mul(u128::from(whole)) >> 64;
    u64::try_from(scaled).unwrap_or(0)
}
