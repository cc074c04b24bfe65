//! The streams of one HTTP/2 connection: how far the client of each has come, and when it is over.
//!
//! In: what is given to each stream and what the transport accepts of it. Out: what to do about the
//! connection, once a tick.
//! Always holds: a stream is open until the last byte of its answer was accepted, not until the
//! library was given it; a client that takes nothing is told apart by bytes, never by chunks; one
//! stream that stands still costs its neighbours nothing (RFC 9113 §5.2: flow control per stream is
//! the client's right).

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU32, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use bytes::{Buf, Bytes};
use edge_core::settings::LimitSettings;
use futures_util::task::AtomicWaker;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use parking_lot::Mutex;
use slab::Slab;
use tokio::sync::Notify;

use super::transport::{NEVER, Traffic};

/// What is counted per minute begins anew after this many milliseconds.
const MINUTE: u64 = 60_000;

/// Bytes of interim responses that one stream may have in all.
const INTERIM_BYTES_MAX: usize = 16 * 1024;
/// What one costs beside its fields.
const INTERIM_OVERHEAD_BYTES: usize = 256;

/// The way to a stream's client for interim responses.
#[derive(Clone, Debug)]
pub struct StreamInterim(Arc<Progress>);

impl StreamInterim {
    pub(super) fn to(stream: &Stream) -> Self {
        Self(Arc::clone(&stream.progress))
    }

    /// Sends one, unless the final response has begun.
    pub fn send(&self, status: StatusCode, fields: HeaderMap) {
        self.0.interim(status, fields);
    }
}

/// The streams of one connection.
#[derive(Debug)]
pub(super) struct Streams {
    traffic: Arc<Traffic>,
    open: Mutex<Slab<Arc<Progress>>>,
    opened: AtomicU64,
    /// Streams that ended before their answer since the minute began.
    resets: AtomicU32,
    resets_max: u32,
    /// Told when they were too many.
    pub(super) flood: Notify,
}

impl Streams {
    pub(super) fn new(traffic: Arc<Traffic>, resets_max: u32) -> Self {
        Self {
            traffic,
            open: Mutex::new(Slab::new()),
            opened: AtomicU64::new(0),
            resets: AtomicU32::new(0),
            resets_max,
            flood: Notify::new(),
        }
    }
}

/// How far a stream's client has come with its answer.
#[derive(Debug)]
pub(super) struct Progress {
    traffic: Arc<Traffic>,
    /// Content bytes that wait for the client, in our hands or the library's.
    waiting: AtomicU64,
    /// When the client last took some, or was first given some.
    taken_at: AtomicU64,
    /// Content bytes that the library threw away.
    lost: AtomicU64,
    is_stalled: AtomicBool,
    /// Interim responses that wait to be sent, and the bytes of all so far.
    interims: Mutex<(Vec<Response<()>>, usize)>,
    waker: AtomicWaker,
}

impl Progress {
    fn new(traffic: Arc<Traffic>) -> Self {
        Self {
            traffic,
            waiting: AtomicU64::new(0),
            taken_at: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            is_stalled: AtomicBool::new(false),
            interims: Mutex::default(),
            waker: AtomicWaker::new(),
        }
    }

    /// An interim response for the client; more than a stream may have are dropped, for they are
    /// advice and wait outside of the client's window.
    fn interim(&self, status: StatusCode, fields: HeaderMap) {
        let line = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
        let bytes = fields.iter().map(line).fold(INTERIM_OVERHEAD_BYTES, usize::saturating_add);
        let mut response = Response::new(());
        (*response.status_mut(), *response.headers_mut()) = (status, fields);
        {
            let mut interims = self.interims.lock();
            let (waiting, so_far) = &mut *interims;
            *so_far = so_far.saturating_add(bytes);
            if *so_far > INTERIM_BYTES_MAX {
                return;
            }
            waiting.push(response);
        }
        self.waker.wake();
    }

    /// The interim responses that wait to be sent.
    pub(super) fn take_interims(&self) -> Vec<Response<()>> {
        std::mem::take(&mut self.interims.lock().0)
    }

    /// The task to wake when the client has taken everything, has stood still too long, or is to
    /// have an interim response.
    pub(super) fn attend(&self, waker: &std::task::Waker) {
        self.waker.register(waker);
    }

    /// Whether the client has stood still too long.
    pub(super) fn is_stalled(&self) -> bool {
        self.is_stalled.load(Acquire)
    }

    /// Whether nothing waits for the client.
    pub(super) fn is_taken(&self) -> bool {
        self.waiting.load(Acquire) == 0
    }

    /// Content bytes that never reached the client.
    pub(super) fn missing(&self) -> u64 {
        self.waiting.load(Acquire).saturating_add(self.lost.load(Acquire))
    }

    /// A piece of content for the client.
    pub(super) fn give(self: &Arc<Self>, content: Bytes) -> Piece {
        if self.waiting.fetch_add(content.len() as u64, AcqRel) == 0 {
            self.taken_at.store(self.traffic.millis(), Relaxed);
        }
        Piece { content, progress: Arc::clone(self) }
    }

    /// So many bytes of it wait no longer.
    fn settle(&self, bytes: usize) {
        let bytes = bytes as u64;
        if self.waiting.fetch_sub(bytes, AcqRel) == bytes {
            self.waker.wake();
        }
    }

    /// Marks it as stalled if it has waited for its client since `patience` ago, with a transport
    /// that had room all that time: what waits behind a full one is not its own client's fault.
    fn stall(&self, now: u64, patience: u64) -> bool {
        let free_since = self.traffic.free_since();
        if self.is_taken() || free_since == NEVER || self.is_stalled() {
            return false;
        }
        let since = self.taken_at.load(Relaxed).max(free_since);
        let is_over = now.saturating_sub(since) >= patience;
        if is_over {
            self.is_stalled.store(true, Release);
            self.waker.wake();
        }
        is_over
    }
}

/// Content on its way through the library, which notes how far it has come.
#[derive(Debug)]
pub(super) struct Piece {
    content: Bytes,
    progress: Arc<Progress>,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.content.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.content.chunk()
    }

    fn advance(&mut self, bytes: usize) {
        self.content.advance(bytes);
        self.progress.taken_at.store(self.progress.traffic.millis(), Relaxed);
        self.progress.settle(bytes);
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let left = self.content.len();
        if left > 0 {
            self.progress.lost.fetch_add(left as u64, AcqRel);
            self.progress.settle(left);
        }
    }
}

/// One stream, for as long as it is open.
#[derive(Debug)]
pub(super) struct Stream {
    streams: Arc<Streams>,
    pub(super) progress: Arc<Progress>,
    slot: usize,
    /// Its answer's head was sent.
    pub(super) is_answered: bool,
}

impl Stream {
    pub(super) fn open(streams: &Arc<Streams>) -> Self {
        streams.opened.fetch_add(1, Relaxed);
        let progress = Arc::new(Progress::new(Arc::clone(&streams.traffic)));
        let slot = streams.open.lock().insert(Arc::clone(&progress));
        Self { streams: Arc::clone(streams), progress, slot, is_answered: false }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.streams.open.lock().remove(self.slot);
        if self.is_answered {
            return;
        }
        // Rapid reset (CVE-2023-44487): a stream that is opened and reset costs us a forward and
        // the client nothing.
        let resets = self.streams.resets.fetch_add(1, Relaxed).saturating_add(1);
        if resets > self.streams.resets_max {
            self.streams.flood.notify_one();
        }
    }
}

/// What a connection was doing when it was last looked at.
#[derive(Debug, Default)]
pub(super) struct Watch {
    minute: u64,
    /// When a stream was last open.
    active: u64,
    opened: u64,
    /// When the client was told that no more streams are taken.
    closing: Option<u64>,
}

/// What to do about a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing.
    Fine,
    /// So many streams stand still and have been told so.
    Stalled(usize),
    /// It has had no stream for `idle_timeout`.
    Idle,
    /// It was told to go, has no stream any more, and stays.
    Over,
    /// It takes nothing at all.
    Deaf,
    /// A head of its, or a frame that is no content, does not come to its end.
    Slow,
}

impl Watch {
    /// From now on the connection may only end.
    pub(super) fn close(&mut self, streams: &Streams) {
        self.closing.get_or_insert_with(|| streams.traffic.millis());
    }

    pub(super) fn look(
        &mut self,
        streams: &Streams,
        limits: &LimitSettings,
        grace: Duration,
    ) -> Look {
        let now = streams.traffic.millis();
        if now.saturating_sub(self.minute) >= MINUTE {
            self.minute = now;
            streams.resets.store(0, Relaxed);
            streams.traffic.begin_minute();
        }
        let patience = millis(limits.write_timeout);
        let full_since = streams.traffic.full_since();
        if full_since != NEVER && now.saturating_sub(full_since) >= patience {
            return Look::Deaf;
        }
        if streams.traffic.partial_for(now) >= millis(limits.header_timeout) {
            return Look::Slow;
        }
        let (is_open, stalled) = {
            let open = streams.open.lock();
            let stalled = open.iter().filter(|(_, progress)| progress.stall(now, patience)).count();
            (!open.is_empty(), stalled)
        };
        if stalled > 0 {
            return Look::Stalled(stalled);
        }
        let opened = streams.opened.load(Relaxed);
        if is_open || opened != self.opened {
            self.opened = opened;
            self.active = now;
            return Look::Fine;
        }
        match self.closing {
            Some(since) if now.saturating_sub(since.max(self.active)) >= millis(grace) => {
                Look::Over
            }
            None if now.saturating_sub(self.active) >= millis(limits.idle_timeout) => Look::Idle,
            Some(_) | None => Look::Fine,
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(NEVER)
}
