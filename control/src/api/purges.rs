//! Purges: ordered, waited for, looked at.
//!
//! In: callers that may, for the site. Out: a position in the log, and what nodes report of it.
//! Always: everything is checked before anything is written; a dry run writes nothing; an order
//! that is repeated under its Idempotency-Key is the same order. It does not know an edge.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use edge_core::purge::{Purge, Selector};
use http::{HeaderMap, StatusCode};
use nearcast_daemon::{http_path::Named, http_problem::Problem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

use super::{
    Counted, Shared,
    audit::Order,
    bad,
    caller::Caller,
    internal,
    reading::{Asked, Given, idempotency_key},
    refused,
};
use crate::{
    documents,
    ledger::{Appended, Ledger as _, Log, Position},
    progress::{NodeProgress, Progress, Reports, State as Done},
    purge::{EverythingEntry, ModeWord, PurgeEntry, SELECTORS_MAX, SelectorText},
    token::{Action, fingerprint},
};

/// An order.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PurgeWanted")]
pub(super) struct Wanted {
    /// The site's name.
    site: String,
    /// What it speaks of: 1 to 100, any of them.
    #[schemars(length(min = 1, max = "SELECTORS_MAX"))]
    selectors: Vec<SelectorText>,
    /// What becomes of that.
    #[serde(default)]
    mode: ModeWord,
    /// Whether it only counts, and changes nothing.
    #[serde(default)]
    dry_run: bool,
}

/// `?wait=`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    /// How long to wait for the nodes, as 5s: up to half a second less than request_deadline of
    /// [admin].
    #[serde(default)]
    wait: Option<String>,
}

/// What callers see of a purge.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Purged {
    id: Position,
    /// The site's name.
    site: String,
    /// What it speaks of, in normal form.
    selectors: Vec<SelectorText>,
    mode: ModeWord,
    /// The id of the token that ordered it.
    by: String,
    /// When it was accepted, for people.
    at: String,
    state: StateWord,
    /// Each registered node; null where nobody looked.
    nodes: Option<Vec<NodeProgress>>,
}

/// How far a purge has come.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "State")]
enum StateWord {
    /// It is in the log.
    Accepted,
    /// Every registered node has applied it, or its lease has lapsed.
    Complete,
    /// Some have not.
    Partial,
}

/// What a purge would speak of.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct DryRun {
    /// The site's name.
    site: String,
    /// What it speaks of, in normal form.
    selectors: Vec<SelectorText>,
    mode: ModeWord,
    /// True.
    dry_run: bool,
    /// How many stored responses each node has that it speaks of.
    nodes: Vec<Counted>,
}

/// `POST /v1/purges`
pub(super) async fn order(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    fields: HeaderMap,
    Asked(query): Asked<Query>,
    Given(wanted): Given<Wanted>,
) -> Result<Response, Problem> {
    caller.may(Action::Purge)?;
    caller.speaks_for(&wanted.site)?;
    let selectors = check(&wanted, &shared, &caller).await?;
    let wait = query.wait.map(|text| duration(&text, shared.wait_max)).transpose()?;
    let once = idempotency_key(&fields)?;
    let entry = PurgeEntry {
        site: wanted.site,
        selectors: selectors.iter().map(SelectorText::from).collect(),
        mode: wanted.mode,
        by: caller.id.clone(),
        from: caller.from,
        at: shared.at(),
    };
    if wanted.dry_run {
        let purge = Purge { site: entry.site.as_str().into(), selectors, mode: entry.mode.into() };
        return count(&shared, purge, entry).await;
    }
    let once = once.map(|key| format!("{}.{}", caller.id, fingerprint(key)));
    append(&shared, &caller, &entry, once.as_deref(), wait).await
}

/// The selectors, if all is well.
async fn check(
    wanted: &Wanted,
    shared: &Shared,
    caller: &Caller,
) -> Result<Vec<Selector>, Problem> {
    // Only of one that is not served here the ledger is asked: it may be far away.
    let is_here = shared.holdings.sites().contains(&wanted.site);
    let sites = if is_here { Vec::new() } else { shared.sites().await };
    if !is_here && !sites.contains(&wanted.site) {
        // Other sites' names are not for a token of some.
        let own = sites.into_iter().filter(|site| caller.token.covers(site));
        let known = own.collect::<Vec<_>>().join(", ");
        let detail = format!("there is no site {:?} (there are: {known})", wanted.site);
        return Err(Problem::new(StatusCode::NOT_FOUND).detail(detail));
    }
    if !(1..=SELECTORS_MAX).contains(&wanted.selectors.len()) {
        return Err(bad(format!("selectors: allowed: 1 to {SELECTORS_MAX}")));
    }
    let numbered = wanted.selectors.iter().enumerate();
    let parse = |(at, text): (usize, &SelectorText)| {
        text.parse().map_err(|problem| bad(format!("selectors[{at}]: {problem}")))
    };
    numbered.map(parse).collect()
}

fn duration(text: &str, max: Duration) -> Result<Duration, Problem> {
    let most = humantime::format_duration(max);
    match humantime::parse_duration(text) {
        Ok(wait) if wait <= max => Ok(wait),
        Ok(_) => Err(bad(format!(
            "wait: {text:?} is too long; allowed: up to {most}, which is half a second less than \
             request_deadline of [admin]"
        ))),
        Err(_) => Err(bad(format!(
            "wait: {text:?} is no duration; allowed: one such as \"5s\", up to {most}"
        ))),
    }
}

/// How many stored responses it would be.
async fn count(shared: &Shared, purge: Purge, entry: PurgeEntry) -> Result<Response, Problem> {
    let Ok(turn) = Arc::clone(&shared.counting).try_acquire_owned() else {
        let detail = "another dry run is under way; try again once it has ended";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE).detail(detail));
    };
    let holdings = Arc::clone(&shared.holdings);
    let counted = tokio::task::spawn_blocking(move || {
        let counted = holdings.count(&purge);
        // Kept to its end, also when nobody waits any more.
        drop(turn);
        counted
    });
    let counted = counted.await;
    let nodes = counted.map_err(|error| internal(&error))?;
    let PurgeEntry { site, selectors, mode, .. } = entry;
    Ok(Json(DryRun { site, selectors, mode, dry_run: true, nodes }).into_response())
}

/// Puts it into the log, and waits for the nodes if that is asked.
async fn append(
    shared: &Shared,
    caller: &Caller,
    entry: &PurgeEntry,
    once: Option<&str>,
    wait: Option<Duration>,
) -> Result<Response, Problem> {
    let bytes = documents::encode(entry).map_err(|error| internal(&error))?;
    // What it speaks of stands in the purge log, once.
    let on = json!({ "site": entry.site, "mode": entry.mode });
    let order = Order::new(shared, caller, ("purge", on), once);
    // From before it is appended: no report that follows from it is missed.
    let mut reports = wait.map(|_| Reports::watch(&shared.roster));
    let appended = order.append(Log::Purges, bytes, once).await.map_err(|error| refused(&error));
    let (Appended { position, repeated }, at) = (order.tried(appended).await?, Instant::now());
    let former = match repeated {
        true => Some(order.tried(repeats(shared, position, entry).await).await?),
        false => None,
    };
    let entry = former.as_ref().unwrap_or(entry);
    let note = order.done(json!({ "purge": position }));
    let waited = async {
        let (reports, wait) = (reports.as_mut()?, wait?);
        match reports.wait(position, at, at + wait).await {
            Ok(progress) => Some(progress),
            Err(error) => {
                // It is in the log nevertheless, so this is no failure of the order.
                tracing::warn!(%error, "nodes could not be waited for");
                None
            }
        }
    };
    let ((), progress) = tokio::join!(note, waited);
    let is_complete = progress.as_ref().is_some_and(|told| told.state == Done::Complete);
    let status = if is_complete { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(told(position, entry, progress))).into_response())
}

/// The order that was carried out under the same key; it must be the same one.
async fn repeats(
    shared: &Shared,
    position: Position,
    entry: &PurgeEntry,
) -> Result<PurgeEntry, Problem> {
    let former = find(shared, position).await?;
    match former {
        Some(former)
            if (&former.site, &former.selectors, former.mode)
                == (&entry.site, &entry.selectors, entry.mode) =>
        {
            Ok(former)
        }
        _ => Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY)
            .detail("this Idempotency-Key was used for another purge")
            .extension("purge", json!(position))),
    }
}

async fn find(shared: &Shared, position: Position) -> Result<Option<PurgeEntry>, Problem> {
    let found = shared.ledger.entry(Log::Purges, position).await;
    let Some(bytes) = found.map_err(|error| refused(&error))? else { return Ok(None) };
    // What takes everything is no purge of a site.
    if documents::decode::<EverythingEntry>(&bytes).is_ok() {
        return Ok(None);
    }
    documents::decode(&bytes).map(Some).map_err(|error| internal(&error))
}

/// `GET /v1/purges/{id}`
pub(super) async fn progress(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    Named(id): Named,
) -> Result<Json<Purged>, Problem> {
    if !caller.token.may(Action::Purge) {
        caller.may(Action::Read)?;
    }
    let none = || {
        Problem::new(StatusCode::NOT_FOUND)
            .detail(format!("there is no purge {id:?} here, or it is no longer kept"))
    };
    let position: Position = id.parse().map_err(|_no| none())?;
    let entry = find(&shared, position).await?.ok_or_else(none)?;
    caller.speaks_for(&entry.site)?;
    let progress = Reports::watch(&shared.roster).now(position).await;
    let progress = progress.map_err(|error| refused(&error))?;
    Ok(Json(told(position, &entry, Some(progress))))
}

fn told(position: Position, entry: &PurgeEntry, progress: Option<Progress>) -> Purged {
    let PurgeEntry { site, selectors, mode, by, at, from: _ } = entry.clone();
    let (state, nodes) = match progress {
        None => (StateWord::Accepted, None),
        Some(Progress { state: Done::Complete, nodes }) => (StateWord::Complete, Some(nodes)),
        Some(Progress { state: Done::Partial, nodes }) => (StateWord::Partial, Some(nodes)),
    };
    Purged { id: position, site, selectors, mode, by, at, state, nodes }
}
