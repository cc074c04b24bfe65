//! Drains in a copy.
//!
//! In: documents; drains of a copy. Out: drains; the documents that put them into a ledger.
//! Always: a node that is drained there already is as it was, and none is undrained: clients are sent to
//! nobody by a copy; who puts it in may drain nodes, and leaves clients an edge unless they force it. It does not know which nodes there are.
//! Clause: docs/operate.md *Copies of a ledger*.

use std::{collections::BTreeSet, net::IpAddr};

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CopyError, Import, encode, is_for_people};
use crate::{
    documents,
    drain::{self, DRAINS, DRAINS_MAX, Drain, DrainDocument, key_of},
    ledger::{Document, Expect, Key, Ledger, LedgerError},
};

/// A drain in a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CopiedDrain {
    /// The node's name.
    pub node: String,
    /// Under which addresses it was reached when it was drained.
    pub addresses: Vec<IpAddr>,
    /// The id of the token that ordered it.
    pub by: String,
    /// When, for people.
    pub at: String,
}

/// Those among the documents of a ledger.
pub(super) fn copied(documents: &[Document]) -> Vec<CopiedDrain> {
    let drains = documents.iter().filter(|found| found.key.as_str().starts_with(DRAINS));
    let drains = drains.map(|found| {
        // It is one whatever else it says.
        let document: DrainDocument = documents::decode(&found.value).unwrap_or_default();
        let DrainDocument { addresses, by, at } = document;
        CopiedDrain { node: found.key.name().to_owned(), addresses, by, at }
    });
    drains.collect()
}

/// The documents of those that the ledger does not have.
pub(super) async fn new(
    ledger: &dyn Ledger,
    drains: &[CopiedDrain],
    how: &Import<'_>,
) -> Result<Vec<(Key, Bytes)>, CopyError> {
    let before = drain::list(ledger).await?;
    let (mut new, mut nodes, mut after) = (Vec::new(), BTreeSet::new(), before.clone());
    for CopiedDrain { node, addresses, by, at } in drains.iter().cloned() {
        let broken = |fault: &str| CopyError::Broken(format!("drain of {node:?}: {fault}"));
        let key = key_of(&node).ok_or_else(|| broken("it is no name of a node"))?;
        if !nodes.insert(node.clone()) {
            return Err(broken("it is there twice"));
        }
        if ![&by, &at].into_iter().all(|word| is_for_people(word)) {
            return Err(broken("its time or its author is none"));
        }
        if !before.has(&node) {
            let document = DrainDocument { addresses, by, at };
            new.push((key, encode(&document)?));
            after.by_node.insert(node, Drain { document, revision: before.revision });
        }
    }
    if let Some((key, _)) = new.first().filter(|_| !how.may_drain) {
        return Err(CopyError::MayNotDrain(key.name().to_owned()));
    }
    if !how.force && !(how.leaves_an_edge)(&before, &after) {
        return Err(CopyError::LastEdge);
    }
    if after.by_node.len() > DRAINS_MAX {
        return Err(CopyError::TooManyDrains);
    }
    Ok(new)
}

/// Writes them; somebody may drain the same node meanwhile.
pub(super) async fn write(ledger: &dyn Ledger, new: &[(Key, Bytes)]) -> Result<(), LedgerError> {
    for (key, value) in new {
        match ledger.write(key, value.clone(), Expect::Absent).await {
            Ok(_) | Err(LedgerError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
