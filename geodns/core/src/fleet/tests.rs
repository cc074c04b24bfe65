//! How `[[pop]]` becomes a fleet.

use super::*;
use crate::settings::{LocationSettings, PopSettings};

fn pop(toml: &str) -> PopSettings {
    toml::from_str(toml).unwrap()
}

#[test]
fn settings_become_a_fleet() {
    let settings = [
        pop(
            "name = 'fra'\nlocation = { latitude = 50.11, longitude = 8.68 }\naddresses = ['192.0.2.1', '2001:db8::1', '192.0.2.2']\nbias = -10\nweight = 7\npriority = 2\ncapacity = 40\ndrain = true\n[fence]\ncountries = ['de', 'AT']\ncontinents = ['EU']\nnetworks = ['10.0.0.0/8']\n[https]\nalpn = ['h2', 'http/1.1']\nport = 8443\nhints = false",
        ),
        pop("name = 'sin'"),
    ];
    let fleet = FleetView::build(&settings).unwrap();
    assert_eq!(fleet.revision, 0);
    let fra = PopView {
        location: Point::new(50.11, 8.68),
        bias: -10,
        weight: 7,
        priority: 2,
        capacity: Some(40),
        fence: Fence {
            countries: [b"DE", b"AT"].iter().filter_map(|code| Country::parse(&code[..])).collect(),
            continents: vec![Continent::Europe],
            networks: vec!["10.0.0.0/8".parse().unwrap()],
        },
        v4: vec!["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()],
        v6: vec!["2001:db8::1".parse().unwrap()],
        https: HttpsView {
            alpn: vec!["h2".into(), "http/1.1".into()],
            port: Some(8443),
            hints: false,
        },
        drained: true,
        ..PopView::new("fra")
    };
    let sin =
        PopView { https: HttpsView { hints: true, ..HttpsView::default() }, ..PopView::new("sin") };
    assert_eq!(fleet.pops, [fra, sin]);
    assert_eq!(fleet.find("sin"), PopId::new(1));
    assert_eq!(fleet.find("syd"), None);
    assert_eq!(fleet.name(PopId::new(0).unwrap()), "fra");
    assert_eq!(fleet.pops[0].addresses().count(), 3);
}

#[test]
fn every_problem_of_the_fleet_is_reported_at_once() {
    let mut off_globe =
        pop("name = 'b'\naddresses = ['192.0.2.1', '0.0.0.0']\n[https]\nalpn = ['']");
    off_globe.location = Some(LocationSettings { latitude: 91.0, longitude: 0.0 });
    let settings = [
        pop(
            "name = 'a'\naddresses = ['192.0.2.1']\n[fence]\ncountries = ['Germany']\ncontinents = ['XX']",
        ),
        off_globe,
        pop("name = 'a'"),
        pop("name = ''"),
    ];
    let problems = FleetView::build(&settings).unwrap_err();
    let printed: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let expected = [
        "pop[0].fence.countries[0]: \"Germany\" is not a country's two letters, as \"DE\"",
        "pop[0].fence.continents[0]: \"XX\" is not a continent: AF, AN, AS, EU, NA, OC or SA",
        "pop[1].addresses[0]: \"192.0.2.1\" belongs to \"a\" already",
        "pop[1].addresses[1]: \"0.0.0.0\" is not an address of a node",
        "pop[1].location: \"91 0\" is not a latitude from -90 to 90 and a longitude from -180 to 180",
        "pop[1].https.alpn[0]: \"\" is not a protocol such as \"h2\"",
        "pop[2].name: \"a\" is the name of pop[0] as well",
        "pop[3].name: \"\" is not a name",
    ];
    assert_eq!(printed, expected);
    let many: Vec<PopSettings> = (0..=POPS_MAX).map(|n| pop(&format!("name = 'p{n}'"))).collect();
    let problems = FleetView::build(&many).unwrap_err();
    assert_eq!(problems[0].to_string(), "pop: 257 PoPs, 256 are allowed");
}

#[test]
fn only_what_a_map_depends_on_is_geography() {
    let base = FleetView { revision: 1, pops: vec![PopView::new("a"), PopView::new("b")] };
    let changed = |change: fn(&mut PopView)| {
        let mut fleet = FleetView { revision: 2, ..base.clone() };
        change(&mut fleet.pops[1]);
        fleet.same_geography(&base)
    };
    assert!(changed(|pop| pop.drained = true));
    assert!(changed(|pop| pop.weight = 1));
    assert!(!changed(|pop| pop.name = "c".into()));
    assert!(!changed(|pop| pop.bias = 1));
    assert!(!changed(|pop| pop.location = Point::new(0.0, 0.0)));
    assert!(!changed(|pop| pop.fence.continents.push(Continent::Asia)));
    assert!(!changed(|pop| pop.v4.push(Ipv4Addr::LOCALHOST)), "the first address of a family");
    assert!(!base.same_geography(&FleetView { pops: vec![PopView::new("a")], ..base.clone() }));
}
