//! What is no fault, and may surprise its operator.
//!
//! In: what GeoDNS goes by. Out: sentences.
//! Always: what is told here is allowed, and keeps no node from starting.
//! Does not know: health, drains, clients.
//! Clause: docs/operate.md *PoPs, maps and routes*, *Drain and force*.

use geodns_core::{
    fleet::{PopId, PopView},
    locate::plan::MapPlan,
    route::{MapId, Route},
    settings::AllDown,
};

use super::GeodnsConfig;

/// A family of addresses, and whether a PoP has some.
type Family = (&'static str, fn(&PopView) -> bool);

const FAMILIES: [Family; 2] =
    [("IPv4", |pop| !pop.v4.is_empty()), ("IPv6", |pop| !pop.v6.is_empty())];

impl GeodnsConfig {
    /// What an operator may want to know of settings that have no fault.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let lonely = self.maps.iter().flat_map(|map| self.lonely(map));
        let stranded = self.routes.iter().flat_map(|(_, route)| self.stranded(route));
        lonely.chain(stranded).collect()
    }

    fn pops(&self, map: &MapPlan) -> Vec<&PopView> {
        let pop = |id: &PopId| self.fleet.pop(*id);
        map.members().iter().filter_map(pop).collect()
    }

    /// A family that one PoP of several has: there its clients have nowhere else to go.
    fn lonely(&self, map: &MapPlan) -> Vec<String> {
        let pops = self.pops(map);
        let mut notes = Vec::new();
        for (family, has) in FAMILIES {
            let mut with = pops.iter().filter(|pop| has(pop));
            if let (Some(one), None, 2..) = (with.next(), with.next(), pops.len()) {
                notes.push(format!(
                    "in the map \"{}\" only the PoP \"{}\" has {family} addresses: clients that use \
                     {family} go there also while it is drained or down",
                    map.name, one.name
                ));
            }
        }
        notes
    }

    /// A family that a route answers and none of its fallbacks has: there its clients have nowhere
    /// else to go, while those of the other family are sent on.
    fn stranded(&self, route: &Route) -> Vec<String> {
        let answers = |map: MapId, has: fn(&PopView) -> bool| {
            let map = self.maps.get(map.index());
            map.is_some_and(|map| self.pops(map).into_iter().any(has))
        };
        let ways = route.ways().iter().filter_map(|way| self.routes.route(*way));
        let fallbacks: Vec<&Route> = ways.skip(1).collect();
        let typed = self.settings.route.iter().find(|typed| *typed.name == *route.name);
        let told = match typed.map(|typed| typed.all_down) {
            Some(AllDown::Servfail) => "SERVFAIL",
            Some(AllDown::Offer) | None => "addresses of PoPs that are down",
        };
        let is_stranded = |(_, has): &Family| {
            let any = fallbacks.iter().any(|fallback| answers(fallback.map, *has));
            !fallbacks.is_empty() && answers(route.map, *has) && !any
        };
        let note = |(family, _): Family| {
            format!(
                "no route that \"{}\" falls back to has {family} addresses: when its own PoPs are \
                 down, clients that use {family} are answered {told}",
                route.name
            )
        };
        FAMILIES.into_iter().filter(is_stranded).map(note).collect()
    }
}
