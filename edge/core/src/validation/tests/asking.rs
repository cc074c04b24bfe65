//! What the origin is asked, and which responses its 304 is about (RFC 9111 §4.3.1, §4.3.4).

use super::*;

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
