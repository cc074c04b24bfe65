//! A node and the ledger: it applies every purge in order, and says how far it has come.
//!
//! In: a ledger, an edge, the position that it had applied. Out: an edge without what was purged;
//! the document `nodes/NAME`; what it cannot do ([`Troubles`]).
//! Always: it is registered before it looks where the log ends, so whoever purges after that waits
//! for it; what was in the log then is applied before [`join`] returns; if it cannot go on from where
//! it was, everything that it holds is purged first; it reports only what it has applied. Reports are
//! written beside applying, and so is the position on its disk, the newest only, so that they never
//! hold it up; one that cannot report applies purges all the same.
//! It deliberately does not know who waits for a report, nor what an edge does with a purge.

mod answering;
mod attending;
mod document;
mod heart;
mod incarnation;
mod lapse;
mod lease;
mod leaving;
mod pen;
mod seat;
mod troubles;

pub use self::{
    answering::Answering,
    attending::{Attending, attend},
    document::{Answers, Load, NODES, NodeDocument, Rival, Role, Word, key_of},
    incarnation::Incarnation,
    lease::lapse_after,
    leaving::{Leaving, forget_others},
    troubles::{Trouble, Troubles},
};

use std::{sync::Arc, time::Duration};

use edge_core::purge::Purge;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

pub(crate) use self::document::CACHED_MAX;
use self::{
    document::LastWord,
    heart::{Heart, Reached},
    leaving::forget,
    pen::Pen,
    seat::Seat,
    troubles::Own,
};
use crate::{
    applied::{self, AppliedFile},
    keeper::Keeper,
    ledger::{Entry, Follow, Key, Ledger, LedgerError, Log, Position, may_continue},
    purge::{Act, act},
    site::Served,
};

/// After a failure a node tries again so much later, and after each further one twice that.
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// See [`RETRY_FIRST`].
const RETRY_MAX: Duration = Duration::from_secs(5);
/// How long a node that joins waits for purges of which it knows that they are there.
const ENTRIES_MAX: Duration = Duration::from_secs(10);

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
    /// Which process it is of.
    pub incarnation: Incarnation,
    /// Whether others have the ledger as well: then it may serve before it could say that it is there,
    /// as what it misses is ordered elsewhere.
    pub is_shared: bool,
    /// Where it tells what it cannot do.
    pub troubles: Troubles,
    /// What it answers DNS by, if it does that as well.
    pub answers: Option<watch::Receiver<Option<Answers>>>,
    /// What it serves of the ledger's sites.
    pub sites: Option<watch::Receiver<Option<Served>>>,
}

/// A node that has joined; dropped, it follows no longer, and its document stays.
#[derive(Debug)]
pub struct Member {
    tasks: JoinSet<()>,
    key: Key,
    incarnation: Incarnation,
    ledger: Arc<dyn Ledger>,
    answers: Option<watch::Receiver<Option<Answers>>>,
}

impl Member {
    /// Ends it and takes its document away: it serves no more, and nobody waits for it. Where the
    /// ledger does not take that, what is returned goes on trying.
    pub async fn leave(self) -> Option<Leaving> {
        self.end(None).await
    }

    /// The same as its process ends; what it answered DNS by, if it did, may be cached for so long.
    pub async fn leave_for_good(self, cached_for: Option<Duration>) -> Option<Leaving> {
        let answers = self.answers.as_ref().map(|answers| answers.borrow().clone());
        let last = answers.zip(cached_for);
        self.end(last.map(|(answers, cached_for)| LastWord { answers, cached_for })).await
    }

    async fn end(mut self, last: Option<LastWord>) -> Option<Leaving> {
        self.tasks.shutdown().await;
        let forgotten = forget(&*self.ledger, &self.key, &self.incarnation, last.as_ref()).await;
        let Err(error) = forgotten else { return None };
        tracing::warn!(node = self.key.name(), %error, "the ledger still has it as a node; trying again");
        Some(Leaving::begin_with(self.ledger, self.key, self.incarnation, last))
    }
}

/// Lets a node join, inside the runtime that it will follow in. Where the ledger is shared it joins as
/// far as that goes now, and with all else as soon as it can: what it has stored until then is older
/// than all that it applies at that moment.
///
/// # Errors
/// When this machine does not let it, or the ledger, which is its own, cannot be read or written; the
/// node has not joined then.
pub async fn join(ledger: Arc<dyn Ledger>, joining: Joining) -> Result<Member, LedgerError> {
    let (key, incarnation) = (joining.key.clone(), joining.incarnation.clone());
    let (is_shared, answers) = (joining.is_shared, joining.answers.clone());
    let mut entrant = Entrant::new(&ledger, joining)?;
    match entrant.enter().await {
        Ok(()) => {}
        Err(error) if is_shared => entrant.tell_late(&error),
        Err(error) => return Err(error),
    }
    let mut tasks = JoinSet::new();
    tasks.spawn(entrant.stay());
    Ok(Member { tasks, key, incarnation, ledger, answers })
}

/// A node that is about to join.
struct Entrant {
    node: Node,
    heart: Heart,
    /// What it applies, once it could begin.
    follow: Option<Box<dyn Follow>>,
    /// Up to where it has said that it has.
    said: Option<Position>,
}

impl Entrant {
    fn new(ledger: &Arc<dyn Ledger>, joining: Joining) -> Result<Self, LedgerError> {
        let Joining {
            key,
            mut document,
            heartbeat,
            edge,
            file,
            incarnation,
            troubles,
            answers,
            sites,
            ..
        } = joining;
        let applied = file.read();
        let former = take_over(&incarnation, &file, key.name());
        let keeper = applied::keeper(file, key.name());
        let keeper = keeper.map_err(|error| LedgerError::Unavailable(error.to_string()))?;
        let troubles = Arc::new(troubles.of(key.name()));
        incarnation.as_str().clone_into(&mut document.incarnation);
        let name = key.name().into();
        let seat = Seat::new(incarnation, former, heartbeat);
        let (ledger, of_pen) = (Arc::clone(ledger), Arc::clone(&troubles));
        let pen = Pen {
            ledger: Arc::clone(&ledger),
            key,
            document,
            heartbeat,
            seat,
            troubles: of_pen,
            answers,
            sites,
        };
        let heart = Heart::new(pen, Arc::clone(&edge));
        let node = Node { ledger, name, edge, keeper, applied, troubles };
        Ok(Self { node, heart, follow: None, said: None })
    }

    /// Begins to follow, registers it, and applies all that was in the log then.
    async fn enter(&mut self) -> Result<(), LedgerError> {
        let Self { node, heart, follow, said } = self;
        let (follow, mut applied) = {
            let (begun, applied) = node.begin().await?;
            (follow.insert(begun), applied)
        };
        // One that cannot say it applies all the same.
        let registered = heart.say(applied).await;
        *said = registered.is_ok().then_some(applied);
        let last = node.ledger.ends(Log::Purges).await?.last;
        while !applied.has_reached(last) {
            let entries = timeout(ENTRIES_MAX, follow.next()).await;
            let late = |_late| LedgerError::Unavailable("purges do not come".to_owned());
            applied = node.apply(&entries.map_err(late)??, applied);
        }
        registered?;
        heart.ends(last, applied);
        if *said != Some(applied) {
            heart.say(applied).await?;
            *said = Some(applied);
        }
        heart.vouch(applied);
        Ok(())
    }

    /// It serves though it has not joined.
    fn tell_late(&self, error: &LedgerError) {
        let node = &self.node;
        let (trouble, what) = match self.follow {
            Some(_) => (Trouble::Reporting, "it applies purges, and nobody waits for it"),
            None => (Trouble::Following, "it applies no purge until that answers"),
        };
        node.troubles.begin(trouble, &error.to_string());
        tracing::warn!(node = &*node.name, %error, "it serves without having joined the ledger: {what}");
    }

    /// Applies what comes, and says so.
    async fn stay(self) {
        let Self { mut node, heart, follow, said } = self;
        let follow = match follow {
            Some(follow) => follow,
            None => node.begin_again().await,
        };
        // It has one since it could begin.
        let Some(applied) = node.applied else { return };
        let (name, troubles) = (node.name.clone(), Arc::clone(&node.troubles));
        let good_until = heart.good_until();
        let lapses = async {
            if let Some(good_until) = good_until {
                lapse::tell(good_until, &name, &troubles).await;
            }
        };
        let reached = Reached { position: applied, entries: 0 };
        let (report, reports) = watch::channel(reached);
        let said = said.filter(|said| *said == applied).map(|_| reached);
        tokio::join!(node.run(follow, report), heart.run(reports, said), lapses);
    }
}

/// Which process had a node's folder before, if it was another.
fn take_over(incarnation: &Incarnation, file: &AppliedFile, node: &str) -> Option<String> {
    let (former, kept) = incarnation.take_over(file);
    if let Err(error) = kept {
        tracing::warn!(
            node,
            %error,
            "which process this is cannot be kept; the next one waits before it takes its place"
        );
    }
    former
}

struct Node {
    ledger: Arc<dyn Ledger>,
    name: Box<str>,
    edge: Arc<dyn Applies>,
    keeper: Keeper<Position>,
    /// How far it has come, if that is known.
    applied: Option<Position>,
    troubles: Arc<Own>,
}

impl Node {
    /// Goes on from where it was; where that cannot be, from the log's end with nothing that is held
    /// left to be served.
    async fn begin(&mut self) -> Result<(Box<dyn Follow>, Position), LedgerError> {
        let ends = self.ledger.ends(Log::Purges).await?;
        let may = self.applied.map(|applied| may_continue(applied, ends).map(|()| applied));
        let from = match may {
            Some(Ok(applied)) => applied,
            other => {
                if let Some(Err(lost)) = other {
                    tracing::warn!(
                        node = &*self.name,
                        "{lost}; purges may have been missed, so everything stored is purged"
                    );
                }
                // What comes after the end is followed; all before it is in this, once for all tries.
                self.edge.apply_everything();
                self.has_applied(ends.last);
                ends.last
            }
        };
        Ok((self.ledger.follow(Log::Purges, from).await?, from))
    }

    /// The same, however long it takes.
    async fn begin_again(&mut self) -> Box<dyn Follow> {
        let mut retry = Retry::default();
        loop {
            match self.begin().await {
                Ok((follow, applied)) => {
                    self.troubles.end(Trouble::Following);
                    tracing::info!(node = &*self.name, %applied, "the node follows purges");
                    return follow;
                }
                Err(error) => {
                    self.troubles.begin(Trouble::Following, &error.to_string());
                    retry.wait().await;
                }
            }
        }
    }

    fn has_applied(&mut self, position: Position) {
        self.applied = Some(position);
        self.keeper.keep(position);
    }

    /// Applies entries; says how far that is.
    fn apply(&mut self, entries: &[Entry], before: Position) -> Position {
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
        self.has_applied(applied);
        applied
    }

    async fn run(mut self, mut follow: Box<dyn Follow>, report: watch::Sender<Reached>) {
        let mut reached = *report.borrow();
        let mut retry = Retry::default();
        loop {
            match follow.next().await {
                Ok(entries) => {
                    let some = u64::try_from(entries.len()).unwrap_or(u64::MAX);
                    reached.entries = reached.entries.saturating_add(some);
                    reached.position = self.apply(&entries, reached.position);
                    report.send_replace(reached);
                    retry = Retry::default();
                }
                Err(error) => {
                    if self.troubles.begin(Trouble::Following, &error.to_string()) {
                        tracing::warn!(node = &*self.name, %error, "purges cannot be followed; trying again");
                    }
                    retry.wait().await;
                    follow = self.begin_again().await;
                    reached.position = self.applied.unwrap_or(reached.position);
                    report.send_replace(reached);
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
