//! Request content on its way to the origin: streamed, slowed, bounded.

use std::time::Duration;

use bytesize::ByteSize;
use edge_core::settings::EdgeSettings;
use nearcast_tests::world::{caller::Caller, rest, until};
use origin_mock::script::{Hold, Pace, RequestContent, Script, Step};
use tokio::time::{Instant, advance};

use super::stage::{HOST, Stage, run, stage, stage_with, unstorable};

const SECOND: Duration = Duration::from_secs(1);

/// Writes content until the edge takes no more for a while, or `most` octets; how much it took.
async fn push(caller: &mut Caller, most: usize) -> usize {
    let piece = vec![b'p'; 10_000];
    let mut pushed = 0;
    while pushed < most {
        tokio::select! {
            biased;
            sent = caller.more(&piece) => match sent {
                Some(()) => pushed += piece.len(),
                None => break,
            },
            () = rest() => break,
        }
    }
    pushed
}

/// An origin that does not read the content of a PUT, and has one connection for everybody.
fn unread() -> Stage {
    let holds = Step {
        request_content: RequestContent::After,
        hold: Some(Hold::Release),
        ..Step::text("taken")
    };
    let script = Script::new().route_for("PUT", "/*", [holds]).route("/*", [unstorable("fine")]);
    let settings = "idle_timeout = \"6s\"\nconnections_max = 1\nqueue_timeout = \"10ms\"";
    stage(vec![script], settings)
}

/// A client that sends it as much as it takes.
async fn uploading(stage: &Stage) -> Caller {
    let mut caller = stage.caller();
    let head = format!("PUT /up HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 50000000\r\n\r\n");
    caller.send("PUT", head.as_bytes()).await;
    let pushed = push(&mut caller, 50_000_000).await;
    assert!(pushed < 1_000_000, "{pushed} octets were taken for an origin that reads none");
    caller
}

#[test]
fn an_origin_that_does_not_read_stops_the_client_and_is_left_in_time() {
    run(async {
        let stage = unread();
        let before = Instant::now();
        let mut caller = uploading(&stage).await;
        assert_eq!(caller.answer().await.status(), 504);
        let waited = before.elapsed();
        assert!((6 * SECOND..7 * SECOND).contains(&waited), "{waited:?}");
        assert_eq!(stage.get("/other").await.status(), 200, "its connection is free again");
    });
}

#[test]
fn a_client_that_leaves_its_content_to_an_origin_that_does_not_read_is_forgotten_in_time() {
    run(async {
        let stage = unread();
        drop(uploading(&stage).await);
        rest().await;
        assert_eq!(stage.get("/other").await.status(), 503);
        advance(7 * SECOND).await;
        assert!(until(|| stage.world.serving() == 0).await);
        assert_eq!(stage.get("/other").await.status(), 200);
    });
}

#[test]
fn a_client_that_pauses_is_not_the_origins_fault() {
    run(async {
        let script = Script::new().route("/*", [Step::text("taken")]);
        let stage = stage(vec![script], "idle_timeout = \"2s\"");
        let mut caller = stage.caller();
        let head = format!("POST /up HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 3\r\n\r\na");
        caller.send("POST", head.as_bytes()).await;
        for piece in [b"b", b"c"] {
            rest().await;
            advance(5 * SECOND).await;
            rest().await;
            caller.more(piece).await;
        }
        assert_eq!(caller.answer().await.status(), 200);
    });
}

#[test]
fn a_slow_origin_gets_all_content() {
    run(async {
        let pace = Some(Pace { bytes: 10_000, every: Duration::from_millis(50) });
        let slow = Step { request_pace: pace, ..Step::text("taken") };
        let stage = stage(vec![Script::new().route("/*", [slow])], "");
        let mut caller = stage.caller();
        let content = vec![b'c'; 500_000];
        let mut request = format!(
            "PUT /up HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {}\r\n\r\n",
            content.len()
        )
        .into_bytes();
        request.extend_from_slice(&content);
        caller.send("PUT", &request).await;
        assert_eq!(caller.answer().await.body, b"taken");
        let seen = stage.origin(0).recorder().requests();
        assert_eq!((seen[0].content_bytes, seen[0].complete), (500_000, true));
    });
}

fn small_bodies() -> EdgeSettings {
    let mut settings = EdgeSettings::default();
    settings.limits.body_bytes_max = ByteSize::kib(64);
    settings
}

#[test]
fn content_that_is_announced_too_large_is_413_and_never_forwarded() {
    run(async {
        let stage = stage_with(&small_bodies(), vec![Script::new()], "");
        let answer = stage.caller().ask("POST", HOST, "/up", "Content-Length: 65537\r\n").await;
        assert_eq!(answer.status(), 413);
        assert_eq!(stage.asked(0), 0);
    });
}

#[test]
fn content_that_turns_out_too_large_is_413_on_its_way() {
    run(async {
        let script = Script::new().route("/*", [Step::text("taken")]);
        let stage = stage_with(&small_bodies(), vec![script], "");
        let mut caller = stage.caller();
        let head =
            format!("POST /up HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n");
        caller.send("POST", head.as_bytes()).await;
        let mut chunk = b"2710\r\n".to_vec();
        chunk.extend(vec![b'c'; 10_000]);
        chunk.extend_from_slice(b"\r\n");
        for _ in 0..8 {
            if caller.more(&chunk).await.is_none() {
                break;
            }
            rest().await;
        }
        let answer = caller.answer().await;
        assert_eq!(answer.status(), 413, "{answer:?}");
        rest().await;
        let seen = stage.origin(0).recorder().requests();
        assert!(seen.iter().all(|request| !request.complete), "the origin never saw an end");
        // The origin is not to blame.
        assert_eq!(stage.get("/").await.status(), 200);
    });
}

#[test]
fn a_client_that_leaves_in_its_content_ends_the_forward() {
    run(async {
        let stage = stage(vec![Script::new().route("/*", [Step::text("taken")])], "");
        let mut caller = stage.caller();
        let head = format!("POST /up HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 1000\r\n\r\nhalf");
        caller.send("POST", head.as_bytes()).await;
        assert!(until(|| stage.asked(0) == 1).await);
        drop(caller);
        assert!(until(|| stage.world.serving() == 0 && stage.world.wires.open() == 0).await);
        assert!(!stage.origin(0).recorder().requests()[0].complete);
    });
}

#[test]
fn an_answer_ahead_of_the_content_leaves_its_connection_to_no_other_request() {
    run(async {
        let early = Step { request_content: RequestContent::After, ..Step::status(401) };
        let script =
            Script::new().route_for("POST", "/*", [early]).route("/*", [unstorable("fine")]);
        let stage = stage(vec![script], "");
        assert_eq!(stage.get("/warm").await.status(), 200);
        let mut caller = stage.caller();
        let head = format!("POST /up HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 1000\r\n\r\nx");
        caller.send("POST", head.as_bytes()).await;
        assert!(until(|| stage.asked(0) == 2).await);
        rest().await;
        let before = Instant::now();
        assert_eq!(stage.get("/innocent").await.status(), 200);
        assert!(before.elapsed() < SECOND, "{:?}", before.elapsed());
        assert_eq!(stage.world.wires.open(), 1, "the connection of the refused request is closed");
        assert_eq!(caller.answer().await.status(), 401);
    });
}

#[test]
fn trailers_say_nothing_that_a_head_may_not() {
    run(async {
        let stage = stage(vec![Script::new().route("/*", [Step::text("taken")])], "");
        let mut caller = stage.caller();
        let names = "X-Sum, X-Forwarded-For, CDN-Loop";
        let request = format!(
            "POST /up HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\nTrailer: {names}\r\n\r\n\
             2\r\nhi\r\n0\r\nX-Sum: 1\r\nX-Forwarded-For: 192.0.2.6\r\nCDN-Loop: x\r\n\r\n"
        );
        caller.send("POST", request.as_bytes()).await;
        assert_eq!(caller.answer().await.body, b"taken");
        let seen = stage.origin(0).recorder().requests();
        let names = seen[0].trailers.iter().map(|(name, _)| name.to_text().to_lowercase());
        assert_eq!(names.collect::<Vec<_>>(), ["x-sum"]);
    });
}
