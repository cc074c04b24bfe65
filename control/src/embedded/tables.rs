//! The tables of the file, and what one transaction does to them.
//!
//! In: a database, actions. Out: what became of each. Always: an action that is refused leaves no
//! trace. It does not know threads or watchers.

mod documents;
mod logs;

use std::io;

use redb::{
    Database, ReadableDatabase as _, ReadableTable as _, Table, TableDefinition, WriteTransaction,
};

use self::logs::names;
use super::{Kept, writer::Action};
use crate::ledger::{Epoch, LedgerError, Log, Revision};

/// The newest format that this version reads, and the one that it writes.
pub(super) const FORMAT: u64 = 1;

/// `format`, `epoch`, `revision`, `forgotten`, and of each log its last number and its bytes.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
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

/// Keys that were taken away, by the revision that did.
const GONE: TableDefinition<'_, u64, &str> = TableDefinition::new("gone");

/// How far everything has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Heads {
    /// The newest revision.
    pub(super) revision: u64,
    /// The newest revision that took away what is forgotten by now.
    pub(super) forgotten: u64,
    logs: [LogHead; Log::ALL.len()],
}

/// How far a log has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LogHead {
    /// Its last number.
    pub(super) last: u64,
    /// What its entries count for.
    pub(super) bytes: u64,
}

impl Heads {
    pub(super) fn last(&self, log: Log) -> u64 {
        self.of(log).last
    }

    /// Whether anything has come less far than in `told`.
    pub(super) fn are_behind(&self, told: Self) -> bool {
        self.revision < told.revision
            || Log::ALL.iter().any(|log| self.last(*log) < told.last(*log))
    }

    fn of(&self, log: Log) -> LogHead {
        match log {
            Log::Purges => self.logs[0],
            Log::Audit => self.logs[1],
        }
    }

    fn of_mut(&mut self, log: Log) -> &mut LogHead {
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
    // First by itself: other tables of a newer format may be of another kind.
    let found = transaction.open_table(META)?.get("format")?.map(|found| found.value());
    if let Some(found) = found.filter(|found| *found > FORMAT) {
        // It stays as it is.
        transaction.abort()?;
        return Ok(Err(found));
    }
    let begun = {
        let mut tables = Tables::open(&transaction)?;
        let epoch = match tables.meta("epoch")? {
            Some(epoch) => epoch,
            None => random()?,
        };
        tables.meta.insert("format", FORMAT)?;
        tables.meta.insert("epoch", epoch)?;
        let heads = tables.heads()?;
        tables.write_heads(heads)?;
        (heads, Epoch(epoch))
    };
    transaction.commit()?;
    Ok(Ok(begun))
}

/// The epoch of a database that was begun once, and how far its numbers have come; reads only.
pub(super) fn standing(database: &Database) -> Result<Option<(Epoch, Heads)>, redb::Error> {
    let meta = database.begin_read()?.open_table(META)?;
    let number = |key| Ok::<_, redb::Error>(meta.get(key)?.map(|found| found.value()));
    let Some(epoch) = number("epoch")? else { return Ok(None) };
    let mut heads = Heads { revision: number("revision")?.unwrap_or(0), ..Heads::default() };
    for log in Log::ALL {
        heads.of_mut(log).last = number(names(log).last)?.unwrap_or(0);
    }
    Ok(Some((Epoch(epoch), heads)))
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
    gone: Table<'t, u64, &'static str>,
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
            gone: transaction.open_table(GONE)?,
        })
    }

    fn meta(&self, key: &str) -> Result<Option<u64>, redb::Error> {
        Ok(self.meta.get(key)?.map(|found| found.value()))
    }

    fn heads(&self) -> Result<Heads, redb::Error> {
        let number = |key| Ok::<u64, redb::Error>(self.meta(key)?.unwrap_or(0));
        let mut heads = Heads {
            revision: number("revision")?,
            forgotten: number("forgotten")?,
            ..Heads::default()
        };
        for log in Log::ALL {
            let last = number(names(log).last)?;
            *heads.of_mut(log) = LogHead { last, bytes: self.bytes(log, last)? };
        }
        Ok(heads)
    }

    fn write_heads(&mut self, heads: Heads) -> Result<(), redb::Error> {
        self.meta.insert("revision", heads.revision)?;
        self.meta.insert("forgotten", heads.forgotten)?;
        for log in Log::ALL {
            let (of, head) = (names(log), heads.of(log));
            self.meta.insert(of.last, head.last)?;
            self.meta.insert(of.bytes, head.bytes)?;
            self.meta.insert(of.bytes_at, head.last)?;
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
}
