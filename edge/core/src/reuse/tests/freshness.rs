//! By Cache-Control of both sides, and by rules (RFC 9111 §4, §5.2).

use super::*;

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
