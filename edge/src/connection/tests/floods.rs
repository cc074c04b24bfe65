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

/// Each SETTINGS and PING is answered: a client that sends nothing else makes us work for nothing.
#[tokio::test(start_paused = true)]
async fn settings_and_pings_are_limited() {
    let stage = Stage::new();
    for (kind, payload) in [(SETTINGS, &[][..]), (PING, &[0; 8])] {
        let mut client = stage.h2(PROTOCOL_WINDOW).await;
        // The client has begun with SETTINGS of its own.
        for _ in 0..999 {
            client.send(kind, 0, 0, payload).await;
        }
        client.get(1, "/4").await;
        while client.any().await.expect("within the limit").kind != DATA {}
        for _ in 0..10 {
            drop(client.try_send(kind, 0, 0, payload).await);
        }
        let mut last = None;
        while let Some(frame) = client.any().await {
            last = Some(frame);
        }
        let last = last.expect("GOAWAY");
        assert_eq!((last.kind, last.code()), (GOAWAY, ENHANCE_YOUR_CALM), "{last:?}");
        assert_eq!(client.began.elapsed(), Duration::ZERO, "no deadline was needed");
        client.served.await.unwrap();
    }
    assert_eq!(stage.hits("h2_controls_max"), 2);
}

/// A client that measures its bandwidth asks behind each piece of data that it got.
#[tokio::test(start_paused = true)]
async fn a_ping_for_each_data_frame_is_no_flood() {
    let stage = Stage::with(|edge| edge.limits.h2_controls_max = 10);
    let mut client = stage.h2(1 << 30).await;
    client.open_window(0, 1 << 30).await;
    for stream in 0..20 {
        client.get(stream * 2 + 1, "/200000").await;
        let mut bytes = 0;
        while bytes < 200_000 {
            let frame = client.until(DATA).await;
            bytes += frame.payload.len();
            if frame.payload.len() == 16_384 {
                client.send(PING, 0, 0, &[0; 8]).await;
            }
        }
    }
    assert_eq!(stage.hits("h2_controls_max"), 0);
}

/// What was sent long ago is forgiven.
#[tokio::test(start_paused = true)]
async fn a_ping_now_and_then_is_no_flood() {
    let stage = Stage::with(|edge| {
        edge.limits.h2_controls_max = 10;
        edge.limits.idle_timeout = Duration::from_secs(3600);
    });
    let mut client = stage.h2(PROTOCOL_WINDOW).await;
    for _ in 0..100 {
        client.send(PING, 0, 0, &[0; 8]).await;
        sleep_until(Instant::now() + Duration::from_secs(10)).await;
    }
    client.get(1, "/3").await;
    assert_eq!(client.content(1).await, 3);
}
