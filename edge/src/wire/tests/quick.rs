//! Answers that go out without hyper, between those that do not.

use super::*;
use crate::wire::{Content, Quick, RawHead, Refusal, Reply, Timeout};

/// Answers `/q<bytes>` from a head alone, in pieces of 100 bytes; everything else is hyper's.
struct Shelf(Arc<Mutex<Vec<Sent>>>);

/// What became of one quick answer.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Sent {
    accepted: usize,
    has_ended: bool,
    is_dropped: bool,
}

struct Pages {
    left: usize,
    place: usize,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Quick for Shelf {
    type Content = Pages;

    fn answer(&mut self, head: &RawHead<'_>) -> Option<Reply<Pages>> {
        let bytes: usize = head.target.strip_prefix("/q")?.parse().ok()?;
        let mut sent = self.0.lock();
        sent.push(Sent::default());
        let mut front = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n").into_bytes();
        let head_bytes = front.len();
        let content = if head.is_head { 0 } else { bytes };
        // Behind some heads stands the first of the content.
        let begun = if bytes % 2 == 1 { content.min(150) } else { 0 };
        front.resize(head_bytes + begun, b'q');
        let content =
            Pages { left: content - begun, place: sent.len() - 1, sent: Arc::clone(&self.0) };
        Some(Reply { front, head_bytes, content })
    }

    fn refused(&mut self, _refusal: Refusal, _head: Option<&[u8]>) -> Told {
        Told::default()
    }

    fn holds(&mut self, _bytes: usize) -> bool {
        true
    }
}

impl Content for Pages {
    fn next(&mut self) -> Option<Bytes> {
        let bytes = self.left.min(100);
        self.left -= bytes;
        (bytes > 0).then(|| Bytes::from(vec![b'q'; bytes]))
    }

    fn accepted(&mut self, bytes: usize) {
        self.sent.lock()[self.place].accepted += bytes;
    }

    fn ended(&mut self) {
        self.sent.lock()[self.place].has_ended = true;
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.sent.lock()[self.place].is_dropped = true;
    }
}

fn start(pipe_bytes: usize) -> (Server, Arc<Mutex<Vec<Sent>>>) {
    let sent = Arc::default();
    (Server::answering(Shelf(Arc::clone(&sent)), limits(), pipe_bytes), sent)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn quick(bytes: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n{}", "q".repeat(bytes))
}

/// However little the socket takes at a time, the same bytes arrive, and each is accounted for.
#[tokio::test(start_paused = true)]
async fn an_answer_is_whole_whatever_the_socket_takes() {
    for pipe_bytes in [1, 7, 99, 100, 101, 1000, 64 * 1024] {
        // Fewer pieces than one write takes, as many, and more.
        for bytes in [0, 1, 100, 799, 800, 801, 2345] {
            let (mut server, sent) = start(pipe_bytes);
            let start = tokio::time::Instant::now();
            server.send(get(&format!("/q{bytes}"))).await;
            let expected = quick(bytes);
            assert_eq!(server.receive(expected.len()).await, expected, "{bytes} by {pipe_bytes}");
            server.send(get("/q3")).await;
            assert_eq!(server.receive(quick(3).len()).await, quick(3));
            assert_eq!(start.elapsed(), Duration::ZERO);
            assert_eq!(sent.lock()[0], Sent { accepted: bytes, has_ended: true, is_dropped: true });
            let stats = server.handle.stats();
            assert_eq!((stats.requests(), stats.responses()), (2, 2));
            assert_eq!(stats.bytes_out(), (expected.len() + quick(3).len()) as u64);
        }
    }
}

/// Whoever answers, responses keep the order of their requests.
#[tokio::test(start_paused = true)]
async fn quick_and_other_answers_keep_their_order() {
    let paths = ["/q5", "/a", "/q700", "/q0", "/b", "/early", "/q1", "/stream", "/q2"];
    for pipe_bytes in [5, 300, 64 * 1024] {
        let (server, sent) = start(pipe_bytes);
        server.release.notify_one();
        let requests: String = paths.iter().map(|path| get(path)).collect();
        let (mut reader, mut writer) = tokio::io::split(server.client);
        let mut received = Vec::new();
        let reading = async {
            while !received.ends_with(quick(2).as_bytes()) {
                received.push(reader.read_u8().await.unwrap());
            }
        };
        let ((), written) = tokio::join!(reading, writer.write_all(requests.as_bytes()));
        written.unwrap();
        let received = String::from_utf8(received).unwrap();
        let mut rest = received.as_str();
        for path in paths {
            let (head, content) = rest.split_once("\r\n\r\n").expect(path);
            assert!(head.starts_with("HTTP/1.1 200 OK"), "{path}: {head}");
            let expected = match path.strip_prefix("/q") {
                Some(bytes) => "q".repeat(bytes.parse().unwrap()),
                None if path == "/early" => "early".to_owned(),
                None if path == "/stream" => {
                    "5\r\npart0\r\n5\r\npart1\r\n5\r\npart2\r\n0\r\n\r\n".to_owned()
                }
                None => format!("GET {path} 0"),
            };
            rest = content.strip_prefix(expected.as_str()).unwrap_or_else(|| panic!("{path}"));
        }
        assert_eq!(rest, "");
        assert_eq!(sent.lock().len(), 5);
        let seen: Vec<_> = server.seen.lock().iter().map(|seen| seen.target.clone()).collect();
        assert_eq!(seen, ["/a", "/b", "/early", "/stream"]);
    }
}

/// RFC 9112 §9.6, §9.3: what ends the connection, brings content or has another form is hyper's.
#[tokio::test(start_paused = true)]
async fn only_plain_requests_are_answered_quickly() {
    for request in [
        "GET /q5 HTTP/1.0\r\nHost: a\r\n\r\n",
        "GET http://a/q5 HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /q5 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /q5 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
        "GET /q5 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let (mut server, sent) = start(64 * 1024);
        server.send(request).await;
        server.receive_until("\r\n\r\n").await;
        assert_eq!(sent.lock().len(), 0, "{request}");
        assert_eq!(server.seen.lock().len(), 1, "{request}");
    }
    let (mut server, sent) = start(64 * 1024);
    server.send("HEAD /q5 HTTP/1.1\r\nHost: a\r\n\r\nGET /q1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = quick(5).replace("qqqqq", "");
    assert_eq!(server.receive_until("\r\n\r\nq").await, head + &quick(1));
    assert_eq!(sent.lock().len(), 2);
}

/// The refusal of the next request waits until the answer has left.
#[tokio::test(start_paused = true)]
async fn a_bad_request_is_refused_after_the_answer_before_it() {
    let (mut server, _sent) = start(64);
    server.send(get("/q500")).await;
    server.send("GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n").await;
    let received = server.receive_all().await;
    let refusal = received.strip_prefix(quick(500).as_str()).expect("the whole answer");
    assert!(refusal.starts_with("HTTP/1.1 400 "), "{refusal}");
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_the_answer_under_way_end() {
    for warm in [false, true] {
        let (mut server, sent) = start(64);
        if warm {
            // hyper has served on this connection: it is idle for hyper while a quick answer leaves.
            server.send(get("/a")).await;
            server.receive_until("GET /a 0").await;
        }
        server.send(get("/q5000")).await;
        let first = server.receive(30).await;
        server.handle.drain();
        let start = tokio::time::Instant::now();
        assert_eq!(first + &server.receive_all().await, quick(5000));
        assert_eq!(start.elapsed(), Duration::ZERO, "and it ends with it");
        assert_eq!(sent.lock()[0], Sent { accepted: 5000, has_ended: true, is_dropped: true });
        assert!(server.outcome.await.unwrap().is_ok());
    }
}

/// RFC 9112 §9.6: nothing told the client that this answer is the last, so what it sends meanwhile must not end it.
#[tokio::test(start_paused = true)]
async fn a_request_behind_an_answer_under_a_drain_does_no_harm() {
    let (mut server, _sent) = start(64);
    server.send(get("/q5000")).await;
    let first = server.receive(30).await;
    server.handle.drain();
    server.send(get("/q3")).await;
    let received = first + &server.receive_all().await;
    let second = received.strip_prefix(quick(5000).as_str()).expect("the whole answer");
    assert!(second.ends_with("GET /q3 0"), "and the next by the other way: {second}");

    let (mut server, _sent) = start(64);
    server.send(get("/q5000")).await;
    let first = server.receive(30).await;
    server.handle.drain();
    assert_eq!(first + &server.receive_all().await, quick(5000));
    let start = tokio::time::Instant::now();
    let late = Duration::from_secs(1);
    assert!(tokio::time::timeout(late, &mut server.outcome).await.is_err(), "it is closed");
    server.send(get("/q3")).await;
    (&mut server.outcome).await.unwrap().unwrap();
    let (lived, deadline) = (start.elapsed(), limits().linger_timeout);
    assert!(lived >= deadline && lived <= deadline + Duration::from_secs(2), "{lived:?}");
    assert_eq!(server.handle.stats().timeout(), None, "it met no limit");
}

/// The grace of a drain is one, whatever comes in it.
#[tokio::test(start_paused = true)]
async fn a_half_head_behind_an_answer_holds_a_drain_for_a_grace() {
    let (mut server, _sent) = start(64);
    server.send(format!("{}GET /q", get("/q5000"))).await;
    let first = server.receive(30).await;
    server.handle.drain();
    let start = tokio::time::Instant::now();
    assert_eq!(first + &server.receive_all().await, quick(5000));
    let (lived, grace) = (start.elapsed(), limits().linger_timeout);
    assert!(lived >= grace && lived <= grace + Duration::from_secs(2), "{lived:?}");
}

/// Nothing tells a client of a quick answer that it was the last, so hyper gives that.
#[tokio::test(start_paused = true)]
async fn what_is_asked_behind_a_drain_is_not_answered_quickly() {
    let (mut server, sent) = start(64 * 1024);
    server.handle.drain();
    server.send(get("/q5")).await;
    assert!(server.receive_all().await.ends_with("GET /q5 0"));
    assert_eq!(sent.lock().len(), 0);
}

/// What hyper would get.
async fn read(io: &mut (impl hyper::rt::Read + Unpin)) -> String {
    let mut room = [0; 1024];
    let mut buf = hyper::rt::ReadBuf::new(&mut room);
    std::future::poll_fn(|cx| {
        hyper::rt::Read::poll_read(std::pin::Pin::new(&mut *io), cx, buf.unfilled())
    })
    .await
    .unwrap();
    String::from_utf8(buf.filled().to_vec()).unwrap()
}

/// RFC 9112 §9.6: an early last response is the last, though the rest of its request comes and more behind it, and
/// whatever hyper does about that.
#[tokio::test(start_paused = true)]
async fn nothing_is_answered_behind_a_last_response() {
    for (last, answers) in [("Connection: close\r\n", 0), ("", 1)] {
        let sent: Arc<Mutex<Vec<Sent>>> = Arc::default();
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        let (deadlines, limits) = (Deadlines::new(Duration::from_secs(1)), Arc::new(limits()));
        let (mut io, handle) = Io::new(server, &[], Shelf(Arc::clone(&sent)), limits, &deadlines);
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
        client.write_all(head.as_bytes()).await.unwrap();
        assert_eq!(read(&mut io).await, head);
        let response = format!("HTTP/1.1 204 No Content\r\n{last}\r\n");
        std::future::poll_fn(|cx| {
            let io = std::pin::Pin::new(&mut io);
            hyper::rt::Write::poll_write(io, cx, response.as_bytes())
        })
        .await
        .unwrap();
        assert_eq!(handle.stats().responses(), 1);
        client.write_all(format!("abc{}", get("/q1")).as_bytes()).await.unwrap();
        assert_eq!(read(&mut io).await, "abc");
        assert_eq!(sent.lock().len(), answers, "{last}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stalls_inside_a_quick_answer_is_cut_off() {
    let (mut server, sent) = start(64);
    server.send(get("/q5000")).await;
    let start = tokio::time::Instant::now();
    assert!((&mut server.outcome).await.unwrap().is_err());
    let (lived, deadline) = (start.elapsed(), limits().write_timeout);
    assert!(lived >= deadline && lived <= deadline + Duration::from_secs(2), "{lived:?}");
    assert_eq!(server.handle.stats().timeout(), Some(Timeout::Write));
    let sent = sent.lock()[0].clone();
    assert!(sent.is_dropped && !sent.has_ended && sent.accepted < 64, "{sent:?}");
}

/// Neither the write deadline nor the next request's runs while bytes leave.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_of_a_quick_answer_gets_everything() {
    let (mut server, _sent) = start(64);
    server.send(get("/q1000")).await;
    let expected = quick(1000);
    let mut received = String::new();
    while received.len() < expected.len() {
        let wait = limits().write_timeout - Duration::from_secs(2);
        tokio::time::sleep_until(tokio::time::Instant::now() + wait).await;
        received += &server.receive((expected.len() - received.len()).min(60)).await;
    }
    assert_eq!(received, expected);
    server.send(get("/q1")).await;
    assert_eq!(server.receive(quick(1).len()).await, quick(1), "the connection goes on");
    assert_eq!(server.handle.stats().timeout(), None);
}

#[tokio::test(start_paused = true)]
async fn abort_ends_a_quick_answer_where_it_is() {
    let (mut server, sent) = start(64);
    server.send(get("/q5000")).await;
    server.receive(30).await;
    server.handle.abort();
    assert!((&mut server.outcome).await.unwrap().is_err());
    assert!(sent.lock()[0].accepted < 5000 && sent.lock()[0].is_dropped);
}

/// A client that ends its own side, or goes away, in the middle of its answer.
#[tokio::test(start_paused = true)]
async fn a_half_closed_client_gets_its_quick_answer() {
    let (mut server, sent) = start(64);
    server.send(get("/q900")).await;
    server.client.shutdown().await.unwrap();
    assert_eq!(server.receive_all().await, quick(900));
    let (mut gone, aborted) = start(64);
    gone.send(get("/q900")).await;
    gone.receive(30).await;
    drop(gone.client);
    assert!(gone.outcome.await.unwrap().is_err());
    assert_eq!(sent.lock()[0].accepted, 900);
    assert!(aborted.lock()[0].is_dropped && aborted.lock()[0].accepted < 900);
}
