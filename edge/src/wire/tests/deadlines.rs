//! The deadlines, under a clock that the tests move.

use super::*;
use crate::wire::{Refusal, Timeout};

const TICK: Duration = Duration::from_secs(1);

/// How long the connection lived, and what it left behind.
async fn lifetime(server: &mut Server) -> (Duration, String) {
    let start = tokio::time::Instant::now();
    let rest = server.receive_all().await;
    (start.elapsed(), rest)
}

fn assert_between(lived: Duration, deadline: Duration) {
    assert!(lived >= deadline, "{lived:?} is before {deadline:?}");
    assert!(lived <= deadline + TICK * 2, "{lived:?} is long after {deadline:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_sends_nothing_is_closed_in_silence() {
    let mut server = Server::start();
    let (lived, received) = lifetime(&mut server).await;
    assert_between(lived, limits().header_timeout);
    assert_eq!(received, "");
    assert_eq!(server.handle.stats().timeout(), Some(Timeout::Header));
    assert!(server.outcome.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_end_gets_408() {
    let mut server = Server::start();
    server.send("GET / HTTP/1.1\r\nHost").await;
    let (lived, received) = lifetime(&mut server).await;
    // The client does not close either, so lingering runs out as well.
    assert_between(lived, limits().header_timeout);
    assert!(received.starts_with("HTTP/1.1 408 "), "{received}");
    assert_eq!(server.handle.stats().refusal(), Some(Refusal::HeaderTimeout));
    assert_eq!(server.seen(), []);
}

/// Octets that trickle do not push the deadline away.
#[tokio::test(start_paused = true)]
async fn a_trickling_head_gets_408_all_the_same() {
    for warm in [false, true] {
        let mut server = Server::start();
        if warm {
            server.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
            server.receive_until("GET /a 0").await;
            tokio::time::advance(Duration::from_secs(30)).await;
        }
        let start = tokio::time::Instant::now();
        let head = format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(100));
        for octet in head.bytes() {
            if server.client.write_u8(octet).await.is_err() {
                break;
            }
            tokio::time::advance(Duration::from_millis(500)).await;
            tokio::task::yield_now().await;
            if server.handle.stats().refusal().is_some() {
                break;
            }
        }
        assert_eq!(server.handle.stats().refusal(), Some(Refusal::HeaderTimeout), "warm: {warm}");
        assert_between(start.elapsed(), limits().header_timeout);
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_in_silence_after_idle_timeout() {
    let mut server = Server::start();
    for path in ["/a", "/b"] {
        server.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        server.receive_until(&format!("GET {path} 0")).await;
        tokio::time::advance(limits().idle_timeout - TICK * 2).await;
    }
    let (lived, received) = lifetime(&mut server).await;
    assert!(lived <= TICK * 4, "{lived:?}");
    assert_eq!(received, "");
    assert_eq!(server.handle.stats().timeout(), Some(Timeout::Idle));
}

/// While the service works no deadline of ours runs.
#[tokio::test(start_paused = true)]
async fn a_slow_service_is_not_our_deadline() {
    let mut server = Server::start();
    server.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n").await;
    for _ in 0..100 {
        tokio::time::sleep_until(tokio::time::Instant::now() + Duration::from_secs(60)).await;
    }
    server.release.notify_one();
    server.receive_until("GET /held 0").await;
}

#[tokio::test(start_paused = true)]
async fn stalled_content_gets_408_and_breaks_the_services_body() {
    for request in [
        "POST /in HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhello",
        "POST /in HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    ] {
        let mut server = Server::start();
        server.send(request).await;
        let (lived, received) = lifetime(&mut server).await;
        assert_between(lived, limits().body_timeout);
        assert!(received.starts_with("HTTP/1.1 408 "), "{received}");
        assert_eq!(server.handle.stats().timeout(), Some(Timeout::Body));
        assert_eq!(server.seen()[0].content, None);
    }
}

#[tokio::test(start_paused = true)]
async fn content_that_flows_may_take_long() {
    let mut server = Server::start();
    let step = "x".repeat(16 * 1024);
    let length = 20 * step.len() + 5;
    server.send(format!("POST /in HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")).await;
    for piece in std::iter::repeat_n(step.as_str(), 20).chain(["x".repeat(5).as_str()]) {
        tokio::time::sleep_until(tokio::time::Instant::now() + limits().body_timeout - TICK).await;
        server.send(piece).await;
    }
    server.receive_until(&format!("POST /in {length}")).await;
}

/// One octet now and then would hold for days what the service holds for the request.
#[tokio::test(start_paused = true)]
async fn trickled_content_gets_408() {
    for request in [
        "POST /in HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n",
        "POST /in HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n",
    ] {
        let mut server = Server::start();
        server.send(request).await;
        let start = tokio::time::Instant::now();
        while server.handle.stats().refusal().is_none() {
            assert!(start.elapsed() < limits().body_timeout * 3, "it goes on");
            tokio::time::advance(limits().body_timeout / 30).await;
            drop(server.client.write_all(b"x").await);
            tokio::task::yield_now().await;
        }
        assert_eq!(server.handle.stats().refusal(), Some(Refusal::BodyTimeout));
        assert_between(start.elapsed(), limits().body_timeout);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stalls_is_cut_off() {
    // The pipe takes less than the response, and nobody reads.
    let mut server = Server::with(limits(), 64);
    server.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let start = tokio::time::Instant::now();
    let outcome = (&mut server.outcome).await.unwrap();
    assert!(outcome.is_err());
    assert_between(start.elapsed(), limits().write_timeout);
    assert_eq!(server.handle.stats().timeout(), Some(Timeout::Write));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_slow_but_moves_gets_everything() {
    let mut server = Server::with(limits(), 64);
    server.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut received = Vec::new();
    while !received.ends_with(b"GET /a 0") {
        tokio::time::sleep_until(tokio::time::Instant::now() + limits().write_timeout - TICK * 2)
            .await;
        let mut piece = [0; 20];
        let bytes = server.client.read(&mut piece).await.unwrap();
        assert!(bytes > 0, "ended early");
        received.extend_from_slice(&piece[..bytes]);
    }
}

/// The clock of a stall that is over does not run on into the next one.
#[tokio::test(start_paused = true)]
async fn a_stall_counts_from_its_own_beginning() {
    let mut server = Server::with(limits(), 64);
    for _ in 0..3 {
        server.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
        tokio::time::sleep_until(tokio::time::Instant::now() + limits().write_timeout / 2).await;
        server.receive_until("GET /a 0").await;
        server.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n").await;
        tokio::time::sleep_until(tokio::time::Instant::now() + limits().write_timeout * 2).await;
        server.release.notify_one();
        server.receive_until("GET /held 0").await;
    }
}

#[tokio::test(start_paused = true)]
async fn lingering_ends_by_its_deadline() {
    let mut server = Server::start();
    server.send("nonsense\r\n\r\n").await;
    server.receive_all().await;
    let start = tokio::time::Instant::now();
    (&mut server.outcome).await.unwrap().unwrap();
    assert_between(start.elapsed(), limits().linger_timeout);
    assert_eq!(server.handle.stats().timeout(), Some(Timeout::Linger));
}

#[tokio::test(start_paused = true)]
async fn an_ended_connection_leaves_the_register() {
    let deadlines = Deadlines::new(TICK);
    let open = || {
        let (client, server) = tokio::io::duplex(64);
        (client, Io::new(server, &[], Never, Arc::new(limits()), &deadlines))
    };
    let (first, second) = (open(), open());
    assert_eq!(deadlines.connections(), 2);
    drop(first);
    assert_eq!(deadlines.connections(), 1);
    let third = open();
    assert_eq!(deadlines.connections(), 2);
    drop((second, third));
    assert_eq!(deadlines.connections(), 0);
}
