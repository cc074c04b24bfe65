//! The client while nothing that it sends has its turn: whether it is there, and what it has sent.
//!
//! In go looks at the socket, out goes whether the client has gone, or goes on. What is read here is held for its turn,
//! or discarded once there is none. It does not know what any of it means.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::{
    held,
    incoming::{End, SCRATCH_BYTES},
    io::Io,
    quick::Quick,
    refusal::Timeout,
    shared::{CLOSE, NEVER},
    stream::Stream,
};

/// The time between two looks after a client of which nothing is read.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

impl<S: Stream, Q: Quick> Io<S, Q> {
    /// Whether a connection that is to end may do so between two requests. A client that was accepted and has not had
    /// its first answer, or whose next request has begun to come, is given a grace instead.
    #[cold]
    pub(super) fn closes_now(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let is_hard = self.shared.attention() & CLOSE != 0;
        if is_hard || (self.shared.stats.requests() > 0 && !self.has_more(cx)?) {
            return Ok(true);
        }
        if self.incoming.grace == NEVER {
            self.incoming.grace = self.deadlines.after(self.limits.linger_timeout);
            self.shared.set_read_deadline(self.incoming.grace.min(self.shared.read_deadline()));
        }
        Ok(false)
    }

    /// Whether the client has sent what nobody has looked at. Closing would reset the connection, and what it has not
    /// taken yet of a response would be lost (RFC 9112 §9.6).
    pub(super) fn has_more(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        if !self.incoming.held.is_empty() {
            return Ok(true);
        }
        let read =
            self.poll_scratch(cx, held::FREE_BYTES, |io, bytes| io.incoming.held.push(bytes));
        match read {
            Poll::Ready(Ok(())) => Ok(!self.incoming.held.is_empty()),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Ok(self.stream.has_unread()),
        }
    }

    /// The next request's bytes wait; hyper is woken when their turn comes. While it awaits a response it asks only
    /// whether the client is still there, which a byte that nobody reads would hide.
    pub(super) fn poll_starved(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.incoming.is_starved = true;
        while self.outgoing.response.is_between() {
            let room = held::FREE_BYTES.saturating_sub(self.incoming.held.len());
            if room == 0 {
                self.incoming.unwatched_reads = 1;
                break;
            }
            let read = ready!(self.poll_scratch(cx, room, |io, bytes| {
                io.incoming.held.push(bytes);
                bytes.len()
            }))?;
            if read == 0 {
                self.incoming.end = Some(End::Client);
                return self.ended(End::Client);
            }
        }
        Poll::Pending
    }

    /// Looks now and then whether the client is still there, while nobody reads what it has sent.
    pub(super) fn watch_client(&mut self) -> io::Result<()> {
        if self.incoming.timeout.is_some() {
            return Ok(());
        }
        let is_due = self.incoming.is_overdue;
        let response = &self.outgoing.response;
        let is_awaited = !response.is_complete() && response.is_between();
        if !(is_awaited && self.incoming.unwatched_reads > 0) {
            if is_due {
                self.disarm();
            }
            return Ok(());
        }
        if is_due && self.stream.has_ended() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if is_due || self.shared.read_deadline() == NEVER {
            self.incoming.is_overdue = false;
            self.shared.set_read_deadline(self.deadlines.after(LOOK_PAUSE));
        }
        Ok(())
    }

    /// Reads and discards until the client has seen our last response, that is until it closes (RFC 9112 §9.6).
    pub(super) fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(lingered) = self.outgoing.lingered {
            if lingered > self.limits.linger_bytes_max || self.incoming.end == Some(End::Client) {
                break;
            }
            let polled = self.poll_scratch(cx, SCRATCH_BYTES, |_, bytes| bytes.len());
            match polled {
                Poll::Ready(Ok(0) | Err(_)) => break,
                Poll::Ready(Ok(bytes)) => self.outgoing.lingered = Some(lingered + bytes),
                Poll::Pending if self.incoming.is_overdue => {
                    // Who was not told has met no limit.
                    if !self.outgoing.is_untold {
                        self.shared.stats.timed_out(Timeout::Linger);
                    }
                    break;
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        self.disarm();
        Poll::Ready(Ok(()))
    }
}
