//! The pool: turns, ejection, retries, caps, queues, deadlines, reuse.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use nearcast_tests::{
    message::Answer,
    world::{Reach, Server, caller::Caller, rest, until},
};
use origin_mock::script::{Framing, Hold, Pace, Script, Step};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, advance, timeout},
};

use super::stage::{HOST, Stage, cacheable, closes, run, stage, unstorable};

const SECOND: Duration = Duration::from_secs(1);

fn open_door() -> Script {
    Script::new().route("/*", [unstorable("here")])
}

fn closed_door() -> Script {
    Script::new().route("/*", [closes()])
}

fn held() -> Script {
    Script::new().route("/*", [Step { hold: Some(Hold::Release), ..unstorable("late") }])
}

#[test]
fn servers_are_taken_in_turn() {
    run(async {
        let stage = stage(vec![open_door(), open_door(), open_door()], "");
        for number in 0..300 {
            assert_eq!(stage.get(&format!("/{number}")).await.status(), 200);
        }
        assert_eq!([0, 1, 2].map(|index| stage.asked(index)), [100, 100, 100]);
    });
}

#[test]
fn a_failing_server_is_left_out_and_comes_back() {
    run(async {
        let stage =
            stage(vec![open_door(), open_door()], "ejection_failures = 5\nejection_time = \"10s\"");
        stage.world.wires.reach("a:80", Reach::Refuses);
        for number in 0..100 {
            stage.get(&format!("/{number}")).await;
        }
        assert_eq!(stage.world.wires.tried("a:80"), 5, "left out after five failures in a row");
        stage.world.wires.reach("a:80", Reach::Up);
        for number in 0..50 {
            assert_eq!(stage.get(&format!("/more/{number}")).await.status(), 200);
        }
        assert_eq!(stage.world.wires.tried("a:80"), 5, "still left out");
        advance(Duration::from_secs(11)).await;
        for number in 0..50 {
            assert_eq!(stage.get(&format!("/again/{number}")).await.status(), 200);
        }
        assert_eq!(stage.asked(0), 25, "it has its turn again");
    });
}

#[test]
fn a_server_that_gives_up_on_a_slow_client_is_not_left_out() {
    run(async {
        let stage = stage(vec![open_door()], "ejection_failures = 1");
        stage.world.wires.put("a:80", impatient());
        let mut slow = stage.caller();
        slow.send("GET", format!("GET /a HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).await;
        assert!(slow.read(100).await > 0);
        rest().await;
        // Its client takes a little now and then, too little for the server.
        for _ in 0..4 {
            advance(20 * SECOND).await;
            slow.read(1000).await;
            rest().await;
        }
        assert!(slow.answer().await.cut);
        let snapshot = stage.world.edge.hall().snapshot.load();
        let entry = snapshot.sites.values().next().unwrap();
        assert!(!entry.pool.is_down());
    });
}

/// A server that sends without end, but waits for nobody longer than a minute.
fn impatient() -> Server {
    Arc::new(|mut io| {
        Box::pin(async move {
            let mut request = [0; 4096];
            let head =
                "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 9999999\r\n\r\n";
            let mut sent =
                io.read(&mut request).await.is_ok() && io.write_all(head.as_bytes()).await.is_ok();
            while sent {
                let sending = timeout(60 * SECOND, io.write_all(&[b'x'; 10_000])).await;
                sent = matches!(sending, Ok(Ok(())));
            }
        })
    })
}

#[test]
fn a_thousand_requests_at_failing_servers_make_at_most_103_extra() {
    run(async {
        let stage = stage(vec![closed_door(), closed_door()], "");
        for number in 0..1000 {
            assert_eq!(stage.get(&format!("/{number}")).await.status(), 502);
        }
        let asked = stage.asked(0) + stage.asked(1);
        assert!(asked > 1000, "{asked} requests: none was tried again");
        assert!(asked <= 1103, "{asked} requests");
    });
}

#[test]
fn a_collapsed_crowd_at_failing_servers_stays_within_the_retry_budget() {
    run(async {
        let stage = stage(vec![closed_door(), closed_door()], "");
        let crowd = stage.crowd((0..1000).map(|_| "/one".to_owned()));
        for answer in crowd.join_all().await {
            assert_eq!(answer.status(), 502);
        }
        let asked = stage.asked(0) + stage.asked(1);
        // More than the rounds of its clients alone.
        assert!((5..=103).contains(&asked), "{asked} requests");
    });
}

/// A response that promises more than it brings.
fn truncates() -> Script {
    let framing = Framing::WrongLength(200);
    Script::new().route("/*", [Step { framing, close: true, ..unstorable("a part") }])
}

#[test]
fn a_server_whose_responses_break_off_is_left_out() {
    run(async {
        let stage = stage(vec![truncates(), open_door()], "ejection_failures = 5");
        let mut broken = 0;
        for number in 0..40 {
            broken += usize::from(!stage.get(&format!("/{number}")).await.whole());
        }
        assert_eq!((broken, stage.asked(0)), (5, 5), "left out after five in a row");
    });
}

#[test]
fn a_server_is_left_out_however_an_old_response_of_it_ends() {
    run(async {
        let pace = Some(Pace { bytes: 4, every: 2 * SECOND });
        let script = Script::new()
            .route("/old", [Step { pace, ..unstorable("abcdefgh") }])
            .route("/*", [unstorable("here")]);
        let settings = "ejection_failures = 5\nejection_time = \"60s\"";
        let stage = stage(vec![script, open_door()], settings);
        let mut old = stage.crowd(std::iter::once("/old".to_owned()));
        assert!(until(|| stage.asked(0) == 1).await);
        rest().await;
        advance(SECOND).await;
        stage.world.wires.reach("a:80", Reach::Refuses);
        for number in 0..20 {
            stage.get(&format!("/{number}")).await;
        }
        let tried = stage.world.wires.tried("a:80");
        assert_eq!(tried, 6, "the old response, and five failures");
        assert_eq!(old.join_next().await.unwrap().unwrap().body, b"abcdefgh");
        for number in 0..20 {
            stage.get(&format!("/more/{number}")).await;
        }
        let asked = (stage.world.wires.tried("a:80"), stage.asked(0));
        assert_eq!(asked, (tried, 1), "still left out, its old connection with it");
    });
}

#[test]
fn what_a_hanging_server_cannot_take_its_neighbour_does() {
    run(async {
        let never = Step { never: true, ..Step::default() };
        let settings = "connections_max = 4\nqueue_max = 4\nqueue_timeout = \"1s\"\n\
            first_byte_timeout = \"60s\"\nretry_percent = 0";
        let stage = stage(vec![Script::new().route("/*", [never]), open_door()], settings);
        // Eight connections and eight places in the queues.
        let crowd = stage.crowd((0..16).map(|number| format!("/{number}")));
        let mut statuses: Vec<_> = crowd.join_all().await.iter().map(Answer::status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [[200; 4], [200; 4], [200; 4], [504; 4]].concat());
    });
}

#[test]
fn a_server_with_a_free_connection_goes_before_one_with_a_queue() {
    run(async {
        let never = Step { never: true, ..Step::default() };
        let settings = "connections_max = 2\nfirst_byte_timeout = \"60s\"\nretry_percent = 0";
        let stage = stage(vec![Script::new().route("/*", [never]), open_door()], settings);
        let lost = stage.crowd((0..4).map(|number| format!("/{number}")));
        assert!(until(|| stage.asked(0) == 2).await);
        for number in 0..20 {
            let before = Instant::now();
            assert_eq!(stage.get(&format!("/more/{number}")).await.status(), 200);
            assert!(before.elapsed() < SECOND, "{:?}", before.elapsed());
        }
        drop(lost);
    });
}

#[test]
fn a_get_is_tried_on_another_server_and_a_post_with_content_is_not() {
    run(async {
        let stage = stage(vec![closed_door(), open_door()], "ejection_failures = 100");
        for number in 0..4 {
            assert_eq!(stage.get(&format!("/{number}")).await.status(), 200);
        }
        let before = stage.asked(0) + stage.asked(1);
        let mut statuses = Vec::new();
        for number in 0..4 {
            let request = format!(
                "POST /{number} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\n\r\nhello"
            );
            let mut caller = stage.caller();
            caller.send("POST", request.as_bytes()).await;
            statuses.push(caller.answer().await.status());
        }
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 200, 502, 502]);
        assert_eq!(stage.asked(0) + stage.asked(1) - before, 4, "each POST went out once");
    });
}

#[test]
fn a_post_without_content_is_not_repeated_either() {
    run(async {
        let stage = stage(vec![closed_door()], "");
        let answer = stage.caller().ask("POST", HOST, "/", "Content-Length: 0\r\n").await;
        assert_eq!(answer.status(), 502);
        assert_eq!(stage.asked(0), 1);
    });
}

#[test]
fn a_post_goes_out_anew_when_the_kept_connection_had_been_closed() {
    run(async {
        let silent = Step { close_silently: true, ..unstorable("once") };
        let stage = stage(vec![Script::new().route("/*", [silent])], "");
        for number in 0..10 {
            assert_eq!(stage.get(&format!("/{number}")).await.status(), 200);
            let request =
                format!("POST /{number} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\n\r\nhi");
            let mut caller = stage.caller();
            caller.send("POST", request.as_bytes()).await;
            assert_eq!(caller.answer().await.status(), 200, "POST {number}");
        }
        assert_eq!(stage.asked(0), 20);
    });
}

#[test]
fn connections_are_capped_and_the_queue_is_bounded() {
    run(async {
        let stage = stage(vec![held()], "connections_max = 2\nqueue_max = 3");
        let crowd = stage.crowd((0..10).map(|number| format!("/{number}")));
        assert!(until(|| stage.asked(0) == 2).await);
        rest().await;
        assert_eq!(stage.asked(0), 2, "no third connection");
        assert_eq!(stage.world.wires.open(), 2);
        let mut crowd = crowd;
        for _ in 0..5 {
            let refused = crowd.join_next().await.unwrap().unwrap();
            assert_eq!(refused.status(), 503);
            assert_eq!(refused.field("retry-after").as_deref(), Some("1"));
        }
        for served in 0..5 {
            let origin = stage.origin(0).clone();
            assert!(until(|| stage.asked(0) > served).await);
            while crowd.len() as u64 > 4 - served {
                origin.release(None);
                rest().await;
                if let Some(answer) = crowd.try_join_next() {
                    assert_eq!(answer.unwrap().status(), 200);
                }
            }
        }
        assert_eq!(stage.world.wires.tried("a:80"), 2, "the two connections served them all");
    });
}

#[test]
fn waiting_for_a_connection_ends_with_503() {
    run(async {
        let settings = "connections_max = 1\nqueue_timeout = \"3s\"\nfirst_byte_timeout = \"60s\"";
        let stage = stage(vec![held()], settings);
        let mut crowd = stage.crowd(std::iter::once("/first".to_owned()));
        assert!(until(|| stage.asked(0) == 1).await);
        let before = Instant::now();
        let answer = stage.get("/second").await;
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.field("retry-after").as_deref(), Some("1"));
        assert_eq!(answer.field("cache-status"), None, "our own error is no cache's answer");
        assert!((3 * SECOND..4 * SECOND).contains(&before.elapsed()), "{:?}", before.elapsed());
        stage.origin(0).release(None);
        assert_eq!(crowd.join_next().await.unwrap().unwrap().status(), 200);
    });
}

/// A client that asks and does not read.
async fn asks(stage: &Stage, method: &str, target: &str) -> Caller {
    let mut caller = stage.caller();
    let request = format!("{method} {target} HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    caller.send(method, request.as_bytes()).await;
    caller
}

#[test]
fn whose_clients_have_gone_is_taken_from_the_queue_and_never_sent() {
    run(async {
        let stage = stage(vec![held()], "connections_max = 1\nqueue_timeout = \"1m\"");
        let waiting = || {
            let snapshot = stage.world.edge.hall().snapshot.load();
            snapshot.sites.values().next().unwrap().pool.servers()[0].waiting()
        };
        let first = asks(&stage, "GET", "/first").await;
        assert!(until(|| stage.asked(0) == 1).await);
        let mut gone = Vec::new();
        for (method, target) in [("GET", "/a"), ("GET", "/a"), ("HEAD", "/b"), ("POST", "/c")] {
            gone.push(asks(&stage, method, target).await);
        }
        let mut stays = asks(&stage, "GET", "/stays").await;
        let leaves = asks(&stage, "GET", "/stays").await;
        assert!(until(|| waiting() == 4).await);
        drop((gone, leaves));
        assert!(until(|| waiting() == 1).await, "{} wait", waiting());
        // Who comes after them is not taken for one of them.
        let mut again = asks(&stage, "GET", "/a").await;
        assert!(until(|| waiting() == 2).await);
        let room = &stage.world.edge.hall().room;
        assert_eq!(room.counts.orphaned.load(Ordering::Relaxed), 2, "/a and /b");
        for asked in 2..=3 {
            stage.origin(0).release(None);
            assert!(until(|| stage.asked(0) == asked).await);
        }
        stage.origin(0).release(None);
        assert_eq!((stays.answer().await.status(), again.answer().await.status()), (200, 200));
        rest().await;
        assert_eq!(stage.asked(0), 3, "nothing that nobody waited for");
        drop(first);
    });
}

#[test]
fn connecting_has_a_deadline() {
    run(async {
        let stage = stage(vec![open_door()], "connect_timeout = \"2s\"\nretry_percent = 0");
        stage.world.wires.reach("a:80", Reach::Hangs);
        let before = Instant::now();
        assert_eq!(stage.get("/").await.status(), 504);
        assert!((2 * SECOND..3 * SECOND).contains(&before.elapsed()), "{:?}", before.elapsed());
    });
}

#[test]
fn the_first_byte_has_a_deadline() {
    run(async {
        let never = Step { never: true, ..Step::default() };
        let settings = "first_byte_timeout = \"4s\"\nretry_percent = 0";
        let stage = stage(vec![Script::new().route("/*", [never])], settings);
        let before = Instant::now();
        assert_eq!(stage.get("/").await.status(), 504);
        assert!((4 * SECOND..5 * SECOND).contains(&before.elapsed()), "{:?}", before.elapsed());
        rest().await;
        assert_eq!(stage.world.wires.open(), 0, "the connection is of no more use");
    });
}

#[test]
fn content_that_stalls_breaks_off_and_is_not_stored() {
    run(async {
        let pace = Some(Pace { bytes: 4, every: Duration::from_secs(600) });
        let stalls = Step { pace, ..cacheable("abcdefgh") };
        let script = Script::new().route("/*", [stalls, cacheable("whole")]);
        let stage = stage(vec![script], "idle_timeout = \"6s\"");
        let before = Instant::now();
        let answer = stage.get("/").await;
        assert_eq!((answer.status(), answer.cut, &answer.body[..]), (200, true, &b"abcd"[..]));
        assert!((6 * SECOND..7 * SECOND).contains(&before.elapsed()), "{:?}", before.elapsed());
        assert_eq!(stage.get("/").await.body, b"whole");
    });
}

#[test]
fn all_clients_share_one_pool_of_connections() {
    run(async {
        let stage = stage(vec![open_door()], "");
        for number in 0..100 {
            assert_eq!(stage.get(&format!("/{number}")).await.status(), 200);
        }
        assert_eq!(stage.world.wires.tried("a:80"), 1);
    });
}

#[test]
fn a_kept_connection_is_closed_in_time() {
    run(async {
        let stage = stage(vec![open_door()], "keep_alive = \"20s\"");
        assert_eq!(stage.get("/").await.status(), 200);
        rest().await;
        assert_eq!(stage.world.wires.open(), 1);
        for _ in 0..30 {
            advance(SECOND).await;
            rest().await;
        }
        assert_eq!(stage.world.wires.open(), 0);
    });
}
