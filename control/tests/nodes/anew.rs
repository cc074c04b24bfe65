//! A ledger that is made anew while nodes hold leases, and answers that do not come.
//!
//! Always: nothing is called complete while a node reuses what was purged.

use std::sync::Arc;

use nearcast_control::{
    familiar::Familiar,
    ledger::Epoch,
    node::lapse_after,
    progress::{Reports, State},
    roster::Roster,
};
use tokio::time::{Instant, timeout};

use super::paper::Paper;
use crate::{AWAY_AFTER, HEARTBEAT, LEASE, SECOND, folder, join, pass, purge, waited};

fn roster(ledger: &Paper, known: Option<&[u64]>) -> Roster {
    let known = known.map(|known| known.iter().copied().map(Epoch).collect());
    let familiar = Familiar::after(lapse_after(LEASE), known);
    Roster::begin_wary(Arc::new(ledger.clone()), AWAY_AFTER, familiar)
}

#[tokio::test(start_paused = true)]
async fn no_purge_is_complete_in_a_ledger_made_anew_before_every_lease_has_lapsed() {
    let (ledger, folder) = (Paper::new(), folder());
    let own = ledger.view();
    let roster = roster(&ledger, None);
    let (_here, _) = join(&ledger, folder.path(), "fra-1", None).await;
    let (_cut_off, edge) = join(&own, folder.path(), "sin-1", Some(LEASE)).await;
    let position = purge(&ledger).await;
    assert_eq!(waited(&roster, position, SECOND).await.state, State::Complete, "it is familiar");
    pass(HEARTBEAT).await;
    // What is lost with it is that there is sin-1.
    own.lose(true);
    ledger.make_anew();
    pass(HEARTBEAT).await;
    let position = purge(&ledger).await;
    assert!(edge.may_reuse());
    let begun = Instant::now();
    let early = waited(&roster, position, SECOND).await;
    assert_eq!(early.state, State::Partial);
    assert!(early.nodes.iter().all(|node| node.applied), "all that are known have applied it");
    assert_eq!(waited(&roster, position, 2 * LEASE).await.state, State::Complete);
    assert!(begun.elapsed() < LEASE + SECOND && !edge.may_reuse());
    assert_eq!(Reports::watch(&roster).now(position).await.unwrap().state, State::Complete);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_was_not_known_before_the_start_is_not_familiar() {
    let (ledger, folder) = (Paper::new(), folder());
    let (_here, _) = join(&ledger, folder.path(), "fra-1", None).await;
    let position = purge(&ledger).await;
    for (known, wanted) in [
        (None, State::Complete),
        (Some(&[7][..]), State::Complete),
        (Some(&[6][..]), State::Partial),
        (Some(&[][..]), State::Partial),
    ] {
        let roster = roster(&ledger, known);
        assert_eq!(waited(&roster, position, SECOND).await.state, wanted, "{known:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_edge_that_hears_that_its_ledger_was_made_anew_reuses_nothing_by_it() {
    let (ledger, folder) = (Paper::new(), folder());
    let own = ledger.view();
    let (_member, edge) = join(&own, folder.path(), "sin-1", Some(3 * LEASE)).await;
    pass(HEARTBEAT).await;
    own.hold_log(true);
    own.lose(true);
    ledger.make_anew();
    assert!(edge.may_reuse());
    // It writes there before it has heard that it does not follow this one.
    own.keep_log(true);
    own.lose(false);
    pass(2 * HEARTBEAT).await;
    assert!(!edge.may_reuse(), "its lease was of another ledger");
    own.keep_log(false);
    own.hold_log(false);
    pass(2 * HEARTBEAT).await;
    assert!(edge.may_reuse());
}

#[tokio::test(start_paused = true)]
async fn nobody_is_waited_for_beyond_the_end_because_the_ledger_does_not_answer() {
    let (ledger, folder) = (Paper::new(), folder());
    let (own, seen) = (ledger.view(), ledger.view());
    let roster = Roster::begin(Arc::new(seen.clone()), AWAY_AFTER);
    let (_cut_off, _) = join(&own, folder.path(), "sin-1", Some(LEASE)).await;
    pass(SECOND).await;
    own.lose(true);
    let position = purge(&ledger).await;
    // Its lease lapses within the wait, and nobody says whether it has been heard of.
    let begun = Instant::now();
    let mut reports = Reports::watch(&roster);
    let waiting = reports.wait(position, begun, begun + 2 * LEASE);
    let hanging = async {
        pass(SECOND).await;
        seen.hang(true);
    };
    let (told, ()) = timeout(3 * LEASE, async { tokio::join!(waiting, hanging) }).await.unwrap();
    assert_eq!(told.unwrap().state, State::Partial);
    assert_eq!(begun.elapsed(), 2 * LEASE);
}
