//! Rows: a kind, strings that are one, strings that are not.

use super::*;

fn text(kind: Kind, min: &str, max: &str) -> Text {
    let bound = |bound: &str| Some(bound.to_owned()).filter(|bound| !bound.is_empty());
    Text { kind, min: bound(min), max: bound(max), words: Vec::new() }
}

#[test]
fn a_kind_takes_what_it_names_and_nothing_else() {
    let rows: &[(Kind, &[&str], &[&str])] = &[
        (Kind::Plain, &["", "anything"], &[]),
        (
            Kind::Duration,
            &["0s", "90s", "1h 30m", "10 years", "250ms"],
            &["", "5", "s", "5 q", "-1s"],
        ),
        (Kind::Bytes, &["0 B", "64 MiB", "1GB", "1.5 GiB", "4096"], &["", "MiB", "5 q", "-1 B"]),
        (Kind::SocketAddress, &["0.0.0.0:80", "[::1]:0"], &["", ":80", "::1:80", "localhost:80"]),
        (Kind::Address, &["192.0.2.6", "2001:db8::6"], &["", "192.0.2.6:1", "192.0.2", "a"]),
        (Kind::Network, &["10.0.0.0/8", "::1/128"], &["", "10.0.0.0", "10.0.0.1/8", "10.0.0.0/33"]),
        (Kind::Host, &["a.example", "A.example.", "192.0.2.1", "[::1]"], &["", "*", "a b", "a..b"]),
        (
            Kind::HostPattern,
            &["*", "*.a.example", "a_b.example", "xn--bcher-kva.example"],
            &["", "*.", "*.*.a", "a.*.b", "*a.example", "bücher.example", "a:80", "*.192.0.2.1"],
        ),
        (Kind::Label, &["a", "a-1"], &["", "A", "-a", "a-", "a.b", "a_b", &"a".repeat(64)]),
        (Kind::Name, &["fra-1", "a.b_c"], &["", "-a", "a b", "ä", &"a".repeat(65)]),
        (Kind::Path, &["a", "/a/b c"], &["", "a\0b"]),
        (Kind::PathPattern, &["*", "/", "/a/*.js", "*.js"], &["", "a", "/a?b", "/a#b", "/a b"]),
        (Kind::FieldName, &["Accept", "x-a_b"], &["", "A B", "A:", "ä"]),
        (
            Kind::NatsUrl,
            &["nats://a", "nats://10.0.0.1:4222", "tls://[::1]:4222", "nats://a/"],
            &["", "a", "nats://", "http://a", "nats://a/b", "nats://u:p@a", "ws://a", "nats://a:0"],
        ),
        (
            Kind::OriginUrl,
            &["http://a", "https://a.example:8443", "http://[::1]:80", "http://a/"],
            &[
                "",
                "a",
                "htp://a",
                "http://",
                "http://a/b",
                "http://a:0",
                "http://a:99999",
                "http://u:p@a",
            ],
        ),
        (Kind::Authority, &["a.example", "a:8080", "[::1]:80"], &["", "a b", "http://a", "a:0"]),
        (Kind::StatusTtl, &["10s"], &["10"]),
        (Kind::Parameter, &["utm_*", "a"], &[""]),
        (Kind::UriPath, &["/", "/a?b=c"], &["", "a", "/a b", "/a#b", "/é"]),
        (
            Kind::RelativeName,
            &["@", "*", "www", "*.img", "a.b", "_dns", "WWW"],
            &["", ".", "www.", "a..b", "a.*", "*a", "é", "a b", "@.a"],
        ),
        (
            Kind::CookieSecret,
            &["e5e973e5a6b2a43f48e7dc849e37bfcf"],
            &["", "e5e973e5a6b2a43f48e7dc849e37bfc", "g5e973e5a6b2a43f48e7dc849e37bfcf"],
        ),
    ];
    for (kind, right, wrong) in rows {
        for value in *right {
            assert_eq!(text(*kind, "", "").check(value), Ok(()), "{kind:?} {value:?}");
        }
        for value in *wrong {
            assert!(text(*kind, "", "").check(value).is_err(), "{kind:?} {value:?}");
        }
    }
}

#[test]
fn bounds_include_their_ends() {
    let time = text(Kind::Duration, "1s", "10m");
    for (value, fault) in
        [("999ms", Some("too small")), ("1s", None), ("600s", None), ("601s", Some("too large"))]
    {
        assert_eq!(time.check(value).err().map(|c| c.fault).as_deref(), fault, "{value}");
    }
    let size = text(Kind::Bytes, "1 KiB", "1 MiB");
    for (value, fault) in [
        ("1 KB", Some("too small")),
        ("1024", None),
        ("1 MiB", None),
        ("1.1 MiB", Some("too large")),
    ] {
        assert_eq!(size.check(value).err().map(|c| c.fault).as_deref(), fault, "{value}");
    }
}

#[test]
fn common_slips_are_answered_with_the_remedy() {
    for (kind, value, advice) in [
        (Kind::Duration, "30", "for seconds write \"30s\""),
        (Kind::SocketAddress, "0.0.0.0", "add a port: \"0.0.0.0:80\""),
        (Kind::SocketAddress, "::1", "add a port: \"[::1]:80\""),
        (Kind::SocketAddress, "8080", "add an address: \"0.0.0.0:8080\""),
        (Kind::SocketAddress, ":80", "for all addresses write \"0.0.0.0:80\" and \"[::]:80\""),
        (Kind::SocketAddress, "127.0.0.1:99999", "a port is a number from 0 to 65535"),
        (Kind::Network, "10.1.2.3/8", "did you mean \"10.0.0.0/8\"?"),
        (Kind::Network, "127.0.0.1", "for one address write \"127.0.0.1/32\""),
        (Kind::HostPattern, "https://a.example/x", "did you mean \"a.example\", without https://?"),
        (
            Kind::HostPattern,
            "a.example:80",
            "did you mean \"a.example\"? Hosts match on every port",
        ),
        (Kind::HostPattern, ".a.example", "did you mean \"*.a.example\"?"),
        (Kind::HostPattern, "bücher.example", "write it in its ASCII form (xn--…)"),
        (Kind::Label, "My_Shop", "did you mean \"my-shop\"?"),
        (Kind::OriginUrl, "HTTPS://a", "did you mean \"https://a\"?"),
        (Kind::PathPattern, "/é", "write spaces and letters beyond ASCII as %20 and the like"),
        (Kind::HostPattern, "::1", "did you mean \"[::1]\"?"),
        (Kind::UriPath, "health", "did you mean \"/health\"?"),
        (
            Kind::RelativeName,
            "www.cdn.example.",
            "leave out the name of the zone: a route answers in each",
        ),
        (Kind::PathPattern, "img/*", "did you mean \"/img/*\"?"),
        (Kind::OriginUrl, "a.example:8080", "did you mean \"https://a.example:8080\"?"),
        (Kind::OriginUrl, "htp://x", "did you mean \"http://x\"?"),
        (
            Kind::OriginUrl,
            "http://a/b",
            "leave out \"/b\": the client's path is forwarded as it is",
        ),
        (Kind::OriginUrl, "http://me:secret@a", "credentials do not belong into a URL"),
        (Kind::NatsUrl, "10.0.0.1:4222", "did you mean \"nats://10.0.0.1:4222\"?"),
        (
            Kind::NatsUrl,
            "nats://me:secret@a",
            "a secret does not belong into a URL; name its file as `credentials`",
        ),
    ] {
        let complaint = text(kind, "", "").check(value).unwrap_err();
        assert_eq!(complaint.advice.as_deref(), Some(advice), "{value}");
    }
}

#[test]
fn a_word_is_allowed_beside_the_kind() {
    let mut access = text(Kind::Host, "", "");
    access.words = vec!["server".to_owned()];
    assert_eq!(access.check("server"), Ok(()));
    assert!(access.allowed().starts_with("\"server\" or a host name"));
}
