//! What a client asks on condition (RFC 9110 §13.2, §14.2).

use super::*;

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
