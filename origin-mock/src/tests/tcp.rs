//! What only a socket can show: resets, the listener and its end.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::{clock, origin_of};
use crate::listen::Handle;
use crate::origin::{Origin, Settings};
use crate::recorder::Stats;
use crate::script::{Hold, Script, Step};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: o\r\n\r\n";

/// On real time: no test comes near it.
const DEADLINE: Duration = Duration::from_secs(20);

async fn listen(origin: &Origin) -> Handle {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    origin.listen(listener).unwrap()
}

async fn connect(handle: &Handle) -> TcpStream {
    TcpStream::connect(handle.addr()).await.unwrap()
}

/// Everything until the end, and which end it was.
async fn rest(stream: &mut TcpStream) -> (String, Result<(), ErrorKind>) {
    let mut octets = Vec::new();
    let end = timeout(DEADLINE, stream.read_to_end(&mut octets)).await.expect("no end came");
    (String::from_utf8(octets).unwrap(), end.map(|_| ()).map_err(|error| error.kind()))
}

#[tokio::test]
async fn a_scripted_reset_is_a_reset() {
    let origin = origin_of([Step { reset_after: Some(4), ..Step::text("0123456789") }]);
    let handle = listen(&origin).await;
    let mut stream = connect(&handle).await;
    stream.write_all(GET).await.unwrap();
    let (_, end) = rest(&mut stream).await;
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_truncation_is_an_orderly_close_even_over_unread_octets() {
    let origin = origin_of([Step { truncate_after: Some(4), ..Step::text("0123456789") }]);
    let handle = listen(&origin).await;
    let mut stream = connect(&handle).await;
    // More than the origin reads ahead: closing over it would be a reset.
    stream.write_all(&GET.repeat(10_000)).await.unwrap();
    let (octets, end) = rest(&mut stream).await;
    assert!(octets.ends_with("\r\n\r\n0123"), "{octets}");
    assert_eq!(end, Ok(()));
}

#[tokio::test]
async fn a_peer_that_leaves_a_held_request_is_noticed() {
    let origin = origin_of([Step { hold: Some(Hold::Release), ..Step::text("x") }]);
    let handle = listen(&origin).await;
    let mut stream = connect(&handle).await;
    stream.write_all(GET).await.unwrap();
    origin.recorder().wait_until(|stats| stats.held == 1, DEADLINE).await.unwrap();
    drop(stream);
    let gone = |stats: &Stats| stats.peers_vanished == 1 && stats.connections_open == 0;
    origin.recorder().wait_until(gone, DEADLINE).await.unwrap();
}

#[tokio::test]
async fn a_shut_down_origin_leaves_nothing_behind() {
    let origin = origin_of([Step { hold: Some(Hold::Release), ..Step::text("x") }]);
    let handle = listen(&origin).await;
    let mut stream = connect(&handle).await;
    stream.write_all(GET).await.unwrap();
    origin.recorder().wait_until(|stats| stats.held == 1, DEADLINE).await.unwrap();
    let address = handle.addr();
    handle.shutdown().await;
    assert_eq!(rest(&mut stream).await.0, "");
    let closed = |stats: &Stats| stats.connections_open == 0 && stats.held == 0;
    origin.recorder().wait_until(closed, DEADLINE).await.unwrap();
    // Whoever may have the port by now, it is not this origin.
    drop(TcpStream::connect(address).await);
    assert_eq!(origin.recorder().stats().connections_opened, 1);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let settings = Settings { connections_max: 1, ..Settings::default() };
    let script = Script::new().route("/*", [Step::text("x")]);
    let origin = Origin::scripted(script, clock(), settings).unwrap();
    let handle = listen(&origin).await;
    let mut first = connect(&handle).await;
    first.write_all(GET).await.unwrap();
    origin.recorder().wait_for(1, DEADLINE).await.unwrap();
    let mut second = connect(&handle).await;
    second.write_all(GET).await.unwrap();
    // The first one's second request overtakes the waiting connection's first.
    first.write_all(GET).await.unwrap();
    let requests = origin.recorder().wait_for(2, DEADLINE).await.unwrap();
    assert_eq!(requests[0].connection, requests[1].connection);
    drop(first);
    let requests = origin.recorder().wait_for(3, DEADLINE).await.unwrap();
    assert_ne!(requests[0].connection, requests[2].connection);
}
