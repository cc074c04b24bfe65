//! Limits over real sockets: what one client can take of an edge, and where an origin may not be.
//!
//! In: clients that do too much, too slowly, or nothing at all. Out: the status that each limit has, a
//! closed connection, bounded memory. Clause: docs/operate.md *Limits*,
//! *Origins on private addresses*.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    process::Command,
    time::Duration,
};

use nearcast_tests::real::{
    Tested,
    nginx::{free_address, several_times},
    node::{Node, NodeFile, site},
    origin::Origin,
    program, wait_for,
};
use tokio::time::Instant;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nCache-Control: max-age=60\r\n\r\nbody";

fn node(limits: &[&str]) -> Tested<(Node, Origin)> {
    let origin = Origin::answering(OK)?;
    let mut file = NodeFile::pulling(origin.address);
    file.limits = limits.iter().map(|&line| line.to_owned()).collect();
    Ok((Node::start(&file)?, origin))
}

fn limit_hit(node: &Node, limit: &str) -> Tested<f64> {
    let sum = node.metrics()?.sum("nearcast_edge_limits_hit_total", &[("limit", limit)]);
    sum.ok_or_else(|| format!("the metrics do not know the limit {limit}").into())
}

#[test]
fn a_request_that_is_too_large_has_a_status_of_its_own() {
    let (node, origin) = node(&[
        "header_bytes_max = \"2 KiB\"",
        "header_count_max = 16",
        "uri_bytes_max = \"256 B\"",
        "body_bytes_max = \"1 KiB\"",
    ])
    .unwrap();
    let long = "a".repeat(3000);
    let fields = "X: y\r\n".repeat(20);
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nbb8\r\n";
    let rows = [
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"), 431, "header_bytes_max"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"), 431, "header_count_max"),
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(300)), 414, "uri_bytes_max"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1025\r\n\r\n".to_owned(),
            413,
            "body_bytes_max",
        ),
        (format!("{chunked}{long}\r\n0\r\n\r\n"), 413, "body_bytes_max"),
    ];
    for (request, status, limit) in rows {
        let before = limit_hit(&node, limit).unwrap();
        let mut connection = node.connect().unwrap();
        connection.send(request.as_bytes()).unwrap();
        let start = request.get(..40).unwrap_or(&request);
        let response =
            connection.response("GET").unwrap_or_else(|error| panic!("{start}: {error}"));
        assert_eq!(response.status, status, "{start}");
        // Content that was neither read nor refused by its framing may be skipped instead.
        if limit != "body_bytes_max" {
            assert!(response.closes(), "{start}: {:?}", response.fields);
            connection.closed().unwrap();
        }
        drop(connection);
        wait_for(limit, || Ok((limit_hit(&node, limit)? == before + 1.0).then_some(()))).unwrap();
    }
    assert_eq!(node.get("/").unwrap().status, 200);
    // The chunked one may have begun before its size was known; nothing else went further.
    assert!(origin.asked() <= 2, "{}", origin.asked());
    let at_the_limit = format!("/{}", "a".repeat(255));
    assert_eq!(node.get(&at_the_limit).unwrap().status, 200);
}

#[test]
fn connections_of_one_address_are_limited() {
    let (node, _origin) = node(&["connections_per_address_max = 4"]).unwrap();
    let mut open: Vec<_> = (0..4).map(|_| node.connect().unwrap()).collect();
    for connection in &mut open {
        assert_eq!(connection.get("/").unwrap().status, 200);
    }
    node.connect().unwrap().closed().unwrap();
    assert_eq!(limit_hit(&node, "connections_per_address_max").unwrap(), 1.0);
    for connection in &mut open {
        assert!(connection.get("/").unwrap().is_hit(), "those within the limit stay");
    }
    open.pop();
    wait_for("the place to be free again", || {
        Ok(node.get("/").is_ok_and(|response| response.status == 200).then_some(()))
    })
    .unwrap();
}

/// A head that never ends is cut, whether it stands still or trickles.
#[test]
fn a_slow_head_is_cut_at_its_deadline() {
    let (node, origin) = node(&["header_timeout = \"1s\"", "idle_timeout = \"1s\""]).unwrap();
    for (start, trickle) in [
        ("GET / HTTP/1.1\r\nHost: a\r\nX: ", false),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: ", true),
        ("P", false),
        ("", false),
    ] {
        let began = Instant::now();
        let connection = node.connect().unwrap();
        let mut stream = connection.stream();
        stream.write_all(start.as_bytes()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut said = Vec::new();
        loop {
            match stream.read_to_end(&mut said) {
                Ok(_) => break,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => panic!("{start:?}: {error}"),
            }
            assert!(began.elapsed() < Duration::from_secs(15), "{start:?} is still open");
            if trickle {
                // It may be closed by now; then the next read says so.
                drop(stream.write_all(b"a"));
            }
        }
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(700), "{start:?}: cut after {took:?}");
        let said = String::from_utf8(said).unwrap();
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 408 "), "{start:?}: {said:?}");
    }
    assert_eq!(origin.asked(), 0);
    wait_for("the count", || Ok((limit_hit(&node, "header_timeout")? == 4.0).then_some(())))
        .unwrap();
    // Between requests a connection may rest for as long as `idle_timeout`.
    let mut idle = node.connect().unwrap();
    assert_eq!(idle.get("/").unwrap().status, 200);
    let began = Instant::now();
    idle.closed().unwrap();
    assert!(began.elapsed() >= Duration::from_millis(700));
    wait_for("the count", || Ok((limit_hit(&node, "idle_timeout")? == 1.0).then_some(()))).unwrap();
}

#[test]
fn a_reader_that_stands_still_is_cut() {
    let length = 64 * 1024 * 1024;
    let origin = Origin::start(move |_, stream| {
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nCache-Control: max-age=60\r\n\r\n"
        )?;
        let block = [b'a'; 64 * 1024];
        (0..length / block.len()).try_for_each(|_| stream.write_all(&block))
    })
    .unwrap();
    let file = NodeFile::pulling(origin.address).limit("write_timeout = \"1s\"");
    let node = Node::start(&file).unwrap();
    let mut stalled = node.connect().unwrap();
    stalled.send_head("GET", "/", &[]).unwrap();
    assert_eq!(stalled.head().unwrap().status, 200);
    let mut reading = node.connect().unwrap();
    reading.send_head("GET", "/", &[]).unwrap();
    assert_eq!(reading.head().unwrap().status, 200);
    for _ in 0..length / 65_536 {
        assert_eq!(reading.take(65_536).unwrap().len(), 65_536, "a neighbour is not held up");
    }
    wait_for("the one that does not read to be cut", || {
        let aborted =
            node.metrics()?.sum("nearcast_edge_responses_aborted_total", &[("site", "www")]);
        Ok((aborted == Some(1.0)).then_some(()))
    })
    .unwrap();
    wait_for("the count", || Ok((limit_hit(&node, "write_timeout")? == 1.0).then_some(())))
        .unwrap();
    assert!(stalled.take(length).is_err(), "it sees that the content broke off");
}

#[test]
fn h2_by_prior_knowledge_brings_the_same_bytes() {
    let (node, _origin) = node(&[]).unwrap();
    let url = format!("http://{}/", node.edge);
    for (option, version) in [("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")] {
        let output = Command::new(program::tool("curl").unwrap())
            .args(["-sS", option, "-w", " %{http_version} %{http_code}", &url])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said, format!("body {version} 200"), "{:?}", String::from_utf8(output.stderr));
    }
    // Many streams over one connection.
    let output = Command::new(program::tool("h2load").unwrap())
        .args(["-n", "500", "-c", "1", "-m", "10", &url])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("500 succeeded, 0 failed"), "{said}");
    assert!(said.contains("(2000) data"), "500 times four bytes of content: {said}");
    // A response is recorded once its last octet has left, which is after the client has it.
    wait_for("all hits are counted", || {
        let metrics = node.metrics()?;
        let hits = metrics.sum("nearcast_edge_requests_total", &[("outcome", "hit")]);
        Ok((hits == Some(501.0)).then_some(()))
    })
    .unwrap();
    let aborted = node.metrics().unwrap().sum("nearcast_edge_responses_aborted_total", &[]);
    assert_eq!(aborted, Some(0.0));
}

/// What is too much over HTTP/1.1 is too much over HTTP/2 (RFC 9113 §10.5.1).
#[test]
fn h2_requests_have_the_same_limits() {
    let (node, origin) = node(&[
        "header_bytes_max = \"4 KiB\"",
        "header_count_max = 16",
        "uri_bytes_max = \"256 B\"",
        "body_bytes_max = \"1 KiB\"",
    ])
    .unwrap();
    let url = format!("http://{}/", node.edge);
    let (long_url, large) = (format!("{url}{}", "a".repeat(300)), "a".repeat(3000));
    let field = format!("X: {}", "a".repeat(5000));
    let many: Vec<String> = (0..20).map(|number| format!("X-{number}: y")).collect();
    let many: Vec<&str> = many.iter().flat_map(|field| ["-H", field]).collect();
    let rows: [(&[&str], &str); 5] = [
        (&[&long_url], "414"),
        (&["--data-binary", &large, &url], "413"),
        (&["-H", &field, &url], "431"),
        (&[&many[..], &[&url]].concat(), "431"),
        (&[&url], "200"),
    ];
    for (arguments, status) in rows {
        let output = Command::new(program::tool("curl").unwrap())
            .args(["-s", "--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{http_code}"])
            .args(arguments)
            .output()
            .unwrap();
        let start: Vec<_> = arguments.iter().map(|word| word.get(..30).unwrap_or(word)).collect();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), status, "{start:?}");
    }
    assert_eq!(origin.asked(), 1);
    // A head over `header_bytes_max` never leaves the HTTP/2 library, which answers it.
    for limit in ["uri_bytes_max", "body_bytes_max", "header_count_max"] {
        wait_for(limit, || Ok((limit_hit(&node, limit)? == 1.0).then_some(()))).unwrap();
    }
}

#[test]
fn a_thousand_idle_connections_cost_little_memory() {
    const CONNECTIONS: usize = 1000;
    /// A debug build included; the release build is measured by the bench.
    const BYTES_EACH: u64 = 40 * 1024;
    let (node, _origin) = node(&[]).unwrap();
    for _ in 0..50 {
        assert_eq!(node.get("/").unwrap().status, 200);
    }
    let before = node.process.resident_bytes().unwrap();
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut connection = node.connect().unwrap();
        connection.send_head("GET", "/", &[]).unwrap();
        assert_eq!(connection.head().unwrap().status, 200);
        idle.push(connection);
    }
    // Those of before may still be on their way out.
    wait_for("the count of connections", || {
        let open = node.metrics()?.sum("nearcast_edge_connections", &[]);
        Ok((open == Some(CONNECTIONS as f64)).then_some(()))
    })
    .unwrap();
    let each = node.process.resident_bytes().unwrap().saturating_sub(before) / CONNECTIONS as u64;
    assert!(each <= BYTES_EACH, "{each} bytes for each idle connection");
    let mut last = node.connect().unwrap();
    assert!(last.get("/").unwrap().is_hit(), "there is room for those who ask");
}

#[test]
fn a_host_of_no_site_is_misdirected() {
    let origin = Origin::answering(OK).unwrap();
    let mut file = NodeFile::pulling(origin.address);
    file.sites = site("www", "*.www.test", origin.address);
    let node = Node::start(&file).unwrap();
    let rows = [
        ("a.www.test", 200),
        ("A.WWW.Test.:8080", 200),
        ("www.test", 421),
        ("www.test.evil", 421),
        ("127.0.0.1", 421),
    ];
    for (host, status) in rows {
        let mut connection = node.connect().unwrap().host(host);
        assert_eq!(connection.get("/").unwrap().status, status, "{host}");
    }
}

/// A node whose origin is `servers`, listening on an address that it knows before it starts.
fn pulling_from(servers: &str, listen: &str, allowed: &str) -> Tested<Node> {
    let file = NodeFile {
        edge: vec![format!("origin_networks_allowed = [{allowed}]")],
        sites: format!(
            "[[site]]\nname = \"www\"\nhosts = [\"*\"]\norigin = {{ servers = [\"{servers}\"] }}\n"
        ),
        ..NodeFile::default()
    };
    let text = file.text().replacen("127.0.0.1:0", listen, 1);
    Node::start_with(&text)
}

#[test]
fn an_origin_that_leads_back_here_is_refused() {
    let node = several_times(|| {
        let listen = free_address()?;
        pulling_from(&format!("http://{listen}"), &listen.to_string(), "\"127.0.0.0/8\"")
    })
    .unwrap();
    let address = node.edge.ip();
    let response = node.get("/").unwrap();
    assert_eq!(response.status, 502, "{response:?}");
    assert!(!response.text().contains("127."), "{}", response.text());
    let told = node.logged(&["was answered with an error", &address.to_string()]).unwrap();
    assert!(told.contains("not-allowed") && told.contains("origin_networks_allowed"), "{told}");
    // It is counted once its last octet has left, which may be after the client has it.
    let asked = wait_for("the request is counted", || {
        let asked = node.metrics()?.sum("nearcast_edge_requests_total", &[]);
        Ok(asked.filter(|asked| *asked > 0.0))
    });
    assert!((asked.unwrap() - 1.0).abs() < 0.1, "no second request came in from ourselves");
    // What a chain of proxies would bring back to us is known by its CDN-Loop (RFC 8586 §2).
    let looped = node.connect().unwrap().ask("GET", "/", &[("CDN-Loop", "other, real")]).unwrap();
    assert_eq!(looped.status, 508);
}

#[test]
fn a_name_that_leads_to_loopback_needs_permission() {
    let origin = Origin::answering(OK).unwrap();
    // A name for the settings check, which knows 127.0.0.1 and localhost; the resolver takes it for
    // the loopback address in a short form.
    let server = format!("http://127.1:{}", origin.address.port());
    let node = pulling_from(&server, "127.0.0.1:0", "").unwrap();
    let response = node.get("/").unwrap();
    assert_eq!((response.status, origin.asked()), (502, 0));
    node.logged(&["was answered with an error", "127.1 resolves to 127.0.0.1"]).unwrap();
    let allowed = pulling_from(&server, "127.0.0.1:0", "\"127.0.0.0/8\"").unwrap();
    assert_eq!(allowed.get("/").unwrap().status, 200);
}
