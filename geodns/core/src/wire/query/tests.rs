//! Query tables; each row names its clause.
#![expect(clippy::too_many_lines, reason = "long tables of rows")]

use proptest::prelude::*;

use super::*;

const QUESTION: &[u8] = b"\x03wWw\x03cdn\x04test\0\0\x01\0\x01";
const OPT: &[u8] = b"\0\0\x29\x04\xd0\0\0\0\0\0\0";
const COOKIE: &[u8] = b"\0\0\x29\x04\xd0\0\0\0\0\0\x0c\0\x0a\0\x08abcdefgh";

/// A message with these flags and counts.
fn message(flags: u16, counts: [u16; 4], parts: &[&[u8]]) -> Vec<u8> {
    let numbers = [0x1234, flags, counts[0], counts[1], counts[2], counts[3]];
    let mut message: Vec<u8> =
        numbers.iter().flat_map(|number: &u16| number.to_be_bytes()).collect();
    message.extend(parts.concat());
    message
}

fn asking(rtype: u16, class: u16) -> Vec<u8> {
    let kind = [rtype.to_be_bytes(), class.to_be_bytes()].concat();
    message(0, [1, 0, 0, 0], &[b"\x01a\0", &kind])
}

/// What comes of it: a code, or nothing if it is dropped; whether a question and an OPT were read.
fn said(message: &[u8]) -> Option<(Rcode, bool, bool)> {
    match decode(message) {
        Decoded::Dropped(_) => None,
        Decoded::Faulty { query, rcode } => {
            Some((rcode, query.question.is_some(), query.edns.is_some()))
        }
        Decoded::Asked(query) => {
            Some((Rcode::NoError, query.question.is_some(), query.edns.is_some()))
        }
    }
}

#[test]
fn messages_are_read_dropped_or_refused() {
    use Rcode::{BadVers, FormErr, NoError, NotImp, Refused};
    let a_record: &[u8] = b"\x01a\0\0\x01\0\x01\0\0\0\0\0\x04\xc0\0\x02\x01";
    let pointed: &[u8] = b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\xc0\0\x02\x01";
    let owned_opt: &[u8] = b"\x01a\0\0\x29\x04\xd0\0\0\0\0\0\0";
    let version_1: &[u8] = b"\0\0\x29\x04\xd0\0\x01\0\0\0\x05\xff\xff\xff\xff\xff";
    let bad_ecs: &[u8] = b"\0\0\x29\x04\xd0\0\0\0\0\0\x08\0\x08\0\x04\0\x09\0\0";
    let overrun: &[u8] = b"\0\0\x29\x04\xd0\0\0\0\0\0\x04\0\x03\0\x01";
    let two = [QUESTION, QUESTION].concat();
    let one = |parts: &[&[u8]]| message(0, [1, 0, 0, 0], &[&[QUESTION], parts].concat());
    let with = |counts: [u16; 3], parts: &[&[u8]]| {
        message(0, [1, counts[0], counts[1], counts[2]], &[&[QUESTION], parts].concat())
    };
    let opcode = |code: u16, parts: &[&[u8]]| message(code << 11, [1, 0, 0, 0], parts);
    type Row<'a> = (&'a str, Vec<u8>, Option<(Rcode, bool, bool)>);
    let rows: &[Row<'_>] = &[
        ("RFC 1035 §4.1 a query", one(&[]), Some((NoError, true, false))),
        ("RFC 6891 §6.1.1 with OPT", with([0, 0, 1], &[OPT]), Some((NoError, true, true))),
        ("RFC 1035 §4.1.1 no header", one(&[])[..11].to_vec(), None),
        ("RFC 1035 §4.1.1 nothing", vec![], None),
        ("RFC 1035 §4.1.1 a response", message(0x8000, [1, 0, 0, 0], &[QUESTION]), None),
        ("RFC 1035 §4.1.1 a response, broken", message(0xffff, [9, 9, 9, 9], &[]), None),
        (
            "RFC 8906 §3.1.2 all other flags",
            message(0x07f0, [1, 0, 0, 0], &[QUESTION]),
            Some((NoError, true, false)),
        ),
        (
            "RFC 9619 §4 two questions",
            message(0, [2, 0, 0, 0], &[&two]),
            Some((FormErr, false, false)),
        ),
        ("RFC 9619 §4 none", message(0, [0; 4], &[]), Some((FormErr, false, false))),
        ("RFC 9619 §4 none, OPT", message(0, [0, 0, 0, 1], &[OPT]), Some((FormErr, false, true))),
        (
            "RFC 7873 §5.4 none, a cookie",
            message(0, [0, 0, 0, 1], &[COOKIE]),
            Some((NoError, false, true)),
        ),
        (
            "RFC 1035 §4.1.2 no question there",
            message(0, [1, 0, 0, 0], &[]),
            Some((FormErr, false, false)),
        ),
        ("RFC 1035 §4.1.2 cut", one(&[])[..28].to_vec(), Some((FormErr, false, false))),
        (
            "RFC 1035 §4.1.4 a pointer in it",
            message(0, [1, 0, 0, 0], &[b"\xc0\x0c\0\x01\0\x01"]),
            Some((FormErr, false, false)),
        ),
        ("RFC 1035 §4.1 text behind", one(&[b"x"]), Some((FormErr, true, false))),
        ("RFC 1035 §4.1 a record that is not counted", one(&[OPT]), Some((FormErr, true, false))),
        (
            "RFC 1035 §4.1.1 a record that is not there",
            with([0, 0, 1], &[]),
            Some((FormErr, true, false)),
        ),
        (
            "RFC 1035 §4.1.1 65535 that are not there",
            with([65535, 65535, 65535], &[]),
            Some((FormErr, true, false)),
        ),
        (
            "RFC 1035 §4.1 records before",
            with([1, 1, 1], &[a_record, pointed, OPT]),
            Some((NoError, true, true)),
        ),
        (
            "RFC 1035 §4.1.3 a record cut",
            with([1, 0, 0], &[&a_record[..10]]),
            Some((FormErr, true, false)),
        ),
        (
            "RFC 6891 §6.1.1 OPT among records",
            with([0, 0, 3], &[a_record, OPT, pointed]),
            Some((NoError, true, true)),
        ),
        ("RFC 6891 §6.1.1 two", with([0, 0, 2], &[OPT, OPT]), Some((FormErr, true, true))),
        (
            "RFC 6891 §6.1.1 in the answer section",
            with([1, 0, 0], &[OPT]),
            Some((FormErr, true, false)),
        ),
        (
            "RFC 6891 §6.1.2 not the root's",
            with([0, 0, 1], &[owned_opt]),
            Some((FormErr, true, false)),
        ),
        ("RFC 6891 §6.1.3 version 1", with([0, 0, 1], &[version_1]), Some((BadVers, true, true))),
        (
            "RFC 6891 §6.1.2 options overrun",
            with([0, 0, 1], &[overrun]),
            Some((FormErr, true, true)),
        ),
        ("RFC 7871 §7.1.2 malformed", with([0, 0, 1], &[bad_ecs]), Some((FormErr, true, true))),
        ("RFC 1996 §4.7 NOTIFY", opcode(4, &[QUESTION]), Some((NotImp, true, false))),
        ("RFC 1035 §4.1.1 IQUERY", opcode(1, &[QUESTION]), Some((NotImp, false, false))),
        ("RFC 1035 §4.1.1 STATUS", opcode(2, &[]), Some((NotImp, false, false))),
        ("RFC 2136 §3.1 UPDATE", opcode(5, &[QUESTION]), Some((NotImp, false, false))),
        ("RFC 8906 §3.1.4 unknown", opcode(15, &[b"?"]), Some((NotImp, false, false))),
        ("RFC 5936 §2.2.1 AXFR", asking(252, 1), Some((Refused, true, false))),
        ("RFC 1995 §4 IXFR", asking(251, 1), Some((Refused, true, false))),
        ("RFC 1035 §3.2.3 MAILA", asking(254, 1), Some((NotImp, true, false))),
        ("RFC 1035 §3.2.3 MAILB", asking(253, 1), Some((NotImp, true, false))),
        ("RFC 2930 TKEY", asking(249, 1), Some((NotImp, true, false))),
        ("RFC 6891 §6.1.1 asking for OPT", asking(41, 1), Some((FormErr, true, false))),
        ("RFC 8945 asking for TSIG", asking(250, 1), Some((FormErr, true, false))),
        ("RFC 6895 §3.1 type 0", asking(0, 1), Some((FormErr, true, false))),
        ("RFC 8482 ANY", asking(255, 1), Some((NoError, true, false))),
        ("RFC 3597 §3 an unknown type", asking(65280, 1), Some((NoError, true, false))),
        ("RFC 4892 CHAOS", asking(16, 3), Some((NoError, true, false))),
        ("RFC 1035 §3.2.4 Hesiod", asking(1, 4), Some((Refused, true, false))),
        ("RFC 1035 §3.2.5 any class", asking(1, 255), Some((Refused, true, false))),
        ("RFC 6895 §3.2 class 0", asking(1, 0), Some((Refused, true, false))),
    ];
    for (row, message, expected) in rows {
        assert_eq!(said(message), *expected, "{row}");
    }
}

#[test]
fn a_question_is_kept_as_it_was_asked() {
    let message = message(0x0100, [1, 0, 0, 0], &[QUESTION]);
    let Decoded::Asked(query) = decode(&message) else { panic!("it is a query") };
    let question = query.question.unwrap();
    assert_eq!(question.wire(), QUESTION);
    assert_eq!(question.name.wire(), &QUESTION[..14], "the case is the client's");
    assert_eq!((question.rtype, question.class), (RecordType::A, Class::IN));
    assert!(query.header.recursion_desired());
}

#[test]
fn what_was_read_before_a_fault_is_kept() {
    let ecs = b"\0\0\x29\x04\xd0\0\0\x80\0\0\x13\0\x0a\0\x08abcdefgh\0\x08\0\x03\0\x01\x08";
    let message = message(0, [1, 0, 0, 1], &[QUESTION, ecs]);
    let Decoded::Faulty { query, rcode } = decode(&message) else { panic!("it is malformed") };
    let edns = query.edns.unwrap();
    assert_eq!(rcode, Rcode::FormErr);
    assert!(edns.dnssec_ok && edns.ecs.is_none(), "a malformed option is not repeated");
}

/// Bytes that often are close to a query.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let record = prop_oneof![
        Just(OPT.to_vec()),
        Just(COOKIE.to_vec()),
        Just(b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x01x".to_vec()),
        prop::collection::vec(any::<u8>(), 0..30),
        (any::<u16>(), prop::collection::vec(any::<u8>(), 0..30)).prop_map(|(code, data)| {
            let length = u16::try_from(data.len()).unwrap();
            let option = [&code.to_be_bytes()[..], &length.to_be_bytes(), &data].concat();
            let length = u16::try_from(option.len()).unwrap();
            [&OPT[..9], &length.to_be_bytes(), &option].concat()
        }),
    ];
    let question = prop_oneof![Just(QUESTION.to_vec()), prop::collection::vec(any::<u8>(), 0..30)];
    let counts = prop::array::uniform4(0_u16..3);
    (any::<u16>(), counts, question, prop::collection::vec(record, 0..3)).prop_map(
        |(flags, counts, question, records)| {
            message(flags & 0x1fff, counts, &[&question, &records.concat()])
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let dropped = matches!(decode(&bytes), Decoded::Dropped(_));
        prop_assert_eq!(dropped, bytes.len() < HEADER_BYTES || bytes[2] & 0x80 != 0);
    }

    #[test]
    fn nothing_near_a_query_panics(bytes in nearly()) {
        match decode(&bytes) {
            Decoded::Dropped(_) => prop_assert!(bytes.len() < HEADER_BYTES || bytes[2] & 0x80 != 0),
            Decoded::Faulty { query, rcode } => {
                prop_assert_ne!(rcode, Rcode::NoError);
                prop_assert_ne!(rcode, Rcode::BadCookie);
                prop_assert_eq!(query.header.id, 0x1234);
            }
            Decoded::Asked(query) => {
                prop_assert!(query.question.is_some() || query.edns.unwrap().cookie.is_some());
                if let Some(question) = query.question {
                    prop_assert!(bytes[12..].starts_with(question.wire()));
                }
            }
        }
    }
}
