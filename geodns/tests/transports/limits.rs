//! What a connection may cost, and what garbage costs.

use std::{
    io::{Read, Write},
    time::Duration,
};

use geodns::limits::StreamLimits;

use crate::{
    clients::{Https, ask_quic, ask_tcp, ask_udp, framed, next, quic, quic_client, tcp, tls, udp},
    query::{Query, gist},
    stage::{Stage, in_time, loopback},
};

fn limited(change: impl FnOnce(&mut StreamLimits)) -> Stage {
    let mut limits = StreamLimits::default();
    change(&mut limits);
    Stage::with(limits, &loopback())
}

fn query() -> Vec<u8> {
    Query::new("www.cdn.test", 1).bytes()
}

#[test]
fn one_network_has_so_many_connections_and_no_more() {
    let stage = limited(|limits| limits.connections_per_network_max = 3);
    let mut three: Vec<_> = (0..3).map(|_| tcp(stage.dns())).collect();
    for stream in &mut three {
        assert_eq!(gist(&ask_tcp(stream, &query())), (0, 1));
    }
    assert_eq!(next(&mut tcp(stage.dns())), None);
    stage.until(&["dns_connections_total", "tcp", "refused: network"], 1);
    // Another transport is another connection of the same network.
    assert_eq!(next(&mut tcp(stage.addresses.tls[0])), None);
    drop(three.pop());
    let start = tokio::time::Instant::now();
    loop {
        let mut stream = tcp(stage.dns());
        stream.write_all(&framed(&query())).unwrap();
        if next(&mut stream).is_some() {
            return;
        }
        assert!(start.elapsed() < crate::stage::DEADLINE, "the place is not given back");
    }
}

/// A connection from an address of loopback.
fn tcp_from(from: [u8; 4], to: std::net::SocketAddr) -> std::net::TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream = std::net::TcpStream::from(socket);
    stream.set_read_timeout(Some(crate::stage::DEADLINE)).unwrap();
    stream
}

#[test]
fn a_network_is_as_large_for_connections_as_for_rates() {
    let stage = limited(|limits| limits.connections_per_network_max = 2);
    let mut two = [2, 3].map(|last| tcp_from([127, 0, 0, last], stage.dns()));
    for stream in &mut two {
        assert_eq!(gist(&ask_tcp(stream, &query())), (0, 1));
    }
    let _third = tcp_from([127, 0, 0, 200], stage.dns());
    stage.until(&["dns_connections_total", "tcp", "refused: network"], 1);
    let mut other = tcp_from([127, 0, 1, 2], stage.dns());
    assert_eq!(gist(&ask_tcp(&mut other, &query())), (0, 1), "of another");
}

/// RFC 9000 §8.1: the first packet of a connection proves nothing, and takes nobody's place.
#[tokio::test]
async fn a_forged_address_takes_no_place_of_its_network() {
    const PACKETS: u64 = 20;
    let stage = limited(|limits| limits.connections_per_network_max = 1);
    // What a client sends first is caught here, and sent by somebody who does not go on.
    let forger = udp(stage.addresses.quic[0]);
    let heard = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    heard.set_read_timeout(Some(crate::stage::DEADLINE)).unwrap();
    let client = quic_client(&stage, None);
    let mut packet = [0; 2000];
    let mut begun = Vec::new();
    for _ in 0..PACKETS {
        let to = heard.local_addr().unwrap();
        begun.push(client.connect(to, "dns.test").unwrap());
        let first = tokio::task::spawn_blocking({
            let heard = heard.try_clone().unwrap();
            move || heard.recv(&mut packet).map(|length| packet[..length].to_vec())
        });
        let first = first.await.unwrap().unwrap();
        forger.send(&first).unwrap();
        let length = forger.recv(&mut packet).unwrap();
        // RFC 9000 §17.2: the form bit, the fixed bit, and type 3, which is Retry.
        assert_eq!(packet[0] & 0xf0, 0xf0, "{:x?}", &packet[..length.min(20)]);
    }
    assert_eq!(gist(&ask_tcp(&mut tcp(stage.dns()), &query())), (0, 1));
    assert_eq!(stage.count(&["dns_connections_total", "quic", "accepted"]), 0);
}

#[test]
fn all_together_have_so_many_connections_and_no_more() {
    let stage = limited(|limits| limits.connections_max = 2);
    let mut two: Vec<_> = (0..2).map(|_| tcp(stage.dns())).collect();
    for stream in &mut two {
        assert_eq!(gist(&ask_tcp(stream, &query())), (0, 1));
    }
    assert_eq!(next(&mut tcp(stage.dns())), None);
    stage.until(&["dns_connections_total", "tcp", "refused: total"], 1);
}

#[test]
fn who_asks_nothing_is_let_go() {
    let stage = limited(|limits| limits.idle_timeout = Duration::from_millis(50));
    let mut stream = tcp(stage.dns());
    assert_eq!(next(&mut stream), None, "RFC 7766 §6.2.3");
    assert_eq!(stage.count(&["dns_connections_total", "tcp", "expired"]), 0);
}

#[test]
fn a_query_that_begins_must_end_in_time() {
    let stage = limited(|limits| limits.query_timeout = Duration::from_millis(50));
    let mut stream = tcp(stage.dns());
    stream.write_all(&framed(&query())[..9]).unwrap();
    assert_eq!(next(&mut stream), None);
    stage.until(&["dns_connections_total", "tcp", "expired"], 1);
}

#[test]
fn a_handshake_must_end_in_time() {
    let stage = limited(|limits| limits.handshake_timeout = Duration::from_millis(50));
    let mut stream = tcp(stage.addresses.tls[0]);
    stream.write_all(&[22, 3, 1]).unwrap();
    assert_eq!(stream.read(&mut [0; 10]).unwrap_or(0), 0);
    stage.until(&["dns_connections_total", "tls", "expired"], 1);
    let mut stream = tcp(stage.addresses.https[0]);
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    while stream.read(&mut [0; 100]).is_ok_and(|read| read > 0) {}
    stage.until(&["dns_connections_total", "https", "broken"], 1);
}

/// A client that does not read stops being read itself; it holds a bounded part of us.
#[test]
fn who_does_not_read_is_cut_off() {
    let stage = limited(|limits| limits.write_timeout = Duration::from_millis(100));
    let mut stream = tcp(stage.dns());
    let long = framed(&Query::new("long.cdn.test", 16).bytes());
    let many = long.repeat(1000);
    // 20 KB come back for each of these 30 bytes, until the system takes no more.
    while stream.write_all(&many).is_ok() {}
    stage.until(&["dns_connections_total", "tcp", "expired"], 1);
}

#[tokio::test]
async fn idle_connections_end_over_all_transports() {
    let stage = limited(|limits| limits.idle_timeout = Duration::from_millis(100));
    for alpn in [&b"h2"[..], b"http/1.1"] {
        let mut client = Https::connect(&stage, alpn).await;
        client.send(Https::post(&query())).await;
        match client {
            Https::One(mut sender) => {
                in_time(async {
                    while sender.ready().await.is_ok() {
                        tokio::task::yield_now().await;
                    }
                })
                .await;
            }
            Https::Two(mut sender) => {
                in_time(async {
                    while sender.ready().await.is_ok() {
                        tokio::task::yield_now().await;
                    }
                })
                .await;
            }
        }
    }
    in_time(quic(&stage).await.closed()).await;
    let mut over_tls = tls(&stage, stage.addresses.tls[0], b"dot").await;
    let read = in_time(tokio::io::AsyncReadExt::read(&mut over_tls, &mut [0; 10])).await;
    assert_eq!(read.unwrap_or(0), 0);
}

/// RFC 9250 §5.5.1: who asks is kept; a PING keeps the path open, but is no query.
#[tokio::test]
async fn who_only_pings_over_quic_is_let_go() {
    let idle_timeout = Duration::from_secs(1);
    let stage = limited(|limits| limits.idle_timeout = idle_timeout);
    let client = quic_client(&stage, Some(Duration::from_millis(50)));
    let connection = client.connect(stage.addresses.quic[0], "dns.test").unwrap().await.unwrap();
    let query = Query { id: 0, ..Query::new("www.cdn.test", 1) }.bytes();
    let start = tokio::time::Instant::now();
    while start.elapsed() < idle_timeout * 3 / 2 {
        assert_eq!(gist(&ask_quic(&connection, &query).await), (0, 1));
    }
    match in_time(connection.closed()).await {
        quinn::ConnectionError::ApplicationClosed(close) => {
            assert_eq!(close.error_code, quinn::VarInt::from_u32(0), "RFC 9250 §4.3");
        }
        other => panic!("{other}"),
    }
}

/// Garbage is dropped or refused, and the next query answered.
#[test]
fn garbage_costs_nothing_but_itself() {
    let stage = Stage::new();
    let socket = udp(stage.dns());
    let good = Query::new("www.cdn.test", 1).subnet("203.0.113.0".parse().unwrap(), 24).bytes();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed >> 33).unwrap()
    };
    for round in 0..20_000 {
        let mut message = good.clone();
        for _ in 0..=random() % 4 {
            let at = random() % message.len();
            message[at] = random().to_le_bytes()[0];
        }
        if round % 3 == 0 {
            message.truncate(random() % message.len());
        }
        // Those that the queue has no room for are lost, which is as well.
        socket.send(&message).unwrap();
        if round % 64 == 0 {
            // The answers to garbage come before the one to this query.
            let mut marked = good.clone();
            let id = u16::try_from(round % 60_000).unwrap().to_be_bytes();
            marked[..2].copy_from_slice(&id);
            let mut answer = ask_udp(&socket, &marked);
            while answer[..2] != id {
                let mut buffer = [0; 2000];
                let length = socket.recv(&mut buffer).unwrap();
                answer = buffer[..length].to_vec();
            }
        }
    }
    assert_eq!(gist(&ask_tcp(&mut tcp(stage.dns()), &good)), (0, 1));
    for bytes in [&[0xff; 3000][..], &[0; 3000], b"GET / HTTP/1.1\r\n\r\n"] {
        let mut stream = tcp(stage.dns());
        // It may be cut off before it has said all.
        drop(stream.write_all(bytes));
        while next(&mut stream).is_some() {}
    }
}
