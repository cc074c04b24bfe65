//! Whom of an origin's servers a request goes to: weights, roles, groups, errors tried again.

use std::time::Duration;

use edge_core::settings::EdgeSettings;
use nearcast_tests::{
    message::Answer,
    world::{Reach, until},
};
use origin_mock::script::{Hold, Script, Step};
use tokio::time::advance;

use super::stage::{HOST, Stage, closes, run, stage, stage_of, unstorable};

const SECOND: Duration = Duration::from_secs(1);

fn open_door() -> Script {
    Script::new().route("/*", [unstorable("here")])
}

/// Servers that forget each connection, so that who refuses one is away.
fn of(servers: &[&'static str], settings: &str) -> Stage {
    let servers = servers.iter().map(|more| (open_door(), *more)).collect();
    stage_of(&EdgeSettings::default(), servers, &format!("keep_alive = \"0s\"\n{settings}"))
}

fn asked<const N: usize>(stage: &Stage) -> [u64; N] {
    std::array::from_fn(|index| stage.asked(index))
}

async fn gets(stage: &Stage, count: usize) {
    for number in 0..count {
        let answer = stage.get(&format!("/{number}/{}", stage.asked(0))).await;
        assert_eq!(answer.status(), 200, "{number}");
    }
}

async fn post(stage: &Stage) -> Answer {
    stage.caller().ask("POST", HOST, "/form", "Content-Length: 0\r\n").await
}

#[test]
fn weights_are_met_by_turns() {
    run(async {
        let stage = of(&[", weight = 3", "", ", weight = 2"], "");
        gets(&stage, 60).await;
        assert_eq!(asked(&stage), [30, 10, 20]);
    });
}

#[test]
fn a_key_has_its_server_and_another_only_while_that_is_down() {
    run(async {
        let stage = of(&["", "", ""], "balance = \"hash\"\nejection_failures = 1");
        for _ in 0..20 {
            assert_eq!(stage.get("/one").await.status(), 200);
        }
        let home = asked::<3>(&stage).iter().position(|count| *count == 20).unwrap();
        let name = ["a:80", "b:80", "c:80"][home];
        stage.world.wires.reach(name, Reach::Refuses);
        for _ in 0..20 {
            assert_eq!(stage.get("/one").await.status(), 200);
        }
        let others: Vec<u64> =
            asked::<3>(&stage).into_iter().filter(|count| *count != 20).collect();
        assert_eq!(stage.asked(home), 20);
        assert!(others.contains(&0), "one other took over: {others:?}");
        stage.world.wires.reach(name, Reach::Up);
        advance(11 * SECOND).await;
        for _ in 0..5 {
            assert_eq!(stage.get("/one").await.status(), 200);
        }
        assert_eq!(stage.asked(home), 25, "it has its keys back");
        for number in 0..60 {
            assert_eq!(stage.get(&format!("/{number}")).await.status(), 200);
        }
        assert!(asked::<3>(&stage).iter().all(|count| *count > 5), "{:?}", asked::<3>(&stage));
    });
}

#[test]
fn who_has_less_to_do_is_asked() {
    run(async {
        let held = Script::new()
            .route("/held/*", [Step { hold: Some(Hold::Release), ..unstorable("late") }])
            .route("/*", [unstorable("here")]);
        let servers = vec![(held.clone(), ""), (held, "")];
        let stage = stage_of(&EdgeSettings::default(), servers, "balance = \"least-loaded\"");
        let crowd = stage.crowd((0..40).map(|number| format!("/held/{number}")));
        assert!(until(|| stage.asked(0) + stage.asked(1) == 40).await);
        let [one, other] = asked(&stage);
        assert!(one.abs_diff(other) <= 10, "{one} and {other}");
        drop(crowd);
    });
}

#[test]
fn reads_go_to_replicas_and_writes_to_the_primary() {
    run(async {
        let stage =
            of(&["", ", role = \"replica\"", ", role = \"replica\""], "ejection_failures = 1");
        gets(&stage, 20).await;
        assert_eq!(stage.caller().ask("HEAD", HOST, "/head", "").await.status(), 200);
        assert_eq!((stage.asked(0), stage.asked(1) + stage.asked(2)), (0, 21));
        assert_eq!(post(&stage).await.status(), 200);
        assert_eq!(stage.asked(0), 1);
        stage.world.wires.reach("b:80", Reach::Refuses);
        stage.world.wires.reach("c:80", Reach::Refuses);
        gets(&stage, 20).await;
        assert_eq!(stage.asked(0), 21, "no replica is up: the primary serves reads");
    });
}

#[test]
fn while_the_primary_is_down_writes_fail_at_once_and_reads_go_on() {
    run(async {
        let stage = of(&["", ", role = \"replica\""], "ejection_failures = 1");
        stage.world.wires.reach("a:80", Reach::Refuses);
        assert_eq!(post(&stage).await.status(), 502, "this one finds out");
        let tried = stage.world.wires.tried("a:80");
        let refused = post(&stage).await;
        assert_eq!((refused.status(), refused.field("retry-after").as_deref()), (503, Some("1")));
        assert_eq!(stage.world.wires.tried("a:80"), tried, "nobody was asked");
        gets(&stage, 5).await;
        assert_eq!(stage.asked(1), 5, "and no write came to the replica");
        stage.world.wires.reach("a:80", Reach::Up);
        advance(11 * SECOND).await;
        assert_eq!(post(&stage).await.status(), 200);
    });
}

#[test]
fn a_standby_takes_over_and_stays() {
    run(async {
        let settings = "ejection_failures = 1\nejection_time = \"1m\"\ntakeover_after = \"5s\"";
        let stage = of(&["", ", role = \"standby\""], settings);
        gets(&stage, 5).await;
        assert_eq!(asked(&stage), [5, 0], "a standby waits");
        stage.world.wires.reach("a:80", Reach::Refuses);
        assert_eq!(post(&stage).await.status(), 502);
        assert_eq!(post(&stage).await.status(), 503, "not at once");
        gets(&stage, 1).await;
        assert_eq!(asked(&stage), [5, 1], "but a read finds whoever is there");
        advance(6 * SECOND).await;
        assert_eq!(post(&stage).await.status(), 200);
        stage.world.wires.reach("a:80", Reach::Up);
        advance(120 * SECOND).await;
        assert_eq!(post(&stage).await.status(), 200);
        gets(&stage, 5).await;
        assert_eq!(asked(&stage), [5, 8], "the primary is back and may lack what was written");
        stage.world.wires.reach("b:80", Reach::Refuses);
        assert_eq!(post(&stage).await.status(), 502);
        assert_eq!(post(&stage).await.status(), 503, "not at once either");
        advance(6 * SECOND).await;
        assert_eq!(post(&stage).await.status(), 200, "the primary has its place");
        assert_eq!(stage.asked(0), 6);
    });
}

#[test]
fn the_next_group_takes_what_the_first_cannot_and_gives_it_back_slowly() {
    run(async {
        let (fra, ams) = (", group = \"fra\"", ", group = \"ams\"");
        let settings = "ejection_failures = 1\nslow_start = \"100s\"";
        let stage = of(&[fra, fra, ams, ams], settings);
        gets(&stage, 40).await;
        assert_eq!(asked(&stage), [20, 20, 0, 0]);
        stage.world.wires.reach("a:80", Reach::Refuses);
        gets(&stage, 400).await;
        let [_, fra, one, other] = asked(&stage);
        let spilled = one + other;
        assert!((80..=160).contains(&spilled), "half of 70 percent are up: {spilled} of 400");
        // A try that failed elsewhere may take a turn.
        assert!(fra > 200 && one.abs_diff(other) <= 5, "{fra} {one} {other}");
        stage.world.wires.reach("b:80", Reach::Refuses);
        gets(&stage, 40).await;
        assert!(stage.asked(2) + stage.asked(3) >= spilled + 38);
        stage.world.wires.reach("a:80", Reach::Up);
        stage.world.wires.reach("b:80", Reach::Up);
        advance(11 * SECOND).await;
        let before = stage.asked(0) + stage.asked(1);
        gets(&stage, 100).await;
        let soon = stage.asked(0) + stage.asked(1) - before;
        assert!(soon < 20, "{soon} of 100 at once");
        advance(101 * SECOND).await;
        let before = stage.asked(0) + stage.asked(1);
        gets(&stage, 100).await;
        assert_eq!(stage.asked(0) + stage.asked(1) - before, 100);
    });
}

/// Every other answer is an error.
fn half_broken() -> Script {
    let error = || Step { status: 503, ..unstorable("no") };
    Script::new().route("/*", (0..30).flat_map(|_| [error(), unstorable("here")]))
}

#[test]
fn an_error_is_tried_on_another_server_and_outlying_errors_leave_a_server_out() {
    run(async {
        let settings = "error_statuses = [502, 503]\nretry_percent = 50\n\
            ejection_error_percent = 30\nejection_requests_min = 10";
        let stage = stage(vec![half_broken(), open_door(), open_door()], settings);
        for number in 0..90 {
            assert_eq!(stage.get(&format!("/same/{}", number % 3)).await.status(), 200, "{number}");
        }
        assert_eq!(stage.asked(0), 10, "left out as soon as it could be judged");
    });
}

#[test]
fn an_error_that_no_server_betters_reaches_the_client() {
    run(async {
        let broken = || Script::new().route("/*", [Step { status: 503, ..unstorable("no") }]);
        let settings = "error_statuses = [503]\nejection_failures = 1\nkeep_alive = \"0s\"";
        let stage = stage(vec![broken(), broken()], settings);
        assert_eq!(stage.get("/a").await.status(), 503);
        assert_eq!(asked(&stage), [1, 1], "each was asked once");
        assert_eq!(post(&stage).await.status(), 503);
        assert_eq!(stage.asked(0) + stage.asked(1), 3, "what is not idempotent goes out once");
        stage.world.wires.reach("b:80", Reach::Refuses);
        for number in 0..4 {
            assert_eq!(stage.get(&format!("/{number}")).await.status(), 503, "better than none");
        }
        let without = super::stage::stage(vec![broken(), open_door()], "");
        assert_eq!(without.get("/a").await.status(), 503, "unless it is said, an answer is one");
    });
}

#[test]
fn no_more_than_the_share_are_left_out() {
    run(async {
        let closed = || Script::new().route("/*", [closes()]);
        let settings = "ejection_failures = 1\nejection_share_max = 50\nretry_percent = 0";
        let stage = stage(vec![closed(), closed(), closed(), closed()], settings);
        for number in 0..8 {
            assert_eq!(stage.get(&format!("/{number}")).await.status(), 502);
        }
        assert_eq!(asked(&stage), [1, 1, 3, 3]);
    });
}
