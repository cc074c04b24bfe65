//! Draining a node, and taking that back.
//!
//! In: a node's name, a roster. Out: the drain, or why there is none. Always: as `drain.rs` says. It
//! does not know who orders it, nor why.

use std::net::IpAddr;

use super::{DRAINS, Drain, DrainDocument, addresses, is_edge, key_of, list};
use crate::{
    documents,
    ledger::{Expect, Ledger, LedgerError, Revision},
    roster::{Roster, Sighting},
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
    /// GeoDNS would go on sending clients to it.
    #[error(
        "where clients reach node {0:?} is not known, so GeoDNS would go on answering with it: it \
         listens on all addresses of its machine and names none. Set addresses in its [node] and \
         start it again; with force it is drained all the same, and out of answers once it says where \
         it is reached"
    )]
    NoAddresses(String),
    /// The same, as what it says is not understood.
    #[error(
        "where clients reach node {node:?} is not known here: what it says cannot be read ({why}). Ask \
         a node of its version; with force it is drained all the same, and out of answers of GeoDNS \
         nodes that know where it is reached"
    )]
    Unreadable {
        /// Its name.
        node: String,
        /// Why it cannot be read.
        why: String,
    },
    /// There would be no other.
    #[error(
        "node {0:?} is the last edge that is neither drained nor away and says where clients reach it, \
         so they would have none left; with force it is drained all the same, and GeoDNS answers with \
         it as long as there is no other"
    )]
    LastEdge(String),
    /// There are too many.
    #[error(
        "there are {DRAINS_MAX} drains, and no more are kept; take back (node undrain) those of nodes \
         that are gone for good, which node list names"
    )]
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
        let addresses = match reached(name, sighting) {
            Err(DrainError::NoAddresses(_) | DrainError::Unreadable { .. }) if force => Vec::new(),
            reached => reached?,
        };
        if !force && !drains.leave_an_edge(&seen, name) {
            return Err(DrainError::LastEdge(name.to_owned()));
        }
        addresses
    };
    if drains.by_node.len() >= DRAINS_MAX {
        return Err(DrainError::TooMany);
    }
    let document = DrainDocument { addresses, ..said };
    let bytes = documents::encode(&document);
    let bytes = bytes.map_err(|error| LedgerError::Unavailable(error.to_string()))?;
    let revision = ledger.write(&key, bytes, Expect::Absent).await?;
    if force {
        return Ok((Drain { document, revision }, false));
    }
    // Another may have been drained meanwhile: then each of the two sees the other's.
    match leaves_an_edge(ledger, roster, name).await {
        Ok(true) => Ok((Drain { document, revision }, false)),
        left => {
            // What could not be looked at is not acknowledged, so it shall not hold either.
            ledger.delete(&key, revision).await?;
            left?;
            Err(DrainError::LastEdge(name.to_owned()))
        }
    }
}

/// Where clients reach a node.
fn reached(name: &str, sighting: &Sighting) -> Result<Vec<IpAddr>, DrainError> {
    let node = || name.to_owned();
    if let Err(why) = &sighting.document {
        return Err(DrainError::Unreadable { node: node(), why: why.clone() });
    }
    if !is_edge(sighting) {
        return Err(DrainError::NoEdge(node()));
    }
    let addresses = addresses(sighting);
    if addresses.is_empty() { Err(DrainError::NoAddresses(node())) } else { Ok(addresses) }
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
