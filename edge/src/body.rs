//! The content of an answer on its way to the client, wherever it comes from.
//!
//! In: a reader of stored content, of a filling, or an origin's own body. Out: frames for hyper.
//! Always holds: content that breaks off ends in an error, so that the client sees the break and
//! never takes a part for the whole; the [`Record`] of the request drops with it, at the end.
//! It knows no law and no socket.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use edge_core::forward;
use http_body::{Body, Frame, SizeHint};

use crate::{
    fetch::{FetchError, response::OriginBody, table::Ticket},
    record::Record,
    store::{
        BodyReader,
        budget::{Charge, PIECE_BYTES, Purse},
        shared::{Broken, Reader},
    },
};

/// Why an answer's content broke off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The shared body of a filling broke off.
    #[error(transparent)]
    Filling(#[from] Broken),
    /// The origin's body, passed on directly, broke off.
    #[error(transparent)]
    Origin(#[from] FetchError),
}

/// An answer's content and its record.
pub struct ServeBody {
    content: Content,
    record: Option<Box<Record>>,
}

/// Where the content comes from.
pub enum Content {
    /// There is none.
    Empty,
    /// It is here.
    Full(Bytes),
    /// It is stored.
    Stored(BodyReader),
    /// Several parts of stored content, each behind its own head (multipart/byteranges).
    Parts(Parts),
    /// It is being filled.
    Following(Following),
    /// It is the origin's, passed on.
    Passing(Box<Passing>),
}

/// Parts of stored content and what stands between them.
pub struct Parts {
    pieces: VecDeque<Piece>,
    left: u64,
}

/// A piece of a multipart body.
pub enum Piece {
    /// Delimiters and part heads.
    Text(Bytes),
    /// Content.
    Stored(BodyReader),
}

impl Parts {
    /// The pieces in order.
    #[must_use]
    pub fn new(pieces: VecDeque<Piece>) -> Self {
        let left = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.len() as u64,
                Piece::Stored(reader) => reader.left(),
            })
            .sum();
        Self { pieces, left }
    }
}

/// Content that a filling still brings.
pub struct Following {
    reader: Reader,
    /// Bytes still wanted; `None` until the end, wherever that is.
    left: Option<u64>,
    _ticket: Ticket,
}

impl Following {
    /// Reads from `reader` on, `left` bytes or to the end.
    #[must_use]
    pub fn new(reader: Reader, left: Option<u64>, ticket: Ticket) -> Self {
        Self { reader, left, _ticket: ticket }
    }
}

/// An origin's body, copied piece by piece out of a purse that bounds what the client's connection
/// has queued of it.
pub struct Passing {
    body: OriginBody,
    purse: Arc<Purse>,
    /// What is left of the origin's last frame.
    rest: Bytes,
}

impl Passing {
    /// Passes `body` on within `charge`.
    #[must_use]
    pub fn new(body: OriginBody, charge: Charge) -> Self {
        Self { body, purse: Purse::new(charge), rest: Bytes::new() }
    }

    fn is_end(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size(&self) -> SizeHint {
        let (hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut size = SizeHint::new();
        size.set_lower(hint.lower().saturating_add(rest));
        if let Some(upper) = hint.upper() {
            size.set_upper(upper.saturating_add(rest));
        }
        size
    }
}

impl ServeBody {
    /// Content with the record of its request.
    #[must_use]
    pub fn new(content: Content, mut record: Box<Record>) -> Self {
        // hyper does not poll content that says it is at its end.
        record.complete = content.is_end();
        Self { content, record: Some(record) }
    }
}

impl ServeBody {
    /// The client never got `missing` of the bytes that were handed over.
    pub fn broke_off(&mut self, missing: u64) {
        if let Some(record) = &mut self.record {
            record.complete = false;
            record.bytes = record.bytes.saturating_sub(missing);
        }
    }

    /// Nothing, of no request.
    #[must_use]
    pub fn ended() -> Self {
        Self { content: Content::Empty, record: None }
    }
}

impl Drop for ServeBody {
    fn drop(&mut self) {
        // hyper lets go of the last bytes before the socket has them; over HTTP/2 nobody does.
        if let Some(record) = self.record.take()
            && let Some(handle) = record.connection.handle.clone()
        {
            handle.account(record);
        }
    }
}

impl Content {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(match self {
            Self::Empty => None,
            Self::Full(content) => {
                let content = std::mem::take(content);
                (!content.is_empty()).then(|| Ok(Frame::data(content)))
            }
            Self::Stored(reader) => reader.next_chunk().map(|chunk| Ok(Frame::data(chunk))),
            Self::Parts(parts) => parts.next().map(|chunk| Ok(Frame::data(chunk))),
            Self::Following(following) => ready!(following.poll(cx)),
            Self::Passing(passing) => ready!(passing.poll(cx)),
        })
    }

    fn is_end(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(content) => content.is_empty(),
            Self::Stored(reader) => reader.left() == 0,
            Self::Parts(parts) => parts.left == 0,
            Self::Following(following) => following.left == Some(0),
            Self::Passing(passing) => passing.is_end(),
        }
    }

    fn size(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(content) => SizeHint::with_exact(content.len() as u64),
            Self::Stored(reader) => SizeHint::with_exact(reader.left()),
            Self::Parts(parts) => SizeHint::with_exact(parts.left),
            Self::Following(following) => {
                following.left.map_or_else(SizeHint::default, SizeHint::with_exact)
            }
            Self::Passing(passing) => passing.size(),
        }
    }
}

impl Parts {
    fn next(&mut self) -> Option<Bytes> {
        loop {
            let chunk = match self.pieces.pop_front()? {
                Piece::Text(text) => text,
                Piece::Stored(mut reader) => {
                    let Some(chunk) = reader.next_chunk() else { continue };
                    self.pieces.push_front(Piece::Stored(reader));
                    chunk
                }
            };
            self.left = self.left.saturating_sub(chunk.len() as u64);
            return Some(chunk);
        }
    }
}

impl Following {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.left == Some(0) {
            return Poll::Ready(None);
        }
        let Some(chunk) = ready!(self.reader.poll_next(cx)) else {
            // The end came before all that was promised.
            let short = self.left.is_some_and(|left| left > 0);
            return Poll::Ready(short.then(|| Err(Broken::Origin.into())));
        };
        Poll::Ready(Some(match chunk {
            Ok(mut chunk) => {
                if let Some(left) = &mut self.left {
                    chunk.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left = left.saturating_sub(chunk.len() as u64);
                }
                Ok(Frame::data(chunk))
            }
            Err(broken) => Err(broken.into()),
        }))
    }
}

impl Passing {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        // While the client takes nothing, nothing is asked of the origin either.
        ready!(self.purse.poll_room(PIECE_BYTES, cx));
        while self.rest.is_empty() {
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
                return Poll::Ready(None);
            };
            match frame?.into_data() {
                Ok(content) => self.rest = content,
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    let trailers = forward::trailer_fields(&trailers);
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
            }
        }
        let piece = self.rest.split_to(self.rest.len().min(PIECE_BYTES));
        // There was room for a piece, and nobody else takes from the purse.
        let copy = self.purse.copy(&piece).ok_or(FetchError::Memory);
        Poll::Ready(Some(copy.map(Frame::data).map_err(BodyError::from)))
    }
}

impl Body for ServeBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let frame = ready!(this.content.poll(cx));
        if let Some(record) = &mut this.record {
            match &frame {
                Some(Ok(frame)) => {
                    record.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                    record.complete = this.content.is_end();
                }
                Some(Err(_)) => record.complete = false,
                None => record.complete = true,
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_end()
    }

    fn size_hint(&self) -> SizeHint {
        self.content.size()
    }
}
