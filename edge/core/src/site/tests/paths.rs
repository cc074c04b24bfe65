//! Paths, their patterns, and the rule that a path is under.

use super::*;

const PATHS: &[(&str, &str, bool)] = &[
    ("/", "/", true),
    ("/", "/a", false),
    ("/a", "/a", true),
    ("/a", "/a/", false),
    ("/a", "/", false),
    ("*", "/", true),
    ("*", "/a/b", true),
    ("*", "*", true),
    ("/*", "/", true),
    ("/img/*", "/img/", true),
    ("/img/*", "/img/a/b", true),
    ("/img/*", "/img", false),
    ("/img/*", "/imgs/a", false),
    ("/img*", "/imgs/a", true),
    ("*.css", "/a/b.css", true),
    ("*.css", "/a/b.css2", false),
    ("*.css", ".css", true),
    ("*.css", "/b.CSS", false),
    ("/a*b", "/ab", true),
    ("/a*b", "/a", false),
    ("/a*b", "/axxb", true),
    ("/a*b", "/axxbc", false),
    ("/a*a", "/a", false),
    ("/a*a", "/aa", true),
    ("/a*b*c", "/a1b2c", true),
    ("/a*b*c", "/a1c2b", false),
    ("/a*b*c", "/abbc", true),
    ("/a*bc*c", "/abc", false),
    ("/a*bc*c", "/abcc", true),
    ("*a*b*", "/xaxbx", true),
    ("*a*b*", "/xbxax", false),
    ("*aa*aa*", "/aaa", false),
    ("**", "/", true),
    ("/a**b", "/ab", true),
];

#[test]
fn path_patterns_match_whole_paths() {
    for (pattern, path, expected) in PATHS {
        let matches = PathPattern::parse(pattern).unwrap().matches(path);
        assert_eq!(matches, *expected, "{pattern} {path}");
    }
    for text in ["", "a", "a/*", "?", "/a?b", "/a#b", "/a b", "/\u{e9}", "/a\n"] {
        assert_eq!(PathPattern::parse(text), None, "{text}");
    }
}

/// A path, and the name of the rule that it is under: none is the fallback.
const READINGS: &[(&str, &str)] = &[
    ("/static/a", "static"),
    ("/account/a", "account"),
    ("/", ""),
    ("*", ""),
    ("", ""),
    // RFC 3986 §6.2.2.2: the same path.
    ("/%73tatic/a", "static"),
    ("/%61ccount/a", "account"),
    ("/%41ccount/a", ""),
    ("/%7euser/a", "user"),
    ("/~user/a", "user"),
    // RFC 3986 §6.2.2.1: capitals or not.
    ("/caf%c3%a9/a", "café"),
    ("/caf%C3%A9/a", "café"),
    ("/caf%C3%a9/a", "café"),
    ("/caf%C3/a", ""),
    // No escapes at all.
    ("/static/%", "static"),
    ("/static/%7", "static"),
    ("/static/%+7", "static"),
    ("/static/%zz", "static"),
    // Dot segments, in whatever dress.
    ("/static/../account/a", "ambiguous"),
    ("/static/./a", "ambiguous"),
    ("/static/..", "ambiguous"),
    ("/static/.", "ambiguous"),
    ("/static/%2e%2E/account/a", "ambiguous"),
    ("/static/..%2Faccount/a", "ambiguous"),
    ("/static/%2e%2e%2faccount", "ambiguous"),
    ("/static/..%5caccount", "ambiguous"),
    ("/static/..\\account", "ambiguous"),
    ("/static/..;/account", "ambiguous"),
    ("/other/../a", "ambiguous"),
    ("/static/.../a", "static"),
    ("/static/..a", "static"),
    ("/static/a..", "static"),
    ("/static/.well-known", "static"),
    // Other slashes: under one rule in both readings, or under two.
    ("/static/a%2Fb", "static"),
    ("/static/a%5cb", "static"),
    ("/static/a//b", "static"),
    ("/static/https://a.example/b", "static"),
    ("/other/a%2fb", ""),
    ("/other//b", ""),
    ("/x//y", ""),
    ("//account/a", "ambiguous"),
    ("/account%2Fa", "ambiguous"),
    ("/account\\a", "ambiguous"),
    ("/static%2fa", "ambiguous"),
    ("//", ""),
    // A rule may itself speak of encoded slashes.
    ("/pkg/@a%2Fb/c", "package"),
    ("/pkg/@a%2fb/c", "package"),
    ("/pkg/@a/b/c", ""),
];

#[test]
fn rfc3986_6_2_a_path_that_may_be_under_two_rules_is_not_stored() {
    let rules = [
        ("static", "/static/*", true),
        ("account", "/account/*", false),
        ("user", "/%7Euser/*", true),
        ("café", "/caf%c3%A9/*", true),
        ("package", "/pkg/@*%2f*", true),
    ];
    let mut settings = settings(GOOD);
    settings.rules = rules
        .map(|(_, path, cache)| RuleSettings {
            path: path.to_owned(),
            cache,
            default_ttl: Some(Duration::from_secs(60)),
            ..RuleSettings::default()
        })
        .to_vec();
    let site = build(&settings).unwrap();
    let name = |path: &str| {
        let policy = site.policy(path);
        let is = |of: &Policy| std::ptr::eq(policy, of);
        let rule = site.rules.iter().zip(rules).find(|(rule, _)| is(&rule.policy));
        match rule {
            Some((_, (name, ..))) => name,
            None if is(&site.ambiguous) => "ambiguous",
            None => "",
        }
    };
    for (path, expected) in READINGS {
        assert_eq!(name(path), *expected, "{path}");
    }
    assert!(!site.ambiguous.cache);
    assert_eq!(site.ambiguous.targeted_fields, site.fallback.targeted_fields);
    // Without rules there is nothing to walk out of.
    let plain = build(&self::settings(GOOD)).unwrap();
    assert!(std::ptr::eq(plain.policy("/a/../b"), &raw const plain.fallback));
}

/// The plain definition of a pattern, slow on purpose.
fn matches_plainly(pattern: &[u8], path: &[u8]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), None) => matches_plainly(rest, path),
        (Some((b'*', rest)), Some((_, after))) => {
            matches_plainly(rest, path) || matches_plainly(pattern, after)
        }
        (Some((a, rest)), Some((b, after))) => a == b && matches_plainly(rest, after),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

proptest! {
    #[test]
    fn path_patterns_match_as_defined(pattern in "[/*][ab*]{0,6}", path in "/[ab]{0,8}") {
        let parsed = PathPattern::parse(&pattern).unwrap();
        let expected = matches_plainly(pattern.as_bytes(), path.as_bytes());
        prop_assert_eq!(parsed.matches(&path), expected);
    }

    #[test]
    fn reading_a_path_twice_changes_nothing(path in "/([a./;%\\\\25FfCceE]|%2F|%2e|%5c|//){0,12}") {
        let normal = path::normal(&path);
        let resolved = path::resolved(&normal);
        prop_assert_eq!(path::resolved(&resolved), resolved.clone());
        prop_assert!(!resolved.contains("//") && !resolved.contains('\\'));
        if path::is_plain(&path) {
            prop_assert_eq!(&resolved, &path);
            prop_assert!(!path::has_dot_segment(&path));
        }
    }

    #[test]
    fn a_parsed_host_is_normal(text in "\\PC{0,16}|[a-zA-Z.:\\[\\]0-9]{0,12}") {
        if let Some(host) = Host::parse(&text) {
            let normal = host.as_str();
            prop_assert!(!normal.is_empty() && normal.is_ascii());
            prop_assert_eq!(normal, normal.to_ascii_lowercase());
            prop_assert!(normal.starts_with('[') || !normal.contains(':'));
            prop_assert!(!normal.ends_with('.'));
        }
        if let Some(server) = ServerAddress::parse(&format!("http://{text}")) {
            prop_assert!(!server.host.contains(['/', '[']));
        }
    }
}
