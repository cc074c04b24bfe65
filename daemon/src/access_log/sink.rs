//! Where access-log bytes go: a file, a FIFO, standard output, or nowhere while none can be opened.
//!
//! In: bytes. Out: how many of them the system took.
//! Always: a FIFO is opened and written without blocking; one without a reader is `Away` and is
//! looked at again a few times a second, by its path, while there is something to write.
//! Does not know: lines, queues, counts.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::unix::pipe;
use tokio::time::{Interval, MissedTickBehavior};

/// How often a FIFO without a reader is tried while lines wait.
const RETRY_EVERY: Duration = Duration::from_millis(200);

/// Who may read a new log file: it names clients, so not everybody.
const FILE_MODE: u32 = 0o640;

/// An open target.
#[derive(Debug)]
pub(super) struct Sink {
    /// None for standard output.
    path: Option<PathBuf>,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// A regular file, a device, or standard output: writes may block this thread, and it alone.
    Direct(File),
    Fifo(pipe::Sender),
    /// A FIFO that nobody reads.
    Away(Interval),
}

impl Sink {
    /// Opens `path`, or standard output; must be called inside the runtime that will write.
    pub(super) fn open(path: Option<PathBuf>) -> io::Result<Self> {
        let way = match &path {
            Some(path) => Way::open(path)?,
            // A handle of our own: std's would gather lines a second time.
            None => Way::Direct(File::from(io::stdout().as_fd().try_clone_to_owned()?)),
        };
        Ok(Self { path, way })
    }

    /// Opens the path again; on failure the old target stays. Standard output has no path.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        if let Some(path) = &self.path {
            self.way = Way::open(path)?;
        }
        Ok(())
    }

    /// Whether this is a FIFO without a reader.
    pub(super) fn is_away(&self) -> bool {
        matches!(self.way, Way::Away(_))
    }

    /// After a broken pipe: waits for another reader if this is a FIFO, and says whether it is.
    pub(super) fn reader_left(&mut self) -> bool {
        let is_fifo = matches!(self.way, Way::Fifo(_));
        if is_fifo {
            self.way = Way::away();
        }
        is_fifo
    }

    /// What to call this target in a message.
    pub(super) fn name(&self) -> String {
        self.path.as_ref().map_or_else(|| "stdout".to_owned(), |path| path.display().to_string())
    }

    /// Writes some of `bytes` once the target takes any. Cancel safe: a dropped wait wrote nothing.
    pub(super) async fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match &mut self.way {
                Way::Direct(file) => return some(file.write(bytes)?),
                Way::Fifo(fifo) => {
                    fifo.writable().await?;
                    match fifo.try_write(bytes) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        result => return some(result?),
                    }
                }
                Way::Away(interval) => {
                    interval.tick().await;
                    self.find_reader()?;
                }
            }
        }
    }

    fn find_reader(&mut self) -> io::Result<()> {
        if let Some(path) = &self.path {
            let way = Way::open(path)?;
            // A fresh interval ticks at once: keep the old one while nobody reads.
            if !matches!(way, Way::Away(_)) {
                self.way = way;
            }
        }
        Ok(())
    }
}

impl Way {
    fn open(path: &Path) -> io::Result<Self> {
        let is_fifo = std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo());
        if !is_fifo {
            let mut options = OpenOptions::new();
            options.append(true).create(true).mode(FILE_MODE);
            return options.open(path).map(Self::Direct);
        }
        match pipe::OpenOptions::new().open_sender(path) {
            Ok(fifo) => Ok(Self::Fifo(fifo)),
            Err(error) if nobody_reads(&error) => Ok(Self::away()),
            Err(error) => Err(error),
        }
    }

    fn away() -> Self {
        let mut interval = tokio::time::interval(RETRY_EVERY);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self::Away(interval)
    }
}

/// A write that takes nothing would be tried for ever.
fn some(taken: usize) -> io::Result<usize> {
    if taken == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(taken) }
}

/// ENXIO on opening a FIFO for writing; std has no kind for it, and its number is 6 on every Unix.
fn nobody_reads(error: &io::Error) -> bool {
    error.raw_os_error() == Some(6)
}
