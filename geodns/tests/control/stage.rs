//! A whole server over loopback: PoPs that are probed, a zone, geo data that tests write.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use geodns::{
    clock::Clock,
    limits::StreamLimits,
    listen::{self, Addresses},
    probe::{attempt::Network, trust::Trust},
    record::Recorder,
    server::{Plan, PlanError, Server, Sites, World, ZonePlan},
    workers::Workers,
};
use geodns_core::{
    fleet::FleetView,
    settings::{CheckSettings, GeodnsSettings},
    wire::name::Name,
    zonefile,
};
use nearcast_daemon::{
    access_log::AccessLog,
    drain::{Drain, drain},
    readiness::Readiness,
};
use tokio::time::{Instant, timeout};

/// Longer than anything takes that ever happens.
pub(crate) const LONG: Duration = Duration::from_secs(20);

const ZONE: &str = "$TTL 60
@ SOA ns hostmaster 1 1h 10m 1d 60
@ NS ns
ns A 127.0.0.1
";

/// A server that answers.
pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) address: SocketAddr,
    pub(crate) readiness: Readiness,
    pub(crate) drain: Drain,
    workers: Workers,
}

/// The plan of a server for this fleet: `www.cdn.test`, PoPs in the order of the fleet.
pub(crate) fn plan(fleet: FleetView, check: Vec<CheckSettings>) -> Plan {
    let apex = Name::parse(b"cdn.test.", None).unwrap();
    let mut load = |_: &str, _: &str| Err(String::new());
    let records = zonefile::read("zone", ZONE.as_bytes(), &apex, &mut load).unwrap();
    let mut settings = GeodnsSettings { check, ..GeodnsSettings::default() };
    let route = geodns_core::settings::RouteSettings {
        names: vec!["www".to_owned()],
        ..Default::default()
    };
    settings.route.push(route);
    Plan {
        settings,
        fleet: Arc::new(fleet),
        nodes: Arc::default(),
        zones: Arc::new([ZonePlan { apex, records }]),
        sites: Sites::default(),
        node: "test".to_owned(),
        secrets: None,
        certificate: None,
        streams: StreamLimits::default(),
        probes_max: 16,
        lame_duck: Duration::ZERO,
    }
}

impl Stage {
    pub(crate) fn start(plan: Plan) -> Result<Self, PlanError> {
        let readiness = Readiness::new();
        let (drain, draining) = drain();
        let world = World {
            clock: Clock::system(),
            control: tokio::runtime::Handle::current(),
            attempt: Arc::new(Network::new(Trust::of_the_system())),
            recorder: Recorder::new(AccessLog::off(), 0),
            readiness: readiness.clone(),
            draining,
        };
        let dns = vec!["127.0.0.1:0".parse().unwrap()];
        let bound = listen::bind(&Addresses { dns, ..Addresses::default() }, 1).unwrap();
        let server = Server::new(plan, world)?;
        let workers = server.start(bound).unwrap();
        let address = workers.addresses.dns[0];
        Ok(Self { server, address, readiness, drain, workers })
    }

    /// The addresses that `dig` is answered for a name of the zone, and how it ended.
    pub(crate) async fn dig(&self, name: &str) -> (String, Vec<IpAddr>) {
        let port = self.address.port().to_string();
        let output = tokio::process::Command::new("dig")
            .args(["@127.0.0.1", "-p", &port, "+tries=1", "+time=3", name, "A"])
            .output()
            .await
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let status = text.split("status: ").nth(1).and_then(|rest| rest.split(',').next());
        let records = text.lines().filter(|line| !line.starts_with(';') && line.contains("\tA\t"));
        let addresses = records.map(|line| line.rsplit('\t').next().unwrap().parse().unwrap());
        (status.unwrap_or("none").to_owned(), addresses.collect())
    }

    /// Digs until `name` is answered with this address first, which must be within `limit`.
    pub(crate) async fn dig_until(&self, name: &str, expected: IpAddr, limit: Duration) {
        let before = Instant::now();
        loop {
            let (status, addresses) = self.dig(name).await;
            if addresses.first() == Some(&expected) {
                return;
            }
            let elapsed = before.elapsed();
            assert!(elapsed < limit, "after {elapsed:?}: {status} {addresses:?}, not {expected}");
        }
    }

    pub(crate) async fn ready(&self) {
        timeout(LONG, self.server.prober().ready()).await.unwrap();
        wait_for("readiness", LONG, || self.readiness.report().ready).await;
    }

    /// Drains, and waits for every thread.
    pub(crate) async fn end(self) {
        self.drain.start();
        self.drain.wait(LONG).await;
        self.drain.stop();
        let workers = self.workers;
        let (ended, end) = tokio::sync::oneshot::channel();
        // On a thread of its own, which is left behind if they do not end.
        std::thread::spawn(move || {
            workers.join();
            ended.send(()).unwrap_or_default();
        });
        timeout(LONG, end).await.unwrap().unwrap();
    }
}

/// Lets others run until this holds.
pub(crate) async fn wait_for(what: &str, limit: Duration, holds: impl Fn() -> bool) {
    let before = Instant::now();
    while !holds() {
        assert!(before.elapsed() < limit, "{what} does not come to hold");
        let pause = std::future::pending::<()>();
        drop(timeout(Duration::from_millis(5), pause).await);
    }
}

/// The file of a map, in a folder of the test's own.
pub(crate) fn file(folder: &tempfile::TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
}
