//! Variants: what Vary nominates, and what tells responses apart.

use super::*;

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
