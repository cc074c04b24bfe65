//! A real server that leaves its connections while requests with content are on their way.
//!
//! In: nginx over HTTP/2, which closes a connection after so many requests, and clients that send it
//! content at once. Out: their answers, and what the server was blamed for.
//!
//! RFC 9113 §6.8 (GOAWAY), §8.7 (what was not looked at).

use std::thread;

use nearcast_tests::real::{
    Tested,
    nginx::{Nginx, free_address},
    node::{Node, NodeFile},
};

/// Clients that send at once, and how often each does.
const CLIENTS: usize = 8;
/// See [`CLIENTS`].
const TIMES: usize = 40;
/// Requests that a connection is good for.
const KEPT_FOR: usize = 20;

/// Sends content again and again; the statuses that were no 200.
fn sends(node: &Node) -> Tested<Vec<u16>> {
    let mut connection = node.connect()?;
    let mut bad = Vec::new();
    for _ in 0..TIMES {
        connection.send_head("POST", "/post", &[("Content-Length", "100")])?;
        connection.send(&[b'x'; 100])?;
        bad.extend(Some(connection.response("POST")?.status).filter(|status| *status != 200));
    }
    Ok(bad)
}

#[test]
fn rfc9113_8_7_no_content_is_lost_to_a_server_that_leaves_its_connections() {
    let files = tempfile::tempdir().unwrap();
    let (shared, behind) = (free_address().unwrap(), free_address().unwrap());
    let words = format!(
        "listen {shared} http2;\nlisten {behind};\nkeepalive_requests {KEPT_FOR};\n\
         location = /post {{ proxy_pass http://{behind}/took; }}\n\
         location = /took {{ return 200 \"taken\"; }}"
    );
    let _nginx = Nginx::serving(files.path(), &words).unwrap();
    let sites = format!(
        "[[site]]\nname = \"www\"\nhosts = [\"*\"]\n[site.origin]\nservers = [\"http://{shared}\"]\n\
         protocol = \"http2\"\nretry_percent = 0\n"
    );
    let edge = vec!["origin_networks_allowed = [\"127.0.0.0/8\"]".to_owned()];
    let node = Node::start(&NodeFile { edge, sites, ..NodeFile::default() }).unwrap();
    let bad: Vec<u16> = thread::scope(|scope| {
        // All begin before the first is waited for.
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            clients.push(scope.spawn(|| sends(&node)));
        }
        clients.into_iter().flat_map(|one| one.join().unwrap().unwrap()).collect()
    });
    assert!(bad.is_empty(), "{bad:?}");
    let metrics = node.metrics().unwrap();
    let sum = |name: &str| metrics.sum(name, &[]).unwrap();
    assert_eq!(sum("nearcast_edge_origin_failures_total"), 0.0);
    let connections = sum("nearcast_edge_origin_connections_total");
    assert!(connections > 10.0, "{connections} connections");
}
