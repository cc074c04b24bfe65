//! Response tables; each row names its clause.
#![expect(clippy::type_complexity, reason = "rows of tables")]

use proptest::prelude::*;

use super::*;
use crate::wire::{
    dump::dump,
    edns::{ExtendedError, ExtendedErrorCode},
    name::Name,
    query::{Decoded, decode},
};

const DATAGRAM: Carrier = Carrier::Datagram { bytes_max: UDP_BYTES_MAX };
const QUESTION: &[u8] = b"\x03wWw\x03cdn\x04test\0\0\x01\0\x01";

/// A query for `wWw.cdn.test. A`, with an OPT record of this size and these options.
fn query(opt: Option<(u16, &[u8])>) -> Vec<u8> {
    let mut message = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0".to_vec();
    message.extend(QUESTION);
    if let Some((size, options)) = opt {
        message[11] = 1;
        message.extend([b"\0\0\x29".as_slice(), &size.to_be_bytes(), &[0, 0, 0x80, 0]].concat());
        message.extend(u16::try_from(options.len()).unwrap().to_be_bytes());
        message.extend(options);
    }
    message
}

fn asked(message: &[u8]) -> Query<'_> {
    let Decoded::Asked(query) = decode(message) else { panic!("not a query") };
    query
}

fn name(text: &str) -> Name {
    Name::parse(text.as_bytes(), None).unwrap()
}

fn set(rtype: RecordType, data: &[&[u8]]) -> Rrset {
    Rrset::encode(rtype, 300, data.iter().copied()).unwrap()
}

fn texts(count: usize, length: usize) -> Rrset {
    let data = vec![0; length];
    Rrset::encode(RecordType::TXT, 300, std::iter::repeat_n(data.as_slice(), count)).unwrap()
}

fn write(
    message: &[u8],
    carrier: Carrier,
    rcode: Rcode,
    fill: impl FnOnce(&mut Response<'_>),
) -> Vec<u8> {
    let query = asked(message);
    let mut buffer = vec![0xaa; 65_535];
    let mut response = Response::begin(&mut buffer, &query, carrier).unwrap();
    fill(&mut response);
    let opt = query.edns.map(|edns| Opt::reply_to(&edns));
    let length = response.finish(rcode, opt.as_ref()).bytes;
    buffer.truncate(length);
    buffer
}

#[test]
fn the_question_goes_back_as_it_came() {
    let message = query(None);
    let a = set(RecordType::A, &[&[192, 0, 2, 1], &[192, 0, 2, 2]]);
    let response = write(&message, DATAGRAM, Rcode::NoError, |response| {
        response.set_authoritative();
        response.add_for(Section::Answer, Owner::Question, &a, 30);
    });
    assert_eq!(&response[12..30], QUESTION, "RFC 1035 §4.1.2, in the client's case");
    assert_eq!(
        dump(&response),
        [
            "1234 8500",
            "? wWw.cdn.test. 1 A",
            "an wWw.cdn.test. 30 A c0000201",
            "an wWw.cdn.test. 30 A c0000202",
        ]
    );
}

#[test]
fn other_owners_are_compressed() {
    let message = query(None);
    let edge = name("edge.other.example.");
    let cname = set(RecordType::CNAME, &[edge.as_ref().wire()]);
    let a = set(RecordType::A, &[&[192, 0, 2, 1], &[192, 0, 2, 2]]);
    let (ns1, ns2) = (name("ns.other.example."), name("a.ns.CDN.test."));
    let ns = set(RecordType::NS, &[ns1.as_ref().wire(), ns2.as_ref().wire()]);
    let response = write(&message, DATAGRAM, Rcode::NoError, |response| {
        response.add(Section::Answer, Owner::Question, &cname);
        response.add(Section::Answer, Owner::Name(edge.as_ref()), &a);
        response.add(Section::Authority, Owner::Name(name("other.example.").as_ref()), &ns);
        response.add(Section::Additional, Owner::Name(ns1.as_ref()), &a);
        response.add(Section::Additional, Owner::Name(ns2.as_ref()), &a);
        response.add_optional(Owner::Name(name("q.ns.other.example.").as_ref()), &a);
        response.add_optional(Owner::Name(name("unrelated.").as_ref()), &a);
    });
    assert_eq!(
        dump(&response),
        [
            "1234 8100",
            "? wWw.cdn.test. 1 A",
            "an wWw.cdn.test. 300 CNAME 0465646765056f74686572076578616d706c6500",
            "an edge.other.example. 300 A c0000201",
            "an edge.other.example. 300 A c0000202",
            "au other.example. 300 NS 026e73056f74686572076578616d706c6500",
            "au other.example. 300 NS 0161026e730343444e047465737400",
            "ad ns.other.example. 300 A c0000201",
            "ad ns.other.example. 300 A c0000202",
            "ad a.ns.CDN.test. 300 A c0000201",
            "ad a.ns.CDN.test. 300 A c0000202",
            "ad q.ns.other.example. 300 A c0000201",
            "ad q.ns.other.example. 300 A c0000202",
            "ad unrelated. 300 A c0000201",
            "ad unrelated. 300 A c0000202",
        ]
    );
    let written = response.windows(5).filter(|at| at.eq_ignore_ascii_case(b"other")).count();
    assert_eq!(written, 2, "RFC 1035 §4.1.4: only in data, which is encoded ahead");
}

#[test]
fn what_does_not_fit_is_asked_again() {
    let whole = |message: &[u8], carrier, count| {
        let texts = texts(count, 100);
        let add =
            |response: &mut Response<'_>| response.add(Section::Answer, Owner::Question, &texts);
        let response = write(message, carrier, Rcode::NoError, add);
        let lines = dump(&response);
        let records = lines.iter().filter(|line| line.starts_with("an")).count();
        (records, response[2] & 2 != 0, response.len())
    };
    // 30 bytes of header and question, 112 per record, 11 of OPT.
    let rows: &[(&str, Option<u16>, Carrier, usize, (usize, bool, usize))] = &[
        ("RFC 1035 §4.2.1 512 fit", None, DATAGRAM, 4, (4, false, 478)),
        ("RFC 1035 §4.2.1 more do not", None, DATAGRAM, 5, (0, true, 30)),
        ("RFC 6891 §6.2.3 less than 512", Some(0), DATAGRAM, 4, (4, false, 489)),
        ("RFC 6891 §6.2.3 the client's size", Some(1000), DATAGRAM, 8, (8, false, 937)),
        ("RFC 6891 §6.2.3 and no more", Some(1000), DATAGRAM, 9, (0, true, 41)),
        ("RFC 6891 §6.2.5 our limit", Some(4096), DATAGRAM, 10, (10, false, 1161)),
        ("RFC 6891 §6.2.5 and no more", Some(4096), DATAGRAM, 11, (0, true, 41)),
        (
            "RFC 6891 §6.2.5 a limit below 512",
            None,
            Carrier::Datagram { bytes_max: 99 },
            4,
            (4, false, 478),
        ),
        ("RFC 1035 §4.2.2 a stream", None, Carrier::Stream, 500, (500, false, 56030)),
        ("RFC 1035 §4.2.2 not by EDNS", Some(512), Carrier::Stream, 50, (50, false, 5641)),
        ("RFC 1035 §4.2.2 16 bits", Some(512), Carrier::Stream, 571, (571, false, 63993)),
    ];
    for (row, size, carrier, count, expected) in rows {
        let message = query(size.map(|size| (size, &[][..])));
        assert_eq!(whole(&message, *carrier, *count), *expected, "{row}");
    }
    let message = query(None);
    let large = texts(570, 100);
    let twice = write(&message, Carrier::Stream, Rcode::NoError, |response| {
        response.add(Section::Answer, Owner::Question, &large);
        response.add(Section::Authority, Owner::Question, &large);
    });
    assert_eq!(dump(&twice), ["1234 8300", "? wWw.cdn.test. 1 A"], "RFC 2181 §9");
}

#[test]
fn opt_counts_when_it_is_decided_what_fits() {
    let message = query(Some((600, &[])));
    let most = texts(5, 99);
    let response = write(&message, DATAGRAM, Rcode::NoError, |response| {
        response.add(Section::Answer, Owner::Question, &most);
    });
    assert_eq!(response.len(), 596, "585 without OPT");
    let exact = query(Some((596, &[])));
    let response = write(&exact, DATAGRAM, Rcode::NoError, |response| {
        response.add(Section::Answer, Owner::Question, &most);
    });
    assert_eq!((response.len(), response[2] & 2), (596, 0), "RFC 6891 §6.2.3 to the last byte");
    let more = texts(5, 100);
    let response = write(&message, DATAGRAM, Rcode::NoError, |response| {
        response.add(Section::Answer, Owner::Question, &more);
    });
    assert_eq!(dump(&response).len(), 3, "RFC 6891 §7: OPT stays, the answer goes");
    assert_eq!(response[2] & 2, 2);
}

#[test]
fn additional_records_are_left_out_where_nobody_needs_them() {
    let message = query(None);
    let (most, small) = (texts(4, 100), texts(1, 20));
    let glue = |needed: bool| {
        let set = texts(1, 100);
        let response = write(&message, DATAGRAM, Rcode::NoError, |response| {
            response.add(Section::Authority, Owner::Question, &most);
            if needed {
                response.add(Section::Additional, Owner::Question, &set);
            } else {
                response.add_optional(Owner::Question, &set);
                response.add_optional(Owner::Question, &small);
            }
        });
        (dump(&response).len() - 2, response[2] & 2 != 0)
    };
    assert_eq!(glue(false), (5, false), "RFC 2181 §9: what fits stays");
    assert_eq!(glue(true), (0, true), "RFC 9471 §3: glue is needed");
    let message = query(Some((512, &[])));
    let fills = texts(1, 9);
    let response = write(&message, DATAGRAM, Rcode::NoError, |response| {
        response.add(Section::Answer, Owner::Question, &most);
        response.add_optional(Owner::Question, &fills);
        response.add_optional(Owner::Question, &texts(1, 0));
    });
    let lines = dump(&response);
    assert_eq!((lines.len(), response[2] & 2), (8, 0), "RFC 6891 §7: room for OPT: {lines:?}");
    let query = asked(&message);
    let mut buffer = [0; 512];
    let mut response = Response::begin(&mut buffer, &query, DATAGRAM).unwrap();
    response.add(Section::Answer, Owner::Question, &most);
    response.add_optional(Owner::Question, &fills);
    let opt = Opt { nsid: Some(b"fra-1"), ..Opt::reply_to(&query.edns.unwrap()) };
    let length = response.finish(Rcode::NoError, Some(&opt)).bytes;
    let lines = dump(&buffer[..length]);
    assert_eq!((lines.len(), buffer[2] & 2), (7, 0), "RFC 6891 §7: OPT before them: {lines:?}");
}

#[test]
fn a_response_can_be_emptied_on_purpose() {
    let message = query(Some((512, &[])));
    let a = set(RecordType::A, &[&[192, 0, 2, 1]]);
    let response = write(&message, DATAGRAM, Rcode::NoError, |response| {
        response.add(Section::Answer, Owner::Question, &a);
        response.truncate();
        response.add(Section::Authority, Owner::Question, &a);
        response.add_optional(Owner::Question, &a);
    });
    let expected = ["1234 8300", "? wWw.cdn.test. 1 A", "ad . 1232 00008000 OPT "];
    assert_eq!(dump(&response), expected);
}

#[test]
fn opt_says_what_it_is_given() {
    let ecs: &[u8] = b"\0\x08\0\x07\0\x01\x18\0\xcb\0\x71";
    let message = query(Some((4096, ecs)));
    let query = asked(&message);
    let edns = query.edns.unwrap();
    let basic = Opt::reply_to(&edns);
    let cookie = *b"clientcookieserverserver";
    let error = ExtendedError { code: ExtendedErrorCode::NotAuthoritative, text: "why" };
    let long = vec![b'n'; 1300];
    let rows: &[(&str, Opt<'_>, Rcode, &str)] = &[
        (
            "RFC 7871 §7.2.1 scope 0",
            basic,
            Rcode::NoError,
            "ad . 1232 00008000 OPT 0008000700011800cb0071",
        ),
        (
            "RFC 7871 §7.2.1 a scope",
            Opt { ecs: edns.ecs.map(|ecs| (ecs, 20)), ..basic },
            Rcode::NoError,
            "ad . 1232 00008000 OPT 0008000700011814cb0071",
        ),
        (
            "RFC 6891 §6.1.3 BADVERS",
            Opt { ecs: None, ..basic },
            Rcode::BadVers,
            "ad . 1232 01008000 OPT ",
        ),
        (
            "RFC 7873 §5.2 a cookie",
            Opt { ecs: None, cookie: Some(cookie), ..basic },
            Rcode::BadCookie,
            "ad . 1232 01008000 OPT 000a0018636c69656e74636f6f6b6965736572766572736572766572",
        ),
        (
            "RFC 5001 §2.3",
            Opt { ecs: None, nsid: Some(b"fra-1"), ..basic },
            Rcode::NoError,
            "ad . 1232 00008000 OPT 000300056672612d31",
        ),
        (
            "RFC 8914 §2",
            Opt { ecs: None, error: Some(error), dnssec_ok: false, ..basic },
            Rcode::Refused,
            "ad . 1232 00000000 OPT 000f00050014776879",
        ),
        (
            "RFC 6891 §6.2.5 what does not fit is left out",
            Opt { nsid: Some(&long), ..basic },
            Rcode::NoError,
            "ad . 1232 00008000 OPT 0008000700011800cb0071",
        ),
    ];
    for (row, opt, rcode, expected) in rows {
        let mut buffer = [0; 1400];
        let response = Response::begin(&mut buffer, &query, DATAGRAM).unwrap();
        let length = response.finish(*rcode, Some(opt)).bytes;
        let lines = dump(&buffer[..length]);
        assert_eq!(lines.last().map(String::as_str), Some(*expected), "{row}");
        let code = u16::from(buffer[3] & 0x0f);
        assert_eq!(code, rcode.code() & 0x0f, "{row}");
    }
}

#[test]
fn padding_fills_a_block_and_never_more_than_fits() {
    let padded = b"\0\x0c\0\0".as_slice();
    let rows: &[(&str, u16, &[u8], Carrier, usize, usize)] = &[
        ("RFC 8467 §4.1 a block", 4096, padded, Carrier::Stream, 100, 468),
        ("RFC 8467 §4.1 two", 4096, padded, Carrier::Stream, 500, 936),
        ("RFC 8467 §4.1 exactly one", 4096, padded, Carrier::Stream, 468 - 30 - 12 - 11 - 4, 468),
        ("RFC 8467 §4.1 one byte more", 4096, padded, Carrier::Stream, 468 - 30 - 12 - 11 - 3, 936),
        ("RFC 7830 §4 the client's size", 1232, padded, DATAGRAM, 1000, 1232),
        ("RFC 7830 §4 no room", 1232, padded, DATAGRAM, 1232 - 30 - 12 - 11 - 3, 1229),
        ("RFC 7830 §4 not asked for", 4096, b"", Carrier::Stream, 100, 153),
    ];
    for (row, size, options, carrier, length, expected) in rows {
        let message = query(Some((*size, options)));
        let query = asked(&message);
        let edns = query.edns.unwrap();
        let mut buffer = [0xaa; 2000];
        let mut response = Response::begin(&mut buffer, &query, *carrier).unwrap();
        response.add(Section::Answer, Owner::Question, &texts(1, *length));
        let opt = Opt::reply_to(&edns).padded_like(&edns);
        let written = response.finish(Rcode::NoError, Some(&opt)).bytes;
        assert_eq!(written, *expected, "{row}");
        assert_eq!(dump(&buffer[..written]).len(), 4, "{row}");
        assert!(!buffer[..written].contains(&0xaa), "RFC 7830 §3 zeros: {row}");
    }
}

#[test]
fn a_code_that_needs_edns_is_never_cut_to_another() {
    let message = query(None);
    let response = write(&message, DATAGRAM, Rcode::BadCookie, |_| ());
    assert_eq!(response[3] & 0x0f, 2, "RFC 6891 §6.1.3: not YXRRSET (7)");
}

#[test]
fn a_buffer_that_is_too_small_is_no_response() {
    let message = query(None);
    let query = asked(&message);
    assert!(Response::begin(&mut [0; 29], &query, DATAGRAM).is_none());
    let mut buffer = [0; 30];
    let mut response = Response::begin(&mut buffer, &query, DATAGRAM).unwrap();
    response.add(Section::Answer, Owner::Question, &texts(1, 1));
    assert_eq!(response.finish(Rcode::NoError, None).bytes, 30);
    assert_eq!(dump(&buffer), ["1234 8300", "? wWw.cdn.test. 1 A"]);
}

proptest! {
    #[test]
    fn every_response_is_well_formed_and_within_its_limit(
        size in prop::option::of(0_u16..2000),
        sets in prop::collection::vec((0_usize..4, 1_usize..6, 0_usize..200, 0_usize..6), 0..8),
        stream: bool,
    ) {
        let owners = ["www.cdn.test.", "cdn.test.", "a.b.c.d.e.cdn.test.", "example.", "ns.example.", "."];
        let message = query(size.map(|size| (size, &[][..])));
        let carrier = if stream { Carrier::Stream } else { DATAGRAM };
        let mut sets = sets;
        sets.sort_unstable();
        let response = write(&message, carrier, Rcode::NoError, |response| {
            for (section, count, length, owner) in sets {
                let owner = name(owners[owner]);
                let set = match length % 3 {
                    0 => set(RecordType::NS, &[name("x.ns.example.").as_ref().wire()]),
                    _ => texts(count, length),
                };
                match section {
                    0 => response.add(Section::Answer, Owner::Question, &set),
                    1 => response.add(Section::Authority, Owner::Name(owner.as_ref()), &set),
                    2 => response.add(Section::Additional, Owner::Name(owner.as_ref()), &set),
                    _ => response.add_optional(Owner::Name(owner.as_ref()), &set),
                }
            }
        });
        let lines = dump(&response);
        prop_assert_eq!(lines.iter().any(|line| line.contains(" OPT ")), size.is_some());
        let limit = if stream { 65_535 } else { usize::from(size.unwrap_or(512).clamp(512, 1232)) };
        prop_assert!(response.len() <= limit);
        if response[2] & 2 != 0 {
            prop_assert!(lines.len() <= 3, "TC is empty");
        }
    }
}
