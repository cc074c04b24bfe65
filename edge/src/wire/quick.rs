//! Answers that go out without hyper: the server's HTTP/1 machinery costs more than a hit does.
//!
//! In go a checked head and whoever can answer it from that alone, out goes a whole response: head and content,
//! written as the socket takes them. Only a request without content is offered, only between two exchanges, and only
//! where the connection goes on after it; whatever is declined goes to hyper as if nobody had looked.
//!
//! What always holds: nothing else is read or written until the last byte has left; a response that breaks off is
//! told so by its content being dropped before it has ended. It does not know what is answered, or why.
//!
//! A connection that has brought nothing else has no hyper at all: [`Io::poll_alone`] serves it until something needs one.
//!
//! Hot path: no allocation here; one write where the socket has room, of one piece if head and content fit together.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use edge_core::fields::Fields;
use http::{HeaderName, Version};
use hyper::rt::ReadBuf;
use tokio::io::AsyncWrite;

use super::{
    account::Account,
    head::{FieldLine, Framing, Head, Method, field_line},
    intake::Stage,
    io::Io,
    octets::trim,
    refusal::{Refusal, Timeout},
    shared::{CLOSE, DRAIN},
    stream::Stream,
};

/// A head with more field lines goes to hyper; browsers send about fifteen.
const FIELDS_MAX: usize = 32;

/// Pieces of content that one write takes.
const PIECES: usize = 8;

/// Answers from a head alone.
pub trait Quick: Send + Unpin + 'static {
    /// What it answers with.
    type Content: Content;

    /// The response, if it is here and needs no waiting.
    fn answer(&mut self, head: &RawHead<'_>) -> Option<Reply<Self::Content>>;

    /// A request is refused here. `head` is what came of it, unless the service has it already and only its content
    /// is at fault. Takes note, and says what the refusal tells beside its status.
    fn refused(&mut self, refusal: Refusal, head: Option<&[u8]>) -> Told;

    /// The connection holds so many bytes of its client's now, beside what every connection may. Says whether there is
    /// memory for them.
    fn holds(&mut self, bytes: usize) -> bool;
}

/// What a refusal tells beside its status.
#[derive(Default)]
pub struct Told {
    /// The time, as Date says it (RFC 9110 §6.6.1).
    pub date: Option<String>,
    /// What its client may call it by.
    pub request_id: Option<u64>,
    /// What is told how it went.
    pub account: Option<Box<dyn Account>>,
}

/// A response's content on its way out.
pub trait Content: Send + Unpin + 'static {
    /// The next piece; `None` at the end.
    fn next(&mut self) -> Option<Bytes>;
    /// The socket accepted so many bytes of it.
    fn accepted(&mut self, bytes: usize);
    /// It has accepted all, the head included.
    fn ended(&mut self);
}

/// A response to be written.
pub struct Reply<C> {
    /// Its head, to the empty line, and what there may be of its content behind it: the kernel takes one small piece
    /// for less than several.
    pub front: Vec<u8>,
    /// How much of `front` is the head.
    pub head_bytes: usize,
    /// The rest of its content; the head says how long all of it is. All that is accepted is told it.
    pub content: C,
}

/// A request's head as it stands in its message: GET or HEAD, HTTP/1.1, origin-form, no content.
pub struct RawHead<'a> {
    /// Whether it asks for the head alone.
    pub is_head: bool,
    /// The target in origin-form.
    pub target: &'a str,
    fields: [(&'a [u8], &'a [u8]); FIELDS_MAX],
    count: usize,
}

impl<'a> RawHead<'a> {
    /// Reads a head that passed its check; `None` if it is not of the kind that may be answered here.
    fn read(head: &Head, bytes: &'a [u8]) -> Option<Self> {
        if head.version != Version::HTTP_11 || head.framing != Framing::Length(0) {
            return None;
        }
        let (is_head, method) = match head.method {
            Method::Get => (false, "GET ".len()),
            Method::Head => (true, "HEAD ".len()),
            Method::Connect | Method::Other => return None,
        };
        let rest = bytes.get(method..)?;
        let target = rest.get(..rest.iter().position(|octet| *octet == b' ')?)?;
        if target.first() != Some(&b'/') {
            return None;
        }
        let mut at = method + target.len() + " HTTP/1.1\r\n".len();
        let mut read = Self {
            is_head,
            target: std::str::from_utf8(target).ok()?,
            fields: [(&[], &[]); FIELDS_MAX],
            count: 0,
        };
        while let Ok(FieldLine::Field { name, value, bytes: length }) = field_line(bytes.get(at..)?)
        {
            let line = bytes.get(at..)?;
            *read.fields.get_mut(read.count)? = (name, trim(line.get(value)?));
            read.count += 1;
            at += length;
        }
        Some(read)
    }
}

impl Fields for RawHead<'_> {
    fn lines<'a>(&'a self, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
        let name = name.as_str().as_bytes();
        let fields = self.fields.get(..self.count).unwrap_or_default();
        fields
            .iter()
            .filter(move |(line, _)| line.len() == name.len() && line.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }

    fn count(&self) -> usize {
        self.count
    }
}

/// Nobody answers: all goes to hyper.
#[derive(Clone, Copy, Debug)]
pub struct Never;

impl Quick for Never {
    type Content = Nothing;

    fn answer(&mut self, _head: &RawHead<'_>) -> Option<Reply<Nothing>> {
        None
    }

    fn refused(&mut self, _refusal: Refusal, _head: Option<&[u8]>) -> Told {
        Told::default()
    }

    fn holds(&mut self, _bytes: usize) -> bool {
        true
    }
}

/// No content.
#[derive(Clone, Copy, Debug)]
pub struct Nothing;

impl Content for Nothing {
    fn next(&mut self) -> Option<Bytes> {
        None
    }

    fn accepted(&mut self, _bytes: usize) {}

    fn ended(&mut self) {}
}

/// A response that is being written.
pub(super) struct Sending<C> {
    /// The head, and the first of the content.
    front: Vec<u8>,
    front_sent: usize,
    head_bytes: usize,
    content: C,
    /// Taken from the content and not yet accepted, in order; they follow `front`.
    pieces: [Bytes; PIECES],
    taken: usize,
    is_drained: bool,
}

impl<C: Content> Sending<C> {
    fn new(reply: Reply<C>) -> Self {
        let pieces = [const { Bytes::new() }; PIECES];
        Self {
            head_bytes: reply.head_bytes,
            front: reply.front,
            front_sent: 0,
            content: reply.content,
            pieces,
            taken: 0,
            is_drained: false,
        }
    }

    fn fill(&mut self) {
        while !self.is_drained && self.taken < PIECES {
            match (self.content.next(), self.pieces.get_mut(self.taken)) {
                (Some(piece), Some(place)) => {
                    *place = piece;
                    self.taken += 1;
                }
                _ => self.is_drained = true,
            }
        }
    }

    fn is_sent(&self) -> bool {
        self.is_drained && self.taken == 0 && self.front_sent == self.front.len()
    }

    /// Offers the socket what is in hand.
    fn poll_write<S: AsyncWrite>(
        &self,
        stream: Pin<&mut S>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let front = self.front.get(self.front_sent..).unwrap_or_default();
        if self.taken == 0 {
            return stream.poll_write(cx, front);
        }
        let mut offered = [IoSlice::new(front); PIECES + 1];
        let from = usize::from(!front.is_empty());
        for (slice, piece) in offered.iter_mut().skip(from).zip(&self.pieces) {
            *slice = IoSlice::new(piece);
        }
        stream.poll_write_vectored(cx, offered.get(..from + self.taken).unwrap_or_default())
    }

    /// The socket accepted `bytes` of what was offered.
    fn accepted(&mut self, bytes: usize) {
        let of_front = bytes.min(self.front.len() - self.front_sent);
        let of_head = of_front.min(self.head_bytes.saturating_sub(self.front_sent));
        self.front_sent += of_front;
        self.content.accepted(bytes - of_head);
        let mut left = bytes - of_front;
        let mut gone = 0;
        for piece in self.pieces.iter_mut().take(self.taken) {
            let part = left.min(piece.len());
            piece.advance(part);
            left -= part;
            if !piece.is_empty() {
                break;
            }
            gone += 1;
            *piece = Bytes::new();
        }
        self.pieces.rotate_left(gone);
        self.taken -= gone;
    }
}

impl<S, Q: Quick> Io<S, Q> {
    /// Answers the request whose checked head is `bytes`, if that can be done here; says whether it is.
    pub(super) fn answers_quickly(&mut self, head: &Head, bytes: &[u8]) -> bool {
        // A last answer says `Connection: close`, which hyper's does.
        if self.shared.attention() & DRAIN != 0 {
            return false;
        }
        let Some(read) = RawHead::read(head, bytes) else { return false };
        let Some(reply) = self.quick.answer(&read) else { return false };
        self.shared.stats.request_begins();
        self.sending = Some(Sending::new(reply));
        true
    }
}

impl<S: Stream, Q: Quick> Io<S, Q> {
    /// Serves a connection without hyper, until it is needed: for a request that is not answered here, which is then
    /// held for it, or to end the connection. Cancel safe.
    pub fn poll_alone(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_alone = true;
        let served = self.poll_served(cx);
        self.is_alone = false;
        served
    }

    fn poll_served(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.attend(cx)?;
        // Nothing is written to it: what is hyper's stays held. hyper's cursor has no other way to be one.
        let mut unused = [0];
        let mut unused = ReadBuf::new(&mut unused);
        loop {
            ready!(self.poll_sending(cx))?;
            let leaves = self.shared.attention() & (CLOSE | DRAIN) != 0;
            if leaves || self.incoming.end.is_some() || self.incoming.cleared > 0 {
                return Poll::Ready(Ok(()));
            }
            self.feed_held(&mut unused.unfilled());
            let goes_on =
                self.sending.is_none() && self.incoming.end.is_none() && self.incoming.cleared == 0;
            if goes_on && let Some(polled) = ready!(self.poll_socket(cx, &mut unused.unfilled())) {
                return Poll::Ready(polled);
            }
        }
    }
}

impl<S: AsyncWrite + Unpin, Q: Quick> Io<S, Q> {
    /// Writes the answer that is under way to its last byte, if there is one; then the next request may come.
    pub(super) fn poll_sending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.sending.is_none() {
            return Poll::Ready(Ok(()));
        }
        // Our own bytes are older: an interim response or nothing.
        ready!(self.poll_own(cx))?;
        while let Some(sending) = &mut self.sending {
            sending.fill();
            if sending.is_sent() {
                sending.content.ended();
                self.sending = None;
                self.outgoing.is_untold = self.shared.attention() & DRAIN != 0;
                self.shared.stats.response_ends();
                self.incoming.stage = Stage::new();
                self.incoming.skipped = false;
                self.arm(Timeout::Idle);
                break;
            }
            match sending.poll_write(Pin::new(&mut self.stream), cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(accepted)) => {
                    sending.accepted(accepted);
                    self.shared.stats.count_out(accepted);
                    self.shared.stats.count_response(accepted as u64);
                    self.flowing();
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    // The next request's deadline does not run while this answer waits for its client.
                    self.disarm();
                    self.stalled()?;
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}
