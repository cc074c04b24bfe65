//! Connections as a client sees them: a whole edge over in-memory pipes, and a client that writes
//! HTTP/2 frames by hand.
//!
//! Always holds: the clock is paused and runs to the next deadline when nobody has anything to do, so
//! no test sleeps and each says how long something took.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use edge_core::{settings::EdgeSettings, site::ServerAddress};
use futures_util::future::BoxFuture;
use nearcast_daemon::{
    access_log::AccessLog,
    drain::{Drain, drain},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    runtime::Handle,
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::*;
use crate::{
    Edge, World,
    clock::Clock,
    fetch::{
        FetchError,
        connect::{BoxedIo, Connect, Opened},
        policy::AddressPolicy,
    },
};

mod asking;
mod closing;
mod draining;
mod floods;
mod holding;
mod reading;
mod recording;
mod refusals;
mod sending;

const SETTINGS: u8 = 4;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
/// END_STREAM of DATA and HEADERS, ACK of SETTINGS and PING.
const END: u8 = 1;
const END_HEADERS: u8 = 4;
const PROTOCOL_ERROR: u32 = 1;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;
const REFUSED_STREAM: u32 = 7;

/// Longer than any deadline: what has not come by then never comes.
const PATIENCE: Duration = Duration::from_secs(3600);

const PROTOCOL_WINDOW: u32 = 65_535;

/// An edge whose site answers for every host, and the drain that it obeys.
struct Stage {
    edge: Edge,
    drain: Drain,
}

impl Stage {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(set: impl FnOnce(&mut EdgeSettings)) -> Self {
        let mut settings = EdgeSettings::default();
        set(&mut settings);
        let site = toml::from_str(
            "name = \"www\"\nhosts = [\"*\"]\norigin = { servers = [\"http://origin.example\"] }\n",
        );
        let (drain, draining) = drain();
        let world = World {
            node: Arc::from("test"),
            cdn_id: Arc::from("test"),
            clock: Clock::system(),
            fills: Handle::current(),
            control: Handle::current(),
            connector: Arc::new(Origin),
            workers: 1,
            access_log: AccessLog::off(),
            own_addresses: Vec::new(),
            ledger: Vec::new(),
            draining,
            leased: false,
        };
        let edge = Edge::new(&settings, &[site.unwrap()], world).expect("settings");
        Self { edge, drain }
    }

    /// A pipe to the edge that holds `bytes`, and the task that serves it.
    fn connect(&self, bytes: usize) -> (DuplexStream, JoinHandle<()>) {
        let (near, far) = duplex(bytes);
        let edge = self.edge.clone();
        let client = SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000));
        let served = tokio::spawn(async move { edge.serve_connection(0, far, client).await });
        (near, served)
    }

    async fn h2(&self, window: u32) -> Client {
        self.h2_over(256 * 1024, window).await
    }

    async fn h2_over(&self, pipe_bytes: usize, window: u32) -> Client {
        let (io, served) = self.connect(pipe_bytes);
        let mut client = Client { io, served, began: Instant::now() };
        client.io.write_all(PREFACE).await.unwrap();
        let initial_window = [&[0, 4][..], &window.to_be_bytes()].concat();
        client.send(SETTINGS, 0, 0, &initial_window).await;
        client
    }

    fn h1(&self) -> Plain {
        let (io, served) = self.connect(256 * 1024);
        Plain { io, served, began: Instant::now() }
    }

    fn hits(&self, limit: &str) -> u64 {
        let counts: BTreeMap<_, _> = self.edge.hall().limits.counts();
        counts.get(limit).copied().unwrap_or_default()
    }

    /// Requests that were refused as malformed for this reason.
    fn refused(&self, reason: &str) -> u64 {
        self.edge.hall().refused.counts().get(reason).copied().unwrap_or_default()
    }

    /// Bytes that are charged to the node's budget.
    fn charged(&self) -> usize {
        self.edge.hall().room.budget.used()
    }
}

/// The way to an origin that answers `/<n>` with `n` storable bytes, reads nothing behind the head of
/// a POST to `/deaf`, and answers anything else when its content has come, `/hinted` with a 103
/// before.
struct Origin;

impl Connect for Origin {
    fn connect<'a>(
        &'a self,
        _server: &'a ServerAddress,
        _policy: &'a AddressPolicy,
    ) -> BoxFuture<'a, Result<Opened, FetchError>> {
        let (near, far) = duplex(16 * 1024);
        tokio::spawn(answer(far));
        Box::pin(async move { Ok((Box::new(near) as BoxedIo).into()) })
    }
}

async fn answer(mut io: DuplexStream) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(octet) = io.read_u8().await else { return };
            head.push(octet);
        }
        let head = String::from_utf8(head).unwrap();
        let target = head.split(' ').nth(1).unwrap();
        if target == "/deaf" {
            return std::future::pending().await;
        }
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ").and_then(|n| n.parse().ok()));
        let mut left: usize = length.unwrap_or_default();
        while left > 0 {
            let mut piece = vec![0; left.min(4096)];
            let Ok(read @ 1..) = io.read(&mut piece).await else { return };
            left -= read;
        }
        if target == "/hinted" {
            let hint = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
            if io.write_all(hint.as_bytes()).await.is_err() {
                return;
            }
        }
        let bytes = target.trim_start_matches('/').parse().unwrap_or(0);
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\nCache-Control: max-age=60\r\n\r\n{}",
            "x".repeat(bytes)
        );
        if io.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// A client that speaks HTTP/1.1.
struct Plain {
    io: DuplexStream,
    served: JoinHandle<()>,
    began: Instant,
}

impl Plain {
    async fn send(&mut self, text: &str) {
        self.io.write_all(text.as_bytes()).await.expect("the server reads");
    }

    /// A response's head, to its empty line.
    async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let so_far = String::from_utf8_lossy(&head).into_owned();
            head.push(self.io.read_u8().await.unwrap_or_else(|_| panic!("only {so_far:?}")));
        }
        String::from_utf8(head).unwrap()
    }

    /// Everything to the end of the connection.
    async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        // A reset is an end as well.
        drop(timeout(PATIENCE, self.io.read_to_end(&mut rest)).await.expect("no end"));
        String::from_utf8(rest).unwrap()
    }
}

/// Until nothing moves but time.
async fn rest(stage: &Stage) {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert_eq!(stage.hits("header_timeout"), 0);
}

/// A frame as it came.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    /// The code of RST_STREAM or GOAWAY.
    fn code(&self) -> u32 {
        let from = if self.kind == GOAWAY { 4 } else { 0 };
        let octets = self.payload.get(from..from + 4).expect("a code");
        u32::from_be_bytes(octets.try_into().unwrap())
    }

    fn ends(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END != 0
    }
}

/// A client that does as little as it is told.
struct Client {
    io: DuplexStream,
    served: JoinHandle<()>,
    began: Instant,
}

impl Client {
    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.try_send(kind, flags, stream, payload).await.expect("the server reads");
    }

    async fn try_send(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
    ) -> io::Result<()> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.io.write_all(&[&head, payload].concat()).await
    }

    /// A request; `method` is HPACK's static index of it (2 GET, 3 POST).
    async fn ask(&mut self, stream: u32, method: u8, path: &str, flags: u8) {
        self.ask_with(stream, &[0x80 | method, 0x86], path, flags, &[]).await;
    }

    async fn ask_with(
        &mut self,
        stream: u32,
        start: &[u8],
        path: &str,
        flags: u8,
        fields: &[(&str, &str)],
    ) {
        let mut block = start.to_vec();
        for (index, value) in [(4, path), (1, "a.example")] {
            block.extend_from_slice(&[index, u8::try_from(value.len()).unwrap()]);
            block.extend_from_slice(value.as_bytes());
        }
        for (name, value) in fields {
            block.push(0);
            for text in [name, value] {
                block.push(u8::try_from(text.len()).unwrap());
                block.extend_from_slice(text.as_bytes());
            }
        }
        self.send(HEADERS, flags | END_HEADERS, stream, &block).await;
    }

    async fn get(&mut self, stream: u32, path: &str) {
        self.ask(stream, 2, path, END).await;
    }

    async fn open_window(&mut self, stream: u32, bytes: u32) {
        self.send(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes()).await;
    }

    /// The next frame that is neither SETTINGS nor PING nor WINDOW_UPDATE; `None` at the end.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            let frame = self.any().await?;
            match frame.kind {
                SETTINGS | PING if frame.flags & END == 0 => {
                    let echo = if frame.kind == PING { frame.payload } else { Vec::new() };
                    // The server may be gone by now.
                    drop(self.try_send(frame.kind, END, 0, &echo).await);
                }
                SETTINGS | PING | WINDOW_UPDATE => {}
                _ => return Some(frame),
            }
        }
    }

    /// The next frame of any kind.
    async fn any(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        timeout(PATIENCE, self.io.read_exact(&mut head)).await.expect("no frame, no end").ok()?;
        let [long, middle, short, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, long, middle, short]) as usize];
        self.io.read_exact(&mut payload).await.ok()?;
        Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }

    /// The next frame of `kind`.
    async fn until(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next().await.expect("the connection ended");
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// Everything to the end of the connection.
    async fn rest(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }

    /// Waits for an answer's end and counts its content.
    async fn content(&mut self, stream: u32) -> usize {
        let mut bytes = 0;
        loop {
            let frame = self.next().await.expect("the connection ended");
            assert!(frame.kind != RST_STREAM, "{frame:?}");
            if frame.stream == stream && frame.kind == DATA {
                bytes += frame.payload.len();
            }
            if frame.stream == stream && frame.ends() {
                return bytes;
            }
        }
    }
}

/// Deadlines are looked at once a second, and the end of a grace may be a second look.
fn assert_between(took: Duration, from: Duration, to: Duration) {
    assert!(took >= from, "{took:?} is before {from:?}");
    assert!(took <= to + Duration::from_secs(3), "{took:?} is long after {to:?}");
}
