//! Invalidation tables; each row names its clause.
#![expect(clippy::too_many_lines, reason = "long tables")]

use http::HeaderValue;
use proptest::prelude::*;

use super::*;

const TARGET: (Scheme, &str, &str) = (Scheme::Https, "www.example.com", "/a/b/c?d=1");

fn fields(pairs: &[(http::HeaderName, &str)]) -> HeaderMap {
    let pairs = pairs
        .iter()
        .map(|(name, value)| (name.clone(), HeaderValue::from_bytes(value.as_bytes()).unwrap()));
    let mut map = HeaderMap::new();
    pairs.for_each(|(name, value)| {
        map.append(name, value);
    });
    map
}

#[test]
fn unsafe_and_unknown_methods_invalidate_the_target_unless_they_fail() {
    let rows: &[(&str, &str, u16, bool)] = &[
        ("RFC 9110 §9.2.1 safe", "GET", 200, false),
        ("RFC 9110 §9.2.1 safe", "HEAD", 200, false),
        ("RFC 9110 §9.2.1 safe", "OPTIONS", 200, false),
        ("RFC 9110 §9.2.1 safe", "TRACE", 200, false),
        ("IANA registry, safe", "PROPFIND", 207, false),
        ("IANA registry, safe", "QUERY", 200, false),
        ("IANA registry, safe", "REPORT", 200, false),
        ("IANA registry, safe", "SEARCH", 200, false),
        ("RFC 9111 §4.4 unsafe", "POST", 200, true),
        ("RFC 9111 §4.4 unsafe", "PUT", 204, true),
        ("RFC 9111 §4.4 unsafe", "DELETE", 200, true),
        ("RFC 9111 §4.4 unsafe", "PATCH", 200, true),
        ("RFC 9111 §4.4 unknown", "M-SEARCH", 200, true),
        ("RFC 9110 §9.1 case-sensitive, so unknown", "get", 200, true),
        ("RFC 9111 §4.4 2xx", "POST", 299, true),
        ("RFC 9111 §4.4 3xx", "POST", 300, true),
        ("RFC 9111 §4.4 3xx", "POST", 303, true),
        ("RFC 9111 §4.4 3xx", "POST", 399, true),
        ("RFC 9111 §4.4 error", "POST", 400, false),
        ("RFC 9111 §4.4 error", "POST", 500, false),
        ("RFC 9111 §4.4 interim", "POST", 199, false),
    ];
    for (name, method, status, invalidates) in rows {
        let got = targets(
            &Method::from_bytes(method.as_bytes()).unwrap(),
            StatusCode::from_u16(*status).unwrap(),
            TARGET,
            &HeaderMap::new(),
        );
        let expected: &[&str] = if *invalidates { &["/a/b/c?d=1"] } else { &[] };
        assert_eq!(got, expected, "{name}: {method} {status}");
    }
}

#[test]
fn location_and_content_location_of_the_same_origin_are_invalidated() {
    let rows: &[(&str, &str, Option<&str>)] = &[
        ("§4.4 absolute", "https://www.example.com/x?y", Some("/x?y")),
        ("§4.4 other host", "https://example.com/x", None),
        ("§4.4 other scheme", "http://www.example.com/x", None),
        ("§4.4 other port", "https://www.example.com:8443/x", None),
        ("§4.4 longer host", "https://www.example.com.evil.example/x", None),
        ("RFC 9110 §4.2.3 default port", "https://www.example.com:443/x", Some("/x")),
        ("RFC 9110 §4.2.3 empty port", "https://www.example.com:/x", Some("/x")),
        ("RFC 9110 §4.2.3 case", "HTTPS://WWW.Example.COM/X", Some("/X")),
        ("RFC 9110 §4.2.3 trailing dot", "https://www.example.com./x", Some("/x")),
        ("RFC 9110 §4.2.3 empty path", "https://www.example.com", Some("/")),
        ("RFC 9110 §4.2.3 empty path, query", "https://www.example.com?q", Some("/?q")),
        ("RFC 9110 §4.2.4 userinfo", "https://user:pw@www.example.com/x", Some("/x")),
        ("RFC 9110 §4.2.4 host as userinfo", "https://www.example.com@evil.example/x", None),
        ("RFC 3986 §4.2 network-path", "//www.example.com/x", Some("/x")),
        ("RFC 3986 §4.2 network-path, other", "//evil.example/x", None),
        ("RFC 3986 §3.2 no authority", "https:///x", None),
        ("RFC 3986 §3 scheme without authority", "https:/x", None),
        ("RFC 3986 §3 other scheme", "mailto:x@www.example.com", None),
        ("RFC 3986 §3.1 scheme characters", "a1+-.:x", None),
        ("RFC 3986 §4.2 absolute path", "/x", Some("/x")),
        ("RFC 3986 §4.2 path with colon", "/x:y", Some("/x:y")),
        ("RFC 3986 §3.1 digit is no scheme", "1x:y", Some("/a/b/1x:y")),
        ("RFC 3986 §4.2 dot before colon", "./x:y", Some("/a/b/x:y")),
        ("RFC 3986 §5.4.1 g", "g", Some("/a/b/g")),
        ("RFC 3986 §5.4.1 ./g", "./g", Some("/a/b/g")),
        ("RFC 3986 §5.4.1 g/", "g/", Some("/a/b/g/")),
        ("RFC 3986 §5.4.1 ?y", "?y", Some("/a/b/c?y")),
        ("RFC 3986 §5.4.1 g?y", "g?y", Some("/a/b/g?y")),
        ("RFC 3986 §5.4.1 .", ".", Some("/a/b/")),
        ("RFC 3986 §5.4.1 ./", "./", Some("/a/b/")),
        ("RFC 3986 §5.4.1 ..", "..", Some("/a/")),
        ("RFC 3986 §5.4.1 ../", "../", Some("/a/")),
        ("RFC 3986 §5.4.1 ../g", "../g", Some("/a/g")),
        ("RFC 3986 §5.4.1 ../..", "../..", Some("/")),
        ("RFC 3986 §5.4.1 ../../g", "../../g", Some("/g")),
        ("RFC 3986 §5.4.2 ../../../g", "../../../g", Some("/g")),
        ("RFC 3986 §5.4.2 /./g", "/./g", Some("/g")),
        ("RFC 3986 §5.4.2 /../g", "/../g", Some("/g")),
        ("RFC 3986 §5.4.2 ..g", "..g", Some("/a/b/..g")),
        ("RFC 3986 §5.4.2 g..", "g..", Some("/a/b/g..")),
        ("RFC 3986 §5.4.2 g?y/../x", "g?y/../x", Some("/a/b/g?y/../x")),
        ("RFC 3986 §3.5 fragment", "/x?y#z", Some("/x?y")),
        ("RFC 3986 §3.3 empty segments stay", "/x//y", Some("/x//y")),
        ("RFC 9110 §5.5 white space", " /x\t", Some("/x")),
    ];
    for (name, reference, expected) in rows {
        for field in [header::LOCATION, header::CONTENT_LOCATION] {
            let got = targets(
                &Method::POST,
                StatusCode::CREATED,
                TARGET,
                &fields(&[(field.clone(), reference)]),
            );
            let expected: Vec<&str> = ["/a/b/c?d=1"].into_iter().chain(*expected).collect();
            assert_eq!(got, expected, "{name}: {field}: {reference}");
        }
    }
    // The target itself is not named twice.
    for same in ["", "#top", "c?d=1", "https://www.example.com/a/b/c?d=1"] {
        let map = fields(&[(header::LOCATION, same), (header::CONTENT_LOCATION, "/other")]);
        let got = targets(&Method::POST, StatusCode::CREATED, TARGET, &map);
        assert_eq!(got, ["/a/b/c?d=1", "/other"], "{same}");
    }
    let ports: &[(Scheme, &str, &str, bool)] = &[
        (Scheme::Http, "h:80", "http://h/x", true),
        (Scheme::Http, "h", "http://h:80/x", true),
        (Scheme::Http, "h", "http://h:443/x", false),
        (Scheme::Https, "h", "https://h:80/x", false),
        (Scheme::Http, "h:8080", "http://h:8080/x", true),
        (Scheme::Http, "h:8080", "http://h/x", false),
        (Scheme::Http, "[2001:db8::1]", "http://[2001:DB8::1]:80/x", true),
        (Scheme::Http, "[2001:db8::1]", "http://[2001:db8::2]/x", false),
        (Scheme::Http, "[2001:db8::1]:80", "http://[2001:db8::1]/x", true),
    ];
    for (scheme, authority, location, same) in ports {
        let map = fields(&[(header::LOCATION, location)]);
        let got = targets(&Method::PUT, StatusCode::OK, (*scheme, authority, "/"), &map);
        assert_eq!(got.len() == 2, *same, "{authority} and {location}");
    }
}

#[test]
fn groups_are_invalidated_by_unsafe_methods_alone() {
    let name = http::HeaderName::from_static("cache-group-invalidation");
    let rows: &[(&str, &str, &[&str], &[&str])] = &[
        ("RFC 9875 §3 unsafe", "POST", &["\"a\", \"b\""], &["a", "b"]),
        ("RFC 9110 §5.3 several lines", "PUT", &["\"a\"", "\"b\""], &["a", "b"]),
        ("RFC 9875 §2 parameters", "POST", &["\"a\";x=1"], &["a"]),
        ("RFC 9111 §4.4 unknown", "M-SEARCH", &["\"a\""], &["a"]),
        ("RFC 9875 §3 safe", "GET", &["\"a\""], &[]),
        ("RFC 9875 §3 safe", "HEAD", &["\"a\""], &[]),
        ("RFC 9875 §3 safe by registry", "QUERY", &["\"a\""], &[]),
        ("RFC 9651 §4.2 malformed", "POST", &["\"a\", \"b"], &[]),
        ("RFC 9875 §3 no String", "POST", &["\"a\", b"], &[]),
        ("RFC 9875 §3 inner list", "POST", &["(\"a\")"], &[]),
        ("nothing", "POST", &[], &[]),
    ];
    for (row, method, lines, expected) in rows {
        let pairs: Vec<_> = lines.iter().map(|line| (name.clone(), *line)).collect();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let got = groups(&method, &fields(&pairs));
        assert_eq!(got.iter().map(|group| &**group).collect::<Vec<_>>(), *expected, "{row}");
    }
}

proptest! {
    #[test]
    fn any_reference_resolves_to_a_normal_path_or_nothing(
        reference in "[a-c/.:?#@\\[\\]% ]{0,16}", base in "/[a-c/.]{0,8}(\\?[a-c/]{0,3})?",
    ) {
        if let Some(target) = reference::resolve(&reference, Scheme::Http, "a", &base) {
            prop_assert!(target.starts_with('/'));
            prop_assert!(!target.contains('#'));
            let path = target.split('?').next().unwrap();
            prop_assert!(path.split('/').all(|segment| segment != "." && segment != ".."));
        }
    }
}
