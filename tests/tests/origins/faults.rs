//! Origins that break the protocol, or speak an old one.

use nearcast_tests::world::{caller::Caller, rest};
use origin_mock::script::{Framing, Interim, Script, Step, field, raw_line};

use super::stage::{HOST, Stage, cacheable, run, stage};

/// What follows the fault under the same URL; it is seen only if the fault was not stored.
const AFTER: &str = "after";

fn staged(fault: Step) -> Stage {
    stage(vec![Script::new().route("/*", [fault, cacheable(AFTER)])], "retry_percent = 0")
}

/// A response in chunks that says this of its codings, and ends with its connection.
fn coded(codings: &str) -> Step {
    Step { framing: Framing::Chunked, close: true, ..cacheable("x") }
        .with_field("Transfer-Encoding", codings)
}

#[test]
fn what_is_no_http_is_502_and_never_stored() {
    let huge = (0..2000).map(|n| field(format!("X-{n}"), "x".repeat(100))).collect::<Vec<_>>();
    let many = (0..300).map(|n| field(format!("X-{n}"), "x")).collect::<Vec<_>>();
    let rows = [
        ("both lengths", Step { framing: Framing::Both, ..cacheable("x") }),
        ("differing lengths", Step { framing: Framing::DifferingLengths, ..cacheable("x") }),
        (
            "gibberish",
            Step { gibberish: Some("\u{1}\u{2}nonsense\r\n\r\n".into()), ..Step::default() },
        ),
        (
            "101",
            Step::status(101).with_field("Upgrade", "chat").with_field("Connection", "upgrade"),
        ),
        ("a huge head", Step { fields: huge, ..cacheable("x") }),
        ("too many fields", Step { fields: many, ..cacheable("x") }),
        ("half a head", Step { cut_head_after: Some(20), ..cacheable("x") }),
        ("a bad line", Step { fields: vec![raw_line("no colon")], ..cacheable("x") }),
        ("a length that is none", cacheable("x").with_field("Content-Length", "1x")),
        ("a negative length", cacheable("x").with_field("Content-Length", "-1")),
        ("an unknown coding", cacheable("x").with_field("Transfer-Encoding", "gzip")),
        ("a coding below chunked", coded("gzip, chunked")),
        ("a coding above chunked", coded("chunked, gzip")),
        ("chunked twice", coded("chunked, chunked")),
        ("chunked in two lines", coded("chunked").with_field("Transfer-Encoding", "chunked")),
        ("almost chunked", coded("xchunked")),
        ("the coding that is none any more", coded("identity")),
        ("a coding in HTTP/1.0", Step { version: Some("HTTP/1.0".into()), ..coded("chunked") }),
    ];
    for (name, fault) in rows {
        run(async {
            let stage = staged(fault);
            let answer = stage.get("/x").await;
            assert_eq!(answer.status(), 502, "{name}: {answer:?}");
            assert!(answer.whole(), "{name}");
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            assert!(text.contains("Request id"), "{name}: {text}");
            assert!(!text.contains("http://a") && !text.contains("hyper"), "{name}: {text}");
            assert_eq!(stage.get("/x").await.body, AFTER.as_bytes(), "{name}");
        });
    }
}

#[test]
fn content_that_breaks_off_is_seen_as_broken_and_never_stored() {
    let text = "0123456789".repeat(50);
    let chunked = || Step { framing: Framing::Chunked, ..cacheable(&text) };
    let rows = [
        ("a bad chunk", Step { framing: Framing::BadChunkSize("xyz".into()), ..cacheable(&text) }),
        (
            "a length not met",
            Step { framing: Framing::WrongLength(600), close: true, ..cacheable(&text) },
        ),
        ("cut in the middle", Step { truncate_after: Some(100), ..cacheable(&text) }),
        ("reset in the middle", Step { reset_after: Some(100), ..cacheable(&text) }),
        ("chunks cut", Step { truncate_after: Some(100), ..chunked() }),
        ("chunks reset", Step { reset_after: Some(100), ..chunked() }),
        ("no last chunk", Step { truncate_after: Some(500), ..chunked() }),
    ];
    for (name, fault) in rows {
        run(async {
            let stage = staged(fault);
            let answer = stage.get("/x").await;
            assert!(answer.status() == 502 || !answer.whole(), "{name}: {answer:?}");
            assert!(answer.status() != 200 || text.as_bytes().starts_with(&answer.body), "{name}");
            assert_eq!(stage.get("/x").await.body, AFTER.as_bytes(), "{name}");
        });
    }
}

/// A client chooses the URL, and so may choose the answer: it must not choose whether others are served.
#[test]
fn an_answer_that_cannot_be_taken_leaves_no_server_out() {
    let huge = (0..2000).map(|n| field(format!("X-{n}"), "x".repeat(100))).collect::<Vec<_>>();
    let rows = [
        ("both lengths", Step { framing: Framing::Both, ..cacheable("x") }, false),
        ("differing lengths", Step { framing: Framing::DifferingLengths, ..cacheable("x") }, false),
        ("an unknown coding", cacheable("x").with_field("Transfer-Encoding", "gzip"), false),
        ("a huge head", Step { fields: huge, ..cacheable("x") }, false),
        ("a bad line", Step { fields: vec![raw_line("no colon")], ..cacheable("x") }, false),
        (
            "a bad chunk",
            Step { framing: Framing::BadChunkSize("xyz".into()), ..cacheable("x") },
            false,
        ),
        ("a 304 to no condition", Step::status(304), false),
        (
            "gibberish",
            Step { gibberish: Some("SSH-2.0-x\r\n\r\n".into()), ..Step::default() },
            true,
        ),
        ("half a head", Step { cut_head_after: Some(20), ..cacheable("x") }, true),
        ("no answer", Step { cut_head_after: Some(0), ..cacheable("x") }, true),
        ("half a content", Step { truncate_after: Some(1), ..cacheable("xyz") }, true),
    ];
    for (name, fault, is_left_out) in rows {
        run(async {
            let script = Script::new().route("/bad*", [fault]).route("/*", [cacheable("x")]);
            let stage = stage(vec![script], "ejection_failures = 3\nretry_percent = 0");
            for number in 0..3 {
                let answer = stage.get(&format!("/bad/{number}")).await;
                assert!(answer.status() == 502 || !answer.whole(), "{name}: {answer:?}");
            }
            rest().await;
            let snapshot = stage.world.edge.hall().snapshot.load();
            let entry = snapshot.sites.values().next().unwrap();
            assert_eq!(entry.pool.is_down(), is_left_out, "{name}");
        });
    }
}

#[test]
fn an_old_origin_is_understood() {
    run(async {
        let old = Step {
            version: Some("HTTP/1.0".into()),
            framing: Framing::Close,
            ..cacheable("until the close")
        };
        let stage = staged(old);
        let answer = stage.get("/x").await;
        assert_eq!((answer.status(), &answer.body[..]), (200, &b"until the close"[..]));
        assert!(answer.whole());
        let again = stage.get("/x").await;
        assert_eq!(again.body, b"until the close");
        assert!(again.field("cache-status").unwrap().contains("hit"));
        assert_eq!(stage.asked(0), 1);
    });
}

#[test]
fn early_hints_pass_on_and_are_not_stored() {
    run(async {
        let hint = Interim {
            status: 103,
            fields: vec![field("Link", "</style.css>; rel=preload")],
            delay: std::time::Duration::ZERO,
        };
        let stage = staged(Step { interim: vec![hint], ..cacheable("page") });
        let answer = stage.get("/x").await;
        assert_eq!(answer.interim.iter().map(|head| head.status).collect::<Vec<_>>(), [103]);
        assert_eq!(answer.body, b"page");
        let again = stage.get("/x").await;
        assert!(again.interim.is_empty() && again.field("cache-status").unwrap().contains("hit"));
    });
}

#[test]
fn leave_to_send_content_comes_exactly_once() {
    run(async {
        let stage = stage(vec![Script::new().route("/*", [Step::text("thanks")])], "");
        let mut caller: Caller = stage.caller();
        let head = format!(
            "POST /x HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        );
        caller.send("POST", head.as_bytes()).await;
        while caller.so_far().is_none_or(|answer| answer.interim.is_empty()) {
            assert!(caller.read(1024).await > 0);
        }
        caller.more(b"hello").await;
        let answer = caller.answer().await;
        assert_eq!(answer.interim.iter().map(|head| head.status).collect::<Vec<_>>(), [100]);
        assert_eq!((answer.status(), &answer.body[..]), (200, &b"thanks"[..]));
        assert_eq!(stage.origin(0).recorder().requests()[0].content.as_bytes(), b"hello");
    });
}
