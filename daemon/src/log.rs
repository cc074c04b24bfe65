//! The operator's log: messages on stderr, as text or JSON, set up once.
//!
//! In: `tracing` events of this process, panics included. Out: lines on stderr.
//! Always: whoever logs never waits for stderr: lines go over a bounded queue to a thread of their
//! own, and what does not fit is dropped and counted; our own parts show `level`, other crates one
//! step less.
//! Does not know: the access log (`access_log`), or which messages matter.
//! Clause: ARCHITECTURE.md *What never happens* 6.

use std::io::{self, IsTerminal, Write};
use std::panic::{self, PanicHookInfo};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tracing::level_filters::LevelFilter;
use tracing::{Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use crate::metrics::Metrics;
use crate::settings::{LogFormat, LogLevel, LogSettings};

/// Lines that wait for stderr, at most.
const QUEUE_LINES: usize = 1024;

/// How long the last lines get when the log is dropped.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Our own crates, by the beginning of their names.
const OURS: [&str; 4] = ["nearcast", "edge", "geodns", "origin_mock"];

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The process has a log already.
    #[error("the operator's log is set up already")]
    Twice,
    /// The system gives no thread.
    #[error("the operator's log cannot start its thread")]
    Thread(#[source] io::Error),
}

/// The log of this process; `main` holds it to the end. Dropping it waits briefly for the last lines.
#[derive(Debug, Clone)]
pub struct Log {
    queue: Queue,
    level: reload::Handle<Targets, Registry>,
}

impl Log {
    /// Sets the log up for the whole process, panics included.
    ///
    /// # Errors
    /// When it was set up before, or there is no thread for it.
    pub fn install(settings: &LogSettings) -> Result<Self, LogError> {
        let queue = Queue::start(io::stderr()).map_err(LogError::Thread)?;
        let colour = if io::stderr().is_terminal() { Colour::OnTerminal } else { Colour::Never };
        let (subscriber, level) = subscriber(settings, colour, queue.clone());
        subscriber.try_init().map_err(|_already_set| LogError::Twice)?;
        panic::set_hook(Box::new(report_panic));
        Ok(Self { queue, level })
    }

    /// Shows another level from now on, after a reload.
    pub fn set_level(&self, level: LogLevel) {
        // It fails only when the subscriber has gone, and then there is no log to change.
        drop(self.level.reload(targets(level)));
    }

    /// Waits until the lines so far are written, for `deadline` at most; whether they were.
    pub fn flush(&self, deadline: Duration) -> bool {
        self.queue.flush(deadline)
    }

    /// Puts the number of dropped messages on the metrics page.
    pub fn register(&self, metrics: &Metrics) {
        let counts = Arc::clone(&self.queue.counts);
        metrics.register(move |scrape| {
            let help = "Messages that the operator's log dropped because stderr was slow.";
            let dropped = counts.dropped.load(Ordering::Relaxed);
            scrape.counter("log_messages_dropped", help)?.sample(&[], dropped)
        });
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.flush(LAST_LINES);
    }
}

fn report_panic(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("no message");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(place, "a task panicked: {message}");
}

/// Whether text lines carry colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colour {
    /// As the terminal's user wants it (NO_COLOR).
    OnTerminal,
    Never,
}

/// What `install` installs, for any writer.
fn subscriber<W>(
    settings: &LogSettings,
    colour: Colour,
    writer: W,
) -> (impl Subscriber + Send + Sync, reload::Handle<Targets, Registry>)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(targets(settings.level));
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match settings.format {
        LogFormat::Text if colour == Colour::Never => lines.with_ansi(false).boxed(),
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => {
            let json = lines.json().flatten_event(true);
            json.with_current_span(true).with_span_list(false).boxed()
        }
    };
    (tracing_subscriber::registry().with(lines.with_filter(filter)), handle)
}

fn targets(level: LogLevel) -> Targets {
    let (ours, others) = match level {
        LogLevel::Error => (Level::ERROR, Level::ERROR),
        LogLevel::Warn => (Level::WARN, Level::ERROR),
        LogLevel::Info => (Level::INFO, Level::WARN),
        LogLevel::Debug => (Level::DEBUG, Level::INFO),
    };
    let targets = Targets::new().with_default(LevelFilter::from_level(others));
    targets.with_targets(OURS.map(|name| (name, ours)))
}

#[derive(Debug, Default)]
struct Counts {
    queued: AtomicU64,
    dropped: AtomicU64,
    /// Only the thread and `flush` take this lock, never whoever logs.
    written: Mutex<u64>,
    progress: Condvar,
}

/// Lines on their way to a thread that may block. Clones share one state.
#[derive(Debug, Clone)]
struct Queue {
    lines: SyncSender<Vec<u8>>,
    counts: Arc<Counts>,
}

impl Queue {
    fn start(target: impl Write + Send + 'static) -> io::Result<Self> {
        let (lines, queued) = sync_channel(QUEUE_LINES);
        let counts = Arc::new(Counts::default());
        let shared = Arc::clone(&counts);
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_lines(target, &queued, &shared))?;
        Ok(Self { lines, counts })
    }

    fn flush(&self, deadline: Duration) -> bool {
        let target = self.counts.queued.load(Ordering::Acquire);
        let mut written = self.counts.written.lock();
        let waited = self.counts.progress.wait_while_for(
            &mut written,
            |written| *written < target,
            deadline,
        );
        !waited.timed_out()
    }
}

fn write_lines(mut target: impl Write, queued: &Receiver<Vec<u8>>, counts: &Counts) {
    let mut told = 0;
    for line in queued {
        // There is nobody left to tell when stderr itself fails.
        drop(target.write_all(&line).and_then(|()| target.flush()));
        *counts.written.lock() += 1;
        counts.progress.notify_all();
        let dropped = counts.dropped.load(Ordering::Relaxed);
        if dropped > told {
            tracing::warn!(messages = dropped - told, "stderr was too slow; messages were dropped");
            told = dropped;
        }
    }
}

impl Write for &Queue {
    /// Takes one message as a whole, as the subscriber hands it over.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // Counted before it is sent, so that `flush` never waits for too little.
        self.counts.queued.fetch_add(1, Ordering::AcqRel);
        if self.lines.try_send(line.to_vec()).is_err() {
            self.counts.queued.fetch_sub(1, Ordering::AcqRel);
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Queue {
    type Writer = &'w Self;

    fn make_writer(&'w self) -> Self::Writer {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use serde_json::Value;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(20);

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is on the page after `events` ran under a log of these settings.
    fn logged(
        level: LogLevel,
        format: LogFormat,
        events: impl FnOnce(&reload::Handle<Targets, Registry>),
    ) -> String {
        let page = Page::default();
        let queue = Queue::start(page.clone()).unwrap();
        let settings = LogSettings { level, format, ..LogSettings::default() };
        let (subscriber, handle) = subscriber(&settings, Colour::Never, queue.clone());
        tracing::subscriber::with_default(subscriber, || events(&handle));
        assert!(queue.flush(DEADLINE));
        let text = page.0.lock().clone();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn our_parts_show_the_level_and_other_crates_one_step_less() {
        let rows = [
            (LogLevel::Error, "ours-error others-error"),
            (LogLevel::Warn, "ours-error ours-warn others-error"),
            (LogLevel::Info, "ours-error ours-warn ours-info others-error others-warn"),
            (
                LogLevel::Debug,
                "ours-error ours-warn ours-info ours-debug others-error others-warn others-info",
            ),
        ];
        for (level, expected) in rows {
            let text = logged(level, LogFormat::Text, |_| {
                tracing::error!(target: "edge::serve", "ours-error");
                tracing::warn!(target: "nearcast_daemon", "ours-warn");
                tracing::info!(target: "origin_mock", "ours-info");
                tracing::debug!(target: "edge_core", "ours-debug");
                tracing::error!(target: "hyper", "others-error");
                tracing::warn!(target: "rustls::conn", "others-warn");
                tracing::info!(target: "hyper", "others-info");
                tracing::debug!(target: "hyper", "others-debug");
            });
            let words: Vec<&str> =
                text.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
            assert_eq!(words.join(" "), expected, "{level:?}");
        }
    }

    #[test]
    fn json_lines_are_objects_with_the_fields_beside_the_message() {
        let text = logged(LogLevel::Info, LogFormat::Json, |_| {
            tracing::info!(site = "shop", "a \"quoted\" message\nof two lines");
        });
        assert_eq!(text.lines().count(), 1);
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["message"], "a \"quoted\" message\nof two lines");
        assert_eq!(line["site"], "shop");
        assert!(line["timestamp"].is_string());
    }

    #[test]
    fn text_lines_carry_no_colour_off_a_terminal() {
        let text = logged(LogLevel::Info, LogFormat::Text, |_| tracing::warn!("plain"));
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn the_level_may_change_while_running() {
        let text = logged(LogLevel::Warn, LogFormat::Text, |handle| {
            tracing::info!("before");
            handle.reload(targets(LogLevel::Info)).unwrap();
            tracing::info!("after");
        });
        assert!(!text.contains("before") && text.contains("after"), "{text}");
    }

    #[test]
    fn a_stuck_stderr_drops_and_counts_and_blocks_nobody() {
        /// Takes nothing until the other side of the channel is dropped.
        struct Stuck(Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.recv().or(Ok(())).map(|()| bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (release, stuck) = channel();
        let queue = Queue::start(Stuck(stuck)).unwrap();
        let messages = QUEUE_LINES as u64 + 500;
        for _ in 0..messages {
            (&queue).write_all(b"message\n").unwrap();
        }
        assert!(!queue.flush(Duration::from_millis(20)));
        let dropped = queue.counts.dropped.load(Ordering::Relaxed);
        // One more than the queue holds may be in the thread's hands.
        assert!((499..=500).contains(&dropped), "{dropped}");
        drop(release);
        assert!(queue.flush(DEADLINE));
        assert_eq!(*queue.counts.written.lock() + dropped, messages);
    }
}
