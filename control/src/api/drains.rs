//! Nodes are drained, and taken back in.
//!
//! In: callers that may. Out: the drain, and how far it has come. Always: it is in the ledger when it is
//! answered. It does not know GeoDNS.
//! Clause: docs/operate.md *Draining a node*.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};

use axum::{Json, extract::State};
use http::{HeaderMap, StatusCode};
use nearcast_daemon::{http_path::Named, http_problem::Problem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::{
    Shared,
    audit::Order,
    caller::Caller,
    internal,
    reading::{Asked, idempotency_key, wait},
    refused,
};
use crate::{
    drain::{self, DrainDocument, DrainError, Drains, Progress, State as Far, Watching},
    ledger::{LedgerError, Log, Position},
    roster::Seen,
    token::Action,
};

/// How long a drain's answer waits for those to be taken out of the ledger who have ended.
const SWEPT_WITHIN: Duration = Duration::from_secs(1);

/// `?force=`, `?wait=`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    /// Whether it is drained even if it is the last edge, or nobody knows where clients reach it.
    #[serde(default)]
    force: bool,
    /// How long to wait until it has no connections of clients any more, as 20s; at most half a second
    /// less than request_deadline of [admin], whatever is asked.
    #[serde(default)]
    wait: Option<String>,
}

/// `?wait=`, `?until=`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Look {
    /// How long to wait until it is that far, as 20s; at most half a second less than request_deadline of
    /// [admin], whatever is asked.
    #[serde(default)]
    wait: Option<String>,
    /// How far it is waited for; to its end unless this says otherwise.
    #[serde(default)]
    until: Option<Far>,
}

/// A node that is drained.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Drained {
    /// Its name.
    node: String,
    /// The id of the token that ordered it.
    by: String,
    /// When, for people.
    at: String,
    /// Its addresses that GeoDNS answers without, as long as there are others; none where nobody knows
    /// where clients reach it, or other nodes have them as well.
    addresses: Vec<IpAddr>,
}

/// A node that is drained, and how far that is.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Draining {
    #[serde(flatten)]
    drained: Drained,
    /// How far it has come; null where nobody looked.
    progress: Option<Progress>,
}

/// A node that is drained no more.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Undrained {
    /// Its name.
    node: String,
}

/// `PUT /v1/nodes/{name}/drain`
pub(super) async fn drain(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    Named(name): Named,
    Asked(Query { force, wait: longest }): Asked<Query>,
    fields: HeaderMap,
) -> Result<Json<Draining>, Problem> {
    caller.may(Action::Nodes)?;
    let wait = wait(longest.as_deref(), shared.wait_max)?;
    // Who drains it twice changes nothing; only what is missing in the log is found by the key.
    let key = idempotency_key(&fields)?;
    let turn = shared.draining.acquire().await.map_err(|error| internal(&error))?;
    let said = DrainDocument { by: caller.id.clone(), at: shared.at(), ..DrainDocument::default() };
    let on = json!({ "node": name, "force": force });
    let order = Order::new(&shared, &caller, ("node.drain", on), key);
    let drained = drain::drain(&order, &shared.roster, (&name, force), said).await;
    drop(turn);
    order.tried(drained.map_err(|error| problem(&error))).await?;
    order.done(Value::Null).await;
    // Behind what was ordered, and what is left of them is the next one's.
    drop(timeout(SWEPT_WITHIN, shared.roster.sweep()).await);
    told(&shared, &name, wait.map(|wait| (wait, Far::Ended))).await
}

/// `GET /v1/nodes/{name}/drain`
pub(super) async fn progress(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    Named(name): Named,
    Asked(Look { wait: longest, until }): Asked<Look>,
) -> Result<Json<Draining>, Problem> {
    if !caller.token.may(Action::Nodes) {
        caller.may(Action::Read)?;
    }
    let wait = wait(longest.as_deref(), shared.wait_max)?;
    let wait = (wait.unwrap_or_default(), until.unwrap_or(Far::Ended));
    told(&shared, &name, Some(wait)).await
}

/// A drain, and how far it is after a wait.
async fn told(
    shared: &Shared,
    name: &str,
    wait: Option<(Duration, Far)>,
) -> Result<Json<Draining>, Problem> {
    let none = || problem(&DrainError::NotDrained(name.to_owned()));
    let refuse = |error: LedgerError| refused(&error);
    let list = async || drain::list(&*shared.ledger).await.map_err(refuse);
    let mut drains = list().await?;
    let revision = drains.by_node.get(name).ok_or_else(none)?.revision;
    let mut progress = None;
    if let Some((wait, far)) = wait {
        let until = Instant::now() + wait;
        let epoch = shared.ledger.ends(Log::Purges).await.map_err(refuse)?.last.epoch;
        let at = Position { epoch, seq: revision.0 };
        let watching = Watching::begin((&shared.roster, &shared.settled), &drains, (name, at));
        progress = Some(watching.wait(far, until).await.map_err(refuse)?);
        drains = list().await?;
        // Of one that was taken back meanwhile there is nothing to tell.
        if drains.by_node.get(name).is_none_or(|drain| drain.revision != revision) {
            return Err(none());
        }
    }
    let drained = Drained::of(name, &drains, &shared.roster.seen().borrow());
    Ok(Json(Draining { drained, progress }))
}

/// `DELETE /v1/nodes/{name}/drain`
pub(super) async fn undrain(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    Named(name): Named,
    fields: HeaderMap,
) -> Result<Json<Undrained>, Problem> {
    caller.may(Action::Nodes)?;
    let key = idempotency_key(&fields)?;
    let order = Order::new(&shared, &caller, ("node.undrain", json!({ "node": name })), key);
    let undrained = match drain::undrain(&order, &name).await {
        // It was taken back by this order, and nobody was told.
        Err(DrainError::NotDrained(_)) if was_ordered(&order).await? => Ok(()),
        undrained => undrained.map(drop).map_err(|error| problem(&error)),
    };
    order.tried(undrained).await?;
    order.done(Value::Null).await;
    Ok(Json(Undrained { node: name }))
}

async fn was_ordered(order: &Order<'_>) -> Result<bool, Problem> {
    let former = order.former().await.map_err(|error| refused(&error))?;
    Ok(former.is_some())
}

impl Drained {
    /// What is told of one of these drains.
    pub(super) fn of(node: &str, drains: &Drains, seen: &Seen) -> Self {
        Self::among(node, drains, seen, &drains.addresses_out(seen, &BTreeSet::new()))
    }

    /// What is told of each of these.
    pub(super) fn all(drains: &Drains, seen: &Seen) -> Vec<Self> {
        let out = drains.addresses_out(seen, &BTreeSet::new());
        drains.by_node.keys().map(|node| Self::among(node, drains, seen, &out)).collect()
    }

    fn among(node: &str, drains: &Drains, seen: &Seen, out: &BTreeSet<IpAddr>) -> Self {
        let DrainDocument { by, at, .. } =
            drains.by_node.get(node).map(|drain| drain.document.clone()).unwrap_or_default();
        let addresses = drains.addresses_of(node, seen).intersection(out).copied().collect();
        Self { node: node.to_owned(), by, at, addresses }
    }
}

fn problem(error: &DrainError) -> Problem {
    let status = match error {
        DrainError::NoSuchNode(_) | DrainError::NotDrained(_) => StatusCode::NOT_FOUND,
        DrainError::NoEdge(_)
        | DrainError::NoAddresses(_)
        | DrainError::Unreadable { .. }
        | DrainError::LastEdge(_)
        | DrainError::TooMany => StatusCode::CONFLICT,
        DrainError::Ledger(error) => return refused(error),
    };
    Problem::new(status).detail(error.to_string())
}
