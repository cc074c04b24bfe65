//! The one thread that writes the access log.
//!
//! In: chunks of whole lines, wishes (reopen, close). Out: bytes in the sink, counts, warnings.
//! Always: a chunk's lines end up written or dropped, each counted once; a reader sees whole lines,
//! the first after a failed write on a line of its own; a wish made before a chunk was queued is
//! obeyed before that chunk is written; after the close deadline nothing is waited for.
//! Does not know: workers, or what a line says.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::sink::Sink;
use super::{AccessLogError, Chunk, Stock};

/// Drops are told to the operator this often at most; the metrics count them all.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// What is left to write when every handle was dropped without `close` gets this long.
const ABANDONED_DEADLINE: Duration = Duration::from_secs(1);

/// Stands for a deadline too far to be represented.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Opens the target and starts the thread. The returned receiver fails once the thread has ended.
pub(super) fn start(
    path: Option<PathBuf>,
    chunks: mpsc::Receiver<Chunk>,
    closing: watch::Receiver<Option<Duration>>,
    stock: Arc<Stock>,
) -> Result<watch::Receiver<()>, AccessLogError> {
    let runtime =
        Builder::new_current_thread().enable_all().build().map_err(AccessLogError::Start)?;
    let sink = match open_in(&runtime, path.clone()) {
        Ok(sink) => sink,
        Err(source) => {
            // Dropping a runtime inside another one's task would panic.
            runtime.shutdown_background();
            return Err(match path {
                Some(path) => AccessLogError::Open { path, source },
                None => AccessLogError::Start(source),
            });
        }
    };
    let (end, ended) = watch::channel(());
    let work =
        Work { closing, sink, stock, close_at: None, torn: false, failing: false, warned: None };
    std::thread::Builder::new()
        .name("access-log".to_owned())
        .spawn(move || {
            runtime.block_on(work.run(chunks));
            drop(end);
        })
        .map_err(AccessLogError::Start)?;
    Ok(ended)
}

fn open_in(runtime: &Runtime, path: Option<PathBuf>) -> io::Result<Sink> {
    let _entered = runtime.enter();
    Sink::open(path)
}

struct Work {
    closing: watch::Receiver<Option<Duration>>,
    sink: Sink,
    stock: Arc<Stock>,
    /// Set once closing was asked for.
    close_at: Option<Instant>,
    /// A failed write left part of a line behind.
    torn: bool,
    /// The last write failed, and the operator knows.
    failing: bool,
    /// When the operator was last told of drops.
    warned: Option<Instant>,
}

impl Work {
    async fn run(mut self, mut chunks: mpsc::Receiver<Chunk>) {
        let stock = Arc::clone(&self.stock);
        let mut dropped_known = 0;
        loop {
            tokio::select! {
                biased;
                () = stock.reopen_asked.notified() => self.reopen_if_asked(),
                within = close_asked(&mut self.closing), if self.close_at.is_none() => {
                    self.close_within(within);
                }
                chunk = chunks.recv() => {
                    let Some(chunk) = chunk else { return };
                    // Asked before the chunk was queued, perhaps after the first arm was polled.
                    self.reopen_if_asked();
                    self.deliver(chunk).await;
                    self.warn_of_drops(&mut dropped_known);
                }
            }
            if self.close_at.is_some() {
                chunks.close();
            }
        }
    }

    /// Writes a chunk, or as much of it as the sink and the deadline allow.
    async fn deliver(&mut self, chunk: Chunk) {
        let mut done = 0;
        while let Some(rest) = chunk.bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let close_at = self.close_at;
            if close_at.is_some() && self.sink.is_away() {
                break;
            }
            let bytes = if self.torn { b"\n" } else { rest };
            tokio::select! {
                biased;
                within = close_asked(&mut self.closing), if close_at.is_none() => {
                    self.close_within(within);
                }
                () = at(close_at) => break,
                result = self.sink.write_some(bytes) => match result {
                    Ok(_) if self.torn => self.torn = false,
                    Ok(taken) => {
                        done += taken;
                        self.failing = false;
                    }
                    Err(error) => match self.after_failure(&chunk.bytes, done, &error) {
                        Some(from) => done = from,
                        None => break,
                    },
                },
            }
        }
        self.account(&chunk, done);
        self.stock.give_back(chunk.bytes);
    }

    /// Where to go on after a failed write; None to give the chunk up.
    fn after_failure(&mut self, bytes: &[u8], done: usize, error: &io::Error) -> Option<usize> {
        match error.kind() {
            io::ErrorKind::Interrupted => Some(done),
            io::ErrorKind::BrokenPipe if self.sink.reader_left() => {
                // The next reader shall begin with a whole line.
                self.torn = false;
                Some(start_of_line(bytes, done))
            }
            _ => {
                self.torn = start_of_line(bytes, done) != done || (done == 0 && self.torn);
                if !self.failing {
                    self.failing = true;
                    tracing::warn!(
                        error = %error,
                        "access log {}: write failed; dropping and counting lines until it works",
                        self.sink.name()
                    );
                }
                None
            }
        }
    }

    fn account(&self, chunk: &Chunk, done: usize) {
        let written = if done == chunk.bytes.len() {
            chunk.lines
        } else {
            let whole = chunk.bytes.iter().take(done).filter(|&&byte| byte == b'\n').count();
            u64::try_from(whole).unwrap_or(u64::MAX)
        };
        self.stock.lines_written.fetch_add(written, Ordering::Relaxed);
        self.stock.bytes_written.fetch_add(done as u64, Ordering::Relaxed);
        self.stock.count_dropped(chunk.lines.saturating_sub(written));
    }

    fn close_within(&mut self, within: Duration) {
        self.close_at = Some(Instant::now() + within.min(FAR));
    }

    fn reopen_if_asked(&mut self) {
        if !self.stock.reopen.swap(false, Ordering::AcqRel) {
            return;
        }
        match self.sink.reopen() {
            Ok(()) => self.torn = false,
            Err(error) => tracing::warn!(
                error = %error,
                "access log {}: cannot be opened again; still writing to the file open before",
                self.sink.name()
            ),
        }
    }

    fn warn_of_drops(&mut self, known: &mut u64) {
        let dropped = self.stock.lines_dropped.load(Ordering::Relaxed);
        let now = Instant::now();
        let quiet = self.warned.is_some_and(|warned| now.duration_since(warned) < WARN_EVERY);
        if dropped == *known || quiet {
            return;
        }
        tracing::warn!(
            lines = dropped - *known,
            "access log {}: too slow or away; lines were dropped",
            self.sink.name()
        );
        self.warned = Some(now);
        *known = dropped;
    }
}

/// How long there is, once closing was asked for.
async fn close_asked(closing: &mut watch::Receiver<Option<Duration>>) -> Duration {
    match closing.wait_for(Option::is_some).await {
        Ok(within) => within.unwrap_or(ABANDONED_DEADLINE),
        Err(_) => ABANDONED_DEADLINE,
    }
}

/// Resolves at `deadline`; never without one.
async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// The start of the line that the byte before `done` belongs to, or `done` if that byte ends one.
fn start_of_line(bytes: &[u8], done: usize) -> usize {
    let before = bytes.get(..done).unwrap_or_default();
    before.iter().rposition(|&byte| byte == b'\n').map_or(0, |line_feed| line_feed + 1)
}
