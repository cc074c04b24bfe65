//! What is no HTTP gets a status or a close, and never a panic.

use super::{Client, clock, origin_of};
use crate::origin::{Origin, Settings};
use crate::pattern;
use crate::script::{Script, Step};

#[tokio::test(start_paused = true)]
async fn bad_requests_get_400_and_a_close() {
    let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let rows = [
        "\u{16}\u{3}\u{1}\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nNo colon\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nA: b\r\n fold\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n".to_owned(),
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
        format!("{chunked}zz\r\n"),
        format!("{chunked}3\r\nabcdef\r\n"),
        format!("{chunked}0\r\nbad trailer\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(1000)),
    ];
    for request in rows {
        let origin = origin_of([Step::text("x")]);
        let mut client = Client::connect(&origin);
        client.send(&request).await;
        let response = client.rest_text().await;
        assert!(response.starts_with("HTTP/1.1 400 "), "{request:?}: {response}");
        assert_eq!(origin.recorder().stats().requests_bad, 1, "{request:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn heads_and_trailers_have_a_limit() {
    let settings = Settings { head_bytes_max: 1000, ..Settings::default() };
    let long = "x".repeat(2000);
    let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let rows = [
        format!("GET /{long} HTTP/1.1\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nA: {long}"),
        format!("{chunked}0\r\nT: {long}"),
        format!("{chunked}5;{}", "x".repeat(5000)),
    ];
    for request in rows {
        let script = Script::new().route("/*", [Step::text("x")]);
        let origin = Origin::scripted(script, clock(), settings).unwrap();
        let mut client = Client::connect(&origin);
        client.send(&request).await;
        assert!(client.rest_text().await.starts_with("HTTP/1.1 431 "), "{request}");
    }
}

/// Well-formed requests with octets replaced, removed and repeated at seeded places.
#[tokio::test(start_paused = true)]
async fn mangled_octets_never_panic() {
    let seeds = [
        "GET /a?b HTTP/1.1\r\nHost: o\r\nRange: bytes=0-1,3-\r\nIf-Range: \"v\"\r\n\r\n",
        "GET / HTTP/1.1\r\nIf-None-Match: W/\"a\", \"v\"\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: 1\r\n\r\n",
        "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        "PUT /.mock/script HTTP/1.1\r\nContent-Length: 25\r\n\r\n{\"otherwise\":[{\"body\":1}]}",
        "POST /.mock/release?path=%2f HTTP/1.1\r\n\r\nGET /.mock/requests?wait=0 HTTP/1.1\r\n\r\n",
    ];
    let step = Step { conditional: true, ranges: true, ..Step::text("0123456789") }
        .with_field("ETag", "\"v\"")
        .with_field("Last-Modified", "{date-5}");
    let origin = origin_of([step]);
    for round in 0..3000_u64 {
        let random = pattern::octets(round, 0, 8);
        let mut octets = seeds[usize::from(random[0]) % seeds.len()].as_bytes().to_vec();
        for change in random[1..].chunks(2) {
            let at = usize::from(change[0]) * octets.len() / 256;
            match change.get(1).copied().unwrap_or(0) {
                value @ 0..=127 => octets[at] = value.wrapping_mul(2),
                128..=200 => drop(octets.remove(at)),
                _ => octets.extend_from_within(at..),
            }
        }
        let (io, far) = tokio::io::duplex(1 << 20);
        let mut client = Client { io, seen: Vec::new() };
        client.send(&octets).await;
        tokio::io::AsyncWriteExt::shutdown(&mut client.io).await.unwrap();
        // Served here and not in a task, so that a panic is this test's own.
        origin.serve_connection(far).await;
        client.rest().await;
    }
    assert_eq!(origin.recorder().stats().connections_open, 0);
}
