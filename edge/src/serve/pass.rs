//! Requests that go to the origin as they are: other methods than GET and HEAD, rules that do not
//! cache, and what comes with content.
//!
//! In: a request with its content. Out: the origin's answer, streamed with backpressure.
//! Always holds: content is bounded and never kept; a non-error answer to an unsafe or unknown
//! method invalidates what RFC 9111 §4.4 names before the client sees the answer; a POST response
//! that may serve later GETs is stored.

use std::{future, sync::Arc};

use edge_core::{
    balance::hash,
    forward, invalidation,
    key::{self, KeyParts},
    outcome::{ForwardReason, Outcome},
    purge::{Name, Tags},
    storable::{self, Exchange, StoredHead},
    time::Timestamp,
};
use http::{HeaderMap, Method, Response, StatusCode, header, response};
use http_body::Body as _;
use tokio::sync::oneshot;

use super::{Ask, Hall, answer, miss, outward, step};
use crate::{
    body::ServeBody,
    connection::RequestContent,
    fetch::{
        FetchError,
        content::ClientContent,
        filling::{self, FillPlan},
        pool::OriginRequest,
        response::OriginBody,
        slot::PrivateSlot,
        table::{Keeping, Stage, Want},
    },
    record::Record,
};

/// Forwards a request and passes the answer on.
pub(super) async fn pass(
    hall: &Arc<Hall>,
    ask: Ask,
    reason: ForwardReason,
    content: RequestContent,
    mut record: Box<Record>,
) -> Response<ServeBody> {
    record.outcome = Outcome { forward: Some(reason), ..Outcome::default() };
    let request_time = hall.room.clock.now();
    // What was struck while this was fetched is not made good by its own answer.
    let stamp = hall.room.stamps.now();
    let ask = Arc::new(ask);
    let sent = send(hall, &ask, content, stamp).await;
    record.now = hall.room.clock.now();
    let times = (request_time, record.now);
    let key = ask.snapshot.edge.cache_status_key.then_some(&ask.key);
    let Sent { head, body, tags, stamp } = match sent {
        Ok(sent) => sent,
        Err(error) => {
            record.outcome.detail = Some(answer::detail_of(&error));
            return answer::failed(hall, record, &error);
        }
    };
    record.outcome.forward_status = Some(head.status);
    let stamped = |stamp| storable_post(&ask, &head, times, (stamp, tags));
    match stamp.and_then(stamped) {
        Some(stored) => store_post(hall, &ask, (stored, &head.headers), body, record).await,
        None => answer::passed_on(hall, Response::from_parts(head, body), (key, record)),
    }
}

/// An origin's answer, after what it invalidates is invalidated.
struct Sent {
    head: response::Parts,
    body: OriginBody,
    tags: Tags,
    /// The stamp of its content; none if somebody else has struck it since the request was sent.
    stamp: Option<u64>,
}

/// Sends on the fills runtime; a client that goes away before the answer ends a safe request. An
/// unsafe one is seen through once it was sent: the origin may have acted on it.
async fn send(
    hall: &Arc<Hall>,
    ask: &Arc<Ask>,
    content: RequestContent,
    stamp: u64,
) -> Result<Sent, FetchError> {
    let limits = &ask.snapshot.edge.limits;
    let (max, patience) = (limits.body_bytes_max.as_u64(), limits.body_timeout);
    let mut fields = outward::forwarded_fields(hall, ask);
    miss::drop_range_flood(ask, &mut fields);
    let request = OriginRequest {
        method: ask.head.method.clone(),
        target: ask.origin_target.clone(),
        fields,
        client_host: ask.host.clone(),
        content: (!content.is_end_stream()).then(|| ClientContent::new(content, max, patience)),
        key: hash::key_of(ask.key.as_bytes()),
        interim: outward::on_interim(ask),
    };
    let (mut answer, answered) = oneshot::channel();
    let (hall, asked) = (Arc::clone(hall), Arc::clone(ask));
    let running = hall.fills.clone();
    running.spawn(async move {
        let pool = Arc::clone(&asked.entry.pool);
        let sent = if asked.head.method.is_safe() {
            tokio::select! {
                sent = pool.send(request, future::pending()) => sent,
                () = answer.closed() => return,
            }
        } else {
            pool.send(request, answer.closed()).await
        };
        let sent = sent.map(|response| {
            let (mut head, body) = response.into_parts();
            let tags = Tags::of(&head.headers, asked.snapshot.edge.fill.tags);
            head.headers =
                forward::response_fields(&head.headers, head.version, &hall.node, asked.policy());
            let names = invalidated(&asked, &head);
            let own = (asked.key.as_bytes(), &tags, stamp);
            let stamp = hall.room.invalidate(asked.entry.site.id, &names, own);
            Sent { head, body, tags, stamp }
        });
        // The client may have gone away meanwhile; then nobody wants the answer.
        drop(answer.send(sent));
    });
    answered.await.unwrap_or_else(|_gone| {
        Err(FetchError::Broken {
            server: ask.entry.site.name.to_string(),
            reason: "the forward ended without an answer".to_owned(),
        })
    })
}

/// RFC 9111 §4.4, RFC 9875 §3: what an answer to an unsafe or unknown method makes unusable.
fn invalidated(ask: &Ask, head: &response::Parts) -> Vec<Name> {
    let target = (ask.scheme, outward::authority(ask), ask.target.as_str());
    let mut names = Vec::new();
    for uri in invalidation::targets(&ask.head.method, head.status, target, &head.headers) {
        let policy = ask.entry.site.policy(uri.split('?').next().unwrap_or(&uri));
        let target = key::forward_target(&uri, &policy.query);
        let mut bytes = Vec::new();
        key::write_key(
            &mut bytes,
            &KeyParts {
                scheme: ask.scheme,
                site: ask.entry.site.id,
                host: &ask.host,
                target: &target,
                key_fields: &[],
                fields: &ask.head.headers,
            },
        );
        names.push(Name::Target(bytes.into()));
    }
    let origin = || key::origin_part(ask.key.as_bytes()).into();
    let groups = invalidation::groups(&ask.head.method, &head.headers).into_iter();
    names.extend(groups.map(|group| Name::Group { origin: origin(), group }));
    names
}

/// RFC 9110 §9.3.3: a POST response with explicit freshness and a Content-Location equal to the
/// target serves later GETs.
fn storable_post(
    ask: &Ask,
    head: &response::Parts,
    (request_time, response_time): (Timestamp, Timestamp),
    (stamp, tags): (u64, Tags),
) -> Option<StoredHead> {
    if ask.head.method != Method::POST || !ask.policy().cache {
        return None;
    }
    let target = outward::target_uri(ask);
    let stored = storable::judge(&Exchange {
        method: &ask.head.method,
        target: &target,
        request_fields: &ask.head.headers,
        status: head.status,
        response_fields: &head.headers,
        request_time,
        response_time,
        policy: ask.policy(),
    })
    .ok()?;
    // Newer than what this very answer has invalidated.
    Some(StoredHead { stamp, validated: stamp, tags, ..stored })
}

/// Streams a POST response to its client while it is stored for later GETs.
async fn store_post(
    hall: &Arc<Hall>,
    ask: &Ask,
    (mut stored, fields): (StoredHead, &HeaderMap),
    body: OriginBody,
    record: Box<Record>,
) -> Response<ServeBody> {
    stored.fields.remove(header::TRAILER);
    let slot = Arc::new(PrivateSlot::default());
    slot.withhold(fields, &stored.fields);
    let want = Want {
        key: &ask.key,
        fields: &ask.head.headers,
        range: None,
        ahead_max: 0,
        head: false,
        presumed: None,
        usable: &|_| true,
    };
    let ticket = hall.room.table.lead_alone(want, &hall.room.stamps);
    let plan = FillPlan {
        site: Arc::clone(&ask.entry.site),
        pool: Arc::clone(&ask.entry.pool),
        path: ask.head.uri.path().to_owned(),
        target: outward::target_uri(ask),
        client_fields: ask.head.headers.clone(),
        validating: Vec::new(),
        stale_on_error: false,
        background: false,
        private: Arc::clone(&slot),
        limits: ask.snapshot.edge.fill,
    };
    let status = stored.status;
    let (room, filling) = (Arc::clone(&hall.room), Arc::clone(ticket.filling()));
    hall.fills.spawn(filling::pass_on(room, filling, plan, stored, body));
    let stage = miss::settled(&ticket).await;
    let mut record = Some(record);
    let key = ask.snapshot.edge.cache_status_key.then_some(&ask.key);
    let error = match stage {
        Stage::Shared { head, body, stored } => {
            if let Some(record) = &mut record {
                record.outcome.stored = stored == Keeping::Stored;
                record.outcome.detail = step::unstored(stored);
            }
            // The client asked by POST: neither its conditions nor its ranges speak of this content.
            let mut asked = ask.head.clone();
            asked.headers = HeaderMap::new();
            let from = (head.as_ref(), &body, ticket);
            let told = (key, &mut record);
            if let Some(mut response) = answer::following(hall, &ask.snapshot, &asked, from, told) {
                slot.add_withheld(response.headers_mut());
                return response;
            }
            cannot_pass(ask, status)
        }
        Stage::Failed(error) => FetchError::clone(&error),
        Stage::Waiting | Stage::Stored(_) | Stage::Fresh(..) | Stage::Private { .. } => {
            cannot_pass(ask, status)
        }
    };
    match record {
        Some(record) => answer::failed(hall, record, &error),
        None => Response::new(ServeBody::ended()),
    }
}

fn cannot_pass(ask: &Ask, status: StatusCode) -> FetchError {
    FetchError::Broken {
        server: ask.entry.site.name.to_string(),
        reason: format!("a {} response could not be passed on", status.as_u16()),
    }
}
