//! What may be asked: HTTP/2 is read as strictly as HTTP/1.1, and neither serves https over plain text.

use super::*;

/// The first octet of a response's head names the status, if HPACK's table knows it; else the status
/// stands in its text.
async fn status(client: &mut Client, stream: u32) -> String {
    loop {
        let frame = client.next().await.expect("the connection ended");
        if frame.kind != HEADERS || frame.stream != stream {
            continue;
        }
        return match frame.payload[0] {
            0x88 => "200".to_owned(),
            0x8c => "400".to_owned(),
            // A literal with an indexed name, Huffman-coded: three digits are two octets.
            _ => format!("{:x?}", frame.payload.get(2..4)),
        };
    }
}

/// RFC 9113 §8.3.1: what a request line may not hold, a `:path` may not either.
#[tokio::test(start_paused = true)]
async fn h2_targets_are_read_strictly() {
    let stage = Stage::new();
    let mut client = stage.h2(PROTOCOL_WINDOW).await;
    let rows =
        [("/4", "200"), ("*", "400"), ("/|{}", "400"), ("/\\", "400"), ("/c1\u{9b}31m", "400")];
    for (stream, (path, expected)) in (0..).zip(rows) {
        client.get(stream * 2 + 1, path).await;
        assert_eq!(status(&mut client, stream * 2 + 1).await, expected, "{path:?}");
    }
}

/// RFC 9110 §7.4: such a request is misdirected.
#[tokio::test(start_paused = true)]
async fn an_https_target_over_plain_text_is_misdirected() {
    let stage = Stage::new();
    let mut client = stage.h2(PROTOCOL_WINDOW).await;
    // 0x87 is `:scheme: https` in HPACK's static table.
    client.ask_with(1, &[0x82, 0x87], "/4", END, &[]).await;
    // "421" in HPACK's Huffman code.
    assert_eq!(status(&mut client, 1).await, "Some([68, 41])");
    for (target, expected) in [
        ("https://a.example/4", "421"),
        ("http://a.example/4", "200"),
        ("HTTP://a.example/4", "200"),
    ] {
        let mut h1 = stage.h1();
        h1.send(&format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n")).await;
        let head = h1.head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {expected} ")), "{target}: {head}");
    }
}

/// RFC 9110 §10.1.1: who waits for leave gets it once its content is wanted, and only then.
#[tokio::test(start_paused = true)]
async fn a_client_that_expects_leave_to_send_gets_it_once() {
    let stage = Stage::new();
    let mut client = stage.h2(PROTOCOL_WINDOW).await;
    let fields = [("expect", "100-continue"), ("content-length", "5")];
    client.ask_with(1, &[0x83, 0x86], "/7", 0, &fields).await;
    let leave = client.until(HEADERS).await;
    assert!(!leave.ends());
    client.send(DATA, END, 1, b"hello").await;
    let head = client.next().await.expect("an answer");
    assert_eq!(head.kind, HEADERS);
    assert_ne!(head.payload, leave.payload);
    assert_eq!(client.content(1).await, 7);
    // Content that is here needs none.
    client.ask_with(3, &[0x83, 0x86], "/8", 0, &fields).await;
    client.send(DATA, END, 3, b"hello").await;
    assert_eq!(client.until(HEADERS).await.stream, 3);
    assert_eq!(client.next().await.expect("content").kind, DATA);
}

#[tokio::test(start_paused = true)]
async fn early_hints_pass_on_before_the_answer() {
    let stage = Stage::new();
    let mut client = stage.h2(PROTOCOL_WINDOW).await;
    client.get(1, "/hinted").await;
    let hint = client.until(HEADERS).await;
    assert!(!hint.ends());
    let head = client.until(HEADERS).await;
    assert!(head.ends() || client.content(1).await == 0);
    client.get(3, "/hinted").await;
    assert!(client.until(HEADERS).await.ends(), "a hit has no hints");
}

/// RFC 9113 §8.2.3: Cookie may be split for the sake of compression; it is one field all the same.
#[tokio::test(start_paused = true)]
async fn cookie_crumbs_count_as_one_field() {
    let stage = Stage::new();
    let mut client = stage.h2(PROTOCOL_WINDOW).await;
    client.ask_with(1, &[0x82, 0x86], "/1", END, &[("cookie", "a=b"); 120]).await;
    assert_eq!(client.content(1).await, 1);
    assert_eq!(stage.hits("header_count_max"), 0);
    client.ask_with(3, &[0x82, 0x86], "/1", END, &[("x", "a=b"); 120]).await;
    client.until(HEADERS).await;
    assert_eq!(stage.hits("header_count_max"), 1);
}

/// RFC 9113 §8.2.1: such a message is malformed, and its stream ends.
#[tokio::test(start_paused = true)]
async fn values_that_begin_or_end_with_white_space_are_stream_errors() {
    let stage = Stage::new();
    let mut client = stage.h2(PROTOCOL_WINDOW).await;
    for (stream, value) in (1..).step_by(2).zip([" a", "a ", "\ta", "a\t"]) {
        client.ask_with(stream, &[0x82, 0x86], "/1", END, &[("x", value)]).await;
        let frame = client.next().await.expect("a reset");
        assert_eq!((frame.kind, frame.stream, frame.code()), (RST_STREAM, stream, PROTOCOL_ERROR));
    }
    assert_eq!(stage.refused("field_value"), 4);
    assert_eq!(stage.edge.hall().nowhere.statuses.sum(3), 4, "each is recorded");
    client.ask_with(9, &[0x82, 0x86], "/1", END, &[("x", "a b"), ("y", "")]).await;
    assert_eq!(client.content(9).await, 1, "the connection goes on");
}
