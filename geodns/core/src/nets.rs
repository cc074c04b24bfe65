//! A set of networks that addresses are looked up in.
//!
//! In: networks. Out: whether an address is in one of them. Always holds: the ranges are sorted and
//! apart, so that a lookup is one binary search per family; networks and addresses are folded, so
//! that an IPv4 network holds its addresses however either is written ([`ground::fold`]).

use std::net::IpAddr;

use ground::fold::{fold, fold_network};
use ipnet::IpNet;

use crate::problem::Problems;

/// What a network must be that names addresses which carry IPv4.
pub(crate) const FOLDABLE: &str = "a network that ends with the IPv4 address in it";

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Nets {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl Nets {
    /// Networks that settings are refused for ([`unfoldable`]) hold nothing.
    pub(crate) fn new(nets: &[IpNet]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for net in nets.iter().filter_map(|net| fold_network(*net)) {
            match net {
                IpNet::V4(net) => v4.push((net.network().to_bits(), net.broadcast().to_bits())),
                IpNet::V6(net) => v6.push((net.network().to_bits(), net.broadcast().to_bits())),
            }
        }
        Self { v4: apart(v4), v6: apart(v6) }
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match fold(address).address {
            IpAddr::V4(address) => within(&self.v4, address.to_bits()),
            IpAddr::V6(address) => within(&self.v6, address.to_bits()),
        }
    }
}

/// Tells which networks of a list cannot be folded; `at` is the list's key.
pub(crate) fn unfoldable(networks: &[IpNet], at: &str, problems: &mut Problems) {
    for (index, network) in networks.iter().enumerate() {
        if fold_network(*network).is_none() {
            problems.not(format!("{at}[{index}]"), &network.to_string(), FOLDABLE);
        }
    }
}

fn apart<T: Ord + Copy>(mut ranges: Vec<(T, T)>) -> Box<[(T, T)]> {
    ranges.sort_unstable();
    // Networks are apart or one is within the other, which then sorts behind it.
    ranges.dedup_by(|inner, outer| inner.1 <= outer.1);
    ranges.into()
}

fn within<T: Ord + Copy>(ranges: &[(T, T)], value: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= value);
    let range = after.checked_sub(1).and_then(|at| ranges.get(at));
    range.is_some_and(|(_, last)| value <= *last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_found_in_their_networks() {
        let text = ["10.0.0.0/8", "10.1.0.0/16", "192.0.2.7/32", "2001:db8::/32", "0.0.0.0/32"];
        let parsed: Vec<IpNet> = text.iter().map(|net| net.parse().unwrap()).collect();
        let nets = Nets::new(&parsed);
        let rows = [
            ("10.0.0.0", true),
            ("10.1.2.3", true),
            ("10.2.0.0", true),
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("9.255.255.255", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("0.0.0.0", true),
            ("0.0.0.1", false),
            ("255.255.255.255", false),
            ("2001:db8:ffff::", true),
            ("2001:db9::", false),
            ("::", false),
        ];
        for (address, expected) in rows {
            assert_eq!(nets.contains(address.parse().unwrap()), expected, "{address}");
        }
        assert!(!Nets::default().contains("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn an_ipv4_network_holds_its_addresses_however_either_is_written() {
        let rows = [
            // Network, an address in it, one that is not.
            ("::ffff:192.0.2.0/120", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.0/24", "::ffff:192.0.2.255", "::ffff:192.0.3.0"),
            ("::ffff:0.0.0.0/96", "255.255.255.255", "2001:db8::1"),
            ("2002:c000:200::/40", "192.0.2.7", "192.0.3.7"),
            ("192.0.2.0/24", "2002:c000:207::1", "2002:c000:307::1"),
            ("64:ff9b::c000:200/120", "192.0.2.7", "192.0.3.7"),
            ("64:ff9b::/96", "64:ff9b::c000:207", "64:ff9b:1::"),
            // A network around a carrier speaks of the other addresses in it.
            ("::/0", "2001:db8::1", "192.0.2.1"),
            ("2000::/3", "3fff::1", "2002:c000:207::1"),
        ];
        for (net, inside, outside) in rows {
            let nets = Nets::new(&[net.parse().unwrap()]);
            let is_in = |address: &str| nets.contains(address.parse().unwrap());
            assert_eq!((is_in(inside), is_in(outside)), (true, false), "{net}");
        }
        // One that goes beyond the IPv4 address in it is refused where settings are read.
        let beyond = Nets::new(&["2002:c000:207:1::/64".parse().unwrap()]);
        assert_eq!(beyond, Nets::default());
    }

    proptest! {
        #[test]
        fn a_lookup_agrees_with_looking_at_all(
            nets in prop::collection::vec((any::<u32>(), 0_u8..33), 0..20), address: u32, near: prop::sample::Index,
        ) {
            let nets: Vec<IpNet> = nets.into_iter()
                .map(|(address, length)| IpNet::new(std::net::Ipv4Addr::from_bits(address).into(), length).unwrap())
                .collect();
            let table = Nets::new(&nets);
            let mut addresses = vec![std::net::Ipv4Addr::from_bits(address).into()];
            if !nets.is_empty() {
                addresses.extend([near.get(&nets).network(), near.get(&nets).broadcast()]);
            }
            for address in addresses {
                prop_assert_eq!(table.contains(address), nets.iter().any(|net| net.contains(&address)));
            }
        }
    }
}
