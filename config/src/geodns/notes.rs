//! What is no fault, and may surprise its operator.
//!
//! In: what GeoDNS goes by. Out: sentences.
//! Always: what is told here is allowed, and keeps no node from starting.
//! Does not know: health, drains, clients.
//! Clause: docs/operate.md *Drain and force*.

use geodns_core::{
    fleet::{PopId, PopView},
    locate::plan::MapPlan,
};

use super::GeodnsConfig;

impl GeodnsConfig {
    /// What an operator may want to know of settings that have no fault.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.maps.iter().flat_map(|map| self.lonely(map)).collect()
    }

    /// A family that one PoP of several has: there its clients have nowhere else to go.
    fn lonely(&self, map: &MapPlan) -> Vec<String> {
        let has_v4: fn(&PopView) -> bool = |pop| !pop.v4.is_empty();
        let has_v6: fn(&PopView) -> bool = |pop| !pop.v6.is_empty();
        let pop = |id: &PopId| self.fleet.pop(*id);
        let pops: Vec<&PopView> = map.members().iter().filter_map(pop).collect();
        let mut notes = Vec::new();
        for (family, has) in [("IPv4", has_v4), ("IPv6", has_v6)] {
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
}
