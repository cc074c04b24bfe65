//! What questions are answered (RFC 1034 §4.3.2).

use super::*;

#[test]
fn lookup_is_that_of_the_rfcs() {
    let zone = build(
        "example.",
        &format!(
            "{TOP}
@ A 192.0.2.1
www A 192.0.2.2
www A 192.0.2.3
a.b.c TXT x
alias CNAME www
alias2 CNAME Alias
out CNAME www.other.
gone CNAME nowhere
alias-mx MX 0 .
toroute CNAME routed
tosub CNAME deep.sub
*.wild A 192.0.2.4
*.wild MX 0 .
x.y.wild TXT x
*.wildalias CNAME www
sub NS ns.sub
sub NS ns2.sub
sub NS www
sub NS ns.other.
sub DS 1 8 99 ab
ns.sub A 192.0.2.5
ns.sub AAAA 2001:db8::5
ns2.sub A 192.0.2.6
"
        ),
        &["routed.example.", "*.routes.example."],
    )
    .unwrap();
    use RecordType as T;
    let nodata = vec!["NOERROR aa".to_owned(), negative("example.")];
    let nxdomain = vec!["NXDOMAIN aa".to_owned(), negative("example.")];
    let referral: Vec<String> = [
        "NOERROR",
        "au sub.example. 600 NS 026e7303737562076578616d706c6500",
        "au sub.example. 600 NS 036e733203737562076578616d706c6500",
        "au sub.example. 600 NS 03777777076578616d706c6500",
        "au sub.example. 600 NS 026e73056f7468657200",
        "ad ns.sub.example. 600 A c0000205",
        "ad ns.sub.example. 600 AAAA 20010db8000000000000000000000005",
        "ad ns2.sub.example. 600 A c0000206",
        "ad www.example. 600 A c0000202",
        "ad www.example. 600 A c0000203",
    ]
    .map(str::to_owned)
    .into();
    let own = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let www =
        |owner: &str| [format!("an {owner} 600 A c0000202"), format!("an {owner} 600 A c0000203")];
    let alias = |owner: &str| format!("an {owner} 600 CNAME 03777777076578616d706c6500");
    let rows: Vec<(&str, &str, T, Vec<String>)> = vec![
        (
            "RFC 1034 §4.3.2 3a exact",
            "www.example.",
            T::A,
            [own(&["NOERROR aa"]), www("www.example.").into()].concat(),
        ),
        (
            "RFC 4343 §4.1 case is kept",
            "wWw.EXAMPLE.",
            T::A,
            [own(&["NOERROR aa"]), www("wWw.EXAMPLE.").into()].concat(),
        ),
        (
            "RFC 1034 §4.3.2 the apex",
            "example.",
            T::A,
            own(&["NOERROR aa", "an example. 600 A c0000201"]),
        ),
        (
            "RFC 1034 §4.3.2 NS of the apex",
            "example.",
            T::NS,
            own(&["NOERROR aa", "an example. 600 NS 026e73056f7468657200"]),
        ),
        (
            "RFC 1035 §3.3.13 the SOA itself",
            "example.",
            T::SOA,
            own(&["NOERROR aa", &format!("an example. 600 {SOA}")]),
        ),
        ("RFC 2308 §2.2 no such type", "www.example.", T::AAAA, nodata.clone()),
        ("RFC 2308 §2.1 no such name", "nope.example.", T::A, nxdomain.clone()),
        ("RFC 2308 §2.1 below a name", "a.www.example.", T::A, nxdomain.clone()),
        ("RFC 2308 §2.1 far below", "1.2.3.4.5.6.7.8.9.www.example.", T::A, nxdomain.clone()),
        ("RFC 4592 §2.2.2 empty non-terminal", "c.example.", T::A, nodata.clone()),
        ("RFC 4592 §2.2.2 and another", "b.c.example.", T::TXT, nodata.clone()),
        (
            "RFC 4592 §2.2.2 its end",
            "a.b.c.example.",
            T::TXT,
            own(&["NOERROR aa", "an a.b.c.example. 600 TXT 0178"]),
        ),
        ("RFC 8020 §2 beside it", "x.b.c.example.", T::TXT, nxdomain.clone()),
        (
            "RFC 1034 §3.6.2 alias",
            "alias.example.",
            T::A,
            [own(&["NOERROR aa", &alias("alias.example.")]), www("www.example.").into()].concat(),
        ),
        (
            "RFC 1034 §3.6.2 asked for",
            "alias.example.",
            T::CNAME,
            own(&["NOERROR aa", &alias("alias.example.")]),
        ),
        (
            "RFC 1034 §3.6.2 two",
            "alias2.example.",
            T::A,
            [
                own(&[
                    "NOERROR aa",
                    "an alias2.example. 600 CNAME 05416c696173076578616d706c6500",
                    &alias("Alias.example."),
                ]),
                www("www.example.").into(),
            ]
            .concat(),
        ),
        (
            "RFC 2308 §2.2 alias, no such type",
            "alias.example.",
            T::MX,
            own(&["NOERROR aa", &alias("alias.example."), &negative("example.")]),
        ),
        (
            "RFC 6604 §3 alias to no name",
            "gone.example.",
            T::A,
            own(&[
                "NXDOMAIN aa",
                "an gone.example. 600 CNAME 076e6f7768657265076578616d706c6500",
                &negative("example."),
            ]),
        ),
        (
            "RFC 1034 §4.3.2 3a out of the zone",
            "out.example.",
            T::A,
            own(&["NOERROR aa", "an out.example. 600 CNAME 03777777056f7468657200"]),
        ),
        (
            "custom: alias to a route",
            "toroute.example.",
            T::A,
            own(&[
                "NOERROR aa",
                "an toroute.example. 600 CNAME 06726f75746564076578616d706c6500",
                "route 0 at routed.example.",
            ]),
        ),
        (
            "RFC 1034 §4.3.2 3b alias into a cut",
            "tosub.example.",
            T::A,
            [
                own(&[
                    "NOERROR aa",
                    "an tosub.example. 600 CNAME 046465657003737562076578616d706c6500",
                ]),
                referral[1..].to_vec(),
            ]
            .concat(),
        ),
        (
            "RFC 4592 §3.3.1 wildcard",
            "a.wild.example.",
            T::A,
            own(&["NOERROR aa", "an a.wild.example. 600 A c0000204"]),
        ),
        (
            "RFC 4592 §3.3.1 several labels",
            "a.b.wild.example.",
            T::A,
            own(&["NOERROR aa", "an a.b.wild.example. 600 A c0000204"]),
        ),
        ("RFC 4592 §2.2.1 no such type", "a.wild.example.", T::TXT, nodata.clone()),
        ("RFC 4592 §2.2.1 not for itself's parent", "wild.example.", T::A, nodata.clone()),
        (
            "RFC 4592 §2.2.1 the name itself",
            "*.wild.example.",
            T::A,
            own(&["NOERROR aa", "an *.wild.example. 600 A c0000204"]),
        ),
        ("RFC 4592 §2.2.1 an existing name", "x.y.wild.example.", T::A, nodata.clone()),
        ("RFC 4592 §2.2.2 an empty non-terminal", "y.wild.example.", T::A, nodata.clone()),
        ("RFC 4592 §3.3.1 a closer encloser", "z.y.wild.example.", T::A, nxdomain.clone()),
        ("RFC 4592 §3.3.1 below an existing name", "q.x.y.wild.example.", T::A, nxdomain.clone()),
        ("RFC 4592 §2.3 an asterisk within", "a.*.wild.example.", T::A, nxdomain.clone()),
        (
            "RFC 4592 §3.3.3 wildcard alias",
            "q.wildalias.example.",
            T::A,
            [own(&["NOERROR aa", &alias("q.wildalias.example.")]), www("www.example.").into()]
                .concat(),
        ),
        (
            "custom: a route",
            "routed.example.",
            T::A,
            own(&["NOERROR aa", "route 0 at the question"]),
        ),
        (
            "custom: a route, another type",
            "routed.example.",
            T::HTTPS,
            own(&["NOERROR aa", "route 0 at the question"]),
        ),
        ("custom: a route, no such type", "routed.example.", T::AAAA, nodata.clone()),
        (
            "custom: a route under a wildcard",
            "x.routes.example.",
            T::A,
            own(&["NOERROR aa", "route 1 at the question"]),
        ),
        ("custom: the same, no such type", "x.routes.example.", T::TXT, nodata.clone()),
        ("RFC 1034 §4.3.2 3b at a cut", "sub.example.", T::A, referral.clone()),
        ("RFC 1034 §4.3.2 3b NS at a cut", "sub.example.", T::NS, referral.clone()),
        ("RFC 1034 §4.3.2 3b below a cut", "x.y.sub.example.", T::A, referral.clone()),
        ("RFC 1034 §4.3.2 3b glue is not ours", "ns.sub.example.", T::A, referral.clone()),
        (
            "RFC 4035 §3.1.4.1 DS at a cut",
            "sub.example.",
            T::DS,
            own(&["NOERROR aa", "an sub.example. 600 DS 00010863ab"]),
        ),
        ("RFC 4035 §3.1.4.1 DS below a cut", "x.sub.example.", T::DS, referral.clone()),
        ("RFC 4035 §3.1.4.1 DS at the apex", "example.", T::DS, nodata.clone()),
        (
            "RFC 8482 §4.2 ANY",
            "www.example.",
            T::ANY,
            own(&["NOERROR aa", "an www.example. 3600 HINFO 075246433834383200"]),
        ),
        (
            "RFC 8482 §4.2 ANY at a route",
            "routed.example.",
            T::ANY,
            own(&["NOERROR aa", "an routed.example. 3600 HINFO 075246433834383200"]),
        ),
        (
            "RFC 8482 §4.2 ANY at an alias",
            "alias.example.",
            T::ANY,
            own(&["NOERROR aa", &alias("alias.example.")]),
        ),
        (
            "RFC 8482 §4.2 ANY under a wildcard",
            "a.wild.example.",
            T::ANY,
            own(&["NOERROR aa", "an a.wild.example. 3600 HINFO 075246433834383200"]),
        ),
        ("RFC 8482 §4 ANY at nothing", "c.example.", T::ANY, nodata.clone()),
        ("RFC 8482 §4 ANY at no name", "nope.example.", T::ANY, nxdomain),
        ("RFC 8482 §4 ANY at a cut", "sub.example.", T::ANY, referral.clone()),
        ("RFC 3597 §3 an unknown type", "www.example.", RecordType(65280), nodata),
    ];
    for (row, qname, rtype, expected) in rows {
        assert_eq!(answer(&zone, qname, rtype), expected, "{row}");
    }
    assert_eq!((zone.serial(), zone.apex().to_string()), (7, "example.".to_owned()));
}

#[test]
fn negative_answers_are_kept_no_longer_than_allowed() {
    let rows = [
        ("RFC 2308 §5 the minimum", 600, 30, 60, 30),
        ("RFC 2308 §5 the SOA's own TTL", 20, 30, 60, 20),
        ("custom: the operator's limit", 600, 300, 60, 60),
        ("custom: a larger limit", 600, 300, 900, 300),
        ("RFC 2308 §5 zero", 600, 0, 60, 0),
    ];
    for (row, ttl, minimum, negative_ttl_max, expected) in rows {
        let text = format!("@ {ttl} SOA . . 1 2 3 4 {minimum}\n@ 600 NS ns.other.\n");
        let settings = ZoneSettings { negative_ttl_max, any_ttl: 0 };
        let records = records("example.", &text);
        let zone = Zone::build(&name("example."), &records, &routes(&[]), 7, settings).unwrap();
        assert_eq!(zone.negative().ttl(), expected, "{row}");
        let positive = zone.lookup(&Folded::of(zone.apex()), RecordType::SOA);
        let End::Data { set, .. } = positive.end else { panic!("{row}") };
        assert_eq!(set.ttl(), ttl, "{row}: the SOA that is asked for keeps its own");
    }
}

#[test]
fn glue_that_is_needed_makes_a_referral_truncated() {
    let many = |count: usize, target: &str| -> String {
        (0..count)
            .map(|at| {
                let server = target.replace('#', &format!("server-{at}"));
                format!("sub NS {server}\n{server} AAAA 2001:db8::{at}\n")
            })
            .collect()
    };
    let inside = build("example.", &format!("{TOP}{}", many(12, "#.sub")), &[]).unwrap();
    let beside = build("example.", &format!("{TOP}{}", many(12, "#")), &[]).unwrap();
    let truncated = vec!["NOERROR tc".to_owned()];
    assert_eq!(
        answer_within(&inside, "sub.example.", RecordType::A, 512),
        truncated,
        "RFC 9471 §3.1"
    );
    assert_eq!(answer_within(&inside, "sub.example.", RecordType::A, 1232).len(), 25);
    let partly = answer_within(&beside, "sub.example.", RecordType::A, 512);
    assert!(
        partly[0] == "NOERROR" && partly.len() > 13 && partly.len() < 25,
        "RFC 9471 §3.2: {partly:?}"
    );
}

#[test]
fn the_longest_zone_answers() {
    let zone =
        |apex: &str, text: &str| Arc::new(build(apex, &format!("{TOP}{text}"), &[]).unwrap());
    let upper = zone("Example.", "sub NS ns.other.\nsub DS 1 8 99 ab\nbelow NS ns.other.");
    let zones = Zones::new([
        Arc::clone(&upper),
        zone("sub.example.", ""),
        zone("b.test.", ""),
        zone("undelegated.example.", ""),
        zone("a.undelegated.example.", ""),
        zone("deep.below.example.", ""),
    ])
    .unwrap();
    let rows: &[(&str, &str, RecordType, Option<&str>)] = &[
        ("RFC 1034 §4.3.2 step 2", "a.example.", RecordType::A, Some("Example.")),
        ("RFC 4343 §3 any case", "EXAMPLE.", RecordType::A, Some("Example.")),
        ("RFC 1034 §4.3.2 the longest", "a.b.sub.example.", RecordType::A, Some("sub.example.")),
        ("RFC 1034 §4.3.2 its apex", "sub.example.", RecordType::A, Some("sub.example.")),
        ("RFC 4035 §3.1.4.1 DS above", "sub.example.", RecordType::DS, Some("Example.")),
        ("RFC 4035 §3.1.4.1 DS within", "a.sub.example.", RecordType::DS, Some("sub.example.")),
        ("RFC 4035 §3.1.4.1 DS, nothing above", "example.", RecordType::DS, Some("Example.")),
        (
            "RFC 8020 §2 DS, no cut",
            "undelegated.example.",
            RecordType::DS,
            Some("undelegated.example."),
        ),
        (
            "RFC 8020 §2 DS, no cut",
            "a.undelegated.example.",
            RecordType::DS,
            Some("a.undelegated.example."),
        ),
        (
            "RFC 8020 §2 DS, below a cut",
            "deep.below.example.",
            RecordType::DS,
            Some("deep.below.example."),
        ),
        ("RFC 4035 §3.1.4.1 DS, no apex", "nope.example.", RecordType::DS, Some("Example.")),
        ("RFC 1034 §4.3.2 none", "test.", RecordType::A, None),
        ("RFC 1034 §4.3.2 labels, not bytes", "xexample.", RecordType::A, None),
        ("RFC 1034 §4.3.2 the root", ".", RecordType::NS, None),
    ];
    for (row, qname, rtype, expected) in rows {
        let found =
            zones.find(&Folded::of(name(qname).as_ref()), *rtype).and_then(|id| zones.zone(id));
        let apex = found.map(|zone| zone.apex().to_string());
        assert_eq!(apex.as_deref(), *expected, "{row}");
    }
    assert_eq!(zones.iter().count(), 6);
    let twins = Zones::new([Arc::clone(&upper), zone("example.", "")]).unwrap_err();
    assert!(twins[0].what.contains("two zones are called"), "{twins:?}");
    let hidden =
        Zones::new([zone("example.", "sub A 1.2.3.4"), zone("sub.example.", "")]).unwrap_err();
    assert!(
        hidden[0].what.contains("sub.example. is a zone, and a name with records"),
        "{hidden:?}"
    );
}
