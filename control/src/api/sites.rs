//! Sites: listed, read, written, deleted.
//!
//! In: callers that may, for the site. Out: what the ledger has of it. Always: a site is checked as
//! one of a file is, with the same words; who writes says what they expect to be there (RFC 9110
//! §13.1), so nobody overwrites what they have not seen; a host belongs to one site. It does not
//! know an edge.
//! Clause: docs/operate.md *Sites*; RFC 9110 §8.8.3, §13.1.1, §13.1.2, §15.4.5; RFC 6585 §3.

mod conditions;
mod told;

use std::{slice, sync::Arc};

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

pub(super) use self::told::{DeletedSite, DryRun, History, Sites, WholeSite, WrittenSite, refusal};
use self::{
    conditions::{Expected, expected, known},
    told::{checked, tagged, unchanged, with_tag},
};
use super::{
    Shared,
    audit::Order,
    bad,
    caller::Caller,
    catalogue::{Patience, waited},
    internal,
    reading::{Asked, idempotency_key, site_content},
    refused,
};
use crate::{
    site::{self, Author, Change, SiteError, Sound, Wanted},
    token::{self, Action, TokenDocument, fingerprint},
};

/// `?revision=`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// An older version, as the history names it.
    #[serde(default)]
    revision: Option<u64>,
}

/// `?dry_run=`, `?wait=`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct How {
    /// Whether it is only checked, and nothing written.
    #[serde(default)]
    dry_run: bool,
    /// How long to wait until every edge serves it or has refused to, as 20s; at most half a second less
    /// than request_deadline of [admin], whatever is asked.
    #[serde(default)]
    wait: Option<String>,
}

/// `?wait=`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Until {
    /// How long to wait until no edge serves it any more, as 20s; at most half a second less than
    /// request_deadline of [admin], whatever is asked.
    #[serde(default)]
    wait: Option<String>,
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
        Some(version) => Ok(tagged(&name, version)),
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
    let patience = Patience::of(query.wait.as_deref(), shared.wait_max)?;
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
    let change = (Some(&sound), wanted.wanted());
    let site::Written { version, created } =
        write(&shared, &caller, &name, change, once.as_deref()).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let written = (version.revision, Some(slice::from_ref(&name)));
    let progress = waited(&shared, &caller, written, patience).await;
    let revision = version.revision;
    let site = WrittenSite { site: WholeSite::of(&name, version), progress };
    Ok(with_tag((status, Json(site)), revision))
}

/// `DELETE /v1/sites/{name}`
pub(super) async fn delete(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    Named(name): Named,
    Asked(query): Asked<Until>,
    fields: HeaderMap,
) -> Result<Response, Problem> {
    caller.may(Action::Sites)?;
    caller.speaks_for(&name)?;
    let patience = Patience::of(query.wait.as_deref(), shared.wait_max)?;
    let wanted = match expected(&fields)? {
        Some(Expected::Absent) => {
            return Err(bad("If-None-Match: what is not there cannot be deleted"));
        }
        Some(wanted) => wanted,
        None => return Err(unconditional()),
    };
    let once = once(&caller, &fields)?;
    let change = (None, wanted.wanted());
    let version = write(&shared, &caller, &name, change, once.as_deref()).await?.version;
    // No edge that has taken it serves anything of it, whatever it thought of the site before.
    let written = (version.revision, Some(&[][..]));
    let progress = waited(&shared, &caller, written, patience).await;
    let (revision, tokens) = (version.revision, tokens_for(&shared, &name).await);
    let site = DeletedSite { site: WholeSite::of(&name, version), tokens, progress };
    Ok(with_tag((StatusCode::OK, Json(site)), revision))
}

/// The ids of the tokens in use that name a site; it is deleted, so that they cannot be read is no
/// failure.
async fn tokens_for(shared: &Shared, name: &str) -> Option<Vec<String>> {
    let listed = match token::list(&*shared.ledger).await {
        Ok(listed) => listed.tokens,
        Err(error) => {
            tracing::warn!(%error, site = name, "tokens for a deleted site could not be looked for");
            return None;
        }
    };
    let names = |document: &TokenDocument| {
        let sites = document.sites.as_ref();
        document.revoked.is_none()
            && sites.is_some_and(|sites| sites.iter().any(|site| site == name))
    };
    Some(listed.into_iter().filter(|(_, document)| names(document)).map(|(id, _)| id).collect())
}

async fn write(
    shared: &Shared,
    caller: &Caller,
    name: &str,
    (text, wanted): (Option<&Sound>, Wanted<'_>),
    once: Option<&str>,
) -> Result<site::Written, Problem> {
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
    let version = &written.version;
    order.done(json!({ "revision": version.revision, "id": version.id })).await;
    Ok(written)
}

pub(super) fn may_read(caller: &Caller) -> Result<(), Problem> {
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
