//! Which fillings are under way: who may join one, who leads a new one.
//!
//! In: a cache key, the request's fields, what it wants. Out: a place: to lead or to follow.
//! Always holds: at most one joinable filling per key, variant and range; nobody joins a filling
//! older than a purge or an invalidation that means it (ARCHITECTURE.md *Words*). It knows nothing of
//! origins or bodies.

use std::{
    collections::HashMap,
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use edge_core::{
    key::{CacheKey, VaryKey},
    purge::Tags,
    range::{self, Ranges},
    storable::{self, NotStored, StoredHead},
    validation,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::FetchError;
use crate::store::{StoredResponse, shared::SharedBody, stamps::Stamps};

/// Locks are spread over this many parts of the table.
const SHARDS: usize = 64;

/// What is known of a filling's response so far.
#[derive(Clone)]
pub enum Stage {
    /// No head yet.
    Waiting,
    /// A head that others may use, and a body to stream from.
    Shared {
        /// The response's head.
        head: Arc<StoredHead>,
        /// Its content, as far as it has come.
        body: Arc<SharedBody>,
        /// Whether it is being stored.
        stored: Keeping,
    },
    /// Nothing had to be asked: this had been stored a moment before.
    Stored(Arc<StoredResponse>),
    /// A validation succeeded, by an answer of this status: this stored response is fresh again.
    Fresh(Arc<StoredResponse>, StatusCode),
    /// The response is for its leader alone.
    Private {
        /// Its status.
        status: StatusCode,
        /// Why it is not stored.
        why: Unshared,
    },
    /// No response.
    Failed(Arc<FetchError>),
}

/// What becomes of a response that others may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// It is being stored.
    Stored,
    /// It is longer than `object_bytes_max`.
    TooLarge,
    /// There is no memory to store it.
    NoMemory,
}

/// Why a response is for its leader alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unshared {
    /// The law does not let it be stored.
    Law(NotStored),
    /// It is an error in answer to a validation, and what is stored may be served instead.
    FailedValidation,
    /// It was purged or invalidated after its fetch began.
    Overtaken,
    /// It is a part whose length contradicts its Content-Range.
    BadPart,
    /// It is a 304 that takes back the leave to store, or answers a request that gives none.
    Withdrawn(NotStored),
    /// It is a 304 that no stored response answers to any more.
    NothingToFreshen,
    /// It answers HEAD, and not in the words of what is stored.
    Head,
}

impl Unshared {
    /// Whether the response, not the request or the moment, is the reason, so that the next request
    /// for the key will probably find the same: it is of a kind that is not stored, and its `status`
    /// says what the resource is like.
    #[must_use]
    pub fn of_resource(self, status: StatusCode) -> bool {
        self.of_response() && storable::is_of_resource(status)
    }

    /// Whether the response, not the request, is the reason.
    #[must_use]
    pub fn of_response(self) -> bool {
        match self {
            Self::Law(why) | Self::Withdrawn(why) => why.of_response(),
            Self::FailedValidation
            | Self::Overtaken
            | Self::BadPart
            | Self::NothingToFreshen
            | Self::Head => false,
        }
    }

    /// Whether the Range is the reason, so that the next request with the same one will probably
    /// find the same: it is not satisfiable, or several parts answer it.
    #[must_use]
    pub fn of_range(self) -> bool {
        matches!(self, Self::Law(NotStored::Status | NotStored::Part) | Self::BadPart)
    }
}

/// One forward in progress that any number of requests may wait for.
pub struct Filling {
    /// What it fills.
    pub key: CacheKey,
    /// The node's stamp when it began.
    pub stamp: u64,
    /// The Range that was forwarded, if any.
    pub range: Option<HeaderValue>,
    /// Whether it was forwarded as HEAD: it freshens what is stored and brings no content.
    pub head: bool,
    /// The variant that it will probably be, by what the key's responses varied on before.
    presumed: Option<VaryKey>,
    stage: watch::Sender<Stage>,
    interest: AtomicUsize,
    /// Told whenever the last stake was given up.
    deserted: Notify,
}

impl Filling {
    /// What is known now, and a way to wait for more.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    /// Requests that wait for this filling or read from it.
    #[must_use]
    pub fn interest(&self) -> usize {
        self.interest.load(Ordering::Acquire)
    }

    /// Waits until nobody has a stake any more; somebody new may have by then. One task may wait.
    async fn left_alone(&self) {
        self.deserted.notified().await;
    }
}

/// A request's stake in a filling; while any is held the filling is not an orphan.
pub struct Ticket {
    filling: Arc<Filling>,
    /// Whether the body still expects this request to come and read.
    pending: bool,
}

impl Ticket {
    fn take(filling: &Arc<Filling>) -> Self {
        filling.interest.fetch_add(1, Ordering::AcqRel);
        let pending = matches!(&*filling.stage.borrow(), Stage::Waiting);
        Self { filling: Arc::clone(filling), pending }
    }

    /// The filling that this is a stake in.
    #[must_use]
    pub fn filling(&self) -> &Arc<Filling> {
        &self.filling
    }

    /// The request has begun to read.
    pub fn settle(&mut self) {
        let stage = self.filling.stage.borrow();
        settle(&mut self.pending, &stage);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // Held over both: an announcement in between would go on waiting for this request.
        let stage = self.filling.stage.borrow();
        settle(&mut self.pending, &stage);
        if self.filling.interest.fetch_sub(1, Ordering::AcqRel) == 1 {
            // It is kept until somebody waits for it.
            self.filling.deserted.notify_one();
        }
    }
}

/// A request that the body still expects has come, or will not.
fn settle(pending: &mut bool, stage: &Stage) {
    if let (true, Stage::Shared { body, .. }) = (*pending, stage) {
        *pending = false;
        body.call_off();
    }
}

/// A request's part in a filling.
pub enum Place {
    /// It must start the forward.
    Lead(Ticket),
    /// Somebody else has.
    Join(Ticket),
}

/// What a request asks of the table.
pub struct Want<'a> {
    /// The key that it maps to.
    pub key: &'a CacheKey,
    /// Its fields, for Vary.
    pub fields: &'a HeaderMap,
    /// The Range that it would forward; `None` when it wants the whole.
    pub range: Option<&'a HeaderValue>,
    /// How far beyond what has come of a whole the range may begin and still be waited for.
    pub ahead_max: u64,
    /// Whether it wants a head only.
    pub head: bool,
    /// The variant that it will probably get.
    pub presumed: Option<VaryKey>,
    /// Whether a response whose head has come already may answer it.
    pub usable: &'a dyn Fn(&StoredHead) -> bool,
}

/// All joinable fillings of a node.
pub struct FillingTable {
    shards: Vec<Mutex<HashMap<CacheKey, Vec<Arc<Filling>>>>>,
    hasher: foldhash::quality::RandomState,
}

impl Default for FillingTable {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(HashMap::new())).collect();
        Self { shards, hasher: foldhash::quality::RandomState::default() }
    }
}

impl FillingTable {
    /// Joins a filling that suits, or begins a new one to lead; others may join that one, unless its
    /// request has a condition on its range.
    #[must_use]
    pub fn join_or_lead(&self, want: Want<'_>, stamps: &Stamps) -> Place {
        let mut shard = self.shard(want.key).lock();
        let suits = |filling: &&Arc<Filling>| filling.suits(&want) && !filling.is_overtaken(stamps);
        if let Some(filling) = shard.get(want.key).and_then(|all| all.iter().find(suits)) {
            return Place::Join(Ticket::take(filling));
        }
        let joinable = !has_condition(&want);
        let filling = new_filling(want, stamps);
        if joinable {
            shard.entry(filling.key.clone()).or_default().push(Arc::clone(&filling));
        }
        Place::Lead(Ticket::take(&filling))
    }

    /// A filling to lead that nobody may join; it is not in the table.
    #[must_use]
    pub fn lead_alone(&self, want: Want<'_>, stamps: &Stamps) -> Ticket {
        Ticket::take(&new_filling(want, stamps))
    }

    /// Says what has become of `filling`; with `open` further requests may join it.
    pub fn announce(&self, filling: &Arc<Filling>, stage: Stage, open: bool) {
        let mut shard = self.shard(&filling.key).lock();
        if !open {
            forget(&mut shard, filling);
        }
        filling.stage.send_modify(|current| {
            if let Stage::Shared { body, .. } = &stage {
                // Joining is shut out by the table's lock, leaving by the stage's: who has a stake
                // now is waited for, who joins later finds the body as it is.
                body.expect(filling.interest());
            }
            *current = stage;
        });
    }

    /// Closes `filling`; if nothing was announced yet, `stage` is.
    pub fn abandon(&self, filling: &Arc<Filling>, stage: Stage) {
        let mut shard = self.shard(&filling.key).lock();
        forget(&mut shard, filling);
        filling.stage.send_if_modified(|current| {
            let waiting = matches!(current, Stage::Waiting);
            if waiting {
                *current = stage;
            }
            waiting
        });
    }

    /// Waits until nobody has a stake in `filling`, and closes it then: who comes later leads
    /// another one.
    pub async fn deserted(&self, filling: &Arc<Filling>) {
        loop {
            filling.left_alone().await;
            // Joining is shut out by the table's lock.
            let mut shard = self.shard(&filling.key).lock();
            if filling.interest() == 0 {
                forget(&mut shard, filling);
                return;
            }
        }
    }

    /// No further request may join `filling`.
    pub fn close(&self, filling: &Arc<Filling>) {
        forget(&mut self.shard(&filling.key).lock(), filling);
    }

    /// Fillings that may be joined now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().values().map(Vec::len).sum::<usize>()).sum()
    }

    /// Whether no filling may be joined now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, key: &CacheKey) -> &Mutex<HashMap<CacheKey, Vec<Arc<Filling>>>> {
        let hash = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or(0);
        #[expect(clippy::indexing_slicing, reason = "hash is below SHARDS, the vector's length")]
        &self.shards[hash]
    }
}

fn new_filling(want: Want<'_>, stamps: &Stamps) -> Arc<Filling> {
    Arc::new(Filling {
        key: want.key.clone(),
        stamp: stamps.now(),
        range: want.range.cloned(),
        head: want.head,
        presumed: want.presumed,
        stage: watch::Sender::new(Stage::Waiting),
        interest: AtomicUsize::new(0),
        deserted: Notify::new(),
    })
}

fn forget(shard: &mut HashMap<CacheKey, Vec<Arc<Filling>>>, filling: &Arc<Filling>) {
    if let Some(fillings) = shard.get_mut(&filling.key) {
        fillings.retain(|other| !Arc::ptr_eq(other, filling));
        if fillings.is_empty() {
            shard.remove(&filling.key);
        }
    }
}

/// Whether the request puts a condition on its range: a part that answers If-Range is for its client
/// alone (RFC 9110 §15.3.7), so nobody should wait for it.
fn has_condition(want: &Want<'_>) -> bool {
    want.range.is_some() && want.fields.contains_key(header::IF_RANGE)
}

/// The range that a request wants of a whole: none if it has a condition on it that does not hold
/// (RFC 9110 §13.1.5).
#[must_use]
pub fn range_of_whole<'a>(
    range: Option<&'a HeaderValue>,
    fields: &HeaderMap,
    head: &StoredHead,
) -> Option<&'a HeaderValue> {
    range.filter(|_| validation::range_applies(fields, &head.validators))
}

/// Whether a range of a whole that is on its way is as good as here: who wants the end of a film is
/// not to wait for all of it.
#[must_use]
pub fn is_near(
    range: Option<&HeaderValue>,
    head: &StoredHead,
    body: &SharedBody,
    ahead_max: u64,
) -> bool {
    let length = head.content_length.unwrap_or(u64::MAX);
    match range::resolve(range.map(HeaderValue::as_bytes), length, 1) {
        Ranges::One(span) => span.first <= body.length().saturating_add(ahead_max),
        // Answered with the whole, or without content.
        Ranges::Whole | Ranges::Many(_) | Ranges::Unsatisfiable => true,
    }
}

impl Filling {
    /// Whether it was struck since it began, as far as can be told: tags are known with the head.
    fn is_overtaken(&self, stamps: &Stamps) -> bool {
        let overtaken = |tags| stamps.is_overtaken(self.key.as_bytes(), tags, self.stamp);
        match &*self.stage.borrow() {
            Stage::Shared { head, .. } => overtaken(&head.tags),
            Stage::Waiting
            | Stage::Stored(_)
            | Stage::Fresh(..)
            | Stage::Private { .. }
            | Stage::Failed(_) => overtaken(&Tags::default()),
        }
    }

    fn suits(&self, want: &Want<'_>) -> bool {
        // A whole on its way serves any range that it comes to soon, whatever its condition; a part
        // only the same range, without one.
        if self.range.is_some() && (self.range.as_ref() != want.range || has_condition(want)) {
            return false;
        }
        // Whoever brings content brings a head as well, but not the other way round.
        if self.head && !want.head {
            return false;
        }
        match &*self.stage.borrow() {
            Stage::Waiting => {
                self.presumed.as_ref().is_none_or(|presumed| presumed.matches(want.fields))
            }
            // Who comes after the head is not collapsed with its request: the response is then as
            // good as stored, and the law of reuse decides.
            Stage::Shared { head, body, .. } => {
                let range = range_of_whole(want.range, want.fields, head);
                let near = self.range.is_some() || is_near(range, head, body, want.ahead_max);
                near && head.vary.matches(want.fields) && (want.usable)(head)
            }
            Stage::Stored(_) | Stage::Fresh(..) | Stage::Private { .. } | Stage::Failed(_) => false,
        }
    }
}
