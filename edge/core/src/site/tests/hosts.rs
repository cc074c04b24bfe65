//! Hosts, their patterns, and which of several sites a host belongs to.

use super::*;

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
