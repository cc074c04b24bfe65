//! Who did what: the audit log.
//!
//! In: what was done. Out: an entry of the log, and entries, newest first, back to the oldest that is
//! kept. Always: only what was done is written, never what was refused; an entry that cannot be
//! written is logged, since what it speaks of is done already, and written when it is done again
//! under the same name; one answer looks at a bounded number of entries. It does not know why.

use std::{net::IpAddr, sync::Arc};

use axum::{Json, extract::State};
use http::StatusCode;
use nearcast_daemon::http_problem::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Shared, bad, caller::Caller, reading::Asked, refused};
use crate::{
    documents,
    ledger::{Ends, Ledger, LedgerError, Log, Lost, Position},
    token::Action,
};

/// Entries of one answer, at most, and without `limit`.
const LIMIT_MAX: u64 = 1000;
/// See [`LIMIT_MAX`].
const LIMIT: u64 = 100;
/// Entries that are looked at for one answer, at most.
const LOOKED_AT_MAX: u64 = 10_000;

/// An entry.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct AuditEntry {
    /// When, for people.
    pub(super) at: String,
    /// The id of the token.
    pub(super) who: String,
    /// Where the order came from.
    pub(super) from: Option<IpAddr>,
    /// The id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) request: Option<String>,
    /// What was done: `purge`, `site.write`, `site.delete`, `token.make`, `token.revoke`,
    /// `node.remove`, `node.drain`, `ledger.import`.
    pub(super) what: String,
    /// What it was done to, and how.
    pub(super) on: Value,
}

/// Writes down what `caller` did; of one name `once`.
pub(super) async fn note(
    shared: &Shared,
    caller: &Caller,
    what: &str,
    on: Value,
    once: Option<&str>,
) {
    let entry = AuditEntry {
        at: shared.at(),
        who: caller.id.clone(),
        from: caller.from,
        request: caller.request.clone(),
        what: what.to_owned(),
        on,
    };
    let written = async {
        let bytes = documents::encode(&entry);
        let bytes = bytes.map_err(|error| LedgerError::Unavailable(error.to_string()))?;
        shared.ledger.note(Log::Audit, bytes, once).await
    };
    if let Err(error) = written.await {
        tracing::error!(%error, who = caller.id, what, on = %entry.on, "done, but not in the audit log");
    }
}

/// What was noted under the name `once`, if it is among the newest entries of the log.
pub(super) async fn noted(
    shared: &Shared,
    what: &str,
    once: &str,
) -> Result<Option<Value>, Problem> {
    let query = Query { limit: Some(LIMIT_MAX), before: None, what: Some(what.to_owned()) };
    let found = async {
        let ends = shared.ledger.ends(Log::Audit).await?;
        read_back(&*shared.ledger, ends, &query).await
    };
    let entries = found.await.map_err(|error| refused(&error))?.entries.into_iter();
    let mut on = entries.filter_map(|told| told.entry).map(|entry| entry.on);
    Ok(on.find(|on| on["once"] == once))
}

/// `?limit=`, `?before=`, `?what=`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    /// Entries, at most: 100 unless it says otherwise, and no more than 1000.
    #[serde(default)]
    limit: Option<u64>,
    /// Only entries before this position.
    #[serde(default)]
    before: Option<Position>,
    /// Only entries that say this was done, as `token.make`.
    #[serde(default)]
    what: Option<String>,
}

/// Entries.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Entries {
    /// The newest first.
    entries: Vec<Told>,
    /// What to ask with as `before` for earlier ones; null where none are kept.
    before: Option<Position>,
}

/// An entry, and where it stands.
#[derive(Debug, Serialize, JsonSchema)]
struct Told {
    position: Position,
    /// What was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<AuditEntry>,
    /// Else why it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<String>,
}

/// `GET /v1/audit`: the newest entries, newest first.
pub(super) async fn list(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    Asked(query): Asked<Query>,
) -> Result<Json<Entries>, Problem> {
    caller.may(Action::Tokens)?;
    if caller.token.sites.is_some() {
        let detail = format!("token \"{}\" is for some sites, and the log is of all", caller.id);
        return Err(Problem::new(StatusCode::FORBIDDEN).detail(detail));
    }
    let ends = shared.ledger.ends(Log::Audit).await.map_err(|error| refused(&error))?;
    if query.before.is_some_and(|before| before.epoch != ends.last.epoch) {
        return Err(bad("before: it is a position of another ledger"));
    }
    let found = read_back(&*shared.ledger, ends, &query).await;
    found.map(Json).map_err(|error| refused(&error))
}

/// Reads backwards, some entries at a time, until there are enough or too many were looked at.
async fn read_back(ledger: &dyn Ledger, ends: Ends, query: &Query) -> Result<Entries, LedgerError> {
    let limit = query.limit.unwrap_or(LIMIT).clamp(1, LIMIT_MAX);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    // The number of the newest entry that may be told.
    let mut to = query.before.map_or(ends.last.seq, |before| before.seq.saturating_sub(1));
    to = to.min(ends.last.seq);
    let lowest = to.saturating_sub(LOOKED_AT_MAX).max(ends.before_first.seq);
    let mut entries = Vec::new();
    while to > lowest && entries.len() < limit {
        let from = to.saturating_sub(LIMIT_MAX).max(lowest);
        let mut some = match between(ledger, Position { seq: from, ..ends.last }, to).await {
            // The oldest have gone meanwhile.
            Err(LedgerError::Lost(Lost::Trimmed { .. })) => break,
            read => read?,
        };
        while entries.len() < limit
            && let Some(told) = some.pop()
        {
            to = told.position.seq.saturating_sub(1);
            if query.what.as_ref().is_none_or(|what| told.says(what)) {
                entries.push(told);
            }
        }
        if some.is_empty() {
            to = to.min(from);
        }
    }
    let next = Position { seq: to.saturating_add(1), ..ends.last };
    Ok(Entries { entries, before: (to > ends.before_first.seq).then_some(next) })
}

/// The entries after `at` up to the number `to`, in their order.
async fn between(ledger: &dyn Ledger, mut at: Position, to: u64) -> Result<Vec<Told>, LedgerError> {
    let mut follow = ledger.follow(Log::Audit, at).await?;
    let mut told = Vec::new();
    while at.seq < to {
        for entry in follow.next().await? {
            at = entry.position;
            if at.seq <= to {
                let read = documents::decode::<AuditEntry>(&entry.value);
                let unreadable = read.as_ref().err().map(ToString::to_string);
                told.push(Told { position: at, entry: read.ok(), unreadable });
            }
        }
    }
    Ok(told)
}

impl Told {
    fn says(&self, what: &str) -> bool {
        self.entry.as_ref().is_some_and(|entry| entry.what == what)
    }
}
