//! Fillings: one forward for all, hand-over, variants, orphans.

use bytesize::ByteSize;
use edge_core::settings::EdgeSettings;
use nearcast_tests::world::{rest, until};
use origin_mock::{
    pattern,
    script::{Body, Hold, Pattern, Script, Seed, Step},
};

use super::stage::{HOST, cacheable, closes, run, stage, stage_with, unstorable};

const SEED: u64 = 5;

fn pattern_of(bytes: u64) -> Step {
    let body = Body::Pattern(Pattern { bytes, seed: Seed::Number(SEED) });
    Step { body, ..Step::default() }.with_field("Cache-Control", "max-age=60")
}

fn octets(bytes: u64) -> Vec<u8> {
    pattern::octets(SEED, 0, usize::try_from(bytes).unwrap())
}

#[test]
fn a_thousand_clients_of_one_url_are_one_forward() {
    run(async {
        let step = Step { hold: Some(Hold::Release), ..pattern_of(100_000) };
        let stage = stage(vec![Script::new().route("/*", [step])], "");
        let crowd = stage.crowd((0..1000).map(|_| "/one".to_owned()));
        assert!(until(|| stage.asked(0) == 1).await);
        rest().await;
        stage.origin(0).release(None);
        let answers = crowd.join_all().await;
        let expected = octets(100_000);
        assert!(answers.iter().all(|answer| answer.status() == 200 && answer.body == expected));
        assert_eq!(stage.asked(0), 1);
        let collapsed =
            |field: String| field.contains("fwd=uri-miss") && field.contains("collapsed");
        let followers =
            answers.iter().filter_map(|a| a.field("cache-status")).filter(|f| collapsed(f.clone()));
        assert_eq!(followers.count(), 999);
    });
}

#[test]
fn the_next_follower_takes_over_when_the_forward_dies() {
    run(async {
        let held = Step { hold: Some(Hold::Release), ..closes() };
        // The pool tries a GET twice; the third forward is the next follower's.
        let script = Script::new().route("/*", [held, closes(), cacheable("at last")]);
        let stage = stage(vec![script], "");
        let crowd = stage.crowd((0..20).map(|_| "/one".to_owned()));
        assert!(until(|| stage.asked(0) == 1).await);
        rest().await;
        stage.origin(0).release(None);
        let answers = crowd.join_all().await;
        let served = answers.iter().filter(|answer| answer.status() == 200).count();
        assert!(served >= 18, "{served} of 20 were served");
        assert!(answers.iter().all(|a| a.status() == 502 || a.body == b"at last"));
        assert!(stage.asked(0) <= 4, "{} forwards", stage.asked(0));
    });
}

#[test]
fn followers_regroup_by_vary() {
    run(async {
        let step = |text: &str| cacheable(text).with_field("Vary", "X-Lang");
        let body = Body::Template("in {request:x-lang}".to_owned());
        let first = Step { hold: Some(Hold::Release), body: body.clone(), ..step("") };
        let stage = stage(vec![Script::new().route("/*", [first, Step { body, ..step("") }])], "");
        let mut crowd = tokio::task::JoinSet::new();
        for number in 0..30 {
            let mut caller = stage.caller();
            let lang = ["en", "de", "fr"][number % 3];
            crowd.spawn(async move {
                let fields = format!("X-Lang: {lang}\r\n");
                (lang, caller.ask("GET", HOST, "/v", &fields).await)
            });
        }
        assert!(until(|| stage.asked(0) == 1).await);
        rest().await;
        assert_eq!(stage.asked(0), 1, "until the head comes one forward serves all");
        stage.origin(0).release(None);
        for (lang, answer) in crowd.join_all().await {
            assert_eq!(String::from_utf8_lossy(&answer.body), format!("in {lang}"));
        }
        assert_eq!(stage.asked(0), 3, "one filling per variant");
    });
}

#[test]
fn what_may_not_be_stored_is_forwarded_for_each() {
    run(async {
        let first = Step { hold: Some(Hold::Release), ..unstorable("own") };
        let stage = stage(vec![Script::new().route("/*", [first, unstorable("own")])], "");
        let crowd = stage.crowd((0..20).map(|_| "/own".to_owned()));
        assert!(until(|| stage.asked(0) == 1).await);
        rest().await;
        stage.origin(0).release(None);
        assert!(crowd.join_all().await.iter().all(|answer| answer.body == b"own"));
        assert_eq!(stage.asked(0), 20);
        // The key is remembered, so that nobody queues behind the next one.
        let mut held = stage.crowd((0..5).map(|_| "/own".to_owned()));
        assert!(until(|| stage.asked(0) == 25).await);
        while let Some(answer) = held.join_next().await {
            assert_eq!(answer.unwrap().status(), 200);
        }
    });
}

#[test]
fn a_leader_that_leaves_harms_nobody() {
    run(async {
        let step = Step { hold: Some(Hold::Release), ..pattern_of(300_000) };
        let stage = stage(vec![Script::new().route("/*", [step])], "");
        let mut leader = stage.caller();
        leader.send("GET", format!("GET /one HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).await;
        assert!(until(|| stage.asked(0) == 1).await);
        let crowd = stage.crowd((0..10).map(|_| "/one".to_owned()));
        rest().await;
        drop(leader);
        rest().await;
        stage.origin(0).release(None);
        let expected = octets(300_000);
        assert!(crowd.join_all().await.iter().all(|answer| answer.body == expected));
        assert_eq!(stage.asked(0), 1);
    });
}

/// A client that leaves after the first octets of an object, under an allowance for orphans.
fn orphan(bytes: u64, allowance: ByteSize) -> (u64, u64) {
    run(async {
        let settings = EdgeSettings { orphan_bytes_max: allowance, ..EdgeSettings::default() };
        let script = Script::new().route("/*", [pattern_of(bytes)]);
        let stage = stage_with(&settings, vec![script], "");
        let mut leader = stage.caller();
        leader.send("GET", format!("GET /one HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).await;
        assert!(leader.read(2_000).await > 0);
        drop(leader);
        let gone = stage.world.edge.hall();
        assert!(until(|| stage.world.serving() == 0 && gone.room.table.is_empty()).await);
        let vanished = stage.origin(0).recorder().stats().peers_vanished;
        let answer = stage.get("/one").await;
        assert_eq!(answer.body, octets(bytes));
        (vanished, stage.asked(0))
    })
}

#[test]
fn an_orphan_is_finished_while_little_remains() {
    assert_eq!(orphan(1_000_000, ByteSize::mib(8)), (0, 1), "finished, stored, a hit");
}

#[test]
fn an_orphan_is_ended_while_much_remains() {
    assert_eq!(orphan(1_000_000, ByteSize::kib(100)).1, 2, "ended, and fetched anew");
}

#[test]
fn an_orphan_of_unknown_length_has_the_same_allowance_for_further_octets() {
    let unknown = |allowance: ByteSize| {
        run(async move {
            let settings = EdgeSettings { orphan_bytes_max: allowance, ..EdgeSettings::default() };
            let framing = origin_mock::script::Framing::Chunked;
            let script = Script::new().route("/*", [Step { framing, ..pattern_of(600_000) }]);
            let stage = stage_with(&settings, vec![script], "");
            let mut leader = stage.caller();
            let request = format!("GET /one HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
            leader.send("GET", request.as_bytes()).await;
            assert!(leader.read(2_000).await > 0);
            drop(leader);
            let gone = stage.world.edge.hall();
            assert!(until(|| stage.world.serving() == 0 && gone.room.table.is_empty()).await);
            assert_eq!(stage.get("/one").await.body, octets(600_000));
            stage.asked(0)
        })
    };
    assert_eq!(unknown(ByteSize::mib(1)), 1);
    assert_eq!(unknown(ByteSize::kib(50)), 2);
}
