//! As what it is stored: fields, dates, lengths, parts, variants.

use super::*;

#[test]
fn rfc9110_15_3_7_a_206_is_stored_as_the_part_that_it_is() {
    let part = |ranges: &[&'static str]| {
        let mut response = vec![("cache-control", "max-age=9"), ("content-length", "2")];
        response.extend(ranges.iter().map(|range| ("content-range", *range)));
        store(&Method::GET, &[("range", "bytes=0-1")], 206, &response, &policy())
            .map(|head| (head.range, head.content_length))
    };
    let expected = ContentRange { first: 0, last: 1, complete: Some(9) };
    assert_eq!(part(&["bytes 0-1/9"]), Ok((Some(expected), Some(2))));
    assert_eq!(part(&[]), Err(NotStored::Part));
    assert_eq!(part(&["bytes 1-0/9"]), Err(NotStored::Part));
    assert_eq!(part(&["lines 0-1/9"]), Err(NotStored::Part));
    assert_eq!(part(&["bytes 0-1/9", "bytes 0-1/9"]), Err(NotStored::Part));
    let whole = store(&Method::GET, &[("range", "bytes=0-1")], 200, FRESH, &policy());
    assert_eq!(whole.unwrap().range, None);
}

#[test]
fn rfc9111_5_2_2_3_understood_statuses() {
    let understood: Vec<u16> = (200..600)
        .filter(|status| {
            let response =
                [("cache-control", "must-understand, max-age=9"), ("content-range", "bytes 0-1/2")];
            let verdict = store(&Method::GET, &[], *status, &response, &policy()).err();
            match verdict {
                None => true,
                Some(NotStored::MustUnderstand | NotStored::Status) => false,
                Some(other) => panic!("{status}: {other:?}"),
            }
        })
        .collect();
    let expected = (200..=206)
        .chain(300..=303)
        .chain([307, 308])
        .chain(400..=411)
        .chain(413..=415)
        .chain([417, 421, 422, 426])
        .chain(500..=505);
    assert_eq!(understood, expected.collect::<Vec<_>>());
}

#[test]
fn rfc9111_3_1_what_is_stored_is_ready_to_be_sent() {
    let response = [
        ("cache-control", "max-age=9, no-cache=\"A\", private=\"B, C\""),
        ("a", "1"),
        ("b", "2"),
        ("b", "3"),
        ("d", "4"),
        ("age", "5"),
        ("date", DATE),
        ("etag", "\"x\""),
        ("last-modified", BEFORE),
        ("content-length", "12"),
    ];
    let head = store(&Method::GET, &[], 203, &response, &policy()).unwrap();
    let expected =
        fields(&[response[0], response[4], response[6], response[7], response[8], response[9]]);
    assert_eq!(head.fields, expected);
    assert_eq!(head.status.as_u16(), 203);
    assert_eq!(head.validators, Validators::of(&expected));
    assert_eq!(head.content_length, Some(12));
    assert_eq!(head.freshness.source, LifetimeSource::MaxAge);
    // The Age that is not stored still counts.
    assert_eq!(head.freshness.corrected_initial_age.as_secs(), 5);
    assert!(head.vary.is_empty());
    assert_eq!((head.range, head.stamp), (None, 0));
}

#[test]
fn rfc9110_6_6_1_a_date_is_stored_in_any_case() {
    let rows: &[(&str, &[&str], &str)] = &[
        ("valid", &[BEFORE], BEFORE),
        ("other_form", &["Sun Nov  6 08:47:57 1994"], "Sun Nov  6 08:47:57 1994"),
        ("missing", &[], DATE),
        ("invalid", &["yesterday"], DATE),
        ("several", &[DATE, BEFORE], BEFORE),
        ("same_twice", &[BEFORE, BEFORE], BEFORE),
        ("one_of_two_invalid", &["x", BEFORE], BEFORE),
        ("both_invalid", &["x", "y"], DATE),
    ];
    for (name, dates, expected) in rows {
        let mut response = vec![("cache-control", "max-age=999")];
        response.extend(dates.iter().map(|date| ("date", *date)));
        let head = store(&Method::GET, &[], 200, &response, &policy()).unwrap();
        let stored: Vec<_> = head.fields.get_all("date").iter().collect();
        assert_eq!(stored, [expected], "{name}");
    }
}

#[test]
fn rfc9110_8_6_content_length_counts_when_it_is_one_number() {
    let rows: &[(&[&str], Option<u64>)] = &[
        (&["0"], Some(0)),
        (&["12"], Some(12)),
        (&["12", "12"], None),
        (&["12,12"], None),
        (&["+12"], None),
        (&["-1"], None),
        (&[""], None),
        (&["99999999999999999999999"], None),
        (&[], None),
    ];
    for (lengths, expected) in rows {
        let mut response = vec![("cache-control", "max-age=9")];
        response.extend(lengths.iter().map(|length| ("content-length", *length)));
        let head = store(&Method::GET, &[], 200, &response, &policy()).unwrap();
        assert_eq!(head.content_length, *expected, "{lengths:?}");
    }
    let response = [("cache-control", "max-age=9"), ("content-length", "0")];
    let head = store(&Method::GET, &[], 204, &response, &policy()).unwrap();
    assert_eq!(head.fields.get("content-length"), None, "a 204 must not have one");
}

#[test]
fn rfc9110_15_3_7_a_part_that_answers_if_range_is_not_stored() {
    let response = [("cache-control", "max-age=9"), ("content-range", "bytes 0-1/2")];
    let range = [("range", "bytes=0-1"), ("if-range", "\"a\"")];
    let got = store(&Method::GET, &range, 206, &response, &policy());
    assert_eq!(got.map(drop), Err(NotStored::IfRange));
    store(&Method::GET, &range[..1], 206, &response, &policy()).unwrap();
    store(&Method::GET, &range, 200, &response[..1], &policy()).unwrap();
}

#[test]
fn rfc9111_4_1_the_variant_is_that_of_the_request() {
    let response = [("cache-control", "max-age=9"), ("vary", "Foo")];
    let head = store(&Method::GET, &[("foo", "1")], 200, &response, &policy()).unwrap();
    assert!(head.vary.matches(&fields(&[("foo", "1")])));
    assert!(!head.vary.matches(&fields(&[("foo", "2")])));
    let long = "1".repeat(crate::key::NOMINATED_BYTES_MAX + 1);
    let got = store(&Method::GET, &[("foo", &long)], 200, &response, &policy());
    assert_eq!(got.map(drop), Err(NotStored::VaryBytes));
}

proptest! {
    #[test]
    fn what_is_stored_keeps_its_promises(
        status in 100_u16..600,
        names in proptest::collection::vec(0_usize..8, 0..6),
        values in proptest::collection::vec("[ -~]{0,24}", 6),
        authorization: bool,
    ) {
        const NAMES: [&str; 8] =
            ["cache-control", "expires", "date", "age", "vary", "etag", "set-cookie", "content-range"];
        let response: Vec<_> = names.iter().zip(&values)
            .map(|(name, value)| (NAMES[*name], value.as_str()))
            .chain([("cache-control", "max-age=9")])
            .collect();
        let request = if authorization { AUTH } else { &[] };
        if let Ok(head) = store(&Method::GET, request, status, &response, &policy()) {
            prop_assert!(status >= 200 && status != 304);
            prop_assert_eq!(head.range.is_some(), status == 206);
            prop_assert!(!head.fields.contains_key("age"));
            prop_assert_eq!(head.fields.get_all("date").iter().count(), 1);
            prop_assert!(head.freshness.source.is_explicit());
        }
    }
}
