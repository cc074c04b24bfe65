//! The same bytes over all five transports.

use crate::{
    clients::{Https, ask_quic, ask_tcp, ask_tls, ask_udp, quic, tcp, tls, udp},
    query::{Query, essence, gist, in_order, is_truncated},
    stage::Stage,
};

const NAMES: [&str; 24] = [
    "cdn.test",
    "www.cdn.test",
    "WwW.cDn.TeSt",
    "shop.cdn.test",
    "a.img.cdn.test",
    "alias.cdn.test",
    "ALIAS.cdn.test",
    "away.cdn.test",
    "ns.cdn.test",
    "mail.cdn.test",
    "txt.cdn.test",
    "b.c.cdn.test",
    "a.b.c.cdn.test",
    "x.wild.cdn.test",
    "sub.cdn.test",
    "y.sub.cdn.test",
    "nowhere.cdn.test",
    "a.nowhere.cdn.test",
    "other.test",
    "version.bind",
    "id.server",
    "test",
    "",
    "long.cdn.test",
];
const TYPES: [u16; 24] = [
    1, 2, 5, 6, 12, 13, 15, 16, 28, 33, 35, 39, 41, 43, 48, 52, 64, 65, 99, 251, 252, 255, 257,
    1234,
];
/// Inside every network of the map, outside of all, of none, and too long for one.
const SUBNETS: [(&str, u8); 11] = [
    ("203.0.113.0", 24),
    ("198.51.100.0", 25),
    ("198.51.100.7", 32),
    ("233.252.0.0", 24),
    ("192.0.2.0", 28),
    ("0.0.0.0", 0),
    ("203.0.0.0", 16),
    ("2001:db8:1::", 48),
    ("2001:db8:2::", 56),
    ("2001:db8:3::", 56),
    ("::", 0),
];
const NSID: u16 = 3;
const COOKIE: u16 = 10;

/// More than ten thousand queries: every name with every type, and with each of them nothing, EDNS,
/// each option that we know, and each subnet.
fn queries() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for name in NAMES {
        for rtype in TYPES {
            let query = Query::new(name, rtype);
            all.push(query.clone());
            all.push(query.clone().edns());
            all.push(query.clone().padding());
            all.push(query.clone().option(NSID, b""));
            all.push(query.clone().option(COOKIE, b"8 octets").padding());
            // What nobody knows is ignored (RFC 6891 §6.1.2), what is no cookie is an error.
            all.push(query.clone().option(65_001, b"?"));
            all.push(query.clone().option(COOKIE, b"short"));
            for (address, length) in SUBNETS {
                all.push(query.clone().subnet(address.parse().unwrap(), length));
            }
        }
    }
    let mut all: Vec<_> = all.iter().map(Query::bytes).collect();
    // And what is no good query.
    let whole = Query::new("www.cdn.test", 1).edns().bytes();
    for cut in 12..whole.len() {
        all.push(whole[..cut].to_vec());
    }
    for opcode in 1..16 {
        let mut other = whole.clone();
        other[2] = opcode << 3;
        all.push(other);
    }
    for class in [0_u8, 2, 3, 4, 254, 255] {
        let mut other = whole.clone();
        other[12 + 14 + 3] = class;
        all.push(other);
    }
    all
}

/// What transports must agree on: all but ID, TC, cookie and padding, and which of several addresses
/// comes first, which is drawn anew for each query.
fn common(response: &[u8]) -> Vec<u8> {
    in_order(&essence(response))
}

fn with_id(message: &[u8], id: u16) -> Vec<u8> {
    let mut message = message.to_vec();
    message[..2].copy_from_slice(&id.to_be_bytes());
    message
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn answers_are_the_same_bytes_over_all_transports() {
    let stage = Stage::new();
    let queries = queries();
    assert!(queries.len() > 10_000);
    let datagrams = udp(stage.dns());
    let mut stream = tcp(stage.dns());
    let mut over_tls = tls(&stage, stage.addresses.tls[0], b"dot").await;
    let mut http1 = Https::connect(&stage, b"http/1.1").await;
    let mut http2 = Https::connect(&stage, b"h2").await;
    let over_quic = quic(&stage).await;
    let (mut answered, mut truncated, mut turned) = (0, 0, 0);
    for (at, query) in queries.iter().enumerate() {
        let id = u16::try_from(at * 7 % 65_536).unwrap();
        let query = with_id(query, id);
        let response = ask_tcp(&mut stream, &query);
        assert_eq!(response[..2], query[..2], "the ID is the query's");
        let expected = common(&response);
        let by_datagram = ask_udp(&datagrams, &query);
        if is_truncated(&by_datagram) {
            truncated += 1;
        } else {
            assert_eq!(common(&by_datagram), expected, "UDP: {query:x?}");
            turned += u32::from(essence(&by_datagram) != essence(&response));
        }
        let request = if at % 2 == 0 { Https::get(&query) } else { Https::post(&query) };
        let client = if at % 4 < 2 { &mut http1 } else { &mut http2 };
        let without_id = with_id(&query, 0);
        let (by_tls, by_https, by_quic) = tokio::join!(
            ask_tls(&mut over_tls, &query),
            client.send(request),
            ask_quic(&over_quic, &without_id),
        );
        assert_eq!(common(&by_tls), expected, "TLS: {query:x?}");
        assert_eq!(by_https.status(), 200);
        assert_eq!(by_https.headers()["content-type"], "application/dns-message");
        assert_eq!(common(by_https.body()), expected, "HTTPS: {query:x?}");
        assert_eq!(by_quic[..2], [0, 0], "RFC 9250 §4.2.1");
        assert_eq!(common(&by_quic), expected, "QUIC: {query:x?}");
        answered += u32::from(gist(&response).1 > 0);
    }
    assert!(answered > 1500, "{answered} with answers");
    assert!((9..80).contains(&truncated), "{truncated} truncated");
    assert!(turned > 0, "no answer had several addresses");
}

/// RFC 8467: only what is encrypted is padded, and only for who pads.
#[tokio::test]
async fn responses_are_padded_where_nobody_can_read_them() {
    let stage = Stage::new();
    let query = Query::new("www.cdn.test", 1).padding().bytes();
    let plain = ask_udp(&udp(stage.dns()), &query);
    assert_ne!(plain.len() % 468, 0);
    let mut over_tls = tls(&stage, stage.addresses.tls[0], b"dot").await;
    assert_eq!(ask_tls(&mut over_tls, &query).await.len(), 468);
    let over_quic = quic(&stage).await;
    assert_eq!(ask_quic(&over_quic, &with_id(&query, 0)).await.len(), 468);
}
