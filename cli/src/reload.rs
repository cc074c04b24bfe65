//! Changes of the node file on disk: editors replace a file rather than write into it, so its
//! folder is watched, and a burst of events counts as one change.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::{sync::mpsc, time::timeout};

/// A burst of events ends when nothing came for this long.
const QUIET: Duration = Duration::from_millis(200);

/// Changes of one file; or none ever.
pub(crate) struct Changes {
    events: mpsc::Receiver<()>,
    /// A change was seen that has not settled yet.
    seen: bool,
    // Dropping the watcher ends the watch.
    _watcher: Option<RecommendedWatcher>,
}

impl Changes {
    /// No file is watched.
    pub(crate) fn none() -> Self {
        let (_, events) = mpsc::channel(1);
        Self { events, seen: false, _watcher: None }
    }

    /// Changes of `file`; without a working watch, SIGHUP is still there.
    pub(crate) fn of(file: &Path) -> Self {
        let (sender, events) = mpsc::channel(1);
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.map_or_else(|| PathBuf::from("."), Path::to_path_buf);
        let name: Option<OsString> = file.file_name().map(OsString::from);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            let ours = event.paths.iter().any(|path| path.file_name() == name.as_deref());
            if ours && !event.kind.is_access() {
                // A full channel holds a change that nobody has seen yet: this one is in it.
                sender.try_send(()).unwrap_or_default();
            }
        });
        let watching = watcher.and_then(|mut watcher| {
            watcher.watch(&folder, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        match watching {
            Ok(watcher) => Self { events, seen: false, _watcher: Some(watcher) },
            Err(error) => {
                tracing::warn!(
                    folder = %folder.display(), %error,
                    "the node file is not watched; send SIGHUP after changing it"
                );
                Self { events, seen: false, _watcher: None }
            }
        }
    }

    /// The next change, once it has settled. Cancel safe: a dropped wait loses none.
    pub(crate) async fn next(&mut self) {
        if !self.seen {
            if self.events.recv().await.is_none() {
                std::future::pending::<()>().await;
            }
            self.seen = true;
        }
        while timeout(QUIET, self.events.recv()).await.is_ok_and(|event| event.is_some()) {}
        self.seen = false;
    }
}
