//! In which order PoPs are good for a place, and what a plan refuses.

use super::{
    super::{
        order::{Draft, Orderer},
        place::{Continent, Place, Region},
    },
    *,
};
use crate::fleet::{PopId, PopSet};

/// The list of a place under a map of `toml`, ties in parentheses, and what decided.
fn order(toml: &str, fleet: &FleetView, place: Place, network: Option<u32>) -> (String, Basis) {
    let settings: MapSettings = toml::from_str(toml).unwrap();
    let plan = plan(&settings, fleet, "");
    let mut draft = Draft::default();
    let basis = Orderer::new(&plan, fleet).order(&place, network, &PopSet::EMPTY, &mut draft);
    let text = draft.ranked.iter().map(|one| format!("{}{}", fleet.name(one.pop), one.band_end));
    (text.collect::<Vec<_>>().join(" "), basis)
}

fn at(latitude: f64, longitude: f64) -> Place {
    Place { point: Point::new(latitude, longitude), ..Place::default() }
}

fn in_country(code: &str) -> Place {
    Place { country: Country::parse(code.as_bytes()), ..Place::default() }
}

#[test]
fn distance_orders_what_nobody_spoke_of() {
    let fleet = world();
    let rows = [
        ("list = 3", at(48.8, 2.3), "fra1 iad2 gru3", Basis::Coordinates),
        ("list = 1", at(48.8, 2.3), "fra1", Basis::Coordinates),
        ("list = 9", at(48.8, 2.3), "fra1 iad2 gru3 sin4 syd5", Basis::Coordinates),
        ("list = 2", in_country("NZ"), "syd1 sin2", Basis::CountryCentre),
        (
            "list = 2",
            Place { continent: Some(Continent::Africa), ..Place::default() },
            "fra1 gru2",
            Basis::ContinentCentre,
        ),
        ("list = 2", in_country("ZZ"), "", Basis::Nothing),
        ("list = 2", Place::default(), "", Basis::Nothing),
        ("pops = ['syd', 'sin']", at(48.8, 2.3), "sin1 syd2", Basis::Coordinates),
    ];
    for (toml, place, expected, basis) in rows {
        assert_eq!(
            order(toml, &fleet, place, None),
            (expected.to_owned(), basis),
            "{toml} {place:?}"
        );
    }
}

#[test]
fn preferences_go_before_distance_the_closest_first() {
    let fleet = world();
    let toml = "list = 2
[[prefer]]
pops = ['syd']
networks = ['192.0.2.0/24']
[[prefer]]
pops = ['sin']
asns = [64500]
[[prefer]]
pops = ['gru']
regions = ['US-CA']
[[prefer]]
pops = ['iad', 'sin', 'gru']
countries = ['US']
[[prefer]]
pops = ['fra', 'gru']
equal = true
continents = ['NA']";
    let us = in_country("US");
    let california = Place { region: Region::parse("US-CA"), ..us };
    let of_system = Place { asn: Some(64_500), ..california };
    let rows = [
        ("a network", of_system, Some(0), "syd1 iad2", Basis::Network),
        ("a system", of_system, None, "sin1 iad2", Basis::Asn),
        ("a region", california, None, "gru1 iad2", Basis::Region),
        ("a country, longer than the list", us, None, "iad1 sin2 gru3", Basis::Country),
        ("a continent, equals", in_country("CA"), None, "fra2 gru2", Basis::Continent),
        ("nobody spoke of it", in_country("DE"), None, "fra1 iad2", Basis::CountryCentre),
        (
            "nothing known of it",
            Place { asn: Some(64_500), ..Place::default() },
            None,
            "sin1",
            Basis::Asn,
        ),
    ];
    for (name, place, network, expected, basis) in rows {
        assert_eq!(order(toml, &fleet, place, network), (expected.to_owned(), basis), "{name}");
    }
}

#[test]
fn bias_moves_the_border_between_pops() {
    // On a meridian: one at the equator, one 20 degrees north; the client 12 degrees north.
    let mut fleet = fleet(&[("a", 0.0, 0.0), ("b", 20.0, 0.0)]);
    let client = at(12.0, 0.0);
    for (bias_a, bias_b, expected) in [
        (0, 0, "b1 a2"),
        (33, 0, "b1 a2"),
        (34, 0, "a1 b2"),
        (0, -50, "a1 b2"),
        (0, -33, "b1 a2"),
        (99, 99, "b1 a2"),
    ] {
        (fleet.pops[0].bias, fleet.pops[1].bias) = (bias_a, bias_b);
        assert_eq!(order("", &fleet, client, None).0, expected, "{bias_a} {bias_b}");
    }
}

#[test]
fn ties_are_those_within_the_band() {
    // 10, 10.9, 11.5 and 14 degrees from the client.
    let fleet = fleet(&[("a", 10.0, 0.0), ("b", -10.9, 0.0), ("c", 11.5, 0.0), ("d", -14.0, 0.0)]);
    let client = at(0.0, 0.0);
    let rows = [
        ("list = 4", "a1 b2 c3 d4"),
        ("list = 4\ntie_percent = 9", "a2 b3 c3 d4"),
        ("list = 4\ntie_percent = 16", "a3 b3 c3 d4"),
        ("list = 4\ntie_percent = 41", "a4 b4 c4 d4"),
        ("list = 4\ntie_km = 101", "a2 b3 c3 d4"),
        ("list = 2\ntie_percent = 41", "a2 b2"),
    ];
    for (toml, expected) in rows {
        assert_eq!(order(toml, &fleet, client, None).0, expected, "{toml}");
    }
    let together = super::fleet(&[("a", 10.0, 0.0), ("b", 10.0, 0.0)]);
    assert_eq!(order("", &together, client, None).0, "a2 b2", "one place is always a tie");
}

#[test]
fn a_list_has_the_nearest_of_each_family() {
    let mut fleet = world();
    fleet.pops.iter_mut().for_each(|pop| pop.v6.clear());
    fleet.pops[4].v6.push(std::net::Ipv6Addr::LOCALHOST);
    fleet.pops[3].v6.push(std::net::Ipv6Addr::LOCALHOST);
    let paris = at(48.8, 2.3);
    assert_eq!(order("list = 2", &fleet, paris, None).0, "fra1 iad2 gru3", "the nearest with IPv6");
    assert_eq!(order("list = 3", &fleet, paris, None).0, "fra1 iad2 gru3");
    let toml = "list = 1\n[[prefer]]\npops = ['sin']\ncontinents = ['EU']";
    assert_eq!(order(toml, &fleet, in_country("FR"), None).0, "sin1 gru2");
    fleet.pops[1].v4.clear();
    assert_eq!(order("list = 1", &fleet, paris, None).0, "fra1 iad2 gru3");
    fleet.pops.iter_mut().for_each(|pop| pop.v6.clear());
    assert_eq!(order("list = 1", &fleet, paris, None).0, "fra1 iad2", "nobody has IPv6");
}

#[test]
fn fences_keep_pops_out_of_lists() {
    let mut fleet = world();
    fleet.pops[1].fence.countries.extend(Country::parse(b"DE"));
    fleet.pops[0].fence.continents.push(Continent::NorthAmerica);
    let rows = [
        (in_country("DE"), "fra1 gru2"),
        (in_country("FR"), "gru1 sin2"),
        (in_country("US"), "iad1 gru2"),
        (Place::default(), ""),
    ];
    for (place, expected) in rows {
        assert_eq!(order("list = 2", &fleet, place, None).0, expected, "{place:?}");
    }
    let toml = "list = 2\n[[prefer]]\npops = ['fra', 'syd']\ncountries = ['FR', 'DE']";
    assert_eq!(order(toml, &fleet, in_country("FR"), None).0, "syd1 gru2");
    assert_eq!(order(toml, &fleet, in_country("DE"), None).0, "fra1 syd2");
}

#[test]
fn the_others_follow_by_their_distance_from_the_first() {
    let mut fleet = world();
    fleet.pops.push(PopView::new("nowhere"));
    let rest = |toml: &str, first: Option<&str>| {
        let settings: MapSettings = toml::from_str(toml).unwrap();
        let plan = plan(&settings, &fleet, "");
        let first = first.and_then(|name| fleet.find(name));
        let rest = Orderer::new(&plan, &fleet).rest(first);
        rest.iter().map(|pop: &PopId| fleet.name(*pop)).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(rest("", Some("fra")), "fra iad gru sin syd nowhere");
    assert_eq!(rest("", Some("syd")), "syd sin gru iad fra nowhere");
    assert_eq!(rest("", None), "iad fra sin gru syd nowhere");
    assert_eq!(rest("", Some("nowhere")), "iad fra sin gru syd nowhere");
    assert_eq!(rest("fallback = ['sin', 'nowhere']", Some("fra")), "sin nowhere fra iad gru syd");
    assert_eq!(rest("pops = ['syd', 'fra']", Some("fra")), "fra syd");
}

#[test]
fn a_file_of_networks_goes_before_the_settings() {
    let fleet = world();
    let settings: MapSettings = toml::from_str(
        "list = 1\n[[prefer]]\npops = ['syd']\nnetworks = ['192.0.2.0/24', '198.51.100.0/24']",
    )
    .unwrap();
    let file =
        "# measured\n\n192.0.2.0/24 gru iad # near\n 2001:db8::/32\tsin\n203.0.113.0/24 gru iad\n";
    let plan = plan(&settings, &fleet, file);
    assert_eq!(plan.preferences.len(), 3, "the same PoPs once");
    let map = Map::compile(&plan, &fleet, &mut [], PLENTY).unwrap();
    let rows = [
        ("192.0.2.1", "gru iad/24"),
        ("198.51.100.1", "syd/24"),
        ("203.0.113.1", "gru iad/24"),
        ("2001:db8::1", "sin/32"),
    ];
    for (address, expected) in rows {
        assert_eq!(located(&map, &fleet, address), expected, "{address}");
    }
}

#[test]
fn every_problem_of_a_plan_is_reported_at_once() {
    let fleet = world();
    let settings: MapSettings = toml::from_str(
        "pops = ['iad', 'fra', 'lhr']
fallback = ['fra', 'fra', 'syd']
[[prefer]]
pops = ['fra', 'sin', 'fra']
networks = ['192.0.2.0/24', '::ffff:192.0.2.0/120', '2002:c000:201:1::/64']
countries = ['DE', 'Germany']
asns = [1]
[[prefer]]
pops = []
regions = ['California', 'US-CA']
countries = ['DE']
continents = ['EU', 'XX']
asns = [1]",
    )
    .unwrap();
    let file = "192.0.2.0/24 fra\nsomewhere fra\n10.0.0.0/8 lhr\n10.0.0.0/8\n192.0.2.0/24 iad";
    let problems =
        MapPlan::build(&settings, &fleet, Some(file), &GeodnsLimits::default()).unwrap_err();
    let printed: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let expected = [
        "pops[2]: \"lhr\" is not a PoP (have: iad, fra, sin, gru, syd)",
        "prefer[0].pops[1]: \"sin\" is not a PoP of this map (have: iad, fra)",
        "prefer[0].pops[2]: \"fra\" stands twice",
        "prefer[0].networks[1]: ::ffff:192.0.2.0/120 stands at prefer[0].networks[0] already",
        "prefer[0].networks[2]: \"2002:c000:201:1::/64\" is not a network that ends with the IPv4 address in it",
        "prefer[0].countries[1]: \"Germany\" is not a country's two letters, as \"DE\"",
        "prefer[1].pops: at least one PoP",
        "prefer[1].asns[0]: prefer[0] speaks of it already",
        "prefer[1].regions[0]: \"California\" is not a part of a country, as \"US-CA\"",
        "prefer[1].countries: DE: prefer[0] speaks of it already",
        "prefer[1].continents[1]: \"XX\" is not a continent: AF, AN, AS, EU, NA, OC or SA",
        "networks:2: \"somewhere\" is not a network",
        "networks:3: \"lhr\" is not a PoP of this map (have: iad, fra)",
        "networks:4: one to 16 PoPs must follow the network",
        "networks:5: 192.0.2.0/24 stands in an earlier line already",
        "fallback[1]: \"fra\" stands twice",
        "fallback[2]: \"syd\" is not a PoP of this map (have: iad, fra)",
    ];
    assert_eq!(printed, expected);
    let limits = GeodnsLimits { networks_max: 1, ..GeodnsLimits::default() };
    let two = "192.0.2.0/24 fra\n192.0.3.0/24 fra";
    let problems = MapPlan::build(&MapSettings::default(), &fleet, Some(two), &limits).unwrap_err();
    assert_eq!(problems[0].to_string(), "networks: 2 networks, 1 are allowed");
    let wrong = "x\n".repeat(1_000);
    let problems =
        MapPlan::build(&MapSettings::default(), &fleet, Some(&wrong), &limits).unwrap_err();
    assert_eq!(problems.len(), 21, "a file of another kind is not read to its end");
}
