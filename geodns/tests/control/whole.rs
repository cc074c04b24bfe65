//! The whole server: real `dig`, PoPs that die and come back, reloads, replaced files, the end.

use std::{net::IpAddr, sync::Arc, time::Duration};

use geodns_core::{
    fleet::{FleetView, PopView},
    locate::place::Point,
    settings::{CheckKind, StateWord},
};

use crate::{
    listener::{Manner, Place},
    probes::{check, fleet},
    stage::{LONG, Stage, file, plan, wait_for},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dig_is_led_around_a_dead_pop_and_back() {
    let mut places = Place::some(3, None).await;
    let check = check(CheckKind::Http, places[0].address.port());
    let promised =
        |in_a_row: u32| (check.interval + check.timeout) * in_a_row + Duration::from_secs(1);
    let (fall, rise) = (promised(check.fall), promised(check.rise));
    let stage = Stage::start(plan(fleet(&places), vec![check.clone()])).unwrap();
    stage.ready().await;
    let address = |index: usize| -> IpAddr { places[index].address.ip() };
    let (first, second) = (address(0), address(1));
    // Without any place the PoPs stand in the order of the settings; who is up first answers.
    let (status, addresses) = stage.dig("www.cdn.test").await;
    assert_eq!((status.as_str(), addresses), ("NOERROR", vec![first]));
    places[0].die().await;
    stage.dig_until("www.cdn.test", second, fall).await;
    places[0].live(Manner::Stopped).await.unwrap();
    assert_eq!(stage.dig("www.cdn.test").await.1, [second]);
    places[0].live(Manner::Status(200)).await.unwrap();
    stage.dig_until("www.cdn.test", first, rise).await;
    assert_eq!(stage.dig("nowhere.cdn.test").await.0, "NXDOMAIN");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pop_that_says_it_is_full_gets_no_clients_until_it_has_room() {
    let mut places = Place::some(2, None).await;
    let check = geodns_core::settings::CheckSettings {
        load: true,
        ..check(CheckKind::Http, places[0].address.port())
    };
    let stage = Stage::start(plan(fleet(&places), vec![check])).unwrap();
    stage.ready().await;
    let (first, second): (IpAddr, IpAddr) = (places[0].address.ip(), places[1].address.ip());
    assert_eq!(stage.dig("www.cdn.test").await.1, [first]);
    places[0].live(Manner::Loaded("TEXT cpu_utilization=1.2")).await.unwrap();
    stage.dig_until("www.cdn.test", second, LONG).await;
    let status = stage.server.prober().status();
    assert_eq!((status[0].load_per_mille, status[1].load_per_mille), (Some(1200), None));
    assert_eq!(status[0].ipv4, Some(StateWord::Up));
    places[0].live(Manner::Loaded("TEXT cpu_utilization=0.2")).await.unwrap();
    stage.dig_until("www.cdn.test", first, LONG).await;
    stage.end().await;
}

/// PoPs far from each other, none of them probed.
pub(crate) fn far_apart() -> FleetView {
    let pop = |name: &str, last, latitude, longitude| PopView {
        location: Point::new(latitude, longitude),
        v4: vec![[192, 0, 2, last].into()],
        ..PopView::new(name)
    };
    FleetView { revision: 0, pops: vec![pop("syd", 1, -33.9, 151.2), pop("fra", 2, 50.1, 8.7)] }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_file_is_taken_up_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (networks, database) = (file(&folder, "networks"), file(&folder, "geo.mmdb"));
    let replace = |path: &std::path::Path, content: &[u8]| {
        let new = path.with_extension("new");
        std::fs::write(&new, content).unwrap();
        std::fs::rename(&new, path).unwrap();
    };
    replace(&networks, b"127.0.0.0/8 fra\n");
    let packed = include_bytes!("../../data/geo-whois-asn-country.mmdb.lzma");
    let mut unpacked = Vec::new();
    let mut reader = lzma_rust2::LzmaReader::new_mem_limit(&packed[..], 9 * 1024, None).unwrap();
    std::io::Read::read_to_end(&mut reader, &mut unpacked).unwrap();
    replace(&database, &unpacked);
    let mut plan = plan(far_apart(), Vec::new());
    let map = geodns_core::settings::MapSettings {
        networks: Some(networks.clone()),
        ..Default::default()
    };
    plan.settings.map.push(map);
    plan.settings.geo.database = Some(database.clone());
    plan.settings.limits.database_bytes_max.0 = unpacked.len() as u64;
    let stage = Stage::start(plan.clone()).unwrap();
    stage.ready().await;
    let (syd, fra) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
    assert_eq!(stage.dig("www.cdn.test").await.1, [fra]);

    // A file of networks with a fault is refused; one without is taken up.
    let before = stage.server.loaded();
    replace(&networks, b"127.0.0.0/8 nowhere\n");
    let error = stage.server.reload(plan.clone()).unwrap_err().to_string();
    assert!(error.contains("map[0].networks:1: \"nowhere\" is not"), "{error}");
    assert_eq!(stage.dig("www.cdn.test").await.1, [fra]);
    replace(&networks, b"127.0.0.0/8 syd\n");
    stage.dig_until("www.cdn.test", syd, LONG).await;
    assert!(!Arc::ptr_eq(&before.maps[0], &stage.server.loaded().maps[0]));

    // A database that is none is refused, by the watcher and by a reload.
    let good = stage.server.loaded();
    replace(&database, b"no database");
    let error = stage.server.reload(plan.clone()).unwrap_err();
    let reason = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(error.to_string().contains("geo data") || reason.contains("mmdb"), "{error} {reason}");
    assert!(Arc::ptr_eq(&good.maps[0], &stage.server.loaded().maps[0]));
    assert_eq!(stage.dig("www.cdn.test").await.1, [syd]);
    // Nor is one taken up that is larger than the settings allow, good as it may be otherwise.
    let longer = [&unpacked[..], b"\0"].concat();
    replace(&database, &longer);
    let error = stage.server.reload(plan.clone()).unwrap_err();
    let reason = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(reason.contains("more than geodns.limits.database_bytes_max"), "{error} {reason}");
    assert!(Arc::ptr_eq(&good.maps[0], &stage.server.loaded().maps[0]));
    // The same bytes in a new file are a new database.
    replace(&database, &unpacked);
    wait_for("a new map", LONG, || !Arc::ptr_eq(&good.maps[0], &stage.server.loaded().maps[0]))
        .await;
    stage.end().await;
}

/// A certificate whose key does not come with it is a matter of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_file_is_taken_up_whatever_the_certificate_is() {
    let folder = tempfile::tempdir().unwrap();
    let (networks, key) = (file(&folder, "networks"), file(&folder, "key.pem"));
    std::fs::write(&networks, b"127.0.0.0/8 fra\n").unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["dns.test".to_owned()]).unwrap();
    let chain = file(&folder, "chain.pem");
    std::fs::write(&chain, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let mut plan = plan(far_apart(), Vec::new());
    plan.settings.map.push(geodns_core::settings::MapSettings {
        networks: Some(networks.clone()),
        ..Default::default()
    });
    plan.certificate = Some(geodns::tls::CertificateFiles { chain, key: key.clone() });
    let stage = Stage::start(plan.clone()).unwrap();
    stage.ready().await;
    std::fs::write(&key, b"no key").unwrap();
    stage.server.reload(plan).unwrap_err();
    std::fs::write(&networks, b"127.0.0.0/8 syd\n").unwrap();
    stage.dig_until("www.cdn.test", IpAddr::from([192, 0, 2, 1]), LONG).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_reloads_leave_nothing_behind() {
    let stage = Stage::start(plan(far_apart(), Vec::new())).unwrap();
    stage.ready().await;
    let map = Arc::downgrade(&stage.server.loaded().maps[0]);
    let holders = map.strong_count();
    let mut views = Vec::new();
    for round in 0..1000 {
        let mut fleet = far_apart();
        fleet.pops[0].weight = round;
        stage.server.reload(plan(fleet, Vec::new())).unwrap();
        views.push(Arc::downgrade(&stage.server.shared().view()));
    }
    // Whoever answers lets go of an old view a wake-up later, and the sweep frees it.
    wait_for("one view", LONG, || {
        stage.server.shared().sweep();
        views.iter().filter(|view| view.strong_count() > 0).count() == 1
    })
    .await;
    assert_eq!(map.strong_count(), holders, "the map was never compiled again, nor held twice");
    assert_eq!(stage.server.shared().sweep(), 0);
    assert_eq!(stage.dig("www.cdn.test").await.0, "NOERROR");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_are_answered_on_while_readiness_is_off() {
    let lame_duck = Duration::from_millis(1500);
    let stage = Stage::start(geodns::server::Plan { lame_duck, ..plan(far_apart(), Vec::new()) });
    let stage = stage.unwrap();
    stage.ready().await;
    let begun = tokio::time::Instant::now();
    stage.drain.start();
    wait_for("unreadiness", LONG, || !stage.readiness.report().ready).await;
    assert_eq!(stage.dig("www.cdn.test").await.0, "NOERROR");
    assert!(begun.elapsed() < lame_duck, "this machine is too slow to tell");
    stage.end().await;
    assert!(begun.elapsed() >= lame_duck);
}
