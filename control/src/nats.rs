//! The ledger of many processes and machines: NATS JetStream.
//!
//! In: servers, credentials, a prefix of names. Out: a [`Ledger`].
//! Always: a write is acknowledged once its stream has it; a message that may have been stored is
//! sent again under its id, so never twice; a stream that is there is never made anew while a
//! process runs. It deliberately does not know what documents and entries say.
//! Clause: docs/operate.md *The ledger over NATS*.
//!
//! Documents are a key-value bucket, each log is a stream; revisions are sequence numbers, positions are
//! made of them ([`packed`]), and an epoch is the moment at which a log's stream was made. JetStream is spoken to in its
//! own words, requests in JSON: what the ledger's promises hang on (whom a read asks, what a retry
//! does, when a reader begins anew) is decided here and not by a client's conveniences.

mod access;
mod documents;
mod entries;
mod gathering;
mod gone;
mod link;
mod mirror;
mod names;
mod packed;
mod standing;
mod streams;
mod tail;
mod writing;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::{Mutex, watch},
    task::JoinSet,
    time::{Instant, timeout},
};

pub use self::access::{Access, AccessError};
use self::{
    documents::{Documents, unavailable},
    entries::Entries,
    gathering::Gate,
    gone::Forgetting,
    link::Link,
    names::Names,
    standing::Standing,
    streams::{Extent, Message, Unfit},
    writing::Pen,
};
use crate::{
    embedded::Kept,
    ledger::{
        Answer, Appended, Change, DOCUMENT_BYTES_MAX, Document, ENTRY_BYTES_MAX, Ends, Epoch,
        Expect, Follow, Health, Key, Ledger, LedgerError, Listing, Log, ONCE_BYTES_MAX, Position,
        Revision, Watch, fits, may_continue,
    },
    pace,
};

/// How long it may take until documents are followed for the first time.
const FILLED: Duration = Duration::from_secs(10);
/// What a message takes beside a document.
const HEADER_BYTES: usize = 4096;

/// Which ledger, and how it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How to reach it.
    pub access: Access,
    /// How the names of its streams begin.
    pub prefix: String,
    /// Servers that keep each stream.
    pub replicas: u8,
    /// How much of the logs is kept.
    pub kept: Kept,
}

/// Why a ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// NATS cannot be reached.
    #[error("the ledger cannot be opened")]
    Access(#[from] AccessError),
    /// A stream cannot be had.
    #[error("the ledger's stream {stream} cannot be had: {reason}")]
    Stream {
        /// The stream.
        stream: String,
        /// What NATS said.
        reason: String,
        /// Whether that may be otherwise later, without anybody's doing.
        passes: bool,
    },
    /// A stream is there and is another's.
    #[error(
        "the stream {stream} is no ledger's: its {what} is {found}, not {wanted}; name another \
         prefix, or take the stream away"
    )]
    Other {
        /// The stream.
        stream: String,
        /// The setting of it.
        what: &'static str,
        /// What it is.
        found: String,
        /// What it must be.
        wanted: String,
    },
    /// Documents would not fit.
    #[error(
        "the NATS server takes messages of up to {max} bytes; the ledger needs max_payload of {needed} at least"
    )]
    Payload {
        /// What it takes.
        max: usize,
        /// What it must take.
        needed: usize,
    },
    /// Documents cannot be read.
    #[error("the ledger's documents in NATS cannot be read: {0}")]
    Documents(String),
}

impl OpenError {
    /// Whether the ledger is only away: it may be there later, and nothing is wrong here.
    #[must_use]
    pub fn is_away(&self) -> bool {
        match self {
            Self::Access(error) => error.is_away(),
            Self::Stream { passes, .. } => *passes,
            Self::Documents(_) => true,
            Self::Other { .. } | Self::Payload { .. } => false,
        }
    }
}

/// See the module; clones are the same ledger.
#[derive(Clone, Debug)]
pub struct Nats(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    link: Link,
    names: Names,
    documents: Documents,
    pen: Pen,
    /// Of each log, where entries without a name go.
    gates: [Gate; 2],
    standing: Arc<Standing>,
    /// Of each log, its epoch and when that was asked for.
    epochs: [Mutex<Option<(Epoch, Instant)>>; 2],
    _tasks: JoinSet<()>,
}

impl Nats {
    /// Opens the ledger, or makes it, inside the runtime that it will work in.
    ///
    /// # Errors
    /// When it cannot be used.
    pub async fn open(options: &Options) -> Result<Self, OpenError> {
        let standing = Arc::<Standing>::default();
        let link = options.access.connect(&standing).await?;
        let (max, needed) = (link.client.max_payload(), DOCUMENT_BYTES_MAX + HEADER_BYTES);
        if max < needed {
            return Err(OpenError::Payload { max, needed });
        }
        let names = Names::new(&options.prefix);
        for wanted in streams::wanted(&names, options.kept, options.replicas) {
            wanted.have(&link).await.map_err(|unfit| {
                let stream = wanted.name.clone();
                match unfit {
                    Unfit::Refused(refusal) => {
                        let passes = refusal.passes();
                        OpenError::Stream { stream, reason: refusal.to_string(), passes }
                    }
                    Unfit::Other { what, found, wanted } => {
                        OpenError::Other { stream, what, found, wanted }
                    }
                }
            })?;
        }
        let (documents, following, gauge) = Documents::new(&link, &names, &standing);
        let mut tasks = JoinSet::new();
        tasks.spawn(following.run());
        tasks.spawn(gauge.run());
        let watched = Arc::clone(&standing);
        tasks.spawn(standing::look_after(watched, link.clone(), names.clone()));
        let pen = Pen { link: link.clone(), standing: Arc::clone(&standing) };
        let forgetting = Forgetting {
            link: link.clone(),
            names: names.clone(),
            documents: documents.clone(),
            pen: pen.clone(),
        };
        tasks.spawn(forgetting.run());
        let gates = Log::ALL.map(|log| {
            let place = (names.log(log), names.entry(log, None));
            let (gate, gathering) = Gate::new(pen.clone(), place.0, place.1);
            tasks.spawn(gathering.run());
            gate
        });
        let caught_up = timeout(FILLED, documents.catch_up()).await;
        match caught_up {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(OpenError::Documents(error.to_string())),
            Err(_late) => return Err(OpenError::Documents("it takes too long".to_owned())),
        }
        let epochs = Default::default();
        let inner = Inner { link, names, documents, pen, gates, standing, epochs, _tasks: tasks };
        Ok(Self(Arc::new(inner)))
    }

    async fn extent(&self, log: Log) -> Result<Extent, LedgerError> {
        Extent::of(&self.0.link, &self.0.names.log(log)).await.map_err(unavailable)
    }

    /// A log's epoch, asked for after `stored`: a log that was made anew before that has another one, and
    /// numbers that every node has long passed in the one before. Who waits while it is asked for asks
    /// once more, all together.
    async fn epoch(&self, log: Log, stored: Instant) -> Result<Epoch, LedgerError> {
        let mut known = of(&self.0.epochs, log).lock().await;
        if let Some((epoch, asked)) = *known
            && asked >= stored
        {
            return Ok(epoch);
        }
        let asked = Instant::now();
        let epoch = self.extent(log).await?.epoch;
        *known = Some((epoch, asked));
        Ok(epoch)
    }

    /// Appends an entry; of its place only the number is known. Says whether it is another's.
    async fn enter(
        &self,
        log: Log,
        entry: Bytes,
        once: Option<&str>,
    ) -> Result<(u64, bool), LedgerError> {
        fits("an entry", entry.len(), ENTRY_BYTES_MAX)?;
        fits("an entry's name", once.map_or(0, str::len), ONCE_BYTES_MAX)?;
        if once.is_none() {
            return Ok((of(&self.0.gates, log).append(entry).await?, false));
        }
        let (stream, subject) = (self.0.names.log(log), self.0.names.entry(log, once));
        let put = self.0.pen.once(&stream, &subject, entry).await?;
        Ok((packed::last_of(put.seq), put.is_another))
    }

    async fn put(
        &self,
        key: &Key,
        value: Option<Bytes>,
        expect: Expect,
    ) -> Result<Revision, LedgerError> {
        let (stream, subject) = (self.0.names.documents(), self.0.names.document(key));
        let seen = self.0.documents.mirror().lock().document(key).map(|seen| seen.revision);
        let put = self.0.pen.document(&stream, (key, &subject), value, (expect, seen)).await;
        put.inspect(|revision| self.0.documents.wrote(revision.0))
    }
}

/// What is of this log.
fn of<T>([purges, audit]: &[T; 2], log: Log) -> &T {
    match log {
        Log::Purges => purges,
        Log::Audit => audit,
    }
}

impl Ledger for Nats {
    fn health(&self) -> watch::Receiver<Health> {
        self.0.standing.health()
    }

    fn read<'a>(&'a self, key: &'a Key) -> Answer<'a, Option<Document>> {
        Box::pin(self.0.documents.read(key))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        Box::pin(self.0.documents.list(prefix))
    }

    fn history<'a>(&'a self, key: &'a Key) -> Answer<'a, Vec<Change>> {
        Box::pin(self.0.documents.history(key))
    }

    fn write<'a>(&'a self, key: &'a Key, value: Bytes, expect: Expect) -> Answer<'a, Revision> {
        Box::pin(async move {
            fits("a document", value.len(), DOCUMENT_BYTES_MAX)?;
            self.put(key, Some(value), expect).await
        })
    }

    fn delete<'a>(&'a self, key: &'a Key, at: Revision) -> Answer<'a, Revision> {
        Box::pin(self.put(key, None, Expect::At(at)))
    }

    fn watch<'a>(&'a self, prefix: &'a str, after: Revision) -> Answer<'a, Box<dyn Watch>> {
        Box::pin(async move {
            let watching = self.0.documents.watch(prefix, after).await?;
            Ok(Box::new(watching) as Box<dyn Watch>)
        })
    }

    fn append<'a>(&'a self, log: Log, entry: Bytes, once: Option<&'a str>) -> Answer<'a, Appended> {
        Box::pin(async move {
            let (seq, repeated) = self.enter(log, entry, once).await?;
            let position = Position { epoch: self.epoch(log, Instant::now()).await?, seq };
            Ok(Appended { position, repeated })
        })
    }

    fn note<'a>(&'a self, log: Log, entry: Bytes, once: Option<&'a str>) -> Answer<'a, bool> {
        Box::pin(async move { Ok(self.enter(log, entry, once).await?.1) })
    }

    fn entry(&self, log: Log, position: Position) -> Answer<'_, Option<Bytes>> {
        Box::pin(async move {
            if position.seq == 0 {
                return Ok(None);
            }
            let stream = self.0.names.log(log);
            let found =
                Message::numbered(&self.0.link, &stream, packed::message_of(position.seq)).await;
            let found = found.map_err(unavailable)?;
            // After it was read: so it is of the log that this is the epoch of.
            let is_its = self.extent(log).await?.epoch == position.epoch;
            let found = found.filter(|_| is_its);
            let mut entries = found.iter().flat_map(Message::entries);
            Ok(entries.find(|(seq, _)| *seq == position.seq).map(|(_, value)| value))
        })
    }

    fn ends(&self, log: Log) -> Answer<'_, Ends> {
        Box::pin(async move { Ok(self.extent(log).await?.ends()) })
    }

    fn follow(&self, log: Log, after: Position) -> Answer<'_, Box<dyn Follow>> {
        Box::pin(async move {
            may_continue(after, self.extent(log).await?.ends())?;
            let entries = Entries::new(&self.0.link, &self.0.names, log, after);
            Ok(Box::new(entries) as Box<dyn Follow>)
        })
    }
}
