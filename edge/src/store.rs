//! What is stored, and where: stored responses, the tiers that keep them, the byte budget.
//!
//! In: heads and bodies from the filling. Out: stored responses by cache key.
//! Always holds: a stored response is immutable; what replaces it (a 304, a newer response) is a
//! new value under the same key. Nothing outside this room sees a whole body: readers take it
//! chunk by chunk, so that a part, a huge file or a disk tier needs no other interface.
//! It deliberately knows no HTTP law: whether something may be stored or reused is decided
//! before it gets here.

pub mod budget;
mod checked;
pub mod memory;
pub mod shared;
pub mod stamps;
pub(crate) mod sweep;
mod tenure;

use std::{borrow::Cow, sync::Arc};

use bytes::{Bytes, BytesMut};
use edge_core::{
    freshness::Freshness, key::CacheKey, range::Span, storable::StoredHead, time::Timestamp,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use self::{
    budget::{Budget, COPY_OVERHEAD_BYTES, Charge},
    checked::Checked,
    tenure::Tenure,
};

/// Chunks of a stored body are joined up to this size, so that a hit takes few steps.
pub(crate) const CHUNK_BYTES: usize = 256 * 1024;

/// A response as it is kept: head and body, with its place in the byte budget.
#[derive(Debug)]
pub struct StoredResponse {
    /// The head as the law wants it.
    pub head: StoredHead,
    /// The content that the head speaks of; of a 206 the part that it is.
    pub body: StoredBody,
    /// The budget's share for the head and the index.
    pub charge: Charge,
    /// The head's fields as HTTP/1.1 lines, which its values are slices of.
    lines: Bytes,
    /// Whether caches nearer to the origin wrote Cache-Status.
    passes_cache_status: bool,
    /// Its claim to a place among the variants of its key.
    tenure: Tenure,
    /// What it knows of purges.
    checked: Checked,
}

impl StoredResponse {
    /// A response to be kept. Its fields get their own memory: as they come, they are slices of an
    /// origin connection's read buffer and would keep all of it alive.
    #[must_use]
    pub fn new(mut head: StoredHead, body: StoredBody, charge: Charge) -> Self {
        if may_say_its_length(head.status) && !head.fields.contains_key(header::CONTENT_LENGTH) {
            head.fields.insert(header::CONTENT_LENGTH, HeaderValue::from(body.length()));
        }
        let (fields, lines) = own(&head.fields);
        head.fields = fields;
        let passes_cache_status = head.fields.contains_key(CACHE_STATUS);
        let (tenure, checked) = (Tenure::default(), Checked::default());
        Self { head, body, charge, lines, passes_cache_status, tenure, checked }
    }

    /// How long it is fresh: as its head says, or no longer if it was found to be declared stale
    /// ([`stamps::Stamps::death`]).
    #[must_use]
    pub fn freshness(&self) -> Cow<'_, Freshness> {
        match self.checked.stale_since() {
            None => Cow::Borrowed(&self.head.freshness),
            Some(since) => Cow::Owned(self.head.freshness.stale_since(since)),
        }
    }

    /// Whether the fields hold members of Cache-Status.
    pub(crate) fn passes_cache_status(&self) -> bool {
        self.passes_cache_status
    }

    /// It answers a request.
    pub fn mark_used(&self, now: Timestamp) {
        self.tenure.answer(now);
    }

    /// The fields as HTTP/1.1 lines, Content-Length among them, without the members of
    /// Cache-Status that caches nearer to the origin have written.
    #[must_use]
    pub fn lines(&self) -> &[u8] {
        &self.lines
    }
}

/// RFC 9110 §8.6: not in a 1xx or 204.
fn may_say_its_length(status: StatusCode) -> bool {
    !status.is_informational() && status != StatusCode::NO_CONTENT
}

/// RFC 9211 §2; its line is written anew for each answer.
pub(crate) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// The fields with their values in one exact allocation, and that allocation: the fields as lines.
fn own(fields: &HeaderMap) -> (HeaderMap, Bytes) {
    let mut fields: Vec<_> = fields.iter().collect();
    // Those of Cache-Status stand behind the lines that are sent as they are.
    fields.sort_by_key(|(name, _)| **name == CACHE_STATUS);
    let length = |(name, value): &(&HeaderName, &HeaderValue)| {
        name.as_str().len().saturating_add(value.len()).saturating_add(LINE_BYTES)
    };
    let mut text = BytesMut::with_capacity(fields.iter().map(length).sum());
    for (name, value) in &fields {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    let said = fields.iter().take_while(|(name, _)| **name != CACHE_STATUS);
    let (text, lines): (_, usize) = (text.freeze(), said.map(length).sum());
    let mut owned = HeaderMap::with_capacity(fields.len());
    let mut rest = text.clone();
    for line in &fields {
        let (name, value) = *line;
        let mut own = rest.split_to(length(line));
        // The bytes were a valid value before.
        let own = HeaderValue::from_maybe_shared(
            own.split_off(name.as_str().len() + 2).split_to(value.len()),
        );
        owned.append(name.clone(), own.unwrap_or_else(|_| value.clone()));
    }
    (owned, text.slice(..lines))
}

/// What a line has beside its name and value: colon, space and CRLF.
const LINE_BYTES: usize = 4;

/// Complete content in memory: cheap to clone, immutable.
#[derive(Clone, Debug)]
pub struct StoredBody {
    chunks: Arc<[Bytes]>,
    length: u64,
}

impl StoredBody {
    /// A body out of `chunks`, in order.
    #[must_use]
    pub fn new(chunks: Vec<Bytes>) -> Self {
        let length = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        Self { chunks: chunks.into(), length }
    }

    /// Its length in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// All of it, if it is in one piece of at most `bytes_max`.
    #[must_use]
    pub fn small(&self, bytes_max: usize) -> Option<&[u8]> {
        match self.chunks.as_ref() {
            [] => Some(&[]),
            [all] if all.len() <= bytes_max => Some(all),
            _ => None,
        }
    }

    /// A reader of the whole body.
    #[must_use]
    pub fn reader(&self) -> BodyReader {
        BodyReader { body: self.clone(), next: 0, skip: 0, left: self.length }
    }

    /// A reader of `span`, whose ends are counted from this body's first byte.
    #[must_use]
    pub fn reader_of(&self, span: Span) -> BodyReader {
        let first = span.first.min(self.length);
        let wanted = span.last.saturating_sub(span.first).saturating_add(1);
        let mut skip = usize::try_from(first).unwrap_or(usize::MAX);
        let mut next = 0;
        for chunk in self.chunks.iter() {
            if skip < chunk.len() {
                break;
            }
            skip = skip.saturating_sub(chunk.len());
            next += 1;
        }
        BodyReader { body: self.clone(), next, skip, left: wanted.min(self.length - first) }
    }

    /// What the content weighs in the budget.
    #[must_use]
    pub fn weight(&self) -> usize {
        let content = usize::try_from(self.length).unwrap_or(usize::MAX);
        content.saturating_add(self.chunks.len().saturating_mul(COPY_OVERHEAD_BYTES))
    }
}

/// A place in a [`StoredBody`].
#[derive(Debug)]
pub struct BodyReader {
    body: StoredBody,
    next: usize,
    skip: usize,
    left: u64,
}

impl BodyReader {
    /// Bytes that are still to come.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The next chunk; `None` at the end.
    pub fn next_chunk(&mut self) -> Option<Bytes> {
        if self.left == 0 {
            return None;
        }
        let chunk = self.body.chunks.get(self.next)?;
        let held = chunk.len().saturating_sub(self.skip) as u64;
        let take = held.min(self.left);
        let start = self.skip;
        let end = start.saturating_add(usize::try_from(take).unwrap_or(usize::MAX));
        let piece = if start == 0 && end == chunk.len() {
            chunk.clone()
        } else {
            chunk.slice(start..end.min(chunk.len()))
        };
        self.next += 1;
        self.skip = 0;
        self.left -= take;
        Some(piece)
    }
}

/// Every stored response under one cache key, newest first: the variants (RFC 9111 §4.1) and,
/// beside a whole one, the parts.
#[derive(Clone, Debug, Default)]
pub struct Variants {
    /// Newest first.
    pub responses: Vec<Arc<StoredResponse>>,
    /// Whether there were others until they were invalidated.
    pub invalidated: bool,
    /// What their place in the index is charged with.
    pub(crate) place: Option<Arc<Charge>>,
    /// What it weighs beside its responses, in the tier's own units: see [`Tier::give_way`].
    ballast: u32,
}

/// What became of a response that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insertion {
    /// It is stored.
    Kept,
    /// Something newer is, or it was invalidated on its way.
    Outdated,
    /// There is no memory for its place in the index.
    NoMemory,
}

/// A place where stored responses are kept.
pub trait Tier: Send + Sync {
    /// What is stored under `key`.
    fn lookup(&self, key: &[u8]) -> Option<Arc<Variants>>;
    /// Stores a response; it replaces those of the same variant that say nothing beyond it, unless
    /// one of them is newer.
    fn insert(&self, key: &CacheKey, response: Arc<StoredResponse>) -> Insertion;
    /// Puts `new` in the place of `old`, if `old` is still stored: what has come since is newer.
    fn replace(&self, key: &CacheKey, old: &Arc<StoredResponse>, new: Arc<StoredResponse>);
    /// Removes the given response, if it is still stored.
    fn remove(&self, key: &CacheKey, response: &Arc<StoredResponse>);
    /// Removes everything under `key`, which was invalidated.
    fn withdraw(&self, key: &[u8]);
    /// Makes what was evicted give its bytes back now.
    fn settle(&self);
    /// Evicts some `bytes` of what was asked for longest ago; false, and nothing, once no more is
    /// kept than the half that never gives way.
    fn give_way(&self, bytes: usize) -> bool;
    /// Everything that is kept; what comes meanwhile may be there or not. Looking changes nothing.
    fn entries(&self) -> Entries<'_>;
    /// Entries and bytes kept.
    fn usage(&self) -> Usage;
}

/// Keys, with what is stored under each.
pub type Entries<'a> = Box<dyn Iterator<Item = (Arc<CacheKey>, Arc<Variants>)> + Send + 'a>;

/// The node's memory: the byte budget, and the tier that gives bytes back to it when it must.
#[derive(Clone)]
pub struct Memory {
    /// The budget.
    pub budget: Arc<Budget>,
    /// The tier.
    pub tier: Arc<dyn Tier>,
}

impl Memory {
    /// See [`reserve`].
    #[must_use]
    pub fn reserve(&self, bytes: usize) -> Option<Charge> {
        reserve(&self.budget, &*self.tier, bytes, 0)
    }
}

/// How often stored responses are evicted for one wish: their bytes may come back later than they
/// go, where somebody still reads them.
const EVICTIONS_MAX: usize = 16;

/// Takes bytes from the budget and leaves `spare` for others; if it must, stored responses give way.
#[must_use]
pub fn reserve(
    budget: &Arc<Budget>,
    tier: &dyn Tier,
    bytes: usize,
    spare: usize,
) -> Option<Charge> {
    let mut tries = 0..=EVICTIONS_MAX;
    budget.reserve_after(bytes, spare, || match tries.next() {
        None => false,
        // What was evicted before may be enough.
        Some(0) => {
            tier.settle();
            true
        }
        Some(_) => bytes <= budget.limit() && tier.give_way(bytes),
    })
}

/// What a tier keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Cache keys with at least one stored response.
    pub keys: u64,
    /// Bytes of heads, content and index.
    pub bytes: u64,
    /// Responses that gave way to another one under their key since the start.
    pub variants_displaced: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_fields_keep_no_read_buffer_alive() {
        let buffer = Bytes::from(vec![b'a'; 8192]);
        let mut fields = HeaderMap::new();
        for (name, at) in [("x-a", 0), ("cache-status", 3), ("x-a", 5), ("x-b", 10)] {
            let value = HeaderValue::from_maybe_shared(buffer.slice(at..at + 5)).unwrap();
            fields.append(name, value);
        }
        let (owned, lines) = own(&fields);
        assert_eq!(owned, fields);
        drop(fields);
        assert!(buffer.is_unique());
        assert_eq!(owned.get_all("x-a").iter().count(), 2);
        assert_eq!(lines, "x-a: aaaaa\r\nx-a: aaaaa\r\nx-b: aaaaa\r\n");
    }
}
