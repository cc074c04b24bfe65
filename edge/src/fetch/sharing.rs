//! A response that may be shared: its content streamed to whoever follows, and stored at its end.
//!
//! In: a judged head and the origin's body. Out: a [`SharedBody`] to read from, and a stored
//! response if all of it found room.
//! Always holds: a broken body is never stored; whoever has all that was announced finds it stored,
//! if it is stored at all; content that finds no room goes on as a window of
//! bounded size; whatever ends the writer, its readers see an end.
//! It deliberately knows no law: the head was judged before it gets here.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use edge_core::storable::StoredHead;
use http_body::Body;
use http_body_util::BodyExt as _;

use super::{
    FetchError,
    filling::FillPlan,
    freshen::retire,
    room::{FillRoom, WINDOW_BYTES_MIN},
    table::{Filling, Keeping, Stage},
};
use crate::store::{
    CHUNK_BYTES, Insertion, StoredBody, StoredResponse,
    budget::{Budget, Charge, cost},
    shared::{Broken, SharedBody},
};

/// How long a response that has begun waits for memory before it is broken off.
const MEMORY_PATIENCE: Duration = Duration::from_secs(10);

/// What a stored head costs beside its fields.
const HEAD_OVERHEAD_BYTES: usize = 768;

/// What each field of a stored head costs beside its bytes.
const FIELD_OVERHEAD_BYTES: usize = 128;

/// The response may be shared: streams it to whoever follows and stores it at its end.
pub async fn share<B: Content>(
    room: &Arc<FillRoom>,
    filling: &Arc<Filling>,
    plan: &FillPlan,
    head: StoredHead,
    body: B,
) {
    let length = head.content_length;
    let weight = head_bytes(&head);
    let mut charge = room.reserve(weight);
    let fits = length.is_none_or(|length| length <= plan.limits.object_bytes_max);
    if !fits {
        count(&room.counts.unstored_for_size);
    }
    let shared = SharedBody::new(Arc::clone(&room.budget));
    let _ends = Unended(&shared);
    // What will not find memory is better streamed from the start than broken off later.
    let room_for_all = fits && room.has_room(length.unwrap_or(0));
    let stored = charge.is_some() && room_for_all;
    if !stored {
        if fits {
            count(&room.counts.unstored_for_memory);
        }
        charge = None;
        let Some(window) = room.window(plan.limits.window_bytes) else {
            // Not even the smallest window free: say so while a status can still be sent.
            room.table.announce(filling, Stage::Failed(Arc::new(FetchError::Memory)), false);
            return;
        };
        shared.narrow(window);
        retire(room, filling, plan);
    }
    let head = Arc::new(head);
    let expected = head.range.map(|range| range.span().length()).or(length);
    if expected == Some(0) {
        // Its head is all of it, so it is stored before anybody has that.
        keep(room, filling, &head, &shared, charge.take());
    }
    let keeping = match (stored, fits) {
        (true, _) => Keeping::Stored,
        (false, true) => Keeping::NoMemory,
        (false, false) => Keeping::TooLarge,
    };
    let told = (Arc::clone(&head), Arc::clone(&shared));
    let stage = Stage::Shared { head: told.0, body: told.1, stored: keeping };
    room.table.announce(filling, stage, stored && expected != Some(0));
    let end = pump(room, filling, plan, &shared, body, expected).await;
    if end.is_ok() {
        keep(room, filling, &head, &shared, charge);
    }
    room.table.close(filling);
    match end {
        Ok(()) => {}
        Err(Broken::Orphaned) => count(&room.counts.orphaned),
        Err(_) => count(&room.counts.broken),
    }
    shared.finish(end);
}

/// Where content comes from: an origin's response.
pub trait Content: Body<Data = Bytes, Error = FetchError> + Unpin {}
impl<B: Body<Data = Bytes, Error = FetchError> + Unpin> Content for B {}

/// Whatever ends the writer of a body, its readers see an end.
struct Unended<'a>(&'a SharedBody);

impl Drop for Unended<'_> {
    fn drop(&mut self) {
        // It changes nothing where the body has ended.
        self.0.finish(Err(Broken::Origin));
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Moves the content from the origin to the shared body.
async fn pump<B: Content>(
    room: &FillRoom,
    filling: &Arc<Filling>,
    plan: &FillPlan,
    shared: &SharedBody,
    mut body: B,
    length: Option<u64>,
) -> Result<(), Broken> {
    let mut orphan_bytes: u64 = 0;
    while !body.is_end_stream() {
        shared.room().await;
        let Some(frame) = body.frame().await else { break };
        let frame = frame.map_err(|error| {
            tracing::debug!(target_uri = ?plan.target, %error, "a response broke off");
            Broken::Origin
        })?;
        // Trailers end here: they may be dropped (RFC 9110 §6.5.1) and a later reader has none.
        let Ok(content) = frame.into_data() else { continue };
        let windowed = !shared.is_whole();
        if filling.interest() == 0 && (windowed || !plan.background) {
            orphan_bytes = orphan_bytes.saturating_add(content.len() as u64);
            let left = length.map_or(orphan_bytes, |length| length.saturating_sub(shared.length()));
            if windowed || left > plan.limits.orphan_bytes_max || room.is_short() {
                return Err(Broken::Orphaned);
            }
        }
        let grown = shared.length().saturating_add(content.len() as u64);
        if length.is_some_and(|length| grown > length) {
            // A part that is longer than its Content-Range says.
            return Err(Broken::Origin);
        }
        if !windowed && grown > plan.limits.object_bytes_max {
            count(&room.counts.unstored_for_size);
            give_up_storing(room, filling, plan, shared).await?;
        }
        append(room, filling, plan, shared, (&content, length)).await?;
    }
    // A length that was announced and not met is a truncated response (RFC 9112 §8).
    match length {
        Some(length) if length != shared.length() => Err(Broken::Origin),
        Some(_) | None => Ok(()),
    }
}

/// Appends in pieces; what finds no memory stops being stored and goes on as a window.
async fn append(
    room: &FillRoom,
    filling: &Arc<Filling>,
    plan: &FillPlan,
    shared: &SharedBody,
    (content, length): (&Bytes, Option<u64>),
) -> Result<(), Broken> {
    for piece in content.chunks(WINDOW_BYTES_MIN) {
        let grown = shared.length().saturating_add(piece.len() as u64);
        let append = |piece| {
            // What is kept is stored before anybody has its last octet.
            if length == Some(grown) && shared.is_whole() {
                shared.append_last(piece)
            } else {
                shared.append(piece)
            }
        };
        if append(piece).is_ok() {
            continue;
        }
        // Given back at once: it has only made room.
        if room.reserve(cost(piece)).is_some() && append(piece).is_ok() {
            continue;
        }
        count(&room.counts.unstored_for_memory);
        give_up_storing(room, filling, plan, shared).await?;
        append(piece)?;
    }
    Ok(())
}

/// From here on the content streams through a window; what came so far is let go as it is read.
async fn give_up_storing(
    room: &FillRoom,
    filling: &Arc<Filling>,
    plan: &FillPlan,
    shared: &SharedBody,
) -> Result<(), Broken> {
    room.table.close(filling);
    retire(room, filling, plan);
    if let Some(window) = room.window(plan.limits.window_bytes) {
        shared.narrow(window);
        shared.room().await;
        return Ok(());
    }
    // Only readers can free memory now: all that came is read before the window opens.
    shared.squeeze();
    shared.room().await;
    let window = room.budget.reserve_within(WINDOW_BYTES_MIN, MEMORY_PATIENCE).await;
    shared.narrow(window.ok_or(Broken::Memory)?);
    Ok(())
}

/// Stores what has come, if all of it was kept and it did not die meanwhile.
fn keep(
    room: &FillRoom,
    filling: &Filling,
    head: &StoredHead,
    shared: &SharedBody,
    charge: Option<Charge>,
) {
    if room.is_dead(filling.key.as_bytes(), &head.tags, head.stamp) {
        return;
    }
    let (Some(charge), Some(chunks)) = (charge, shared.chunks_so_far()) else { return };
    let body = StoredBody::new(joined(&room.budget, chunks));
    let mut head = head.clone();
    head.content_length = Some(body.length());
    let response = Arc::new(StoredResponse::new(head, body, charge));
    match room.insert(&filling.key, &response) {
        Insertion::Kept => {
            room.uncacheable.invalidate(&room.fingerprint(filling.key.as_bytes()));
            count(&room.counts.stored);
        }
        // Its head has left and said that it is stored; the counter alone tells.
        Insertion::NoMemory => count(&room.counts.unstored_for_memory),
        Insertion::Outdated => {}
    }
}

/// Joins small chunks, so that a hit takes few steps; without memory they stay as they are.
fn joined(budget: &Arc<Budget>, chunks: Vec<Bytes>) -> Vec<Bytes> {
    if chunks.len() < 2 {
        return chunks;
    }
    let mut result = Vec::new();
    let mut run: Vec<Bytes> = Vec::new();
    let mut run_bytes: usize = 0;
    let mut flush = |run: &mut Vec<Bytes>| match budget.join(run) {
        Some(piece) => {
            run.clear();
            result.push(piece);
        }
        None => result.append(run),
    };
    for chunk in chunks {
        if run_bytes.saturating_add(chunk.len()) > CHUNK_BYTES {
            flush(&mut run);
            run_bytes = 0;
        }
        run_bytes = run_bytes.saturating_add(chunk.len());
        run.push(chunk);
    }
    flush(&mut run);
    result
}

/// What a stored head weighs: its fields, what the law keeps beside them, and of the request what
/// Vary nominates.
pub(super) fn head_bytes(head: &StoredHead) -> usize {
    let nominated = head.vary.names().count().saturating_mul(FIELD_OVERHEAD_BYTES);
    head.fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD_BYTES)
        .fold(HEAD_OVERHEAD_BYTES, usize::saturating_add)
        .saturating_add(head.vary.bytes())
        .saturating_add(head.tags.bytes())
        .saturating_add(nominated)
}

#[cfg(test)]
mod tests {
    use edge_core::{
        key::CacheKey,
        purge::{Name, Tags},
        site::Policy,
        storable::{Exchange, judge},
        time::Timestamp,
    };
    use http::{HeaderMap, HeaderValue, Method, StatusCode};

    use super::*;
    use crate::fetch::{
        room::tests::{KEY, Moment, SITE, meddled},
        table::Want,
    };

    /// What is stored under a plain key is looked at by fewer names than what is on its way: whoever
    /// invalidates it takes it out.
    #[test]
    fn what_died_on_its_way_is_stored_for_no_moment_even_when_that_is_forgotten() {
        let room = meddled(Moment::Stored, |room| {
            let all = room.tier.lookup(KEY).unwrap();
            assert!(room.stamps.death(KEY, &all.responses[0]).is_some(), "anybody may have it");
        });
        let (key, fields) = (CacheKey::from(KEY), HeaderMap::new());
        let usable = |_: &StoredHead| true;
        let want = Want {
            key: &key,
            fields: &fields,
            range: None,
            ahead_max: 0,
            head: false,
            presumed: None,
            usable: &usable,
        };
        let ticket = room.table.lead_alone(want, &room.stamps);
        let (tags, stamp) = (Tags::default(), ticket.filling().stamp);
        let invalidate = |uri: &[u8]| {
            room.invalidate(SITE, &[Name::Target(uri.into())], (KEY, &tags, stamp));
            room.stamps.swept(room.stamps.newest());
        };
        invalidate(KEY);
        for number in 0..20 {
            invalidate(format!("http/1/h/{number}").as_bytes());
        }
        let head = StoredHead { stamp, validated: stamp, ..head(&fields, &cacheable()) };
        let shared = SharedBody::new(Arc::clone(&room.budget));
        keep(&room, ticket.filling(), &head, &shared, room.reserve(100));
        assert!(room.tier.lookup(KEY).is_none_or(|all| all.responses.is_empty()));
        assert!(room.is_dead(KEY, &tags, stamp));
    }

    fn cacheable() -> HeaderMap {
        let mut fields = HeaderMap::new();
        fields.insert("cache-control", HeaderValue::from_static("max-age=60"));
        fields
    }

    fn weight(coding: Option<&str>) -> usize {
        let mut response_fields = cacheable();
        response_fields.insert("vary", HeaderValue::from_static("accept-encoding"));
        let mut request_fields = HeaderMap::new();
        if let Some(coding) = coding {
            request_fields.insert("accept-encoding", HeaderValue::from_str(coding).unwrap());
        }
        head_bytes(&head(&request_fields, &response_fields))
    }

    fn head(request_fields: &HeaderMap, response_fields: &HeaderMap) -> StoredHead {
        let now = Timestamp::from_secs(1_700_000_000);
        judge(&Exchange {
            method: &Method::GET,
            target: "http://www.example/a",
            request_fields,
            status: StatusCode::OK,
            response_fields,
            request_time: now,
            response_time: now,
            policy: &Policy::default(),
        })
        .unwrap()
    }

    #[test]
    fn a_request_pays_for_what_is_kept_of_it() {
        assert_eq!(weight(Some(&"a".repeat(1000))), weight(None) + 1000);
        let own = "cache-controlmax-age=60varyaccept-encodingdate".len() + 29 + 3 * 128;
        assert_eq!(weight(None), HEAD_OVERHEAD_BYTES + own + "accept-encoding".len() + 128);
    }
}
