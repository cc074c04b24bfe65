//! Tables of selectors; each row names its clause.

use super::*;

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
            ("RFC 3986 §2 not ASCII", "http://h/\u{e4}", None),
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
            ("a space around", " a", None),
            ("a space around", "a ", None),
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
}
