//! How long a map takes to load from a database, what it takes in memory, and how fast it answers.
//!
//! `cargo run --release -p geodns-core --example load_map -- GeoLite2-City.mmdb [PoPs [list]]`
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement: it reads a file and a clock, and what is wrong with them ends it"
)]

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Instant,
};

use geodns_core::{
    fleet::{FleetView, PopView},
    locate::{Map, database::Database, place::Point, plan::MapPlan},
    settings::{GeodnsLimits, MapSettings},
};

const PLACES: [(&str, f64, f64); 20] = [
    ("iad", 39.04, -77.49),
    ("fra", 50.11, 8.68),
    ("sin", 1.35, 103.82),
    ("gru", -23.55, -46.63),
    ("syd", -33.87, 151.21),
    ("lhr", 51.47, -0.45),
    ("ams", 52.37, 4.90),
    ("sjc", 37.34, -121.89),
    ("nrt", 35.68, 139.69),
    ("bom", 19.08, 72.88),
    ("jnb", -26.20, 28.05),
    ("ord", 41.88, -87.63),
    ("dfw", 32.78, -96.80),
    ("mad", 40.42, -3.70),
    ("arn", 59.33, 18.07),
    ("waw", 52.23, 21.01),
    ("icn", 37.57, 126.98),
    ("hkg", 22.32, 114.17),
    ("scl", -33.45, -70.67),
    ("dxb", 25.20, 55.27),
];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap();
    let mut number =
        |default: usize| arguments.next().map_or(default, |text| text.parse().unwrap());
    let (pops, list) = (number(20), number(3));
    let fleet = fleet(pops);
    let settings = MapSettings { list: list as u32, ..MapSettings::default() };
    let plan = MapPlan::build(&settings, &fleet, None, &GeodnsLimits::default()).unwrap();

    let start = Instant::now();
    let bytes = std::fs::read(&path).unwrap();
    println!("read {} MB in {:?}", bytes.len() / 1_000_000, start.elapsed());
    let (start, busy) = (Instant::now(), busy_seconds());
    let mut databases = [Database::open(&path, &bytes).unwrap()];
    let map = Map::compile(&plan, &fleet, &mut databases, 1 << 30).unwrap();
    let (took, busy) = (start.elapsed(), busy_seconds() - busy);
    println!(
        "{pops} PoPs, lists of {list}: compiled in {took:.2?}, {busy:.2} s on the processor; {} lists, {:.1} MB",
        map.list_count(),
        map.bytes() as f64 / 1e6
    );
    println!("while loading: {}", memory());
    drop(databases);
    drop(bytes);
    println!("steady: {}", memory());
    lookups(&map);
}

/// So many PoPs: known places, then ones spread over the globe.
fn fleet(count: usize) -> FleetView {
    let pop = |index: usize| {
        let (name, latitude, longitude) = PLACES.get(index).copied().unwrap_or_else(|| {
            let turn = index as f64 * 2.399_963;
            ("", (turn.sin() * 60.0).clamp(-60.0, 70.0), turn.to_degrees() % 180.0)
        });
        let name = if name.is_empty() { format!("p{index}") } else { name.to_owned() };
        PopView {
            location: Point::new(latitude, longitude),
            v4: vec![Ipv4Addr::LOCALHOST],
            v6: vec![Ipv6Addr::LOCALHOST],
            ..PopView::new(&name)
        }
    };
    FleetView { revision: 0, pops: (0..count).map(pop).collect() }
}

fn lookups(map: &Map) {
    let mut state = 1_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let four: Vec<IpAddr> =
        (0..1_000_000).map(|_| IpAddr::V4(Ipv4Addr::from_bits(next() as u32))).collect();
    let six: Vec<IpAddr> = (0..1_000_000)
        .map(|_| {
            let high = 0x2000_0000_0000_0000 | next() >> 3;
            IpAddr::V6(Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(next())))
        })
        .collect();
    for (family, addresses) in [("IPv4", four), ("IPv6", six)] {
        let start = Instant::now();
        let mut depth = 0_u64;
        for address in &addresses {
            let located = map.locate(*address);
            depth += u64::from(located.scope) + located.list.ranked.len() as u64;
        }
        let each = start.elapsed() / addresses.len() as u32;
        println!("{family}: {each:?} a lookup of a random address ({depth})");
    }
}

/// How long this thread has run, whoever else wanted the processor.
fn busy_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

/// Resident now and at most.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    format!("{} {}", line("VmRSS"), line("VmHWM")).replace('\t', " ")
}
