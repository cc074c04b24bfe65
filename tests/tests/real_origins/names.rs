//! Names of origins, asked of a real unbound, while requests go on.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use nearcast_tests::real::{
    PATIENCE, Tested,
    node::{Node, NodeFile},
    process::Signal,
    resolver::Resolver,
    wait_for,
};

/// An origin that says its name and keeps its connections.
struct Named {
    address: SocketAddr,
    ends: Arc<AtomicBool>,
    open: Arc<AtomicUsize>,
}

impl Named {
    fn start(name: &'static str, address: SocketAddr) -> Tested<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let (ends, open) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (ending, count) = (Arc::clone(&ends), Arc::clone(&open));
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if ending.load(Ordering::Acquire) {
                    return;
                }
                let (ending, count) = (Arc::clone(&ending), Arc::clone(&count));
                count.fetch_add(1, Ordering::AcqRel);
                thread::spawn(move || {
                    // Its client closes when it will.
                    drop(serve(name, &stream, &ending));
                    count.fetch_sub(1, Ordering::AcqRel);
                });
            }
        });
        Ok(Self { address, ends, open })
    }

    fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Closes its listener; connections end with their next request.
    fn stop(&self) {
        self.ends.store(true, Ordering::Release);
        drop(TcpStream::connect(self.address));
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(name: &str, stream: &TcpStream, ends: &AtomicBool) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE * 2))?;
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 {
        if line == "\r\n" {
            if ends.load(Ordering::Acquire) {
                return Ok(());
            }
            let length = name.len();
            let head = format!("Cache-Control: no-store\r\nContent-Length: {length}");
            writer.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{name}").as_bytes())?;
        }
        line.clear();
    }
    Ok(())
}

/// Two origins with one port, at two addresses.
fn pair() -> Tested<(Named, Named)> {
    let one = Named::start("one", "127.0.0.1:0".parse()?)?;
    let two = SocketAddr::new(IpAddr::from([127, 0, 0, 2]), one.address.port());
    Ok((one, Named::start("two", two)?))
}

/// A node with one site at this server, whose names `resolver` knows.
fn node(server: &str, resolver: &Resolver) -> Tested<Node> {
    let edge = vec![
        "origin_networks_allowed = [\"127.0.0.0/8\"]".to_owned(),
        format!("resolvers = [\"{}\"]", resolver.address),
    ];
    let sites = format!(
        "[[site]]\nname = \"www\"\nhosts = [\"*\"]\n\
         origin = {{ servers = [\"{server}\"], retry_percent = 0 }}\n"
    );
    Node::start(&NodeFile { edge, sites, ..NodeFile::default() })
}

/// Asks until `enough`; what came that was no 200.
fn load(node: &Node, enough: &AtomicBool, two: &AtomicUsize) -> Tested<Vec<String>> {
    let mut connection = node.connect()?;
    let mut bad = Vec::new();
    while !enough.load(Ordering::Acquire) {
        let response = connection.get("/")?;
        match (response.status, &*response.text()) {
            (200, "two") => _ = two.fetch_add(1, Ordering::AcqRel),
            (200, "one") => {}
            (status, text) => bad.push(format!("{status} {text}")),
        }
    }
    Ok(bad)
}

#[test]
fn an_origin_that_moves_is_followed_under_load_and_without_an_error() {
    let (one, two) = pair().unwrap();
    let resolver = Resolver::start(&["origin.shop.test. 1 IN A 127.0.0.1"]).unwrap();
    let server = format!("http://origin.shop.test:{}", one.address.port());
    let node = node(&server, &resolver).unwrap();
    assert_eq!(node.get("/").unwrap().text(), "one");
    let (enough, moved) = (AtomicBool::new(false), AtomicUsize::new(0));
    let bad = thread::scope(|scope| {
        let load: Vec<_> = (0..4).map(|_| scope.spawn(|| load(&node, &enough, &moved))).collect();
        resolver.remove("origin.shop.test").unwrap();
        resolver.put("origin.shop.test. 1 IN A 127.0.0.2").unwrap();
        let left = wait_for("every connection to be with the new address", || {
            Ok((moved.load(Ordering::Acquire) > 0 && one.open() == 0).then_some(()))
        });
        enough.store(true, Ordering::Release);
        let bad: Vec<_> = load.into_iter().flat_map(|one| one.join().unwrap().unwrap()).collect();
        left.unwrap();
        bad
    });
    assert!(bad.is_empty(), "{bad:?}");
    assert!(two.open() > 0);
    node.logged(&["an origin's name leads elsewhere", "127.0.0.2"]).unwrap();
    let metrics = node.metrics().unwrap();
    let sum = |name: &str, labels: &[(&str, &str)]| metrics.sum(name, labels).unwrap();
    assert!(sum("nearcast_edge_origin_lookups_total", &[("end", "answered")]) >= 2.0);
    assert_eq!(sum("nearcast_edge_origin_addresses", &[("name", "origin.shop.test")]), 1.0);
    let requests = sum("nearcast_edge_origin_requests_total", &[]);
    let connections = sum("nearcast_edge_origin_connections_total", &[]);
    assert!(connections <= 12.0, "{connections} connections for {requests} requests");
}

#[test]
fn a_resolver_that_fails_takes_no_address_away_and_is_told_once() {
    let (one, _two) = pair().unwrap();
    let mut resolver = Resolver::start(&["origin.shop.test. 1 IN A 127.0.0.1"]).unwrap();
    let server = format!("http://origin.shop.test:{}", one.address.port());
    let node = node(&server, &resolver).unwrap();
    assert_eq!(node.get("/").unwrap().text(), "one");
    let failing = || {
        let failing = node.metrics()?.sum("nearcast_edge_origin_name_failing", &[]);
        Ok((failing == Some(1.0)).then_some(()))
    };
    resolver.remove("origin.shop.test").unwrap();
    wait_for("the name to be missed", failing).unwrap();
    assert_eq!(node.get("/").unwrap().text(), "one");
    resolver.put("origin.shop.test. 1 IN A 127.0.0.1").unwrap();
    node.logged(&["an origin's name is resolved again"]).unwrap();
    resolver.process.signal(Signal::Kill).unwrap();
    wait_for("the resolver to be missed", failing).unwrap();
    assert_eq!(node.get("/").unwrap().text(), "one");
    let told = |line: &&String| line.contains("an origin's name is not resolved");
    let told = node.process.stderr().iter().filter(told).count();
    assert_eq!(told, 2, "once each time");
}

#[test]
fn rfc2782_a_service_is_where_its_records_lead_the_lower_priority_first() {
    let (one, two) = pair().unwrap();
    let port = one.address.port();
    let resolver = Resolver::start(&[
        &format!("_http._tcp.shop.test. 1 IN SRV 1 1 {port} one.shop.test."),
        &format!("_http._tcp.shop.test. 1 IN SRV 2 1 {port} two.shop.test."),
        "one.shop.test. 1 IN A 127.0.0.1",
        "two.shop.test. 1 IN A 127.0.0.2",
    ])
    .unwrap();
    let node = node("http+srv://shop.test", &resolver).unwrap();
    for _ in 0..5 {
        assert_eq!(node.get("/").unwrap().text(), "one");
    }
    one.stop();
    // A kept connection may have gone with its server, which a client may see once: no retries here.
    wait_for("the second priority", || Ok((node.get("/")?.text() == "two").then_some(()))).unwrap();
    assert_eq!(node.get("/").unwrap().text(), "two");
    drop(two);
}
