//! Writing a response, with everything that is to go wrong with it.
//!
//! In: a [`Reply`] and a [`Wire`]. Out: octets; and whether the response went out whole.
//! Always holds: content goes out in pieces of at most 64 KiB, read when the peer has taken the
//! piece before; a source that ends early cuts the connection and never passes for whole.
//! Spec: RFC 9112 §7.1.

use std::io::SeekFrom;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt, AsyncWrite};

use crate::pattern;
use crate::reply::{Coding, Cut, CutBy, Part, Reply, Source, Span};
use crate::wire::{Gone, Wire};

/// Most content octets of one write.
const PIECE_BYTES: usize = 64 * 1024;

/// How a response ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    Whole,
    Cut(CutBy),
}

/// Sends a response.
pub(crate) async fn send<I>(wire: &mut Wire<I>, mut reply: Reply) -> Result<Sent, Gone>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    if let Some(octets) = reply.cut_head_after {
        let by = reply.cut.map_or(CutBy::Close, |cut| cut.by);
        wire.write(&reply.head[..octets.min(reply.head.len())]).await?;
        return Ok(Sent::Cut(by));
    }
    let mut out = std::mem::take(&mut reply.head);
    // Where nothing of the content goes out, the head still does.
    if reply.cut.is_some() {
        wire.write(&out).await?;
        out.clear();
    }
    let mut content = Content::new(&mut reply);
    let mut left = reply.cut.map_or(u64::MAX, |cut| cut.after);
    let mut first = true;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(piece_bytes(&reply));
        let piece = match content.next(most).await {
            Ok(Some(piece)) => piece,
            Ok(None) => break,
            Err(_) => return Ok(Sent::Cut(CutBy::Close)),
        };
        left -= piece.len() as u64;
        if let (Some(pace), false) = (reply.pace, first) {
            wire.pause(pace.every).await?;
        }
        if out.is_empty() && matches!(reply.coding, Coding::Plain) {
            wire.write(&piece).await?;
        } else {
            encode(&mut out, &piece, &reply.coding, first);
            wire.write(&out).await?;
            out.clear();
        }
        first = false;
    }
    if let Some(Cut { by, .. }) = reply.cut {
        return Ok(Sent::Cut(by));
    }
    if let Coding::Chunked { trailers, .. } = &reply.coding {
        out.extend_from_slice(b"0\r\n");
        out.extend_from_slice(trailers);
        out.extend_from_slice(b"\r\n");
    }
    wire.write(&out).await?;
    Ok(Sent::Whole)
}

fn piece_bytes(reply: &Reply) -> usize {
    let paced = reply.pace.map_or(PIECE_BYTES, |pace| pace.bytes);
    let coded = match reply.coding {
        Coding::Plain => PIECE_BYTES,
        Coding::Chunked { chunk_bytes, .. } => chunk_bytes,
    };
    paced.min(coded).min(PIECE_BYTES)
}

fn encode(out: &mut Vec<u8>, piece: &[u8], coding: &Coding, first: bool) {
    match coding {
        Coding::Plain => out.extend_from_slice(piece),
        Coding::Chunked { first_size, .. } => {
            match first_size {
                Some(size) if first => out.extend_from_slice(size.as_bytes()),
                _ => out.extend_from_slice(format!("{:x}", piece.len()).as_bytes()),
            }
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(piece);
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// The content of a reply, taken piece by piece.
struct Content {
    parts: std::vec::IntoIter<Part>,
    part: Option<Part>,
    source: Source,
    /// Where the file stands, so that a span that follows another needs no seek.
    file_position: Option<u64>,
}

impl Content {
    fn new(reply: &mut Reply) -> Self {
        let nothing = Source::Octets(Bytes::new());
        Self {
            parts: std::mem::take(&mut reply.parts).into_iter(),
            part: None,
            source: std::mem::replace(&mut reply.source, nothing),
            file_position: None,
        }
    }

    /// The next piece: at most `most` octets, and none at the end.
    async fn next(&mut self, most: usize) -> std::io::Result<Option<Bytes>> {
        loop {
            let part = self.part.take().or_else(|| self.parts.next());
            match part {
                None => return Ok(None),
                Some(part) if part.bytes() == 0 => {}
                Some(Part::Octets(mut octets)) => {
                    let piece = octets.split_to(most.min(octets.len()));
                    self.part = Some(Part::Octets(octets));
                    return Ok(Some(piece));
                }
                Some(Part::Span(Span { start, bytes })) => {
                    let count = usize::try_from(bytes).unwrap_or(usize::MAX).min(most);
                    let piece = self.read(start, count).await?;
                    let used = piece.len() as u64;
                    self.part = Some(Part::Span(Span { start: start + used, bytes: bytes - used }));
                    return Ok(Some(piece));
                }
            }
        }
    }

    /// Some octets of the source, at least one.
    async fn read(&mut self, start: u64, count: usize) -> std::io::Result<Bytes> {
        match &mut self.source {
            Source::Octets(octets) => {
                let start = usize::try_from(start).unwrap_or(usize::MAX).min(octets.len());
                let end = start.saturating_add(count).min(octets.len());
                if start == end {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                Ok(octets.slice(start..end))
            }
            Source::Pattern { seed, .. } => Ok(pattern::octets(*seed, start, count).into()),
            Source::File { file, .. } => {
                if self.file_position != Some(start) {
                    file.seek(SeekFrom::Start(start)).await?;
                }
                let mut piece = vec![0; count];
                let read = file.read(&mut piece).await?;
                if read == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                piece.truncate(read);
                self.file_position = Some(start + read as u64);
                Ok(piece.into())
            }
        }
    }
}
