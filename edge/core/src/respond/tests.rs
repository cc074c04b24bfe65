//! Tables of final heads; each row names its clause.

use proptest::prelude::*;

use super::*;
use crate::{
    site::Policy,
    storable::{self, Exchange},
};

const DATE: &str = "Sun, 06 Nov 1994 09:00:00 GMT";

fn map(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

fn then() -> Timestamp {
    Timestamp::from_http_date(DATE).unwrap()
}

fn now() -> Timestamp {
    then().plus(Duration::from_millis(7_999))
}

fn stored(status: u16, said: &[(&str, &str)]) -> StoredHead {
    let all = [&[("cache-control", "max-age=60"), ("date", DATE)], said].concat();
    storable::judge(&Exchange {
        method: &Method::GET,
        target: "http://a.example/",
        request_fields: &HeaderMap::new(),
        status: StatusCode::from_u16(status).unwrap(),
        response_fields: &map(&all),
        request_time: then(),
        response_time: then(),
        policy: &Policy::default(),
    })
    .unwrap()
}

fn lines(fields: &HeaderMap) -> Vec<String> {
    let mut lines: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    lines.sort();
    lines
}

fn full() -> StoredHead {
    stored(
        200,
        &[
            ("content-type", "text/plain"),
            ("content-length", "10"),
            ("content-location", "/a"),
            ("etag", "\"a\""),
            ("expires", DATE),
            ("last-modified", DATE),
            ("vary", "accept"),
            ("via", "1.1 edge"),
            ("cache-status", "origin; hit"),
            ("x-two", "1"),
            ("x-two", "2"),
        ],
    )
}

#[test]
fn conditions_come_before_ranges_and_ranges_only_for_a_whole_get() {
    let head = full();
    let error = stored(404, &[("content-length", "10"), ("etag", "\"a\"")]);
    let part = stored(
        206,
        &[("content-length", "2"), ("content-range", "bytes 0-1/10"), ("etag", "\"a\"")],
    );
    let other = stored(203, &[("content-length", "10")]);
    let ten = Some(10);
    let range = ("range", "bytes=2-4");
    let one = Answer::Part(Span { first: 2, last: 4 });
    type Row<'a> = (&'a str, Method, &'a StoredHead, &'a [(&'a str, &'a str)], Option<u64>, Answer);
    let rows: &[Row<'_>] = &[
        ("§9.3.1 plain", Method::GET, &head, &[], ten, Answer::Whole),
        ("§14.2 one range", Method::GET, &head, &[range], ten, one.clone()),
        (
            "§14.2 two ranges",
            Method::GET,
            &head,
            &[("range", "bytes=0-0,2-2")],
            ten,
            Answer::Parts(vec![Span { first: 0, last: 0 }, Span { first: 2, last: 2 }]),
        ),
        ("§15.5.17", Method::GET, &head, &[("range", "bytes=10-")], ten, Answer::NotSatisfiable),
        ("§14.2 invalid", Method::GET, &head, &[("range", "bytes=x")], ten, Answer::Whole),
        ("§14.2 more than allowed", Method::GET, &head, &[("range", "bytes=0-0,2-2,4-4")], ten, {
            Answer::Whole
        }),
        ("§14.2 GET only", Method::HEAD, &head, &[range], ten, Answer::Whole),
        ("§14.2 length unknown", Method::GET, &head, &[range], None, Answer::Whole),
        ("§14.2 only for a 200", Method::GET, &error, &[range], ten, Answer::Whole),
        ("§14.2 only for a 200", Method::GET, &other, &[range], ten, Answer::Whole),
        ("§14.2 a part is not divided here", Method::GET, &part, &[range], ten, Answer::Whole),
        ("§13.1.5 same", Method::GET, &head, &[range, ("if-range", "\"a\"")], ten, one.clone()),
        ("§13.1.5 other", Method::GET, &head, &[range, ("if-range", "\"b\"")], ten, Answer::Whole),
        (
            "§13.2.2 conditions first",
            Method::GET,
            &head,
            &[range, ("if-none-match", "\"a\"")],
            ten,
            Answer::NotModified,
        ),
        ("§13.2.2 then ranges", Method::GET, &head, &[range, ("if-none-match", "\"b\"")], ten, one),
        (
            "§13.2.2 HEAD as well",
            Method::HEAD,
            &head,
            &[("if-none-match", "\"a\"")],
            ten,
            Answer::NotModified,
        ),
        ("§13.2.1 no success", Method::GET, &error, &[("if-none-match", "\"a\"")], ten, {
            Answer::Whole
        }),
        ("§13.2.2 step 3", Method::PUT, &head, &[("if-none-match", "\"a\"")], ten, {
            Answer::PreconditionFailed
        }),
    ];
    for (name, method, stored, asked, length, expected) in rows {
        assert_eq!(decide(method, &map(asked), stored, *length, 2), *expected, "{name}");
    }
}

#[test]
fn whole_answer_is_the_stored_one_with_its_age() {
    let head_of = |stored: &StoredHead, method| head(stored, &Answer::Whole, now(), &method);
    let (status, fields) = head_of(&full(), Method::GET);
    assert_eq!(status, StatusCode::OK);
    let mut expected = lines(&full().fields);
    expected.push("age: 7".to_owned());
    expected.sort();
    assert_eq!(lines(&fields), expected, "RFC 9111 §5.1");
    assert_eq!(fields.get_all("x-two").iter().collect::<Vec<_>>(), ["1", "2"], "§5.3");
    assert!(fields.capacity() >= fields.keys_len() + 3);
    assert_eq!(head_of(&stored(404, &[]), Method::GET).0, StatusCode::NOT_FOUND);

    // Its length may have become known only when it was complete.
    let mut unframed = stored(200, &[]);
    unframed.content_length = Some(10);
    assert_eq!(head_of(&unframed, Method::GET).1.get(header::CONTENT_LENGTH), None);
    assert_eq!(head_of(&unframed, Method::HEAD).1[header::CONTENT_LENGTH], "10", "§8.6");
    unframed.content_length = None;
    assert_eq!(head_of(&unframed, Method::HEAD).1.get(header::CONTENT_LENGTH), None);
    let mut none = stored(204, &[]);
    none.content_length = Some(0);
    assert_eq!(head_of(&none, Method::HEAD).1.get(header::CONTENT_LENGTH), None, "§8.6");
    let framed = stored(200, &[("content-length", "10")]);
    assert_eq!(lines(&head_of(&framed, Method::HEAD).1), lines(&head_of(&framed, Method::GET).1));

    let part = stored(206, &[("content-range", "bytes 0-1/10"), ("content-length", "2")]);
    let (status, fields) = head_of(&part, Method::GET);
    assert_eq!(status, StatusCode::PARTIAL_CONTENT, "RFC 9111 §3.3 never a whole");
    assert_eq!(fields[header::CONTENT_RANGE], "bytes 0-1/10");
}

#[test]
fn answer_of_the_origin_says_an_age_only_if_it_has_one() {
    let from_origin =
        |at| head_from_origin(&full(), &Answer::Whole, then().plus(at), &Method::GET).1;
    let age = |at| from_origin(at).get(header::AGE).cloned();
    assert_eq!(age(Duration::ZERO), None, "RFC 9111 §5.1");
    assert_eq!(age(Duration::from_millis(999)), None, "RFC 9111 §5.1");
    assert_eq!(age(Duration::from_secs(1)).unwrap(), "1", "RFC 9111 §5.1");
    let (status, fields) = head_from_origin(&full(), &Answer::NotModified, then(), &Method::GET);
    assert_eq!(status, StatusCode::NOT_MODIFIED);
    assert_eq!(fields.get(header::AGE), None);
    assert_eq!(lines(&from_origin(Duration::ZERO)), lines(&full().fields));
}

#[test]
fn not_modified_repeats_only_what_updates_a_copy() {
    let (status, fields) = head(&full(), &Answer::NotModified, now(), &Method::GET);
    assert_eq!(status, StatusCode::NOT_MODIFIED);
    let date = format!("date: {DATE}");
    let expires = format!("expires: {DATE}");
    assert_eq!(
        lines(&fields),
        [
            "age: 7",
            "cache-control: max-age=60",
            "cache-status: origin; hit",
            "content-location: /a",
            &date,
            "etag: \"a\"",
            &expires,
            "vary: accept",
            "via: 1.1 edge",
        ],
        "§15.4.5"
    );
    let dated = stored(200, &[("last-modified", DATE), ("content-length", "10")]);
    let (_, fields) = head(&dated, &Answer::NotModified, now(), &Method::HEAD);
    let modified = format!("last-modified: {DATE}");
    let expected = ["age: 7", "cache-control: max-age=60", &date, &modified];
    assert_eq!(lines(&fields), expected, "§15.4.5 the date where there is no tag");
}

#[test]
fn part_says_which_one_it_is() {
    let answer = Answer::Part(Span { first: 2, last: 4 });
    let (status, mut fields) = head(&full(), &answer, now(), &Method::GET);
    assert_eq!(status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(fields.remove(header::CONTENT_RANGE).unwrap(), "bytes 2-4/10", "§15.3.7.1");
    assert_eq!(fields.remove(header::CONTENT_LENGTH).unwrap(), "3", "§15.3.7.1");
    assert_eq!(fields.remove(header::AGE).unwrap(), "7", "RFC 9111 §5.1");
    let mut others = full().fields;
    others.remove(header::CONTENT_LENGTH);
    assert_eq!(lines(&fields), lines(&others), "§15.3.7");

    let parts = Answer::Parts(vec![Span { first: 0, last: 0 }, Span { first: 2, last: 2 }]);
    let (status, mut fields) = head(&full(), &parts, now(), &Method::GET);
    assert_eq!(status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(fields.remove(header::AGE).unwrap(), "7");
    assert_eq!(lines(&fields), lines(&others), "§15.3.7.2 no Content-Range in the head");

    let mut unknown = stored(200, &[]);
    unknown.content_length = None;
    let (_, fields) = head(&unknown, &answer, now(), &Method::GET);
    assert_eq!(fields[header::CONTENT_RANGE], "bytes 2-4/*", "§14.4");
}

#[test]
fn answers_of_our_own_say_little() {
    let date = "date: Sun, 06 Nov 1994 09:00:07 GMT";
    let (status, fields) = head(&full(), &Answer::NotSatisfiable, now(), &Method::GET);
    assert_eq!(status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(
        lines(&fields),
        ["content-length: 0", "content-range: bytes */10", date],
        "§15.5.17"
    );
    let mut unknown = full();
    unknown.content_length = None;
    let (_, fields) = head(&unknown, &Answer::NotSatisfiable, now(), &Method::GET);
    assert_eq!(lines(&fields), ["content-length: 0", "content-range: bytes */*", date]);
    let (status, fields) = head(&full(), &Answer::PreconditionFailed, now(), &Method::PUT);
    assert_eq!(status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(lines(&fields), ["content-length: 0", date], "§15.5.13");
}

#[test]
fn age_is_whole_seconds() {
    let rows = [
        (0, "0"),
        (9, "9"),
        (10, "10"),
        (99, "99"),
        (100, "100"),
        (999, "999"),
        (1000, "1000"),
        (9_999, "9999"),
        (10_000, "10000"),
        (86_400, "86400"),
        (2_147_483_647, "2147483647"),
        (2_147_483_648, "2147483648"),
        (2_147_483_649, "2147483648"),
        (u64::MAX, "2147483648"),
    ];
    for (seconds, expected) in rows {
        assert_eq!(age_value(Duration::from_secs(seconds)), expected, "RFC 9111 §1.2.2");
    }
    assert_eq!(age_value(Duration::from_millis(1_999)), "1", "RFC 9111 §5.1");
    // Those at hand are shared, not allocated; the next one is not.
    assert!(at_hand(9_999).is_some());
    assert!(at_hand(10_000).is_none());
    assert!(at_hand(u64::MAX).is_none());
}

proptest! {
    #[test]
    fn age_reads_back(seconds in 0..20_000_u64) {
        let value = age_value(Duration::from_secs(seconds));
        prop_assert_eq!(value.to_str().unwrap(), seconds.to_string());
    }
}
