//! The nodes of a fleet, as this process sees them: who is here, who is away, and since when.
//!
//! In: the documents of nodes, as they change. Out: each node's last word, and when it came.
//! Always: a process has one roster, which all who ask share, and nobody polls: documents are watched.
//! How long a node is silent is counted on this process's own monotonic clock, from when its document
//! was last seen to change, and no two clocks are ever compared; so a process that has just started
//! knows of nobody how long it has been silent, and says so. Nobody is said to be away before the
//! ledger was asked again: what this process did not hear is not silence. While the ledger is out of
//! reach nothing is known. A name server that has ended is no node, but what it last answered may be
//! cached.
//! It deliberately does not know what follows from it.
//! Clause: docs/operate.md *The nodes*.

use std::{collections::BTreeMap, convert::Infallible, future::pending, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    documents,
    familiar::Familiar,
    ledger::{Change, Document, Epoch, Health, Ledger, LedgerError, Listing, Log, Revision},
    node::{self, CACHED_MAX, NODES, NodeDocument, Retry, Role, Word},
};

/// See the module; clones are the same roster, which ends with the last.
#[derive(Clone, Debug)]
pub struct Roster {
    shared: Arc<Shared>,
    _task: Arc<JoinSet<()>>,
}

#[derive(Debug)]
struct Shared {
    ledger: Arc<dyn Ledger>,
    away_after: Duration,
    familiar: Familiar,
    seen: watch::Sender<Seen>,
}

/// What is known of the nodes.
#[derive(Debug, Default)]
pub struct Seen {
    nodes: BTreeMap<String, Sighting>,
    revision: Revision,
    /// Documents are watched: what comes has been written since.
    is_watched: bool,
    /// The ledger is out of reach.
    is_blind: bool,
}

/// What is known of a node.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// What it said; why that cannot be read.
    pub document: Result<NodeDocument, String>,
    /// Which version of it that is.
    pub revision: Revision,
    /// When that was first seen here.
    pub at: Instant,
    /// Whether it is here.
    pub presence: Presence,
}

/// Whether a node is here.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// It has been heard of lately.
    Here,
    /// It has not been heard of for longer than `away_after` of [control].
    Away,
    /// This node has not watched for long enough to tell, or cannot reach the ledger.
    Unknown,
}

impl Presence {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Here, Self::Away, Self::Unknown];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::Away => "away",
            Self::Unknown => "unknown",
        }
    }
}

impl Seen {
    /// The nodes, by name.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &Sighting)> {
        let all = self.nodes.iter().map(|(name, sighting)| (name.as_str(), sighting));
        all.filter(|(_, sighting)| sighting.cached_until().is_none())
    }

    /// Name servers that have ended, and until when what they last answered may be cached.
    pub(crate) fn ended(&self) -> impl Iterator<Item = (&str, &Sighting, Instant)> {
        let ended = |(name, sighting)| {
            let until = Sighting::cached_until(sighting)?;
            Some((String::as_str(name), sighting, until))
        };
        self.nodes.iter().filter_map(ended)
    }

    /// What name servers last said that ended under a name that another process has since, and until
    /// when what they answered may be cached.
    pub(crate) fn last_words(&self) -> impl Iterator<Item = (&str, Sighting, Instant)> {
        self.nodes.iter().flat_map(|(name, sighting)| {
            let document = sighting.document.as_ref().ok();
            let words = document.into_iter().flat_map(|document| &document.last_words);
            words.map(|word| {
                (name.as_str(), sighting.of_word(word), sighting.at + word.cached_for())
            })
        })
    }

    /// A node.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Sighting> {
        self.nodes.get(name).filter(|sighting| sighting.cached_until().is_none())
    }

    /// How many nodes are in that state.
    #[must_use]
    pub fn count(&self, presence: Presence) -> usize {
        self.nodes().filter(|(_, sighting)| sighting.presence == presence).count()
    }
}

impl Roster {
    /// Watches the nodes of `ledger`, inside a runtime.
    #[must_use]
    pub fn begin(ledger: Arc<dyn Ledger>, away_after: Duration) -> Self {
        Self::begin_wary(ledger, away_after, Familiar::default())
    }

    /// The same, of a ledger that may be made anew.
    #[must_use]
    pub fn begin_wary(ledger: Arc<dyn Ledger>, away_after: Duration, familiar: Familiar) -> Self {
        let seen = watch::Sender::new(Seen::default());
        let shared = Shared { ledger, away_after, familiar, seen };
        let shared = Arc::new(shared);
        let mut task = JoinSet::new();
        task.spawn(Arc::clone(&shared).run());
        Self { shared, _task: Arc::new(task) }
    }

    /// What is known now, and each change of that.
    #[must_use]
    pub fn seen(&self) -> watch::Receiver<Seen> {
        self.shared.seen.subscribe()
    }

    /// Asks the ledger: afterwards everything is known that it had taken before this was called. Out
    /// comes when that was.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn confirm(&self) -> Result<Instant, LedgerError> {
        self.shared.confirm().await
    }

    /// Takes those out of the ledger who have ended and of whom nothing is cached any more.
    pub(crate) async fn sweep(&self) {
        let now = Instant::now();
        let over: Vec<(String, Revision)> = {
            let seen = self.shared.seen.borrow();
            let over = seen.ended().filter(|(_, _, until)| *until <= now);
            over.map(|(name, sighting, _)| (name.to_owned(), sighting.revision)).collect()
        };
        for (name, revision) in over {
            let Some(key) = node::key_of(&name) else { continue };
            // Who was not taken out is the next time; nobody waits for it.
            if let Err(error) = self.shared.ledger.delete(&key, revision).await {
                tracing::debug!(node = name, %error, "one that has ended is in the ledger still");
            }
        }
    }

    /// From when on all nodes are known that may go by a purge log of this epoch, if they are not
    /// already.
    pub(crate) fn good_from(&self, epoch: Epoch) -> Option<Instant> {
        self.shared.familiar.meet(epoch, Instant::now())
    }
}

impl Shared {
    async fn run(self: Arc<Self>) {
        let mut health = self.ledger.health();
        let mut retry = Retry::default();
        loop {
            let Err(error) = self.follow(&mut health, &mut retry).await;
            if matches!(error, LedgerError::Lost(_)) {
                self.familiar.doubt(Instant::now());
            }
            tracing::debug!(%error, "the nodes cannot be watched; trying again");
            self.blind();
            retry.wait().await;
        }
    }

    async fn follow(
        &self,
        health: &mut watch::Receiver<Health>,
        retry: &mut Retry,
    ) -> Result<Infallible, LedgerError> {
        let listing = self.ledger.list(NODES).await?;
        let mut changes = self.ledger.watch(NODES, listing.revision).await?;
        self.begin(listing);
        // So that it is noticed when it is another one. Where it cannot be asked a purge does that.
        if let Ok(ends) = self.ledger.ends(Log::Purges).await {
            self.familiar.meet(ends.last.epoch, Instant::now());
        }
        self.heed(health);
        *retry = Retry::default();
        loop {
            let due = self.next_due();
            let judged = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                change = changes.next() => self.take(change?),
                changed = health.changed() => match changed {
                    Ok(()) => self.heed(health),
                    Err(_closed) => pending().await,
                },
                () = judged => self.judge().await?,
            }
        }
    }

    /// Everything is as it is listed; of what has not changed since, the same is known as before.
    fn begin(&self, listing: Listing) {
        let now = Instant::now();
        if listing.revision < self.seen.borrow().revision {
            self.familiar.doubt(now);
        }
        self.seen.send_modify(|seen| {
            let mut before = std::mem::take(&mut seen.nodes);
            (seen.revision, seen.is_watched) = (listing.revision, true);
            for document in listing.documents {
                let name = document.key.name().to_owned();
                let sighting = match before.remove(&name) {
                    Some(known) if known.revision == document.revision => known,
                    _ => Sighting::of(&document, now, Presence::Unknown),
                };
                seen.nodes.insert(name, sighting);
            }
        });
    }

    /// What a change of the ledger's health comes to.
    fn heed(&self, health: &mut watch::Receiver<Health>) {
        if health.borrow_and_update().failing().is_some() {
            self.blind();
        } else if self.seen.borrow().is_blind {
            // Whatever was said meanwhile was not heard.
            let now = Instant::now();
            self.seen.send_modify(|seen| {
                seen.is_blind = false;
                for sighting in seen.nodes.values_mut() {
                    (sighting.at, sighting.presence) = (now, Presence::Unknown);
                }
            });
        }
    }

    fn blind(&self) {
        self.seen.send_if_modified(|seen| {
            seen.nodes.values_mut().for_each(|sighting| sighting.presence = Presence::Unknown);
            !std::mem::replace(&mut seen.is_blind, true)
        });
    }

    fn take(&self, Change { key, revision, value }: Change) {
        let now = Instant::now();
        self.seen.send_modify(|seen| {
            seen.revision = seen.revision.max(revision);
            let name = key.name();
            match value {
                None if seen.nodes.get(name).is_none_or(|known| known.revision < revision) => {
                    seen.nodes.remove(name);
                }
                None => {}
                Some(value) => seen.hear(&Document { key, revision, value }, now),
            }
        });
    }

    /// When the next node would be away; nobody is while nothing is known.
    fn next_due(&self) -> Option<Instant> {
        let seen = self.seen.borrow();
        let awaited = seen.nodes().filter(|(_, sighting)| sighting.presence != Presence::Away);
        awaited.map(|(_, sighting)| sighting.at + self.away_after).min().filter(|_| !seen.is_blind)
    }

    /// Says who is away.
    async fn judge(&self) -> Result<(), LedgerError> {
        let asked = self.confirm().await?;
        self.seen.send_if_modified(|seen| {
            let mut is_new = false;
            for (name, sighting) in &mut seen.nodes {
                let is_due =
                    sighting.at + self.away_after <= asked && sighting.cached_until().is_none();
                if is_due && sighting.presence != Presence::Away {
                    tracing::warn!(node = name, after = ?self.away_after, "the node is away");
                    (sighting.presence, is_new) = (Presence::Away, true);
                }
            }
            is_new
        });
        Ok(())
    }

    async fn confirm(&self) -> Result<Instant, LedgerError> {
        let asked = Instant::now();
        let listing = self.ledger.list(NODES).await?;
        let now = Instant::now();
        self.seen.send_if_modified(|seen| seen.merge(listing, now));
        Ok(asked)
    }
}

impl Seen {
    /// A document was written.
    fn hear(&mut self, document: &Document, now: Instant) {
        let name = document.key.name();
        let known = self.nodes.get(name);
        if known.is_some_and(|known| known.revision >= document.revision) {
            return;
        }
        let was_away = known.is_some_and(|known| known.presence == Presence::Away);
        let sighting = Sighting::of(document, now, Presence::Here);
        if was_away && sighting.cached_until().is_none() {
            tracing::info!(node = name, "the node is here again");
        }
        let can_tell = self.is_watched && !self.is_blind;
        let presence = if can_tell { Presence::Here } else { Presence::Unknown };
        self.nodes.insert(name.to_owned(), Sighting { presence, ..sighting });
    }

    /// Takes what a listing has that is not known yet; says whether that is anything.
    fn merge(&mut self, listing: Listing, now: Instant) -> bool {
        let Listing { documents, revision } = listing;
        // What is unknown and older than what was heard was taken away since.
        let heard = self.revision;
        let is_news = |seen: &Self, document: &Document| {
            let known = seen.nodes.get(document.key.name());
            known.map_or(document.revision > heard, |known| known.revision < document.revision)
        };
        let before = self.nodes.len();
        self.nodes.retain(|name, known| {
            let place = documents.binary_search_by(|document| document.key.name().cmp(name));
            known.revision > revision || place.is_ok()
        });
        let mut is_new = self.nodes.len() != before;
        for document in documents {
            if is_news(self, &document) {
                self.hear(&document, now);
                is_new = true;
            }
        }
        is_new
    }
}

impl Sighting {
    fn of(document: &Document, at: Instant, presence: Presence) -> Self {
        let decoded = documents::decode(&document.value).map_err(|error| error.to_string());
        Self { document: decoded, revision: document.revision, at, presence }
    }

    /// A name server that ended under its name, as it last said.
    fn of_word(&self, word: &Word) -> Self {
        let (roles, answers) = (vec![Role::Geodns], word.answers.clone());
        let document = NodeDocument { roles, answers, ..NodeDocument::default() };
        Self { document: Ok(document), ..*self }
    }

    /// Until when what it answered may be cached, if it is a name server that has ended.
    fn cached_until(&self) -> Option<Instant> {
        let cached_ms = self.document.as_ref().ok()?.ended_cached_ms?;
        // Nobody waits for longer than that.
        Some(self.at + Duration::from_millis(cached_ms).min(CACHED_MAX))
    }
}
