//! Drains, as callers of the routes meet them.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use http::StatusCode;
use nearcast_control::{
    drain::{self, DRAINS},
    ledger::{Expect, Log, Position},
    node::{self, Answers, NodeDocument, Role},
    roster::{Presence, Seen},
};
use serde_json::{Value, json};

use super::super::Place;

impl Place {
    async fn drain(&self, method: &str, name: &str, query: &str) -> (StatusCode, Value) {
        let path = format!("/v1/nodes/{name}/drain{query}");
        self.ask(&self.first, method, &path, None).await
    }

    async fn drained(&self) -> Vec<String> {
        let drains = drain::list(&*self.ledger).await.unwrap();
        drains.by_node.keys().cloned().collect()
    }

    /// A node's document, of a process that is not there.
    pub(super) async fn write(&self, name: &str, document: &NodeDocument) {
        let bytes = nearcast_control::documents::encode(document).unwrap();
        let key = node::key_of(name).unwrap();
        self.ledger.write(&key, bytes, Expect::Anything).await.unwrap();
    }
}

fn at(addresses: &[&str]) -> NodeDocument {
    let reached_at = addresses.iter().map(|address| address.parse().unwrap()).collect();
    NodeDocument { reached_at, roles: vec![Role::Edge], ..NodeDocument::default() }
}

#[tokio::test]
async fn a_node_is_drained_until_it_is_undrained_and_both_are_in_the_log_once() {
    let place = Place::new().await;
    place.write("fra-1", &at(&["192.0.2.1"])).await;
    place.write("fra-2", &at(&["192.0.2.2"])).await;
    for _ in 0..2 {
        let (status, told) = place.drain("PUT", "fra-1", "").await;
        assert_eq!((status, &told["node"]), (StatusCode::OK, &json!("fra-1")), "{told}");
        assert_eq!(told["addresses"], json!(["192.0.2.1"]), "{told}");
    }
    let (_, nodes) = place.ask(&place.first, "GET", "/v1/nodes", None).await;
    let drained: Vec<_> =
        nodes["nodes"].as_array().unwrap().iter().map(|n| &n["drained"]).collect();
    assert_eq!(drained, [&json!(true), &json!(false)], "{nodes}");
    assert_eq!(nodes["drains"][0]["node"], "fra-1", "{nodes}");
    assert_eq!(nodes["nodes"][0]["load"]["connections"], 0, "{nodes}");
    assert_eq!(place.drain("DELETE", "fra-1", "").await.0, StatusCode::OK);
    assert_eq!(place.drain("DELETE", "fra-1", "").await.0, StatusCode::NOT_FOUND);
    assert!(place.drained().await.is_empty());
    let (_, audit) = place.ask(&place.first, "GET", "/v1/audit", None).await;
    let entries = audit["entries"].as_array().unwrap().iter();
    let whats: Vec<_> = entries.map(|entry| &entry["entry"]["what"]).collect();
    assert_eq!(whats, ["node.undrain", "node.drain"], "{audit}");
}

#[tokio::test]
async fn what_may_not_be_drained_is_refused_and_nothing_written() {
    let place = Place::new().await;
    place.write("fra-1", &at(&["192.0.2.1"])).await;
    place.write("fra-2", &at(&["192.0.2.2"])).await;
    let dns = NodeDocument { roles: vec![Role::Geodns], ..NodeDocument::default() };
    place.write("ns-1", &dns).await;
    let reader = place.made(json!({ "actions": ["read", "purge"] })).await;
    let before = place.mark().await;
    for method in ["PUT", "DELETE"] {
        let (status, _) = place.ask(&reader, method, "/v1/nodes/fra-1/drain", None).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert_eq!(place.drain(method, "none", "").await.0, StatusCode::NOT_FOUND);
        assert_eq!(place.drain(method, "a%20b", "").await.0, StatusCode::NOT_FOUND);
    }
    let (status, problem) = place.drain("PUT", "ns-1", "").await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    let (_, nodes) = place.ask(&place.first, "GET", "/v1/nodes", None).await;
    let server = &nodes["nodes"][2];
    assert_eq!((&server["name"], &server["load"]), (&json!("ns-1"), &Value::Null), "{nodes}");
    assert_eq!(place.drain("PUT", "fra-1", "?more=1").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(place.mark().await, before);
}

#[tokio::test]
async fn a_node_that_nobody_knows_where_to_reach_is_drained_by_force_alone() {
    let place = Place::new().await;
    let everywhere = NodeDocument { addresses: vec!["0.0.0.0:80".parse().unwrap()], ..at(&[]) };
    place.write("fra-1", &everywhere).await;
    place.write("fra-2", &at(&["192.0.2.2"])).await;
    let newer = r#"{"schema":9}"#.into();
    place.ledger.write(&node::key_of("new-1").unwrap(), newer, Expect::Absent).await.unwrap();
    let before = place.mark().await;
    let (status, problem) = place.drain("PUT", "fra-1", "").await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("addresses in its [node]"), "{problem}");
    let (status, problem) = place.drain("PUT", "new-1", "").await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("cannot be read"), "{problem}");
    // Nor is one that nobody can reach anybody to send clients to.
    assert_eq!(place.drain("PUT", "fra-2", "").await.0, StatusCode::CONFLICT);
    assert_eq!(place.mark().await, before);
    let (status, told) = place.drain("PUT", "fra-1", "?force=true").await;
    assert_eq!((status, &told["addresses"]), (StatusCode::OK, &json!([])), "{told}");
    // Once it says so it is out.
    place.write("fra-1", &at(&["192.0.2.1"])).await;
    let (_, nodes) = place.ask(&place.first, "GET", "/v1/nodes", None).await;
    assert_eq!(nodes["drains"][0]["addresses"], json!(["192.0.2.1"]), "{nodes}");
}

#[tokio::test]
async fn a_drain_says_how_far_it_is_to_who_may_look_and_waits_for_that() {
    let place = Place::new().await;
    place.write("fra-1", &at(&["192.0.2.1"])).await;
    place.write("fra-2", &at(&["192.0.2.2"])).await;
    let server =
        |answers| NodeDocument { roles: vec![Role::Geodns], answers, ..Default::default() };
    place.write("ns-1", &server(None)).await;
    assert_eq!(place.drain("GET", "fra-1", "").await.0, StatusCode::NOT_FOUND);
    let (_, told) = place.drain("PUT", "fra-1", "").await;
    assert_eq!(told["progress"], Value::Null, "nobody looked: {told}");
    let (status, told) = place.drain("PUT", "fra-1", "?wait=1ms").await;
    assert_eq!((status, &told["progress"]["state"]), (StatusCode::OK, &json!("applying")));
    let reader = place.made(json!({ "actions": ["read"] })).await;
    let path = "/v1/nodes/fra-1/drain";
    let (status, told) = place.ask(&reader, "GET", path, None).await;
    assert_eq!((status, &told["addresses"]), (StatusCode::OK, &json!(["192.0.2.1"])), "{told}");
    let purger = place.made(json!({ "actions": ["purge"] })).await;
    assert_eq!(place.ask(&purger, "GET", path, None).await.0, StatusCode::FORBIDDEN);
    for query in ["?wait=soon", "?until=never", "?more=1"] {
        assert_eq!(place.drain("GET", "fra-1", query).await.0, StatusCode::BAD_REQUEST, "{query}");
    }
    // It comes while it is waited for.
    let drains = drain::list(&*place.ledger).await.unwrap();
    let epoch = place.ledger.ends(Log::Purges).await.unwrap().last.epoch;
    let drains = Position { epoch, seq: drains.by_node["fra-1"].revision.0 };
    let answers = Answers { expired: Some(drains), ttl_s: 7, ..Answers::by(drains) };
    let says = server(Some(answers));
    let comes = place.write("ns-1", &says);
    let waited = place.drain("GET", "fra-1", "?wait=20s&until=ending");
    let ((_, told), ()) = tokio::join!(waited, comes);
    assert_eq!(told["progress"]["state"], "ending", "{told}");
    assert_eq!(told["progress"]["ttl_s"], 7, "{told}");
    // Its second report counts.
    let comes = async {
        loop {
            place.write("fra-2", &at(&["192.0.2.2"])).await;
            place.write("fra-1", &at(&["192.0.2.1"])).await;
        }
    };
    let waited = place.drain("PUT", "fra-1", "?wait=20s");
    let (_, told) = tokio::select! {
        told = waited => told,
        () = comes => panic!("it goes on"),
    };
    assert_eq!(told["progress"]["state"], "ended", "{told}");
    assert_eq!(told["progress"]["connections"], 0, "{told}");
}

#[tokio::test]
async fn a_drain_that_is_taken_back_meanwhile_is_none() {
    let place = Place::new().await;
    place.write("fra-1", &at(&["192.0.2.1"])).await;
    place.write("fra-2", &at(&["192.0.2.2"])).await;
    assert_eq!(place.drain("PUT", "fra-1", "").await.0, StatusCode::OK);
    let waited = place.drain("GET", "fra-1", "?wait=100ms");
    let back = place.drain("DELETE", "fra-1", "");
    let ((status, told), _) = tokio::join!(waited, back);
    assert_eq!(status, StatusCode::NOT_FOUND, "{told}");
}

#[tokio::test]
async fn an_address_that_other_nodes_have_is_not_told_as_out() {
    let place = Place::new().await;
    place.write("fra-1", &at(&["192.0.2.1", "192.0.2.9"])).await;
    place.write("fra-2", &at(&["192.0.2.9"])).await;
    let (_, told) = place.drain("PUT", "fra-1", "").await;
    assert_eq!(told["addresses"], json!(["192.0.2.1"]), "{told}");
    // One that died holds nothing in.
    let mut seen = place.roster.seen();
    let is_away = |seen: &Seen| seen.node("fra-2").is_some_and(|it| it.presence == Presence::Away);
    let away = tokio::time::timeout(Duration::from_secs(20), seen.wait_for(is_away));
    drop(away.await.unwrap().unwrap());
    let (_, nodes) = place.ask(&place.first, "GET", "/v1/nodes", None).await;
    let both = json!(["192.0.2.1", "192.0.2.9"]);
    assert_eq!(nodes["drains"][0]["addresses"], both, "{nodes}");
}

#[tokio::test]
async fn the_last_edge_is_drained_by_force_alone() {
    let place = Place::new().await;
    place.write("fra-1", &at(&["192.0.2.1"])).await;
    let dns = NodeDocument { roles: vec![Role::Geodns], ..NodeDocument::default() };
    place.write("ns-1", &dns).await;
    let (status, problem) = place.drain("PUT", "fra-1", "").await;
    assert_eq!(status, StatusCode::CONFLICT, "a name server serves nobody's pages");
    assert!(problem["detail"].as_str().unwrap().contains("force"), "{problem}");
    place.write("sin-1", &at(&["192.0.2.3"])).await;
    assert_eq!(place.drain("PUT", "fra-1", "").await.0, StatusCode::OK);
    assert_eq!(place.drain("PUT", "sin-1", "").await.0, StatusCode::CONFLICT);
    assert_eq!(place.drained().await, ["fra-1"]);
    assert_eq!(place.drain("PUT", "sin-1", "?force=true").await.0, StatusCode::OK);
    assert_eq!(place.drained().await, ["fra-1", "sin-1"]);
}

#[tokio::test]
async fn an_edge_that_is_away_is_nobody_to_send_clients_to() {
    let place = Place::new().await;
    place.write("sin-1", &at(&["192.0.2.3"])).await;
    let mut seen = place.roster.seen();
    let is_away = |seen: &Seen| seen.node("sin-1").is_some_and(|it| it.presence == Presence::Away);
    let away = tokio::time::timeout(Duration::from_secs(20), seen.wait_for(is_away));
    drop(away.await.unwrap().unwrap());
    place.write("fra-1", &at(&["192.0.2.1"])).await;
    assert_eq!(place.drain("PUT", "fra-1", "").await.0, StatusCode::CONFLICT);
    place.write("sin-1", &at(&["192.0.2.3"])).await;
    assert_eq!(place.drain("PUT", "fra-1", "").await.0, StatusCode::OK);
}

#[tokio::test]
async fn of_two_that_are_drained_at_once_one_stays() {
    let place = Arc::new(Place::new().await);
    place.write("fra-1", &at(&["192.0.2.1"])).await;
    place.write("sin-1", &at(&["192.0.2.3"])).await;
    let said = drain::DrainDocument::default;
    // Two processes have no turn in common.
    let one = drain::drain(&*place.ledger, &place.roster, ("fra-1", false), said());
    let other = drain::drain(&*place.ledger, &place.roster, ("sin-1", false), said());
    let (one, other) = tokio::join!(one, other);
    assert!(!(one.is_ok() && other.is_ok()), "nobody would be left");
    assert!(place.drained().await.len() < 2);
}

#[tokio::test]
async fn an_address_is_out_while_no_node_has_it_that_is_not_drained() {
    let place = Place::new().await;
    place.write("fra-1", &at(&["192.0.2.1", "192.0.2.9"])).await;
    place.write("fra-2", &at(&["192.0.2.2", "192.0.2.9"])).await;
    assert_eq!(place.drain("PUT", "fra-1", "").await.0, StatusCode::OK);
    let out = async || {
        place.roster.confirm().await.unwrap();
        let drains = drain::list(&*place.ledger).await.unwrap();
        let seen = place.roster.seen();
        let out = drains.addresses_out(&seen.borrow(), &BTreeSet::new());
        out.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(out().await, ["192.0.2.1"], "the other one is shared");
    // It has gone, and is out still; where it has moved to meanwhile is as well.
    let path = "/v1/nodes/fra-1?force=true";
    assert_eq!(place.ask(&place.first, "DELETE", path, None).await.0, StatusCode::OK);
    assert_eq!(out().await, ["192.0.2.1"]);
    place.write("fra-1", &at(&["192.0.2.4"])).await;
    assert_eq!(out().await, ["192.0.2.1", "192.0.2.4"]);
    // Another node has taken its address over.
    place.write("fra-3", &at(&["192.0.2.1"])).await;
    assert_eq!(out().await, ["192.0.2.4"]);
    assert_eq!(place.drain("PUT", "fra-2", "").await.0, StatusCode::OK);
    assert_eq!(out().await, ["192.0.2.2", "192.0.2.4", "192.0.2.9"]);
}

#[tokio::test]
async fn a_drain_of_a_newer_version_is_one() {
    let place = Place::new().await;
    let key = nearcast_control::ledger::Key::parse(&format!("{DRAINS}fra-1")).unwrap();
    let newer = r#"{"schema":9,"addresses":{}}"#.into();
    place.ledger.write(&key, newer, Expect::Absent).await.unwrap();
    assert_eq!(place.drained().await, ["fra-1"]);
    assert_eq!(place.drain("DELETE", "fra-1", "").await.0, StatusCode::OK);
}
