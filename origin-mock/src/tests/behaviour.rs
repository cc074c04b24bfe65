//! Status, fields, content, dates, conditionals, ranges and how responses end.

use serde_json::json;

use super::{Client, get, origin_from, origin_of};
use crate::pattern;
use crate::script::{Body, Interim, Pattern, Seed, SeedOf, Step, field, raw_line};

const GET: &str = "GET / HTTP/1.1\r\nHost: o\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn status_line_and_fields_go_out_verbatim_and_in_order() {
    let origin = origin_from(&json!({"otherwise": [{
        "status": 799, "reason": "So So", "version": "HTTP/1.0", "no_date": true,
        "fields": [["B", "1"], ["a", "2"], ["B", "3"], "no colon here", ["X ", "a\r\n fold"],
                   ["Bad", {"hex": "ff00"}]],
        "body": "hi", "close_silently": true,
    }]}));
    let mut client = Client::connect(&origin);
    client.send(GET).await;
    let expected = b"HTTP/1.0 799 So So\r\nB: 1\r\na: 2\r\nB: 3\r\nno colon here\r\nX : a\r\n fold\r\nBad: \xff\x00\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(client.rest().await.escape_ascii().to_string(), expected.escape_ascii().to_string());
}

#[tokio::test(start_paused = true)]
async fn content_comes_from_text_template_octets_or_pattern() {
    let pattern = |seed| Body::Pattern(Pattern { bytes: 200_000, seed });
    let rows = [
        (Body::Text("{n}".into()), b"{n}".to_vec()),
        (Body::Template("{n} {target} {request:host}".into()), b"1 /x o".to_vec()),
        (Body::Octets(vec![0, 255].into()), vec![0, 255]),
        (pattern(Seed::Number(9)), pattern::octets(9, 0, 200_000)),
        (pattern(Seed::Of(SeedOf::Target)), pattern::octets(pattern::seed_of("/x"), 0, 200_000)),
    ];
    for (body, expected) in rows {
        let origin = origin_of([Step { body, ..Step::default() }]);
        assert_eq!(get(&origin, "/x").await.content, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn date_comes_from_the_injected_clock_and_can_be_overridden() {
    let origin = origin_of([
        Step::status(200),
        Step { no_date: true, ..Step::default() },
        Step::status(200).with_field("date", "yesterday"),
        Step::status(200)
            .with_field("Expires", "{date+60}")
            .with_field("Last-Modified", "{date-37}"),
    ]);
    let mut client = Client::connect(&origin);
    assert_eq!(client.get("/").await.field("Date"), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert!(client.get("/").await.fields("Date").is_empty());
    assert_eq!(client.get("/").await.fields("Date"), ["yesterday"]);
    tokio::time::advance(std::time::Duration::from_secs(23)).await;
    let response = client.get("/").await;
    assert_eq!(response.field("Date"), "Sun, 06 Nov 1994 08:50:00 GMT");
    assert_eq!(response.field("Expires"), "Sun, 06 Nov 1994 08:51:00 GMT");
    assert_eq!(response.field("Last-Modified"), "Sun, 06 Nov 1994 08:49:23 GMT");
}

#[tokio::test(start_paused = true)]
async fn validators_are_honoured_when_asked() {
    let step = Step { conditional: true, ..Step::text("content") }
        .with_field("ETag", "\"v{n}\"")
        .with_field("Last-Modified", "Sun, 06 Nov 1994 08:00:00 GMT")
        .with_field("Content-Type", "text/plain")
        .with_field("Content-Location", "/here")
        .with_field("Cache-Control", "max-age=5");
    let origin = origin_of([step]);
    let mut client = Client::connect(&origin);
    let same = client.get_with("/", "If-None-Match: \"v1\"").await;
    assert_eq!((same.status(), same.field("ETag")), (304, "\"v1\""));
    assert_eq!(same.field("Cache-Control"), "max-age=5");
    assert_eq!(same.field("Content-Location"), "/here");
    assert!(same.fields("Content-Type").is_empty() && same.fields("Content-Length").is_empty());
    let other = client.get_with("/", "If-None-Match: \"v1\"").await;
    assert_eq!((other.status(), other.text()), (200, "content"));
    let since = "If-Modified-Since: Sun, 06 Nov 1994 08:00:00 GMT";
    assert_eq!(client.get_with("/", since).await.status(), 304);
    assert_eq!(client.get_with("/", "If-Match: \"v1\"").await.status(), 412);
    let plain = origin_of([Step::text("content").with_field("ETag", "\"v\"")]);
    let mut client = Client::connect(&plain);
    assert_eq!(client.get_with("/", "If-None-Match: \"v\"").await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn ranges_are_honoured_when_asked() {
    let step = Step { ranges: true, ..Step::text("0123456789") }
        .with_field("ETag", "\"v\"")
        .with_field("Content-Type", "text/plain");
    let origin = origin_of([step]);
    let mut client = Client::connect(&origin);
    assert_eq!(client.get("/").await.field("Accept-Ranges"), "bytes");
    let part = client.get_with("/", "Range: bytes=2-4").await;
    assert_eq!(
        (part.status(), part.text(), part.field("Content-Range")),
        (206, "234", "bytes 2-4/10")
    );
    assert_eq!(part.field("Content-Length"), "3");
    let none = client.get_with("/", "Range: bytes=10-").await;
    assert_eq!((none.status(), none.field("Content-Range")), (416, "bytes */10"));
    assert_eq!(none.field("Content-Length"), "0");
    let matching = client.get_with("/", "Range: bytes=0-0\r\nIf-Range: \"v\"").await;
    assert_eq!(matching.status(), 206);
    let other = client.get_with("/", "Range: bytes=0-0\r\nIf-Range: \"w\"").await;
    assert_eq!((other.status(), other.text()), (200, "0123456789"));
    let two = client.get_with("/", "Range: bytes=0-0,-1").await;
    let boundary = two.field("Content-Type").split("boundary=").nth(1).unwrap().to_owned();
    let expected = format!(
        "--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-0/10\r\n\r\n0\r\n\
         --{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 9-9/10\r\n\r\n9\r\n\
         --{boundary}--\r\n"
    );
    assert_eq!((two.status(), two.text()), (206, expected.as_str()));
    assert_eq!(two.fields("Content-Type").len(), 1);
    let plain = origin_of([Step::text("0123456789")]);
    let whole = Client::connect(&plain).get_with("/", "Range: bytes=2-4").await;
    assert_eq!((whole.status(), whole.text()), (200, "0123456789"));
}

#[tokio::test(start_paused = true)]
async fn steps_are_used_in_turn_and_the_last_repeats() {
    let origin = origin_of([Step::status(201), Step::status(202)]);
    let mut client = Client::connect(&origin);
    for expected in [201, 202, 202] {
        assert_eq!(client.get("/").await.status(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn interim_heads_come_before_the_final_one() {
    let interim = [
        Interim {
            status: 103,
            fields: vec![field("Link", "</{n}>")],
            delay: std::time::Duration::ZERO,
        },
        Interim { status: 102, fields: vec![raw_line("odd")], delay: std::time::Duration::ZERO },
    ];
    let origin = origin_of([Step { interim: interim.into(), ..Step::text("x") }]);
    let mut client = Client::connect(&origin);
    client.send(GET).await;
    assert_eq!(client.head().await, "HTTP/1.1 103 Early Hints\r\nLink: </1>\r\n\r\n");
    assert_eq!(client.head().await, "HTTP/1.1 102 Processing\r\nodd\r\n\r\n");
    assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test(start_paused = true)]
async fn gibberish_takes_the_place_of_a_response() {
    let origin = origin_of([Step { gibberish: Some("\u{1}?\r\n\r\n".into()), ..Step::default() }]);
    let mut client = Client::connect(&origin);
    client.send(GET).await;
    assert_eq!(client.rest().await, b"\x01?\r\n\r\n");
}

#[tokio::test(start_paused = true)]
async fn close_is_announced_unless_silent() {
    let silent = Step { close_silently: true, ..Step::text("x") };
    let own = Step { close: true, ..Step::text("x") }.with_field("connection", "close, x");
    let rows =
        [(Step { close: true, ..Step::text("x") }, "close"), (silent, ""), (own, "close, x")];
    for (step, expected) in rows {
        let origin = origin_of([step]);
        let mut client = Client::connect(&origin);
        let response = client.get("/").await;
        assert_eq!(response.fields("Connection").join("|"), expected);
        assert_eq!(client.rest().await, b"");
        assert_eq!(origin.recorder().stats().peers_vanished, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn truncation_and_reset_stop_the_content_short() {
    let rows = [
        (json!({"truncate_after": 4}), "0123"),
        (json!({"reset_after": 4}), "0123"),
        (json!({"truncate_after": 0}), ""),
        (json!({"truncate_after": 4, "framing": "chunked"}), "4\r\n0123\r\n"),
        (json!({"truncate_after": 10, "framing": "chunked"}), "a\r\n0123456789\r\n"),
        (json!({"truncate_after": 99}), "0123456789"),
    ];
    for (mut step, expected) in rows {
        step["body"] = "0123456789".into();
        let origin = origin_from(&json!({"otherwise": [step]}));
        let mut client = Client::connect(&origin);
        client.send(GET).await;
        let head = client.head().await;
        assert!(head.contains("Content-Length: 10") || head.contains("chunked"), "{head}");
        assert_eq!(client.rest_text().await, expected, "{step}");
        assert_eq!(origin.recorder().stats().peers_vanished, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_can_be_cut_short() {
    let origin = origin_of([Step { cut_head_after: Some(12), ..Step::text("x") }]);
    let mut client = Client::connect(&origin);
    client.send(GET).await;
    assert_eq!(client.rest_text().await, "HTTP/1.1 200");
}

#[tokio::test(start_paused = true)]
async fn the_demo_counts_its_requests_page_by_page() {
    let origin = crate::origin::Origin::new(crate::demo::script(), super::clock()).unwrap();
    let mut client = Client::connect(&origin);
    for n in 1..3 {
        for target in ["/", "/style.css", "/validated.txt", "/never-stored.txt", "/slow.txt"] {
            let response = client.get(target).await;
            assert_eq!(response.status(), 200, "{target}");
            assert!(response.text().contains(&format!("request number {n}")), "{target}");
        }
    }
    assert_eq!(client.get_with("/validated.txt", "If-None-Match: \"demo-1\"").await.status(), 304);
    assert_eq!(client.get("/never-stored.txt").await.field("Cache-Control"), "no-store");
    assert_eq!(client.get("/none").await.status(), 404);
}
