//! An order, and what the audit log says of it: that it is begun, and what came of it.
//!
//! In: who orders what; a ledger. Out: that ledger, for whoever carries the order out.
//! Always: no order writes a document before the line that it is begun is in the log, so nothing is done
//! without one; an entry of another log, which says itself who ordered it, is written beside that line,
//! for a purge is waited for; under a name after it, when it is known that it is no repeat, as one line
//! that says that it is done. An order that writes nothing has no line, and each attempt that does has its own, also under a name that
//! was used before: how long a name is known decides what carries the order out. What came of it is
//! another line; where that is missing, since the process or the ledger failed between the two, nobody
//! knows, and readers are told so. Who repeats an order under its name and finds it done writes the line
//! that may be missing. It does not know what is ordered.
//! Clause: docs/decisions/0013-audit-lines-before-and-after.md.

use bytes::Bytes;
use nearcast_daemon::http_problem::Problem;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{OnceCell, watch};

use super::{
    super::{Shared, caller::Caller},
    Former, former,
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
    /// Whether its first line is there.
    begun: OnceCell<()>,
    /// Whether it appended an entry that says who ordered it, or found that it was there.
    appended: OnceCell<Found>,
}

/// What an entry was found to be that is appended under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    New,
    There,
}

impl<'o> Order<'o> {
    /// That `caller` does `what` to `on`, under a name if it has one.
    pub(in crate::api) fn new(
        shared: &'o Shared,
        caller: &Caller,
        (what, on): (&str, Value),
        name: Option<&str>,
    ) -> Self {
        // Under the same name something else may be ordered, which is another order.
        let named = name.map(|name| fingerprint(format!("{what} {} {name} {on}", caller.id)));
        let line = Begun {
            // Without random numbers it is none, and is not begun.
            order: random_name().unwrap_or_default(),
            at: shared.at(),
            who: caller.id.clone(),
            from: caller.from,
            request: caller.request.clone(),
            named,
            what: what.to_owned(),
            on,
            done: false,
        };
        Self { ledger: &*shared.ledger, line, begun: OnceCell::new(), appended: OnceCell::new() }
    }

    /// The same, whose first line says `more`, which may be something else when it is repeated.
    pub(in crate::api) fn saying(mut self, more: Value) -> Self {
        if let (Value::Object(on), Value::Object(more)) = (&mut self.line.on, more) {
            on.extend(more);
        }
        self
    }

    /// Whether it has written anything, or may have.
    pub(in crate::api) fn is_begun(&self) -> bool {
        self.begun.get().is_some()
    }

    /// What was ordered under its name before, and not refused, if that is among the newest lines.
    pub(in crate::api) async fn former(&self) -> Result<Option<Former>, LedgerError> {
        let Some(named) = &self.line.named else { return Ok(None) };
        former(self.ledger, &|begun| begun.named.as_ref() == Some(named)).await
    }

    /// It is done; `on` is what is known of it only now. Of one that wrote nothing there is nothing to
    /// say, unless it repeats what was not said.
    pub(in crate::api) async fn done(&self, on: Value) {
        if self.is_begun() {
            return self.end(&self.line.order, Came::Done, on, None).await;
        }
        if self.appended.get() == Some(&Found::New) {
            return self.said(self.put_done(on).await);
        }
        match self.former().await {
            Ok(Some(former)) if former.is_done => {}
            Ok(Some(former)) => self.end(&former.order, Came::Done, on, None).await,
            // The entry was appended, and then the process or the ledger failed.
            Ok(None) if self.appended.get().is_some() => self.said(self.put_done(on).await),
            Ok(None) => {}
            Err(error) => self.said(Err(error)),
        }
    }

    /// Passes on what came of it, and writes down that it is refused where it was begun. What failed may
    /// have been done.
    pub(in crate::api) async fn tried<T>(&self, came: Result<T, Problem>) -> Result<T, Problem> {
        if let Err(problem) = &came
            && self.is_begun()
            && !problem.status().is_server_error()
        {
            let why = problem.told().map(str::to_owned);
            self.end(&self.line.order, Came::Refused, Value::Null, why).await;
        }
        came
    }

    async fn end(&self, order: &str, came: Came, on: Value, why: Option<String>) {
        let ended = self.put(&Ended { of: order.to_owned(), came, on, why }).await;
        self.said(ended);
    }

    /// What is not in the log is in the process's, at least.
    fn said(&self, put: Result<(), LedgerError>) {
        if let Err(error) = put {
            let Begun { who, what, on, .. } = &self.line;
            tracing::error!(%error, who, what, %on, "what came of it is not in the audit log");
        }
    }

    async fn begin(&self) -> Result<(), LedgerError> {
        if self.line.order.is_empty() {
            let none = "the system has no random numbers";
            return Err(LedgerError::Unavailable(none.to_owned()));
        }
        self.begun.get_or_try_init(|| self.put(&self.line)).await.copied()
    }

    /// Writes that it is done, of one whose entry says already who ordered it.
    async fn put_done(&self, on: Value) -> Result<(), LedgerError> {
        let mut line = Begun { done: true, ..self.line.clone() };
        if let (Value::Object(all), Value::Object(on)) = (&mut line.on, on) {
            all.extend(on);
        }
        self.put(&line).await
    }

    /// Writes one of its lines.
    async fn put<T: Serialize>(&self, line: &T) -> Result<(), LedgerError> {
        let bytes = documents::encode(line);
        let bytes = bytes.map_err(|error| LedgerError::Unavailable(error.to_string()))?;
        self.ledger.note(Log::Audit, bytes, None).await.map(drop)
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
            let append = self.ledger.append(log, entry, once);
            let (begun, appended) = if self.line.named.is_none() {
                tokio::join!(self.begin(), append)
            } else {
                match append.await {
                    // Its line waits for nothing but the answer, and is written beside it.
                    Ok(appended) => {
                        let found = if appended.repeated { Found::There } else { Found::New };
                        self.appended.get_or_init(|| async move { found }).await;
                        (Ok(()), Ok(appended))
                    }
                    // What failed may have been appended.
                    appended => (self.begin().await, appended),
                }
            };
            appended.and_then(|appended| begun.map(|()| appended))
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
