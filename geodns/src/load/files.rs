//! Files that may be replaced while they are in use.
//!
//! In: paths. Out: that one of them is another than it was. Always holds: folders are watched, not
//! files, since most programs replace a file rather than write into it; a burst of events counts
//! as one change; where a folder cannot be watched, a reload still sees what changed.
//! It deliberately reads no file.

use std::{
    collections::BTreeSet,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::{sync::mpsc, time::timeout};

use super::Loaded;

/// A burst of events ends when nothing came for this long.
const QUIET: Duration = Duration::from_millis(200);

/// What tells a file from the one that replaces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Print {
    path: PathBuf,
    /// Device, inode, size, and when it was written: seconds and nanoseconds. Nothing if there is
    /// no file.
    of: Option<(u64, u64, u64, i64, i64)>,
}

impl Print {
    pub(super) fn of(path: &Path) -> Self {
        let of = std::fs::metadata(path)
            .ok()
            .map(|file| (file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec()));
        Self { path: path.to_owned(), of }
    }
}

/// Watches files.
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

    /// Watches the files that these maps were made of from now on, and whatever has happened to
    /// them since.
    pub fn watch(&mut self, loaded: &Loaded) {
        self.prints.clone_from(&loaded.prints);
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
        if folders.is_empty() {
            return;
        }
        match self.begin(&folders) {
            Ok(watcher) => self.watching = Some((folders, watcher)),
            Err(error) => tracing::warn!(
                %error,
                "geo data files are not watched; send SIGHUP after replacing one"
            ),
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
            while timeout(QUIET, self.events.recv()).await.is_ok_and(|event| event.is_some()) {}
            self.seen = false;
            let prints: Vec<Print> = self.prints.iter().map(|one| Print::of(&one.path)).collect();
            if prints != self.prints {
                self.prints = prints;
                return;
            }
        }
    }

    fn begin(&self, folders: &BTreeSet<PathBuf>) -> notify::Result<RecommendedWatcher> {
        let sender = self.sender.clone();
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                // Reading a file is no change of it; a full channel holds a change already.
                if event.is_ok_and(|event| !event.kind.is_access()) {
                    sender.try_send(()).unwrap_or_default();
                }
            })?;
        for folder in folders {
            watcher.watch(folder, RecursiveMode::NonRecursive)?;
        }
        Ok(watcher)
    }
}

impl Default for Watcher {
    fn default() -> Self {
        Self::new()
    }
}
