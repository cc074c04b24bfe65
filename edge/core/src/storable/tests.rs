//! Tables of storability. Each row cites its clause.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use proptest::prelude::*;

use super::{Exchange, NotStored, StoredHead, is_of_resource, judge};
use crate::{
    freshness::LifetimeSource, range::ContentRange, site::Policy, time::Timestamp,
    validation::Validators,
};

/// Sun, 06 Nov 1994 08:49:37 GMT.
const NOW: u64 = 784_111_777;
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const BEFORE: &str = "Sun, 06 Nov 1994 08:47:57 GMT";
const TARGET: &str = "https://shop.example/a/b?c=d";

type Fields = &'static [(&'static str, &'static str)];

fn fields(list: &[(&'static str, &str)]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in list {
        fields.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    fields
}

fn policy() -> Policy {
    let targeted = HeaderName::from_static("cdn-cache-control");
    Policy { targeted_fields: [targeted].into(), ..Policy::default() }
}

fn store(
    method: &Method,
    request: &[(&'static str, &str)],
    status: u16,
    response: &[(&'static str, &str)],
    policy: &Policy,
) -> Result<StoredHead, NotStored> {
    judge(&Exchange {
        method,
        target: TARGET,
        request_fields: &fields(request),
        status: StatusCode::from_u16(status).unwrap(),
        response_fields: &fields(response),
        request_time: Timestamp::from_secs(NOW),
        response_time: Timestamp::from_secs(NOW),
        policy,
    })
}

/// Name, status, response fields; `None`: stored.
type ResponseRow = (&'static str, u16, Fields, Option<NotStored>);

const RESPONSES: &[ResponseRow] = &[
    ("rfc9111_3_max_age", 200, &[("cache-control", "max-age=1")], None),
    ("rfc9111_3_s_maxage", 200, &[("cache-control", "s-maxage=1")], None),
    ("rfc9111_3_expires", 200, &[("expires", "Mon, 07 Nov 1994 08:49:37 GMT")], None),
    ("rfc9111_3_last_modified", 200, &[("last-modified", BEFORE)], None),
    ("rfc9111_3_etag_alone_for_validation", 200, &[("etag", "\"a\"")], None),
    ("rfc9111_3_nothing_said", 200, &[], Some(NotStored::Useless)),
    ("rfc9111_3_public_alone", 200, &[("cache-control", "public")], Some(NotStored::Useless)),
    ("rfc9111_3_302_nothing_said", 302, &[("etag", "\"a\"")], Some(NotStored::Unspecified)),
    ("rfc9111_3_302_max_age", 302, &[("cache-control", "max-age=1")], None),
    ("rfc9111_3_302_expires", 302, &[("expires", "Mon, 07 Nov 1994 08:49:37 GMT")], None),
    ("rfc9111_3_302_public", 302, &[("cache-control", "public"), ("last-modified", BEFORE)], None),
    (
        "rfc9111_3_302_last_modified",
        302,
        &[("last-modified", BEFORE)],
        Some(NotStored::Unspecified),
    ),
    ("rfc9111_3_500_max_age", 500, &[("cache-control", "max-age=1")], None),
    ("rfc9111_3_500_nothing_said", 500, &[("etag", "\"a\"")], Some(NotStored::Unspecified)),
    ("rfc9111_3_unknown_status_max_age", 299, &[("cache-control", "max-age=1")], None),
    ("rfc9111_3_599_max_age", 599, &[("cache-control", "max-age=1")], None),
    ("rfc9111_3_599_nothing_said", 599, &[("etag", "\"a\"")], Some(NotStored::Unspecified)),
    ("rfc9111_3_100", 100, &[("cache-control", "max-age=1")], Some(NotStored::Status)),
    ("rfc9111_3_103", 103, &[("cache-control", "max-age=1")], Some(NotStored::Status)),
    ("rfc9111_3_304", 304, &[("cache-control", "max-age=1")], Some(NotStored::Status)),
    ("rfc9110_15_5_13_412", 412, &[("cache-control", "max-age=1")], Some(NotStored::Status)),
    ("rfc9110_15_5_17_416", 416, &[("cache-control", "max-age=1")], Some(NotStored::Status)),
    (
        "rfc9111_5_2_2_5_no_store",
        200,
        &[("cache-control", "no-store, max-age=1")],
        Some(NotStored::NoStore),
    ),
    (
        "rfc9111_5_2_2_5_no_store_public",
        200,
        &[("cache-control", "public, no-store")],
        Some(NotStored::NoStore),
    ),
    (
        "rfc9111_5_2_2_7_private",
        200,
        &[("cache-control", "private, max-age=1")],
        Some(NotStored::Private),
    ),
    (
        "rfc9111_5_2_2_7_private_s_maxage",
        200,
        &[("cache-control", "private, s-maxage=1")],
        Some(NotStored::Private),
    ),
    (
        "rfc9111_5_2_2_7_private_of_a_field",
        200,
        &[("cache-control", "private=\"X\", max-age=1")],
        None,
    ),
    (
        "rfc9111_5_2_2_4_no_cache_with_validator",
        200,
        &[("cache-control", "no-cache"), ("etag", "\"a\"")],
        None,
    ),
    (
        "rfc9111_5_2_2_4_no_cache_modified",
        200,
        &[("cache-control", "no-cache"), ("last-modified", BEFORE)],
        None,
    ),
    (
        "rfc9111_5_2_2_4_no_cache_without",
        200,
        &[("cache-control", "no-cache, max-age=1")],
        Some(NotStored::Useless),
    ),
    (
        "rfc9111_5_2_2_4_no_cache_of_a_field",
        200,
        &[("cache-control", "no-cache=\"X\", max-age=1")],
        None,
    ),
    (
        "rfc9111_5_2_2_3_understood",
        200,
        &[("cache-control", "must-understand, no-store, max-age=1")],
        None,
    ),
    (
        "rfc9111_5_2_2_3_understood_404",
        404,
        &[("cache-control", "must-understand, no-store, max-age=1")],
        None,
    ),
    (
        "rfc9111_5_2_2_3_understood_private",
        200,
        &[("cache-control", "must-understand, no-store, private, max-age=1")],
        Some(NotStored::Private),
    ),
    (
        "rfc9111_5_2_2_3_not_understood",
        299,
        &[("cache-control", "must-understand, no-store, max-age=1")],
        Some(NotStored::MustUnderstand),
    ),
    (
        "rfc9111_5_2_2_3_not_understood_alone",
        599,
        &[("cache-control", "must-understand, max-age=1")],
        Some(NotStored::MustUnderstand),
    ),
    ("rfc9111_4_1_vary", 200, &[("cache-control", "max-age=1"), ("vary", "Accept, Foo")], None),
    (
        "rfc9111_4_1_vary_star",
        200,
        &[("cache-control", "max-age=1"), ("vary", "*")],
        Some(NotStored::Vary),
    ),
    (
        "rfc9111_4_1_vary_star_in_a_list",
        200,
        &[("cache-control", "max-age=1"), ("vary", "Foo, *")],
        Some(NotStored::Vary),
    ),
    (
        "rfc9111_4_1_vary_star_in_a_line",
        200,
        &[("cache-control", "max-age=1"), ("vary", "Foo"), ("vary", "*")],
        Some(NotStored::Vary),
    ),
    (
        "rfc9110_12_5_5_vary_malformed",
        200,
        &[("cache-control", "max-age=1"), ("vary", "a b")],
        Some(NotStored::Vary),
    ),
    (
        "set_cookie_with_max_age",
        200,
        &[("cache-control", "max-age=1"), ("set-cookie", "a=b")],
        None,
    ),
    (
        "set_cookie_with_expires",
        200,
        &[("expires", "Mon, 07 Nov 1994 08:49:37 GMT"), ("set-cookie", "a=b")],
        None,
    ),
    (
        "set_cookie_targeted",
        200,
        &[("cdn-cache-control", "max-age=1"), ("set-cookie", "a=b")],
        None,
    ),
    (
        "set_cookie_max_age_0",
        200,
        &[("cache-control", "max-age=0"), ("etag", "\"a\""), ("set-cookie", "a=b")],
        Some(NotStored::SetCookie),
    ),
    (
        "set_cookie_max_age_malformed",
        200,
        &[("cache-control", "max-age=x"), ("etag", "\"a\""), ("set-cookie", "a=b")],
        Some(NotStored::SetCookie),
    ),
    (
        "set_cookie_s_maxage_0",
        200,
        &[("cache-control", "s-maxage=0, max-age=1"), ("etag", "\"a\""), ("set-cookie", "a=b")],
        Some(NotStored::SetCookie),
    ),
    (
        "set_cookie_max_age_passed",
        200,
        &[("cache-control", "max-age=1"), ("age", "1"), ("etag", "\"a\""), ("set-cookie", "a=b")],
        Some(NotStored::SetCookie),
    ),
    (
        "set_cookie_expires_0",
        200,
        &[("expires", "0"), ("etag", "\"a\""), ("set-cookie", "a=b")],
        Some(NotStored::SetCookie),
    ),
    (
        "set_cookie_expires_now",
        200,
        &[("expires", "Sun, 06 Nov 1994 08:49:37 GMT"), ("etag", "\"a\""), ("set-cookie", "a=b")],
        Some(NotStored::SetCookie),
    ),
    (
        "set_cookie_expires_minus_1",
        200,
        &[("expires", "-1"), ("etag", "\"a\""), ("set-cookie", "a=b")],
        Some(NotStored::SetCookie),
    ),
    (
        "set_cookie_targeted_0",
        200,
        &[
            ("cdn-cache-control", "max-age=0"),
            ("cache-control", "max-age=1"),
            ("etag", "\"a\""),
            ("set-cookie", "a=b"),
        ],
        Some(NotStored::SetCookie),
    ),
    (
        "set_cookie_no_cache",
        200,
        &[("cache-control", "no-cache, max-age=1"), ("etag", "\"a\""), ("set-cookie", "a=b")],
        Some(NotStored::SetCookie),
    ),
    (
        "set_cookie_max_age_0_while_revalidate",
        200,
        &[
            ("cache-control", "max-age=0, stale-while-revalidate=9"),
            ("etag", "\"a\""),
            ("set-cookie", "a=b"),
        ],
        Some(NotStored::SetCookie),
    ),
    (
        "set_cookie_heuristic",
        200,
        &[("last-modified", BEFORE), ("set-cookie", "a=b")],
        Some(NotStored::SetCookie),
    ),
    (
        "set_cookie_public_heuristic",
        200,
        &[("cache-control", "public"), ("last-modified", BEFORE), ("set-cookie", "a=b")],
        Some(NotStored::SetCookie),
    ),
    (
        "set_cookie_etag",
        200,
        &[("etag", "\"a\""), ("set-cookie", "a=b")],
        Some(NotStored::SetCookie),
    ),
    (
        "set_cookie_withheld",
        200,
        &[
            ("cache-control", "no-cache=\"set-cookie\""),
            ("last-modified", BEFORE),
            ("set-cookie", "a=b"),
        ],
        None,
    ),
    (
        "rfc9213_2_2_targeted_lifts_no_store",
        200,
        &[("cdn-cache-control", "max-age=1"), ("cache-control", "no-store")],
        None,
    ),
    (
        "rfc9213_2_2_targeted_no_store",
        200,
        &[("cdn-cache-control", "no-store"), ("cache-control", "max-age=1")],
        Some(NotStored::NoStore),
    ),
    (
        "rfc9213_2_2_targeted_private",
        200,
        &[("cdn-cache-control", "private"), ("cache-control", "max-age=1")],
        Some(NotStored::Private),
    ),
    (
        "rfc9213_2_2_expires_is_ignored",
        302,
        &[("cdn-cache-control", "must-revalidate"), ("expires", "Mon, 07 Nov 1994 08:49:37 GMT")],
        Some(NotStored::Unspecified),
    ),
    ("rfc9111_4_2_4_stale_at_once_for_failures", 200, &[("cache-control", "max-age=0")], None),
    (
        "rfc9111_5_2_2_2_stale_at_once_for_ever",
        200,
        &[("cache-control", "max-age=0, must-revalidate")],
        Some(NotStored::Useless),
    ),
    (
        "rfc9111_5_2_2_10_stale_at_once_for_ever",
        200,
        &[("cache-control", "s-maxage=0")],
        Some(NotStored::Useless),
    ),
    (
        "rfc5861_3_stale_at_once_but_allowed",
        200,
        &[("cache-control", "s-maxage=0, stale-while-revalidate=1")],
        None,
    ),
    (
        "rfc9111_4_2_1_age_beyond_s_maxage",
        200,
        &[("cache-control", "s-maxage=1"), ("age", "1")],
        Some(NotStored::Useless),
    ),
];

#[test]
fn a_response_to_get_is_stored_as_rfc9111_3_says() {
    let policy = policy();
    for (name, status, response, expected) in RESPONSES {
        let verdict = store(&Method::GET, &[], *status, response, &policy);
        assert_eq!(verdict.err(), *expected, "{name}");
    }
}

/// Name, method, request fields, status, response fields, expected.
type RequestRow = (&'static str, Method, Fields, u16, Fields, Option<NotStored>);

const FRESH: Fields = &[("cache-control", "max-age=9")];
const AUTH: Fields = &[("authorization", "Basic x")];

const REQUESTS: &[RequestRow] = &[
    ("rfc9110_9_2_3_head", Method::HEAD, &[], 200, FRESH, Some(NotStored::Method)),
    ("rfc9110_9_2_3_put", Method::PUT, &[], 200, FRESH, Some(NotStored::Method)),
    ("rfc9110_9_2_3_delete", Method::DELETE, &[], 200, FRESH, Some(NotStored::Method)),
    ("rfc9110_9_2_3_options", Method::OPTIONS, &[], 200, FRESH, Some(NotStored::Method)),
    (
        "rfc9111_5_2_1_5_no_store",
        Method::GET,
        &[("cache-control", "no-store")],
        200,
        FRESH,
        Some(NotStored::RequestNoStore),
    ),
    (
        "rfc9111_5_2_1_4_no_cache_stores",
        Method::GET,
        &[("cache-control", "no-cache")],
        200,
        FRESH,
        None,
    ),
    ("rfc9111_3_5_authorization", Method::GET, AUTH, 200, FRESH, Some(NotStored::Authorization)),
    ("rfc9111_3_5_public", Method::GET, AUTH, 200, &[("cache-control", "public, max-age=9")], None),
    ("rfc9111_3_5_s_maxage", Method::GET, AUTH, 200, &[("cache-control", "s-maxage=9")], None),
    (
        "rfc9111_3_5_must_revalidate",
        Method::GET,
        AUTH,
        200,
        &[("cache-control", "max-age=9, must-revalidate")],
        None,
    ),
    (
        "rfc9111_3_5_proxy_revalidate_is_not_enough",
        Method::GET,
        AUTH,
        200,
        &[("cache-control", "max-age=9, proxy-revalidate")],
        Some(NotStored::Authorization),
    ),
    (
        "rfc9111_3_5_expires_is_not_enough",
        Method::GET,
        AUTH,
        200,
        &[("expires", "Mon, 07 Nov 1994 08:49:37 GMT")],
        Some(NotStored::Authorization),
    ),
    (
        "rfc9111_3_5_public_private",
        Method::GET,
        AUTH,
        200,
        &[("cache-control", "public, private, max-age=9")],
        Some(NotStored::Private),
    ),
    (
        "request_is_named_before_the_response",
        Method::GET,
        AUTH,
        200,
        &[("cache-control", "no-store")],
        Some(NotStored::Authorization),
    ),
    ("cookie_alone_forbids_nothing", Method::GET, &[("cookie", "a=b")], 200, FRESH, None),
];

#[test]
fn the_request_decides_as_well() {
    let policy = policy();
    for (name, method, request, status, response, expected) in REQUESTS {
        let verdict = store(method, request, *status, response, &policy);
        assert_eq!(verdict.err(), *expected, "{name}");
    }
}

/// Name, status, cache-control, content-location lines, stored.
type PostRow = (&'static str, u16, &'static str, &'static [&'static str], bool);

const POSTS: &[PostRow] = &[
    ("rfc9110_9_3_3_absolute", 200, "max-age=9", &["https://shop.example/a/b?c=d"], true),
    ("rfc9110_9_3_3_absolute_path", 200, "max-age=9", &["/a/b?c=d"], true),
    ("rfc9110_9_3_3_relative_path", 201, "max-age=9", &["b?c=d"], true),
    ("rfc9110_4_2_3_case_and_port", 200, "max-age=9", &["HTTPS://Shop.Example:443/a/b?c=d"], true),
    ("rfc9110_9_3_3_other_path", 200, "max-age=9", &["/a/c?c=d"], false),
    ("rfc9110_9_3_3_other_query", 200, "max-age=9", &["/a/b"], false),
    ("rfc9110_9_3_3_other_scheme", 200, "max-age=9", &["http://shop.example/a/b?c=d"], false),
    ("rfc9110_9_3_3_other_host", 200, "max-age=9", &["https://shop.test/a/b?c=d"], false),
    ("rfc9110_9_3_3_other_port", 200, "max-age=9", &["https://shop.example:444/a/b?c=d"], false),
    ("rfc9110_9_3_3_no_location", 200, "max-age=9", &[], false),
    ("rfc9110_9_3_3_two_locations", 200, "max-age=9", &["/a/b?c=d", "/a/b?c=d"], false),
    ("rfc9110_9_3_3_not_ascii", 200, "max-age=9", &["\u{e9}"], false),
    ("rfc9110_9_3_3_no_explicit_freshness", 200, "public", &["/a/b?c=d"], false),
    ("rfc9110_8_7_error", 404, "max-age=9", &["/a/b?c=d"], false),
    ("rfc9110_8_7_redirection", 303, "max-age=9", &["/a/b?c=d"], false),
    ("rfc9110_15_3_7_part", 206, "max-age=9", &["/a/b?c=d"], false),
];

#[test]
fn a_response_to_post_answers_get_if_it_says_so() {
    let part = [("content-range", "bytes 0-1/2"), ("last-modified", BEFORE)];
    for (name, status, cache_control, locations, stored) in POSTS {
        let mut response = vec![("cache-control", *cache_control)];
        response.extend(locations.iter().map(|location| ("content-location", *location)));
        response.extend(part);
        let verdict = store(&Method::POST, &[], *status, &response, &policy());
        assert_eq!(verdict.err(), (!stored).then_some(NotStored::Method), "{name}");
    }
}

#[test]
fn a_target_without_a_known_scheme_is_no_location() {
    for (target, stored) in [
        ("https://shop.example/", true),
        ("http://shop.example/", true),
        ("ftp://shop.example/", false),
        ("/", false),
    ] {
        let verdict = judge(&Exchange {
            method: &Method::POST,
            target,
            request_fields: &HeaderMap::new(),
            status: StatusCode::OK,
            response_fields: &fields(&[("cache-control", "max-age=1"), ("content-location", "/")]),
            request_time: Timestamp::from_secs(NOW),
            response_time: Timestamp::from_secs(NOW),
            policy: &policy(),
        });
        assert_eq!(verdict.is_ok(), stored, "{target}");
    }
}

#[test]
fn rfc9110_15_3_7_a_206_is_stored_as_the_part_that_it_is() {
    let part = |ranges: &[&'static str]| {
        let mut response = vec![("cache-control", "max-age=9"), ("content-length", "2")];
        response.extend(ranges.iter().map(|range| ("content-range", *range)));
        store(&Method::GET, &[("range", "bytes=0-1")], 206, &response, &policy())
            .map(|head| (head.range, head.content_length))
    };
    let expected = ContentRange { first: 0, last: 1, complete: Some(9) };
    assert_eq!(part(&["bytes 0-1/9"]), Ok((Some(expected), Some(2))));
    assert_eq!(part(&[]), Err(NotStored::Part));
    assert_eq!(part(&["bytes 1-0/9"]), Err(NotStored::Part));
    assert_eq!(part(&["lines 0-1/9"]), Err(NotStored::Part));
    assert_eq!(part(&["bytes 0-1/9", "bytes 0-1/9"]), Err(NotStored::Part));
    let whole = store(&Method::GET, &[("range", "bytes=0-1")], 200, FRESH, &policy());
    assert_eq!(whole.unwrap().range, None);
}

#[test]
fn rules_store_and_forbid() {
    let with = |change: fn(&mut Policy), status, response| {
        let mut policy = policy();
        change(&mut policy);
        store(&Method::GET, &[], status, response, &policy).err()
    };
    assert_eq!(with(|p| p.cache = false, 200, FRESH), Some(NotStored::Bypass));
    let negative = |p: &mut Policy| {
        p.negative_ttl = vec![(StatusCode::SERVICE_UNAVAILABLE, std::time::Duration::from_secs(1))];
    };
    assert_eq!(with(negative, 503, &[]), None);
    assert_eq!(with(negative, 500, &[]), Some(NotStored::Unspecified));
    let default = |p: &mut Policy| p.default_ttl = Some(std::time::Duration::from_secs(1));
    assert_eq!(with(default, 200, &[]), None);
    assert_eq!(with(default, 200, &[("set-cookie", "a=b")]), Some(NotStored::SetCookie));
    assert_eq!(with(default, 200, &[("cache-control", "no-store")]), Some(NotStored::NoStore));
    assert_eq!(with(default, 200, &[("cache-control", "private")]), Some(NotStored::Private));
    let min = |p: &mut Policy| p.min_ttl = Some(std::time::Duration::from_secs(1));
    assert_eq!(with(min, 200, &[("set-cookie", "a=b")]), Some(NotStored::SetCookie));
    assert_eq!(with(min, 200, &[("cache-control", "no-cache")]), Some(NotStored::Useless));
    let lifted = &[("cache-control", "max-age=0"), ("set-cookie", "a=b")];
    assert_eq!(with(min, 200, lifted), Some(NotStored::SetCookie), "the lifetime is the rule's");
    let enough = &[("cache-control", "max-age=1"), ("set-cookie", "a=b")];
    assert_eq!(with(min, 200, enough), None);
    let never_stale = |p: &mut Policy| p.stale_on_failure = std::time::Duration::ZERO;
    let stale_at_once = &[("cache-control", "max-age=0")];
    assert_eq!(with(never_stale, 200, stale_at_once), Some(NotStored::Useless));
    assert_eq!(with(never_stale, 200, FRESH), None);
}

#[test]
fn rfc9111_5_2_2_3_understood_statuses() {
    let understood: Vec<u16> = (200..600)
        .filter(|status| {
            let response =
                [("cache-control", "must-understand, max-age=9"), ("content-range", "bytes 0-1/2")];
            let verdict = store(&Method::GET, &[], *status, &response, &policy()).err();
            match verdict {
                None => true,
                Some(NotStored::MustUnderstand | NotStored::Status) => false,
                Some(other) => panic!("{status}: {other:?}"),
            }
        })
        .collect();
    let expected = (200..=206)
        .chain(300..=303)
        .chain([307, 308])
        .chain(400..=411)
        .chain(413..=415)
        .chain([417, 421, 422, 426])
        .chain(500..=505);
    assert_eq!(understood, expected.collect::<Vec<_>>());
}

#[test]
fn rfc9111_3_1_what_is_stored_is_ready_to_be_sent() {
    let response = [
        ("cache-control", "max-age=9, no-cache=\"A\", private=\"B, C\""),
        ("a", "1"),
        ("b", "2"),
        ("b", "3"),
        ("d", "4"),
        ("age", "5"),
        ("date", DATE),
        ("etag", "\"x\""),
        ("last-modified", BEFORE),
        ("content-length", "12"),
    ];
    let head = store(&Method::GET, &[], 203, &response, &policy()).unwrap();
    let expected =
        fields(&[response[0], response[4], response[6], response[7], response[8], response[9]]);
    assert_eq!(head.fields, expected);
    assert_eq!(head.status.as_u16(), 203);
    assert_eq!(head.validators, Validators::of(&expected));
    assert_eq!(head.content_length, Some(12));
    assert_eq!(head.freshness.source, LifetimeSource::MaxAge);
    // The Age that is not stored still counts.
    assert_eq!(head.freshness.corrected_initial_age.as_secs(), 5);
    assert!(head.vary.is_empty());
    assert_eq!((head.range, head.stamp), (None, 0));
}

#[test]
fn rfc9110_6_6_1_a_date_is_stored_in_any_case() {
    let rows: &[(&str, &[&str], &str)] = &[
        ("valid", &[BEFORE], BEFORE),
        ("other_form", &["Sun Nov  6 08:47:57 1994"], "Sun Nov  6 08:47:57 1994"),
        ("missing", &[], DATE),
        ("invalid", &["yesterday"], DATE),
        ("several", &[DATE, BEFORE], BEFORE),
        ("same_twice", &[BEFORE, BEFORE], BEFORE),
        ("one_of_two_invalid", &["x", BEFORE], BEFORE),
        ("both_invalid", &["x", "y"], DATE),
    ];
    for (name, dates, expected) in rows {
        let mut response = vec![("cache-control", "max-age=999")];
        response.extend(dates.iter().map(|date| ("date", *date)));
        let head = store(&Method::GET, &[], 200, &response, &policy()).unwrap();
        let stored: Vec<_> = head.fields.get_all("date").iter().collect();
        assert_eq!(stored, [expected], "{name}");
    }
}

#[test]
fn rfc9110_8_6_content_length_counts_when_it_is_one_number() {
    let rows: &[(&[&str], Option<u64>)] = &[
        (&["0"], Some(0)),
        (&["12"], Some(12)),
        (&["12", "12"], None),
        (&["12,12"], None),
        (&["+12"], None),
        (&["-1"], None),
        (&[""], None),
        (&["99999999999999999999999"], None),
        (&[], None),
    ];
    for (lengths, expected) in rows {
        let mut response = vec![("cache-control", "max-age=9")];
        response.extend(lengths.iter().map(|length| ("content-length", *length)));
        let head = store(&Method::GET, &[], 200, &response, &policy()).unwrap();
        assert_eq!(head.content_length, *expected, "{lengths:?}");
    }
    let response = [("cache-control", "max-age=9"), ("content-length", "0")];
    let head = store(&Method::GET, &[], 204, &response, &policy()).unwrap();
    assert_eq!(head.fields.get("content-length"), None, "a 204 must not have one");
}

#[test]
fn rfc9110_15_3_7_a_part_that_answers_if_range_is_not_stored() {
    let response = [("cache-control", "max-age=9"), ("content-range", "bytes 0-1/2")];
    let range = [("range", "bytes=0-1"), ("if-range", "\"a\"")];
    let got = store(&Method::GET, &range, 206, &response, &policy());
    assert_eq!(got.map(drop), Err(NotStored::IfRange));
    store(&Method::GET, &range[..1], 206, &response, &policy()).unwrap();
    store(&Method::GET, &range, 200, &response[..1], &policy()).unwrap();
}

#[test]
fn rfc9111_4_3_3_errors_of_one_request_or_moment_are_no_word_on_the_resource() {
    for status in [200, 204, 206, 301, 304, 404, 410, 451] {
        assert!(is_of_resource(StatusCode::from_u16(status).unwrap()), "{status}");
    }
    for status in
        [400, 401, 403, 405, 407, 408, 413, 414, 416, 417, 421, 425, 429, 431, 500, 503, 599]
    {
        assert!(!is_of_resource(StatusCode::from_u16(status).unwrap()), "{status}");
    }
}

#[test]
fn rfc9111_4_1_the_variant_is_that_of_the_request() {
    let response = [("cache-control", "max-age=9"), ("vary", "Foo")];
    let head = store(&Method::GET, &[("foo", "1")], 200, &response, &policy()).unwrap();
    assert!(head.vary.matches(&fields(&[("foo", "1")])));
    assert!(!head.vary.matches(&fields(&[("foo", "2")])));
    let long = "1".repeat(crate::key::NOMINATED_BYTES_MAX + 1);
    let got = store(&Method::GET, &[("foo", &long)], 200, &response, &policy());
    assert_eq!(got.map(drop), Err(NotStored::VaryBytes));
}

#[test]
fn every_reason_has_its_word_and_its_cause() {
    use NotStored::{
        Authorization, Bypass, IfRange, Method as OfMethod, MustUnderstand, NoStore, Part, Private,
        RequestNoStore, SetCookie, Status, Unspecified, Useless, Vary, VaryBytes,
    };
    let rows = [
        (Bypass, "bypass", false),
        (OfMethod, "method", false),
        (RequestNoStore, "request-no-store", false),
        (Authorization, "authorization", false),
        (Status, "status", false),
        (Part, "part", false),
        (IfRange, "if-range", false),
        (NoStore, "no-store", true),
        (Private, "private", true),
        (MustUnderstand, "must-understand", true),
        (Vary, "vary", true),
        (VaryBytes, "vary-bytes", false),
        (Unspecified, "unspecified", true),
        (SetCookie, "set-cookie", true),
        (Useless, "useless", true),
    ];
    for (reason, word, of_response) in rows {
        assert_eq!((reason.as_str(), reason.of_response()), (word, of_response));
    }
}

proptest! {
    #[test]
    fn what_is_stored_keeps_its_promises(
        status in 100_u16..600,
        names in proptest::collection::vec(0_usize..8, 0..6),
        values in proptest::collection::vec("[ -~]{0,24}", 6),
        authorization: bool,
    ) {
        const NAMES: [&str; 8] =
            ["cache-control", "expires", "date", "age", "vary", "etag", "set-cookie", "content-range"];
        let response: Vec<_> = names.iter().zip(&values)
            .map(|(name, value)| (NAMES[*name], value.as_str()))
            .chain([("cache-control", "max-age=9")])
            .collect();
        let request = if authorization { AUTH } else { &[] };
        if let Ok(head) = store(&Method::GET, request, status, &response, &policy()) {
            prop_assert!(status >= 200 && status != 304);
            prop_assert_eq!(head.range.is_some(), status == 206);
            prop_assert!(!head.fields.contains_key("age"));
            prop_assert_eq!(head.fields.get_all("date").iter().count(), 1);
            prop_assert!(head.freshness.source.is_explicit());
        }
    }
}
