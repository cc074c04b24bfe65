//! Uploads over a shared HTTP/2 connection to an origin that does not read one of them.
//!
//! In: an origin done frame by frame, clients that send content. Out: what the others got, and over
//! how many connections.
//!
//! RFC 9113 §5.2 (flow control), RFC 9110 §9.2.2 (what may be asked twice).

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use nearcast_tests::world::rest;
use parking_lot::Mutex;
use tokio::{
    task::JoinSet,
    time::{Instant, advance},
};

use super::{
    http2::{Stage, stage},
    stage::{HOST, run},
    trunks::{DATA, HEADERS, SECOND, SETTINGS, WINDOW_UPDATE, Wire, by_hand},
};

/// An origin that reads nothing of its first request, and a client that has sent it; how many heads
/// the origin has seen.
async fn unread() -> (Stage, Arc<AtomicUsize>) {
    let unread: Mutex<Option<(usize, u32)>> = Mutex::default();
    let heads = Arc::<AtomicUsize>::default();
    let seen = Arc::clone(&heads);
    let server = by_hand(move |wire, said| {
        wire.has_manners(said);
        let me = (wire.number, said.stream);
        let mut unread = unread.lock();
        seen.fetch_add(said.is_head().into(), Ordering::AcqRel);
        if said.kind == HEADERS && unread.is_none() {
            *unread = Some(me);
        }
        if *unread != Some(me) && said.is_last() && matches!(said.kind, HEADERS | DATA) {
            wire.answers(said.stream, b"ok");
        }
    });
    let stage = stage(server, "idle_timeout = \"60s\"\nretry_percent = 0");
    let mut stuck = stage.caller();
    let head = format!("POST /unread HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 200000\r\n\r\n");
    stuck.send("POST", head.as_bytes()).await.unwrap();
    tokio::spawn(async move {
        stuck.more(&[b'x'; 200_000]).await;
        stuck.answer().await
    });
    rest().await;
    (stage, heads)
}

#[test]
fn rfc9113_5_2_who_waits_behind_an_upload_that_is_not_read_moves() {
    run(async {
        let (stage, heads) = unread().await;
        let began = Instant::now();
        let mut behind = JoinSet::new();
        for number in 0..6 {
            let mut caller = stage.caller();
            behind.spawn(async move {
                let head = format!(
                    "PUT /{number} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\n\r\nhello"
                );
                caller.send("PUT", head.as_bytes()).await.unwrap();
                caller.answer().await.status()
            });
        }
        assert_eq!(behind.join_all().await, [200; 6]);
        assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
        assert_eq!((stage.connections(), stage.failures()), (2, 0));
        assert_eq!(stage.requests(), 7, "one that moves is one request");
        rest().await;
        assert_eq!(heads.load(Ordering::Acquire), 13, "what was begun is not sent again");
    });
}

#[test]
fn rfc9113_5_2_who_has_moved_waits_for_as_long_as_the_server_takes() {
    const NO_WINDOW: [u8; 6] = [0, 4, 0, 0, 0, 0];
    run(async {
        let held: Arc<Mutex<Option<(Wire, u32)>>> = Arc::default();
        let last = Arc::clone(&held);
        let server = by_hand(move |wire, said| {
            if (said.kind, said.flags & 1) == (SETTINGS, 0) {
                wire.says(SETTINGS, 0, 0, &NO_WINDOW);
            }
            wire.has_manners(said);
            if said.is_head() && said.is_last() {
                wire.answers(said.stream, b"ok");
            } else if said.is_head() {
                *last.lock() = Some((wire.clone(), said.stream));
            } else if said.kind == DATA && said.is_last() {
                wire.answers(said.stream, b"ok");
            }
        });
        let stage = stage(server, "retry_percent = 0");
        // From here on the edge knows that there is no window.
        assert_eq!(stage.ask("GET", "/", "").await.status(), 200);
        advance(SECOND).await;
        let mut caller = stage.caller();
        let head = format!("PUT / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\n\r\nhello");
        caller.send("PUT", head.as_bytes()).await.unwrap();
        for _ in 0..4 {
            rest().await;
            advance(SECOND).await;
        }
        rest().await;
        let (wire, stream) = held.lock().clone().unwrap();
        assert_eq!((wire.number, stage.connections()), (2, 2), "once, and no more");
        wire.says(WINDOW_UPDATE, 0, stream, &1000_u32.to_be_bytes());
        assert_eq!(caller.answer().await.status(), 200);
    });
}

/// The origin has had its head, and may be doing what it asks.
#[test]
fn rfc9110_9_2_2_what_may_not_be_asked_twice_does_not_move() {
    run(async {
        let (stage, heads) = unread().await;
        let mut caller = stage.caller();
        let head = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\n\r\nhello");
        caller.send("POST", head.as_bytes()).await.unwrap();
        assert_eq!(caller.answer().await.status(), 504);
        assert_eq!((heads.load(Ordering::Acquire), stage.connections()), (2, 1));
    });
}

#[test]
fn rfc9113_5_2_an_upload_that_is_not_read_stops_no_other() {
    run(async {
        let (stage, _heads) = unread().await;
        advance(2 * SECOND).await;
        rest().await;
        let began = Instant::now();
        assert_eq!(stage.ask("GET", "/", "").await.status(), 200);
        assert_eq!(stage.connections(), 1, "what has no content finds room");
        for number in 0..3 {
            let mut caller = stage.caller();
            let request = format!(
                "POST /{number} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\n\r\nhello"
            );
            caller.send("POST", request.as_bytes()).await.unwrap();
            assert_eq!(caller.answer().await.status(), 200);
        }
        assert!(began.elapsed() < 5 * SECOND);
        assert_eq!(stage.connections(), 2);
    });
}
