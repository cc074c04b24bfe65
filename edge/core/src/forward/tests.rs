//! Field tables; each row names its clause.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::type_complexity,
    reason = "tables of rows, and sums that a test may get wrong"
)]

mod client;
mod properties;

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
