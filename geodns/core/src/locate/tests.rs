//! Maps as a whole, held against the sources they were made from.
#![expect(clippy::arithmetic_side_effects, reason = "sums that a test may get wrong")]

mod faults;
mod mmdb;
mod ordering;
mod scopes;

use std::net::IpAddr;

use ipnet::IpNet;

use self::mmdb::{Mmdb, Value, flat, nested};
use super::{
    database::Database,
    place::{Country, Point},
    plan::MapPlan,
    *,
};
use crate::{
    fleet::{FleetView, PopView},
    settings::{GeodnsLimits, MapSettings},
};

/// Memory that no map of a test needs.
const PLENTY: u64 = 1 << 30;

/// PoPs on the globe, each with an address of either family.
fn fleet(pops: &[(&str, f64, f64)]) -> FleetView {
    let pop = |(name, latitude, longitude): &(&str, f64, f64)| PopView {
        location: Point::new(*latitude, *longitude),
        v4: vec![std::net::Ipv4Addr::LOCALHOST],
        v6: vec![std::net::Ipv6Addr::LOCALHOST],
        ..PopView::new(name)
    };
    FleetView { revision: 0, pops: pops.iter().map(pop).collect() }
}

/// Five PoPs of the world.
fn world() -> FleetView {
    fleet(&[
        ("iad", 39.04, -77.49),
        ("fra", 50.11, 8.68),
        ("sin", 1.35, 103.82),
        ("gru", -23.55, -46.63),
        ("syd", -33.87, 151.21),
    ])
}

fn plan(settings: &MapSettings, fleet: &FleetView, file: &str) -> MapPlan {
    MapPlan::build(settings, fleet, Some(file), &GeodnsLimits::default()).unwrap()
}

/// A map of `toml` settings over files.
fn compile(toml: &str, fleet: &FleetView, files: &[&[u8]]) -> Result<Map, MapError> {
    let settings: MapSettings = toml::from_str(toml).unwrap();
    let mut databases = open(files);
    Map::compile(&plan(&settings, fleet, ""), fleet, &mut databases, PLENTY)
}

fn open<'d>(files: &[&'d [u8]]) -> Vec<Database<'d>> {
    files.iter().map(|file| Database::open("test.mmdb", file).unwrap()).collect()
}

fn pops(fleet: &FleetView, ranked: &[Ranked]) -> String {
    ranked.iter().map(|one| fleet.name(one.pop)).collect::<Vec<_>>().join(" ")
}

/// `list/scope` of an address.
fn located(map: &Map, fleet: &FleetView, address: &str) -> String {
    let located = map.locate(address.parse().unwrap());
    format!("{}/{}", pops(fleet, located.list.ranked), located.scope)
}

#[test]
fn a_client_is_served_from_where_it_is() {
    let fleet = world();
    let file = Mmdb::of(&[
        ("192.0.2.0/25", nested("DE", "HE", Some((50.1, 8.7)))),
        ("192.0.2.128/25", nested("US", "CA", Some((37.8, -122.4)))),
        ("198.51.100.0/24", flat("JP")),
        ("2001:db8::/32", nested("BR", "SP", Some((-23.5, -46.6)))),
        ("2001:db8:8000::/33", nested("AU", "", None)),
    ]);
    let map = compile("list = 2", &fleet, &[&file.bytes()]).unwrap();
    let rows = [
        ("192.0.2.1", "fra iad/25"),
        ("192.0.2.200", "iad fra/25"),
        ("198.51.100.9", "sin syd/24"),
        ("10.0.0.1", "/1"),
        ("192.0.3.1", "/24"),
        ("2001:db8::1", "gru iad/33"),
        ("2001:db8:8000::1", "syd sin/33"),
        ("2a00::1", "/5"),
        ("::ffff:192.0.2.1", "fra iad/121"),
        ("64:ff9b::192.0.2.200", "iad fra/121"),
        ("2002:c000:201::1", "fra iad/41"),
        ("2002:a00:1::1", "/17"),
    ];
    for (address, expected) in rows {
        assert_eq!(located(&map, &fleet, address), expected, "{address}");
    }
    assert_eq!(map.list_count(), 6, "five lists, and the empty one");
}

#[test]
fn every_record_size_and_address_family_is_read() {
    let fleet = world();
    for (record_size, ip_version, mirrors) in [
        (24, 4, false),
        (28, 4, false),
        (32, 4, false),
        (24, 6, true),
        (28, 6, false),
        (32, 6, true),
    ] {
        let file = Mmdb {
            record_size,
            ip_version,
            mirrors,
            ..Mmdb::of(&[("192.0.2.0/24", flat("DE")), ("0.0.0.0/1", flat("AU"))])
        };
        let map = compile("list = 1", &fleet, &[&file.bytes()]).unwrap();
        let case = format!("{record_size} {ip_version} {mirrors}");
        assert_eq!(located(&map, &fleet, "192.0.2.1"), "fra/24", "{case}");
        assert_eq!(located(&map, &fleet, "9.9.9.9"), "syd/1", "{case}");
        assert_eq!(located(&map, &fleet, "2002:909:909::1"), "syd/17", "{case}");
        assert_eq!(located(&map, &fleet, "2001:db8::1"), "/15", "{case}");
    }
}

#[test]
fn later_databases_say_what_former_ones_do_not_know() {
    let fleet = world();
    let countries = Mmdb { ip_version: 4, ..Mmdb::of(&[("192.0.2.0/24", flat("DE"))]) };
    let six = Mmdb::of(&[("2001:db8::/32", flat("AU")), ("192.0.2.0/23", flat("BR"))]);
    let asns = Mmdb::of(&[
        ("192.0.2.128/25", Value::Map(vec![("autonomous_system_number", Value::Unsigned(64_500))])),
        ("2001:db8:1::/48", Value::Map(vec![("asn", Value::Text("AS64500".to_owned()))])),
    ]);
    let files = [countries.bytes(), six.bytes(), asns.bytes()];
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    let toml = "list = 1\n[[prefer]]\npops = ['sin']\nasns = [64500]";
    let map = compile(toml, &fleet, &files).unwrap();
    let rows = [
        ("192.0.2.1", "fra/25"),
        ("192.0.2.129", "sin/25"),
        ("192.0.3.1", "gru/24"),
        ("2001:db8::1", "syd/48"),
        ("2001:db8:1::1", "sin/48"),
    ];
    for (address, expected) in rows {
        assert_eq!(located(&map, &fleet, address), expected, "{address}");
    }
}

#[test]
fn without_any_source_there_is_one_list_for_all() {
    let fleet = world();
    let map = compile("", &fleet, &[]).unwrap();
    let one = map.locate("192.0.2.1".parse().unwrap());
    assert_eq!((one.scope, one.list.ranked.len()), (0, 0));
    assert_eq!(map.locate("2001:db8::1".parse().unwrap()).scope, 0);
    let rest: Vec<&str> = one.list.rest.iter().map(|pop| fleet.name(*pop)).collect();
    assert_eq!(rest, ["iad", "fra", "sin", "gru", "syd"]);
    assert_eq!(map.list_count(), 1);
}

#[test]
fn a_map_that_takes_too_much_is_refused() {
    let fleet = world();
    let file = Mmdb::of(&[("192.0.2.0/24", flat("DE"))]).bytes();
    let plan = plan(&MapSettings::default(), &fleet, "");
    let compiled = |max| Map::compile(&plan, &fleet, &mut open(&[&file]), max);
    let bytes = compiled(PLENTY).unwrap().bytes();
    assert!(compiled(bytes).is_ok());
    for max in [0, 100, 10_000, bytes - 1] {
        let error = compiled(max).unwrap_err();
        assert!(matches!(error, MapError::Memory { .. }), "{error}");
        assert!(error.to_string().contains("map \"default\" takes more than"), "{error}");
    }
    let five = [&*file; 5];
    let error = Map::compile(&plan, &fleet, &mut open(&five), PLENTY).unwrap_err();
    assert_eq!(error.to_string(), "5 databases, 4 are allowed");
}

#[test]
fn one_client_is_explained_as_the_map_has_it() {
    let mut fleet = world();
    fleet.pops[2].fence.networks.push("192.0.2.0/26".parse().unwrap());
    let file = Mmdb::of(&[
        ("192.0.2.0/24", nested("DE", "HE", Some((50.1, 8.7)))),
        ("198.51.100.0/24", flat("JP")),
        (
            "203.0.113.0/24",
            Value::Map(vec![(
                "continent",
                Value::Map(vec![("code", Value::Text("SA".to_owned()))]),
            )]),
        ),
    ])
    .bytes();
    let databases = open(&[&file]);
    let settings: MapSettings = toml::from_str(
        "list = 2\n[[prefer]]\npops = ['syd']\nnetworks = ['192.0.2.128/25', '192.0.2.192/26']\n[[prefer]]\npops = ['gru']\nregions = ['DE-HE']",
    )
    .unwrap();
    let plan = plan(&settings, &fleet, "");
    let map = Map::compile(&plan, &fleet, &mut open(&[&file]), PLENTY).unwrap();
    let rows = [
        ("192.0.2.1", "gru fra", Basis::Region, None, "DE"),
        ("192.0.2.129", "syd fra", Basis::Network, Some("192.0.2.128/25"), "DE"),
        ("::ffff:192.0.2.200", "syd fra", Basis::Network, Some("192.0.2.192/26"), "DE"),
        ("198.51.100.1", "syd fra", Basis::CountryCentre, None, "JP"),
        ("203.0.113.1", "gru iad", Basis::ContinentCentre, None, ""),
        ("10.0.0.1", "", Basis::Nothing, None, ""),
    ];
    for (address, list, basis, network, country) in rows {
        let client: IpAddr = address.parse().unwrap();
        let found = Finding::find(&plan, &fleet, &databases, client).unwrap();
        assert_eq!(pops(&fleet, &found.ranked), list, "{address}");
        assert_eq!(found.basis, basis, "{address}");
        assert_eq!(found.network, network.map(|text: &str| text.parse::<IpNet>().unwrap()));
        assert_eq!(found.place.country, Country::parse(country.as_bytes()), "{address}");
        let located = map.locate(client);
        assert_eq!(located.list.ranked, found.ranked, "{address}");
        assert_eq!(*located.list.excluded, found.excluded, "{address}");
    }
}

#[test]
fn a_compilation_pauses_for_whoever_shares_the_processor() {
    let fleet = world();
    let countries = ["DE", "US", "JP", "BR", "AU"];
    let networks: Vec<(String, Value)> = (0..2048_usize)
        .map(|at| {
            let network = format!("10.{}.{}.0/24", at / 256, at % 256);
            (network, flat(countries[at % countries.len()]))
        })
        .collect();
    let networks: Vec<(&str, Value)> =
        networks.iter().map(|(network, value)| (network.as_str(), value.clone())).collect();
    let file = Mmdb::of(&networks).bytes();
    let plan = plan(&MapSettings::default(), &fleet, "");
    let pauses = |files: &[&[u8]]| {
        let mut pauses = 0_u32;
        let mut pause = || pauses += 1;
        let map = Map::compile_beside(&plan, &fleet, &mut open(files), PLENTY, &mut pause).unwrap();
        (map, pauses)
    };
    let (_, tables) = pauses(&[]);
    assert!(tables >= 2 * 128, "both tables are filled in steps: {tables}");
    let (map, all) = pauses(&[&file]);
    let walk = 2048 / compile::SPANS_PER_PAUSE;
    assert!((walk..2 * walk).contains(&(all - tables)), "{all} {tables}");
    // Pausing changes nothing of the map.
    let alone = Map::compile(&plan, &fleet, &mut open(&[&file]), PLENTY).unwrap();
    assert_eq!(map.bytes(), alone.bytes());
    for address in ["10.0.0.1", "10.3.77.1", "10.7.255.255", "192.0.2.1"] {
        assert_eq!(located(&map, &fleet, address), located(&alone, &fleet, address), "{address}");
    }
}
