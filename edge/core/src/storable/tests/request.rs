//! What a request says for and against it (RFC 9111 §3, §3.5; RFC 9110 §9.3.3).

use super::*;

/// Name, method, request fields, status, response fields, expected.
type RequestRow = (&'static str, Method, Fields, u16, Fields, Option<NotStored>);

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
