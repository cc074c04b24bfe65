//! Entity tags and dates: read, compared, and only where they are certain.

use super::*;

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
