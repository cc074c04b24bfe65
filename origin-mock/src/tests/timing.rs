//! Delays, paces, holds and silence, on virtual time.

use std::time::Duration;

use tokio::time::Instant;

use super::{Client, DEADLINE, get, origin_of};
use crate::pattern;
use crate::script::{Body, Hold, Interim, Pace, Pattern, Seed, Step};

const GET: &str = "GET / HTTP/1.1\r\nHost: o\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn a_head_is_kept_back_for_its_delay_and_dated_after_it() {
    let origin = origin_of([Step { head_delay: Duration::from_secs(23), ..Step::text("x") }]);
    let begun = Instant::now();
    let response = get(&origin, "/").await;
    assert_eq!(begun.elapsed().as_secs(), 23);
    assert_eq!(response.field("Date"), "Sun, 06 Nov 1994 08:50:00 GMT");
}

#[tokio::test(start_paused = true)]
async fn an_interim_head_has_a_delay_of_its_own() {
    let delay = Duration::from_secs(3);
    let interim = vec![Interim { status: 103, fields: Vec::new(), delay }];
    let origin =
        origin_of([Step { interim, head_delay: Duration::from_secs(4), ..Step::default() }]);
    let mut client = Client::connect(&origin);
    let begun = Instant::now();
    client.send(GET).await;
    assert!(client.head().await.starts_with("HTTP/1.1 103"));
    assert_eq!(begun.elapsed().as_secs(), 3);
    assert!(client.head().await.starts_with("HTTP/1.1 200"));
    assert_eq!(begun.elapsed().as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn paced_content_comes_piece_by_piece_behind_its_head() {
    let body = Body::Pattern(Pattern { bytes: 10, seed: Seed::Number(1) });
    let pace = Some(Pace { bytes: 4, every: Duration::from_secs(2) });
    let origin = origin_of([Step { body, pace, ..Step::default() }]);
    let mut client = Client::connect(&origin);
    let begun = Instant::now();
    client.send(GET).await;
    client.head().await;
    let mut content = Vec::new();
    for (count, seconds) in [(4, 0), (4, 2), (2, 4)] {
        content.extend(client.exactly(count).await);
        assert_eq!(begun.elapsed().as_secs(), seconds);
        assert!(client.seen.is_empty());
    }
    assert_eq!(content, pattern::octets(1, 0, 10));
}

#[tokio::test(start_paused = true)]
async fn a_release_lets_go_whoever_came_before_it_and_nobody_else() {
    let origin = origin_of([Step { hold: Some(Hold::Release), ..Step::text("x") }]);
    let mut clients = [Client::connect(&origin), Client::connect(&origin)];
    for client in &mut clients {
        client.send(GET).await;
    }
    origin.recorder().wait_until(|stats| stats.held == 2, DEADLINE).await.unwrap();
    assert!(origin.release(Some("/")));
    for client in &mut clients {
        assert!(client.head().await.starts_with("HTTP/1.1 200"));
    }
    clients[0].send(GET).await;
    origin.recorder().wait_until(|stats| stats.held == 1, DEADLINE).await.unwrap();
    assert_eq!(origin.recorder().stats().responses, 2);
    assert!(!origin.release(Some("none")));
    assert!(origin.release(None));
    clients[0].exactly(1).await;
    clients[0].head().await;
}

/// A released request need not have reached its hold: it is enough that it is in the record.
#[tokio::test(start_paused = true)]
async fn a_release_reaches_a_request_that_is_recorded_but_not_yet_held() {
    let delay = Duration::from_secs(5);
    let hold = Some(Hold::Release);
    let origin = origin_of([Step { head_delay: delay, hold, ..Step::text("x") }]);
    let mut client = Client::connect(&origin);
    client.send(GET).await;
    origin.recorder().wait_for(1, DEADLINE).await.unwrap();
    origin.release(None);
    client.head().await;
}

#[tokio::test(start_paused = true)]
async fn a_hold_ends_when_enough_have_joined() {
    let origin = origin_of([Step { hold: Some(Hold::Joined(3)), ..Step::text("x") }]);
    let mut clients = [(); 3].map(|()| Client::connect(&origin));
    for client in &mut clients[..2] {
        client.send(GET).await;
    }
    origin.recorder().wait_until(|stats| stats.held == 2, DEADLINE).await.unwrap();
    clients[2].send(GET).await;
    for client in &mut clients {
        client.head().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_script_lets_go_whoever_was_held_under_the_old() {
    let origin = origin_of([Step { hold: Some(Hold::Release), ..Step::text("old") }]);
    let mut client = Client::connect(&origin);
    client.send(GET).await;
    origin.recorder().wait_until(|stats| stats.held == 1, DEADLINE).await.unwrap();
    origin.set_script(crate::script::Script::new()).unwrap();
    assert!(client.head().await.starts_with("HTTP/1.1 200"));
    client.exactly(3).await;
    assert_eq!(client.get("/").await.status(), 404);
}

#[tokio::test(start_paused = true)]
async fn never_means_never_until_the_peer_leaves() {
    let origin = origin_of([Step { never: true, ..Step::default() }]);
    let mut client = Client::connect(&origin);
    client.send(GET).await;
    origin.recorder().wait_for(1, DEADLINE).await.unwrap();
    let nothing = tokio::time::timeout(DEADLINE / 2, client.head()).await;
    assert!(nothing.is_err());
    assert_eq!(origin.recorder().stats().connections_open, 1);
    drop(client);
    let gone = |stats: &crate::recorder::Stats| stats.peers_vanished == 1;
    let stats = origin.recorder().wait_until(gone, DEADLINE).await.unwrap();
    assert_eq!((stats.responses, stats.requests), (0, 1));
}
