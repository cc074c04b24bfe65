//! The fleet, as a process that follows the ledger knows it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::{path::Path, sync::Arc, time::Duration};

use nearcast_control::{
    documents,
    drain::{self, DrainDocument},
    embedded::{Embedded, Kept},
    fleet::{Fleet, FleetFile, Following, Loads, follow},
    ledger::{Expect, Ledger},
    node::{self, Load, NodeDocument, Role},
    roster::Roster,
};
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(20);

fn open(folder: &Path) -> (Arc<dyn Ledger>, Roster) {
    let ledger = Embedded::open(&folder.join("ledger.redb"), Kept::default()).unwrap();
    let ledger: Arc<dyn Ledger> = Arc::new(ledger);
    let roster = Roster::begin(Arc::clone(&ledger), Duration::from_secs(1));
    (ledger, roster)
}

async fn write(ledger: &dyn Ledger, name: &str, pop: &str, addresses: &[&str]) {
    let document = NodeDocument {
        reached_at: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        pop: Some(pop.to_owned()),
        roles: vec![Role::Edge],
        ..NodeDocument::default()
    };
    let bytes = documents::encode(&document).unwrap();
    ledger.write(&node::key_of(name).unwrap(), bytes, Expect::Anything).await.unwrap();
}

/// As a heart would.
async fn carry(ledger: &dyn Ledger, name: &str, connections: u64, share_per_mille: Option<u16>) {
    let load = Load { connections, share_per_mille, ..Load::default() };
    let pop = name.split('-').next().map(str::to_owned);
    let document = NodeDocument { pop, load, roles: vec![Role::Edge], ..NodeDocument::default() };
    let bytes = documents::encode(&document).unwrap();
    ledger.write(&node::key_of(name).unwrap(), bytes, Expect::Anything).await.unwrap();
}

async fn leave(ledger: &dyn Ledger, name: &str) {
    let key = node::key_of(name).unwrap();
    let found = ledger.read(&key).await.unwrap().unwrap();
    ledger.delete(&key, found.revision).await.unwrap();
}

/// Each PoP with its addresses, those that are out in brackets.
fn told(fleet: &Fleet) -> String {
    let pop = |(name, addresses): (&String, &std::collections::BTreeSet<std::net::IpAddr>)| {
        let address = |address| match fleet.out.contains(address) {
            true => format!("[{address}]"),
            false => address.to_string(),
        };
        let addresses: Vec<String> = addresses.iter().map(address).collect();
        format!("{name}: {}", addresses.join(" "))
    };
    fleet.addresses.iter().map(pop).collect::<Vec<_>>().join(", ")
}

async fn until(following: &Following, wanted: &str) {
    let mut fleet = following.fleet();
    let came = timeout(LONG, fleet.wait_for(|fleet| told(fleet) == wanted)).await.is_ok();
    assert!(came, "{} is not {wanted}", told(&following.fleet().borrow()));
}

async fn until_kept(file: &dyn Fn() -> FleetFile, wanted: &str) {
    let is_kept = || file().read().is_some_and(|kept| told(&kept) == wanted);
    let wait = async {
        while !is_kept() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, wait).await.unwrap();
}

#[tokio::test]
async fn members_and_drains_are_followed_and_who_is_away_is_a_member_still() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, roster) = open(folder.path());
    write(&*ledger, "fra-1", "fra", &["192.0.2.1"]).await;
    let following = follow(Arc::clone(&ledger), roster.clone(), None).await;
    assert_eq!(told(&following.fleet().borrow()), "fra: 192.0.2.1", "before it returns");
    write(&*ledger, "fra-2", "fra", &["192.0.2.2"]).await;
    until(&following, "fra: 192.0.2.1 192.0.2.2").await;
    let said = DrainDocument::default();
    let drained = drain::drain(&*ledger, &roster, ("fra-1", false), said).await.unwrap().0;
    until(&following, "fra: [192.0.2.1] 192.0.2.2").await;
    {
        let fleet = following.fleet().borrow().clone();
        assert!(fleet.drained.contains("fra-1") && fleet.at.unwrap().seq >= drained.revision.0);
    }
    // Nobody has said anything for longer than anybody may.
    let mut seen = roster.seen();
    let away = seen.wait_for(|seen| seen.count(nearcast_control::roster::Presence::Away) == 2);
    drop(timeout(LONG, away).await.unwrap().unwrap());
    until(&following, "fra: [192.0.2.1] 192.0.2.2").await;
    drain::undrain(&*ledger, "fra-1").await.unwrap();
    until(&following, "fra: 192.0.2.1 192.0.2.2").await;
}

#[tokio::test]
async fn what_a_pop_carries_is_of_its_nodes_that_are_here_and_not_drained() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, roster) = open(folder.path());
    let following = follow(Arc::clone(&ledger), roster.clone(), None).await;
    let mut loads = following.loads();
    let are = |wanted: &[(&str, u64, Option<u16>)]| {
        let wanted: Vec<_> =
            wanted.iter().map(|(pop, sum, share)| ((*pop).to_owned(), *sum, *share)).collect();
        move |loads: &Arc<Loads>| {
            let told = loads
                .iter()
                .map(|(pop, load)| (pop.clone(), load.connections, load.share_per_mille));
            told.eq(wanted.iter().cloned())
        }
    };
    // Of whom is listed first nobody knows whether it is here: nodes say so again and again.
    let wanted = are(&[("fra", 40, Some(400)), ("sin", 5, None)]);
    timeout(LONG, async {
        loop {
            carry(&*ledger, "fra-1", 10, Some(200)).await;
            carry(&*ledger, "fra-2", 30, Some(601)).await;
            carry(&*ledger, "sin-1", 5, None).await;
            let came = timeout(Duration::from_millis(100), loads.wait_for(&wanted)).await;
            if came.is_ok() {
                break;
            }
        }
    })
    .await
    .unwrap();
    drain::drain(&*ledger, &roster, ("fra-2", true), DrainDocument::default()).await.unwrap();
    let one = are(&[("fra", 10, Some(200)), ("sin", 5, None)]);
    drop(timeout(LONG, loads.wait_for(one)).await.unwrap().unwrap());
    // Silence is no load, and no idle node.
    drop(timeout(LONG, loads.wait_for(are(&[]))).await.unwrap().unwrap());
}

#[tokio::test]
async fn a_pop_keeps_its_last_addresses_and_a_drained_node_that_has_left_is_out() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, roster) = open(folder.path());
    write(&*ledger, "fra-1", "fra", &["192.0.2.1"]).await;
    write(&*ledger, "sin-1", "sin", &["192.0.2.3"]).await;
    let following = follow(Arc::clone(&ledger), roster.clone(), None).await;
    let said = DrainDocument::default();
    drain::drain(&*ledger, &roster, ("fra-1", false), said).await.unwrap();
    leave(&*ledger, "fra-1").await;
    leave(&*ledger, "sin-1").await;
    write(&*ledger, "iad-1", "iad", &["192.0.2.5"]).await;
    until(&following, "fra: [192.0.2.1], iad: 192.0.2.5, sin: 192.0.2.3").await;
    write(&*ledger, "sin-1", "sin", &["192.0.2.4"]).await;
    until(&following, "fra: [192.0.2.1], iad: 192.0.2.5, sin: 192.0.2.4").await;
    // What a newer version says of it is not known.
    let newer = r#"{"schema":9}"#.into();
    ledger.write(&node::key_of("iad-1").unwrap(), newer, Expect::Anything).await.unwrap();
    write(&*ledger, "iad-2", "iad", &["192.0.2.6"]).await;
    until(&following, "fra: [192.0.2.1], iad: 192.0.2.5 192.0.2.6, sin: 192.0.2.4").await;
}

#[tokio::test]
async fn a_node_that_changes_its_pop_takes_its_address_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, roster) = open(folder.path());
    write(&*ledger, "fra-1", "fra", &["192.0.2.1", "192.0.2.2"]).await;
    write(&*ledger, "sin-1", "sin", &["192.0.2.3"]).await;
    let following = follow(Arc::clone(&ledger), roster.clone(), None).await;
    write(&*ledger, "fra-1", "sin", &["192.0.2.1"]).await;
    until(&following, "fra: 192.0.2.2, sin: 192.0.2.1 192.0.2.3").await;
    write(&*ledger, "fra-1", "sin", &["192.0.2.2"]).await;
    until(&following, "sin: 192.0.2.2 192.0.2.3").await;
}

#[tokio::test]
async fn a_drained_address_is_held_in_by_no_node_that_died() {
    let folder = tempfile::tempdir().unwrap();
    let file = || FleetFile::beside(&folder.path().join("nats"));
    let (ledger, roster) = open(folder.path());
    write(&*ledger, "dead", "fra", &["192.0.2.1"]).await;
    write(&*ledger, "fra-1", "fra", &["192.0.2.1"]).await;
    write(&*ledger, "fra-2", "fra", &["192.0.2.2"]).await;
    let following = follow(Arc::clone(&ledger), roster.clone(), Some(file())).await;
    let said = DrainDocument::default();
    drain::drain(&*ledger, &roster, ("fra-1", false), said).await.unwrap();
    // Nobody says anything any more, and those who are left hold their own.
    until(&following, "fra: [192.0.2.1] 192.0.2.2").await;
    until_kept(&file, "fra: [192.0.2.1] 192.0.2.2").await;
    drop((following, roster));
    // Who has just started does not know yet that it is dead, and goes by what it knew.
    let roster = Roster::begin(Arc::clone(&ledger), LONG);
    let following = follow(Arc::clone(&ledger), roster, Some(file())).await;
    assert_eq!(told(&following.fleet().borrow()), "fra: [192.0.2.1] 192.0.2.2");
    write(&*ledger, "dead", "fra", &["192.0.2.1"]).await;
    until(&following, "fra: 192.0.2.1 192.0.2.2").await;
}

#[tokio::test]
async fn without_the_ledger_the_fleet_is_that_of_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let file = || FleetFile::beside(&folder.path().join("nats"));
    let (ledger, roster) = open(folder.path());
    write(&*ledger, "fra-1", "fra", &["192.0.2.1"]).await;
    write(&*ledger, "fra-2", "fra", &["192.0.2.2"]).await;
    let following = follow(Arc::clone(&ledger), roster.clone(), Some(file())).await;
    drain::drain(&*ledger, &roster, ("fra-1", false), DrainDocument::default()).await.unwrap();
    until(&following, "fra: [192.0.2.1] 192.0.2.2").await;
    until_kept(&file, "fra: [192.0.2.1] 192.0.2.2").await;
    drop(following);
    let away: Arc<dyn Ledger> = Arc::new(nearcast_control::awaited::Awaited::begin(
        "not there",
        Box::new(|| Box::pin(async { Err("not there".to_owned()) })),
    ));
    let roster = Roster::begin(Arc::clone(&away), Duration::from_secs(1));
    let following = follow(away, roster, Some(file())).await;
    assert_eq!(told(&following.fleet().borrow()), "fra: [192.0.2.1] 192.0.2.2");
}
