//! The file of a ledger, which one process has.
//!
//! In: a path. Out: the database there, as often as it is asked for.
//! Always: from the first opening until this is dropped no other process opens it, also while it is
//! closed to be opened again, when redb's own lock is let go: a lock file beside it says so; the file
//! gets its name only once it is a ledger, so a first start that breaks off leaves none that no later
//! start accepts. It does not know what is in it.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use redb::{Database, backends::FileBackend};

use super::{OpenError, create, open_settled, refused, storage::Doubt, tables, unusable};

/// See the module.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    doubt: Doubt,
    /// Closing it lets go of the lock; the file stays, for one that was removed could be locked by
    /// two.
    _lock: File,
}

impl Place {
    /// Takes it, and makes the ledger where there is none, for its owner alone.
    ///
    /// # Errors
    /// When another process has it, or it cannot be made.
    pub(super) fn take(path: &Path) -> Result<Self, OpenError> {
        let lock = beside(path, ".lock");
        let failed = |source| OpenError::File { path: lock.clone(), source };
        let file = owners().create(true).truncate(false).open(&lock).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { path: path.into() }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        if is_missing(path).map_err(|source| OpenError::File { path: path.into(), source })? {
            make(path)?;
        }
        Ok(Self { path: path.into(), doubt: Doubt::default(), _lock: file })
    }

    /// Opens it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn open(&self) -> Result<Database, OpenError> {
        open_settled(&self.path, &self.doubt, || storage(&self.path))
    }
}

/// Whether there is no ledger; an empty file is none yet.
fn is_missing(path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(found) => Ok(found.is_file() && found.len() == 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Makes a ledger under another name, and gives it its own when it is one.
fn make(path: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::File { path: path.into(), source };
    let new = beside(path, ".new");
    // Of a start that broke off.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    owners().create_new(true).open(&new).map_err(failed)?;
    let database = create(path, storage(&new)?)?;
    tables::begin(&database).map_err(|error| unusable(path, error))?.map_err(|found| {
        // Nobody else writes there.
        OpenError::Newer { path: path.into(), found }
    })?;
    drop(database);
    fs::rename(&new, path).map_err(failed)?;
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let folder = File::open(folder.unwrap_or_else(|| Path::new("."))).map_err(failed)?;
    folder.sync_all().map_err(failed)
}

fn owners() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

fn storage(path: &Path) -> Result<FileBackend, OpenError> {
    let file = owners().open(path);
    let file = file.map_err(|source| OpenError::File { path: path.into(), source })?;
    FileBackend::new(file).map_err(|error| refused(path, error))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
