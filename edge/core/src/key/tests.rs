//! Tables of keys, targets and variants.

mod vary;

use std::borrow::{Borrow, Cow};

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::{
    CacheKey, KeyParts, NOMINATED_BYTES_MAX, NamePattern, NoVariant, Parameters, QueryPlan, Scheme,
    VaryKey, forward_target, uri_part, write_key,
};
use crate::{
    fields::Fields,
    forward::{Believed, drop_claims},
    site::SiteId,
};

const FOO: HeaderName = HeaderName::from_static("foo");
const BAR: HeaderName = HeaderName::from_static("bar");

fn fields(list: &[(&'static str, &str)]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in list {
        fields.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    fields
}

fn key(
    scheme: Scheme,
    site: u64,
    host: &str,
    target: &str,
    names: &[HeaderName],
    fields: &HeaderMap,
) -> String {
    let mut buf = b">".to_vec();
    let site = SiteId(site);
    write_key(&mut buf, &KeyParts { scheme, site, host, target, key_fields: names, fields });
    String::from_utf8(buf).unwrap()
}

#[test]
fn a_key_holds_scheme_site_host_path_query_and_the_rules_fields() {
    let none = HeaderMap::new();
    let some = fields(&[("foo", "1"), ("foo", "2"), ("baz", "3")]);
    let names = [FOO, BAR];
    let rows = [
        (key(Scheme::Http, 0, "a.example", "/", &[], &some), ">http/0/a.example/"),
        (key(Scheme::Https, 10, "a.example", "/b?c", &[], &none), ">https/10/a.example/b?c"),
        (
            key(Scheme::Http, u64::MAX, "[::1]", "/", &[], &none),
            ">http/18446744073709551615/[::1]/",
        ),
        (key(Scheme::Http, 105, "a", "*", &[], &none), ">http/105/a *"),
        (key(Scheme::Http, 1, "a", "/", &names, &some), ">http/1/a/\nfoo=1, 2\nbar"),
        (key(Scheme::Http, 1, "a", "/", &names, &none), ">http/1/a/\nfoo\nbar"),
        (key(Scheme::Http, 1, "a", "/", &[FOO], &fields(&[("foo", "")])), ">http/1/a/\nfoo="),
    ];
    for (key, expected) in rows {
        assert_eq!(key, expected);
    }
}

#[test]
fn an_invalidation_speaks_of_the_uri_part() {
    assert_eq!(uri_part(b"http/1/a/\nfoo=1\nbar"), b"http/1/a/");
    assert_eq!(uri_part(b"http/1/a/"), b"http/1/a/");
}

#[test]
fn a_key_is_found_by_its_bytes_and_printed_for_people() {
    let key = CacheKey::from(&b"http/1/a/ ~\n\x1f\x7f\xe9\xff"[..]);
    assert_eq!(key.as_bytes(), b"http/1/a/ ~\n\x1f\x7f\xe9\xff");
    assert_eq!(Borrow::<[u8]>::borrow(&key), key.as_bytes());
    assert_eq!(key.to_string(), "http/1/a/ ~%0A%1F%7F%E9%FF");
    let table = std::collections::HashMap::from([(key.clone(), 1)]);
    assert_eq!(table.get(key.as_bytes()), Some(&1));
}

#[test]
fn writing_a_key_allocates_nothing_in_a_buffer_with_room() {
    let mut buf = Vec::with_capacity(64);
    let fields = fields(&[("foo", "1")]);
    let start = buf.as_ptr();
    let site = SiteId(7);
    let parts = KeyParts {
        scheme: Scheme::Https,
        site,
        host: "a.example",
        target: "/b",
        key_fields: &[FOO],
        fields: &fields,
    };
    write_key(&mut buf, &parts);
    assert_eq!(buf.as_ptr(), start);
    assert_eq!(buf, b"https/7/a.example/b\nfoo=1");
}

fn plan(mode: &str, names: &[&str], sort: bool) -> QueryPlan {
    let patterns = names.iter().map(|name| NamePattern::parse(name)).collect();
    let keep = match mode {
        "all" => Parameters::All,
        "none" => Parameters::None,
        "only" => Parameters::Only(patterns),
        _ => Parameters::Except(patterns),
    };
    QueryPlan { keep, sort }
}

/// Mode, names, sort, target, what is forwarded, whether it is borrowed.
type TargetRow = (&'static str, &'static [&'static str], bool, &'static str, &'static str, bool);

const TARGETS: &[TargetRow] = &[
    ("all", &[], false, "/a", "/a", true),
    ("all", &[], false, "/a?b=2&a=1", "/a?b=2&a=1", true),
    ("all", &[], false, "/a?", "/a?", true),
    ("all", &[], true, "/a?a=1&b=2", "/a?a=1&b=2", true),
    ("all", &[], true, "/a?b=2&a=1", "/a?a=1&b=2", false),
    ("all", &[], true, "/a?b=2&a=1&b=1&a=0", "/a?a=1&a=0&b=2&b=1", false),
    ("all", &[], true, "/a?b&a", "/a?a&b", false),
    ("all", &[], true, "/a?a=2&a=1", "/a?a=2&a=1", true),
    ("all", &[], true, "/a?ab=1&a=2", "/a?a=2&ab=1", false),
    ("all", &[], true, "/a?b=1&&a=1", "/a?&a=1&b=1", false),
    ("none", &[], false, "/a", "/a", true),
    ("none", &[], false, "/a?b=2", "/a", true),
    ("none", &[], true, "/a?b=2?c", "/a", true),
    ("none", &[], false, "/a?", "/a", true),
    ("only", &["a"], false, "/x?a=1", "/x?a=1", true),
    ("only", &["a"], false, "/x?a", "/x?a", true),
    ("only", &["a"], false, "/x?b=1&a=1&ab=2&A=3", "/x?a=1", false),
    ("only", &["a"], false, "/x?b=1", "/x", true),
    ("only", &["a", "c"], false, "/x?c=1&b=1&a=1", "/x?c=1&a=1", false),
    ("only", &["a", "c"], true, "/x?c=1&b=1&a=1", "/x?a=1&c=1", false),
    ("only", &["a*"], false, "/x?a=1&ab=2&b=3", "/x?a=1&ab=2", false),
    ("only", &["a"], false, "/x?a=1&", "/x?a=1", false),
    ("except", &["utm_*", "fbclid"], false, "/x?a=1", "/x?a=1", true),
    ("except", &["utm_*", "fbclid"], false, "/x?utm_a=1&a=1&fbclid=2", "/x?a=1", false),
    ("except", &["utm_*", "fbclid"], false, "/x?utm_a=1", "/x", true),
    ("except", &["utm_*"], false, "/x?utm=1", "/x?utm=1", true),
    ("except", &["a"], false, "/x?b=a", "/x?b=a", true),
    ("except", &["a"], false, "/x?a=1?b", "/x", true),
    ("except", &["a"], true, "/x?c=1&a=1&b=1", "/x?b=1&c=1", false),
    ("except", &["*"], false, "/x?b=a&c", "/x", true),
    ("except", &["a"], false, "/x?%61=1", "/x?%61=1", true),
];

#[test]
fn a_rule_drops_keeps_lists_and_sorts_query_parameters() {
    for (mode, names, sort, target, expected, borrowed) in TARGETS {
        let forwarded = forward_target(target, &plan(mode, names, *sort));
        assert_eq!(forwarded, *expected, "{mode} {names:?} {sort} {target}");
        assert_eq!(matches!(forwarded, Cow::Borrowed(_)), *borrowed, "{mode} {names:?} {target}");
    }
}

fn any_value() -> impl Strategy<Value = String> {
    "[ -~]{0,12}"
}

proptest! {
    #[test]
    fn keys_are_injective(
        a in (any::<bool>(), 0_u64..30, "[a-c1-9.]{1,4}", "/[a-c/?=*]{0,4}", proptest::option::of(any_value()), proptest::option::of("[ab=]{0,3}")),
        b in (any::<bool>(), 0_u64..30, "[a-c1-9.]{1,4}", "/[a-c/?=*]{0,4}", proptest::option::of(any_value()), proptest::option::of("[ab=]{0,3}")),
    ) {
        let write = |parts: &(bool, u64, String, String, Option<String>, Option<String>)| {
            let (tls, site, host, target, foo, bar) = parts;
            let mut list = Vec::new();
            list.extend(foo.as_ref().map(|value| ("foo", value.as_str())));
            list.extend(bar.as_ref().map(|value| ("bar", value.as_str())));
            let scheme = if *tls { Scheme::Https } else { Scheme::Http };
            key(scheme, *site, host, target, &[FOO, BAR], &fields(&list))
        };
        let trimmed = |parts: &(bool, u64, String, String, Option<String>, Option<String>)| {
            let mut parts = parts.clone();
            parts.4 = parts.4.map(|value| value.trim().to_owned());
            parts
        };
        prop_assert_eq!(write(&a) == write(&b), trimmed(&a) == trimmed(&b));
    }

    #[test]
    fn what_is_dropped_is_dropped_once_and_for_all(
        target in "/[a-c]{0,2}(\\?[abc=&*]{0,12})?",
        mode in 0_usize..4,
        names in proptest::collection::vec("[abc]{1,2}\\*?", 0..3),
        sort: bool,
    ) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let plan = plan(["all", "none", "only", "except"][mode], &names, sort);
        let once = forward_target(&target, &plan);
        prop_assert!(once.len() <= target.len());
        prop_assert_eq!(forward_target(&once, &plan), once.clone());
        prop_assert_eq!(once.split('?').next(), target.split('?').next());
    }

    #[test]
    fn matching_agrees_with_storing(
        vary in "(foo|accept-encoding|accept-language|\\*|,| ){0,3}",
        one in proptest::collection::vec(any_value(), 0..3),
        other in proptest::collection::vec(any_value(), 0..3),
    ) {
        let of = |values: &[String]| {
            let list: Vec<_> = values.iter()
                .flat_map(|value| [("foo", value.as_str()), ("accept-encoding", value.as_str())])
                .collect();
            fields(&list)
        };
        let (one, other) = (of(&one), of(&other));
        let response = fields(&[("vary", &vary)]);
        match (VaryKey::of(&response, &one), VaryKey::of(&response, &other)) {
            (Ok(a), Ok(b)) => {
                prop_assert!(a.matches(&one) && b.matches(&other));
                prop_assert_eq!(a.matches(&other), a.same_variant(&b));
            }
            (a, b) => prop_assert_eq!(a, b),
        }
    }
}

#[test]
fn a_key_names_its_site_origin_and_host() {
    type Row<'a> = (&'a [u8], Option<u64>, &'a [u8], &'a [u8]);
    let rows: &[Row<'_>] = &[
        (b"http/12/a.example/x/y?z", Some(12), b"http/12/a.example", b"a.example"),
        (b"https/1/a.example/", Some(1), b"https/1/a.example", b"a.example"),
        (b"https/1/[2001:db8::1]/x\nk=/", Some(1), b"https/1/[2001:db8::1]", b"[2001:db8::1]"),
        (b"http/1/a *", Some(1), b"http/1/a", b"a"),
        (b"http/1/a", Some(1), b"http/1/a", b"a"),
        (b"http/12", Some(12), b"http/12", b""),
        (b"http/x/a", None, b"http/x/a", b"a"),
        (b"http/99999999999999999999/a", None, b"http/99999999999999999999/a", b"a"),
        (b"", None, b"", b""),
    ];
    for (key, site, origin, host) in rows {
        assert_eq!(super::site_of(key), site.map(SiteId), "{key:?}");
        assert_eq!(super::origin_part(key), *origin);
        assert_eq!(super::host_part(key), *host);
    }
}
