//! A server to ask: a zone, three PoPs, a map by networks, all five transports on loopback.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use geodns::{
    clock::Clock,
    limits::StreamLimits,
    listen::{Addresses, Bound, bind},
    record::Recorder,
    state::Shared,
    tls::{CertificateFiles, Certificates},
    workers::{Serving, Workers, start},
};
use geodns_core::{
    answer::{
        Served, Snapshot,
        snapshot::{Sources, ZoneSource},
    },
    fleet::FleetView,
    health::HealthTable,
    locate::{Map, plan::MapPlan},
    moment::Moment,
    settings::{GeodnsSettings, PopSettings},
    wire::{cookie::Secrets, name::Name},
    zonefile,
};
use nearcast_daemon::{access_log::AccessLog, metrics::Metrics};
use serde::Deserialize;
use tempfile::TempDir;

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// What comes of this, which must come before the deadline.
pub(crate) async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what).await.unwrap()
}

/// Waits for the threads, on one that is left behind if they do not end.
fn join(workers: Workers) {
    let (ended, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        workers.join();
        ended.send(()).unwrap_or_default();
    });
    let end = end.recv_timeout(DEADLINE);
    // A test that has failed already is not to fail while it unwinds.
    assert!(end.is_ok() || std::thread::panicking(), "the workers do not end");
}

const SETTINGS: &str = "
[[geodns.map]]
list = 2
[[geodns.map.prefer]]
pops = ['fra']
networks = ['203.0.113.0/24', '2001:db8:1::/48']
[[geodns.map.prefer]]
pops = ['iad']
networks = ['198.51.100.0/25', '2001:db8:2::/48']
[[geodns.map.prefer]]
pops = ['sin']
networks = ['233.252.0.0/24', '2001:db8:3::/48']
[[geodns.route]]
names = ['www', '@', '*.img']
sites = true
ttl = '60s'
[[pop]]
name = 'fra'
addresses = ['192.0.2.1', '2001:db8::1']
https = { alpn = ['h2', 'h3'] }
[[pop]]
name = 'iad'
addresses = ['192.0.2.11', '2001:db8::11']
https = { alpn = ['h2', 'h3'] }
[[pop]]
name = 'sin'
addresses = ['192.0.2.21', '192.0.2.22', '192.0.2.23', '2001:db8::21', '2001:db8::22']
https = { alpn = ['h2', 'h3'] }
";

const ZONE: &str = "$TTL 300
@ SOA ns hostmaster 7 2h 1h 2w 3600
@ NS ns
ns A 192.0.2.53
mail A 192.0.2.54
txt TXT hello
alias CNAME www
away CNAME www.other.example.
a.b.c TXT deep
*.wild TXT any
sub NS ns.sub
ns.sub A 192.0.2.55
long 20 TXT BIG
";

#[derive(Deserialize)]
struct File {
    geodns: GeodnsSettings,
    pop: Vec<PopSettings>,
}

/// A running server.
pub(crate) struct Stage {
    pub(crate) shared: Arc<Shared>,
    pub(crate) metrics: Metrics,
    pub(crate) addresses: Addresses,
    pub(crate) certificate: PathBuf,
    workers: Option<Workers>,
    _folder: TempDir,
}

/// What is served, for those who build a server by hand.
pub(crate) fn served() -> Served {
    served_from(&snapshot())
}

/// A snapshot, with all PoPs up.
pub(crate) fn served_from(snapshot: &Arc<Snapshot>) -> Served {
    let file: File = toml::from_str(SETTINGS).unwrap();
    let health = HealthTable::new(snapshot.fleet(), &[], Moment::default());
    let standings = health.standings(snapshot.fleet(), &file.geodns.health, Moment::default());
    Served::new(Arc::clone(snapshot), Arc::new(standings)).unwrap()
}

/// What every server here knows.
pub(crate) fn snapshot() -> Arc<Snapshot> {
    snapshot_of(|_| {})
}

/// The same, with something changed in the fleet.
pub(crate) fn snapshot_of(change: impl FnOnce(&mut FleetView)) -> Arc<Snapshot> {
    let file: File = toml::from_str(SETTINGS).unwrap();
    let mut fleet = FleetView::build(&file.pop).unwrap();
    change(&mut fleet);
    let maps = file.geodns.map.iter().map(|map| {
        let limits = &file.geodns.limits;
        let plan = MapPlan::build(map, &fleet, None, limits).unwrap();
        Arc::new(Map::compile(&plan, &fleet, &mut [], limits.map_memory_max.0).unwrap())
    });
    let maps = maps.collect();
    let apex = Name::parse(b"cdn.test.", None).unwrap();
    let big = format!("\"{}\" ", "x".repeat(250)).repeat(80);
    let zone = ZONE.replace("BIG", &big);
    let mut load = |_: &str, _: &str| Err(String::new());
    let records = zonefile::read("zone", zone.as_bytes(), &apex, &mut load).unwrap();
    let sources = Sources {
        maps,
        zones: vec![ZoneSource { apex, records, last: None }],
        sites: vec!["shop".into()],
        node: "fra-1".to_owned(),
        secrets: Secrets::parse("e5e973e5a6b2a43f48e7dc849e37bfcf").ok(),
        fleet: Arc::new(fleet),
    };
    Arc::new(Snapshot::build(sources, &file.geodns).unwrap())
}

/// The state of a server that nothing limits.
pub(crate) fn shared(recorder: Arc<Recorder>) -> Arc<Shared> {
    Shared::new(served(), None, recorder, Clock::system())
}

/// All transports on ports that the system chooses.
pub(crate) fn loopback() -> Addresses {
    let any = || vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    Addresses { dns: any(), tls: any(), https: any(), quic: any() }
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with(StreamLimits::default(), &loopback())
    }

    pub(crate) fn with(limits: StreamLimits, addresses: &Addresses) -> Self {
        Self::on(limits, bind(addresses, 2).unwrap(), Recorder::new(AccessLog::off(), 0))
    }

    pub(crate) fn on(limits: StreamLimits, bound: Bound, recorder: Arc<Recorder>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = certificate(&folder);
        let metrics = Metrics::new();
        recorder.register(&metrics);
        let shared = shared(recorder);
        let certificates = Some(Certificates::load(&files).unwrap());
        let serving = Serving { shared: Arc::clone(&shared), limits, certificates };
        let workers = start(bound, &serving).unwrap();
        let addresses = workers.addresses.clone();
        let certificate = files.chain;
        Self { shared, metrics, addresses, certificate, workers: Some(workers), _folder: folder }
    }

    pub(crate) fn dns(&self) -> SocketAddr {
        self.addresses.dns[0]
    }

    /// The value of a counter with all these in its line.
    pub(crate) fn count(&self, parts: &[&str]) -> u64 {
        let page = self.metrics.encode().unwrap();
        let mut lines = page.lines().filter(|line| parts.iter().all(|part| line.contains(part)));
        let line = lines.next();
        assert_eq!(lines.next(), None, "{parts:?} is not one counter");
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }

    /// Waits until a counter has reached `value`.
    pub(crate) fn until(&self, parts: &[&str], value: u64) {
        let start = tokio::time::Instant::now();
        while self.count(parts) < value {
            let page = self.metrics.encode().unwrap();
            assert!(start.elapsed() < DEADLINE, "{parts:?} does not reach {value} in\n{page}");
            std::thread::yield_now();
        }
    }

    /// Begins the end, without waiting for it.
    pub(crate) fn drain(&self) {
        self.shared.start_draining();
    }

    /// Waits for the end.
    pub(crate) fn join(&mut self) {
        join(self.workers.take().unwrap());
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(workers) = self.workers.take() {
            self.shared.start_draining();
            self.shared.drain().stop();
            join(workers);
        }
    }
}

fn certificate(folder: &TempDir) -> CertificateFiles {
    let made = rcgen::generate_simple_self_signed(vec!["dns.test".to_owned()]).unwrap();
    let files = CertificateFiles {
        chain: folder.path().join("chain.pem"),
        key: folder.path().join("key.pem"),
    };
    std::fs::write(&files.chain, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    files
}
