//! A node that has nothing to purge: it says that it is there, and what it answers DNS by.
//!
//! In: a ledger, what it answers by. Out: the document `nodes/NAME`, written when that changes and at
//! least once a heartbeat.
//! Always: it answers whether or not the ledger takes what it says; what it says is the newest. It does
//! not know who waits for it.
//! Clause: docs/operate.md *The nodes*.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    Answers, Incarnation, Member, NodeDocument, Retry, Trouble, Troubles, pen::Pen, seat::Seat,
    take_over,
};
use crate::{
    applied::AppliedFile,
    ledger::{Key, Ledger, LedgerError},
};

/// A node that attends.
pub struct Attending {
    /// Its document's place.
    pub key: Key,
    /// What it says of itself.
    pub document: NodeDocument,
    /// How often it says so.
    pub heartbeat: Duration,
    /// A file that is its own, beside which it keeps which process it is.
    pub file: AppliedFile,
    /// Which process it is of.
    pub incarnation: Incarnation,
    /// Where it tells what it cannot do.
    pub troubles: Troubles,
    /// What it answers DNS by.
    pub answers: watch::Receiver<Option<Answers>>,
}

/// Has it say so from now on, inside a runtime.
#[must_use]
pub fn attend(ledger: Arc<dyn Ledger>, attending: Attending) -> Member {
    let Attending { key, mut document, heartbeat, file, incarnation, troubles, answers } =
        attending;
    incarnation.as_str().clone_into(&mut document.incarnation);
    let former = take_over(&incarnation, &file, key.name());
    let seat = Seat::new(incarnation.clone(), former, heartbeat);
    let pen = Pen {
        ledger: Arc::clone(&ledger),
        troubles: Arc::new(troubles.of(key.name())),
        key: key.clone(),
        document,
        heartbeat,
        seat,
        answers: Some(answers.clone()),
        sites: None,
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(run(pen));
    Member { tasks, key, incarnation, ledger, answers: Some(answers) }
}

async fn run(mut pen: Pen) {
    let mut retry = Retry::default();
    loop {
        let due = match pen.write(|| {}).await {
            Ok(_sent) => {
                pen.troubles.end(Trouble::Reporting);
                retry = Retry::default();
                pen.next()
            }
            Err(error) => {
                // Who was there instead is told already.
                let is_told = matches!(error, LedgerError::Conflict { .. });
                if !is_told && pen.troubles.begin(Trouble::Reporting, &error.to_string()) {
                    let node = pen.key.name();
                    tracing::warn!(node, %error, "a report was not taken; trying again");
                }
                retry.wait().await;
                Instant::now()
            }
        };
        tokio::select! {
            () = sleep_until(due) => {}
            () = pen.goes_otherwise() => {}
        }
    }
}
