//! A ledger that could not be reached when the process started.
//!
//! In: what opens it. Out: a [`Ledger`] that refuses everything until it is open, and is that one from
//! then on.
//! Always: it is tried again and again, for as long as somebody has it; while it is not there its
//! health says why. It deliberately does not know where a ledger is kept.
//! Clause: docs/operate.md *When the ledger is away*.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::{sync::watch, task::JoinSet};

use crate::{
    ledger::{
        Answer, Appended, Change, Document, Ends, Expect, Follow, Health, Key, Ledger, LedgerError,
        Listing, Log, Position, Revision, Watch,
    },
    pace::Pace,
};

/// Opens a ledger, or says why not.
pub type Open = Box<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn Ledger>, String>> + Send + Sync>;

/// See the module.
#[derive(Debug)]
pub struct Awaited {
    shared: Arc<Shared>,
    _task: Mutex<JoinSet<()>>,
}

#[derive(Debug)]
struct Shared {
    found: OnceLock<Arc<dyn Ledger>>,
    health: watch::Sender<Health>,
}

impl Awaited {
    /// Tries to open it from now on, inside a runtime; `reason` is why it is not open yet.
    #[must_use]
    pub fn begin(reason: &str, open: Open) -> Self {
        let mut health = Health::default();
        health.fail(reason);
        let health = watch::Sender::new(health);
        let shared = Arc::new(Shared { found: OnceLock::new(), health });
        let mut task = JoinSet::new();
        task.spawn(Arc::clone(&shared).find(open));
        Self { shared, _task: Mutex::new(task) }
    }

    fn found(&self) -> Result<&dyn Ledger, LedgerError> {
        match self.shared.found.get() {
            Some(ledger) => Ok(&**ledger),
            None => {
                let health = self.shared.health.borrow();
                let reason = health.failing().unwrap_or("it is being opened");
                Err(LedgerError::Unavailable(reason.to_owned()))
            }
        }
    }
}

impl Shared {
    async fn find(self: Arc<Self>, open: Open) {
        let mut pace = Pace::default();
        let ledger = loop {
            pace.wait().await;
            match open().await {
                Ok(ledger) => break ledger,
                Err(reason) => self.still(&reason),
            }
        };
        let mut health = ledger.health();
        // Whoever is told that it is there finds it.
        drop(self.found.set(ledger));
        tracing::info!("the ledger is there");
        let failures = self.health.borrow().failures();
        loop {
            let mut now = health.borrow_and_update().clone();
            now.failed_before(failures);
            self.health.send_replace(now);
            if health.changed().await.is_err() {
                return;
            }
        }
    }

    fn still(&self, reason: &str) {
        self.health.send_if_modified(|health| {
            let is_new = health.failing() != Some(reason);
            if is_new {
                tracing::warn!("the ledger is still not there: {reason}");
                health.still(reason);
            }
            is_new
        });
    }
}

/// What cannot be answered yet.
fn refuse<'a, T: Send + 'a>(error: LedgerError) -> Answer<'a, T> {
    Box::pin(std::future::ready(Err(error)))
}

impl Ledger for Awaited {
    fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }

    fn read<'a>(&'a self, key: &'a Key) -> Answer<'a, Option<Document>> {
        self.found().map_or_else(refuse, |ledger| ledger.read(key))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        self.found().map_or_else(refuse, |ledger| ledger.list(prefix))
    }

    fn history<'a>(&'a self, key: &'a Key) -> Answer<'a, Vec<Change>> {
        self.found().map_or_else(refuse, |ledger| ledger.history(key))
    }

    fn write<'a>(&'a self, key: &'a Key, value: Bytes, expect: Expect) -> Answer<'a, Revision> {
        self.found().map_or_else(refuse, |ledger| ledger.write(key, value, expect))
    }

    fn delete<'a>(&'a self, key: &'a Key, at: Revision) -> Answer<'a, Revision> {
        self.found().map_or_else(refuse, |ledger| ledger.delete(key, at))
    }

    fn watch<'a>(&'a self, prefix: &'a str, after: Revision) -> Answer<'a, Box<dyn Watch>> {
        self.found().map_or_else(refuse, |ledger| ledger.watch(prefix, after))
    }

    fn append<'a>(&'a self, log: Log, entry: Bytes, once: Option<&'a str>) -> Answer<'a, Appended> {
        self.found().map_or_else(refuse, |ledger| ledger.append(log, entry, once))
    }

    fn note<'a>(&'a self, log: Log, entry: Bytes, once: Option<&'a str>) -> Answer<'a, bool> {
        self.found().map_or_else(refuse, |ledger| ledger.note(log, entry, once))
    }

    fn entry(&self, log: Log, position: Position) -> Answer<'_, Option<Bytes>> {
        self.found().map_or_else(refuse, |ledger| ledger.entry(log, position))
    }

    fn ends(&self, log: Log) -> Answer<'_, Ends> {
        self.found().map_or_else(refuse, |ledger| ledger.ends(log))
    }

    fn follow(&self, log: Log, after: Position) -> Answer<'_, Box<dyn Follow>> {
        self.found().map_or_else(refuse, |ledger| ledger.follow(log, after))
    }
}
