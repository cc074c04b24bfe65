//! Listeners that die, refuse, hang, answer wrongly and come back: what the prober makes of it.

use std::{net::IpAddr, sync::Arc, time::Duration};

use geodns::{
    clock::Clock,
    probe::{Prober, attempt::Network, trust::Trust, watch::Watched},
};
use geodns_core::{
    fleet::{FleetView, PopView},
    settings::{CheckKind, CheckSettings, HealthSettings, StateWord},
    standing::Standings,
};
use tokio::{
    sync::watch::{Receiver, Sender, channel},
    time::{Instant, timeout},
};

use crate::listener::{Manner, Place, certified};

/// What the issue of a change may take beyond what the settings promise.
const SLACK: Duration = Duration::from_secs(1);

pub(crate) fn check(kind: CheckKind, port: u16) -> CheckSettings {
    let mut check = CheckSettings::new(kind, port);
    check.path = "/health?deep=1".to_owned();
    check.status = vec![200, 204];
    check.interval = Duration::from_millis(150);
    check.timeout = Duration::from_millis(150);
    (check.rise, check.fall) = (2, 3);
    check
}

/// A PoP for each place, `p0` and so on.
pub(crate) fn fleet(places: &[Place]) -> FleetView {
    let pop = |(index, place): (usize, &Place)| {
        let v4 = match place.address.ip() {
            IpAddr::V4(four) => vec![four],
            IpAddr::V6(_) => Vec::new(),
        };
        PopView { v4, ..PopView::new(&format!("p{index}")) }
    };
    FleetView { revision: 0, pops: places.iter().enumerate().map(pop).collect() }
}

struct Play {
    prober: Prober,
    published: Receiver<Standings>,
    promised: Duration,
    _end: Sender<()>,
}

impl Play {
    fn new(places: &[Place], checks: Vec<CheckSettings>, trust: Arc<Trust>) -> Self {
        let (most, longest) = (
            checks.iter().map(|check| check.rise.max(check.fall)).max().unwrap(),
            checks.iter().map(|check| check.interval + check.timeout).max().unwrap(),
        );
        let watched = Watched {
            fleet: Arc::new(fleet(places)),
            checks,
            health: HealthSettings::default(),
            probes_max: 8,
        };
        let (sender, published) = channel(Standings::default());
        let publish = Box::new(move |standings| drop(sender.send_replace(standings)));
        let network = Arc::new(Network::new(trust));
        let (prober, _) = Prober::new(watched, Clock::system(), network, publish);
        let (end, mut ended) = channel(());
        tokio::spawn(prober.clone().run(async move { drop(ended.changed().await) }));
        Self { prober, published, promised: longest * most + SLACK, _end: end }
    }

    /// Waits for a PoP's state, no longer than the settings promise; says why it is in it.
    async fn until(&mut self, pop: usize, state: StateWord) -> String {
        let before = Instant::now();
        let holds = |all: &Standings| {
            all.pops()
                .get(pop)
                .is_some_and(|pop| pop.v4.enough == (state == StateWord::Up) && !pop.in_doubt)
        };
        let held = timeout(self.promised, self.published.wait_for(holds)).await.is_ok();
        let status = self.prober.status();
        assert!(held, "not {state:?} within {:?}: {status:#?}", before.elapsed());
        status[pop].addresses[0].checks[0].why.clone()
    }
}

#[tokio::test]
async fn a_place_is_down_while_it_is_dead_silent_stopped_rude_or_wrong() {
    let mut places = Place::some(2, None).await;
    let checks = vec![check(CheckKind::Http, places[0].address.port())];
    let mut play = Play::new(&places, checks, Trust::of_the_system());
    play.until(0, StateWord::Up).await;
    play.until(1, StateWord::Up).await;
    let rows = [
        (None, "cannot connect: "),
        (Some(Manner::Silent), "no answer within 150ms"),
        (Some(Manner::Stopped), "no answer within 150ms"),
        (Some(Manner::Rude), "no HTTP answer: "),
        (Some(Manner::Status(503)), "status 503"),
    ];
    for (manner, reason) in rows {
        match manner {
            Some(manner) => places[1].live(manner).await.unwrap(),
            None => places[1].die().await,
        }
        let why = play.until(1, StateWord::Down).await;
        assert!(why.starts_with(reason), "{manner:?}: {why}");
        // Another status of the list passes as well.
        places[1].live(Manner::Status(204)).await.unwrap();
        assert_eq!(play.until(1, StateWord::Up).await, "it passes");
    }
    let status = play.prober.status();
    assert_eq!(status[1].addresses[0].checks[0].changes, 2 * rows.len() as u64);
    assert_eq!(status[0].addresses[0].checks[0].changes, 0);
}

#[tokio::test]
async fn a_tcp_check_sees_a_dead_place_and_not_a_stopped_one() {
    let mut places = Place::some(1, None).await;
    let port = places[0].address.port();
    let mut play = Play::new(&places, vec![check(CheckKind::Tcp, port)], Trust::of_the_system());
    play.until(0, StateWord::Up).await;
    places[0].die().await;
    assert!(play.until(0, StateWord::Down).await.starts_with("cannot connect: "));
    // The kernel accepts for it.
    places[0].live(Manner::Stopped).await.unwrap();
    play.until(0, StateWord::Up).await;
}

#[tokio::test]
async fn https_asks_for_a_good_certificate_only_where_it_should() {
    let (tls, roots) = certified("health.cdn.test");
    let mut places = Place::some(1, Some(tls)).await;
    let port = places[0].address.port();
    let trust = Trust::of(roots);
    let rows = [
        (true, Some("health.cdn.test"), StateWord::Up, "not probed yet"),
        (true, Some("www.cdn.test"), StateWord::Down, "TLS: "),
        (true, None, StateWord::Down, "TLS: "),
        (false, Some("www.cdn.test"), StateWord::Up, "it passes"),
        (false, None, StateWord::Up, "it passes"),
    ];
    for (verify, host, state, reason) in rows {
        let mut check = check(CheckKind::Https, port);
        check.timeout = Duration::from_secs(2);
        check.verify = verify;
        check.host = host.map(str::to_owned);
        let mut play = Play::new(&places, vec![check], Arc::clone(&trust));
        let why = play.until(0, state).await;
        let expected = if state == StateWord::Up { "it passes" } else { reason };
        assert!(why.starts_with(expected), "{verify} {host:?}: {why}");
    }
    // A handshake that never ends is no answer either.
    let mut play = Play::new(&places, vec![check(CheckKind::Https, port)], trust);
    places[0].live(Manner::Silent).await.unwrap();
    assert_eq!(play.until(0, StateWord::Down).await, "no answer within 150ms");
}
