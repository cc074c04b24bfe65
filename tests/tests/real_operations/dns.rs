//! A node that is both an edge and a name server: how the two end together.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use nearcast_tests::real::{
    Tested,
    geodns::GeoDns,
    node::{Node, NodeFile},
    process::Signal,
    wait_for,
};
use tokio::time::Instant;

use super::drain::{Gate, gated};

const GEODNS: &str = r#"
[[geodns.zone]]
name = "cdn.test"
servers = ["ns.invalid"]
[[geodns.route]]
name = "www"
names = ["www"]
[[pop]]
name = "fra"
addresses = ["127.0.0.3"]
"#;

/// A node with both roles, and where it answers queries.
fn both(origin: SocketAddr, deadline: &str, lame_duck: &str) -> Tested<(Node, SocketAddr)> {
    let mut file = NodeFile::pulling(origin);
    file.node.push(format!("drain_deadline = \"{deadline}\""));
    let geodns = format!(
        "[geodns]\nlisten = [\"127.0.0.1:0\"]\nlame_duck = \"{lame_duck}\"\n\
         [geodns.limits]\nquery_timeout = \"1m\"\n{GEODNS}"
    );
    let node = Node::start_with(&(file.text() + &geodns))?;
    let listen = |line: &str| -> Option<SocketAddr> {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        let told = line.get("message")?.as_str()? == "GeoDNS answers";
        let listen = line.get("listen")?.as_str()?.trim_matches(['[', ']']).parse().ok()?;
        told.then_some(listen)
    };
    let dns = node.process.stderr_line(listen)?;
    Ok((node, dns))
}

#[test]
fn an_edge_and_geodns_end_within_one_deadline() {
    let deadline = Duration::from_secs(4);
    let gate = Arc::<Gate>::default();
    let origin = gated(&gate).unwrap();
    let (mut node, dns) = both(origin.address, "4s", "100ms").unwrap();
    // Neither of these ends by itself.
    let mut stuck = node.connect().unwrap();
    stuck.send_head("GET", "/content", &[]).unwrap();
    assert_eq!(stuck.head().unwrap().status, 200);
    let mut asking = TcpStream::connect(dns).unwrap();
    asking.write_all(&[0, 30, 0]).unwrap();
    let asked = Instant::now();
    node.process.signal(Signal::Terminate).unwrap();
    wait_for("the edge's listener to close", || {
        Ok(TcpStream::connect(node.edge).is_err().then_some(()))
    })
    .unwrap();
    assert!(asked.elapsed() < deadline, "the edge does not wait for the last connection of DNS");
    assert_eq!(node.process.ended().unwrap().code(), Some(0));
    let took = asked.elapsed();
    assert!(took >= deadline, "it waited for its clients, not {took:?}");
    assert!(took < deadline * 2, "each side had the whole deadline for itself: {took:?}");
    let cut = ["ended before everything in flight was done", "\"remaining\":2"];
    node.logged(&cut).unwrap();
    gate.open();
}

/// What a server says of connections that it cut when it ended.
fn told_of_cut(server: &GeoDns) -> Vec<String> {
    let mut said = server.process.stderr();
    said.retain(|line| line.contains("ended before everything in flight was done"));
    said
}

#[test]
fn connections_of_dns_that_the_deadline_cuts_are_told_and_nothing_else_is() {
    let text = format!(
        "[node]\ndrain_deadline = \"1s\"\n[geodns]\nlisten = [\"127.0.0.1:0\"]\n\
         lame_duck = \"100ms\"\n[geodns.limits]\nquery_timeout = \"1m\"\n{GEODNS}"
    );
    let mut server = GeoDns::start(&text).unwrap();
    let half_asked = [(); 3].map(|()| {
        let mut stream = TcpStream::connect(server.dns).unwrap();
        stream.write_all(&[0, 30, 0]).unwrap();
        stream
    });
    server.process.signal(Signal::Terminate).unwrap();
    assert_eq!(server.process.ended().unwrap().code(), Some(0));
    let told = told_of_cut(&server);
    assert!(matches!(&told[..], [one] if one.contains("\"remaining\":3")), "{told:?}");
    drop(half_asked);

    let mut server = GeoDns::start(&text).unwrap();
    let idle = TcpStream::connect(server.dns).unwrap();
    server.process.signal(Signal::Terminate).unwrap();
    assert_eq!(server.process.ended().unwrap().code(), Some(0));
    assert_eq!(told_of_cut(&server), Vec::<String>::new());
    drop(idle);
}

#[test]
fn as_long_as_dns_is_answered_the_edge_takes_requests() {
    let origin = gated(&Arc::default()).unwrap();
    let (mut node, _dns) = both(origin.address, "1h", "30m").unwrap();
    node.process.signal(Signal::Terminate).unwrap();
    wait_for(
        "readiness to go off",
        || Ok((node.ask_admin("/readyz")?.status == 503).then_some(())),
    )
    .unwrap();
    node.logged(&["queries are answered on"]).unwrap();
    assert_eq!(node.get("/").unwrap().status, 200);
    node.process.signal(Signal::Terminate).unwrap();
    assert_eq!(node.process.ended().unwrap().code(), Some(0));
}
