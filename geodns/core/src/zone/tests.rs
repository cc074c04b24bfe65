//! Zone tables; each row names its clause.
#![expect(
    clippy::too_many_lines,
    clippy::type_complexity,
    clippy::arithmetic_side_effects,
    reason = "long tables of rows, small numbers"
)]

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{
    wire::{
        dump::dump,
        name::Folded,
        query::{Decoded, decode},
        response::{Carrier, Opt, Owner, Response},
    },
    zonefile::{self, Record, fault::Fault},
};

fn name(text: &str) -> Name {
    Name::parse(text.as_bytes(), None).unwrap()
}

fn records(apex: &str, text: &str) -> Vec<Record> {
    let mut load = |_: &str, _: &str| Err(String::new());
    zonefile::read("zone", text.as_bytes(), &name(apex), &mut load).unwrap()
}

/// Routes for A and HTTPS at these names.
fn routes(names: &[&str]) -> GeneratedNames {
    let types = BTreeSet::from([RecordType::A, RecordType::HTTPS]);
    let generated =
        |at: usize| Generated { route: RouteId::new(at).unwrap(), types: types.clone() };
    names.iter().enumerate().map(|(at, text)| (name(text), generated(at))).collect()
}

fn build(apex: &str, text: &str, routed: &[&str]) -> Result<Zone, Vec<Fault>> {
    let settings = ZoneSettings { negative_ttl_max: 60, any_ttl: 3600 };
    Zone::build(&name(apex), &records(apex, text), &routes(routed), 7, settings)
}

/// A query with a question and an OPT record of this size.
fn query(qname: &str, rtype: RecordType, size: u16) -> Vec<u8> {
    let mut message = b"\0\0\0\0\0\x01\0\0\0\0\0\x01".to_vec();
    message.extend(name(qname).as_ref().wire());
    message.extend([rtype.0.to_be_bytes(), [0, 1]].concat());
    message.extend([b"\0\0\x29".as_slice(), &size.to_be_bytes(), &[0; 6]].concat());
    message
}

/// What a question is answered: code, flags, and records without the question's owner and OPT.
fn answer(zone: &Zone, qname: &str, rtype: RecordType) -> Vec<String> {
    answer_within(zone, qname, rtype, 1232)
}

fn answer_within(zone: &Zone, qname: &str, rtype: RecordType, size: u16) -> Vec<String> {
    let message = query(qname, rtype, size);
    let Decoded::Asked(query) = decode(&message) else { panic!("not a query") };
    let mut buffer = [0; 4096];
    let carrier = Carrier::Datagram { bytes_max: 1232 };
    let mut response = Response::begin(&mut buffer, &query, carrier).unwrap();
    let found = zone.lookup(&Folded::of(query.question.unwrap().name), rtype);
    let rcode = found.write(&mut response);
    let opt = query.edns.map(|edns| Opt::reply_to(&edns));
    let length = response.finish(rcode, opt.as_ref()).bytes;
    let route = if let End::Route { owner, route } = found.end {
        Some(match owner {
            Owner::Question => format!("route {} at the question", route.index()),
            Owner::Name(name) => format!("route {} at {name}", route.index()),
        })
    } else {
        None
    };
    let aa = if buffer[2] & 4 == 0 { "" } else { " aa" };
    let tc = if buffer[2] & 2 == 0 { "" } else { " tc" };
    let lines = dump(&buffer[..length]);
    let shown = lines.iter().skip(2).filter(|line| !line.contains(" OPT "));
    std::iter::once(format!("{}{aa}{tc}", rcode.as_str()))
        .chain(shown.cloned())
        .chain(route)
        .collect()
}

/// An SOA with mailbox and server at the root, minimum 300, and two servers outside.
const TOP: &str = "$TTL 600\n@ SOA . . 1 2 3 4 300\n@ NS ns.other.\n";
/// Its data with serial 7, as it goes with negative answers.
const SOA: &str = "SOA 0000000000070000000200000003000000040000012c";

fn negative(apex: &str) -> String {
    format!("au {apex} 60 {SOA}")
}

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

/// What a zone says by the algorithm of RFC 1034 §4.3.2, label by label, over bare records.
fn told(
    records: &[Record],
    apex: NameRef<'_>,
    qname: &Name,
    rtype: RecordType,
    depth: usize,
) -> String {
    let at = |name: NameRef<'_>, rtype: RecordType| {
        records.iter().find(|record| record.owner.as_ref() == name && record.rtype == rtype)
    };
    let exists =
        |name: NameRef<'_>| records.iter().any(|record| record.owner.as_ref().is_within(name));
    let mut ancestors: Vec<_> =
        qname.as_ref().ancestry().take_while(|name| name.is_within(apex)).collect();
    ancestors.reverse();
    let cut = ancestors.iter().skip(1).find(|name| at(**name, RecordType::NS).is_some());
    if let Some(cut) = cut
        && !(rtype == RecordType::DS && *cut == qname.as_ref())
    {
        return format!("referral {}", Folded::of(*cut).as_ref());
    }
    let source = if exists(qname.as_ref()) {
        qname.clone()
    } else {
        let encloser = ancestors.iter().rev().find(|name| exists(**name)).unwrap();
        let source = Name::from_wire(&[b"\x01*", encloser.wire()].concat()).unwrap();
        if !exists(source.as_ref()) {
            return "nxdomain".into();
        }
        source
    };
    if at(source.as_ref(), rtype).is_some() {
        return format!("data {rtype} {}", Folded::of(source.as_ref()).as_ref());
    }
    let alias = at(source.as_ref(), RecordType::CNAME);
    match alias.map(|alias| Name::from_wire(&alias.data).unwrap()) {
        None => "nodata".into(),
        Some(_) if depth == CHAIN_MAX => "too long".into(),
        Some(target) if !target.as_ref().is_within(apex) => "outside".into(),
        Some(target) => told(records, apex, &target, rtype, depth + 1),
    }
}

fn said(zone: &Zone, qname: &Name, rtype: RecordType) -> String {
    let found = zone.lookup(&Folded::of(qname.as_ref()), rtype);
    match found.end {
        End::Data { set, .. } => format!("data {} {}", set.rtype(), source(set)),
        End::NoData => "nodata".into(),
        End::NxDomain => "nxdomain".into(),
        End::Referral(cut) => format!("referral {}", Folded::of(cut.owner.as_ref()).as_ref()),
        End::Outside => "outside".into(),
        End::TooLong => "too long".into(),
        End::Any { .. } | End::Route { .. } => "generated".into(),
    }
}

/// Where a TXT record of the test below says that it stands.
fn source(set: &Rrset) -> String {
    let data = set.data().next().unwrap();
    NameRef::read(&data[1..]).unwrap().0.to_string()
}

fn any_name() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "B", "c", "*"]), 0..5).prop_map(|labels| {
        labels.iter().map(|label| format!("{label}.")).collect::<String>() + "example."
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn lookup_agrees_with_the_rfc_word_by_word(
        texts in prop::collection::btree_set(any_name(), 0..6),
        aliases in prop::collection::btree_map(any_name(), any_name(), 0..4),
        cuts in prop::collection::btree_set(any_name(), 0..2),
        questions in prop::collection::vec(any_name(), 1..12),
    ) {
        let mut records = records("example.", TOP);
        let place = records[0].place.clone();
        let mut add = |owner: &str, rtype, data: Vec<u8>| records.push(Record {
            owner: name(owner), rtype, ttl: 600, data: data.into(), place: place.clone(),
        });
        for owner in &texts {
            // The data says where it stands: a text that is a name in wire form.
            let owned = Folded::of(name(owner).as_ref());
            let wire = owned.as_ref().wire();
            add(owner, RecordType::TXT, [&[u8::try_from(wire.len()).unwrap()], wire].concat());
        }
        for (owner, target) in &aliases {
            add(owner, RecordType::CNAME, name(target).as_ref().wire().to_vec());
        }
        for owner in &cuts {
            add(owner, RecordType::NS, name("ns.other.").as_ref().wire().to_vec());
        }
        let apex = name("example.");
        let built = Zone::build(&apex, &records, &routes(&[]), 7, ZoneSettings::default());
        if let Ok(zone) = built {
            for question in questions {
                for rtype in [RecordType::TXT, RecordType::A] {
                    let question = name(&question);
                    let expected = told(&records, apex.as_ref(), &question, rtype, 0);
                    prop_assert_eq!(said(&zone, &question, rtype), expected, "{} {}", question, rtype);
                }
            }
        }
    }
}
