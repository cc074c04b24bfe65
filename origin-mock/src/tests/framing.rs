//! Every framing, octet by octet, well-formed and not.

use serde_json::json;

use super::{Client, origin_from};

/// What follows the status line, of a response without a date to this method.
async fn sent(method: &str, mut step: serde_json::Value) -> String {
    step["no_date"] = true.into();
    if step["body"].is_null() {
        step["body"] = "0123456789".into();
    }
    step["close_silently"] = true.into();
    let origin = origin_from(&json!({"otherwise": [step]}));
    let mut client = Client::connect(&origin);
    client.send(format!("{method} / HTTP/1.1\r\nHost: o\r\n\r\n")).await;
    let sent = client.rest_text().await;
    sent.split_once("\r\n").unwrap().1.to_owned()
}

#[tokio::test(start_paused = true)]
async fn framings_are_sent_as_named() {
    let rows = [
        (json!({}), "Content-Length: 10\r\n\r\n0123456789"),
        (
            json!({"framing": "chunked", "chunk_bytes": 4}),
            "Transfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n4\r\n4567\r\n2\r\n89\r\n0\r\n\r\n",
        ),
        (
            json!({"framing": "chunked", "trailers": [["T", "{n}"], "odd"]}),
            "Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\nT: 1\r\nodd\r\n\r\n",
        ),
        (json!({"framing": "chunked", "body": ""}), "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (json!({"framing": "close"}), "\r\n0123456789"),
        (json!({"framing": {"wrong-length": 99}}), "Content-Length: 99\r\n\r\n0123456789"),
        (json!({"framing": {"wrong-length": 3}}), "Content-Length: 3\r\n\r\n0123456789"),
        (
            json!({"framing": "both"}),
            "Content-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n",
        ),
        (
            json!({"framing": "differing-lengths"}),
            "Content-Length: 10\r\nContent-Length: 11\r\n\r\n0123456789",
        ),
        (
            json!({"framing": {"bad-chunk-size": "-5"}, "chunk_bytes": 5}),
            "Transfer-Encoding: chunked\r\n\r\n-5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n",
        ),
        (json!({"fields": [["content-length", " 1 0"]]}), "content-length:  1 0\r\n\r\n0123456789"),
        (
            json!({"framing": "chunked", "fields": [["transfer-encoding", "xchunked"]]}),
            "transfer-encoding: xchunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n",
        ),
    ];
    for (step, expected) in rows {
        assert_eq!(sent("GET", step.clone()).await, expected, "{step}");
    }
}

#[tokio::test(start_paused = true)]
async fn content_is_sent_only_where_it_may_be_unless_told_otherwise() {
    let rows = [
        ("HEAD", json!({}), "Content-Length: 10\r\n\r\n"),
        ("HEAD", json!({"framing": "chunked"}), "Transfer-Encoding: chunked\r\n\r\n"),
        ("GET", json!({"status": 204}), "\r\n"),
        ("GET", json!({"status": 304}), "\r\n"),
        ("GET", json!({"status": 304, "framing": "chunked"}), "\r\n"),
        ("HEAD", json!({"content_anyway": true}), "Content-Length: 10\r\n\r\n0123456789"),
        (
            "GET",
            json!({"status": 204, "content_anyway": true}),
            "Content-Length: 10\r\n\r\n0123456789",
        ),
    ];
    for (method, step, expected) in rows {
        assert_eq!(sent(method, step.clone()).await, expected, "{method} {step}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_delimited_response_closes() {
    let origin = origin_from(&json!({"otherwise": [{"framing": "close", "body": "x"}]}));
    let mut client = Client::connect(&origin);
    client.send("GET / HTTP/1.1\r\n\r\n").await;
    assert!(client.head().await.contains("Connection: close"));
    assert_eq!(client.rest().await, b"x");
}
