//! Options and questions about the server itself: NSID (RFC 5001), CHAOS (RFC 4892), padding
//! (RFC 7830, RFC 8467).

use geodns_core::answer::Transport;

use super::stage::{Stage, q};

const A: &str = "an www.cdn.test. 60 A 192.0.2.21";

#[test]
fn the_server_says_who_it_is_only_as_far_as_it_may() {
    let www = || q("www.cdn.test.", "A").option(3, b"");
    let id = |name: &str| q(name, "TXT").class(3);
    let other = "[geodns.answer]\nid = 'edge'\nversion = 'GeoDNS'\n";
    let silent = "[geodns.answer]\nid = ''\n";
    Stage::new().says(&[
        ("RFC 5001 §2.2", www(), &["NOERROR aa", A, "opt 1232 nsid=6672612d31"]),
        (
            "RFC 5001 §2.2 not asked for",
            q("www.cdn.test.", "A").size(512),
            &["NOERROR aa", A, "opt 1232"],
        ),
        ("RFC 4892 §2", id("id.server."), &["NOERROR aa", "an id.server. 0 TXT fra-1"]),
        ("RFC 4892 §2 no such type", q("id.server.", "A").class(3), &["NOERROR aa"]),
        ("RFC 4892 §3 hidden", id("version.bind."), &["REFUSED"]),
        ("RFC 4892 not a zone of ours", id("cdn.test."), &["REFUSED"]),
        ("RFC 4892 class IN", q("id.server.", "TXT"), &["REFUSED"]),
    ]);
    Stage::with(other).says(&[
        ("RFC 5001 §3 another name", www(), &["NOERROR aa", A, "opt 1232 nsid=65646765"]),
        ("RFC 4892 §3 told", id("version.bind."), &["NOERROR aa", "an version.bind. 0 TXT GeoDNS"]),
    ]);
    Stage::with(silent).says(&[
        ("RFC 5001 §3 silent", www(), &["NOERROR aa", A, "opt 1232"]),
        ("RFC 4892 §3 silent", id("id.server."), &["REFUSED"]),
    ]);
}

#[test]
fn answers_are_padded_where_nobody_can_read_them() {
    let stage = Stage::new();
    let padded = || q("www.cdn.test.", "A").option(12, &[0; 4]);
    let length = |stage: &Stage, query| stage.send(&query).unwrap().0.len();
    let plain = length(&stage, padded());
    for transport in [Transport::Tls, Transport::Https, Transport::Quic] {
        assert_eq!(length(&stage, padded().over(transport)), 468, "RFC 8467 §4.1 {transport:?}");
        let unasked = q("www.cdn.test.", "A").size(1232).over(transport);
        assert_eq!(length(&stage, unasked), plain, "RFC 7830 §4 {transport:?}");
    }
    for transport in [Transport::Udp, Transport::Tcp] {
        assert_eq!(length(&stage, padded().over(transport)), plain, "RFC 7830 §6 {transport:?}");
    }
    let stage = Stage::with("[geodns.answer]\npadding_block_bytes = 128\n");
    assert_eq!(length(&stage, padded().over(Transport::Tls)), 128, "custom: another block");
}
