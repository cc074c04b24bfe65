//! A TCP connection that can be looked at while somebody else reads it.
//!
//! In: a connection. Out: its bytes, and whether something has come that nobody has read.
//! Always holds: between a question and what is written next, a read brings what has come, also where
//! the runtime has not learnt of it yet.
//! It knows nothing of what the bytes mean.

use std::{
    io::{self, ErrorKind, IoSlice, Read as _},
    mem::MaybeUninit,
    net::Shutdown,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// The bytes.
pub(super) struct Socket {
    stream: Arc<TcpStream>,
    asks: Arc<AtomicBool>,
}

/// The look.
pub(super) struct Look {
    stream: Arc<TcpStream>,
    /// A question is about to be written.
    asks: Arc<AtomicBool>,
    is_plain: bool,
}

impl Socket {
    pub(super) fn of(stream: TcpStream) -> (Self, Look) {
        let (stream, asks) = (Arc::new(stream), Arc::new(AtomicBool::new(false)));
        let look = Look { stream: Arc::clone(&stream), asks: Arc::clone(&asks), is_plain: true };
        (Self { stream, asks }, look)
    }

    /// Reads what has come, whatever the runtime knows of it; nothing where nothing has.
    fn read_at_once(&self, buf: &mut ReadBuf<'_>) -> Option<io::Result<()>> {
        let read = (&*SockRef::from(&*self.stream)).read(buf.initialize_unfilled());
        match read {
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                None
            }
            read => Some(read.map(|count| buf.advance(count))),
        }
    }
}

impl Look {
    /// What comes over the connection is not the far end's own words alone: TLS has some as well.
    pub(super) fn through_tls(mut self) -> Self {
        self.is_plain = false;
        self
    }

    /// Whether something has come that nobody has read, be it the end; where TLS comes between only
    /// reading tells.
    pub(super) fn shows_something(&self) -> bool {
        let peek = || SockRef::from(&*self.stream).peek(&mut [MaybeUninit::uninit()]);
        self.is_plain && !peek().is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// A question is to be written next: what comes before is no answer to it.
    pub(super) fn asks(&self) {
        self.asks.store(true, Ordering::Release);
    }
}

/// Tries again as long as the system has said too early that it may.
macro_rules! when {
    ($ready:expr, $tried:expr) => {
        loop {
            ready!($ready)?;
            match $tried {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                tried => break tried,
            }
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.asks.load(Ordering::Acquire)
            && let Some(read) = self.read_at_once(buf)
        {
            return Poll::Ready(read);
        }
        let stream = &self.stream;
        let read = when!(stream.poll_read_ready(cx), stream.try_read(buf.initialize_unfilled()));
        Poll::Ready(read.map(|count| buf.advance(count)))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.asks.store(false, Ordering::Release);
        Poll::Ready(when!(self.stream.poll_write_ready(cx), self.stream.try_write(buf)))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.asks.store(false, Ordering::Release);
        Poll::Ready(when!(self.stream.poll_write_ready(cx), self.stream.try_write_vectored(bufs)))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.stream).shutdown(Shutdown::Write))
    }
}
