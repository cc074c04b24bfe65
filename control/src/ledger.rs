//! The ledger's contract: versioned documents, and logs with positions.
//!
//! In: keys, values, entries. Out: revisions, positions, and what others wrote.
//! Always, of every implementation (control/tests/contract/mod.rs proves it of each):
//! - a write that is acknowledged survives a power cut, and is seen by every later read of this
//!   ledger;
//! - revisions grow through all documents: a watch brings changes in their order, and of each key at
//!   least the newest; versions between may be skipped by who was away;
//! - a log's entries are numbered upwards, and everyone sees them in that order;
//! - a reader whose position cannot be continued is told so ([`Lost`]) and never skips anything.
//!
//! It deliberately does not know what documents and entries say.
//!
//! The shape is what a single file can do and JetStream as well: a key-value bucket has revisions
//! over all of its keys, create and update against a revision, a history of each key and a watch
//! from a revision; a stream has sequence numbers, deduplication by a message's id, and an age (its
//! creation), which is the epoch.

mod key;
mod position;

pub use self::{
    key::{KEY_BYTES_MAX, Key},
    position::{Ends, Epoch, NoPosition, Position, Revision},
};

use std::fmt;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

/// The largest document.
pub const DOCUMENT_BYTES_MAX: usize = 512 * 1024;
/// The largest entry of a log.
pub const ENTRY_BYTES_MAX: usize = 256 * 1024;
/// The longest name under which an entry is appended once.
pub const ONCE_BYTES_MAX: usize = 128;
/// How many versions of a document are kept, the newest included.
pub const HISTORY_MAX: usize = 16;

/// Keys that were taken away and are remembered as such, with their history; the oldest give way.
pub const GONE_MAX: u64 = 1000;

/// What a ledger answers, when it answers.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, LedgerError>>;

/// See the module.
pub trait Ledger: fmt::Debug + Send + Sync {
    /// Whether it takes writes now, and each change of that.
    fn health(&self) -> watch::Receiver<Health>;

    /// The document at `key`.
    fn read<'a>(&'a self, key: &'a Key) -> Answer<'a, Option<Document>>;

    /// The documents whose keys begin with `prefix`, in order of their keys, as they are together
    /// at one revision.
    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing>;

    /// The versions of a document that are kept, newest first; at most [`HISTORY_MAX`].
    fn history<'a>(&'a self, key: &'a Key) -> Answer<'a, Vec<Change>>;

    /// Writes a document, if it is as the writer expects.
    fn write<'a>(&'a self, key: &'a Key, value: Bytes, expect: Expect) -> Answer<'a, Revision>;

    /// Takes a document away that is at revision `at`; its history stays, as long as it is among the
    /// [`GONE_MAX`] that were taken away last.
    fn delete<'a>(&'a self, key: &'a Key, at: Revision) -> Answer<'a, Revision>;

    /// The changes after `after` of documents whose keys begin with `prefix`. Who was away for so long
    /// that something was taken away and forgotten meanwhile is told so: it lists anew.
    fn watch<'a>(&'a self, prefix: &'a str, after: Revision) -> Answer<'a, Box<dyn Watch>>;

    /// Appends an entry to a log. With `once`, a name that the writer chose, a second entry of that
    /// name is none: the first one's position is the answer, as long as that entry is kept.
    fn append<'a>(&'a self, log: Log, entry: Bytes, once: Option<&'a str>) -> Answer<'a, Appended>;

    /// The same for who does not ask where it is; says whether it was there already. Where it is may be
    /// another question to a ledger that is far away.
    fn note<'a>(&'a self, log: Log, entry: Bytes, once: Option<&'a str>) -> Answer<'a, bool> {
        Box::pin(async move { Ok(self.append(log, entry, once).await?.repeated) })
    }

    /// The entry at `position`, if it is kept.
    fn entry(&self, log: Log, position: Position) -> Answer<'_, Option<Bytes>>;

    /// Where a log begins and ends.
    fn ends(&self, log: Log) -> Answer<'_, Ends>;

    /// The entries of a log after `after`, which must be a position of that log.
    fn follow(&self, log: Log, after: Position) -> Answer<'_, Box<dyn Follow>>;
}

/// Whether a ledger takes writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    failing: Option<Box<str>>,
    failures: u64,
}

impl Health {
    /// Why it does not; nothing while it does.
    #[must_use]
    pub fn failing(&self) -> Option<&str> {
        self.failing.as_deref()
    }

    /// How often it has stopped to take them.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// It takes none any more.
    pub(crate) fn fail(&mut self, reason: &str) {
        self.failing = Some(reason.into());
        self.failures = self.failures.saturating_add(1);
    }

    /// It takes none still.
    pub(crate) fn still(&mut self, reason: &str) {
        self.failing = Some(reason.into());
    }

    /// It had failed so often before anybody counted here.
    pub(crate) fn failed_before(&mut self, failures: u64) {
        self.failures = self.failures.saturating_add(failures);
    }

    /// It takes them again.
    pub(crate) fn mend(&mut self) {
        self.failing = None;
    }
}

/// Changes of documents, as they come.
pub trait Watch: Send {
    /// The next change; waits for it. A call that is dropped loses nothing.
    fn next(&mut self) -> Answer<'_, Change>;
}

/// Entries of a log, as they come.
pub trait Follow: Send {
    /// The next entries, at least one; waits for them. A call that is dropped loses nothing.
    fn next(&mut self) -> Answer<'_, Vec<Entry>>;
}

/// A document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Where it stands.
    pub key: Key,
    /// Which version of it this is.
    pub revision: Revision,
    /// What it says.
    pub value: Bytes,
}

/// Documents as they are at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The documents, in order of their keys.
    pub documents: Vec<Document>,
    /// The ledger's revision then: a watch from here misses nothing.
    pub revision: Revision,
}

/// A version of a document, or that it was taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where it stands.
    pub key: Key,
    /// Which version this is.
    pub revision: Revision,
    /// What it says; nothing once it was taken away.
    pub value: Option<Bytes>,
}

/// What a writer expects of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing: whatever is there gives way.
    Anything,
    /// That there is none.
    Absent,
    /// That it is at this revision.
    At(Revision),
}

/// A log of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Log {
    /// What operators purged.
    Purges,
    /// What operators did.
    Audit,
}

impl Log {
    /// All logs.
    pub const ALL: [Self; 2] = [Self::Purges, Self::Audit];
}

/// An entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub position: Position,
    /// What it says.
    pub value: Bytes,
}

/// Where an entry was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its position.
    pub position: Position,
    /// Whether one of the same name was there already, and nothing was appended.
    pub repeated: bool,
}

/// Why a ledger did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It cannot be reached or its disk fails; nothing was acknowledged. It may be tried again.
    #[error("the ledger is not available: {0}")]
    Unavailable(String),
    /// Someone else wrote first: read again and decide anew.
    #[error("\"{key}\" is {}, not what was expected", at(.current))]
    Conflict {
        /// The document.
        key: Key,
        /// What it is at, if it is there.
        current: Option<Revision>,
    },
    /// The writer asks for too much.
    #[error("{what} of {bytes} bytes; allowed: up to {max}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        max: usize,
    },
    /// A reader cannot go on from where it was.
    #[error(transparent)]
    Lost(#[from] Lost),
}

/// Why a reader cannot go on from its position: it may have missed entries, and nobody can say
/// which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// Its position is of another log: this one was made anew.
    #[error("position {asked} is of another ledger; this one's epoch is {epoch}")]
    Foreign {
        /// Where the reader was.
        asked: Position,
        /// The log's epoch.
        epoch: Epoch,
    },
    /// The log ends before it: an older copy was put in its place.
    #[error("position {asked} is past the log's end, {last}: an older copy of it is in its place")]
    Receded {
        /// Where the reader was.
        asked: Position,
        /// Where the log ends.
        last: Position,
    },
    /// Something was taken away after the revision that it knows, and that is forgotten.
    #[error("what was taken away after revision {asked} is no longer known, up to {forgotten}")]
    Forgotten {
        /// The revision that the reader knows.
        asked: Revision,
        /// What took it away.
        forgotten: Revision,
    },
    /// What followed it is no longer kept.
    #[error("what followed position {asked} is no longer kept; the oldest entry follows {first}")]
    Trimmed {
        /// Where the reader was.
        asked: Position,
        /// The position before the oldest entry that is kept.
        first: Position,
    },
}

fn at(current: &Option<Revision>) -> String {
    current.map_or_else(|| "absent".to_owned(), |revision| format!("at revision {revision}"))
}

/// Whether a reader may go on from `after` in a log with these ends.
///
/// # Errors
/// When it may not.
pub fn may_continue(after: Position, ends: Ends) -> Result<(), Lost> {
    let epoch = ends.last.epoch;
    if after.epoch != epoch {
        return Err(Lost::Foreign { asked: after, epoch });
    }
    if after.seq > ends.last.seq {
        return Err(Lost::Receded { asked: after, last: ends.last });
    }
    if after.seq < ends.before_first.seq {
        return Err(Lost::Trimmed { asked: after, first: ends.before_first });
    }
    Ok(())
}

/// Refuses what is too large.
pub(crate) fn fits(what: &'static str, bytes: usize, max: usize) -> Result<(), LedgerError> {
    if bytes > max { Err(LedgerError::TooLarge { what, bytes, max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_continued_only_in_its_own_log_and_where_nothing_is_missing() {
        let at = |seq| Position { epoch: Epoch(7), seq };
        let ends = Ends { before_first: at(3), last: at(9), apart: 1 };
        for seq in 3..=9 {
            assert_eq!(may_continue(at(seq), ends), Ok(()));
        }
        assert!(matches!(may_continue(at(2), ends), Err(Lost::Trimmed { .. })));
        assert!(matches!(may_continue(at(10), ends), Err(Lost::Receded { .. })));
        let foreign = Position { epoch: Epoch(8), seq: 5 };
        assert!(matches!(may_continue(foreign, ends), Err(Lost::Foreign { .. })));
    }
}
