//! Tables of keys, targets and variants.

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

/// Name, Vary lines, request that was stored for, request presented, whether it matches.
type VaryRow = (
    &'static str,
    &'static [&'static str],
    &'static [(&'static str, &'static str)],
    &'static [(&'static str, &'static str)],
    bool,
);

const VARIES: &[VaryRow] = &[
    ("rfc9111_4_1_no_vary", &[], &[("foo", "1")], &[("foo", "2")], true),
    ("rfc9111_4_1_empty_vary", &["", " , "], &[("foo", "1")], &[("foo", "2")], true),
    ("rfc9111_4_1_same", &["foo"], &[("foo", "1")], &[("foo", "1")], true),
    ("rfc9111_4_1_other", &["foo"], &[("foo", "1")], &[("foo", "2")], false),
    ("rfc9111_4_1_longer", &["foo"], &[("foo", "1")], &[("foo", "12")], false),
    ("rfc9111_4_1_shorter", &["foo"], &[("foo", "12")], &[("foo", "1")], false),
    ("rfc9111_4_1_not_nominated", &["foo"], &[("bar", "1")], &[("bar", "2")], true),
    ("rfc9111_4_1_absent_in_both", &["foo"], &[], &[], true),
    ("rfc9111_4_1_absent_when_stored", &["foo"], &[], &[("foo", "1")], false),
    ("rfc9111_4_1_absent_when_presented", &["foo"], &[("foo", "1")], &[], false),
    ("rfc9111_4_1_absent_is_not_empty", &["foo"], &[("foo", "")], &[], false),
    ("rfc9111_4_1_empty_in_both", &["foo"], &[("foo", "")], &[("foo", "")], true),
    ("rfc9111_4_1_name_in_any_case", &["FOO"], &[("foo", "1")], &[("foo", "2")], false),
    (
        "rfc9111_4_1_two_fields",
        &["foo, bar"],
        &[("foo", "1"), ("bar", "2")],
        &[("bar", "2"), ("foo", "1")],
        true,
    ),
    (
        "rfc9111_4_1_second_differs",
        &["foo, bar"],
        &[("foo", "1"), ("bar", "2")],
        &[("foo", "1"), ("bar", "3")],
        false,
    ),
    (
        "rfc9111_4_1_second_line_differs",
        &["foo", "bar"],
        &[("foo", "1"), ("bar", "2")],
        &[("foo", "1"), ("bar", "3")],
        false,
    ),
    ("rfc9111_4_1_three_fields", &["foo,bar,baz"], &[("baz", "1")], &[("baz", "2")], false),
    (
        "rfc9110_5_3_lines_are_one_list",
        &["foo"],
        &[("foo", "1"), ("foo", "2")],
        &[("foo", "1, 2")],
        true,
    ),
    (
        "rfc9110_5_3_order_of_lines",
        &["foo"],
        &[("foo", "1"), ("foo", "2")],
        &[("foo", "2"), ("foo", "1")],
        false,
    ),
    ("rfc9110_5_5_blanks_around", &["foo"], &[("foo", " 1\t")], &[("foo", "1")], true),
    ("rfc9111_4_1_unknown_blanks_within", &["foo"], &[("foo", "1,2")], &[("foo", "1, 2")], false),
    ("rfc9111_4_1_unknown_case", &["foo"], &[("foo", "a")], &[("foo", "A")], false),
    ("rfc9111_4_1_unknown_empty_members", &["foo"], &[("foo", "a,,b")], &[("foo", "a,b")], false),
    (
        "rfc9110_12_5_3_case",
        &["accept-encoding"],
        &[("accept-encoding", "gzip, br")],
        &[("accept-encoding", "GZIP, Br")],
        true,
    ),
    (
        "rfc9110_12_5_3_blanks",
        &["accept-encoding"],
        &[("accept-encoding", "gzip,br;q=0.5")],
        &[("accept-encoding", " gzip ,\tbr ; q=0.5")],
        true,
    ),
    (
        "rfc9110_12_5_3_empty_members",
        &["accept-encoding"],
        &[("accept-encoding", "gzip,,br,")],
        &[("accept-encoding", ",gzip,br")],
        true,
    ),
    (
        "rfc9110_12_5_3_lines",
        &["accept-encoding"],
        &[("accept-encoding", "gzip"), ("accept-encoding", "br")],
        &[("accept-encoding", "gzip,br")],
        true,
    ),
    (
        "rfc9110_12_5_3_other_coding",
        &["accept-encoding"],
        &[("accept-encoding", "gzip")],
        &[("accept-encoding", "br")],
        false,
    ),
    (
        "rfc9110_12_5_3_one_more",
        &["accept-encoding"],
        &[("accept-encoding", "gzip")],
        &[("accept-encoding", "gzip, br")],
        false,
    ),
    (
        "rfc9110_12_5_3_members_do_not_run_together",
        &["accept-encoding"],
        &[("accept-encoding", "gz, ip")],
        &[("accept-encoding", "gzip")],
        false,
    ),
    (
        "rfc9110_12_5_3_no_coding_is_not_absent",
        &["accept-encoding"],
        &[("accept-encoding", "")],
        &[],
        false,
    ),
    (
        "rfc9110_12_5_4_case",
        &["accept-language"],
        &[("accept-language", "de-AT,en")],
        &[("accept-language", "de-at, EN")],
        true,
    ),
    (
        "rfc9110_12_5_4_order_may_matter",
        &["accept-language"],
        &[("accept-language", "de,en")],
        &[("accept-language", "en,de")],
        false,
    ),
    (
        "rfc9110_12_5_4_blanks_within_are_malformed",
        &["accept-language"],
        &[("accept-language", "d e")],
        &[("accept-language", "de")],
        false,
    ),
    (
        "rfc9110_12_5_3_blanks_within_are_malformed",
        &["accept-encoding"],
        &[("accept-encoding", "gz\tip")],
        &[("accept-encoding", "gzip")],
        false,
    ),
    (
        "rfc9110_12_4_2_blanks_around_equals_are_malformed",
        &["accept-encoding"],
        &[("accept-encoding", "gzip;q= 0")],
        &[("accept-encoding", "gzip;q=0")],
        false,
    ),
    (
        "rfc9110_12_4_2_parameters_do_not_run_together",
        &["accept-encoding"],
        &[("accept-encoding", "gzip;q=0")],
        &[("accept-encoding", "gzipq=0")],
        false,
    ),
    (
        "rfc9113_8_2_3_lines_of_cookie_are_pairs",
        &["cookie"],
        &[("cookie", "a=1"), ("cookie", "b=2")],
        &[("cookie", "a=1; b=2")],
        true,
    ),
    (
        "rfc9113_8_2_3_lines_of_cookie_are_no_list",
        &["cookie"],
        &[("cookie", "a=1"), ("cookie", "b=2")],
        &[("cookie", "a=1, b=2")],
        false,
    ),
    ("rfc6265_4_2_case_of_cookies", &["cookie"], &[("cookie", "a=B")], &[("cookie", "a=b")], false),
    (
        "rfc9110_12_5_2_case",
        &["accept-charset"],
        &[("accept-charset", "UTF-8")],
        &[("accept-charset", "utf-8")],
        true,
    ),
    (
        "rfc9110_12_5_1_accept_may_hold_quotes",
        &["accept"],
        &[("accept", "a/b;c=\"D\"")],
        &[("accept", "a/b;c=\"d\"")],
        false,
    ),
];

#[test]
fn a_variant_matches_in_every_nominated_field() {
    for (name, vary, stored, presented, expected) in VARIES {
        let lines: Vec<_> = vary.iter().map(|line| ("vary", *line)).collect();
        let key = VaryKey::of(&fields(&lines), &fields(stored)).unwrap();
        assert!(key.matches(&fields(stored)), "{name}");
        assert_eq!(key.matches(&fields(presented)), *expected, "{name}");
        let other = VaryKey::of(&fields(&lines), &fields(presented)).unwrap();
        assert_eq!(key.same_variant(&other), *expected, "{name}");
    }
}

#[test]
fn rfc9111_4_1_star_and_what_is_no_name_match_nothing() {
    for lines in [&["*"][..], &["foo, *"], &["foo", " *"], &["a b"], &["foo,\"bar\""]] {
        let lines: Vec<_> = lines.iter().map(|line| ("vary", *line)).collect();
        let got = VaryKey::of(&fields(&lines), &HeaderMap::new());
        assert_eq!(got, Err(NoVariant::Unmatched), "{lines:?}");
    }
}

#[test]
fn rfc9111_4_1_what_we_write_of_the_peer_matches_nothing() {
    for line in ["X-Forwarded-For", "foo, forwarded", "via"] {
        let got = VaryKey::of(&fields(&[("vary", line)]), &HeaderMap::new());
        assert_eq!(got, Err(NoVariant::Unmatched), "{line}");
    }
}

#[test]
fn rfc9111_4_1_what_the_key_tells_apart_is_not_told_apart_again() {
    let response = fields(&[("vary", "X-Forwarded-Proto, X-Forwarded-Host, X-Forwarded-Port")]);
    let said = fields(&[("x-forwarded-proto", "https"), ("x-forwarded-port", "8443")]);
    let key = VaryKey::of(&response, &said).unwrap();
    assert!(key.is_empty() && key.matches(&HeaderMap::new()));
    let response = fields(&[("vary", "X-Forwarded-User, X-Forwarded-Host")]);
    let key = VaryKey::of(&response, &fields(&[("x-forwarded-user", "alice")])).unwrap();
    assert!(!key.matches(&HeaderMap::new()), "the trusted peer's own word");
}

#[test]
fn rfc7239_8_1_claims_of_a_stranger_tell_nothing_apart() {
    let alice = fields(&[("x-forwarded-user", "alice"), ("foo", "1")]);
    let plain = fields(&[("foo", "1")]);
    let response = fields(&[("vary", "x-forwarded-user, foo")]);
    let [alice_only, nobody_only] =
        [&alice, &plain].map(|request| VaryKey::of(&response, request).unwrap());
    for (trusted, alices, nobodys) in [(true, true, false), (false, false, true)] {
        let believed = Believed { fields: &alice, trusted };
        assert_eq!(alice_only.matches(&believed), alices, "{trusted}");
        assert_eq!(nobody_only.matches(&believed), nobodys, "{trusted}");
        assert_eq!(believed.count(), 2);
    }
    let mut dropped = alice;
    drop_claims(&mut dropped);
    assert_eq!(dropped, plain);
}

#[test]
fn nominated_names_are_sorted_and_single() {
    let of = |line| VaryKey::of(&fields(&[("vary", line)]), &HeaderMap::new()).unwrap();
    let names = |line| of(line).names().cloned().collect::<Vec<_>>();
    assert_eq!(names("foo, BAR, Foo, bar"), [BAR, FOO]);
    assert!(of("foo, bar").same_variant(&of("bar,foo,foo")));
    assert!(!of("foo").same_variant(&of("bar")));
    assert!(!of("foo").is_empty());
    assert!(of("").is_empty());
    assert!(VaryKey::default().is_empty());
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

#[test]
fn rfc9111_4_1_a_request_foresees_the_variant_that_it_would_store() {
    let response = fields(&[("vary", "foo, bar")]);
    let stored = VaryKey::of(&response, &fields(&[("foo", "1")])).unwrap();
    for request in [fields(&[("foo", "2"), ("bar", "x")]), fields(&[("foo", "1")]), fields(&[])] {
        let foreseen = stored.for_request(&request).unwrap();
        assert!(foreseen.matches(&request));
        assert!(foreseen.same_variant(&VaryKey::of(&response, &request).unwrap()));
        assert_eq!(foreseen.same_variant(&stored), stored.matches(&request));
    }
}

#[test]
fn rfc9111_4_1_values_that_are_too_long_are_no_variant() {
    let response = fields(&[("vary", "foo, accept-encoding")]);
    let of = |foo: usize, coding: usize| {
        let (foo, coding) = ("a".repeat(foo), "B".repeat(coding));
        let request = fields(&[("foo", &foo), ("accept-encoding", &coding)]);
        (VaryKey::of(&response, &request), request)
    };
    let max = NOMINATED_BYTES_MAX;
    let known = VaryKey::of(&response, &fields(&[])).unwrap();
    for (foo, coding, fits) in [
        (max, 0, true),
        (0, max, true),
        (24, max - 24, true),
        (max + 1, 0, false),
        (0, max + 1, false),
        (25, max - 24, false),
        (max, 30 * max, false),
    ] {
        let (key, request) = of(foo, coding);
        assert_eq!(key.is_ok(), fits, "{foo} {coding}");
        assert_eq!(key.as_ref().err().copied(), (!fits).then_some(NoVariant::TooLong));
        assert_eq!(known.for_request(&request), key.ok(), "{foo} {coding}");
    }
}

#[test]
fn rfc9111_4_1_long_values_that_differ_anywhere_are_other_variants() {
    for name in ["foo", "accept-encoding", "cookie"] {
        let response = fields(&[("vary", name)]);
        let values: Vec<_> = (0..NOMINATED_BYTES_MAX)
            .step_by(31)
            .map(|at| format!("{}b{}", "a".repeat(at), "a".repeat(NOMINATED_BYTES_MAX - 1 - at)))
            .collect();
        for one in &values {
            let key = VaryKey::of(&response, &fields(&[(name, one)])).unwrap();
            let longer = format!("{one}a");
            for other in values.iter().chain([&longer]) {
                let spaced = format!(" {other} ");
                for presented in [other, &spaced] {
                    assert_eq!(key.matches(&fields(&[(name, presented)])), one == other, "{name}");
                }
            }
        }
    }
}

#[test]
fn a_variant_weighs_its_names_and_values() {
    let response = fields(&[("vary", "foo, bar, accept-encoding")]);
    let request = fields(&[("foo", "12"), ("foo", "34"), ("accept-encoding", "A")]);
    let key = VaryKey::of(&response, &request).unwrap();
    assert_eq!(key.bytes(), "foobaraccept-encoding".len() + "12, 34".len() + "a".len());
    assert_eq!(VaryKey::default().bytes(), 0);
}
