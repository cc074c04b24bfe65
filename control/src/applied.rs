//! How far a node has come in the purge log, on its own disk.
//!
//! In: a path, positions. Out: the position that was last kept. Always: what is kept was applied; a
//! file that is broken counts as none, which only makes the node purge more; nobody but a thread of
//! its own waits for the disk ([`keeper`]), which may hang. It stands beside the ledger and not in
//! it, because it is what tells a ledger that was replaced.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{keeper::Keeper, ledger::Position};

/// Between one position kept and the next: under a thousand purges a second each file would cost as
/// much as its purge.
const PAUSE: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Clone, Debug)]
pub struct AppliedFile(PathBuf);

impl AppliedFile {
    /// The file of `node` beside the ledger at `ledger`.
    #[must_use]
    pub fn beside(ledger: &Path, node: &str) -> Self {
        let mut name = ledger.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{node}.applied"));
        Self(ledger.with_file_name(name))
    }

    /// The position that was kept, if any.
    #[must_use]
    pub fn read(&self) -> Option<Position> {
        fs::read_to_string(&self.0).ok()?.trim().parse().ok()
    }

    /// Keeps a position. It is not synced: an older one only makes the node apply purges again.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, position: Position) -> io::Result<()> {
        replace(&self.0, &format!("{position}\n"))
    }

    /// Another file of the same node, beside it.
    pub(crate) fn sibling(&self, ending: &str) -> PathBuf {
        self.0.with_extension(ending)
    }
}

/// Puts a small file in the place of another, whole or not at all; it is not synced.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut new = path.to_path_buf().into_os_string();
    new.push(".new");
    let new = PathBuf::from(new);
    fs::write(&new, text)?;
    fs::rename(&new, path)
}

/// Keeps positions of a node in its file, the newest only, with a pause between two.
///
/// # Errors
/// When there can be no thread for it.
pub(crate) fn keeper(file: AppliedFile, node: &str) -> io::Result<Keeper<Position>> {
    let node = node.to_owned();
    let mut failed_before = false;
    Keeper::start("applied", PAUSE, move |position: &Position| {
        let kept = file.keep(*position);
        // A full disk fails every one of them, which is told once.
        if let Err(error) = &kept
            && !failed_before
        {
            tracing::warn!(
                node,
                %error,
                "the applied position cannot be kept; a start now would purge more than it must"
            );
        }
        failed_before = kept.is_err();
        !failed_before
    })
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tokio::time::Instant;

    use super::*;
    use crate::ledger::Epoch;

    #[test]
    fn a_position_is_kept_and_a_broken_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("ledger.redb");
        let file = AppliedFile::beside(&ledger, "fra-1");
        assert_eq!(file.read(), None);
        for seq in [1, 300] {
            let position = Position { epoch: Epoch(7), seq };
            file.keep(position).unwrap();
            assert_eq!(AppliedFile::beside(&ledger, "fra-1").read(), Some(position));
        }
        assert_eq!(AppliedFile::beside(&ledger, "fra-2").read(), None);
        fs::write(folder.path().join("ledger.redb.fra-1.applied"), "0000").unwrap();
        assert_eq!(file.read(), None);
    }

    #[test]
    fn positions_are_kept_with_a_pause_and_the_last_one_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = AppliedFile::beside(&folder.path().join("ledger.redb"), "fra-1");
        let position = |seq| Position { epoch: Epoch(7), seq };
        let wait = |seq| {
            let end = Instant::now() + Duration::from_secs(20);
            while file.read() != Some(position(seq)) {
                assert!(Instant::now() < end, "{seq} is not kept");
                thread::yield_now();
            }
        };
        let begun = Instant::now();
        let keeper = keeper(file.clone(), "fra-1").unwrap();
        keeper.keep(position(1));
        wait(1);
        keeper.keep(position(2));
        wait(2);
        assert!(begun.elapsed() >= PAUSE);
        keeper.keep(position(3));
        drop(keeper);
        wait(3);
    }
}
