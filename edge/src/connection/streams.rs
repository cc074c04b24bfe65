//! The streams of one HTTP/2 connection: how far each has come, and how many were reset.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use edge_core::settings::LimitSettings;
use parking_lot::Mutex;
use slab::Slab;
use tokio::{sync::Notify, time::Instant};

/// The streams of one HTTP/2 connection.
#[derive(Debug)]
pub(super) struct Streams {
    started: Instant,
    open: Mutex<Slab<Arc<Progress>>>,
    opened: AtomicU64,
    /// Streams that ended before their answer since the last look at the minute.
    resets: AtomicU32,
    resets_max: u32,
    pub(super) flood: Notify,
}

/// How far a stream's client has come with its answer.
#[derive(Debug)]
struct Progress {
    /// When the client was last given something, in milliseconds since the connection began;
    /// [`OURS`] while it waits for us.
    given: AtomicU64,
}

/// The next step of a stream is ours: its answer or more of its content.
const OURS: u64 = u64::MAX;

impl Streams {
    pub(super) fn new(resets_max: u32) -> Self {
        Self {
            started: Instant::now(),
            open: Mutex::new(Slab::new()),
            opened: AtomicU64::new(0),
            resets: AtomicU32::new(0),
            resets_max,
            flood: Notify::new(),
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(OURS - 1)
    }
}

/// One HTTP/2 stream; it ends when its answer's content does, or when the client resets it.
#[derive(Debug)]
pub struct Stream {
    streams: Arc<Streams>,
    progress: Arc<Progress>,
    slot: usize,
    pub(super) answered: bool,
}

impl Stream {
    pub(super) fn open(streams: &Arc<Streams>) -> Self {
        streams.opened.fetch_add(1, Ordering::Relaxed);
        let progress = Arc::new(Progress { given: AtomicU64::new(OURS) });
        let slot = streams.open.lock().insert(Arc::clone(&progress));
        Self { streams: Arc::clone(streams), progress, slot, answered: false }
    }

    /// The client has something to take now.
    pub fn give(&self) {
        self.progress.given.store(self.streams.millis(), Ordering::Relaxed);
    }

    /// The client waits for us.
    pub fn owe(&self) {
        self.progress.given.store(OURS, Ordering::Relaxed);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.streams.open.lock().remove(self.slot);
        if self.answered {
            return;
        }
        // Rapid reset (CVE-2023-44487): a stream that is opened and reset costs us a forward and
        // the client nothing.
        let resets = self.streams.resets.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if resets > self.streams.resets_max {
            self.streams.flood.notify_one();
        }
    }
}

/// What an HTTP/2 connection was doing when it was last looked at.
pub(super) struct H2Watch {
    minute: Instant,
    active: Instant,
    opened: u64,
}

pub(super) enum Look {
    Fine,
    Idle,
    Stalled,
}

impl H2Watch {
    pub(super) fn new(streams: &Streams) -> Self {
        Self { minute: streams.started, active: streams.started, opened: 0 }
    }

    pub(super) fn look(&mut self, streams: &Streams, limits: &LimitSettings) -> Look {
        let now = Instant::now();
        if now.duration_since(self.minute) >= Duration::from_secs(60) {
            self.minute = now;
            streams.resets.store(0, Ordering::Relaxed);
        }
        let millis = streams.millis();
        let patience = u64::try_from(limits.write_timeout.as_millis()).unwrap_or(OURS);
        let (any, stalled) = {
            let open = streams.open.lock();
            let stalled = open.iter().any(|(_, progress)| {
                let given = progress.given.load(Ordering::Relaxed);
                given != OURS && millis.saturating_sub(given) >= patience
            });
            (!open.is_empty(), stalled)
        };
        let opened = streams.opened.load(Ordering::Relaxed);
        if any || opened != self.opened {
            self.opened = opened;
            self.active = now;
        }
        if stalled {
            return Look::Stalled;
        }
        if now.duration_since(self.active) >= limits.idle_timeout {
            return Look::Idle;
        }
        Look::Fine
    }
}
