//! What each transport with connections owes its clients beyond bytes.

use std::{
    io::{Read, Write},
    net::Shutdown,
};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;

use crate::{
    clients::{Https, ask_quic, ask_tcp, exchange_quic, framed, next, next_tls, quic, tcp, tls},
    query::{Query, gist},
    stage::{Stage, in_time},
};

fn numbered(count: u16) -> Vec<Vec<u8>> {
    let query = |id| Query { id, ..Query::new("www.cdn.test", 1) }.bytes();
    (0..count).map(query).collect()
}

/// RFC 7766 §6.2.1.1: queries may be sent without waiting, and nothing of them is lost.
#[test]
fn queries_that_come_together_are_answered_together_and_in_order() {
    let stage = Stage::new();
    let mut stream = tcp(stage.dns());
    let queries = numbered(500);
    let together: Vec<u8> = queries.iter().flat_map(|query| framed(query)).collect();
    stream.write_all(&together).unwrap();
    for query in &queries {
        assert_eq!(next(&mut stream).unwrap()[..2], query[..2]);
    }
    // Those of one segment come back in one: the first read has them all.
    let four: Vec<u8> = queries[..4].iter().flat_map(|query| framed(query)).collect();
    stream.write_all(&four).unwrap();
    let mut buffer = [0; 4096];
    let read = stream.read(&mut buffer).unwrap();
    let mut bytes = &buffer[..read];
    for query in &queries[..4] {
        assert_eq!(next(&mut bytes).unwrap()[..2], query[..2]);
    }
    assert!(bytes.is_empty());
}

/// RFC 7766 §8: a length and its message may come in any number of pieces.
#[test]
fn a_query_may_come_byte_by_byte() {
    let stage = Stage::new();
    let mut stream = tcp(stage.dns());
    stream.set_nodelay(true).unwrap();
    for byte in framed(&numbered(1)[0]) {
        stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(gist(&next(&mut stream).unwrap()), (0, 1));
}

#[test]
fn a_client_that_has_said_all_gets_its_answers() {
    let stage = Stage::new();
    let mut stream = tcp(stage.dns());
    let queries = numbered(50);
    let together: Vec<u8> = queries.iter().flat_map(|query| framed(query)).collect();
    stream.write_all(&together).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    for query in &queries {
        assert_eq!(next(&mut stream).unwrap()[..2], query[..2]);
    }
    assert_eq!(next(&mut stream), None);
}

#[test]
fn what_is_no_query_ends_its_connection() {
    let stage = Stage::new();
    let mut response = numbered(1)[0].clone();
    response[2] |= 0x80;
    let too_long = [0x10, 0x01];
    for bytes in [framed(&response), framed(b"short"), framed(b""), too_long.to_vec()] {
        let mut stream = tcp(stage.dns());
        let good = framed(&numbered(1)[0]);
        stream.write_all(&[&good, &bytes[..], &good].concat()).unwrap();
        assert!(next(&mut stream).is_some(), "what came before it is answered");
        assert_eq!(next(&mut stream), None, "{bytes:x?}");
    }
    stage.until(&["dns_connections_total", "tcp", "broken"], 4);
}

/// RFC 8484 §4: what is no DNS query has a status of HTTP.
#[tokio::test]
async fn https_says_what_is_wrong_with_a_request() {
    let stage = Stage::new();
    let query = numbered(1)[0].clone();
    let request = |method: Method, target: &str, kind: &str, content: Vec<u8>| {
        let builder = Request::builder().method(method).uri(format!("https://dns.test{target}"));
        let builder = builder.header("host", "dns.test").header("content-type", kind);
        builder.body(Full::<Bytes>::from(content)).unwrap()
    };
    let message = "application/dns-message";
    for alpn in [&b"h2"[..], b"http/1.1"] {
        let rows = [
            (Method::POST, "/dns-query", message, query.clone(), 200),
            (Method::POST, "/dns-query?dns=x", message, query.clone(), 200),
            (Method::POST, "/dns-query", "text/plain", query.clone(), 415),
            (Method::POST, "/dns-query", message, vec![0; 4097], 413),
            (Method::POST, "/dns-query", message, b"short".to_vec(), 400),
            (Method::POST, "/", message, query.clone(), 404),
            (Method::GET, "/dns-query", message, vec![], 400),
            (Method::GET, "/dns-query?dns=*", message, vec![], 400),
            (Method::PUT, "/dns-query", message, query.clone(), 405),
        ];
        for (method, target, kind, content, status) in rows {
            // One connection each: over HTTP/1.1 a refusal may end it.
            let mut client = Https::connect(&stage, alpn).await;
            let response = client.send(request(method.clone(), target, kind, content)).await;
            assert_eq!(response.status(), status, "{method} {target} {kind}");
            assert_eq!(response.headers().contains_key("allow"), status == 405);
        }
    }
}

/// RFC 9110 §9.3.2: the fields of the answer to GET, and no content.
#[tokio::test]
async fn https_answers_head_without_content() {
    let stage = Stage::new();
    for alpn in [&b"h2"[..], b"http/1.1"] {
        let mut client = Https::connect(&stage, alpn).await;
        let got = client.send(Https::get(&numbered(1)[0])).await;
        let mut head = Https::get(&numbered(1)[0]);
        *head.method_mut() = Method::HEAD;
        let answer = client.send(head).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.body().len(), 0);
        for field in ["content-type", "content-length", "cache-control"] {
            assert_eq!(answer.headers()[field], got.headers()[field], "{field}");
        }
        let again = client.send(Https::get(&numbered(1)[0])).await;
        assert_eq!(gist(again.body()), (0, 1));
    }
}

/// RFC 8484 §5.1: a response is fresh for no longer than its smallest TTL.
#[tokio::test]
async fn https_says_how_long_a_response_may_be_kept() {
    let stage = Stage::new();
    let mut client = Https::connect(&stage, b"h2").await;
    let rows = [("www.cdn.test", 60), ("mail.cdn.test", 300), ("long.cdn.test", 20)];
    for (name, seconds) in rows {
        let rtype = if name.starts_with("long") { 16 } else { 1 };
        let response = client.send(Https::get(&Query::new(name, rtype).bytes())).await;
        assert_eq!(response.headers()["cache-control"], format!("private, max-age={seconds}"));
    }
    let nowhere = client.send(Https::get(&Query::new("nowhere.cdn.test", 1).bytes())).await;
    assert_eq!(nowhere.headers()["cache-control"], "private, max-age=60", "RFC 2308 §5");
    let refused = client.send(Https::get(&Query::new("other.test", 1).bytes())).await;
    assert_eq!(refused.headers()["cache-control"], "private, max-age=0");
}

/// RFC 9250 §4.3.3: these end the connection.
#[tokio::test]
async fn quic_ends_a_connection_that_breaks_the_protocol() {
    let stage = Stage::new();
    let good = Query { id: 0, ..Query::new("www.cdn.test", 1) }.bytes();
    let two = [framed(&good), framed(&good)].concat();
    let mut less = framed(&good);
    less.pop();
    // RFC 7828 §3.1: a query has it without a time, a response with one.
    let keepalive = |data: &[u8]| {
        let query = Query { id: 0, ..Query::new("www.cdn.test", 1) };
        framed(&query.option(11, data).bytes())
    };
    let rows = [
        ("a keepalive", keepalive(&[])),
        ("a keepalive with a time", keepalive(&[0, 100])),
        ("ID other than 0", framed(&numbered(2)[1])),
        ("two messages", two),
        ("less than was announced", less),
        ("no length", vec![0]),
        ("nothing", vec![]),
        ("too long", vec![0; 5000]),
        ("no query", framed(&[0; 4])),
    ];
    let count = rows.len();
    for (row, bytes) in rows {
        let connection = quic(&stage).await;
        ask_quic(&connection, &good).await;
        assert_eq!(exchange_quic(&connection, &bytes).await, None, "{row}");
        match in_time(connection.closed()).await {
            quinn::ConnectionError::ApplicationClosed(close) => {
                assert_eq!(close.error_code, quinn::VarInt::from_u32(2), "{row}");
            }
            other => panic!("{row}: {other}"),
        }
    }
    stage.until(&["dns_connections_total", "quic", "broken"], count as u64);
}

/// RFC 9250 §5.5: a stream that is given up, or is slow, leaves the others alone.
#[tokio::test]
async fn quic_streams_do_not_wait_for_each_other() {
    let stage = Stage::new();
    let good = Query { id: 0, ..Query::new("www.cdn.test", 1) }.bytes();
    let connection = quic(&stage).await;
    let (mut slow, mut slow_answer) = connection.open_bi().await.unwrap();
    slow.write_all(&framed(&good)[..5]).await.unwrap();
    let (mut given_up, _) = connection.open_bi().await.unwrap();
    given_up.write_all(&framed(&good)[..5]).await.unwrap();
    given_up.reset(quinn::VarInt::from_u32(3)).unwrap();
    for _ in 0..300 {
        assert_eq!(gist(&ask_quic(&connection, &good).await), (0, 1));
    }
    slow.write_all(&framed(&good)[5..]).await.unwrap();
    slow.finish().unwrap();
    let answer = in_time(slow_answer.read_to_end(1000)).await.unwrap();
    assert_eq!(gist(&answer[2..]), (0, 1));
}

#[tokio::test]
async fn tls_carries_many_queries_at_once() {
    use tokio::io::AsyncWriteExt;

    let stage = Stage::new();
    let mut stream = tls(&stage, stage.addresses.tls[0], b"dot").await;
    let queries = numbered(300);
    let together: Vec<u8> = queries.iter().flat_map(|query| framed(query)).collect();
    stream.write_all(&together).await.unwrap();
    for query in &queries {
        assert_eq!(next_tls(&mut stream).await[..2], query[..2]);
    }
}

/// A new view is what the next query sees, on connections that were there before.
#[test]
fn a_connection_sees_what_was_published_since() {
    let stage = Stage::new();
    let mut stream = tcp(stage.dns());
    let query = numbered(1)[0].clone();
    let before = ask_tcp(&mut stream, &query);
    for _ in 0..100 {
        stage.shared.publish(crate::stage::served(), None);
        assert_eq!(ask_tcp(&mut stream, &query), before);
    }
    // What is retired goes as soon as every thread has looked again.
    let start = tokio::time::Instant::now();
    while stage.shared.sweep() > 0 {
        assert!(start.elapsed() < crate::stage::DEADLINE, "retired views stay");
        std::thread::yield_now();
    }
}

/// Standings belong to the snapshot that they were made for: a PoP is known by its place there.
#[test]
fn standings_of_another_snapshot_change_nothing() {
    use std::sync::Arc;

    use geodns_core::answer::Snapshot;

    let stage = Stage::new();
    let standings = Arc::new(stage.shared.view().served().standings().clone());
    let other: Arc<Snapshot> = crate::stage::snapshot();
    stage.shared.stand(&other, Arc::clone(&standings)).unwrap_err();
    let served = crate::stage::served_from(&other);
    stage.shared.publish(served, None);
    stage.shared.stand(&other, standings).unwrap();
    stage.shared.stand(&other, Arc::default()).unwrap_err();
    assert_eq!(stage.shared.view().served().standings().pops().len(), 3);
}
