//! What is wrong with a zone, and what only looks so.

use super::*;

#[test]
fn every_fault_of_a_zone_is_told() {
    let chain: String = (0..9).map(|at| format!("c{at} CNAME c{}\n", at + 1)).collect();
    let chain = format!("{chain}c9 A 192.0.2.1");
    let large: String = (0..260).map(|at| format!("l TXT {at:0>255}\n")).collect();
    let rows: &[(&str, &str, &[&str], u32, &str, &str)] = &[
        (
            "RFC 1035 §5.2 another zone's",
            "a.other. A 1.2.3.4",
            &[],
            4,
            "a.other. is not in the zone example.",
            "names below",
        ),
        ("RFC 1035 §5.2 a second SOA", "@ SOA . . 2 2 3 4 300", &[], 4, "a second SOA", "one"),
        (
            "RFC 1035 §5.2 an SOA below",
            "a SOA . . 1 2 3 4 300",
            &[],
            4,
            "not the apex",
            "at the apex",
        ),
        (
            "RFC 1034 §3.6.2 CNAME and more",
            "a CNAME b.other.\na A 1.2.3.4",
            &[],
            4,
            "CNAME at a.example. beside A",
            "alone",
        ),
        (
            "RFC 1034 §3.6.2 CNAME at the apex",
            "@ CNAME b.other.",
            &[],
            4,
            "beside NS, SOA",
            "alone",
        ),
        (
            "RFC 2181 §10.1 two aliases",
            "a CNAME b.other.\na CNAME c.other.",
            &[],
            5,
            "a second CNAME",
            "one",
        ),
        (
            "RFC 2181 §5.2 two TTLs",
            "a 5 A 1.2.3.4\na 6 A 1.2.3.5",
            &[],
            5,
            "TTL 6 where zone:4 a.example. A has 5",
            "one TTL",
        ),
        (
            "RFC 1034 §4.2.1 no glue",
            "sub NS ns.sub",
            &[],
            4,
            "ns.sub.example., which has no address",
            "with A or AAAA",
        ),
        ("RFC 1034 §4.2.1 the cut itself", "sub NS sub", &[], 4, "no address", "with A or AAAA"),
        (
            "RFC 1034 §4.2.1 a server that is not there",
            "@ NS ns",
            &[],
            3,
            "ns.example., which has no address",
            "in this zone",
        ),
        (
            "RFC 2181 §10.3 a server is an alias",
            "@ NS ns\nns CNAME www.other.",
            &[],
            3,
            "an alias",
            "RFC 2181 §10.3",
        ),
        (
            "RFC 2181 §10.3 an exchange is an alias",
            "@ MX 0 m\nm CNAME www.other.",
            &[],
            4,
            "MX at example. names m.example., an alias",
            "addresses",
        ),
        (
            "RFC 2782 a target has no address",
            "s SRV 0 0 1 t\nt TXT x",
            &[],
            4,
            "no address",
            "with A or AAAA",
        ),
        (
            "RFC 1034 §4.2.1 records below a cut",
            "sub NS ns.other.\nx.sub TXT x",
            &[],
            5,
            "TXT at x.sub.example., below the delegation",
            "glue",
        ),
        (
            "RFC 1034 §4.2.1 a cut below a cut",
            "sub NS ns.other.\nx.sub NS ns.other.",
            &[],
            5,
            "NS at x.sub.example., below",
            "glue",
        ),
        (
            "RFC 1034 §4.2.1 records at a cut",
            "sub NS ns.other.\nsub MX 0 m.other.",
            &[],
            5,
            "MX at sub.example., which is delegated",
            "NS, DS",
        ),
        (
            "RFC 4035 §2.4 DS alone",
            "sub DS 1 8 99 ab",
            &[],
            4,
            "where no zone is delegated",
            "beside NS",
        ),
        ("RFC 4035 §2.4 DS at the apex", "@ DS 1 8 99 ab", &[], 4, "the apex", "in the zone above"),
        (
            "RFC 4592 §4.2 NS at a wildcard",
            "*.w NS ns.other.",
            &[],
            4,
            "NS at the wildcard",
            "by name",
        ),
        ("RFC 1034 §3.6.2 in a circle", "a CNAME a", &[], 4, "in a circle", "at most 8"),
        (
            "RFC 4592 §3.3.3 a wildcard in a circle",
            "*.a CNAME x.a",
            &[],
            4,
            "in a circle",
            "at most 8",
        ),
        ("RFC 1034 §3.6.2 too many", &chain, &[], 4, "too far", "at most 8"),
        ("RFC 1035 §4.2.2 too large", &large, &[], 4, "more than 64000 bytes", "smaller"),
        (
            "custom: a route and a record",
            "www A 1.2.3.4",
            &["www.example."],
            4,
            "also what a route",
            "other types",
        ),
        (
            "custom: a route and an alias",
            "www CNAME a.other.",
            &["www.example."],
            4,
            "beside a route",
            "alone",
        ),
        (
            "custom: a route at a cut",
            "sub NS ns.other.",
            &["sub.example."],
            4,
            "and a route or site generates it",
            "another name",
        ),
        (
            "custom: a route below a cut",
            "sub NS ns.other.",
            &["www.sub.example."],
            0,
            "below the delegation",
            "outside of delegations",
        ),
        ("custom: a route elsewhere", "", &["www.other."], 0, "is not in the zone", "names below"),
    ];
    for (row, text, routed, line, what, allowed) in rows {
        let faults = build("example.", &format!("{TOP}{text}"), routed).expect_err(row);
        let found = faults.iter().find(|fault| fault.what.contains(what));
        let fault = found.unwrap_or_else(|| panic!("{row}: {faults:?}"));
        assert_eq!(fault.place.as_ref().map_or(0, |place| place.line), *line, "{row}: {fault}");
        assert!(fault.allowed.contains(allowed), "{row}: {fault}");
    }
    let faults = build("example.", "", &[]).unwrap_err();
    let whats: Vec<_> = faults.iter().map(|fault| fault.what.as_str()).collect();
    assert_eq!(whats, ["the zone example. has no SOA", "the zone example. has no NS"]);
    let text = format!("{TOP}a.other. A 1.2.3.4\nb CNAME b\nc DS 1 8 99 ab\nd NS d\n");
    assert_eq!(build("example.", &text, &[]).unwrap_err().len(), 4, "all at once");
}

#[test]
fn what_is_allowed_is_no_fault() {
    let chain: String = (0..8).map(|at| format!("c{at} CNAME c{}\n", at + 1)).collect();
    let chain = format!("{chain}c8 A 192.0.2.1");
    let rows: &[(&str, &str, &[&str])] = &[
        ("RFC 2181 §5 a record twice", "a A 1.2.3.4\na A 1.2.3.4", &[]),
        ("RFC 1034 §4.2.1 a server below another cut", "a NS ns.b\nb NS ns.b\nns.b A 1.2.3.4", &[]),
        ("RFC 1034 §4.2.1 the cut has the address", "a NS a\na A 1.2.3.4", &[]),
        ("RFC 1034 §4.2.1 a server with AAAA only", "@ NS ns\nns AAAA ::1", &[]),
        ("RFC 4592 §2.1.1 a server under a wildcard", "@ NS ns.w\n*.w A 1.2.3.4", &[]),
        ("RFC 7505 null MX", "a MX 0 .", &[]),
        ("RFC 1034 §3.6.2 eight aliases", &chain, &[]),
        ("custom: a route and other types", "www TXT x\nwww MX 0 .", &["www.example."]),
        ("custom: a route at the apex", "", &["example."]),
        ("custom: a server is a route", "@ NS www", &["www.example."]),
    ];
    for (row, text, routed) in rows {
        let built = build("example.", &format!("{TOP}{text}"), routed);
        assert!(built.is_ok(), "{row}: {built:?}");
    }
    let root = build(".", "$TTL 5\n. SOA . . 1 2 3 4 300\n. NS ns.\nns. A 1.2.3.4", &[]).unwrap();
    assert_eq!(answer(&root, "ns.", RecordType::A), ["NOERROR aa", "an ns. 5 A 01020304"]);
    assert_eq!(answer(&root, "a.b.", RecordType::A)[0], "NXDOMAIN aa", "the root can be served");
    let twice = build("example.", &format!("{TOP}a A 1.2.3.4\na A 1.2.3.4"), &[]).unwrap();
    assert_eq!(answer(&twice, "a.example.", RecordType::A).len(), 2, "RFC 2181 §5");
}
