//! The ledger's sites on a node's own disk, for a start without the ledger.
//!
//! In: a path, sites. Out: the sites that were last kept. Always: a file that is broken or of a newer
//! version counts as none; the newest sites are kept, and nobody but a thread of its own waits for
//! the disk, which may hang. It does not know where sites come from.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};

use super::LedgerSite;
use crate::documents;

/// See the module.
#[derive(Clone, Debug)]
pub struct SitesFile(PathBuf);

#[derive(Serialize, Deserialize)]
struct Kept {
    sites: Vec<LedgerSite>,
}

impl SitesFile {
    /// The file beside the ledger, or a node's other files, at `beside`.
    #[must_use]
    pub fn beside(beside: &Path) -> Self {
        let mut name = beside.file_name().unwrap_or_default().to_owned();
        name.push(".sites");
        Self(beside.with_file_name(name))
    }

    /// The sites that were kept, if any.
    #[must_use]
    pub fn read(&self) -> Option<Vec<LedgerSite>> {
        let bytes = fs::read(&self.0).ok()?;
        documents::decode(&bytes).ok().map(|Kept { sites }| sites)
    }

    /// Keeps sites, on disk once it returns.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn keep(&self, sites: Vec<LedgerSite>) -> io::Result<()> {
        let bytes = documents::encode(&Kept { sites })?;
        let mut new = self.0.clone().into_os_string();
        new.push(".new");
        let new = PathBuf::from(new);
        fs::write(&new, bytes)?;
        fs::File::open(&new)?.sync_all()?;
        fs::rename(&new, &self.0)
    }
}

/// Keeps sites on a thread of its own; dropped, it ends once the last ones are kept.
#[derive(Debug)]
pub(super) struct Keeper(Arc<Wanted>);

#[derive(Debug, Default)]
struct Wanted {
    order: Mutex<Order>,
    told: Condvar,
}

#[derive(Debug, Default)]
struct Order {
    sites: Option<Vec<LedgerSite>>,
    ended: bool,
}

impl Keeper {
    pub(super) fn start(file: SitesFile) -> io::Result<Self> {
        let wanted = Arc::<Wanted>::default();
        let of_thread = Arc::clone(&wanted);
        let thread = thread::Builder::new().name("sites".to_owned());
        thread.spawn(move || of_thread.run(&file))?;
        Ok(Self(wanted))
    }

    /// Keeps them soon.
    pub(super) fn keep(&self, sites: Vec<LedgerSite>) {
        self.0.order.lock().sites = Some(sites);
        self.0.told.notify_one();
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.order.lock().ended = true;
        self.0.told.notify_one();
    }
}

impl Wanted {
    fn run(&self, file: &SitesFile) {
        while let Some(sites) = self.next() {
            if let Err(error) = file.keep(sites) {
                tracing::warn!(
                    %error,
                    "the ledger's sites cannot be kept on disk; a start without the ledger would \
                     serve older ones"
                );
            }
        }
    }

    fn next(&self) -> Option<Vec<LedgerSite>> {
        let mut order = self.order.lock();
        self.told.wait_while(&mut order, |order| order.sites.is_none() && !order.ended);
        order.sites.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_are_kept_and_a_broken_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = SitesFile::beside(&folder.path().join("nats"));
        assert_eq!(file.read(), None);
        let site = LedgerSite {
            name: "shop".to_owned(),
            id: "5d-1".to_owned(),
            revision: 7,
            mark: "ab".to_owned(),
            text: "[[site]]\n".to_owned(),
        };
        file.keep(vec![site.clone()]).unwrap();
        assert_eq!(file.read(), Some(vec![site]));
        let keeper = Keeper::start(file.clone()).unwrap();
        keeper.keep(Vec::new());
        let end = Arc::downgrade(&keeper.0);
        drop(keeper);
        // It ends after what it was last asked for.
        while end.strong_count() > 0 {
            thread::yield_now();
        }
        assert_eq!(file.read(), Some(Vec::new()));
        fs::write(folder.path().join("nats.sites"), r#"{"schema":2,"sites":[]}"#).unwrap();
        assert_eq!(file.read(), None);
    }
}
