//! The record and the counters.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::{Client, DEADLINE, clock, origin_of, start};
use crate::origin::{Origin, Settings};
use crate::raw::Raw;
use crate::recorder::{Keep, Stats};
use crate::script::{Hold, Script, Step};

#[tokio::test(start_paused = true)]
async fn requests_are_recorded_verbatim_and_in_order() {
    let origin = origin_of([Step::text("x")]);
    let mut first = Client::connect(&origin);
    first.get("/one?q=%41").await;
    tokio::time::advance(Duration::from_secs(9)).await;
    let mut second = Client::connect(&origin);
    let head = "PATCH /two HTTP/1.1\r\nhOsT: o\r\nA:  1 \r\nB: \u{fc}\r\na: 2\r\nContent-Length: 3\r\n\r\n";
    second.ask(&format!("{head}abc")).await;
    first.get("/three").await;
    let requests = origin.recorder().requests();
    let targets: Vec<&str> = requests.iter().map(|own| own.target.as_str()).collect();
    assert_eq!(targets, ["/one?q=%41", "/two", "/three"]);
    assert_eq!(requests[0].connection, requests[2].connection);
    assert_ne!(requests[0].connection, requests[1].connection);
    let two = &requests[1];
    assert_eq!((two.method.as_str(), two.version.as_str()), ("PATCH", "HTTP/1.1"));
    assert_eq!(two.head, Raw::from(head));
    let expected =
        [("hOsT", "o"), ("A", "1"), ("B", "\u{fc}"), ("a", "2"), ("Content-Length", "3")];
    assert_eq!(two.fields, expected.map(|(name, value)| (Raw::from(name), Raw::from(value))));
    assert_eq!(two.fields("a"), ["1", "2"]);
    assert_eq!((two.content.as_bytes(), two.content_bytes, two.complete), (&b"abc"[..], 3, true));
    assert_eq!(two.at, start() + Duration::from_secs(9));
    assert_eq!(origin.recorder().requests_for("/one").len(), 1);
    origin.recorder().clear();
    assert!(origin.recorder().requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn chunked_content_and_trailers_are_recorded() {
    let origin = origin_of([Step::text("x")]);
    let mut client = Client::connect(&origin);
    let request = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3;ext=1\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: 1\r\nU: 2\r\n\r\n";
    assert_eq!(client.ask(request).await.status(), 200);
    let recorded = &origin.recorder().requests()[0];
    assert_eq!(recorded.content, "abc0123456789");
    assert_eq!(recorded.trailers, [("T".into(), "1".into()), ("U".into(), "2".into())]);
    assert_eq!(client.get("/").await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn recorded_content_is_capped_and_its_length_is_not() {
    let keep = Keep { content_bytes_max: 10, ..Keep::default() };
    let settings = Settings { keep, ..Settings::default() };
    let script = Script::new().route("/*", [Step::text("x")]);
    let origin = Origin::scripted(script, clock(), settings).unwrap();
    let mut client = Client::connect(&origin);
    let content = "x".repeat(300_000);
    client.ask(&format!("POST / HTTP/1.1\r\nContent-Length: 300000\r\n\r\n{content}")).await;
    let recorded = &origin.recorder().requests()[0];
    assert_eq!((recorded.content.as_bytes().len(), recorded.content_bytes), (10, 300_000));
}

#[tokio::test(start_paused = true)]
async fn a_head_is_recorded_before_its_content_is_whole() {
    let origin = origin_of([Step::text("x")]);
    let mut client = Client::connect(&origin);
    client.send("POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nab").await;
    origin.recorder().wait_for_heads(1, DEADLINE).await.unwrap();
    assert!(origin.recorder().wait_for(1, Duration::from_secs(1)).await.is_err());
    assert!(!origin.recorder().requests()[0].complete);
    client.send("cd").await;
    let requests = origin.recorder().wait_for(1, DEADLINE).await.unwrap();
    assert!(requests[0].complete);
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_woken_by_the_request_and_not_by_its_deadline() {
    let origin = origin_of([Step::text("x")]);
    let mut client = Client::connect(&origin);
    let begun = tokio::time::Instant::now();
    let asking = async {
        tokio::time::sleep_until(tokio::time::Instant::now() + Duration::from_secs(3)).await;
        client.get("/").await
    };
    let (waited, _) = tokio::join!(origin.recorder().wait_for(1, DEADLINE), asking);
    assert_eq!(waited.unwrap().len(), 1);
    assert_eq!(begun.elapsed().as_secs(), 3);
}

/// Runs a client's part, lets it leave, and answers the counters once its connection is closed.
async fn after_leaving(step: Step, said: &str, waits: impl Fn(&Stats) -> bool) -> Stats {
    let origin = origin_of([step]);
    let mut client = Client::connect(&origin);
    client.send(said).await;
    origin.recorder().wait_until(waits, DEADLINE).await.unwrap();
    drop(client);
    let closed = |stats: &Stats| stats.connections_opened == 1 && stats.connections_open == 0;
    origin.recorder().wait_until(closed, DEADLINE).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_leaves_in_the_middle_is_counted() {
    let get = "GET / HTTP/1.1\r\n\r\n";
    let half_content = "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nab";
    let held = Step { hold: Some(Hold::Release), ..Step::text("x") };
    let late = Step { head_delay: Duration::from_secs(3600), ..Step::text("x") };
    let large = Step::text("x".repeat(1_000_000));
    let plain = || Step::text("x");
    type Waits = fn(&Stats) -> bool;
    let rows: Vec<(Step, &str, Waits, u64)> = vec![
        (plain(), "", |stats| stats.connections_open == 1, 0),
        (plain(), get, |stats| stats.responses == 1, 0),
        (plain(), "GET / HT", |stats| stats.connections_open == 1, 1),
        (plain(), half_content, |stats| stats.requests == 1, 1),
        (held, get, |stats| stats.held == 1, 1),
        (late, get, |stats| stats.requests_complete == 1, 1),
        (large, get, |stats| stats.requests_complete == 1, 1),
    ];
    for (index, (step, said, waits, expected)) in rows.into_iter().enumerate() {
        let stats = after_leaving(step, said, waits).await;
        assert_eq!((stats.peers_vanished, stats.held), (expected, 0), "row {index}");
    }
}

#[tokio::test(start_paused = true)]
async fn open_connections_are_counted_up_and_down() {
    let origin = origin_of([Step::text("x")]);
    let mut clients = [(); 3].map(|()| Client::connect(&origin));
    let open = |count| move |stats: &Stats| stats.connections_open == count;
    origin.recorder().wait_until(open(3), DEADLINE).await.unwrap();
    clients[0].io.shutdown().await.unwrap();
    let stats = origin.recorder().wait_until(open(2), DEADLINE).await.unwrap();
    assert_eq!(stats.connections_opened, 3);
    drop(clients);
    origin.recorder().wait_until(open(0), DEADLINE).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_only_serves_keeps_nothing_and_counts_on() {
    let script = Script::new().route("/*", [Step::text("x")]);
    let origin = Origin::scripted(script, clock(), Settings::serving()).unwrap();
    let mut client = Client::connect(&origin);
    client.ask("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc").await;
    client.get("/").await;
    assert!(origin.recorder().requests().is_empty());
    let stats = origin.recorder().stats();
    assert_eq!((stats.requests, stats.requests_complete, stats.responses), (2, 2, 2));
}
