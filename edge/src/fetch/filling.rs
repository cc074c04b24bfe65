//! One filling: forward, judge, share, store.
//!
//! In: a request for the origin and what is stored to validate. Out: stages for everyone who
//! waits, a body to stream from, and a stored response at the end, if the law allows one.
//! Always holds: it runs detached from the client that led it; it learns of that client only
//! through the number of requests that still have a stake; a broken body is never stored; a 304
//! never revives what was invalidated after the validation began.
//! It deliberately knows no verdict: whether a client may have what came is the hallway's business.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use edge_core::{
    forward,
    site::{Policy, Site},
    storable::{self, Exchange, StoredHead},
    time::Timestamp,
};
use http::{HeaderMap, Method, StatusCode, header, response};
use http_body_util::BodyExt as _;

use super::{
    FetchError,
    freshen::freshen,
    pool::{OriginRequest, Pool},
    response::OriginBody,
    room::{FillLimits, FillRoom, WINDOW_BYTES_MIN},
    slot::{PrivateSlot, withheld},
    table::{Filling, Stage, Unshared},
};
use crate::store::{
    CHUNK_BYTES, StoredBody, StoredResponse,
    budget::{Budget, Charge},
    shared::{Broken, SharedBody},
};

/// How long a response that has begun waits for memory before it is broken off.
const MEMORY_PATIENCE: Duration = Duration::from_secs(10);

/// What a stored head costs beside its fields.
const HEAD_OVERHEAD_BYTES: usize = 768;

/// What each field of a stored head costs beside its bytes.
const FIELD_OVERHEAD_BYTES: usize = 128;

/// What one filling is to do.
pub struct FillPlan {
    /// The site, for its rules.
    pub site: Arc<Site>,
    /// The site's servers.
    pub pool: Arc<Pool>,
    /// The path that the rules go by.
    pub path: String,
    /// The effective target URI.
    pub target: String,
    /// The client's fields, as far as the law looks at them.
    pub client_fields: HeaderMap,
    /// Stored responses that the request validates.
    pub validating: Vec<Arc<StoredResponse>>,
    /// Whether an error in answer to the validation is met with what is stored.
    pub stale_on_error: bool,
    /// Whether nobody waits for it: a refresh in the background is no orphan.
    pub background: bool,
    /// Where the response goes if it is for the leader alone.
    pub private: Arc<PrivateSlot>,
    /// Limits.
    pub limits: FillLimits,
}

/// Sends `request` and runs `filling` to its end.
pub async fn run(
    room: Arc<FillRoom>,
    filling: Arc<Filling>,
    plan: FillPlan,
    request: OriginRequest,
) {
    let _guard = Unfinished { room: Arc::clone(&room), filling: Arc::clone(&filling) };
    let response = match plan.pool.send(request).await {
        Ok(response) => response,
        Err(error) => {
            tracing::debug!(target_uri = %plan.target, %error, "a forward failed");
            room.table.announce(&filling, Stage::Failed(Arc::new(error)), false);
            return;
        }
    };
    let (head, body) = response.into_parts();
    // A failed attempt before is no delay of this response (RFC 9111 §4.2.3).
    let times = (room.clock.at(body.sent()), room.clock.now());
    let targeted = &plan.policy().targeted_fields;
    let fields = forward::response_fields(&head.headers, head.version, &room.node, targeted);
    if head.status == StatusCode::NOT_MODIFIED && !plan.validating.is_empty() {
        let stage = match freshen(&room, &filling, &plan, &fields, times) {
            Some(fresh) => Stage::Fresh(fresh),
            None if plan.private.validated.lock().is_some() => {
                Stage::Private { status: head.status, why: Unshared::Withdrawn }
            }
            // It validates nothing that is still here: who waits has to ask again for the whole.
            None => Stage::Private { status: head.status, why: Unshared::NothingToFreshen },
        };
        room.table.announce(&filling, stage, false);
        return;
    }
    match judge(&room, &filling, &plan, &head, &fields, times) {
        Ok(mut stored) => {
            // Trailers end here, so what announces them would announce nothing.
            stored.fields.remove(header::TRAILER);
            *plan.private.withheld.lock() = withheld(&fields, &stored.fields);
            share(&room, &filling, &plan, stored, body).await;
        }
        Err(why) => keep_private(&room, &filling, &plan, why, (head, fields), body),
    }
}

/// Whatever ends a filling, a panic included, nobody waits for it for ever.
struct Unfinished {
    room: Arc<FillRoom>,
    filling: Arc<Filling>,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let error = FetchError::Broken {
            server: String::new(),
            reason: "the filling ended early".to_owned(),
        };
        self.room.table.abandon(&self.filling, Stage::Failed(Arc::new(error)));
    }
}

/// Whatever ends the writer of a body, its readers see an end.
struct Unended<'a>(&'a SharedBody);

impl Drop for Unended<'_> {
    fn drop(&mut self) {
        // It changes nothing where the body has ended.
        self.0.finish(Err(Broken::Origin));
    }
}

impl FillPlan {
    pub(super) fn policy(&self) -> &Policy {
        self.site.policy(&self.path)
    }
}

fn judge(
    room: &FillRoom,
    filling: &Filling,
    plan: &FillPlan,
    head: &response::Parts,
    fields: &HeaderMap,
    (request_time, response_time): (Timestamp, Timestamp),
) -> Result<StoredHead, Unshared> {
    // RFC 9111 §4.3.3: a failed validation may be met as if the server had not answered; then
    // the error must not displace what is stored.
    if head.status.is_server_error() && plan.stale_on_error {
        return Err(Unshared::FailedValidation);
    }
    if room.is_dead(filling.key.as_bytes(), filling.stamp) {
        return Err(Unshared::Invalidated);
    }
    let mut stored = storable::judge(&Exchange {
        method: &Method::GET,
        target: &plan.target,
        request_fields: &plan.client_fields,
        status: head.status,
        response_fields: fields,
        request_time,
        response_time,
        policy: plan.policy(),
    })
    .map_err(Unshared::Law)?;
    // RFC 9110 §14.4, §15.3.7: a part whose length contradicts its range cannot be answered from.
    let part_bytes = stored.range.map(|range| range.span().length());
    if part_bytes.is_some()
        && stored.content_length.is_some_and(|length| Some(length) != part_bytes)
    {
        return Err(Unshared::BadPart);
    }
    stored.stamp = filling.stamp;
    Ok(stored)
}

/// The response is for the leader alone; its key is remembered if the response is to blame.
fn keep_private(
    room: &FillRoom,
    filling: &Arc<Filling>,
    plan: &FillPlan,
    why: Unshared,
    (mut head, fields): (response::Parts, HeaderMap),
    body: OriginBody,
) {
    if why.of_response() && filling.range.is_none() {
        let until = room.clock.now().plus(plan.limits.uncacheable_remembered);
        room.uncacheable.insert(room.fingerprint(&filling.key), until);
    }
    let status = head.status;
    head.headers = fields;
    if !plan.background && filling.interest() > 0 {
        *plan.private.response.lock() = Some(http::Response::from_parts(head, body));
    }
    room.table.announce(filling, Stage::Private { status, why }, false);
}

/// The response may be shared: streams it to whoever follows and stores it at its end.
pub async fn share(
    room: &Arc<FillRoom>,
    filling: &Arc<Filling>,
    plan: &FillPlan,
    head: StoredHead,
    body: OriginBody,
) {
    let length = head.content_length;
    let weight = head_bytes(&head);
    let mut charge = room.reserve(weight);
    let fits = length.is_none_or(|length| length <= plan.limits.object_bytes_max);
    let shared = SharedBody::new(Arc::clone(&room.budget));
    let _ends = Unended(&shared);
    // What will not find memory is better streamed from the start than broken off later.
    let room_for_all = room.has_room(length.unwrap_or(0));
    let stored = fits && charge.is_some() && room_for_all;
    if !stored {
        charge = None;
        let Some(window) = room.window(plan.limits.window_bytes) else {
            // Not even the smallest window free: say so while a status can still be sent.
            room.table.announce(filling, Stage::Failed(Arc::new(FetchError::Memory)), false);
            return;
        };
        shared.narrow(window);
    }
    let head = Arc::new(head);
    let stage = Stage::Shared { head: Arc::clone(&head), body: Arc::clone(&shared), stored };
    room.table.announce(filling, stage, stored);
    let expected = head.range.map(|range| range.span().length()).or(length);
    let end = pump(room, filling, plan, &shared, body, expected).await;
    if end.is_ok()
        && let Some(charge) = charge
    {
        store(room, filling, &head, &shared, charge);
    }
    room.table.close(filling);
    match end {
        Ok(()) => {}
        Err(Broken::Orphaned) => count(&room.counts.orphaned),
        Err(_) => count(&room.counts.broken),
    }
    shared.finish(end);
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Moves the content from the origin to the shared body.
async fn pump(
    room: &FillRoom,
    filling: &Arc<Filling>,
    plan: &FillPlan,
    shared: &SharedBody,
    mut body: OriginBody,
    length: Option<u64>,
) -> Result<(), Broken> {
    let mut orphan_bytes: u64 = 0;
    loop {
        shared.room().await;
        let Some(frame) = body.frame().await else { break };
        let frame = frame.map_err(|error| {
            tracing::debug!(target_uri = %plan.target, %error, "a response broke off");
            Broken::Origin
        })?;
        // Trailers end here: they may be dropped (RFC 9110 §6.5.1) and a later reader has none.
        let Ok(content) = frame.into_data() else { continue };
        let windowed = !shared.is_whole();
        if filling.interest() == 0 && (windowed || !plan.background) {
            orphan_bytes = orphan_bytes.saturating_add(content.len() as u64);
            let left = length.map_or(orphan_bytes, |length| length.saturating_sub(shared.length()));
            if windowed || left > plan.limits.orphan_bytes_max {
                return Err(Broken::Orphaned);
            }
        }
        let grown = shared.length().saturating_add(content.len() as u64);
        if !windowed && grown > plan.limits.object_bytes_max {
            give_up_storing(room, filling, shared, plan.limits.window_bytes).await?;
        }
        append(room, filling, plan, shared, &content).await?;
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
    content: &Bytes,
) -> Result<(), Broken> {
    for piece in content.chunks(WINDOW_BYTES_MIN) {
        if shared.append(piece).is_ok() {
            continue;
        }
        room.tier.settle();
        if shared.append(piece).is_ok() {
            continue;
        }
        count(&room.counts.unstored_for_memory);
        give_up_storing(room, filling, shared, plan.limits.window_bytes).await?;
        shared.append(piece)?;
    }
    Ok(())
}

/// From here on the content streams through a window; what came so far is let go as it is read.
async fn give_up_storing(
    room: &FillRoom,
    filling: &Arc<Filling>,
    shared: &SharedBody,
    window_bytes: usize,
) -> Result<(), Broken> {
    room.table.close(filling);
    if let Some(window) = room.window(window_bytes) {
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

fn store(
    room: &FillRoom,
    filling: &Filling,
    head: &StoredHead,
    shared: &SharedBody,
    charge: Charge,
) {
    let Some(chunks) = shared.chunks_so_far() else { return };
    let body = StoredBody::new(joined(&room.budget, chunks));
    let mut head = head.clone();
    head.content_length = Some(body.length());
    let response = Arc::new(StoredResponse::new(head, body, charge));
    room.tier.insert(&filling.key, response);
    room.uncacheable.invalidate(&room.fingerprint(&filling.key));
    count(&room.counts.stored);
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

/// What a stored head weighs: its fields and what the law keeps beside them.
pub(super) fn head_bytes(head: &StoredHead) -> usize {
    head.fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD_BYTES)
        .fold(HEAD_OVERHEAD_BYTES, usize::saturating_add)
}
