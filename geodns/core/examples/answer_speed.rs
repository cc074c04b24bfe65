//! How long an answer takes, from the bytes of a query to its own: no socket, one thread.
//!
//! `cargo run --release -p geodns-core --example answer_speed -- [networks [seconds]]`
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement: it reads a clock, and what is wrong with its own input ends it"
)]

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use geodns_core::{
    answer::{
        Asked, Reply, Scratch, Served, Snapshot, Transport, answer,
        snapshot::{Sources, ZoneSource, without_file},
    },
    fleet::{FleetView, HttpsView, PopView},
    health::HealthTable,
    limit::Limiter,
    locate::{Map, plan::MapPlan},
    moment::Moment,
    settings::{GeodnsSettings, MapSettings},
    wire::{cookie::Secrets, kind::RecordType, name::Name},
};

const POPS: usize = 20;
const SITES: usize = 1000;
const QUERIES: usize = 1 << 16;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number =
        |default: usize| arguments.next().map_or(default, |text| text.parse().unwrap());
    let (networks, seconds) = (number(400_000), number(3));
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let served = served(networks, &mut chance);
    let limiter = Limiter::new(&GeodnsSettings::default().rate_limit.limits().unwrap(), [7; 16]);
    let kinds: [(&str, Kind); 7] = [
        ("A, client subnet /24", Kind { rtype: RecordType::A, ..Kind::default() }),
        ("AAAA, client subnet", Kind { rtype: RecordType::AAAA, ..Kind::default() }),
        ("HTTPS, client subnet", Kind { rtype: RecordType::HTTPS, ..Kind::default() }),
        ("A, by the resolver", Kind { ecs: false, ..Kind::default() }),
        ("A, subnet and cookie", Kind { cookie: true, ..Kind::default() }),
        ("no such name", Kind { exists: false, ..Kind::default() }),
        ("NODATA", Kind { rtype: RecordType::MX, ..Kind::default() }),
    ];
    for (name, kind) in kinds {
        let queries: Vec<(Vec<u8>, IpAddr)> =
            (0..QUERIES).map(|_| kind.query(&mut chance)).collect();
        for (label, limiter) in [("", None), (", limited", Some(&limiter))] {
            let each = measure(&served, limiter, &queries, seconds, &mut chance);
            println!("{each:7.1} ns  {name}{label}");
        }
    }
}

fn measure(
    served: &Served,
    limiter: Option<&Limiter>,
    queries: &[(Vec<u8>, IpAddr)],
    seconds: usize,
    chance: &mut Chance,
) -> f64 {
    let (mut scratch, mut out) = (Scratch::default(), vec![0; 4096]);
    let start = Instant::now();
    let (mut count, mut bytes_sent) = (0_u64, 0_usize);
    while start.elapsed() < Duration::from_secs(seconds as u64) {
        let now = start.elapsed();
        for (message, peer) in queries {
            let asked = Asked {
                message,
                peer: *peer,
                transport: Transport::Udp,
                wall_seconds: 1_700_000_000,
                now,
                draw: chance.next(),
            };
            if let Reply::Send { bytes, .. } =
                answer(served, limiter, &asked, &mut scratch, &mut out)
            {
                bytes_sent += bytes;
            }
        }
        count += queries.len() as u64;
    }
    let each = start.elapsed().as_nanos() as f64 / count as f64;
    assert!(bytes_sent > 0);
    each
}

/// What is asked.
struct Kind {
    rtype: RecordType,
    ecs: bool,
    cookie: bool,
    exists: bool,
}

impl Default for Kind {
    fn default() -> Self {
        Self { rtype: RecordType::A, ecs: true, cookie: false, exists: true }
    }
}

impl Kind {
    fn query(&self, chance: &mut Chance) -> (Vec<u8>, IpAddr) {
        let prefix = if self.exists { "site-" } else { "nothing-" };
        let name = format!("{prefix}{}.cdn.test.", chance.next() as usize % SITES);
        let name = Name::parse(name.as_bytes(), None).unwrap();
        let mut message =
            [&(chance.next() as u16).to_be_bytes()[..], b"\0\0\0\x01\0\0\0\0\0\x01"].concat();
        message.extend(name.as_ref().wire());
        message.extend([self.rtype.0.to_be_bytes(), [0, 1]].concat());
        let mut options = Vec::new();
        if self.ecs {
            let [a, b, c, _] = (chance.next() as u32).to_be_bytes();
            options.extend([0, 8, 0, 7, 0, 1, 24, 0, a, b, c]);
        }
        if self.cookie {
            options.extend([0, 10, 0, 8]);
            options.extend(chance.next().to_be_bytes());
        }
        message.extend(b"\0\0\x29\x04\xd0\0\0\0\0");
        message.extend((options.len() as u16).to_be_bytes());
        message.extend(options);
        (message, Ipv4Addr::from_bits(chance.next() as u32).into())
    }
}

/// A server of many sites, and a map of networks that each prefer a PoP by chance.
fn served(networks: usize, chance: &mut Chance) -> Served {
    let pop = |index: usize| PopView {
        v4: vec![Ipv4Addr::from_bits(0xc000_0200 + index as u32)],
        v6: vec![std::net::Ipv6Addr::from_bits(0x2001_0db8 << 96 | index as u128)],
        https: HttpsView { alpn: vec!["h2".into(), "h3".into()], port: None, hints: true },
        ..PopView::new(&format!("p{index}"))
    };
    let fleet = FleetView { revision: 1, pops: (0..POPS).map(pop).collect() };
    let settings = GeodnsSettings::default();
    let nets: std::collections::BTreeSet<u32> =
        (0..networks).map(|_| (chance.next() as u32) & 0xffff_ff00).collect();
    let mut file = String::new();
    // Every client has a list, as with a database of the whole internet.
    for net in (0..1 << 12).map(|net| net << 20) {
        let pop = chance.next() as usize % POPS;
        let others = [1, 2].map(|step| (pop + step) % POPS);
        writeln!(file, "{}/12 p{pop} p{} p{}", Ipv4Addr::from_bits(net), others[0], others[1])
            .unwrap();
    }
    for net in nets {
        let pop = chance.next() as usize % POPS;
        let others = [1, 2].map(|step| (pop + step) % POPS);
        writeln!(file, "{}/24 p{pop} p{} p{}", Ipv4Addr::from_bits(net), others[0], others[1])
            .unwrap();
    }
    let start = Instant::now();
    let plan =
        MapPlan::build(&MapSettings::default(), &fleet, Some(&file), &settings.limits).unwrap();
    let map = Map::compile(&plan, &fleet, &mut [], settings.limits.map_memory_max.0).unwrap();
    println!(
        "{networks} networks: {:.1} MB, compiled in {:.2?}",
        map.bytes() as f64 / 1e6,
        start.elapsed()
    );
    let apex = Name::parse(b"cdn.test.", None).unwrap();
    let records = without_file(&apex, &[]);
    let sources = Sources {
        fleet: Arc::new(fleet),
        maps: vec![Arc::new(map)],
        zones: vec![ZoneSource { apex, records, last: None }],
        sites: (0..SITES).map(|site| format!("site-{site}").into()).collect(),
        node: "fra-1".to_owned(),
        secrets: Secrets::parse(&"5".repeat(32)).ok(),
    };
    let snapshot = Arc::new(Snapshot::build(sources, &settings).unwrap());
    let health = HealthTable::new(snapshot.fleet(), &[], Moment::default());
    let standings = health.standings(snapshot.fleet(), &settings.health, Moment::default());
    Served::new(snapshot, Arc::new(standings)).unwrap()
}

/// Numbers without pattern, the same in every run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
