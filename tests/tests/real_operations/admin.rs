//! `/healthz`, `/readyz`, `/metrics`: what an operator's tools read.

use nearcast_tests::real::{
    http::Connection,
    node::{Node, NodeFile, site},
    origin::Origin,
    wait_for,
};
use serde_json::Value;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nCache-Control: max-age=60\r\n\r\nbody";

/// A sample's name, labels and value.
type Sample<'l> = (&'l str, &'l [(&'l str, &'l str)], f64);

#[test]
fn health_says_that_it_lives_and_readiness_why_not() {
    let origin = Origin::answering(OK).unwrap();
    let node = Node::start(&NodeFile::pulling(origin.address)).unwrap();
    assert_eq!(node.ask_admin("/healthz").unwrap().status, 200);
    let ready = node.ask_admin("/readyz").unwrap();
    let report: Value = serde_json::from_slice(&ready.content).unwrap();
    assert_eq!((ready.status, &report["ready"]), (200, &Value::Bool(true)));
    assert_eq!(report["conditions"][0]["name"], "edge-listening");
    let nowhere = node.ask_admin("/nowhere").unwrap();
    assert_eq!(nowhere.status, 404);
    assert_eq!(nowhere.field("content-type").as_deref(), Some("application/problem+json"));
    let mut admin = Connection::open(node.admin).unwrap();
    assert_eq!(admin.ask("DELETE", "/metrics", &[]).unwrap().status, 405);
    assert_eq!(
        node.get("/metrics").unwrap().text(),
        "body",
        "the edge's listener has no admin pages"
    );
}

#[test]
fn metrics_tell_requests_by_site_and_outcome_origins_store_and_limits() {
    let origin = Origin::answering(OK).unwrap();
    let file = NodeFile::pulling(origin.address);
    let sites = site("www", "www.test", origin.address)
        + &site("dead", "dead.test", "127.0.0.1:1".parse().unwrap());
    let node = Node::start(&NodeFile { sites, ..file }).unwrap();
    let mut www = node.connect().unwrap().host("www.test");
    for _ in 0..3 {
        assert_eq!(www.get("/").unwrap().status, 200);
    }
    assert_eq!(node.connect().unwrap().host("dead.test").get("/").unwrap().status, 502);
    assert_eq!(node.connect().unwrap().host("other.test").get("/").unwrap().status, 421);
    // A response counts once its last octet has left, which may be after the client has it.
    wait_for("all are counted", || {
        let all = node.metrics()?.sum("nearcast_edge_requests_total", &[]);
        Ok((all >= Some(5.0)).then_some(()))
    })
    .unwrap();
    let metrics = node.metrics().unwrap();
    let rows: [Sample<'_>; 13] = [
        ("nearcast_edge_requests_total", &[("site", "www"), ("outcome", "hit")], 2.0),
        ("nearcast_edge_requests_total", &[("site", "www"), ("outcome", "uri-miss")], 1.0),
        ("nearcast_edge_requests_total", &[("site", "dead"), ("outcome", "uri-miss")], 1.0),
        ("nearcast_edge_requests_total", &[("site", "-"), ("outcome", "refused")], 1.0),
        ("nearcast_edge_responses_total", &[("site", "dead"), ("status", "5xx")], 1.0),
        ("nearcast_edge_content_bytes_total", &[("site", "www")], 12.0),
        (
            "nearcast_edge_request_duration_seconds_count",
            &[("site", "www"), ("answered", "here")],
            2.0,
        ),
        (
            "nearcast_edge_request_duration_seconds_count",
            &[("site", "www"), ("answered", "origin")],
            1.0,
        ),
        ("nearcast_edge_request_duration_seconds_bucket", &[("site", "www"), ("le", "+Inf")], 3.0),
        ("nearcast_edge_origin_requests_total", &[("site", "www")], 1.0),
        ("nearcast_edge_stored_keys", &[("node", "real")], 1.0),
        ("nearcast_edge_limits_hit_total", &[("limit", "connections_max")], 0.0),
        ("nearcast_edge_origin_ejected", &[("site", "www")], 0.0),
    ];
    for (name, labels, wanted) in rows {
        assert_eq!(metrics.sum(name, labels), Some(wanted), "{name} {labels:?}\n{}", metrics.0);
    }
    assert!(metrics.sum("nearcast_edge_origin_failures_total", &[("site", "dead")]) >= Some(1.0));
    assert!(metrics.sum("nearcast_edge_stored_bytes", &[]) > Some(0.0));
    assert!(metrics.sum("nearcast_edge_memory_bytes", &[]) > Some(0.0));
    assert!(metrics.0.ends_with("# EOF\n"), "a page of OpenMetrics is whole");
    let mut families: Vec<&str> =
        metrics.0.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let count = families.len();
    families.dedup();
    assert_eq!(families.len(), count, "a family stands there once");
}

/// What is on the page of a node with both roles, and so of any.
#[test]
fn the_manual_names_every_metric() {
    let origin = Origin::answering(OK).unwrap();
    let geodns = "[geodns]\nlisten = [\"127.0.0.1:0\"]\n\
                  zone = [{ name = \"cdn.test\", servers = [\"ns.invalid\"] }]\n\
                  [[pop]]\nname = \"a\"\naddresses = [\"127.0.0.1\"]\n";
    let node = Node::start_with(&(NodeFile::pulling(origin.address).text() + geodns)).unwrap();
    let page = node.metrics().unwrap().0;
    let families = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let names: Vec<String> = families
        .map(|(name, kind)| if kind == "counter" { format!("{name}_total") } else { name.into() })
        .collect();
    assert!(names.len() > 40, "{names:?}");
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operate.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    let missing: Vec<&String> =
        names.iter().filter(|name| !manual.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/operate.md does not name {missing:?}");
}
