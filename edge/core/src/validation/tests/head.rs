//! What an answer to HEAD makes of one (RFC 9111 §4.3.5).

use super::*;

#[test]
fn head_response_updates_or_invalidates() {
    let whole = stored(&[("etag", "\"a\""), ("last-modified", MODIFIED), ("content-length", "10")]);
    let part = judged(
        206,
        &[],
        &[
            ("cache-control", "max-age=60"),
            ("content-range", "bytes 0-1/10"),
            ("content-length", "2"),
            ("etag", "\"a\""),
        ],
    );
    let mut unknown = stored(&[("etag", "\"a\"")]);
    unknown.content_length = None;
    let error = judged(404, &[], &[("cache-control", "max-age=60")]);
    const UPDATE: &str = "update";
    const INVALIDATE: &str = "invalidate";
    const IGNORE: &str = "ignore";
    let tag = ("etag", "\"a\"");
    type Row<'a> = (&'a str, &'a StoredHead, u16, &'a [(&'a str, &'a str)], &'a str);
    let rows: &[Row<'_>] = &[
        ("§4.3.5 nothing differs", &whole, 200, &[], UPDATE),
        ("§4.3.5 same tag", &whole, 200, &[tag], UPDATE),
        ("§4.3.5 other tag", &whole, 200, &[("etag", "\"b\"")], INVALIDATE),
        ("§4.3.5 weak for strong", &whole, 200, &[("etag", "W/\"a\"")], INVALIDATE),
        ("§4.3.5 unreadable tag", &whole, 200, &[("etag", "a")], INVALIDATE),
        ("§4.3.5 same date", &whole, 200, &[("last-modified", MODIFIED)], UPDATE),
        ("§4.3.5 other date", &whole, 200, &[("last-modified", NEXT)], INVALIDATE),
        ("§4.3.5 unreadable date", &whole, 200, &[("last-modified", "x")], INVALIDATE),
        ("§4.3.5 tag but not date", &whole, 200, &[tag, ("last-modified", NEXT)], INVALIDATE),
        ("§4.3.5 same length", &whole, 200, &[tag, ("content-length", "10")], UPDATE),
        ("§4.3.5 other length", &whole, 200, &[tag, ("content-length", "11")], INVALIDATE),
        (
            "§4.3.5 length, stored unknown",
            &unknown,
            200,
            &[tag, ("content-length", "10")],
            INVALIDATE,
        ),
        ("§4.3.5 date, stored unknown", &unknown, 200, &[("last-modified", MODIFIED)], INVALIDATE),
        ("§4.3.5 unreadable tag, stored none", &error, 200, &[("etag", "a")], INVALIDATE),
        ("§4.3.5 complete length of a part", &part, 200, &[tag, ("content-length", "10")], UPDATE),
        ("§4.3.5 length of a part", &part, 200, &[tag, ("content-length", "2")], INVALIDATE),
        ("§4.3.5 an error no longer", &error, 200, &[], INVALIDATE),
        ("§4.3.5 no 200", &whole, 404, &[("etag", "\"b\"")], IGNORE),
        ("§4.3.4 304 with our tag", &whole, 304, &[tag], UPDATE),
        ("§4.3.4 304 with our date", &whole, 304, &[("last-modified", MODIFIED)], UPDATE),
        ("§4.3.4 304 with another tag", &whole, 304, &[("etag", "\"b\"")], IGNORE),
        ("§4.3.4 304 about the client's own", &error, 304, &[], IGNORE),
        ("§4.3.4 304 not to be stored", &whole, 304, &[tag, ("cache-control", "no-store")], {
            INVALIDATE
        }),
        ("§4.3.5 not to be stored", &whole, 200, &[tag, ("cache-control", "no-store")], INVALIDATE),
    ];
    let now = at(LATER).plus(SOON);
    let answered = |stored: &StoredHead, status: u16, asked: &[(&str, &str)], said: &HeaderMap| {
        let status = StatusCode::from_u16(status).unwrap();
        freshen_by_head(stored, (status, said), (now, now), &map(asked), &Policy::default())
    };
    for (name, stored, status, said, expected) in rows {
        let got = match answered(stored, *status, &[], &map(said)) {
            HeadFreshen::Update(head) => {
                assert_eq!(head.status, stored.status, "{name}");
                assert_eq!(head.content_length, stored.content_length, "{name}");
                assert_eq!(head.range, stored.range, "{name}");
                assert!(head.freshness.is_fresh(now), "{name}");
                UPDATE
            }
            HeadFreshen::Invalidate => INVALIDATE,
            HeadFreshen::Ignore => IGNORE,
        };
        assert_eq!(got, *expected, "{name}");
    }
    let asked = [("cache-control", "no-store")];
    let got = answered(&whole, 200, &asked, &map(&[tag]));
    assert!(matches!(got, HeadFreshen::Ignore), "§5.2.1.5 this request leaves no trace");
}

#[test]
fn rfc9111_4_3_5_a_head_that_repeats_what_is_stored_is_told_apart() {
    let moved = |said: &[(&str, &str)]| {
        let said = [&[("cache-control", "max-age=60"), ("location", "/b")], said].concat();
        judged(301, &[], &said)
    };
    let tagged = moved(&[("etag", "\"a\""), ("content-length", "3")]);
    let untagged = moved(&[]);
    let to = ("location", "/b");
    type Row<'a> = (&'a str, &'a StoredHead, u16, &'a [(&'a str, &'a str)], bool);
    let rows: &[Row<'_>] = &[
        ("nothing differs", &untagged, 301, &[to], true),
        (
            "same tag and length",
            &tagged,
            301,
            &[to, ("etag", "\"a\""), ("content-length", "3")],
            true,
        ),
        ("another status", &untagged, 308, &[to], false),
        ("another place", &untagged, 301, &[("location", "/c")], false),
        ("no place", &untagged, 301, &[], false),
        ("another tag", &tagged, 301, &[to, ("etag", "\"b\"")], false),
        ("another length", &tagged, 301, &[to, ("content-length", "4")], false),
    ];
    for (name, stored, status, said, expected) in rows {
        let status = StatusCode::from_u16(*status).unwrap();
        assert_eq!(says_the_same(stored, (status, &map(said))), *expected, "{name}");
    }
}
