//! The nodes and how far each has come.
//!
//! In: the ledger. Out: JSON. Always: `behind` counts the purges that a node has not applied. It
//! does not know whether a node can be reached.

use std::{net::SocketAddr, sync::Arc};

use axum::{Json, extract::State};
use nearcast_daemon::http_problem::Problem;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Shared, caller::Caller, refused};
use crate::{
    documents,
    ledger::{Ledger, LedgerError, Log, Position},
    node::{NODES, NodeDocument},
    token::Action,
};

/// The nodes.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Nodes {
    /// Each node, by name.
    nodes: Vec<Node>,
    /// The last purge.
    last: Position,
}

/// A node.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum Node {
    /// One that has said how far it is.
    Known {
        /// Its name.
        name: String,
        /// Where it serves.
        addresses: Vec<SocketAddr>,
        /// Up to where it has applied the purge log.
        applied: Position,
        /// Purges that it has not applied; null where its position is of another ledger.
        behind: Option<u64>,
    },
    /// One of another version.
    Unreadable {
        /// Its name.
        name: String,
        /// Why its document cannot be read.
        unreadable: String,
    },
}

/// `GET /v1/nodes`
pub(super) async fn list(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
) -> Result<Json<Nodes>, Problem> {
    caller.may(Action::Read)?;
    nodes(&*shared.ledger).await.map(Json).map_err(|error| refused(&error))
}

async fn nodes(ledger: &dyn Ledger) -> Result<Nodes, LedgerError> {
    // First the documents: a node that reports between the two is ahead, which is no news.
    let listing = ledger.list(NODES).await?;
    let last = ledger.ends(Log::Purges).await?.last;
    let told = listing.documents.iter().map(|found| {
        let name = found.key.name().to_owned();
        match documents::decode::<NodeDocument>(&found.value) {
            Ok(NodeDocument { addresses, applied }) => {
                let same = applied.epoch == last.epoch;
                let behind = same.then(|| last.seq.saturating_sub(applied.seq));
                Node::Known { name, addresses, applied, behind }
            }
            Err(error) => Node::Unreadable { name, unreadable: error.to_string() },
        }
    });
    Ok(Nodes { nodes: told.collect(), last })
}
