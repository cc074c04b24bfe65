//! A node and the ledger: it applies every purge in order, and says how far it has come.
//!
//! In: a ledger, an edge, the position that it had applied. Out: an edge without what was purged;
//! the document `nodes/NAME`.
//! Always: it is registered before it looks where the log ends, so whoever purges after that waits
//! for it; what was in the log then is applied before [`join`] returns; if it cannot go on from where
//! it was, everything that it holds is purged first; it reports only what it has applied. Reports are
//! written beside applying, and so is the position on its disk, the newest only, so that they never
//! hold it up.
//! It deliberately does not know who waits for a report, nor what an edge does with a purge.

mod document;
mod heart;
mod lease;

pub use self::document::{Load, NODES, NodeDocument, Role, key_of};

use std::{sync::Arc, time::Duration};

use edge_core::purge::Purge;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use self::heart::Heart;
use crate::{
    applied::{self, AppliedFile},
    keeper::Keeper,
    ledger::{Entry, Follow, Key, Ledger, LedgerError, Log, Position, may_continue},
    purge::{Act, act},
};

/// After a failure a node tries again so much later, and after each further one twice that.
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// See [`RETRY_FIRST`].
const RETRY_MAX: Duration = Duration::from_secs(5);

/// An edge, as far as the ledger is concerned.
pub trait Applies: Send + Sync {
    /// Purges it: when this returns, nothing older is served.
    fn apply(&self, purge: &Purge);
    /// Purges everything of every site.
    fn apply_everything(&self);
    /// What it has to do now.
    fn load(&self) -> Load;
    /// What it holds may be reused unasked before `until`, and from then on only after its origin was
    /// asked. An edge that is never told so may reuse it for ever.
    fn vouch(&self, until: Instant);
}

/// A node that joins.
pub struct Joining {
    /// Its document's place.
    pub key: Key,
    /// What it says of itself.
    pub document: NodeDocument,
    /// How often it says so.
    pub heartbeat: Duration,
    /// What it applies purges to.
    pub edge: Arc<dyn Applies>,
    /// Where it keeps its position.
    pub file: AppliedFile,
}

/// A node that has joined; dropped, it follows no longer, and its document stays.
#[derive(Debug)]
pub struct Member {
    tasks: JoinSet<()>,
    key: Key,
    ledger: Arc<dyn Ledger>,
}

impl Member {
    /// Ends it and takes its document away: it serves no more, and nobody waits for it. Where the
    /// ledger does not take that, what is returned goes on trying.
    pub async fn leave(mut self) -> Option<Leaving> {
        self.tasks.shutdown().await;
        let Err(error) = forget(&*self.ledger, &self.key).await else { return None };
        tracing::warn!(node = self.key.name(), %error, "the ledger still has it as a node; trying again");
        Some(Leaving::begin(self.ledger, self.key))
    }
}

/// A node that the ledger still has, though it serves no more; dropped, it stays so, which is right
/// for one that joins again.
#[derive(Debug)]
pub struct Leaving {
    _task: JoinSet<()>,
}

impl Leaving {
    /// Takes the document at `key` away, however long that takes; inside a runtime.
    #[must_use]
    pub fn begin(ledger: Arc<dyn Ledger>, key: Key) -> Self {
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut retry = Retry::default();
            while forget(&*ledger, &key).await.is_err() {
                retry.wait().await;
            }
        });
        Self { _task: task }
    }
}

/// Takes the documents away of nodes that are none of `names`: of a ledger that is one process's,
/// they are former ones.
///
/// # Errors
/// When the ledger does not take that.
pub async fn forget_others(ledger: &dyn Ledger, names: &[&str]) -> Result<(), LedgerError> {
    for document in ledger.list(NODES).await?.documents {
        if !names.contains(&document.key.name()) {
            ledger.delete(&document.key, document.revision).await?;
        }
    }
    Ok(())
}

async fn forget(ledger: &dyn Ledger, key: &Key) -> Result<(), LedgerError> {
    if let Some(document) = ledger.read(key).await? {
        ledger.delete(key, document.revision).await?;
    }
    Ok(())
}

/// Lets a node join, inside the runtime that it will follow in.
///
/// # Errors
/// When the ledger cannot be read or written; the node has not joined then.
pub async fn join(ledger: Arc<dyn Ledger>, joining: Joining) -> Result<Member, LedgerError> {
    let key = joining.key.clone();
    let mut entrant = Entrant::new(&ledger, joining)?;
    let (follow, applied) = entrant.enter().await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(entrant.stay(follow, applied));
    Ok(Member { tasks, key, ledger })
}

/// Lets a node join as soon as the ledger is there; what it has stored until then is older than all
/// that it applies at that moment.
///
/// # Errors
/// When this machine does not let it.
pub fn join_later(ledger: Arc<dyn Ledger>, joining: Joining) -> Result<Member, LedgerError> {
    let key = joining.key.clone();
    let mut entrant = Entrant::new(&ledger, joining)?;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut retry = Retry::default();
        let (follow, applied) = loop {
            match entrant.enter().await {
                Ok(entered) => break entered,
                Err(error) => tracing::debug!(node = &*entrant.node.name, %error, "not joined yet"),
            }
            retry.wait().await;
        };
        tracing::info!(node = &*entrant.node.name, %applied, "the node has joined the ledger");
        entrant.stay(follow, applied).await;
    });
    Ok(Member { tasks, key, ledger })
}

/// A node that is about to join.
struct Entrant {
    node: Node,
    heart: Heart,
    /// How far it has come.
    kept: Option<Position>,
}

impl Entrant {
    fn new(ledger: &Arc<dyn Ledger>, joining: Joining) -> Result<Self, LedgerError> {
        let Joining { key, document, heartbeat, edge, file } = joining;
        let kept = file.read();
        let keeper = applied::keeper(file, key.name());
        let keeper = keeper.map_err(|error| LedgerError::Unavailable(error.to_string()))?;
        let name = key.name().into();
        let said = (key, document);
        let heart = Heart::new(Arc::clone(ledger), said, Arc::clone(&edge), heartbeat);
        let node = Node { ledger: Arc::clone(ledger), name, edge, keeper };
        Ok(Self { node, heart, kept })
    }

    /// Registers it, and applies all that was in the log then.
    async fn enter(&mut self) -> Result<(Box<dyn Follow>, Position), LedgerError> {
        let Self { node, heart, kept } = self;
        let (mut follow, mut applied) = node.begin(*kept).await?;
        let registered = applied;
        heart.say(registered).await?;
        let last = node.ledger.ends(Log::Purges).await?.last;
        heart.ends(last);
        while !applied.has_reached(last) {
            applied = node.apply(&follow.next().await?, applied);
            *kept = Some(applied);
        }
        if applied != registered {
            heart.say(applied).await?;
        }
        heart.vouch(applied);
        Ok((follow, applied))
    }

    /// Applies what comes, and says so.
    async fn stay(self, follow: Box<dyn Follow>, applied: Position) {
        let (report, reports) = watch::channel(applied);
        tokio::join!(self.node.run(follow, report), self.heart.run(reports));
    }
}

struct Node {
    ledger: Arc<dyn Ledger>,
    name: Box<str>,
    edge: Arc<dyn Applies>,
    keeper: Keeper<Position>,
}

impl Node {
    /// Goes on after `kept`; where that cannot be, from the log's end with nothing that is held
    /// left to be served.
    async fn begin(
        &self,
        kept: Option<Position>,
    ) -> Result<(Box<dyn Follow>, Position), LedgerError> {
        let ends = self.ledger.ends(Log::Purges).await?;
        let may = kept.map(|kept| may_continue(kept, ends).map(|()| kept));
        match may {
            Some(Ok(kept)) => Ok((self.ledger.follow(Log::Purges, kept).await?, kept)),
            other => {
                if let Some(Err(lost)) = other {
                    tracing::warn!(
                        node = &*self.name,
                        "{lost}; purges may have been missed, so everything stored is purged"
                    );
                }
                // What comes after the end is followed; all before it is in this.
                self.edge.apply_everything();
                self.keeper.keep(ends.last);
                Ok((self.ledger.follow(Log::Purges, ends.last).await?, ends.last))
            }
        }
    }

    /// Applies entries; says how far that is.
    fn apply(&self, entries: &[Entry], before: Position) -> Position {
        for entry in entries {
            match act(&entry.value) {
                Act::Purge(purge) => self.edge.apply(&purge),
                Act::Ordered { why } => {
                    tracing::info!(
                        node = &*self.name,
                        position = %entry.position,
                        "{why}; everything stored is purged"
                    );
                    self.edge.apply_everything();
                }
                Act::Everything { reason } => {
                    tracing::warn!(
                        node = &*self.name,
                        position = %entry.position,
                        "a purge cannot be read: {reason}; everything stored is purged"
                    );
                    self.edge.apply_everything();
                }
            }
        }
        let applied = entries.last().map_or(before, |entry| entry.position);
        self.keeper.keep(applied);
        applied
    }

    async fn run(self, mut follow: Box<dyn Follow>, report: watch::Sender<Position>) {
        let mut applied = *report.borrow();
        let mut retry = Retry::default();
        loop {
            match follow.next().await {
                Ok(entries) => {
                    applied = self.apply(&entries, applied);
                    report.send_replace(applied);
                    retry = Retry::default();
                }
                Err(error) => {
                    if retry.is_first() {
                        tracing::warn!(node = &*self.name, %error, "purges cannot be followed; trying again");
                    }
                    retry.wait().await;
                    if let Ok((again, from)) = self.begin(Some(applied)).await {
                        (follow, applied) = (again, from);
                        report.send_replace(applied);
                    }
                }
            }
        }
    }
}

/// Longer waits after each failure.
pub(crate) struct Retry(Duration);

impl Default for Retry {
    fn default() -> Self {
        Self(RETRY_FIRST)
    }
}

impl Retry {
    /// Whether all was well until now: what goes on failing is told once.
    pub(crate) fn is_first(&self) -> bool {
        self.0 == RETRY_FIRST
    }

    pub(crate) async fn wait(&mut self) {
        sleep_until(Instant::now() + self.0).await;
        self.0 = (self.0 * 2).min(RETRY_MAX);
    }
}
