//! Drains that are waited for: name servers, then what is cached, then connections.
//!
//! Always: nothing is over while a client may come by a name that was answered before.

mod ended;

use std::{net::IpAddr, path::Path, sync::Arc, time::Duration};

use nearcast_control::{
    applied::AppliedFile,
    drain::{self, DrainDocument, Progress, Settled, State, Watching, Withheld},
    fleet::{Following, follow},
    ledger::{Ledger as _, Log, Position},
    node::{
        self, Answering, Attending, Incarnation, Joining, Member, NodeDocument, Role, Troubles,
    },
    roster::{Presence, Roster},
    site::Served,
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};

use super::paper::Paper;
use crate::{AWAY_AFTER, Edge, HEARTBEAT, SECOND, document, folder, join, pass, until};

const TTL: Duration = Duration::from_secs(30);

/// A name server that answers by what it has followed, at once.
pub(super) struct Server {
    member: Member,
    _work: JoinSet<()>,
    _following: Following,
}

pub(super) async fn serve(ledger: &Paper, folder: &Path, name: &str, ttl: Duration) -> Server {
    let tell = Arc::<watch::Sender<_>>::default();
    let attending = Attending {
        key: node::key_of(name).unwrap(),
        document: NodeDocument { roles: vec![Role::Geodns], ..NodeDocument::default() },
        heartbeat: HEARTBEAT,
        file: AppliedFile::beside(&folder.join("ledger"), name),
        incarnation: Incarnation::fresh().unwrap(),
        troubles: Troubles::default(),
        answers: tell.subscribe(),
    };
    let roster = Roster::begin(Arc::new(ledger.clone()), AWAY_AFTER);
    let following = follow(Arc::new(ledger.clone()), roster, None).await;
    let member = node::attend(Arc::new(ledger.clone()), attending);
    let mut answering = Answering::new(tell);
    let (mut fleets, mut on_disk) = (following.fleet(), following.on_disk());
    let mut work = JoinSet::new();
    work.spawn(async move {
        loop {
            let fleet = Arc::clone(&fleets.borrow_and_update());
            answering.applied(&fleet, ttl, Instant::now());
            answering.kept(&on_disk.borrow_and_update());
            let due = answering.due();
            tokio::select! {
                _ = fleets.changed() => {}
                _ = on_disk.changed() => {}
                () = pass(due.map_or(TTL, |due| due - Instant::now())) => {
                    answering.lapse(Instant::now());
                }
            }
        }
    });
    Server { member, _work: work, _following: following }
}

/// A ledger with two edges, of which one is drained.
struct Stage {
    ledger: Paper,
    roster: Roster,
    settled: Settled,
    folder: tempfile::TempDir,
    edge: Arc<Edge>,
    _members: [Member; 2],
}

impl Stage {
    async fn new() -> Self {
        let (ledger, folder) = (Paper::new(), folder());
        let roster = Roster::begin(Arc::new(ledger.clone()), AWAY_AFTER);
        let (drained, edge) = join(&ledger, folder.path(), "fra-1", None).await;
        let (other, _) = join(&ledger, folder.path(), "fra-2", None).await;
        edge.0.lock().unwrap().connections = 2;
        let settled = Settled::default();
        Self { ledger, roster, settled, folder, edge, _members: [drained, other] }
    }

    async fn serve(&self, name: &str, ttl: Duration) -> Server {
        serve(&self.ledger.view(), self.folder.path(), name, ttl).await
    }

    async fn drain(&self) -> Position {
        self.drain_other("fra-1").await
    }

    async fn drain_other(&self, name: &str) -> Position {
        let said = DrainDocument::default();
        let drained = drain::drain(&self.ledger, &self.roster, (name, true), said).await;
        let epoch = self.ledger.ends(Log::Purges).await.unwrap().last.epoch;
        Position { epoch, seq: drained.unwrap().0.revision.0 }
    }

    async fn wait(&self, at: Position, wanted: State, wait: Duration) -> Progress {
        self.wait_for(("fra-1", at), wanted, wait).await
    }

    async fn wait_for(&self, of: (&str, Position), wanted: State, wait: Duration) -> Progress {
        let drains = drain::list(&self.ledger).await.unwrap();
        let watching = Watching::begin((&self.roster, &self.settled), &drains, of);
        watching.wait(wanted, Instant::now() + wait).await.unwrap()
    }

    /// An edge that is started once more, and says where it is reached.
    async fn edge_says(&self, name: &str, reached_at: &[&str]) {
        let document = NodeDocument {
            roles: vec![Role::Edge],
            pop: Some("fra".to_owned()),
            reached_at: reached_at.iter().map(|one| one.parse().unwrap()).collect(),
            ..NodeDocument::default()
        };
        self.says(name, document).await;
    }

    /// A name server that is not there, but was.
    async fn name_server_says(&self, name: &str, answers: node::Answers) {
        let roles = vec![Role::Geodns];
        let document = NodeDocument { roles, answers: Some(answers), ..NodeDocument::default() };
        self.says(name, document).await;
    }

    async fn says(&self, name: &str, document: NodeDocument) {
        let bytes = nearcast_control::documents::encode(&document).unwrap();
        let expect = nearcast_control::ledger::Expect::Anything;
        self.ledger.write(&node::key_of(name).unwrap(), bytes, expect).await.unwrap();
    }

    /// Clients of the node that is drained.
    fn has_open(&self, connections: u64) {
        self.edge.0.lock().unwrap().connections = connections;
    }
}

fn told(progress: &Progress) -> Vec<(&str, bool, bool)> {
    let servers = progress.name_servers.iter();
    servers.map(|server| (server.node.as_str(), server.applied, server.expired)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_once_all_apply_it_nothing_is_cached_and_no_client_is_left() {
    let stage = Stage::new().await;
    let _one = stage.serve("ns-1", SECOND).await;
    let _two = stage.serve("ns-2", TTL).await;
    pass(2 * TTL).await;
    let at = stage.drain().await;
    let begun = Instant::now();
    let progress = stage.wait(at, State::Expiring, SECOND / 2).await;
    assert_eq!(progress.state, State::Expiring);
    assert_eq!(told(&progress), [("ns-1", true, false), ("ns-2", true, false)]);
    assert_eq!((progress.ttl_s, progress.connections), (30, Some(2)));
    let progress = stage.wait(at, State::Ending, 2 * TTL).await;
    assert_eq!((progress.state, begun.elapsed().as_secs()), (State::Ending, TTL.as_secs()));
    assert_eq!(told(&progress), [("ns-1", true, true), ("ns-2", true, true)]);
    let progress = stage.wait(at, State::Ended, TTL).await;
    assert_eq!((progress.state, progress.connections), (State::Ending, Some(2)));
    stage.has_open(0);
    let progress = stage.wait(at, State::Ended, TTL).await;
    assert_eq!((progress.state, progress.connections), (State::Ended, Some(0)));
}

#[tokio::test(start_paused = true)]
async fn connections_of_before_the_caches_were_empty_say_nothing() {
    let stage = Stage::new().await;
    let _server = stage.serve("ns-1", Duration::ZERO).await;
    stage.has_open(0);
    // It has said that it has none.
    pass(HEARTBEAT).await;
    let at = stage.drain().await;
    let begun = Instant::now();
    let progress = stage.wait(at, State::Ending, SECOND).await;
    assert_eq!((progress.state, begun.elapsed()), (State::Ending, Duration::ZERO));
    stage.has_open(1);
    assert_eq!(stage.wait(at, State::Ended, 2 * HEARTBEAT).await.state, State::Ending);
}

#[tokio::test(start_paused = true)]
async fn a_report_that_was_long_on_its_way_says_nothing_of_what_is_open_now() {
    let stage = Stage::new().await;
    let _server = stage.serve("ns-1", Duration::ZERO).await;
    stage.has_open(0);
    pass(HEARTBEAT).await;
    let at = stage.drain().await;
    assert_eq!(stage.wait(at, State::Ending, SECOND).await.state, State::Ending);
    // What comes next may have been counted before.
    let mut seen = stage.roster.seen();
    let said = seen.borrow().node("fra-1").unwrap().revision;
    let next = seen.wait_for(|seen| seen.node("fra-1").unwrap().revision != said);
    drop(timeout(2 * HEARTBEAT, next).await.unwrap());
    let progress = stage.wait(at, State::Ended, Duration::ZERO).await;
    assert_eq!((progress.state, progress.connections), (State::Ending, Some(0)));
    assert_eq!(stage.wait(at, State::Ended, HEARTBEAT + SECOND).await.state, State::Ended);
}

#[tokio::test(start_paused = true)]
async fn a_name_server_that_does_not_hear_of_a_drain_is_waited_for_also_when_it_is_away() {
    let stage = Stage::new().await;
    let _here = stage.serve("ns-1", Duration::ZERO).await;
    let cut_off = stage.ledger.view();
    let server = serve(&cut_off, stage.folder.path(), "ns-2", Duration::ZERO).await;
    pass(HEARTBEAT).await;
    cut_off.lose(true);
    let at = stage.drain().await;
    until(&stage.roster, "ns-2", Presence::Away).await;
    let progress = stage.wait(at, State::Expiring, SECOND).await;
    assert_eq!(progress.state, State::Applying);
    assert_eq!(told(&progress), [("ns-1", true, true), ("ns-2", false, false)]);
    assert_eq!(progress.name_servers[1].state, Presence::Away);
    cut_off.lose(false);
    let progress = stage.wait(at, State::Ending, TTL).await;
    assert_eq!(progress.state, State::Ending);
    // While nobody hears of it, it may give the drain up.
    cut_off.lose(true);
    until(&stage.roster, "ns-2", Presence::Away).await;
    let progress = stage.wait(at, State::Ending, SECOND).await;
    assert_eq!(progress.state, State::Expiring);
    assert_eq!(told(&progress), [("ns-1", true, true), ("ns-2", true, false)]);
    cut_off.lose(false);
    assert_eq!(stage.wait(at, State::Ending, TTL).await.state, State::Ending);
    assert!(server.member.leave().await.is_none());
    let progress = stage.wait(at, State::Ending, SECOND).await;
    assert_eq!(told(&progress), [("ns-1", true, true)]);
}

#[tokio::test(start_paused = true)]
async fn an_edge_that_answers_dns_as_well_says_by_what_before_its_next_heartbeat() {
    let (ledger, folder) = (Paper::new(), folder());
    let (tell, serves) = (watch::Sender::new(None), watch::Sender::new(None));
    let joining = Joining {
        key: node::key_of("fra-1").unwrap(),
        document: NodeDocument::default(),
        heartbeat: HEARTBEAT,
        edge: Arc::<Edge>::default(),
        file: AppliedFile::beside(&folder.path().join("ledger"), "fra-1"),
        incarnation: Incarnation::fresh().unwrap(),
        is_shared: true,
        troubles: Troubles::default(),
        answers: Some(tell.subscribe()),
        sites: Some(serves.subscribe()),
    };
    let _member = node::join(Arc::new(ledger.clone()), joining).await.unwrap();
    assert_eq!(document(&ledger, "fra-1").await.answers, None);
    let drains = Position { epoch: nearcast_control::ledger::Epoch(7), seq: 3 };
    let answers = node::Answers { ttl_s: 1, ..node::Answers::by(drains) };
    tell.send_replace(Some(answers.clone()));
    pass(HEARTBEAT / 10).await;
    assert_eq!(document(&ledger, "fra-1").await.answers, Some(answers));
    let served = Served { at: Some(drains), ..Served::default() };
    serves.send_replace(Some(served.clone()));
    pass(HEARTBEAT / 10).await;
    assert_eq!(document(&ledger, "fra-1").await.sites, Some(served));
}

#[tokio::test(start_paused = true)]
async fn without_a_name_server_nobody_says_that_clients_go_elsewhere() {
    let stage = Stage::new().await;
    let at = stage.drain().await;
    let progress = stage.wait(at, State::Expiring, TTL).await;
    assert_eq!((progress.state, progress.name_servers.len()), (State::Applying, 0));
    let _server = stage.serve("ns-1", Duration::ZERO).await;
    assert_eq!(stage.wait(at, State::Expiring, TTL).await.state, State::Ending);
}

#[tokio::test(start_paused = true)]
async fn the_word_of_one_of_two_name_servers_of_one_name_does_not_count() {
    let stage = Stage::new().await;
    let _one = stage.serve("ns-1", Duration::ZERO).await;
    pass(HEARTBEAT).await;
    let elsewhere = folder();
    let _twin = serve(&stage.ledger.view(), elsewhere.path(), "ns-1", Duration::ZERO).await;
    pass(2 * HEARTBEAT).await;
    let at = stage.drain().await;
    let progress = stage.wait(at, State::Expiring, TTL).await;
    assert_eq!(progress.state, State::Applying);
    assert!(progress.name_servers[0].contested);
}

#[tokio::test(start_paused = true)]
async fn a_name_server_that_starts_again_says_nothing_of_what_the_former_one_answered() {
    let stage = Stage::new().await;
    let former = stage.serve("ns-1", TTL).await;
    pass(2 * TTL).await;
    let at = stage.drain().await;
    pass(TTL / 2).await;
    // It is killed: its document stays.
    drop(former);
    let begun = Instant::now();
    let _next = stage.serve("ns-1", TTL).await;
    assert_eq!(stage.wait(at, State::Ending, TTL - SECOND).await.state, State::Expiring);
    let ended = timeout(TTL, stage.wait(at, State::Ending, TTL)).await.unwrap();
    assert_eq!((ended.state, begun.elapsed().as_secs()), (State::Ending, TTL.as_secs()));
}

#[tokio::test(start_paused = true)]
async fn what_was_said_of_a_former_ledger_does_not_count_in_one_made_anew() {
    let stage = Stage::new().await;
    let own = stage.ledger.view();
    let _server = serve(&own, stage.folder.path(), "ns-1", Duration::ZERO).await;
    for _ in 0..5 {
        stage.drain().await;
        drain::undrain(&stage.ledger, "fra-1").await.unwrap();
    }
    pass(HEARTBEAT).await;
    // It says on what it said, and reads nothing.
    own.hang(true);
    stage.ledger.make_anew();
    let former = Position { epoch: nearcast_control::ledger::Epoch(7), seq: 1000 };
    stage.name_server_says("ns-1", node::Answers::by(former)).await;
    pass(2 * HEARTBEAT).await;
    let at = stage.drain().await;
    assert_eq!(stage.wait(at, State::Expiring, SECOND).await.state, State::Applying);
    own.hang(false);
    assert_eq!(stage.wait(at, State::Expiring, 2 * TTL).await.state, State::Ending);
}

#[tokio::test(start_paused = true)]
async fn while_clients_are_sent_to_it_all_the_same_no_drain_comes_to_its_end() {
    let rows: [(&[&str], Option<Withheld>); 5] = [
        (&["192.0.2.7"], None),
        (&[], Some(Withheld::NoAddress)),
        (&["192.0.2.7", "2001:db8::7"], Some(Withheld::NoOtherEdge)),
        (&["192.0.2.50"], Some(Withheld::OthersHaveIt)),
        (&["192.0.2.50", "192.0.2.7"], Some(Withheld::OthersHaveIt)),
    ];
    for (addresses, withheld) in rows {
        let stage = Stage::new().await;
        let _server = stage.serve("ns-1", Duration::ZERO).await;
        stage.edge_says("own", addresses).await;
        pass(HEARTBEAT).await;
        let at = stage.drain_other("own").await;
        let progress = stage.wait_for(("own", at), State::Ending, SECOND).await;
        let state = if withheld.is_none() { State::Ending } else { State::Applying };
        assert_eq!((progress.state, progress.withheld), (state, withheld), "{addresses:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn with_the_last_edge_drains_are_given_up() {
    let stage = Stage::new().await;
    let _server = stage.serve("ns-1", Duration::ZERO).await;
    pass(HEARTBEAT).await;
    let at = stage.drain().await;
    assert_eq!(stage.wait(at, State::Ending, SECOND).await.state, State::Ending);
    stage.drain_other("fra-2").await;
    let progress = stage.wait(at, State::Ending, SECOND).await;
    let given_up = (State::Applying, Some(Withheld::NoOtherEdge));
    assert_eq!((progress.state, progress.withheld), given_up);
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_a_name_server_gives_up_goes_on_until_nobody_has_such_an_answer() {
    let stage = Stage::new().await;
    stage.has_open(0);
    pass(HEARTBEAT).await;
    let at = stage.drain().await;
    let drains = drain::list(&stage.ledger).await.unwrap();
    let own = drains.by_node["fra-1"].document.addresses.clone();
    let says = async |given_up: &[IpAddr]| {
        let by = node::Answers::by(at);
        let answers = node::Answers { expired: Some(at), given_up: given_up.into(), ..by };
        stage.name_server_says("ns-1", answers).await;
    };
    says(&["192.0.2.99".parse().unwrap()]).await;
    assert_eq!(stage.wait(at, State::Ending, SECOND).await.state, State::Ending, "another's");
    says(&own).await;
    let progress = stage.wait(at, State::Ended, 10 * HEARTBEAT).await;
    assert_eq!((progress.state, progress.name_servers[0].given_up), (State::Expiring, true));
    says(&[]).await;
    // What the node said meanwhile does not count.
    assert_eq!(stage.wait(at, State::Ended, HEARTBEAT / 2).await.state, State::Ending);
    assert_eq!(stage.wait(at, State::Ended, 3 * HEARTBEAT).await.state, State::Ended);
}

#[tokio::test(start_paused = true)]
async fn what_was_said_of_documents_that_were_made_anew_does_not_count() {
    let stage = Stage::new().await;
    let own = stage.ledger.view();
    let _server = serve(&own, stage.folder.path(), "ns-1", Duration::ZERO).await;
    for _ in 0..5 {
        stage.drain().await;
        drain::undrain(&stage.ledger, "fra-1").await.unwrap();
    }
    let before = stage.drain().await;
    assert_eq!(stage.wait(before, State::Ending, SECOND).await.state, State::Ending);
    own.hang(true);
    stage.ledger.make_documents_anew();
    // Of the log that they are of, which is as it was.
    let former = Position { seq: 1000, ..before };
    let answers = node::Answers { expired: Some(former), ..node::Answers::by(former) };
    stage.name_server_says("ns-1", answers).await;
    pass(2 * HEARTBEAT).await;
    assert!(drain::list(&stage.ledger).await.unwrap().by_node.is_empty(), "it is gone with them");
    let at = stage.drain().await;
    assert_eq!(at.epoch, before.epoch);
    assert_eq!(stage.wait(at, State::Expiring, SECOND).await.state, State::Applying);
    own.hang(false);
    assert_eq!(stage.wait(at, State::Ending, 2 * TTL).await.state, State::Ending);
}

#[tokio::test(start_paused = true)]
async fn a_drain_whose_second_look_fails_is_taken_back() {
    let stage = Stage::new().await;
    let view = stage.ledger.view();
    view.list_drains(1);
    let said = DrainDocument::default();
    let drained = drain::drain(&view, &stage.roster, ("fra-1", false), said.clone()).await;
    assert!(drained.unwrap_err().to_string().contains("not listed"));
    assert!(drain::list(&stage.ledger).await.unwrap().by_node.is_empty());
    view.list_drains(2);
    let drained = drain::drain(&view, &stage.roster, ("fra-1", false), said).await;
    assert!(!drained.unwrap().1, "it was not drained before");
}

/// Waits until as many addresses are out there.
async fn until_out(server: &Server, count: usize) {
    let mut fleets = server._following.fleet();
    let is_out = fleets.wait_for(|fleet| fleet.out.len() == count);
    timeout(TTL, is_out).await.unwrap().unwrap();
}

/// The address goes out now, and what was answered before is cached from now.
async fn until_cached_no_more(stage: &Stage, server: &Server, at: Position) {
    until_out(server, 1).await;
    let progress = stage.wait_for(("own", at), State::Ending, TTL - SECOND).await;
    assert_eq!(progress.state, State::Expiring, "out a moment ago");
    let progress = stage.wait_for(("own", at), State::Ending, 2 * SECOND).await;
    assert_eq!(progress.state, State::Ending);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_nobody_knew_of_is_cached_from_when_it_is_out() {
    let stage = Stage::new().await;
    let server = stage.serve("ns-1", TTL).await;
    stage.edge_says("own", &[]).await;
    pass(2 * TTL).await;
    let at = stage.drain_other("own").await;
    pass(2 * TTL).await;
    let refused = stage.wait_for(("own", at), State::Ending, SECOND).await;
    assert_eq!(told(&refused), [("ns-1", true, true)]);
    // It is started again and says where it is reached, as it was told to.
    stage.edge_says("own", &["192.0.2.7"]).await;
    until_cached_no_more(&stage, &server, at).await;
}

#[tokio::test(start_paused = true)]
async fn an_address_that_another_had_is_cached_from_when_that_is_away() {
    let stage = Stage::new().await;
    let server = stage.serve("ns-1", TTL).await;
    stage.edge_says("own", &["192.0.2.7"]).await;
    stage.edge_says("other", &["192.0.2.7"]).await;
    pass(AWAY_AFTER / 2).await;
    stage.edge_says("other", &["192.0.2.7"]).await;
    let at = stage.drain_other("own").await;
    until_cached_no_more(&stage, &server, at).await;
}

#[tokio::test(start_paused = true)]
async fn a_purge_log_that_was_made_anew_alone_holds_up_no_drain() {
    let stage = Stage::new().await;
    let _server = stage.serve("ns-1", Duration::ZERO).await;
    pass(HEARTBEAT).await;
    let former = stage.drain().await;
    assert_eq!(stage.wait(former, State::Ending, SECOND).await.state, State::Ending);
    stage.ledger.make_log_anew();
    pass(10 * HEARTBEAT).await;
    let epoch = stage.ledger.ends(Log::Purges).await.unwrap().last.epoch;
    assert_ne!(epoch, former.epoch);
    let at = Position { epoch, ..former };
    assert_eq!(stage.wait(at, State::Ending, SECOND).await.state, State::Ending);
}
