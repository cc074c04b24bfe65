//! The byte stream under HTTP/2, and what passing bytes tell of its client.
//!
//! In: a stream whose preface was read already. Out: the same stream, and [`Traffic`] that any
//! task may read.
//! Always holds: a byte that the stream accepts is the one sign of life of a client that reads; how
//! large the library's frames or our chunks are says nothing. It changes no byte and knows of frames
//! only where they begin and of which type they are (RFC 9113 §4.1): the library answers each
//! SETTINGS and PING, however many there are (§10.5), and keeps a field section that has not ended
//! (§4.3), which is charged here because nobody else can see it.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    time::Instant,
};

use super::PREFACE;
use crate::{fetch::room::FillRoom, store::budget::Charge};

/// Bytes that a client takes for each frame of its own that carries nothing. Clients that measure
/// their bandwidth send a PING behind the data of each round trip.
const BYTES_PER_CONTROL: u64 = 16 * 1024;

/// No moment.
pub(super) const NEVER: u64 = u64::MAX;

/// What has passed over one connection.
#[derive(Debug)]
pub(super) struct Traffic {
    started: Instant,
    accepted_bytes: AtomicU64,
    /// Since when the stream has accepted nothing of what waits.
    full_since: AtomicU64,
    /// When it last accepted something after it had been full.
    relieved_at: AtomicU64,
    /// Frames without request, content or window since the minute began, and what may be.
    controls: AtomicU32,
    controls_max: u32,
    /// Bytes that had been accepted when the minute began.
    minute_bytes: AtomicU64,
    /// Told when those frames were too many.
    pub(super) flood: Notify,
    /// Told when there is no memory for a field section.
    pub(super) scarce: Notify,
}

impl Traffic {
    pub(super) fn new(controls_max: u32) -> Self {
        Self {
            started: Instant::now(),
            accepted_bytes: AtomicU64::new(0),
            full_since: AtomicU64::new(NEVER),
            relieved_at: AtomicU64::new(0),
            controls: AtomicU32::new(0),
            controls_max,
            minute_bytes: AtomicU64::new(0),
            flood: Notify::new(),
            scarce: Notify::new(),
        }
    }

    /// What is counted per minute begins anew.
    pub(super) fn begin_minute(&self) {
        self.controls.store(0, Relaxed);
        self.minute_bytes.store(self.accepted_bytes.load(Relaxed), Relaxed);
    }

    fn control(&self, frames: u32) {
        let controls = self.controls.fetch_add(frames, Relaxed).saturating_add(frames);
        let accepted = self.accepted_bytes.load(Relaxed);
        let taken = accepted.saturating_sub(self.minute_bytes.load(Relaxed));
        if u64::from(controls) > u64::from(self.controls_max) + taken / BYTES_PER_CONTROL {
            self.flood.notify_one();
        }
    }

    /// Milliseconds since the connection began.
    pub(super) fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(NEVER - 1)
    }

    /// Since when the stream has been full, [`NEVER`] while it is not.
    pub(super) fn full_since(&self) -> u64 {
        self.full_since.load(Relaxed)
    }

    /// Since when nothing has waited for room in the stream, [`NEVER`] while something does.
    pub(super) fn free_since(&self) -> u64 {
        if self.full_since() == NEVER { self.relieved_at.load(Relaxed) } else { NEVER }
    }

    fn offered(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let was_full = self.full_since() != NEVER;
        match &polled {
            Poll::Ready(Ok(accepted)) => {
                self.accepted_bytes.fetch_add(*accepted as u64, Relaxed);
                if was_full {
                    self.full_since.store(NEVER, Relaxed);
                    self.relieved_at.store(self.millis(), Relaxed);
                }
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending if was_full => {}
            Poll::Pending => self.full_since.store(self.millis(), Relaxed),
        }
        polled
    }
}

/// Where a client's frames begin.
#[derive(Debug, Default)]
struct Frames {
    /// The beginning of a frame's head, and how much of it came.
    head: [u8; 9],
    came: usize,
    /// Bytes of the frame that are no head.
    left: usize,
    /// A field section has begun whose last frame has not.
    goes_on: bool,
}

impl Frames {
    /// How many frames whose heads end in `bytes` carry no request, content or window.
    fn pass(&mut self, mut bytes: &[u8]) -> u32 {
        let mut controls = 0;
        while !bytes.is_empty() {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len());
                self.left -= skipped;
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            for (place, octet) in self.head.iter_mut().skip(self.came).zip(bytes) {
                *place = *octet;
            }
            let taken = (self.head.len() - self.came).min(bytes.len());
            self.came += taken;
            bytes = bytes.get(taken..).unwrap_or_default();
            if self.came == self.head.len() {
                let [long, middle, short, kind, flags, ..] = self.head;
                self.came = 0;
                self.left = u32::from_be_bytes([0, long, middle, short]) as usize;
                if matches!(kind, HEADERS | CONTINUATION) {
                    self.goes_on = flags & END_HEADERS == 0;
                }
                controls += u32::from(is_control(kind));
            }
        }
        controls
    }
}

/// Whether frames of a type are neither DATA, HEADERS, RST_STREAM (which have limits of their own),
/// WINDOW_UPDATE nor CONTINUATION (RFC 9113 §6).
const fn is_control(kind: u8) -> bool {
    !matches!(kind, 0 | HEADERS | 3 | 8 | CONTINUATION)
}

/// The types of frames that carry a field section, and the flag of the last (RFC 9113 §6.2, §6.10).
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// A byte stream whose first bytes, the preface, were read already.
pub(super) struct Transport<S> {
    preface: Bytes,
    io: S,
    traffic: Arc<Traffic>,
    frames: Frames,
    section: Section,
}

/// The memory of a field section that goes on in further frames.
pub(super) struct Section {
    pub(super) room: Arc<FillRoom>,
    /// What the library keeps of one at most, as it came and decoded.
    pub(super) bytes_max: usize,
    pub(super) charge: Option<Charge>,
}

impl Section {
    /// Whether there is memory for what goes on, if anything does.
    fn settle(&mut self, goes_on: bool) -> bool {
        if !goes_on {
            self.charge = None;
        } else if self.charge.is_none() {
            self.charge = self.room.reserve_waiting(self.bytes_max);
        }
        self.charge.is_some() == goes_on
    }
}

impl<S> Transport<S> {
    /// Gives the preface back to who reads first.
    pub(super) fn new(io: S, traffic: Arc<Traffic>, section: Section) -> Self {
        let (preface, frames) = (Bytes::from_static(PREFACE), Frames::default());
        Self { preface, io, traffic, frames, section }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Transport<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.preface.is_empty() {
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
            let controls = this.frames.pass(buf.filled().get(before..).unwrap_or_default());
            if controls > 0 {
                this.traffic.control(controls);
            }
            if !this.section.settle(this.frames.goes_on) {
                this.traffic.scarce.notify_one();
            }
            return Poll::Ready(Ok(()));
        }
        let length = this.preface.len().min(buf.remaining());
        buf.put_slice(&this.preface.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Transport<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        self.traffic.offered(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.traffic.offered(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However the bytes are cut, the same frames are counted.
    #[test]
    fn rfc9113_4_1_frames_are_told_apart_by_their_heads() {
        let frame = |kind: u8, length: u8| {
            let mut bytes = vec![0, 0, length, kind, 0, 0, 0, 0, 1];
            // Content that looks like a PING's head.
            bytes.extend([0, 0, 0, 6].iter().cycle().take(usize::from(length)));
            bytes
        };
        let kinds = [4, 1, 0, 6, 8, 3, 9, 2, 7, 200, 0, 4];
        let bytes: Vec<u8> =
            kinds.iter().zip(0_u8..).flat_map(|(kind, n)| frame(*kind, n * 20)).collect();
        for size in [1, 2, 8, 9, 10, 100, bytes.len()] {
            let mut frames = Frames::default();
            let controls: u32 = bytes.chunks(size).map(|piece| frames.pass(piece)).sum();
            assert_eq!(controls, 6, "by {size}");
        }
    }
}
