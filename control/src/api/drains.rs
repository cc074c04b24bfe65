//! Nodes are drained, and taken back in.
//!
//! In: callers that may. Out: the drain. Always: it is in the ledger when it is answered, and says
//! nothing yet of who goes by it. It does not know GeoDNS.
//! Clause: docs/operate.md *Draining a node*.

use std::sync::Arc;

use axum::{Json, extract::State};
use http::StatusCode;
use nearcast_daemon::{http_path::Named, http_problem::Problem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Shared, audit::Order, caller::Caller, internal, reading::Asked, refused};
use crate::{
    drain::{self, Drain, DrainDocument, DrainError},
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
    let on = json!({ "node": name, "force": force });
    let order = Order::new(&shared, &caller, ("node.drain", on), None);
    let drained = drain::drain(&order, &shared.roster, (&name, force), said).await;
    drop(turn);
    let (drain, _) = order.tried(drained.map_err(|error| problem(&error))).await?;
    order.done(Value::Null).await;
    Ok(Json(Drained::of(name, &drain)))
}

/// `DELETE /v1/nodes/{name}/drain`
pub(super) async fn undrain(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    Named(name): Named,
) -> Result<Json<Undrained>, Problem> {
    caller.may(Action::Nodes)?;
    let order = Order::new(&shared, &caller, ("node.undrain", json!({ "node": name })), None);
    let undrained = drain::undrain(&order, &name).await.map_err(|error| problem(&error));
    order.tried(undrained).await?;
    order.done(Value::Null).await;
    Ok(Json(Undrained { node: name }))
}

impl Drained {
    /// What is told of a drain.
    pub(super) fn of(node: String, Drain { document, .. }: &Drain) -> Self {
        Self { node, by: document.by.clone(), at: document.at.clone() }
    }
}

fn problem(error: &DrainError) -> Problem {
    let status = match error {
        DrainError::NoSuchNode(_) | DrainError::NotDrained(_) => StatusCode::NOT_FOUND,
        DrainError::NoEdge(_) | DrainError::LastEdge(_) | DrainError::TooMany => {
            StatusCode::CONFLICT
        }
        DrainError::Ledger(error) => return refused(error),
    };
    Problem::new(status).detail(error.to_string())
}
