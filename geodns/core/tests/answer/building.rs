//! What a snapshot is made of, and what it is not made of.

use std::sync::Arc;

use geodns_core::{
    answer::{
        Served,
        snapshot::{Mismatch, without_file},
    },
    serial::Order,
    standing::Standings,
    zone::{Zone, ZoneSettings},
};

use super::stage::{Draft, SETTINGS, Stage, ZONE, name, q};

fn problems(draft: Draft<'_>) -> Vec<String> {
    let Err(problems) = draft.build() else { panic!("it was built") };
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn names_that_collide_are_problems() {
    let two_routes = SETTINGS.replace(
        "[[geodns.route]]",
        "[[geodns.route]]\nname = 'other'\nnames = ['shop']\n[[geodns.route]]",
    );
    let absolute = SETTINGS.replace("'www',", "'www.cdn.test.', 'a..b',");
    let rows: Vec<(&str, Draft<'_>, Vec<&str>)> = vec![
        (
            "a site and records",
            Draft { sites: vec!["ok", "mail"], ..Draft::default() },
            vec![
                "site[1].name: \"mail\" is mail.cdn.test., which has records of its own at zone:5: rename one of the two",
            ],
        ),
        (
            "a site and another route's name",
            Draft { settings: &two_routes, ..Draft::default() },
            vec!["site[0].name: shop.cdn.test. is answered by route[0] already"],
        ),
        (
            "a site that is no label",
            Draft { sites: vec!["a.b", "", "*"], ..Draft::default() },
            vec![
                "site[0].name: \"a.b\" is not a label under cdn.test.: letters, digits, \"-\" and \"_\"",
                "site[1].name: \"\" is not a label under cdn.test.: letters, digits, \"-\" and \"_\"",
                "site[2].name: \"*\" is not a label under cdn.test.: letters, digits, \"-\" and \"_\"",
            ],
        ),
        (
            "names that are not under the zone",
            Draft { settings: &absolute, ..Draft::default() },
            vec![
                "route[0].names[0]: \"www.cdn.test.\" is not a name under cdn.test., such as \"www\", \"*.img\" or \"@\"",
                "route[0].names[1]: \"a..b\" is not a name under cdn.test., such as \"www\", \"*.img\" or \"@\"",
            ],
        ),
        (
            "a route and records of one type",
            Draft {
                zones: vec![("cdn.test.", format!("{ZONE}www A 192.0.2.77\n"))],
                sites: vec![],
                ..Draft::default()
            },
            vec![
                "zone[0]: zone:18 www.cdn.test. A is also what a route or site generates; allowed: other types at that name, or another name for the route or site",
            ],
        ),
        (
            "one apex twice",
            Draft {
                zones: vec![("cdn.test.", ZONE.to_owned()), ("CDN.test.", ZONE.to_owned())],
                ..Draft::default()
            },
            vec!["zone: two zones are called CDN.test.; allowed: one"],
        ),
    ];
    for (row, draft, expected) in rows {
        assert_eq!(problems(draft), expected, "{row}");
    }
}

#[test]
fn what_does_not_collide_is_built() {
    let zone = format!("{ZONE}www TXT beside\n");
    let stage = Draft { zones: vec![("cdn.test.", zone)], sites: vec![], ..Draft::default() };
    let stage = stage.build().unwrap();
    assert_eq!(stage.ask(&q("www.cdn.test.", "TXT"))[1], "an www.cdn.test. 300 TXT beside");
    let bare = SETTINGS.split("[[geodns.route]]").next().unwrap().to_owned()
        + "[[pop]]\nname = 'fra'\naddresses = ['192.0.2.1']\n[[pop]]\nname = 'iad'\n";
    let stage = Draft { settings: &bare, ..Draft::default() }.build().unwrap();
    assert_eq!(
        stage.ask(&q("shop.cdn.test.", "A"))[1],
        "an shop.cdn.test. 60 A 192.0.2.1",
        "no route"
    );
}

#[test]
fn the_serial_follows_the_file_and_the_fleet() {
    let stage = Draft { revision: 35, ..Draft::default() }.build().unwrap();
    let soa = stage.ask(&q("cdn.test.", "SOA"));
    assert_eq!(
        soa[1],
        "an cdn.test. 300 SOA ns.cdn.test. hostmaster.cdn.test. 42 7200 3600 1209600 3600"
    );
    let (_, published, order) = stage.snapshot.published().next().unwrap();
    assert_eq!((published.serial, order), (42, Order::First));
}

#[test]
fn standings_of_another_fleet_are_refused() {
    let stage = Stage::new();
    let mut pops = stage.served.standings().pops().to_vec();
    let mismatch = |pops| Served::new(Arc::clone(&stage.snapshot), Arc::new(Standings::new(pops)));
    pops.swap(0, 1);
    assert_eq!(mismatch(pops.clone()).unwrap_err(), Mismatch, "another order");
    pops.swap(0, 1);
    pops.pop();
    assert_eq!(mismatch(pops).unwrap_err(), Mismatch, "fewer");
}

#[test]
fn a_zone_without_a_file_is_a_zone() {
    let apex = name("cdn.test.");
    let servers = [&[][..], &["192.0.2.53".parse().unwrap(), "2001:db8::53".parse().unwrap()]];
    for (servers, names) in servers.into_iter().zip([1, 2]) {
        let records = without_file(&apex, servers);
        let zone = Zone::build(
            &apex,
            &records,
            &std::collections::BTreeMap::new(),
            1,
            ZoneSettings::default(),
        );
        assert_eq!(zone.unwrap().name_count(), names, "RFC 1034 §4.2.1 SOA and NS");
    }
}
