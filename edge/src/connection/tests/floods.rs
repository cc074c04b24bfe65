//! Clients that do much and take nothing (RFC 9113 §10.5).

use super::*;

#[tokio::test(start_paused = true)]
async fn resets_before_the_answer_are_limited() {
    let stage = Stage::with(|edge| edge.limits.h2_resets_max = 5);
    let mut client = stage.h2(PROTOCOL_WINDOW).await;
    for stream in 0..6 {
        client.ask(stream * 2 + 1, 3, "/deaf", 0).await;
        tokio::task::yield_now().await;
        client.send(RST_STREAM, 0, stream * 2 + 1, &CANCEL.to_be_bytes()).await;
    }
    let frames = client.rest().await;
    let last = frames.last().expect("GOAWAY");
    assert_eq!((last.kind, last.code()), (GOAWAY, ENHANCE_YOUR_CALM), "{frames:?}");
    assert_eq!(stage.hits("h2_resets_max"), 1);
    assert_eq!(client.began.elapsed(), Duration::ZERO, "no deadline was needed");
}

#[tokio::test(start_paused = true)]
async fn streams_at_once_are_limited() {
    let stage = Stage::with(|edge| edge.limits.h2_streams_max = 3);
    let mut client = stage.h2(PROTOCOL_WINDOW).await;
    // The client has heard the setting, as RFC 9113 §5.1.2 asks.
    client.get(1, "/1").await;
    assert_eq!(client.content(1).await, 1);
    for stream in [3, 5, 7, 9] {
        client.ask(stream, 3, "/deaf", 0).await;
    }
    let reset = client.until(RST_STREAM).await;
    assert_eq!((reset.stream, reset.code()), (9, REFUSED_STREAM));
}
