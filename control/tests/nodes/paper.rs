//! A ledger on paper: in memory, answering at once, so that the paused clock stands while it works; and
//! one that its owner can lose.
//!
//! Always: it keeps to the contract as far as nodes need it; while it is lost nothing is taken, nothing
//! is listed and nothing is heard, and what was written before that is there afterwards.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use nearcast_control::{
    drain::DRAINS,
    ledger::{
        Answer, Appended, Change, Document, Ends, Entry, Epoch, Expect, Follow, Health, Key,
        Ledger, LedgerError, Listing, Log, Lost, Position, Revision, Watch, may_continue,
    },
};
use tokio::sync::watch;

/// See the module; clones are the same ledger, seen by who shares a view.
#[derive(Clone, Debug)]
pub(crate) struct Paper {
    sheet: Arc<Mutex<Sheet>>,
    tick: Arc<watch::Sender<u64>>,
    /// Whether this view of it is lost.
    lost: Arc<watch::Sender<bool>>,
    /// Whether its purge log brings nothing.
    held: Arc<watch::Sender<bool>>,
    /// Whether documents may not be written through this view.
    forbidden: Arc<watch::Sender<bool>>,
    /// Whether who reads the purge log goes on, though it was made anew.
    kept: Arc<watch::Sender<bool>>,
    /// Whether this view of it does not answer.
    hangs: Arc<watch::Sender<bool>>,
    /// How often drains are listed still, where that is limited.
    listings: Arc<watch::Sender<Option<u64>>>,
    health: Arc<watch::Sender<Health>>,
}

#[derive(Debug, Default)]
struct Sheet {
    /// How often it was made anew.
    made: u64,
    /// The purge log alone.
    log_made: u64,
    /// Its documents alone.
    documents_made: u64,
    changes: Vec<Change>,
    purges: Vec<Bytes>,
}

impl Sheet {
    fn epoch(&self) -> Epoch {
        Epoch(7 + self.made + self.log_made)
    }

    /// How often that was made anew which who reads this reads: the purge log has no prefix.
    fn made_of(&self, prefix: &str) -> u64 {
        self.made + if prefix.is_empty() { self.log_made } else { self.documents_made }
    }
}

impl Paper {
    pub(crate) fn new() -> Self {
        Self {
            sheet: Arc::default(),
            tick: Arc::new(watch::Sender::new(0)),
            lost: Arc::new(watch::Sender::new(false)),
            held: Arc::new(watch::Sender::new(false)),
            forbidden: Arc::new(watch::Sender::new(false)),
            kept: Arc::new(watch::Sender::new(false)),
            hangs: Arc::new(watch::Sender::new(false)),
            listings: Arc::default(),
            health: Arc::default(),
        }
    }

    /// The same ledger, as another process sees it.
    pub(crate) fn view(&self) -> Self {
        let lost = Arc::new(watch::Sender::new(false));
        let held = Arc::new(watch::Sender::new(false));
        let forbidden = Arc::new(watch::Sender::new(false));
        let hangs = Arc::new(watch::Sender::new(false));
        let kept = Arc::new(watch::Sender::new(false));
        let (listings, health) = (Arc::default(), Arc::default());
        Self { lost, held, forbidden, kept, hangs, listings, health, ..self.clone() }
    }

    /// Has readers of its purge log not notice that it was made anew, or has them.
    pub(crate) fn keep_log(&self, kept: bool) {
        self.kept.send_replace(kept);
        self.tick.send_modify(|tick| *tick += 1);
    }

    /// Has requests through this view wait, or lets them go on.
    pub(crate) fn hang(&self, hangs: bool) {
        self.hangs.send_replace(hangs);
    }

    async fn answers(&self) {
        drop(self.hangs.subscribe().wait_for(|hangs| !hangs).await);
    }

    /// Takes no documents through this view, or does again.
    pub(crate) fn forbid(&self, forbidden: bool) {
        self.forbidden.send_replace(forbidden);
    }

    /// Cuts this view off, or mends it.
    pub(crate) fn lose(&self, lost: bool) {
        self.lost.send_replace(lost);
    }

    /// Has its purge log bring nothing, or goes on.
    pub(crate) fn hold_log(&self, held: bool) {
        self.held.send_replace(held);
        self.tick.send_modify(|tick| *tick += 1);
    }

    fn reach(&self) -> Result<(), LedgerError> {
        if *self.lost.borrow() {
            return Err(LedgerError::Unavailable("it is lost".to_owned()));
        }
        Ok(())
    }

    fn put(
        &self,
        key: &Key,
        value: Option<Bytes>,
        expect: Expect,
    ) -> Result<Revision, LedgerError> {
        self.reach()?;
        if *self.forbidden.borrow() {
            return Err(LedgerError::Unavailable("it is forbidden".to_owned()));
        }
        let mut sheet = self.sheet.lock().unwrap();
        let current = newest(&sheet, key.as_str()).remove(key.as_str());
        let current = current.map(|document| document.revision);
        let fits = match expect {
            Expect::Anything => true,
            Expect::Absent => current.is_none(),
            Expect::At(at) => current == Some(at),
        };
        if !fits {
            return Err(LedgerError::Conflict { key: key.clone(), current });
        }
        let revision = Revision(sheet.changes.len() as u64 + 1);
        sheet.changes.push(Change { key: key.clone(), revision, value });
        drop(sheet);
        self.tick.send_modify(|tick| *tick += 1);
        Ok(revision)
    }

    /// Makes it anew, with nothing in it; whoever reads is told that it is lost.
    pub(crate) fn make_anew(&self) {
        let mut sheet = self.sheet.lock().unwrap();
        *sheet = Sheet { made: sheet.made + 1, log_made: sheet.log_made, ..Sheet::default() };
        drop(sheet);
        self.tick.send_modify(|tick| *tick += 1);
    }

    /// Makes its documents anew, and nothing else.
    pub(crate) fn make_documents_anew(&self) {
        let mut sheet = self.sheet.lock().unwrap();
        sheet.documents_made += 1;
        sheet.changes.clear();
        drop(sheet);
        self.tick.send_modify(|tick| *tick += 1);
    }

    /// Has so many listings of drains through this view be answered, and none after that.
    pub(crate) fn list_drains(&self, times: u64) {
        self.listings.send_replace(Some(times));
    }

    /// Whether drains may be listed once more.
    fn may_list(&self, prefix: &str) -> Result<(), LedgerError> {
        let mut may = true;
        self.listings.send_modify(|left| {
            if let Some(left) = left.as_mut().filter(|_| prefix == DRAINS) {
                may = *left > 0;
                *left = left.saturating_sub(1);
            }
        });
        may.then_some(()).ok_or_else(|| LedgerError::Unavailable("it is not listed".to_owned()))
    }

    /// Makes its purge log anew, and nothing else.
    pub(crate) fn make_log_anew(&self) {
        let mut sheet = self.sheet.lock().unwrap();
        sheet.log_made += 1;
        sheet.purges.clear();
        drop(sheet);
        self.tick.send_modify(|tick| *tick += 1);
    }

    fn ends_now(&self) -> Ends {
        let sheet = self.sheet.lock().unwrap();
        let at = |seq| Position { epoch: sheet.epoch(), seq };
        Ends { before_first: at(0), last: at(sheet.purges.len() as u64), apart: 1 }
    }
}

fn newest(sheet: &Sheet, prefix: &str) -> BTreeMap<String, Document> {
    let mut documents = BTreeMap::new();
    for Change { key, revision, value } in &sheet.changes {
        if !key.as_str().starts_with(prefix) {
            continue;
        }
        let name = key.as_str().to_owned();
        match value.clone() {
            Some(value) => {
                documents.insert(name, Document { key: key.clone(), revision: *revision, value });
            }
            None => drop(documents.remove(&name)),
        }
    }
    documents
}

impl Ledger for Paper {
    fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    fn read<'a>(&'a self, key: &'a Key) -> Answer<'a, Option<Document>> {
        Box::pin(async move {
            self.reach()?;
            Ok(newest(&self.sheet.lock().unwrap(), key.as_str()).remove(key.as_str()))
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        Box::pin(async move {
            self.answers().await;
            self.reach()?;
            self.may_list(prefix)?;
            let sheet = self.sheet.lock().unwrap();
            let documents = newest(&sheet, prefix).into_values().collect();
            Ok(Listing { documents, revision: Revision(sheet.changes.len() as u64) })
        })
    }

    fn history<'a>(&'a self, _key: &'a Key) -> Answer<'a, Vec<Change>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn write<'a>(&'a self, key: &'a Key, value: Bytes, expect: Expect) -> Answer<'a, Revision> {
        Box::pin(async move {
            self.answers().await;
            self.put(key, Some(value), expect)
        })
    }

    fn delete<'a>(&'a self, key: &'a Key, at: Revision) -> Answer<'a, Revision> {
        Box::pin(async move { self.put(key, None, Expect::At(at)) })
    }

    fn watch<'a>(&'a self, prefix: &'a str, after: Revision) -> Answer<'a, Box<dyn Watch>> {
        Box::pin(async move {
            self.reach()?;
            let watching = Reader::new(self, prefix, after.0);
            Ok(Box::new(watching) as Box<dyn Watch>)
        })
    }

    fn append<'a>(
        &'a self,
        _log: Log,
        entry: Bytes,
        _once: Option<&'a str>,
    ) -> Answer<'a, Appended> {
        Box::pin(async move {
            self.reach()?;
            self.sheet.lock().unwrap().purges.push(entry);
            self.tick.send_modify(|tick| *tick += 1);
            Ok(Appended { position: self.ends_now().last, repeated: false })
        })
    }

    fn entry(&self, _log: Log, _position: Position) -> Answer<'_, Option<Bytes>> {
        Box::pin(async { Ok(None) })
    }

    fn ends(&self, _log: Log) -> Answer<'_, Ends> {
        Box::pin(async move {
            self.reach()?;
            Ok(self.ends_now())
        })
    }

    fn follow(&self, _log: Log, after: Position) -> Answer<'_, Box<dyn Follow>> {
        Box::pin(async move {
            self.reach()?;
            may_continue(after, self.ends_now())?;
            let reader = Reader::new(self, "", after.seq);
            Ok(Box::new(reader) as Box<dyn Follow>)
        })
    }
}

/// Who reads documents, or the purge log.
struct Reader {
    paper: Paper,
    prefix: Box<str>,
    after: u64,
    made: u64,
}

impl Reader {
    fn new(paper: &Paper, prefix: &str, after: u64) -> Self {
        let made = paper.sheet.lock().unwrap().made_of(prefix);
        Self { paper: paper.clone(), prefix: prefix.into(), after, made }
    }

    /// Waits until something may be there that can be read.
    async fn until<T>(&mut self, look: impl Fn(&mut Self) -> Option<T>) -> Result<T, LedgerError> {
        let (mut tick, mut lost) = (self.paper.tick.subscribe(), self.paper.lost.subscribe());
        loop {
            let is_lost = *lost.borrow_and_update();
            tick.mark_unchanged();
            let is_kept = *self.paper.kept.borrow() && self.prefix.is_empty();
            if !is_lost
                && !is_kept
                && self.paper.sheet.lock().unwrap().made_of(&self.prefix) != self.made
            {
                let (asked, forgotten) = (Revision(self.after), Revision(self.after));
                return Err(Lost::Forgotten { asked, forgotten }.into());
            }
            if let Some(found) = (!is_lost).then(|| look(self)).flatten() {
                return Ok(found);
            }
            tokio::select! {
                changed = tick.changed() => changed.unwrap(),
                changed = lost.changed() => changed.unwrap(),
            }
        }
    }
}

impl Watch for Reader {
    fn next(&mut self) -> Answer<'_, Change> {
        Box::pin(async move {
            self.until(|reader| {
                let sheet = reader.paper.sheet.lock().unwrap();
                let is_next = |change: &&Change| {
                    change.revision.0 > reader.after
                        && change.key.as_str().starts_with(&*reader.prefix)
                };
                let found = sheet.changes.iter().find(is_next).cloned()?;
                reader.after = found.revision.0;
                Some(found)
            })
            .await
        })
    }
}

impl Follow for Reader {
    fn next(&mut self) -> Answer<'_, Vec<Entry>> {
        Box::pin(async move {
            self.until(|reader| {
                if *reader.paper.held.borrow() {
                    return None;
                }
                let sheet = reader.paper.sheet.lock().unwrap();
                let new = sheet.purges.get(usize::try_from(reader.after).unwrap()..)?;
                let epoch = sheet.epoch();
                let entry = |(value, seq): (&Bytes, u64)| {
                    let position = Position { epoch, seq };
                    Entry { position, value: value.clone() }
                };
                let entries: Vec<Entry> = new.iter().zip(reader.after + 1..).map(entry).collect();
                reader.after = entries.last()?.position.seq;
                Some(entries)
            })
            .await
        })
    }
}
