//! Files that may be replaced while they are in use.
//!
//! In: files as they were when they were read. Out: that one of them is another than it was.
//! Always: folders are watched, not files, since most programs replace a file rather than write into
//! it, and of a path that leads through links those of every link; what counts is a file and not an
//! event, so a link that leads elsewhere is a change; a burst of events counts as one; what else stands
//! in those folders, a log or the ledger, wakes nobody with what is written to it; what makes no event,
//! as on a network's disk or in a folder that cannot be watched, is seen a little later.
//! Does not know: what a file holds; it reads none.
//! Clause: docs/operate.md *Reload*.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    future::pending,
    io,
    os::unix::fs::MetadataExt as _,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use futures_util::StreamExt as _;
use inotify::{EventStream, Inotify, WatchMask};
use tokio::time::timeout;

/// A burst of events ends when nothing came for this long.
const QUIET: Duration = Duration::from_millis(200);
/// The files are looked at after this long, even if something in their folders never rests.
const BURST_MAX: Duration = Duration::from_secs(2);
/// The files are looked at after this long, even if nothing is heard of their folders.
const LOOK: Duration = Duration::from_secs(30);
/// Where a folder cannot be watched.
const ADVICE: &str = "files in it are looked at every 30 s; SIGHUP is quicker";
/// What of events is read at once.
const EVENTS_BYTES: usize = 4096;
/// Links that a path may lead through; the kernel follows no more either (path_resolution(7)).
const LINKS_MAX: usize = 40;

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

/// A name, and the folder to watch in which it stands: under the folder's own name may stand another
/// one tomorrow, and a watch would stay with the old one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Folder {
    path: PathBuf,
    /// Device and inode. Nothing if there is none.
    of: Option<(u64, u64)>,
    name: OsString,
}

/// Watches files.
#[derive(Debug, Default)]
pub struct Watcher {
    /// The folders that are to be watched.
    folders: BTreeSet<Folder>,
    /// What is heard of those of them that can be.
    events: Option<EventStream<Vec<u8>>>,
    /// The files as they were when they were last taken up, or when that was last tried.
    prints: Vec<Print>,
    /// Something was seen that has not settled yet.
    seen: bool,
}

impl Watcher {
    /// Watches nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Watches these files from now on, and whatever has happened to them since.
    pub fn watch(&mut self, prints: &[Print]) {
        self.prints = prints.to_vec();
        // What happened before the folders are watched made no event.
        self.seen = true;
    }

    /// Waits until one of the files is another than it was, and has settled; what it is now counts
    /// as tried. Cancel safe.
    pub async fn changed(&mut self) {
        loop {
            if !self.seen {
                timeout(LOOK, self.event()).await.unwrap_or_default();
            }
            self.seen = true;
            let burst = async { while timeout(QUIET, self.event()).await.is_ok() {} };
            // Whether it ended or not, the files are looked at.
            timeout(BURST_MAX, burst).await.unwrap_or_default();
            // First, so that what happens from now on makes an event.
            self.watch_folders();
            self.seen = false;
            let prints: Vec<Print> = self.prints.iter().map(|one| Print::of(&one.path)).collect();
            if prints != self.prints {
                self.prints = prints;
                return;
            }
        }
    }

    /// Waits for something that may have changed one of the files. Cancel safe.
    async fn event(&mut self) {
        loop {
            let Some(events) = &mut self.events else { return pending().await };
            match events.next().await {
                // Without a name it is about a folder itself, or about events that were lost.
                Some(Ok(event)) => {
                    let is_ours =
                        |name: &OsString| self.folders.iter().any(|one| one.name == *name);
                    if event.name.as_ref().is_none_or(is_ours) {
                        return;
                    }
                }
                // They are watched anew once the files have been looked at.
                Some(Err(_)) | None => {
                    (self.events, self.folders) = (None, BTreeSet::new());
                    return;
                }
            }
        }
    }

    /// Watches the folders of all that the paths lead through now.
    fn watch_folders(&mut self) {
        let folders: BTreeSet<Folder> =
            self.prints.iter().flat_map(|print| folders(&print.path)).collect();
        if self.folders != folders {
            // The old watches end first: there may be few to have.
            self.events = None;
            self.events = begin(&folders)
                .inspect_err(|error| tracing::warn!(?folders, %error, "{ADVICE}"))
                .unwrap_or_default();
            self.folders = folders;
        }
    }
}

/// Watches as many of the folders as can be; inside a runtime.
fn begin(folders: &BTreeSet<Folder>) -> io::Result<Option<EventStream<Vec<u8>>>> {
    if folders.is_empty() {
        return Ok(None);
    }
    let inotify = Inotify::init()?;
    for Folder { path, .. } in folders {
        if let Err(error) = inotify.watches().add(path, watched()) {
            tracing::warn!(folder = %path.display(), %error, "{ADVICE}");
        }
    }
    inotify.into_event_stream(vec![0; EVENTS_BYTES]).map(Some)
}

/// What puts another file under a name, or says that one was written. Not what is written to a file
/// that stays open: that would be every line of a log.
fn watched() -> WatchMask {
    WatchMask::CREATE
        | WatchMask::DELETE
        | WatchMask::MOVE
        | WatchMask::CLOSE_WRITE
        | WatchMask::ATTRIB
        | WatchMask::DELETE_SELF
        | WatchMask::MOVE_SELF
        | WatchMask::ONLYDIR
}

/// The folders in which the names stand that a path leads through by links, and that of the file in
/// the end.
fn folders(path: &Path) -> Vec<Folder> {
    let mut folders = Vec::new();
    let mut at = PathBuf::new();
    let mut rest = reversed(path);
    let mut links_left = LINKS_MAX;
    while let Some(name) = rest.pop() {
        let here = if at.as_os_str().is_empty() { Path::new(".") } else { &at };
        let link = std::fs::read_link(at.join(&name)).ok().filter(|_| links_left > 0);
        if link.is_some() || rest.is_empty() {
            let of = std::fs::metadata(here).ok().map(|folder| (folder.dev(), folder.ino()));
            folders.push(Folder { path: here.to_owned(), of, name: name.clone() });
        }
        match link {
            Some(link) => {
                links_left = links_left.saturating_sub(1);
                rest.extend(reversed(&link));
            }
            // A root begins anew, which is what joining does with it.
            None => at.push(name),
        }
    }
    folders
}

/// The parts of a path, the last one first.
fn reversed(path: &Path) -> Vec<OsString> {
    let parts = path.components().filter(|part| *part != Component::CurDir);
    parts.rev().map(|part| part.as_os_str().to_owned()).collect()
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

    #[tokio::test]
    async fn what_is_written_beside_it_wakes_nobody() {
        use std::io::Write as _;

        let folder = tempfile::tempdir().unwrap();
        let (file, log) = (folder.path().join("file"), folder.path().join("log"));
        fs::write(&file, "1").unwrap();
        let mut watcher = Watcher::new();
        watcher.watch(&[Print::of(&file)]);
        assert!(timeout(QUIET * 2, watcher.changed()).await.is_err(), "it is watched");
        let mut log = fs::File::create(log).unwrap();
        for line in 0..100 {
            writeln!(log, "{line}").unwrap();
            put(&folder.path().join("position"), "7");
        }
        assert!(timeout(QUIET, watcher.event()).await.is_err(), "a log, and what is renamed");
        put(&file, "2");
        assert!(timeout(LONG, watcher.event()).await.is_ok(), "the file");
    }

    fn link(to: &str, at: &Path) {
        let new = at.with_extension("new");
        std::os::unix::fs::symlink(to, &new).unwrap();
        fs::rename(new, at).unwrap();
    }

    fn put(file: &Path, text: &str) {
        let new = file.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, file).unwrap();
    }

    #[tokio::test]
    async fn what_links_lead_to_is_seen_wherever_it_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for folder in ["etc", "lib", "v1", "v2"] {
            fs::create_dir(at(folder)).unwrap();
        }
        // etc/nets leads by a link to current/nets, current by another to a folder of a version, and
        // there the file may be a link once more.
        put(&at("lib/nets"), "1");
        link("../lib/nets", &at("v1/nets"));
        put(&at("v2/nets"), "22");
        link("v1", &at("current"));
        link("../current/nets", &at("etc/nets"));
        let mut watcher = Watcher::new();
        watcher.watch(&[Print::of(&at("etc/nets"))]);
        assert!(timeout(QUIET * 3, watcher.changed()).await.is_err(), "nothing yet");
        // Each within less than a look without an event would take.
        put(&at("lib/nets"), "333");
        assert!(changes(&mut watcher).await, "the file at the end");
        link("v2", &at("current"));
        assert!(changes(&mut watcher).await, "a folder on the way");
        put(&at("v2/nets"), "4444");
        assert!(changes(&mut watcher).await, "the file at the new end");
        put(&at("etc/nets"), "55555");
        assert!(changes(&mut watcher).await, "a file instead of the link");
        assert!(timeout(QUIET * 3, watcher.changed()).await.is_err(), "each change once");
    }

    #[tokio::test]
    async fn a_folder_that_is_replaced_is_watched_again() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for folder in ["here", "next"] {
            fs::create_dir(at(folder)).unwrap();
            put(&at(folder).join("nets"), folder);
        }
        let file = at("here/nets");
        let mut watcher = Watcher::new();
        watcher.watch(&[Print::of(&file)]);
        assert!(timeout(QUIET * 3, watcher.changed()).await.is_err(), "nothing yet");
        fs::rename(at("here"), at("gone")).unwrap();
        fs::rename(at("next"), at("here")).unwrap();
        assert!(changes(&mut watcher).await, "another folder's file");
        put(&file, "in the new one");
        assert!(changes(&mut watcher).await, "and there it is replaced");
    }

    #[tokio::test(start_paused = true)]
    async fn what_makes_no_event_is_seen_later() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("later/nets");
        let mut watcher = Watcher::new();
        // There is no folder to watch.
        watcher.watch(&[Print::of(&file)]);
        assert!(timeout(LOOK / 2, watcher.changed()).await.is_err());
        fs::create_dir(root.path().join("later")).unwrap();
        fs::write(&file, "1").unwrap();
        assert!(timeout(LOOK * 2, watcher.changed()).await.is_ok());
        // And from now on its folder is one that can be watched.
        assert!(watcher.folders.iter().all(|folder| folder.of.is_some()));
    }
}
