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
    account::Sent,
    io::Io,
    quick::Quick,
    refusal::{Refusal, Timeout},
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
    /// Which one, and what it is.
    pub(super) refused: Option<Refused>,
    pub(super) is_stalled: bool,
    pub(super) is_overdue: bool,
    /// The last response left under a drain and did not say so: its client may be sending another request.
    pub(super) is_untold: bool,
    /// The write side was shut behind the last byte.
    pub(super) is_shut: bool,
    /// The write side is shut; how many bytes were discarded since.
    pub(super) lingered: Option<usize>,
}

/// A refusal on its way.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) refusal: Refusal,
    pub(super) request_id: Option<u64>,
    pub(super) bytes: usize,
    pub(super) head_bytes: usize,
}

impl Outgoing {
    pub(super) fn new() -> Self {
        Self {
            response: Response::new(),
            own: BytesMut::new(),
            is_sealed: false,
            refused: None,
            is_stalled: false,
            is_overdue: false,
            is_untold: false,
            is_shut: false,
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
        let content = self.outgoing.response.content();
        self.shared.stats.count_content(content.saturating_sub(self.shared.stats.content_bytes()));
        if self.outgoing.response.has_begun() {
            self.shared.current.end();
        }
        if self.outgoing.response.is_complete() {
            self.shared.stats.response_ends();
            self.shared.ledger.settle(|| self.sent());
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

    /// What the socket has accepted of the current response.
    pub(super) fn sent(&self) -> Sent {
        let outgoing = &self.outgoing;
        let Some(refused) = &outgoing.refused else {
            let response = &outgoing.response;
            return Sent {
                content_bytes: response.content(),
                is_complete: response.is_complete()
                    || response.is_until_close() && outgoing.is_shut,
                refused: None,
            };
        };
        let bytes = refused.bytes.saturating_sub(outgoing.own.len());
        Sent {
            content_bytes: bytes.saturating_sub(refused.head_bytes) as u64,
            is_complete: outgoing.own.is_empty(),
            refused: Some((refused.refusal, refused.request_id)),
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
        if self.outgoing.refused.is_some() {
            self.shared.ledger.settle(|| self.sent());
        }
        Poll::Ready(Ok(()))
    }
}
