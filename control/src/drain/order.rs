//! Draining a node, and taking that back.
//!
//! In: a node's name, a roster. Out: the drain, or why there is none. Always: as `drain.rs` says. It
//! does not know who orders it, nor why.

use super::{DRAINS, Drain, DrainDocument, addresses, is_edge, key_of, list};
use crate::{
    documents,
    ledger::{Expect, Ledger, LedgerError, Revision},
    roster::Roster,
};

/// Drains, at most: as many nodes as anybody has.
pub(crate) const DRAINS_MAX: usize = 1000;

/// Why a node is not drained, or its drain not taken back.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// There is no such node.
    #[error("there is no node {0:?}")]
    NoSuchNode(String),
    /// It is not drained.
    #[error("node {0:?} is not drained")]
    NotDrained(String),
    /// Nobody is sent to it.
    #[error(
        "node {0:?} is no edge, so GeoDNS sends nobody to it; stop it, and queries go elsewhere"
    )]
    NoEdge(String),
    /// There would be no other.
    #[error(
        "node {0:?} is the last edge that is neither drained nor away, so clients would have none \
         left; with force it is drained all the same, and GeoDNS answers with it as long as there is \
         no other"
    )]
    LastEdge(String),
    /// There are too many.
    #[error("there are {DRAINS_MAX} drains; take back those of nodes that are gone")]
    TooMany,
    /// The ledger says no.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Drains a node, which it then is, even if it was before; says whether it was.
///
/// # Errors
/// When it is not drained.
pub async fn drain(
    ledger: &dyn Ledger,
    roster: &Roster,
    (name, force): (&str, bool),
    said: DrainDocument,
) -> Result<(Drain, bool), DrainError> {
    let no_such = || DrainError::NoSuchNode(name.to_owned());
    let key = key_of(name).ok_or_else(no_such)?;
    roster.confirm().await?;
    let drains = list(ledger).await?;
    if let Some(former) = drains.by_node.get(name) {
        return Ok((former.clone(), true));
    }
    let addresses = {
        let seen = roster.seen();
        let seen = seen.borrow();
        let sighting = seen.node(name).ok_or_else(no_such)?;
        if sighting.document.is_ok() && !is_edge(sighting) {
            return Err(DrainError::NoEdge(name.to_owned()));
        }
        if !force && !drains.leave_an_edge(&seen, name) {
            return Err(DrainError::LastEdge(name.to_owned()));
        }
        addresses(sighting)
    };
    if drains.by_node.len() >= DRAINS_MAX {
        return Err(DrainError::TooMany);
    }
    let document = DrainDocument { addresses, ..said };
    let bytes = documents::encode(&document);
    let bytes = bytes.map_err(|error| LedgerError::Unavailable(error.to_string()))?;
    let revision = ledger.write(&key, bytes, Expect::Absent).await?;
    // Another may have been drained meanwhile: then each of the two sees the other's.
    if !force && !leaves_an_edge(ledger, roster, name).await? {
        ledger.delete(&key, revision).await?;
        return Err(DrainError::LastEdge(name.to_owned()));
    }
    Ok((Drain { document, revision }, false))
}

async fn leaves_an_edge(
    ledger: &dyn Ledger,
    roster: &Roster,
    name: &str,
) -> Result<bool, LedgerError> {
    let drains = list(ledger).await?;
    Ok(drains.leave_an_edge(&roster.seen().borrow(), name))
}

/// Takes a drain back.
///
/// # Errors
/// When there is none, or the ledger does not take that.
pub async fn undrain(ledger: &dyn Ledger, name: &str) -> Result<Revision, DrainError> {
    let none = || DrainError::NotDrained(name.to_owned());
    let key = key_of(name).ok_or_else(none)?;
    debug_assert!(key.as_str().starts_with(DRAINS), "it is a drain's");
    let found = ledger.read(&key).await?.ok_or_else(none)?;
    Ok(ledger.delete(&key, found.revision).await?)
}
