//! Tables and properties of the directives. Each row cites its clause.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use proptest::prelude::*;

use super::{MaxStale, Qualified, RequestDirectives, ResponseDirectives};

const CDN: HeaderName = HeaderName::from_static("cdn-cache-control");
const OUR: HeaderName = HeaderName::from_static("our-cache-control");

const fn s(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

fn lines(name: &HeaderName, values: &[&str]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for value in values {
        fields.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    fields
}

fn names(list: &[&'static str]) -> Qualified {
    Qualified::Fields(list.iter().map(|name| HeaderName::from_static(name)).collect())
}

/// Name, Cache-Control lines, and what differs from "nothing said".
type ResponseRow = (&'static str, &'static [&'static str], fn(&mut ResponseDirectives));

const EACH_RESPONSE_DIRECTIVE: &[ResponseRow] = &[
    ("rfc9111_5_2_no_field", &[], |_| {}),
    ("rfc9111_5_2_empty_field", &[""], |_| {}),
    ("rfc9111_5_2_2_1_max_age", &["max-age=10"], |d| d.max_age = s(10)),
    ("rfc9111_5_2_2_2_must_revalidate", &["must-revalidate"], |d| d.must_revalidate = true),
    ("rfc9111_5_2_2_3_must_understand", &["must-understand"], |d| d.must_understand = true),
    ("rfc9111_5_2_2_4_no_cache", &["no-cache"], |d| d.no_cache = Qualified::Whole),
    ("rfc9111_5_2_2_5_no_store", &["no-store"], |d| d.no_store = true),
    ("rfc9111_5_2_2_6_no_transform", &["no-transform"], |d| d.no_transform = true),
    ("rfc9111_5_2_2_7_private", &["private"], |d| d.private = Qualified::Whole),
    ("rfc9111_5_2_2_8_proxy_revalidate", &["proxy-revalidate"], |d| d.proxy_revalidate = true),
    ("rfc9111_5_2_2_9_public", &["public"], |d| d.public = true),
    ("rfc9111_5_2_2_10_s_maxage", &["s-maxage=10"], |d| d.s_maxage = s(10)),
    ("rfc8246_2_immutable", &["immutable"], |d| d.immutable = true),
    ("rfc5861_3_stale_while_revalidate", &["stale-while-revalidate=10"], |d| {
        d.stale_while_revalidate = s(10);
    }),
    ("rfc5861_4_stale_if_error", &["stale-if-error=10"], |d| d.stale_if_error = s(10)),
    ("rfc9111_5_2_several_members", &["max-age=1,no-store , public"], |d| {
        d.max_age = s(1);
        d.no_store = true;
        d.public = true;
    }),
    ("rfc9110_5_3_several_lines", &["max-age=1", "s-maxage=2"], |d| {
        d.max_age = s(1);
        d.s_maxage = s(2);
    }),
    ("rfc9110_5_6_1_empty_members", &[",, ,max-age=1,\t,"], |d| d.max_age = s(1)),
    ("rfc9111_5_2_names_are_case_insensitive", &["MAX-age=1, No-StOrE"], |d| {
        d.max_age = s(1);
        d.no_store = true;
    }),
    ("rfc9111_5_2_3_unknown_directives", &["foo, bar=1, baz=\"max-age=9\", max-age=1"], |d| {
        d.max_age = s(1);
    }),
    (
        "rfc9111_5_2_3_unknown_prefix_and_suffix",
        &["max-age2=1, xmax-age=1, no-stores, -public"],
        |_| {},
    ),
    ("rfc9111_5_2_request_directives_say_nothing", &["only-if-cached, min-fresh=1"], |_| {}),
];

const NUMBERS: &[ResponseRow] = &[
    ("rfc9111_1_2_2_zero", &["max-age=0"], |d| d.max_age = s(0)),
    ("rfc9111_1_2_2_leading_zeros", &["max-age=010"], |d| d.max_age = s(10)),
    ("rfc9111_1_2_2_2_to_the_31", &["max-age=2147483648"], |d| d.max_age = s(1 << 31)),
    ("rfc9111_1_2_2_below_the_cap", &["max-age=2147483647"], |d| d.max_age = s((1 << 31) - 1)),
    ("rfc9111_1_2_2_above_the_cap", &["max-age=2147483649"], |d| d.max_age = s(1 << 31)),
    ("rfc9111_1_2_2_huge", &["max-age=99999999999999"], |d| d.max_age = s(1 << 31)),
    ("rfc9111_1_2_2_beyond_u64", &["max-age=99999999999999999999999"], |d| {
        d.max_age = s(1 << 31);
    }),
    ("rfc9111_5_2_quoted_number", &["max-age=\"10\""], |d| d.max_age = s(10)),
    ("rfc9111_4_2_1_negative_is_stale", &["max-age=-1"], |d| d.max_age = s(0)),
    ("rfc9111_4_2_1_signed_is_stale", &["max-age=+1"], |d| d.max_age = s(0)),
    ("rfc9111_4_2_1_fraction_is_stale", &["max-age=10.5"], |d| d.max_age = s(0)),
    ("rfc9111_4_2_1_letters_are_stale", &["max-age=10s"], |d| d.max_age = s(0)),
    ("rfc9111_4_2_1_hexadecimal_is_stale", &["max-age=0x10"], |d| d.max_age = s(0)),
    ("rfc9111_4_2_1_no_argument_is_stale", &["max-age"], |d| d.max_age = s(0)),
    ("rfc9111_4_2_1_empty_argument_is_stale", &["max-age="], |d| d.max_age = s(0)),
    ("rfc9111_4_2_1_empty_quoted_is_stale", &["max-age=\"\""], |d| d.max_age = s(0)),
    ("rfc9111_4_2_1_space_before_equals_is_stale", &["max-age =10"], |d| d.max_age = s(0)),
    ("rfc9111_4_2_1_space_after_equals_is_stale", &["max-age= 10"], |d| d.max_age = s(0)),
    ("rfc9111_4_2_1_space_within_is_stale", &["max-age=1 0"], |d| d.max_age = s(0)),
    ("rfc9111_4_2_1_quoted_then_junk_is_stale", &["max-age=\"10\"0"], |d| d.max_age = s(0)),
    ("rfc9111_4_2_1_single_quotes_are_stale", &["max-age='10'"], |d| d.max_age = s(0)),
    ("rfc9111_4_2_1_semicolon_is_stale", &["max-age=10;a"], |d| d.max_age = s(0)),
    ("rfc9111_4_2_1_second_equals_is_stale", &["max-age==10"], |d| d.max_age = s(0)),
    ("rfc9111_4_2_1_s_maxage_malformed_is_stale", &["s-maxage=x, max-age=9"], |d| {
        d.s_maxage = s(0);
        d.max_age = s(9);
    }),
    ("rfc5861_3_malformed_window_is_none", &["stale-while-revalidate=x"], |d| {
        d.stale_while_revalidate = s(0);
    }),
    ("rfc5861_4_malformed_window_is_none", &["stale-if-error"], |d| d.stale_if_error = s(0)),
];

const DUPLICATES: &[ResponseRow] = &[
    ("rfc9111_4_2_1_less_fresh_first", &["max-age=1, max-age=9"], |d| d.max_age = s(1)),
    ("rfc9111_4_2_1_less_fresh_last", &["max-age=9, max-age=1"], |d| d.max_age = s(1)),
    ("rfc9111_4_2_1_over_lines", &["max-age=9", "max-age=1"], |d| d.max_age = s(1)),
    ("rfc9111_4_2_1_equal", &["max-age=9, max-age=9"], |d| d.max_age = s(9)),
    ("rfc9111_4_2_1_one_malformed", &["max-age=9, max-age=x"], |d| d.max_age = s(0)),
    ("rfc9111_4_2_1_other_malformed", &["max-age=x, max-age=9"], |d| d.max_age = s(0)),
    ("rfc9111_4_2_1_s_maxage", &["s-maxage=9, s-maxage=2"], |d| d.s_maxage = s(2)),
    ("rfc5861_3_shorter_window", &["stale-while-revalidate=9, stale-while-revalidate=2"], |d| {
        d.stale_while_revalidate = s(2);
    }),
    ("rfc5861_4_shorter_window", &["stale-if-error=2, stale-if-error=9"], |d| {
        d.stale_if_error = s(2);
    }),
    ("rfc9111_4_2_1_conflicting_are_both_kept", &["max-age=9, no-cache, public, private"], |d| {
        d.max_age = s(9);
        d.no_cache = Qualified::Whole;
        d.private = Qualified::Whole;
        d.public = true;
    }),
];

const QUALIFIED: &[ResponseRow] = &[
    ("rfc9111_5_2_2_4_one_field", &["no-cache=\"Set-Cookie\""], |d| {
        d.no_cache = names(&["set-cookie"]);
    }),
    ("rfc9111_5_2_2_4_token_form", &["no-cache=Set-Cookie"], |d| {
        d.no_cache = names(&["set-cookie"]);
    }),
    ("rfc9111_5_2_2_7_one_field", &["private=\"X\""], |d| d.private = names(&["x"])),
    ("rfc9111_5_2_2_7_several_fields", &["private=\"X, y,,Z , x\", max-age=1"], |d| {
        d.private = names(&["x", "y", "z"]);
        d.max_age = s(1);
    }),
    ("rfc9111_5_2_2_4_empty_list_is_whole", &["no-cache=\"\""], |d| d.no_cache = Qualified::Whole),
    ("rfc9111_5_2_2_4_only_commas_is_whole", &["no-cache=\" , \""], |d| {
        d.no_cache = Qualified::Whole;
    }),
    ("rfc9111_5_2_2_7_bad_name_is_whole", &["private=\"X, a b\""], |d| {
        d.private = Qualified::Whole;
    }),
    ("rfc9111_5_2_2_7_escape_is_whole", &["private=\"\\X\""], |d| d.private = Qualified::Whole),
    ("rfc9111_5_2_2_7_space_at_equals_is_whole", &["private =\"X\""], |d| {
        d.private = Qualified::Whole;
    }),
    ("rfc9111_5_2_2_4_whole_then_fields", &["no-cache, no-cache=\"X\""], |d| {
        d.no_cache = Qualified::Whole;
    }),
    ("rfc9111_5_2_2_4_fields_then_whole", &["no-cache=\"X\", no-cache"], |d| {
        d.no_cache = Qualified::Whole;
    }),
    ("rfc9111_5_2_2_4_fields_are_united", &["no-cache=\"X\"", "no-cache=\"Y,X\""], |d| {
        d.no_cache = names(&["x", "y"]);
    }),
];

const QUOTING: &[ResponseRow] = &[
    ("rfc9110_5_6_4_comma_within_quotes", &["foo=\"a, no-store\", max-age=1"], |d| {
        d.max_age = s(1);
    }),
    ("rfc9110_5_6_4_escaped_quote", &["foo=\"a\\\", no-store\", max-age=1"], |d| {
        d.max_age = s(1);
    }),
    ("rfc9110_5_6_4_escaped_backslash", &["foo=\"a\\\\\", no-store"], |d| d.no_store = true),
    ("rfc9110_5_6_4_quote_behind_something_else", &["foo=x\"a, no-store\", max-age=1"], |d| {
        d.no_store = true;
        d.max_age = s(0);
    }),
    ("rfc9110_5_6_4_quote_without_equals", &["\"a, no-store\", max-age=1"], |d| {
        d.no_store = true;
        d.max_age = s(0);
    }),
    ("rfc9110_5_6_4_backslash_outside_quotes", &["foo=\\, max-age=1"], |d| d.max_age = s(1)),
    ("rfc9110_5_6_3_blanks_behind_a_quote", &["foo=\"a, no-store\" \t, max-age=1"], |d| {
        d.max_age = s(1);
    }),
    ("rfc9110_5_6_4_junk_behind_a_quote", &["foo=\"a, no-store\"x, max-age=1"], |d| {
        d.no_store = true;
        d.max_age = s(0);
    }),
    ("rfc9111_4_2_1_open_quote_hides_no_restriction", &["foo=\"a, no-store, private=\"x"], |d| {
        d.no_store = true;
        d.private = Qualified::Whole;
    }),
    ("rfc9111_4_2_1_open_quote_grants_no_lifetime", &["foo=\"a, max-age=9, public"], |d| {
        d.max_age = s(0);
    }),
    ("rfc9111_4_2_1_before_an_open_quote", &["max-age=9, public, foo=\"a"], |d| {
        d.max_age = s(9);
        d.public = true;
    }),
    ("rfc9110_5_3_an_open_quote_ends_with_its_line", &["foo=\"a", "max-age=9"], |d| {
        d.max_age = s(9);
    }),
    ("rfc9111_5_2_restriction_with_argument", &["no-store=1, must-revalidate=\"x\""], |d| {
        d.no_store = true;
        d.must_revalidate = true;
    }),
    ("rfc9111_5_2_restriction_with_space", &["no-transform =1, proxy-revalidate= "], |d| {
        d.no_transform = true;
        d.proxy_revalidate = true;
    }),
    (
        "rfc9111_5_2_permission_with_argument",
        &["public=1, immutable=\"x\", must-understand="],
        |_| {},
    ),
    ("rfc9111_5_2_permission_once_is_enough", &["public, public=1, immutable, immutable=1"], |d| {
        d.public = true;
        d.immutable = true;
    }),
    ("rfc9111_5_2_understand_once_is_enough", &["must-understand, must-understand=1"], |d| {
        d.must_understand = true;
    }),
    ("rfc9110_5_5_bytes_beyond_ascii", &["\u{e9}=1, max-age=1, m\u{e9}"], |d| d.max_age = s(1)),
    ("rfc9111_4_2_1_semicolons_hide_no_restriction", &["private; max-age=9, no-store;"], |d| {
        d.private = Qualified::Whole;
        d.no_store = true;
    }),
    ("rfc9111_4_2_1_leading_quote_hides_no_restriction", &["\"no-store, no-cache\""], |d| {
        d.no_store = true;
        d.no_cache = Qualified::Whole;
    }),
    ("rfc9110_5_6_2_no_name", &["=1, =, max-age=1"], |d| d.max_age = s(1)),
];

#[test]
fn response_directives_are_read_as_rfc9111_says() {
    for table in [EACH_RESPONSE_DIRECTIVE, NUMBERS, DUPLICATES, QUALIFIED, QUOTING] {
        for (name, values, expected) in table {
            let mut directives = ResponseDirectives::default();
            expected(&mut directives);
            let fields = lines(&header::CACHE_CONTROL, values);
            assert_eq!(ResponseDirectives::parse(&fields, &[]), directives, "{name}");
        }
    }
}

/// Name, CDN-Cache-Control lines; expected: what differs from "nothing said", or the fallback.
type TargetedRow = (&'static str, &'static [&'static str], Option<fn(&mut ResponseDirectives)>);

const TARGETED: &[TargetedRow] = &[
    ("rfc9213_2_2_max_age", &["max-age=10"], Some(|d| d.max_age = s(10))),
    ("rfc9213_2_1_flag", &["no-store"], Some(|d| d.no_store = true)),
    ("rfc9213_2_1_flag_as_boolean", &["public=?1"], Some(|d| d.public = true)),
    ("rfc9213_2_1_false_permission", &["public=?0, immutable=?0"], Some(|_| {})),
    ("rfc9213_2_1_false_restriction_counts", &["no-store=?0"], Some(|d| d.no_store = true)),
    (
        "rfc9213_2_1_parameters_are_ignored",
        &["max-age=10;a=1, no-store;b"],
        Some(|d| {
            d.max_age = s(10);
            d.no_store = true;
        }),
    ),
    ("rfc9213_2_1_unknown_members", &["foo=1, bar=(a b)"], Some(|_| {})),
    (
        "rfc9213_2_1_several_lines",
        &["max-age=10", "public"],
        Some(|d| {
            d.max_age = s(10);
            d.public = true;
        }),
    ),
    ("rfc9651_3_2_last_of_duplicates", &["max-age=1, max-age=10"], Some(|d| d.max_age = s(10))),
    ("rfc9213_2_1_number_of_wrong_type", &["max-age=\"10\""], Some(|d| d.max_age = s(0))),
    ("rfc9213_2_1_number_as_token", &["max-age=a10"], Some(|d| d.max_age = s(0))),
    ("rfc9213_2_1_decimal", &["max-age=10.5"], Some(|d| d.max_age = s(0))),
    ("rfc9213_2_1_negative", &["max-age=-1"], Some(|d| d.max_age = s(0))),
    ("rfc9213_2_1_list_is_no_number", &["max-age=(10)"], Some(|d| d.max_age = s(0))),
    ("rfc9213_2_1_flag_is_no_number", &["max-age"], Some(|d| d.max_age = s(0))),
    ("rfc9111_1_2_2_huge", &["max-age=999999999999999"], Some(|d| d.max_age = s(1 << 31))),
    ("rfc9111_1_2_2_cap", &["max-age=2147483648"], Some(|d| d.max_age = s(1 << 31))),
    (
        "rfc9111_5_2_2_4_names_in_a_string",
        &["no-cache=\"A, B\""],
        Some(|d| {
            d.no_cache = names(&["a", "b"]);
        }),
    ),
    ("rfc9111_5_2_2_7_name_in_a_token", &["private=A"], Some(|d| d.private = names(&["a"]))),
    ("rfc9111_5_2_2_7_number_is_whole", &["private=1"], Some(|d| d.private = Qualified::Whole)),
    ("rfc9111_5_2_2_7_list_is_whole", &["private=(A)"], Some(|d| d.private = Qualified::Whole)),
    ("rfc9213_2_1_empty_is_absent", &[""], None),
    ("rfc9213_2_1_blank_is_absent", &["  "], None),
    ("rfc9213_2_1_malformed_is_absent", &["max-age=10, &&&"], None),
    ("rfc9213_2_1_upper_case_is_malformed", &["Max-Age=10"], None),
    ("rfc9213_2_1_trailing_comma_is_malformed", &["max-age=10,"], None),
    ("rfc9213_2_1_space_at_equals_is_malformed", &["max-age =10"], None),
    ("rfc9213_2_1_sixteen_digits_are_malformed", &["max-age=1000000000000000"], None),
    ("rfc9213_2_1_one_bad_line_spoils_all", &["max-age=10", "\""], None),
    ("rfc9213_2_1_absent", &[], None),
];

#[test]
fn targeted_field_takes_precedence_when_valid_and_not_empty() {
    for (name, values, expected) in TARGETED {
        let mut fields = lines(&CDN, values);
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("s-maxage=77, private"));
        let mut directives = ResponseDirectives::default();
        match expected {
            Some(expected) => {
                directives.targeted = true;
                expected(&mut directives);
            }
            None => {
                directives.s_maxage = s(77);
                directives.private = Qualified::Whole;
            }
        }
        assert_eq!(ResponseDirectives::parse(&fields, &[CDN]), directives, "{name}");
    }
}

#[test]
fn rfc9213_2_2_the_first_of_the_target_list_wins() {
    let mut fields = lines(&CDN, &["max-age=1"]);
    fields.insert(OUR, HeaderValue::from_static("max-age=2"));
    let max_age = |targeted: &[HeaderName]| ResponseDirectives::parse(&fields, targeted).max_age;
    assert_eq!(max_age(&[CDN, OUR]), s(1));
    assert_eq!(max_age(&[OUR, CDN]), s(2));
    assert_eq!(max_age(&[]), None);
    fields.insert(OUR, HeaderValue::from_static("!"));
    assert_eq!(ResponseDirectives::parse(&fields, &[OUR, CDN]).max_age, s(1));
}

#[test]
fn rfc9111_5_2_2_6_no_transform_of_cache_control_stays_beside_a_targeted_field() {
    for (cache_control, targeted, expected) in [
        ("no-transform", "max-age=1", true),
        ("public", "no-transform", true),
        ("public", "max-age=1", false),
    ] {
        let mut fields = lines(&CDN, &[targeted]);
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache_control));
        let directives = ResponseDirectives::parse(&fields, &[CDN]);
        assert_eq!(directives.no_transform, expected, "{cache_control} {targeted}");
        assert!(!directives.public, "{cache_control} {targeted}");
    }
}

#[test]
fn rfc9111_4_2_1_either_lifetime_is_a_lifetime() {
    let has_lifetime = |value| {
        ResponseDirectives::parse(&lines(&header::CACHE_CONTROL, &[value]), &[]).has_lifetime()
    };
    assert!(has_lifetime("max-age=0"));
    assert!(has_lifetime("s-maxage=0"));
    assert!(!has_lifetime("public, stale-if-error=1"));
}

#[test]
fn qualified_tells_the_whole_from_fields() {
    assert!(Qualified::Whole.is_whole());
    assert!(!Qualified::Absent.is_whole());
    assert!(!names(&["x"]).is_whole());
    assert_eq!(names(&["x"]).fields(), &[HeaderName::from_static("x")]);
    assert!(Qualified::Absent.fields().is_empty());
    assert!(Qualified::Whole.fields().is_empty());
}

type RequestRow = (&'static str, &'static [&'static str], fn(&mut RequestDirectives));

const REQUEST: &[RequestRow] = &[
    ("rfc9111_5_2_1_no_field", &[], |_| {}),
    ("rfc9111_5_2_1_1_max_age", &["max-age=10"], |d| d.max_age = s(10)),
    ("rfc9111_5_2_1_1_shorter", &["max-age=10, max-age=5, max-age=7"], |d| d.max_age = s(5)),
    ("rfc9111_5_2_1_1_malformed", &["max-age=x"], |d| d.max_age = s(0)),
    ("rfc9111_5_2_1_2_any", &["max-stale"], |d| d.max_stale = Some(MaxStale::Any)),
    ("rfc9111_5_2_1_2_within", &["max-stale=10"], |d| {
        d.max_stale = Some(MaxStale::Within(Duration::from_secs(10)));
    }),
    ("rfc9111_5_2_1_2_malformed_permits_nothing", &["max-stale=x"], |_| {}),
    ("rfc9111_5_2_1_2_empty_permits_nothing", &["max-stale="], |_| {}),
    ("rfc9111_5_2_1_2_shorter", &["max-stale=9, max-stale=3"], |d| {
        d.max_stale = Some(MaxStale::Within(Duration::from_secs(3)));
    }),
    ("rfc9111_5_2_1_2_shorter_first", &["max-stale=3, max-stale=9"], |d| {
        d.max_stale = Some(MaxStale::Within(Duration::from_secs(3)));
    }),
    ("rfc9111_5_2_1_2_any_then_within", &["max-stale, max-stale=3"], |d| {
        d.max_stale = Some(MaxStale::Within(Duration::from_secs(3)));
    }),
    ("rfc9111_5_2_1_2_within_then_any", &["max-stale=3, max-stale"], |d| {
        d.max_stale = Some(MaxStale::Within(Duration::from_secs(3)));
    }),
    ("rfc9111_5_2_1_2_any_twice", &["max-stale, max-stale"], |d| {
        d.max_stale = Some(MaxStale::Any);
    }),
    ("rfc9111_5_2_1_3_min_fresh", &["min-fresh=10"], |d| d.min_fresh = s(10)),
    ("rfc9111_5_2_1_3_fresher", &["min-fresh=10, min-fresh=20, min-fresh=15"], |d| {
        d.min_fresh = s(20);
    }),
    ("rfc9111_5_2_1_3_malformed_says_nothing", &["min-fresh=x"], |_| {}),
    ("rfc9111_5_2_1_3_malformed_beside_another", &["min-fresh=5, min-fresh"], |d| {
        d.min_fresh = s(5);
    }),
    ("rfc9111_5_2_1_4_no_cache", &["no-cache"], |d| d.no_cache = true),
    ("rfc9111_5_2_1_5_no_store", &["no-store"], |d| d.no_store = true),
    ("rfc9111_5_2_1_6_no_transform", &["no-transform"], |d| d.no_transform = true),
    ("rfc9111_5_2_1_7_only_if_cached", &["only-if-cached"], |d| d.only_if_cached = true),
    ("rfc5861_4_stale_if_error", &["stale-if-error=10, stale-if-error=20"], |d| {
        d.stale_if_error = s(10);
    }),
    ("rfc5861_4_malformed", &["stale-if-error"], |d| d.stale_if_error = s(0)),
    ("rfc9111_5_2_case_quoting_lines", &["MAX-AGE=\"5\"", ",No-Cache,"], |d| {
        d.max_age = s(5);
        d.no_cache = true;
    }),
    ("rfc9111_5_2_3_unknown_directives", &["foo=\"no-cache\", s-maxage=1, public, bar"], |_| {}),
];

#[test]
fn request_directives_are_read_as_rfc9111_says() {
    for (name, values, expected) in REQUEST {
        let mut directives = RequestDirectives::NONE;
        expected(&mut directives);
        let fields = lines(&header::CACHE_CONTROL, values);
        assert_eq!(RequestDirectives::parse(&fields), directives, "{name}");
    }
}

#[test]
fn rfc9111_5_4_pragma_counts_only_without_cache_control() {
    let rows: &[(&str, &[&str], bool)] = &[
        ("no-cache", &[], true),
        ("x, No-Cache", &[], true),
        ("no-cachex", &[], false),
        ("x=\"no-cache\"", &[], false),
        ("no-cache", &["max-age=1"], false),
        ("no-cache", &[""], false),
        ("x", &["no-cache"], true),
    ];
    for (pragma, cache_control, expected) in rows {
        let mut fields = lines(&header::CACHE_CONTROL, cache_control);
        fields.insert(header::PRAGMA, HeaderValue::from_str(pragma).unwrap());
        let no_cache = RequestDirectives::parse(&fields).no_cache;
        assert_eq!(no_cache, *expected, "{pragma} {cache_control:?}");
    }
    let mut fields = lines(&header::PRAGMA, &["x", "no-cache"]);
    assert!(RequestDirectives::parse(&fields).no_cache);
    fields.clear();
    assert_eq!(RequestDirectives::parse(&fields), RequestDirectives::NONE);
}

/// Any bytes that a field value may hold, directives being likely.
fn any_value() -> impl Strategy<Value = HeaderValue> {
    let piece = prop_oneof![
        Just(b"max-age=".to_vec()),
        Just(b"no-cache=\"".to_vec()),
        Just(b"private".to_vec()),
        Just(b"public".to_vec()),
        Just(b", ".to_vec()),
        Just(b"\\\"".to_vec()),
        Just(b"s-maxage=5".to_vec()),
        Just(b"stale-if-error=\"7\"".to_vec()),
        proptest::collection::vec(
            any::<u8>().prop_filter("of a field value", |b| *b >= 32 && *b != 127),
            0..6
        ),
    ];
    proptest::collection::vec(piece, 0..12)
        .prop_map(|pieces| HeaderValue::from_bytes(&pieces.concat()).unwrap())
}

/// No fresher: no lifetime longer, no restriction lost.
fn no_fresher(merged: &ResponseDirectives, one: &ResponseDirectives) -> bool {
    let shorter =
        |a: Option<Duration>, b: Option<Duration>| b.is_none_or(|b| a.is_some_and(|a| a <= b));
    let wider = |a: &Qualified, b: &Qualified| match (a, b) {
        (Qualified::Whole, _) | (_, Qualified::Absent) => true,
        (Qualified::Fields(a), Qualified::Fields(b)) => b.iter().all(|name| a.contains(name)),
        _ => false,
    };
    shorter(merged.max_age, one.max_age)
        && shorter(merged.s_maxage, one.s_maxage)
        && shorter(merged.stale_while_revalidate, one.stale_while_revalidate)
        && shorter(merged.stale_if_error, one.stale_if_error)
        && wider(&merged.no_cache, &one.no_cache)
        && wider(&merged.private, &one.private)
        && merged.no_store >= one.no_store
        && merged.must_revalidate >= one.must_revalidate
        && merged.proxy_revalidate >= one.proxy_revalidate
}

proptest! {
    #[test]
    fn no_value_panics_and_numbers_stay_capped(values in proptest::collection::vec(any_value(), 0..4)) {
        let mut fields = HeaderMap::new();
        for value in values {
            fields.append(header::CACHE_CONTROL, value.clone());
            fields.append(CDN, value);
        }
        let cap = Duration::from_secs(1 << 31);
        for targeted in [&[][..], &[CDN][..]] {
            let directives = ResponseDirectives::parse(&fields, targeted);
            let numbers = [directives.max_age, directives.s_maxage, directives.stale_if_error];
            prop_assert!(numbers.iter().flatten().all(|number| *number <= cap));
            if let Qualified::Fields(names) = &directives.private {
                prop_assert!(!names.is_empty());
            }
        }
        let request = RequestDirectives::parse(&fields);
        prop_assert!(request.max_age.is_none_or(|number| number <= cap));
    }

    #[test]
    fn merging_lines_never_gets_fresher(one in any_value(), other in any_value()) {
        let parse = |values: &[&HeaderValue]| {
            let mut fields = HeaderMap::new();
            for value in values {
                fields.append(header::CACHE_CONTROL, (*value).clone());
            }
            ResponseDirectives::parse(&fields, &[])
        };
        let merged = parse(&[&one, &other]);
        prop_assert!(no_fresher(&merged, &parse(&[&one])));
        prop_assert!(no_fresher(&merged, &parse(&[&other])));
        let swapped = parse(&[&other, &one]);
        prop_assert!(no_fresher(&swapped, &merged) && no_fresher(&merged, &swapped));
    }

    #[test]
    fn what_is_written_is_what_is_read(
        max_age in proptest::option::of(0_u64..=1 << 31),
        s_maxage in proptest::option::of(0_u64..=1 << 31),
        no_store: bool,
        public: bool,
        quoted: bool,
    ) {
        let number = |name: &str, value: u64| {
            if quoted { format!("{name}=\"{value}\"") } else { format!("{name}={value}") }
        };
        let members: Vec<String> = [
            max_age.map(|value| number("max-age", value)),
            s_maxage.map(|value| number("s-maxage", value)),
            no_store.then(|| "no-store".to_owned()),
            public.then(|| "public".to_owned()),
        ]
        .into_iter()
        .flatten()
        .collect();
        let fields = lines(&header::CACHE_CONTROL, &[&members.join(", ")]);
        let directives = ResponseDirectives::parse(&fields, &[]);
        let expected = ResponseDirectives {
            max_age: max_age.map(Duration::from_secs),
            s_maxage: s_maxage.map(Duration::from_secs),
            no_store,
            public,
            ..ResponseDirectives::default()
        };
        prop_assert_eq!(directives, expected);
    }
}
