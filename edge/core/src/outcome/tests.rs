//! Outcome tables; each row names its clause.

use proptest::prelude::*;
use sfv::{BareItem, List, ListEntry, Parser};

use super::*;

fn written(outcome: &Outcome, node: &str, key: Option<&CacheKey>) -> String {
    let mut buf = Vec::new();
    outcome.write_cache_status(node, key, &mut buf);
    String::from_utf8(buf).unwrap()
}

fn forwarded(reason: ForwardReason) -> Outcome {
    Outcome { forward: Some(reason), ..Outcome::default() }
}

#[test]
fn cache_status_member_is_exact() {
    let hit = Outcome { hit: true, ttl: Some(59), ..Outcome::default() };
    let miss = Outcome {
        forward_status: Some(StatusCode::OK),
        stored: true,
        collapsed: true,
        ttl: Some(60),
        detail: Some(Detail::Window),
        ..forwarded(ForwardReason::UriMiss)
    };
    let rows: &[(&str, Outcome, &str)] = &[
        ("RFC 9211 §2.1 hit", hit, "edge; hit; ttl=59"),
        ("RFC 9211 §2.4 stale hit", Outcome { ttl: Some(-412), ..hit }, "edge; hit; ttl=-412"),
        ("RFC 9211 §2.4 ttl 0", Outcome { ttl: Some(0), ..hit }, "edge; hit; ttl=0"),
        (
            "RFC 9211 §2 parameters in order",
            miss,
            "edge; fwd=uri-miss; fwd-status=200; ttl=60; stored; collapsed; detail=window",
        ),
        (
            "RFC 9211 §2.2 a validation is no hit",
            Outcome {
                hit: true,
                forward_status: Some(StatusCode::NOT_MODIFIED),
                ..forwarded(ForwardReason::Stale)
            },
            "edge; fwd=stale; fwd-status=304",
        ),
        (
            "RFC 9211 §2.3 no fwd-status without fwd",
            Outcome { forward_status: Some(StatusCode::OK), ..hit },
            "edge; hit; ttl=59",
        ),
        (
            "RFC 9211 §2.5 no stored without fwd",
            Outcome { stored: true, ..hit },
            "edge; hit; ttl=59",
        ),
        (
            "RFC 9211 §2.6 no collapsed without fwd",
            Outcome { collapsed: true, ..hit },
            "edge; hit; ttl=59",
        ),
        ("RFC 9211 §2.5 stored", Outcome { stored: true, ..forwarded(ForwardReason::Miss) }, {
            "edge; fwd=miss; stored"
        }),
        (
            "RFC 9211 §2.6 collapsed",
            Outcome { collapsed: true, ..forwarded(ForwardReason::Miss) },
            { "edge; fwd=miss; collapsed" },
        ),
        ("RFC 9211 §2 neither", Outcome::default(), "edge"),
        (
            "RFC 8941 §3.3.1 integers have fifteen digits",
            Outcome { ttl: Some(i64::MAX), ..hit },
            "edge; hit; ttl=999999999999999",
        ),
        (
            "RFC 8941 §3.3.1 negative integers as well",
            Outcome { ttl: Some(i64::MIN), ..hit },
            "edge; hit; ttl=-999999999999999",
        ),
    ];
    for (name, outcome, expected) in rows {
        assert_eq!(written(outcome, "edge", None), *expected, "{name}");
    }
}

#[test]
fn cache_status_identifier_is_a_token_or_a_string() {
    let rows = [
        ("RFC 8941 §3.3.4 token", "fra-1.example:80/a", "fra-1.example:80/a"),
        ("RFC 8941 §3.3.4 asterisk", "*a", "*a"),
        ("RFC 8941 §3.3.4 all of tchar", "a!#$%&'*+-.^_`|~0Z", "a!#$%&'*+-.^_`|~0Z"),
        ("RFC 8941 §3.3.4 begins with a digit", "1a", "\"1a\""),
        ("RFC 8941 §3.3.3 space", "a b", "\"a b\""),
        ("RFC 8941 §3.3.3 empty", "", "\"\""),
        ("RFC 8941 §3.3.3 escapes", "a\"b\\c", "\"a\\\"b\\\\c\""),
        ("RFC 8941 §3.3.3 not ASCII, control", "\u{e9}\u{7f}\n\u{1f}~", "\"????~\""),
    ];
    for (name, node, expected) in rows {
        assert_eq!(written(&Outcome::default(), node, None), expected, "{name}");
    }
}

#[test]
fn cache_status_is_appended_after_the_origins() {
    let mut buf = b"OriginCache; hit, ".to_vec();
    forwarded(ForwardReason::Stale).write_cache_status("edge", None, &mut buf);
    assert_eq!(buf, b"OriginCache; hit, edge; fwd=stale", "RFC 9211 §2");
    let hit = Outcome { hit: true, detail: Some(Detail::Memory), ..Outcome::default() };
    let key = CacheKey::from(b"a\"b".as_slice());
    let shown = format!("{key}").replace('\\', "\\\\").replace('"', "\\\"");
    let expected = format!("edge; hit; key=\"{shown}\"; detail=memory");
    assert_eq!(written(&hit, "edge", Some(&key)), expected, "RFC 9211 §2.7");
}

#[test]
fn forward_reasons_are_the_tokens_of_rfc_9211() {
    let rows = [
        (ForwardReason::Bypass, "bypass", OutcomeLabel::Bypass),
        (ForwardReason::Method, "method", OutcomeLabel::Method),
        (ForwardReason::UriMiss, "uri-miss", OutcomeLabel::UriMiss),
        (ForwardReason::VaryMiss, "vary-miss", OutcomeLabel::VaryMiss),
        (ForwardReason::Miss, "miss", OutcomeLabel::Miss),
        (ForwardReason::Request, "request", OutcomeLabel::Request),
        (ForwardReason::Stale, "stale", OutcomeLabel::Stale),
        (ForwardReason::Partial, "partial", OutcomeLabel::Partial),
    ];
    for (reason, token, label) in rows {
        assert_eq!(reason.as_str(), token, "RFC 9211 §2.2");
        assert_eq!(written(&forwarded(reason), "edge", None), format!("edge; fwd={token}"));
        assert_eq!(forwarded(reason).label(), label);
        assert_eq!(label.as_str(), token);
    }
}

#[test]
fn label_says_an_outcome_in_one_word() {
    let hit = Outcome { hit: true, ..Outcome::default() };
    let rows = [
        (hit, OutcomeLabel::Hit, "hit"),
        (Outcome { ttl: Some(1), ..hit }, OutcomeLabel::Hit, "hit"),
        (Outcome { ttl: Some(0), ..hit }, OutcomeLabel::Hit, "hit"),
        (Outcome { ttl: Some(-1), ..hit }, OutcomeLabel::HitStale, "hit-stale"),
        (Outcome { ttl: Some(i64::MIN), ..hit }, OutcomeLabel::HitStale, "hit-stale"),
        (
            Outcome { ttl: Some(-1), ..forwarded(ForwardReason::Stale) },
            OutcomeLabel::Stale,
            "stale",
        ),
        (Outcome { hit: true, ..forwarded(ForwardReason::Stale) }, OutcomeLabel::Stale, "stale"),
        (Outcome::default(), OutcomeLabel::Refused, "refused"),
        (Outcome { ttl: Some(-1), ..Outcome::default() }, OutcomeLabel::Refused, "refused"),
    ];
    for (outcome, label, word) in rows {
        assert_eq!(outcome.label(), label, "{outcome:?}");
        assert_eq!(label.as_str(), word);
    }
    assert_eq!(OutcomeLabel::COUNT, OutcomeLabel::ALL.len());
    for (at, label) in OutcomeLabel::ALL.into_iter().enumerate() {
        assert_eq!(label.index(), at);
    }
}

#[test]
fn refusals_have_their_statuses_and_words() {
    let rows = [
        ("RFC 9110 §15.5.1", Refusal::BadRequest, 400, "bad-request"),
        ("RFC 9110 §15.5.20", Refusal::MisdirectedHost, 421, "misdirected-host"),
        ("RFC 9110 §15.5.15", Refusal::UriTooLong, 414, "uri-too-long"),
        ("RFC 6585 §5", Refusal::HeadTooLarge, 431, "head-too-large"),
        ("RFC 9110 §15.5.14", Refusal::ContentTooLarge, 413, "content-too-large"),
        ("RFC 9110 §15.5.6", Refusal::MethodNotAllowed, 405, "method-not-allowed"),
        ("RFC 9110 §15.5.18", Refusal::ExpectationFailed, 417, "expectation-failed"),
        ("RFC 9110 §15.5.9", Refusal::RequestTimeout, 408, "request-timeout"),
        ("RFC 9110 §15.6.2", Refusal::NotImplemented, 501, "not-implemented"),
        ("RFC 5842 §7.2", Refusal::Loop, 508, "loop"),
        ("RFC 9111 §5.2.1.7", Refusal::OnlyIfCached, 504, "only-if-cached"),
        ("RFC 9110 §15.6.4", Refusal::Overloaded, 503, "overloaded"),
    ];
    for (name, refusal, status, word) in rows {
        assert_eq!(refusal.status().as_u16(), status, "{name}");
        assert_eq!(refusal.as_str(), word, "{name}");
        // RFC 9110 §15.5.6: a 405 says what is allowed.
        let allow = (status == 405).then_some("GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE");
        assert_eq!(refusal.allow(), allow, "{name}");
    }
}

#[test]
fn details_are_tokens() {
    let rows = [
        (Detail::StaleOnFailure, "stale-on-failure"),
        (Detail::Uncacheable, "uncacheable"),
        (Detail::Window, "window"),
        (Detail::Memory, "memory"),
        (Detail::Invalidated, "invalidated"),
        (Detail::Unreachable, "unreachable"),
        (Detail::Timeout, "timeout"),
        (Detail::Queue, "queue"),
    ];
    for (detail, word) in rows {
        assert_eq!(detail.as_str(), word);
        let outcome = Outcome { detail: Some(detail), ..forwarded(ForwardReason::Miss) };
        assert_eq!(written(&outcome, "e", None), format!("e; fwd=miss; detail={word}"));
    }
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    let reasons = [ForwardReason::Bypass, ForwardReason::VaryMiss, ForwardReason::Partial];
    (
        any::<(bool, bool, bool)>(),
        prop::option::of(prop::sample::select(reasons.to_vec())),
        prop::option::of(100..1000_u16),
        any::<Option<i64>>(),
        prop::option::of(Just(Detail::StaleOnFailure)),
    )
        .prop_map(|((hit, stored, collapsed), forward, status, ttl, detail)| Outcome {
            hit,
            forward,
            forward_status: status.map(|status| StatusCode::from_u16(status).unwrap()),
            stored,
            collapsed,
            ttl,
            detail,
        })
}

proptest! {
    #[test]
    fn cache_status_parses_as_a_structured_field(
        outcome in any_outcome(), node in "\\PC{0,8}|[ -~]{1,8}", key in prop::option::of(".{0,12}"),
    ) {
        let key = key.map(|key| CacheKey::from(key.as_bytes()));
        let mut buf = b"Origin; hit, ".to_vec();
        outcome.write_cache_status(&node, key.as_ref(), &mut buf);
        let members = Parser::new(&buf).parse::<List>().unwrap();
        prop_assert_eq!(members.len(), 2);
        let ListEntry::Item(item) = &members[1] else { panic!("an item") };
        let said: String = match &item.bare_item {
            BareItem::Token(token) => token.as_str().to_owned(),
            BareItem::String(text) => text.as_str().to_owned(),
            BareItem::Boolean(_)
            | BareItem::ByteSequence(_)
            | BareItem::Date(_)
            | BareItem::Decimal(_)
            | BareItem::DisplayString(_)
            | BareItem::Integer(_) => panic!("neither token nor string"),
        };
        let printable = |c: char| if matches!(c, ' '..='~') { c } else { '?' };
        prop_assert_eq!(said, node.chars().map(printable).collect::<String>());
        let names: Vec<&str> = item.params.keys().map(|key| key.as_str()).collect();
        let has = |name| names.contains(&name);
        prop_assert_eq!(has("fwd"), outcome.forward.is_some());
        prop_assert_eq!(has("hit"), outcome.hit && outcome.forward.is_none());
        prop_assert_eq!(has("fwd-status"), outcome.forward_status.is_some() && has("fwd"));
        prop_assert_eq!(has("stored"), outcome.stored && has("fwd"));
        prop_assert_eq!(has("collapsed"), outcome.collapsed && has("fwd"));
        prop_assert_eq!(has("ttl"), outcome.ttl.is_some());
        prop_assert_eq!(has("key"), key.is_some());
        prop_assert_eq!(has("detail"), outcome.detail.is_some());
        if let (Some(BareItem::Integer(ttl)), Some(wanted)) = (item.params.get("ttl"), outcome.ttl) {
            prop_assert_eq!(i64::from(*ttl), wanted.clamp(-999_999_999_999_999, 999_999_999_999_999));
        }
    }
}
