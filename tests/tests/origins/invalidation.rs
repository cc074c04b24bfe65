//! More invalidations than are remembered: nothing that was invalidated comes back, and nothing else
//! is lost.

use edge_core::settings::EdgeSettings;
use nearcast_tests::world::{rest, until};
use origin_mock::script::{Hold, Script, Step};

use super::stage::{HOST, Stage, cacheable, run, stage_with};

/// A node that remembers few invalidations.
fn forgetful(script: Script, site: &str) -> Stage {
    let mut edge = EdgeSettings::default();
    edge.limits.invalidations_max = 16;
    stage_with(&edge, vec![script], site)
}

async fn post(stage: &Stage, target: &str) {
    let answer = stage.caller().ask("POST", HOST, target, "Content-Length: 0\r\n").await;
    assert_eq!(answer.status(), 200, "{target}");
}

/// So many that some are forgotten, also where no sweep comes by between them.
async fn flood(stage: &Stage) {
    for number in 0..300 {
        post(stage, &format!("/flood/{number}")).await;
    }
    assert!(stage.world.edge.hall().room.stamps.overflows().0 > 0);
}

#[test]
fn a_flood_of_them_leaves_what_is_stored_alone() {
    run(async {
        let stage = forgetful(Script::new().route("/*", [cacheable("x")]), "");
        for number in 0..10 {
            stage.get(&format!("/{number}")).await;
        }
        post(&stage, "/3").await;
        flood(&stage).await;
        let asked = stage.asked(0);
        for number in 0..10 {
            stage.get(&format!("/{number}")).await;
        }
        assert_eq!(stage.asked(0), asked + 1, "/3 and nothing else is fetched anew");
    });
}

#[test]
fn what_was_on_its_way_is_not_stored() {
    run(async {
        let late = Step { hold: Some(Hold::Release), ..cacheable("old") };
        let script = Script::new()
            .route_for("GET", "/late", [late, cacheable("new")])
            .route("/*", [cacheable("x")]);
        let stage = forgetful(script, "");
        let mut first = stage.crowd(std::iter::once("/late".to_owned()));
        assert!(until(|| stage.asked(0) == 1).await);
        post(&stage, "/late").await;
        flood(&stage).await;
        rest().await;
        stage.origin(0).release(None);
        assert_eq!(first.join_next().await.unwrap().unwrap().body, b"old");
        assert_eq!(stage.get("/late").await.body, b"new");
    });
}

#[test]
fn a_rules_fields_save_nothing_from_them() {
    run(async {
        let script = Script::new()
            .route_for("GET", "/a", [cacheable("old"), cacheable("new")])
            .route("/*", [cacheable("x")]);
        let rule = "[[rule]]\npath = \"*\"\nkey_fields = [\"X-Kind\"]\n";
        let stage = forgetful(script, rule);
        let get = async || stage.caller().ask("GET", HOST, "/a", "X-Kind: k\r\n").await.body;
        assert_eq!(get().await, b"old");
        assert_eq!(get().await, b"old");
        post(&stage, "/a").await;
        flood(&stage).await;
        assert_eq!(get().await, b"new");
    });
}
