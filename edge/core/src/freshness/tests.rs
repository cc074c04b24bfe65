//! Tables of lifetimes and ages. Each row cites its clause.
#![expect(clippy::arithmetic_side_effects, reason = "numbers in tables are small and known")]

mod rules;

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use proptest::prelude::*;

use super::{Freshness, LifetimeSource, compute};
use crate::{directives::ResponseDirectives, site::Policy, time::Timestamp};

const CDN: HeaderName = HeaderName::from_static("cdn-cache-control");

/// Sun, 06 Nov 1994 08:49:37 GMT, the date of all tables.
const NOW: u64 = 784_111_777;
const DATE: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
/// 100 s before and after it.
const BEFORE: &str = "Sun, 06 Nov 1994 08:47:57 GMT";
const AFTER: &str = "Sun, 06 Nov 1994 08:51:17 GMT";
/// 1,000 s before it.
const LONG_BEFORE: &str = "Sun, 06 Nov 1994 08:32:57 GMT";

fn fields(list: &[(&'static str, &str)]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in list {
        fields.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    fields
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn freshness(
    status: u16,
    list: &[(&'static str, &str)],
    policy: &Policy,
    request_time: Timestamp,
    response_time: Timestamp,
) -> Freshness {
    let fields = fields(list);
    let status = StatusCode::from_u16(status).unwrap();
    let directives = ResponseDirectives::parse(&fields, &policy.targeted_fields);
    compute(status, &fields, &directives, policy, request_time, response_time)
}

fn targeted_policy() -> Policy {
    Policy { targeted_fields: [CDN].into(), ..Policy::default() }
}

/// Name, fields beside Date, lifetime in seconds, source; status 200, received at Date.
type LifetimeRow = (&'static str, &'static [(&'static str, &'static str)], u64, LifetimeSource);

const LIFETIMES: &[LifetimeRow] = &[
    ("rfc9111_4_2_1_s_maxage", &[("cache-control", "s-maxage=5")], 5, LifetimeSource::SMaxage),
    (
        "rfc9111_4_2_1_s_maxage_wins_over_max_age",
        &[("cache-control", "max-age=9, s-maxage=5"), ("expires", AFTER)],
        5,
        LifetimeSource::SMaxage,
    ),
    (
        "rfc9111_4_2_1_longer_s_maxage_wins_as_well",
        &[("cache-control", "max-age=0, s-maxage=5")],
        5,
        LifetimeSource::SMaxage,
    ),
    (
        "rfc9111_4_2_1_malformed_s_maxage_is_stale",
        &[("cache-control", "max-age=9, s-maxage=x")],
        0,
        LifetimeSource::SMaxage,
    ),
    (
        "rfc9111_4_2_1_max_age_wins_over_expires",
        &[("cache-control", "max-age=9"), ("expires", AFTER)],
        9,
        LifetimeSource::MaxAge,
    ),
    (
        "rfc9111_4_2_1_max_age_wins_over_past_expires",
        &[("cache-control", "max-age=9"), ("expires", "0")],
        9,
        LifetimeSource::MaxAge,
    ),
    (
        "rfc9111_4_2_1_malformed_max_age_is_stale",
        &[("cache-control", "max-age=x"), ("expires", AFTER)],
        0,
        LifetimeSource::MaxAge,
    ),
    ("rfc9111_4_2_1_expires_minus_date", &[("expires", AFTER)], 100, LifetimeSource::Expires),
    (
        "rfc9111_4_2_1_public_is_no_lifetime",
        &[("cache-control", "public"), ("expires", AFTER)],
        100,
        LifetimeSource::Expires,
    ),
    ("rfc9111_5_3_expires_before_date", &[("expires", BEFORE)], 0, LifetimeSource::Expires),
    ("rfc9111_5_3_expires_equal_to_date", &[("expires", DATE.1)], 0, LifetimeSource::Expires),
    ("rfc9111_5_3_expires_0", &[("expires", "0")], 0, LifetimeSource::Expires),
    ("rfc9111_5_3_expires_minus_1", &[("expires", "-1")], 0, LifetimeSource::Expires),
    ("rfc9111_5_3_expires_empty", &[("expires", "")], 0, LifetimeSource::Expires),
    (
        "rfc9111_5_3_expires_not_a_date",
        &[("expires", "06 Nov 1994 08:51:17"), ("last-modified", LONG_BEFORE)],
        0,
        LifetimeSource::Expires,
    ),
    ("rfc9111_5_3_expires_beyond_ascii", &[("expires", "\u{e9}")], 0, LifetimeSource::Expires),
    (
        "rfc9110_5_6_7_expires_rfc850",
        &[("expires", "Sunday, 06-Nov-94 08:51:17 GMT")],
        100,
        LifetimeSource::Expires,
    ),
    (
        "rfc9110_5_6_7_expires_asctime",
        &[("expires", "Sun Nov  6 08:51:17 1994")],
        100,
        LifetimeSource::Expires,
    ),
    (
        "rfc9111_4_2_1_several_expires_are_stale",
        &[("expires", AFTER), ("expires", AFTER)],
        0,
        LifetimeSource::Expires,
    ),
    (
        "rfc9111_4_2_1_expires_list_is_stale",
        &[("expires", "Sun, 06 Nov 1994 08:51:17 GMT, Sun, 06 Nov 1994 08:51:17 GMT")],
        0,
        LifetimeSource::Expires,
    ),
    ("rfc9111_4_2_2_a_tenth", &[("last-modified", LONG_BEFORE)], 100, LifetimeSource::Heuristic),
    ("rfc9111_4_2_2_modified_at_date", &[("last-modified", DATE.1)], 0, LifetimeSource::Heuristic),
    (
        "rfc9111_4_2_2_modified_after_date",
        &[("last-modified", AFTER)],
        0,
        LifetimeSource::Heuristic,
    ),
    ("rfc9111_4_2_2_modified_no_date", &[("last-modified", "x")], 0, LifetimeSource::None),
    (
        "rfc9111_4_2_2_capped_at_a_day",
        &[("last-modified", "Sat, 06 Nov 1993 08:49:37 GMT")],
        86_400,
        LifetimeSource::Heuristic,
    ),
    ("rfc9111_4_2_nothing", &[], 0, LifetimeSource::None),
    ("rfc9111_4_2_etag_is_no_lifetime", &[("etag", "\"a\"")], 0, LifetimeSource::None),
    (
        "rfc9111_4_2_2_explicit_goes_first",
        &[("cache-control", "max-age=3"), ("last-modified", LONG_BEFORE)],
        3,
        LifetimeSource::MaxAge,
    ),
    (
        "rfc9213_2_2_max_age",
        &[("cdn-cache-control", "max-age=7"), ("cache-control", "s-maxage=1"), ("expires", AFTER)],
        7,
        LifetimeSource::Targeted,
    ),
    (
        "rfc9213_2_2_s_maxage",
        &[("cdn-cache-control", "max-age=7, s-maxage=8"), ("cache-control", "s-maxage=1")],
        8,
        LifetimeSource::Targeted,
    ),
    (
        "rfc9213_2_2_expires_is_ignored",
        &[("cdn-cache-control", "public"), ("cache-control", "max-age=9"), ("expires", AFTER)],
        0,
        LifetimeSource::None,
    ),
    (
        "rfc9213_2_2_last_modified_is_not",
        &[("cdn-cache-control", "public"), ("expires", AFTER), ("last-modified", LONG_BEFORE)],
        100,
        LifetimeSource::Heuristic,
    ),
    (
        "rfc9213_2_1_malformed_is_ignored",
        &[("cdn-cache-control", "max-age=7,"), ("cache-control", "s-maxage=1")],
        1,
        LifetimeSource::SMaxage,
    ),
    (
        "rfc9213_2_1_empty_is_ignored",
        &[("cdn-cache-control", ""), ("cache-control", "max-age=1")],
        1,
        LifetimeSource::MaxAge,
    ),
];

#[test]
fn lifetime_is_the_first_that_applies() {
    let policy = targeted_policy();
    for (name, list, lifetime, source) in LIFETIMES {
        let list: Vec<_> = list.iter().copied().chain([DATE]).collect();
        let freshness = freshness(200, &list, &policy, at(NOW), at(NOW));
        assert_eq!((freshness.lifetime, freshness.source), (s(*lifetime), *source), "{name}");
    }
}

#[test]
fn rfc9110_15_1_heuristically_cacheable_statuses() {
    let expected = [200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501];
    for status in 100..=599 {
        let code = StatusCode::from_u16(status).unwrap();
        assert_eq!(super::is_heuristically_cacheable(code), expected.contains(&status), "{status}");
    }
}

/// Name, fields, milliseconds from request to response and from Date to response, age in ms.
type AgeRow = (&'static str, &'static [(&'static str, &'static str)], u64, u64, u64);

const AGES: &[AgeRow] = &[
    ("rfc9111_4_2_3_at_once", &[DATE], 0, 0, 0),
    ("rfc9111_4_2_3_apparent_age", &[DATE], 0, 5_000, 5_000),
    ("rfc9111_4_2_3_date_has_whole_seconds", &[DATE], 0, 5_999, 5_000),
    ("rfc9111_4_2_3_date_in_the_future", &[("date", AFTER)], 0, 5_000, 0),
    ("rfc9111_4_2_3_response_delay", &[DATE], 250, 0, 250),
    ("rfc9111_4_2_3_age_value", &[DATE, ("age", "7")], 0, 0, 7_000),
    ("rfc9111_4_2_3_age_plus_delay", &[DATE, ("age", "7")], 250, 0, 7_250),
    ("rfc9111_4_2_3_apparent_age_is_older", &[DATE, ("age", "7")], 250, 8_000, 8_000),
    ("rfc9111_4_2_3_age_is_older", &[DATE, ("age", "8")], 250, 8_000, 8_250),
    ("rfc9110_6_6_1_no_date", &[("age", "7")], 0, 5_000, 7_000),
    ("rfc9110_6_6_1_invalid_date", &[("date", "yesterday")], 0, 5_000, 0),
    ("rfc9110_6_6_1_earliest_of_several_dates", &[DATE, ("date", BEFORE)], 0, 0, 100_000),
    ("rfc9110_6_6_1_earliest_stands_first", &[("date", BEFORE), DATE], 0, 0, 100_000),
    ("rfc9110_6_6_1_the_valid_one", &[("date", "x"), ("date", BEFORE)], 0, 0, 100_000),
    ("rfc9111_5_1_first_member", &[DATE, ("age", "7, 99")], 0, 0, 7_000),
    ("rfc9111_5_1_first_line", &[DATE, ("age", " 7 "), ("age", "99")], 0, 0, 7_000),
    ("rfc9111_5_1_first_member_invalid", &[DATE, ("age", "x, 99")], 0, 0, 0),
    ("rfc9111_5_1_negative", &[DATE, ("age", "-7")], 0, 0, 0),
    ("rfc9111_5_1_fraction", &[DATE, ("age", "7.5")], 0, 0, 0),
    ("rfc9111_5_1_empty", &[DATE, ("age", "")], 0, 0, 0),
    ("rfc9111_5_1_quoted", &[DATE, ("age", "\"7\"")], 0, 0, 0),
    ("rfc9111_1_2_2_huge", &[DATE, ("age", "99999999999999999999")], 0, 0, 2_147_483_648_000),
];

#[test]
fn corrected_initial_age_is_the_older_of_two() {
    let policy = Policy::default();
    for (name, list, delay, since_date, expected) in AGES {
        let response_time = Timestamp::from_millis(NOW * 1000 + since_date);
        let request_time = Timestamp::from_millis(NOW * 1000 + since_date - delay);
        let freshness = freshness(200, list, &policy, request_time, response_time);
        let expected = Duration::from_millis(*expected);
        assert_eq!(freshness.corrected_initial_age, expected, "{name}");
        assert_eq!(freshness.response_time, response_time, "{name}");
    }
}

#[test]
fn rfc9111_4_2_3_a_clock_that_stepped_back_delays_nothing() {
    let freshness = freshness(200, &[DATE], &Policy::default(), at(NOW + 9), at(NOW));
    assert_eq!(freshness.corrected_initial_age, Duration::ZERO);
}

#[test]
fn rfc9110_6_6_1_without_date_lifetimes_count_from_receipt() {
    let response_time = Timestamp::from_millis(NOW * 1000 + 500);
    let freshness = |list| freshness(200, list, &Policy::default(), response_time, response_time);
    let expires = freshness(&[("expires", AFTER)]);
    assert_eq!(expires.lifetime, Duration::from_millis(99_500));
    let modified = freshness(&[("last-modified", LONG_BEFORE)]);
    assert_eq!(modified.lifetime, Duration::from_millis(100_050));
    let invalid = freshness(&[("expires", AFTER), ("date", "today")]);
    assert_eq!(invalid.lifetime, Duration::from_millis(99_500));
}

#[test]
fn rfc9111_4_2_a_response_is_stale_once_its_age_reaches_its_lifetime() {
    let list = [DATE, ("age", "3"), ("cache-control", "max-age=10")];
    let stored = freshness(200, &list, &Policy::default(), at(NOW), at(NOW));
    // Milliseconds since receipt, age in milliseconds, fresh, ttl, staleness in milliseconds.
    let rows: &[(u64, u64, bool, i64, u64)] = &[
        (0, 3_000, true, 7, 0),
        (1, 3_001, true, 6, 0),
        (1_000, 4_000, true, 6, 0),
        (6_999, 9_999, true, 0, 0),
        (7_000, 10_000, false, 0, 0),
        (7_001, 10_001, false, -1, 1),
        (8_000, 11_000, false, -1, 1_000),
        (8_001, 11_001, false, -2, 1_001),
    ];
    for (since, age, fresh, ttl, staleness) in rows {
        let now = Timestamp::from_millis(NOW * 1000 + since);
        assert_eq!(stored.current_age(now), Duration::from_millis(*age), "{since}");
        assert_eq!(stored.is_fresh(now), *fresh, "{since}");
        assert_eq!(stored.ttl(now), *ttl, "{since}");
        assert_eq!(stored.staleness(now), Duration::from_millis(*staleness), "{since}");
    }
    assert_eq!(stored.fresh_until(), at(NOW + 7));
    assert!(!stored.is_fresh(stored.fresh_until()));
    // A clock before the response makes it no younger than it arrived.
    assert_eq!(stored.current_age(at(NOW - 50)), s(3));
}

#[test]
fn rfc9111_4_2_a_response_may_be_stale_when_it_arrives() {
    let list = [DATE, ("age", "12"), ("cache-control", "max-age=10")];
    let stored = freshness(200, &list, &Policy::default(), at(NOW), at(NOW));
    assert!(!stored.is_fresh(at(NOW)));
    assert_eq!(stored.ttl(at(NOW)), -2);
    assert_eq!(stored.fresh_until(), at(NOW));
}

#[test]
fn what_is_declared_stale_is_stale_from_then_on() {
    // Name, max-age, Age on arrival, declared stale at, asked at: fresh, staleness, ttl.
    type Row = (&'static str, u64, &'static str, u64, u64, bool, u64, i64);
    let rows: &[Row] = &[
        ("rfc9111_4_2_4_at_once", 60, "0", 10, 10, false, 0, 0),
        ("rfc9111_4_2_4_later", 60, "0", 10, 15, false, 5, -5),
        ("rfc9111_4_2_before_that", 60, "0", 10, 9, true, 0, 1),
        ("rfc9111_4_2_3_age_on_arrival", 60, "20", 10, 15, false, 5, -5),
        ("rfc9111_4_2_4_on_arrival", 60, "0", 0, 1, false, 1, -1),
        ("rfc9111_4_2_stale_already", 5, "0", 10, 15, false, 10, -10),
    ];
    for (name, max_age, age, since, asked, fresh, staleness, ttl) in rows {
        let said = [DATE, ("age", *age), ("cache-control", &format!("max-age={max_age}"))];
        let received = freshness(200, &said, &Policy::default(), at(NOW), at(NOW));
        let declared = received.stale_since(at(NOW + since));
        let now = at(NOW + asked);
        assert_eq!(declared.is_fresh(now), *fresh, "{name}");
        assert_eq!(declared.staleness(now), s(*staleness), "{name}");
        assert_eq!(declared.ttl(now), *ttl, "{name}");
        assert_eq!(declared.current_age(now), received.current_age(now), "{name}");
    }
}

#[test]
fn facts_that_reuse_asks_for_are_kept() {
    let of = |cache_control| {
        freshness(200, &[("cache-control", cache_control)], &Policy::default(), at(NOW), at(NOW))
    };
    let nothing = of("x");
    let all = of("no-cache, must-revalidate, proxy-revalidate, s-maxage=1, immutable, \
         stale-while-revalidate=2, stale-if-error=3");
    assert!(all.no_cache && !nothing.no_cache && !of("no-cache=\"x\"").no_cache);
    assert!(all.must_revalidate && !nothing.must_revalidate);
    assert!(all.s_maxage && !nothing.s_maxage && !of("max-age=1").s_maxage);
    assert!(all.immutable && !nothing.immutable);
    assert_eq!((all.stale_while_revalidate, nothing.stale_while_revalidate), (Some(s(2)), None));
    assert_eq!((all.stale_if_error, nothing.stale_if_error), (Some(s(3)), None));
}

#[test]
fn what_forbids_stale_reuse_is_one_fact() {
    let rows = [
        ("rfc9111_5_2_2_2", "must-revalidate", true),
        ("rfc9111_5_2_2_8", "proxy-revalidate", true),
        ("rfc9111_5_2_2_10", "s-maxage=1", true),
        ("rfc9111_5_2_2_1_max_age", "max-age=1", false),
        ("rfc5861_3_lifts_s_maxage", "s-maxage=1, stale-while-revalidate=2", false),
        ("rfc5861_4_lifts_s_maxage", "s-maxage=1, stale-if-error=3", false),
        ("rfc5861_4_lifts_no_other", "proxy-revalidate, s-maxage=1, stale-if-error=3", true),
    ];
    for (name, said, expected) in rows {
        let list = [("cache-control", said)];
        let facts = freshness(200, &list, &Policy::default(), at(NOW), at(NOW));
        assert_eq!(facts.must_revalidate, expected, "{name}");
    }
}

#[test]
fn only_the_origins_word_is_explicit() {
    use LifetimeSource::{Expires, Heuristic, MaxAge, None, Rule, SMaxage, Targeted};
    assert!([Targeted, SMaxage, MaxAge, Expires].into_iter().all(LifetimeSource::is_explicit));
    assert!(![Rule, Heuristic, None].into_iter().any(LifetimeSource::is_explicit));
}

proptest! {
    #[test]
    fn arithmetic_saturates(
        status in 200_u16..600,
        age in any::<u64>(),
        max_age in any::<u64>(),
        times in any::<[u64; 3]>(),
    ) {
        let age = age.to_string();
        let cache_control = format!("max-age={max_age}");
        let [request_time, response_time, now] = times.map(Timestamp::from_millis);
        let list = [DATE, ("age", age.as_str()), ("cache-control", cache_control.as_str())];
        let stored = freshness(status, &list, &Policy::default(), request_time, response_time);
        prop_assert_eq!(stored.is_fresh(now), stored.ttl(now) > 0 || {
            let left = stored.lifetime.saturating_sub(stored.current_age(now));
            !left.is_zero()
        });
        prop_assert!(stored.fresh_until() >= response_time);
        prop_assert!(stored.current_age(now) >= stored.corrected_initial_age);
    }

    #[test]
    fn time_never_makes_it_fresh_again(max_age in 0_u64..100, age in 0_u64..100, a in 0_u64..200_000, b in 0_u64..200_000) {
        let age = age.to_string();
        let cache_control = format!("max-age={max_age}");
        let list = [DATE, ("age", age.as_str()), ("cache-control", cache_control.as_str())];
        let stored = freshness(200, &list, &Policy::default(), at(NOW), at(NOW));
        let moment = |ms| Timestamp::from_millis(NOW * 1000 + ms);
        let (earlier, later) = (moment(a.min(b)), moment(a.max(b)));
        prop_assert!(stored.is_fresh(earlier) || !stored.is_fresh(later));
        prop_assert!(stored.ttl(earlier) >= stored.ttl(later));
        prop_assert_eq!(stored.is_fresh(later), later < stored.fresh_until());
    }
}

#[test]
fn a_rule_gives_lifetimes_to_what_everybody_gets_alike() {
    let applies = [200, 203, 204, 206, 300, 301, 308];
    for status in 200..600 {
        for (said, own) in [(&[][..], 0), (&[("cache-control", "max-age=3")], 3)] {
            let list: Vec<_> = said.iter().copied().chain([DATE]).collect();
            let of = |policy: &Policy| freshness(status, &list, policy, at(NOW), at(NOW)).lifetime;
            let raised = if applies.contains(&status) { 9 } else { own };
            let least = Policy { min_ttl: Some(s(9)), ..Policy::default() };
            assert_eq!(of(&least), s(raised), "min_ttl {status}");
            let silent = if own == 0 { raised } else { own };
            let default = Policy { default_ttl: Some(s(9)), ..Policy::default() };
            assert_eq!(of(&default), s(silent), "default_ttl {status}");
        }
    }
}
