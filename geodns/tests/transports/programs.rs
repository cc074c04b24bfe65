//! Real clients: dig (BIND), kdig (Knot DNS), aioquic.

use std::{net::SocketAddr, process::Command};

use geodns::{limits::StreamLimits, listen::Addresses};

use crate::{
    clients::{ask_tcp, tcp},
    query::{Query, essence, gist},
    stage::Stage,
};

/// What a client prints, asked for an answer and nothing else.
fn run(program: &str, server: SocketAddr, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .arg(format!("@{}", server.ip()))
        .args(["-p", &server.port().to_string()])
        .args(["+timeout=10", if program == "dig" { "+tries=1" } else { "+retry=0" }])
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; tests/run installs it"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {text}{output:?}");
    text
}

#[test]
fn dig_is_answered_by_where_its_subnet_is() {
    let stage = Stage::new();
    for (subnet, address) in [("203.0.113.0/24", "192.0.2.1"), ("198.51.100.0/25", "192.0.2.11")] {
        for carrier in ["+notcp", "+tcp"] {
            let subnet = format!("+subnet={subnet}");
            let short = ["www.cdn.test", "A", "+short", carrier, &subnet];
            assert_eq!(run("dig", stage.dns(), &short).trim(), address);
            let whole = run("dig", stage.dns(), &["www.cdn.test", "A", carrier, &subnet]);
            assert!(whole.contains("status: NOERROR") && whole.contains(" qr aa rd;"), "{whole}");
            assert!(whole.contains("; CLIENT-SUBNET: "), "{whole}");
            assert!(whole.contains("; COOKIE: ") && whole.contains("(good)"), "{whole}");
        }
    }
}

/// RFC 7766 §5: what does not fit into a datagram is asked again over TCP.
#[test]
fn dig_comes_back_over_tcp_for_what_was_truncated() {
    let stage = Stage::new();
    let text = run("dig", stage.dns(), &["long.cdn.test", "TXT", "+noedns"]);
    assert!(text.contains("Truncated, retrying in TCP mode"), "{text}");
    assert!(text.contains("ANSWER: 1"), "{text}");
}

/// Debian builds it without QUIC.
#[test]
fn kdig_is_answered_over_every_transport_that_it_speaks() {
    let stage = Stage::new();
    let addresses = &stage.addresses;
    let certificate = format!("+tls-ca={}", stage.certificate.display());
    let name = "+tls-hostname=dns.test";
    let rows: [(&str, SocketAddr, &[&str]); 5] = [
        ("(UDP)", stage.dns(), &[]),
        ("(TCP)", stage.dns(), &["+tcp", "+keepopen"]),
        ("TLS session", addresses.tls[0], &["+tls", "+padding", &certificate, name]),
        ("HTTP session (HTTP/2-POST)", addresses.https[0], &["+https", &certificate, name]),
        ("HTTP session (HTTP/2-GET)", addresses.https[0], &["+https-get", &certificate, name]),
    ];
    for (mark, server, options) in rows {
        let mut arguments = vec!["www.cdn.test", "A", "+subnet=198.51.100.0/25"];
        arguments.extend(options);
        let text = run("kdig", server, &arguments);
        assert!(text.contains("192.0.2.11"), "{mark}: {text}");
        assert!(text.contains(mark), "{mark}: {text}");
    }
}

/// RFC 7873 §5.2.3, RFC 9018: a first contact learns a cookie, and shows it the next time.
#[test]
fn kdig_learns_a_cookie_and_shows_it() {
    let stage = Stage::new();
    let ask = |cookie: &str| {
        let text = run("kdig", stage.dns(), &["www.cdn.test", "A", &format!("+cookie={cookie}")]);
        let line = text.lines().find(|line| line.starts_with(";; COOKIE: "));
        let line = line.unwrap_or_else(|| panic!("{text}"));
        line.trim_start_matches(";; COOKIE: ").to_lowercase()
    };
    let client = "2464c4abcf10c957";
    let learned = ask(client);
    let digits: String = learned.chars().filter(char::is_ascii_hexdigit).collect();
    assert!(digits.starts_with(client) && digits.len() == 48, "{learned}");
    assert_eq!(ask(&digits), learned, "one that is young enough comes back");
    let mut forged = digits;
    forged.replace_range(40.., "00000000");
    assert_ne!(ask(&forged), forged, "who shows a wrong one learns a good one");
    let counted = stage.metrics.encode().unwrap();
    for standing in ["client", "valid", "invalid"] {
        let sample = format!("nearcast_dns_cookies_total{{standing=\"{standing}\"}} 1\n");
        assert!(counted.contains(&sample), "{sample}{counted}");
    }
}

/// A QUIC stack that shares no code with ours (RFC 9250).
#[test]
fn aioquic_is_told_what_a_client_over_tcp_is() {
    let stage = Stage::new();
    let own = std::env::current_exe().unwrap();
    let target = own.ancestors().nth(3).unwrap();
    let server = stage.addresses.quic[0];
    let subnet = "198.51.100.0".parse().unwrap();
    let query = Query { id: 0, ..Query::new("www.cdn.test", 1) }.subnet(subnet, 25).padding();
    let digits = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let output = Command::new(target.join("aioquic/bin/python"))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transports/doq.py"))
        .args([server.ip().to_string(), server.port().to_string()])
        .arg(&stage.certificate)
        .args(["dns.test", &digits(&query.bytes())])
        .output()
        .unwrap_or_else(|error| panic!("aioquic: {error}; tests/run installs it"));
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let response: Vec<u8> = text
        .trim()
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    assert_eq!(gist(&response), (0, 1));
    assert_eq!(response.len(), 468, "RFC 8467 §4.1");
    assert_eq!(essence(&response), essence(&ask_tcp(&mut tcp(stage.dns()), &query.bytes())));
}

/// Two addresses of one wildcard socket: each answers for itself (RFC 2181 §4.1). A client that is
/// bound to its server's address would not take another one's answer.
#[test]
fn an_answer_comes_from_the_address_that_was_asked() {
    let wildcard = Addresses { dns: vec!["0.0.0.0:0".parse().unwrap()], ..Addresses::default() };
    let stage = Stage::with(StreamLimits::default(), &wildcard);
    let port = stage.dns().port();
    for address in ["127.0.0.2", "127.0.0.3", "127.0.0.1"] {
        let server = format!("{address}:{port}").parse().unwrap();
        let text = run("dig", server, &["mail.cdn.test", "A", "+notcp"]);
        assert!(text.contains("192.0.2.54"), "{text}");
        assert!(text.contains(&format!("SERVER: {address}#{port}")), "{text}");
    }
    let wildcard = Addresses { dns: vec!["[::]:0".parse().unwrap()], ..Addresses::default() };
    let stage = Stage::with(StreamLimits::default(), &wildcard);
    let server = SocketAddr::new("::1".parse().unwrap(), stage.dns().port());
    for carrier in ["+tcp", "+notcp"] {
        let text = run("dig", server, &["mail.cdn.test", "A", carrier]);
        assert!(text.contains("192.0.2.54") && text.contains("SERVER: ::1#"), "{text}");
    }
}
