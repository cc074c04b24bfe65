//! From the client to hyper: what hyper may read, and when reading ends.
//!
//! In go the socket's bytes, out go cleared ones into hyper's buffer, or a refusal into our own output. Bytes that
//! come before their turn are held; an idle connection holds none. It does not know how hyper polls.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::ReadBufCursor;
use tokio::io::ReadBuf;

use super::{
    head::{Framing, Head, Method},
    held::{self, Held},
    intake::{Admitted, Stage, empty_line},
    io::Io,
    outgoing::Refused,
    quick::Quick,
    refusal::{Content, Refusal, Timeout},
    shared::{CLOSE, NEVER},
    stream::Stream,
};

/// Content that has to arrive within one `body_timeout`, or else the rest of it: a single octet now and then would
/// hold whatever the service holds for the request, an origin's connection above all.
pub(super) const BODY_STEP_BYTES: u64 = 16 * 1024;

/// One read from the socket takes at most this much; it is per thread, not per connection.
pub(super) const SCRATCH_BYTES: usize = 32 * 1024;

/// hyper reads a first piece of content before anybody has asked for it; who asks is known by the second.
const UNWATCHED_READS: u8 = 2;

thread_local! {
    /// Bytes between socket and hyper need a place that is initialised, but only while one poll lasts: so idle
    /// connections own no buffer.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// From the client to hyper.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) stage: Stage,
    /// Bytes that arrived before their turn.
    pub(super) held: Held,
    /// What is charged for them.
    pub(super) charged: usize,
    /// How many of them hyper may have as they are.
    pub(super) cleared: usize,
    /// How many bytes of the current head hyper has not had, and how many there are.
    pub(super) unseen: usize,
    pub(super) head_bytes: usize,
    pub(super) end: Option<End>,
    /// An empty line was dropped before this head.
    pub(super) skipped: bool,
    /// hyper was told to wait although bytes are held: it must be woken when the exchange is over.
    pub(super) is_starved: bool,
    /// Reads after which somebody is known to want what the client sends. Until then nobody may read while a response
    /// is awaited, and only a look tells whether the client is still there.
    pub(super) unwatched_reads: u8,
    /// Until when the last request of a connection that drains may come, [`NEVER`] where it does not drain.
    pub(super) grace: u64,
    /// What is left of `body_timeout` for the current step of the content, in milliseconds.
    pub(super) patience: u64,
    /// How many bytes the step has still to bring.
    pub(super) step_left: u64,
    /// Which deadline runs.
    pub(super) timeout: Option<Timeout>,
    pub(super) is_overdue: bool,
}

/// How reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The client ended it.
    Client,
    /// We do, between two requests.
    Close,
    /// We do, inside a request.
    Error(io::ErrorKind),
}

impl Incoming {
    pub(super) fn new(received: &[u8]) -> Self {
        Self {
            stage: Stage::new(),
            held: Held::new(received),
            charged: 0,
            cleared: 0,
            unseen: 0,
            head_bytes: 0,
            end: None,
            skipped: false,
            is_starved: false,
            unwatched_reads: 0,
            grace: NEVER,
            patience: 0,
            step_left: 0,
            timeout: None,
            is_overdue: false,
        }
    }
}

impl<S, Q: Quick> Io<S, Q> {
    pub(super) fn arm(&mut self, timeout: Timeout) {
        let after = match timeout {
            Timeout::Header => self.limits.header_timeout,
            Timeout::Idle => self.limits.idle_timeout,
            Timeout::Body => self.limits.body_timeout,
            Timeout::Linger => self.limits.linger_timeout,
            Timeout::Write => Duration::MAX,
        };
        let mut deadline = self.deadlines.after(after);
        if matches!(timeout, Timeout::Header | Timeout::Idle) {
            deadline = deadline.min(self.incoming.grace);
        }
        self.incoming.timeout = Some(timeout);
        self.incoming.is_overdue = false;
        self.shared.set_read_deadline(deadline);
    }

    pub(super) fn disarm(&mut self) {
        self.incoming.timeout = None;
        self.incoming.is_overdue = false;
        self.shared.set_read_deadline(NEVER);
    }

    /// Hands hyper what it may have of `input`; says how much of it is used up.
    fn feed(&mut self, input: &[u8], cursor: &mut ReadBufCursor<'_>) -> usize {
        if self.incoming.cleared == 0 && self.incoming.stage.is_content() {
            self.incoming.unwatched_reads = self.incoming.unwatched_reads.saturating_sub(1);
        }
        let mut at = 0;
        while at < input.len() && cursor.remaining() > 0 && self.incoming.end.is_none() {
            let rest = input.get(at..).unwrap_or_default();
            if self.incoming.cleared > 0 {
                let taken = self.incoming.cleared.min(rest.len()).min(cursor.remaining());
                cursor.put_slice(rest.get(..taken).unwrap_or_default());
                self.incoming.cleared -= taken;
                self.incoming.unseen = self.incoming.unseen.saturating_sub(taken);
                at += taken;
                continue;
            }
            // Content is looked at as far as it goes out, so that a fault in it comes after what precedes it.
            let seen = if self.incoming.stage.is_content() {
                rest.get(..cursor.remaining()).unwrap_or(rest)
            } else {
                rest
            };
            match self.admit(seen) {
                Ok(Admitted::Request(head)) => {
                    if self.answers_quickly(&head, rest.get(..head.bytes).unwrap_or_default()) {
                        // The rest waits until the answer has left.
                        return at + head.bytes;
                    }
                    self.begin(head);
                    if self.is_alone {
                        return at;
                    }
                }
                Ok(Admitted::Content(bytes)) => {
                    self.incoming.cleared = bytes;
                    self.content_arrived(bytes);
                }
                Ok(Admitted::Nothing(bytes)) => at += bytes,
                Ok(Admitted::Partial) => {
                    if self.incoming.timeout == Some(Timeout::Idle) {
                        self.arm(Timeout::Header);
                    }
                    break;
                }
                Ok(Admitted::Wait) => break,
                Err(refusal) => self.refuse(refusal, rest),
            }
        }
        at
    }

    fn admit(&mut self, input: &[u8]) -> Result<Admitted, Refusal> {
        if !matches!(self.incoming.stage, Stage::Head(_)) {
            return self.incoming.stage.admit(input, &self.limits);
        }
        if self.shared.attention() & CLOSE != 0 {
            // RFC 9112 §9.6: nothing is taken behind the last response.
            return Ok(Admitted::Wait);
        }
        if !self.incoming.skipped {
            match empty_line(input) {
                Some(0) => {}
                None => return Ok(Admitted::Partial),
                Some(bytes) => {
                    self.incoming.skipped = true;
                    return Ok(Admitted::Nothing(bytes));
                }
            }
        }
        self.incoming.stage.admit(input, &self.limits)
    }

    /// A request's head goes to hyper.
    fn begin(&mut self, head: Head) {
        self.incoming.cleared = head.bytes;
        (self.incoming.unseen, self.incoming.head_bytes) = (head.bytes, head.bytes);
        self.exchange += 1;
        self.shared.current.begin(self.exchange, head.version);
        self.shared.stats.request_begins();
        self.incoming.step_left = 0;
        let has_content = head.framing != Framing::Length(0);
        self.incoming.unwatched_reads = if has_content { UNWATCHED_READS } else { 0 };
        self.outgoing.response.expect(head.method == Method::Head);
        self.outgoing.is_untold = false;
        if head.method == Method::Connect {
            self.shared.wish_quietly(CLOSE);
        }
        self.disarm();
    }

    /// Only waiting counts: while nobody reads, which is not the client's fault, no deadline runs.
    fn content_arrived(&mut self, bytes: usize) {
        let step_left = self.incoming.step_left.saturating_sub(bytes as u64);
        self.incoming.step_left = step_left;
        if self.incoming.timeout.is_some() {
            if step_left > 0 {
                let deadline = self.shared.read_deadline();
                self.incoming.patience = deadline.saturating_sub(self.deadlines.now_millis());
            }
            self.disarm();
        }
        self.end_exchange();
    }

    /// The client has to send content now.
    fn await_content(&mut self) {
        if self.incoming.step_left == 0 {
            self.incoming.step_left = BODY_STEP_BYTES;
            self.incoming.patience = millis(self.limits.body_timeout);
        }
        self.arm(Timeout::Body);
        let deadline = self.deadlines.now_millis().saturating_add(self.incoming.patience);
        self.shared.set_read_deadline(deadline);
        // A step whose time is used up needs no sweeper, which the next octet could outrun.
        self.incoming.is_overdue = self.incoming.patience == 0;
    }

    /// The next request may come, if this one and its response are both complete. Says whether they are.
    pub(super) fn end_exchange(&mut self) -> bool {
        let is_over =
            matches!(self.incoming.stage, Stage::Served) && self.outgoing.response.is_complete();
        if is_over {
            self.incoming.stage = Stage::new();
            self.incoming.skipped = false;
            self.arm(Timeout::Idle);
        }
        is_over
    }

    /// Ends reading and, if no response is under way, tells the client why.
    #[cold]
    fn refuse(&mut self, refusal: Refusal, head: &[u8]) {
        self.shared.stats.refused(refusal);
        self.disarm();
        // A head that hyper has not had is nobody's yet, though its content has begun to come.
        let is_inside = self.incoming.stage.is_content() && self.incoming.unseen == 0;
        self.incoming.end = Some(if is_inside {
            End::Error(match refusal {
                Refusal::BodyTimeout => io::ErrorKind::TimedOut,
                _ => io::ErrorKind::InvalidData,
            })
        } else {
            End::Close
        });
        if self.outgoing.response.has_begun() && is_inside || !self.outgoing.response.is_between() {
            return;
        }
        self.shared.current.end();
        self.outgoing.is_sealed = true;
        let content =
            if !is_inside && head.starts_with(b"HEAD ") { Content::Omitted } else { Content::Sent };
        let told = self.quick.refused(refusal, (!is_inside).then_some(head));
        let (page, head_bytes) = refusal.response(content, &told);
        // An interim response that waits goes before it.
        let bytes = self.outgoing.own.len().saturating_add(page.len());
        let head_bytes = self.outgoing.own.len().saturating_add(head_bytes);
        let request_id = told.request_id;
        self.outgoing.refused = Some(Refused { refusal, request_id, bytes, head_bytes });
        self.outgoing.own.extend_from_slice(&page);
        if let Some(account) = told.account {
            self.shared.ledger.enter(account, None);
        }
    }

    /// The socket has nothing and a deadline has passed.
    #[cold]
    fn read_expired(&mut self) {
        let timeout = self.incoming.timeout;
        self.disarm();
        let Some(timeout) = timeout else { return };
        if self.incoming.grace != NEVER && !self.incoming.stage.is_content() {
            // No limit of the client's: it is we who leave.
            self.incoming.end = Some(End::Close);
            return;
        }
        self.shared.stats.timed_out(timeout);
        match timeout {
            Timeout::Header if !self.incoming.held.is_empty() => {
                let held = std::mem::take(&mut self.incoming.held);
                self.refuse(Refusal::HeaderTimeout, &held);
                self.incoming.held = held;
            }
            Timeout::Body => self.refuse(Refusal::BodyTimeout, &[]),
            Timeout::Header | Timeout::Idle | Timeout::Write | Timeout::Linger => {
                self.incoming.end = Some(End::Close);
            }
        }
    }

    /// Feeds hyper from what is held; says whether it got anything.
    pub(super) fn feed_held(&mut self, cursor: &mut ReadBufCursor<'_>) -> bool {
        if self.incoming.held.is_empty() {
            return false;
        }
        let room = cursor.remaining();
        let mut held = std::mem::take(&mut self.incoming.held);
        let used = self.feed(&held, cursor);
        held.advance(used);
        // Memory goes back with the last byte: an idle connection holds none.
        self.incoming.held = held;
        self.charge_held();
        cursor.remaining() < room
    }

    /// What is held beyond a little is charged; a client for whose bytes there is no memory is let go, after the
    /// response that is under way.
    fn charge_held(&mut self) {
        let wanted = self.incoming.held.charged_bytes();
        if wanted == self.incoming.charged || self.quick.holds(wanted) {
            self.incoming.charged = wanted;
            return;
        }
        self.quick.holds(0);
        self.incoming.charged = 0;
        if matches!(self.incoming.stage, Stage::Served) {
            // What hyper may have goes to it at once.
            if self.incoming.held.truncate(self.incoming.cleared) {
                self.shared.stats.refused(Refusal::Memory);
                self.shared.wish_quietly(CLOSE);
            }
        } else if self.incoming.end.is_none() {
            let held = std::mem::take(&mut self.incoming.held);
            let is_begun =
                self.incoming.unseen > 0 && self.incoming.unseen < self.incoming.head_bytes;
            self.refuse(Refusal::Memory, if is_begun { &[] } else { &held });
        }
    }

    /// What hyper is told when reading has ended.
    pub(super) fn ended(&self, end: End) -> Poll<io::Result<()>> {
        match end {
            End::Client | End::Close => Poll::Ready(Ok(())),
            End::Error(kind) => match self.shared.stats.refusal() {
                Some(refusal) => Poll::Ready(Err(io::Error::new(kind, refusal))),
                None => Poll::Ready(Err(kind.into())),
            },
        }
    }
}

impl<S: Stream, Q: Quick> Io<S, Q> {
    /// Reads at most `room` bytes into the thread's scratch and lets `then` use them.
    pub(super) fn poll_scratch<T>(
        &mut self,
        cx: &mut Context<'_>,
        room: usize,
        then: impl FnOnce(&mut Self, &[u8]) -> T,
    ) -> Poll<io::Result<T>> {
        let mut scratch = SCRATCH.take();
        if scratch.is_empty() {
            scratch.resize(SCRATCH_BYTES, 0);
        }
        let mut buf = ReadBuf::new(scratch.get_mut(..room.min(SCRATCH_BYTES)).unwrap_or_default());
        let polled = Pin::new(&mut self.stream).poll_read(cx, &mut buf);
        let polled = polled.map_ok(|()| {
            self.shared.stats.count_in(buf.filled().len());
            then(self, buf.filled())
        });
        SCRATCH.set(scratch);
        polled
    }

    /// Reads once from the socket. `Some` says what hyper gets, `None` that the caller must look again.
    pub(super) fn poll_socket(
        &mut self,
        cx: &mut Context<'_>,
        cursor: &mut ReadBufCursor<'_>,
    ) -> Poll<Option<io::Result<()>>> {
        let room = match self.incoming.stage {
            Stage::Head(_) => SCRATCH_BYTES,
            Stage::Length(_) | Stage::Chunked(_) => cursor.remaining(),
            Stage::Served => held::FREE_BYTES,
        };
        let before = cursor.remaining();
        let polled = self.poll_scratch(cx, room, |io, bytes| {
            if bytes.is_empty() {
                io.incoming.end = Some(End::Client);
                return;
            }
            if !io.incoming.held.is_empty() {
                io.incoming.held.push(bytes);
                return;
            }
            let used = io.feed(bytes, cursor);
            io.incoming.held.push(bytes.get(used..).unwrap_or_default());
            io.charge_held();
        });
        match polled {
            Poll::Ready(Ok(())) if cursor.remaining() < before => Poll::Ready(Some(Ok(()))),
            Poll::Ready(Ok(())) => Poll::Ready(None),
            Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
            Poll::Pending => {
                if self.incoming.timeout.is_none() && self.incoming.stage.is_content() {
                    self.await_content();
                }
                if self.incoming.is_overdue {
                    self.read_expired();
                    return Poll::Ready(None);
                }
                Poll::Pending
            }
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(NEVER)
}
