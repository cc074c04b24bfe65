//! What one filling brought: an answer, or another round.
//!
//! In: a request that led a filling or waited for it, and the stage that it came to. Out: a [`Step`].
//! Always holds: stale content stands in for a failure only where the law allows it; a response for
//! its leader alone goes to nobody else; whoever did not lead gets only what it might be given had
//! it been stored before (RFC 9111 §4).
//! It knows neither the table of fillings nor how a forward is sent.

use std::sync::Arc;

use edge_core::{
    freshness::Freshness,
    outcome::{Detail, Outcome, Verdict},
    reuse::{self, Failure},
    storable::StoredHead,
    time::Timestamp,
};
use http::{Response, StatusCode};

use super::{Ask, Hall, Judged, answer, miss::Round};
use crate::{
    body::ServeBody,
    fetch::{
        FetchError,
        slot::PrivateSlot,
        table::{Filling, Keeping, Ticket, Unshared, is_near, range_of_whole},
    },
    record::Record,
    store::{StoredResponse, shared::SharedBody},
};

/// What becomes of a request after a round.
pub(super) enum Step {
    /// It is answered.
    Done(Box<Response<ServeBody>>),
    /// It leads or joins another filling.
    Again,
}

impl Step {
    fn done(response: Response<ServeBody>) -> Self {
        Self::Done(Box::new(response))
    }
}

/// A response that others may have comes in: it is streamed on.
pub(super) fn share(
    hall: &Hall,
    ask: &Ask,
    (head, body, keeping, slot): (&StoredHead, &Arc<SharedBody>, Keeping, &PrivateSlot),
    ticket: Ticket,
    round: &mut Round,
    record: &mut Option<Box<Record>>,
) -> Step {
    // Whoever waited is served nothing that was purged meanwhile, fresh or not; the next is newer.
    let key = ask.key.as_bytes();
    if !round.led && hall.room.stamps.is_overtaken(key, &head.tags, head.stamp) {
        return Step::Again;
    }
    if !may_have(ask, (head, &head.freshness), round, record) {
        return Step::Again;
    }
    // A window passes a range on with everything before it, and a whole may take its time: who has
    // only waited asks for the range itself.
    let ahead_max = ask.snapshot.edge.fill.window_bytes as u64;
    let stored = keeping == Keeping::Stored;
    let range = range_of_whole(round.range.as_ref(), &ask.head.headers, head);
    let near = is_near(range, head, body, ahead_max);
    if !round.led && range.is_some() && ticket.filling().range.is_none() && !(near && stored) {
        return Step::Again;
    }
    if let Some(record) = record {
        record.outcome.forward_status = Some(head.status);
        record.outcome.stored = stored && round.led;
        record.outcome.ttl = Some(head.freshness.ttl(record.now));
        record.outcome.detail = unstored(keeping).or(record.outcome.detail);
    }
    let key = ask.snapshot.edge.cache_status_key.then_some(&ask.key);
    let from = (head, body, ticket);
    match answer::following(hall, &ask.snapshot, &ask.head, from, (key, record)) {
        Some(mut response) => {
            slot.add_withheld(response.headers_mut());
            Step::done(response)
        }
        None => {
            // A window has moved on: its start is gone for us.
            round.alone = true;
            Step::Again
        }
    }
}

/// Why a response is passed on and not stored, in the words of Cache-Status.
pub(super) fn unstored(keeping: Keeping) -> Option<Detail> {
    match keeping {
        Keeping::Stored => None,
        Keeping::TooLarge => Some(Detail::Window),
        Keeping::NoMemory => Some(Detail::Memory),
    }
}

/// Whether the request may be answered by what came; if not, how it goes on.
///
/// Who led asked the origin for it. Who only waited was not forwarded: RFC 9111 §4 lets requests
/// collapse only where the response may be reused for them, which no-cache and a response that is
/// stale when it arrives forbid (§4.2.4, §5.2.2.4). The next one would be no better, so it goes
/// alone.
fn may_have(
    ask: &Ask,
    (head, freshness): (&StoredHead, &Freshness),
    round: &mut Round,
    record: &Option<Box<Record>>,
) -> bool {
    if round.led {
        return true;
    }
    if !head.vary.matches(&ask.head.headers) {
        round.presumed = head.vary.for_request(&ask.head.headers);
        // What is too long to be kept as a variant is for nobody else.
        round.alone |= round.presumed.is_none();
        return false;
    }
    let now = record.as_ref().map_or(ask.now, |record| record.now);
    let verdict = reuse::judge_as(head, freshness, &ask.view(), ask.policy(), now);
    let reusable = matches!(verdict, Verdict::Hit | Verdict::HitStale { .. });
    round.alone |= !reusable;
    reusable
}

/// The same for something that is stored: what was purged since is not there any more.
fn may_have_stored(
    hall: &Hall,
    ask: &Ask,
    stored: &StoredResponse,
    round: &mut Round,
    record: &Option<Box<Record>>,
) -> bool {
    let is_dead = || hall.room.stamps.death(ask.key.as_bytes(), stored).is_some();
    if !round.led && is_dead() {
        return false;
    }
    may_have(ask, (&stored.head, &stored.freshness()), round, record)
}

/// What was stored between this request's look into the store and its place in the table.
pub(super) fn stored(
    hall: &Hall,
    ask: &Ask,
    (response, first): (&Arc<StoredResponse>, bool),
    round: &mut Round,
    record: &mut Option<Box<Record>>,
) -> Step {
    if !may_have_stored(hall, ask, response, round, record) {
        return Step::Again;
    }
    let Some(mut record) = record.take() else { return Step::Again };
    // RFC 9211 §2.1: a hit is a request that was not forwarded. One that waited for somebody else's
    // forward in an earlier round was collapsed with it, whatever came of that.
    record.outcome.hit = first;
    record.outcome.collapsed = !first && !round.forwarded;
    if first {
        record.outcome.forward = None;
        record.outcome.detail = None;
    }
    record.outcome.ttl = Some(response.freshness().ttl(record.now));
    let key = ask.snapshot.edge.cache_status_key.then_some(&ask.key);
    let from = answer::Stored { response, part: None, key };
    Step::done(answer::from_stored(hall, &ask.snapshot, &ask.head, from, record))
}

/// A validation has succeeded.
pub(super) fn fresh(
    hall: &Hall,
    ask: &Ask,
    (response, status, slot): (&Arc<StoredResponse>, StatusCode, &PrivateSlot),
    round: &mut Round,
    record: &mut Option<Box<Record>>,
) -> Step {
    if !may_have_stored(hall, ask, response, round, record) {
        return Step::Again;
    }
    let Some(mut record) = record.take() else { return Step::Again };
    record.outcome.forward_status = Some(status);
    record.outcome.ttl = Some(response.freshness().ttl(record.now));
    let key = ask.snapshot.edge.cache_status_key.then_some(&ask.key);
    let from = answer::Stored { response, part: None, key };
    let mut answered = answer::from_stored(hall, &ask.snapshot, &ask.head, from, record);
    slot.add_withheld(answered.headers_mut());
    Step::done(answered)
}

/// A response is for its leader alone.
pub(super) fn private(
    hall: &Hall,
    ask: &Ask,
    (status, why, slot, filling): (StatusCode, Unshared, &PrivateSlot, &Filling),
    judged: &Judged,
    round: &mut Round,
    record: &mut Option<Box<Record>>,
) -> Step {
    if why == Unshared::FailedValidation
        && let Some(response) = stale(hall, ask, judged, Failure::Status(status), record)
    {
        return Step::done(response);
    }
    if why == Unshared::NothingToFreshen {
        round.validating = false;
        return Step::Again;
    }
    if let Some(validated) = slot.take_validated() {
        return fresh(hall, ask, (&validated, status, slot), round, record);
    }
    let Some(response) = slot.take() else {
        // Not ours to have: go alone, at once, if the next one would be for its leader as well.
        // One bad answer may be its own client's doing, so the crowd stays together once; by the
        // second the key is like that. Who waited for a part asks for the very same one.
        round.unshared += u32::from(why.of_response() || why.of_range());
        let of_ours = why.of_resource(status) || filling.range.is_some() && why.of_range();
        let is_alike = of_ours || round.unshared > 1;
        round.alone |= is_alike || why == Unshared::Head;
        return Step::Again;
    };
    let Some(mut record) = record.take() else { return Step::Again };
    record.outcome.forward_status = Some(status);
    let uncacheable = why.of_response().then_some(Detail::Uncacheable);
    record.outcome.detail = uncacheable.or(record.outcome.detail);
    let key = ask.snapshot.edge.cache_status_key.then_some(&ask.key);
    Step::done(answer::passed_on(hall, response, (key, record)))
}

/// The forward has failed.
pub(super) fn failed(
    hall: &Hall,
    ask: &Ask,
    (error, left): (&FetchError, u32),
    judged: &Judged,
    round: &Round,
    record: &mut Option<Box<Record>>,
) -> Step {
    if let Some(response) = stale(hall, ask, judged, Failure::Unreachable, record) {
        return Step::done(response);
    }
    // A failed filling hands over to the next follower, whose own first try this is; the others
    // follow that one.
    if !round.led && left > 1 && error.blames_server() {
        return Step::Again;
    }
    let Some(mut record) = record.take() else { return Step::Again };
    let bound = |stored: &Arc<StoredResponse>| {
        stored.head.freshness.must_revalidate || !hall.room.is_vouched_for(record.now)
    };
    record.outcome.detail = Some(if judged.selected.as_ref().is_some_and(bound) {
        Detail::MustRevalidate
    } else {
        answer::detail_of(error)
    });
    Step::done(answer::failed(hall, record, error))
}

/// No memory is left to have the request wait for its origin: what is stored stands in, where the law
/// allows it, as for an origin that cannot be reached.
pub(super) fn crowded_out(
    hall: &Hall,
    ask: &Ask,
    judged: &Judged,
    mut record: Box<Record>,
) -> Response<ServeBody> {
    record.outcome = Outcome { hit: true, ..Outcome::default() };
    let mut held = Some(record);
    let instead_of = (Failure::Unreachable, Detail::Memory);
    if let Some(response) = stand_in(hall, ask, judged, instead_of, &mut held) {
        return response;
    }
    match held {
        Some(record) => answer::crowded_out(hall, record),
        None => Response::new(ServeBody::ended()),
    }
}

/// What is stored, stale, in place of a failure, where the law allows it.
pub(super) fn stale(
    hall: &Hall,
    ask: &Ask,
    judged: &Judged,
    failure: Failure,
    record: &mut Option<Box<Record>>,
) -> Option<Response<ServeBody>> {
    stand_in(hall, ask, judged, (failure, Detail::StaleOnFailure), record)
}

fn stands_in(
    hall: &Hall,
    ask: &Ask,
    stored: &StoredResponse,
    (failure, now): (Failure, Timestamp),
) -> bool {
    let (head, freshness) = (&stored.head, hall.freshness(stored, now));
    reuse::stale_after_failure(head, &freshness, &ask.view(), failure, ask.policy(), now)
}

fn stand_in(
    hall: &Hall,
    ask: &Ask,
    judged: &Judged,
    (failure, detail): (Failure, Detail),
    record: &mut Option<Box<Record>>,
) -> Option<Response<ServeBody>> {
    let stored = judged.selected.as_ref()?;
    let now = record.as_ref()?.now;
    // In this order, since it is by the first that a soft purge is noticed.
    let is_gone = hall.room.is_withdrawn(ask.key.as_bytes(), stored);
    if is_gone || !stands_in(hall, ask, stored, (failure, now)) {
        return None;
    }
    let mut record = record.take()?;
    record.outcome.forward_status = match failure {
        Failure::Status(status) => Some(status),
        Failure::Unreachable => None,
    };
    record.outcome.ttl = Some(stored.freshness().ttl(now));
    record.outcome.detail = Some(detail);
    let key = ask.snapshot.edge.cache_status_key.then_some(&ask.key);
    let from = answer::Stored { response: stored, part: judged.part, key };
    Some(answer::from_stored(hall, &ask.snapshot, &ask.head, from, record))
}
