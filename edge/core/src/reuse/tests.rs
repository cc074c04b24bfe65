//! Tables of reuse. Each row cites its clause.
#![expect(clippy::arithmetic_side_effects, reason = "numbers in tables are small and known")]

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use proptest::prelude::*;

use super::{
    Failure, RequestView, Selection, judge, judge_as, may_be_stale, select, stale_after_failure,
    with_content, without_stored,
};
use crate::{
    directives::RequestDirectives,
    outcome::{ForwardReason, Refusal, Verdict},
    site::Policy,
    storable::{self, Exchange, StoredHead},
    time::Timestamp,
};

/// Sun, 06 Nov 1994 08:49:37 GMT.
const NOW: u64 = 784_111_777;
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

const HIT: Verdict = Verdict::Hit;
const REFRESH: Verdict = Verdict::HitStale { refresh: true };
const STALE_HIT: Verdict = Verdict::HitStale { refresh: false };
const STALE: Verdict = Verdict::Forward(ForwardReason::Stale);
const REQUEST: Verdict = Verdict::Forward(ForwardReason::Request);
const PARTIAL: Verdict = Verdict::Forward(ForwardReason::Partial);
const REFUSED: Verdict = Verdict::Refuse(Refusal::OnlyIfCached);

fn fields(list: &[(&'static str, &str)]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in list {
        fields.append(*name, HeaderValue::from_str(value).unwrap());
    }
    fields
}

fn exchange<R>(
    status: u16,
    request: &[(&'static str, &str)],
    response: &[(&'static str, &str)],
    policy: &Policy,
    with: impl FnOnce(&Exchange<'_>) -> R,
) -> R {
    with(&Exchange {
        method: &Method::GET,
        target: "http://shop.example/",
        request_fields: &fields(request),
        status: StatusCode::from_u16(status).unwrap(),
        response_fields: &fields(response),
        request_time: Timestamp::from_secs(NOW),
        response_time: Timestamp::from_secs(NOW),
        policy,
    })
}

/// A response that was received at [`NOW`], with a validator.
fn stored_with(status: u16, response: &[(&'static str, &str)], policy: &Policy) -> StoredHead {
    let response: Vec<_> = response.iter().copied().chain([("etag", "\"a\"")]).collect();
    exchange(status, &[], &response, policy, storable::judge).unwrap()
}

fn stored(cache_control: &str) -> StoredHead {
    stored_with(200, &[("date", DATE), ("cache-control", cache_control)], &Policy::default())
}

fn view<R>(
    method: &Method,
    request: &[(&'static str, &str)],
    with: impl FnOnce(&RequestView<'_>) -> R,
) -> R {
    let fields = fields(request);
    let directives = RequestDirectives::parse(&fields);
    with(&RequestView { method, fields: &fields, directives: &directives })
}

fn verdict(
    stored: &StoredHead,
    request: &[(&'static str, &str)],
    policy: &Policy,
    since: u64,
) -> Verdict {
    let now = Timestamp::from_millis(NOW * 1000 + since);
    view(&Method::GET, request, |view| judge(stored, view, policy, now))
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn honouring() -> Policy {
    Policy { honour_client_reload: true, ..Policy::default() }
}

/// Name, Cache-Control stored, Cache-Control asked, milliseconds since receipt, verdict.
type Row = (&'static str, &'static str, &'static str, u64, Verdict);

const WITHOUT_A_RULE: &[Row] = &[
    ("rfc9111_4_2_fresh", "max-age=10", "", 0, HIT),
    ("rfc9111_4_2_just_fresh", "max-age=10", "", 9_999, HIT),
    ("rfc9111_4_2_just_stale", "max-age=10", "", 10_000, STALE),
    ("rfc9111_5_2_2_4_no_cache", "no-cache, max-age=10", "", 0, STALE),
    ("rfc9111_5_2_2_4_no_cache_of_a_field", "no-cache=\"X\", max-age=10", "", 0, HIT),
    ("rfc9111_5_2_2_2_must_revalidate_fresh", "must-revalidate, max-age=10", "", 9_999, HIT),
    ("rfc9111_5_2_2_2_must_revalidate_stale", "must-revalidate, max-age=10", "", 10_000, STALE),
    ("rfc9111_5_2_1_1_max_age_is_advice", "max-age=10", "max-age=0", 5_000, HIT),
    ("rfc9111_5_2_1_4_no_cache_is_advice", "max-age=10", "no-cache", 5_000, HIT),
    ("rfc9111_5_2_1_4_no_cache_stale", "max-age=10", "no-cache", 10_000, STALE),
    ("rfc9111_5_2_1_5_no_store_may_be_answered", "max-age=10", "no-store", 0, HIT),
    ("rfc9111_5_2_1_3_min_fresh", "max-age=10", "min-fresh=5", 5_000, HIT),
    ("rfc9111_5_2_1_3_min_fresh_missed", "max-age=10", "min-fresh=5", 5_001, REQUEST),
    ("rfc9111_5_2_1_3_min_fresh_just_received", "max-age=10", "min-fresh=11", 999, HIT),
    ("rfc9111_5_2_1_3_min_fresh_settled", "max-age=10", "min-fresh=11", 1_000, REQUEST),
    (
        "rfc9111_5_2_1_3_min_fresh_just_received_stale",
        "max-age=0, stale-while-revalidate=5",
        "min-fresh=11",
        999,
        REFRESH,
    ),
    (
        "rfc9111_5_2_1_3_min_fresh_never_stale",
        "max-age=10",
        "min-fresh=0, max-stale",
        10_000,
        STALE,
    ),
    ("rfc9111_5_2_1_2_max_stale_any", "max-age=10", "max-stale", 999_000, STALE_HIT),
    ("rfc9111_5_2_1_2_max_stale_fresh", "max-age=10", "max-stale", 0, HIT),
    ("rfc9111_5_2_1_2_max_stale_within", "max-age=10", "max-stale=5", 15_000, STALE_HIT),
    ("rfc9111_5_2_1_2_max_stale_exceeded", "max-age=10", "max-stale=5", 15_001, STALE),
    ("rfc9111_5_2_1_2_max_stale_malformed", "max-age=10", "max-stale=x", 10_001, STALE),
    (
        "rfc9111_5_2_2_2_forbids_max_stale",
        "must-revalidate, max-age=10",
        "max-stale",
        11_000,
        STALE,
    ),
    (
        "rfc9111_5_2_2_8_forbids_max_stale",
        "proxy-revalidate, max-age=10",
        "max-stale",
        11_000,
        STALE,
    ),
    ("rfc9111_5_2_2_10_forbids_max_stale", "s-maxage=10", "max-stale", 11_000, STALE),
    ("rfc9111_5_2_2_4_forbids_max_stale", "no-cache, max-age=10", "max-stale", 0, STALE),
    ("rfc9111_4_2_no_lifetime_forbids_max_stale", "foo", "max-stale", 0, STALE),
    ("rfc9111_4_2_no_lifetime", "foo", "", 0, STALE),
    ("rfc9111_5_2_1_7_only_if_cached", "max-age=10", "only-if-cached", 9_999, HIT),
    ("rfc9111_5_2_1_7_only_if_cached_stale", "max-age=10", "only-if-cached", 10_000, REFUSED),
    (
        "rfc9111_5_2_1_7_only_if_cached_no_cache",
        "no-cache, max-age=10",
        "only-if-cached",
        0,
        REFUSED,
    ),
    (
        "rfc9111_5_2_1_7_only_if_cached_min_fresh",
        "max-age=10",
        "only-if-cached, min-fresh=11",
        0,
        REFUSED,
    ),
    (
        "rfc9111_5_2_1_7_only_if_cached_max_stale",
        "max-age=10",
        "only-if-cached, max-stale",
        11_000,
        STALE_HIT,
    ),
    ("rfc5861_3_within", "max-age=10, stale-while-revalidate=5", "", 14_999, REFRESH),
    ("rfc5861_3_at_once", "max-age=10, stale-while-revalidate=5", "", 10_000, REFRESH),
    ("rfc5861_3_still_fresh", "max-age=10, stale-while-revalidate=5", "", 9_999, HIT),
    ("rfc5861_3_exceeded", "max-age=10, stale-while-revalidate=5", "", 15_000, STALE),
    ("rfc5861_3_zero", "max-age=10, stale-while-revalidate=0", "", 10_000, STALE),
    ("rfc5861_3_without_a_lifetime", "stale-while-revalidate=5", "", 4_999, REFRESH),
    ("rfc5861_3_overrides_s_maxage", "s-maxage=10, stale-while-revalidate=5", "", 14_999, REFRESH),
    (
        "rfc5861_3_not_must_revalidate",
        "must-revalidate, max-age=10, stale-while-revalidate=5",
        "",
        10_000,
        STALE,
    ),
    (
        "rfc5861_3_not_proxy_revalidate",
        "proxy-revalidate, max-age=10, stale-while-revalidate=5",
        "",
        10_000,
        STALE,
    ),
    ("rfc5861_3_not_no_cache", "no-cache, max-age=10, stale-while-revalidate=5", "", 10_000, STALE),
    (
        "rfc5861_3_min_fresh_wants_none",
        "max-age=10, stale-while-revalidate=5",
        "min-fresh=1",
        10_000,
        STALE,
    ),
    (
        "rfc5861_3_max_age_is_advice",
        "max-age=10, stale-while-revalidate=5",
        "max-age=1",
        10_000,
        REFRESH,
    ),
    (
        "rfc5861_3_only_if_cached",
        "max-age=10, stale-while-revalidate=5",
        "only-if-cached",
        10_000,
        REFRESH,
    ),
    (
        "rfc5861_3_before_max_stale",
        "max-age=10, stale-while-revalidate=5",
        "max-stale",
        10_000,
        REFRESH,
    ),
    (
        "rfc5861_3_then_max_stale",
        "max-age=10, stale-while-revalidate=5",
        "max-stale",
        15_000,
        STALE_HIT,
    ),
    ("rfc5861_4_if_error_is_no_reason_alone", "max-age=10, stale-if-error=5", "", 10_000, STALE),
];

#[test]
fn stored_responses_are_reused_as_rfc9111_4_says() {
    for (name, response, request, since, expected) in WITHOUT_A_RULE {
        let stored = stored(response);
        let request = [("cache-control", *request)];
        assert_eq!(verdict(&stored, &request, &Policy::default(), *since), *expected, "{name}");
    }
}

const HONOURING: &[Row] = &[
    ("rfc9111_5_2_1_1_max_age", "max-age=10", "max-age=5", 5_000, HIT),
    ("rfc9111_5_2_1_1_max_age_exceeded", "max-age=10", "max-age=5", 5_001, REQUEST),
    ("rfc9111_5_2_1_1_max_age_0", "max-age=10", "max-age=0", 1_000, REQUEST),
    ("once_a_second_max_age_0", "max-age=10", "max-age=0", 999, HIT),
    ("rfc9111_5_2_1_4_no_cache", "max-age=10", "no-cache", 1_000, REQUEST),
    ("once_a_second_no_cache", "max-age=10", "no-cache", 999, HIT),
    (
        "rfc9111_5_2_1_1_wants_nothing_stale",
        "max-age=2, stale-while-revalidate=9",
        "max-age=5",
        3_000,
        STALE,
    ),
    (
        "rfc9111_5_2_1_1_unless_max_stale",
        "max-age=2, stale-while-revalidate=9",
        "max-age=5, max-stale",
        3_000,
        REFRESH,
    ),
    (
        "rfc9111_5_2_1_4_wants_nothing_stale",
        "max-age=2, stale-while-revalidate=9",
        "no-cache, max-stale",
        3_000,
        STALE,
    ),
    ("once_a_second_stale", "max-age=0, stale-while-revalidate=9", "no-cache", 999, REFRESH),
    ("once_a_second_stale_later", "max-age=0, stale-while-revalidate=9", "no-cache", 1_000, STALE),
    ("rfc8246_2_reload", "max-age=10, immutable", "max-age=0", 5_000, HIT),
    ("rfc8246_2_forced_reload", "max-age=10, immutable", "no-cache", 5_000, REQUEST),
    ("rfc8246_2_min_fresh", "max-age=10, immutable", "min-fresh=6", 5_000, REQUEST),
    ("rfc8246_2_stale", "max-age=10, immutable", "max-age=0", 10_000, STALE),
    ("rfc9111_5_2_1_7_only_if_cached", "max-age=10", "no-cache, only-if-cached", 5_000, REFUSED),
    ("nothing_asked", "max-age=10", "", 5_000, HIT),
];

#[test]
fn a_rule_may_honour_reloads_once_a_second() {
    for (name, response, request, since, expected) in HONOURING {
        let stored = stored(response);
        let request = [("cache-control", *request)];
        assert_eq!(verdict(&stored, &request, &honouring(), *since), *expected, "{name}");
    }
    let pragma = [("pragma", "no-cache")];
    assert_eq!(verdict(&stored("max-age=10"), &pragma, &honouring(), 5_000), REQUEST);
    assert_eq!(verdict(&stored("max-age=10"), &pragma, &Policy::default(), 5_000), HIT);
}

#[test]
fn once_a_second_counts_from_receipt_not_from_age() {
    let response = [("date", DATE), ("cache-control", "max-age=100"), ("age", "50")];
    let stored = stored_with(200, &response, &Policy::default());
    let request = [("cache-control", "max-age=0")];
    assert_eq!(verdict(&stored, &request, &honouring(), 999), HIT);
    assert_eq!(verdict(&stored, &request, &honouring(), 1_000), REQUEST);
}

/// Name, Cache-Control stored, the rule's window, milliseconds since receipt, verdict.
const RULED: &[(&str, &str, u64, u64, Verdict)] = &[
    ("rule", "max-age=10", 5, 14_999, REFRESH),
    ("rule_exceeded", "max-age=10", 5, 15_000, STALE),
    ("rule_zero", "max-age=10", 0, 10_000, STALE),
    ("rfc5861_3_longer_than_the_rule", "max-age=10, stale-while-revalidate=7", 5, 16_999, REFRESH),
    ("rfc5861_3_shorter_than_the_rule", "max-age=10, stale-while-revalidate=2", 5, 12_000, STALE),
    ("rfc5861_3_zero_beats_the_rule", "max-age=10, stale-while-revalidate=0", 5, 10_000, STALE),
    ("rfc9111_5_2_2_10_beats_the_rule", "s-maxage=10", 5, 10_000, STALE),
    ("rfc9111_5_2_2_2_beats_the_rule", "must-revalidate, max-age=10", 5, 10_000, STALE),
    ("rfc9111_4_2_no_lifetime_beats_the_rule", "foo", 5, 0, STALE),
];

#[test]
fn a_rule_may_allow_stale_while_revalidate() {
    for (name, response, window, since, expected) in RULED {
        let policy = Policy { stale_while_revalidate: Some(s(*window)), ..Policy::default() };
        assert_eq!(verdict(&stored(response), &[], &policy, *since), *expected, "{name}");
    }
}

#[test]
fn methods_and_bypass_go_before_what_is_stored() {
    let stored = stored("max-age=10");
    let bypass = Policy { cache: false, ..Policy::default() };
    let only = [("cache-control", "only-if-cached")];
    let rows: &[(Method, &Policy, Verdict, Verdict)] = &[
        (Method::GET, &Policy::default(), HIT, Verdict::Forward(ForwardReason::UriMiss)),
        (Method::HEAD, &Policy::default(), HIT, Verdict::Forward(ForwardReason::UriMiss)),
        (
            Method::POST,
            &Policy::default(),
            Verdict::Forward(ForwardReason::Method),
            Verdict::Forward(ForwardReason::Method),
        ),
        (
            Method::GET,
            &bypass,
            Verdict::Forward(ForwardReason::Bypass),
            Verdict::Forward(ForwardReason::Bypass),
        ),
        (
            Method::DELETE,
            &bypass,
            Verdict::Forward(ForwardReason::Method),
            Verdict::Forward(ForwardReason::Method),
        ),
    ];
    let now = Timestamp::from_secs(NOW);
    for (method, policy, with, without) in rows {
        let judged = view(method, &[], |view| judge(&stored, view, policy, now));
        assert_eq!(judged, *with, "{method}");
        let missed = view(method, &[], |view| without_stored(view, policy));
        assert_eq!(missed, *without, "{method}");
        // RFC 9111 §5.2.1.7: 504 whenever the answer cannot come from the cache.
        let judged = view(method, &only, |view| judge(&stored, view, policy, now));
        assert_eq!(judged, if *with == HIT { HIT } else { REFUSED }, "{method}");
        assert_eq!(view(method, &only, |view| without_stored(view, policy)), REFUSED, "{method}");
    }
}

#[test]
fn rfc9110_9_3_1_a_request_with_content_is_for_the_origin() {
    let only = [("cache-control", "only-if-cached")];
    let rows = [
        (Method::GET, ForwardReason::Bypass),
        (Method::HEAD, ForwardReason::Bypass),
        (Method::POST, ForwardReason::Method),
        (Method::DELETE, ForwardReason::Method),
    ];
    for (method, reason) in rows {
        let judged = view(&method, &[], with_content);
        assert_eq!(judged, Verdict::Forward(reason), "{method}");
        assert_eq!(view(&method, &only, with_content), REFUSED, "RFC 9111 §5.2.1.7 {method}");
    }
}

fn part() -> StoredHead {
    let response =
        [("date", DATE), ("cache-control", "max-age=10"), ("content-range", "bytes 10-19/100")];
    stored_with(206, &response, &Policy::default())
}

#[test]
fn rfc9110_15_3_7_a_part_answers_ranges_within_it_only() {
    let rows: &[(&str, Option<&str>, Option<&str>, Verdict)] = &[
        ("no_range", None, None, PARTIAL),
        ("within", Some("bytes=10-19"), None, HIT),
        ("inside", Some("bytes=12-13"), None, HIT),
        ("before", Some("bytes=9-19"), None, PARTIAL),
        ("behind", Some("bytes=10-20"), None, PARTIAL),
        ("suffix", Some("bytes=-5"), None, PARTIAL),
        ("several", Some("bytes=10-11,13-14"), None, PARTIAL),
        ("rfc9110_13_1_5_same_tag", Some("bytes=10-19"), Some("\"a\""), HIT),
        ("rfc9110_13_1_5_other_tag", Some("bytes=10-19"), Some("\"b\""), PARTIAL),
    ];
    let now = Timestamp::from_secs(NOW);
    for (name, range, if_range, expected) in rows {
        let request: Vec<_> = [("range", range), ("if-range", if_range)]
            .iter()
            .filter_map(|(name, value)| value.map(|value| (*name, value)))
            .collect();
        assert_eq!(verdict(&part(), &request, &Policy::default(), 0), *expected, "{name}");
        // RFC 9110 §14.2: a Range says nothing in a HEAD.
        let head =
            view(&Method::HEAD, &request, |view| judge(&part(), view, &Policy::default(), now));
        assert_eq!(head, PARTIAL, "{name}");
    }
    let within = [("range", "bytes=10-19")];
    assert_eq!(verdict(&part(), &within, &Policy::default(), 10_000), STALE);
    assert_eq!(verdict(&stored("max-age=10"), &within, &Policy::default(), 0), HIT);
    let cached = [("cache-control", "only-if-cached")];
    assert_eq!(verdict(&part(), &cached, &Policy::default(), 0), REFUSED);
}

/// Name, status stored, Cache-Control stored, Cache-Control asked, failure, seconds since
/// receipt, whether it is answered.
type FailureRow = (&'static str, u16, &'static str, &'static str, Failure, u64, bool);

const GONE: Failure = Failure::Unreachable;
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

/// A variant for requests with this Foo, made at `date` and received `since` seconds after NOW.
fn variant(foo: &str, date: &str, since: u64) -> StoredHead {
    let response = [("date", date), ("cache-control", "max-age=10"), ("vary", "foo")];
    let request = [("foo", foo)];
    let mut head = exchange(200, &request, &response, &Policy::default(), storable::judge).unwrap();
    head.freshness.response_time = Timestamp::from_secs(NOW + since);
    head
}

/// The position of the selected variant: `Err(true)` for a Vary miss, `Err(false)` for nothing.
fn selected(variants: &[StoredHead], request: &[(&'static str, &str)]) -> Result<usize, bool> {
    match select(variants.iter(), &fields(request)) {
        Selection::None => Err(false),
        Selection::VaryMiss => Err(true),
        Selection::Found(found) => {
            Ok(variants.iter().position(|variant| std::ptr::eq(variant, found)).unwrap())
        }
    }
}

#[test]
fn rfc9111_4_1_the_newest_matching_variant_is_selected() {
    let a = [("foo", "a")];
    assert_eq!(selected(&[], &a), Err(false));
    assert_eq!(selected(&[variant("b", DATE, 0)], &a), Err(true));
    assert_eq!(selected(&[variant("b", DATE, 0), variant("c", DATE, 0)], &a), Err(true));
    assert_eq!(selected(&[variant("b", DATE, 0), variant("a", DATE, 0)], &a), Ok(1));
    assert_eq!(selected(&[variant("a", DATE, 0), variant("b", DATE, 0)], &a), Ok(0));
    let newer_first = [variant("a", DATE, 0), variant("a", EARLIER, 9)];
    assert_eq!(selected(&newer_first, &a), Ok(0));
    let newer_last = [variant("a", EARLIER, 9), variant("a", DATE, 0)];
    assert_eq!(selected(&newer_last, &a), Ok(1));
    let same_date = [variant("a", DATE, 1), variant("a", DATE, 2), variant("a", DATE, 0)];
    assert_eq!(selected(&same_date, &a), Ok(1));
    let same = [variant("a", DATE, 0), variant("a", DATE, 0)];
    assert_eq!(selected(&same, &a), Ok(0));
}

#[test]
fn rfc9110_15_3_7_a_part_gives_way_to_what_holds_more() {
    let whole = || {
        let response = [("date", EARLIER), ("cache-control", "max-age=10")];
        stored_with(200, &response, &Policy::default())
    };
    assert_eq!(selected(&[part(), whole()], &[]), Ok(1));
    assert_eq!(selected(&[whole(), part()], &[]), Ok(0));
    assert_eq!(selected(&[whole(), part()], &[("range", "bytes=10-11")]), Ok(1));
    assert_eq!(selected(&[part(), whole()], &[("range", "bytes=0-11")]), Ok(1));
    assert_eq!(selected(&[part()], &[("range", "bytes=0-11")]), Ok(0));
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

proptest! {
    #[test]
    fn must_revalidate_is_never_stale(
        cache_control in "(max-age=[0-9], )?(stale-while-revalidate=[0-9]+, )?(stale-if-error=[0-9]+, )?(immutable, )?",
        family in 0_usize..3,
        request in "(max-stale, )?(min-fresh=[0-9], )?(max-age=[0-9], )?(stale-if-error=[0-9]+, )?(only-if-cached)?",
        since in 0_u64..30_000,
        honour: bool,
    ) {
        let family = ["must-revalidate", "proxy-revalidate", "no-cache"][family];
        let stored = stored(&format!("{cache_control}{family}"));
        let policy = Policy {
            honour_client_reload: honour,
            stale_while_revalidate: Some(s(99)),
            stale_if_error: Some(s(99)),
            ..Policy::default()
        };
        let request = [("cache-control", request.as_str())];
        let now = Timestamp::from_millis(NOW * 1000 + since);
        let judged = verdict(&stored, &request, &policy, since);
        prop_assert!(![REFRESH, STALE_HIT].contains(&judged));
        prop_assert!(judged != HIT || (stored.freshness.is_fresh(now) && family != "no-cache"));
        let answered = view(&Method::GET, &request, |view| {
            stale_after_failure(&stored, &stored.freshness, view, GONE, &policy, now)
        });
        prop_assert!(!answered || stored.freshness.is_fresh(now));
    }

    #[test]
    fn only_if_cached_never_forwards(
        response in "(max-age=[0-9], )?(no-cache, )?(s-maxage=[0-9], )?(stale-while-revalidate=[0-9])?",
        request in "(max-stale, )?(min-fresh=[0-9], )?(no-cache, )?",
        since in 0_u64..30_000,
        honour: bool,
        head: bool,
    ) {
        let policy = Policy { honour_client_reload: honour, ..Policy::default() };
        let stored = stored(&response);
        let request = format!("{request}only-if-cached");
        let method = if head { Method::HEAD } else { Method::GET };
        let now = Timestamp::from_millis(NOW * 1000 + since);
        let judged = view(&method, &[("cache-control", &request)], |view| {
            judge(&stored, view, &policy, now)
        });
        prop_assert!([HIT, REFRESH, STALE_HIT, REFUSED].contains(&judged));
    }
}
