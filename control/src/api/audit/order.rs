//! An order, and what the audit log says of it: that it is begun, and what came of it.
//!
//! In: who orders what; a ledger. Out: that ledger, for whoever carries the order out.
//! Always: no order writes a document before the line that it is begun is in the log, so nothing is done
//! without one; an entry of another log, which says itself who ordered it, is written beside that line,
//! for a purge is waited for. An order that writes nothing has no line. What came of it is a line of
//! its own; where that is missing, since the process or the ledger failed between the two, nobody
//! knows, and readers are told so. An order that has a name is begun once and ended once: who repeats it
//! writes the line that may be missing. It does not know what is ordered.
//! Clause: docs/decisions/0013-audit-lines-before-and-after.md.

use bytes::Bytes;
use nearcast_daemon::http_problem::Problem;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{OnceCell, watch};

use super::{
    super::{Shared, caller::Caller},
    line::{Begun, Came, Ended},
};
use crate::{
    documents,
    ledger::{
        Answer, Appended, Change, Document, Ends, Expect, Follow, Health, Key, Ledger, LedgerError,
        Listing, Log, Position, Revision, Watch,
    },
    token::{fingerprint, random_name},
};

/// See the module; it is carried out by writing to it as to the ledger.
#[derive(Debug)]
pub(in crate::api) struct Order<'o> {
    ledger: &'o dyn Ledger,
    line: Begun,
    /// Whether it has a name, by which it is the same order when it is repeated.
    is_named: bool,
    /// Whether its first line is there.
    begun: OnceCell<()>,
}

impl<'o> Order<'o> {
    /// That `caller` does `what` to `on`, under a name if it has one.
    pub(in crate::api) fn new(
        shared: &'o Shared,
        caller: &Caller,
        (what, on): (&str, Value),
        name: Option<&str>,
    ) -> Self {
        // Under the same name something else may be ordered, which is another line.
        let named = name.map(|name| fingerprint(format!("{what} {} {name} {on}", caller.id)));
        let line = Begun {
            // Without random numbers it is none, and is not begun.
            order: named.or_else(random_name).unwrap_or_default(),
            at: shared.at(),
            who: caller.id.clone(),
            from: caller.from,
            request: caller.request.clone(),
            what: what.to_owned(),
            on,
        };
        Self { ledger: &*shared.ledger, line, is_named: name.is_some(), begun: OnceCell::new() }
    }

    /// It is done; `on` is what is known of it only now. Of one that wrote nothing there is nothing to
    /// say, unless it repeats what was not said.
    pub(in crate::api) async fn done(&self, on: Value) {
        if self.begun.get().is_none() && !self.is_named {
            return;
        }
        self.end(Came::Done, on, None).await;
    }

    /// Passes on what came of it, and writes down that it is refused where it was begun. What failed may
    /// have been done.
    pub(in crate::api) async fn tried<T>(&self, came: Result<T, Problem>) -> Result<T, Problem> {
        if let Err(problem) = &came
            && self.begun.get().is_some()
            && !problem.status().is_server_error()
        {
            self.end(Came::Refused, Value::Null, problem.told().map(str::to_owned)).await;
        }
        came
    }

    async fn end(&self, came: Came, on: Value, why: Option<String>) {
        let ended = async {
            self.begin().await?;
            // One that was refused may be done when it is repeated.
            self.put(came.as_str(), &Ended { of: self.line.order.clone(), came, on, why }).await
        };
        if let Err(error) = ended.await {
            let Begun { who, what, on, .. } = &self.line;
            tracing::error!(%error, who, what, %on, "what came of it is not in the audit log");
        }
    }

    async fn begin(&self) -> Result<(), LedgerError> {
        if self.line.order.is_empty() {
            let none = "the system has no random numbers";
            return Err(LedgerError::Unavailable(none.to_owned()));
        }
        self.begun.get_or_try_init(|| self.put("begun", &self.line)).await.copied()
    }

    /// Writes one of its lines; of an order that has a name, each once.
    async fn put<T: Serialize>(&self, which: &str, line: &T) -> Result<(), LedgerError> {
        let bytes = documents::encode(line);
        let bytes = bytes.map_err(|error| LedgerError::Unavailable(error.to_string()))?;
        let once = self.is_named.then(|| format!("{which}.{}", self.line.order));
        self.ledger.note(Log::Audit, bytes, once.as_deref()).await.map(drop)
    }
}

impl Ledger for Order<'_> {
    fn health(&self) -> watch::Receiver<Health> {
        self.ledger.health()
    }

    fn read<'a>(&'a self, key: &'a Key) -> Answer<'a, Option<Document>> {
        self.ledger.read(key)
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        self.ledger.list(prefix)
    }

    fn history<'a>(&'a self, key: &'a Key) -> Answer<'a, Vec<Change>> {
        self.ledger.history(key)
    }

    fn write<'a>(&'a self, key: &'a Key, value: Bytes, expect: Expect) -> Answer<'a, Revision> {
        Box::pin(async move {
            self.begin().await?;
            self.ledger.write(key, value, expect).await
        })
    }

    fn delete<'a>(&'a self, key: &'a Key, at: Revision) -> Answer<'a, Revision> {
        Box::pin(async move {
            self.begin().await?;
            self.ledger.delete(key, at).await
        })
    }

    fn watch<'a>(&'a self, prefix: &'a str, after: Revision) -> Answer<'a, Box<dyn Watch>> {
        self.ledger.watch(prefix, after)
    }

    fn append<'a>(&'a self, log: Log, entry: Bytes, once: Option<&'a str>) -> Answer<'a, Appended> {
        Box::pin(async move {
            let (begun, appended) =
                tokio::join!(self.begin(), self.ledger.append(log, entry, once));
            begun.and(appended)
        })
    }

    fn note<'a>(&'a self, log: Log, entry: Bytes, once: Option<&'a str>) -> Answer<'a, bool> {
        Box::pin(async move {
            self.begin().await?;
            self.ledger.note(log, entry, once).await
        })
    }

    fn entry(&self, log: Log, position: Position) -> Answer<'_, Option<Bytes>> {
        self.ledger.entry(log, position)
    }

    fn ends(&self, log: Log) -> Answer<'_, Ends> {
        self.ledger.ends(log)
    }

    fn follow(&self, log: Log, after: Position) -> Answer<'_, Box<dyn Follow>> {
        self.ledger.follow(log, after)
    }
}
