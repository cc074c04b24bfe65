//! Reading the file: documents, entries, and what comes next of both.
//!
//! In: a database. Out: values. Always: a read sees one committed state; who waits for what comes is
//! woken, never polls. It does not know on which thread it reads.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use redb::{Database, ReadOnlyTable, ReadableDatabase as _, ReadableTable as _};
use tokio::sync::watch;

use super::{
    Embedded,
    tables::{ENTRIES, HISTORY, Heads, META, NEWEST, VERSIONS, number},
};
use crate::ledger::{
    Answer, Change, Document, Ends, Entry, Follow, Key, LedgerError, Listing, Log, Lost, Position,
    Revision, Watch, may_continue,
};

/// Changes and entries that are read at once.
const BATCH: usize = 256;

/// A key that was written, and so is one.
fn key(text: &str) -> Result<Key, redb::Error> {
    Key::parse(text).ok_or_else(|| redb::Error::Corrupted(format!("\"{text}\" is no key")))
}

pub(super) fn document(database: &Database, key: &Key) -> Result<Option<Document>, redb::Error> {
    let transaction = database.begin_read()?;
    let newest = transaction.open_table(NEWEST)?.get(key.as_str())?.map(|found| found.value());
    let Some(revision) = newest else { return Ok(None) };
    let version = transaction.open_table(VERSIONS)?.get(revision)?;
    let value = version.and_then(|version| version.value().1.map(Bytes::copy_from_slice));
    let (key, revision) = (key.clone(), Revision(revision));
    Ok(value.map(|value| Document { key, revision, value }))
}

pub(super) fn listing(database: &Database, prefix: &str) -> Result<Listing, redb::Error> {
    let transaction = database.begin_read()?;
    let versions = transaction.open_table(VERSIONS)?;
    let mut documents = Vec::new();
    for found in transaction.open_table(NEWEST)?.range(prefix..)? {
        let (name, revision) = found?;
        if !name.value().starts_with(prefix) {
            break;
        }
        let revision = revision.value();
        let version = versions.get(revision)?;
        if let Some(value) =
            version.and_then(|version| version.value().1.map(Bytes::copy_from_slice))
        {
            documents.push(Document {
                key: key(name.value())?,
                revision: Revision(revision),
                value,
            });
        }
    }
    let revision = versions.last()?.map_or(0, |(revision, _)| revision.value());
    Ok(Listing { documents, revision: Revision(revision) })
}

pub(super) fn history(database: &Database, of: &Key) -> Result<Vec<Change>, redb::Error> {
    let transaction = database.begin_read()?;
    let versions = transaction.open_table(VERSIONS)?;
    let name = of.as_str();
    let mut changes = Vec::new();
    for found in transaction.open_table(HISTORY)?.range((name, 0)..=(name, u64::MAX))?.rev() {
        let revision = found?.0.value().1;
        let version = versions.get(revision)?;
        let value = version.and_then(|version| version.value().1.map(Bytes::copy_from_slice));
        changes.push(Change { key: of.clone(), revision: Revision(revision), value });
    }
    Ok(changes)
}

/// What a watcher sees at one moment.
struct Changes {
    changes: Vec<Change>,
    /// How far was looked.
    looked: u64,
    /// How far all has come.
    revision: u64,
    /// What was taken away up to here is not all there.
    forgotten: u64,
}

/// Changes after `after`, at most [`BATCH`], of keys with `prefix`.
fn changes(database: &Database, prefix: &str, after: u64) -> Result<Changes, redb::Error> {
    let transaction = database.begin_read()?;
    let forgotten = transaction.open_table(META)?.get("forgotten")?.map_or(0, |it| it.value());
    let versions = transaction.open_table(VERSIONS)?;
    let revision = versions.last()?.map_or(0, |(revision, _)| revision.value());
    let mut seen = Changes { changes: Vec::new(), looked: after, revision, forgotten };
    for found in versions.range(after.saturating_add(1)..)?.take(BATCH) {
        let (revision, version) = found?;
        seen.looked = revision.value();
        let (name, value) = version.value();
        if name.starts_with(prefix) {
            let value = value.map(Bytes::copy_from_slice);
            let change = Change { key: key(name)?, revision: Revision(seen.looked), value };
            seen.changes.push(change);
        }
    }
    Ok(seen)
}

pub(super) fn entry(database: &Database, log: Log, seq: u64) -> Result<Option<Bytes>, redb::Error> {
    let transaction = database.begin_read()?;
    let found = transaction.open_table(ENTRIES)?.get((number(log), seq))?;
    Ok(found.map(|found| Bytes::copy_from_slice(found.value())))
}

/// The number before the first entry that is kept, and the last one.
pub(super) fn ends(database: &Database, log: Log) -> Result<(u64, u64), redb::Error> {
    ends_of(&database.begin_read()?.open_table(ENTRIES)?, number(log))
}

type EntryTable = ReadOnlyTable<(u8, u64), &'static [u8]>;

fn ends_of(entries: &EntryTable, log: u8) -> Result<(u64, u64), redb::Error> {
    let mut all = entries.range((log, 0)..=(log, u64::MAX))?;
    let first = all.next().transpose()?.map(|(at, _)| at.value().1);
    let last = all.next_back().transpose()?.map(|(at, _)| at.value().1);
    // A log never trims its newest entry, so an empty one never had any.
    let first = first.unwrap_or(0);
    Ok((first.saturating_sub(1), last.unwrap_or(first)))
}

/// What a reader sees of a log at one moment.
struct Seen {
    before: u64,
    last: u64,
    entries: Vec<(u64, Bytes)>,
}

/// The ends of a log, and its entries after `after`, at most [`BATCH`].
fn see(database: &Database, log: Log, after: u64) -> Result<Seen, redb::Error> {
    let table = database.begin_read()?.open_table(ENTRIES)?;
    let log = number(log);
    let (before, last) = ends_of(&table, log)?;
    let next = table.range((log, after.saturating_add(1))..=(log, u64::MAX))?;
    let read = next.take(BATCH).map(|found| {
        let (at, value) = found?;
        Ok::<_, redb::Error>((at.value().1, Bytes::copy_from_slice(value.value())))
    });
    Ok(Seen { before, last, entries: read.collect::<Result<_, _>>()? })
}

/// Waits until there is more than `has_come` says.
async fn more(
    heads: &mut watch::Receiver<Heads>,
    has_come: impl FnMut(&Heads) -> bool,
) -> Result<(), LedgerError> {
    let come = heads.wait_for(has_come).await;
    come.map(drop).map_err(|_gone| LedgerError::Unavailable("its thread has ended".to_owned()))
}

/// See [`Watch`].
pub(super) struct Watching {
    ledger: Embedded,
    heads: watch::Receiver<Heads>,
    prefix: Arc<str>,
    looked: u64,
    /// What was taken away up to here it need not be told: it never saw it.
    began: Option<u64>,
    read: VecDeque<Change>,
}

impl Watching {
    pub(super) fn new(ledger: Embedded, prefix: &str, after: Revision) -> Self {
        let heads = ledger.0.heads.clone();
        let began = (after != Revision::NONE).then_some(after.0);
        Self { ledger, heads, prefix: prefix.into(), looked: after.0, began, read: VecDeque::new() }
    }
}

impl Watch for Watching {
    fn next(&mut self) -> Answer<'_, Change> {
        Box::pin(async move {
            loop {
                if let Some(change) = self.read.pop_front() {
                    return Ok(change);
                }
                let looked = self.looked;
                more(&mut self.heads, |heads| heads.revision > looked).await?;
                let prefix = Arc::clone(&self.prefix);
                let read = self.ledger.reading(move |database| changes(database, &prefix, looked));
                let seen = read.await?;
                let began = *self.began.get_or_insert(seen.revision);
                if seen.forgotten > looked.max(began) {
                    let (asked, forgotten) = (Revision(looked), Revision(seen.forgotten));
                    return Err(Lost::Forgotten { asked, forgotten }.into());
                }
                self.looked = seen.looked;
                self.read = seen.changes.into();
            }
        })
    }
}

/// See [`Follow`].
pub(super) struct Entries {
    ledger: Embedded,
    heads: watch::Receiver<Heads>,
    log: Log,
    after: Position,
}

impl Entries {
    pub(super) fn new(ledger: Embedded, log: Log, after: Position) -> Self {
        let heads = ledger.0.heads.clone();
        Self { ledger, heads, log, after }
    }
}

impl Follow for Entries {
    fn next(&mut self) -> Answer<'_, Vec<Entry>> {
        Box::pin(async move {
            let (log, after) = (self.log, self.after);
            more(&mut self.heads, |heads| heads.last(log) > after.seq).await?;
            let seen = self.ledger.reading(move |database| see(database, log, after.seq)).await?;
            let at = |seq| Position { epoch: after.epoch, seq };
            // What was trimmed while nobody read is missing, whatever could still be read.
            may_continue(
                after,
                Ends { before_first: at(seen.before), last: at(seen.last), apart: 1 },
            )?;
            let entries = seen.entries.into_iter();
            let entries: Vec<Entry> =
                entries.map(|(seq, value)| Entry { position: at(seq), value }).collect();
            self.after = entries.last().map_or(after, |entry| entry.position);
            Ok(entries)
        })
    }
}
