//! Files that may be replaced while they are in use.
//!
//! In: files as they were when they were read. Out: that one of them is another than it was.
//! Always: folders are watched, not files, since most programs replace a file rather than write into
//! it; what counts is a file and not an event, so a log in the same folder changes nothing, and a
//! link that leads elsewhere does; a burst of events counts as one change; where a folder cannot be
//! watched, a reload still sees what changed.
//! Does not know: what a file holds; it reads none.
//! Clause: docs/operate.md *Reload*.

use std::{
    collections::BTreeSet,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::{sync::mpsc, time::timeout};

/// A burst of events ends when nothing came for this long.
const QUIET: Duration = Duration::from_millis(200);
/// The files are looked at after this long, even if something in their folders never rests.
const BURST_MAX: Duration = Duration::from_secs(2);

/// What tells a file from the one that replaces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Print {
    path: PathBuf,
    /// Device, inode, size, and when it was written: seconds and nanoseconds. Nothing if there is
    /// no file.
    of: Option<(u64, u64, u64, i64, i64)>,
}

impl Print {
    /// The file at `path`, as it is now; to be taken before it is read, so that one which is replaced
    /// meanwhile is seen as new later.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let of = std::fs::metadata(path)
            .ok()
            .map(|file| (file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec()));
        Self { path: path.to_owned(), of }
    }

    /// Whether the file is still the one that it was.
    #[must_use]
    pub fn is_current(&self) -> bool {
        Self::of(&self.path) == *self
    }
}

/// Watches files.
#[derive(Debug)]
pub struct Watcher {
    events: mpsc::Receiver<()>,
    sender: mpsc::Sender<()>,
    watching: Option<(BTreeSet<PathBuf>, RecommendedWatcher)>,
    /// The files as they were when they were last taken up, or when that was last tried.
    prints: Vec<Print>,
    /// Something was seen that has not settled yet.
    seen: bool,
}

impl Watcher {
    /// Watches nothing.
    #[must_use]
    pub fn new() -> Self {
        let (sender, events) = mpsc::channel(1);
        Self { events, sender, watching: None, prints: Vec::new(), seen: false }
    }

    /// Watches these files from now on, and whatever has happened to them since.
    pub fn watch(&mut self, prints: &[Print]) {
        self.prints = prints.to_vec();
        // What happened before the folders are watched made no event.
        self.seen = true;
        let folder = |print: &Print| match print.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            Some(_) | None => PathBuf::from("."),
        };
        let folders: BTreeSet<PathBuf> = self.prints.iter().map(folder).collect();
        if self.watching.as_ref().is_some_and(|(watched, _)| *watched == folders) {
            return;
        }
        self.watching = None;
        if !folders.is_empty() {
            self.begin(folders);
        }
    }

    /// Waits until one of the files is another than it was, and has settled; what it is now counts
    /// as tried. Cancel safe.
    pub async fn changed(&mut self) {
        loop {
            if !self.seen && self.events.recv().await.is_none() {
                std::future::pending::<()>().await;
            }
            self.seen = true;
            let burst = async {
                while timeout(QUIET, self.events.recv()).await.is_ok_and(|event| event.is_some()) {}
            };
            // Whether it ended or not, the files are looked at.
            timeout(BURST_MAX, burst).await.unwrap_or_default();
            self.seen = false;
            let prints: Vec<Print> = self.prints.iter().map(|one| Print::of(&one.path)).collect();
            if prints != self.prints {
                self.prints = prints;
                return;
            }
        }
    }

    /// Watches as many of the folders as can be.
    fn begin(&mut self, mut folders: BTreeSet<PathBuf>) {
        let sender = self.sender.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is no change of it; a full channel holds a change already.
            if event.is_ok_and(|event| !event.kind.is_access()) {
                sender.try_send(()).unwrap_or_default();
            }
        });
        let advice = "files in it are not watched; send SIGHUP after replacing one";
        match watcher {
            Ok(mut watcher) => {
                folders.retain(|folder| {
                    let watched = watcher.watch(folder, RecursiveMode::NonRecursive);
                    if let Err(error) = &watched {
                        tracing::warn!(folder = %folder.display(), %error, "{advice}");
                    }
                    watched.is_ok()
                });
                self.watching = Some((folders, watcher));
            }
            Err(error) => tracing::warn!(?folders, %error, "{advice}"),
        }
    }
}

impl Default for Watcher {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    async fn changes(watcher: &mut Watcher) -> bool {
        timeout(LONG, watcher.changed()).await.is_ok()
    }

    #[tokio::test]
    async fn a_file_that_is_another_than_it_was_is_seen_whatever_else_happens() {
        let folder = tempfile::tempdir().unwrap();
        let (one, link) = (folder.path().join("one"), folder.path().join("link"));
        fs::write(&one, "1").unwrap();
        std::os::unix::fs::symlink("one", &link).unwrap();
        let prints = [Print::of(&link), Print::of(&folder.path().join("gone/too"))];
        let mut watcher = Watcher::new();
        // Before anything watches.
        fs::write(&one, "12").unwrap();
        watcher.watch(&prints);
        assert!(changes(&mut watcher).await);
        // A log beside it that never rests is no change, and holds none up.
        let (rests, mut rested) = tokio::sync::oneshot::channel::<()>();
        let log = folder.path().join("log");
        let writing = tokio::spawn(async move {
            let mut line = 0_u32;
            while timeout(QUIET / 8, &mut rested).await.is_err() {
                line += 1;
                fs::write(&log, line.to_string()).unwrap();
            }
        });
        assert!(timeout(BURST_MAX + QUIET, watcher.changed()).await.is_err(), "a log");
        // The link leads elsewhere: its own name never appears in an event.
        let two = folder.path().join("two");
        fs::write(&two, "2").unwrap();
        fs::rename(&two, &one).unwrap();
        assert!(changes(&mut watcher).await);
        rests.send(()).unwrap();
        writing.await.unwrap();
        assert!(timeout(QUIET * 3, watcher.changed()).await.is_err(), "each change once");
    }
}
