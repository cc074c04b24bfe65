//! The nodes and how far each has come.
//!
//! In: the ledger. Out: JSON. Always: `behind` counts the purges that a node has not applied. It
//! does not know whether a node can be reached.

use std::sync::Arc;

use axum::{Json, extract::State};
use nearcast_daemon::http_problem::Problem;
use serde_json::{Value, json};

use super::{Shared, caller::Caller, refused};
use crate::{
    documents,
    ledger::{Ledger, LedgerError, Log},
    node::{NODES, NodeDocument},
    token::Action,
};

/// `GET /v1/nodes`
pub(super) async fn list(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
) -> Result<Json<Value>, Problem> {
    caller.may(Action::Read)?;
    nodes(&*shared.ledger).await.map(Json).map_err(|error| refused(&error))
}

async fn nodes(ledger: &dyn Ledger) -> Result<Value, LedgerError> {
    // First the documents: a node that reports between the two is ahead, which is no news.
    let listing = ledger.list(NODES).await?;
    let last = ledger.ends(Log::Purges).await?.last;
    let told = listing.documents.iter().map(|found| {
        let name = found.key.name();
        match documents::decode::<NodeDocument>(&found.value) {
            Ok(node) => {
                let same = node.applied.epoch == last.epoch;
                let behind = same.then(|| last.seq.saturating_sub(node.applied.seq));
                json!({
                    "name": name,
                    "addresses": node.addresses,
                    "applied": node.applied,
                    "behind": behind,
                })
            }
            Err(error) => json!({ "name": name, "unreadable": error.to_string() }),
        }
    });
    Ok(json!({ "nodes": told.collect::<Vec<_>>(), "last": last }))
}
