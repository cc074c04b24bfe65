//! A hit's short way answers what the long way answers (ARCHITECTURE.md *Rooms of the edge*).

use edge_core::settings::EdgeSettings;
use origin_mock::script::{Framing, Script, Step};

use super::stage::{HOST, cacheable, run, stage_with};

/// A field that Connection nominates has to be taken away first: such a request goes the long way.
const LONG_WAY: &str = "Connection: keep-alive, x-nominated\r\nX-Nominated: 1\r\n";

const ASKED: &[(&str, &str)] = &[
    ("GET", ""),
    ("HEAD", ""),
    ("GET", "Connection: keep-alive\r\n"),
    ("GET", "If-None-Match: \"one\"\r\n"),
    ("HEAD", "If-None-Match: \"one\"\r\n"),
    ("GET", "If-None-Match: \"other\"\r\n"),
    ("GET", "If-Match: \"other\"\r\n"),
    ("GET", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n"),
    ("GET", "Range: bytes=2-4\r\n"),
    ("GET", "Range: bytes=-3\r\n"),
    ("GET", "Range: bytes=1000-\r\n"),
    ("GET", "Range: bytes=2-4\r\nIf-Range: \"other\"\r\n"),
    ("GET", "Range: bytes=2-4\r\nIf-None-Match: \"one\"\r\n"),
    ("GET", "Cache-Control: only-if-cached, max-stale\r\n"),
    ("GET", "Accept-Encoding: gzip, br\r\n"),
    ("GET", "X-Forwarded-For: 192.0.2.1\r\n"),
];

fn script() -> Script {
    let tagged = || cacheable("content").with_field("ETag", "\"one\"");
    let said = |step: Step| step.with_field("Cache-Status", "Near; hit").with_field("X-A", "1");
    Script::new()
        .route("/tagged", [tagged()])
        .route("/said", [said(tagged()).with_field("X-A", "2").with_field("Cache-Status", "Far")])
        .route("/chunked", [Step { framing: Framing::Chunked, ..tagged() }])
        .route("/vary", [tagged().with_field("Vary", "Accept-Encoding")])
        .route("/empty", [cacheable("")])
        .route("/204", [Step { status: 204, ..cacheable("") }])
        .route("/404", [Step { status: 404, ..cacheable("gone") }])
        .route("/299", [Step { status: 299, ..cacheable("odd") }])
}

#[test]
fn the_short_way_answers_what_the_long_way_answers() {
    for with_key in [false, true] {
        run(async {
            let edge = EdgeSettings { cache_status_key: with_key, ..EdgeSettings::default() };
            let stage = stage_with(&edge, vec![script()], "");
            for path in ["/tagged", "/said", "/chunked", "/vary", "/empty", "/204", "/404", "/299"]
            {
                stage.get(path).await;
                for (method, fields) in ASKED {
                    let what = format!("{method} {path} {fields:?}");
                    // A variant that nobody has asked for is no hit yet.
                    stage.caller().ask(method, HOST, path, fields).await;
                    let mut answers = Vec::new();
                    for more in ["", LONG_WAY] {
                        let asked = format!("{fields}{more}");
                        let answer = stage.caller().ask(method, HOST, path, &asked).await;
                        let mut head = answer.head.unwrap_or_else(|| panic!("{what}: no head"));
                        for (name, _) in &mut head.fields {
                            name.make_ascii_lowercase();
                        }
                        head.fields.sort();
                        // A status that is registered nowhere has no phrase (RFC 9112 §4).
                        assert_eq!(head.reason.is_empty(), head.status == 299, "{what}");
                        answers.push((head.status, head.reason, head.fields, answer.body));
                    }
                    assert_eq!(answers[0], answers[1], "{what}");
                }
            }
        });
    }
}
