//! What a node knows of the ledger, on its own disk, for a start without the ledger.
//!
//! In: a path, a value. Out: the one that was last kept. Always: a file that is broken or of a newer
//! version counts as none; the newest is kept, and nobody but a thread of its own waits for the disk,
//! which may hang. It does not know where values come from, nor what they are good for.

use std::{
    borrow::Borrow,
    fmt, fs, io,
    marker::PhantomData,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{documents, keeper::Keeper};

/// A value that is kept.
pub trait Keep: Serialize + DeserializeOwned + Send + 'static {
    /// How its file's name ends, and its thread's name.
    const NAME: &'static str;
    /// What it means that it cannot be written, for the log.
    const LOST: &'static str;
}

/// See the module.
pub struct KeptFile<T> {
    path: PathBuf,
    value: PhantomData<fn() -> T>,
}

impl<T: Keep> KeptFile<T> {
    /// The file beside the ledger, or a node's other files, at `beside`.
    #[must_use]
    pub fn beside(beside: &Path) -> Self {
        let mut name = beside.file_name().unwrap_or_default().to_owned();
        name.push(".");
        name.push(T::NAME);
        Self { path: beside.with_file_name(name), value: PhantomData }
    }

    /// What was kept, if anything.
    #[must_use]
    pub fn read(&self) -> Option<T> {
        documents::decode(&fs::read(&self.path).ok()?).ok()
    }

    /// Keeps a value, on disk once it returns.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, value: &T) -> io::Result<()> {
        let bytes = documents::encode(value)?;
        let mut new = self.path.clone().into_os_string();
        new.push(".new");
        let new = PathBuf::from(new);
        fs::write(&new, bytes)?;
        fs::File::open(&new)?.sync_all()?;
        fs::rename(&new, &self.path)?;
        // Without this the former one may be back after a power failure.
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        fs::File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
    }

    /// Keeps values on a thread of its own, the newest only, and tells of each whether it is kept; where
    /// there can be no thread, that is told in the log.
    pub(crate) fn keeper<V>(
        self,
        mut tell: impl FnMut(&V, bool) + Send + 'static,
    ) -> Option<Keeper<V>>
    where
        V: Borrow<T> + Send + 'static,
    {
        let mut is_told = false;
        let keeper = Keeper::start(T::NAME, Duration::ZERO, move |value: &V| {
            let kept = self.keep(value.borrow());
            match &kept {
                Ok(()) if is_told => tracing::info!(file = T::NAME, "it is kept on disk again"),
                // A full disk fails every one of them, which is told once.
                Err(error) if !is_told => tracing::warn!(%error, "{}", T::LOST),
                Ok(()) | Err(_) => {}
            }
            is_told = kept.is_err();
            tell(value, kept.is_ok());
            kept.is_ok()
        });
        keeper.inspect_err(|error| tracing::warn!(%error, "{}", T::LOST)).ok()
    }
}

impl<T> Clone for KeptFile<T> {
    fn clone(&self) -> Self {
        Self { path: self.path.clone(), value: PhantomData }
    }
}

impl<T> fmt::Debug for KeptFile<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeptFile").field(&self.path).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use tokio::time::Instant;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Number {
        number: u8,
    }

    impl Keep for Number {
        const NAME: &'static str = "number";
        const LOST: &'static str = "the number is lost";
    }

    #[test]
    fn the_newest_is_kept_and_a_broken_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeptFile::<Number>::beside(&folder.path().join("nats"));
        assert_eq!(file.read(), None);
        file.keep(&Number { number: 7 }).unwrap();
        assert_eq!(file.read(), Some(Number { number: 7 }));
        let keeper = file.clone().keeper(|_: &Number, _| ()).unwrap();
        keeper.keep(Number { number: 8 });
        drop(keeper);
        let end = Instant::now() + Duration::from_secs(20);
        while file.read() != Some(Number { number: 8 }) {
            assert!(Instant::now() < end, "the last one is not kept");
            std::thread::yield_now();
        }
        for broken in [r#"{"schema":2,"number":7}"#, "{"] {
            fs::write(folder.path().join("nats.number"), broken).unwrap();
            assert_eq!(file.read(), None, "{broken}");
        }
    }
}
