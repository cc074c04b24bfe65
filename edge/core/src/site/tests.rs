//! Tables of sites: hosts, paths, and settings turned into values.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use http::{HeaderName, HeaderValue, StatusCode};
use proptest::prelude::*;

use super::{
    Host, HostChoice, HostPattern, Identity, PathPattern, Policy, Problem, ServerAddress, Site,
    SiteId, SiteTable, path,
};
use crate::{
    key::{NamePattern, Parameters, QueryPlan},
    settings::{
        EdgeSettings, OriginProtocol, QueryMode, QuerySettings, RuleSettings, SiteSettings,
    },
};

const HOSTS: &[(&str, Option<&str>)] = &[
    ("shop.example", Some("shop.example")),
    ("Shop.EXAMPLE", Some("shop.example")),
    ("shop.example.", Some("shop.example")),
    ("shop.example:8080", Some("shop.example")),
    ("shop.example.:80", Some("shop.example")),
    ("shop.example:", Some("shop.example")),
    ("localhost", Some("localhost")),
    ("192.0.2.1:80", Some("192.0.2.1")),
    ("[2001:db8::1]", Some("[2001:db8::1]")),
    ("[2001:DB8::1]:443", Some("[2001:db8::1]")),
    ("[::1]:", Some("[::1]")),
    ("a_b.example", Some("a_b.example")),
    ("a%2Db~!$&'()*+,;=", Some("a%2db~!$&'()*+,;=")),
    ("", None),
    (".", None),
    ("..", None),
    ("shop.example..", None),
    (":80", None),
    ("shop.example:x", None),
    ("shop.example:8x", None),
    ("shop.example:-1", None),
    ("shop.example:80:80", None),
    ("user@shop.example", None),
    ("shop example", None),
    (" shop.example", None),
    ("shop.example/", None),
    ("shop.example?", None),
    ("shop.example#", None),
    ("shop\\example", None),
    ("\u{e9}.example", None),
    ("a\u{7f}", None),
    ("2001:db8::1", None),
    ("[2001:db8::1", None),
    ("[2001:db8::1]x", None),
    ("[2001:db8::1]80", None),
    ("[shop.example]", None),
    ("[]", None),
    ("[192.0.2.1]", None),
    ("a[::1]", None),
];

#[test]
fn rfc9110_7_2_hosts_ignore_port_case_and_trailing_dot() {
    for (text, expected) in HOSTS {
        let host = Host::parse(text);
        assert_eq!(host.as_ref().map(Host::as_str), *expected, "{text}");
    }
    let borrowed = |text: &str| Host::parse(text).unwrap().as_str().as_ptr() == text.as_ptr();
    assert!(borrowed("shop.example.:80"));
    assert!(!borrowed("Shop.example"));
}

#[test]
fn host_patterns_are_exact_leading_stars_or_any() {
    let exact = |host: &str| Some(HostPattern::Exact(host.into()));
    let suffix = |host: &str| Some(HostPattern::Suffix(host.into()));
    let rows = [
        ("shop.example", exact("shop.example"), "shop.example"),
        ("Shop.Example.", exact("shop.example"), "shop.example"),
        ("[::1]", exact("[::1]"), "[::1]"),
        ("*.shop.example", suffix(".shop.example"), "*.shop.example"),
        ("*.Example", suffix(".example"), "*.example"),
        ("*", Some(HostPattern::Any), "*"),
        ("", None, ""),
        ("*.", None, ""),
        ("**", None, ""),
        ("*.*", None, ""),
        ("*example", None, ""),
        ("a.*.example", None, ""),
        ("shop.example:80", None, ""),
        ("*.shop.example:80", None, ""),
        ("[::1]:80", None, ""),
        ("http://shop.example", None, ""),
    ];
    for (text, expected, printed) in rows {
        let pattern = HostPattern::parse(text);
        assert_eq!(pattern, expected, "{text}");
        if let Some(pattern) = pattern {
            assert_eq!(pattern.to_string(), printed);
            assert_eq!(HostPattern::parse(printed), Some(pattern));
        }
    }
}

const PATHS: &[(&str, &str, bool)] = &[
    ("/", "/", true),
    ("/", "/a", false),
    ("/a", "/a", true),
    ("/a", "/a/", false),
    ("/a", "/", false),
    ("*", "/", true),
    ("*", "/a/b", true),
    ("*", "*", true),
    ("/*", "/", true),
    ("/img/*", "/img/", true),
    ("/img/*", "/img/a/b", true),
    ("/img/*", "/img", false),
    ("/img/*", "/imgs/a", false),
    ("/img*", "/imgs/a", true),
    ("*.css", "/a/b.css", true),
    ("*.css", "/a/b.css2", false),
    ("*.css", ".css", true),
    ("*.css", "/b.CSS", false),
    ("/a*b", "/ab", true),
    ("/a*b", "/a", false),
    ("/a*b", "/axxb", true),
    ("/a*b", "/axxbc", false),
    ("/a*a", "/a", false),
    ("/a*a", "/aa", true),
    ("/a*b*c", "/a1b2c", true),
    ("/a*b*c", "/a1c2b", false),
    ("/a*b*c", "/abbc", true),
    ("/a*bc*c", "/abc", false),
    ("/a*bc*c", "/abcc", true),
    ("*a*b*", "/xaxbx", true),
    ("*a*b*", "/xbxax", false),
    ("*aa*aa*", "/aaa", false),
    ("**", "/", true),
    ("/a**b", "/ab", true),
];

#[test]
fn path_patterns_match_whole_paths() {
    for (pattern, path, expected) in PATHS {
        let matches = PathPattern::parse(pattern).unwrap().matches(path);
        assert_eq!(matches, *expected, "{pattern} {path}");
    }
    for text in ["", "a", "a/*", "?", "/a?b", "/a#b", "/a b", "/\u{e9}", "/a\n"] {
        assert_eq!(PathPattern::parse(text), None, "{text}");
    }
}

pub(crate) fn settings(toml: &[(&str, &str)]) -> SiteSettings {
    let text = |name: &str| {
        toml.iter()
            .find(|(of, _)| *of == name)
            .map_or_else(String::new, |(_, value)| (*value).to_owned())
    };
    let list = |name: &str| text(name).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    SiteSettings {
        name: text("name"),
        id: String::new(),
        hosts: list("hosts"),
        origin: crate::settings::OriginSettings {
            servers: list("servers").iter().map(|url| url.as_str().into()).collect(),
            host: text("host"),
            sni: Some(text("sni")).filter(|sni| !sni.is_empty()),
            ca: Some("ca.pem".into()),
            certificate: Some("edge.pem".into()),
            key: Some("edge.key".into()),
            protocol: OriginProtocol::Http1,
            proxy_protocol: true,
            connections_max: 1,
            queue_max: 2,
            queue_timeout: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(4),
            first_byte_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(6),
            keep_alive: Duration::from_secs(7),
            ejection_failures: 8,
            ejection_time: Duration::from_secs(9),
            retry_percent: 10,
            balance: crate::settings::BalanceWord::RoundRobin,
            hash_load_max: 125,
            group_up_min: 70,
            ejection_time_max: Duration::from_secs(90),
            ejection_share_max: 50,
            ejection_error_percent: Some(30),
            ejection_latency_factor: None,
            ejection_requests_min: 20,
            ejection_window: Duration::from_secs(10),
            error_statuses: vec![504, 502],
            takeover_after: Duration::from_secs(11),
            slow_start: Duration::from_secs(12),
            concurrency: crate::settings::ConcurrencyWord::Fixed,
            hedge_after: None,
            check: None,
            bucket: None,
        },
        rules: Vec::new(),
    }
}

pub(crate) const GOOD: &[(&str, &str)] = &[
    ("name", "shop"),
    ("hosts", "shop.example *.shop.example"),
    ("servers", "http://a.example https://b.example:8443/"),
    ("host", "server"),
    ("sni", "c.example"),
];

fn build(settings: &SiteSettings) -> Result<Site, Vec<Problem>> {
    Site::build(settings, &EdgeSettings::default(), SiteId(4))
}

#[test]
fn a_site_is_built_from_its_settings() {
    let site = build(&settings(GOOD)).unwrap();
    assert_eq!((site.id, &*site.name), (SiteId(4), "shop"));
    let hosts =
        [HostPattern::Exact("shop.example".into()), HostPattern::Suffix(".shop.example".into())];
    assert_eq!(site.hosts, hosts);
    let origin = &*site.origin;
    let server = |tls, host: &str, port, authority: &str| ServerAddress {
        tls,
        host: host.to_owned(),
        port,
        service: None,
        authority: authority.to_owned(),
    };
    let servers = [
        server(false, "a.example", 80, "a.example"),
        server(true, "b.example", 8443, "b.example:8443"),
    ];
    let addresses: Vec<_> = origin.servers.iter().map(|server| server.address.clone()).collect();
    assert_eq!(addresses, servers);
    assert_eq!(origin.host, HostChoice::Server);
    assert_eq!(origin.sni.as_deref(), Some("c.example"));
    assert_eq!(origin.ca.as_deref().and_then(|path| path.to_str()), Some("ca.pem"));
    let identity = Identity { certificate: "edge.pem".into(), key: "edge.key".into() };
    assert_eq!((&origin.identity, origin.protocol), (&Some(identity), OriginProtocol::Http1));
    assert!(origin.proxy_protocol);
    let counts =
        [origin.connections_max, origin.queue_max, origin.ejection.failures, origin.retry_percent];
    assert_eq!(counts, [1, 2, 8, 10]);
    let times = [
        origin.queue_timeout,
        origin.connect_timeout,
        origin.first_byte_timeout,
        origin.idle_timeout,
        origin.keep_alive,
        origin.ejection.time,
    ];
    assert_eq!(times.map(|time| time.as_secs()), [3, 4, 5, 6, 7, 9]);
    assert!(site.rules.is_empty());
    let targeted = [HeaderName::from_static("cdn-cache-control")];
    let fallback = Policy {
        targeted_fields: targeted.into(),
        withheld_fields: crate::purge::FOR_CACHES.into(),
        ..Policy::default()
    };
    assert_eq!(site.fallback, fallback);
}

#[test]
fn the_default_policy_is_that_of_an_empty_rule() {
    let expected = Policy {
        cache: true,
        default_ttl: None,
        min_ttl: None,
        max_ttl: None,
        negative_ttl: Vec::new(),
        heuristic_percent: 10,
        heuristic_max: Duration::from_secs(86_400),
        stale_while_revalidate: None,
        stale_if_error: None,
        stale_on_failure: Duration::from_secs(3_600),
        honour_client_reload: false,
        query: QueryPlan { keep: Parameters::All, sort: false },
        key_fields: Vec::new(),
        targeted_fields: Arc::default(),
        withheld_fields: Arc::default(),
    };
    assert_eq!(Policy::default(), expected);
}

#[test]
fn servers_of_one_authority_are_told_apart_and_none_stands_twice() {
    let with = |servers| {
        let pairs: Vec<_> = GOOD.iter().filter(|(name, _)| *name != "servers").copied().collect();
        build(&settings(&[&*pairs, &[("servers", servers)]].concat()))
    };
    let all = "http://a:443 https://a https://a:443 http://b http+srv://b https://b:80 http://c";
    let problems = with(all).unwrap_err();
    let printed: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let expected = "origin.servers[2]: \"https://a:443\" is servers[1] already; who is to get more has \
        a weight";
    assert_eq!(printed, [expected]);
    let site = with("http://a:443 https://a:80 https://a http://b http+srv://b http://c").unwrap();
    let names: Vec<&str> = site.origin.servers.iter().map(|server| &*server.name).collect();
    assert_eq!(names, ["a:443", "a:80", "a", "http://b", "http+srv://b", "c"]);
    let site = with("http://a https://a https://b:80").unwrap();
    let names: Vec<&str> = site.origin.servers.iter().map(|server| &*server.name).collect();
    assert_eq!(names, ["http://a", "https://a", "b:80"]);
    let keys: HashSet<u64> = site.origin.servers.iter().map(|server| server.key).collect();
    assert_eq!(keys.len(), 3);
}

/// Whether TLS, host, port, authority.
type Address = (bool, &'static str, u16, &'static str);

#[test]
fn server_addresses_are_read_from_urls() {
    let rows: &[(&str, Option<Address>)] = &[
        ("http://a.example", Some((false, "a.example", 80, "a.example"))),
        ("http://a.example/", Some((false, "a.example", 80, "a.example"))),
        ("http://a.example:80", Some((false, "a.example", 80, "a.example"))),
        ("http://A.example:443", Some((false, "a.example", 443, "a.example:443"))),
        ("https://a.example", Some((true, "a.example", 443, "a.example"))),
        ("https://a.example:80", Some((true, "a.example", 80, "a.example:80"))),
        ("http://127.0.0.1:65535", Some((false, "127.0.0.1", 65_535, "127.0.0.1:65535"))),
        ("http://[::1]", Some((false, "::1", 80, "[::1]"))),
        ("https://[::1]:8443/", Some((true, "::1", 8_443, "[::1]:8443"))),
        ("http://a_b-c.example", Some((false, "a_b-c.example", 80, "a_b-c.example"))),
        ("a.example", None),
        ("ftp://a.example", None),
        ("HTTP://a.example", None),
        ("http://", None),
        ("http:///", None),
        ("http://a.example/b", None),
        ("http://a.example?b", None),
        ("http://a.example:0", None),
        ("http://a.example:", None),
        ("http://a.example:65536", None),
        ("http://u@a.example", None),
        ("http://a!.example", None),
        ("http://a%20b", None),
    ];
    for (url, expected) in rows {
        let expected = expected.map(|(tls, host, port, authority)| ServerAddress {
            tls,
            host: host.to_owned(),
            port,
            service: None,
            authority: authority.to_owned(),
        });
        assert_eq!(ServerAddress::parse(url), expected, "{url}");
    }
}

/// Whether TLS, service, host.
type Service = (bool, &'static str, &'static str);

#[test]
fn rfc2782_services_are_read_from_urls() {
    let rows: &[(&str, Option<Service>)] = &[
        ("http+srv://a.example", Some((false, "_http._tcp.a.example", "a.example"))),
        ("https+srv://A.example/", Some((true, "_https._tcp.a.example", "a.example"))),
        ("https+srv://_web._tcp.a.example", Some((true, "_web._tcp.a.example", "a.example"))),
        ("http+srv://a.example:80", None),
        ("http+srv://192.0.2.1", None),
        ("http+srv://[2001:db8::1]", None),
        ("http+srv://_web.a.example", None),
        ("http+srv://_web._udp.a.example", None),
        ("http+srv://_web._tcp.", None),
        ("http+srv://", None),
        ("srv://a.example", None),
    ];
    for (url, expected) in rows {
        let expected = expected.map(|(tls, service, host)| ServerAddress {
            tls,
            host: host.to_owned(),
            port: if tls { 443 } else { 80 },
            service: Some(service.to_owned()),
            authority: host.to_owned(),
        });
        assert_eq!(ServerAddress::parse(url), expected, "{url}");
    }
}

#[test]
fn the_host_that_is_sent_is_chosen() {
    let choice = |host| {
        let mut settings = settings(GOOD);
        settings.origin.host = String::from(host);
        build(&settings).map(|site| site.origin.host.clone()).map_err(|problems| problems.len())
    };
    assert_eq!(choice("server"), Ok(HostChoice::Server));
    assert_eq!(choice("client"), Ok(HostChoice::Client));
    let name = HeaderValue::from_static("Www.example:8080");
    assert_eq!(choice("Www.example:8080"), Ok(HostChoice::Name(name)));
    assert_eq!(choice("a b"), Err(1));
    assert_eq!(choice(""), Err(1));
}

#[test]
fn rules_become_policies() {
    let mut settings = settings(GOOD);
    settings.rules = vec![
        RuleSettings {
            path: "/img/*".to_owned(),
            cache: false,
            default_ttl: Some(Duration::from_secs(1)),
            min_ttl: Some(Duration::from_secs(3)),
            max_ttl: Some(Duration::from_secs(3)),
            negative_ttl: BTreeMap::from(
                [("404", "10s"), ("599", "1m 1s"), ("400", "0s")]
                    .map(|(status, ttl)| (status.to_owned(), ttl.to_owned())),
            ),
            heuristic_percent: 4,
            heuristic_max: Duration::from_secs(5),
            stale_while_revalidate: Some(Duration::from_secs(6)),
            stale_if_error: Some(Duration::from_secs(7)),
            stale_on_failure: Duration::from_secs(8),
            honour_client_reload: true,
            query: QuerySettings {
                mode: QueryMode::Drop,
                names: vec!["utm_*".to_owned(), "a".to_owned()],
                sort: true,
            },
            key_fields: vec!["X-Device".to_owned()],
        },
        RuleSettings { path: "/img/b*".to_owned(), ..RuleSettings::default() },
    ];
    let site = build(&settings).unwrap();
    let status = |code| StatusCode::from_u16(code).unwrap();
    let patterns = vec![NamePattern::Prefix("utm_".into()), NamePattern::Exact("a".into())];
    let expected = Policy {
        cache: false,
        default_ttl: Some(Duration::from_secs(1)),
        min_ttl: Some(Duration::from_secs(3)),
        max_ttl: Some(Duration::from_secs(3)),
        negative_ttl: vec![
            (status(400), Duration::ZERO),
            (status(404), Duration::from_secs(10)),
            (status(599), Duration::from_secs(61)),
        ],
        heuristic_percent: 4,
        heuristic_max: Duration::from_secs(5),
        stale_while_revalidate: Some(Duration::from_secs(6)),
        stale_if_error: Some(Duration::from_secs(7)),
        stale_on_failure: Duration::from_secs(8),
        honour_client_reload: true,
        query: QueryPlan { keep: Parameters::Except(patterns), sort: true },
        key_fields: vec![HeaderName::from_static("x-device")],
        targeted_fields: [HeaderName::from_static("cdn-cache-control")].into(),
        withheld_fields: crate::purge::FOR_CACHES.into(),
    };
    assert_eq!(site.policy("/img/a"), &expected);
    // The first rule that matches applies, and none but the fallback elsewhere.
    assert_eq!(site.policy("/img/b"), &expected);
    assert!(std::ptr::eq(site.policy("/js/b"), &raw const site.fallback));
}

/// A path, and the name of the rule that it is under: none is the fallback.
const READINGS: &[(&str, &str)] = &[
    ("/static/a", "static"),
    ("/account/a", "account"),
    ("/", ""),
    ("*", ""),
    ("", ""),
    // RFC 3986 §6.2.2.2: the same path.
    ("/%73tatic/a", "static"),
    ("/%61ccount/a", "account"),
    ("/%41ccount/a", ""),
    ("/%7euser/a", "user"),
    ("/~user/a", "user"),
    // RFC 3986 §6.2.2.1: capitals or not.
    ("/caf%c3%a9/a", "café"),
    ("/caf%C3%A9/a", "café"),
    ("/caf%C3%a9/a", "café"),
    ("/caf%C3/a", ""),
    // No escapes at all.
    ("/static/%", "static"),
    ("/static/%7", "static"),
    ("/static/%+7", "static"),
    ("/static/%zz", "static"),
    // Dot segments, in whatever dress.
    ("/static/../account/a", "ambiguous"),
    ("/static/./a", "ambiguous"),
    ("/static/..", "ambiguous"),
    ("/static/.", "ambiguous"),
    ("/static/%2e%2E/account/a", "ambiguous"),
    ("/static/..%2Faccount/a", "ambiguous"),
    ("/static/%2e%2e%2faccount", "ambiguous"),
    ("/static/..%5caccount", "ambiguous"),
    ("/static/..\\account", "ambiguous"),
    ("/static/..;/account", "ambiguous"),
    ("/other/../a", "ambiguous"),
    ("/static/.../a", "static"),
    ("/static/..a", "static"),
    ("/static/a..", "static"),
    ("/static/.well-known", "static"),
    // Other slashes: under one rule in both readings, or under two.
    ("/static/a%2Fb", "static"),
    ("/static/a%5cb", "static"),
    ("/static/a//b", "static"),
    ("/static/https://a.example/b", "static"),
    ("/other/a%2fb", ""),
    ("/other//b", ""),
    ("/x//y", ""),
    ("//account/a", "ambiguous"),
    ("/account%2Fa", "ambiguous"),
    ("/account\\a", "ambiguous"),
    ("/static%2fa", "ambiguous"),
    ("//", ""),
    // A rule may itself speak of encoded slashes.
    ("/pkg/@a%2Fb/c", "package"),
    ("/pkg/@a%2fb/c", "package"),
    ("/pkg/@a/b/c", ""),
];

#[test]
fn rfc3986_6_2_a_path_that_may_be_under_two_rules_is_not_stored() {
    let rules = [
        ("static", "/static/*", true),
        ("account", "/account/*", false),
        ("user", "/%7Euser/*", true),
        ("café", "/caf%c3%A9/*", true),
        ("package", "/pkg/@*%2f*", true),
    ];
    let mut settings = settings(GOOD);
    settings.rules = rules
        .map(|(_, path, cache)| RuleSettings {
            path: path.to_owned(),
            cache,
            default_ttl: Some(Duration::from_secs(60)),
            ..RuleSettings::default()
        })
        .to_vec();
    let site = build(&settings).unwrap();
    let name = |path: &str| {
        let policy = site.policy(path);
        let is = |of: &Policy| std::ptr::eq(policy, of);
        let rule = site.rules.iter().zip(rules).find(|(rule, _)| is(&rule.policy));
        match rule {
            Some((_, (name, ..))) => name,
            None if is(&site.ambiguous) => "ambiguous",
            None => "",
        }
    };
    for (path, expected) in READINGS {
        assert_eq!(name(path), *expected, "{path}");
    }
    assert!(!site.ambiguous.cache);
    assert_eq!(site.ambiguous.targeted_fields, site.fallback.targeted_fields);
    // Without rules there is nothing to walk out of.
    let plain = build(&self::settings(GOOD)).unwrap();
    assert!(std::ptr::eq(plain.policy("/a/../b"), &raw const plain.fallback));
}

#[test]
fn query_settings_become_plans() {
    let plan = |mode| {
        let query = QuerySettings { mode, names: vec!["a".to_owned()], sort: false };
        let mut settings = settings(GOOD);
        settings.rules = vec![RuleSettings { query, ..RuleSettings::default() }];
        build(&settings).unwrap().policy("/").query.keep.clone()
    };
    let names = vec![NamePattern::Exact("a".into())];
    assert_eq!(plan(QueryMode::All), Parameters::All);
    assert_eq!(plan(QueryMode::None), Parameters::None);
    assert_eq!(plan(QueryMode::Keep), Parameters::Only(names.clone()));
    assert_eq!(plan(QueryMode::Drop), Parameters::Except(names));
}

#[test]
fn every_problem_of_a_site_is_reported_at_once() {
    let mut settings = settings(&[
        ("name", "Shop"),
        ("hosts", "shop.example a:80"),
        ("servers", "http://a.example ftp://b"),
        ("host", "a/b"),
        ("sni", "a b"),
    ]);
    settings.rules = vec![
        RuleSettings::default(),
        RuleSettings {
            path: "img".to_owned(),
            min_ttl: Some(Duration::from_secs(2)),
            max_ttl: Some(Duration::from_secs(1)),
            negative_ttl: BTreeMap::from([
                ("200".to_owned(), "1s".to_owned()),
                ("404".to_owned(), "soon".to_owned()),
                ("600".to_owned(), "1s".to_owned()),
                ("x".to_owned(), "1s".to_owned()),
            ]),
            key_fields: ["ok", "a b", "X-Forwarded-For", "X-Forwarded-Proto"]
                .map(str::to_owned)
                .to_vec(),
            ..RuleSettings::default()
        },
    ];
    let problems = build(&settings).unwrap_err();
    let printed: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let expected = [
        "name: \"Shop\" is not a DNS label: a-z, 0-9 and inner -",
        "hosts[1]: \"a:80\" is not a host name without port, *.name, or *",
        "origin.servers[1]: \"ftp://b\" is not http://host[:port] or https://host[:port], or \
         http+srv://name or https+srv://name",
        "origin.sni: \"a b\" is not a host name",
        "origin.host: \"a/b\" is not server, client or a host name",
        "rule[1].min_ttl: min_ttl is greater than max_ttl",
        "rule[1].negative_ttl.200: \"200\" is not an error status from 400 to 599",
        "rule[1].negative_ttl.404: \"soon\" is not a duration such as \"10s\"",
        "rule[1].negative_ttl.600: \"600\" is not an error status from 400 to 599",
        "rule[1].negative_ttl.x: \"x\" is not an error status from 400 to 599",
        "rule[1].key_fields[1]: \"a b\" is not a field name",
        "rule[1].key_fields[2]: \"X-Forwarded-For\" is not a field that clients set: the edge writes it for each of them",
        "rule[1].path: \"img\" is not a path from / on, or *",
    ];
    assert_eq!(printed, expected);
    settings.hosts.clear();
    settings.origin.servers.clear();
    settings.rules.clear();
    let problems = build(&settings).unwrap_err();
    let at: Vec<&str> = problems.iter().map(|problem| problem.at.as_str()).collect();
    assert_eq!(at, ["name", "hosts", "origin.servers", "origin.sni", "origin.host"]);
}

#[test]
fn names_are_dns_labels() {
    let long = "a".repeat(63);
    let longer = "a".repeat(64);
    let rows = [
        ("a", true),
        ("a-b9", true),
        (long.as_str(), true),
        (longer.as_str(), false),
        ("", false),
        ("-a", false),
        ("a-", false),
        ("a.b", false),
        ("a_b", false),
        ("A", false),
    ];
    for (name, expected) in rows {
        let mut settings = settings(GOOD);
        settings.name = String::from(name);
        assert_eq!(build(&settings).is_ok(), expected, "{name}");
    }
}

fn site(name: &str, hosts: &str) -> Arc<Site> {
    let mut settings = settings(GOOD);
    settings.name = name.to_owned();
    settings.hosts = hosts.split_whitespace().map(str::to_owned).collect();
    Arc::new(build(&settings).unwrap())
}

#[test]
fn exact_hosts_go_before_the_longest_suffix_and_any_comes_last() {
    let sites = vec![
        site("any", "*"),
        site("short", "*.example"),
        site("long", "*.shop.example"),
        site("exact", "shop.example [::1]"),
    ];
    let table = SiteTable::build(sites).unwrap();
    let rows = [
        ("shop.example", "exact"),
        ("SHOP.example.:8080", "exact"),
        ("[::1]:80", "exact"),
        ("a.shop.example", "long"),
        ("a.b.shop.example", "long"),
        ("ashop.example", "short"),
        ("a.example", "short"),
        ("a.b.example", "short"),
        (".example", "any"),
        ("example", "any"),
        ("a.exampled", "any"),
        ("192.0.2.1", "any"),
    ];
    for (host, expected) in rows {
        let found = table.find(&Host::parse(host).unwrap()).unwrap();
        assert_eq!(&*found.name, expected, "{host}");
    }
    let names: Vec<&str> = table.sites().iter().map(|site| &*site.name).collect();
    assert_eq!(names, ["any", "short", "long", "exact"]);
}

#[test]
fn without_a_catch_all_unknown_hosts_have_no_site() {
    let table = SiteTable::build(vec![site("a", "a.example *.b.example")]).unwrap();
    let find = |host| table.find(&Host::parse(host).unwrap()).is_some();
    assert!(find("a.example") && find("x.b.example"));
    assert!(!find("b.example") && !find("x.a.example") && !find("example") && !find("c"));
    assert!(SiteTable::default().find(&Host::parse("a").unwrap()).is_none());
}

#[test]
fn no_name_and_no_host_stands_twice() {
    let problems = SiteTable::build(vec![
        site("a", "a.example *.a.example *"),
        site("b", "b.example A.example"),
        site("a", "*.A.example * c.example c.example"),
    ])
    .unwrap_err();
    let printed: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let expected = [
        "site[1].hosts[1]: \"a.example\" belongs to site \"a\" already",
        "site[2].name: \"a\" is the name of site[0] as well",
        "site[2].hosts[0]: \"*.a.example\" belongs to site \"a\" already",
        "site[2].hosts[1]: \"*\" belongs to site \"a\" already",
        "site[2].hosts[3]: \"c.example\" belongs to site \"a\" already",
    ];
    assert_eq!(printed, expected);
}

/// The plain definition of a pattern, slow on purpose.
fn matches_plainly(pattern: &[u8], path: &[u8]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), None) => matches_plainly(rest, path),
        (Some((b'*', rest)), Some((_, after))) => {
            matches_plainly(rest, path) || matches_plainly(pattern, after)
        }
        (Some((a, rest)), Some((b, after))) => a == b && matches_plainly(rest, after),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

proptest! {
    #[test]
    fn path_patterns_match_as_defined(pattern in "[/*][ab*]{0,6}", path in "/[ab]{0,8}") {
        let parsed = PathPattern::parse(&pattern).unwrap();
        let expected = matches_plainly(pattern.as_bytes(), path.as_bytes());
        prop_assert_eq!(parsed.matches(&path), expected);
    }

    #[test]
    fn reading_a_path_twice_changes_nothing(path in "/([a./;%\\\\25FfCceE]|%2F|%2e|%5c|//){0,12}") {
        let normal = path::normal(&path);
        let resolved = path::resolved(&normal);
        prop_assert_eq!(path::resolved(&resolved), resolved.clone());
        prop_assert!(!resolved.contains("//") && !resolved.contains('\\'));
        if path::is_plain(&path) {
            prop_assert_eq!(&resolved, &path);
            prop_assert!(!path::has_dot_segment(&path));
        }
    }

    #[test]
    fn a_parsed_host_is_normal(text in "\\PC{0,16}|[a-zA-Z.:\\[\\]0-9]{0,12}") {
        if let Some(host) = Host::parse(&text) {
            let normal = host.as_str();
            prop_assert!(!normal.is_empty() && normal.is_ascii());
            prop_assert_eq!(normal, normal.to_ascii_lowercase());
            prop_assert!(normal.starts_with('[') || !normal.contains(':'));
            prop_assert!(!normal.ends_with('.'));
        }
        if let Some(server) = ServerAddress::parse(&format!("http://{text}")) {
            prop_assert!(!server.host.contains(['/', '[']));
        }
    }
}
