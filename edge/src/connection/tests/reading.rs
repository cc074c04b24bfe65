//! HTTP/2 clients that read slowly, one stream at a time, or not at all.

use super::*;

const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// The last bytes of an answer are watched like the first: all of these fit one chunk.
#[tokio::test(start_paused = true)]
async fn a_client_that_takes_one_byte_of_each_answer_is_reset_and_holds_no_memory() {
    let stage = Stage::new();
    let mut client = stage.h2(1).await;
    for stream in 0..10 {
        client.get(stream * 2 + 1, &format!("/{}", 3000 + stream)).await;
    }
    let frames = client.rest().await;
    let count = |kind| frames.iter().filter(|frame| frame.kind == kind).count();
    assert_eq!(count(HEADERS), 10);
    let taken: usize =
        frames.iter().filter(|frame| frame.kind == DATA).map(|frame| frame.payload.len()).sum();
    assert_eq!(taken, 10);
    assert_eq!(count(RST_STREAM), 10, "{frames:?}");
    assert!(frames.iter().filter(|frame| frame.kind == RST_STREAM).all(|f| f.code() == CANCEL));
    assert!(count(GOAWAY) > 0, "it is told before it is closed");
    assert_between(client.began.elapsed(), WRITE_TIMEOUT * 2, WRITE_TIMEOUT * 3);
    client.served.await.unwrap();
    assert_eq!(stage.hits("write_timeout"), 10);
    assert_eq!(stage.hits("idle_timeout"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_a_byte_now_and_then_is_not_cut() {
    let stage = Stage::new();
    let mut client = stage.h2(1).await;
    client.get(1, "/20").await;
    let mut bytes = 0;
    while bytes < 20 {
        let frame = client.until(DATA).await;
        bytes += frame.payload.len();
        sleep_until(Instant::now() + WRITE_TIMEOUT / 2).await;
        client.open_window(1, 1).await;
    }
    assert_eq!(stage.hits("write_timeout"), 0);
    assert!(client.began.elapsed() > WRITE_TIMEOUT * 9);
}

/// Bytes that the socket accepts are the sign of life, not an answer to a PING behind them.
#[tokio::test(start_paused = true)]
async fn a_slow_but_steady_reader_gets_everything() {
    let stage = Stage::new();
    let mut client = stage.h2_over(4096, 1 << 30).await;
    client.open_window(0, 1 << 30).await;
    client.get(1, "/300000").await;
    let mut received = 0;
    while received < 300_000 {
        sleep_until(Instant::now() + WRITE_TIMEOUT / 6).await;
        let mut piece = [0; 1024];
        match client.io.read(&mut piece).await {
            Ok(read @ 1..) => received += read,
            ended => panic!("{ended:?} after {received} bytes"),
        }
    }
    assert_eq!(stage.hits("write_timeout"), 0);
}

/// RFC 9113 §5.2: a client may leave one stream alone and go on with another.
#[tokio::test(start_paused = true)]
async fn a_stream_that_stands_still_is_reset_alone() {
    let stage = Stage::new();
    let mut client = stage.h2(1000).await;
    client.open_window(0, 1 << 30).await;
    client.get(1, "/5000").await;
    client.get(3, "/200000").await;
    let (mut bytes, mut reset) = (0, None);
    loop {
        let frame = client.next().await.expect("the connection ended");
        match (frame.stream, frame.kind) {
            (1, RST_STREAM) => reset = Some((frame.code(), client.began.elapsed())),
            (3, DATA) => {
                bytes += frame.payload.len();
                if frame.ends() {
                    break;
                }
                sleep_until(Instant::now() + WRITE_TIMEOUT / 30).await;
                client.open_window(3, 1000).await;
            }
            (3, RST_STREAM) => panic!("its neighbour was reset"),
            _ => {}
        }
    }
    assert_eq!(bytes, 200_000, "its neighbour is whole");
    let (code, took) = reset.expect("a reset");
    assert_eq!(code, CANCEL);
    // It is read behind the frames of the other.
    assert_between(took, WRITE_TIMEOUT, WRITE_TIMEOUT + WRITE_TIMEOUT / 6);
    assert_eq!(stage.hits("write_timeout"), 1);
    client.get(5, "/7").await;
    assert_eq!(client.content(5).await, 7, "the connection goes on");
}

/// Streams wait behind a full socket: none of them stands still by its own client's will.
#[tokio::test(start_paused = true)]
async fn streams_behind_a_slow_socket_are_not_reset() {
    let stage = Stage::new();
    let mut client = stage.h2_over(2048, 1 << 30).await;
    client.open_window(0, 1 << 30).await;
    for stream in [1, 3, 5, 7, 9] {
        client.get(stream, "/60000").await;
    }
    let (mut buffer, mut received) = (vec![0; 700], 0);
    while received < 300_000 {
        sleep_until(Instant::now() + WRITE_TIMEOUT / 8).await;
        match client.io.read(&mut buffer).await {
            Ok(read @ 1..) => received += read,
            ended => panic!("{ended:?} after {received} bytes"),
        }
    }
    assert_eq!(stage.hits("write_timeout"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_at_all_is_closed() {
    let stage = Stage::new();
    let mut client = stage.h2_over(2048, 1 << 30).await;
    client.get(1, "/60000").await;
    timeout(PATIENCE, &mut client.served).await.expect("it stays open").unwrap();
    assert_between(client.began.elapsed(), WRITE_TIMEOUT, WRITE_TIMEOUT);
    assert_eq!(stage.hits("write_timeout"), 1);
}

/// What never reached the client is not counted as sent.
#[tokio::test(start_paused = true)]
async fn a_reset_answer_is_recorded_as_aborted() {
    let stage = Stage::new();
    let mut client = stage.h2(100).await;
    client.get(1, "/5000").await;
    client.until(RST_STREAM).await;
    let snapshot = stage.edge.hall().snapshot.load();
    let metrics = &snapshot.sites.values().next().unwrap().metrics;
    tokio::task::yield_now().await;
    assert_eq!(metrics.aborted.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert_eq!(metrics.bytes.sum(0), 100);
}
