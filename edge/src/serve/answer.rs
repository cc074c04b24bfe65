//! The answer's head and content, out of what the hallway decided.
//!
//! In: a stored response, a filling's head, an error. Out: a response for hyper.
//! Always holds: every answer out of a stored or forwarded response carries one Cache-Status member
//! of ours, written from the outcome that is logged and counted; an answer of our own making carries
//! none (RFC 9211 §2 lets a cache speak of those only that are based upon a stored response), but is
//! logged and counted with its outcome all the same; an error says a status and a request id and
//! nothing internal.
//! It decides nothing about caching.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use edge_core::{
    key::CacheKey,
    outcome::{Detail, Outcome, Refusal},
    range::{ContentRange, Multipart, Span},
    respond::{self, Answer},
    storable::StoredHead,
    time::Timestamp,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version, header, request};
use hyper::ext::ReasonPhrase;
use tokio::time::Instant;

use super::{Connection, Hall, Head, record};
use crate::{
    body::{Content, Parts, Passing, Piece, ServeBody},
    fetch::{FetchError, response::OriginBody, room::WINDOW_BYTES_MIN, table::Ticket},
    record::Record,
    snapshot::Snapshot,
    store::{CACHE_STATUS, StoredBody, StoredResponse, shared::SharedBody},
    wire,
};

/// What passing a response on may have queued for the client.
const PASSING_BYTES: usize = WINDOW_BYTES_MIN;

/// A stored response that answers.
pub(super) struct Stored<'a> {
    /// It.
    pub(super) response: &'a Arc<StoredResponse>,
    /// The span wanted of it, if it is itself a part.
    pub(super) part: Option<Span>,
    /// The key, if Cache-Status is to say it.
    pub(super) key: Option<&'a CacheKey>,
}

/// A hit: the outcome is the hit's own.
pub(super) fn stored(
    hall: &Hall,
    snapshot: &Snapshot,
    head: &request::Parts,
    from: Stored<'_>,
    mut record: Box<Record>,
) -> Response<ServeBody> {
    let ttl = from.response.freshness().ttl(record.now);
    record.outcome = Outcome { hit: true, ttl: Some(ttl), ..record.outcome };
    from_stored(hall, snapshot, head, from, record)
}

/// Stored content with the outcome that the record holds.
pub(super) fn from_stored(
    hall: &Hall,
    snapshot: &Snapshot,
    head: &request::Parts,
    Stored { response, part, key }: Stored<'_>,
    record: Box<Record>,
) -> Response<ServeBody> {
    response.mark_used(record.now);
    let (stored, body) = (&response.head, &response.body);
    let ranges_max = snapshot.edge.ranges_max;
    let answer =
        respond::decide(&head.method, &head.headers, stored, Some(body.length()), ranges_max);
    // The conditions come first, for a part as well (RFC 9110 §13.2.2); the ranges of its
    // representation are not `decide`'s, which leaves a stored part as it is.
    if let (Some(span), Some(held), Answer::Whole) = (part, stored.range, &answer) {
        return part_of_part(hall, stored, body, (span, held), (key, record));
    }
    let (status, mut fields) = if record.outcome.hit {
        respond::head(stored, &answer, record.now, &head.method)
    } else {
        respond::head_from_origin(stored, &answer, record.now, &head.method)
    };
    let content = if head.method == Method::HEAD {
        Content::Empty
    } else {
        match answer {
            Answer::Whole => Content::Stored(body.reader()),
            Answer::Part(span) => Content::Stored(body.reader_of(span)),
            Answer::Parts(spans) => Content::Parts(multipart(body, spans, &mut fields)),
            Answer::NotModified | Answer::PreconditionFailed | Answer::NotSatisfiable => {
                Content::Empty
            }
        }
    };
    finish(hall, status, fields, content, (key, record))
}

/// A span of a stored part: its ends are counted from the representation's first byte.
fn part_of_part(
    hall: &Hall,
    stored: &StoredHead,
    body: &StoredBody,
    (span, held): (Span, ContentRange),
    told: (Option<&CacheKey>, Box<Record>),
) -> Response<ServeBody> {
    let (_, mut fields) = respond::head(stored, &Answer::Whole, told.1.now, &Method::GET);
    let range = ContentRange { first: span.first, last: span.last, complete: held.complete };
    fields.insert(header::CONTENT_RANGE, range.to_value());
    fields.insert(header::CONTENT_LENGTH, HeaderValue::from(span.length()));
    let within = Span {
        first: span.first.saturating_sub(held.first),
        last: span.last.saturating_sub(held.first),
    };
    let content = Content::Stored(body.reader_of(within));
    finish(hall, StatusCode::PARTIAL_CONTENT, fields, content, told)
}

/// RFC 9110 §14.6. The boundary only has to be absent from the content, which 128 random bits are.
fn multipart(body: &StoredBody, spans: Vec<Span>, fields: &mut HeaderMap) -> Parts {
    let boundary = format!("{:032x}", rand::random::<u128>());
    let content_type = fields.get(header::CONTENT_TYPE).cloned();
    let parts = Multipart::new(boundary, content_type, spans, body.length());
    parts.describe(fields);
    let mut pieces = VecDeque::new();
    for (index, span) in parts.spans().iter().enumerate() {
        pieces.push_back(Piece::Text(parts.part_head(index)));
        pieces.push_back(Piece::Stored(body.reader_of(*span)));
    }
    pieces.push_back(Piece::Text(parts.closing()));
    Parts::new(pieces)
}

/// Content that a filling brings; `None` when its start is no longer held.
pub(super) fn following(
    hall: &Hall,
    snapshot: &Snapshot,
    head: &request::Parts,
    (stored, body, mut ticket): (&StoredHead, &Arc<SharedBody>, Ticket),
    (key, held): (Option<&CacheKey>, &mut Option<Box<Record>>),
) -> Option<Response<ServeBody>> {
    let record = held.as_ref()?;
    let decided = respond::decide(
        &head.method,
        &head.headers,
        stored,
        stored.content_length,
        snapshot.edge.ranges_max,
    );
    // Several ranges need their parts in the asked order, which a body on its way may not have
    // yet; RFC 9110 §14.2 lets us ignore the field.
    let answer = match decided {
        Answer::Parts(_) => Answer::Whole,
        Answer::Part(_) if !body.is_whole() => Answer::Whole,
        decided => decided,
    };
    let (status, fields) = respond::head_from_origin(stored, &answer, record.now, &head.method);
    let content = match answer {
        _ if head.method == Method::HEAD => Content::Empty,
        Answer::Whole => {
            let reader = body.reader(0)?;
            ticket.settle();
            Content::Following(crate::body::Following::new(reader, stored.content_length, ticket))
        }
        Answer::Part(span) => {
            let reader = body.reader(span.first)?;
            ticket.settle();
            Content::Following(crate::body::Following::new(reader, Some(span.length()), ticket))
        }
        Answer::Parts(_)
        | Answer::NotModified
        | Answer::PreconditionFailed
        | Answer::NotSatisfiable => Content::Empty,
    };
    let record = held.take()?;
    Some(finish(hall, status, fields, content, (key, record)))
}

/// An answer of our own to a request that goes no further.
pub(super) fn refused(hall: &Hall, record: Box<Record>, refusal: Refusal) -> Response<ServeBody> {
    match refusal {
        Refusal::UriTooLong => hall.limits.hit("uri_bytes_max"),
        Refusal::HeadTooLarge => hall.limits.hit("header_count_max"),
        Refusal::ContentTooLarge => hall.limits.hit("body_bytes_max"),
        // No limit, but a request that is wrong, like what `wire` refuses.
        Refusal::BadRequest => hall.refused.hit(fault(&record)),
        // Nothing is wrong with the message: the counters of the site know it.
        _ => {}
    }
    let mut fields = HeaderMap::new();
    if record.asked.version < Version::HTTP_2 && refusal == Refusal::ContentTooLarge {
        // Its content is not read, so the connection cannot go on (RFC 9112 §9.3).
        fields.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(allow) = refusal.allow() {
        fields.insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    page(refusal.status(), fields, record)
}

/// What is wrong with a message that was taken for a request: nothing but its target or its host is
/// looked at after its framing.
fn fault(record: &Record) -> &'static str {
    let asked = &record.asked;
    let is_path = wire::is_path(asked.method.as_str().as_bytes(), asked.target().as_bytes());
    if is_path { wire::Refusal::Host.as_str() } else { wire::Refusal::Target.as_str() }
}

impl Hall {
    /// A request whose stream is reset before it is looked at is recorded all the same, as one of no
    /// site, with the status that the reset stands for.
    pub(crate) fn note_reset(
        &self,
        connection: &Arc<Connection>,
        head: &request::Parts,
        status: StatusCode,
    ) {
        let started = Instant::now();
        let times = (started, self.room.clock.at(started));
        // Dropping the record records it.
        let mut record = record(connection, &Head::of(head, false), times, &self.nowhere);
        record.status = Some(status);
        record.complete = true;
    }
}

/// No memory is left to have a request wait for its origin.
pub(super) fn crowded_out(hall: &Hall, mut record: Box<Record>) -> Response<ServeBody> {
    record.outcome = Outcome { detail: Some(Detail::Memory), ..Outcome::default() };
    failed(hall, record, &FetchError::Memory)
}

/// The origin gave no response and nothing stored may stand in.
pub(super) fn failed(
    hall: &Hall,
    mut record: Box<Record>,
    error: &FetchError,
) -> Response<ServeBody> {
    let mut fields = HeaderMap::new();
    let status = if record.outcome.detail == Some(Detail::MustRevalidate) {
        // RFC 9111 §5.2.2.2: the origin cannot be asked, and nothing else may be said.
        StatusCode::GATEWAY_TIMEOUT
    } else {
        error.status()
    };
    if let Some(limit) = error.limit() {
        hall.limits.hit(limit);
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        fields.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    let id = *record.request_id.insert(rand::random());
    if matches!(error, FetchError::RequestContent { .. }) {
        // The client's fault: whoever likes could fill the operator's log with it.
        tracing::debug!(site = %record.site.site, %error, "a client's content was not to be had");
    } else if record.site.may_tell(record.now) {
        tracing::warn!(
        site = %record.site.site, request_target = ?record.asked.target(), request_id = format_args!("{id:016x}"),
        reason = error.as_str(), error = %error, status = status.as_u16(),
        "a request was answered with an error"
        );
    }
    page(status, fields, record)
}

/// OPTIONS whose Max-Forwards ends here (RFC 9110 §7.6.2).
pub(super) fn options(record: Box<Record>) -> Response<ServeBody> {
    let mut fields = HeaderMap::new();
    let allow = HeaderValue::from_static("GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE");
    fields.insert(header::ALLOW, allow);
    fields.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    date(&mut fields, record.now);
    assemble(StatusCode::OK, fields, Content::Empty, record)
}

/// A short page that names a status and a request id. It carries no Cache-Status: it is made of
/// nothing stored (RFC 9211 §2).
fn page(status: StatusCode, mut fields: HeaderMap, mut record: Box<Record>) -> Response<ServeBody> {
    let id = *record.request_id.get_or_insert_with(rand::random);
    let reason = status.canonical_reason().unwrap_or("Error");
    let code = status.as_u16();
    let text = format!(
        "<!doctype html>\n<title>{code} {reason}</title>\n<h1>{code} {reason}</h1>\n\
         <p>Request id: {id:016x}</p>\n"
    );
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(header::CONTENT_LENGTH, HeaderValue::from(text.len()));
    date(&mut fields, record.now);
    let content = if record.asked.method == Method::HEAD {
        Content::Empty
    } else {
        Content::Full(Bytes::from(text))
    };
    assemble(status, fields, content, record)
}

/// RFC 9110 §6.6.1: who has a clock adds the Date that is missing.
pub(super) fn date(fields: &mut HeaderMap, now: Timestamp) {
    if !fields.contains_key(header::DATE)
        && let Ok(value) = HeaderValue::from_str(&now.to_http_date())
    {
        fields.insert(header::DATE, value);
    }
}

/// Puts head, content and record together and says Cache-Status.
pub(super) fn finish(
    hall: &Hall,
    status: StatusCode,
    mut fields: HeaderMap,
    content: Content,
    (key, record): (Option<&CacheKey>, Box<Record>),
) -> Response<ServeBody> {
    let mut said = Vec::with_capacity(64);
    write_cache_status(hall, Some(&fields), &record, key, &mut said);
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(said)) {
        fields.insert(CACHE_STATUS, value);
    }
    assemble(status, fields, content, record)
}

/// The members of Cache-Status: those that caches nearer to the origin wrote, then ours.
pub(super) fn write_cache_status(
    hall: &Hall,
    fields: Option<&HeaderMap>,
    record: &Record,
    key: Option<&CacheKey>,
    said: &mut Vec<u8>,
) {
    for value in fields.into_iter().flat_map(|fields| fields.get_all(&CACHE_STATUS)) {
        said.extend_from_slice(value.as_bytes());
        said.extend_from_slice(b", ");
    }
    record.outcome.write_cache_status(&hall.node, key, said);
}

fn assemble(
    status: StatusCode,
    fields: HeaderMap,
    content: Content,
    mut record: Box<Record>,
) -> Response<ServeBody> {
    record.status = Some(status);
    let mut response = Response::new(ServeBody::new(content, record));
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    if status.canonical_reason().is_none() {
        // hyper would write "<none>" (RFC 9112 §4 lets the phrase be empty).
        response.extensions_mut().insert(ReasonPhrase::from_static(b""));
    }
    response
}

/// An origin's response for this client alone.
pub(super) fn passed_on(
    hall: &Hall,
    response: Response<OriginBody>,
    told: (Option<&CacheKey>, Box<Record>),
) -> Response<ServeBody> {
    let (mut head, body) = response.into_parts();
    date(&mut head.headers, told.1.now);
    if told.1.asked.method == Method::HEAD {
        return finish(hall, head.status, head.headers, Content::Empty, told);
    }
    let Some(charge) = hall.room.reserve(PASSING_BYTES) else {
        return failed(hall, told.1, &FetchError::Memory);
    };
    let content = Content::Passing(Box::new(Passing::new(body, charge)));
    finish(hall, head.status, head.headers, content, told)
}

/// What a failure is called in Cache-Status.
pub(super) fn detail_of(error: &FetchError) -> Detail {
    match error {
        FetchError::ConnectTimeout { .. }
        | FetchError::FirstByteTimeout { .. }
        | FetchError::RequestStalled { .. } => Detail::Timeout,
        FetchError::QueueFull { .. } | FetchError::QueueTimeout { .. } | FetchError::Deserted => {
            Detail::Queue
        }
        FetchError::Withheld { .. } => Detail::Withheld,
        FetchError::Memory => Detail::Memory,
        FetchError::Resolve { .. }
        | FetchError::NotAllowed { .. }
        | FetchError::Connect { .. }
        | FetchError::Spent { .. }
        | FetchError::Tls { .. }
        | FetchError::Broken { .. }
        | FetchError::NoPrimary
        | FetchError::RequestContent { .. } => Detail::Unreachable,
    }
}
