//! Bringing a ledger back whose storage has failed.
//!
//! In: that it has, and how far all had come. Out: how far it has, once it takes writes again.
//! Always: it is tried at a pace, which slows down to [`PAUSE_MAX`] and stays slow while failures
//! follow each other, so that a disk that is nearly full is not repaired without end; between two
//! tries it can be read if it can be opened; each change is told once, to the log and to whoever
//! watches [`Health`]. It does not know what is written.
//!
//! redb answers nothing from a file any more once an operation on it has failed: a full disk would
//! end the ledger until the next start. So the file is opened again, which repairs it, and a small
//! transaction shows whether it can be written.

use std::{sync::Arc, time::Duration};

use parking_lot::{Condvar, Mutex};
use tokio::{sync::watch, time::Instant};

use super::super::{
    store::Store,
    tables::{self, Heads},
};
use crate::ledger::Health;

/// The first try comes so long after a failure, and each further one after twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// See [`PAUSE_FIRST`].
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// After so long without a failure the next one is met as if it were the first.
const CALM: Duration = Duration::from_secs(60);

/// See the module.
pub(super) struct Mending {
    store: Arc<Store>,
    health: watch::Sender<Health>,
    end: Arc<End>,
    pause: Duration,
    mended: Option<Instant>,
}

impl Mending {
    pub(super) fn new(store: Arc<Store>, health: watch::Sender<Health>, end: Arc<End>) -> Self {
        Self { store, health, end, pause: PAUSE_FIRST, mended: None }
    }

    /// Tells that it has failed, if that is news.
    pub(super) fn begin(&mut self, reason: &str) {
        let is_news = self.health.send_if_modified(|health| {
            let was_fine = health.failing().is_none();
            if was_fine {
                health.fail(reason);
            }
            was_fine
        });
        if !is_news {
            return;
        }
        tracing::error!(
            reason,
            "the ledger cannot be written; until it can be, orders are refused and edges serve on; \
             look for a full or failing disk"
        );
        let is_calm = |mended: Instant| mended.elapsed() >= CALM;
        if self.mended.is_none_or(is_calm) {
            self.pause = PAUSE_FIRST;
        }
    }

    /// Brings it back, and calls `refuse` for those that wait meanwhile. Nothing if the process
    /// ends first.
    pub(super) fn mend(
        &mut self,
        reason: &str,
        told: Heads,
        mut refuse: impl FnMut(&str),
    ) -> Option<Heads> {
        self.begin(reason);
        loop {
            let opened = self.store.open_again(told);
            refuse(reason);
            if self.end.has_come_within(self.pause) {
                return None;
            }
            self.pause = (self.pause * 2).min(PAUSE_MAX);
            let probed = opened
                .and_then(|()| self.store.with(tables::probe).map_err(|error| error.to_string()));
            match probed {
                Ok(heads) => {
                    self.mended = Some(Instant::now());
                    self.health.send_modify(Health::mend);
                    tracing::warn!("the ledger can be written again");
                    return Some(heads);
                }
                // The newest reason is the one that stands in the way now.
                Err(error) => self.health.send_modify(|health| health.still(&error)),
            }
        }
    }
}

/// The end of the process, as the thread waits for it.
#[derive(Debug, Default)]
pub(super) struct End {
    has_come: Mutex<bool>,
    told: Condvar,
}

impl End {
    pub(super) fn come(&self) {
        *self.has_come.lock() = true;
        self.told.notify_all();
    }

    /// Whether it comes within `pause`.
    fn has_come_within(&self, pause: Duration) -> bool {
        let mut has_come = self.has_come.lock();
        self.told.wait_while_for(&mut has_come, |has_come| !*has_come, pause);
        *has_come
    }
}
