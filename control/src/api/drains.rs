//! Nodes are drained, and taken back in.
//!
//! In: callers that may. Out: the drain. Always: it is in the ledger when it is answered, and says
//! nothing yet of who goes by it. It does not know GeoDNS.
//! Clause: docs/operate.md *Draining a node*.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use axum::{Json, extract::State};
use http::StatusCode;
use nearcast_daemon::{http_path::Named, http_problem::Problem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Shared, audit, caller::Caller, internal, reading::Asked, refused};
use crate::{
    drain::{self, DrainDocument, DrainError, Drains},
    roster::Seen,
    token::Action,
};

/// `?force=`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    /// Whether it is drained even if it is the last edge.
    #[serde(default)]
    force: bool,
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
    Asked(Query { force }): Asked<Query>,
) -> Result<Json<Drained>, Problem> {
    caller.may(Action::Nodes)?;
    let turn = shared.draining.acquire().await.map_err(|error| internal(&error))?;
    let said = DrainDocument { by: caller.id.clone(), at: shared.at(), ..DrainDocument::default() };
    let drained = drain::drain(&*shared.ledger, &shared.roster, (&name, force), said).await;
    let (drain, repeated) = drained.map_err(|error| problem(&error))?;
    drop(turn);
    if !repeated {
        let on = json!({ "node": name, "force": force });
        audit::note(&shared, &caller, "node.drain", on, None).await;
    }
    // This drain is among those that are out, whatever else came meanwhile.
    let mut drains = drain::list(&*shared.ledger).await.map_err(|error| refused(&error))?;
    drains.by_node.insert(name.clone(), drain.clone());
    Ok(Json(Drained::of(&name, &drains, &shared.roster.seen().borrow())))
}

/// `DELETE /v1/nodes/{name}/drain`
pub(super) async fn undrain(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    Named(name): Named,
) -> Result<Json<Undrained>, Problem> {
    caller.may(Action::Nodes)?;
    drain::undrain(&*shared.ledger, &name).await.map_err(|error| problem(&error))?;
    audit::note(&shared, &caller, "node.undrain", json!({ "node": name }), None).await;
    Ok(Json(Undrained { node: name }))
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
