//! A server written in Rust: a function from request to reply, over HTTP/1.1.
//!
//! In: connections, a handler. Out: what the handler says, with the faults that it says.
//! Always holds: the handler is asked once per request, when its head and content are complete; a
//! peer that goes away ends the connection at once, even in the middle of a wait.
//! It deliberately shares no code with the edge.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf},
    time::{Instant, sleep_until},
};

use super::Server;

/// Octets written at a time.
const PIECE_OCTETS: usize = 8 * 1024;

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// The target.
    pub target: String,
    /// The fields.
    pub fields: Vec<(String, String)>,
    /// The content.
    pub content: Vec<u8>,
}

impl Asked {
    /// The first value of a field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

/// What is sent back.
#[derive(Debug, Default)]
pub struct Reply {
    /// Waits before the head.
    pub delay: Duration,
    /// The head, up to and with the empty line; empty for a close without a word.
    pub head: Vec<u8>,
    /// The content as it goes out, its coding included.
    pub content: Vec<u8>,
    /// Waits after every piece of content; with a pause there are at least four.
    pub pause: Duration,
    /// Stops after so many octets of content and closes.
    pub cut: Option<usize>,
    /// Closes after the reply.
    pub close: bool,
    /// Told when all went out but its last piece, or the peer had gone.
    pub done: Option<Done>,
}

/// Runs its function when it drops.
pub struct Done(Option<Box<dyn FnOnce() + Send>>);

impl Done {
    /// Runs `then` once, whatever happens.
    pub fn new(then: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(then)))
    }
}

impl std::fmt::Debug for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Done")
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        if let Some(then) = self.0.take() {
            then();
        }
    }
}

/// A server that answers by `handler`.
pub fn server(handler: impl Fn(Asked) -> Reply + Send + Sync + 'static) -> Server {
    let handler = Arc::new(handler);
    Arc::new(move |io| {
        let handler = Arc::clone(&handler);
        Box::pin(async move {
            let (from, to) = tokio::io::split(io);
            let mut line = Line { from, to, buffer: Vec::new() };
            while let Some(asked) = line.request().await {
                if line.answer(handler(asked)).await.is_none() {
                    return;
                }
            }
        })
    })
}

struct Line {
    from: ReadHalf<DuplexStream>,
    to: WriteHalf<DuplexStream>,
    buffer: Vec<u8>,
}

impl Line {
    async fn more(&mut self) -> Option<()> {
        let mut piece = [0; 4096];
        let count = self.from.read(&mut piece).await.ok().filter(|count| *count > 0)?;
        self.buffer.extend_from_slice(piece.get(..count)?);
        Some(())
    }

    async fn request(&mut self) -> Option<Asked> {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            self.more().await?;
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).take(end).collect();
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let mut asked = Asked {
            method: words.next()?.to_owned(),
            target: words.next()?.to_owned(),
            ..Asked::default()
        };
        for line in lines {
            let (name, value) = line.split_once(':')?;
            asked.fields.push((name.to_owned(), value.trim().to_owned()));
        }
        let length = asked.field("content-length").and_then(|value| value.parse::<usize>().ok());
        if let Some(length) = length {
            while self.buffer.len() < length {
                self.more().await?;
            }
            asked.content = self.buffer.drain(..length).collect();
        } else if asked.field("transfer-encoding").is_some() {
            asked.content = self.chunks().await?;
        }
        Some(asked)
    }

    async fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut content = Vec::new();
        loop {
            let end = loop {
                if let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                    break end;
                }
                self.more().await?;
            };
            let line: Vec<u8> = self.buffer.drain(..end + 2).take(end).collect();
            let size = usize::from_str_radix(std::str::from_utf8(&line).ok()?, 16).ok()?;
            while self.buffer.len() < size + 2 {
                self.more().await?;
            }
            content.extend(self.buffer.drain(..size + 2).take(size));
            if size == 0 {
                return Some(content);
            }
        }
    }

    /// Waits; `None` when the peer goes away meanwhile. What it sends early is kept.
    async fn wait(&mut self, time: Duration) -> Option<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            tokio::select! {
                more = self.more() => more?,
                () = sleep_until(until) => {}
            }
        }
        Some(())
    }

    async fn answer(&mut self, reply: Reply) -> Option<()> {
        self.wait(reply.delay).await?;
        if reply.head.is_empty() {
            return None;
        }
        self.send(&reply.head).await?;
        let length = reply.cut.map_or(reply.content.len(), |cut| cut.min(reply.content.len()));
        let mut done = reply.done;
        let mut rest = reply.content.get(..length)?;
        let most =
            if reply.pause.is_zero() { PIECE_OCTETS } else { PIECE_OCTETS.min(length / 4 + 1) };
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(most));
            if after.is_empty() {
                done = None;
            }
            self.send(piece).await?;
            rest = after;
            self.wait(reply.pause).await?;
        }
        drop(done);
        (reply.cut.is_none() && !reply.close).then_some(())
    }

    async fn send(&mut self, octets: &[u8]) -> Option<()> {
        self.to.write_all(octets).await.ok()?;
        self.to.flush().await.ok()
    }
}
