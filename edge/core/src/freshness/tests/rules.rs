//! Lifetimes that a site's rules assign and bound.

use super::*;

/// Name, status, fields beside Date, the rule, lifetime in seconds, source.
type RuleRow = (
    &'static str,
    u16,
    &'static [(&'static str, &'static str)],
    fn(&mut Policy),
    u64,
    LifetimeSource,
);

const RULES: &[RuleRow] = &[
    ("default_ttl", 200, &[], |p| p.default_ttl = Some(s(50)), 50, LifetimeSource::Rule),
    (
        "default_ttl_goes_before_the_heuristic",
        200,
        &[("last-modified", LONG_BEFORE)],
        |p| p.default_ttl = Some(s(50)),
        50,
        LifetimeSource::Rule,
    ),
    (
        "default_ttl_goes_after_the_origin",
        200,
        &[("cache-control", "max-age=3")],
        |p| p.default_ttl = Some(s(50)),
        3,
        LifetimeSource::MaxAge,
    ),
    (
        "default_ttl_goes_after_a_past_expires",
        200,
        &[("expires", "0")],
        |p| p.default_ttl = Some(s(50)),
        0,
        LifetimeSource::Expires,
    ),
    (
        "default_ttl_not_for_a_302",
        302,
        &[],
        |p| p.default_ttl = Some(s(50)),
        0,
        LifetimeSource::None,
    ),
    (
        "default_ttl_not_for_a_503",
        503,
        &[],
        |p| p.default_ttl = Some(s(50)),
        0,
        LifetimeSource::None,
    ),
    (
        "default_ttl_not_for_a_public_302",
        302,
        &[("cache-control", "public")],
        |p| p.default_ttl = Some(s(50)),
        0,
        LifetimeSource::None,
    ),
    ("negative_ttl", 503, &[], |p| p.negative_ttl = negative(503, 2), 2, LifetimeSource::Rule),
    (
        "negative_ttl_of_another",
        502,
        &[],
        |p| p.negative_ttl = negative(503, 2),
        0,
        LifetimeSource::None,
    ),
    (
        "negative_ttl_goes_before_default_ttl",
        404,
        &[],
        |p| {
            p.negative_ttl = negative(404, 2);
            p.default_ttl = Some(s(50));
        },
        2,
        LifetimeSource::Rule,
    ),
    (
        "negative_ttl_goes_after_the_origin",
        404,
        &[("cache-control", "max-age=3")],
        |p| p.negative_ttl = negative(404, 2),
        3,
        LifetimeSource::MaxAge,
    ),
    (
        "min_ttl_lengthens",
        200,
        &[("cache-control", "max-age=3")],
        |p| p.min_ttl = Some(s(9)),
        9,
        LifetimeSource::Rule,
    ),
    (
        "min_ttl_reached_is_the_origins_word",
        200,
        &[("cache-control", "max-age=9")],
        |p| p.min_ttl = Some(s(9)),
        9,
        LifetimeSource::MaxAge,
    ),
    (
        "min_ttl_never_shortens",
        200,
        &[("cache-control", "max-age=10")],
        |p| p.min_ttl = Some(s(9)),
        10,
        LifetimeSource::MaxAge,
    ),
    ("min_ttl_assigns", 200, &[], |p| p.min_ttl = Some(s(9)), 9, LifetimeSource::Rule),
    ("min_ttl_not_for_a_500", 500, &[], |p| p.min_ttl = Some(s(9)), 0, LifetimeSource::None),
    (
        "min_ttl_not_for_an_explicit_500",
        500,
        &[("cache-control", "max-age=1")],
        |p| p.min_ttl = Some(s(9)),
        1,
        LifetimeSource::MaxAge,
    ),
    (
        "min_ttl_not_for_a_302_to_a_login",
        302,
        &[("expires", "0")],
        |p| p.min_ttl = Some(s(9)),
        0,
        LifetimeSource::Expires,
    ),
    (
        "min_ttl_not_over_negative_ttl",
        404,
        &[],
        |p| {
            p.negative_ttl = negative(404, 2);
            p.min_ttl = Some(s(9));
        },
        2,
        LifetimeSource::Rule,
    ),
    (
        "default_ttl_leaves_a_404_to_the_heuristic",
        404,
        &[("last-modified", LONG_BEFORE)],
        |p| {
            p.default_ttl = Some(s(50));
            p.heuristic_percent = 25;
        },
        250,
        LifetimeSource::Heuristic,
    ),
    (
        "max_ttl_shortens",
        200,
        &[("cache-control", "max-age=10")],
        |p| p.max_ttl = Some(s(9)),
        9,
        LifetimeSource::MaxAge,
    ),
    (
        "max_ttl_never_lengthens",
        200,
        &[("cache-control", "max-age=8")],
        |p| p.max_ttl = Some(s(9)),
        8,
        LifetimeSource::MaxAge,
    ),
    (
        "max_ttl_shortens_the_heuristic",
        200,
        &[("last-modified", LONG_BEFORE)],
        |p| p.max_ttl = Some(s(9)),
        9,
        LifetimeSource::Heuristic,
    ),
    ("max_ttl_assigns_nothing", 200, &[], |p| p.max_ttl = Some(s(9)), 0, LifetimeSource::None),
    (
        "max_ttl_goes_before_min_ttl",
        200,
        &[],
        |p| {
            p.min_ttl = Some(s(9));
            p.max_ttl = Some(s(4));
        },
        4,
        LifetimeSource::Rule,
    ),
    (
        "heuristic_percent",
        200,
        &[("last-modified", LONG_BEFORE)],
        |p| p.heuristic_percent = 25,
        250,
        LifetimeSource::Heuristic,
    ),
    (
        "heuristic_percent_0_is_none",
        200,
        &[("last-modified", LONG_BEFORE)],
        |p| p.heuristic_percent = 0,
        0,
        LifetimeSource::None,
    ),
    (
        "heuristic_max",
        200,
        &[("last-modified", LONG_BEFORE)],
        |p| p.heuristic_max = s(99),
        99,
        LifetimeSource::Heuristic,
    ),
    (
        "rfc9111_4_2_2_heuristic_not_for_a_302",
        302,
        &[("last-modified", LONG_BEFORE)],
        |_| {},
        0,
        LifetimeSource::None,
    ),
    (
        "rfc9111_4_2_2_heuristic_for_a_public_302",
        302,
        &[("last-modified", LONG_BEFORE), ("cache-control", "public")],
        |_| {},
        100,
        LifetimeSource::Heuristic,
    ),
];

fn negative(status: u16, ttl: u64) -> Vec<(StatusCode, Duration)> {
    vec![(StatusCode::from_u16(status).unwrap(), s(ttl))]
}

#[test]
fn rules_assign_and_bound_lifetimes() {
    for (name, status, list, change, lifetime, source) in RULES {
        let mut policy = Policy::default();
        change(&mut policy);
        let list: Vec<_> = list.iter().copied().chain([DATE]).collect();
        let freshness = freshness(*status, &list, &policy, at(NOW), at(NOW));
        assert_eq!((freshness.lifetime, freshness.source), (s(*lifetime), *source), "{name}");
    }
}
