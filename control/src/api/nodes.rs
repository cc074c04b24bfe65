//! The nodes: how far each has come, what it has to do, and whether it is here.
//!
//! In: the ledger, the roster. Out: JSON. Always: `behind` counts the purges that a node has not
//! applied; whether it is here is what this process has seen of its reports. It does not know whether
//! a node can be reached.
//! Clause: docs/operate.md *The nodes*.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{Json, extract::State};
use http::{HeaderMap, StatusCode};
use nearcast_daemon::{http_path::Named, http_problem::Problem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Shared,
    audit::{self, Order},
    caller::Caller,
    drains::Drained,
    reading::{Asked, idempotency_key},
    refused,
};
use crate::{
    drain::{self, Drains, is_edge},
    ledger::{Ends, Ledger as _, LedgerError, Log, Position, Revision},
    node::{self, Load, Role},
    progress,
    roster::{Presence, Seen, Sighting},
    settings::LedgerLost,
    token::{Action, fingerprint},
};

/// The nodes.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Nodes {
    /// Each node, by name.
    nodes: Vec<Node>,
    /// Each drain, by node; a node that has gone may be drained still.
    drains: Vec<Drained>,
    /// The last purge.
    last: Position,
}

/// A node.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum Node {
    /// One that has said how far it is.
    Known(Box<Known>),
    /// One of another version.
    Unreadable {
        /// Its name.
        name: String,
        /// Whether it is here.
        state: Presence,
        /// For how long this node has not heard of it, in milliseconds.
        silent_ms: u64,
        /// Whether it is drained.
        drained: bool,
        /// Why its document cannot be read.
        unreadable: String,
    },
}

/// A node that has said how far it is.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
struct Known {
    /// Its name.
    name: String,
    /// Whether it is here.
    state: Presence,
    /// For how long this node has not heard of it, in milliseconds.
    silent_ms: u64,
    /// Where it serves.
    addresses: Vec<SocketAddr>,
    /// Under which addresses clients reach it, where that is known.
    reached_at: Vec<IpAddr>,
    /// Whether it is drained: GeoDNS sends nobody to it as long as there are others.
    drained: bool,
    /// Up to where it has applied the purge log; null where it holds nothing to purge.
    applied: Option<Position>,
    /// Purges that it has not applied, at least; null where its position is of another ledger, or none.
    behind: Option<u64>,
    /// The PoP that it belongs to.
    pop: Option<String>,
    /// What it does.
    roles: Vec<Role>,
    /// The version that it runs.
    version: String,
    /// What it had to do when it was heard of; null where it is no edge.
    load: Option<Load>,
    /// What it does without the ledger.
    ledger_lost: LedgerLost,
    /// Whether its lease has certainly lapsed: it asks origins before it reuses anything.
    lapsed: bool,
    /// Whether other processes go by its name; no purge is complete while they do.
    contested: bool,
}

/// `?force=`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    /// Whether it is removed though it may be here, or has ended and drains wait for what it answered.
    #[serde(default)]
    force: bool,
}

/// A node that was removed.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Removed {
    /// Its name.
    name: String,
    /// Whether it was here.
    state: Presence,
}

/// `DELETE /v1/nodes/{name}`
pub(super) async fn remove(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    Named(name): Named,
    Asked(query): Asked<Query>,
    fields: HeaderMap,
) -> Result<Json<Removed>, Problem> {
    caller.may(Action::Nodes)?;
    let once = idempotency_key(&fields)?;
    let once = once.map(|key| format!("node.remove.{}.{}", caller.id, fingerprint(key)));
    let former = match &once {
        Some(once) => audit::ordered(&shared, "node.remove", once).await?,
        None => None,
    };
    if let Some(former) = &former
        && (former.is_done || former.on["node"] != *name)
    {
        return repeated(name, &former.on);
    }
    let node = json!({ "node": name });
    let order = Order::new(&shared, &caller, ("node.remove", node), once.as_deref());
    let asked = shared.roster.confirm().await.map_err(|error| refused(&error))?;
    let found = Found::of(&name, &shared.roster.seen().borrow());
    let (Some(found), Some(key)) = (found, node::key_of(&name)) else {
        // It was removed, and nobody was told.
        if let Some(former) = former {
            order.done(Value::Null).await;
            return repeated(name, &former.on);
        }
        let detail = format!("there is no node {name:?}");
        return Err(Problem::new(StatusCode::NOT_FOUND).detail(detail));
    };
    found.may_go(&name, asked, query.force)?;
    let Found { revision, state, .. } = found;
    let order = order.saying(json!({ "force": query.force, "once": once, "state": state }));
    let deleted = order.delete(&key, revision).await.map_err(|error| match error {
        // It has just said something.
        LedgerError::Conflict { .. } => {
            Problem::new(StatusCode::CONFLICT).detail(stays(&name, Presence::Here))
        }
        error => refused(&error),
    });
    order.tried(deleted).await?;
    order.done(Value::Null).await;
    Ok(Json(Removed { name, state }))
}

/// A node that is to be removed, or the last word of one that has ended.
struct Found {
    revision: Revision,
    state: Presence,
    /// When its lease has lapsed.
    lapse: Option<Instant>,
    /// Until when its last word counts.
    cached_until: Option<Instant>,
}

impl Found {
    fn of(name: &str, seen: &Seen) -> Option<Self> {
        let node = seen.node(name).map(|node| Self {
            revision: node.revision,
            state: node.presence,
            lapse: progress::lapse(node),
            cached_until: None,
        });
        // It has ended, so it is not here.
        let ended = seen.ended().find(|(ended, _, _)| *ended == name);
        let word = |(_, word, until): (_, &Sighting, _)| Self {
            revision: word.revision,
            state: Presence::Away,
            lapse: None,
            cached_until: Some(until),
        };
        node.or_else(|| ended.map(word))
    }

    /// Whether it may be removed, as the ledger was when it was asked.
    fn may_go(&self, name: &str, asked: Instant, force: bool) -> Result<(), Problem> {
        let why = if let Some(lapse) = self.lapse.filter(|lapse| asked < *lapse) {
            holds(name, lapse - asked)
        } else if let Some(until) = self.cached_until.filter(|until| asked < *until && !force) {
            is_cached(name, until - asked)
        } else if self.state != Presence::Away && !force {
            stays(name, self.state)
        } else {
            return Ok(());
        };
        Err(Problem::new(StatusCode::CONFLICT).detail(why))
    }
}

/// What was answered when it was removed under the same key; it must be the same node.
fn repeated(name: String, on: &Value) -> Result<Json<Removed>, Problem> {
    let state = serde_json::from_value(on["state"].clone()).ok().filter(|_| on["node"] == *name);
    let Some(state) = state else {
        let detail = "this Idempotency-Key was used for another node";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY).detail(detail));
    };
    Ok(Json(Removed { name, state }))
}

/// Why a node is not removed, not even by force: purges would be complete while it serves.
fn holds(name: &str, still: Duration) -> String {
    format!(
        "node {name:?} may hold a lease, by which it serves what it has stored; purges wait for it, as \
         they must. Stop it first; if nothing is heard of it, it can be removed in {} s",
        still.as_secs() + 1
    )
}

/// Why the last word of a name server stays.
fn is_cached(name: &str, still: Duration) -> String {
    format!(
        "name server {name:?} has ended, and what it last answered may be cached for {} s more; drains \
         wait for that. With force its last word is removed all the same",
        still.as_secs() + 1
    )
}

/// Why a node is not removed.
fn stays(name: &str, state: Presence) -> String {
    let why = match state {
        Presence::Here => {
            "is here: purges wait for it, as they must. Stop it first, and it leaves by itself"
        }
        Presence::Away | Presence::Unknown => {
            "may be here: this node has not watched for as long as away_after of [control]. Try again \
             then"
        }
    };
    format!(
        "node {name:?} {why}; with force it is removed all the same, and is back once it is heard of"
    )
}

/// `GET /v1/nodes`
pub(super) async fn list(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
) -> Result<Json<Nodes>, Problem> {
    caller.may(Action::Read)?;
    nodes(&shared).await.map(Json).map_err(|error| refused(&error))
}

async fn nodes(shared: &Shared) -> Result<Nodes, LedgerError> {
    // First the documents: a node that reports between the two is ahead, which is no news.
    let asked = shared.roster.confirm().await?;
    let ends = shared.ledger.ends(Log::Purges).await?;
    let drains = drain::list(&*shared.ledger).await?;
    let seen = shared.roster.seen();
    let seen = seen.borrow();
    let node = |(name, sighting)| told((name, sighting), &drains, ends, asked);
    let nodes = seen.nodes().map(node).collect();
    Ok(Nodes { nodes, drains: Drained::all(&drains, &seen), last: ends.last })
}

fn told((name, sighting): (&str, &Sighting), drains: &Drains, ends: Ends, asked: Instant) -> Node {
    let silent = asked.saturating_duration_since(sighting.at).as_millis();
    let silent_ms = u64::try_from(silent).unwrap_or(u64::MAX);
    let drained = drains.has(name);
    let (name, state) = (name.to_owned(), sighting.presence);
    let document = match &sighting.document {
        Ok(document) => document.clone(),
        Err(error) => {
            let unreadable = error.clone();
            return Node::Unreadable { name, state, silent_ms, drained, unreadable };
        }
    };
    let contested = document.is_contested();
    let ledger_lost = match document.lease() {
        Some(_) => LedgerLost::Revalidate,
        None => LedgerLost::Serve,
    };
    Node::Known(Box::new(Known {
        name,
        state,
        silent_ms,
        addresses: document.addresses,
        reached_at: document.reached_at,
        drained,
        applied: document.applied,
        behind: document.applied.and_then(|applied| ends.after(applied)),
        pop: document.pop,
        roles: document.roles,
        version: document.version,
        load: is_edge(sighting).then_some(document.load),
        ledger_lost,
        lapsed: progress::lapse(sighting).is_some_and(|lapse| asked >= lapse),
        contested,
    }))
}
