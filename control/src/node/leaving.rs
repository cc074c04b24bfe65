//! A node that has ended, taken out of the ledger.
//!
//! In: a node's name, the process that went by it. Out: a ledger in which nobody waits for it.
//! Always: only what that process wrote itself is taken away; where another goes by the name as well,
//! that one has the place from then on, and where it has it already, this one takes itself off. Of a
//! name server the last word stays, since its answers may be cached: until when nobody can have one.
//! It does not know whether the ledger is there.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::{Incarnation, NODES, NodeDocument, Retry, document::LastWord};
use crate::{
    documents,
    ledger::{Expect, Key, Ledger, LedgerError},
};

/// A node that the ledger still has, though it serves no more; dropped, it stays so, which is right
/// for one that joins again.
#[derive(Debug)]
pub struct Leaving {
    _task: JoinSet<()>,
}

impl Leaving {
    /// Takes out what this process wrote at `key`, however long that takes; inside a runtime.
    #[must_use]
    pub fn begin(ledger: Arc<dyn Ledger>, key: Key, own: Incarnation) -> Self {
        Self::begin_with(ledger, key, own, None)
    }

    /// The same of one that has a last word.
    pub(super) fn begin_with(
        ledger: Arc<dyn Ledger>,
        key: Key,
        own: Incarnation,
        last: Option<LastWord>,
    ) -> Self {
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut retry = Retry::default();
            while forget(&*ledger, &key, &own, last.as_ref()).await.is_err() {
                retry.wait().await;
            }
        });
        Self { _task: task }
    }
}

/// Takes the documents away of nodes that are none of `names`: of a ledger that is one process's,
/// they are former ones.
///
/// # Errors
/// When the ledger does not take that.
pub async fn forget_others(ledger: &dyn Ledger, names: &[&str]) -> Result<(), LedgerError> {
    for document in ledger.list(NODES).await?.documents {
        if !names.contains(&document.key.name()) {
            ledger.delete(&document.key, document.revision).await?;
        }
    }
    Ok(())
}

/// Takes out what this process wrote; its `last` word stays, if it has one.
pub(super) async fn forget(
    ledger: &dyn Ledger,
    key: &Key,
    own: &Incarnation,
    last: Option<&LastWord>,
) -> Result<(), LedgerError> {
    let Some(found) = ledger.read(key).await? else { return Ok(()) };
    match without(&found.value, own, last)? {
        Without::Nothing => ledger.delete(key, found.revision).await.map(drop),
        Without::Left(left) => ledger.write(key, left, Expect::At(found.revision)).await.map(drop),
        Without::Same => Ok(()),
    }
}

/// What is left of a document once a process has ended.
enum Without {
    Nothing,
    Left(Bytes),
    Same,
}

fn without(
    value: &[u8],
    own: &Incarnation,
    last: Option<&LastWord>,
) -> Result<Without, LedgerError> {
    // What a newer version wrote is not this one's.
    let Ok(mut document) = documents::decode::<NodeDocument>(value) else {
        return Ok(Without::Same);
    };
    if document.incarnation == own.as_str() {
        // One that was only taken to have ended has.
        document.rivals.retain(|rival| rival.lives);
        let Some(next) = document.rivals.first() else {
            let Some(last) = last.cloned() else { return Ok(Without::Nothing) };
            return encoded(&document.ended(last));
        };
        // How far that one is nobody knows before it says so, and until then it is its own rival.
        document.incarnation = next.incarnation.clone();
        last.into_iter().for_each(|last| document.keep(last.clone()));
    } else {
        let before = document.rivals.len();
        document.rivals.retain(|rival| rival.incarnation != own.as_str());
        if document.rivals.len() == before && last.is_none() {
            return Ok(Without::Same);
        }
        last.into_iter().for_each(|last| document.keep(last.clone()));
    }
    encoded(&document)
}

fn encoded(left: &NodeDocument) -> Result<Without, LedgerError> {
    let left = documents::encode(left);
    left.map(Without::Left).map_err(|error| LedgerError::Unavailable(error.to_string()))
}
