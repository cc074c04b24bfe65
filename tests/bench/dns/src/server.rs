//! What the load is sent to: the bare loop, and the server.

use std::{error::Error, net::SocketAddr, sync::Arc, time::Duration};

use geodns::{
    clock::Clock,
    limits::StreamLimits,
    listen::{Addresses, bind},
    record::Recorder,
    state::Shared,
    udp::{self, Lost, Respond},
    workers::{Serving, start},
};
use geodns_core::{
    answer::{
        Served, Snapshot,
        snapshot::{Sources, ZoneSource},
    },
    fleet::{FleetView, PopView},
    health::HealthTable,
    limit::{Limiter, Limits, Rates},
    locate::{Map, database::Database, place::Point, plan::MapPlan},
    moment::Moment,
    settings::{GeodnsSettings, MapSettings, RouteSettings},
    wire::{cookie::Secrets, name::Name},
    zonefile,
};
use nearcast_daemon::access_log::AccessLog;

/// Sites `s0` to `s999`.
pub(crate) const SITES: usize = 1000;
/// The PoPs: name, latitude, longitude, last byte of the address.
const POPS: [(&str, f64, f64, u8); 12] = [
    ("iad", 39.04, -77.49, 1),
    ("ord", 41.88, -87.63, 2),
    ("sjc", 37.34, -121.89, 3),
    ("gru", -23.55, -46.63, 4),
    ("lhr", 51.47, -0.45, 5),
    ("fra", 50.11, 8.68, 6),
    ("arn", 59.33, 18.07, 7),
    ("jnb", -26.20, 28.05, 8),
    ("bom", 19.08, 72.88, 9),
    ("sin", 1.35, 103.82, 10),
    ("nrt", 35.68, 139.69, 11),
    ("syd", -33.87, 151.21, 12),
];
const ZONE: &str = "$TTL 1h\n@ SOA ns1 hostmaster 1 7200 1800 259200 900\n@ NS ns1\nns1 A 127.0.0.1\nstatic 60 A 192.0.2.77\n";

/// Sends back what it got.
struct Echo;

impl Respond for Echo {
    fn begin(&mut self) {}

    fn respond(&mut self, query: &[u8], _client: SocketAddr, out: &mut [u8]) -> Option<usize> {
        out.get_mut(..query.len())?.copy_from_slice(query);
        // Or its asker would not count it as an answer.
        *out.get_mut(2)? |= 0x80;
        Some(query.len())
    }

    fn lost(&mut self, _why: Lost) {}

    fn idle(&mut self) {}

    fn is_ending(&self) -> bool {
        false
    }
}

/// The bare loop, until it is killed.
pub(crate) fn echo(address: SocketAddr) -> Result<(), Box<dyn Error>> {
    let socket = udp::socket(address)?;
    udp::serve(&socket, &mut Echo)?;
    Ok(())
}

/// The server, until it is killed.
pub(crate) fn serve(address: SocketAddr, database: Option<&str>) -> Result<(), Box<dyn Error>> {
    let recorder = Recorder::new(AccessLog::off(), 0);
    let limiter = Limiter::new(&limits(), [7; 16]);
    let shared = Shared::new(served(database)?, Some(Arc::new(limiter)), recorder, Clock::system());
    let bound = bind(&Addresses { dns: vec![address], ..Addresses::default() }, 1)?;
    let limits = StreamLimits::default();
    start(bound, &Serving { shared, limits, certificates: None })?.join();
    Ok(())
}

/// So much that one load reaches no limit, and yet each answer is charged.
fn limits() -> Limits {
    let rate = 1_000_000;
    Limits {
        rates: Rates { answer: rate, nodata: rate, nxdomain: rate, referral: rate, error: rate },
        burst: Duration::from_secs(5),
        window: Duration::from_secs(5),
        slip: 2,
        ipv4_prefix_length: 24,
        ipv6_prefix_length: 56,
        allowed: Vec::new(),
        entries: 1 << 16,
    }
}

fn served(database: Option<&str>) -> Result<Served, Box<dyn Error>> {
    let pops = POPS.map(|(name, latitude, longitude, last)| PopView {
        location: Point::new(latitude, longitude),
        v4: vec![[192, 0, 2, last].into()],
        v6: vec![[0x2001, 0xdb8, 0, 0, 0, 0, 0, last.into()].into()],
        ..PopView::new(name)
    });
    let fleet = FleetView { revision: 0, pops: pops.into() };
    let route =
        RouteSettings { names: vec!["www".to_owned()], sites: true, ..RouteSettings::default() };
    let settings = GeodnsSettings { route: vec![route], ..GeodnsSettings::default() };
    let plan = MapPlan::build(&MapSettings::default(), &fleet, None, &settings.limits)
        .map_err(|problems| format!("{problems:?}"))?;
    let bytes = database.map(std::fs::read).transpose()?.unwrap_or_default();
    let mut databases = Vec::new();
    if let Some(path) = database {
        databases.push(Database::open(path, &bytes)?);
    }
    let map = Map::compile(&plan, &fleet, &mut databases, settings.limits.map_memory_max.0)?;
    let apex = Name::parse(b"cdn.test.", None)?;
    let mut load = |_: &str, _: &str| Err(String::new());
    let records = zonefile::read("zone", ZONE.as_bytes(), &apex, &mut load)
        .map_err(|faults| format!("{faults:?}"))?;
    let sources = Sources {
        maps: vec![Arc::new(map)],
        zones: vec![ZoneSource { apex, records, last: None }],
        sites: (0..SITES).map(|site| format!("s{site}").into()).collect(),
        node: "bench".to_owned(),
        secrets: Secrets::parse("e5e973e5a6b2a43f48e7dc849e37bfcf").ok(),
        fleet: Arc::new(fleet),
    };
    let snapshot =
        Snapshot::build(sources, &settings).map_err(|problems| format!("{problems:?}"))?;
    let health = HealthTable::new(snapshot.fleet(), &[], Moment::default());
    let standings = health.standings(snapshot.fleet(), &settings.health, Moment::default());
    Ok(Served::new(Arc::new(snapshot), Arc::new(standings))?)
}
