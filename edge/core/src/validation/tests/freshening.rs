//! What a 304 makes of a stored response (RFC 9111 §3.2, §4.3.4).

use super::*;

fn freshened(
    stored: &StoredHead,
    asked: &[(&str, &str)],
    said: &[(&str, &str)],
) -> Result<StoredHead, Withdrawn> {
    let now = at(LATER).plus(SOON);
    freshen(stored, &map(said), (now, now), &map(asked), &Policy::default())
}

#[test]
fn not_modified_updates_every_field_it_has() {
    let before = stored(&[
        ("etag", "\"a\""),
        ("x-kept", "1"),
        ("x-new", "old"),
        ("x-new", "older"),
        ("content-type", "text/plain"),
        ("content-encoding", "gzip"),
        ("content-length", "10"),
        ("set-cookie", "a=b"),
    ]);
    let mut before = before;
    before.stamp = 7;
    let after = freshened(
        &before,
        &[],
        &[
            ("etag", "\"a\""),
            ("date", "Sun, 06 Nov 1994 09:01:40 GMT"),
            ("age", "5"),
            ("cache-control", "max-age=3600"),
            ("content-length", "0"),
            ("content-range", "bytes 0-1/10"),
            ("content-encoding", "br"),
            ("content-type", "text/html"),
            ("set-cookie", "a=c"),
            ("set-cookie", "d=e"),
            ("x-new", "1"),
            ("x-added", "2"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("keep-alive", "x"),
        ],
    )
    .unwrap();
    assert_eq!(
        lines(&after.fields),
        [
            "cache-control: max-age=3600",
            "content-encoding: gzip",
            "content-length: 10",
            "content-type: text/html",
            "date: Sun, 06 Nov 1994 09:01:40 GMT",
            "etag: \"a\"",
            "set-cookie: a=c",
            "set-cookie: d=e",
            "x-added: 2",
            "x-kept: 1",
            "x-new: 1",
        ],
        "§3.2"
    );
    assert_eq!(after.status, StatusCode::OK);
    assert_eq!(after.content_length, Some(10), "§3.2 Content-Length stays");
    assert_eq!(after.stamp, 7);
    assert_eq!(after.freshness.lifetime, Duration::from_secs(3600), "§4.3.4 fresh again");
    assert_eq!(after.freshness.current_age(at(LATER).plus(SOON)), Duration::from_secs(5), "§4.2.3");
    assert_eq!(after.freshness.response_time, at(LATER).plus(SOON));
    assert_eq!(after.validators, Validators::of(&after.fields));
}

#[test]
fn not_modified_without_date_is_as_old_as_its_arrival() {
    let after = freshened(&stored(&[("etag", "\"a\"")]), &[], &[("etag", "\"a\"")]).unwrap();
    assert_eq!(after.fields[header::DATE], "Sun, 06 Nov 1994 09:01:40 GMT", "RFC 9110 §6.6.1");
    let now = at(LATER).plus(SOON);
    assert_eq!(after.freshness.current_age(now), Duration::ZERO);
    assert!(after.freshness.is_fresh(now));
}

#[test]
fn not_modified_that_forbids_storing_is_obeyed() {
    let before = stored(&[("etag", "\"a\"")]);
    let rows = [
        ("§5.2.2.5", "no-store", Err(NotStored::NoStore)),
        ("§5.2.2.7", "private", Err(NotStored::Private)),
        ("§5.2.2.4", "no-cache", Ok(())),
    ];
    for (name, said, expected) in rows {
        let got = freshened(&before, &[], &[("etag", "\"a\""), ("cache-control", said)]);
        assert_eq!(got.map(drop).map_err(|gone| gone.why), expected, "{name}");
    }
    let asked = [("cache-control", "no-store")];
    let got = freshened(&before, &asked, &[("etag", "\"a\"")]);
    assert_eq!(got.map(drop).map_err(|gone| gone.why), Err(NotStored::RequestNoStore), "§5.2.1.5");

    let before = stored(&[("etag", "\"a\""), ("set-cookie", "a=b")]);
    let said = [("etag", "\"a\""), ("cache-control", "max-age=0")];
    let got = freshened(&before, &[], &said);
    assert_eq!(got.map(drop).map_err(|gone| gone.why), Err(NotStored::SetCookie), "§7.3");

    // It still answers who asked.
    let mut before = stored(&[("etag", "\"a\""), ("content-length", "10"), ("x-kept", "1")]);
    before.stamp = 7;
    let said =
        [("etag", "W/\"a\""), ("age", "5"), ("cache-control", "no-store, max-age=9"), ("x-a", "1")];
    let head = freshened(&before, &[], &said).unwrap_err().head;
    assert_eq!(
        lines(&head.fields),
        [
            "cache-control: no-store, max-age=9",
            "content-length: 10",
            "date: Sun, 06 Nov 1994 09:01:40 GMT",
            "etag: W/\"a\"",
            "x-a: 1",
            "x-kept: 1",
        ],
        "§4.3.3"
    );
    assert_eq!((head.status, head.stamp, head.content_length), (StatusCode::OK, 7, Some(10)));
    assert_eq!(head.freshness.current_age(at(LATER).plus(SOON)), Duration::from_secs(5));
    assert_eq!(head.freshness.lifetime, Duration::from_secs(9));
    assert_eq!(head.validators, Validators::of(&head.fields));
}

#[test]
fn rfc9111_7_3_a_cookie_of_a_304_is_kept_only_on_its_own_word() {
    let cookie = ("set-cookie", "a=c");
    let rows: &[(&str, &[(&str, &str)], &[&str])] = &[
        ("nothing said", &[], &["a=b"]),
        ("max-age", &[("cache-control", "max-age=9")], &["a=c"]),
        ("expires", &[("expires", "Sun, 06 Nov 1994 10:00:00 GMT")], &["a=c"]),
        ("what is over", &[("expires", "0")], &["a=b"]),
        ("no lifetime for either", &[("cache-control", "public")], &[]),
        ("a field of its own", &[("cache-control", "max-age=9, private=\"set-cookie\"")], &[]),
    ];
    for (name, said, expected) in rows {
        let before = stored(&[("etag", "\"a\""), ("set-cookie", "a=b")]);
        let said: Vec<_> = said.iter().copied().chain([("etag", "\"a\""), cookie]).collect();
        let got = freshened(&before, &[], &said);
        let kept = |head: &StoredHead| {
            let cookies = head.fields.get_all(header::SET_COOKIE);
            cookies.iter().map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        match got {
            Ok(head) => assert_eq!(kept(&head), *expected, "{name}"),
            Err(gone) => {
                assert!(expected.is_empty(), "{name}");
                assert_eq!(kept(&gone.head), ["a=c"], "{name}");
            }
        }
    }
    // Raised by a rule, it is the rule's word (and a heuristic is nobody's).
    let policy = Policy { min_ttl: Some(Duration::from_secs(99)), ..Policy::default() };
    let before = stored(&[("etag", "\"a\"")]);
    let said = map(&[("etag", "\"a\""), ("cache-control", "max-age=9"), cookie]);
    let now = at(LATER).plus(SOON);
    let got = freshen(&before, &said, (now, now), &HeaderMap::new(), &policy).unwrap();
    assert!(!got.fields.contains_key(header::SET_COOKIE));
}

#[test]
fn updated_response_answers_the_request_that_validated_it() {
    let before = variant("de", &[("etag", "\"a\"")]);
    let asked = [("accept-language", "en")];
    let after = freshened(&before, &asked, &[("etag", "\"a\"")]).unwrap();
    assert!(after.vary.matches(&map(&asked)), "§4.1");
    let gone = freshened(&before, &asked, &[("etag", "\"a\""), ("vary", "*")]);
    assert_eq!(gone.map(drop).map_err(|gone| gone.why), Err(NotStored::Vary), "§4.1");
}
