//! What RFC 7871 asks of scopes, for maps of every make.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ground::fold::{fold, fold_network};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::prelude::*;

use super::{
    super::{order::Orderer, *},
    *,
};
use crate::settings::{FenceSettings, PreferSettings};

/// Everything that a map is made from.
#[derive(Clone, Debug)]
struct Input {
    fleet: FleetView,
    settings: MapSettings,
    networks: Vec<(IpNet, Option<u8>)>,
    asns: Vec<(IpNet, u8)>,
}

const COUNTRIES: [&str; 6] = ["DE", "US", "JP", "BR", "AU", "FR"];

/// Networks that meet each other: few bits vary.
fn network() -> impl Strategy<Value = IpNet> {
    let four = (any::<u32>(), 0..=32_u8)
        .prop_map(|(bits, length)| (bits & 0xc0a0_00f3, length))
        .prop_map(|(bits, length)| IpNet::V4(Ipv4Net::new(bits.into(), length).unwrap().trunc()));
    let high = prop_oneof![
        Just(0x2001_0db8_u128),
        Just(0x2002_0000),
        Just(0x0064_ff9b),
        Just(0x2a00_0000),
        Just(0),
        Just(0xffff_ffff),
    ];
    let six = (high, any::<u64>(), 0..=128_u8).prop_map(|(high, low, length)| {
        let bits = high << 96 | u128::from(low & 0xc000_0000_0000_00ff) << 32;
        IpNet::V6(Ipv6Net::new(Ipv6Addr::from_bits(bits), length).unwrap().trunc())
    });
    prop_oneof![2 => four, 1 => six]
}

/// Networks as an operator may name them: none that goes beyond an IPv4 address it carries.
fn nameable() -> impl Strategy<Value = IpNet> {
    network().prop_filter("goes beyond", |network| fold_network(*network).is_some())
}

fn input() -> impl Strategy<Value = Input> {
    let prefer = (nameable(), 0..5_usize, 0..6_usize, any::<bool>());
    let fence = prop::collection::vec((0..5_usize, nameable()), 0..3);
    (
        prop::collection::vec((network(), prop::option::weighted(0.8, 0..6_u8)), 0..14),
        prop::collection::vec((network(), 0..3_u8), 0..4),
        prop::collection::vec(prefer, 0..4),
        fence,
        1..4_u32,
        0..60_u32,
    )
        .prop_map(|(networks, asns, prefers, fences, list, tie_percent)| {
            let mut fleet = world();
            for (pop, network) in fences {
                fleet.pops[pop].fence.networks.push(network);
                fleet.pops[pop].fence.countries.extend(Country::parse(b"DE"));
            }
            let prefer =
                prefers.into_iter().enumerate().map(|(index, (network, pop, country, equal))| {
                    let names = ["iad", "fra", "sin", "gru", "syd"];
                    let second = names[(pop + 1 + index) % 5];
                    PreferSettings {
                        pops: vec![names[pop].to_owned(), second.to_owned()],
                        equal,
                        networks: vec![network],
                        countries: vec![COUNTRIES[country].to_owned()],
                        asns: vec![u32::try_from(index).unwrap()],
                        ..PreferSettings::default()
                    }
                });
            // Nobody may be spoken of twice.
            let mut seen = std::collections::HashSet::new();
            let mut prefer: Vec<PreferSettings> = prefer.collect();
            for one in &mut prefer {
                one.pops.dedup();
                one.networks
                    .retain(|network| seen.insert(fold_network(*network).unwrap().to_string()));
                one.countries.retain(|country| seen.insert(country.clone()));
            }
            let settings = MapSettings { list, tie_percent, prefer, ..MapSettings::default() };
            Input { fleet, settings, networks, asns }
        })
}

impl Input {
    fn files(&self) -> [Vec<u8>; 2] {
        let points = [(50.0, 9.0), (40.0, -75.0), (35.0, 139.0), (-20.0, -46.0), (-33.0, 151.0)];
        let record = |value: &u8| match value {
            5 => flat("FR"),
            one => {
                let index = usize::from(*one);
                nested(COUNTRIES[index], "", Some(points[index]))
            }
        };
        let known = self.networks.iter();
        let places = known.filter_map(|(network, value)| Some((*network, record(value.as_ref()?))));
        // Something must be said, or the file is refused.
        let always = [("203.0.113.0/24".parse().unwrap(), flat("US"))];
        let asn = |(network, asn): &(IpNet, u8)| {
            (
                *network,
                Value::Map(vec![("autonomous_system_number", Value::Unsigned((*asn).into()))]),
            )
        };
        let asns = self.asns.iter().map(asn);
        let some =
            [("203.0.113.0/25".parse().unwrap(), Value::Map(vec![("asn", Value::Unsigned(1))]))];
        [
            Mmdb::new(places.chain(always).collect()).bytes(),
            Mmdb::new(asns.chain(some).collect()).bytes(),
        ]
    }

    /// Addresses at which something may change, and some others.
    fn addresses(&self, random: &[u128]) -> Vec<IpAddr> {
        let mut networks: Vec<IpNet> = self.networks.iter().map(|(network, _)| *network).collect();
        networks.extend(self.asns.iter().map(|(network, _)| *network));
        networks.extend(self.settings.prefer.iter().flat_map(|prefer| prefer.networks.clone()));
        networks.extend(self.fleet.pops.iter().flat_map(|pop| pop.fence.networks.clone()));
        let mut addresses = Vec::new();
        for network in networks {
            addresses.extend([network.network(), network.broadcast()]);
            addresses.extend(beside(network.network()).chain(beside(network.broadcast())));
        }
        for bits in random {
            let low = u32::try_from(bits & 0xffff_ffff).unwrap();
            addresses.push(IpAddr::V4(Ipv4Addr::from_bits(low)));
            addresses.push(IpAddr::V6(Ipv6Addr::from_bits(*bits)));
            addresses.push(IpAddr::V6(Ipv6Addr::from_bits(0x2002 << 112 | bits >> 16)));
        }
        // Each IPv4 address in each of its carriers as well.
        let carried = addresses.clone().into_iter().filter_map(|address| match address {
            IpAddr::V4(four) => Some(u128::from(four.to_bits())),
            IpAddr::V6(_) => None,
        });
        for four in carried {
            let carriers =
                [0xffff << 32 | four, 0x0064_ff9b << 96 | four, 0x2002 << 112 | four << 80];
            addresses.extend(carriers.map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))));
        }
        addresses
    }
}

/// The addresses before and behind.
fn beside(address: IpAddr) -> impl Iterator<Item = IpAddr> {
    let two = match address {
        IpAddr::V4(four) => {
            let bits = four.to_bits();
            [bits.wrapping_sub(1), bits.wrapping_add(1)].map(|bits| IpAddr::V4(bits.into()))
        }
        IpAddr::V6(six) => {
            let bits = six.to_bits();
            [bits.wrapping_sub(1), bits.wrapping_add(1)].map(|bits| IpAddr::V6(bits.into()))
        }
    };
    two.into_iter()
}

fn scope_of(map: &Map, address: IpAddr) -> IpNet {
    IpNet::new(address, map.locate(address).scope).unwrap().trunc()
}

/// The other half of the network one bit shorter.
fn sibling(network: IpNet) -> Option<IpAddr> {
    let length = network.prefix_len().checked_sub(1)?;
    Some(match network.network() {
        IpAddr::V4(four) => IpAddr::V4((four.to_bits() ^ (1 << (31 - length))).into()),
        IpAddr::V6(six) => IpAddr::V6((six.to_bits() ^ (1_u128 << (127 - length))).into()),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_map_says_what_its_sources_say(
        input in input(), random in prop::collection::vec(any::<u128>(), 12),
    ) {
        let plan = plan(&input.settings, &input.fleet, "");
        let files = input.files();
        let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
        let map = Map::compile(&plan, &input.fleet, &mut open(&files), PLENTY).unwrap();
        let databases = open(&files);
        let orderer = Orderer::new(&plan, &input.fleet);
        for address in input.addresses(&random) {
            let found = Finding::by(&orderer, &plan, &input.fleet, &databases, address).unwrap();
            let located = map.locate(address);
            prop_assert_eq!(located.list.ranked, &*found.ranked, "{}", address);
            prop_assert_eq!(*located.list.excluded, found.excluded, "{}", address);
        }
    }

    #[test]
    fn scopes_do_not_overlap_and_could_not_be_shorter(
        input in input(), random in prop::collection::vec(any::<u128>(), 12),
    ) {
        let plan = plan(&input.settings, &input.fleet, "");
        let files = input.files();
        let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
        let map = Map::compile(&plan, &input.fleet, &mut open(&files), PLENTY).unwrap();
        let mut scopes: BTreeMap<IpNet, ListId> = BTreeMap::new();
        for address in input.addresses(&random) {
            let located = map.locate(address);
            let scope = scope_of(&map, address);
            scopes.insert(scope, located.id);
            // Every address in the scope has the same list and the same scope.
            for bits in &random {
                for inside in [scope.network(), scope.broadcast(), within(scope, *bits)] {
                    let other = map.locate(inside);
                    prop_assert_eq!((other.id, other.scope), (located.id, located.scope));
                }
            }
            // One bit less would take in somebody else.
            if let Some(other) = sibling(scope) {
                let beside = map.locate(other);
                prop_assert!((beside.scope, beside.id) != (located.scope, located.id), "{}", scope);
            }
            // A folded address has the list of the IPv4 address, and the scope with the bits before.
            let folded = fold(address);
            let inner = map.locate(folded.address);
            prop_assert_eq!(inner.id, located.id, "{}", address);
            if located.scope >= folded.added {
                prop_assert_eq!(inner.scope + folded.added, located.scope, "{}", address);
            } else {
                prop_assert_eq!(inner.scope, 0, "all of IPv4 is alike, and what is around it");
            }
        }
        for scope in scopes.keys() {
            for (other, _) in scopes.range(scope..) {
                prop_assert!(scope == other || !scope.contains(other), "{} holds {}", scope, other);
            }
        }
        // Different numbers are different lists.
        let mut lists = std::collections::HashSet::new();
        for (network, id) in &scopes {
            let list = map.locate(network.network()).list;
            lists.insert((*id, format!("{:?}{:?}", list.ranked, list.excluded)));
        }
        let ids: std::collections::HashSet<ListId> = scopes.values().copied().collect();
        let texts: std::collections::HashSet<&String> = lists.iter().map(|(_, text)| text).collect();
        prop_assert_eq!(ids.len(), texts.len());
    }
}

fn within(network: IpNet, bits: u128) -> IpAddr {
    match network {
        IpNet::V4(four) => {
            let low = u32::try_from(bits & 0xffff_ffff).unwrap();
            IpAddr::V4((four.network().to_bits() | (low & four.hostmask().to_bits())).into())
        }
        IpNet::V6(six) => {
            IpAddr::V6((six.network().to_bits() | (bits & six.hostmask().to_bits())).into())
        }
    }
}

#[test]
fn fences_of_settings_are_those_of_the_map() {
    // A fence typed by an operator goes the same way as one set by hand above.
    let mut fleet = world();
    let typed: FenceSettings =
        toml::from_str("countries = ['JP']\nnetworks = ['2002:c000:200::/40']").unwrap();
    fleet.pops[1].fence.countries =
        typed.countries.iter().filter_map(|text| Country::parse(text.as_bytes())).collect();
    fleet.pops[1].fence.networks = typed.networks;
    let file = Mmdb::of(&[("192.0.2.0/23", nested("DE", "", Some((50.1, 8.7))))]).bytes();
    let map = compile("list = 1", &fleet, &[&file]).unwrap();
    assert_eq!(located(&map, &fleet, "192.0.2.1"), "fra/24", "inside of the fence");
    assert_eq!(located(&map, &fleet, "192.0.3.1"), "iad/24", "outside");
    let outside = map.locate("192.0.3.1".parse().unwrap());
    assert!(outside.list.excluded.contains(fleet.find("fra").unwrap()));
    assert!(outside.list.rest.contains(&fleet.find("fra").unwrap()), "left to the policy");
}
