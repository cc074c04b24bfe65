//! The networks of all fences, merged: who lets a network in.
//!
//! In: the fences of a map's PoPs. Out: networks, each with the set of PoPs whose fence has it or
//! one around it, so that the longest network that holds an address tells all of them.
//! Always holds: a set has one number, 0 is the empty one.

use std::collections::{BTreeMap, HashMap};

use ground::fold::fold_network;
use ipnet::IpNet;

use super::plan::MapPlan;
use crate::fleet::{FleetView, PopSet};

/// Who lets which network in.
#[derive(Debug)]
pub(super) struct Fences {
    pub(super) networks: Vec<(IpNet, u32)>,
    sets: Vec<PopSet>,
}

impl Fences {
    pub(super) fn new(plan: &MapPlan, fleet: &FleetView) -> Self {
        let mut own: BTreeMap<IpNet, PopSet> = BTreeMap::new();
        for id in &plan.members {
            let networks = fleet.pop(*id).map_or(&[][..], |pop| &pop.fence.networks);
            for network in networks.iter().filter_map(|network| fold_network(*network)) {
                own.entry(network).or_default().insert(*id);
            }
        }
        let mut fences = Self { networks: Vec::new(), sets: vec![PopSet::EMPTY] };
        let mut numbers = HashMap::from([(PopSet::EMPTY, 0)]);
        // A network sorts behind those around it.
        let mut around: Vec<(IpNet, PopSet)> = Vec::new();
        for (network, set) in own {
            while around.pop_if(|(outer, _)| !outer.contains(&network)).is_some() {}
            let outer = around.last().map_or(PopSet::EMPTY, |(_, set)| *set);
            let set = set.union(&outer);
            around.push((network, set));
            let next = u32::try_from(fences.sets.len()).unwrap_or(u32::MAX);
            let number = *numbers.entry(set).or_insert_with(|| {
                fences.sets.push(set);
                next
            });
            fences.networks.push((network, number));
        }
        fences
    }

    /// The PoPs of a number.
    pub(super) fn inside(&self, number: u32) -> &PopSet {
        let set = usize::try_from(number).ok().and_then(|index| self.sets.get(index));
        set.unwrap_or(&PopSet::EMPTY)
    }
}
