//! Implementation and specification: headers, what is no query, how long a message may be.

use geodns_core::answer::{Emptied, Transport};

use super::stage::{Draft, Stage, ZONE, lines, q};

#[test]
fn the_header_is_answered_bit_by_bit() {
    let stage = Stage::new();
    // ID, RD and opcode come back; QR is set; RA, Z, AD and CD are clear (RFC 4035 §3.1.6).
    let rows = [
        ("§4.1.1 plain", 0x0000, 0x8400),
        ("§4.1.1 RD", 0x0100, 0x8500),
        ("§4.1.1 everything a query may set", 0x07f0, 0x8500),
    ];
    for (row, flags, expected) in rows {
        let query = q("www.cdn.test.", "A").flags(flags);
        let (bytes, _) = stage.send(&query).unwrap();
        assert_eq!(bytes[..2], [0x12, 0x34], "{row}");
        assert_eq!(u16::from_be_bytes([bytes[2], bytes[3]]), expected, "{row}");
        assert_eq!(bytes[12..30], query.bytes()[12..30], "§4.1.2 the question: {row}");
    }
}

#[test]
fn responses_and_scraps_are_never_answered() {
    let stage = Stage::new();
    let query = q("www.cdn.test.", "A");
    for flags in [0x8000, 0x8180, 0x8583, 0xffff] {
        assert!(stage.send(&query.clone().flags(flags)).is_none(), "§4.1.1 QR {flags:04x}");
    }
    for length in 0..12 {
        let cut = &query.bytes()[..length];
        assert!(stage.send_bytes(cut, &query).is_none(), "§4.1.1 {length} bytes");
    }
}

#[test]
fn what_is_wrong_or_not_served_has_its_code() {
    let stage = Stage::new();
    let www = || q("www.cdn.test.", "A");
    stage.says(&[
        ("RFC 1996 §3.12 NOTIFY", www().flags(4 << 11).size(1232), &["NOTIMP", "opt 1232 ede=21"]),
        ("RFC 2136 §3.1 UPDATE", www().flags(5 << 11), &["NOTIMP"]),
        ("§4.1.1 an opcode of no one", www().flags(15 << 11), &["NOTIMP"]),
        ("RFC 5936 §2.2.1 AXFR", q("cdn.test.", "AXFR").size(512), &["REFUSED", "opt 1232 ede=21"]),
        ("RFC 1995 §4 IXFR", q("cdn.test.", "IXFR"), &["REFUSED"]),
        ("§3.2.3 MAILA", q("cdn.test.", "MAILA"), &["NOTIMP"]),
        ("RFC 6895 §3.1 OPT as QTYPE", q("cdn.test.", "OPT"), &["FORMERR"]),
        ("§3.2.4 class HS", www().class(4).size(512), &["REFUSED", "opt 1232 ede=20"]),
        ("§3.2.5 class ANY", www().class(255), &["REFUSED"]),
    ]);
    let bytes = www().bytes();
    let two = [&bytes[..5], &[2], &bytes[6..], &bytes[12..]].concat();
    let tail = [&bytes[..], b"x"].concat();
    let rows = [
        ("RFC 9619 §4 two questions", two),
        ("§4.1 bytes behind the message", tail),
        ("§4.1.2 the question is cut", bytes[..20].to_vec()),
        ("§4.1.1 no question", [&bytes[..5], &[0], &bytes[6..12]].concat()),
    ];
    for (row, message) in rows {
        let (answer, _) = stage.send_bytes(&message, &www()).unwrap();
        assert_eq!(lines(&answer), ["FORMERR"], "{row}");
        assert_eq!(answer[..2], message[..2], "§4.1.1 ID: {row}");
    }
}

#[test]
fn what_is_too_long_for_a_datagram_is_empty_with_tc() {
    let long: String = (0..30).map(|n| format!("big TXT \"{n:040}\"\n")).collect();
    let zones = vec![("cdn.test.", format!("{ZONE}{long}"))];
    let stage = Draft { zones, ..Draft::default() }.build().unwrap();
    let big = || q("big.cdn.test.", "TXT");
    stage.says(&[
        ("§4.2.1 512 bytes", big(), &["NOERROR aa tc"]),
        ("RFC 6891 §6.2.5 our limit", big().size(4096), &["NOERROR aa tc", "opt 1232"]),
    ]);
    assert_eq!(stage.send(&big()).unwrap().1.emptied, Some(Emptied::TooLong));
    for transport in [Transport::Tcp, Transport::Tls, Transport::Https, Transport::Quic] {
        let (bytes, facts) = stage.send(&big().over(transport)).unwrap();
        assert_eq!((lines(&bytes).len(), facts.emptied), (31, None), "§4.2.2 {transport:?}");
    }
}
