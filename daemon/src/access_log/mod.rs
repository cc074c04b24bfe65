//! The access log: one line per request, and never a request that waits for it.
//!
//! In: lines that workers format into buffers of their own. Out: a file, a FIFO or standard output,
//! written by one dedicated thread, and counts of what was written and dropped.
//! Always: a worker never waits and never does I/O here; what does not fit into the bounded queue is
//! dropped by whole lines and counted; lines offered = written + dropped + still on the way; at most
//! `access_queue` bytes of memory wait, however long the lines are (a single buffer that is larger
//! waits alone).
//! Does not know: what a line says; `json` helps to write one.
//! Hot path: no allocation and no system call per line, no lock waited for; a full buffer costs one
//! queue operation. Clause: docs/operate.md *Access log*.

mod sink;
mod thread;

use std::fmt;
use std::io;
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use crate::metrics::{Metrics, Scrape};
use crate::settings::{AccessTarget, LogSettings};

/// Room kept free for one more line, so that the usual line does not grow its buffer.
const LINE_ROOM: usize = 2 * 1024;

/// Empty buffers kept for reuse, at most.
const SPARE_MAX: usize = 32;

/// Why the access log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum AccessLogError {
    /// The operator's path cannot be opened for writing.
    #[error("[log] access = {path:?}: cannot be opened for writing")]
    Open {
        /// The path as set.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The writer thread, its runtime or standard output is not to be had.
    #[error("the access log's writer cannot be started")]
    Start(#[source] io::Error),
}

/// Lines gathered by one worker.
#[derive(Debug)]
struct Chunk {
    bytes: Vec<u8>,
    lines: u64,
}

/// What workers and the writer thread share.
#[derive(Debug)]
struct Stock {
    buffer_bytes: usize,
    queue_bytes_max: usize,
    /// Bytes of memory that the chunks on their way to the sink hold.
    queued: AtomicUsize,
    spare: Mutex<Vec<Vec<u8>>>,
    lines_written: AtomicU64,
    lines_dropped: AtomicU64,
    bytes_written: AtomicU64,
    reopen: AtomicBool,
    /// Wakes the thread to look at `reopen`.
    reopen_asked: Notify,
}

#[derive(Debug)]
struct Shared {
    stock: Arc<Stock>,
    queue: mpsc::Sender<Chunk>,
    closing: watch::Sender<Option<Duration>>,
    ended: watch::Receiver<()>,
    delay: Duration,
}

/// The access log of this process. Clones share one state.
#[derive(Debug, Clone)]
pub struct AccessLog {
    /// None when the log is off.
    shared: Option<Arc<Shared>>,
}

/// Lines so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessCounts {
    /// Lines handed to the system.
    pub written: u64,
    /// Lines given up because the target was slow, away or failing.
    pub dropped: u64,
}

impl AccessLog {
    /// A log that takes no lines.
    #[must_use]
    pub fn off() -> Self {
        Self { shared: None }
    }

    /// Opens the target and starts the writer thread. A FIFO that nobody reads is no error.
    ///
    /// # Errors
    /// When the target cannot be opened or the thread cannot be started.
    pub fn open(settings: &LogSettings) -> Result<Self, AccessLogError> {
        let bytes = |size: bytesize::ByteSize| usize::try_from(size.0).unwrap_or(usize::MAX);
        let path = match &settings.access {
            AccessTarget::Off => return Ok(Self::off()),
            AccessTarget::Stdout => None,
            AccessTarget::Path(path) => Some(path.clone()),
        };
        let buffer_bytes = bytes(settings.access_buffer).max(2 * LINE_ROOM);
        let queue_bytes_max = bytes(settings.access_queue);
        let slots = (queue_bytes_max / buffer_bytes).max(1);
        let stock = Arc::new(Stock {
            buffer_bytes,
            queue_bytes_max,
            queued: AtomicUsize::new(0),
            spare: Mutex::new(Vec::with_capacity(SPARE_MAX)),
            lines_written: AtomicU64::new(0),
            lines_dropped: AtomicU64::new(0),
            bytes_written: AtomicU64::new(0),
            reopen: AtomicBool::new(false),
            reopen_asked: Notify::new(),
        });
        let (queue, chunks) = mpsc::channel(slots);
        let (closing, close_asked) = watch::channel(None);
        let ended = thread::start(path, chunks, close_asked, Arc::clone(&stock))?;
        let shared = Shared { stock, queue, closing, ended, delay: settings.access_delay };
        Ok(Self { shared: Some(Arc::new(shared)) })
    }

    /// A buffer for one worker.
    #[must_use]
    pub fn writer(&self) -> Writer {
        let buffer = self.shared.as_ref().map_or_else(Vec::new, |shared| shared.stock.take());
        Writer { shared: self.shared.clone(), buffer, lines: 0, checked: None }
    }

    /// Opens the target again by its path, after log rotation moved the file away.
    pub fn reopen(&self) {
        if let Some(shared) = &self.shared {
            shared.stock.reopen.store(true, Ordering::Release);
            shared.stock.reopen_asked.notify_one();
        }
    }

    /// Writes what the queue holds and ends the thread; what is not written within `deadline` is
    /// dropped and counted. End the workers first: a dropped writer hands over its last lines.
    pub async fn close(&self, deadline: Duration) {
        let Some(shared) = &self.shared else { return };
        shared.closing.send_replace(Some(deadline));
        // The thread drops the sending side when it ends. It may be stuck in a write to standard
        // output, which nothing can interrupt; then we leave it behind.
        let mut ended = shared.ended.clone();
        let grace = deadline.saturating_add(Duration::from_millis(200));
        drop(tokio::time::timeout(grace, ended.changed()).await);
    }

    /// Lines written and dropped so far.
    #[must_use]
    pub fn counts(&self) -> AccessCounts {
        self.shared.as_ref().map_or(AccessCounts { written: 0, dropped: 0 }, |shared| {
            AccessCounts {
                written: shared.stock.lines_written.load(Ordering::Relaxed),
                dropped: shared.stock.lines_dropped.load(Ordering::Relaxed),
            }
        })
    }

    /// Puts the log's counts on the metrics page; nothing when the log is off.
    pub fn register(&self, metrics: &Metrics) {
        let Some(shared) = &self.shared else { return };
        let stock = Arc::clone(&shared.stock);
        metrics.register(move |scrape| stock.observe(scrape));
    }
}

/// One worker's side of the access log. Dropping it hands over its last lines.
#[derive(Debug)]
pub struct Writer {
    shared: Option<Arc<Shared>>,
    buffer: Vec<u8>,
    lines: u64,
    checked: Option<Instant>,
}

impl Writer {
    /// Whether lines go anywhere; ask before work that only the log needs.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.shared.is_some()
    }

    /// Appends what `format` writes as one line; it must contain no line feed. Nothing written is
    /// no line.
    pub fn line(&mut self, format: impl FnOnce(&mut Vec<u8>)) {
        let Some(shared) = &self.shared else { return };
        let before = self.buffer.len();
        format(&mut self.buffer);
        if self.buffer.len() == before {
            return;
        }
        self.buffer.push(b'\n');
        self.lines += 1;
        if self.buffer.len() + LINE_ROOM > shared.stock.buffer_bytes {
            self.flush();
        }
    }

    /// Hands over lines that may have rested for `access_delay`; the worker's ticker calls it.
    pub fn flush_if_older(&mut self, now: Instant) {
        let Some(shared) = &self.shared else { return };
        let due = match self.checked {
            Some(checked) => now.saturating_duration_since(checked) >= shared.delay,
            None => true,
        };
        if due {
            self.checked = Some(now);
            self.flush();
        }
    }

    /// Hands over the lines gathered so far.
    pub fn flush(&mut self) {
        let Some(shared) = &self.shared else { return };
        if self.lines == 0 {
            return;
        }
        let chunk = Chunk { bytes: mem::take(&mut self.buffer), lines: mem::take(&mut self.lines) };
        self.buffer = match shared.offer(chunk) {
            Ok(()) => shared.stock.take(),
            Err(chunk) => {
                shared.stock.count_dropped(chunk.lines);
                shared.stock.emptied(chunk.bytes).unwrap_or_else(|| shared.stock.take())
            }
        };
    }
}

impl Shared {
    /// Puts a chunk into the queue, or gives it back.
    fn offer(&self, chunk: Chunk) -> Result<(), Chunk> {
        let held = chunk.bytes.capacity();
        if !self.stock.admit(held) {
            return Err(chunk);
        }
        self.queue.try_send(chunk).map_err(|error| {
            self.stock.leave(held);
            error.into_inner()
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Stock {
    /// An empty buffer. A worker rather allocates than waits for the lock.
    fn take(&self) -> Vec<u8> {
        let spare = self.spare.try_lock().and_then(|mut spare| spare.pop());
        spare.unwrap_or_else(|| Vec::with_capacity(self.buffer_bytes))
    }

    /// Room in the queue for `held` bytes, if there is any. The queue's slots alone bound nothing:
    /// a client decides how long its lines are.
    fn admit(&self, held: usize) -> bool {
        let before = self.queued.fetch_add(held, Ordering::AcqRel);
        let fits = before == 0 || before.saturating_add(held) <= self.queue_bytes_max;
        if !fits {
            self.leave(held);
        }
        fits
    }

    fn leave(&self, held: usize) {
        self.queued.fetch_sub(held, Ordering::AcqRel);
    }

    /// The buffer for another use; one that a long line has grown is freed instead.
    fn emptied(&self, mut buffer: Vec<u8>) -> Option<Vec<u8>> {
        buffer.clear();
        (buffer.capacity() <= self.buffer_bytes).then_some(buffer)
    }

    /// Takes a chunk's buffer back and its room in the queue.
    fn give_back(&self, buffer: Vec<u8>) {
        self.leave(buffer.capacity());
        let Some(buffer) = self.emptied(buffer) else { return };
        let mut spare = self.spare.lock();
        if spare.len() < SPARE_MAX {
            spare.push(buffer);
        }
    }

    fn count_dropped(&self, lines: u64) {
        self.lines_dropped.fetch_add(lines, Ordering::Relaxed);
    }

    fn observe(&self, scrape: &mut Scrape<'_>) -> fmt::Result {
        let mut lines =
            scrape.counter("access_log_lines", "Access-log lines by what became of them.")?;
        lines.sample(&[("outcome", "written")], self.lines_written.load(Ordering::Relaxed))?;
        lines.sample(&[("outcome", "dropped")], self.lines_dropped.load(Ordering::Relaxed))?;
        let mut bytes = scrape.counter("access_log_bytes", "Access-log bytes written.")?;
        bytes.sample(&[], self.bytes_written.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests;
