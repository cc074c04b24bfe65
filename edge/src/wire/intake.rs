//! Which of the bytes that a client sent hyper may see now.
//!
//! In go bytes in the order of their arrival, out goes how many of them at the front are cleared: the checked head of
//! one request, then its content, then nothing until the exchange is over. It knows the framing of requests; it does
//! not know sockets, hyper or time.

use super::{
    chunk::ChunkCheck,
    head::{Framing, Head, HeadCheck},
    limits::Limits,
    refusal::Refusal,
};

/// Where the connection's incoming bytes stand.
#[derive(Debug)]
pub(super) enum Stage {
    /// At a request's head.
    Head(HeadCheck),
    /// In content of so many more octets.
    Length(u64),
    /// In chunked content.
    Chunked(ChunkCheck),
    /// After a request whose response is not complete.
    Served,
}

/// What [`Stage::admit`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admitted {
    /// A request begins with these bytes.
    Request(Head),
    /// So many bytes are content.
    Content(usize),
    /// So many bytes mean nothing and are dropped.
    Nothing(usize),
    /// The head is not whole.
    Partial,
    /// These bytes are the next request's; it is not their turn.
    Wait,
}

impl Stage {
    /// At the beginning of a request.
    pub(super) fn new() -> Self {
        Self::Head(HeadCheck::default())
    }

    /// Clears the front of `input`, which is not empty.
    pub(super) fn admit(&mut self, input: &[u8], limits: &Limits) -> Result<Admitted, Refusal> {
        let (admitted, next) = match self {
            Self::Head(check) => match check.advance(input, limits)? {
                None => return Ok(Admitted::Partial),
                Some(head) => {
                    let next = match head.framing {
                        Framing::Length(left) => Self::after(left),
                        Framing::Chunked => Self::Chunked(ChunkCheck::new()),
                    };
                    (Admitted::Request(head), next)
                }
            },
            Self::Length(left) => {
                let taken = (*left).min(input.len() as u64);
                let bytes = usize::try_from(taken).unwrap_or(usize::MAX);
                (Admitted::Content(bytes), Self::after(*left - taken))
            }
            Self::Chunked(check) => {
                let bytes = check.advance(input, limits)?;
                if !check.has_ended() {
                    return Ok(Admitted::Content(bytes));
                }
                (Admitted::Content(bytes), Self::Served)
            }
            Self::Served => return Ok(Admitted::Wait),
        };
        *self = next;
        Ok(admitted)
    }

    /// Whether content is outstanding.
    pub(super) const fn is_content(&self) -> bool {
        matches!(self, Self::Length(_) | Self::Chunked(_))
    }

    const fn after(left: u64) -> Self {
        if left == 0 { Self::Served } else { Self::Length(left) }
    }
}

/// How many octets before a request line are an empty line that old clients send after their content
/// (RFC 9112 §2.2); `None` while that cannot be told.
pub(super) fn empty_line(input: &[u8]) -> Option<usize> {
    match input {
        [b'\r', b'\n', ..] => Some(2),
        [b'\r'] => None,
        _ => Some(0),
    }
}
