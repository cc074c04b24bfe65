//! Documents: their versions, and what stays of those that were taken away.
//!
//! In: writes. Out: revisions. Always: the newest version of a key that is there is never taken away;
//! of a key that is not, that it was taken away is remembered for a while, with its history. It does
//! not know logs.

use redb::{ReadableTable as _, ReadableTableMetadata as _};

use super::{Done, Heads, Tables};
use crate::ledger::{Expect, GONE_MAX, HISTORY_MAX, Key, LedgerError, Revision};

impl Tables<'_> {
    pub(super) fn write(
        &mut self,
        key: &Key,
        value: Option<&[u8]>,
        expect: Expect,
        heads: &mut Heads,
    ) -> Result<Result<Done, LedgerError>, redb::Error> {
        let current = self.current(key)?;
        let as_expected = match expect {
            Expect::Anything => true,
            Expect::Absent => current.is_none(),
            Expect::At(revision) => current == Some(revision),
        };
        if !as_expected {
            return Ok(Err(LedgerError::Conflict { key: key.clone(), current }));
        }
        let revision = heads.revision.saturating_add(1);
        self.versions.insert(revision, (key.as_str(), value))?;
        self.newest.insert(key.as_str(), revision)?;
        self.history.insert((key.as_str(), revision), ())?;
        self.forget(key)?;
        heads.revision = revision;
        if value.is_none() {
            self.gone.insert(revision, key.as_str())?;
            self.forget_gone(heads)?;
        }
        Ok(Ok(Done { number: revision, repeated: false }))
    }

    /// The revision of a document that is there.
    fn current(&self, key: &Key) -> Result<Option<Revision>, redb::Error> {
        let Some(newest) = self.newest.get(key.as_str())?.map(|found| found.value()) else {
            return Ok(None);
        };
        let version = self.versions.get(newest)?;
        let is_there = version.is_some_and(|version| version.value().1.is_some());
        Ok(is_there.then_some(Revision(newest)))
    }

    /// Takes away what is older than the versions that are kept: one at most, since one came.
    fn forget(&mut self, key: &Key) -> Result<(), redb::Error> {
        let key = key.as_str();
        let versions = self.history.range((key, 0)..=(key, u64::MAX))?;
        let past = match versions.rev().nth(HISTORY_MAX) {
            Some(version) => version?.0.value().1,
            None => return Ok(()),
        };
        self.history.remove((key, past))?;
        self.versions.remove(past)?;
        Ok(())
    }

    /// Forgets the key that was taken away longest ago, if there are more than are remembered.
    fn forget_gone(&mut self, heads: &mut Heads) -> Result<(), redb::Error> {
        if self.gone.len()? <= GONE_MAX {
            return Ok(());
        }
        let Some((revision, key)) =
            self.gone.pop_first()?.map(|(at, key)| (at.value(), key.value().to_owned()))
        else {
            return Ok(());
        };
        // It may have come back since.
        if self.newest.get(key.as_str())?.is_none_or(|newest| newest.value() != revision) {
            return Ok(());
        }
        self.newest.remove(key.as_str())?;
        let versions = self.history.range((key.as_str(), 0)..=(key.as_str(), u64::MAX))?;
        let versions = versions
            .map(|found| Ok(found?.0.value().1))
            .collect::<Result<Vec<u64>, redb::Error>>()?;
        for version in versions {
            self.history.remove((key.as_str(), version))?;
            self.versions.remove(version)?;
        }
        heads.forgotten = heads.forgotten.max(revision);
        Ok(())
    }
}
