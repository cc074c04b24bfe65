//! By method, content and Range (RFC 9110 §9.3, §14.2).

use super::*;

#[test]
fn methods_and_bypass_go_before_what_is_stored() {
    let stored = stored("max-age=10");
    let bypass = Policy { cache: false, ..Policy::default() };
    let only = [("cache-control", "only-if-cached")];
    let rows: &[(Method, &Policy, Verdict, Verdict)] = &[
        (Method::GET, &Policy::default(), HIT, Verdict::Forward(ForwardReason::UriMiss)),
        (Method::HEAD, &Policy::default(), HIT, Verdict::Forward(ForwardReason::UriMiss)),
        (
            Method::POST,
            &Policy::default(),
            Verdict::Forward(ForwardReason::Method),
            Verdict::Forward(ForwardReason::Method),
        ),
        (
            Method::GET,
            &bypass,
            Verdict::Forward(ForwardReason::Bypass),
            Verdict::Forward(ForwardReason::Bypass),
        ),
        (
            Method::DELETE,
            &bypass,
            Verdict::Forward(ForwardReason::Method),
            Verdict::Forward(ForwardReason::Method),
        ),
    ];
    let now = Timestamp::from_secs(NOW);
    for (method, policy, with, without) in rows {
        let judged = view(method, &[], |view| judge(&stored, view, policy, now));
        assert_eq!(judged, *with, "{method}");
        let missed = view(method, &[], |view| without_stored(view, policy));
        assert_eq!(missed, *without, "{method}");
        // RFC 9111 §5.2.1.7: 504 whenever the answer cannot come from the cache.
        let judged = view(method, &only, |view| judge(&stored, view, policy, now));
        assert_eq!(judged, if *with == HIT { HIT } else { REFUSED }, "{method}");
        assert_eq!(view(method, &only, |view| without_stored(view, policy)), REFUSED, "{method}");
    }
}

#[test]
fn rfc9110_9_3_1_a_request_with_content_is_for_the_origin() {
    let only = [("cache-control", "only-if-cached")];
    let rows = [
        (Method::GET, ForwardReason::Bypass),
        (Method::HEAD, ForwardReason::Bypass),
        (Method::POST, ForwardReason::Method),
        (Method::DELETE, ForwardReason::Method),
    ];
    for (method, reason) in rows {
        let judged = view(&method, &[], with_content);
        assert_eq!(judged, Verdict::Forward(reason), "{method}");
        assert_eq!(view(&method, &only, with_content), REFUSED, "RFC 9111 §5.2.1.7 {method}");
    }
}

#[test]
fn rfc9110_15_3_7_a_part_answers_ranges_within_it_only() {
    let rows: &[(&str, Option<&str>, Option<&str>, Verdict)] = &[
        ("no_range", None, None, PARTIAL),
        ("within", Some("bytes=10-19"), None, HIT),
        ("inside", Some("bytes=12-13"), None, HIT),
        ("before", Some("bytes=9-19"), None, PARTIAL),
        ("behind", Some("bytes=10-20"), None, PARTIAL),
        ("suffix", Some("bytes=-5"), None, PARTIAL),
        ("several", Some("bytes=10-11,13-14"), None, PARTIAL),
        ("rfc9110_13_1_5_same_tag", Some("bytes=10-19"), Some("\"a\""), HIT),
        ("rfc9110_13_1_5_other_tag", Some("bytes=10-19"), Some("\"b\""), PARTIAL),
    ];
    let now = Timestamp::from_secs(NOW);
    for (name, range, if_range, expected) in rows {
        let request: Vec<_> = [("range", range), ("if-range", if_range)]
            .iter()
            .filter_map(|(name, value)| value.map(|value| (*name, value)))
            .collect();
        assert_eq!(verdict(&part(), &request, &Policy::default(), 0), *expected, "{name}");
        // RFC 9110 §14.2: a Range says nothing in a HEAD.
        let head =
            view(&Method::HEAD, &request, |view| judge(&part(), view, &Policy::default(), now));
        assert_eq!(head, PARTIAL, "{name}");
    }
    let within = [("range", "bytes=10-19")];
    assert_eq!(verdict(&part(), &within, &Policy::default(), 10_000), STALE);
    assert_eq!(verdict(&stored("max-age=10"), &within, &Policy::default(), 0), HIT);
    let cached = [("cache-control", "only-if-cached")];
    assert_eq!(verdict(&part(), &cached, &Policy::default(), 0), REFUSED);
}
