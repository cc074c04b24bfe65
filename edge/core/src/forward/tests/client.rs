//! What is said of the client and of the target, whoever says it.

use super::*;

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
