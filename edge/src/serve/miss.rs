//! GET or HEAD that the store cannot answer: lead a filling or join one, and answer from what it
//! brings.
//!
//! In: a request, why it goes forward, what is stored. Out: an answer.
//! Always holds: whoever waits is woken by the filling, never by time; a filling that does not
//! suit (another variant, a response for its leader alone, a failure) sends each follower on its
//! own way, at most [`ROUNDS_MAX`] times, the last time alone.
//! What one filling brought is [`step`]'s to answer.

use std::{borrow::Cow, sync::Arc};

use edge_core::{
    balance::hash,
    directives::{RequestDirectives, ResponseDirectives},
    forward,
    key::VaryKey,
    outcome::{ForwardReason, Outcome, Verdict},
    range,
    reuse::{self, Failure},
    storable::StoredHead,
    validation,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use super::{
    Ask, Hall, Judged, answer, outward,
    step::{self, Step},
};
use crate::{
    body::ServeBody,
    fetch::{
        FetchError,
        filling::{self, FillPlan},
        pool::OriginRequest,
        slot::PrivateSlot,
        table::{Place, Stage, Ticket, Want},
    },
    record::Record,
    store::StoredResponse,
};

/// Fillings that one request leads or joins before it is answered one way or the other.
const ROUNDS_MAX: u32 = 4;

/// Answers a GET or HEAD by way of a filling.
pub(super) async fn get(
    hall: &Arc<Hall>,
    ask: Ask,
    reason: ForwardReason,
    judged: Judged,
    record: Box<Record>,
) -> Response<ServeBody> {
    // Asked once: it may change at any moment, and who forwards its own conditions must be alone.
    let validating = validates(reason, &judged);
    let uncacheable = hall.room.is_uncacheable(&ask.key);
    let mut round = Round {
        alone: uncacheable || is_private(&ask) || is_for_one(hall, &ask, &judged),
        as_asked: uncacheable || is_head(&ask) && !validating,
        validating,
        led: false,
        unshared: 0,
        forwarded: false,
        range: None,
        presumed: None,
    };
    let mut record = Some(record);
    if ask.entry.pool.is_down() {
        note(&mut record, Outcome { hit: true, ..Outcome::default() });
        let failure = Failure::Unreachable;
        if let Some(response) = step::stale(hall, &ask, &judged, failure, &mut record) {
            // Every server has just failed: nobody waits for the next failure, one look is enough.
            refresh(hall, &ask, &judged);
            return response;
        }
    }
    // What is recorded of a client that leaves while it waits.
    note(&mut record, Outcome { forward: Some(reason), ..Outcome::default() });
    for left in (0..ROUNDS_MAX).rev() {
        round.alone |= left == 0;
        // The last round takes what comes: a 304 that nothing stored answers to would be nothing.
        round.validating &= left > 0;
        let (ticket, slot) = enter(hall, &ask, &mut round, &judged);
        let stage = settled(&ticket).await;
        let now = hall.room.clock.now();
        let Some(held) = record.as_mut() else { break };
        held.now = now;
        held.outcome = Outcome {
            forward: Some(reason),
            collapsed: !round.led,
            detail: judged.gone,
            ..Outcome::default()
        };
        let step = match stage {
            Stage::Waiting => Step::Again,
            Stage::Shared { head, body, stored } => {
                let told = (&*head, &body, stored, &*slot);
                step::share(hall, &ask, told, ticket, &mut round, &mut record)
            }
            Stage::Stored(response) => {
                let first = left + 1 == ROUNDS_MAX;
                step::stored(hall, &ask, (&response, first), &mut round, &mut record)
            }
            Stage::Fresh(response, status) => {
                step::fresh(hall, &ask, (&response, status, &slot), &mut round, &mut record)
            }
            Stage::Private { status, why } => {
                let told = (status, why, &*slot, &**ticket.filling());
                step::private(hall, &ask, told, &judged, &mut round, &mut record)
            }
            Stage::Failed(error) => {
                step::failed(hall, &ask, (&error, left), &judged, &round, &mut record)
            }
        };
        match step {
            Step::Done(response) => return *response,
            Step::Again => {}
        }
    }
    give_up(hall, record)
}

fn note(record: &mut Option<Box<Record>>, outcome: Outcome) {
    if let Some(record) = record {
        record.outcome = outcome;
    }
}

/// What one request may do in its next round.
pub(super) struct Round {
    /// It leads a filling that nobody joins.
    pub(super) alone: bool,
    /// It forwards the client's own conditions and ranges as they are.
    pub(super) as_asked: bool,
    /// It validates what is stored.
    pub(super) validating: bool,
    /// It led the filling of this round.
    pub(super) led: bool,
    /// Responses that were for their leaders alone, and were themselves the reason.
    pub(super) unshared: u32,
    /// Some round of it has asked the origin.
    pub(super) forwarded: bool,
    /// The Range that it would forward in this round.
    pub(super) range: Option<HeaderValue>,
    /// The variant that it will probably get, by the Vary of one that did not suit.
    pub(super) presumed: Option<VaryKey>,
}

/// Refreshes a stale response in the background, unless somebody does already.
///
/// The request that goes out is our own: the client's directives are no word on it. Its Authorization
/// is, for without it the origin would answer something else: nobody joins such a refresh, and it
/// goes out only where its response might be stored (RFC 9111 §3.5), or it would take the place of
/// one that helps.
pub(super) fn refresh(hall: &Arc<Hall>, ask: &Ask, judged: &Judged) {
    let authorized = ask.head.headers.contains_key(header::AUTHORIZATION);
    if authorized && !judged.selected.as_ref().is_some_and(|stored| is_for_all(ask, stored)) {
        return;
    }
    if !hall.room.may_refresh(ask.key.as_bytes(), hall.room.clock.now()) {
        return;
    }
    let mut ask = Cow::Borrowed(ask);
    let directed = |name| ask.head.headers.contains_key(name);
    if directed(header::CACHE_CONTROL) || directed(header::PRAGMA) {
        let own = ask.to_mut();
        own.head.headers.remove(header::CACHE_CONTROL);
        own.head.headers.remove(header::PRAGMA);
        own.directives = RequestDirectives::NONE;
    }
    let want = Want {
        key: &ask.key,
        fields: &ask.head.headers,
        range: None,
        ahead_max: 0,
        head: false,
        presumed: None,
        usable: &|_| true,
    };
    let (table, stamps) = (&hall.room.table, &hall.room.stamps);
    let place = if authorized {
        Place::Lead(table.lead_alone(want, stamps))
    } else {
        table.join_or_lead(want, stamps)
    };
    if let Place::Lead(ticket) = place {
        let round = Round {
            alone: authorized,
            as_asked: false,
            validating: true,
            led: true,
            unshared: 0,
            forwarded: false,
            range: None,
            presumed: None,
        };
        start(hall, &ask, ticket.filling(), &round, judged, None);
    }
}

/// Whether a response like the stored one may be stored on the account of a request with
/// Authorization (RFC 9111 §3.5).
fn is_for_all(ask: &Ask, stored: &StoredResponse) -> bool {
    let directives = ResponseDirectives::parse(&stored.head.fields, &ask.policy().targeted_fields);
    directives.public || directives.must_revalidate || directives.s_maxage.is_some()
}

/// RFC 9111 §3.5 and §5.2.1.5: responses to such requests are not shared while they come.
fn is_private(ask: &Ask) -> bool {
    ask.directives.no_store || ask.head.headers.contains_key(header::AUTHORIZATION)
}

/// Whether nobody else may have what this request brings, so that nobody should wait for it: each
/// request has to validate what is stored for itself (RFC 9111 §5.2.2.4), or nothing is stored that
/// a HEAD could freshen.
fn is_for_one(hall: &Hall, ask: &Ask, judged: &Judged) -> bool {
    // What somebody else has asked for before may have been purged since, and nobody here knows.
    if !hall.room.is_vouched_for(ask.now) {
        return true;
    }
    match &judged.selected {
        Some(stored) => stored.head.freshness.no_cache,
        None => is_head(ask),
    }
}

fn is_head(ask: &Ask) -> bool {
    ask.head.method == Method::HEAD
}

/// Whether what is stored is validated rather than fetched anew.
fn validates(reason: ForwardReason, judged: &Judged) -> bool {
    match reason {
        ForwardReason::Stale | ForwardReason::Request | ForwardReason::VaryMiss => {
            !judged.all.is_empty()
        }
        ForwardReason::Bypass
        | ForwardReason::Method
        | ForwardReason::UriMiss
        | ForwardReason::Miss
        | ForwardReason::Partial => false,
    }
}

/// Takes a place in a filling and, if it is the leader's, starts it.
fn enter(
    hall: &Arc<Hall>,
    ask: &Ask,
    round: &mut Round,
    judged: &Judged,
) -> (Ticket, Arc<PrivateSlot>) {
    let range = forwarded_range(ask, round, judged);
    round.range = range.cloned();
    if let (None, Some(stored)) = (&round.presumed, judged.all.first()) {
        round.presumed = stored.head.vary.for_request(&ask.head.headers);
        // What is too long to be kept as a variant is for nobody else: nobody should wait for it.
        round.alone |= round.presumed.is_none();
    }
    let presumed = round.presumed.clone();
    let now = hall.room.clock.now();
    let usable = |head: &StoredHead| {
        let verdict = reuse::judge(head, &ask.view(), ask.policy(), now);
        matches!(verdict, Verdict::Hit | Verdict::HitStale { .. })
    };
    let want = Want {
        key: &ask.key,
        fields: &ask.head.headers,
        range,
        ahead_max: ask.snapshot.edge.fill.window_bytes as u64,
        head: is_head(ask),
        presumed,
        usable: &usable,
    };
    let table = &hall.room.table;
    let place = if round.alone {
        Place::Lead(table.lead_alone(want, &hall.room.stamps))
    } else {
        table.join_or_lead(want, &hall.room.stamps)
    };
    let slot = Arc::new(PrivateSlot::default());
    match place {
        Place::Lead(ticket) => {
            if let Some(stored) = just_stored(hall, ask, round) {
                table.abandon(ticket.filling(), Stage::Stored(stored));
                return (ticket, slot);
            }
            round.led = true;
            round.forwarded = true;
            start(hall, ask, ticket.filling(), round, judged, Some(Arc::clone(&slot)));
            (ticket, slot)
        }
        Place::Join(ticket) => {
            round.led = false;
            (ticket, slot)
        }
    }
}

/// What a filling stored between this request's look into the store and its place in the table:
/// a filling is stored before it leaves the table, so a second look after taking the place misses
/// none, and the origin is asked once.
fn just_stored(hall: &Hall, ask: &Ask, round: &Round) -> Option<Arc<StoredResponse>> {
    if round.alone {
        return None;
    }
    let now = hall.room.clock.now();
    let judged = hall.judge(ask.key.as_bytes(), &ask.view(), ask.policy(), now);
    let hit = judged.part.is_none() && matches!(judged.verdict, Verdict::Hit);
    judged.selected.filter(|_| hit)
}

/// The Range that a miss forwards; a validation asks for the whole.
fn forwarded_range<'a>(ask: &'a Ask, round: &Round, judged: &Judged) -> Option<&'a HeaderValue> {
    // Range is defined for GET alone (RFC 9110 §14.2).
    if round.validating || judged.selected.is_some() || is_head(ask) {
        return None;
    }
    // Its If-Range goes along: the origin knows whether that holds (RFC 9110 §13.1.5).
    ask.head.headers.get(header::RANGE).filter(|_| is_range_in_order(ask))
}

/// Takes a Range out that may not be forwarded, with the condition on it.
pub(super) fn drop_range_flood(ask: &Ask, fields: &mut HeaderMap) {
    if !is_range_in_order(ask) {
        fields.remove(header::RANGE);
        fields.remove(header::IF_RANGE);
    }
}

/// Whether the request's Range may be forwarded: several lines of it are no Range, and a flood is
/// answered with the whole, by the origin as well (RFC 9110 §14.2, §17.15).
fn is_range_in_order(ask: &Ask) -> bool {
    let ranges_max = ask.snapshot.edge.ranges_max;
    range::of(&ask.head.headers).is_some_and(|wanted| range::may_be_asked(wanted, ranges_max))
}

/// Starts the forward on the fills runtime; without a slot for its leader it is a refresh in the
/// background.
fn start(
    hall: &Arc<Hall>,
    ask: &Ask,
    filling: &Arc<crate::fetch::table::Filling>,
    round: &Round,
    judged: &Judged,
    slot: Option<Arc<PrivateSlot>>,
) {
    let mut fields = outward::forwarded_fields(hall, ask);
    let mut validating = Vec::new();
    if round.as_asked {
        drop_range_flood(ask, &mut fields);
    } else {
        fields = match &filling.range {
            Some(_) => forward::for_range_filling(fields),
            None => forward::for_filling(fields),
        };
        if round.validating {
            validating.clone_from(&judged.all);
            let heads: Vec<_> = validating.iter().map(|stored| &stored.head).collect();
            for (name, value) in &validation::conditional_forward(&ask.head.headers, &heads) {
                fields.insert(name, value.clone());
            }
        }
    }
    // Of a part as well: min-fresh is heard once a second, however little of the response is stored.
    if judged.selected.is_some() || judged.verdict == Verdict::Forward(ForwardReason::Partial) {
        hall.room.note_asked(ask.key.as_bytes(), hall.room.clock.now());
    }
    let stale_on_error = judged.selected.as_ref().is_some_and(|stored| {
        let failure = Failure::Status(StatusCode::SERVICE_UNAVAILABLE);
        let (head, freshness) = (&stored.head, hall.freshness(stored, ask.now));
        reuse::stale_after_failure(head, &freshness, &ask.view(), failure, ask.policy(), ask.now)
    });
    let plan = FillPlan {
        site: Arc::clone(&ask.entry.site),
        pool: Arc::clone(&ask.entry.pool),
        path: ask.head.uri.path().to_owned(),
        target: outward::target_uri(ask),
        client_fields: ask.head.headers.clone(),
        validating,
        stale_on_error,
        background: slot.is_none(),
        private: slot.unwrap_or_default(),
        limits: ask.snapshot.edge.fill,
    };
    let request = OriginRequest {
        // Not always the client's: HEAD may lead a refresh, and it is a GET's response that is
        // stored.
        method: if filling.head { Method::HEAD } else { Method::GET },
        target: ask.origin_target.clone(),
        fields,
        client_host: ask.host.clone(),
        content: None,
        key: hash::key_of(filling.key.as_bytes()),
        interim: outward::on_interim(ask),
    };
    let running = filling::run(Arc::clone(&hall.room), Arc::clone(filling), plan, request);
    // Detached on purpose: a client that goes away must not end what others wait for. It ends by
    // the origin's deadlines, or as an orphan.
    hall.fills.spawn(running);
}

/// Waits until the filling has a head, or will have none.
pub(super) async fn settled(ticket: &Ticket) -> Stage {
    let mut watch = ticket.filling().watch();
    match watch.wait_for(|stage| !matches!(stage, Stage::Waiting)).await {
        Ok(stage) => stage.clone(),
        // The filling holds its own sender; it cannot be gone while we hold the filling.
        Err(_closed) => Stage::Waiting,
    }
}

fn give_up(hall: &Hall, record: Option<Box<Record>>) -> Response<ServeBody> {
    // The last round leads alone, and a leader is always answered; should that ever not hold, the
    // client gets an error rather than nothing.
    debug_assert!(false, "a request ran out of rounds");
    let error =
        FetchError::Broken { server: String::new(), reason: "no filling suited".to_owned() };
    match record {
        Some(record) => answer::failed(hall, record, &error),
        None => Response::new(ServeBody::ended()),
    }
}
