//! What a node cannot do, and does all the same.
//!
//! Always: it is told as long as it is so.

use std::time::Duration;

use nearcast_control::{
    ledger::Ledger,
    node::{NODES, Trouble},
};
use tokio::time::Instant;

use super::paper::Paper;
use crate::{HEARTBEAT, LEASE, SECOND, document, folder, has, join, join_telling, pass, purge};

#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_say_that_it_is_there_applies_purges_all_the_same() {
    let (ledger, folder) = (Paper::new(), folder());
    let own = ledger.view();
    own.forbid(true);
    let position = purge(&ledger).await;
    let (_member, edge, troubles) = join_telling(&own, folder.path(), "fra-1", Some(LEASE)).await;
    assert!(has(&troubles, Trouble::Reporting), "it is told");
    let at_start = edge.purges();
    purge(&ledger).await;
    pass(SECOND / 100).await;
    assert_eq!(edge.purges(), at_start + 1);
    assert!(!edge.may_reuse(), "nobody waits for it");
    pass(20 * HEARTBEAT).await;
    assert_eq!(edge.purges(), at_start + 1, "it does not begin anew at each try");
    own.forbid(false);
    pass(3 * HEARTBEAT).await;
    assert!(document(&ledger, "fra-1").await.applied.unwrap().seq == position.seq + 1);
    assert!(edge.may_reuse() && troubles.watch().borrow().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_ledger_is_away_joins_later_and_purges_everything_once() {
    let (ledger, folder) = (Paper::new(), folder());
    let own = ledger.view();
    own.lose(true);
    let (_member, edge, troubles) = join_telling(&own, folder.path(), "fra-1", None).await;
    assert!(has(&troubles, Trouble::Following));
    own.forbid(true);
    own.lose(false);
    pass(20 * HEARTBEAT).await;
    assert_eq!(edge.purges(), 1, "once, when it could begin");
    assert!(!has(&troubles, Trouble::Following) && has(&troubles, Trouble::Reporting));
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_purges_is_no_flood_of_reports() {
    let (ledger, folder) = (Paper::new(), folder());
    let (_member, _edge) = join(&ledger, folder.path(), "fra-1", None).await;
    let revision = async || ledger.list(NODES).await.unwrap().revision.0;
    let before = revision().await;
    for _ in 0..500 {
        purge(&ledger).await;
        purge(&ledger).await;
        pass(SECOND / 500).await;
    }
    let reports = revision().await - before;
    assert!((50..=140).contains(&reports), "{reports} in a second");
    pass(SECOND).await;
    // The first one after a rest is not held up.
    let (before, begun) = (revision().await, Instant::now());
    purge(&ledger).await;
    while revision().await == before {
        tokio::task::yield_now().await;
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_lapse_is_told_when_it_is_one() {
    let (ledger, folder) = (Paper::new(), folder());
    let own = ledger.view();
    let (_member, edge, troubles) = join_telling(&own, folder.path(), "fra-1", Some(LEASE)).await;
    assert!(!has(&troubles, Trouble::Lease));
    // Nothing answers any more, and nothing says no.
    own.hang(true);
    while edge.may_reuse() {
        pass(SECOND / 100).await;
    }
    pass(SECOND / 100).await;
    assert!(has(&troubles, Trouble::Lease), "while a report is under way");
    own.hang(false);
    pass(2 * HEARTBEAT).await;
    assert!(!has(&troubles, Trouble::Lease) && edge.may_reuse());
}
