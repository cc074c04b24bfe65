//! Keep-alive, pipelining, expectations and when a request's content is read.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::{Client, DEADLINE, origin_of};
use crate::connection::{self, Transport};
use crate::script::{Body, Expect, Pace, RequestContent, Step};

const EXPECTING: &str =
    "POST / HTTP/1.1\r\nHost: o\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn a_connection_stays_until_the_client_says_otherwise() {
    let origin = origin_of([Step::text("x")]);
    let mut client = Client::connect(&origin);
    for _ in 0..3 {
        assert!(client.get("/").await.fields("Connection").is_empty());
    }
    assert_eq!(client.get_with("/", "Connection: x, Close").await.field("Connection"), "close");
    assert_eq!(client.rest().await, b"");
    assert_eq!(origin.recorder().stats().connections_opened, 1);
    let mut old = Client::connect(&origin);
    old.ask("GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.rest().await, b"");
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_in_order() {
    let body = Body::Template("{n} {target}".into());
    let delayed = Step { head_delay: Duration::from_secs(1), body, ..Step::default() };
    let origin = origin_of([delayed]);
    let mut client = Client::connect(&origin);
    let posts = "POST /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
    client.send(format!("GET /a HTTP/1.1\r\n\r\n{posts}\r\nGET /c HTTP/1.1\r\n\r\n")).await;
    for expected in ["1 /a", "2 /b", "3 /c"] {
        client.head().await;
        assert_eq!(client.exactly(4).await, expected.as_bytes());
    }
    assert_eq!(origin.recorder().requests()[1].content, "abc");
}

#[tokio::test(start_paused = true)]
async fn pipelining_without_end_is_held_back() {
    let origin = origin_of([Step { never: true, ..Step::default() }]);
    let mut client = Client::connect(&origin);
    let flood = "GET / HTTP/1.1\r\n\r\n".repeat(100_000);
    let sent = tokio::time::timeout(DEADLINE, client.io.write_all(flood.as_bytes())).await;
    assert!(sent.is_err(), "an origin that does not answer took it all");
}

#[tokio::test(start_paused = true)]
async fn an_expectation_is_met_before_the_content_comes() {
    let origin = origin_of([Step::text("x")]);
    let mut client = Client::connect(&origin);
    client.send(EXPECTING).await;
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("abcd").await;
    assert!(client.head().await.starts_with("HTTP/1.1 200"));
    assert_eq!(origin.recorder().requests()[0].content, "abcd");
}

#[tokio::test(start_paused = true)]
async fn an_expectation_can_be_ignored_or_refused() {
    let silent = origin_of([Step { expect: Expect::Silent, ..Step::text("x") }]);
    let mut client = Client::connect(&silent);
    client.send(EXPECTING).await;
    silent.recorder().wait_for_heads(1, DEADLINE).await.unwrap();
    assert!(tokio::time::timeout(DEADLINE / 2, client.head()).await.is_err());
    client.send("abcd").await;
    assert!(client.head().await.starts_with("HTTP/1.1 200"));

    let request_content = RequestContent::Ignored;
    let refuses = origin_of([Step { request_content, ..Step::status(403) }]);
    let mut client = Client::connect(&refuses);
    client.send(EXPECTING).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 403") && head.contains("Connection: close"), "{head}");
    assert_eq!(client.rest().await, b"");
    assert!(!refuses.recorder().requests()[0].complete);
}

#[tokio::test(start_paused = true)]
async fn a_response_can_come_before_the_requests_content() {
    let request_content = RequestContent::After;
    let origin = origin_of([Step { request_content, ..Step::text("early") }]);
    let mut client = Client::connect(&origin);
    client.send("POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n").await;
    client.head().await;
    assert_eq!(client.exactly(5).await, b"early");
    client.send("abcd").await;
    origin.recorder().wait_for(1, DEADLINE).await.unwrap();
    assert_eq!(client.get("/").await.text(), "early");
}

#[tokio::test(start_paused = true)]
async fn a_request_can_be_read_slowly() {
    let request_pace = Some(Pace { bytes: 1000, every: Duration::from_secs(1) });
    let origin = origin_of([Step { request_pace, ..Step::text("x") }]);
    let mut client = Client::connect_with(&origin, 1000);
    let begun = tokio::time::Instant::now();
    let content = "x".repeat(50_000);
    client.send(format!("POST / HTTP/1.1\r\nContent-Length: 50000\r\n\r\n{content}")).await;
    assert!(begun.elapsed().as_secs() >= 30, "{:?}", begun.elapsed());
    client.head().await;
    assert!(begun.elapsed().as_secs() >= 50, "{:?}", begun.elapsed());
}

/// On TCP, octets that nobody reads would turn the close into a reset.
#[tokio::test(start_paused = true)]
async fn after_a_close_the_peer_is_listened_to_for_a_while() {
    let origin = origin_of([Step { close: true, ..Step::text("x") }]);
    let (io, far) = tokio::io::duplex(1024);
    let serving = tokio::spawn(async move {
        let transport = Transport { reset: |_| (), linger: Some(Duration::from_secs(1)) };
        connection::serve(&origin.0, far, transport).await;
    });
    let mut client = Client { io, seen: Vec::new() };
    client.get("/").await;
    assert_eq!(client.rest().await, b"");
    client.send("x".repeat(100_000)).await;
    let begun = tokio::time::Instant::now();
    serving.await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 1);
}
