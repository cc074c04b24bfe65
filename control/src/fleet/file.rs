//! The fleet on a node's own disk, for a start without the ledger.
//!
//! In: a path, a fleet. Out: the one that was last kept. Always: a file that is broken or of a newer
//! version counts as none; the newest is kept, and nobody but a thread of its own waits for the disk,
//! which may hang. It does not know what a fleet is good for.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::Fleet;
use crate::{documents, keeper::Keeper};

/// See the module.
#[derive(Clone, Debug)]
pub struct FleetFile(PathBuf);

impl FleetFile {
    /// The file beside the ledger, or a node's other files, at `beside`.
    #[must_use]
    pub fn beside(beside: &Path) -> Self {
        let mut name = beside.file_name().unwrap_or_default().to_owned();
        name.push(".fleet");
        Self(beside.with_file_name(name))
    }

    /// The fleet that was kept, if any.
    #[must_use]
    pub fn read(&self) -> Option<Fleet> {
        documents::decode(&fs::read(&self.0).ok()?).ok()
    }

    /// Keeps a fleet, on disk once it returns.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, fleet: &Fleet) -> io::Result<()> {
        let bytes = documents::encode(fleet)?;
        let mut new = self.0.clone().into_os_string();
        new.push(".new");
        let new = PathBuf::from(new);
        fs::write(&new, bytes)?;
        fs::File::open(&new)?.sync_all()?;
        fs::rename(&new, &self.0)
    }
}

/// Keeps fleets in their file, the newest only.
///
/// # Errors
/// When there can be no thread for it.
pub(super) fn keeper(file: FleetFile) -> io::Result<Keeper<Fleet>> {
    Keeper::start("fleet", Duration::ZERO, move |fleet| {
        if let Err(error) = file.keep(&fleet) {
            tracing::warn!(
                %error,
                "the fleet cannot be kept on disk; a start without the ledger would know an older one"
            );
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_is_kept_and_a_broken_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = FleetFile::beside(&folder.path().join("nats"));
        assert_eq!(file.read(), None);
        let mut fleet = Fleet::default();
        fleet.addresses.insert("fra".to_owned(), ["192.0.2.1".parse().unwrap()].into());
        fleet.out.insert("2001:db8::1".parse().unwrap());
        fleet.drained.insert("fra-1".to_owned());
        file.keep(&fleet).unwrap();
        assert_eq!(file.read(), Some(fleet));
        fs::write(folder.path().join("nats.fleet"), r#"{"schema":2}"#).unwrap();
        assert_eq!(file.read(), None);
    }
}
