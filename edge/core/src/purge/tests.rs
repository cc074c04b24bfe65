//! Tables of selectors; each row names its clause.

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::{
    settings::{EdgeSettings, QueryMode, QuerySettings, RuleSettings, SiteSettings},
    site::{
        Site, SiteId,
        tests::{GOOD, settings},
    },
};

/// Name, text, what comes of it; nothing where it is refused.
type Row = (&'static str, &'static str, Option<&'static str>);

fn check(parse: fn(&str) -> Result<Selector, SelectorProblem>, rows: &[Row]) {
    for (name, text, expected) in rows {
        let got = parse(text);
        let shown = got.as_ref().ok().map(ToString::to_string);
        assert_eq!(shown.as_deref(), *expected, "{name}: {text}");
        if let Ok(selector) = got {
            assert_eq!(parse(&selector.to_string()).as_ref(), Ok(&selector), "{name}: {text}");
        }
    }
}

#[test]
fn url_selectors_are_normalised_as_keys_are() {
    check(
        Selector::parse_url,
        &[
            ("as it is", "https://h.example/a?b=c", Some("https://h.example/a?b=c")),
            ("RFC 9110 §4.2.3 case", "HTTP://H.Example/A", Some("http://h.example/A")),
            ("RFC 9110 §4.2.3 port", "http://h:80/a", Some("http://h/a")),
            ("keys know no port", "http://h:8080/a", Some("http://h/a")),
            ("RFC 9110 §4.2.3 empty port", "http://h:/a", Some("http://h/a")),
            ("RFC 9110 §4.2.3 trailing dot", "http://h./a", Some("http://h/a")),
            ("RFC 9110 §4.2.3 empty path", "http://h", Some("http://h/")),
            ("RFC 9110 §4.2.3 empty path, query", "http://h?q", Some("http://h/?q")),
            ("RFC 3986 §3.5 fragment", "http://h/a#b", Some("http://h/a")),
            ("RFC 3986 §3.5 fragment, empty path", "http://h#b/c", Some("http://h/")),
            (
                "RFC 3986 §6.2.2 stays as written",
                "http://h/%7e%2F/../b",
                Some("http://h/%7e%2F/../b"),
            ),
            ("RFC 3986 §3.2.2 IPv6", "http://[2001:DB8::1]:80/", Some("http://[2001:db8::1]/")),
            ("a star is a character", "http://h/a*", Some("http://h/a*")),
            ("a star in a host means a pattern", "http://*.h/a", None),
            ("a path is no URL", "/a", None),
            ("a host is no URL", "h/a", None),
            ("another scheme", "ftp://h/a", None),
            ("RFC 9110 §4.2.1 empty host", "http:///a", None),
            ("RFC 9110 §4.2.4 userinfo", "http://u@h/a", None),
            ("RFC 3986 §2 space", "http://h/a b", None),
            (
                "RFC 3987 §3.1 not ASCII",
                "http://h/\u{e4}?\u{20ac}",
                Some("http://h/%C3%A4?%E2%82%AC"),
            ),
            ("RFC 3986 §3.2.2 not ASCII", "http://h\u{e4}/", None),
            ("a line feed would end a key's URI", "http://h/a\nb", None),
            ("nothing", "", None),
        ],
    );
}

#[test]
fn prefixes_end_where_they_are_written_to_end() {
    check(
        Selector::parse_prefix,
        &[
            ("a folder", "h/img/", Some("h/img/*")),
            ("a star says no more", "h/img/*", Some("h/img/*")),
            ("within a segment", "h/img/a", Some("h/img/a*")),
            ("within a query", "h/a?v=", Some("h/a?v=*")),
            ("all of a host", "h/", Some("h/*")),
            ("one scheme", "HTTPS://H.Example:443/A", Some("https://h.example/A*")),
            ("RFC 9110 §4.2.3 trailing dot", "h./a", Some("h/a*")),
            ("a host alone", "h", None),
            ("a path alone", "/img/", None),
            ("a star elsewhere", "h/*/a", None),
            ("a star in a host", "*.h/a", None),
            ("RFC 3986 §3.5 fragment", "h/a#b", None),
            ("RFC 3986 §3.4 query without path", "h?a", None),
            ("RFC 3986 §2 space", "h/a b", None),
            ("RFC 3987 §3.1 not ASCII", "h/\u{e4}*", Some("h/%C3%A4*")),
            ("another scheme", "ftp://h/a", None),
            ("nothing", "", None),
        ],
    );
}

#[test]
fn hosts_and_tags_are_read() {
    check(
        Selector::parse_host,
        &[
            ("RFC 9110 §4.2.3 case", "H.Example", Some("h.example")),
            ("a port says nothing", "h:8080", Some("h")),
            ("trailing dot", "h.", Some("h")),
            ("IPv6", "[2001:DB8::1]", Some("[2001:db8::1]")),
            ("no pattern", "*.h", None),
            ("a path", "h/a", None),
            ("a URL", "http://h", None),
            ("nothing", "", None),
        ],
    );
    check(
        Selector::parse_tag,
        &[
            ("case counts", "Product-1", Some("Product-1")),
            ("a space within", "a b", Some("a b")),
            ("RFC 9651 §3.3.3 any string", "a\"b\\,", Some("a\"b\\,")),
            ("RFC 9651 §3.3.3 spaces count", " a ", Some(" a ")),
            ("not ASCII", "\u{e4}", None),
            ("a control character", "a\tb", None),
            ("nothing", "", None),
        ],
    );
    let long = "a".repeat(TAG_BYTES_MAX);
    assert!(Selector::parse_tag(&long).is_ok());
    let problem = Selector::parse_tag(&format!("{long}a")).unwrap_err().to_string();
    assert!(problem.starts_with("\"aaaa") && problem.contains("…\" is not a tag"), "{problem}");
}

#[test]
fn long_urls_are_refused() {
    let path = "a".repeat(URL_BYTES_MAX - "http://h/".len());
    assert!(Selector::parse_url(&format!("http://h/{path}")).is_ok());
    assert!(Selector::parse_url(&format!("http://h/{path}a")).is_err());
    assert!(Selector::parse_prefix(&format!("http://h/{path}")).is_ok());
    assert!(Selector::parse_prefix(&format!("http://h/{path}a")).is_err());
    let third = "\u{e4}".repeat(URL_BYTES_MAX / 4);
    assert!(Selector::parse_url(&format!("http://h/{third}")).is_err());
}

fn fields(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in lines {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        fields.append(HeaderName::from_static(name), value);
    }
    fields
}

/// Fields of a response.
type Said<'a> = &'a [(&'static str, &'a str)];

const LIMITS: TagLimits = TagLimits { tags_max: 3, tag_bytes_max: 5 };

#[test]
fn tags_are_read_from_three_fields() {
    type Row<'a> = (&'a str, Said<'a>, &'a [&'a str], &'a [&'a str]);
    const KEY: &str = "surrogate-key";
    const TAG: &str = "cache-tag";
    const GROUPS: &str = "cache-groups";
    let rows: &[Row<'_>] = &[
        ("nothing said", &[("etag", "\"x\"")], &[], &[]),
        ("separated by spaces", &[(KEY, " a  b,c ")], &["a", "b,c"], &[]),
        ("separated by commas", &[(TAG, "a, b c,,d")], &["a", "b c", "d"], &[]),
        ("RFC 9110 §5.3 several lines", &[(KEY, "a"), (KEY, "b")], &["a", "b"], &[]),
        ("the same one twice", &[(KEY, "a a")], &["a"], &[]),
        ("case counts", &[(KEY, "a A")], &["a", "A"], &[]),
        ("RFC 9875 §2.1 spaces count", &[(GROUPS, "\" a\"")], &[" a"], &[" a"]),
        ("not ASCII", &[(KEY, "a \u{e4}")], &["a"], &[]),
        ("RFC 9875 §2", &[(GROUPS, "\"a\", \"b, c\"")], &["a", "b, c"], &["a", "b, c"]),
        ("RFC 9875 §2 parameters", &[(GROUPS, "\"a\";x=1")], &["a"], &["a"]),
        (
            "RFC 9875 §2 several lines",
            &[(GROUPS, "\"a\""), (GROUPS, "\"b\"")],
            &["a", "b"],
            &["a", "b"],
        ),
        ("RFC 9875 §2 a Token is no String", &[(GROUPS, "\"a\", b")], &[], &[]),
        ("RFC 9651 §4.2 malformed", &[(GROUPS, "\"a\", \"")], &[], &[]),
        ("RFC 9651 §3.3.3 empty String", &[(GROUPS, "\"\", \"a\"")], &["a"], &["a"]),
        ("all three", &[(GROUPS, "\"c\""), (TAG, "b"), (KEY, "a")], &["a", "b", "c"], &["c"]),
    ];
    for (name, said, all, groups) in rows {
        let tags = Tags::of(&fields(said), LIMITS);
        assert_eq!(tags.names().collect::<Vec<_>>(), *all, "{name}");
        assert_eq!(tags.groups().collect::<Vec<_>>(), *groups, "{name}");
        assert!(!tags.has_every() && !tags.is_in_every_group(), "{name}");
        assert_eq!(tags.bytes() > 0, !all.is_empty(), "{name}");
    }
}

#[test]
fn more_tags_than_are_kept_count_as_every_tag() {
    type Row<'a> = (&'a str, Said<'a>, bool, bool);
    let rows: &[Row<'_>] = &[
        ("as many as are kept", &[("surrogate-key", "a b c c")], false, false),
        ("one more", &[("surrogate-key", "a b c d")], true, false),
        ("as long as is kept", &[("cache-tag", "abcde")], false, false),
        ("longer", &[("cache-tag", "abcdef")], true, false),
        ("a group more", &[("cache-groups", "\"a\", \"b\", \"c\", \"d\"")], true, true),
        ("each field by itself", &[("surrogate-key", "a b"), ("cache-tag", "c, d")], false, false),
    ];
    for (name, said, every_tag, every_group) in rows {
        let tags = Tags::of(&fields(said), LIMITS);
        assert_eq!(
            (tags.has_every(), tags.is_in_every_group()),
            (*every_tag, *every_group),
            "{name}"
        );
        let is_meant = |name: Name| name.means(b"http/1/h/a", &tags);
        assert_eq!(is_meant(Name::Tag("unsaid".into())), *every_tag, "{name}");
        let origin = || (&b"http/1/h"[..]).into();
        assert_eq!(is_meant(Name::Group { origin: origin(), group: "u".into() }), *every_group);
    }
}

#[test]
fn rfc9111_3_2_a_newer_answer_replaces_the_tags_of_its_fields() {
    let old = Tags::of(&fields(&[("surrogate-key", "a b"), ("cache-tag", "c")]), LIMITS);
    type Row<'a> = (&'a str, Said<'a>, &'a [&'a str]);
    let rows: &[Row<'_>] = &[
        ("says nothing", &[], &["a", "b", "c"]),
        ("one field", &[("surrogate-key", "x")], &["x", "c"]),
        ("one field, empty", &[("cache-tag", "")], &["a", "b"]),
        ("a new one", &[("cache-groups", "\"g\"")], &["a", "b", "c", "g"]),
    ];
    for (name, said, expected) in rows {
        let tags = old.updated(&fields(said), LIMITS);
        assert_eq!(tags.names().collect::<Vec<_>>(), *expected, "{name}");
    }
    let none = old.updated(&fields(&[("surrogate-key", ""), ("cache-tag", "")]), LIMITS);
    assert_eq!(none, Tags::default());
}

fn site(rules: Vec<RuleSettings>) -> Site {
    let settings = SiteSettings { rules, ..settings(GOOD) };
    Site::build(&settings, &EdgeSettings::default(), SiteId(7)).unwrap()
}

fn rule(path: &str, query: QuerySettings) -> RuleSettings {
    let key_fields = if path == "/kept/*" { vec!["X-A".to_owned()] } else { Vec::new() };
    RuleSettings { path: path.to_owned(), query, key_fields, ..RuleSettings::default() }
}

#[test]
fn a_selector_means_what_the_rules_store() {
    let all = QuerySettings::default();
    let names = vec!["v".to_owned()];
    let site = site(vec![
        rule("/sorted/*", QuerySettings { sort: true, ..all.clone() }),
        rule("/bare/*", QuerySettings { mode: QueryMode::None, ..all.clone() }),
        rule("/kept/*", QuerySettings { mode: QueryMode::Keep, names, ..all }),
    ]);
    let url = Selector::parse_url;
    let prefix = Selector::parse_prefix;
    let rows: &[(&str, Selector, &str, bool)] = &[
        ("the same", url("http://h/a?b").unwrap(), "http/7/h/a?b", true),
        ("another query", url("http://h/a?b").unwrap(), "http/7/h/a?c", false),
        ("without its query", url("http://h/a?b").unwrap(), "http/7/h/a", false),
        ("another path", url("http://h/a").unwrap(), "http/7/h/a/", false),
        ("RFC 9110 §4.2.3 path by case", url("http://h/A").unwrap(), "http/7/h/a", false),
        ("another scheme", url("https://h/a").unwrap(), "http/7/h/a", false),
        ("another host", url("http://h/a").unwrap(), "http/7/g/a", false),
        ("RFC 9110 §4.2.3 host by case", url("http://H:80/a").unwrap(), "http/7/h/a", true),
        ("RFC 3986 §6.2.2.2 as written", url("http://h/%61").unwrap(), "http/7/h/a", false),
        ("every variant", url("http://h/kept/").unwrap(), "http/7/h/kept/\nx-a=1", true),
        (
            "a query that is sorted",
            url("http://h/sorted/?b&a").unwrap(),
            "http/7/h/sorted/?a&b",
            true,
        ),
        ("a query that is dropped", url("http://h/bare/?b").unwrap(), "http/7/h/bare/", true),
        (
            "a query that was kept before",
            url("http://h/bare/?b").unwrap(),
            "http/7/h/bare/?b",
            true,
        ),
        ("another that was", url("http://h/bare/?b").unwrap(), "http/7/h/bare/?c", false),
        (
            "a parameter that is kept",
            url("http://h/kept/?u=1&v=2").unwrap(),
            "http/7/h/kept/?v=2",
            true,
        ),
        (
            "another value of it",
            url("http://h/kept/?u=1&v=2").unwrap(),
            "http/7/h/kept/?v=3",
            false,
        ),
        ("begins so", prefix("h/img/").unwrap(), "http/7/h/img/a", true),
        ("both schemes", prefix("h/img/").unwrap(), "https/7/h/img/a", true),
        ("one scheme", prefix("https://h/img/").unwrap(), "http/7/h/img/a", false),
        ("is it", prefix("h/img/").unwrap(), "http/7/h/img/", true),
        ("is shorter", prefix("h/img/").unwrap(), "http/7/h/img", false),
        ("within a segment", prefix("h/img/a").unwrap(), "http/7/h/img/ab", true),
        ("within a query", prefix("h/a?v=1").unwrap(), "http/7/h/a?v=10", true),
        ("not within a field of the key", prefix("h/a").unwrap(), "http/7/h/\nh/a", false),
        ("another host that begins so", prefix("h/").unwrap(), "http/7/h.g/", false),
        ("the host", Selector::parse_host("h").unwrap(), "http/7/h/a", true),
        ("the host, other scheme", Selector::parse_host("h").unwrap(), "https/7/h/a?h", true),
        ("a host that ends so", Selector::parse_host("h").unwrap(), "http/7/g.h/", false),
        ("a host in the path", Selector::parse_host("h").unwrap(), "http/7/g/h/h", false),
        ("everything", Selector::Everything, "http/7/g/a", true),
        ("a tag", Selector::parse_tag("t").unwrap(), "http/7/g/a", true),
        ("a tag by case", Selector::parse_tag("T").unwrap(), "http/7/g/a", false),
        ("another tag", Selector::parse_tag("tt").unwrap(), "http/7/t/t", false),
    ];
    let tags = Tags::of(&fields(&[("surrogate-key", "s t")]), LIMITS);
    for (name, selector, key, expected) in rows {
        let names = selector.names(&site);
        let got = names.iter().any(|name| name.means(key.as_bytes(), &tags));
        assert_eq!(got, *expected, "{name}: {selector} and {key}");
    }
}

proptest! {
    /// What is read once reads the same again, and what is no selector says so without a panic.
    #[test]
    fn any_text_is_a_selector_or_none(
        text in "(https?://|HTTP://|//)?[a-zA-Z.:\\[\\]*@%]{0,6}[/?#a-z*% :\u{e4}]{0,12}",
    ) {
        type Parse = fn(&str) -> Result<Selector, SelectorProblem>;
        let parsers: [Parse; 4] = [
            Selector::parse_url,
            Selector::parse_prefix,
            Selector::parse_host,
            Selector::parse_tag,
        ];
        for parse in parsers {
            match parse(&text) {
                Ok(selector) => prop_assert_eq!(parse(&selector.to_string()), Ok(selector)),
                Err(problem) => prop_assert!(problem.to_string().contains("is not")),
            }
        }
    }

    /// Every tag that is kept can be named by a purge.
    #[test]
    fn any_octets_are_tags_or_none(
        name in prop::sample::select(&["surrogate-key", "cache-tag", "cache-groups"][..]),
        octets in prop::collection::vec(prop::sample::select(&b"ab ,;\"\\\t\xe4=?"[..]), 0..16),
    ) {
        let mut fields = HeaderMap::new();
        let Ok(value) = HeaderValue::from_bytes(&octets) else { return Ok(()) };
        fields.insert(name, value);
        let tags = Tags::of(&fields, LIMITS);
        for tag in tags.names() {
            let Ok(Selector::Tag(named)) = Selector::parse_tag(tag) else {
                return Err(TestCaseError::fail(format!("{tag:?} cannot be named")));
            };
            prop_assert!(Name::Tag(named).means(b"http/1/h/", &tags));
        }
        prop_assert!(tags.names().count() <= LIMITS.tags_max);
    }
}
