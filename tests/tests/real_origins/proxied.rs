//! The PROXY protocol, from balancers and to servers.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    sync::mpsc,
    thread,
};

use nearcast_tests::real::{
    PATIENCE, Tested,
    http::Connection,
    node::{Node, NodeFile},
    origin::Origin,
    wait_for,
};
use serde_json::Value;

const OK: &str = "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\nok";

/// A node with a listener for balancers of these networks, and where that is.
fn node(origin: SocketAddr, peers: &str) -> Tested<(Node, SocketAddr)> {
    let mut file = NodeFile::pulling(origin).limit("connections_per_address_max = 1");
    file.edge.push("listen_proxied = [\"127.0.0.1:0\"]".to_owned());
    file.edge.push(format!("proxy_peers = [\"{peers}\"]"));
    file.log.push("access = \"access.log\"".to_owned());
    let node = Node::start(&file)?;
    let line: Value = serde_json::from_str(&node.logged(&["the edge answers"])?)?;
    let listen = line["listen"].as_str().unwrap_or_default().trim_matches(['[', ']']);
    let proxied = listen.split(", ").nth(1).ok_or("no second listener")?.parse()?;
    Ok((node, proxied))
}

/// A connection that begins with `header`.
fn introduced(proxied: SocketAddr, header: &[u8]) -> Tested<Connection> {
    let connection = Connection::open(proxied)?;
    connection.stream().write_all(header)?;
    Ok(connection)
}

fn refused(node: &Node, reason: &str) -> Tested {
    wait_for("the connection to be counted", || {
        let labels = [("reason", reason)];
        let count = node.metrics()?.sum("nearcast_edge_proxied_refused_total", &labels);
        Ok((count == Some(1.0)).then_some(()))
    })
}

#[test]
fn a_balancer_says_whose_its_connection_is() {
    let origin = Origin::answering(OK).unwrap();
    let (node, proxied) = node(origin.address, "127.0.0.0/8").unwrap();
    let one = b"PROXY TCP4 198.51.100.1 192.0.2.1 4000 80\r\n";
    let other = [
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".as_slice(),
        &[198, 51, 100, 2, 192, 0, 2, 1, 0x10, 0, 0, 80],
    ];
    let mut first = introduced(proxied, one).unwrap();
    assert_eq!(first.get("/1").unwrap().text(), "ok");
    let mut second = introduced(proxied, &other.concat()).unwrap();
    assert_eq!(second.get("/2").unwrap().text(), "ok");
    // Each client may have one connection, whoever brings it.
    assert!(introduced(proxied, one).unwrap().get("/3").is_err());
    let log = node.folder().join("access.log");
    let clients = wait_for("both requests to be logged", || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let lines = text.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>();
        Ok(lines.ok().filter(|lines| lines.len() == 2))
    });
    let mut clients: Vec<String> =
        clients.unwrap().iter().map(|line| line["client"].to_string()).collect();
    // Each worker logs for itself.
    clients.sort();
    assert!(clients[0].contains("198.51.100.1"), "{clients:?}");
    assert!(clients[1].contains("198.51.100.2"), "{clients:?}");
}

#[test]
fn a_stranger_is_not_heard_and_a_balancer_without_a_header_neither() {
    let origin = Origin::answering(OK).unwrap();
    let (node, proxied) = node(origin.address, "192.0.2.0/24").unwrap();
    let header = b"PROXY TCP4 198.51.100.1 192.0.2.1 4000 80\r\n";
    // It may be closed before all of that is written.
    assert!(introduced(proxied, header).and_then(|mut one| one.get("/")).is_err());
    refused(&node, "stranger").unwrap();
    let plain = node.connect().unwrap();
    plain.stream().write_all(header).unwrap();
    let mut plain = plain;
    assert_eq!(plain.get("/").unwrap().status, 400);
    let (node, proxied) = self::node(origin.address, "127.0.0.0/8").unwrap();
    assert!(Connection::open(proxied).unwrap().get("/").is_err());
    refused(&node, "header").unwrap();
    assert_eq!(origin.asked(), 0);
}

#[test]
fn a_server_that_insists_on_a_header_gets_one_with_each_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (said, heard) = mpsc::channel();
    thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return };
        stream.set_read_timeout(Some(PATIENCE)).unwrap_or_default();
        let mut header = [0; 16];
        if stream.read_exact(&mut header).is_err() || said.send(header).is_err() {
            return;
        }
        // Two requests, and between them nothing but their heads.
        for _ in 0..2 {
            let mut head = Vec::new();
            let mut octet = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut octet).is_ok() {
                head.extend(octet);
            }
            if !head.starts_with(b"GET /") || stream.write_all(OK.as_bytes()).is_err() {
                return;
            }
        }
    });
    let mut file = NodeFile::pulling(address);
    file.sites = file.sites.replace("servers =", "proxy_protocol = true, servers =");
    let node = Node::start(&file).unwrap();
    for _ in 0..2 {
        assert_eq!(node.get("/").unwrap().text(), "ok");
    }
    let header = heard.recv_timeout(PATIENCE).unwrap();
    assert_eq!(&header, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
}
