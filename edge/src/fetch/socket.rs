//! A TCP connection that can be looked at while somebody else reads it.
//!
//! In: a connection. Out: its bytes, and whether something has come that nobody has read.
//! It knows nothing of what the bytes mean.

use std::{
    io::{self, ErrorKind, IoSlice},
    mem::MaybeUninit,
    net::Shutdown,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// The bytes.
pub(super) struct Socket(Arc<TcpStream>);

/// The look.
pub(super) struct Look(Arc<TcpStream>);

impl Socket {
    pub(super) fn of(stream: TcpStream) -> (Self, Look) {
        let stream = Arc::new(stream);
        (Self(Arc::clone(&stream)), Look(stream))
    }
}

impl Look {
    /// Whether something has come that nobody has read, be it the end.
    pub(super) fn shows_something(&self) -> bool {
        let peeked = SockRef::from(&*self.0).peek(&mut [MaybeUninit::uninit()]);
        !peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
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
        let read = when!(self.0.poll_read_ready(cx), self.0.try_read(buf.initialize_unfilled()));
        Poll::Ready(read.map(|count| buf.advance(count)))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(when!(self.0.poll_write_ready(cx), self.0.try_write(buf)))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(when!(self.0.poll_write_ready(cx), self.0.try_write_vectored(bufs)))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.0).shutdown(Shutdown::Write))
    }
}
