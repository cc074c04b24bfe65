//! One connection's octets: a bounded inbox over any byte stream.
//!
//! In: a byte stream. Out: octets as they arrive, writes, and the news that the peer is gone.
//! Always holds: at most `inbox_max` octets are kept that nobody has asked for; every wait that goes
//! through [`Wire::until`] ends when the peer leaves.

use std::future::pending;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Octets asked for in one read.
const READ_BYTES: usize = 16 * 1024;

/// The peer left in the middle of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// A byte stream with what came early.
pub(crate) struct Wire<I> {
    io: I,
    /// What has arrived and is not yet used.
    pub(crate) inbox: BytesMut,
    inbox_max: usize,
    ended: bool,
}

impl<I: AsyncRead + AsyncWrite + Unpin> Wire<I> {
    pub(crate) fn new(io: I, inbox_max: usize) -> Self {
        Self { io, inbox: BytesMut::new(), inbox_max, ended: false }
    }

    /// The stream itself.
    pub(crate) fn io(&self) -> &I {
        &self.io
    }

    /// Reads some more; `Gone` at the end of the stream.
    pub(crate) async fn fill(&mut self) -> Result<(), Gone> {
        if self.ended {
            return Err(Gone);
        }
        self.inbox.reserve(READ_BYTES);
        match self.io.read_buf(&mut self.inbox).await {
            Ok(count) if count > 0 => Ok(()),
            _ => {
                self.ended = true;
                Err(Gone)
            }
        }
    }

    /// Waits for the future, unless the peer leaves first. What arrives meanwhile goes into the
    /// inbox. A peer that has only finished sending counts as gone: while an origin makes it wait,
    /// a client that still cares keeps its side open.
    pub(crate) async fn until<T>(&mut self, wait: impl Future<Output = T>) -> Result<T, Gone> {
        tokio::select! {
            biased;
            value = wait => Ok(value),
            gone = self.gone() => Err(gone),
        }
    }

    /// Lets some time pass, unless the peer leaves first. No time at all needs no timer, which would
    /// round it up.
    pub(crate) async fn pause(&mut self, time: Duration) -> Result<(), Gone> {
        if time.is_zero() {
            return Ok(());
        }
        self.until(tokio::time::sleep_until(tokio::time::Instant::now() + time)).await
    }

    async fn gone(&mut self) -> Gone {
        loop {
            if self.inbox.len() >= self.inbox_max {
                return pending().await;
            }
            if let Err(gone) = self.fill().await {
                return gone;
            }
        }
    }

    /// Sends everything.
    pub(crate) async fn write(&mut self, octets: &[u8]) -> Result<(), Gone> {
        let written = async {
            self.io.write_all(octets).await?;
            self.io.flush().await
        };
        written.await.map_err(|_ended| Gone)
    }

    /// Says that nothing more will be sent.
    pub(crate) async fn finish(&mut self) {
        // Whether the peer still hears it makes no difference to this side.
        drop(self.io.shutdown().await);
    }

    /// Throws away what arrives, at most `bytes_max` octets of it, until the peer has finished.
    pub(crate) async fn discard(&mut self, bytes_max: usize) {
        let mut count = 0;
        while count < bytes_max && self.fill().await.is_ok() {
            count += self.inbox.len();
            self.inbox.clear();
        }
    }
}
