//! How HTTP/2 connections end: told first, and then closed whatever the client does.

use super::*;

const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
const GRACE: Duration = Duration::from_secs(2);

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_told_and_closed() {
    let stage = Stage::new();
    let mut client = stage.h2(PROTOCOL_WINDOW).await;
    client.get(1, "/5").await;
    assert_eq!(client.content(1).await, 5);
    let frames = client.rest().await;
    assert!(frames.iter().all(|frame| frame.kind == GOAWAY && frame.code() == 0), "{frames:?}");
    assert!(!frames.is_empty());
    assert_between(client.began.elapsed(), IDLE_TIMEOUT, IDLE_TIMEOUT + GRACE);
    client.served.await.unwrap();
    assert_eq!(stage.hits("idle_timeout"), 1);
}

/// A client that answers no PING never lets a graceful end come to its end.
#[tokio::test(start_paused = true)]
async fn a_client_that_ignores_goaway_is_closed_after_a_grace() {
    let stage = Stage::new();
    let mut client = stage.h2(PROTOCOL_WINDOW).await;
    let mut told = false;
    while let Some(frame) = client.any().await {
        told |= frame.kind == GOAWAY;
    }
    assert!(told);
    assert_between(client.began.elapsed(), IDLE_TIMEOUT, IDLE_TIMEOUT + GRACE);
}

/// A request that is on its way when the client is told to go is still answered.
#[tokio::test(start_paused = true)]
async fn a_drain_answers_what_was_sent_and_closes() {
    let stage = Stage::new();
    let mut client = stage.h2(PROTOCOL_WINDOW).await;
    client.get(1, "/5").await;
    assert_eq!(client.content(1).await, 5);
    stage.drain.start();
    client.get(3, "/6").await;
    let began = Instant::now();
    assert_eq!(client.content(3).await, 6);
    let frames = client.rest().await;
    assert!(frames.iter().all(|frame| frame.kind == GOAWAY), "{frames:?}");
    assert_between(began.elapsed(), Duration::ZERO, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_a_stuck_stream_no_longer_than_write_timeout() {
    let stage = Stage::with(|edge| edge.limits.write_timeout = Duration::from_secs(5));
    let mut client = stage.h2(1).await;
    client.get(1, "/3000").await;
    client.until(DATA).await;
    stage.drain.start();
    let frames = client.rest().await;
    assert!(frames.iter().any(|frame| frame.kind == RST_STREAM), "{frames:?}");
    assert_between(client.began.elapsed(), Duration::from_secs(5), Duration::from_secs(5) + GRACE);
}

/// A long answer that flows is not cut by the grace of a drain.
#[tokio::test(start_paused = true)]
async fn a_drain_lets_a_flowing_answer_end() {
    let stage = Stage::new();
    let mut client = stage.h2(100).await;
    client.get(1, "/5000").await;
    client.until(HEADERS).await;
    stage.drain.start();
    let mut bytes = 0;
    loop {
        let frame = client.next().await.expect("the answer broke off");
        if frame.kind == DATA {
            bytes += frame.payload.len();
            if frame.ends() {
                break;
            }
            sleep_until(Instant::now() + GRACE).await;
            client.open_window(1, 100).await;
        }
    }
    assert_eq!(bytes, 5000);
}

/// RFC 9113 §4.3: a head may come in frames, and a frame in pieces; they have the time of any head.
#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_end_has_header_timeout() {
    const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
    let begun = [0x82, 0x86, 4, 2, b'/', b'9', 1, 1, b'a'];
    for (length, flags) in [(9, END), (100, END | END_HEADERS)] {
        let stage = Stage::new();
        let mut client = stage.h2(PROTOCOL_WINDOW).await;
        client.get(1, "/5").await;
        assert_eq!(client.content(1).await, 5);
        // It counts from the frame.
        let idle = client.began + HEADER_TIMEOUT * 2;
        sleep_until(idle).await;
        client.io.write_all(&[0, 0, length, HEADERS, flags, 0, 0, 0, 3]).await.unwrap();
        client.io.write_all(&begun).await.unwrap();
        let last = client.rest().await.pop().expect("GOAWAY");
        assert_eq!((last.kind, last.code()), (GOAWAY, 0), "{last:?}");
        assert_between(idle.elapsed(), HEADER_TIMEOUT, HEADER_TIMEOUT);
        assert_eq!(stage.hits("header_timeout"), 1);
    }
}

/// Frames that come one after the other have a time each, and content has another.
#[tokio::test(start_paused = true)]
async fn slow_frames_that_end_are_no_slow_head() {
    let stage = Stage::new();
    let mut client = stage.h2(PROTOCOL_WINDOW).await;
    client.get(1, "/5").await;
    assert_eq!(client.content(1).await, 5);
    client.ask_with(3, &[0x83, 0x86], "/6", 0, &[("content-length", "2")]).await;
    client.io.write_all(&[0, 0, 2, DATA, END, 0, 0, 0, 3, b'a']).await.unwrap();
    sleep_until(client.began + Duration::from_secs(15)).await;
    client.io.write_all(b"b").await.unwrap();
    assert_eq!(client.content(3).await, 6);
    let ping = [0, 0, 8, PING, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    client.io.write_all(&ping[..12]).await.unwrap();
    for _ in 0..5 {
        sleep_until(Instant::now() + Duration::from_secs(6)).await;
        // The end of one and the beginning of the next come together.
        client.io.write_all(&[&ping[12..], &ping[..12]].concat()).await.unwrap();
    }
    client.io.write_all(&ping[12..]).await.unwrap();
    client.get(5, "/7").await;
    assert_eq!(client.content(5).await, 7);
    assert_eq!(stage.hits("header_timeout"), 0);
}
