//! Reading a request's head and content from a connection.
//!
//! In: a [`Wire`] and limits. Out: the request; its content, piece by piece; its trailers.
//! Always holds: a head, a chunk-size line and a trailer section have a limit; content is handed on
//! in pieces and never kept here.
//! Spec: RFC 9112 §6, §7.1.

use tokio::io::{AsyncRead, AsyncWrite};

use crate::raw::Raw;
use crate::request::{self, BadRequest, Framing, Request};
use crate::script::Pace;
use crate::wire::{Gone, Wire};

/// Longest chunk-size line, extensions counted.
const CHUNK_LINE_MAX: usize = 4096;

/// Why nothing more can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InboundError {
    /// The peer left in the middle.
    Gone,
    /// The peer left between two requests, as it may.
    Finished,
    /// What came is no HTTP, or is not clear.
    Bad(BadRequest),
    /// The head or the trailer section is longer than allowed.
    TooLong,
}

impl From<Gone> for InboundError {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

impl From<BadRequest> for InboundError {
    fn from(bad: BadRequest) -> Self {
        Self::Bad(bad)
    }
}

/// Reads the next request's head.
pub(crate) async fn head<I>(wire: &mut Wire<I>, bytes_max: usize) -> Result<Request, InboundError>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        // RFC 9112 §2.2: an empty line before a request line is ignored.
        while wire.inbox.starts_with(b"\r\n") {
            drop(wire.inbox.split_to(2));
        }
        if !wire.inbox.is_empty()
            && let Some((request, length)) = Request::parse(&wire.inbox)?
        {
            if length > bytes_max {
                return Err(InboundError::TooLong);
            }
            drop(wire.inbox.split_to(length));
            return Ok(request);
        }
        if wire.inbox.len() >= bytes_max {
            return Err(InboundError::TooLong);
        }
        if wire.fill().await.is_err() {
            let between = wire.inbox.is_empty();
            return Err(if between { InboundError::Finished } else { InboundError::Gone });
        }
    }
}

/// Reads a request's content and hands each piece on; answers its trailers.
pub(crate) async fn content<I>(
    wire: &mut Wire<I>,
    framing: Framing,
    trailer_bytes_max: usize,
    pace: Option<Pace>,
    mut keep: impl FnMut(&[u8]),
) -> Result<Vec<(Raw, Raw)>, InboundError>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    match framing {
        Framing::None => Ok(Vec::new()),
        Framing::Length(length) => {
            pieces(wire, length, pace, &mut keep).await?;
            Ok(Vec::new())
        }
        Framing::Chunked => loop {
            let size = chunk_size(wire).await?;
            if size == 0 {
                return trailers(wire, trailer_bytes_max).await;
            }
            pieces(wire, size, pace, &mut keep).await?;
            let mut end = [0; 2];
            exactly(wire, &mut end).await?;
            if end != *b"\r\n" {
                return Err(BadRequest("a chunk longer than its size").into());
            }
        },
    }
}

async fn pieces<I>(
    wire: &mut Wire<I>,
    length: u64,
    pace: Option<Pace>,
    keep: &mut impl FnMut(&[u8]),
) -> Result<(), InboundError>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let mut left = length;
    while left > 0 {
        if wire.inbox.is_empty() {
            wire.fill().await?;
        }
        let wanted = usize::try_from(left).unwrap_or(usize::MAX);
        let turn = pace.map_or(usize::MAX, |pace| pace.bytes);
        let count = wire.inbox.len().min(wanted).min(turn);
        keep(&wire.inbox.split_to(count));
        left -= count as u64;
        if let Some(pace) = pace {
            // A plain wait: reading ahead meanwhile would undo the pace.
            tokio::time::sleep_until(tokio::time::Instant::now() + pace.every).await;
        }
    }
    Ok(())
}

async fn chunk_size<I>(wire: &mut Wire<I>) -> Result<u64, InboundError>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match httparse::parse_chunk_size(&wire.inbox) {
            Ok(httparse::Status::Complete((used, size))) => {
                drop(wire.inbox.split_to(used));
                return Ok(size);
            }
            Ok(httparse::Status::Partial) if wire.inbox.len() < CHUNK_LINE_MAX => {
                wire.fill().await?;
            }
            Ok(httparse::Status::Partial) => return Err(InboundError::TooLong),
            Err(_) => return Err(BadRequest("a bad chunk size").into()),
        }
    }
}

async fn trailers<I>(wire: &mut Wire<I>, bytes_max: usize) -> Result<Vec<(Raw, Raw)>, InboundError>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let end = if wire.inbox.starts_with(b"\r\n") {
            Some(2)
        } else {
            wire.inbox.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
        };
        if let Some(end) = end {
            return Ok(request::trailers(&wire.inbox.split_to(end))?);
        }
        if wire.inbox.len() >= bytes_max {
            return Err(InboundError::TooLong);
        }
        wire.fill().await?;
    }
}

async fn exactly<I>(wire: &mut Wire<I>, into: &mut [u8; 2]) -> Result<(), InboundError>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    while wire.inbox.len() < into.len() {
        wire.fill().await?;
    }
    into.copy_from_slice(&wire.inbox.split_to(2));
    Ok(())
}
