//! What one server, one client or one answer must not do to the choice among servers.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use edge::fetch::{pool::Pool, standing::Standing};
use edge_core::settings::EdgeSettings;
use nearcast_tests::{
    message::Answer,
    world::{Reach, rest, site},
};
use origin_mock::script::{Pace, Script, Step};
use tokio::time::{Instant, advance};

use super::stage::{HOST, Stage, run, stage_of, unstorable};

const SECOND: Duration = Duration::from_secs(1);
const CHECK: &str = "check = { path = \"/health\", interval = \"1s\", timeout = \"500ms\", \
    rise = 1, fall = 1, jitter = 0 }";

fn open_door() -> Script {
    Script::new().route("/*", [unstorable("here")])
}

fn fails(status: u16) -> Script {
    Script::new().route("/*", [Step { status, ..unstorable("no") }])
}

fn takes(millis: u64) -> Step {
    Step { head_delay: Duration::from_millis(millis), ..unstorable("here") }
}

fn of(servers: Vec<(Script, &'static str)>, settings: &str) -> Stage {
    stage_of(&EdgeSettings::default(), servers, &format!("keep_alive = \"0s\"\n{settings}"))
}

fn pool(stage: &Stage) -> Arc<Pool> {
    let snapshot = stage.world.edge.hall().snapshot.load();
    Arc::clone(&snapshot.sites.values().next().unwrap().pool)
}

fn posts(stage: &Stage, index: usize) -> usize {
    stage.origin(index).recorder().requests_for("/form").len()
}

async fn post(stage: &Stage) -> Answer {
    stage.caller().ask("POST", HOST, "/form", "Content-Length: 0\r\n").await
}

async fn pass(seconds: u32) {
    for _ in 0..seconds * 2 {
        advance(SECOND / 2).await;
        rest().await;
    }
}

#[test]
fn a_primary_whose_writes_take_longer_than_reads_of_replicas_is_not_left_out() {
    run(async {
        let slow = Script::new().route("/*", [takes(60)]);
        let servers = vec![(slow, ""), (open_door(), ", role = \"replica\"")];
        let settings = "ejection_latency_factor = 5\nejection_requests_min = 10";
        let stage = of(servers, settings);
        for number in 0..30 {
            assert_eq!(stage.get(&format!("/{number}")).await.status(), 200);
            assert_eq!(post(&stage).await.status(), 200, "{number}");
        }
        assert_eq!((posts(&stage, 0), posts(&stage, 1)), (30, 0));
    });
}

#[test]
fn who_fails_fast_is_not_asked_for_more() {
    run(async {
        let slow = || Script::new().route("/*", [takes(30)]);
        let servers = vec![(fails(500), ""), (slow(), "")];
        let stage = of(servers, "balance = \"least-loaded\"");
        for number in 0..100 {
            stage.get(&format!("/{number}")).await;
        }
        let failed = stage.asked(0);
        assert!(failed <= 40, "{failed} of 100");
        let stage = of(vec![(fails(500), ""), (slow(), "")], "balance = \"least-loaded\"");
        for _ in 0..10 {
            let targets = (0..10).map(|number| format!("/{number}"));
            stage.crowd(targets).join_all().await;
        }
        let failed = stage.asked(0);
        assert!(failed <= 50, "{failed} of 100, by ten at once");
    });
}

/// A stage where the standby has taken over.
async fn taken_over() -> Stage {
    let servers = vec![(open_door(), ""), (open_door(), ", role = \"standby\"")];
    let stage = of(servers, &format!("takeover_after = \"5s\"\n{CHECK}"));
    pass(2).await;
    stage.world.wires.reach("a:80", Reach::Refuses);
    pass(3).await;
    assert_eq!(post(&stage).await.status(), 503, "not at once");
    pass(6).await;
    assert_eq!(post(&stage).await.status(), 200);
    stage.world.wires.reach("a:80", Reach::Up);
    pass(3).await;
    assert_eq!((posts(&stage, 0), posts(&stage, 1)), (0, 1));
    stage
}

#[test]
fn a_moments_trouble_of_the_standby_does_not_give_the_place_back() {
    run(async {
        let stage = taken_over().await;
        stage.world.wires.reach("b:80", Reach::Refuses);
        pass(2).await;
        assert_eq!(post(&stage).await.status(), 503, "nobody else has what was written");
        stage.world.wires.reach("b:80", Reach::Up);
        pass(2).await;
        assert_eq!(post(&stage).await.status(), 200);
        assert_eq!((posts(&stage, 0), posts(&stage, 1)), (0, 2));
        stage.world.wires.reach("b:80", Reach::Refuses);
        pass(8).await;
        assert_eq!(post(&stage).await.status(), 200, "away for as long as it took to take over");
        assert_eq!(posts(&stage, 0), 1);
    });
}

#[test]
fn a_takeover_holds_over_a_reload_that_leaves_its_standby_one() {
    run(async {
        let stage = taken_over().await;
        let reload = |servers: &str| {
            let text = format!(
                "name = \"www\"\nhosts = [\"*\"]\n[origin]\nkeep_alive = \"0s\"\n\
                 takeover_after = \"5s\"\n{CHECK}\nservers = [{servers}]"
            );
            stage.world.edge.reload(&EdgeSettings::default(), &[site(&text).unwrap()]).unwrap();
        };
        reload(
            "{ url = \"http://c\", role = \"replica\" }, \"http://a\", \
             { url = \"http://b\", role = \"standby\" }",
        );
        assert_eq!(post(&stage).await.status(), 200);
        assert_eq!((posts(&stage, 0), posts(&stage, 1)), (0, 2), "a replica more");
        reload("\"http://b\", { url = \"http://a\", role = \"standby\" }");
        assert_eq!(post(&stage).await.status(), 200);
        reload("\"http://a\", { url = \"http://b\", role = \"standby\" }");
        assert_eq!(post(&stage).await.status(), 200);
        assert_eq!((posts(&stage, 0), posts(&stage, 1)), (1, 3), "the roles were changed");
    });
}

#[test]
fn a_second_try_goes_to_nobody_who_is_down() {
    run(async {
        let slow = Script::new().route("/health", [unstorable("ready")]).route("/*", [takes(1000)]);
        let lags = Script::new()
            .route("/health", [Step { status: 503, ..unstorable("no") }])
            .route("/*", [unstorable("old")]);
        let settings = format!("hedge_after = \"300ms\"\nretry_percent = 100\n{CHECK}");
        let stage = of(vec![(slow, ""), (lags, "")], &settings);
        pass(3).await;
        for number in 0..5 {
            assert_eq!(stage.get(&format!("/page/{number}")).await.status(), 200);
        }
        let all = stage.origin(1).recorder().stats().requests;
        let checks = stage.origin(1).recorder().requests_for("/health").len() as u64;
        assert_eq!(all - checks, 0, "a lagging replica was asked");
    });
}

#[test]
fn a_second_try_goes_to_the_same_role() {
    run(async {
        let slow = Script::new().route("/*", [takes(1000)]);
        let servers = vec![
            (open_door(), ""),
            (open_door(), ", role = \"standby\""),
            (slow, ", role = \"replica\""),
        ];
        let stage = of(servers, "hedge_after = \"300ms\"\nretry_percent = 100");
        assert_eq!(stage.get("/page").await.status(), 200);
        assert_eq!([0, 1, 2].map(|index| stage.asked(index)), [0, 0, 1]);
    });
}

#[test]
fn an_error_of_the_second_try_does_not_end_the_first() {
    run(async {
        for settings in ["", "error_statuses = [500]\n"] {
            let slow = Script::new().route("/*", [takes(1000)]);
            let settings = format!("{settings}hedge_after = \"300ms\"\nretry_percent = 100");
            let stage = of(vec![(slow, ""), (fails(500), "")], &settings);
            assert_eq!(stage.get("/page").await.status(), 200, "{settings}");
            assert_eq!((stage.asked(0), stage.asked(1)), (1, 1));
        }
        let late = Step { head_delay: SECOND, ..super::stage::closes() };
        let stage = of(
            vec![(Script::new().route("/*", [late]), ""), (fails(500), "")],
            "hedge_after = \"300ms\"\nretry_percent = 100",
        );
        assert_eq!(stage.get("/page").await.status(), 500, "better than none");
    });
}

#[test]
fn an_error_that_is_kept_for_the_client_waits_in_no_queue() {
    run(async {
        let settings = "connections_max = 2\nerror_statuses = [503]\nretry_percent = 100\n\
            queue_timeout = \"10s\"";
        let stage = of(vec![(fails(503), ""), (fails(503), "")], settings);
        let before = Instant::now();
        for answer in stage.crowd((0..12).map(|n| format!("/{n}"))).join_all().await {
            assert_eq!(answer.status(), 503);
        }
        assert!(before.elapsed() < SECOND, "{:?}", before.elapsed());
    });
}

#[test]
fn an_error_that_is_tried_again_elsewhere_costs_no_connection() {
    run(async {
        let pages = "x".repeat(10_000);
        let fails =
            |text: &str| Script::new().route("/*", [Step { status: 503, ..unstorable(text) }]);
        let settings = "error_statuses = [503]\nretry_percent = 100";
        for (text, second, status) in [
            ("", open_door(), 200),
            ("no", open_door(), 200),
            (&*pages, open_door(), 200),
            (&*pages, fails("neither"), 503),
        ] {
            let servers = vec![(fails(text), ""), (second, "")];
            let stage = stage_of(&EdgeSettings::default(), servers, settings);
            for number in 0..40 {
                let answer = stage.get(&format!("/{number}")).await;
                assert_eq!(answer.status(), status, "{}", text.len());
                let from_first = status == 503 && number % 2 == 0;
                assert!(!from_first || answer.body == text.as_bytes(), "the first, whole");
            }
            for server in pool(&stage).servers() {
                let opened = server.counts().connections.load(Ordering::Relaxed);
                assert_eq!(opened, 1, "{} of {}", server.name(), text.len());
            }
        }
    });
}

#[test]
fn an_error_whose_content_is_long_or_late_keeps_nobody_waiting() {
    run(async {
        let late = Pace { bytes: 1, every: SECOND };
        for step in
            [unstorable(&"x".repeat(100_000)), Step { pace: Some(late), ..unstorable("late") }]
        {
            let bad = Script::new().route("/*", [Step { status: 503, ..step }]);
            let settings = "error_statuses = [503]\nretry_percent = 100";
            let servers = vec![(bad, ""), (open_door(), "")];
            let stage = stage_of(&EdgeSettings::default(), servers, settings);
            let before = Instant::now();
            assert_eq!(stage.get("/").await.status(), 200);
            assert!(before.elapsed() < SECOND / 10, "{:?}", before.elapsed());
        }
    });
}

#[test]
fn the_first_that_is_back_brings_back_the_others() {
    run(async {
        let doors = || (0..4).map(|_| (open_door(), "")).collect();
        let stage = of(doors(), "ejection_failures = 1\nejection_time = \"1m\"\nretry_percent = 0");
        let names = ["a:80", "b:80", "c:80", "d:80"];
        for name in names {
            stage.world.wires.reach(name, Reach::Refuses);
        }
        for number in 0..8 {
            assert_eq!(stage.get(&format!("/{number}")).await.status(), 502);
        }
        assert!(pool(&stage).is_down());
        for name in names {
            stage.world.wires.reach(name, Reach::Up);
        }
        for number in 0..80 {
            assert_eq!(stage.get(&format!("/back/{number}")).await.status(), 200);
        }
        let asked = [0, 1, 2, 3].map(|index| stage.asked(index));
        assert!(asked.iter().all(|count| *count >= 15), "{asked:?}");
    });
}

#[test]
fn a_slow_upload_is_not_the_servers_time() {
    run(async {
        let stage = of(vec![(open_door(), "")], "");
        for _ in 0..3 {
            let mut caller = stage.caller();
            let head = b"POST /form HTTP/1.1\r\nHost: www.example\r\nContent-Length: 3\r\n\r\n";
            caller.send("POST", head).await.unwrap();
            rest().await;
            advance(3 * SECOND).await;
            caller.more(b"abc").await.unwrap();
            assert_eq!(caller.answer().await.status(), 200);
        }
        let took = pool(&stage).servers()[0].first_byte();
        assert!(took < SECOND / 10, "{took:?}");
    });
}

#[test]
fn who_is_back_from_an_ejection_is_tried_with_one_request() {
    run(async {
        let hangs = Script::new().route("/*", [Step { never: true, ..Step::default() }]);
        let settings = "ejection_failures = 1\nfirst_byte_timeout = \"4s\"\nretry_percent = 0";
        let stage = of(vec![(hangs, ""), (open_door(), "")], settings);
        assert_eq!(stage.get("/first").await.status(), 504);
        assert!(!pool(&stage).is_down());
        assert!(matches!(pool(&stage).servers()[0].standing().0, Standing::Ejected(_)));
        advance(11 * SECOND).await;
        let answers = stage.crowd((0..20).map(|n| format!("/{n}"))).join_all().await;
        let good = answers.iter().filter(|answer| answer.status() == 200).count();
        assert_eq!((good, stage.asked(0)), (19, 2));
    });
}

#[test]
fn without_checks_short_ejections_in_a_row_are_one_outage_to_a_standby() {
    run(async {
        let servers = vec![(open_door(), ""), (open_door(), ", role = \"standby\"")];
        let settings = "ejection_failures = 1\nejection_time = \"2s\"\nejection_time_max = \"2s\"\n\
            takeover_after = \"5s\"";
        let stage = of(servers, settings);
        stage.world.wires.reach("a:80", Reach::Refuses);
        let mut statuses = Vec::new();
        for _ in 0..8 {
            statuses.push(post(&stage).await.status());
            advance(SECOND).await;
        }
        assert_eq!(statuses.last(), Some(&200), "{statuses:?}");
        assert_eq!(statuses[..5].iter().filter(|status| **status == 200).count(), 0);
    });
}

#[test]
fn further_tries_are_spread_evenly() {
    run(async {
        let servers = vec![(fails(503), ""), (open_door(), ""), (open_door(), "")];
        let stage = of(servers, "error_statuses = [503]\nretry_percent = 100");
        for number in 0..60 {
            assert_eq!(stage.get(&format!("/{number}")).await.status(), 200);
        }
        assert_eq!([0, 1, 2].map(|index| stage.asked(index)), [20, 30, 30]);
    });
}

#[test]
fn a_server_on_its_ramp_is_no_way_around_the_queue_of_another() {
    run(async {
        let slow = || Script::new().route("/*", [takes(100)]);
        let settings = "connections_max = 4\nslow_start = \"100s\"\nejection_failures = 1\n\
            queue_timeout = \"1h\"";
        let stage = of(vec![(slow(), ""), (slow(), "")], settings);
        stage.world.wires.reach("a:80", Reach::Refuses);
        for number in 0..4 {
            assert_eq!(stage.get(&format!("/{number}")).await.status(), 200);
        }
        stage.world.wires.reach("a:80", Reach::Up);
        advance(11 * SECOND).await;
        assert_eq!(stage.get("/one").await.status(), 200);
        advance(5 * SECOND).await;
        let before = [0, 1].map(|index| stage.asked(index));
        for _ in 0..10 {
            stage.crowd((0..8).map(|n| format!("/{n}"))).join_all().await;
        }
        let [ramping, other] = [0, 1].map(|index| stage.asked(index) - before[index]);
        assert!(ramping * 3 < other, "{ramping} and {other}");
    });
}

#[test]
fn what_this_node_is_short_of_takes_no_server_out() {
    run(async {
        let stage = of(vec![(open_door(), "")], &format!("ejection_failures = 1\n{CHECK}"));
        pass(2).await;
        stage.world.wires.reach("a:80", Reach::Spent);
        pass(5).await;
        assert_eq!(stage.get("/page").await.status(), 503);
        assert!(!pool(&stage).is_down());
        assert_eq!(pool(&stage).servers()[0].standing().0, Standing::Up);
        stage.world.wires.reach("a:80", Reach::Up);
        assert_eq!(stage.get("/page").await.status(), 200);
    });
}
