//! Reloads while clients ask as fast as they are answered: nobody's query is lost.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use geodns::server::Plan;
use geodns_core::{
    fleet::{FleetView, PopView},
    settings::{MapSettings, PreferSettings},
    wire::name::Name,
    zonefile,
};
use tokio::time::Instant;

use crate::stage::{LONG, Stage, plan};

/// Queries of a client that are on the way at once: few enough for every buffer.
const WINDOW: u16 = 16;
const RELOADS: u32 = 30;
/// A map that changes is compiled anew, which takes its time beside the load.
const PER_MAP: u32 = 10;
/// Fewer answers meanwhile would be no load.
const ANSWERS_MIN: u64 = 5_000;

/// A query for `www.cdn.test` A, or for the text at `version.cdn.test`.
fn query(id: u16) -> Vec<u8> {
    let (label, rtype): (&[u8], u8) =
        if id.is_multiple_of(2) { (b"\x03www", 1) } else { (b"\x07version", 16) };
    let header = [&id.to_be_bytes()[..], &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    [&header, label, b"\x03cdn\x04test\0\0", &[rtype, 0, 1]].concat()
}

/// What the server is to do in a round: zone, route and settings differ from one to the next, and the
/// map now and then.
fn round(number: u32) -> Plan {
    let pop = |name: &str, last| PopView {
        v4: vec![Ipv4Addr::new(192, 0, 2, last)],
        weight: 100 + number % 7,
        ..PopView::new(name)
    };
    let fleet = FleetView { revision: 0, pops: vec![pop("first", 1), pop("second", 2)] };
    let mut plan = plan(fleet, Vec::new());
    let near = if (number / PER_MAP).is_multiple_of(2) { "first" } else { "second" };
    let everybody = PreferSettings {
        pops: vec![near.to_owned()],
        networks: vec!["127.0.0.0/8".parse().unwrap()],
        ..PreferSettings::default()
    };
    plan.settings.map = vec![MapSettings { prefer: vec![everybody], ..MapSettings::default() }];
    plan.settings.route[0].ttl = Duration::from_secs(10 + u64::from(number % 5));
    plan.settings.negative_ttl_max = Duration::from_secs(1 + u64::from(number % 3));
    plan.settings.rate_limit.answer = 1000 + number;
    plan.settings.rate_limit.networks_exempt = vec!["127.0.0.0/8".parse().unwrap()];
    let mut zones = plan.zones.to_vec();
    let text = format!(
        "$TTL 60\n@ SOA ns hostmaster {number} 1h 10m 1d 60\n@ NS ns\nns A 127.0.0.1\n\
         version TXT {number}\n"
    );
    let apex = Name::parse(b"cdn.test.", None).unwrap();
    let mut load = |_: &str, _: &str| Err(String::new());
    zones[0].records = zonefile::read("zone", text.as_bytes(), &apex, &mut load).unwrap();
    plan.zones = zones.into();
    plan
}

/// Asks until `over`; every query of each window has its answer before the next begins.
fn ask(server: SocketAddr, over: &AtomicBool, answered: &AtomicU64) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(LONG / 2)).unwrap();
    let mut buffer = [0; 512];
    let mut first = 0_u16;
    while !over.load(Ordering::Relaxed) {
        for place in 0..WINDOW {
            socket.send(&query(first.wrapping_add(place))).unwrap();
        }
        let mut missing: Vec<u16> = (0..WINDOW).map(|place| first.wrapping_add(place)).collect();
        while !missing.is_empty() {
            let length = socket.recv(&mut buffer).unwrap_or_else(|error| {
                panic!("{} queries have no answer: {error}", missing.len());
            });
            let response = &buffer[..length];
            let id = u16::from_be_bytes([response[0], response[1]]);
            let place = missing.iter().position(|one| *one == id);
            missing.swap_remove(place.unwrap_or_else(|| panic!("{id} was answered twice")));
            // NOERROR, and one record.
            assert_eq!((response[3] & 0xf, &response[6..8]), (0, &[0, 1][..]), "{response:02x?}");
            answered.fetch_add(1, Ordering::Relaxed);
        }
        first = first.wrapping_add(WINDOW);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_of_zones_maps_and_settings_under_load_lose_no_query() {
    let stage = Stage::start(round(0)).unwrap();
    stage.ready().await;
    let (over, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let (server, over, answered) =
                (stage.address, Arc::clone(&over), Arc::clone(&answered));
            thread::spawn(move || ask(server, &over, &answered))
        })
        .collect();
    let server = stage.server.clone();
    let count = Arc::clone(&answered);
    let reloading = tokio::task::spawn_blocking(move || {
        let begun = Instant::now();
        let mut number = 0;
        while number < RELOADS || count.load(Ordering::Relaxed) < ANSWERS_MIN {
            assert!(begun.elapsed() < LONG * 3, "{number} reloads, {count:?} answers");
            number += 1;
            server.reload(round(number)).unwrap();
        }
        number
    });
    let last = reloading.await;
    over.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().unwrap();
    }
    let near =
        if (last.unwrap() / PER_MAP).is_multiple_of(2) { [192, 0, 2, 1] } else { [192, 0, 2, 2] };
    assert_eq!(stage.dig("www.cdn.test").await.1, [std::net::IpAddr::from(near)]);
    stage.end().await;
}
