//! What an operator's rules say, and what each refusal tells of the resource.

use super::*;

#[test]
fn rules_store_and_forbid() {
    let with = |change: fn(&mut Policy), status, response| {
        let mut policy = policy();
        change(&mut policy);
        store(&Method::GET, &[], status, response, &policy).err()
    };
    assert_eq!(with(|p| p.cache = false, 200, FRESH), Some(NotStored::Bypass));
    let negative = |p: &mut Policy| {
        p.negative_ttl = vec![(StatusCode::SERVICE_UNAVAILABLE, std::time::Duration::from_secs(1))];
    };
    assert_eq!(with(negative, 503, &[]), None);
    assert_eq!(with(negative, 500, &[]), Some(NotStored::Unspecified));
    let default = |p: &mut Policy| p.default_ttl = Some(std::time::Duration::from_secs(1));
    assert_eq!(with(default, 200, &[]), None);
    assert_eq!(with(default, 200, &[("set-cookie", "a=b")]), Some(NotStored::SetCookie));
    assert_eq!(with(default, 200, &[("cache-control", "no-store")]), Some(NotStored::NoStore));
    assert_eq!(with(default, 200, &[("cache-control", "private")]), Some(NotStored::Private));
    let min = |p: &mut Policy| p.min_ttl = Some(std::time::Duration::from_secs(1));
    assert_eq!(with(min, 200, &[("set-cookie", "a=b")]), Some(NotStored::SetCookie));
    assert_eq!(with(min, 200, &[("cache-control", "no-cache")]), Some(NotStored::Useless));
    let lifted = &[("cache-control", "max-age=0"), ("set-cookie", "a=b")];
    assert_eq!(with(min, 200, lifted), Some(NotStored::SetCookie), "the lifetime is the rule's");
    let enough = &[("cache-control", "max-age=1"), ("set-cookie", "a=b")];
    assert_eq!(with(min, 200, enough), None);
    let never_stale = |p: &mut Policy| p.stale_on_failure = std::time::Duration::ZERO;
    let stale_at_once = &[("cache-control", "max-age=0")];
    assert_eq!(with(never_stale, 200, stale_at_once), Some(NotStored::Useless));
    assert_eq!(with(never_stale, 200, FRESH), None);
}

#[test]
fn rfc9111_4_3_3_errors_of_one_request_or_moment_are_no_word_on_the_resource() {
    for status in [200, 204, 206, 301, 304, 404, 410, 451] {
        assert!(is_of_resource(StatusCode::from_u16(status).unwrap()), "{status}");
    }
    for status in
        [400, 401, 403, 405, 407, 408, 413, 414, 416, 417, 421, 425, 429, 431, 500, 503, 599]
    {
        assert!(!is_of_resource(StatusCode::from_u16(status).unwrap()), "{status}");
    }
}

#[test]
fn every_reason_has_its_word_and_its_cause() {
    use NotStored::{
        Authorization, Bypass, IfRange, Method as OfMethod, MustUnderstand, NoStore, Part, Private,
        RequestNoStore, SetCookie, Status, Unspecified, Useless, Vary, VaryBytes,
    };
    let rows = [
        (Bypass, "bypass", false),
        (OfMethod, "method", false),
        (RequestNoStore, "request-no-store", false),
        (Authorization, "authorization", false),
        (Status, "status", false),
        (Part, "part", false),
        (IfRange, "if-range", false),
        (NoStore, "no-store", true),
        (Private, "private", true),
        (MustUnderstand, "must-understand", true),
        (Vary, "vary", true),
        (VaryBytes, "vary-bytes", false),
        (Unspecified, "unspecified", true),
        (SetCookie, "set-cookie", true),
        (Useless, "useless", true),
    ];
    for (reason, word, of_response) in rows {
        assert_eq!((reason.as_str(), reason.of_response()), (word, of_response));
    }
}
