//! The stream that hyper reads requests from and writes responses to.
//!
//! In go a socket and its limits, out go hyper's `Read` and `Write`. Reading hands hyper one checked request at a
//! time; writing follows the response, puts interim responses and refusals between responses, and counts. When
//! something ends the connection, hyper sees the end of the stream (or, inside a request, an error), and the last
//! response is written and lingered over in `poll_shutdown` (RFC 9112 §9.6). A client that ends its side while it waits
//! for a response has gone, whatever it sent before that nobody has read.
//!
//! What always holds: a request's head reaches hyper only when the exchange before it is complete; nothing is written
//! inside a response; `held` is bounded by the head's limit and one read.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};

use super::{
    deadlines::Deadlines,
    handle::Handle,
    incoming::{End, Incoming},
    intake::Stage,
    limits::Limits,
    outgoing::Outgoing,
    quick::{Quick, Sending},
    refusal::Timeout,
    shared::{ABORT, CLOSE, DRAIN, EXPIRED, INTERIM, Shared},
    stream::Stream,
};

/// hyper's own interim response, written when the service first asks for content that the client holds back.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// So many bytes of a head and content go out in one piece: the kernel takes one for less than several.
const JOINED_BYTES_MAX: usize = 2048;

/// The connection I/O. `S` is a TCP or TLS stream, or a pipe in tests; `Q` answers what needs no hyper.
pub struct Io<S, Q: Quick> {
    pub(super) stream: S,
    pub(super) quick: Q,
    /// An answer of `quick` that is being written.
    pub(super) sending: Option<Sending<Q::Content>>,
    /// No hyper reads now.
    pub(super) is_alone: bool,
    pub(super) limits: Arc<Limits>,
    pub(super) deadlines: Deadlines,
    pub(super) place: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) waker: Option<Waker>,
    pub(super) incoming: Incoming,
    pub(super) outgoing: Outgoing,
    pub(super) exchange: u64,
}

impl<S, Q: Quick> Io<S, Q> {
    /// The I/O of a connection that was accepted and of which `received` was read already, to tell HTTP/2 from
    /// HTTP/1; and the caller's grip on it.
    pub fn new(
        stream: S,
        received: &[u8],
        quick: Q,
        limits: Arc<Limits>,
        deadlines: &Deadlines,
    ) -> (Self, Handle) {
        let shared = Arc::new(Shared::new(limits.interim_bytes_max));
        shared.stats.count_in(received.len());
        let handle = Handle::new(Arc::clone(&shared));
        let mut io = Self {
            stream,
            quick,
            sending: None,
            is_alone: false,
            deadlines: deadlines.clone(),
            place: deadlines.enter(Arc::clone(&shared)),
            shared,
            waker: None,
            incoming: Incoming::new(received),
            outgoing: Outgoing::new(),
            exchange: 0,
            limits,
        };
        io.arm(Timeout::Header);
        (io, handle)
    }

    /// The accept was `ago`: what the first bytes took is taken from the first head's time.
    pub fn accepted_before(&mut self, ago: Duration) {
        let left = self.limits.header_timeout.saturating_sub(ago);
        self.shared.set_read_deadline(self.deadlines.after(left));
    }

    /// Registers the task that polls, and looks at what others want of it.
    pub(super) fn attend(&mut self, cx: &Context<'_>) -> io::Result<()> {
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.shared.register(cx.waker());
            self.waker = Some(cx.waker().clone());
        }
        match self.shared.attention() {
            0 => Ok(()),
            wishes => self.attend_to(wishes),
        }
    }

    #[cold]
    fn attend_to(&mut self, wishes: u8) -> io::Result<()> {
        if wishes & ABORT != 0 {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if wishes & EXPIRED != 0 {
            self.shared.attended(EXPIRED);
            let (read, write) = self.shared.overdue(self.deadlines.now_millis());
            self.incoming.is_overdue = read;
            self.outgoing.is_overdue = write;
        }
        if wishes & INTERIM != 0 && self.outgoing.response.is_between() {
            self.shared.attended(INTERIM);
            let waiting = self.shared.interim.lock().take(self.exchange);
            if let Some(bytes) = waiting
                && self.shared.current.is_open(self.exchange)
                && !self.outgoing.is_sealed
            {
                self.outgoing.own.extend_from_slice(&bytes);
            }
        }
        Ok(())
    }
}

impl<S: Stream, Q: Quick> Read for Io<S, Q> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        io.attend(cx)?;
        loop {
            ready!(io.poll_sending(cx))?;
            if let Some(end) = io.incoming.end {
                return io.ended(end);
            }
            if matches!(io.incoming.stage, Stage::Head(_))
                && io.incoming.cleared == 0
                && io.shared.attention() & (CLOSE | DRAIN) != 0
                && io.closes_now(cx)?
            {
                io.incoming.end = Some(End::Close);
                continue;
            }
            if io.feed_held(&mut cursor) {
                return Poll::Ready(Ok(()));
            }
            if io.incoming.end.is_some() || io.sending.is_some() {
                continue;
            }
            if matches!(io.incoming.stage, Stage::Served) && !io.incoming.held.is_empty() {
                return io.poll_starved(cx);
            }
            if let Some(polled) = ready!(io.poll_socket(cx, &mut cursor)) {
                return Poll::Ready(polled);
            }
        }
    }
}

impl<S: Stream, Q: Quick> Write for Io<S, Q> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let io = self.get_mut();
        io.attend(cx)?;
        if io.outgoing.is_sealed {
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        ready!(io.poll_own(cx))?;
        let is_continue = io.outgoing.response.is_between()
            && bufs.first().is_some_and(|buf| buf.starts_with(CONTINUE));
        if is_continue && io.shared.current.is_continued(io.exchange) {
            // RFC 9110 §10.1.1: one 100 went out already, from whoever serves the request.
            return Poll::Ready(Ok(CONTINUE.len()));
        }
        let stream = Pin::new(&mut io.stream);
        let total = bufs.iter().fold(0_usize, |total, buf| total.saturating_add(buf.len()));
        let polled = if bufs.len() > 1 && total <= JOINED_BYTES_MAX {
            let mut joined = [0; JOINED_BYTES_MAX];
            let mut free = &mut joined[..];
            for buf in bufs {
                // They fit.
                io::Write::write_all(&mut free, buf)?;
            }
            stream.poll_write(cx, joined.get(..total).unwrap_or_default())
        } else {
            stream.poll_write_vectored(cx, bufs)
        };
        match polled {
            Poll::Ready(Ok(accepted)) => {
                io.flowing();
                if is_continue && accepted > 0 {
                    io.shared.current.mark_continued(io.exchange);
                }
                io.accepted(bufs, accepted, cx);
                Poll::Ready(Ok(accepted))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                io.stalled()?;
                Poll::Pending
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        io.attend(cx)?;
        io.watch_client()?;
        ready!(io.poll_own(cx))?;
        Pin::new(&mut io.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        io.attend(cx)?;
        ready!(io.poll_sending(cx))?;
        ready!(io.poll_own(cx))?;
        if io.outgoing.lingered.is_none() {
            ready!(Pin::new(&mut io.stream).poll_shutdown(cx))?;
            io.outgoing.is_shut = true;
            if io.outgoing.response.is_until_close() {
                io.shared.ledger.settle(|| io.sent());
            }
            let owes_nothing = !io.has_more(cx)?
                && !io.outgoing.is_untold
                && !io.incoming.stage.is_content()
                && io.shared.stats.refusal().is_none();
            if owes_nothing {
                return Poll::Ready(Ok(()));
            }
            io.outgoing.lingered = Some(0);
            io.arm(Timeout::Linger);
        }
        io.poll_linger(cx)
    }
}

impl<S, Q: Quick> Drop for Io<S, Q> {
    fn drop(&mut self) {
        self.deadlines.leave(self.place);
        self.shared.current.end();
        self.shared.ledger.close(&self.sent());
    }
}
