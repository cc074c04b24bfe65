//! HTTPS records, which are generated from what a PoP speaks and which of its addresses are up.

use geodns_core::standing::{Standing, Standings};

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
            "§7.3 hints of one family",
            https().from("198.51.100.1"),
            &["NOERROR aa", "an www.cdn.test. 60 HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.11"],
        ),
        (
            "§2.5.2 at the end of an alias the target is its owner",
            q("alias.cdn.test.", "HTTPS").from("198.51.100.1"),
            &[
                "NOERROR aa",
                "an alias.cdn.test. 300 CNAME www.cdn.test.",
                "an www.cdn.test. 60 HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.11",
            ],
        ),
        ("RFC 2308 §2.2 SVCB is another type", q("www.cdn.test.", "SVCB"), &["NOERROR aa", SOA]),
    ]);
}

#[test]
fn hints_name_what_is_up() {
    let mut stage = Stage::new();
    type Change = fn(&mut [Standing]);
    let rows: [(&str, Change, &str); 4] = [
        ("§7.3 all", |_| {}, "ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=2001:db8::1"),
        (
            "§7.3 one address is down",
            |all| all[1].v4.up.truncate(1),
            "ipv4hint=192.0.2.1 ipv6hint=2001:db8::1",
        ),
        (
            "§7.3 a family is down",
            |all| {
                all[1].v4.up.clear();
                all[1].v4.enough = false;
            },
            "ipv6hint=2001:db8::1",
        ),
        (
            "§7.3 the other one",
            |all| {
                all[1].v6.up.clear();
                all[1].v6.enough = false;
            },
            "ipv4hint=192.0.2.1,192.0.2.2",
        ),
    ];
    let all_up = stage.served.standings().clone();
    for (row, change, hints) in rows {
        let mut pops = all_up.pops().to_vec();
        change(&mut pops);
        stage.stand(Standings::new(pops));
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
fn the_target_is_the_owner_so_protocols_and_port_hold_for_every_address_of_it() {
    let speaks = |sin: &str, fra: &str, iad: &str| {
        let settings = SETTINGS
            .replace("'192.0.2.21', '2001:db8::21']\nhttps = { alpn = ['h2', 'h3'] }", sin)
            .replace("'2001:db8::1']\nhttps = { alpn = ['h2', 'h3'] }", fra)
            .replace("https = { alpn = ['h3', 'x', 'h2'], port = 443 }", iad);
        let sin_and_fra = ["'192.0.2.21']\n", "'2001:db8::1']\n"];
        assert!(sin_and_fra.iter().all(|part| settings.contains(part)), "{settings}");
        Draft { settings: &settings, ..Draft::default() }.build().unwrap()
    };
    let none = ["NOERROR aa".to_owned(), SOA.to_owned()].to_vec();
    let one = |text: &str| ["NOERROR aa".to_owned(), text.to_owned()].to_vec();
    let (sin, fra) = ("'192.0.2.21']\n", "'2001:db8::1']\n");
    let rows = [
        ("§7.1 nobody speaks", "", "", "", none.clone()),
        ("§2.5 one does not: A could be its", "alpn = ['h2']", "alpn = ['h2']", "", none.clone()),
        ("§7.1 nothing in common", "alpn = ['h2']", "alpn = ['h2']", "alpn = ['h3']", none.clone()),
        ("§7.2 ports", "alpn = ['h2']", "alpn = ['h2']", "alpn = ['h2'], port = 8443", none),
        (
            "§7.1 what all speak, also where the nearest speaks more",
            "alpn = ['h2'], port = 8443",
            "alpn = ['h2'], port = 8443",
            "alpn = ['h3', 'h2'], port = 8443",
            one("an www.cdn.test. 60 HTTPS 1 . alpn=h2 port=8443 ipv4hint=192.0.2.11"),
        ),
    ];
    for (row, of_sin, of_fra, of_iad, expected) in rows {
        let https = |text: &str| format!("https = {{ {text} }}");
        let stage = speaks(
            &format!("{sin}{}", https(of_sin)),
            &format!("{fra}{}", https(of_fra)),
            &https(of_iad),
        );
        let query = q("www.cdn.test.", "HTTPS").from("198.51.100.1");
        assert_eq!(stage.ask(&query), expected, "{row}");
    }
}

#[test]
fn hints_may_be_left_out_and_a_name_has_one_record() {
    let settings =
        SETTINGS.replace("alpn = ['h2', 'h3'] }", "alpn = ['h2', 'h3'], hints = false }");
    let several = "sites = true\npolicy = ['up', 'weight', 'first']\nfirst = { pops = 3 }";
    let both = settings.replace("sites = true", several);
    let stage = Draft { settings: &both, ..Draft::default() }.build().unwrap();
    let expected = [
        "NOERROR aa",
        "an www.cdn.test. 60 HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.11",
        "opt 1232 ecs=8.8.8.0/24/1",
    ];
    assert_eq!(stage.ask(&https().ecs("8.8.8.0/24")), expected, "§7.3 one PoP gives hints");
    let none = both.replace("port = 443 }", "port = 443, hints = false }");
    let stage = Draft { settings: &none, ..Draft::default() }.build().unwrap();
    let records = stage.ask(&https().from("203.0.113.1"));
    let expected = ["NOERROR aa", "an www.cdn.test. 60 HTTPS 1 . alpn=h2,h3"];
    assert_eq!(records, expected, "RFC 2181 §5 no record twice");
}
