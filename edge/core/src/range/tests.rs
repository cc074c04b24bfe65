//! Range tables; each row names its clause.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::too_many_lines,
    clippy::type_complexity,
    reason = "long tables of rows, and sums that a test may get wrong"
)]

use http::{HeaderMap, HeaderValue, header};
use proptest::prelude::*;

use super::*;

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_bytes(text.as_bytes()).unwrap()
}

fn span(first: u64, last: u64) -> Span {
    Span { first, last }
}

fn asked(text: &str, length: u64) -> Ranges {
    resolve(Some(text.as_bytes()), length, 16)
}

#[test]
fn range_resolves_against_the_complete_length() {
    let rows: &[(&str, &str, u64, Ranges)] = &[
        ("§14.1.2 first 500 bytes", "bytes=0-499", 10_000, Ranges::One(span(0, 499))),
        ("§14.1.2 second 500 bytes", "bytes=500-999", 10_000, Ranges::One(span(500, 999))),
        ("§14.1.2 final 500 bytes", "bytes=-500", 10_000, Ranges::One(span(9_500, 9_999))),
        ("§14.1.2 open end", "bytes=9500-", 10_000, Ranges::One(span(9_500, 9_999))),
        (
            "§14.1.2 first and last only",
            "bytes=0-0,-1",
            10_000,
            Ranges::Many(vec![span(0, 0), span(9_999, 9_999)]),
        ),
        (
            "§14.1.2 first, middle, last 1000",
            "bytes= 0-999, 4500-5499, -1000",
            10_000,
            Ranges::Many(vec![span(0, 999), span(4_500, 5_499), span(9_000, 9_999)]),
        ),
        (
            "§14.2 order of the request is kept",
            "bytes=500-600,0-9",
            10_000,
            Ranges::Many(vec![span(500, 600), span(0, 9)]),
        ),
        ("§14.1.2 last beyond the end is the end", "bytes=5-10", 10, Ranges::One(span(5, 9))),
        ("§14.1.2 last exactly the end", "bytes=5-9", 10, Ranges::One(span(5, 9))),
        ("§14.1.2 last just before the end", "bytes=5-8", 10, Ranges::One(span(5, 8))),
        ("§14.1.2 suffix longer than all is all", "bytes=-11", 10, Ranges::One(span(0, 9))),
        ("§14.1.2 suffix as long as all is all", "bytes=-10", 10, Ranges::One(span(0, 9))),
        ("§14.1.2 suffix one shorter", "bytes=-9", 10, Ranges::One(span(1, 9))),
        ("§14.1.2 last byte", "bytes=9-9", 10, Ranges::One(span(9, 9))),
        ("§14.1.2 first is the length", "bytes=10-", 10, Ranges::Unsatisfiable),
        ("§14.1.2 first is the length, bounded", "bytes=10-20", 10, Ranges::Unsatisfiable),
        ("§14.1.2 suffix of nothing", "bytes=-0", 10, Ranges::Unsatisfiable),
        ("§15.5.17 all unsatisfiable", "bytes=10-11,-0,99-", 10, Ranges::Unsatisfiable),
        ("§15.5.17 one satisfiable left", "bytes=10-11,0-1", 10, Ranges::One(span(0, 1))),
        ("§14.1.2 empty, open", "bytes=0-", 0, Ranges::Unsatisfiable),
        ("§14.1.2 empty, suffix of nothing", "bytes=-0", 0, Ranges::Unsatisfiable),
        ("§14.1.2 empty, suffix is all there is", "bytes=-1", 0, Ranges::Whole),
        ("§14.1.2 empty, one of them a suffix", "bytes=0-0,-5", 0, Ranges::Whole),
        ("§14.1 unit is case-insensitive", "BYTES=0-1", 10, Ranges::One(span(0, 1))),
        ("§5.6.1.2 empty members are ignored", "bytes=,0-1, ,", 10, Ranges::One(span(0, 1))),
        ("§5.6.1 tab around members", "bytes=\t0-1\t", 10, Ranges::One(span(0, 1))),
        ("§14.2 other unit", "items=0-1", 10, Ranges::Whole),
        ("§14.2 no unit", "0-1", 10, Ranges::Whole),
        ("§14.2 unit with space", "bytes =0-1", 10, Ranges::Whole),
        ("§14.1.1 empty set", "bytes=", 10, Ranges::Whole),
        ("§14.1.1 only commas", "bytes=, ,", 10, Ranges::Whole),
        ("§14.1.1 last before first", "bytes=2-1", 10, Ranges::Whole),
        ("§14.1.1 last is first", "bytes=2-2", 10, Ranges::One(span(2, 2))),
        ("§14.1.1 one invalid spoils all", "bytes=0-1,2-1", 10, Ranges::Whole),
        ("§14.1.1 neither position", "bytes=-", 10, Ranges::Whole),
        ("§14.1.1 sign", "bytes=+1-2", 10, Ranges::Whole),
        ("§14.1.1 two dashes", "bytes=--1", 10, Ranges::Whole),
        ("§14.1.1 three positions", "bytes=1-2-3", 10, Ranges::Whole),
        ("§14.1.1 inner space", "bytes=1 - 2", 10, Ranges::Whole),
        ("§14.1.1 letters", "bytes=a-b", 10, Ranges::Whole),
        ("§14.1.1 hexadecimal", "bytes=0x1-2", 10, Ranges::Whole),
        ("§14.1.1 no dash", "bytes=5", 10, Ranges::Whole),
        (
            "§14.1.1 number too large, first",
            "bytes=18446744073709551616-",
            10,
            Ranges::Unsatisfiable,
        ),
        (
            "§14.1.1 number too large, last",
            "bytes=3-99999999999999999999999",
            10,
            Ranges::One(span(3, 9)),
        ),
        (
            "§14.1.1 number too large, suffix",
            "bytes=-99999999999999999999999",
            10,
            Ranges::One(span(0, 9)),
        ),
    ];
    for (name, field, length, expected) in rows {
        assert_eq!(asked(field, *length), *expected, "{name}: {field} of {length}");
    }
    assert_eq!(resolve(None, 10, 16), Ranges::Whole, "§14.2 no Range");
    let obs_text = HeaderValue::from_bytes(b"bytes=0-1\xff").unwrap();
    assert_eq!(resolve(Some(obs_text.as_bytes()), 10, 16), Ranges::Whole, "§14.1.1 obs-text");
    assert_eq!(asked("bytes=-1", u64::MAX), Ranges::One(span(u64::MAX - 1, u64::MAX - 1)));
}

fn tiny(count: u64) -> String {
    let members: Vec<String> = (0..count).map(|at| format!("{0}-{0}", at * 2)).collect();
    format!("bytes={}", members.join(","))
}

#[test]
fn range_floods_are_answered_with_the_whole() {
    let spans = |text: &str, length| match asked(text, length) {
        Ranges::Many(spans) => spans.len(),
        Ranges::One(_) => 1,
        Ranges::Whole => 0,
        Ranges::Unsatisfiable => panic!("{text} is satisfiable"),
    };
    // §14.2: the limit counts every range asked for.
    assert_eq!(
        resolve(Some(tiny(3).as_bytes()), 10_000, 2),
        Ranges::Whole,
        "one more than allowed"
    );
    assert!(matches!(resolve(Some(tiny(2).as_bytes()), 10_000, 2), Ranges::Many(_)), "as allowed");
    assert_eq!(
        resolve(Some(b"bytes=0-0,20000-,30000-"), 10_000, 2),
        Ranges::Whole,
        "unsatisfiable ones count as well"
    );
    assert_eq!(spans(&tiny(16), 1_000_000), 16);
    assert_eq!(spans(&tiny(17), 1_000_000), 0);
    // §17.15: together more than there is.
    assert_eq!(spans("bytes=0-5,4-7", 10), 2, "ten of ten bytes");
    assert_eq!(spans("bytes=0-5,4-8", 10), 0, "eleven of ten bytes");
    assert_eq!(spans("bytes=0-,0-", 10), 0, "everything twice");
    // §14.2: more than two that overlap.
    assert_eq!(spans("bytes=0-9,9-19", 1000), 2, "two that share a byte");
    assert_eq!(spans("bytes=0-9,9-19,40-49", 1000), 3, "two of three");
    assert_eq!(spans("bytes=0-9,10-19,20-29", 1000), 3, "adjacent is not overlapping");
    assert_eq!(spans("bytes=0-9,9-19,19-29", 1000), 0, "a chain of three");
    assert_eq!(spans("bytes=0-0,0-0,0-0", 1000), 0, "three times the same");
    assert_eq!(spans("bytes=19-29,9-19,0-9", 1000), 0, "a chain backwards");
    assert_eq!(spans("bytes=0-9,9-19,40-49,49-59", 1000), 0, "two pairs");
    // §15.3.7.2: an envelope as large as the whole.
    assert_eq!(spans(&tiny(8), 20), 8, "eight are no flood");
    assert_eq!(spans(&tiny(9), 909), 0, "nine that cost as much as the whole");
    assert_eq!(spans(&tiny(9), 910), 9, "nine that cost a byte less");
}

#[test]
fn several_range_lines_are_no_range() {
    let mut fields = HeaderMap::new();
    assert_eq!(of(&fields), None);
    fields.append(header::RANGE, value("bytes=0-1"));
    assert_eq!(of(&fields), Some(&b"bytes=0-1"[..]));
    fields.append(header::RANGE, value("bytes=2-3"));
    assert_eq!(of(&fields), None);
}

#[test]
fn stored_part_answers_only_what_it_covers() {
    let part = ContentRange { first: 10, last: 19, complete: Some(100) };
    let tail = ContentRange { first: 90, last: 99, complete: Some(100) };
    let unknown = ContentRange { first: 10, last: 19, complete: None };
    let rows: &[(&str, ContentRange, &str, Option<Span>)] = &[
        ("RFC 9111 §3.3 the same", part, "bytes=10-19", Some(span(10, 19))),
        ("RFC 9111 §3.3 within", part, "bytes=11-18", Some(span(11, 18))),
        ("RFC 9111 §3.3 one byte before", part, "bytes=9-19", None),
        ("RFC 9111 §3.3 one byte after", part, "bytes=10-20", None),
        ("RFC 9111 §3.3 open end needs the end", part, "bytes=10-", None),
        ("RFC 9111 §3.3 open end at the end", tail, "bytes=90-", Some(span(90, 99))),
        ("RFC 9111 §3.3 end beyond the end", tail, "bytes=95-1000", Some(span(95, 99))),
        ("RFC 9111 §3.3 suffix", tail, "bytes=-10", Some(span(90, 99))),
        ("RFC 9111 §3.3 suffix one longer", tail, "bytes=-11", None),
        ("RFC 9111 §3.3 several", part, "bytes=10-11,12-13", None),
        ("RFC 9111 §3.3 unsatisfiable", part, "bytes=100-", None),
        ("RFC 9111 §3.3 invalid", part, "bytes=x", None),
        ("RFC 9111 §3.3 unknown length, bounded", unknown, "bytes=10-19", Some(span(10, 19))),
        ("RFC 9111 §3.3 unknown length, beyond", unknown, "bytes=10-20", None),
        ("RFC 9111 §3.3 unknown length, open", unknown, "bytes=10-", None),
        ("RFC 9111 §3.3 unknown length, suffix", unknown, "bytes=-1", None),
    ];
    for (name, part, wanted, expected) in rows {
        assert_eq!(covers(part, wanted.as_bytes()), *expected, "{name}: {wanted}");
    }
}

#[test]
fn content_range_is_read_and_written() {
    let rows: &[(&str, &str, Option<(u64, u64, Option<u64>)>)] = &[
        ("§14.4 example", "bytes 42-1233/1234", Some((42, 1233, Some(1234)))),
        ("§14.4 unknown length", "bytes 42-1233/*", Some((42, 1233, None))),
        ("§14.4 one byte", "bytes 0-0/1", Some((0, 0, Some(1)))),
        ("§14.1 unit is case-insensitive", "Bytes 0-0/1", Some((0, 0, Some(1)))),
        ("§5.5 white space around", " bytes 0-0/1\t", Some((0, 0, Some(1)))),
        ("§14.4 unsatisfied is no part", "bytes */1234", None),
        ("§14.4 last before first", "bytes 2-1/10", None),
        ("§14.4 length equal to last", "bytes 0-10/10", None),
        ("§14.4 length one more than last", "bytes 0-10/11", Some((0, 10, Some(11)))),
        ("§14.4 other unit", "items 0-1/2", None),
        ("§14.4 equals sign", "bytes=0-1/2", None),
        ("§14.4 no length", "bytes 0-1", None),
        ("§14.4 empty length", "bytes 0-1/", None),
        ("§14.4 empty first", "bytes -1/2", None),
        ("§14.4 empty last", "bytes 0-/2", None),
        ("§14.4 sign", "bytes +0-1/2", None),
        ("§14.4 sign in last", "bytes 0-+1/2", None),
        ("§14.4 sign in length", "bytes 0-1/+2", None),
        ("§14.4 too large", "bytes 0-18446744073709551616/*", None),
        ("§14.4 largest", "bytes 0-18446744073709551614/18446744073709551615", {
            Some((0, u64::MAX - 1, Some(u64::MAX)))
        }),
        ("§14.4 two slashes", "bytes 0-1/2/3", None),
    ];
    for (name, text, expected) in rows {
        let expected =
            expected.map(|(first, last, complete)| ContentRange { first, last, complete });
        assert_eq!(ContentRange::parse(&value(text)), expected, "{name}: {text}");
    }
    let part = ContentRange { first: 1, last: 2, complete: Some(30) };
    assert_eq!(part.to_value(), "bytes 1-2/30");
    assert_eq!(ContentRange { complete: None, ..part }.to_value(), "bytes 1-2/*");
    assert_eq!(part.span(), span(1, 2));
    assert_eq!(part.span().length(), 2);
    assert_eq!(span(0, u64::MAX).length(), u64::MAX);
}

#[test]
fn multipart_bytes_are_exact() {
    let parts = Multipart::new(
        "sep".to_owned(),
        Some(HeaderValue::from_static("text/plain")),
        vec![span(0, 1), span(5, 9)],
        10,
    );
    assert_eq!(
        parts.part_head(0),
        "--sep\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n"
    );
    assert_eq!(
        parts.part_head(1),
        "\r\n--sep\r\nContent-Type: text/plain\r\nContent-Range: bytes 5-9/10\r\n\r\n"
    );
    assert_eq!(parts.part_head(2), "");
    assert_eq!(parts.closing(), "\r\n--sep--\r\n");
    assert_eq!(parts.spans(), [span(0, 1), span(5, 9)]);
    let content = parts.part_head(0).len() + 2 + parts.part_head(1).len() + 5 + 11;
    assert_eq!(parts.content_length(), content as u64);
    let mut fields = HeaderMap::new();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    fields.insert(header::CONTENT_LENGTH, HeaderValue::from_static("10"));
    fields.insert(header::CONTENT_RANGE, HeaderValue::from_static("bytes 0-1/10"));
    parts.describe(&mut fields);
    assert_eq!(fields.len(), 2);
    assert_eq!(fields[header::CONTENT_TYPE], "multipart/byteranges; boundary=sep");
    assert_eq!(fields[header::CONTENT_LENGTH], content.to_string());

    let untyped = Multipart::new("b".to_owned(), None, vec![span(0, 0), span(2, 2)], 3);
    assert_eq!(untyped.part_head(0), "--b\r\nContent-Range: bytes 0-0/3\r\n\r\n");
    assert_eq!(untyped.content_length(), 35 + 1 + 37 + 1 + 9);
}

/// Every byte position that a set of ranges asks for, one by one.
fn naive(specs: &[(Option<u64>, Option<u64>)], length: u64) -> Vec<Vec<u64>> {
    let wanted = |spec: &(Option<u64>, Option<u64>), at: u64| match *spec {
        (Some(first), Some(last)) => first <= at && at <= last,
        (Some(first), None) => first <= at,
        (None, Some(suffix)) => at + suffix >= length,
        (None, None) => unreachable!("not generated"),
    };
    let bytes = specs.iter().map(|spec| (0..length).filter(|at| wanted(spec, *at)).collect());
    bytes.filter(|bytes: &Vec<u64>| !bytes.is_empty()).collect()
}

fn spec() -> impl Strategy<Value = (Option<u64>, Option<u64>)> {
    prop_oneof![
        (0..70_u64, 0..70_u64).prop_map(|(a, b)| (Some(a.min(b)), Some(a.max(b)))),
        (0..70_u64).prop_map(|first| (Some(first), None)),
        (0..70_u64).prop_map(|suffix| (None, Some(suffix))),
    ]
}

proptest! {
    #[test]
    fn range_resolution_equals_the_byte_set(
        specs in prop::collection::vec(spec(), 1..6),
        length in 1..64_u64,
    ) {
        let text = |n: &Option<u64>| n.map(|n| n.to_string()).unwrap_or_default();
        let members: Vec<String> =
            specs.iter().map(|(a, b)| format!("{}-{}", text(a), text(b))).collect();
        let expected = naive(&specs, length);
        let bytes = |span: &Span| (span.first..=span.last).collect::<Vec<u64>>();
        match asked(&format!("bytes={}", members.join(", ")), length) {
            Ranges::Unsatisfiable => prop_assert!(expected.is_empty()),
            Ranges::One(span) => prop_assert_eq!(vec![bytes(&span)], expected),
            Ranges::Many(spans) => {
                prop_assert!(spans.len() >= 2);
                prop_assert_eq!(spans.iter().map(bytes).collect::<Vec<_>>(), expected);
            }
            Ranges::Whole => {
                let total: u64 = expected.iter().map(|bytes| bytes.len() as u64).sum();
                let shared = expected.iter().enumerate().filter(|(i, a)| {
                    expected.iter().enumerate()
                        .any(|(j, b)| *i != j && a.iter().any(|byte| b.contains(byte)))
                });
                prop_assert!(total > length || shared.count() > 2);
            }
        }
    }

    #[test]
    fn any_range_value_resolves_within_the_representation(
        tail in "[-0-9, =a-z]{0,24}", length in 0..1000_u64, bytes: bool,
    ) {
        let field = value(&format!("{}{tail}", if bytes { "bytes=" } else { "" }));
        let inside = |span: &Span| span.first <= span.last && span.last < length;
        match resolve(Some(field.as_bytes()), length, 16) {
            Ranges::One(span) => prop_assert!(inside(&span)),
            Ranges::Many(spans) => prop_assert!(spans.iter().all(inside)),
            Ranges::Whole | Ranges::Unsatisfiable => {}
        }
    }

    #[test]
    fn content_range_survives_a_round_trip(first in 0..1000_u64, more in 0..1000_u64, rest in prop::option::of(1..1000_u64)) {
        let part = ContentRange { first, last: first + more, complete: rest.map(|r| first + more + r) };
        prop_assert_eq!(ContentRange::parse(&part.to_value()), Some(part));
    }

    #[test]
    fn any_content_range_value_is_ordered_or_refused(bytes in prop::collection::vec(32..=255_u8, 0..40)) {
        if let Ok(value) = HeaderValue::from_bytes(&bytes)
            && let Some(part) = ContentRange::parse(&value)
        {
            prop_assert!(part.first <= part.last);
            prop_assert!(part.complete.is_none_or(|n| part.last < n));
        }
    }
}

#[test]
fn rfc9110_17_15_a_flood_is_not_asked_of_an_origin() {
    let rows = [
        ("bytes=0-9", true),
        ("bytes=5-", true),
        ("BYTES=-5", true),
        ("bytes=-0", true),
        ("bytes=0-0,-1", true),
        ("bytes=0-0,2-2,4-4", true),
        ("bytes=0-0,2-2,4-4,6-6", false),
        ("bytes=0-5,3-9", true),
        ("bytes=0-5,3-9,4-6", false),
        ("bytes=0-,0-", false),
        ("bytes=0-,-5", false),
        ("bytes=5-,6-", false),
        ("bytes=9-5", false),
        ("bytes=", false),
        ("bytes", false),
        ("", false),
        ("=0-1", false),
        ("a b=0-1", false),
        ("items=0-9", true),
        ("items=a,b,c", true),
        ("items=a,b,c,d", false),
    ];
    for (field, expected) in rows {
        assert_eq!(may_be_asked(field.as_bytes(), 3), expected, "{field}");
    }
    let many = |count: usize, unit: &str| {
        let ranges: Vec<_> = (0..count).map(|at| format!("{}-{}", at * 2, at * 2)).collect();
        format!("{unit}={}", ranges.join(","))
    };
    assert!(may_be_asked(many(16, "bytes").as_bytes(), 16));
    assert!(!may_be_asked(many(1200, "bytes").as_bytes(), 16));
    assert!(!may_be_asked(many(1200, "items").as_bytes(), 16));
}

proptest! {
    #[test]
    fn what_is_not_asked_is_the_whole_for_every_length(
        specs in proptest::collection::vec("([0-9]{1,2}-[0-9]{0,2}|-[1-9])", 1..5),
        length in 1_u64..200,
    ) {
        let field = format!("bytes={}", specs.join(","));
        // Ranges that reach beyond the end are cut off, so that fewer of them may remain.
        let spans = resolve(Some(field.as_bytes()), length, 16);
        if may_be_asked(field.as_bytes(), 16) {
            prop_assert!(RangeSet::parse(field.as_bytes()).is_some());
        } else if let Ranges::Many(spans) = spans {
            prop_assert!(spans.len() < specs.len() || overlapping(&spans) > 0);
        }
    }
}
