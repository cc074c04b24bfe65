//! Serials of zones: the same on every node, and what an operator is told of them.

use std::sync::Arc;

use geodns::server::{Plan, Sites, ZonePlan};
use geodns_core::{settings::ZoneSettings, wire::name::Name, zonefile};
use nearcast_daemon::metrics::Metrics;

use crate::{
    stage::{Stage, plan},
    whole::far_apart,
};

/// A zone with this serial and these records more.
fn zone(serial: u32, more: &str) -> Plan {
    let apex = Name::parse(b"cdn.test.", None).unwrap();
    let text = format!("$TTL 60\n@ SOA ns h {serial} 1h 10m 1d 60\n@ NS ns.other.test.\n{more}");
    let mut load = |_: &str, _: &str| Err(String::new());
    let records = zonefile::read("cdn.zone", text.as_bytes(), &apex, &mut load).unwrap();
    let mut plan = plan(far_apart(), Vec::new());
    plan.zones = Arc::new([ZonePlan { apex, records }]);
    plan.settings.zone.push(ZoneSettings {
        name: "cdn.test".to_owned(),
        file: Some("cdn.zone".into()),
        servers: Vec::new(),
    });
    plan
}

fn serial(stage: &Stage) -> u32 {
    let view = stage.server.shared().view();
    let (zone, ..) = view.served().snapshot().published().next().unwrap();
    zone.serial()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_serial_is_told_and_is_the_same_after_a_restart() {
    let stage = Stage::start(zone(7, "")).unwrap();
    let metrics = Metrics::new();
    geodns::serials::register(&stage.server, &metrics);
    let page = |line: &str| {
        let text = metrics.encode().unwrap();
        assert!(text.lines().any(|one| one.ends_with(line)), "no {line} in {text}");
    };
    let told = |plan: Plan| -> Vec<String> {
        let problems = stage.server.reload(plan).unwrap();
        problems.iter().map(ToString::to_string).collect()
    };
    assert_eq!(told(zone(7, "")), [""; 0], "nothing changed");
    page("dns_zone_serial_faulty{zone=\"cdn.test.\"} 0");

    let forgotten = || zone(7, "a A 192.0.2.9\n");
    let untold = "zone[0].file: cdn.test. has other content than before under the same serial, 7; \
                  it is served; raise the serial in cdn.zone";
    assert_eq!(told(forgotten()), [untold]);
    assert_eq!(told(forgotten()), [untold], "until it is mended");
    page("dns_zone_serial_faulty{zone=\"cdn.test.\"} 1");
    page("dns_zone_serial{zone=\"cdn.test.\"} 7");
    let another = Stage::start(forgotten()).unwrap();
    assert_eq!((serial(&stage), serial(&another)), (7, 7));
    another.end().await;

    assert_eq!(told(zone(8, "a A 192.0.2.9\n")), [""; 0]);
    page("dns_zone_serial{zone=\"cdn.test.\"} 8");
    page("dns_zone_serial_faulty{zone=\"cdn.test.\"} 0");

    // A serial that went back does not recede, and keeps no content from being served.
    let lowered = told(zone(3, "b A 192.0.2.9\n"));
    assert!(lowered[0].contains("has gone back, and 8 stays"), "{lowered:?}");
    assert_eq!(serial(&stage), 8);
    assert_eq!(stage.dig("b.cdn.test").await.1.len(), 1);
    stage.end().await;
}

/// Every name server of a fleet knows the same sites at the same revision.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_revision_of_the_sites_counts_also_over_a_reload_and_is_the_same_elsewhere() {
    let sites = |names: &[&str], revision| Sites {
        names: names.iter().map(|name| (*name).into()).collect(),
        revision,
    };
    let stage = Stage::start(zone(7, "")).unwrap();
    assert_eq!(serial(&stage), 7);
    assert!(stage.server.take_sites(sites(&["shop"], 3)).unwrap().is_empty());
    assert_eq!(serial(&stage), 10);
    // What the file says now it says beside the ledger's sites.
    let mut reloaded = zone(9, "");
    reloaded.sites = sites(&["shop"], 0);
    assert!(stage.server.reload(reloaded).unwrap().is_empty());
    assert_eq!(serial(&stage), 12);
    assert!(stage.server.take_sites(sites(&["shop"], 4)).unwrap().is_empty());
    assert_eq!(serial(&stage), 13, "another text of the same site is another revision as well");
    let mut plan = zone(9, "");
    plan.sites = sites(&["shop"], 4);
    let another = Stage::start(plan).unwrap();
    assert_eq!(serial(&another), 13);
    another.end().await;
    stage.end().await;
}
