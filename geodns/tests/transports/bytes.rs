//! The same bytes over all five transports.

use crate::{
    clients::{Https, ask_quic, ask_tcp, ask_tls, ask_udp, quic, tcp, tls, udp},
    query::{Query, essence, gist, is_truncated},
    stage::Stage,
};

/// A few thousand queries: every name with every type, with and without EDNS, subnets and padding.
fn queries() -> Vec<Vec<u8>> {
    let names = [
        "cdn.test",
        "www.cdn.test",
        "WwW.cDn.TeSt",
        "shop.cdn.test",
        "a.img.cdn.test",
        "alias.cdn.test",
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
        "other.test",
        "test",
        "",
        "long.cdn.test",
    ];
    let types = [1, 2, 5, 6, 12, 15, 16, 28, 33, 43, 48, 64, 65, 99, 252, 255, 257, 1234];
    let mut all = Vec::new();
    for name in names {
        for rtype in types {
            let query = Query::new(name, rtype);
            all.push(query.clone());
            all.push(query.clone().edns());
            all.push(query.clone().padding());
            for (address, length) in [
                ("203.0.113.0", 24),
                ("198.51.100.0", 25),
                ("192.0.2.0", 28),
                ("0.0.0.0", 0),
                ("2001:db8:1::", 48),
                ("2001:db8:2::", 56),
            ] {
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
    all
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
    assert!(queries.len() > 3000);
    let datagrams = udp(stage.dns());
    let mut stream = tcp(stage.dns());
    let mut over_tls = tls(&stage, stage.addresses.tls[0], b"dot").await;
    let mut http1 = Https::connect(&stage, b"http/1.1").await;
    let mut http2 = Https::connect(&stage, b"h2").await;
    let over_quic = quic(&stage).await;
    let (mut answered, mut truncated) = (0, 0);
    for (at, query) in queries.iter().enumerate() {
        let id = u16::try_from(at * 7 % 65_536).unwrap();
        let query = with_id(query, id);
        let expected = ask_tcp(&mut stream, &query);
        assert_eq!(expected[..2], query[..2], "the ID is the query's");
        let by_datagram = ask_udp(&datagrams, &query);
        if is_truncated(&by_datagram) {
            truncated += 1;
        } else {
            assert_eq!(essence(&by_datagram), essence(&expected), "UDP: {query:x?}");
        }
        let response = ask_tls(&mut over_tls, &query).await;
        assert_eq!(essence(&response), essence(&expected), "TLS: {query:x?}");
        let request = if at % 2 == 0 { Https::get(&query) } else { Https::post(&query) };
        let client = if at % 4 < 2 { &mut http1 } else { &mut http2 };
        let response = client.send(request).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/dns-message");
        assert_eq!(essence(response.body()), essence(&expected), "HTTPS: {query:x?}");
        let response = ask_quic(&over_quic, &with_id(&query, 0)).await;
        assert_eq!(response[..2], [0, 0], "RFC 9250 §4.2.1");
        assert_eq!(essence(&response), essence(&expected), "QUIC: {query:x?}");
        answered += u32::from(gist(&expected).1 > 0);
    }
    assert!(answered > 500, "{answered} with answers");
    assert!((9..40).contains(&truncated), "{truncated} truncated");
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
