//! The end: what was received is answered, and then everything is over.

use std::{io::Write, net::SocketAddr};

use geodns::listen::{Addresses, bind};

use crate::{
    clients::{Https, ask_quic, ask_tcp, framed, next, quic, tcp, tls, udp},
    query::{Query, gist},
    stage::{Stage, in_time},
};

fn query(id: u16) -> Vec<u8> {
    Query { id, ..Query::new("www.cdn.test", 1) }.bytes()
}

#[test]
fn a_server_that_ends_answers_what_it_received() {
    let mut stage = Stage::new();
    let socket = udp(stage.dns());
    let mut asked = tcp(stage.dns());
    ask_tcp(&mut asked, &query(0));
    for id in 0..200 {
        socket.send(&query(id)).unwrap();
    }
    asked.write_all(&framed(&query(7))).unwrap();
    let mut waiting = tcp(stage.dns());
    waiting.write_all(&framed(&query(8))).unwrap();
    stage.drain();
    let mut buffer = [0; 2000];
    for id in 0..200_u16 {
        socket.recv(&mut buffer).unwrap();
        assert_eq!(buffer[..2], id.to_be_bytes());
    }
    assert_eq!(next(&mut asked).unwrap()[..2], [0, 7]);
    assert_eq!(next(&mut waiting).unwrap()[..2], [0, 8]);
    assert_eq!((next(&mut asked), next(&mut waiting)), (None, None));
    stage.join();
    assert_eq!(stage.shared.drain().held(), 0);
    let dns = stage.addresses.dns.clone();
    // The port is free again.
    bind(&Addresses { dns, ..Addresses::default() }, 1).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_of_all_transports_end_with_the_server() {
    let mut stage = Stage::new();
    let mut over_tls = tls(&stage, stage.addresses.tls[0], b"dot").await;
    let mut http1 = Https::connect(&stage, b"http/1.1").await;
    let mut http2 = Https::connect(&stage, b"h2").await;
    let over_quic = quic(&stage).await;
    http1.send(Https::post(&query(0))).await;
    http2.send(Https::get(&query(0))).await;
    assert_eq!(gist(&ask_quic(&over_quic, &query(0)).await), (0, 1));
    stage.drain();
    tokio::task::block_in_place(|| stage.join());
    let read = in_time(tokio::io::AsyncReadExt::read(&mut over_tls, &mut [0; 10])).await;
    assert_eq!(read.unwrap_or(0), 0);
    match in_time(over_quic.closed()).await {
        quinn::ConnectionError::ApplicationClosed(close) => {
            assert_eq!(close.error_code, quinn::VarInt::from_u32(0), "RFC 9250 §4.3");
        }
        other => panic!("{other}"),
    }
    assert_eq!(stage.shared.drain().held(), 0);
}

#[test]
fn a_connection_that_does_not_end_ends_when_the_wait_is_over() {
    let mut stage = Stage::new();
    let mut stream = tcp(stage.dns());
    ask_tcp(&mut stream, &query(0));
    stream.write_all(&framed(&query(1))[..5]).unwrap();
    stage.drain();
    stage.shared.drain().stop();
    stage.join();
    assert_eq!(next(&mut stream), None);
}

#[test]
fn a_taken_port_is_reported() {
    let stage = Stage::new();
    for protocol in ["UDP", "TCP"] {
        let address: SocketAddr = match protocol {
            "UDP" => stage.addresses.quic[0],
            _ => stage.addresses.tls[0],
        };
        let wanted = Addresses { dns: vec![address], ..Addresses::default() };
        let error = bind(&wanted, 2).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot listen on {address} over {protocol}"));
    }
}
