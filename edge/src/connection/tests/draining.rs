//! What an HTTP/1.1 client gets whose node drains.

use super::*;

const GRACE: Duration = Duration::from_secs(2);
const GET: &str = "GET /4 HTTP/1.1\r\nHost: a\r\n\r\n";

/// RFC 9112 §9.5 excuses the close of a connection that was idle, not of one that never had an answer.
#[tokio::test(start_paused = true)]
async fn a_connection_that_was_accepted_has_its_first_request_answered() {
    for sent_before in ["", "GET /", "PRI * HTTP"] {
        for warm in [false, true] {
            let stage = Stage::new();
            if warm {
                // The answer is stored, so that the short way would have it.
                let mut other = stage.h1();
                other.send(GET).await;
                other.head().await;
            }
            let mut client = stage.h1();
            client.send(sent_before).await;
            rest(&stage).await;
            stage.drain.start();
            rest(&stage).await;
            if sent_before.starts_with("PRI") {
                client.send("/2.1\r\n\r\n").await;
                assert!(client.head().await.contains(" 505 "), "it was no preface");
                continue;
            }
            client.send(GET.strip_prefix(sent_before).unwrap()).await;
            let head = client.head().await;
            assert!(head.starts_with("HTTP/1.1 200 "), "{sent_before:?}: {head}");
            assert!(head.contains("\r\nconnection: close\r\n"), "{head}");
            assert_eq!(client.rest().await, "xxxx");
            assert_eq!(client.began.elapsed(), Duration::ZERO);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_asks_nothing_holds_a_drain_for_a_grace() {
    for sent in ["", "G", "P", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\n"] {
        let stage = Stage::new();
        let mut client = stage.h1();
        client.send(sent).await;
        rest(&stage).await;
        stage.drain.start();
        assert_eq!(client.rest().await, "");
        client.served.await.unwrap();
        assert_between(client.began.elapsed(), GRACE, GRACE);
        assert_eq!(stage.hits("header_timeout"), 0, "it met no limit: {sent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_at_once_and_one_that_has_begun_is_not() {
    let stage = Stage::new();
    let (mut idle, mut begun) = (stage.h1(), stage.h1());
    for client in [&mut idle, &mut begun] {
        client.send(GET).await;
        client.head().await;
        let mut content = [0; 4];
        client.io.read_exact(&mut content).await.unwrap();
    }
    begun.send("GET /4 HT").await;
    rest(&stage).await;
    stage.drain.start();
    assert_eq!(idle.rest().await, "");
    assert_eq!(idle.began.elapsed(), Duration::ZERO);
    begun.send("TP/1.1\r\nHost: a\r\n\r\n").await;
    let head = begun.head().await;
    assert!(head.contains("\r\nconnection: close\r\n"), "{head}");
    assert_eq!(begun.rest().await, "xxxx");
}

/// The first head has one `header_timeout` from the accept, however its bytes are spread.
#[tokio::test(start_paused = true)]
async fn the_first_head_has_one_deadline() {
    const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
    for (first, second) in [("P", "OST / HT"), ("G", "ET / HT"), ("P", ""), ("PRI * HTTP/2", "")] {
        let stage = Stage::new();
        let mut client = stage.h1();
        client.send(first).await;
        sleep_until(client.began + HEADER_TIMEOUT * 8 / 10).await;
        client.send(second).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 408 "), "{first:?}: {head}");
        assert_between(client.began.elapsed(), HEADER_TIMEOUT, HEADER_TIMEOUT);
        drop(client.io);
        client.served.await.unwrap();
        assert_eq!(stage.hits("header_timeout"), 1);
    }
}
