//! Request content: where it ends, and what happens when it does not.

use super::*;
use crate::wire::Refusal::{self, *};

fn chunked(content: &str) -> String {
    format!("POST /in HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{content}")
}

const NEXT: &str = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

/// RFC 9112 §7.1: the content ends where the coding says, and the next request is the next request.
#[tokio::test(start_paused = true)]
async fn good_content_arrives_and_ends_where_it_ends() {
    let length = |content: &str| {
        format!(
            "POST /in HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{content}",
            content.len()
        )
    };
    let large = "x".repeat(50_000);
    let forty = "x".repeat(40);
    let table = [
        ("length 0", length(""), "", 0),
        ("length 5", length("hello"), "hello", 0),
        ("content that looks like a request", length(NEXT), NEXT, 0),
        ("large", length(&large), &large, 0),
        ("one chunk", chunked("5\r\nhello\r\n0\r\n\r\n"), "hello", 0),
        ("chunks", chunked("1\r\na\r\n002\r\nbc\r\n0\r\n\r\n"), "abc", 0),
        (
            "hexadecimal in both cases",
            chunked("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n"),
            "01234567890123456789",
            0,
        ),
        (
            "more chunks than a size has digits",
            chunked(&format!("{}0\r\n\r\n", "1\r\nx\r\n".repeat(40))),
            &forty,
            0,
        ),
        ("zeros", chunked("0000\r\n\r\n"), "", 0),
        (
            "extension",
            chunked("1;a\r\nx\r\n1;b=c\r\ny\r\n1 ; d=\"e\"\r\nz\r\n0;f\r\n\r\n"),
            "xyz",
            0,
        ),
        ("trailers", chunked("1\r\nx\r\n0\r\nX-Sum: 1\r\nY: \r\n\r\n"), "x", 2),
        (
            "data that looks like an end",
            chunked("7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n"),
            "\r\n0\r\n\r\n",
            0,
        ),
    ];
    for pieces in [usize::MAX, 1000, 3, 1] {
        for (name, request, content, trailers) in &table {
            if request.len() > 10_000 && pieces < 1000 {
                continue;
            }
            let mut server = Server::start();
            for piece in format!("{request}{NEXT}").as_bytes().chunks(pieces) {
                server.send(piece).await;
                tokio::task::yield_now().await;
            }
            let received = server.receive_all().await;
            assert_eq!(received.matches("HTTP/1.1 200 OK").count(), 2, "{name}: {received}");
            let seen = server.seen();
            assert_eq!(seen.len(), 2, "{name}");
            assert_eq!(seen[0].content.as_deref(), Some(content.as_bytes()), "{name}");
            assert_eq!(seen[0].trailers, *trailers, "{name}");
            assert_eq!(seen[1].target, "/next", "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn broken_chunks_are_refused_and_nothing_follows_them() {
    let extension = format!("1;{}\r\nx\r\n", "a".repeat(1000)).repeat(5);
    let trailers = "X: aaaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(19).repeat(16);
    let many = "X: a\r\n".repeat(21);
    let table: Vec<(&str, String, Refusal)> = vec![
        ("9112 7.1: no size", "\r\n".into(), Chunk),
        ("9112 7.1: not hexadecimal", "g\r\n".into(), Chunk),
        ("9112 7.1: 0x", "0x1\r\nx\r\n0\r\n\r\n".into(), Chunk),
        ("9112 7.1: sign", "+1\r\nx\r\n0\r\n\r\n".into(), Chunk),
        ("9112 7.1: space before the size", " 1\r\nx\r\n0\r\n\r\n".into(), Chunk),
        ("9112 7.1: space after the size", "1 \r\nx\r\n0\r\n\r\n".into(), Chunk),
        ("9112 7.1: underscore", "1_0\r\nx\r\n0\r\n\r\n".into(), Chunk),
        ("9112 7.1: overflow", "10000000000000000\r\nx".into(), Chunk),
        ("9112 7.1: digits without end", "0".repeat(40), Chunk),
        ("9112 7.1: bare LF after the size", "1\nx\r\n0\r\n\r\n".into(), Chunk),
        ("9112 7.1: bare CR after the size", "1\rx\r\n0\r\n\r\n".into(), Chunk),
        ("9112 7.1: bare LF in an extension", "1;a\nx\r\n0\r\n\r\n".into(), Chunk),
        ("9112 7.1: CR in an extension", "1;a\rb\r\nx\r\n0\r\n\r\n".into(), Chunk),
        ("9112 7.1: NUL in an extension", "1;\0\r\nx\r\n0\r\n\r\n".into(), Chunk),
        ("9112 7.1: data overruns", "1\r\nxy\r\n0\r\n\r\n".into(), Chunk),
        ("9112 7.1: data ends in LF", "1\r\nx\n0\r\n\r\n".into(), Chunk),
        ("9112 7.1: data ends in CR CR", "1\r\nx\r\r0\r\n\r\n".into(), Chunk),
        ("9112 7.1.1: oversized extensions", extension, ChunkExtension),
        ("9110 6.5.1: Content-Length", "0\r\nContent-Length: 1\r\n\r\n".into(), Trailer),
        ("9110 6.5.1: Host", "0\r\nhost: b\r\n\r\n".into(), Trailer),
        ("9110 6.5.1: coding", "0\r\nTransfer-Encoding: chunked\r\n\r\n".into(), Trailer),
        ("9112 7.1.2: bare LF", "0\r\nX: a\n\r\n".into(), LineEnd),
        ("9112 7.1.2: LF ends the section", "0\r\n\n".into(), LineEnd),
        ("9112 5.2: folded trailer", "0\r\nX: a\r\n b\r\n\r\n".into(), Fold),
        ("9112 5.1: space before the colon", "0\r\nX : a\r\n\r\n".into(), FieldName),
        ("trailer bytes", format!("0\r\n{trailers}\r\n"), TrailerBytes),
        ("trailer fields", format!("0\r\n{many}\r\n"), TrailerBytes),
    ];
    for pieces in [usize::MAX, 1] {
        for (name, content, expected) in &table {
            let mut server = Server::start();
            for piece in format!("{}{NEXT}", chunked(content)).as_bytes().chunks(pieces) {
                server.send(piece).await;
                tokio::task::yield_now().await;
            }
            let received = server.receive_all().await;
            assert_eq!(server.handle.stats().refusal(), Some(*expected), "{name}");
            let start = format!("HTTP/1.1 {} ", expected.status());
            assert!(received.starts_with(&start), "{name}: {received}");
            assert_eq!(received.matches("HTTP/1.1").count(), 1, "{name}: {received}");
            let seen = server.seen();
            assert_eq!(seen.len(), 1, "{name}");
            assert_eq!(seen[0].content, None, "{name}: broken content is never complete");
        }
    }
}

/// A response that has begun is not torn apart by a refusal.
#[tokio::test(start_paused = true)]
async fn broken_content_after_the_response_has_begun_only_ends_the_connection() {
    let mut server = Server::start();
    server.send(chunked("1\r\nx\r\n").replace("/in", "/early")).await;
    let first = server.receive_until("early").await;
    assert!(first.starts_with("HTTP/1.1 200 "), "{first}");
    server.send("zz\r\n").await;
    assert_eq!(server.receive_all().await, "");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_ends_inside_its_content_breaks_it_off() {
    for request in [
        "POST /in HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhello".to_owned(),
        chunked("5\r\nhello\r\n"),
        chunked("5\r\nhello\r\n0\r\n"),
    ] {
        let mut server = Server::start();
        server.send(request).await;
        server.client.shutdown().await.unwrap();
        server.receive_all().await;
        assert_eq!(server.seen()[0].content, None);
    }
}

/// RFC 9112 §9.6: the response to a request whose content nobody reads is not lost to a reset.
#[tokio::test(start_paused = true)]
async fn unread_content_is_lingered_over() {
    let mut server = Server::with(limits(), 512);
    server.send("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n").await;
    server.receive_until("early").await;
    // The pipe is far smaller than this: it goes through only if somebody reads.
    server.send("x".repeat(90_000)).await;
    assert_eq!(server.receive_all().await, "");
    // All but what may still be in the pipe.
    assert!(server.handle.stats().bytes_in() >= 90_000 - 512);
}

#[tokio::test(start_paused = true)]
async fn lingering_has_a_limit_of_bytes() {
    let mut server = Server::with(Limits { linger_bytes_max: 1000, ..limits() }, 512);
    server.send("GET / HTTP/1.1\r\n\r\n").await;
    let mut sent = 0;
    while server.client.write_all(&[b'x'; 100]).await.is_ok() {
        sent += 100;
        assert!(sent < 10_000, "it reads on and on");
    }
    assert!(sent >= 1000);
}
