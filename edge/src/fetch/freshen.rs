//! What the answer to a validation does to what is stored: a 304 updates the stored responses that
//! it selects (RFC 9111 §4.3.4), a full one shows that none of them is suitable (§4.3.3).
//!
//! Always holds: a 304 never revives what was purged or invalidated, and never displaces what has been
//! stored since the validation began. What a soft purge has made stale it makes fresh again, if the
//! validation began after that.

use std::sync::Arc;

use edge_core::{
    storable::StoredHead,
    time::Timestamp,
    validation::{self, HeadFreshen},
};
use http::{HeaderMap, StatusCode};

use super::{
    filling::FillPlan,
    room::FillRoom,
    sharing::head_bytes,
    table::{Filling, Unshared},
};
use crate::store::StoredResponse;

/// A 304: the stored responses that it selects get its fields (RFC 9111 §4.3.4). If none may be
/// kept so, the leader finds in its slot what it may have, and the others are told why.
pub(super) fn freshen(
    room: &FillRoom,
    filling: &Filling,
    plan: &FillPlan,
    (fields, said): (&HeaderMap, &HeaderMap),
    (request_time, response_time): (Timestamp, Timestamp),
) -> Result<Arc<StoredResponse>, Unshared> {
    let heads: Vec<&StoredHead> = plan.validating.iter().map(|stored| &stored.head).collect();
    let selected = validation::select_for_update(fields, &plan.client_fields, &heads);
    let (mut newest, mut unshared) = (None, Unshared::NothingToFreshen);
    for index in selected {
        let Some(stored) = plan.validating.get(index) else { continue };
        let looked = room.stamps.newest();
        // A 304 never revives what died meanwhile, and its stamp stays the one of the content's own
        // fetch, so that nothing later revives it either.
        if room.is_withdrawn(filling.key.as_bytes(), stored) {
            continue;
        }
        let times = (request_time, response_time);
        let fresh =
            validation::freshen(&stored.head, fields, times, &plan.client_fields, plan.policy());
        let (head, withdrawn) = match fresh {
            Ok(head) => (head, None),
            Err(withdrawn) => (*withdrawn.head, Some(withdrawn.why)),
        };
        let head = validated(filling, plan, said, head);
        let Some(fresh) = with_head(room, stored, head) else { continue };
        match withdrawn {
            None => keep_fresh(room, filling, (stored, &fresh), looked),
            Some(why) => {
                // The origin has withdrawn its leave to store it, or this request does not give
                // its own: then what is stored stays as it was. Either way it is for the leader.
                if why.of_response() && !serves(room, filling, stored, response_time) {
                    room.tier.remove(&filling.key, stored);
                }
                let mut validated = plan.private.validated.lock();
                if validated.is_none() {
                    (*validated, unshared) = (Some(fresh), Unshared::Withdrawn(why));
                }
                continue;
            }
        }
        newest.get_or_insert(fresh);
    }
    newest.ok_or(unshared)
}

/// The answer to a HEAD: what is stored for the same request is freshened, or shown to be out of date
/// (RFC 9111 §4.3.5); the latter, while it is fresh, only by an answer that is `for_all`.
pub(super) fn freshen_by_head(
    room: &FillRoom,
    filling: &Filling,
    plan: &FillPlan,
    (status, fields, said): (StatusCode, &HeaderMap, &HeaderMap),
    times: (Timestamp, Timestamp),
    for_all: bool,
) -> Option<Arc<StoredResponse>> {
    let mut newest = None;
    for stored in &plan.validating {
        let looked = room.stamps.newest();
        if room.is_withdrawn(filling.key.as_bytes(), stored)
            || !stored.head.vary.matches(&plan.client_fields)
        {
            continue;
        }
        let (head, answer, asked) = (&stored.head, (status, fields), &plan.client_fields);
        match validation::freshen_by_head(head, answer, times, asked, plan.policy()) {
            HeadFreshen::Update(head) => {
                let head = validated(filling, plan, said, *head);
                let Some(fresh) = with_head(room, stored, head) else { continue };
                keep_fresh(room, filling, (stored, &fresh), looked);
                newest.get_or_insert(fresh);
            }
            HeadFreshen::Invalidate if for_all || !serves(room, filling, stored, times.1) => {
                room.tier.remove(&filling.key, stored);
            }
            HeadFreshen::Invalidate | HeadFreshen::Ignore => {}
        }
    }
    newest
}

/// A full answer that is not stored in their place: what was validated is not to be used any more,
/// stale or not, as far as it would have answered the same request (RFC 9111 §4.3.3).
pub(super) fn retire(room: &FillRoom, filling: &Filling, plan: &FillPlan) {
    for stored in &plan.validating {
        if stored.head.vary.matches(&plan.client_fields) {
            room.tier.remove(&filling.key, stored);
        }
    }
}

/// The same for an answer that is for its client alone: what is fresh stays, or any client whose own
/// fields bring such an answer (a session's cookie) could take it from all others.
pub(super) fn retire_stale(room: &FillRoom, filling: &Filling, plan: &FillPlan, now: Timestamp) {
    for stored in &plan.validating {
        if !serves(room, filling, stored, now) && stored.head.vary.matches(&plan.client_fields) {
            room.tier.remove(&filling.key, stored);
        }
    }
}

/// Whether something that was validated goes on to answer requests like this one without the origin.
pub(super) fn still_serves(
    room: &FillRoom,
    filling: &Filling,
    plan: &FillPlan,
    now: Timestamp,
) -> bool {
    let mut alike = plan.validating.iter().filter(|of| of.head.vary.matches(&plan.client_fields));
    alike.any(|stored| serves(room, filling, stored, now))
}

fn serves(room: &FillRoom, filling: &Filling, stored: &StoredResponse, now: Timestamp) -> bool {
    let is_dead = room.stamps.death(filling.key.as_bytes(), stored).is_some();
    let freshness = stored.freshness();
    !is_dead && freshness.is_fresh(now) && !freshness.no_cache
}

/// A head that the origin has just vouched for, with the tags that it has `said`.
fn validated(filling: &Filling, plan: &FillPlan, said: &HeaderMap, head: StoredHead) -> StoredHead {
    let tags = head.tags.updated(said, plan.limits.tags);
    StoredHead { validated: filling.stamp, tags, ..head }
}

/// The same for the answer to a HEAD: what it repeats is not out of date (RFC 9111 §4.3.5).
pub(super) fn retire_by_head(
    room: &FillRoom,
    filling: &Filling,
    plan: &FillPlan,
    answer: (StatusCode, &HeaderMap),
) {
    for stored in &plan.validating {
        if stored.head.vary.matches(&plan.client_fields)
            && !validation::says_the_same(&stored.head, answer)
        {
            room.tier.remove(&filling.key, stored);
        }
    }
}

/// The content of `stored` under another head, which the law has made of its own, stamp and all.
fn with_head(
    room: &FillRoom,
    stored: &StoredResponse,
    head: StoredHead,
) -> Option<Arc<StoredResponse>> {
    let charge = room.reserve(head_bytes(&head))?;
    Some(Arc::new(StoredResponse::new(head, stored.body.clone(), charge)))
}

/// Puts a freshened response where the old one was. A 304 may have selected another variant than
/// the request's: then both requests are answered by it from now on (RFC 9111 §4.3.4).
fn keep_fresh(
    room: &FillRoom,
    filling: &Filling,
    (stored, fresh): (&Arc<StoredResponse>, &Arc<StoredResponse>),
    looked: u64,
) {
    if fresh.head.vary.same_variant(&stored.head.vary) {
        room.replace(&filling.key, (stored, fresh), looked);
    } else {
        let head = StoredHead { vary: stored.head.vary.clone(), ..fresh.head.clone() };
        let stays = with_head(room, stored, head)
            .is_none_or(|old| room.replace(&filling.key, (stored, &old), looked));
        // What struck the one means the other as well: they have their content in common.
        if stays {
            room.insert(&filling.key, fresh);
        }
    }
    room.uncacheable.invalidate(&room.fingerprint(filling.key.as_bytes()));
}

#[cfg(test)]
mod tests;
