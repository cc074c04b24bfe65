//! Purges beyond one response: the sweeper, more purges than are remembered, sites that come and go,
//! and those that come between two steps of the edge.

use std::{
    future::Future,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use edge::store::StoredResponse;
use edge_core::{
    purge::{Mode, Purge, Selector},
    settings::EdgeSettings,
};
use nearcast_tests::world::{rest, site, until};
use origin_mock::script::{Hold, Script, Step};
use tokio::{task::JoinSet, time::advance};

use super::stage::{Stage, cacheable, run, stage, stage_with};

fn purge(stage: &Stage, mode: Mode, selectors: &[Selector]) -> u64 {
    let purge = Purge { site: "www".into(), selectors: selectors.to_vec(), mode };
    let counted = stage.world.edge.count(&purge);
    stage.world.edge.purge(&purge);
    counted
}

fn prefix(text: &str) -> Selector {
    Selector::parse_prefix(text).unwrap()
}

fn tag(text: &str) -> Selector {
    Selector::parse_tag(text).unwrap()
}

/// Long enough for the sweeper to have been there.
async fn sweep() {
    for _ in 0..3 {
        advance(Duration::from_secs(1)).await;
        rest().await;
    }
    rest().await;
}

/// Requests that the origin gets for the numbers of `/kept/N` and `/gone/N`.
async fn asked(stage: &Stage, folder: &str, count: u64) -> u64 {
    let before = stage.asked(0);
    for number in 0..count {
        stage.get(&format!("/{folder}/{number}")).await;
    }
    stage.asked(0) - before
}

#[test]
fn the_sweeper_gives_back_the_memory_of_what_is_dead_and_touches_nothing_else() {
    run(async {
        let stage = stage(vec![Script::new().route("/*", [cacheable("x")])], "");
        for folder in ["kept", "gone", "soft"] {
            assert_eq!(asked(&stage, folder, 150).await, 150);
        }
        let room = &stage.world.edge.hall().room;
        room.tier.settle();
        let (used, keys) = (room.budget.used(), room.tier.usage().keys);
        assert_eq!(purge(&stage, Mode::Soft, &[prefix("www.example/soft/")]), 150);
        sweep().await;
        assert_eq!(room.tier.usage().keys, keys, "what is stale may yet be of use");
        assert_eq!(purge(&stage, Mode::Hard, &[prefix("www.example/gone/")]), 150);
        assert_eq!(room.tier.usage().keys, keys, "nothing is removed while somebody waits");
        sweep().await;
        room.tier.settle();
        assert_eq!(room.tier.usage().keys, keys - 150);
        assert!(room.budget.used() < used * 3 / 4, "{} of {used}", room.budget.used());
        assert_eq!(asked(&stage, "kept", 150).await, 0);
        assert_eq!(asked(&stage, "gone", 150).await, 150);
        let (dead, stale) = room.stamps.found(edge_core::stamps::Cause::Prefix);
        assert_eq!((dead, stale), (150, 150), "each is counted once");
    });
}

#[test]
fn more_purges_than_are_remembered_lose_none() {
    run(async {
        let mut edge = EdgeSettings::default();
        edge.limits.purges_max = 16;
        let script = Script::new().route("/*", [cacheable("x")]);
        let stage = stage_with(&edge, vec![script], "");
        assert_eq!(asked(&stage, "kept", 8).await, 8);
        assert_eq!(asked(&stage, "gone", 8).await, 8);
        purge(&stage, Mode::Hard, &[prefix("www.example/gone/")]);
        for number in 0..100 {
            purge(&stage, Mode::Hard, &[prefix(&format!("www.example/unknown/{number}/"))]);
        }
        assert!(stage.world.edge.hall().room.stamps.overflows().1 > 0);
        assert_eq!(asked(&stage, "gone", 8).await, 8);
        // What is forgotten after a sweep costs nobody anything.
        asked(&stage, "kept", 8).await;
        for number in 0..40 {
            purge(&stage, Mode::Hard, &[tag(&number.to_string())]);
            if number % 4 == 3 {
                sweep().await;
            }
        }
        assert_eq!(asked(&stage, "kept", 8).await, 0);
    });
}

#[test]
fn several_selectors_are_one_purge() {
    run(async {
        let stage = stage(vec![Script::new().route("/*", [cacheable("x")])], "");
        asked(&stage, "a", 3).await;
        asked(&stage, "b", 3).await;
        let url = Selector::parse_url("http://www.example/b/1").unwrap();
        assert_eq!(purge(&stage, Mode::Hard, &[prefix("www.example/a/"), url]), 4);
        assert_eq!(asked(&stage, "a", 3).await, 3);
        assert_eq!(asked(&stage, "b", 3).await, 1);
        assert_eq!(purge(&stage, Mode::Hard, &[]), 0);
        assert_eq!(asked(&stage, "b", 3).await, 0);
    });
}

#[test]
fn a_site_that_is_not_here_has_nothing_to_purge_and_comes_back_empty() {
    run(async {
        let stage = stage(vec![Script::new().route("/*", [cacheable("x")])], "");
        asked(&stage, "a", 3).await;
        let other =
            Purge { site: "other".into(), selectors: vec![Selector::Everything], mode: Mode::Hard };
        assert_eq!(stage.world.edge.count(&other), 0);
        stage.world.edge.purge(&other);
        assert_eq!(asked(&stage, "a", 3).await, 0);
        let settings = EdgeSettings::default();
        let www = "name = \"www\"\nhosts = [\"*\"]\norigin = { servers = [\"http://a\"] }";
        stage.world.edge.reload(&settings, &[]).unwrap();
        assert_eq!(purge(&stage, Mode::Hard, &[Selector::Everything]), 0);
        stage.world.edge.reload(&settings, &[site(www).unwrap()]).unwrap();
        assert_eq!(asked(&stage, "a", 3).await, 3);
        assert_eq!(asked(&stage, "a", 3).await, 0);
        // A reload that leaves a site alone forgets nothing of what was purged.
        purge(&stage, Mode::Hard, &[Selector::Everything]);
        stage.world.edge.reload(&settings, &[site(www).unwrap()]).unwrap();
        assert_eq!(asked(&stage, "a", 3).await, 3);
    });
}

/// Runs under the paused clock, and a test that waits for something sees it before anything else
/// goes on.
fn run_one_by_one<T>(test: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let builder = builder.enable_all().start_paused(true).event_interval(1);
    builder.build().unwrap().block_on(test)
}

/// What each of a crowd got.
async fn contents(mut crowd: JoinSet<nearcast_tests::message::Answer>) -> Vec<Vec<u8>> {
    let mut contents = Vec::new();
    while let Some(answer) = crowd.join_next().await {
        contents.push(answer.unwrap().body);
    }
    contents.sort();
    contents
}

#[test]
fn who_waited_is_not_given_what_is_purged_before_the_news_has_come_to_it() {
    run_one_by_one(async {
        let old = Step { hold: Some(Hold::Release), ..cacheable("") };
        let stage = stage(vec![Script::new().route("/a", [old, cacheable("new")])], "");
        let crowd = stage.crowd(std::iter::repeat_n("/a".to_owned(), 3));
        assert!(until(|| stage.asked(0) == 1).await);
        for _ in 0..20 {
            rest().await;
        }
        stage.origin(0).release(None);
        let counts = &stage.world.edge.hall().room.counts;
        // It is stored, and told to those who wait, and none of them has heard it.
        assert!(until(|| counts.stored.load(Ordering::Relaxed) == 1).await);
        purge(&stage, Mode::Hard, &[Selector::Everything]);
        let all = contents(crowd).await;
        assert_eq!(all, [b"".to_vec(), b"new".to_vec(), b"new".to_vec()], "one has asked before");
        assert_eq!(stage.asked(0), 2);
    });
}

#[test]
fn who_waited_for_a_validation_is_not_given_what_is_purged_before_the_news_has_come_to_it() {
    run_one_by_one(async {
        let first = Step::text("old").with_field("Cache-Control", "max-age=1");
        let first = first.with_field("ETag", "\"1\"");
        let fresh = Step { status: 304, hold: Some(Hold::Release), ..cacheable("") };
        let fresh = fresh.with_field("ETag", "\"1\"");
        let script = Script::new().route("/a", [first, fresh, cacheable("new")]);
        let stage = stage(vec![script], "");
        stage.get("/a").await;
        advance(Duration::from_secs(2)).await;
        let crowd = stage.crowd(std::iter::repeat_n("/a".to_owned(), 3));
        assert!(until(|| stage.asked(0) == 2).await);
        for _ in 0..20 {
            rest().await;
        }
        let room = &stage.world.edge.hall().room;
        let stored = || -> Arc<StoredResponse> {
            let (_, all) = room.tier.entries().next().unwrap();
            Arc::clone(&all.responses[0])
        };
        let before = stored();
        stage.origin(0).release(None);
        assert!(until(|| !Arc::ptr_eq(&stored(), &before)).await);
        purge(&stage, Mode::Hard, &[Selector::Everything]);
        let all = contents(crowd).await;
        assert_eq!(
            all,
            [b"new".to_vec(), b"new".to_vec(), b"old".to_vec()],
            "one has asked before"
        );
        assert_eq!(stage.asked(0), 3);
    });
}
