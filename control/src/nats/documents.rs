//! The documents of the bucket, followed by this process.
//!
//! In: a connection. Out: documents and listings that have every write which was acknowledged before
//! they were asked for; changes as they come.
//! Always: a read asks the stream's leader how far the stream is, together with all who read at that
//! moment, and then waits until this process has followed it that far. What is followed is read
//! anew now and then, and whenever there was a break; so a loss is noticed, however it came about.
//! It does not know how documents are written.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout, timeout_at},
};

use super::{
    link::{Link, PATIENCE, Refusal},
    mirror::{Filled, Forgotten, Head, Mirror, Said},
    names::Names,
    pace::{Pace, jittered},
    standing::Standing,
    streams::Extent,
    tail::{From, Heading, Heard, Tail},
};
use crate::ledger::{
    Answer, Change, Document, HISTORY_MAX, Key, LedgerError, Listing, Lost, Revision, Watch,
};

/// Everything is read anew so often, though nothing seems to be lost.
const ANEW: Duration = Duration::from_secs(600);
/// How long that may take.
const FILLED: Duration = Duration::from_secs(10);
/// Reads that wait to be told how far the stream is.
const ASKING_MAX: usize = 1024;

type Told = oneshot::Sender<Result<u64, Refusal>>;

/// See the module; clones are the same documents.
#[derive(Clone, Debug)]
pub(super) struct Documents {
    link: Link,
    names: Names,
    mirror: Arc<Mutex<Mirror>>,
    heads: watch::Receiver<Head>,
    ask: mpsc::Sender<Told>,
    written: Arc<AtomicU64>,
}

/// What follows the stream, on a task of its own.
pub(super) struct Following {
    link: Link,
    names: Names,
    standing: Arc<Standing>,
    mirror: Arc<Mutex<Mirror>>,
    heads: watch::Sender<Head>,
    written: Arc<AtomicU64>,
}

/// Tells how far the stream is, on a task of its own.
pub(super) struct Gauge {
    link: Link,
    stream: String,
    asked: mpsc::Receiver<Told>,
}

impl Documents {
    /// Documents, and the two that work for them.
    pub(super) fn new(
        link: &Link,
        names: &Names,
        standing: &Arc<Standing>,
    ) -> (Self, Following, Gauge) {
        let (link, names) = (link.clone(), names.clone());
        let (publish, heads) = watch::channel(Head::default());
        let (ask, asked) = mpsc::channel(ASKING_MAX);
        let mirror = Arc::<Mutex<Mirror>>::default();
        let written = Arc::<AtomicU64>::default();
        let following = Following {
            link: link.clone(),
            names: names.clone(),
            standing: Arc::clone(standing),
            mirror: Arc::clone(&mirror),
            heads: publish,
            written: Arc::clone(&written),
        };
        let gauge = Gauge { link: link.clone(), stream: names.documents(), asked };
        (Self { link, names, mirror, heads, ask, written }, following, gauge)
    }

    /// Notes a write of this process that was stored: reads from now on wait for it.
    pub(super) fn wrote(&self, revision: u64) {
        self.written.fetch_max(revision, Ordering::AcqRel);
    }

    pub(super) fn mirror(&self) -> &Mutex<Mirror> {
        &self.mirror
    }

    pub(super) fn heads(&self) -> watch::Receiver<Head> {
        self.heads.clone()
    }

    pub(super) async fn read(&self, key: &Key) -> Result<Option<Document>, LedgerError> {
        self.catch_up().await?;
        Ok(self.mirror.lock().document(key))
    }

    pub(super) async fn list(&self, prefix: &str) -> Result<Listing, LedgerError> {
        self.catch_up().await?;
        Ok(self.mirror.lock().listing(prefix))
    }

    pub(super) async fn watch(
        &self,
        prefix: &str,
        after: Revision,
    ) -> Result<Watching, LedgerError> {
        let mut head = self.mirror.lock().head();
        if after.0 > head.revision {
            self.catch_up().await?;
            head = self.mirror.lock().head();
            if after.0 > head.revision {
                // A revision of another bucket, that had come farther.
                return Err(Lost::Forgotten { asked: after, forgotten: after }.into());
            }
        }
        Ok(Watching {
            mirror: Arc::clone(&self.mirror),
            heads: self.heads.clone(),
            prefix: prefix.into(),
            looked: after.0,
            began: (after != Revision::NONE).then_some(after.0),
            generation: head.generation,
            ready: VecDeque::new(),
        })
    }

    /// The versions of a document, newest first.
    pub(super) async fn history(&self, key: &Key) -> Result<Vec<Change>, LedgerError> {
        self.catch_up().await?;
        let newest = self.mirror.lock().newest(key).map(|change| change.revision.0);
        let Some(newest) = newest else { return Ok(Vec::new()) };
        let subject = self.names.document(key);
        let all = self.names.all_documents();
        let (stream, until) = (self.names.documents(), Instant::now() + PATIENCE);
        let from = From::Subject(&subject);
        let mut tail = Tail::begin(&self.link, &stream, &all, from).await.map_err(unavailable)?;
        let mut versions = VecDeque::new();
        // Whoever answers may be a little behind the newest that is known here.
        while versions.front().is_none_or(|change: &Change| change.revision.0 < newest) {
            let heard = timeout_at(until, tail.next()).await;
            let late = |_late| LedgerError::Unavailable("NATS takes too long".to_owned());
            let heard = heard.map_err(late)?.map_err(LedgerError::Unavailable)?;
            let Heard::Message(heading, value) = heard else { continue };
            if let Said::Change(change) = said(&self.names, &heading, value) {
                versions.push_front(change);
                versions.truncate(HISTORY_MAX);
            }
        }
        Ok(versions.into())
    }

    /// Waits until all is known that was stored before.
    pub(super) async fn catch_up(&self) -> Result<(), LedgerError> {
        let gone = || LedgerError::Unavailable("it is being closed".to_owned());
        let (tell, told) = oneshot::channel();
        self.ask.send(tell).await.map_err(|_gone| gone())?;
        let last = told.await.map_err(|_gone| gone())?.map_err(unavailable)?;
        // A leader that was replaced without knowing it may say less than was stored by us.
        let target = last.max(self.written.load(Ordering::Acquire));
        let mut heads = self.heads.clone();
        match timeout(PATIENCE, heads.wait_for(|head| head.revision >= target)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(gone()),
            Err(_late) => Err(LedgerError::Unavailable(format!(
                "documents could not be followed up to revision {target}"
            ))),
        }
    }
}

pub(super) fn unavailable(refusal: impl std::fmt::Display) -> LedgerError {
    LedgerError::Unavailable(refusal.to_string())
}

impl Gauge {
    /// Asks the leader once for all who wait at the same time.
    pub(super) async fn run(mut self) {
        while let Some(first) = self.asked.recv().await {
            let mut waiting = vec![first];
            while let Ok(next) = self.asked.try_recv() {
                waiting.push(next);
            }
            let last = Extent::of(&self.link, &self.stream).await.map(|extent| extent.last);
            for told in waiting {
                // Who has gone does not want it.
                drop(told.send(last.clone()));
            }
        }
    }
}

impl Following {
    /// Follows for ever.
    pub(super) async fn run(self) {
        let mut pace = Pace::default();
        loop {
            let read = timeout(FILLED, self.read_all()).await;
            let read = read.unwrap_or_else(|_late| Err("NATS takes too long".to_owned()));
            match read {
                Ok((tail, filled)) => {
                    self.fill(filled);
                    self.standing.followed();
                    pace = Pace::default();
                    if let Err(reason) = self.follow(tail).await {
                        tracing::debug!("the ledger's documents are read anew: {reason}");
                        pace.wait().await;
                    }
                }
                Err(reason) => {
                    self.standing.not_followed(&reason);
                    pace.wait().await;
                }
            }
        }
    }

    fn fill(&self, filled: Filled) {
        let (revision, epoch) = (filled.revision, filled.epoch);
        let (goes_on, head) = {
            let mut mirror = self.mirror.lock();
            (mirror.fill(filled), mirror.head())
        };
        if !goes_on {
            tracing::error!(
                %epoch, revision,
                "the ledger's documents in NATS are not those that were known: another bucket or \
                 an older copy is in their place, or something was lost; all is read anew"
            );
            // What was written to the other one is no longer waited for.
            self.written.store(revision, Ordering::Release);
        }
        self.heads.send_replace(head);
    }

    /// Follows until it is to be read anew.
    async fn follow(&self, mut tail: Tail) -> Result<(), String> {
        let until = Instant::now() + jittered(ANEW);
        loop {
            let Ok(heard) = timeout_at(until, tail.next()).await else { return Ok(()) };
            let said = match heard? {
                Heard::Message(heading, value) => said(&self.names, &heading, value),
                Heard::Nothing(looked) => Said::Nothing(looked),
            };
            let head = {
                let mut mirror = self.mirror.lock();
                mirror.take(said);
                mirror.head()
            };
            self.heads.send_if_modified(|known| {
                let is_new = *known != head;
                *known = head;
                is_new
            });
        }
    }

    /// The newest of everything; and what follows.
    async fn read_all(&self) -> Result<(Tail, Filled), String> {
        let told = |refusal: Refusal| refusal.to_string();
        let (stream, all) = (self.names.documents(), self.names.all_documents());
        let before = Extent::of(&self.link, &stream).await.map_err(told)?;
        let mut tail = Tail::begin(&self.link, &stream, &all, From::Newest).await.map_err(told)?;
        let after = Extent::of(&self.link, &stream).await.map_err(told)?;
        if after.epoch != before.epoch {
            return Err("the bucket is being made anew".to_owned());
        }
        let mut filled = Filled {
            epoch: before.epoch,
            newest: BTreeMap::new(),
            forgotten: Forgotten::default(),
            revision: 0,
        };
        let mut pending = tail.pending;
        // Whoever pushes may be behind the leader, and what is last may have been taken out.
        while pending > 0 || filled.revision < before.last {
            match tail.next().await? {
                Heard::Message(heading, value) => {
                    pending = heading.pending;
                    filled.revision = filled.revision.max(heading.seq);
                    match said(&self.names, &heading, value) {
                        Said::Change(change) => {
                            filled.newest.insert(change.key.clone(), change);
                        }
                        Said::Forgotten { up_to, at } => filled.forgotten = Forgotten { up_to, at },
                        Said::Nothing(_) => {}
                    }
                }
                Heard::Nothing(looked) if pending == 0 => {
                    filled.revision = filled.revision.max(looked);
                }
                Heard::Nothing(_) => {}
            }
        }
        Ok((tail, filled))
    }
}

/// What a message says.
fn said(names: &Names, heading: &Heading, value: Bytes) -> Said {
    let seq = heading.seq;
    match names.key(&heading.subject) {
        Some(key) => {
            let value = (!heading.is_gone).then_some(value);
            Said::Change(Change { key, revision: Revision(seq), value })
        }
        None if heading.subject == names.forgotten() => {
            let up_to = std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
            Said::Forgotten { up_to: up_to.unwrap_or(seq), at: seq }
        }
        None => Said::Nothing(seq),
    }
}

/// See [`Watch`].
pub(super) struct Watching {
    mirror: Arc<Mutex<Mirror>>,
    heads: watch::Receiver<Head>,
    prefix: Box<str>,
    looked: u64,
    /// What was taken away up to here it need not be told: it never saw it.
    began: Option<u64>,
    generation: u64,
    ready: VecDeque<Change>,
}

impl Watch for Watching {
    fn next(&mut self) -> Answer<'_, Change> {
        Box::pin(async move {
            loop {
                if let Some(change) = self.ready.pop_front() {
                    return Ok(change);
                }
                let (looked, generation) = (self.looked, self.generation);
                let has_come =
                    |head: &Head| head.revision > looked || head.generation != generation;
                let come = self.heads.wait_for(has_come).await.map(|head| *head);
                let closed = |_gone| LedgerError::Unavailable("it is being closed".to_owned());
                let head = come.map_err(closed)?;
                if head.generation != generation {
                    let (asked, forgotten) = (Revision(looked), Revision(head.revision));
                    return Err(Lost::Forgotten { asked, forgotten }.into());
                }
                let began = *self.began.get_or_insert(head.revision);
                let next = self.mirror.lock().next(&self.prefix, looked, began)?;
                self.looked = next.looked;
                self.ready = next.changes.into();
            }
        })
    }
}
