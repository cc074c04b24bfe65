//! Request content over HTTP/2: how much of it may lie here, and for how long.

use super::*;

/// A client may fill its window while its request waits: every byte of it is charged.
#[tokio::test(start_paused = true)]
async fn unread_content_is_bounded_and_charged() {
    let stage = Stage::new();
    let mut client = stage.h2(PROTOCOL_WINDOW).await;
    let settings = loop {
        let frame = client.any().await.unwrap();
        if frame.kind == SETTINGS && frame.flags & END == 0 {
            break frame.payload;
        }
        assert_ne!((frame.kind, frame.stream), (WINDOW_UPDATE, 0), "no more than the first window");
    };
    let window = settings.chunks(6).find(|setting| setting[..2] == [0, 4]);
    assert!(window.is_none_or(|setting| setting[2..] == PROTOCOL_WINDOW.to_be_bytes()));
    let mut charged = Vec::new();
    for stream in [1, 3, 5] {
        client.ask(stream, 3, "/deaf", 0).await;
        client.send(DATA, 0, stream, &[b'x'; 10_000]).await;
        rest(&stage).await;
        charged.push(stage.charged());
    }
    // The window, and what each exchange with the origin holds.
    let exchange = charged[0] - PROTOCOL_WINDOW as usize;
    assert_eq!(charged[2] - charged[0], 2 * exchange, "one window is charged once: {charged:?}");
    for stream in [1, 3, 5] {
        client.send(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()).await;
    }
    drop(client.io);
    client.served.await.unwrap();
    while stage.charged() >= PROTOCOL_WINDOW as usize {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn content_that_finds_no_memory_is_refused_unseen() {
    let stage = Stage::new();
    let budget = Arc::clone(&stage.edge.hall().room.budget);
    let all = budget.reserve(budget.limit() - 1000).unwrap();
    let mut client = stage.h2(PROTOCOL_WINDOW).await;
    client.ask(1, 3, "/deaf", 0).await;
    let reset = client.until(RST_STREAM).await;
    assert_eq!((reset.stream, reset.code()), (1, REFUSED_STREAM));
    assert_eq!(stage.hits("memory"), 1);
    drop(all);
    client.ask(3, 3, "/9", 0).await;
    client.send(DATA, END, 3, b"content").await;
    assert_eq!(client.content(3).await, 9);
}

/// The library has read a head whole before anybody can refuse it.
#[tokio::test(start_paused = true)]
async fn a_head_is_charged_until_its_request_is_done_with() {
    let stage = Stage::new();
    let budget = Arc::clone(&stage.edge.hall().room.budget);
    let mut client = stage.h2(PROTOCOL_WINDOW).await;
    let before = stage.charged();
    let start = [0x82, 0x86];
    let value = "x".repeat(120);
    let names: Vec<String> = (0..40).map(|n| format!("x-{n}")).collect();
    let fields: Vec<(&str, &str)> = names.iter().map(|name| (&**name, &*value)).collect();
    let long = value.len() * names.len();
    client.ask_with(1, &start, "/deaf", END, &fields).await;
    while stage.charged() < before + long {
        tokio::task::yield_now().await;
    }
    let waiting = stage.charged();
    client.send(RST_STREAM, 0, 1, &CANCEL.to_be_bytes()).await;
    // What goes on without its client is the exchange with the origin.
    while stage.charged() > waiting - long {
        tokio::task::yield_now().await;
    }
    let all = budget.reserve(budget.limit() - budget.used() - long).unwrap();
    client.ask_with(3, &start, "/9", END, &fields).await;
    // 503 as RFC 7541 Appendix A has no index for it: a literal with an indexed name.
    assert_eq!(client.until(HEADERS).await.stream, 3);
    assert_eq!(stage.hits("memory"), 1);
    drop(all);
    client.ask_with(5, &start, "/9", END, &fields).await;
    assert_eq!(client.content(5).await, 9);
}

/// An upload may be as large as it likes: the window opens as it is read.
#[tokio::test(start_paused = true)]
async fn content_that_is_read_opens_the_window() {
    let stage = Stage::new();
    let mut client = stage.h2(PROTOCOL_WINDOW).await;
    let length = 40 * PROTOCOL_WINDOW;
    let start = [0x83, 0x86];
    let fields = [("content-length", &*length.to_string())];
    client.ask_with(1, &start, "/8", 0, &fields).await;
    let (mut room, mut left) = (i64::from(PROTOCOL_WINDOW), length);
    while left > 0 {
        let piece = left.min(16_384).min(u32::try_from(room).unwrap_or_default());
        if piece > 0 {
            left -= piece;
            room -= i64::from(piece);
            let flags = if left == 0 { END } else { 0 };
            client.send(DATA, flags, 1, &vec![b'x'; piece as usize]).await;
            continue;
        }
        let frame = client.any().await.expect("the connection ended");
        if frame.kind == WINDOW_UPDATE && frame.stream == 1 {
            room += i64::from(u32::from_be_bytes(frame.payload.try_into().unwrap()));
        }
    }
    assert_eq!(client.content(1).await, 8);
}

/// One octet now and then would hold an origin's connection for days.
#[tokio::test(start_paused = true)]
async fn trickled_content_is_cut_and_steady_content_is_not() {
    const BODY_TIMEOUT: Duration = Duration::from_secs(30);
    for (piece, pieces, is_cut) in [(1, 40, true), (16_384, 4, false)] {
        let stage = Stage::new();
        let mut client = stage.h2(PROTOCOL_WINDOW).await;
        let length = if is_cut { 100_000 } else { piece * pieces };
        let fields = [("content-length", &*length.to_string())];
        client.ask_with(1, &[0x83, 0x86], "/6", 0, &fields).await;
        let wait = if is_cut { BODY_TIMEOUT / 10 } else { BODY_TIMEOUT * 9 / 10 };
        for _ in 0..pieces {
            sleep_until(Instant::now() + wait).await;
            drop(client.try_send(DATA, 0, 1, &vec![b'x'; piece]).await);
        }
        drop(client.try_send(DATA, END, 1, b"").await);
        let answer = client.until(HEADERS).await;
        // 400 and 200 in HPACK's static table.
        assert_eq!(answer.payload[0], if is_cut { 0x8c } else { 0x88 });
    }
}

/// Whoever likes may break his own upload off; that is no news of the origin's for its operator.
#[tokio::test(start_paused = true)]
async fn a_clients_broken_content_is_no_warning() {
    let told = Told::default();
    let writer = told.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let stage = Stage::with(|edge| edge.limits.body_bytes_max = bytesize::ByteSize::b(100));
    for (content, status) in [("zz\r\n", "400"), ("c8\r\n", "413")] {
        let mut client = stage.h1();
        client
            .send(&format!(
                "POST /4 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{content}{}",
                "x".repeat(200)
            ))
            .await;
        let head = client.head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        client.rest().await;
    }
    assert_eq!(told.text(), "");
}

/// What was logged.
#[derive(Clone, Default)]
struct Told(Arc<parking_lot::Mutex<Vec<u8>>>);

impl Told {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }
}

impl io::Write for Told {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
