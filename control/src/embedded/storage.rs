//! Storage that knows whether a sync of it has failed.
//!
//! In: the storage of a database. Out: the same, and after a failed sync its contents once more.
//! Always: what can be read after [`settle`] is on the disk. It does not know redb's pages.
//!
//! A sync that fails says so once. What it should have written may be in the system's cache as if
//! it had been, so that it is read, relied on by later commits, and gone after a power cut. Written
//! again it is what the next sync is about.

use std::{
    io,
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use redb::{BackendError, StorageBackend};

/// Bytes that are read and written again at once.
const BLOCK_BYTES: usize = 64 * 1024;
/// Of these the ones that are all zero stay as they are: holes of a file shall take no space.
const PAGE_BYTES: usize = 4096;

/// See the module. Clones are about the same storage.
#[derive(Clone, Debug, Default)]
pub(super) struct Doubt(Arc<AtomicBool>);

impl Doubt {
    /// The storage, settled if a sync of it has failed before.
    pub(super) fn over<S: StorageBackend>(&self, storage: S) -> io::Result<Doubted<S>> {
        if self.0.load(Ordering::Acquire) {
            settle(&storage)?;
            self.0.store(false, Ordering::Release);
        }
        Ok(Doubted { storage, doubt: self.clone() })
    }
}

/// Writes everything that can be read, and syncs it.
fn settle(storage: &impl StorageBackend) -> io::Result<()> {
    let length = storage.len()?;
    let mut block = vec![0; BLOCK_BYTES];
    let mut at = 0;
    while at < length {
        let rest = usize::try_from(length - at).unwrap_or(BLOCK_BYTES).min(BLOCK_BYTES);
        let Some(part) = block.get_mut(..rest) else { break };
        storage.read(at, part)?;
        for page in part.chunks(PAGE_BYTES) {
            if page.iter().any(|byte| *byte != 0) {
                storage.write(at, page)?;
            }
            at = at.saturating_add(page.len() as u64);
        }
    }
    storage.sync_data()
}

/// Storage that remembers that a sync failed.
#[derive(Debug)]
pub(super) struct Doubted<S> {
    storage: S,
    doubt: Doubt,
}

impl<S: StorageBackend> StorageBackend for Doubted<S> {
    fn len(&self) -> io::Result<u64> {
        self.storage.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.storage.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.storage.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let synced = self.storage.sync_data();
        if synced.is_err() {
            self.doubt.0.store(true, Ordering::Release);
        }
        synced
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.storage.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.storage.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.storage.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.query_lock_range(start, end)
    }
}
