//! gdnsd as the oracle of the map: for a million random addresses, the same database and the same
//! coordinates, the first PoP is the same.
//!
//! Where a record says a country but no coordinates, gdnsd knows nothing and we take the middle of
//! the country: those addresses are counted, not compared.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
    process::{Command, Stdio},
    thread,
};

use geodns_core::{
    fleet::{FleetView, PopView},
    locate::{Map, database::Database, place::Point, plan::MapPlan},
    settings::{GeodnsLimits, MapSettings},
};
use nearcast_tests::real::{Tested, program};

const PLACES: [(&str, f64, f64); 12] = [
    ("iad", 39.04, -77.49),
    ("fra", 50.11, 8.68),
    ("sin", 1.35, 103.82),
    ("gru", -23.55, -46.63),
    ("syd", -33.87, 151.21),
    ("lhr", 51.47, -0.45),
    ("sjc", 37.34, -121.89),
    ("nrt", 35.68, 139.69),
    ("bom", 19.08, 72.88),
    ("jnb", -26.20, 28.05),
    ("ord", 41.88, -87.63),
    ("waw", 52.23, 21.01),
];

const ADDRESSES: usize = 1_000_000;

/// Random addresses: IPv4 of all kinds, IPv6 from where it is handed out (2000::/3).
fn addresses() -> Vec<IpAddr> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let address = |index: usize| {
        let (high, low) = (next(), next());
        if index.is_multiple_of(4) {
            let bits = u128::from(high >> 3 | 1 << 61) << 64 | u128::from(low);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        } else {
            let [a, b, c, d, ..] = high.to_be_bytes();
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
    };
    (0..ADDRESSES).map(address).collect()
}

fn configuration(database: &Path) -> String {
    let names: Vec<&str> = PLACES.iter().map(|(name, ..)| *name).collect();
    let coordinates: Vec<String> =
        PLACES.iter().map(|(name, lat, lon)| format!("{name} => [{lat}, {lon}]")).collect();
    let addresses: Vec<String> =
        names.iter().enumerate().map(|(at, name)| format!("{name} => 192.0.2.{at}")).collect();
    format!(
        "plugins => {{ geoip => {{ maps => {{ m => {{ geoip2_db => \"{}\", datacenters => [{}], \
         auto_dc_coords => {{ {} }} }} }}, resources => {{ r => {{ map => m, dcmap => {{ {} }} }} \
         }} }} }}\n",
        database.display(),
        names.join(", "),
        coordinates.join(", "),
        addresses.join(", ")
    )
}

/// The first PoP that gdnsd has for each address.
fn gdnsd(database: &Path, addresses: &[IpAddr]) -> Tested<Vec<String>> {
    let folder = tempfile::tempdir()?;
    fs::create_dir(folder.path().join("zones"))?;
    fs::write(folder.path().join("config"), configuration(database))?;
    let mut command = Command::new(program::tool("gdnsd_geoip_test")?);
    command.arg("-c").arg(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(File::create(folder.path().join("log"))?).spawn()?;
    let mut input = child.stdin.take().ok_or("no stdin")?;
    let asked: String = addresses.iter().map(|address| format!("m {address}\n")).collect();
    let asking = thread::spawn(move || input.write_all(asked.as_bytes()));
    let output = BufReader::new(child.stdout.take().ok_or("no stdout")?);
    let mut first = Vec::new();
    for line in output.lines() {
        let line = line?;
        // `m => 192.0.2.0/24 => fra, lhr, iad`, after a prompt.
        let Some((_, list)) = line.rsplit_once("=> ") else { continue };
        first.push(list.split(',').next().unwrap_or_default().trim().to_owned());
    }
    let written = asking.join().map_err(|_panic| "the writer panicked")?;
    let ended = child.wait()?;
    if written.is_err() || first.len() != addresses.len() {
        let log = fs::read_to_string(folder.path().join("log"))?;
        let count = first.len();
        return Err(format!("gdnsd_geoip_test answered {count} and {ended}: {log}").into());
    }
    Ok(first)
}

#[test]
fn a_million_addresses_have_the_same_first_pop_as_with_gdnsd() {
    let path = program::geo_database().unwrap();
    let addresses = addresses();
    let theirs = thread::scope(|scope| {
        let asked = scope.spawn(|| gdnsd(&path, &addresses).map_err(|error| error.to_string()));
        asked.join().unwrap().unwrap()
    });

    let pops = PLACES.iter().map(|(name, latitude, longitude)| PopView {
        location: Point::new(*latitude, *longitude),
        v4: vec![Ipv4Addr::LOCALHOST],
        v6: vec![Ipv6Addr::LOCALHOST],
        ..PopView::new(name)
    });
    let fleet = FleetView { revision: 0, pops: pops.collect() };
    let limits = GeodnsLimits::default();
    let plan = MapPlan::build(&MapSettings::default(), &fleet, None, &limits).unwrap();
    let bytes = fs::read(&path).unwrap();
    let mut databases = [Database::open("GeoLite2-City.mmdb", &bytes).unwrap()];
    let map = Map::compile(&plan, &fleet, &mut databases, 1 << 30).unwrap();

    let (mut compared, mut without, mut wrong) = (0_usize, 0_usize, Vec::new());
    for (address, theirs) in addresses.iter().zip(&theirs) {
        let place = databases[0].find(*address).unwrap();
        if place.point.is_none() && (place.country.is_some() || place.continent.is_some()) {
            without += 1;
            continue;
        }
        compared += 1;
        let list = map.locate(*address).list;
        let first =
            list.ranked.first().map(|ranked| ranked.pop).or_else(|| list.rest.first().copied());
        let ours = first.map_or("", |pop| fleet.name(pop));
        if ours != theirs {
            wrong.push(format!("{address}: {ours}, gdnsd {theirs}, {:?}", place.point));
        }
    }
    assert!(compared > ADDRESSES * 9 / 10, "{compared} compared, {without} without coordinates");
    let shown = &wrong[..wrong.len().min(10)];
    assert!(wrong.is_empty(), "{} of {compared} differ: {shown:#?}", wrong.len());
}
