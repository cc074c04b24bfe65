//! Probing under a paused clock, with addresses that answer as a test says.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
};

use futures_util::future::BoxFuture;
use geodns_core::{
    fleet::{FleetView, Load, PopView},
    settings::{CheckKind, CheckSettings, HealthSettings},
    standing::PerMille,
};
use nearcast_daemon::metrics::Metrics;
use tokio::{
    sync::watch::{self as channel, Receiver, Sender},
    time::{Duration, advance, timeout},
};

use super::*;
use crate::probe::attempt::{Passed, problems};

/// How an address answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Answers,
    Refuses,
    Hangs,
    /// We have no descriptor left for it.
    Starves,
}

/// Addresses that answer as they are told, and how many probes were under way at once.
#[derive(Default)]
struct Stage {
    manners: Mutex<HashMap<IpAddr, Manner>>,
    now: Arc<Mutex<Counts>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    under_way: usize,
    most: usize,
    begun: usize,
}

impl Attempt for Stage {
    fn attempt(&self, address: IpAddr, check: &CheckSettings) -> BoxFuture<'static, Outcome> {
        let manner = self.manners.lock().get(&address).copied().unwrap_or(Manner::Answers);
        let (counts, limit) = (Arc::clone(&self.now), check.timeout);
        {
            let mut counts = counts.lock();
            counts.begun += 1;
            counts.under_way += 1;
            counts.most = counts.most.max(counts.under_way);
        }
        Box::pin(async move {
            let outcome = match manner {
                Manner::Answers => {
                    tokio::task::yield_now().await;
                    Ok(Passed::default())
                }
                Manner::Refuses => Err(Fault::Connect("refused".to_owned())),
                Manner::Starves => Err(Fault::Local("too many open files".to_owned())),
                Manner::Hangs => timeout(limit, std::future::pending())
                    .await
                    .unwrap_or(Err(Fault::Timeout(limit))),
            };
            counts.lock().under_way -= 1;
            outcome
        })
    }
}

/// A prober that runs, and what it published.
struct Play {
    prober: Prober,
    stage: Arc<Stage>,
    published: Receiver<Standings>,
    _end: Sender<()>,
}

fn address(index: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, index)
}

fn fleet(pops: u8) -> Arc<FleetView> {
    let pop = |index| PopView { v4: vec![address(index)], ..PopView::new(&format!("p{index}")) };
    Arc::new(FleetView { revision: 0, pops: (0..pops).map(pop).collect() })
}

fn check() -> CheckSettings {
    let mut check = CheckSettings::new(CheckKind::Http, 80);
    check.interval = Duration::from_secs(5);
    check.timeout = Duration::from_secs(2);
    (check.rise, check.fall, check.jitter) = (2, 3, 10);
    check
}

fn watched(pops: u8) -> Watched {
    Watched {
        fleet: fleet(pops),
        checks: vec![check()],
        health: HealthSettings::default(),
        probes_max: 64,
    }
}

impl Play {
    fn new(watched: Watched) -> Self {
        let stage = Arc::new(Stage::default());
        let (sender, published) = channel::channel(Standings::default());
        let (sender, sent) = (sender.clone(), sender);
        let publish = Box::new(move |standings| drop(sender.send_replace(standings)));
        let (prober, first) =
            Prober::new(watched, Clock::system(), Arc::clone(&stage) as Arc<dyn Attempt>, publish);
        sent.send_replace(first);
        let (end, mut ended) = channel::channel(());
        tokio::spawn(prober.clone().run(async move { drop(ended.changed().await) }));
        Self { prober, stage, published, _end: end }
    }

    fn set(&self, index: u8, manner: Manner) {
        self.stage.manners.lock().insert(address(index).into(), manner);
    }

    /// How long it takes until this holds of a PoP, which must be within `limit`.
    async fn until(
        &mut self,
        index: usize,
        limit: Duration,
        holds: impl Fn(&geodns_core::standing::Standing) -> bool,
    ) -> Duration {
        let before = Instant::now();
        let wait = self.published.wait_for(|all| all.pops().get(index).is_some_and(&holds));
        let held = timeout(limit, wait).await;
        assert!(held.is_ok(), "not within {limit:?}: {:?}", self.prober.status());
        before.elapsed()
    }

    async fn ready(&mut self) {
        let all_known = |all: &Standings| all.pops().iter().all(|pop| !pop.in_doubt);
        timeout(Duration::from_secs(10), self.published.wait_for(all_known))
            .await
            .unwrap()
            .unwrap();
        assert!(self.prober.is_ready());
    }
}

#[tokio::test(start_paused = true)]
async fn a_pop_that_dies_or_hangs_is_down_within_the_promised_time_and_back_as_well() {
    let check = check();
    let fall = (check.interval + check.timeout) * check.fall;
    let rise = (check.interval + check.timeout) * check.rise;
    for manner in [Manner::Refuses, Manner::Hangs] {
        let mut play = Play::new(watched(2));
        play.ready().await;
        play.set(1, manner);
        play.until(1, fall, |pop| !pop.v4.enough).await;
        let why = play.prober.status()[1].addresses[0].checks[0].why.clone();
        let said = if manner == Manner::Hangs { "no answer within 2s" } else { "refused" };
        assert!(why.ends_with(said), "{why}");
        play.set(1, Manner::Answers);
        play.until(1, rise, |pop| pop.v4.enough).await;
        let status = play.prober.status();
        assert_eq!(status[1].addresses[0].checks[0].flaps, 2);
        assert_eq!(status[0].addresses[0].checks[0].changes, 0, "the other one never moved");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_result_decides_alone_and_readiness_waits_for_it() {
    let mut play = Play::new(watched(1));
    play.set(0, Manner::Hangs);
    assert!(!play.prober.is_ready());
    play.until(0, Duration::from_secs(3), |pop| !pop.v4.enough).await;
    assert!(play.prober.is_ready());
}

#[tokio::test(start_paused = true)]
async fn what_this_node_lacks_takes_no_pop_out_of_answers() {
    let mut play = Play::new(watched(2));
    play.set(1, Manner::Starves);
    play.until(0, Duration::from_secs(10), |pop| !pop.in_doubt).await;
    assert!(!play.prober.is_ready(), "that is no first result");
    play.set(1, Manner::Answers);
    play.ready().await;
    let before = play.prober.standings();
    play.set(0, Manner::Starves);
    let begun = play.stage.now.lock().begun;
    while play.stage.now.lock().begun < begun + 20 {
        advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(play.prober.standings(), before);
    let status = play.prober.status().remove(0).addresses.remove(0).checks.remove(0);
    assert_eq!((status.state, status.changes, status.in_doubt), (StateWord::Up, 0, false));
    assert_eq!(status.last, "this node cannot probe: too many open files");
    // The next result counts again.
    play.set(0, Manner::Refuses);
    play.until(0, Duration::from_secs(30), |pop| !pop.v4.enough).await;
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_probed_keeps_no_node_from_being_ready() {
    let mut play = Play::new(watched(2));
    play.set(1, Manner::Starves);
    let begun = Instant::now();
    timeout(Duration::from_secs(60), play.prober.ready()).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(11), "{:?}", begun.elapsed());
    let standing = play.prober.standings().pops()[1].clone();
    assert!(standing.in_doubt && standing.v4.enough, "what is assumed holds: {standing:?}");
    let blind = play.prober.blind();
    assert_eq!(blind, 10, "as many as are tried at once");
    let metrics = Metrics::new();
    page::register(&play.prober, &metrics);
    let page = metrics.encode().unwrap();
    assert!(page.contains("nearcast_dns_probes_blind_total 10\n"), "{page}");
    // From now on in its turn, and the first result decides alone as it would have.
    play.set(1, Manner::Refuses);
    play.until(1, Duration::from_secs(6), |pop| !pop.v4.enough).await;
}

#[tokio::test(start_paused = true)]
async fn the_ttl_is_short_while_a_pop_is_in_doubt() {
    let mut play = Play::new(watched(1));
    play.ready().await;
    let sure = play.prober.standings().pops()[0].ttl_max;
    play.set(0, Manner::Refuses);
    play.until(0, Duration::from_secs(6), |pop| pop.in_doubt && pop.v4.enough).await;
    let in_doubt = play.prober.standings().pops()[0].ttl_max;
    assert!(in_doubt < sure, "{in_doubt} {sure}");
    play.set(0, Manner::Answers);
    play.until(0, Duration::from_secs(6), |pop| !pop.in_doubt && pop.ttl_max == sure).await;
}

#[tokio::test(start_paused = true)]
async fn no_more_probes_are_under_way_than_allowed_and_everyone_has_its_turn() {
    let mut play = Play::new(Watched { probes_max: 3, ..watched(40) });
    for index in 0..40 {
        play.set(index, Manner::Hangs);
    }
    for index in 0..40 {
        play.until(index, Duration::from_secs(60), |pop| !pop.v4.enough).await;
    }
    let counts = *play.stage.now.lock();
    assert_eq!(counts.most, 3);
    assert!(counts.begun >= 40);
}

#[tokio::test(start_paused = true)]
async fn an_order_ends_by_itself_without_anybody_asking() {
    let mut play = Play::new(watched(2));
    play.ready().await;
    let minute = Duration::from_secs(60);
    play.prober.order("p0", Order::Drain, Some(minute)).unwrap();
    assert!(play.prober.standings().pops()[0].drained);
    assert_eq!(play.prober.status()[0].order_ends_in_seconds, Some(60));
    let took = play.until(0, 2 * minute, |pop| !pop.drained).await;
    assert!(took >= minute && took < minute + Duration::from_secs(1), "{took:?}");

    play.prober.order("p1", Order::Force(StateWord::Down), Some(minute)).unwrap();
    assert!(!play.prober.standings().pops()[1].v4.enough);
    let took = play.until(1, 2 * minute, |pop| pop.v4.enough).await;
    assert!(took >= minute && took < minute + Duration::from_secs(1), "{took:?}");

    play.prober.order("p1", Order::Force(StateWord::Down), None).unwrap();
    advance(1000 * minute).await;
    assert!(!play.prober.standings().pops()[1].v4.enough);
    play.prober.order("p1", Order::Unforce, None).unwrap();
    assert!(play.prober.standings().pops()[1].v4.enough);
    let none = play.prober.order("p9", Order::Drain, None);
    assert_eq!(none, Err(NoSuchPop("p9".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn what_nodes_say_of_their_load_counts_until_it_is_old() {
    let mut play = Play::new(watched(2));
    play.ready().await;
    let heard = Instant::now();
    let (share, at) = (Some(PerMille(700)), play.prober.moment_at(heard));
    let load = Load { connections: 9, share, at };
    play.prober.hear(HashMap::from([("p1".into(), load), ("p9".into(), load)]));
    play.until(1, Duration::ZERO, |pop| pop.load == share).await;
    assert_eq!(play.prober.standings().pops()[0].load, None);
    let age_max = HealthSettings::default().load_age_max;
    play.until(1, 2 * age_max, |pop| pop.load.is_none()).await;
    let took = heard.elapsed();
    assert!(took > age_max && took < age_max + Duration::from_secs(2), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pop_that_comes_back_takes_a_growing_share() {
    let health = HealthSettings { ramp_up: Duration::from_secs(20), ..HealthSettings::default() };
    let mut play = Play::new(Watched { health, ..watched(1) });
    play.ready().await;
    play.set(0, Manner::Refuses);
    play.until(0, Duration::from_secs(30), |pop| !pop.v4.enough).await;
    play.set(0, Manner::Answers);
    play.until(0, Duration::from_secs(30), |pop| pop.v4.enough && pop.v4.ramp.0 < 100).await;
    for share in [200, 400, 600, 800] {
        let grown =
            |pop: &geodns_core::standing::Standing| (share..share + 50).contains(&pop.v4.ramp.0);
        play.until(0, Duration::from_secs(5), grown).await;
    }
    play.until(0, Duration::from_secs(5), |pop| pop.v4.ramp.0 == 1000).await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_is_no_restart() {
    let mut play = Play::new(watched(3));
    play.ready().await;
    play.set(1, Manner::Refuses);
    play.until(1, Duration::from_secs(30), |pop| !pop.v4.enough).await;
    play.prober.order("p2", Order::Drain, None).unwrap();
    // Reloads come faster than probes: they neither forget a state nor keep a probe from its turn.
    play.set(1, Manner::Answers);
    let before = play.stage.now.lock().begun;
    for _ in 0..400 {
        let standings = play.prober.renew(watched(3), |standings| standings);
        assert!(standings.pops()[2].drained);
        advance(Duration::from_millis(50)).await;
        tokio::task::yield_now().await;
    }
    let begun = play.stage.now.lock().begun - before;
    assert!((9..=15).contains(&begun), "{begun} probes of three targets in 20 s");
    assert!(play.prober.standings().pops()[1].v4.enough);
    assert_eq!(play.prober.status()[1].addresses[0].checks[0].changes, 2);
    // A smaller fleet, other checks: what is gone is gone.
    let gone = play.prober.renew(Watched { checks: Vec::new(), ..watched(1) }, |all| all);
    assert_eq!(gone.pops().len(), 1);
    assert!(play.prober.is_ready());
}

#[tokio::test(start_paused = true)]
async fn another_interval_or_another_path_brings_nobody_back_who_is_dead() {
    let mut play = Play::new(watched(2));
    play.ready().await;
    play.set(1, Manner::Refuses);
    play.until(1, Duration::from_secs(30), |pop| !pop.v4.enough).await;
    let slow = CheckSettings { interval: Duration::from_secs(3600), ..check() };
    let quick = CheckSettings { interval: Duration::from_secs(1), ..check() };
    let elsewhere = CheckSettings { path: "/other".to_owned(), ..check() };
    for check in [slow, quick, elsewhere] {
        let checks = vec![check.clone()];
        let standings = play.prober.renew(Watched { checks, ..watched(2) }, |standings| standings);
        assert!(!standings.pops()[1].v4.enough && standings.pops()[0].v4.enough, "{check:?}");
        let why = play.prober.status()[1].addresses[0].checks[0].why.clone();
        assert!(check.path == "/other" || why.ends_with("refused"), "{why}");
        // Nobody waits for the end of an interval that is no more.
        let begun = play.stage.now.lock().begun;
        for _ in 0..40 {
            advance(Duration::from_millis(50)).await;
            tokio::task::yield_now().await;
        }
        assert!(play.stage.now.lock().begun >= begun + 2, "{check:?}");
        assert!(!play.prober.standings().pops()[1].v4.enough);
    }
    play.set(1, Manner::Answers);
    play.until(1, Duration::from_secs(30), |pop| pop.v4.enough).await;
    assert_eq!(play.prober.status()[1].addresses[0].changes, 2, "by whatever check");
}

#[tokio::test(start_paused = true)]
async fn a_check_that_stands_twice_is_one() {
    let other = CheckSettings { path: "/other".to_owned(), ..check() };
    let once = vec![check(), other.clone()];
    let twice = vec![check(), other.clone(), check(), other];
    for checks in [vec![check(), check()], twice, once] {
        let kinds = if checks.len() == 2 && checks[0] == checks[1] { 1 } else { 2 };
        let play = Play::new(Watched { checks, ..watched(2) });
        timeout(Duration::from_secs(10), play.prober.ready()).await.unwrap();
        let status = play.prober.status();
        assert!(status.iter().all(|pop| pop.addresses[0].checks.len() == kinds), "{status:?}");
    }
}

#[test]
fn checks_that_no_request_can_be_made_of_are_named() {
    let mut wrong = check();
    wrong.path = "health".to_owned();
    wrong.host = Some("a host".to_owned());
    wrong.status = vec![200, 700];
    let problems: Vec<String> =
        problems(&[check(), wrong]).iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        [
            "check[1].path: \"health\" is not a path that begins with \"/\"",
            "check[1].host: \"a host\" is not a host name or an address",
            "check[1].status: \"700\" is not a status from 100 to 599",
        ]
    );
}
