//! A ledger in NATS, which may be away when a process starts.
//!
//! In: how to reach it. Out: a ledger, at once or as soon as it is there.
//! Always holds: what only an operator can put right ends the start; what passes by itself does not, and
//! then the ledger refuses everything until it is there.

use std::{path::Path, sync::Arc};

use nearcast_control::{
    awaited::{Awaited, Open},
    ledger::Ledger,
    nats::{Nats, Options},
};

use super::leave_first;
use crate::failure::{Failure, chain};

/// Opens it, inside the runtime that it will work in; `path` is where the node's own files begin.
pub(super) async fn open(options: Options, path: &Path) -> Result<Arc<dyn Ledger>, Failure> {
    let reason = match Nats::open(&options).await {
        Ok(ledger) => {
            leave_first(&ledger, path).await.map_err(|error| Failure::of(&error))?;
            return Ok(Arc::new(ledger));
        }
        Err(error) if error.is_away() => chain(&error),
        Err(error) => return Err(Failure::of(&error)),
    };
    tracing::warn!(
        "{reason}; this node serves what its file says and applies no purge until the ledger is there"
    );
    let path = path.to_path_buf();
    let again: Open = Box::new(move || {
        let (options, path) = (options.clone(), path.clone());
        Box::pin(async move {
            let ledger = Nats::open(&options).await.map_err(|error| chain(&error))?;
            leave_first(&ledger, &path).await.map_err(|error| chain(&error))?;
            Ok(Arc::new(ledger) as Arc<dyn Ledger>)
        })
    });
    Ok(Arc::new(Awaited::begin(&reason, again)))
}
