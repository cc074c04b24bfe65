//! Interim responses: between hyper's flushes, for their own request, once.

use super::*;
use crate::wire::InterimError;

const HINT: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn an_interim_response_leaves_before_the_final_one_without_framing_fields() {
    let mut server = Server::start();
    server.send("GET /hint HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3)).await;
    let received = server.receive_all().await;
    let parts: Vec<_> = received.split(HINT).collect();
    assert_eq!(parts.len(), 4, "{received}");
    assert_eq!(parts[0], "");
    assert!(parts[1..].iter().all(|part| part.starts_with("HTTP/1.1 200 OK\r\n")), "{received}");
}

#[tokio::test(start_paused = true)]
async fn it_leaves_while_the_service_still_works_and_from_any_task() {
    let mut server = Server::start();
    server.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n").await;
    while server.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    let interim = server.handle.interim();
    tokio::spawn(async move { interim.send(StatusCode::PROCESSING, &HeaderMap::new()).unwrap() });
    assert_eq!(server.receive_until("\r\n\r\n").await, "HTTP/1.1 102 Processing\r\n\r\n");
    server.release.notify_one();
    assert!(server.receive_until("GET /held 0").await.starts_with("HTTP/1.1 200 "));
}

/// RFC 9110 §15.2: never to an HTTP/1.0 client.
#[tokio::test(start_paused = true)]
async fn an_http_10_client_gets_none() {
    let mut server = Server::start();
    server.send("GET /hint HTTP/1.0\r\n\r\n").await;
    let received = server.receive_all().await;
    assert!(received.starts_with("HTTP/1.0 200 OK"), "{received}");
    assert!(received.ends_with("Err(Version)"), "{received}");
}

#[tokio::test(start_paused = true)]
async fn it_falls_silent_with_its_request() {
    let mut server = Server::start();
    let early = server.handle.interim();
    assert_eq!(early.send(StatusCode::EARLY_HINTS, &HeaderMap::new()), Err(InterimError::Late));
    server.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n").await;
    server.receive_until("part0\r\n").await;
    let during = server.handle.interim();
    assert_eq!(during.send(StatusCode::EARLY_HINTS, &HeaderMap::new()), Err(InterimError::Late));
    server.release.notify_one();
    server.receive_until("0\r\n\r\n").await;
    server.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n").await;
    while server.seen().len() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(during.send(StatusCode::EARLY_HINTS, &HeaderMap::new()), Err(InterimError::Late));
    let now = server.handle.interim();
    assert_eq!(now.send(StatusCode::EARLY_HINTS, &HeaderMap::new()), Ok(()));
    server.release.notify_one();
    let last = server.receive_until("GET /held 0").await;
    assert_eq!(last.matches("HTTP/1.1 103 ").count(), 1, "{last}");
    assert_eq!(now.send(StatusCode::EARLY_HINTS, &HeaderMap::new()), Err(InterimError::Late));
}

#[tokio::test(start_paused = true)]
async fn only_interim_statuses_and_only_so_many_bytes() {
    let mut server = Server::with(Limits { interim_bytes_max: 100, ..limits() }, 1024);
    server.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n").await;
    while server.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    let interim = server.handle.interim();
    for status in [StatusCode::OK, StatusCode::SWITCHING_PROTOCOLS, StatusCode::BAD_REQUEST] {
        assert_eq!(interim.send(status, &HeaderMap::new()), Err(InterimError::Status));
    }
    let mut fields = HeaderMap::new();
    fields.insert("link", "a".repeat(50).parse().unwrap());
    assert_eq!(interim.send(StatusCode::EARLY_HINTS, &fields), Ok(()));
    assert_eq!(interim.send(StatusCode::EARLY_HINTS, &fields), Err(InterimError::Full));
    server.receive_until("\r\n\r\n").await;
    assert_eq!(interim.send(StatusCode::EARLY_HINTS, &fields), Ok(()));
}

/// RFC 9110 §10.1.1: hyper sends a 100 when the service first reads; the service may have sent one. One goes out.
#[tokio::test(start_paused = true)]
async fn exactly_one_100_goes_out() {
    for path in ["/in", "/continue"] {
        let mut server = Server::start();
        for _ in 0..2 {
            server
                .send(format!(
                    "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
                ))
                .await;
            assert_eq!(server.receive_until("\r\n\r\n").await, CONTINUE, "{path}");
            server.send("hello").await;
            let response = server.receive_until(&format!("POST {path} 5")).await;
            assert!(response.starts_with("HTTP/1.1 200 OK"), "{path}: {response}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_did_not_wait_or_is_not_read_gets_a_whole_response() {
    for (path, head) in [("/in", 1), ("/continue", 1), ("/early", 0)] {
        let mut server = Server::start();
        server
            .send(format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello"
            ))
            .await;
        let received = server.receive_all().await;
        assert_eq!(received.matches(CONTINUE).count(), head, "{path}: {received}");
        assert_eq!(received.matches("HTTP/1.1 200 OK").count(), 1, "{path}: {received}");
    }
}

/// The pipe takes a few octets at a time, so that every head is written in pieces.
#[tokio::test(start_paused = true)]
async fn pieces_do_not_confuse_the_order() {
    for pipe in [1, 2, 5, 11, 26] {
        let mut server = Server::with(limits(), pipe);
        let request = "GET /hint HTTP/1.1\r\nHost: a\r\n\r\n";
        for _ in 0..3 {
            server.send(request).await;
            assert_eq!(server.receive_until("\r\n\r\n").await, HINT, "{pipe}");
            let response = server.receive_until("GET /hint 0").await;
            assert!(response.starts_with("HTTP/1.1 200 OK"), "{pipe}: {response}");
            assert_eq!(server.handle.stats().response_bytes(), response.len() as u64);
        }
    }
}
