//! From hyper to the client: what the socket accepted, and what goes before hyper's next bytes.
//!
//! In go counts of accepted bytes, out go the response's progress, the end of an exchange, and the stalled writer's
//! deadline. hyper's bytes are never copied. It does not know what they mean beyond their framing.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::AsyncWrite;

use super::{
    io::Io,
    quick::Quick,
    refusal::Timeout,
    response::Response,
    shared::{CLOSE, DRAIN, NEVER},
};

/// From hyper to the client.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) response: Response,
    /// Our own bytes, which go before hyper's next.
    pub(super) own: BytesMut,
    /// A refusal is the last response; what hyper still writes is dropped.
    pub(super) is_sealed: bool,
    pub(super) is_stalled: bool,
    pub(super) is_overdue: bool,
    /// The last response left under a drain and did not say so: its client may be sending another request.
    pub(super) is_untold: bool,
    /// The write side is shut; how many bytes were discarded since.
    pub(super) lingered: Option<usize>,
}

impl Outgoing {
    pub(super) fn new() -> Self {
        Self {
            response: Response::new(),
            own: BytesMut::new(),
            is_sealed: false,
            is_stalled: false,
            is_overdue: false,
            is_untold: false,
            lingered: None,
        }
    }
}

impl<S, Q: Quick> Io<S, Q> {
    /// Accounts for what the socket accepted of hyper's bytes.
    pub(super) fn accepted(&mut self, bufs: &[IoSlice<'_>], accepted: usize, cx: &Context<'_>) {
        let mut left = accepted;
        let mut final_bytes = 0;
        for buf in bufs {
            let Some(bytes) = buf.get(..left.min(buf.len())) else { break };
            final_bytes += self.outgoing.response.accepted(bytes);
            left -= bytes.len();
            if left == 0 {
                break;
            }
        }
        self.shared.stats.count_out(accepted);
        self.shared.stats.count_response(final_bytes);
        if self.outgoing.response.has_begun() {
            self.shared.current.end();
        }
        if self.outgoing.response.is_complete() {
            self.shared.stats.response_ends();
            if self.outgoing.response.is_last() {
                self.shared.wish_quietly(CLOSE);
            }
            let is_over = self.end_exchange();
            let is_starved = std::mem::take(&mut self.incoming.is_starved);
            // hyper has asked for the next request before these bytes left; only now there is an answer.
            if is_over && (is_starved || self.shared.attention() & (CLOSE | DRAIN) != 0) {
                cx.waker().wake_by_ref();
            }
        }
    }

    /// The write side's clock starts when the socket takes nothing and stops when it takes something.
    pub(super) fn stalled(&mut self) -> io::Result<()> {
        if self.outgoing.is_overdue {
            self.shared.stats.timed_out(Timeout::Write);
            return Err(io::ErrorKind::TimedOut.into());
        }
        if !self.outgoing.is_stalled {
            self.outgoing.is_stalled = true;
            self.shared.set_write_deadline(self.deadlines.after(self.limits.write_timeout));
        }
        Ok(())
    }

    pub(super) fn flowing(&mut self) {
        if self.outgoing.is_stalled {
            self.outgoing.is_stalled = false;
            self.outgoing.is_overdue = false;
            self.shared.set_write_deadline(NEVER);
        }
    }
}

impl<S: AsyncWrite + Unpin, Q: Quick> Io<S, Q> {
    /// Writes our own bytes to the last one.
    pub(super) fn poll_own(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.own.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.outgoing.own) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(accepted)) => {
                    self.flowing();
                    self.shared.stats.count_out(accepted);
                    self.outgoing.own.advance(accepted);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.stalled()?;
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}
