//! Storage that knows whether a sync of it has failed.
//!
//! In: the storage of a database. Out: the same, and after a failed sync its contents once more; so
//! also at the first opening of one that nobody closed, of which this process knows nothing.
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
/// Of these the ones that are all zero may be holes of a file, for which a full disk has no room.
const PAGE_BYTES: usize = 4096;

/// See the module. Clones are about the same storage.
#[derive(Clone, Debug, Default)]
pub(super) struct Doubt(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    has_failed: AtomicBool,
    was_opened: AtomicBool,
}

impl Doubt {
    /// From now on it is there.
    pub(super) fn arise(&self) {
        self.0.has_failed.store(true, Ordering::Release);
    }

    /// This process knows of every sync since.
    pub(super) fn opened(&self) {
        self.0.was_opened.store(true, Ordering::Release);
    }

    /// Whether it does.
    pub(super) fn was_opened(&self) -> bool {
        self.0.was_opened.load(Ordering::Acquire)
    }

    /// The storage, settled if a sync of it has failed before.
    pub(super) fn over<S: StorageBackend>(&self, storage: S) -> io::Result<Doubted<S>> {
        if self.0.has_failed.load(Ordering::Acquire) {
            settle(&storage)?;
            self.0.has_failed.store(false, Ordering::Release);
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
            let is_zero = page.iter().all(|byte| *byte == 0);
            match storage.write(at, page) {
                // A hole, which is on the disk as it is: what is no hole has its room there.
                Err(error) if is_zero && error.kind() == io::ErrorKind::StorageFull => {}
                written => written?,
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
            self.doubt.arise();
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

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    /// What is read, and what is on the disk.
    #[derive(Debug)]
    struct Halves(Mutex<(Vec<u8>, Vec<u8>)>);

    impl StorageBackend for Halves {
        fn len(&self) -> io::Result<u64> {
            Ok(self.0.lock().0.len() as u64)
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            let from = usize::try_from(offset).unwrap();
            out.copy_from_slice(&self.0.lock().0[from..from + out.len()]);
            Ok(())
        }

        fn set_len(&self, _len: u64) -> io::Result<()> {
            Ok(())
        }

        fn sync_data(&self) -> io::Result<()> {
            Ok(())
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            let from = usize::try_from(offset).unwrap();
            self.0.lock().1[from..from + data.len()].copy_from_slice(data);
            Ok(())
        }
    }

    #[test]
    fn what_reads_as_zero_is_settled_as_well() {
        let mut read = vec![7; 3 * PAGE_BYTES + 10];
        read[PAGE_BYTES..2 * PAGE_BYTES].fill(0);
        let on_disk = vec![1; read.len()];
        let halves = Halves(Mutex::new((read.clone(), on_disk)));
        settle(&halves).unwrap();
        assert!(halves.0.lock().1 == read);
    }
}
