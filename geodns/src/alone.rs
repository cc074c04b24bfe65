//! Whom a PoP answers although it is drained or down: those for whom there is nobody else.
//!
//! In: the view in force, a PoP. Out: routes, and the family of addresses in which that is so now.
//! Always holds: fallback routes count, and PoPs that are drained or down themselves do not.
//! It deliberately knows no clients: a fence may keep some of them from whom it counts.
//!
//! A name keeps its types whatever happens (ARCHITECTURE.md *What never happens* 14), so where one
//! PoP alone has IPv6, every AAAA goes on naming it, and clients prefer what AAAA names (RFC 8305 §4).

use geodns_core::{
    answer::Served,
    fleet::PopId,
    route::Route,
    standing::{Standing, Wanted},
};
use schemars::JsonSchema;
use serde::Serialize;

/// A route and a family in which nobody else answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Alone {
    /// The route.
    pub route: String,
    /// The family.
    pub family: &'static str,
}

/// Where nobody else can take this PoP's clients now.
#[must_use]
pub fn nobody_else(served: &Served, pop: &str) -> Vec<Alone> {
    let (snapshot, standings) = (served.snapshot(), served.standings());
    let Some(id) = snapshot.fleet().find(pop) else { return Vec::new() };
    let families = [("ipv4", Wanted::V4), ("ipv6", Wanted::V6)];
    let mut found = Vec::new();
    for (_, route) in snapshot.routes().iter() {
        let own = members(served, route);
        if !own.contains(&id) {
            continue;
        }
        let ways = route.ways().iter().filter_map(|way| snapshot.routes().route(*way));
        let all: Vec<PopId> = ways.flat_map(|way| members(served, way)).copied().collect();
        let others = || all.iter().filter(|other| **other != id);
        for (family, wanted) in families {
            let is_there = |pop: &Standing| pop.offers(wanted);
            let can = |pop: &Standing| pop.is_up(wanted) && !pop.is_drained(wanted);
            let mut others = others().filter_map(|other| standings.pop(*other));
            if standings.pop(id).is_some_and(is_there) && !others.any(can) {
                found.push(Alone { route: route.name.to_string(), family });
            }
        }
    }
    found
}

fn members<'s>(served: &'s Served, route: &Route) -> &'s [PopId] {
    served.snapshot().map(route.map).map_or(&[], |map| map.members())
}
