//! Clients that go away while they wait, behind bytes that nobody reads.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout};

use super::*;

/// Longer than any look takes to come round.
const SOON: Duration = Duration::from_secs(3);

/// A pipe that says when it is told to that its client has gone.
struct Leaving {
    io: DuplexStream,
    has_left: Arc<AtomicBool>,
    has_unread: Arc<AtomicBool>,
}

impl AsyncRead for Leaving {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Leaving {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl Stream for Leaving {
    fn has_ended(&self) -> bool {
        self.has_left.load(Ordering::Relaxed)
    }

    fn has_unread(&self) -> bool {
        self.has_unread.load(Ordering::Relaxed)
    }
}

/// A server whose pipe is told when its client has gone.
fn start() -> (Server, Arc<AtomicBool>) {
    let (client, io) = tokio::io::duplex(256 * 1024);
    let (has_left, has_unread): (Arc<AtomicBool>, _) = Default::default();
    let stream = Leaving { io, has_left: Arc::clone(&has_left), has_unread };
    (Server::over(stream, client, Never, limits()), has_left)
}

async fn until_seen(server: &Server) {
    while server.targets().is_empty() {
        tokio::task::yield_now().await;
    }
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_is_missed_at_once_behind_what_it_sent_early() {
    let next = "GET /b HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100);
    let get = "GET /held HTTP/1.1\r\nHost: a\r\n\r\n";
    let post = "POST /held HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    for (request, tail) in
        [(get, ""), (get, "G"), (get, "\r\n"), (get, &next), (post, ""), (post, "G")]
    {
        let mut server = Server::start();
        let start = Instant::now();
        server.send(format!("{request}{tail}")).await;
        until_seen(&server).await;
        drop(server.client);
        let ended = timeout(SOON, server.outcome).await;
        assert!(ended.is_ok_and(|ended| ended.unwrap().is_err()), "{tail:?}");
        assert_eq!(start.elapsed(), Duration::ZERO, "{tail:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_is_missed_soon_behind_what_is_not_read() {
    let post = |framing: &str| format!("POST /held HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
    let get = "GET /held HTTP/1.1\r\nHost: a\r\n\r\n".to_owned();
    let rows = [
        (post("Content-Length: 30"), "x".repeat(3)),
        (post("Content-Length: 90000"), "x".repeat(90_000)),
        (post("Transfer-Encoding: chunked"), "3\r\nabc\r\n".to_owned()),
        // More than is read ahead.
        (get, "G".repeat(40_000)),
    ];
    for ((head, more), is_apart) in rows.iter().flat_map(|row| [(row, false), (row, true)]) {
        let name = format!("{head} apart: {is_apart}");
        let (mut server, has_left) = start();
        server.send(head).await;
        if is_apart {
            until_seen(&server).await;
        }
        server.send(more).await;
        until_seen(&server).await;
        assert!(timeout(SOON * 20, &mut server.outcome).await.is_err(), "nobody has gone: {name}");
        has_left.store(true, Ordering::Relaxed);
        let ended = timeout(SOON, server.outcome).await;
        assert!(ended.is_ok_and(|ended| ended.unwrap().is_err()), "{name}");
    }
}

/// A look is for who waits: content that is read and a response on its way have their own deadlines.
#[tokio::test(start_paused = true)]
async fn a_client_that_waited_is_served_as_ever() {
    let (mut server, _) = start();
    server.send("POST /held HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc").await;
    until_seen(&server).await;
    timeout(SOON, std::future::pending::<()>()).await.unwrap_err();
    server.release.notify_one();
    server.send("def").await;
    server.receive_until("POST /held 6").await;
    server.send("GET /b HTTP/1.1\r\nHost: a\r\n\r\n").await;
    server.receive_until("GET /b 0").await;
    assert_eq!(server.handle.stats().timeout(), None);
}

/// RFC 9112 §9.5: a request that is here already could not know better, seen by the runtime or not.
#[tokio::test(start_paused = true)]
async fn a_request_that_came_before_the_drain_is_served() {
    let get = "GET /b HTTP/1.1\r\nHost: a\r\n\r\n";
    let post = "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    for (request, is_known) in [(get, true), (post, true), (get, false), (post, false)] {
        let (client, io) = tokio::io::duplex(256 * 1024);
        let (has_left, has_unread): (_, Arc<AtomicBool>) = Default::default();
        let stream = Leaving { io, has_left, has_unread: Arc::clone(&has_unread) };
        let mut server = Server::over(stream, client, Never, limits());
        server.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
        server.receive_until("GET /a 0").await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        let start = Instant::now();
        if is_known {
            server.send(request).await;
            server.handle.drain();
        } else {
            has_unread.store(true, Ordering::Relaxed);
            server.handle.drain();
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            has_unread.store(false, Ordering::Relaxed);
            server.send(request).await;
        }
        let received = server.receive_all().await;
        assert!(received.contains(" /b "), "{request}, known: {is_known}: {received:?}");
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(server.targets(), ["/a", "/b"]);
    }
}

/// RFC 9112 §9.6: bytes that nobody has read make a close a reset, which takes the end of the response along.
#[tokio::test(start_paused = true)]
async fn a_last_response_is_lingered_over_if_more_is_here() {
    for is_known in [true, false] {
        let (client, io) = tokio::io::duplex(256 * 1024);
        let (has_left, has_unread): (_, Arc<AtomicBool>) = Default::default();
        let stream = Leaving { io, has_left, has_unread: Arc::clone(&has_unread) };
        let mut server = Server::over(stream, client, Never, limits());
        server.send("GET /held HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        until_seen(&server).await;
        // Nothing is read any more once the response has begun.
        if !is_known {
            has_unread.store(true, Ordering::Relaxed);
        }
        server.release.notify_one();
        if is_known {
            server.send("GET /b HTTP/1.1\r\n").await;
        }
        server.receive_until("GET /held 0").await;
        assert!(server.receive_all().await.is_empty());
        assert!(timeout(SOON / 2, &mut server.outcome).await.is_err(), "it closes: {is_known}");
        drop(server.client);
        server.outcome.await.unwrap().unwrap();
    }
}
