//! Who did what: the audit log.
//!
//! In: orders, as they are carried out ([`Order`]). Out: entries, newest first, back to the oldest that is
//! kept. Always: an entry says what came of it, or that this is not known; what is refused before
//! anything is written has none; one answer looks at a bounded number of lines. It does not know why.
//! Clause: docs/operate.md *Who did what*.

mod back;
mod line;
mod order;

use std::sync::Arc;

use axum::{Json, extract::State};
use http::StatusCode;
use nearcast_daemon::http_problem::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(super) use self::order::Order;
use self::{
    back::{Back, after, unless_gone},
    line::{AuditEntry, Begun, Line, Outcome, Outcomes},
};
use super::{Shared, bad, caller::Caller, reading::Asked, refused};
use crate::{
    ledger::{Ends, Ledger, LedgerError, Log, Position},
    token::Action,
};

/// Entries of one answer, at most, and without `limit`.
const LIMIT_MAX: u64 = 1000;
/// See [`LIMIT_MAX`].
const LIMIT: u64 = 100;

/// An order that was begun, and not refused.
#[derive(Debug)]
pub(super) struct Former {
    order: String,
    /// What it was done to, and how.
    pub(super) on: Value,
    /// Whether the log says that it was done; else nobody knows.
    pub(super) is_done: bool,
}

/// What was ordered under the name `once`, and not refused, if that is among the newest lines of the log.
pub(super) async fn ordered(
    shared: &Shared,
    what: &str,
    once: &str,
) -> Result<Option<Former>, Problem> {
    let is_it = |begun: &Begun| begun.what == what && begun.on["once"] == once;
    former(&*shared.ledger, &is_it).await.map_err(|error| refused(&error))
}

/// The newest order that `is_it`, of those that were not refused, if it is among the newest lines.
async fn former(
    ledger: &dyn Ledger,
    is_it: &(dyn Fn(&Begun) -> bool + Sync),
) -> Result<Option<Former>, LedgerError> {
    let ends = ledger.ends(Log::Audit).await?;
    let mut outcomes = Outcomes::default();
    let mut back = Back::new(ledger, ends, ends.last.seq);
    while let Some(some) = back.next().await? {
        for (_, line) in some.into_iter().rev() {
            match line {
                Ok(Line::Ended(ended)) => outcomes.take(ended),
                Ok(Line::Begun(begun)) if is_it(&begun) => {
                    let order = begun.order.clone();
                    let AuditEntry { on, outcome, .. } = outcomes.entry(begun);
                    if outcome != Outcome::Refused {
                        return Ok(Some(Former { order, on, is_done: outcome == Outcome::Done }));
                    }
                }
                Ok(Line::Begun(_)) | Err(_) => {}
            }
        }
    }
    Ok(None)
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

/// Reads backwards, some lines at a time, until there are enough or too many were looked at.
async fn read_back(ledger: &dyn Ledger, ends: Ends, query: &Query) -> Result<Entries, LedgerError> {
    let limit = query.limit.unwrap_or(LIMIT).clamp(1, LIMIT_MAX);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    // The number of the newest line that may be told.
    let mut to = query.before.map_or(ends.last.seq, |before| before.seq.saturating_sub(1));
    to = to.min(ends.last.seq);
    let mut outcomes = later(ledger, ends, to).await?;
    let mut back = Back::new(ledger, ends, to);
    let mut entries = Vec::new();
    while entries.len() < limit
        && let Some(mut some) = back.next().await?
    {
        while entries.len() < limit
            && let Some((position, line)) = some.pop()
        {
            to = position.seq.saturating_sub(1);
            let told = match line {
                Ok(Line::Ended(ended)) => {
                    outcomes.take(ended);
                    continue;
                }
                Ok(Line::Begun(begun)) => {
                    let entry = Some(outcomes.entry(begun));
                    Told { position, entry, unreadable: None }
                }
                Err(error) => Told { position, entry: None, unreadable: Some(error.to_string()) },
            };
            if query.what.as_ref().is_none_or(|what| told.says(what)) {
                entries.push(told);
            }
        }
        if some.is_empty() {
            to = to.min(back.to);
        }
    }
    let next = Position { seq: to.saturating_add(1), ..ends.last };
    Ok(Entries { entries, before: (to > ends.before_first.seq).then_some(next) })
}

/// What came of orders that were begun up to the number `to`, as the lines after it say: as many as one
/// answer looks at, so that it tells the same of an order wherever it begins.
async fn later(ledger: &dyn Ledger, ends: Ends, to: u64) -> Result<Outcomes, LedgerError> {
    let mut outcomes = Outcomes::default();
    if !(ends.before_first.seq..ends.last.seq).contains(&to) {
        return Ok(outcomes);
    }
    let lines = after(ledger, Position { seq: to, ..ends.last }, ends.last.seq).await;
    for (_, line) in unless_gone(lines)?.unwrap_or_default() {
        if let Ok(Line::Ended(ended)) = line {
            outcomes.take(ended);
        }
    }
    Ok(outcomes)
}

impl Told {
    fn says(&self, what: &str) -> bool {
        self.entry.as_ref().is_some_and(|entry| entry.what == what)
    }
}
