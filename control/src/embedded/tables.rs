//! The tables of the file, and what one transaction does to them.
//!
//! In: a database, actions. Out: what became of each. Always: an action that is refused leaves no
//! trace; the newest version of a key is never taken away. It does not know threads or watchers.

use std::io;

use redb::{
    Database, ReadableDatabase as _, ReadableTable as _, Table, TableDefinition, WriteTransaction,
};

use super::{Kept, writer::Action};
use crate::ledger::{Epoch, Expect, HISTORY_MAX, Key, LedgerError, Log, Revision};

/// The newest format that this version reads, and the one that it writes.
pub(super) const FORMAT: u64 = 1;

/// `format`, `epoch`, `revision`, and of each log its last number.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// The newest revision of each key, one that took it away included.
pub(super) const NEWEST: TableDefinition<'_, &str, u64> = TableDefinition::new("newest");
/// Each version that is kept.
pub(super) const VERSIONS: TableDefinition<'_, u64, (&str, Option<&[u8]>)> =
    TableDefinition::new("versions");
/// The versions by key.
pub(super) const HISTORY: TableDefinition<'_, (&str, u64), ()> = TableDefinition::new("history");
/// The entries of each log.
pub(super) const ENTRIES: TableDefinition<'_, (u8, u64), &[u8]> = TableDefinition::new("entries");
/// Where entries stand that have a name.
const NAMED: TableDefinition<'_, (u8, &str), u64> = TableDefinition::new("named");
/// The names of entries.
const NAMES: TableDefinition<'_, (u8, u64), &str> = TableDefinition::new("names");

/// Entries that one append takes away at most, so that a shorter log than before is reached in steps.
const TRIMMED_AT_ONCE: u64 = 64;

/// How far everything has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Heads {
    /// The newest revision.
    pub(super) revision: u64,
    /// The last number of each log.
    pub(super) logs: [u64; Log::ALL.len()],
}

impl Heads {
    pub(super) fn last(&self, log: Log) -> u64 {
        match log {
            Log::Purges => self.logs[0],
            Log::Audit => self.logs[1],
        }
    }

    fn last_mut(&mut self, log: Log) -> &mut u64 {
        match log {
            Log::Purges => &mut self.logs[0],
            Log::Audit => &mut self.logs[1],
        }
    }
}

/// What a log is called in the file.
pub(super) const fn number(log: Log) -> u8 {
    match log {
        Log::Purges => 1,
        Log::Audit => 2,
    }
}

/// The key in [`META`] of a log's last number.
const fn last_of(log: Log) -> &'static str {
    match log {
        Log::Purges => "purges",
        Log::Audit => "audit",
    }
}

/// What an action came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Done {
    /// A revision, or a number in a log.
    pub(super) number: u64,
    /// Whether it had been done before.
    pub(super) repeated: bool,
}

impl Done {
    pub(super) fn revision(self) -> Revision {
        Revision(self.number)
    }
}

/// Makes the tables where there are none, and says how far all has come; or the format, if it is a
/// newer one.
pub(super) fn begin(database: &Database) -> Result<Result<(Heads, Epoch), u64>, redb::Error> {
    let transaction = database.begin_write()?;
    let begun = {
        let mut tables = Tables::open(&transaction)?;
        let found = tables.meta("format")?;
        if let Some(found) = found.filter(|found| *found > FORMAT) {
            Err(found)
        } else {
            let epoch = match tables.meta("epoch")? {
                Some(epoch) => epoch,
                None => random()?,
            };
            tables.meta.insert("format", FORMAT)?;
            tables.meta.insert("epoch", epoch)?;
            Ok((tables.heads()?, Epoch(epoch)))
        }
    };
    match begun {
        Ok(_) => transaction.commit()?,
        // A newer file stays as it is.
        Err(_) => transaction.abort()?,
    }
    Ok(begun)
}

/// The epoch of a database that was begun once; reads only.
pub(super) fn epoch(database: &Database) -> Result<Option<Epoch>, redb::Error> {
    let meta = database.begin_read()?.open_table(META)?;
    Ok(meta.get("epoch")?.map(|found| Epoch(found.value())))
}

/// Writes what is there already, which shows whether more can be written; says how far all has come.
pub(super) fn probe(database: &Database) -> Result<Heads, redb::Error> {
    let transaction = database.begin_write()?;
    let heads = {
        let mut tables = Tables::open(&transaction)?;
        let heads = tables.heads()?;
        tables.write_heads(heads)?;
        heads
    };
    transaction.commit()?;
    Ok(heads)
}

/// A number that no other ledger has.
fn random() -> Result<u64, redb::Error> {
    let mut bytes = [0; 8];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => Ok(u64::from_be_bytes(bytes)),
        Err(none) => Err(redb::Error::Io(io::Error::other(format!("no random numbers: {none}")))),
    }
}

/// What became of each action of a group, and how far all has come then.
pub(super) type Performed = (Vec<Result<Done, LedgerError>>, Heads);

/// Does a group of actions in one transaction, and waits until it is on disk.
pub(super) fn perform(
    database: &Database,
    heads: Heads,
    kept: Kept,
    actions: &[Action],
) -> Result<Performed, redb::Error> {
    let transaction = database.begin_write()?;
    let (done, heads) = {
        let mut tables = Tables::open(&transaction)?;
        let mut heads = heads;
        let mut all = Vec::with_capacity(actions.len());
        for action in actions {
            all.push(tables.perform(action, &mut heads, kept)?);
        }
        tables.write_heads(heads)?;
        (all, heads)
    };
    if done.iter().any(|done| done.as_ref().is_ok_and(|done| !done.repeated)) {
        transaction.commit()?;
    } else {
        transaction.abort()?;
    }
    Ok((done, heads))
}

struct Tables<'t> {
    meta: Table<'t, &'static str, u64>,
    newest: Table<'t, &'static str, u64>,
    versions: Table<'t, u64, (&'static str, Option<&'static [u8]>)>,
    history: Table<'t, (&'static str, u64), ()>,
    entries: Table<'t, (u8, u64), &'static [u8]>,
    named: Table<'t, (u8, &'static str), u64>,
    names: Table<'t, (u8, u64), &'static str>,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            meta: transaction.open_table(META)?,
            newest: transaction.open_table(NEWEST)?,
            versions: transaction.open_table(VERSIONS)?,
            history: transaction.open_table(HISTORY)?,
            entries: transaction.open_table(ENTRIES)?,
            named: transaction.open_table(NAMED)?,
            names: transaction.open_table(NAMES)?,
        })
    }

    fn meta(&self, key: &str) -> Result<Option<u64>, redb::Error> {
        Ok(self.meta.get(key)?.map(|found| found.value()))
    }

    fn heads(&self) -> Result<Heads, redb::Error> {
        let mut heads = Heads { revision: self.meta("revision")?.unwrap_or(0), ..Heads::default() };
        for log in Log::ALL {
            *heads.last_mut(log) = self.meta(last_of(log))?.unwrap_or(0);
        }
        Ok(heads)
    }

    fn write_heads(&mut self, heads: Heads) -> Result<(), redb::Error> {
        self.meta.insert("revision", heads.revision)?;
        for log in Log::ALL {
            self.meta.insert(last_of(log), heads.last(log))?;
        }
        Ok(())
    }

    fn perform(
        &mut self,
        action: &Action,
        heads: &mut Heads,
        kept: Kept,
    ) -> Result<Result<Done, LedgerError>, redb::Error> {
        match action {
            Action::Write { key, value, expect } => {
                self.write(key, value.as_deref(), *expect, heads)
            }
            Action::Append { log, entry, once } => {
                let done = self.append(*log, entry, once.as_deref(), heads, kept.of(*log))?;
                Ok(Ok(done))
            }
        }
    }

    fn write(
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

    fn append(
        &mut self,
        log: Log,
        entry: &[u8],
        once: Option<&str>,
        heads: &mut Heads,
        kept: u64,
    ) -> Result<Done, redb::Error> {
        let in_file = number(log);
        if let Some(name) = once
            && let Some(first) = self.named.get((in_file, name))?.map(|found| found.value())
        {
            return Ok(Done { number: first, repeated: true });
        }
        let seq = heads.last(log).saturating_add(1);
        self.entries.insert((in_file, seq), entry)?;
        if let Some(name) = once {
            self.named.insert((in_file, name), seq)?;
            self.names.insert((in_file, seq), name)?;
        }
        *heads.last_mut(log) = seq;
        self.trim(in_file, seq.saturating_sub(kept))?;
        Ok(Done { number: seq, repeated: false })
    }

    /// Takes away entries up to `past`, and their names.
    fn trim(&mut self, log: u8, past: u64) -> Result<(), redb::Error> {
        for _ in 0..TRIMMED_AT_ONCE {
            let oldest = match self.entries.range((log, 0)..=(log, past))?.next() {
                Some(entry) => entry?.0.value(),
                None => return Ok(()),
            };
            self.entries.remove(oldest)?;
            let name = self.names.remove(oldest)?.map(|name| name.value().to_owned());
            if let Some(name) = name {
                self.named.remove((log, name.as_str()))?;
            }
        }
        Ok(())
    }
}
