//! The ledger's sites on a node's own disk, for a start without the ledger.
//!
//! In: a path, sites. Out: the sites that were last kept. Always: a file that is broken or of a newer
//! version counts as none; the newest sites are kept, and nobody but a thread of its own waits for
//! the disk, which may hang. It does not know where sites come from.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::LedgerSite;
use crate::{documents, keeper::Keeper};

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

/// Keeps sites in their file, the newest only.
///
/// # Errors
/// When there can be no thread for it.
pub(super) fn keeper(file: SitesFile) -> io::Result<Keeper<Vec<LedgerSite>>> {
    Keeper::start("sites", Duration::ZERO, move |sites| {
        if let Err(error) = file.keep(sites) {
            tracing::warn!(
                %error,
                "the ledger's sites cannot be kept on disk; a start without the ledger would serve \
                 older ones"
            );
        }
    })
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

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
            text: "[[site]]\n".into(),
        };
        file.keep(vec![site.clone()]).unwrap();
        assert_eq!(file.read(), Some(vec![site]));
        let keeper = keeper(file.clone()).unwrap();
        keeper.keep(Vec::new());
        drop(keeper);
        let end = Instant::now() + Duration::from_secs(20);
        while file.read() != Some(Vec::new()) {
            assert!(Instant::now() < end, "the last ones are not kept");
            std::thread::yield_now();
        }
        fs::write(folder.path().join("nats.sites"), r#"{"schema":2,"sites":[]}"#).unwrap();
        assert_eq!(file.read(), None);
    }
}
