//! Two processes that go by one name, and those that were there before.
//!
//! Always: nobody counts on what one of them says of the other.

use nearcast_control::{
    ledger::Ledger,
    node::{self, NODES, Trouble, Troubles},
    progress::State,
    roster::Roster,
};
use std::sync::Arc;

use super::{drained::serve, paper::Paper};
use crate::{
    AWAY_AFTER, HEARTBEAT, LEASE, SECOND, document, folder, has, join, join_telling, pass, purge,
    waited,
};

fn twins_told(troubles: &[&Troubles]) -> Vec<bool> {
    troubles.iter().map(|troubles| has(troubles, Trouble::Twin)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_node_that_starts_again_takes_its_place_at_once() {
    let (ledger, folder) = (Paper::new(), folder());
    let roster = Roster::begin(Arc::new(ledger.clone()), AWAY_AFTER);
    let (former, _) = join(&ledger, folder.path(), "fra-1", None).await;
    // It is killed.
    drop(former);
    let (_member, _, troubles) = join_telling(&ledger, folder.path(), "fra-1", None).await;
    let position = purge(&ledger).await;
    assert_eq!(waited(&roster, position, SECOND).await.state, State::Complete);
    pass(10 * HEARTBEAT).await;
    assert_eq!(twins_told(&[&troubles]), [false]);
}

#[tokio::test(start_paused = true)]
async fn one_that_takes_the_place_of_a_node_of_elsewhere_waits_until_it_is_silent() {
    let (ledger, here, elsewhere) = (Paper::new(), folder(), folder());
    let roster = Roster::begin(Arc::new(ledger.clone()), AWAY_AFTER);
    let (former, _) = join(&ledger, elsewhere.path(), "fra-1", None).await;
    drop(former);
    let (_member, _, troubles) = join_telling(&ledger, here.path(), "fra-1", None).await;
    let position = purge(&ledger).await;
    assert_eq!(waited(&roster, position, HEARTBEAT).await.state, State::Partial);
    assert_eq!(waited(&roster, position, 2 * HEARTBEAT).await.state, State::Complete);
    assert_eq!(twins_told(&[&troubles]), [false]);
}

#[tokio::test(start_paused = true)]
async fn two_processes_of_one_name_say_so_and_no_purge_is_complete_by_the_word_of_one() {
    let (ledger, here, there) = (Paper::new(), folder(), folder());
    let roster = Roster::begin(Arc::new(ledger.clone()), AWAY_AFTER);
    let own = ledger.view();
    let (_one, edge, told) = join_telling(&own, here.path(), "fra-1", None).await;
    let (two, _, told_two) = join_telling(&ledger, there.path(), "fra-1", None).await;
    pass(4 * HEARTBEAT).await;
    assert_eq!(twins_told(&[&told, &told_two]), [true, true]);
    let revision = async || ledger.list(NODES).await.unwrap().revision.0;
    let before = revision().await;
    pass(20 * HEARTBEAT).await;
    let written = revision().await - before;
    assert!(written <= 80, "each takes its place back now and then: {written}");
    // One is cut off; the other goes on.
    own.lose(true);
    pass(10 * AWAY_AFTER).await;
    let position = purge(&ledger).await;
    assert_eq!(waited(&roster, position, 10 * AWAY_AFTER).await.state, State::Partial);
    assert_eq!(edge.purges(), 1, "and indeed it is not applied there");
    own.lose(false);
    pass(4 * HEARTBEAT).await;
    // One that ends leaves the place to the other, and takes itself off.
    assert!(two.leave().await.is_none());
    pass(2 * HEARTBEAT).await;
    assert_eq!(twins_told(&[&told, &told_two]), [false, false]);
    assert_eq!(waited(&roster, position, SECOND).await.state, State::Complete);
}

#[tokio::test(start_paused = true)]
async fn a_twin_that_ends_in_its_place_leaves_it_to_the_other() {
    let (ledger, here, there) = (Paper::new(), folder(), folder());
    let roster = Roster::begin(Arc::new(ledger.clone()), AWAY_AFTER);
    let own = ledger.view();
    let (_one, _, told) = join_telling(&own, here.path(), "fra-1", None).await;
    let (two, _) = join(&ledger, there.path(), "fra-1", None).await;
    pass(4 * HEARTBEAT).await;
    own.lose(true);
    // It is its own place by then.
    pass(4 * HEARTBEAT).await;
    assert!(two.leave().await.is_none());
    let position = purge(&ledger).await;
    assert_eq!(waited(&roster, position, SECOND).await.state, State::Partial, "one is left");
    own.lose(false);
    assert_eq!(waited(&roster, position, 4 * HEARTBEAT).await.state, State::Complete);
    pass(HEARTBEAT).await;
    assert_eq!(twins_told(&[&told]), [false]);
}

#[tokio::test(start_paused = true)]
async fn a_purge_is_complete_once_the_leases_of_all_of_one_name_have_lapsed() {
    let (ledger, here, there) = (Paper::new(), folder(), folder());
    let roster = Roster::begin(Arc::new(ledger.clone()), AWAY_AFTER);
    let (long, short) = (ledger.view(), ledger.view());
    let (_one, edge) = join(&long, here.path(), "fra-1", Some(3 * LEASE)).await;
    let (_two, _) = join(&short, there.path(), "fra-1", Some(LEASE)).await;
    pass(4 * HEARTBEAT).await;
    // The one with the shorter lease has the last word.
    long.lose(true);
    pass(2 * HEARTBEAT).await;
    short.lose(true);
    let position = purge(&ledger).await;
    assert_eq!(waited(&roster, position, 2 * LEASE).await.state, State::Partial);
    assert_eq!(waited(&roster, position, 2 * LEASE).await.state, State::Complete);
    assert!(!edge.may_reuse());
}

#[tokio::test(start_paused = true)]
async fn a_twin_that_ends_takes_itself_off_where_the_other_has_the_place() {
    let (ledger, here, there) = (Paper::new(), folder(), folder());
    let own = ledger.view();
    let (_one, _, told) = join_telling(&ledger, here.path(), "fra-1", None).await;
    let (two, _) = join(&own, there.path(), "fra-1", None).await;
    pass(4 * HEARTBEAT).await;
    own.lose(true);
    pass(2 * HEARTBEAT).await;
    own.lose(false);
    assert!(two.leave().await.is_none());
    pass(2 * HEARTBEAT).await;
    assert_eq!(twins_told(&[&told]), [false]);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_purges_does_not_have_twins_fight_over_their_place() {
    let (ledger, here, there) = (Paper::new(), folder(), folder());
    let (_one, _) = join(&ledger, here.path(), "fra-1", None).await;
    let (_two, _) = join(&ledger, there.path(), "fra-1", None).await;
    pass(4 * HEARTBEAT).await;
    let (mut who, mut switches) = (String::new(), 0);
    // Five heartbeats, of a length that chance has a say in.
    for _ in 0..500 {
        purge(&ledger).await;
        pass(HEARTBEAT / 100).await;
        let now = document(&ledger, "fra-1").await.incarnation;
        switches += u32::from(now != who);
        who = now;
    }
    assert!((3..=40).contains(&switches), "{switches} in five heartbeats");
}

#[tokio::test(start_paused = true)]
async fn a_twin_that_was_killed_is_forgotten_when_the_node_is_removed() {
    let (ledger, here, there) = (Paper::new(), folder(), folder());
    let roster = Roster::begin(Arc::new(ledger.clone()), AWAY_AFTER);
    let (one, _) = join(&ledger, here.path(), "fra-1", None).await;
    let (_two, _, told) = join_telling(&ledger, there.path(), "fra-1", None).await;
    pass(4 * HEARTBEAT).await;
    drop(one);
    pass(10 * AWAY_AFTER).await;
    assert_eq!(twins_told(&[&told]), [true], "nobody knows whether it has ended");
    let key = node::key_of("fra-1").unwrap();
    let revision = ledger.read(&key).await.unwrap().unwrap().revision;
    ledger.delete(&key, revision).await.unwrap();
    pass(HEARTBEAT).await;
    let position = purge(&ledger).await;
    assert_eq!(waited(&roster, position, SECOND).await.state, State::Complete);
    assert_eq!(twins_told(&[&told]), [false]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_ends_takes_only_away_what_is_its_own() {
    let (ledger, here) = (Paper::new(), folder());
    let (one, _) = join(&ledger, here.path(), "fra-1", None).await;
    let (_two, _, _) = join_telling(&ledger, here.path(), "fra-1", None).await;
    let before = document(&ledger, "fra-1").await;
    assert!(one.leave().await.is_none());
    assert_eq!(document(&ledger, "fra-1").await, before);
}

#[tokio::test(start_paused = true)]
async fn a_name_server_of_an_edges_name_hides_no_edge_from_purges() {
    let (ledger, here, there) = (Paper::new(), folder(), folder());
    let roster = Roster::begin(Arc::new(ledger.clone()), AWAY_AFTER);
    let own = ledger.view();
    let (_member, edge) = join(&own, here.path(), "twin", None).await;
    pass(3 * HEARTBEAT).await;
    let _server = serve(&ledger.view(), there.path(), "twin", SECOND).await;
    pass(3 * HEARTBEAT).await;
    let before = edge.0.lock().unwrap().purges;
    // The edge hears of no purge.
    own.hold_log(true);
    let mut has_server_its_place = false;
    for _ in 0..10 {
        let position = purge(&ledger).await;
        let progress = waited(&roster, position, 2 * HEARTBEAT).await;
        has_server_its_place |= document(&ledger, "twin").await.applied.is_none();
        assert_eq!((progress.state, progress.nodes.len()), (State::Partial, 1));
        assert_eq!(edge.0.lock().unwrap().purges, before);
    }
    assert!(has_server_its_place, "it is what the edge is hidden by");
}
