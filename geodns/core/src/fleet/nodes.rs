//! What is known of the fleet's nodes, joined to what the settings say of its PoPs.
//!
//! In: the addresses of each PoP's nodes, and those that nobody is to be sent to. Out: a fleet.
//! Always holds: where the settings name a PoP's addresses, those are all that it has; an address is
//! of one PoP at most; a PoP has at most [`ADDRESSES_MAX`] addresses; the order in which nodes were
//! heard of changes nothing.
//! It deliberately does not know where this comes from, nor whether a node is there.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    net::IpAddr,
};

use super::{FleetView, PopView};

/// Addresses of a PoP at most, as in the settings.
const ADDRESSES_MAX: usize = 256;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nodes {
    /// The addresses of its nodes, by the name of the PoP.
    pub addresses: BTreeMap<String, BTreeSet<IpAddr>>,
    /// Addresses that nobody is to be sent to as long as there are others.
    pub out: BTreeSet<IpAddr>,
}

impl FleetView {
    /// This fleet, with what is known of its nodes. Its revision stays: name servers hear of nodes one
    /// after the other, and all say the same serial.
    #[must_use]
    pub fn with_nodes(&self, nodes: &Nodes) -> Self {
        let mut fleet = self.clone();
        let mut taken: HashSet<IpAddr> = self.pops.iter().flat_map(PopView::addresses).collect();
        for pop in &mut fleet.pops {
            if pop.addresses().next().is_none()
                && let Some(learnt) = nodes.addresses.get(&*pop.name)
            {
                pop.learn(learnt, &mut taken);
            }
            pop.out = pop.addresses().filter(|address| nodes.out.contains(address)).collect();
        }
        fleet
    }
}

impl PopView {
    /// Takes the addresses of its nodes that no PoP has yet.
    fn learn(&mut self, learnt: &BTreeSet<IpAddr>, taken: &mut HashSet<IpAddr>) {
        let sound =
            learnt.iter().filter(|address| !address.is_unspecified() && !address.is_multicast());
        for address in sound.take(ADDRESSES_MAX) {
            if !taken.insert(*address) {
                continue;
            }
            match address {
                IpAddr::V4(four) => self.v4.push(*four),
                IpAddr::V6(six) => self.v6.push(*six),
            }
        }
    }

    /// Whether nobody is to be sent to any of its addresses.
    #[must_use]
    pub fn is_out(&self) -> bool {
        !self.out.is_empty() && self.addresses().all(|address| self.out.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pop(name: &str, v4: &[&str]) -> PopView {
        let v4 = v4.iter().map(|address| address.parse().unwrap()).collect();
        PopView { v4, ..PopView::new(name) }
    }

    fn set(addresses: &[&str]) -> BTreeSet<IpAddr> {
        addresses.iter().map(|address| address.parse().unwrap()).collect()
    }

    fn told(pop: &PopView) -> (Vec<String>, Vec<String>) {
        let words = |addresses: Vec<IpAddr>| addresses.iter().map(ToString::to_string).collect();
        (words(pop.addresses().collect()), words(pop.out.iter().copied().collect()))
    }

    #[test]
    fn a_pop_without_addresses_has_those_of_its_nodes() {
        let fleet =
            FleetView { revision: 0, pops: vec![pop("fra", &["192.0.2.1"]), pop("sin", &[])] };
        let mut nodes = Nodes::default();
        let of_sin = ["192.0.2.9", "2001:db8::9", "0.0.0.0", "224.0.0.1", "192.0.2.1"];
        nodes.addresses.insert("sin".to_owned(), set(&of_sin));
        nodes.addresses.insert("fra".to_owned(), set(&["192.0.2.2"]));
        nodes.addresses.insert("gone".to_owned(), set(&["192.0.2.7"]));
        let joined = fleet.with_nodes(&nodes);
        assert_eq!(joined.revision, 0);
        assert_eq!(told(&joined.pops[0]).0, ["192.0.2.1"], "what the settings say is all");
        assert_eq!(told(&joined.pops[1]).0, ["192.0.2.9", "2001:db8::9"], "each of one PoP");
        assert!(!joined.same_geography(&fleet));
        let many: BTreeSet<IpAddr> = (1..400_u32).map(|n| IpAddr::from(n.to_be_bytes())).collect();
        nodes.addresses.insert("sin".to_owned(), many);
        assert_eq!(told(&fleet.with_nodes(&nodes).pops[1]).0.len(), ADDRESSES_MAX);
    }

    #[test]
    fn what_is_out_is_out_wherever_the_address_comes_from() {
        let fleet = FleetView {
            revision: 0,
            pops: vec![pop("fra", &["192.0.2.1", "192.0.2.2"]), pop("sin", &[])],
        };
        let mut nodes = Nodes { out: set(&["192.0.2.2", "192.0.2.9"]), ..Nodes::default() };
        nodes.addresses.insert("sin".to_owned(), set(&["192.0.2.9"]));
        let joined = fleet.with_nodes(&nodes);
        assert_eq!(told(&joined.pops[0]).1, ["192.0.2.2"]);
        assert_eq!(told(&joined.pops[1]).1, ["192.0.2.9"]);
        assert_eq!(joined.pops.iter().map(PopView::is_out).collect::<Vec<_>>(), [false, true]);
        let undrained = joined.with_nodes(&Nodes::default());
        assert!(undrained.pops.iter().all(|pop| pop.out.is_empty()));
        assert!(!PopView::new("none").is_out());
        assert!(joined.same_geography(&fleet.with_nodes(&Nodes { out: set(&[]), ..nodes })));
    }
}
