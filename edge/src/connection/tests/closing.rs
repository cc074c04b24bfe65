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
