//! What a client makes its connection hold before its turn comes is charged, or its client goes.

use super::*;

/// Bytes that would be charged many times, were they charged for each piece.
const LONG: usize = 20_000;
/// What growth by steps may add.
const STEPS: usize = 8192;

fn unfinished() -> String {
    format!("GET /9 HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(LONG))
}

/// Leaves `bytes` of the budget and what requests that wait may not have.
fn leave(stage: &Stage, bytes: usize) -> crate::store::budget::Charge {
    let budget = &stage.edge.hall().room.budget;
    budget.reserve(budget.limit() - budget.limit() / 16 - bytes - budget.used()).unwrap()
}

/// What is charged once a client has sent one and then the other.
async fn charged_for(first: &str, then: &str) -> usize {
    let stage = Stage::new();
    let before = stage.charged();
    let mut client = stage.h1();
    for text in [first, then] {
        client.send(text).await;
        rest(&stage).await;
    }
    stage.charged() - before
}

#[tokio::test(start_paused = true)]
async fn what_comes_before_its_turn_is_charged_once() {
    let waits = "GET /deaf HTTP/1.1\r\nHost: a\r\n\r\n";
    let exchange = charged_for(waits, "").await;
    let (behind, all) = ("G".repeat(LONG), LONG..LONG + STEPS);
    for (first, then, charged) in [
        (unfinished(), "", all.clone()),
        (
            "GET /9 HTTP/1.1\r\n".to_owned(),
            unfinished().strip_prefix("GET /9 HTTP/1.1\r\n").unwrap(),
            all.clone(),
        ),
        ("GET /9 HTTP/1.1\r\n".to_owned(), "", 0..1),
        // What arrived with the request is held, what comes later waits outside.
        (format!("{waits}{behind}"), "", exchange + all.start..exchange + all.end),
        (waits.to_owned(), &behind, exchange..exchange + 1),
    ] {
        let held = charged_for(&first, then).await;
        assert!(charged.contains(&held), "{held} for {} and {}", first.len(), then.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_finds_no_memory_is_refused_and_one_that_ends_gives_it_back() {
    let stage = Stage::new();
    let all = leave(&stage, LONG / 2);
    let mut client = stage.h1();
    client.send(&unfinished()).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("Connection: close"), "{head}");
    client.rest().await;
    client.served.await.unwrap();
    assert_eq!(stage.hits("memory"), 1);
    drop(all);
    let mut client = stage.h1();
    let mut before = 0;
    for _ in 0..2 {
        client.send(&unfinished()).await;
        rest(&stage).await;
        assert!(stage.charged() >= before + LONG);
        client.send("\r\n\r\n").await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 "));
        client.io.read_exact(&mut [0; 9]).await.unwrap();
        rest(&stage).await;
        before = stage.charged();
        assert!(before < LONG, "{before}");
    }
}

/// Nobody else would record it: the hallway has not had its head.
#[tokio::test(start_paused = true)]
async fn a_head_whose_content_finds_no_memory_is_refused_and_recorded() {
    let stage = Stage::new();
    let _all = leave(&stage, LONG / 2);
    let mut client = stage.h1();
    let content = "z".repeat(LONG);
    client
        .send(&format!("POST /4 HTTP/1.1\r\nHost: a\r\nContent-Length: {LONG}\r\n\r\n{content}"))
        .await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("Connection: close"), "{head}");
    client.rest().await;
    drop(client.io);
    client.served.await.unwrap();
    assert_eq!(stage.hits("memory"), 1);
    assert_eq!(stage.edge.hall().nowhere.statuses.sum(4), 1);
}

/// What is behind a request is no reason to leave the request unanswered.
#[tokio::test(start_paused = true)]
async fn an_answer_comes_although_what_follows_its_request_finds_no_memory() {
    let stage = Stage::new();
    // The answer is stored: it asks for no memory.
    let mut client = stage.h1();
    client.send("GET /2500 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.head().await;
    let _all = leave(&stage, LONG / 2);
    let mut client = stage.h1();
    let request = "GET /2500 HTTP/1.1\r\nHost: a\r\nConnection: x\r\n\r\n";
    client.send(&format!("{request}{}", request.repeat(LONG / request.len()))).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains("\r\nconnection: close\r\n"), "{head}");
    assert_eq!(client.rest().await, "x".repeat(2500), "and nothing behind it");
    assert_eq!(client.began.elapsed(), Duration::ZERO, "no deadline had to end it");
    drop(client.io);
    client.served.await.unwrap();
    assert_eq!(stage.hits("memory"), 1);
}

/// A head that has only begun costs what has come of it, which is nothing to speak of.
#[tokio::test(start_paused = true)]
async fn a_short_beginning_of_a_head_is_not_charged() {
    let stage = Stage::new();
    let before = stage.charged();
    let begun = [0x82, 0x86, 4, 2, b'/', b'9', 1, 1, b'a'];
    let mut client = stage.h2(PROTOCOL_WINDOW).await;
    client.send(HEADERS, END, 1, &begun).await;
    rest(&stage).await;
    assert_eq!(stage.charged(), before);
    client.send(9, END_HEADERS, 1, &[]).await;
    assert_eq!(client.content(1).await, 9);
    // A frame that is not whole is kept as it came.
    let before = stage.charged();
    client.io.write_all(&[0, 0x40, 0, HEADERS, END | END_HEADERS, 0, 0, 0, 3]).await.unwrap();
    client.io.write_all(&[0; 9000]).await.unwrap();
    rest(&stage).await;
    assert!((9000..9000 + STEPS).contains(&(stage.charged() - before)));
}

/// A field section that goes on in further frames is kept by the library (RFC 9113 §4.3).
#[tokio::test(start_paused = true)]
async fn a_field_section_that_goes_on_is_charged() {
    let stage = Stage::new();
    let before = stage.charged();
    let mut client = stage.h2(PROTOCOL_WINDOW).await;
    let field = [&[0, 1, b'x', 100][..], &[b'v'; 100]].concat();
    let begin = async |client: &mut Client, stream| {
        let path_and_host = [4, 2, b'/', b'9', 1, 1, b'a'];
        client.send(HEADERS, END, stream, &[&[0x82, 0x86][..], &path_and_host].concat()).await;
        client.send(9, 0, stream, &field.repeat(20)).await;
    };
    begin(&mut client, 1).await;
    rest(&stage).await;
    assert!(stage.charged() >= before + LONG);
    // To the last byte of the last frame, whatever its head has said.
    let last = [&[0, 0, 104, 9, END_HEADERS, 0, 0, 0, 1][..], &field].concat();
    let (octet, most) = last.split_last().unwrap();
    client.io.write_all(most).await.unwrap();
    rest(&stage).await;
    assert!(stage.charged() >= before + LONG);
    client.io.write_all(&[*octet]).await.unwrap();
    assert_eq!(client.content(1).await, 9);
    rest(&stage).await;
    assert!(stage.charged() < before + LONG);
    let _all = leave(&stage, LONG / 2);
    begin(&mut client, 3).await;
    let last = client.rest().await.pop().expect("GOAWAY");
    assert_eq!((last.kind, last.code()), (GOAWAY, ENHANCE_YOUR_CALM), "{last:?}");
    assert_eq!(stage.hits("memory"), 1);
    client.served.await.unwrap();
}

/// Content that belongs to a request is charged with the window; what belongs to none is kept by the
/// library until its frame is whole, like anything else (RFC 9113 §4.1, §6.1).
#[tokio::test(start_paused = true)]
async fn content_that_comes_in_part_is_charged_once() {
    let part = [&[0, 0x40, 0, DATA, 0, 0, 0, 0, 1][..], &[0; 9000]].concat();
    let stage = Stage::new();
    let mut client = stage.h2(PROTOCOL_WINDOW).await;
    rest(&stage).await;
    let before = stage.charged();
    client.io.write_all(&part).await.unwrap();
    rest(&stage).await;
    assert!((9000..9000 + STEPS).contains(&(stage.charged() - before)));

    let stage = Stage::new();
    let mut client = stage.h2(PROTOCOL_WINDOW).await;
    client.ask(1, 3, "/deaf", 0).await;
    rest(&stage).await;
    let before = stage.charged();
    client.io.write_all(&part).await.unwrap();
    rest(&stage).await;
    assert_eq!(stage.charged(), before);
}
