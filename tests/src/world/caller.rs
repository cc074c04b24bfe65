//! A client for tests written in Rust: asks, and reads what comes.
//!
//! In: a pipe to the edge. Out: [`Answer`]s.
//! Always holds: it reads as fast as it is told to; a connection that ends early shows as `cut`.
//! It deliberately judges nothing.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::message::{Answer, Reader, joined};

/// A client's connection, used for one request after the other.
pub struct Caller {
    io: DuplexStream,
    reader: Reader,
}

impl Caller {
    /// A client on a pipe.
    #[must_use]
    pub fn on(io: DuplexStream) -> Self {
        Self { io, reader: Reader::default() }
    }

    /// Sends a request; `None` when the edge has gone.
    pub async fn send(&mut self, method: &str, octets: &[u8]) -> Option<()> {
        self.reader.asked(method);
        self.more(octets).await
    }

    /// Sends further octets.
    pub async fn more(&mut self, octets: &[u8]) -> Option<()> {
        self.io.write_all(octets).await.ok()?;
        self.io.flush().await.ok()
    }

    /// Reads up to `most` octets; how many there were, 0 at the end of the connection.
    pub async fn read(&mut self, most: usize) -> usize {
        let mut octets = vec![0; most];
        let count = self.io.read(&mut octets).await.unwrap_or(0);
        self.reader.feed(octets.get(..count).unwrap_or_default());
        if count == 0 {
            self.reader.end();
        }
        count
    }

    /// The answer to the last request, as far as it has come.
    #[must_use]
    pub fn so_far(&self) -> Option<&Answer> {
        self.reader.answers.last()
    }

    /// What was wrong with the octets.
    #[must_use]
    pub fn fault(&self) -> Option<&str> {
        self.reader.fault.as_deref()
    }

    /// Reads to the end of the answer.
    pub async fn answer(&mut self) -> Answer {
        loop {
            if self.so_far().is_some_and(|answer| answer.ended) || self.fault().is_some() {
                break;
            }
            if self.read(16 * 1024).await == 0 {
                break;
            }
        }
        self.reader.answers.pop().unwrap_or_else(|| Answer { cut: true, ..Answer::default() })
    }

    /// Asks and reads the whole answer.
    pub async fn ask(&mut self, method: &str, host: &str, target: &str, fields: &str) -> Answer {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
        if self.send(method, request.as_bytes()).await.is_none() {
            return Answer { cut: true, ..Answer::default() };
        }
        self.answer().await
    }
}

impl Answer {
    /// The final status; 0 without one.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.as_ref().map_or(0, |head| head.status)
    }

    /// The value of a field of the final head.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<String> {
        joined(&self.head.as_ref()?.fields, name)
    }

    /// Whether content came to its proper end.
    #[must_use]
    pub fn whole(&self) -> bool {
        self.head.is_some() && self.ended && !self.cut
    }
}
