//! What a response says for and against being stored (RFC 9111 §3, §5.2.2).

use super::*;

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
