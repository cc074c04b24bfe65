//! The ledger of one process: a file, and watchers in memory.
//!
//! In: a path. Out: a [`Ledger`].
//! Always: a write is acknowledged once its transaction is on disk; writers that wait at the same
//! time share one; one process at a time has the file; a file of a newer format is left alone.
//! It deliberately does not know other machines.
//!
//! redb keeps two versions of the file's root and switches between them with the last sync of a
//! commit, so a commit that a power cut breaks is as if it had never begun. One that fails otherwise
//! may stand in the file nevertheless; nobody was told that it does.

mod place;
mod readers;
mod reading;
mod storage;
mod store;
mod tables;
mod writer;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use redb::{Builder, Database, DatabaseError, StorageBackend, StorageError};
use tokio::sync::watch;

use self::{
    place::Place,
    readers::Readers,
    reading::{Entries, Watching},
    storage::Doubt,
    store::{Open, Store},
    tables::Heads,
    writer::{Action, Done, Writer},
};
use crate::ledger::{
    Answer, Appended, Change, DOCUMENT_BYTES_MAX, Document, ENTRY_BYTES_MAX, Ends, Epoch, Expect,
    Follow, Health, Key, Ledger, LedgerError, Listing, Log, ONCE_BYTES_MAX, Position, Revision,
    Watch, fits, may_continue,
};

/// What of the file is kept in memory; the whole of a common ledger.
const CACHE_BYTES: usize = 16 << 20;

/// How a ledger is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Of the purge log.
    pub purges: Bound,
    /// Of the audit log.
    pub audit: Bound,
}

/// How much of a log is kept; the newest entry in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Entries.
    pub entries: u64,
    /// What they take, with their names.
    pub bytes: u64,
}

impl Default for Bound {
    fn default() -> Self {
        Self { entries: 100_000, bytes: 64 << 20 }
    }
}

impl Kept {
    fn of(self, log: Log) -> Bound {
        match log {
            Log::Purges => self.purges,
            Log::Audit => self.audit,
        }
    }
}

/// Why a ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be made or opened.
    #[error("the ledger {} cannot be opened", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has it.
    #[error("the ledger {} is in use by another process; end that one, or name another file (--data of up, embedded of [control])", .path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A newer version of this program wrote it.
    #[error("the ledger {} has format {found}, and this version reads up to {}; run the newer version, or name another file", .path.display(), tables::FORMAT)]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// It is something else, or broken.
    #[error("{} is no ledger that can be read: {reason}; restore it from a copy, or name another file", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// See the module; clones are the same ledger.
#[derive(Clone, Debug)]
pub struct Embedded(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    // First, so that the threads have ended when the file is closed.
    writer: Writer,
    readers: Readers,
    heads: watch::Receiver<Heads>,
    epoch: Epoch,
}

impl Embedded {
    /// Opens the ledger at `path`, or makes it, for its owner alone. Waits for the disk.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn open(path: &Path, kept: Kept) -> Result<Self, OpenError> {
        let place = Place::take(path)?;
        let open = move || place.open();
        Self::of(Box::new(open), path, kept)
    }

    /// A ledger on storage of another kind, such as a test's; `open` is called again after it has
    /// failed.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn on<S: StorageBackend>(
        open: impl Fn() -> io::Result<S> + Send + Sync + 'static,
        kept: Kept,
    ) -> Result<Self, OpenError> {
        let path = Path::new("(memory)");
        let doubt = Doubt::default();
        let open = move || {
            let storage = || open().map_err(|source| OpenError::File { path: path.into(), source });
            open_settled(path, &doubt, storage)
        };
        Self::of(Box::new(open), path, kept)
    }

    fn of(open: Open, path: &Path, kept: Kept) -> Result<Self, OpenError> {
        let database = open()?;
        let (heads, epoch) = match tables::begin(&database) {
            Ok(Ok(begun)) => begun,
            Ok(Err(found)) => return Err(OpenError::Newer { path: path.into(), found }),
            Err(error) => return Err(unusable(path, error)),
        };
        let failed = |source| OpenError::File { path: path.into(), source };
        let store = Arc::new(Store::new(database, epoch, open));
        let (publish, heads) = watch::channel(heads);
        let readers = Readers::start(&store).map_err(failed)?;
        let writer = Writer::start(store, publish, kept).map_err(failed)?;
        Ok(Self(Arc::new(Inner { writer, readers, heads, epoch })))
    }

    fn position(&self, seq: u64) -> Position {
        Position { epoch: self.0.epoch, seq }
    }

    /// Reads on a thread that may wait.
    async fn reading<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Database) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, LedgerError> {
        self.0.readers.read(read).await?.map_err(|error| {
            self.0.writer.look();
            LedgerError::Unavailable(error.to_string())
        })
    }
}

/// Opens what `storage` brings, which is called again where it is to be settled first: after a failed
/// sync, or at the first opening if nobody closed it, since a sync may have failed before that.
fn open_settled<S: StorageBackend>(
    path: &Path,
    doubt: &Doubt,
    storage: impl Fn() -> Result<S, OpenError>,
) -> Result<Database, OpenError> {
    let failed = |source| OpenError::File { path: path.into(), source };
    let settled = doubt.over(storage()?).map_err(failed)?;
    if doubt.was_opened() {
        return create(path, settled);
    }
    let mut careful = builder();
    careful.set_repair_callback(redb::RepairSession::abort);
    let opened = match careful.create_with_backend(settled) {
        Err(DatabaseError::RepairAborted) => {
            doubt.arise();
            create(path, doubt.over(storage()?).map_err(failed)?)?
        }
        opened => opened.map_err(|error| refused(path, error))?,
    };
    doubt.opened();
    Ok(opened)
}

fn create(path: &Path, storage: impl StorageBackend) -> Result<Database, OpenError> {
    builder().create_with_backend(storage).map_err(|error| refused(path, error))
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn refused(path: &Path, error: DatabaseError) -> OpenError {
    let path = path.to_path_buf();
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse { path },
        DatabaseError::Storage(StorageError::Io(source))
            if source.kind() != io::ErrorKind::InvalidData =>
        {
            OpenError::File { path, source }
        }
        error => OpenError::Unreadable { path, reason: error.to_string() },
    }
}

/// A disk that is full or fails says nothing against the ledger on it, and least of all that an
/// older copy should take its place.
fn unusable(path: &Path, error: redb::Error) -> OpenError {
    let path = path.to_path_buf();
    match error {
        redb::Error::Io(source) if source.kind() != io::ErrorKind::InvalidData => {
            OpenError::File { path, source }
        }
        error => OpenError::Unreadable { path, reason: error.to_string() },
    }
}

impl Ledger for Embedded {
    fn health(&self) -> watch::Receiver<Health> {
        self.0.writer.health()
    }

    fn read<'a>(&'a self, key: &'a Key) -> Answer<'a, Option<Document>> {
        let key = key.clone();
        Box::pin(self.reading(move |database| reading::document(database, &key)))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        let prefix = prefix.to_owned();
        Box::pin(self.reading(move |database| reading::listing(database, &prefix)))
    }

    fn history<'a>(&'a self, key: &'a Key) -> Answer<'a, Vec<Change>> {
        let key = key.clone();
        Box::pin(self.reading(move |database| reading::history(database, &key)))
    }

    fn write<'a>(&'a self, key: &'a Key, value: Bytes, expect: Expect) -> Answer<'a, Revision> {
        Box::pin(async move {
            fits("a document", value.len(), DOCUMENT_BYTES_MAX)?;
            let action = Action::Write { key: key.clone(), value: Some(value), expect };
            self.0.writer.perform(action).await.map(Done::revision)
        })
    }

    fn delete<'a>(&'a self, key: &'a Key, at: Revision) -> Answer<'a, Revision> {
        Box::pin(async move {
            let action = Action::Write { key: key.clone(), value: None, expect: Expect::At(at) };
            self.0.writer.perform(action).await.map(Done::revision)
        })
    }

    fn watch<'a>(&'a self, prefix: &'a str, after: Revision) -> Answer<'a, Box<dyn Watch>> {
        let watching = Watching::new(self.clone(), prefix, after);
        Box::pin(std::future::ready(Ok(Box::new(watching) as Box<dyn Watch>)))
    }

    fn append<'a>(&'a self, log: Log, entry: Bytes, once: Option<&'a str>) -> Answer<'a, Appended> {
        Box::pin(async move {
            fits("an entry", entry.len(), ENTRY_BYTES_MAX)?;
            fits("an entry's name", once.map_or(0, str::len), ONCE_BYTES_MAX)?;
            let action = Action::Append { log, entry, once: once.map(Box::from) };
            let done = self.0.writer.perform(action).await?;
            Ok(Appended { position: self.position(done.number), repeated: done.repeated })
        })
    }

    fn entry(&self, log: Log, position: Position) -> Answer<'_, Option<Bytes>> {
        Box::pin(async move {
            if position.epoch != self.0.epoch {
                return Ok(None);
            }
            self.reading(move |database| reading::entry(database, log, position.seq)).await
        })
    }

    fn ends(&self, log: Log) -> Answer<'_, Ends> {
        Box::pin(async move {
            let (before, last) = self.reading(move |database| reading::ends(database, log)).await?;
            let (before_first, last) = (self.position(before), self.position(last));
            Ok(Ends { before_first, last, apart: 1 })
        })
    }

    fn follow(&self, log: Log, after: Position) -> Answer<'_, Box<dyn Follow>> {
        Box::pin(async move {
            may_continue(after, self.ends(log).await?)?;
            Ok(Box::new(Entries::new(self.clone(), log, after)) as Box<dyn Follow>)
        })
    }
}
