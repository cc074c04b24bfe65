//! Tables of sites: hosts, paths, and settings turned into values.

mod hosts;
mod paths;

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
