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
        Arc, Weak,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use parking_lot::Mutex;
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
    /// Since when a frame or a field section has been coming that is not whole.
    partial_since: AtomicU64,
    /// Told when those frames were too many.
    pub(super) flood: Notify,
    /// Told when there is no memory for what has come in part.
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
            partial_since: AtomicU64::new(NEVER),
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

    /// Whether something has come in part, and has begun since it was last asked.
    fn parted(&self, is_partial: bool, is_new: bool) {
        let was_partial = self.partial_since.load(Relaxed) != NEVER;
        if !is_partial {
            self.partial_since.store(NEVER, Relaxed);
        } else if is_new || !was_partial {
            self.partial_since.store(self.millis(), Relaxed);
        }
    }

    /// How long a frame or a field section has been coming whose client could have sent it on.
    pub(super) fn partial_for(&self, now: u64) -> u64 {
        let (since, free) = (self.partial_since.load(Relaxed), self.free_since());
        // Nothing is read of a client that takes nothing.
        if since == NEVER || free == NEVER { 0 } else { now.saturating_sub(since.max(free)) }
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

/// Where a client's frames begin and end.
#[derive(Debug, Default)]
struct Frames {
    /// The head of the frame that comes, and how much of it came.
    head: [u8; 9],
    came: usize,
    /// Bytes of its payload that are to come.
    left: usize,
    /// Octets of a field section whose last frame is not whole, in those that are.
    section: Option<usize>,
    /// Frames and field sections that came to their end.
    whole: u64,
}

impl Frames {
    /// How many frames whose heads end in `bytes` carry no request, content or window.
    fn pass(&mut self, mut bytes: &[u8]) -> u32 {
        let mut controls = 0;
        while !bytes.is_empty() {
            let taken;
            if self.came < self.head.len() {
                for (place, octet) in self.head.iter_mut().skip(self.came).zip(bytes) {
                    *place = *octet;
                }
                taken = (self.head.len() - self.came).min(bytes.len());
                self.came += taken;
                if self.came == self.head.len() {
                    self.left = self.length();
                    controls += u32::from(is_control(self.kind()));
                }
            } else {
                taken = self.left.min(bytes.len());
                self.left -= taken;
            }
            bytes = bytes.get(taken..).unwrap_or_default();
            if self.came == self.head.len() && self.left == 0 {
                self.end();
            }
        }
        controls
    }

    /// The last byte of a frame has passed.
    fn end(&mut self) {
        let (length, [_, _, _, kind, flags, ..]) = (self.length(), self.head);
        self.came = 0;
        if matches!(kind, HEADERS | CONTINUATION) {
            let so_far = self.section.unwrap_or_default();
            self.section = (flags & END_HEADERS == 0).then(|| so_far.saturating_add(length));
        }
        if self.section.is_none() {
            self.whole += 1;
        }
    }

    const fn kind(&self) -> u8 {
        let [_, _, _, kind, ..] = self.head;
        kind
    }

    const fn length(&self) -> usize {
        let [long, middle, short, ..] = self.head;
        u32::from_be_bytes([0, long, middle, short]) as usize
    }

    /// Whether a frame or a field section has come in part. Content is none of these: it has a deadline
    /// of its own.
    const fn is_partial(&self) -> bool {
        self.section.is_some() || self.came > TYPE_AT && self.kind() != DATA
    }

    /// Whether what has come in part is content.
    const fn is_content(&self) -> bool {
        self.section.is_none() && self.kind() == DATA
    }

    /// What the library keeps of them; of a field section no more than `section_bytes_max`.
    fn kept_bytes(&self, section_bytes_max: usize) -> usize {
        let is_inside = self.came == self.head.len();
        let frame = if is_inside { self.length() - self.left } else { 0 };
        let section = self.section.unwrap_or_default().saturating_mul(OCTET_BYTES);
        frame.saturating_add(section.min(section_bytes_max))
    }
}

/// Whether frames of a type are neither DATA, HEADERS, RST_STREAM (which have limits of their own),
/// WINDOW_UPDATE nor CONTINUATION (RFC 9113 §6).
const fn is_control(kind: u8) -> bool {
    !matches!(kind, DATA | HEADERS | 3 | 8 | CONTINUATION)
}

/// Where a frame's head says its type (RFC 9113 §4.1).
const TYPE_AT: usize = 3;
/// The type of frames that carry content (RFC 9113 §6.1).
const DATA: u8 = 0;
/// The types of frames that carry a field section, and the flag of the last (RFC 9113 §6.2, §6.10).
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// What an octet of a field section may become: one names a field that was sent before (RFC 7541 §6.1).
const OCTET_BYTES: usize = 64;
/// What a connection may make the library keep uncharged, and by how much its charge grows.
const STEP_BYTES: usize = 4 * 1024;

/// A byte stream whose first bytes, the preface, were read already.
pub(super) struct Transport<S> {
    preface: Bytes,
    io: S,
    traffic: Arc<Traffic>,
    frames: Frames,
    section: Section,
}

/// The memory of frames and of a field section that have come in part.
pub(super) struct Section {
    room: Arc<FillRoom>,
    /// What the library keeps of a section at most, as it came and decoded.
    bytes_max: usize,
    /// The charge of the connection's window, while there is one.
    window: Arc<Mutex<Weak<Charge>>>,
    charge: Option<Charge>,
    charged: usize,
}

impl Section {
    pub(super) fn new(room: Arc<FillRoom>, bytes_max: usize) -> Self {
        Self { room, bytes_max, window: Arc::default(), charge: None, charged: 0 }
    }

    /// Where who charges the connection's window leaves word of it.
    pub(super) fn window(&self) -> Arc<Mutex<Weak<Charge>>> {
        Arc::clone(&self.window)
    }

    /// Whether there is memory for what has come in part. Content of a request that is open was
    /// charged with the window; a frame of content that belongs to none is kept like any other.
    fn settle(&mut self, frames: &Frames) -> bool {
        let is_charged = frames.is_content() && self.window.lock().strong_count() > 0;
        let kept = if is_charged { 0 } else { frames.kept_bytes(self.bytes_max) };
        let wanted = if kept > STEP_BYTES {
            kept.checked_next_multiple_of(STEP_BYTES).unwrap_or(kept)
        } else {
            0
        };
        if wanted == self.charged {
            return true;
        }
        (self.charge, self.charged) = (None, 0);
        if wanted > 0 {
            self.charge = self.room.reserve_waiting(wanted);
            self.charged = self.charge.as_ref().map_or(0, |_| wanted);
        }
        self.charged == wanted
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
            let whole = this.frames.whole;
            let controls = this.frames.pass(buf.filled().get(before..).unwrap_or_default());
            if controls > 0 {
                this.traffic.control(controls);
            }
            this.traffic.parted(this.frames.is_partial(), this.frames.whole > whole);
            if !this.section.settle(&this.frames) {
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

    /// A section is kept until the last byte of its last frame, however the bytes are cut.
    #[test]
    fn rfc9113_4_3_what_has_come_in_part_is_kept_to_its_last_byte() {
        let frame = |kind: u8, flags: u8, length: u8| {
            let head = [0, 0, length, kind, flags, 0, 0, 0, 1];
            [&head[..], &vec![0; usize::from(length)]].concat()
        };
        let (begin, end) = (frame(HEADERS, 0, 100), frame(CONTINUATION, END_HEADERS, 50));
        let most = 4000;
        for (before, kept) in [(vec![], 0), (begin, most), (frame(HEADERS, 0, 0), 0)] {
            for size in [1, 7, 100] {
                let mut frames = Frames::default();
                for piece in before.chunks(size) {
                    frames.pass(piece);
                }
                assert_eq!(
                    (frames.is_partial(), frames.kept_bytes(most)),
                    (!before.is_empty(), kept)
                );
                let (last, most_of_it) = end.split_last().unwrap();
                for piece in most_of_it.chunks(size) {
                    frames.pass(piece);
                    assert_eq!(frames.whole, 0, "by {size}");
                }
                assert_eq!((frames.is_partial(), frames.kept_bytes(most)), (true, kept + 49));
                frames.pass(&[*last]);
                assert_eq!((frames.is_partial(), frames.kept_bytes(most)), (false, 0));
                assert_eq!(frames.whole, 1);
            }
        }
        let mut frames = Frames::default();
        frames.pass(&frame(DATA, 0, 100)[..50]);
        assert!(!frames.is_partial() && frames.is_content());
        assert_eq!(frames.kept_bytes(most), 41, "content, its head taken off");
    }
}
