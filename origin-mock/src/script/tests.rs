//! The script's JSON form and its checks.

use std::time::Duration;

use super::*;
use crate::raw::Raw;

#[test]
fn every_key_of_a_step_is_read_and_written_back() {
    let json = r#"{
        "routes": [{"path": "/a", "method": "GET", "steps": [{
            "status": 299, "reason": "Fine", "version": "HTTP/1.0",
            "fields": [["A", "b"], ["A", {"hex": "ff0d"}], "no colon"],
            "body": {"pattern": {"bytes": 10, "seed": "target"}},
            "no_date": true, "conditional": true, "ranges": true,
            "interim": [{"status": 103, "fields": [["Link", "</x>"]], "delay": "5ms"}],
            "head_delay": "1s 500ms", "hold": {"joined": 3},
            "pace": {"bytes": 100, "every": "10ms"},
            "framing": {"bad-chunk-size": "zz"}, "chunk_bytes": 7, "trailers": [["T", "t"]],
            "content_anyway": true, "truncate_after": 1, "reset_after": 2, "cut_head_after": 3,
            "gibberish": {"hex": "00"}, "never": true, "close": true, "close_silently": true,
            "expect": "silent", "request_content": "ignored",
            "request_pace": {"bytes": 1, "every": "1ms"}
        }]}],
        "otherwise": [{"body": "text"}, {"body": {"template": "{n}"}}, {"hold": "release"},
                      {"body": {"octets": {"hex": "00ff"}}}]
    }"#;
    let script = Script::parse(json.as_bytes()).unwrap();
    let step = &script.routes[0].steps[0];
    assert_eq!(step.status, 299);
    assert_eq!(step.fields[1], field("A", Raw::from(&b"\xff\r"[..])));
    assert_eq!(step.fields[2], raw_line("no colon"));
    assert_eq!(step.head_delay, Duration::from_millis(1500));
    assert_eq!(step.hold, Some(Hold::Joined(3)));
    assert_eq!(step.framing, Framing::BadChunkSize("zz".into()));
    assert_eq!(script.otherwise[0].body, Body::Text("text".into()));
    let written = serde_json::to_vec(&script).unwrap();
    assert_eq!(Script::parse(&written).unwrap(), script);
}

#[test]
fn framings_have_names() {
    let rows = [
        (r#""content-length""#, Framing::ContentLength),
        (r#""chunked""#, Framing::Chunked),
        (r#""close""#, Framing::Close),
        (r#"{"wrong-length": 5}"#, Framing::WrongLength(5)),
        (r#""both""#, Framing::Both),
        (r#""differing-lengths""#, Framing::DifferingLengths),
    ];
    for (json, expected) in rows {
        assert_eq!(serde_json::from_str::<Framing>(json).unwrap(), expected, "{json}");
    }
}

#[test]
fn what_cannot_work_is_refused_and_named() {
    let rows = [
        (r#"{"paths": []}"#, "unknown field `paths`"),
        (r#"{"routes": [{"path": "/a", "steps": [{"stauts": 200}]}]}"#, "unknown field `stauts`"),
        (r#"{"routes": [{"path": "/a", "steps": []}]}"#, "at least one step"),
        (r#"{"routes": [{"path": "a", "steps": [{}]}]}"#, "begins with"),
        (
            r#"{"routes": [{"path": "/a", "steps": [{}]}, {"path": "/a", "steps": [{}]}]}"#,
            "same path and method",
        ),
        (r#"{"otherwise": [{"pace": {"bytes": 0, "every": "1s"}}]}"#, "0 bytes"),
        (r#"{"otherwise": [{"head_delay": "2days"}]}"#, "at most one day"),
        (r#"{"otherwise": [{"chunk_bytes": 0}]}"#, "at least 1"),
        (r#"{"otherwise": [{"fields": [["a"]]}]}"#, "a field is [name, value]"),
        (r#"{"otherwise": [{"body": {"patern": {}}}]}"#, "unknown variant `patern`"),
        ("{", "EOF"),
        ("{} {}", "trailing characters"),
    ];
    for (json, expected) in rows {
        let error = Script::parse(json.as_bytes()).unwrap_err();
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        let message = format!("{error}: {cause}");
        assert!(message.contains(expected), "{json}: {message}");
    }
}

#[test]
fn what_does_not_parse_is_told_with_its_place() {
    let rows = [
        ("{", "script"),
        (r#"{"routes": 5}"#, "routes"),
        (r#"{"otherwise": [{}, {"chunk_bytes": "many"}]}"#, "otherwise[1].chunk_bytes"),
        (
            r#"{"routes": [{"path": "/a", "steps": [{"stauts": 200}]}]}"#,
            "routes[0].steps[0].stauts",
        ),
    ];
    for (json, place) in rows {
        let error = Script::parse(json.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), format!("{place}: the script does not parse"), "{json}");
    }
}

#[test]
fn the_example_is_a_script() {
    let script = Script::parse(include_bytes!("../../examples/misbehaving.json")).unwrap();
    assert!(script.routes.len() > 10);
}
