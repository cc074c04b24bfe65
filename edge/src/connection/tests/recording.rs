//! What is recorded of an answer: what its client's socket took, whichever way it went.

use std::sync::atomic::Ordering::Relaxed;

use super::*;

/// The two ways of a hit over HTTP/1.1: without hyper, and through it.
const WAYS: [&str; 2] = ["", "Connection: x\r\n"];

fn request(method: &str, way: &str) -> String {
    format!("{method} /1500 HTTP/1.1\r\nHost: a\r\n{way}\r\n")
}

/// Content bytes, and answers that broke off.
fn recorded(stage: &Stage) -> (u64, u64) {
    let snapshot = stage.edge.hall().snapshot.load();
    let site = &snapshot.sites.values().next().unwrap().metrics;
    (site.bytes.sum(0), site.aborted.load(Relaxed))
}

/// A stage that has the answer stored, and how long the head is by this way.
async fn warm(method: &str, way: &str) -> (Stage, usize) {
    let stage = Stage::new();
    let mut client = stage.h1();
    client.send(&request("GET", "")).await;
    client.head().await;
    client.io.read_exact(&mut [0; 1500]).await.unwrap();
    client.send(&request(method, way)).await;
    let head = client.head().await;
    assert!(head.contains("; hit"), "{head}");
    let content = if method == "HEAD" { 0 } else { 1500 };
    client.io.read_exact(&mut vec![0; content]).await.unwrap();
    assert_eq!(recorded(&stage), (1500 + content as u64, 0));
    (stage, head.len())
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_took_is_none() {
    for (method, way) in WAYS.iter().flat_map(|way| [("GET", way), ("HEAD", way)]) {
        let (stage, _) = warm(method, way).await;
        let (bytes, aborted) = recorded(&stage);
        let mut client = stage.h1();
        client.send(&request(method, way)).await;
        drop(client.io);
        client.served.await.unwrap();
        assert_eq!(recorded(&stage), (bytes, aborted + 1), "{method} {way}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_counts_as_far_as_it_was_taken() {
    for way in WAYS {
        let (stage, head_bytes) = warm("GET", way).await;
        let (bytes, aborted) = recorded(&stage);
        let (mut io, served) = stage.connect(700);
        io.write_all(request("GET", way).as_bytes()).await.unwrap();
        io.read_exact(&mut [0; 100]).await.unwrap();
        rest(&stage).await;
        drop(io);
        served.await.unwrap();
        let taken = (800 - head_bytes) as u64;
        assert_eq!(recorded(&stage), (bytes + taken, aborted + 1), "{way}");
    }
}

/// An answer through hyper that has left is recorded by then, before its connection ends.
#[tokio::test(start_paused = true)]
async fn a_whole_answer_is_recorded_with_its_last_byte() {
    let stage = Stage::new();
    for version in ["1.1", "1.0"] {
        let (bytes, _) = recorded(&stage);
        let mut client = stage.h1();
        client.send(&format!("GET /1400 HTTP/{version}\r\nHost: a\r\nConnection: x\r\n\r\n")).await;
        client.head().await;
        client.io.read_exact(&mut [0; 1400]).await.unwrap();
        assert_eq!(recorded(&stage), (bytes + 1400, 0), "{version}");
    }
}

/// What its client was shown is what counts, not what the hallway had to say.
#[tokio::test(start_paused = true)]
async fn a_refusal_inside_content_is_recorded_as_its_client_saw_it() {
    let stage = Stage::new();
    let mut client = stage.h1();
    client.send("POST /4 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n").await;
    client.head().await;
    let content = client.rest().await;
    assert!(content.starts_with("400 Bad Request\nRequest id: "), "{content}");
    drop(client.io);
    client.served.await.unwrap();
    assert_eq!(recorded(&stage), (content.len() as u64, 0));
}
