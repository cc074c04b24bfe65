//! The byte stream under HTTP/2, and what passing bytes tell of its client.
//!
//! In: a stream whose preface was read already. Out: the same stream, and [`Traffic`] that any
//! task may read.
//! Always holds: a byte that the stream accepts is the one sign of life of a client that reads; how
//! large the library's frames or our chunks are says nothing. It changes no byte and knows of frames
//! only where they begin (RFC 9113 §4.1).

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::PREFACE;

/// No moment.
pub(super) const NEVER: u64 = u64::MAX;

/// What has passed over one connection.
#[derive(Debug)]
pub(super) struct Traffic {
    started: Instant,
    accepted_bytes: AtomicU64,
    /// Since when the stream has accepted nothing of what waits.
    full_since: AtomicU64,
    /// When it last accepted something after it had been full.
    relieved_at: AtomicU64,
}

impl Traffic {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            accepted_bytes: AtomicU64::new(0),
            full_since: AtomicU64::new(NEVER),
            relieved_at: AtomicU64::new(0),
        }
    }

    /// Milliseconds since the connection began.
    pub(super) fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(NEVER - 1)
    }

    /// Since when the stream has been full, [`NEVER`] while it is not.
    pub(super) fn full_since(&self) -> u64 {
        self.full_since.load(Relaxed)
    }

    /// Since when nothing has waited for room in the stream, [`NEVER`] while something does.
    pub(super) fn free_since(&self) -> u64 {
        if self.full_since() == NEVER { self.relieved_at.load(Relaxed) } else { NEVER }
    }

    fn offered(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let was_full = self.full_since() != NEVER;
        match &polled {
            Poll::Ready(Ok(accepted)) => {
                self.accepted_bytes.fetch_add(*accepted as u64, Relaxed);
                if was_full {
                    self.full_since.store(NEVER, Relaxed);
                    self.relieved_at.store(self.millis(), Relaxed);
                }
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending if was_full => {}
            Poll::Pending => self.full_since.store(self.millis(), Relaxed),
        }
        polled
    }
}

/// A byte stream whose first bytes, the preface, were read already.
pub(super) struct Transport<S> {
    preface: Bytes,
    io: S,
    traffic: Arc<Traffic>,
}

impl<S> Transport<S> {
    /// Gives the preface back to who reads first.
    pub(super) fn new(io: S, traffic: Arc<Traffic>) -> Self {
        Self { preface: Bytes::from_static(PREFACE), io, traffic }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Transport<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.preface.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let length = self.preface.len().min(buf.remaining());
        buf.put_slice(&self.preface.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Transport<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        self.traffic.offered(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.traffic.offered(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
