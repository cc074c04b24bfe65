//! Validation tables; each row names its clause.
#![expect(clippy::too_many_lines, clippy::type_complexity, reason = "long tables of rows")]

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use proptest::prelude::*;

use super::{etag::any_in_list, *};
use crate::{
    site::Policy,
    storable::{self, Exchange, NotStored, StoredHead},
    time::Timestamp,
};

const OLD: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const NEXT: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
const MODIFIED_850: &str = "Sunday, 06-Nov-94 08:49:37 GMT";
const LATER: &str = "Sun, 06 Nov 1994 09:00:00 GMT";

fn map(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

fn at(date: &str) -> Timestamp {
    Timestamp::from_http_date(date).unwrap()
}

fn judged(status: u16, asked: &[(&str, &str)], said: &[(&str, &str)]) -> StoredHead {
    storable::judge(&Exchange {
        method: &Method::GET,
        target: "http://a.example/",
        request_fields: &map(asked),
        status: StatusCode::from_u16(status).unwrap(),
        response_fields: &map(said),
        request_time: at(LATER),
        response_time: at(LATER),
        policy: &Policy::default(),
    })
    .unwrap()
}

fn stored(said: &[(&str, &str)]) -> StoredHead {
    judged(200, &[], &[&[("cache-control", "max-age=60"), ("date", LATER)], said].concat())
}

/// A stored variant for requests that say `accept-language: LANGUAGE`.
fn variant(language: &str, said: &[(&str, &str)]) -> StoredHead {
    let all = [&[("cache-control", "max-age=60"), ("vary", "accept-language")], said].concat();
    judged(200, &[("accept-language", language)], &all)
}

fn lines(fields: &HeaderMap) -> Vec<String> {
    let mut lines: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    lines.sort();
    lines
}

#[test]
fn etag_is_read_and_written() {
    let rows: &[(&str, &str, Option<(bool, &str)>)] = &[
        ("RFC 9110 §8.8.3 strong", "\"xyzzy\"", Some((false, "xyzzy"))),
        ("RFC 9110 §8.8.3 weak", "W/\"xyzzy\"", Some((true, "xyzzy"))),
        ("RFC 9110 §8.8.3 empty", "\"\"", Some((false, ""))),
        ("RFC 9110 §8.8.3 empty, weak", "W/\"\"", Some((true, ""))),
        ("RFC 9110 §8.8.3 etagc ends", "\"!#~\"", Some((false, "!#~"))),
        ("RFC 9110 §8.8.3 backslash is no escape", "\"a\\\"", Some((false, "a\\"))),
        ("RFC 9110 §8.8.3 comma", "\"a,b\"", Some((false, "a,b"))),
        ("RFC 9110 §5.5 white space around", " \t\"a\" ", Some((false, "a"))),
        ("RFC 9110 §8.8.3 weak is case-sensitive", "w/\"a\"", None),
        ("RFC 9110 §8.8.3 no quotes", "abc", None),
        ("RFC 9110 §8.8.3 no closing quote", "\"abc", None),
        ("RFC 9110 §8.8.3 no opening quote", "abc\"", None),
        ("RFC 9110 §8.8.3 text behind", "\"a\"b", None),
        ("RFC 9110 §8.8.3 two tags", "\"a\", \"b\"", None),
        ("RFC 9110 §8.8.3 inner space", "\"a b\"", None),
        ("RFC 9110 §8.8.3 space after W/", "W/ \"a\"", None),
        ("RFC 9110 §8.8.3 nothing", "", None),
        ("RFC 9110 §8.8.3 only white space", "  ", None),
        ("RFC 9110 §8.8.3 delete character", "\"\x7f\"", None),
    ];
    for (name, text, expected) in rows {
        let tag = ETag::parse(text.as_bytes());
        let parts = tag.as_ref().map(|tag| (tag.is_weak(), tag.opaque()));
        assert_eq!(parts, expected.map(|(weak, opaque)| (weak, opaque.as_bytes())), "{name}");
        if let Some(tag) = tag {
            let mut line = Vec::new();
            tag.write(&mut line);
            assert_eq!(line, text.trim_matches([' ', '\t']).as_bytes(), "{name}");
        }
    }
    assert_eq!(ETag::parse(b"\"\x80\xff\"").unwrap().opaque(), b"\x80\xff", "obs-text");
}

#[test]
fn etags_compare_as_the_table_of_the_rfc_says() {
    let rows = [
        ("W/\"1\"", "W/\"1\"", false, true),
        ("W/\"1\"", "W/\"2\"", false, false),
        ("W/\"1\"", "\"1\"", false, true),
        ("\"1\"", "W/\"1\"", false, true),
        ("\"1\"", "\"1\"", true, true),
        ("\"1\"", "\"2\"", false, false),
        ("\"a\"", "\"A\"", false, false),
    ];
    for (a, b, strong, weak) in rows {
        let tag = |text: &str| ETag::parse(text.as_bytes()).unwrap();
        assert_eq!(tag(a).strong_eq(&tag(b)), strong, "RFC 9110 §8.8.3.2 strong {a} {b}");
        assert_eq!(tag(a).weak_eq(&tag(b)), weak, "RFC 9110 §8.8.3.2 weak {a} {b}");
    }
}

#[test]
fn validators_are_read_only_where_they_are_certain() {
    let of = |pairs: &[(&str, &str)]| Validators::of(&map(pairs));
    assert!(of(&[]).is_empty());
    assert!(of(&[("date", LATER)]).is_empty());
    assert_eq!(of(&[("date", LATER)]).date, Some(at(LATER)));
    assert!(!of(&[("etag", "\"a\"")]).is_empty());
    assert!(!of(&[("last-modified", MODIFIED)]).is_empty());
    assert_eq!(of(&[("last-modified", MODIFIED)]).last_modified, Some(at(MODIFIED)));
    assert_eq!(of(&[("etag", "\"a\""), ("etag", "\"a\"")]).etag, None, "RFC 9110 §5.3 twice");
    let twice = [("last-modified", MODIFIED), ("last-modified", MODIFIED)];
    assert_eq!(of(&twice).last_modified, None, "RFC 9110 §5.3 twice");
    assert_eq!(of(&[("last-modified", "yesterday")]).last_modified, None, "RFC 9110 §5.6.7");
    let strong =
        |date| of(&[("last-modified", MODIFIED), ("date", date)]).last_modified_is_strong();
    assert!(strong(NEXT), "RFC 9110 §8.8.2.2 a second later");
    assert!(!strong(MODIFIED), "RFC 9110 §8.8.2.2 the same second");
    assert!(!strong(OLD), "RFC 9110 §8.8.2.2 before");
    assert!(!of(&[("last-modified", MODIFIED)]).last_modified_is_strong(), "no Date");
    assert!(!of(&[("date", MODIFIED)]).last_modified_is_strong(), "no Last-Modified");
}

#[test]
fn preconditions_are_evaluated_in_order() {
    use Precondition::{Failed, NotModified, Proceed};
    const IM: &str = "if-match";
    const IUS: &str = "if-unmodified-since";
    const INM: &str = "if-none-match";
    const IMS: &str = "if-modified-since";
    let both = [("etag", "\"a\""), ("last-modified", MODIFIED), ("date", LATER)];
    let weak = [("etag", "W/\"a\"")];
    let dated = [("last-modified", MODIFIED), ("date", LATER)];
    let only_date = [("date", MODIFIED)];
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [(&'a str, &'a str)], Precondition);
    let rows: &[Row<'_>] = &[
        ("§13.2.2 no condition", &both, &[], Proceed),
        ("§13.1.2 same", &both, &[(INM, "\"a\"")], NotModified),
        ("§13.1.2 other", &both, &[(INM, "\"b\"")], Proceed),
        ("§13.1.2 weak comparison", &both, &[(INM, "W/\"a\"")], NotModified),
        ("§13.1.2 weak comparison of a weak one", &weak, &[(INM, "\"a\"")], NotModified),
        ("§13.1.2 first of a list", &both, &[(INM, "\"a\", \"b\"")], NotModified),
        ("§13.1.2 last of a list", &both, &[(INM, "\"b\" , \"a\"")], NotModified),
        ("§13.1.2 no space in the list", &both, &[(INM, "\"b\",\"a\",\"c\"")], NotModified),
        ("§13.1.2 none of a list", &both, &[(INM, "\"b\", \"c\"")], Proceed),
        ("§5.6.1.2 empty members", &both, &[(INM, ", ,\"b\",,\"a\",")], NotModified),
        ("§5.3 in a later line", &both, &[(INM, "\"b\""), (INM, "\"a\"")], NotModified),
        ("§13.1.2 any", &both, &[(INM, "*")], NotModified),
        ("§13.1.2 any, of what has no tag", &dated, &[(INM, " * ")], NotModified),
        ("§13.1.2 any stands alone", &both, &[(INM, "*"), (INM, "\"b\"")], Proceed),
        ("§13.1.2 any in a list", &both, &[(INM, "\"b\", *")], Proceed),
        ("§13.1.2 without quotes", &both, &[(INM, "a")], Proceed),
        ("§13.1.2 malformed behind", &both, &[(INM, "\"a\", b")], Proceed),
        ("§13.1.2 malformed before", &both, &[(INM, "b, \"a\"")], Proceed),
        ("§13.1.2 no comma", &both, &[(INM, "\"b\" \"a\"")], Proceed),
        ("§13.1.2 no comma nor space", &both, &[(INM, "\"a\"\"b\"")], Proceed),
        ("§13.1.2 empty", &both, &[(INM, "")], Proceed),
        ("§13.1.2 stored without tag", &dated, &[(INM, "\"a\"")], Proceed),
        ("§13.1.3 the same date", &dated, &[(IMS, MODIFIED)], NotModified),
        ("§13.1.3 in another form", &dated, &[(IMS, MODIFIED_850)], NotModified),
        ("§13.1.3 a later date", &dated, &[(IMS, NEXT)], NotModified),
        ("§13.1.3 an earlier date", &dated, &[(IMS, OLD)], Proceed),
        ("§13.1.3 no date", &dated, &[(IMS, "0")], Proceed),
        ("§13.1.3 two dates", &dated, &[(IMS, NEXT), (IMS, NEXT)], Proceed),
        ("RFC 9111 §4.3.2 Date stands in, same", &only_date, &[(IMS, MODIFIED)], NotModified),
        ("RFC 9111 §4.3.2 Date stands in, later", &only_date, &[(IMS, OLD)], Proceed),
        ("RFC 9111 §4.3.2 neither date", &weak, &[(IMS, NEXT)], Proceed),
        ("§13.2.2 tags rule dates out, same", &both, &[(INM, "\"a\""), (IMS, OLD)], NotModified),
        ("§13.2.2 tags rule dates out, other", &both, &[(INM, "\"b\""), (IMS, NEXT)], Proceed),
        ("§13.2.2 even a malformed one", &both, &[(INM, "b"), (IMS, NEXT)], Proceed),
        ("§13.1.1 same", &both, &[(IM, "\"a\"")], Proceed),
        ("§13.1.1 other", &both, &[(IM, "\"b\"")], Failed),
        ("§13.1.1 one of a list", &both, &[(IM, "\"b\", \"a\"")], Proceed),
        ("§13.1.1 in a later line", &both, &[(IM, "\"b\""), (IM, "\"a\"")], Proceed),
        ("§13.1.1 strong comparison", &both, &[(IM, "W/\"a\"")], Failed),
        ("§13.1.1 strong comparison of a weak one", &weak, &[(IM, "\"a\"")], Failed),
        ("§13.1.1 any", &both, &[(IM, "*")], Proceed),
        ("§13.1.1 any, of what has no tag", &dated, &[(IM, "*")], Proceed),
        ("§13.1.1 stored without tag", &dated, &[(IM, "\"a\"")], Failed),
        ("§13.1.1 malformed", &both, &[(IM, "a")], Failed),
        ("§13.1.4 the same date", &dated, &[(IUS, MODIFIED)], Proceed),
        ("§13.1.4 a later date", &dated, &[(IUS, NEXT)], Proceed),
        ("§13.1.4 an earlier date", &dated, &[(IUS, OLD)], Failed),
        ("§13.1.4 no date", &dated, &[(IUS, "0")], Proceed),
        ("§13.1.4 two dates", &dated, &[(IUS, OLD), (IUS, OLD)], Proceed),
        ("§13.1.4 without Last-Modified", &only_date, &[(IUS, OLD)], Proceed),
        ("§13.2.2 tags rule dates out", &both, &[(IM, "\"a\""), (IUS, OLD)], Proceed),
        ("§13.2.2 step 1 before 3", &both, &[(IM, "\"b\""), (INM, "\"a\"")], Failed),
        ("§13.2.2 step 1, then 3", &both, &[(IM, "\"a\""), (INM, "\"a\"")], NotModified),
        ("§13.2.2 step 2 before 4", &dated, &[(IUS, OLD), (IMS, NEXT)], Failed),
        ("§13.2.2 step 2, then 4", &dated, &[(IUS, NEXT), (IMS, NEXT)], NotModified),
    ];
    for (name, has, asked, expected) in rows {
        let validators = Validators::of(&map(has));
        for (method, expected) in [(Method::GET, *expected), (Method::HEAD, *expected)] {
            let got = precondition(&method, &map(asked), &validators, StatusCode::OK);
            assert_eq!(got, expected, "{name}: {method}");
            let error = precondition(&method, &map(asked), &validators, StatusCode::NOT_FOUND);
            assert_eq!(error, Proceed, "§13.2.1 {name}");
            let other = StatusCode::NON_AUTHORITATIVE_INFORMATION;
            assert_eq!(precondition(&method, &map(asked), &validators, other), expected, "{name}");
        }
    }
    let validators = Validators::of(&map(&both));
    let evaluate = |asked: &[(&str, &str)]| {
        precondition(&Method::PUT, &map(asked), &validators, StatusCode::OK)
    };
    assert_eq!(evaluate(&[(INM, "\"a\"")]), Failed, "§13.2.2 step 3");
    assert_eq!(evaluate(&[(INM, "\"b\"")]), Proceed, "§13.2.2 step 3");
    assert_eq!(evaluate(&[(IMS, NEXT)]), Proceed, "§13.1.3 GET and HEAD only");
    let moved = StatusCode::MOVED_PERMANENTLY;
    let redirect = precondition(&Method::GET, &map(&[(INM, "\"a\"")]), &validators, moved);
    assert_eq!(redirect, Proceed, "§13.2.1 3xx is no success");
}

#[test]
fn if_range_applies_only_to_the_very_same() {
    let strong = [("etag", "\"a\""), ("last-modified", MODIFIED), ("date", NEXT)];
    let weak = [("etag", "W/\"a\""), ("last-modified", MODIFIED), ("date", MODIFIED)];
    let rows: &[(&str, &[(&str, &str)], &[&str], bool)] = &[
        ("§13.1.5 absent", &strong, &[], true),
        ("§13.1.5 same tag", &strong, &["\"a\""], true),
        ("§13.1.5 other tag", &strong, &["\"b\""], false),
        ("§13.1.5 weak tag of theirs", &strong, &["W/\"a\""], false),
        ("§13.1.5 weak tag of ours", &weak, &["\"a\""], false),
        ("§13.1.5 both weak", &weak, &["W/\"a\""], false),
        ("§13.1.5 a list is no If-Range", &strong, &["\"a\", \"b\""], false),
        ("§13.1.5 twice", &strong, &["\"a\"", "\"a\""], false),
        ("§13.1.5 same strong date", &strong, &[MODIFIED], true),
        ("§13.1.5 same strong date in another form", &strong, &[MODIFIED_850], true),
        ("§13.1.5 same weak date", &weak, &[MODIFIED], false),
        ("§13.1.5 later date", &strong, &[NEXT], false),
        ("§13.1.5 earlier date", &strong, &[OLD], false),
        ("§13.1.5 no date", &strong, &["yesterday"], false),
        ("§13.1.5 stored without validators", &[("date", NEXT)], &["\"a\""], false),
        ("§13.1.5 stored without date", &[("etag", "\"a\"")], &["x"], false),
    ];
    for (name, has, asked, expected) in rows {
        let asked: Vec<(&str, &str)> = asked.iter().map(|value| ("if-range", *value)).collect();
        let got = range_applies(&map(&asked), &Validators::of(&map(has)));
        assert_eq!(got, *expected, "{name}");
    }
}

#[test]
fn validating_request_names_what_is_stored() {
    let conditions = |asked: &[(&str, &str)], heads: &[&StoredHead]| {
        lines(&conditional_forward(&map(asked), heads))
    };
    let date = format!("if-modified-since: {MODIFIED}");
    let modified = ("last-modified", MODIFIED);
    assert!(conditions(&[], &[]).is_empty());
    assert!(conditions(&[], &[&stored(&[])]).is_empty(), "§4.3.1 no validator");
    assert_eq!(conditions(&[], &[&stored(&[modified])]), [date.as_str()], "§4.3.1 date");
    assert_eq!(
        conditions(&[], &[&stored(&[("last-modified", MODIFIED_850)])]),
        [format!("if-modified-since: {MODIFIED_850}")],
        "§4.3.1 the value as it was received"
    );
    assert_eq!(
        conditions(&[], &[&stored(&[("etag", "\"a\""), modified])]),
        [date.clone(), "if-none-match: \"a\"".to_owned()],
        "§4.3.1 both of a single one"
    );
    assert_eq!(
        conditions(&[], &[&stored(&[("etag", "W/\"a\"")])]),
        ["if-none-match: W/\"a\""],
        "§4.3.1 weak"
    );
    assert_eq!(
        conditions(
            &[("if-none-match", "\"theirs\""), ("if-modified-since", NEXT), ("accept", "*/*")],
            &[&stored(&[("etag", "\"a\"")])]
        ),
        ["if-none-match: \"a\""],
        "§4.3.2 the client's own stay out"
    );

    let (de, en) = ("accept-language", "en");
    let asked = [(de, en)];
    let strong = variant("de", &[("etag", "\"de\""), modified]);
    let weak = variant("fr", &[("etag", "W/\"fr\""), modified]);
    let dated = variant("it", &[modified]);
    assert_eq!(
        conditions(&asked, &[&strong]),
        ["if-none-match: \"de\""],
        "§4.1 another variant's strong tag, without its date"
    );
    assert!(conditions(&asked, &[&weak]).is_empty(), "§8.8.1 another's weak tag");
    assert!(conditions(&asked, &[&dated]).is_empty(), "§8.8.1 another's date");
    let others = [&strong, &weak, &dated];
    assert_eq!(conditions(&asked, &others), ["if-none-match: \"de\""]);
    let own = variant("en", &[("etag", "W/\"en\""), modified]);
    assert_eq!(
        conditions(&asked, &[&own, &strong, &weak]),
        ["if-none-match: W/\"en\", \"de\""],
        "§4.3.1 several are validated by tag only"
    );
    assert_eq!(
        conditions(&asked, &[&weak, &own]),
        [date.clone(), "if-none-match: W/\"en\"".to_owned()],
        "§4.3.1 a single one is validated"
    );
    assert_eq!(
        conditions(&asked, &[&variant("en", &[modified]), &strong]),
        [date.as_str()],
        "§13.1.3 another's tag would rule the date out"
    );
    assert!(
        conditions(&asked, &[&variant("en", &[]), &strong]).is_empty(),
        "§4.3.1 what is selected has no validator"
    );
    let twin = variant("en", &[("etag", "\"de\"")]);
    assert_eq!(
        conditions(&asked, &[&strong, &twin]),
        ["if-none-match: \"de\""],
        "§13.1.2 a tag is said once"
    );
    let two = [stored(&[modified]), stored(&[("last-modified", OLD)])];
    assert!(conditions(&[], &[&two[0], &two[1]]).is_empty(), "§4.3.1 dates of two");
    let part = judged(
        206,
        &[],
        &[
            ("cache-control", "max-age=60"),
            ("content-range", "bytes 0-1/10"),
            ("etag", "\"part\""),
            modified,
        ],
    );
    assert!(conditions(&[], &[&part]).is_empty(), "§4.3.2 a part's tag stays here");
    assert_eq!(
        conditions(&[], &[&part, &stored(&[("etag", "\"a\"")])]),
        ["if-none-match: \"a\""],
        "§4.3.2 a part's tag stays here"
    );
}

#[test]
fn not_modified_selects_what_it_is_about() {
    let select = |said: &[(&str, &str)], heads: &[StoredHead]| {
        let heads: Vec<&StoredHead> = heads.iter().collect();
        select_for_update(&map(said), &map(&[("accept-language", "en")]), &heads)
    };
    let en = |said: &[(&str, &str)]| variant("en", said);
    let (old, new) = (("date", NEXT), ("date", LATER));
    let tag = |value| ("etag", value);
    let modified = ("last-modified", MODIFIED);

    // Strong tags.
    let heads = [en(&[tag("\"a\""), old]), en(&[tag("\"a\""), new]), en(&[tag("\"b\""), new])];
    assert_eq!(select(&[tag("\"a\"")], &heads), [1, 0], "§4.3.4 all with the strong tag");
    assert_eq!(select(&[tag("\"b\"")], &heads), [2]);
    assert!(select(&[tag("\"c\"")], &heads).is_empty(), "§4.3.4 none with the strong tag");
    assert!(
        select(&[tag("\"c\""), modified], &[en(&[tag("\"a\""), modified, new])]).is_empty(),
        "§4.3.4 a date does not make up for it"
    );
    assert!(select(&[tag("\"a\"")], &[en(&[tag("W/\"a\"")])]).is_empty(), "§8.8.3.2 strong");
    let de = [variant("de", &[tag("\"a\"")])];
    assert_eq!(select(&[tag("\"a\"")], &de), [0], "§4.1 a strong tag names one variant only");

    // Weak tags.
    let heads = [en(&[tag("W/\"a\""), old]), en(&[tag("\"a\""), new]), en(&[tag("W/\"a\""), old])];
    assert_eq!(select(&[tag("W/\"a\"")], &heads), [1], "§4.3.4 the most recent");
    assert!(select(&[tag("W/\"b\"")], &heads).is_empty());
    let de = [variant("de", &[tag("W/\"a\""), new]), en(&[tag("W/\"a\""), old])];
    assert_eq!(select(&[tag("W/\"a\"")], &de), [1], "§4.3.4 of what the request selects");
    assert!(select(&[tag("W/\"a\"")], &de[..1]).is_empty(), "§8.8.1 variants share weak tags");

    // Dates.
    let heads = [en(&[modified, old]), en(&[modified, new]), en(&[("last-modified", OLD), new])];
    assert_eq!(select(&[modified], &heads), [1, 0], "§4.3.4 all with the strong date");
    assert_eq!(select(&[("last-modified", OLD)], &heads), [2]);
    assert!(select(&[("last-modified", NEXT)], &heads).is_empty());
    let same_second = ("date", MODIFIED);
    let heads = [en(&[modified, same_second]), en(&[modified, ("date", OLD)])];
    assert_eq!(select(&[modified], &heads), [0], "§4.3.4 the most recent with the weak date");
    let heads = [en(&[modified, same_second]), en(&[modified, old])];
    assert_eq!(select(&[modified], &heads), [1], "§4.3.4 strong ones before weak ones");
    assert!(select(&[modified], &[variant("de", &[modified, new])]).is_empty());

    // No validator.
    assert_eq!(select(&[], &[en(&[])]), [0], "§4.3.4 the only one, which has none");
    assert_eq!(select(&[], &[en(&[modified, new])]), [0], "§15.4.5 the date may be left out");
    assert!(select(&[], &[en(&[tag("\"a\"")])]).is_empty(), "§15.4.5 the tag may not");
    assert!(select(&[], &[en(&[tag("W/\"a\"")])]).is_empty(), "§15.4.5 the tag may not");
    assert!(select(&[], &[en(&[]), en(&[])]).is_empty(), "§4.3.4 not the only one");
    assert_eq!(select(&[], &[variant("de", &[]), en(&[])]), [1], "§4.3.4 not selected");
    assert!(select(&[], &[variant("de", &[])]).is_empty());
    assert!(select(&[], &[]).is_empty());

    // The later received of two that were made at once.
    let mut heads = [en(&[tag("W/\"a\""), new]), en(&[tag("W/\"a\""), new])];
    heads[1].freshness.response_time = at(LATER).plus(Duration::from_secs(1));
    assert_eq!(select(&[tag("W/\"a\"")], &heads), [1], "§4.3.4 most recent");
    heads.reverse();
    assert_eq!(select(&[tag("W/\"a\"")], &heads), [0], "§4.3.4 most recent");
}

const SOON: Duration = Duration::from_secs(100);

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

fn any_tag() -> impl Strategy<Value = String> {
    "(W/)?\"[!#a-z,~]{0,4}\""
}

proptest! {
    #[test]
    fn tag_survives_a_round_trip(text in any_tag()) {
        let tag = ETag::parse(text.as_bytes()).unwrap();
        let mut line = Vec::new();
        tag.write(&mut line);
        prop_assert_eq!(line, text.into_bytes());
        prop_assert!(tag.weak_eq(&tag));
        prop_assert_eq!(tag.strong_eq(&tag), !tag.is_weak());
    }

    #[test]
    fn list_finds_exactly_its_members(
        tags in prop::collection::vec(any_tag(), 0..4),
        gaps in prop::collection::vec("[ \t]{0,2}(,[ \t]{0,2}){1,2}", 4),
        wanted in any_tag(),
    ) {
        let list: String =
            tags.iter().zip(&gaps).map(|(tag, gap)| format!("{tag}{gap}")).collect();
        let wanted = ETag::parse(wanted.as_bytes()).unwrap();
        let members = || tags.iter().map(|tag| ETag::parse(tag.as_bytes()).unwrap());
        prop_assert_eq!(
            any_in_list(list.as_bytes(), |tag| tag.strong_eq(wanted.as_ref())),
            members().any(|tag| tag.strong_eq(&wanted))
        );
        prop_assert_eq!(
            any_in_list(list.as_bytes(), |tag| tag.weak_eq(wanted.as_ref())),
            members().any(|tag| tag.weak_eq(&wanted))
        );
    }

    #[test]
    fn any_bytes_are_a_tag_or_not(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
        let _tag = ETag::parse(&bytes);
        let _found = any_in_list(&bytes, |_| true);
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            let mut fields = HeaderMap::new();
            for name in [header::ETAG, header::IF_NONE_MATCH, header::IF_RANGE] {
                fields.insert(name, value.clone());
            }
            let validators = Validators::of(&fields);
            let _judged = precondition(&Method::GET, &fields, &validators, StatusCode::OK);
            let applies = range_applies(&fields, &validators);
            prop_assert_eq!(applies, validators.etag.is_some_and(|tag| !tag.is_weak()));
        }
    }
}
