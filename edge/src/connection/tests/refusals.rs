//! Requests that the connection I/O refuses: its operator and its client learn of them like of others.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_never_reaches_the_hallway_is_recorded_and_dated() {
    let long = "a".repeat(9000);
    let rows = [
        ("GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n".to_owned(), "400"),
        (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), "414"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", format!("X: {long}\r\n").repeat(4)), "431"),
        ("GET / HTTP/1.1\r\nHo".to_owned(), "408"),
        ("\u{1}\u{2}\r\n\r\n".to_owned(), "400"),
    ];
    let stage = Stage::new();
    let mut bytes = 0;
    for (count, (request, status)) in (1..).zip(rows) {
        let mut client = stage.h1();
        client.send(&request).await;
        let head = client.head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert!(head.contains("\r\nDate: ") && head.contains(" GMT\r\n"), "{head}");
        let content = client.rest().await;
        assert!(content.contains("\nRequest id: "), "{status}");
        bytes += content.len() as u64;
        let nowhere = &stage.edge.hall().nowhere;
        assert_eq!(nowhere.bytes.sum(0), bytes, "{status}");
        assert_eq!(nowhere.statuses.sum(3), count, "{status}");
        assert_eq!(nowhere.aborted.load(std::sync::atomic::Ordering::Relaxed), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_malformed_reached_no_limit() {
    let long = "a".repeat(9000);
    let rows = [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "host_missing", 0),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(), "host", 0),
        ("GET /\r\n\r\n".to_owned(), "request_line", 0),
        (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), "uri_bytes_max", 1),
    ];
    for (request, reason, limits) in rows {
        let stage = Stage::new();
        let mut client = stage.h1();
        client.send(&request).await;
        client.rest().await;
        // It does not stay: that would be a deadline of its own.
        drop(client.io);
        client.served.await.unwrap();
        let hit: u64 = stage.edge.hall().limits.counts().values().sum();
        assert_eq!((hit, stage.hits(reason)), (limits, limits), "{reason}");
        assert_eq!(stage.refused(reason), 1 - limits, "{reason}");
    }
}

/// What passes for a message and is refused later is malformed all the same.
#[tokio::test(start_paused = true)]
async fn what_the_hallway_refuses_is_counted_by_what_was_wrong() {
    let head = |fields: &str| format!("GET / HTTP/1.0\r\n{fields}\r\n");
    let stage = Stage::new();
    let mut client = stage.h1();
    client.send(&head("")).await;
    assert!(client.head().await.starts_with("HTTP/1.0 400 "));
    assert_eq!(stage.refused("host"), 1, "no host");
    let mut client = stage.h2(PROTOCOL_WINDOW).await;
    type Row = (&'static str, &'static [(&'static str, &'static str)], [u64; 2]);
    let rows: [Row; 4] = [
        ("/a\\b", &[], [1, 1]),
        ("/a", &[("host", "b.example")], [2, 1]),
        ("/a", &[("host", "a.example"), ("host", "a.example")], [3, 1]),
        ("/a", &[("host", "x@a.example")], [4, 1]),
    ];
    for (stream, (path, fields, [hosts, targets])) in (1..).step_by(2).zip(rows) {
        client.ask_with(stream, &[0x82, 0x86], path, END, fields).await;
        client.until(HEADERS).await;
        let counted = [stage.refused("host"), stage.refused("target")];
        assert_eq!(counted, [hosts, targets], "{path} {fields:?}");
    }
}

/// The hallway has the request and records it: one request is one line.
#[tokio::test(start_paused = true)]
async fn a_request_whose_content_is_refused_is_recorded_once() {
    let stage = Stage::new();
    let mut client = stage.h1();
    client.send("POST /4 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n").await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    assert!(head.to_ascii_lowercase().contains("\r\ndate: "), "{head}");
    client.rest().await;
    drop(client.io);
    client.served.await.unwrap();
    let hall = stage.edge.hall();
    let snapshot = hall.snapshot.load();
    let site = &snapshot.sites.values().next().unwrap().metrics;
    let recorded = || site.statuses.sum(3) + hall.nowhere.statuses.sum(3);
    while recorded() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(recorded(), 1);
}

/// A client that leaves while it waits was neither answered nor served from the store.
#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_while_it_waits_is_no_hit() {
    use edge_core::outcome::{ForwardReason, Outcome};
    let stage = Stage::new();
    let mut client = stage.h1();
    client.send("GET /deaf HTTP/1.1\r\nHost: a\r\n\r\n").await;
    rest(&stage).await;
    drop(client.io);
    client.served.await.unwrap();
    let mut client = stage.h2(PROTOCOL_WINDOW).await;
    client.get(1, "/deaf").await;
    rest(&stage).await;
    client.send(RST_STREAM, 0, 1, &CANCEL.to_be_bytes()).await;
    rest(&stage).await;
    let snapshot = stage.edge.hall().snapshot.load();
    let site = &snapshot.sites.values().next().unwrap().metrics;
    let miss = Outcome { forward: Some(ForwardReason::UriMiss), ..Outcome::default() };
    assert_eq!(site.requests.sum(miss.label().index()), 2);
    assert_eq!(site.requests.sum(Outcome { hit: true, ..Outcome::default() }.label().index()), 0);
    assert_eq!((0..5).map(|class| site.statuses.sum(class)).sum::<u64>(), 0, "no status");
    assert_eq!(site.aborted.load(std::sync::atomic::Ordering::Relaxed), 2);
}
