//! Active checks: what they ask, how often, and what follows from what they see.

use std::{sync::Arc, time::Duration};

use edge::fetch::{pool::Pool, standing::Standing};
use edge_core::settings::EdgeSettings;
use nearcast_tests::world::{Reach, rest, site};
use origin_mock::script::{Script, Step};
use tokio::time::advance;

use super::stage::{Stage, run, stage, stage_of, unstorable};

const SECOND: Duration = Duration::from_secs(1);
const CHECK: &str = "check = { path = \"/health\", interval = \"1s\", timeout = \"500ms\", \
    rise = 2, fall = 2, jitter = 0";

fn status(status: u16) -> Step {
    Step { status, ..unstorable("ready") }
}

fn with_health(steps: impl IntoIterator<Item = Step>) -> Script {
    Script::new().route("/health", steps).route("/*", [unstorable("here")])
}

fn pool(stage: &Stage) -> Arc<Pool> {
    let snapshot = stage.world.edge.hall().snapshot.load();
    Arc::clone(&snapshot.sites.values().next().unwrap().pool)
}

fn is_up(stage: &Stage, index: usize) -> bool {
    pool(stage).servers()[index].standing().0 == Standing::Up
}

fn checks(stage: &Stage, index: usize) -> usize {
    stage.origin(index).recorder().requests_for("/health").len()
}

/// Requests of clients that came to a server.
fn served(stage: &Stage, index: usize) -> u64 {
    stage.asked(index) - checks(stage, index) as u64
}

async fn pass(seconds: u32) {
    for _ in 0..seconds * 2 {
        advance(SECOND / 2).await;
        rest().await;
    }
}

async fn gets(stage: &Stage, count: usize) {
    for number in 0..count {
        assert_eq!(stage.get(&format!("/{number}")).await.status(), 200, "{number}");
    }
}

#[test]
fn who_fails_its_check_is_asked_only_while_no_other_is_up() {
    run(async {
        let sick = || with_health([status(200), status(200), status(503)]);
        let stage = stage(vec![sick(), with_health([status(200)])], &format!("{CHECK} }}"));
        pass(2).await;
        gets(&stage, 10).await;
        assert_eq!(served(&stage, 0), 5);
        pass(4).await;
        assert!(!is_up(&stage, 0) && is_up(&stage, 1));
        gets(&stage, 10).await;
        assert_eq!((served(&stage, 0), served(&stage, 1)), (5, 15));
        stage.world.wires.reach("b:80", Reach::Refuses);
        pass(4).await;
        assert!(pool(&stage).is_down());
        gets(&stage, 10).await;
        assert!(served(&stage, 0) >= 10, "all are down: try anyway");
    });
}

#[test]
fn who_is_back_is_asked_after_rise_and_as_it_starts() {
    run(async {
        let stage = stage(
            vec![with_health([status(200)]), with_health([status(200)])],
            &format!(
                "slow_start = \"10s\"\nejection_failures = 2\nejection_time = \"1h\"\n{CHECK} }}"
            ),
        );
        pass(2).await;
        stage.world.wires.reach("a:80", Reach::Refuses);
        gets(&stage, 10).await;
        assert!(!is_up(&stage, 0), "requests saw it first");
        pass(3).await;
        stage.world.wires.reach("a:80", Reach::Up);
        pass(3).await;
        assert!(is_up(&stage, 0), "its ejection ends when checks saw it come back");
        let before = served(&stage, 0);
        gets(&stage, 20).await;
        assert!(served(&stage, 0) - before < 8, "slowly: {} of 20", served(&stage, 0) - before);
        pass(10).await;
        let before = served(&stage, 0);
        gets(&stage, 20).await;
        assert_eq!(served(&stage, 0) - before, 10);
    });
}

#[test]
fn checks_are_never_more_frequent_than_said_also_over_reloads() {
    run(async {
        let check = "check = { path = \"/health\", interval = \"10s\" }";
        let stage = stage(vec![with_health([status(200)])], check);
        pass(60).await;
        assert!((5..=8).contains(&checks(&stage, 0)), "{}", checks(&stage, 0));
        let before = checks(&stage, 0);
        // Requests that are under way keep the pools that they began with.
        let mut kept = Vec::new();
        for number in 0..40 {
            kept.push(pool(&stage));
            let text = format!(
                "name = \"www\"\nhosts = [\"*\"]\n[origin]\nservers = [\"http://a\"]\n\
                 connections_max = {}\n{check}\n",
                20 + number
            );
            stage.world.edge.reload(&EdgeSettings::default(), &[site(&text).unwrap()]).unwrap();
            pass(1).await;
        }
        let more = checks(&stage, 0) - before;
        assert!((3..=5).contains(&more), "{more} within 40 s, over {} pools", kept.len());
    });
}

#[test]
fn what_is_dead_stays_dead_over_a_reload() {
    run(async {
        let stage = stage(
            vec![with_health([status(500)]), with_health([status(200)])],
            &format!("{CHECK} }}"),
        );
        pass(4).await;
        assert!(!is_up(&stage, 0));
        for path in ["/health", "/other"] {
            let text = format!(
                "name = \"www\"\nhosts = [\"*\"]\n[origin]\nservers = [\"http://b\", \"http://a\"]\n\
                 connections_max = 7\ncheck = {{ path = \"{path}\", interval = \"1h\" }}\n"
            );
            stage.world.edge.reload(&EdgeSettings::default(), &[site(&text).unwrap()]).unwrap();
            assert!(is_up(&stage, 0) && !is_up(&stage, 1), "{path}");
        }
        let without = "name = \"www\"\nhosts = [\"*\"]\n[origin]\nservers = [\"http://a\"]";
        stage.world.edge.reload(&EdgeSettings::default(), &[site(without).unwrap()]).unwrap();
        assert!(!pool(&stage).is_down(), "who is not checked is up");
    });
}

#[test]
fn a_check_asks_what_it_says_and_looks_at_what_comes() {
    run(async {
        let rows = [
            ("", 200, "ready", true),
            ("", 204, "", false),
            (", status = [204, 503]", 503, "no", true),
            (", body = \"ready\"", 200, "all is ready now", true),
            (", body = \"ready\"", 200, "not yet", false),
            (", method = \"HEAD\"", 200, "", true),
            (", host = \"health.example\"", 200, "", true),
            (", kind = \"tcp\"", 500, "", true),
        ];
        for (more, status, body, expected) in rows {
            let step = Step { status, ..unstorable(body) };
            let check = format!("{CHECK}{more} }}");
            let stage = stage(vec![with_health([step])], &check);
            pass(2).await;
            assert_eq!(is_up(&stage, 0), expected, "{more} {status} {body}");
            let asked = stage.origin(0).recorder().requests_for("/health");
            let Some(first) = asked.first() else {
                assert!(more.contains("tcp"), "{more}");
                continue;
            };
            let method = if more.contains("HEAD") { "HEAD" } else { "GET" };
            let host = if more.contains("host") { "health.example" } else { "a" };
            let seen = (first.method.as_str(), first.field("host"));
            assert_eq!(seen, (method, Some(host.to_owned())), "{more}");
            assert!(
                first.field("user-agent").is_some_and(|name| name.starts_with("nearcast-probe"))
            );
        }
    });
}

#[test]
fn a_server_that_hangs_fails_its_check_and_its_text_may_come_late() {
    run(async {
        let never = Step { never: true, ..Step::default() };
        let settings = format!("{CHECK}, body = \"end\" }}");
        let long = unstorable(&format!("{}end", "x".repeat(40_000)));
        let longer = unstorable(&format!("{}end", "x".repeat(70_000)));
        let scripts = vec![with_health([never]), with_health([long]), with_health([longer])];
        let stage = stage(scripts, &settings);
        pass(4).await;
        assert_eq!([0, 1, 2].map(|index| is_up(&stage, index)), [false, true, false]);
        let told = pool(&stage).servers()[0].standing().0.to_string();
        assert_eq!(told, "its check fails: no answer within 500ms");
    });
}

#[test]
fn before_its_first_check_a_server_is_what_the_settings_say() {
    run(async {
        let settings = format!("slow_start = \"1h\"\n{CHECK}, before = \"down\" }}");
        let stage = stage(vec![with_health([status(200)])], &settings);
        assert!(!is_up(&stage, 0));
        gets(&stage, 1).await;
        pass(2).await;
        assert!(is_up(&stage, 0), "the first result decides alone");
    });
}

#[test]
fn a_replica_that_says_it_lags_gets_no_reads() {
    run(async {
        let lags = with_health([status(200), status(200), status(503)]);
        let servers = vec![
            (with_health([status(200)]), ""),
            (lags, ", role = \"replica\""),
            (with_health([status(200)]), ", role = \"replica\""),
        ];
        let stage = stage_of(&EdgeSettings::default(), servers, &format!("{CHECK} }}"));
        pass(6).await;
        gets(&stage, 10).await;
        assert_eq!([0, 1, 2].map(|index| served(&stage, index)), [0, 0, 10]);
    });
}

#[test]
fn checks_end_with_their_pool() {
    run(async {
        let stage = stage(vec![with_health([status(200)])], &format!("{CHECK} }}"));
        pass(3).await;
        let before = checks(&stage, 0);
        assert!(before > 0);
        let text = "name = \"www\"\nhosts = [\"*\"]\n[origin]\nservers = [\"http://a\"]\n";
        stage.world.edge.reload(&EdgeSettings::default(), &[site(text).unwrap()]).unwrap();
        rest().await;
        let before = checks(&stage, 0);
        pass(10).await;
        assert_eq!(checks(&stage, 0), before);
        assert_eq!(stage.world.wires.open(), 0, "nor is a connection left");
    });
}
