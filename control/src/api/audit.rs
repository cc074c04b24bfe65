//! Who did what: the audit log.
//!
//! In: what was done. Out: an entry of the log, and the newest entries. Always: only what was done
//! is written, never what was refused; an entry that cannot be written is logged, since what it
//! speaks of is done already. It does not know why.

use std::{net::IpAddr, sync::Arc};

use axum::{Json, extract::State};
use http::StatusCode;
use nearcast_daemon::http_problem::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Shared, caller::Caller, reading::Asked, refused};
use crate::{
    documents,
    ledger::{Ledger, LedgerError, Log, Position},
    token::Action,
};

/// Entries of one answer, at most, and without `limit`.
const LIMIT_MAX: u64 = 1000;
/// See [`LIMIT_MAX`].
const LIMIT: u64 = 100;

/// An entry.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct AuditEntry {
    /// When, for people.
    pub(super) at: String,
    /// The id of the token.
    pub(super) who: String,
    /// Where the order came from.
    pub(super) from: Option<IpAddr>,
    /// What was done: `purge`, `token.make`, `token.revoke`.
    pub(super) what: String,
    /// What it was done to, and how.
    pub(super) on: Value,
}

/// Writes down what `caller` did.
pub(super) async fn note(shared: &Shared, caller: &Caller, what: &str, on: Value) {
    let entry = AuditEntry {
        at: shared.at(),
        who: caller.id.clone(),
        from: caller.from,
        what: what.to_owned(),
        on,
    };
    let written = async {
        let bytes = documents::encode(&entry);
        let bytes = bytes.map_err(|error| LedgerError::Unavailable(error.to_string()))?;
        shared.ledger.append(Log::Audit, bytes, None).await
    };
    if let Err(error) = written.await {
        tracing::error!(%error, who = caller.id, what, on = %entry.on, "done, but not in the audit log");
    }
}

/// `?limit=`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    /// Entries, at most: 100 unless it says otherwise, and no more than 1000.
    #[serde(default)]
    limit: Option<u64>,
}

/// The newest entries.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Entries {
    /// The newest first.
    entries: Vec<Told>,
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
    let limit = query.limit.unwrap_or(LIMIT).clamp(1, LIMIT_MAX);
    let mut entries = newest(&*shared.ledger, limit).await.map_err(|error| refused(&error))?;
    entries.reverse();
    Ok(Json(Entries { entries }))
}

async fn newest(ledger: &dyn Ledger, limit: u64) -> Result<Vec<Told>, LedgerError> {
    let ends = ledger.ends(Log::Audit).await?;
    let from = ends.last.seq.saturating_sub(limit).max(ends.before_first.seq);
    let mut at = Position { seq: from, ..ends.last };
    let mut follow = ledger.follow(Log::Audit, at).await?;
    let mut told = Vec::new();
    while !at.has_reached(ends.last) {
        for entry in follow.next().await? {
            at = entry.position;
            let read = documents::decode::<AuditEntry>(&entry.value);
            let unreadable = read.as_ref().err().map(ToString::to_string);
            told.push(Told { position: at, entry: read.ok(), unreadable });
        }
    }
    // Others may have come meanwhile.
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = told.len().saturating_sub(limit);
    told.drain(..more);
    Ok(told)
}
