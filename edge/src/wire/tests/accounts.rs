//! What is told of a response once it is over.

use super::*;
use crate::wire::{Account, Refusal, Sent};

struct Page(Arc<Mutex<Vec<Sent>>>);

impl Account for Page {
    fn settle(self: Box<Self>, sent: &Sent) {
        self.0.lock().push(sent.clone());
    }
}

/// A server that has had `request`, and what its account is told.
async fn asked(request: &str, pipe_bytes: usize) -> (Server, Arc<Mutex<Vec<Sent>>>) {
    let mut server = Server::with(limits(), pipe_bytes);
    server.send(request).await;
    while server.targets().is_empty() {
        tokio::task::yield_now().await;
    }
    let told: Arc<Mutex<Vec<Sent>>> = Arc::default();
    server.handle.account(Box::new(Page(Arc::clone(&told))));
    assert!(told.lock().is_empty(), "it is not over");
    (server, told)
}

fn only(told: &Mutex<Vec<Sent>>) -> Sent {
    let [sent] = &told.lock()[..] else { panic!("it is not told, or twice") };
    sent.clone()
}

#[tokio::test(start_paused = true)]
async fn a_response_is_told_with_its_last_byte() {
    for (request, end, content_bytes) in [
        ("GET /held HTTP/1.1\r\nHost: a\r\n\r\n", "GET /held 0", 11),
        ("HEAD /held HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n\r\n", 0),
        ("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n", "0\r\n\r\n", 15),
    ] {
        let (mut server, told) = asked(request, 64 * 1024).await;
        server.release.notify_one();
        server.receive_until(end).await;
        let sent = only(&told);
        assert_eq!((sent.content_bytes, sent.is_complete), (content_bytes, true), "{request}");
        // Too late to wait for.
        server.handle.account(Box::new(Page(Arc::clone(&told))));
        assert_eq!(told.lock()[1].content_bytes, content_bytes);
        server.send("GET /b HTTP/1.1\r\nHost: a\r\n\r\n").await;
        server.receive_until("GET /b 0").await;
        assert_eq!(told.lock().len(), 2);
    }
}

/// RFC 9112 §6.3: what the connection's end delimits is whole once we have ended it.
#[tokio::test(start_paused = true)]
async fn a_response_to_the_end_of_the_connection_is_told_then() {
    let (mut server, told) = asked("GET /stream HTTP/1.0\r\nHost: a\r\n\r\n", 64 * 1024).await;
    server.release.notify_one();
    assert!(server.receive_all().await.ends_with("\r\n\r\npart0part1part2"));
    server.outcome.await.unwrap().unwrap();
    let sent = only(&told);
    assert_eq!((sent.content_bytes, sent.is_complete), (15, true));
}

#[tokio::test(start_paused = true)]
async fn a_response_that_breaks_off_is_told_as_far_as_it_went() {
    for (method, content) in [("GET", true), ("HEAD", false)] {
        let request = format!("{method} /held HTTP/1.1\r\nHost: a\r\n\r\n");
        let (mut server, told) = asked(&request, 32).await;
        server.release.notify_one();
        let head = server.receive(20).await;
        assert!(head.starts_with("HTTP/1.1 200 OK"));
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        drop(server.client);
        assert!(server.outcome.await.unwrap().is_err());
        let sent = only(&told);
        assert!(!sent.is_complete && sent.content_bytes < 11, "{content}: {sent:?}");
    }
}

/// One exchange is one account: its client has seen the refusal and nothing else.
#[tokio::test(start_paused = true)]
async fn a_refusal_inside_content_takes_the_place_of_the_response() {
    let post = "POST /in HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (mut server, told) = asked(post, 64 * 1024).await;
    server.send("zz\r\n").await;
    let page = server.receive_all().await;
    drop(server.client);
    drop(server.outcome.await);
    let sent = only(&told);
    assert_eq!(sent.refused, Some((Refusal::Chunk, None)));
    let content = page.split_once("\r\n\r\n").unwrap().1;
    assert_eq!((sent.content_bytes, sent.is_complete), (content.len() as u64, true));
}
