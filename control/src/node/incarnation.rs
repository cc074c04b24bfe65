//! Which process it is that goes by a node's name.
//!
//! In: random numbers, a file of the node's own. Out: an id that no other process has, and that of the
//! process before this one.
//! Always: the file says who was the last to use its folder, which two processes do not do at once; so
//! whom it names has ended. A file that is broken or gone names nobody. It does not know where the id
//! is written but there.

use std::{fs, io, path::PathBuf};

use crate::{
    applied::{self, AppliedFile},
    ledger::LedgerError,
    pace::message_id,
};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incarnation(String);

impl Incarnation {
    /// A new one, once for each process.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn fresh() -> Result<Self, LedgerError> {
        let none = || LedgerError::Unavailable("the system has no random numbers".to_owned());
        message_id().map(Self).ok_or_else(none)
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes over the folder that `applied` is in; says who had it before, if it was another.
    ///
    /// # Errors
    /// When that cannot be kept.
    pub(super) fn take_over(&self, applied: &AppliedFile) -> (Option<String>, io::Result<()>) {
        let file: PathBuf = applied.sibling("incarnation");
        let former = fs::read_to_string(&file).ok().map(|text| text.trim().to_owned());
        if former.as_deref() == Some(self.as_str()) {
            return (None, Ok(()));
        }
        let kept = applied::replace(&file, &format!("{}\n", self.0));
        (former.filter(|former| !former.is_empty()), kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_learns_who_had_its_folder_and_tells_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let applied = AppliedFile::beside(&folder.path().join("nats"), "fra.1");
        let [one, two] = [(); 2].map(|()| Incarnation::fresh().unwrap());
        assert_ne!(one, two);
        let former = |of: &Incarnation| {
            let (former, kept) = of.take_over(&applied);
            kept.unwrap();
            former
        };
        assert_eq!(former(&one), None);
        assert_eq!(former(&one), None, "itself");
        assert_eq!(former(&two).as_deref(), Some(one.as_str()));
        fs::write(folder.path().join("nats.fra.1.incarnation"), "\n").unwrap();
        assert_eq!(former(&one), None);
    }
}
