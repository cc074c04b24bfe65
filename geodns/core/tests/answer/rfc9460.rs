//! HTTPS records, which are generated from what a PoP speaks and which of its addresses are up.

use geodns_core::standing::Standings;

use super::stage::{Draft, SETTINGS, SOA, Stage, q};

fn https() -> super::stage::Query {
    q("www.cdn.test.", "HTTPS")
}

#[test]
fn https_records_say_what_a_pop_speaks() {
    Stage::new().says(&[
        (
            "§2.2 protocols and hints",
            https().from("203.0.113.1"),
            &[
                "NOERROR aa",
                "an www.cdn.test. 60 HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=2001:db8::1",
            ],
        ),
        (
            "§7.2 a port, and hints of one family",
            https().from("198.51.100.1"),
            &["NOERROR aa", "an www.cdn.test. 60 HTTPS 1 . alpn=h2 port=8443 ipv4hint=192.0.2.11"],
        ),
        (
            "custom: a PoP without protocols has none; the next one's",
            https(),
            &[
                "NOERROR aa",
                "an www.cdn.test. 60 HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=2001:db8::1",
            ],
        ),
        (
            "§2.5.2 at the end of an alias the target is its owner",
            q("alias.cdn.test.", "HTTPS").from("198.51.100.1"),
            &[
                "NOERROR aa",
                "an alias.cdn.test. 300 CNAME www.cdn.test.",
                "an www.cdn.test. 60 HTTPS 1 . alpn=h2 port=8443 ipv4hint=192.0.2.11",
            ],
        ),
        ("RFC 2308 §2.2 SVCB is another type", q("www.cdn.test.", "SVCB"), &["NOERROR aa", SOA]),
    ]);
}

#[test]
fn hints_name_what_is_up() {
    let mut stage = Stage::new();
    type Change = fn(&mut Standings);
    let rows: [(&str, Change, &str); 4] = [
        ("§7.3 all", |_| {}, "ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=2001:db8::1"),
        (
            "§7.3 one address is down",
            |all| all.pops[1].v4.up.truncate(1),
            "ipv4hint=192.0.2.1 ipv6hint=2001:db8::1",
        ),
        (
            "§7.3 a family is down",
            |all| {
                all.pops[1].v4.up.clear();
                all.pops[1].v4.enough = false;
            },
            "ipv6hint=2001:db8::1",
        ),
        (
            "§7.3 the other one",
            |all| {
                all.pops[1].v6.up.clear();
                all.pops[1].v6.enough = false;
            },
            "ipv4hint=192.0.2.1,192.0.2.2",
        ),
    ];
    let all_up = stage.served.standings().clone();
    for (row, change, hints) in rows {
        let mut standings = all_up.clone();
        change(&mut standings);
        stage.stand(standings);
        let expected = format!("an www.cdn.test. 60 HTTPS 1 . alpn=h2,h3 {hints}");
        assert_eq!(stage.ask(&https().from("203.0.113.1")), ["NOERROR aa", &expected], "{row}");
    }
    stage.stand(all_up);
    stage.down(&["sin", "fra", "iad"]);
    let all = "an www.cdn.test. 60 HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=2001:db8::1";
    assert_eq!(
        stage.ask(&https().from("203.0.113.1")),
        ["NOERROR aa", all],
        "all down: all offered"
    );
}

#[test]
fn hints_may_be_left_out_and_many_pops_may_answer() {
    let settings =
        SETTINGS.replace("alpn = ['h2', 'h3'] }", "alpn = ['h2', 'h3'], hints = false }").replace(
            "sites = true",
            "sites = true\npolicy = ['up', 'weight', 'first']\nfirst = { pops = 3 }",
        );
    let stage = Draft { settings: &settings, ..Draft::default() }.build().unwrap();
    let mut lines = stage.ask(&https().ecs("8.8.8.0/24"));
    lines.sort();
    assert_eq!(
        lines,
        [
            "NOERROR aa",
            "an www.cdn.test. 60 HTTPS 1 . alpn=h2 port=8443 ipv4hint=192.0.2.11",
            "an www.cdn.test. 60 HTTPS 1 . alpn=h2,h3",
            "opt 1232 ecs=8.8.8.0/24/1",
        ],
        "§2.4.1 a set of two"
    );
}
