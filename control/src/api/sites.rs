//! Sites: listed, read, written, deleted.
//!
//! In: callers that may, for the site. Out: what the ledger has of it. Always: a site is checked as
//! one of a file is, with the same words; who writes says what they expect to be there (RFC 9110
//! §13.1), so nobody overwrites what they have not seen; a host belongs to one site. It does not
//! know an edge.
//! Clause: docs/operate.md *Sites*; RFC 9110 §8.8.3, §13.1.1, §13.1.2, §15.4.5; RFC 6585 §3.

mod conditions;
mod told;

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, StatusCode};
use nearcast_daemon::{http_path::Named, http_problem::Problem};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

pub(super) use self::told::{DryRun, History, Sites, WholeSite};
use self::{
    conditions::{Expected, expected, known},
    told::{checked, refusal, tagged, unchanged},
};
use super::{
    Shared,
    audit::Order,
    bad,
    caller::Caller,
    internal,
    reading::{Asked, idempotency_key, site_content},
    refused,
};
use crate::{
    site::{self, Author, Change, SiteError, Sound, Wanted},
    token::{Action, fingerprint},
};

/// `?revision=`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// An older version, as the history names it.
    #[serde(default)]
    revision: Option<u64>,
}

/// `?dry_run=`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct How {
    /// Whether it is only checked, and nothing written.
    #[serde(default)]
    dry_run: bool,
}

/// `GET /v1/sites`
pub(super) async fn list(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
) -> Result<Json<Sites>, Problem> {
    may_read(&caller)?;
    let catalogue = site::catalogue(&*shared.ledger).await;
    let catalogue = catalogue.map_err(|error| refusal(&caller, &error))?;
    Ok(Json(Sites::of(&catalogue, shared.rules.of_file(), |name| caller.token.covers(name))))
}

/// `GET /v1/sites/{name}`
pub(super) async fn one(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    Named(name): Named,
    Asked(query): Asked<Which>,
    fields: HeaderMap,
) -> Result<Response, Problem> {
    may_read(&caller)?;
    caller.speaks_for(&name)?;
    let known = known(&fields)?;
    let versions = match site::history(&*shared.ledger, &name).await {
        Err(SiteError::NoSuchSite(_)) if query.revision.is_none() => Vec::new(),
        versions => versions.map_err(|error| refusal(&caller, &error))?,
    };
    let newest = versions.first().map(|version| version.revision);
    let wanted = query.revision.or(newest);
    let version = versions.into_iter().find(|version| Some(version.revision) == wanted);
    match version.filter(|version| version.text.is_some()) {
        Some(version) if known.is_some_and(|tags| tags.name(version.revision)) => {
            Ok(unchanged(version.revision))
        }
        Some(version) => Ok(tagged(StatusCode::OK, &name, version)),
        // There is none in the ledger, or none any more.
        None if query.revision.is_none() => {
            let mut of_file = shared.rules.of_file().into_iter();
            let found = of_file.find(|site| site.name == name);
            let found = found.ok_or_else(|| gone(&name, None))?;
            Ok(Json(WholeSite::of_file(found)).into_response())
        }
        None => Err(gone(&name, query.revision)),
    }
}

fn gone(name: &str, revision: Option<u64>) -> Problem {
    let detail = match revision {
        Some(revision) => format!("site \"{name}\" has no revision {revision} that is kept"),
        None => format!("there is no site \"{name}\""),
    };
    Problem::new(StatusCode::NOT_FOUND).detail(detail)
}

/// `GET /v1/sites/{name}/history`
pub(super) async fn history(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    Named(name): Named,
) -> Result<Json<History>, Problem> {
    may_read(&caller)?;
    caller.speaks_for(&name)?;
    let versions = site::history(&*shared.ledger, &name).await;
    let versions = versions.map_err(|error| refusal(&caller, &error))?;
    Ok(Json(History::of(&name, versions)))
}

/// `PUT /v1/sites/{name}`
pub(super) async fn put(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    Named(name): Named,
    Asked(query): Asked<How>,
    fields: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    caller.may(Action::Sites)?;
    caller.speaks_for(&name)?;
    let wanted = expected(&fields)?;
    let once = once(&caller, &fields)?;
    let content = site_content(request).await?;
    let sound = shared.rules.check(content.as_ref()).map_err(checked)?;
    if sound.name != name {
        let detail = format!("name: \"{}\" is not \"{name}\", which the path names", sound.name);
        return Err(bad(detail));
    }
    if query.dry_run {
        let site = (&sound, wanted.as_ref().map(Expected::wanted));
        let sites = caller.token.sites.as_deref();
        let room = site::has_room(&*shared.ledger, site, sites, &*shared.rules).await;
        room.map_err(|error| refusal(&caller, &error))?;
        return Ok(Json(DryRun::of(sound)).into_response());
    }
    let wanted = wanted.ok_or_else(unconditional)?;
    write(&shared, &caller, &name, (Some(&sound), wanted.wanted()), once.as_deref()).await
}

/// `DELETE /v1/sites/{name}`
pub(super) async fn delete(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    Named(name): Named,
    fields: HeaderMap,
) -> Result<Response, Problem> {
    caller.may(Action::Sites)?;
    caller.speaks_for(&name)?;
    let wanted = match expected(&fields)? {
        Some(Expected::Absent) => {
            return Err(bad("If-None-Match: what is not there cannot be deleted"));
        }
        Some(wanted) => wanted,
        None => return Err(unconditional()),
    };
    let once = once(&caller, &fields)?;
    write(&shared, &caller, &name, (None, wanted.wanted()), once.as_deref()).await
}

async fn write(
    shared: &Shared,
    caller: &Caller,
    name: &str,
    (text, wanted): (Option<&Sound>, Wanted<'_>),
    once: Option<&str>,
) -> Result<Response, Problem> {
    let sites = caller.token.sites.clone();
    let author = Author { by: caller.id.clone(), from: caller.from, at: shared.at(), sites };
    let kept = shared.site_versions_kept;
    let change = Change { name, text, wanted, author: &author, once, kept };
    // It ends with the process.
    let turn = shared.writing.acquire().await.map_err(|error| internal(&error))?;
    let what = if text.is_some() { "site.write" } else { "site.delete" };
    let order = Order::new(shared, caller, (what, json!({ "site": name })), once);
    let written = site::write(&order, change, &*shared.rules).await;
    drop(turn);
    let written = order.tried(written.map_err(|error| refusal(caller, &error))).await?;
    let site::Written { version, created } = written;
    order.done(json!({ "revision": version.revision, "id": version.id })).await;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(tagged(status, name, version))
}

fn may_read(caller: &Caller) -> Result<(), Problem> {
    if caller.token.may(Action::Sites) { Ok(()) } else { caller.may(Action::Read) }
}

fn once(caller: &Caller, fields: &HeaderMap) -> Result<Option<String>, Problem> {
    let key = idempotency_key(fields)?;
    Ok(key.map(|key| format!("{}.{}", caller.id, fingerprint(key))))
}

fn unconditional() -> Problem {
    Problem::new(StatusCode::PRECONDITION_REQUIRED).detail(
        "say what is expected to be there: If-None-Match: * for a new site, If-Match with the \
         revision that was read for one that is there",
    )
}
