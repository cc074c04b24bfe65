//! When the origin fails (RFC 5861 §4, RFC 9111 §4.2.4).

use super::*;

/// Name, status stored, Cache-Control stored, Cache-Control asked, failure, seconds since
/// receipt, whether it is answered.
type FailureRow = (&'static str, u16, &'static str, &'static str, Failure, u64, bool);

const E500: Failure = Failure::Status(StatusCode::INTERNAL_SERVER_ERROR);
const E501: Failure = Failure::Status(StatusCode::NOT_IMPLEMENTED);
const E502: Failure = Failure::Status(StatusCode::BAD_GATEWAY);
const E503: Failure = Failure::Status(StatusCode::SERVICE_UNAVAILABLE);
const E504: Failure = Failure::Status(StatusCode::GATEWAY_TIMEOUT);
const E404: Failure = Failure::Status(StatusCode::NOT_FOUND);

/// With `stale_on_failure` of 100 s.
const ON_FAILURE: &[FailureRow] = &[
    ("rfc9111_4_2_4_disconnected", 200, "max-age=10", "", GONE, 109, true),
    ("rfc9111_4_2_4_too_long", 200, "max-age=10", "", GONE, 110, false),
    ("rfc9111_4_3_3_any_5xx", 200, "max-age=10", "", E501, 109, true),
    ("rfc9111_4_3_3_any_5xx_too_long", 200, "max-age=10", "", E501, 110, false),
    ("rfc9111_4_3_3_500", 200, "max-age=10", "", E500, 109, true),
    ("rfc9111_4_3_3_not_a_404", 200, "max-age=10", "", E404, 11, false),
    ("rfc9111_4_fresh_after_a_reload", 200, "max-age=10", "no-cache", GONE, 5, true),
    ("rfc9111_4_fresh_no_cache", 200, "max-age=10, no-cache", "", GONE, 5, false),
    ("rfc9111_4_fresh_must_revalidate", 200, "max-age=10, must-revalidate", "", GONE, 9, true),
    ("rfc9111_4_fresh_s_maxage", 200, "s-maxage=10", "", GONE, 9, true),
    ("rfc9111_4_fresh_not_a_404", 200, "s-maxage=10", "", E404, 9, false),
    ("rfc9111_4_fresh_503", 503, "max-age=10", "", GONE, 9, true),
    ("rfc9111_5_2_2_2_must_revalidate", 200, "max-age=10, must-revalidate", "", GONE, 11, false),
    ("rfc9111_5_2_2_8_proxy_revalidate", 200, "max-age=10, proxy-revalidate", "", GONE, 11, false),
    ("rfc9111_5_2_2_10_s_maxage", 200, "s-maxage=10", "", GONE, 11, false),
    ("rfc9111_5_2_2_4_no_cache", 200, "max-age=10, no-cache", "", GONE, 11, false),
    ("rfc9111_4_2_no_lifetime", 200, "foo", "", GONE, 1, false),
    ("rfc9111_4_2_4_a_stored_404", 404, "max-age=10", "", GONE, 11, true),
    ("a_stored_503_is_no_better", 503, "max-age=10", "", GONE, 11, false),
    (
        "a_stored_503_is_no_better_even_if_error",
        503,
        "max-age=10, stale-if-error=9",
        "",
        E503,
        11,
        false,
    ),
    ("rfc5861_4_overrides_s_maxage", 200, "s-maxage=10, stale-if-error=20", "", GONE, 29, true),
    ("rfc5861_4_exceeded", 200, "s-maxage=10, stale-if-error=20", "", GONE, 30, false),
    ("rfc5861_4_500", 200, "s-maxage=10, stale-if-error=20", "", E500, 29, true),
    ("rfc5861_4_502", 200, "s-maxage=10, stale-if-error=20", "", E502, 29, true),
    ("rfc5861_4_503", 200, "s-maxage=10, stale-if-error=20", "", E503, 29, true),
    ("rfc5861_4_504", 200, "s-maxage=10, stale-if-error=20", "", E504, 29, true),
    ("rfc5861_4_not_501", 200, "s-maxage=10, stale-if-error=20", "", E501, 29, false),
    ("rfc5861_4_not_404", 200, "s-maxage=10, stale-if-error=20", "", E404, 29, false),
    (
        "rfc5861_4_not_must_revalidate",
        200,
        "max-age=10, must-revalidate, stale-if-error=20",
        "",
        GONE,
        11,
        false,
    ),
    (
        "rfc5861_4_not_proxy_revalidate",
        200,
        "max-age=10, proxy-revalidate, stale-if-error=20",
        "",
        GONE,
        11,
        false,
    ),
    ("rfc5861_4_not_no_cache", 200, "max-age=10, no-cache, stale-if-error=20", "", GONE, 11, false),
    ("rfc5861_4_without_a_lifetime", 200, "stale-if-error=20", "", GONE, 19, true),
    (
        "rfc5861_4_longer_than_on_failure",
        200,
        "max-age=10, stale-if-error=200",
        "",
        E503,
        209,
        true,
    ),
    ("rfc5861_4_longer_not_for_501", 200, "max-age=10, stale-if-error=200", "", E501, 209, false),
    ("rfc5861_4_bounds_on_failure", 200, "max-age=10, stale-if-error=20", "", GONE, 30, false),
    ("rfc5861_4_bounds_any_5xx", 200, "max-age=10, stale-if-error=20", "", E501, 30, false),
    ("rfc5861_4_within_for_any_5xx", 200, "max-age=10, stale-if-error=20", "", E501, 29, true),
    ("rfc5861_4_zero", 200, "max-age=10, stale-if-error=0", "", E503, 10, false),
    ("rfc5861_4_zero_unreachable", 200, "max-age=10, stale-if-error=0", "", GONE, 10, false),
    (
        "rfc5861_4_zero_whatever_the_client_says",
        200,
        "max-age=10, stale-if-error=0",
        "stale-if-error=200",
        E503,
        10,
        false,
    ),
    ("rfc5861_4_in_a_request", 200, "max-age=10", "stale-if-error=200", E503, 209, true),
    ("rfc5861_4_in_a_request_exceeded", 200, "max-age=10", "stale-if-error=200", E503, 210, false),
    ("rfc5861_4_in_a_request_not_501", 200, "max-age=10", "stale-if-error=200", E501, 209, false),
    (
        "rfc5861_4_in_a_request_not_s_maxage",
        200,
        "s-maxage=10",
        "stale-if-error=200",
        E503,
        11,
        false,
    ),
];

fn after_failure(row: &FailureRow, policy: &Policy) -> bool {
    let (_, status, response, request, failure, since, _) = row;
    let response = [("date", DATE), ("cache-control", *response)];
    let stored = stored_with(*status, &response, &Policy::default());
    let now = Timestamp::from_secs(NOW + since);
    view(&Method::GET, &[("cache-control", *request)], |view| {
        stale_after_failure(&stored, &stored.freshness, view, *failure, policy, now)
    })
}

#[test]
fn stale_responses_answer_after_a_failure() {
    let policy = Policy { stale_on_failure: s(100), ..Policy::default() };
    for row in ON_FAILURE {
        assert_eq!(after_failure(row, &policy), row.6, "{}", row.0);
    }
}

/// With a rule's stale-if-error of 30 s and no `stale_on_failure`.
const IF_ERROR_BY_RULE: &[FailureRow] = &[
    ("rule", 200, "max-age=10", "", E503, 39, true),
    ("rule_unreachable", 200, "max-age=10", "", GONE, 39, true),
    ("rule_exceeded", 200, "max-age=10", "", E503, 40, false),
    ("rule_not_501", 200, "max-age=10", "", E501, 11, false),
    ("rfc5861_4_origin_says_longer", 200, "max-age=10, stale-if-error=50", "", E503, 59, true),
    ("rfc5861_4_origin_says_shorter", 200, "max-age=10, stale-if-error=5", "", E503, 15, false),
    (
        "rfc5861_4_origin_says_shorter_within",
        200,
        "max-age=10, stale-if-error=5",
        "",
        E503,
        14,
        true,
    ),
    ("rfc5861_4_origin_says_zero", 200, "max-age=10, stale-if-error=0", "", E503, 10, false),
    ("rfc9111_5_2_2_10_beats_the_rule", 200, "s-maxage=10", "", E503, 11, false),
    ("rfc9111_4_2_no_lifetime_beats_the_rule", 200, "foo", "", E503, 1, false),
    ("fresh", 200, "max-age=10", "", E503, 9, true),
];

#[test]
fn a_rule_may_allow_stale_if_error() {
    let policy = Policy {
        stale_on_failure: Duration::ZERO,
        stale_if_error: Some(s(30)),
        ..Policy::default()
    };
    for row in IF_ERROR_BY_RULE {
        assert_eq!(after_failure(row, &policy), row.6, "{}", row.0);
    }
}

#[test]
fn rfc9110_15_3_7_a_part_answers_after_a_failure_only_what_it_holds() {
    let now = Timestamp::from_secs(NOW + 11);
    for (range, expected) in [("bytes=10-19", true), ("bytes=0-19", false)] {
        let answered = view(&Method::GET, &[("range", range)], |view| {
            stale_after_failure(&part(), &part().freshness, view, GONE, &Policy::default(), now)
        });
        assert_eq!(answered, expected, "{range}");
    }
}

#[test]
fn what_may_ever_be_stale_is_worth_storing() {
    let none = Policy { stale_on_failure: Duration::ZERO, ..Policy::default() };
    let failure = Policy { stale_on_failure: s(1), ..none.clone() };
    let error = Policy { stale_if_error: Some(s(1)), ..none.clone() };
    let refresh = Policy { stale_while_revalidate: Some(s(1)), ..none.clone() };
    let zero =
        Policy { stale_while_revalidate: Some(s(0)), stale_if_error: Some(s(0)), ..none.clone() };
    let rows: &[(&str, &Policy, bool)] = &[
        ("max-age=10", &none, false),
        ("max-age=10", &zero, false),
        ("max-age=10", &failure, true),
        ("max-age=10", &error, true),
        ("max-age=10", &refresh, true),
        ("max-age=10, stale-if-error=1", &none, true),
        ("max-age=10, stale-if-error=0", &none, false),
        ("max-age=10, stale-if-error=0", &error, false),
        ("max-age=10, stale-if-error=0", &failure, false),
        ("max-age=10, stale-if-error=0", &refresh, true),
        ("max-age=10, stale-while-revalidate=0", &refresh, false),
        ("max-age=10, stale-while-revalidate=0", &failure, true),
        ("max-age=10, stale-while-revalidate=1", &none, true),
        ("stale-while-revalidate=1", &none, true),
        ("foo", &failure, false),
        ("s-maxage=10", &failure, false),
        ("s-maxage=10, stale-if-error=1", &none, true),
        ("max-age=10, must-revalidate, stale-if-error=1", &failure, false),
        ("max-age=10, proxy-revalidate, stale-if-error=1", &failure, false),
        ("max-age=10, no-cache, stale-if-error=1", &failure, false),
    ];
    for (response, policy, expected) in rows {
        assert_eq!(may_be_stale(&stored(response).freshness, policy), *expected, "{response}");
    }
}

/// A soft purge after one second: name, Cache-Control, seconds since receipt, verdict, and whether a
/// failure is met with what is stored.
const DECLARED_STALE: &[(&str, &str, u64, Verdict, bool)] = &[
    ("rfc9111_4_2_4_validated_first", "max-age=60", 1, STALE, true),
    ("rfc9111_4_2_4_stale_on_failure_goes_by_it", "max-age=60", 3_600, STALE, true),
    ("rfc9111_4_2_4_and_no_longer", "max-age=60", 3_601, STALE, false),
    ("rfc9111_5_2_2_2_must_revalidate", "max-age=60, must-revalidate", 1, STALE, false),
    ("rfc5861_3_while_revalidate", "max-age=60, stale-while-revalidate=5", 5, REFRESH, true),
    ("rfc5861_3_goes_by_it", "max-age=60, stale-while-revalidate=5", 6, STALE, true),
    ("rfc5861_4_if_error", "max-age=60, stale-if-error=5", 5, STALE, true),
    ("rfc5861_4_goes_by_it", "max-age=60, stale-if-error=5", 6, STALE, false),
    ("rfc8246_2_immutable_is_no_excuse", "max-age=60, immutable", 1, STALE, true),
];

#[test]
fn what_is_declared_stale_is_reused_as_stale() {
    let policy = Policy::default();
    for (name, cache_control, since, expected, stands_in) in DECLARED_STALE {
        let stored = stored(cache_control);
        let freshness = stored.freshness.stale_since(Timestamp::from_secs(NOW + 1));
        let now = Timestamp::from_secs(NOW + since);
        let got = view(&Method::GET, &[], |view| {
            let verdict = judge_as(&stored, &freshness, view, &policy, now);
            (verdict, stale_after_failure(&stored, &freshness, view, GONE, &policy, now))
        });
        assert_eq!(got, (*expected, *stands_in), "{name}");
    }
}
