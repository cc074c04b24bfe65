//! Negative answers: that they carry the SOA, for how long they hold, and that they are everybody's.

use geodns_core::limit::ResponseClass;

use super::stage::{Draft, FRA, IAD, SETTINGS, SOA, Stage, q};

#[test]
fn negative_answers_carry_the_soa() {
    Stage::new().says(&[
        ("§2.1 no such name", q("nope.cdn.test.", "A"), &["NXDOMAIN aa", SOA]),
        ("§2.1 far below", q("a.b.nope.cdn.test.", "A"), &["NXDOMAIN aa", SOA]),
        ("§2.2 no such type", q("mail.cdn.test.", "AAAA"), &["NOERROR aa", SOA]),
        ("§2.2 no such type at a route", q("www.cdn.test.", "TXT"), &["NOERROR aa", SOA]),
        ("RFC 8020 §2 between names", q("b.c.cdn.test.", "A"), &["NOERROR aa", SOA]),
    ]);
}

#[test]
fn they_hold_no_longer_than_is_allowed() {
    let rows = [
        ("§5 the operator's limit", "", "3600", 60),
        ("§5 the minimum", "", "20", 20),
        ("§5 another limit", "[geodns]\nnegative_ttl_max = '5m'\n", "3600", 300),
    ];
    for (row, settings, minimum, ttl) in rows {
        let zone = format!("$TTL 1h\n@ SOA . . 1 2 3 4 {minimum}\n@ NS ns.other.\n");
        let settings = format!("{settings}{SETTINGS}");
        let zones = vec![("cdn.test.", zone)];
        let stage = Draft { settings: &settings, zones, ..Draft::default() }.build().unwrap();
        let expected = format!("au cdn.test. {ttl} SOA . . 1 2 3 4 {minimum}");
        assert_eq!(stage.ask(&q("no.cdn.test.", "A")), ["NXDOMAIN aa", &expected], "{row}");
    }
}

#[test]
fn they_depend_on_no_client_and_no_health() {
    let mut stage = Stage::new();
    let names = ["www.cdn.test.", "nope.cdn.test.", "alias.cdn.test.", "x.img.cdn.test."];
    let types = ["A", "AAAA", "HTTPS", "TXT", "SRV"];
    let class = |stage: &Stage, name: &str, rtype: &str, network: &str| {
        let (_, facts) = stage.send(&q(name, rtype).ecs(network)).unwrap();
        (facts.class, facts.scope)
    };
    let mut expected = Vec::new();
    for down in [&[][..], &["iad"], &["sin"], &["fra", "iad", "sin"]] {
        stage.down(down);
        let mut said = Vec::new();
        for (name, rtype) in names.iter().flat_map(|name| types.map(|rtype| (name, rtype))) {
            let everybody = [FRA, IAD, "8.8.8.0/24", "2001:db8:1::/48", "::/0"];
            let classes = everybody.map(|network| class(&stage, name, rtype, network));
            let kinds = classes.map(|(class, _)| class);
            assert!(kinds.iter().all(|kind| *kind == kinds[0]), "RFC 7871 §7.4 {name} {rtype}");
            if kinds[0] != ResponseClass::Answer {
                assert!(classes.iter().all(|(_, scope)| *scope == Some(0)), "RFC 7871 §7.4");
            }
            said.push(kinds[0]);
        }
        if expected.is_empty() {
            expected = said.clone();
        }
        assert_eq!(said, expected, "{down:?} down");
    }
    assert!(expected.contains(&ResponseClass::NoData) && expected.contains(&ResponseClass::Answer));
}
