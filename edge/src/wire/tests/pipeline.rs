//! Several requests on one connection, sent before their turn.

use super::*;
use crate::wire::Refusal;

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_in_order() {
    let mut server = Server::start();
    let paths: Vec<String> = (0..40).map(|n| format!("/{n}")).collect();
    let start = tokio::time::Instant::now();
    server.send(paths.iter().map(|path| get(path)).collect::<String>()).await;
    let mut received = server.receive_until("GET /39 0").await;
    assert_eq!(start.elapsed(), Duration::ZERO, "no deadline had to push them on");
    received.push_str(&server.receive_all().await);
    assert_eq!(server.targets(), paths);
    assert_eq!(received.matches("HTTP/1.1 200 OK").count(), 40);
    let places: Vec<_> =
        paths.iter().map(|path| received.find(&format!("GET {path} 0")).unwrap()).collect();
    assert!(places.is_sorted());
    assert_eq!(server.handle.stats().requests(), 40);
    assert_eq!(server.handle.stats().responses(), 40);
    assert_eq!(server.handle.stats().bytes_out(), received.len() as u64);
}

/// The refusal of the second request waits until the first one's response has left.
#[tokio::test(start_paused = true)]
async fn a_bad_request_after_a_good_one_is_refused_after_the_good_ones_response() {
    for path in ["/a", "/held", "/stream"] {
        let mut server = Server::start();
        server.send(format!("{}{}", get(path), "GET /b HTTP/1.1\r\nHost: a\nX: y\r\n\r\n")).await;
        server.send(get("/c")).await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        server.release.notify_one();
        let received = server.receive_all().await;
        assert!(received.starts_with("HTTP/1.1 200 OK"), "{path}: {received}");
        let (first, _) = received.split_once("HTTP/1.1 400 ").expect("the refusal");
        assert!(first.ends_with("0\r\n\r\n") || first.ends_with(" 0"), "{first}");
        assert!(received.ends_with("\r\n\r\n400 Bad Request\n"), "{received}");
        assert_eq!(server.targets(), [path]);
        assert_eq!(server.handle.stats().refusal(), Some(Refusal::LineEnd));
    }
}

/// Nothing of the next request reaches hyper while this one is served, so a handle counts one.
#[tokio::test(start_paused = true)]
async fn the_next_request_waits_for_this_ones_response() {
    let mut server = Server::start();
    server.send(format!("{}{}{}", get("/stream"), get("/b"), "GET /par")).await;
    server.receive_until("part0\r\n").await;
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.handle.stats().requests(), 1);
    server.release.notify_one();
    server.receive_until("GET /b 0").await;
    server.send("tial HTTP/1.1\r\nHost: a\r\n\r\n").await;
    server.receive_until("GET /partial 0").await;
    assert_eq!(server.targets(), ["/stream", "/b", "/partial"]);
}

#[tokio::test(start_paused = true)]
async fn response_bytes_are_those_of_the_current_final_response() {
    let mut server = Server::start();
    server.send(get("/hint")).await;
    let hint = server.receive_until("\r\n\r\n").await;
    let response = server.receive_until("GET /hint 0").await;
    assert_eq!(server.handle.stats().response_bytes(), response.len() as u64);
    server.send("HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let second = server.receive_until("\r\n\r\n").await;
    assert_eq!(server.handle.stats().response_bytes(), second.len() as u64);
    assert_eq!(
        server.handle.stats().bytes_out(),
        (hint.len() + response.len() + second.len()) as u64
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_follows_connect() {
    for behind in [get("/b").as_str(), ""] {
        let mut server = Server::start();
        let start = tokio::time::Instant::now();
        server.send(format!("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n{behind}")).await;
        server.receive_all().await;
        assert_eq!(server.targets(), ["a:443"]);
        assert_eq!(start.elapsed(), Duration::ZERO, "no deadline had to end it: {behind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn connection_close_ends_it_after_the_response() {
    let mut server = Server::start();
    let last = "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    server.send(format!("{last}{}", get("/b"))).await;
    let received = server.receive_all().await;
    assert_eq!(server.targets(), ["/a"]);
    assert!(received.ends_with("GET /a 0"), "{received}");
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_the_response_end_and_takes_no_other_request() {
    for (path, end) in [("/stream", "0\r\n\r\n"), ("/held", "GET /held 0")] {
        let mut server = Server::start();
        let start = tokio::time::Instant::now();
        server.send(get(path)).await;
        while server.targets().is_empty() {
            tokio::task::yield_now().await;
        }
        server.handle.drain();
        server.release.notify_one();
        let response = server.receive_all().await;
        assert!(response.ends_with(end), "{response}");
        assert_eq!(server.targets(), [path]);
        assert_eq!(start.elapsed(), Duration::ZERO, "no deadline had to end it");
    }

    let mut idle = Server::start();
    idle.send(get("/a")).await;
    idle.receive_until("GET /a 0").await;
    let before = tokio::time::Instant::now();
    idle.handle.drain();
    assert_eq!(idle.receive_all().await, "");
    assert_eq!(tokio::time::Instant::now(), before, "an idle connection ends at once");
}

#[tokio::test(start_paused = true)]
async fn abort_ends_whatever_is_under_way() {
    let mut server = Server::start();
    server.send(get("/stream")).await;
    server.receive_until("part0\r\n").await;
    server.handle.abort();
    assert_eq!(server.receive_all().await, "");
    assert!(server.outcome.await.unwrap().is_err());
}

/// A client that only ends its own side still gets what it asked for, if the server allows half-closing.
#[tokio::test(start_paused = true)]
async fn a_half_closed_client_gets_all_its_responses() {
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let deadlines = Deadlines::new(Duration::from_secs(1));
    let (io, _handle) = Io::new(server, &[], Never, Arc::new(limits()), &deadlines);
    let service = service_fn(|_| async {
        tokio::task::yield_now().await;
        Ok::<_, Infallible>(respond("yes"))
    });
    tokio::spawn(http1::Builder::new().half_close(true).serve_connection(io, service));
    client.write_all(get("/").repeat(3).as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let mut received = String::new();
    client.read_to_string(&mut received).await.unwrap();
    assert_eq!(received.matches("\r\n\r\nyes").count(), 3, "{received}");
}

/// RFC 9112 §2.2: an empty line before a request line is skipped, before each request anew.
#[tokio::test(start_paused = true)]
async fn an_empty_line_may_come_before_each_request() {
    let mut server = Server::start();
    server.send(format!("\r\n{}\r\n{}\r", get("/a"), get("/b"))).await;
    server.receive_until("GET /b 0").await;
    server.send(format!("\n{}", get("/c"))).await;
    server.receive_until("GET /c 0").await;
    assert_eq!(server.handle.stats().refusal(), None);
}

/// RFC 9112 §6.3: the response to HEAD announces content that does not come.
#[tokio::test(start_paused = true)]
async fn a_request_after_head_is_answered_at_once() {
    let mut server = Server::start();
    let start = tokio::time::Instant::now();
    server.send(format!("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n{}", get("/b"))).await;
    let received = server.receive_until("GET /b 0").await;
    assert!(received.contains("content-length: 9\r\n"), "{received}");
    assert_eq!(start.elapsed(), Duration::ZERO);
}
