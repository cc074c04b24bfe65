//! Field tables; each row names its clause.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::type_complexity,
    reason = "tables of rows, and sums that a test may get wrong"
)]

use http::header::{CONNECTION, FORWARDED, HOST, TE, VIA};
use proptest::prelude::*;

use super::*;

fn map(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

/// All fields, sorted, one per line.
fn lines(fields: &HeaderMap) -> Vec<String> {
    let mut lines: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    lines.sort();
    lines
}

fn peer(address: &str) -> Peer<'static> {
    Peer {
        address: address.parse().unwrap(),
        trusted: false,
        version: Version::HTTP_11,
        scheme: Scheme::Http,
        host: "a.example",
        keyed: &[],
    }
}

fn sent(pairs: &[(&str, &str)]) -> HeaderMap {
    request_fields(&map(pairs), &peer("192.0.2.1"), "edge", "edge")
}

#[test]
fn forward_carries_our_own_fields() {
    assert_eq!(
        lines(&sent(&[("host", "a.example"), ("accept", "*/*")])),
        [
            "accept: */*",
            "cdn-loop: edge",
            "forwarded: for=192.0.2.1;host=a.example;proto=http",
            "via: 1.1 edge",
            "x-forwarded-for: 192.0.2.1",
            "x-forwarded-host: a.example",
            "x-forwarded-proto: http",
        ]
    );
}

#[test]
fn rfc8586_2_a_loop_is_told_by_the_cdn_id_and_not_by_the_name() {
    let fields = request_fields(&HeaderMap::new(), &peer("192.0.2.1"), "edge", "edge-1");
    assert_eq!(fields[VIA], "1.1 edge");
    assert_eq!(fields[CDN_LOOP], "edge-1");
    assert_eq!(check(&Method::GET, &fields, "edge-1"), Err(Refusal::Loop));
    assert_eq!(check(&Method::GET, &fields, "edge"), Ok(None));
}

#[test]
fn fields_of_one_connection_stop_here_both_ways() {
    let rows: &[(&str, &[(&str, &str)], &[&str])] = &[
        (
            "RFC 9110 §7.6.1 nominated",
            &[("connection", "x-a, X-B ,, close"), ("x-a", "1"), ("x-b", "2"), ("x-c", "3")],
            &["x-c: 3"],
        ),
        (
            "RFC 9110 §7.6.1 nominated beside what is no token",
            &[("connection", "é, x-a, a b, x-b"), ("x-a", "1"), ("x-b", "2"), ("x-c", "3")],
            &["x-c: 3"],
        ),
        (
            "RFC 9110 §7.6.1 nominated over several lines",
            &[
                ("connection", "x-a"),
                ("connection", "x-b"),
                ("x-a", "1"),
                ("x-a", "1"),
                ("x-b", "2"),
            ],
            &[],
        ),
        ("RFC 9110 §7.6.1 no field name", &[("connection", "x a, (, x-a"), ("x-a", "1")], &[]),
        ("RFC 9110 §7.6.1 Keep-Alive", &[("keep-alive", "timeout=5")], &[]),
        ("RFC 9110 §7.6.1 Proxy-Connection", &[("proxy-connection", "close")], &[]),
        ("RFC 9110 §7.6.1 Transfer-Encoding", &[("transfer-encoding", "chunked")], &[]),
        ("RFC 9110 §7.8 Upgrade", &[("upgrade", "h2c, websocket")], &[]),
        ("RFC 7540 §3.2.1 HTTP2-Settings", &[("http2-settings", "AAMAAABkAARAAAAAAAIAAAAA")], &[]),
        ("RFC 9110 §11.7.1 Proxy-Authenticate", &[("proxy-authenticate", "Basic")], &[]),
        ("RFC 9110 §11.7.2 Proxy-Authorization", &[("proxy-authorization", "Basic eA==")], &[]),
        ("RFC 9110 §11.7.3 Proxy-Authentication-Info", &[("proxy-authentication-info", "a")], &[]),
        ("RFC 9110 §10.1.4 TE", &[("te", "gzip")], &[]),
        ("RFC 9110 §6.6.2 Trailer is end-to-end", &[("trailer", "x")], &["trailer: x"]),
        ("RFC 9110 §8.6 Content-Length", &[("content-length", "3")], &["content-length: 3"]),
        ("RFC 9110 §5.3 lines keep their order", &[("a", "2"), ("a", "1")], &["a: 1", "a: 2"]),
    ];
    for (name, received, expected) in rows {
        let ours = sent(&[]).keys().cloned().collect::<Vec<_>>();
        let mut request = sent(received);
        ours.iter().for_each(|name| drop(request.remove(name)));
        assert_eq!(lines(&request), *expected, "{name}: request");
        let mut response =
            response_fields(&map(received), Version::HTTP_11, "edge", &Policy::default());
        assert_eq!(response.remove(VIA).unwrap(), "1.1 edge", "{name}");
        assert_eq!(lines(&response), *expected, "{name}: response");
        assert_eq!(lines(&end_to_end(&map(received))), *expected, "{name}");
    }
    let kept: Vec<_> = response_fields(
        &map(&[("a", "2"), ("a", "1")]),
        Version::HTTP_11,
        "edge",
        &Policy::default(),
    )
    .get_all("a")
    .iter()
    .cloned()
    .collect();
    assert_eq!(kept, ["2", "1"], "RFC 9110 §5.3");
}

#[test]
fn rfc9110_7_6_1_what_restricts_reuse_cannot_be_nominated() {
    let targeted =
        [HeaderName::from_static("surrogate-control"), header::CACHE_CONTROL, CONNECTION];
    let policy = Policy { targeted_fields: targeted.into(), ..Policy::default() };
    let said = [
        ("age", "1"),
        ("cache-control", "private"),
        ("cache-control", "no-cache"),
        ("date", "x"),
        ("expires", "0"),
        ("surrogate-control", "no-store"),
        ("vary", "*"),
    ];
    let nominated = ("connection", "age, cache-control, date, expires, surrogate-control, vary, x");
    let origin = map(&[&said[..], &[nominated, ("x", "1")]].concat());
    let mut fields = response_fields(&origin, Version::HTTP_11, "edge", &policy);
    fields.remove(VIA);
    assert_eq!(lines(&fields), lines(&map(&said)));
}

#[test]
fn what_is_for_caches_alone_goes_no_further() {
    let withheld = crate::purge::FOR_CACHES.into();
    let policy = Policy { withheld_fields: withheld, ..Policy::default() };
    let said =
        [("surrogate-key", "a b"), ("cache-tag", "a"), ("cache-groups", "\"a\""), ("x", "1")];
    let sent = |policy| {
        let mut fields = response_fields(&map(&said), Version::HTTP_11, "edge", policy);
        fields.remove(VIA);
        lines(&fields)
    };
    assert_eq!(sent(&policy), ["cache-groups: \"a\"", "x: 1"], "RFC 9875 §2 is for all caches");
    assert_eq!(sent(&Policy::default()), lines(&map(&said)));
}

#[test]
fn request_loses_what_is_for_this_hop_only() {
    let fields =
        sent(&[("host", "a"), ("proxy", "http://evil.example"), ("expect", "100-continue")]);
    assert_eq!(fields.get(HOST), None);
    assert_eq!(fields.get(PROXY), None, "httpoxy");
    assert_eq!(fields.get(header::EXPECT).unwrap(), "100-continue", "RFC 9110 §10.1.1");
    for (version, kept) in [
        (Version::HTTP_09, false),
        (Version::HTTP_10, false),
        (Version::HTTP_11, true),
        (Version::HTTP_2, true),
    ] {
        let peer = Peer { version, ..peer("192.0.2.1") };
        let fields = request_fields(&map(&[("expect", "100-continue")]), &peer, "edge", "edge");
        assert_eq!(fields.contains_key(header::EXPECT), kept, "RFC 9110 §10.1.1 {version:?}");
    }
}

#[test]
fn te_trailers_is_said_anew() {
    let rows: &[(&str, &[&str], bool)] = &[
        ("RFC 9110 §10.1.4 trailers", &["trailers"], true),
        ("RFC 9110 §10.1.4 case", &["Trailers"], true),
        ("RFC 9110 §10.1.4 in a list", &["gzip;q=0.5, trailers"], true),
        ("RFC 9110 §10.1.4 in a later line", &["gzip", "trailers"], true),
        ("RFC 9110 §10.1.4 other codings", &["gzip, deflate"], false),
        ("RFC 9110 §10.1.4 part of a word", &["trailers2"], false),
    ];
    for (name, values, kept) in rows {
        let received: Vec<(&str, &str)> = values.iter().map(|value| ("te", *value)).collect();
        let fields = sent(&received);
        assert_eq!(fields.get_all(TE).iter().count(), usize::from(*kept), "{name}");
        assert_eq!(fields.get(TE).is_some_and(|te| te == "trailers"), *kept, "{name}");
        assert_eq!(fields.get(CONNECTION).is_some_and(|value| value == "te"), *kept, "{name}");
    }
}

#[test]
fn via_names_the_version_received_and_us_last() {
    let rows = [
        (Version::HTTP_09, "0.9 edge"),
        (Version::HTTP_10, "1.0 edge"),
        (Version::HTTP_11, "1.1 edge"),
        (Version::HTTP_2, "2.0 edge"),
        (Version::HTTP_3, "3.0 edge"),
    ];
    for (version, via) in rows {
        let peer = Peer { version, ..peer("192.0.2.1") };
        assert_eq!(
            request_fields(&HeaderMap::new(), &peer, "edge", "edge")[VIA],
            via,
            "RFC 9110 §7.6.3"
        );
        assert_eq!(
            response_fields(&HeaderMap::new(), version, "edge", &Policy::default())[VIA],
            via
        );
    }
    let fields = response_fields(
        &map(&[("via", "1.0 fred"), ("via", ""), ("via", "1.1 p.example (x)")]),
        Version::HTTP_11,
        "edge",
        &Policy::default(),
    );
    assert_eq!(lines(&fields), ["via: 1.0 fred, 1.1 p.example (x), 1.1 edge"]);
    let odd =
        response_fields(&HeaderMap::new(), Version::HTTP_11, "n\u{f6}de 1\"", &Policy::default());
    assert_eq!(odd[VIA], "1.1 n-de-1-", "RFC 9110 §5.6.2 token");
    assert_eq!(
        response_fields(&HeaderMap::new(), Version::HTTP_11, "", &Policy::default())[VIA],
        "1.1 -"
    );
}

#[test]
fn forwarded_is_quoted_as_its_grammar_wants() {
    let rows: &[(&str, &str, &str, &str, &str)] = &[
        (
            "RFC 7239 §4 IPv4",
            "192.0.2.1",
            "a.example",
            "for=192.0.2.1;host=a.example;proto=http",
            "192.0.2.1",
        ),
        (
            "RFC 7239 §6 IPv6",
            "2001:db8::1",
            "a.example",
            "for=\"[2001:db8::1]\";host=a.example;proto=http",
            "2001:db8::1",
        ),
        (
            "RFC 4291 §2.5.5.2 IPv4-mapped",
            "::ffff:192.0.2.1",
            "a",
            "for=192.0.2.1;host=a;proto=http",
            "192.0.2.1",
        ),
        (
            "RFC 7239 §5.3 host with port",
            "192.0.2.1",
            "a:80",
            "for=192.0.2.1;host=\"a:80\";proto=http",
            "192.0.2.1",
        ),
        (
            "RFC 7239 §5.3 IPv6 host",
            "192.0.2.1",
            "[::1]",
            "for=192.0.2.1;host=\"[::1]\";proto=http",
            "192.0.2.1",
        ),
        (
            "RFC 9110 §5.6.4 quoted pairs",
            "192.0.2.1",
            "a\"\\,;b",
            "for=192.0.2.1;host=\"a\\\"\\\\,;b\";proto=http",
            "192.0.2.1",
        ),
        ("RFC 7239 §4 no host", "192.0.2.1", "", "for=192.0.2.1;proto=http", "192.0.2.1"),
    ];
    for (name, address, host, forwarded, x_forwarded_for) in rows {
        let peer = Peer { host, ..peer(address) };
        let fields = request_fields(&HeaderMap::new(), &peer, "edge", "edge");
        assert_eq!(fields[FORWARDED], forwarded, "{name}");
        assert_eq!(fields[X_FORWARDED_FOR], x_forwarded_for, "{name}");
        assert_eq!(fields.contains_key(X_FORWARDED_HOST), !host.is_empty(), "{name}");
    }
    let peer = Peer { scheme: Scheme::Https, ..peer("192.0.2.1") };
    let fields = request_fields(&HeaderMap::new(), &peer, "edge", "edge");
    assert_eq!(fields[FORWARDED], "for=192.0.2.1;host=a.example;proto=https");
    assert_eq!(fields[X_FORWARDED_PROTO], "https");
}

#[test]
fn claims_about_the_client_are_replaced_unless_the_peer_is_trusted() {
    let claims = map(&[
        ("forwarded", "for=10.0.0.1"),
        ("forwarded", "for=\"[::1]\" ; proto=https"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", "8443"),
        ("x-forwarded-ssl", "on"),
        ("x-forwarded-scheme", "http"),
        ("x-forwarded-protocol", "http"),
        ("x_forwarded_for", "10.0.0.1"),
        ("x-forwarded_proto", "https"),
        ("x-forwarded-user", "alice"),
        ("x-forwardedness", "kept"),
    ]);
    let said = |trusted| {
        let scheme = if trusted { claimed_scheme(&claims) } else { Scheme::Http };
        let peer = Peer { trusted, scheme, ..peer("192.0.2.1") };
        let mut fields = request_fields(&claims, &peer, "edge", "edge");
        fields.remove(VIA);
        fields.remove(CDN_LOOP);
        lines(&fields)
    };
    assert_eq!(
        said(false),
        [
            "forwarded: for=192.0.2.1;host=a.example;proto=http",
            "x-forwarded-for: 192.0.2.1",
            "x-forwarded-host: a.example",
            "x-forwarded-proto: http",
            "x-forwardedness: kept",
        ]
    );
    assert_eq!(
        said(true),
        [
            "forwarded: for=10.0.0.1, for=\"[::1]\" ; proto=https, for=192.0.2.1;host=a.example;proto=https",
            "x-forwarded-for: 10.0.0.1, 192.0.2.1",
            "x-forwarded-host: a.example",
            "x-forwarded-proto: https",
            "x-forwarded-user: alice",
            "x-forwardedness: kept",
        ]
    );
}

#[test]
fn the_scheme_is_the_nearest_senders_word() {
    const PROTO: &str = "x-forwarded-proto";
    const FOR: &str = "forwarded";
    let rows: &[(&[(&str, &str)], Scheme)] = &[
        (&[], Scheme::Http),
        (&[(PROTO, "https")], Scheme::Https),
        (&[(PROTO, " HTTPS ")], Scheme::Https),
        (&[(PROTO, "http")], Scheme::Http),
        (&[(PROTO, "wss")], Scheme::Http),
        (&[(PROTO, "http, https")], Scheme::Https),
        (&[(PROTO, "https,http")], Scheme::Http),
        (&[(PROTO, "http"), (PROTO, "https")], Scheme::Https),
        (&[(PROTO, "http"), (FOR, "for=192.0.2.1;proto=https")], Scheme::Http),
        (&[(FOR, "for=192.0.2.1;proto=https")], Scheme::Https),
        (&[(FOR, "for=192.0.2.1;Proto=\"https\"; by=_a")], Scheme::Https),
        (&[(FOR, "for=192.0.2.1;proto=http, proto=https, ,")], Scheme::Https),
        (&[(FOR, "proto=https, for=192.0.2.1")], Scheme::Http),
        (&[(FOR, "for=\"a, proto=https\"")], Scheme::Http),
        (&[(FOR, "proto=https, for=\"a")], Scheme::Http),
    ];
    for (fields, wanted) in rows {
        assert_eq!(claimed_scheme(&map(fields)), *wanted, "{fields:?}");
    }
}

#[test]
fn what_a_trusted_peer_says_of_the_target_is_forwarded_as_far_as_it_is_keyed() {
    const OTHERS: [&str; 9] = [
        "x-forwarded-host",
        "x-forwarded-path",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-protocol",
        "x-forwarded-scheme",
        "x-forwarded-server",
        "x-forwarded-ssl",
        "x-forwarded-uri",
    ];
    for name in OTHERS {
        let field = HeaderName::from_static(name);
        let claims = map(&[(name, "evil"), ("x-forwarded-user", "alice")]);
        let trusted = Peer { trusted: true, ..peer("192.0.2.1") };
        let passed = |peer: &Peer<'_>| {
            let fields = request_fields(&claims, peer, "edge", "edge");
            assert_eq!(fields[X_FORWARDED_PROTO], "http", "{name}");
            fields.get_all(&field).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
        };
        let ours: &[&str] = if field == X_FORWARDED_HOST { &["a.example"] } else { &[] };
        let got: Vec<String> = passed(&trusted);
        assert_eq!(got, ours, "{name}: it is not keyed");
        let keyed = [HeaderName::from_static("x-other"), field.clone()];
        let got: Vec<String> = passed(&Peer { keyed: &keyed, ..trusted });
        assert_eq!(got, ["evil"], "{name}: it is keyed");
        let got: Vec<String> = passed(&Peer { keyed: &keyed, ..peer("192.0.2.1") });
        assert_eq!(got, ours, "{name}: nobody believes a stranger");
    }
}

#[test]
fn forwarded_of_a_trusted_peer_says_no_host_and_scheme_that_is_not_keyed() {
    let rows = [
        ("the same", "for=10.0.0.1;host=a.example;proto=http", None),
        ("neither", "for=10.0.0.1;by=_a , for=\"[::1]\" ; ext=1", None),
        ("in capitals and quotes", "for=10.0.0.1;Host=\"A.example\";Proto=\"HTTP\"", None),
        ("their words in another value", "for=\"proto=https;host=b\"", None),
        ("another scheme", "for=10.0.0.1;proto=https", Some("for=10.0.0.1")),
        ("another host", "for=10.0.0.1;host=b.example;proto=http", Some("for=10.0.0.1;proto=http")),
        ("a port", "host=\"a.example:8443\" ; for=10.0.0.1", Some("for=10.0.0.1")),
        ("in capitals and quotes", "PROTO=\"httpS\", HOST=\"B\"", Some("")),
        ("in the first of several", "proto=https, for=_b;proto=http", Some("for=_b;proto=http")),
        ("in the last", "proto=http, for=_a ; host=b", Some("proto=http, for=_a")),
        ("in one between", "for=_a,,host=b ,; for=_c", Some("for=_a, for=_c")),
        (
            "twice in one",
            "proto=https;proto=http;host=b;host=a.example",
            Some("proto=http;host=a.example"),
        ),
        ("with a quoted pair", "proto=\"http\\s\";for=_a", Some("for=_a")),
        ("with a quoted pair", "for=_a;host=\"a\\.example\"", Some("for=_a")),
    ];
    let ours = "for=192.0.2.1;host=a.example;proto=http";
    for (name, claim, left) in rows {
        let peer = Peer { trusted: true, ..peer("192.0.2.1") };
        let fields = request_fields(&map(&[("forwarded", claim)]), &peer, "edge", "edge");
        let expected = match left.unwrap_or(claim) {
            "" => ours.to_owned(),
            left => format!("{left}, {ours}"),
        };
        assert_eq!(fields[FORWARDED], expected, "{name}: {claim}");
    }
    let lines = map(&[("forwarded", "host=b"), ("forwarded", "for=_a;proto=https")]);
    let peer = Peer { trusted: true, scheme: Scheme::Https, ..peer("192.0.2.1") };
    let fields = request_fields(&lines, &peer, "edge", "edge");
    assert_eq!(fields[FORWARDED], "for=_a;proto=https, for=192.0.2.1;host=a.example;proto=https");
}

#[test]
fn forwarded_list_is_extended_only_when_it_is_one() {
    let rows: &[(&str, &str, bool)] = &[
        ("RFC 7239 §4 example", "for=\"_gazonk\"", true),
        ("RFC 7239 §4 example", "For=\"[2001:db8:cafe::17]:4711\"", true),
        ("RFC 7239 §4 example", "for=192.0.2.60;proto=http;by=203.0.113.43", true),
        ("RFC 7239 §4 example", "for=192.0.2.43, for=198.51.100.17", true),
        ("RFC 7239 §4 empty", "", true),
        ("RFC 7239 §4 empty elements", ",;, ;", true),
        ("RFC 9110 §5.6.4 comma in quotes", "for=\"a,b;c\"", true),
        ("RFC 9110 §5.6.4 quoted pair", "for=\"a\\\"b\"", true),
        ("RFC 9110 §5.6.4 open quote", "for=\"a", false),
        ("RFC 9110 §5.6.4 open quoted pair", "for=\"a\\\"", false),
        ("RFC 9110 §5.6.4 ends in a backslash", "for=\"a\\", false),
        ("RFC 7239 §4 no value", "by=", false),
        ("RFC 7239 §4 no name", "=a", false),
        ("RFC 7239 §4 no pair", "by", false),
        ("RFC 7239 §4 unquoted colon", "for=a:b", false),
        ("RFC 7239 §4 text after the quotes", "for=\"a\"b", false),
        ("RFC 7239 §4 two pairs without semicolon", "for=a proto=b", false),
    ];
    for (name, value, is_list) in rows {
        assert_eq!(forwarded::is_list(value.as_bytes()), *is_list, "{name}: {value}");
        let peer = Peer { trusted: true, ..peer("192.0.2.1") };
        let fields = request_fields(&map(&[("forwarded", value)]), &peer, "edge", "edge");
        let extended = fields[FORWARDED].as_bytes().starts_with(value.as_bytes());
        assert_eq!(extended, *is_list, "{name}: {value}");
    }
}

#[test]
fn loop_is_noticed_whatever_surrounds_our_name() {
    let rows: &[(&str, &str, bool)] = &[
        ("RFC 8586 §2 only us", "edge", true),
        ("RFC 8586 §2 in a list", "foo123.foocdn.example, edge", true),
        ("RFC 8586 §2 first", "edge,other", true),
        ("RFC 8586 §2 with parameters", "edge; trace=\"abcdef\";a=b", true),
        ("RFC 8586 §2 after parameters", "barcdn.example; trace=\"a,b\" , edge", true),
        ("RFC 8586 §2 case", "EDGE", true),
        ("RFC 8586 §2 empty members", ",, edge ,", true),
        ("RFC 8586 §2 absent", "foo123.foocdn.example, barcdn.example; trace=\"abcdef\"", false),
        ("RFC 8586 §2 empty", "", false),
        ("RFC 8586 §2 longer name", "edge1, my.edge, edge:80", false),
        ("RFC 8586 §2 in a parameter's name", "x;edge=1", false),
        ("RFC 8586 §2 in a parameter's value", "x;a=edge", false),
        ("RFC 8586 §2 in a quoted value", "x;a=\"b, edge\"", false),
        ("RFC 8586 §2 in a quoted value, escaped", "x;a=\"b\\\", edge\"", false),
        ("RFC 8586 §2 behind an open quote", "x;a=\", edge", true),
        ("RFC 8586 §2 behind an open escape", "x;a=\"\\, edge", true),
        ("RFC 8586 §2 behind a lone quote", "\", edge", true),
        ("RFC 8586 §2 parameters of nothing", ";a=b, edge", true),
        ("RFC 8586 §2 parameter without value", "x;a, edge", true),
        ("RFC 8586 §2 parameter without name", "x;=a, edge", true),
        ("RFC 8586 §2 two words", "x edge", true),
        ("RFC 8586 §2 broken, without us", "x;a=\", other", false),
    ];
    for (name, value, is_loop) in rows {
        let expected = if *is_loop { Err(Refusal::Loop) } else { Ok(None) };
        let one = map(&[("cdn-loop", value)]);
        assert_eq!(check(&Method::GET, &one, "edge"), expected, "{name}: {value}");
        let two = map(&[("cdn-loop", "other"), ("cdn-loop", value)]);
        assert_eq!(check(&Method::GET, &two, "edge"), expected, "{name}: second line");
    }
    let fields = sent(&[("cdn-loop", "a"), ("cdn-loop", "b;c=d")]);
    assert_eq!(fields[CDN_LOOP], "a, b;c=d, edge", "RFC 8586 §3 kept and extended");
    let odd = request_fields(&HeaderMap::new(), &peer("192.0.2.1"), "my edge", "my edge");
    assert_eq!(check(&Method::GET, &odd, "my edge"), Err(Refusal::Loop));
}

#[test]
fn methods_expectations_and_max_forwards_decide_the_passage() {
    type Row = (
        &'static str,
        &'static str,
        &'static [(&'static str, &'static str)],
        Result<Option<u64>, Refusal>,
    );
    const MF: &str = "max-forwards";
    let rows: &[Row] = &[
        ("RFC 9110 §9.3.1 GET", "GET", &[], Ok(None)),
        ("RFC 9110 §9.3.8 TRACE", "TRACE", &[], Err(Refusal::MethodNotAllowed)),
        ("RFC 9110 §9.3.6 CONNECT", "CONNECT", &[], Err(Refusal::MethodNotAllowed)),
        ("RFC 9110 §9.3.7 OPTIONS", "OPTIONS", &[], Ok(None)),
        ("RFC 9110 §9.1 unknown method", "FOO", &[], Ok(None)),
        ("RFC 9110 §10.1.1 known", "PUT", &[("expect", "100-Continue ")], Ok(None)),
        (
            "RFC 9110 §10.1.1 unknown",
            "PUT",
            &[("expect", "200-ok")],
            Err(Refusal::ExpectationFailed),
        ),
        (
            "RFC 9110 §10.1.1 one unknown",
            "PUT",
            &[("expect", "100-continue"), ("expect", "x")],
            Err(Refusal::ExpectationFailed),
        ),
        ("RFC 9110 §7.6.2 zero", "OPTIONS", &[(MF, "0")], Ok(Some(0))),
        ("RFC 9110 §7.6.2 one", "OPTIONS", &[(MF, "1")], Ok(Some(1))),
        ("RFC 9110 §7.6.2 ten", "OPTIONS", &[(MF, " 10")], Ok(Some(10))),
        (
            "RFC 9110 §7.6.2 too large",
            "OPTIONS",
            &[(MF, "99999999999999999999")],
            Ok(Some(u64::MAX)),
        ),
        ("RFC 9110 §7.6.2 no number", "OPTIONS", &[(MF, "x")], Ok(None)),
        ("RFC 9110 §7.6.2 sign", "OPTIONS", &[(MF, "+0")], Ok(None)),
        ("RFC 9110 §7.6.2 empty", "OPTIONS", &[(MF, "")], Ok(None)),
        ("RFC 9110 §7.6.2 twice", "OPTIONS", &[(MF, "0"), (MF, "0")], Ok(None)),
        ("RFC 9110 §7.6.2 other methods ignore it", "GET", &[(MF, "0")], Ok(None)),
    ];
    for (name, method, fields, expected) in rows {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        assert_eq!(check(&method, &map(fields), "edge"), *expected, "{name}");
    }
}

#[test]
fn filling_asks_for_the_whole_on_nobodys_condition() {
    let asked = map(&[
        ("if-match", "\"a\""),
        ("if-none-match", "\"a\""),
        ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("if-range", "\"a\""),
        ("range", "bytes=0-1"),
        ("expect", "100-continue"),
        ("te", "trailers"),
        ("connection", "te"),
        ("accept", "*/*"),
    ]);
    assert_eq!(lines(&for_filling(asked.clone())), ["accept: */*"]);
    let expected = ["accept: */*", "if-range: \"a\"", "range: bytes=0-1"];
    assert_eq!(lines(&for_range_filling(asked)), expected, "RFC 9111 §3.3 a Range miss");
}

#[test]
fn interim_response_says_nothing_about_content() {
    let received = map(&[
        ("link", "</a.css>; rel=preload"),
        ("content-length", "0"),
        ("connection", "x-a"),
        ("x-a", "1"),
    ]);
    assert_eq!(lines(&interim_fields(&received)), ["link: </a.css>; rel=preload"]);
}

#[test]
fn trailers_keep_only_what_may_come_late() {
    let barred = [
        "transfer-encoding",
        "content-length",
        "host",
        "cache-control",
        "max-forwards",
        "te",
        "authorization",
        "set-cookie",
        "cookie",
        "www-authenticate",
        "proxy-authenticate",
        "content-encoding",
        "content-type",
        "content-range",
        "trailer",
        "age",
        "date",
        "expires",
        "location",
        "retry-after",
        "vary",
        "warning",
        "pragma",
        "expect",
        "range",
        "if-match",
        "if-none-match",
        "if-modified-since",
        "if-unmodified-since",
        "if-range",
        "connection",
        "keep-alive",
        "upgrade",
        "via",
        "cdn-loop",
        "proxy-authorization",
        "last-modified",
        "content-location",
        "accept-ranges",
        "accept-encoding",
        "forwarded",
        "x-forwarded-for",
        "x_forwarded_proto",
        "x-forwarded-proto",
    ];
    for name in barred {
        assert!(!allowed_trailer(&HeaderName::from_static(name)), "RFC 9110 §6.5.1 {name}");
        assert!(trailer_fields(&map(&[(name, "x")])).is_empty(), "{name}");
    }
    let kept =
        map(&[("etag", "\"a\""), ("content-digest", "a"), ("server-timing", "a"), ("age", "1")]);
    assert_eq!(
        lines(&trailer_fields(&kept)),
        ["content-digest: a", "etag: \"a\"", "server-timing: a"]
    );
}

/// Field values of any visible bytes, with the characters that matter more often.
fn any_value() -> impl Strategy<Value = String> {
    "[ -~]{0,20}|[a-e\"\\\\,;= ]{0,20}"
}

proptest! {
    #[test]
    fn whatever_a_client_says_we_know_our_own_forward(
        lines in prop::collection::vec(any_value(), 0..3), node in "[a-e ]{1,4}",
    ) {
        let mut client = HeaderMap::new();
        for line in &lines {
            client.append(CDN_LOOP, HeaderValue::from_str(line).unwrap());
        }
        let fields = request_fields(&client, &peer("192.0.2.1"), &node, &node);
        prop_assert_eq!(check(&Method::GET, &fields, &node), Err(Refusal::Loop));
    }

    #[test]
    fn whatever_a_trusted_peer_says_our_element_is_the_last(
        line in any_value(), host in "[ -~]{0,12}",
    ) {
        let peer = Peer { trusted: true, host: &host, ..peer("2001:db8::1") };
        let client = map(&[("forwarded", &line)]);
        let fields = request_fields(&client, &peer, "edge", "edge");
        let all = fields[FORWARDED].as_bytes();
        let ours = forwarded::element(peer.address, &host, "http");
        prop_assert!(forwarded::is_list(all));
        prop_assert!(all.ends_with(ours.as_bytes()));
        let before = &all[..all.len() - ours.len()];
        prop_assert!(before.is_empty() || before.ends_with(b", "));
        prop_assert!(forwarded::is_list(before));
    }

    #[test]
    fn whatever_a_trusted_peer_says_one_target_is_left(
        pairs in prop::collection::vec(
            ("(for|host|HOST|proto|ext)", "(a|b|http|https|\"a\"|\"b;host=a\")", "(;|,| ; |, ,)"), 0..6,
        ),
    ) {
        let said = |(name, value, end): &(String, String, String)| format!("{name}={value}{end}");
        let line: String = pairs.iter().map(said).collect();
        prop_assert!(forwarded::is_list(line.as_bytes()));
        let left = forwarded::agreeing(line.as_bytes(), "a", "http");
        let left = left.unwrap_or_else(|| line.into_bytes());
        prop_assert!(forwarded::is_list(&left));
        prop_assert_eq!(forwarded::agreeing(&left, "a", "http"), None);
    }

    #[test]
    fn any_bytes_are_judged_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let _list = forwarded::is_list(&bytes);
        let _left = forwarded::agreeing(&bytes, "a", "http");
        let _loop = cdn_loop::names(&bytes, "edge");
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            let mut client = HeaderMap::new();
            for name in [CONNECTION, TE, VIA, FORWARDED, CDN_LOOP, header::MAX_FORWARDS] {
                client.insert(name, value.clone());
            }
            let _verdict = check(&Method::OPTIONS, &client, "edge");
            let _fields = request_fields(&client, &peer("::1"), "edge", "edge");
            let _fields = trailer_fields(&client);
        }
    }
}

#[test]
fn rfc9110_7_6_1_what_connection_nominates_is_gone_before_it_tells_anything_apart() {
    let mut fields = map(&[
        ("connection", "accept-language, X-Private"),
        ("connection", "close"),
        ("accept-language", "de"),
        ("x-private", "1"),
        ("x-other", "2"),
        ("host", "a.example"),
    ]);
    drop_nominated(&mut fields);
    let kept = ["connection: accept-language, X-Private", "connection: close", "host: a.example"];
    assert_eq!(lines(&fields), [&kept[..], &["x-other: 2"]].concat());
}

#[test]
fn rfc9110_7_6_1_host_and_what_every_client_nominates_stay() {
    for nominated in
        ["host", "TE", "Keep-Alive", "upgrade", "close", "", "a b", ",", "cdn-loop, VIA"]
    {
        let mut fields = map(&[
            ("connection", nominated),
            ("host", "a.example"),
            ("cdn-loop", "other"),
            ("via", "1.1 other"),
            ("te", "trailers"),
            ("keep-alive", "timeout=5"),
            ("upgrade", "h2c"),
        ]);
        let before = lines(&fields);
        drop_nominated(&mut fields);
        assert_eq!(lines(&fields), before, "{nominated:?}");
    }
}

#[test]
fn rfc8586_2_what_shows_a_loop_cannot_be_nominated() {
    let fields = sent(&[
        ("connection", "CDN-Loop, via, x-a"),
        ("cdn-loop", "other"),
        ("via", "1.1 other"),
        ("x-a", "1"),
    ]);
    assert_eq!(fields[CDN_LOOP], "other, edge");
    assert_eq!(fields[VIA], "1.1 other, 1.1 edge");
    assert!(!fields.contains_key("x-a"));
}

#[test]
fn rfc9113_8_2_3_split_cookies_become_one_line_in_their_order() {
    let client = map(&[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3; d=4")]);
    let fields = request_fields(&client, &peer("192.0.2.1"), "edge", "edge");
    let cookies: Vec<_> = fields.get_all(header::COOKIE).iter().collect();
    assert_eq!(cookies, ["a=1; b=2; c=3; d=4"]);
    let client = map(&[("cookie", ""), ("cookie", "a=1")]);
    let fields = request_fields(&client, &peer("192.0.2.1"), "edge", "edge");
    assert_eq!(fields[header::COOKIE], "; a=1", "as it is keyed");
    let one = request_fields(&map(&[("cookie", "a=1")]), &peer("192.0.2.1"), "edge", "edge");
    assert_eq!(one.get_all(header::COOKIE).iter().collect::<Vec<_>>(), ["a=1"]);
    let none = request_fields(&HeaderMap::new(), &peer("192.0.2.1"), "edge", "edge");
    assert!(!none.contains_key(header::COOKIE));
}

#[test]
fn rfc9112_6_a_filling_announces_no_content() {
    let client = map(&[("content-length", "5"), ("trailer", "x-sum"), ("accept", "*/*")]);
    for fields in [for_filling(client.clone()), for_range_filling(client)] {
        assert_eq!(lines(&fields), ["accept: */*"]);
    }
}
