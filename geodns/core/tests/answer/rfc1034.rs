//! Concepts and facilities: what stands at a name, aliases, zone cuts.

use super::stage::{Draft, SOA, Stage, q};

#[test]
fn an_answer_is_what_stands_at_the_name() {
    Stage::new().says(&[
        (
            "§4.3.2 3a static records",
            q("mail.cdn.test.", "A"),
            &["NOERROR aa", "an mail.cdn.test. 300 A 192.0.2.54"],
        ),
        (
            "§4.3.2 3a a route",
            q("www.cdn.test.", "AAAA"),
            &["NOERROR aa", "an www.cdn.test. 60 AAAA 2001:db8::21"],
        ),
        (
            "§4.3.2 3a a route at the apex",
            q("cdn.test.", "A"),
            &["NOERROR aa", "an cdn.test. 60 A 192.0.2.21"],
        ),
        (
            "§4.3.2 3a static records at a routed name",
            q("cdn.test.", "NS"),
            &["NOERROR aa", "an cdn.test. 300 NS ns.cdn.test."],
        ),
        (
            "custom: a site",
            q("shop.cdn.test.", "A"),
            &["NOERROR aa", "an shop.cdn.test. 60 A 192.0.2.21"],
        ),
        (
            "RFC 4343 §4.1 any case, and the client's back",
            q("wWw.CDN.test.", "A"),
            &["NOERROR aa", "an wWw.CDN.test. 60 A 192.0.2.21"],
        ),
    ]);
}

#[test]
fn aliases_are_followed_within_the_zone() {
    Stage::new().says(&[
        (
            "§3.6.2 to a route",
            q("alias.cdn.test.", "A"),
            &[
                "NOERROR aa",
                "an alias.cdn.test. 300 CNAME www.cdn.test.",
                "an www.cdn.test. 60 A 192.0.2.21",
            ],
        ),
        (
            "§3.6.2 over two, as the client is near",
            q("alias2.cdn.test.", "A").from("203.0.113.9"),
            &[
                "NOERROR aa",
                "an alias2.cdn.test. 300 CNAME alias.cdn.test.",
                "an alias.cdn.test. 300 CNAME www.cdn.test.",
                "an www.cdn.test. 60 A 192.0.2.1",
                "an www.cdn.test. 60 A 192.0.2.2",
            ],
        ),
        (
            "§3.6.2 the alias itself",
            q("alias.cdn.test.", "CNAME"),
            &["NOERROR aa", "an alias.cdn.test. 300 CNAME www.cdn.test."],
        ),
        (
            "RFC 2308 §2.2 no such type at its end",
            q("alias.cdn.test.", "MX"),
            &["NOERROR aa", "an alias.cdn.test. 300 CNAME www.cdn.test.", SOA],
        ),
        (
            "RFC 6604 §3 no such name at its end",
            q("gone.cdn.test.", "A"),
            &["NXDOMAIN aa", "an gone.cdn.test. 300 CNAME nowhere.cdn.test.", SOA],
        ),
        (
            "§4.3.2 3a out of the zone",
            q("away.cdn.test.", "A"),
            &["NOERROR aa", "an away.cdn.test. 300 CNAME www.other.example."],
        ),
    ]);
}

#[test]
fn below_a_cut_there_is_a_referral() {
    let referral = [
        "NOERROR",
        "au sub.cdn.test. 300 NS ns.sub.cdn.test.",
        "au sub.cdn.test. 300 NS ns.cdn.test.",
        "ad ns.sub.cdn.test. 300 A 192.0.2.55",
        "ad ns.cdn.test. 300 A 192.0.2.53",
    ];
    Stage::new().says(&[
        ("§4.3.2 3b at the cut", q("sub.cdn.test.", "A"), &referral),
        ("§4.3.2 3b below it", q("a.b.sub.cdn.test.", "TXT"), &referral),
        ("§4.3.2 3b glue is no answer", q("ns.sub.cdn.test.", "A"), &referral),
        ("RFC 4035 §3.1.4.1 DS is ours", q("sub.cdn.test.", "DS"), &["NOERROR aa", SOA]),
    ]);
}

#[test]
fn the_longest_zone_answers_and_others_are_refused() {
    let lower = "$TTL 300\n@ SOA . . 1 2 3 4 5\n@ NS ns.other.\nx A 192.0.2.99\n";
    let zones = vec![
        ("cdn.test.", super::stage::ZONE.to_owned()),
        ("b.test.", lower.to_owned()),
        ("lab.cdn.test.", lower.to_owned()),
    ];
    let stage = Draft { zones, ..Draft::default() }.build().unwrap();
    stage.says(&[
        (
            "§4.3.2 2 another zone",
            q("x.b.test.", "A"),
            &["NOERROR aa", "an x.b.test. 300 A 192.0.2.99"],
        ),
        (
            "custom: a route's names stand in each zone",
            q("www.b.test.", "A"),
            &["NOERROR aa", "an www.b.test. 60 A 192.0.2.21"],
        ),
        (
            "custom: sites only in the first",
            q("shop.b.test.", "A"),
            &["NXDOMAIN aa", "au b.test. 5 SOA . . 1 2 3 4 5"],
        ),
        (
            "RFC 8020 §2 DS where nobody delegates: the name exists",
            q("lab.cdn.test.", "DS"),
            &["NOERROR aa", "au lab.cdn.test. 5 SOA . . 1 2 3 4 5"],
        ),
        ("RFC 8914 §4.21 none", q("www.example.", "A").size(1232), &["REFUSED", "opt 1232 ede=20"]),
        ("§4.3.2 2 not above", q("test.", "NS"), &["REFUSED"]),
        ("§4.3.2 2 not the root", q(".", "NS"), &["REFUSED"]),
    ]);
}
