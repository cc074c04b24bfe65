//! Nodes, as others see them: heartbeats, who is away, leases, and purges that go by them.
//!
//! Always: the clock is paused and runs on when nobody has anything to do, so no test sleeps.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod nodes {
    mod anew;
    mod drained;
    pub(crate) mod paper;
    mod trouble;
    mod twins;
}

use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use edge_core::purge::Purge;
use nearcast_control::{
    applied::AppliedFile,
    documents,
    ledger::{Ledger, Log, Position},
    node::{
        self, Applies, Incarnation, Joining, Load, Member, NODES, NodeDocument, Trouble, Troubles,
    },
    progress::{Progress, Reports, State},
    purge::EverythingEntry,
    roster::{Presence, Roster},
};
use tempfile::TempDir;
use tokio::time::{Instant, sleep_until, timeout};

use self::nodes::paper::Paper;

const SECOND: Duration = Duration::from_secs(1);
const HEARTBEAT: Duration = Duration::from_secs(3);
const AWAY_AFTER: Duration = Duration::from_secs(15);
const LEASE: Duration = Duration::from_secs(10);

/// An edge that remembers what it was told.
#[derive(Default)]
struct Edge(Mutex<Told>);

#[derive(Default)]
struct Told {
    purges: usize,
    connections: u64,
    vouched: Option<Instant>,
}

impl Applies for Edge {
    fn apply(&self, _purge: &Purge) {
        self.0.lock().unwrap().purges += 1;
    }

    // An entry that says nothing is a purge of everything.
    fn apply_everything(&self) {
        self.0.lock().unwrap().purges += 1;
    }

    fn load(&self) -> Load {
        Load { connections: self.0.lock().unwrap().connections, ..Load::default() }
    }

    fn vouch(&self, until: Instant) {
        self.0.lock().unwrap().vouched = Some(until);
    }
}

impl Edge {
    /// Whether it may reuse what it has, unasked.
    fn may_reuse(&self) -> bool {
        self.0.lock().unwrap().vouched.is_none_or(|until| Instant::now() < until)
    }

    fn purges(&self) -> usize {
        self.0.lock().unwrap().purges
    }
}

async fn join(
    ledger: &Paper,
    folder: &Path,
    name: &str,
    lease: Option<Duration>,
) -> (Member, Arc<Edge>) {
    let (member, edge, _) = join_telling(ledger, folder, name, lease).await;
    (member, edge)
}

/// A node that is of a process of its own; and its troubles.
async fn join_telling(
    ledger: &Paper,
    folder: &Path,
    name: &str,
    lease: Option<Duration>,
) -> (Member, Arc<Edge>, Troubles) {
    let edge = Arc::<Edge>::default();
    let (member, troubles) = join_with(ledger, folder, name, lease, Arc::clone(&edge)).await;
    (member, edge, troubles)
}

/// The same with an edge of the test's own.
async fn join_with(
    ledger: &Paper,
    folder: &Path,
    name: &str,
    lease: Option<Duration>,
    edge: Arc<impl Applies + 'static>,
) -> (Member, Troubles) {
    let troubles = Troubles::default();
    let joining = Joining {
        key: node::key_of(name).unwrap(),
        document: NodeDocument {
            pop: Some("fra".to_owned()),
            reached_at: vec![reached_at(name)],
            lease_ms: lease.map(|lease| u64::try_from(lease.as_millis()).unwrap()),
            ..NodeDocument::default()
        },
        heartbeat: HEARTBEAT,
        edge,
        file: AppliedFile::beside(&folder.join("ledger"), name),
        incarnation: Incarnation::fresh().unwrap(),
        is_shared: true,
        troubles: troubles.clone(),
        answers: None,
        sites: None,
    };
    (node::join(Arc::new(ledger.clone()), joining).await.unwrap(), troubles)
}

/// Each has one of its own.
fn reached_at(name: &str) -> IpAddr {
    let last = name.bytes().last().unwrap_or_default();
    Ipv4Addr::new(192, 0, 2, last).into()
}

fn has(troubles: &Troubles, trouble: Trouble) -> bool {
    troubles.watch().borrow().keys().any(|(_, known)| *known == trouble)
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

async fn pass(time: Duration) {
    sleep_until(Instant::now() + time).await;
}

fn presence(roster: &Roster, name: &str) -> Option<Presence> {
    roster.seen().borrow().node(name).map(|sighting| sighting.presence)
}

async fn until(roster: &Roster, name: &str, wanted: Presence) {
    let mut seen = roster.seen();
    let there = seen.wait_for(|seen| seen.node(name).is_some_and(|it| it.presence == wanted));
    timeout(60 * SECOND, there).await.unwrap().unwrap();
}

async fn document(ledger: &Paper, name: &str) -> NodeDocument {
    let found = ledger.read(&node::key_of(name).unwrap()).await.unwrap().unwrap();
    documents::decode(&found.value).unwrap()
}

async fn purge(ledger: &Paper) -> Position {
    ledger.append(Log::Purges, Bytes::new(), None).await.unwrap().position
}

/// What is known of a purge after waiting for so long.
async fn waited(roster: &Roster, position: Position, wait: Duration) -> Progress {
    let now = Instant::now();
    Reports::watch(roster).wait(position, now, now + wait).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_node_says_what_it_has_to_do_at_every_heartbeat() {
    let (ledger, folder) = (Paper::new(), folder());
    let (_member, edge) = join(&ledger, folder.path(), "fra-1", None).await;
    assert_eq!(document(&ledger, "fra-1").await.load.connections, 0);
    edge.0.lock().unwrap().connections = 7;
    pass(HEARTBEAT).await;
    let said = document(&ledger, "fra-1").await;
    assert_eq!((said.load.connections, said.pop.as_deref()), (7, Some("fra")));
    let before = ledger.list(NODES).await.unwrap().revision.0;
    pass(20 * HEARTBEAT).await;
    let beats = ledger.list(NODES).await.unwrap().revision.0 - before;
    assert!((20..=40).contains(&beats), "between half of a heartbeat and a whole: {beats}");
}

#[tokio::test(start_paused = true)]
async fn purges_that_come_while_a_report_is_written_go_out_with_the_next() {
    let (ledger, folder) = (Paper::new(), folder());
    let (_member, edge) = join(&ledger, folder.path(), "fra-1", None).await;
    let before = ledger.list(NODES).await.unwrap().revision.0;
    let mut last = purge(&ledger).await;
    for _ in 0..999 {
        last = purge(&ledger).await;
    }
    pass(SECOND / 10).await;
    assert_eq!(edge.purges(), 1001, "one at the start, when it knew nothing");
    assert_eq!(document(&ledger, "fra-1").await.applied, Some(last));
    let reports = ledger.list(NODES).await.unwrap().revision.0 - before;
    assert!(reports < 1000, "{reports} reports");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_begins_again_has_applied_all_that_it_missed_before_it_serves() {
    let (ledger, folder) = (Paper::new(), folder());
    let applied = purge(&ledger).await;
    AppliedFile::beside(&folder.path().join("ledger"), "fra-1").keep(applied).unwrap();
    let missed = 3;
    for _ in 0..missed {
        purge(&ledger).await;
    }
    let (_member, edge) = join(&ledger, folder.path(), "fra-1", None).await;
    assert_eq!(edge.purges(), missed, "each of them, and nothing but them");
}

/// An edge that looks, whenever it is to purge something, at what its node has said by then.
struct Suspicious {
    ledger: Paper,
    applied: AtomicU64,
}

impl Applies for Suspicious {
    fn apply(&self, _purge: &Purge) {
        unreachable!("each of these entries takes everything");
    }

    fn apply_everything(&self) {
        // On paper everything is answered at once.
        let key = node::key_of("fra-1").unwrap();
        let mut found = self.ledger.read(&key);
        let found = found.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(Ok(Some(found))) = found {
            let said: NodeDocument = documents::decode(&found.value).unwrap();
            let said = said.applied.map_or(0, |position| position.seq);
            assert!(said <= self.applied.load(Ordering::Relaxed), "it has said {said} before");
        }
        self.applied.fetch_add(1, Ordering::Relaxed);
    }

    fn load(&self) -> Load {
        Load::default()
    }

    fn vouch(&self, _until: Instant) {}
}

#[tokio::test(start_paused = true)]
async fn a_node_says_of_no_purge_that_it_has_applied_it_before_it_has() {
    let (ledger, folder) = (Paper::new(), folder());
    let edge = Arc::new(Suspicious { ledger: ledger.clone(), applied: AtomicU64::new(0) });
    purge(&ledger).await;
    let (_member, _) = join_with(&ledger, folder.path(), "fra-1", None, Arc::clone(&edge)).await;
    for applied in 2..10 {
        let position = purge(&ledger).await;
        pass(SECOND / 10).await;
        assert_eq!(edge.applied.load(Ordering::Relaxed), applied);
        assert_eq!(document(&ledger, "fra-1").await.applied, Some(position));
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_to_take_everything_is_applied_like_any_purge() {
    let (ledger, folder) = (Paper::new(), folder());
    let (_member, edge) = join(&ledger, folder.path(), "fra-1", None).await;
    let before = edge.purges();
    let order = EverythingEntry {
        everything: "a copy was put in".to_owned(),
        by: "first".to_owned(),
        from: None,
        at: "2026-01-01T00:00:00Z".to_owned(),
    };
    ledger.append(Log::Purges, documents::encode(&order).unwrap(), None).await.unwrap();
    pass(SECOND / 10).await;
    assert_eq!(edge.purges(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_falls_silent_is_away_and_here_again_when_it_is_heard() {
    let (ledger, folder) = (Paper::new(), folder());
    let roster = Roster::begin(Arc::new(ledger.clone()), AWAY_AFTER);
    pass(SECOND).await;
    let (member, _edge) = join(&ledger, folder.path(), "fra-1", None).await;
    until(&roster, "fra-1", Presence::Here).await;
    pass(10 * AWAY_AFTER).await;
    assert_eq!(presence(&roster, "fra-1"), Some(Presence::Here));
    let since = Instant::now();
    drop(member);
    until(&roster, "fra-1", Presence::Away).await;
    let silent = since.elapsed();
    assert!(silent >= AWAY_AFTER - HEARTBEAT && silent <= AWAY_AFTER + SECOND, "{silent:?}");
    let (member, _edge) = join(&ledger, folder.path(), "fra-1", None).await;
    until(&roster, "fra-1", Presence::Here).await;
    assert!(member.leave().await.is_none());
    pass(SECOND).await;
    assert_eq!(presence(&roster, "fra-1"), None, "it has left");
}

#[tokio::test(start_paused = true)]
async fn who_has_just_begun_to_watch_does_not_know_how_long_a_node_has_been_silent() {
    let (ledger, folder) = (Paper::new(), folder());
    let (silent, _) = join(&ledger, folder.path(), "fra-1", None).await;
    drop(silent);
    pass(100 * AWAY_AFTER).await;
    let roster = Roster::begin(Arc::new(ledger.clone()), AWAY_AFTER);
    // Also before it has begun to watch.
    roster.confirm().await.unwrap();
    assert_eq!(presence(&roster, "fra-1"), Some(Presence::Unknown));
    pass(AWAY_AFTER - SECOND).await;
    assert_eq!(presence(&roster, "fra-1"), Some(Presence::Unknown));
    pass(2 * SECOND).await;
    assert_eq!(presence(&roster, "fra-1"), Some(Presence::Away));
}

#[tokio::test(start_paused = true)]
async fn who_cannot_reach_the_ledger_calls_nobody_away() {
    let (ledger, folder) = (Paper::new(), folder());
    let own = ledger.view();
    let (_member, _) = join(&ledger, folder.path(), "fra-1", None).await;
    let roster = Roster::begin(Arc::new(own.clone()), AWAY_AFTER);
    until(&roster, "fra-1", Presence::Here).await;
    own.lose(true);
    pass(3 * AWAY_AFTER).await;
    assert_eq!(presence(&roster, "fra-1"), Some(Presence::Unknown));
    assert!(roster.confirm().await.is_err());
    own.lose(false);
    until(&roster, "fra-1", Presence::Here).await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_lapses_with_the_ledger_and_is_back_after_what_was_missed() {
    let (ledger, folder) = (Paper::new(), folder());
    let own = ledger.view();
    let (_member, edge) = join(&own, folder.path(), "fra-1", Some(LEASE)).await;
    assert!(edge.may_reuse());
    pass(10 * LEASE).await;
    assert!(edge.may_reuse(), "it is renewed by each heartbeat");
    own.lose(true);
    pass(LEASE - HEARTBEAT - SECOND).await;
    assert!(edge.may_reuse());
    pass(HEARTBEAT + SECOND).await;
    assert!(!edge.may_reuse());
    purge(&ledger).await;
    pass(LEASE).await;
    let before = edge.purges();
    // It is heard again before it hears.
    own.hold_log(true);
    own.lose(false);
    pass(2 * LEASE).await;
    assert!(!edge.may_reuse(), "the lease is back before the purge was applied");
    own.hold_log(false);
    while !edge.may_reuse() {
        pass(SECOND / 100).await;
    }
    assert_eq!(edge.purges(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn a_lease_counts_from_before_its_write_was_sent_however_late_that_is_acknowledged() {
    let (ledger, folder) = (Paper::new(), folder());
    let own = ledger.view();
    let (_member, edge) = join(&own, folder.path(), "fra-1", Some(LEASE)).await;
    let vouched = || edge.0.lock().unwrap().vouched.unwrap();
    let before = vouched();
    own.hang(true);
    pass(HEARTBEAT).await;
    let sent = Instant::now();
    pass(4 * SECOND).await;
    assert_eq!(vouched(), before, "nothing is acknowledged");
    own.hang(false);
    pass(SECOND / 10).await;
    assert!(before < vouched() && vouched() <= sent + LEASE);
}

#[tokio::test(start_paused = true)]
async fn an_edge_without_a_lease_is_told_nothing() {
    let (ledger, folder) = (Paper::new(), folder());
    let own = ledger.view();
    let (_member, edge) = join(&own, folder.path(), "fra-1", None).await;
    own.lose(true);
    pass(10 * LEASE).await;
    assert!(edge.0.lock().unwrap().vouched.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_purge_is_complete_without_a_node_whose_lease_has_lapsed() {
    let (ledger, folder) = (Paper::new(), folder());
    let own = ledger.view();
    let roster = Roster::begin(Arc::new(ledger.clone()), AWAY_AFTER);
    let (_here, _) = join(&ledger, folder.path(), "fra-1", None).await;
    let (_cut_off, edge) = join(&own, folder.path(), "sin-1", Some(LEASE)).await;
    pass(LEASE).await;
    own.lose(true);
    let position = purge(&ledger).await;
    let early = waited(&roster, position, LEASE / 2).await;
    assert_eq!(early.state, State::Partial);
    assert!(early.nodes.iter().any(|node| node.node == "sin-1" && !node.applied && !node.lapsed));
    let late = waited(&roster, position, LEASE).await;
    assert!(!edge.may_reuse(), "it is complete while that one reuses what was purged");
    assert_eq!(late.state, State::Complete);
    assert!(late.nodes.iter().any(|node| node.node == "sin-1" && !node.applied && node.lapsed));
    assert!(late.nodes.iter().any(|node| node.node == "fra-1" && node.applied && !node.lapsed));
    assert_eq!(Reports::watch(&roster).now(position).await.unwrap().state, State::Complete);
}

#[tokio::test(start_paused = true)]
async fn a_purge_waits_for_a_silent_node_that_serves_on() {
    let (ledger, folder) = (Paper::new(), folder());
    let own = ledger.view();
    let roster = Roster::begin(Arc::new(ledger.clone()), AWAY_AFTER);
    let (_cut_off, _) = join(&own, folder.path(), "sin-1", None).await;
    own.lose(true);
    let position = purge(&ledger).await;
    assert_eq!(waited(&roster, position, 100 * LEASE).await.state, State::Partial);
    own.lose(false);
    assert_eq!(waited(&roster, position, 10 * SECOND).await.state, State::Complete);
}

/// Who did not hear is not who was not spoken to: the ledger is asked before a lease is held to be over.
#[tokio::test(start_paused = true)]
async fn a_node_whose_heartbeats_are_not_heard_here_holds_its_lease() {
    let (ledger, folder) = (Paper::new(), folder());
    let own = ledger.view();
    let roster = Roster::begin(Arc::new(own.clone()), AWAY_AFTER);
    let (_member, edge) = join(&ledger, folder.path(), "sin-1", Some(LEASE)).await;
    pass(SECOND).await;
    own.lose(true);
    pass(4 * LEASE).await;
    assert!(edge.may_reuse());
    own.lose(false);
    // A position that nobody ever reaches.
    let never = Position { seq: 1 << 40, ..purge(&ledger).await };
    assert_eq!(waited(&roster, never, 4 * LEASE).await.state, State::Partial);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_removed_and_lives_is_there_again() {
    let (ledger, folder) = (Paper::new(), folder());
    let (_member, _) = join(&ledger, folder.path(), "fra-1", None).await;
    let key = node::key_of("fra-1").unwrap();
    let revision = ledger.read(&key).await.unwrap().unwrap().revision;
    ledger.delete(&key, revision).await.unwrap();
    pass(HEARTBEAT).await;
    assert!(ledger.read(&key).await.unwrap().is_some());
}
