//! What keeps a slow server from slowing down clients, and clients from drowning a server.

use std::time::Duration;

use nearcast_tests::world::{rest, until};
use origin_mock::script::{Hold, Script, Step};
use tokio::time::{Instant, advance};

use super::stage::{Stage, run, stage, unstorable};

const MILLI: Duration = Duration::from_millis(1);

fn open_door() -> Script {
    Script::new().route("/*", [unstorable("here")])
}

fn hangs() -> Script {
    Script::new().route("/*", [Step { never: true, ..Step::default() }])
}

fn held() -> Script {
    Script::new().route("/*", [Step { hold: Some(Hold::Release), ..unstorable("late") }])
}

fn limit(stage: &Stage) -> Option<u32> {
    let snapshot = stage.world.edge.hall().snapshot.load();
    snapshot.sites.values().next().unwrap().pool.servers()[0].limit()
}

#[test]
fn a_get_that_takes_long_is_sent_to_another_server_as_well() {
    run(async {
        let settings = "hedge_after = \"300ms\"\nretry_percent = 100";
        let stage = stage(vec![hangs(), open_door()], settings);
        for number in 0..10 {
            let before = Instant::now();
            assert_eq!(stage.get(&format!("/{number}")).await.status(), 200);
            assert!(before.elapsed() <= 301 * MILLI, "{:?}", before.elapsed());
        }
        assert_eq!((stage.asked(0), stage.asked(1)), (5, 10));
        rest().await;
        let open = stage.world.wires.open();
        assert_eq!(open, 1, "what is not needed ends at once, and the other is kept");
    });
}

#[test]
fn there_is_no_second_try_without_the_setting_nor_beyond_the_budget() {
    run(async {
        for (settings, extra) in [
            ("", 0),
            ("hedge_after = \"300ms\"\nretry_percent = 0", 0),
            ("hedge_after = \"300ms\"\nretry_percent = 10", 4),
        ] {
            let stage =
                stage(vec![hangs(), hangs()], &format!("{settings}\nfirst_byte_timeout = \"1h\""));
            let crowd = stage.crowd((0..10).map(|number| format!("/{number}")));
            assert!(until(|| stage.asked(0) + stage.asked(1) == 10).await);
            advance(301 * MILLI).await;
            rest().await;
            assert_eq!(stage.asked(0) + stage.asked(1), 10 + extra, "{settings}");
            drop(crowd);
        }
    });
}

#[test]
fn only_a_get_is_tried_twice_at_once() {
    run(async {
        let stage = stage(
            vec![hangs(), open_door()],
            "hedge_after = \"300ms\"\nretry_percent = 100\n\
            first_byte_timeout = \"1s\"",
        );
        let mut caller = stage.caller();
        let posted = caller.ask("POST", super::stage::HOST, "/", "Content-Length: 0\r\n").await;
        assert_eq!((posted.status(), stage.asked(1)), (504, 0));
    });
}

#[test]
fn a_second_try_that_fails_leaves_the_first() {
    run(async {
        let stage = stage(
            vec![held(), Script::new().route("/*", [super::stage::closes()])],
            "hedge_after = \"300ms\"\nretry_percent = 100",
        );
        let mut crowd = stage.crowd(std::iter::once("/".to_owned()));
        assert!(until(|| stage.asked(0) == 1).await);
        advance(301 * MILLI).await;
        assert!(until(|| stage.asked(1) == 1).await);
        rest().await;
        stage.origin(0).release(None);
        assert_eq!(crowd.join_next().await.unwrap().unwrap().status(), 200);
    });
}

#[test]
fn a_server_that_does_not_answer_in_time_gets_less_at_once() {
    run(async {
        let settings = "concurrency = \"adaptive\"\nfirst_byte_timeout = \"1s\"\nretry_percent = 0\n\
            ejection_failures = 1000\nqueue_timeout = \"10m\"";
        let stage = stage(vec![hangs()], settings);
        assert_eq!(limit(&stage), Some(32));
        let crowd = stage.crowd((0..100).map(|number| format!("/{number}")));
        assert!(until(|| stage.asked(0) == 32).await);
        rest().await;
        assert_eq!(stage.asked(0), 32, "the rest waits");
        let before = Instant::now();
        for answer in crowd.join_all().await {
            assert_eq!(answer.status(), 504);
        }
        assert_eq!(limit(&stage), Some(4));
        assert!(before.elapsed() > Duration::from_secs(5), "fewer and fewer at once");
        assert_eq!(stage.asked(0), 100);
    });
}

#[test]
fn a_limit_never_passes_connections_max_and_without_the_setting_there_is_none() {
    run(async {
        let stage = stage(vec![open_door()], "concurrency = \"adaptive\"\nconnections_max = 3");
        for number in 0..50 {
            assert_eq!(stage.get(&format!("/{number}")).await.status(), 200);
        }
        assert_eq!(limit(&stage), Some(3));
        let fixed = super::stage::stage(vec![open_door()], "");
        assert_eq!(limit(&fixed), None);
    });
}
