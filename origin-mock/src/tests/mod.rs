//! The origin's behaviour as a client sees it: a raw client over an in-memory pipe, on paused time.
//!
//! Every wait has a deadline in virtual time, so that a response that never comes fails its test at
//! once.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::clock::{Clock, anchored};
use crate::origin::{Origin, Settings};
use crate::script::{Script, Step};

mod behaviour;
mod control;
mod files;
mod framing;
mod hostile;
mod recording;
mod requests;
mod tcp;
mod timing;

/// Longer than anything that a test waits for on purpose.
const DEADLINE: Duration = Duration::from_secs(10_000);

/// Where every test's clock begins: Sun, 06 Nov 1994 08:49:37 GMT.
fn start() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(784_111_777)
}

fn clock() -> Clock {
    anchored(start())
}

/// An origin whose only route gives these steps.
fn origin_of(steps: impl IntoIterator<Item = Step>) -> Origin {
    Origin::new(Script::new().route("/*", steps), clock()).unwrap()
}

fn origin_from(json: &serde_json::Value) -> Origin {
    let script = Script::parse(json.to_string().as_bytes()).unwrap();
    Origin::scripted(script, clock(), Settings::default()).unwrap()
}

/// One response as it came, and as its framing reads.
#[derive(Debug)]
struct Response {
    head: String,
    content: Vec<u8>,
}

impl Response {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn fields(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    fn field(&self, name: &str) -> &str {
        self.fields(name).first().copied().unwrap_or("")
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.content).unwrap()
    }
}

/// A client that says what it is told and hears what there is.
struct Client {
    io: DuplexStream,
    seen: Vec<u8>,
}

impl Client {
    fn connect(origin: &Origin) -> Self {
        Self::connect_with(origin, 64 * 1024)
    }

    fn connect_with(origin: &Origin, pipe_bytes: usize) -> Self {
        let (io, far) = tokio::io::duplex(pipe_bytes);
        let origin = origin.clone();
        drop(tokio::spawn(async move { origin.serve_connection(far).await }));
        Self { io, seen: Vec::new() }
    }

    async fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.io.write_all(octets.as_ref()).await.unwrap();
    }

    async fn get(&mut self, target: &str) -> Response {
        self.ask(&format!("GET {target} HTTP/1.1\r\nHost: o\r\n\r\n")).await
    }

    async fn get_with(&mut self, target: &str, fields: &str) -> Response {
        self.ask(&format!("GET {target} HTTP/1.1\r\nHost: o\r\n{fields}\r\n\r\n")).await
    }

    async fn ask(&mut self, request: &str) -> Response {
        self.send(request).await;
        let head = self.head().await;
        let bodiless = request.starts_with("HEAD") || head.contains(" 304 ");
        let length = head.to_ascii_lowercase();
        let length = length.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let content = match length {
            Some(length) if !bodiless => self.exactly(length.parse().unwrap()).await,
            _ => Vec::new(),
        };
        Response { head, content }
    }

    /// The next head, its empty line counted.
    async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.seen.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.seen.drain(..end + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            assert!(self.more().await, "the end came before a head: {:?}", self.seen);
        }
    }

    async fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.seen.len() < count {
            assert!(self.more().await, "the end came early");
        }
        self.seen.drain(..count).collect()
    }

    /// Everything until the origin closes.
    async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.seen)
    }

    async fn rest_text(&mut self) -> String {
        String::from_utf8(self.rest().await).unwrap()
    }

    async fn more(&mut self) -> bool {
        let read = self.io.read_buf(&mut self.seen);
        tokio::time::timeout(DEADLINE, read).await.expect("nothing came").unwrap() > 0
    }
}

/// Asks on a connection of its own.
async fn get(origin: &Origin, target: &str) -> Response {
    Client::connect(origin).get(target).await
}
