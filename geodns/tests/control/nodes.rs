//! What is known of nodes, from a drain to what clients are answered.

use std::{net::IpAddr, sync::Arc, time::Duration};

use geodns_core::fleet::{FleetView, Nodes, PopView};
use tokio::time::{Instant, timeout};

use crate::stage::{Stage, plan};

fn fleet() -> FleetView {
    let pop = |name: &str, last: &[u8]| PopView {
        v4: last.iter().map(|last| [192, 0, 2, *last].into()).collect(),
        ..PopView::new(name)
    };
    FleetView { revision: 0, pops: vec![pop("first", &[1, 2]), pop("second", &[3])] }
}

fn ip(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

fn nodes(out: &[u8], of_third: &[u8]) -> Arc<Nodes> {
    let mut nodes = Nodes { out: out.iter().map(|last| ip(*last)).collect(), ..Nodes::default() };
    if !of_third.is_empty() {
        let learnt = of_third.iter().map(|last| ip(*last)).collect();
        nodes.addresses.insert("third".to_owned(), learnt);
    }
    Arc::new(nodes)
}

async fn answered(stage: &Stage, name: &str) -> Vec<IpAddr> {
    let (status, mut addresses) = stage.dig(name).await;
    assert_eq!(status, "NOERROR");
    addresses.sort_unstable();
    addresses
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_sent_to_an_address_that_is_out_as_long_as_there_is_another() {
    let stage = Stage::start(plan(fleet(), Vec::new())).unwrap();
    stage.ready().await;
    let rows: [(&[u8], &[u8]); 5] =
        [(&[], &[1, 2]), (&[1], &[2]), (&[1, 2], &[3]), (&[1, 2, 3], &[1, 2]), (&[3], &[1, 2])];
    for (out, expected) in rows {
        stage.server.take_nodes(nodes(out, &[])).unwrap();
        let expected: Vec<IpAddr> = expected.iter().map(|last| ip(*last)).collect();
        assert_eq!(answered(&stage, "www.cdn.test").await, expected, "{out:?} are out");
    }
    // A reload knows the settings, and the nodes are those that were known.
    let cached_for = stage.server.take_nodes(nodes(&[1], &[])).unwrap();
    let mut again = plan(fleet(), Vec::new());
    let ttl = again.settings.route[0].ttl;
    // It may have been on its way for so long before its TTL counts.
    let on_its_way = again.streams.write_timeout + Duration::from_secs(3);
    assert_eq!(cached_for, ttl + on_its_way);
    again.settings.route[0].names.push("other".to_owned());
    again.settings.route[0].ttl = ttl / 4;
    stage.server.reload(again).unwrap();
    let cached_for_still = stage.server.take_nodes(nodes(&[1], &[])).unwrap();
    assert!(
        cached_for_still > ttl / 2 + on_its_way,
        "what was answered before the reload is cached"
    );
    assert_eq!(answered(&stage, "other.cdn.test").await, [ip(2)]);
    let status = stage.server.prober().status();
    let drained: Vec<bool> = status[0].addresses.iter().map(|address| address.drained).collect();
    assert_eq!(drained, [true, false]);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_is_given_up_is_told_with_how_long_that_may_be_cached() {
    let stage = Stage::start(plan(fleet(), Vec::new())).unwrap();
    stage.ready().await;
    stage.server.take_nodes(nodes(&[1, 3], &[])).unwrap();
    assert_eq!(answered(&stage, "www.cdn.test").await, [ip(2)]);
    assert!(stage.server.given_up().is_empty());
    stage.server.take_nodes(nodes(&[1, 2, 3], &[])).unwrap();
    assert!(stage.server.given_up().is_empty(), "nobody has asked");
    let before = Instant::now();
    assert_eq!(answered(&stage, "www.cdn.test").await, [ip(1), ip(2)]);
    timeout(Duration::from_secs(20), stage.server.gives_up()).await.unwrap();
    let given_up = stage.server.given_up();
    assert_eq!(given_up.keys().copied().collect::<Vec<_>>(), [ip(1), ip(2)], "3 is another PoP's");
    let ttl = plan(fleet(), Vec::new()).settings.route[0].ttl;
    // The clock of answers counts milliseconds.
    assert!(given_up[&ip(1)] + Duration::from_millis(1) >= before + ttl, "{given_up:?}");
    // What is taken back, or leaves the PoP, may be cached all the same.
    stage.server.take_nodes(nodes(&[1], &[])).unwrap();
    assert_eq!(stage.server.given_up(), given_up);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_family_that_was_answered_is_given_up() {
    let pop = PopView {
        v4: vec![[192, 0, 2, 1].into()],
        v6: vec!["2001:db8::1".parse().unwrap()],
        ..PopView::new("first")
    };
    let fleet = FleetView { revision: 0, pops: vec![pop] };
    let stage = Stage::start(plan(fleet, Vec::new())).unwrap();
    stage.ready().await;
    let out = [ip(1), "2001:db8::1".parse().unwrap()].into();
    stage.server.take_nodes(Arc::new(Nodes { out, ..Nodes::default() })).unwrap();
    assert_eq!(answered(&stage, "www.cdn.test").await, [ip(1)]);
    let given_up = stage.server.given_up();
    assert_eq!(given_up.keys().copied().collect::<Vec<_>>(), [ip(1)], "nobody has asked for AAAA");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pop_without_addresses_has_those_of_the_nodes_that_are_known() {
    let fleet = FleetView { revision: 0, pops: vec![PopView::new("third")] };
    let stage = Stage::start(plan(fleet, Vec::new())).unwrap();
    assert!(answered(&stage, "www.cdn.test").await.is_empty(), "nobody is known");
    stage.server.take_nodes(nodes(&[], &[8, 9])).unwrap();
    assert_eq!(answered(&stage, "www.cdn.test").await, [ip(8), ip(9)]);
    stage.server.take_nodes(nodes(&[9], &[8, 9])).unwrap();
    assert_eq!(answered(&stage, "www.cdn.test").await, [ip(8)]);
    stage.end().await;
}
