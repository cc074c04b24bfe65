//! One filling: forward, judge, and then share what may be shared.
//!
//! In: a request for the origin and what is stored to validate. Out: stages for everyone who
//! waits; content and storing are [`super::sharing`]'s.
//! Always holds: it runs detached from the client that led it; it learns of that client only
//! through the number of requests that still have a stake, and with none it is not sent any more;
//! a 304 never revives what was purged or invalidated after the validation began.
//! It deliberately knows no verdict: whether a client may have what came is the hallway's business.

use std::{
    future,
    sync::{Arc, atomic::Ordering},
};

use edge_core::{
    forward,
    purge::Tags,
    site::{Policy, Site},
    storable::{self, Exchange, StoredHead},
    time::Timestamp,
};
use http::{HeaderMap, Method, StatusCode, header, response};

use super::{
    FetchError,
    freshen::{freshen, freshen_by_head, retire_by_head, retire_stale, still_serves},
    pool::{OriginRequest, Pool},
    response::OriginBody,
    room::{FillLimits, FillRoom},
    sharing::share,
    slot::PrivateSlot,
    table::{Filling, Stage, Unshared},
};
use crate::store::StoredResponse;

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
    let deserted = async {
        if plan.background {
            future::pending::<()>().await;
        } else {
            room.table.deserted(&filling).await;
        }
    };
    let response = match plan.pool.send(request, deserted).await {
        Ok(response) => response,
        Err(error) => {
            if matches!(error, FetchError::Deserted) {
                room.counts.orphaned.fetch_add(1, Ordering::Relaxed);
            }
            tracing::debug!(target_uri = ?plan.target, %error, "a forward failed");
            room.table.announce(&filling, Stage::Failed(Arc::new(error)), false);
            return;
        }
    };
    let (head, body) = response.into_parts();
    // A failed attempt before is no delay of this response (RFC 9111 §4.2.3).
    let times = (room.clock.at(body.sent()), room.clock.now());
    let fields = forward::response_fields(&head.headers, head.version, &room.node, plan.policy());
    if filling.head {
        end_of_head(&room, &filling, &plan, (head, fields), body, times);
        return;
    }
    if head.status == StatusCode::NOT_MODIFIED && !plan.validating.is_empty() {
        let stage = match freshen(&room, &filling, &plan, (&fields, &head.headers), times) {
            Ok(fresh) => {
                plan.private.withhold_of_validation(&fields, &fresh.head.fields, plan.policy());
                Stage::Fresh(fresh, head.status)
            }
            // If it validates nothing that is still here, who waits has to ask again for the whole.
            Err(why) => Stage::Private { status: head.status, why },
        };
        room.table.announce(&filling, stage, false);
        return;
    }
    match judge(&room, &filling, &plan, &head, &fields, times) {
        Ok(mut stored) => {
            // Trailers end here, so what announces them would announce nothing.
            stored.fields.remove(header::TRAILER);
            plan.private.withhold(&fields, &stored.fields);
            share(&room, &filling, &plan, stored, body).await;
        }
        Err(why) => keep_private(&room, &filling, &plan, why, (head, fields), body),
    }
}

/// Runs a filling whose response is here already: a POST's, which serves later GETs.
pub async fn pass_on(
    room: Arc<FillRoom>,
    filling: Arc<Filling>,
    plan: FillPlan,
    head: StoredHead,
    body: OriginBody,
) {
    let _guard = Unfinished { room: Arc::clone(&room), filling: Arc::clone(&filling) };
    share(&room, &filling, &plan, head, body).await;
}

/// The answer to HEAD is in: it freshens what is stored, retires it, or is for the leader alone.
fn end_of_head(
    room: &FillRoom,
    filling: &Arc<Filling>,
    plan: &FillPlan,
    (head, fields): (response::Parts, HeaderMap),
    body: OriginBody,
    times: (Timestamp, Timestamp),
) {
    let status = head.status;
    // What a GET's answer would say of what is stored, a HEAD's says as well (RFC 9111 §4.3.3).
    let judged = judge(room, filling, plan, &head, &fields, times);
    let answer = (status, &fields, &head.headers);
    if let Some(fresh) = freshen_by_head(room, filling, plan, answer, times, judged.is_ok()) {
        plan.private.withhold_of_validation(&fields, &fresh.head.fields, plan.policy());
        room.table.announce(filling, Stage::Fresh(fresh, status), false);
        return;
    }
    let why = if status == StatusCode::NOT_MODIFIED && !plan.validating.is_empty() {
        Unshared::NothingToFreshen
    } else if status.is_server_error() && plan.stale_on_error {
        Unshared::FailedValidation
    } else {
        Unshared::Head
    };
    match judged {
        Ok(_) if !status.is_server_error() => {
            retire_by_head(room, filling, plan, (status, &fields));
        }
        Err(unshared) if unshared.of_resource(status) => {
            retire_stale(room, filling, plan, times.1);
        }
        Ok(_) | Err(_) => {}
    }
    keep_private(room, filling, plan, why, (head, fields), body);
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
    let tags = Tags::of(&head.headers, plan.limits.tags);
    // Stale already would be as bad: whoever asks now wants what the origin has now.
    if room.stamps.is_overtaken(filling.key.as_bytes(), &tags, filling.stamp) {
        return Err(Unshared::Overtaken);
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
    (stored.stamp, stored.validated, stored.tags) = (filling.stamp, filling.stamp, tags);
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
    // An error is no word on what is stored (RFC 9111 §4.3.3); nor is an answer that is kept out of
    // the store for the sake of this request.
    let status = head.status;
    if why.of_resource(status) {
        let now = room.clock.now();
        retire_stale(room, filling, plan, now);
        if filling.range.is_none() && !still_serves(room, filling, plan, now) {
            let until = now.plus(plan.limits.uncacheable_remembered);
            room.uncacheable.insert(room.fingerprint(filling.key.as_bytes()), until);
        }
    }
    head.headers = fields;
    if !plan.background && filling.interest() > 0 {
        *plan.private.response.lock() = Some(http::Response::from_parts(head, body));
    }
    room.table.announce(filling, Stage::Private { status, why }, false);
}
