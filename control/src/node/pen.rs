//! A node's document, as it is written.
//!
//! In: what the node says, its seat. Out: the document in the ledger, and whether others go by its name.
//! Always: one write is under way at a time, and says the newest; nothing is overwritten that was not
//! looked at. It does not know how often it writes.
//! Clause: docs/operate.md *The nodes*.

use std::{future::pending, sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::{
    NodeDocument,
    document::Answers,
    seat::{Look, Seat},
    troubles::{Own, Trouble},
};
use crate::{
    documents,
    ledger::{Expect, Key, Ledger, LedgerError},
    pace::jittered,
    site::Served,
};

/// See the module.
pub(super) struct Pen {
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) key: Key,
    pub(super) document: NodeDocument,
    pub(super) heartbeat: Duration,
    pub(super) seat: Seat,
    pub(super) troubles: Arc<Own>,
    /// What it answers DNS by, if it does.
    pub(super) answers: Option<watch::Receiver<Option<Answers>>>,
    /// What it serves of the ledger's sites, if it does.
    pub(super) sites: Option<watch::Receiver<Option<Served>>>,
}

impl Pen {
    /// Writes what the document says; out comes when that was sent. It is told when nobody is in its
    /// place any more, before it takes that again.
    pub(super) async fn write(
        &mut self,
        mut anew: impl FnMut() + Send,
    ) -> Result<Instant, LedgerError> {
        let said = match self.try_to(&mut anew).await {
            // Somebody else was there: look who.
            Err(LedgerError::Conflict { .. }) => self.try_to(&mut anew).await,
            said => said,
        };
        self.document.rivals = self.seat.rivals(Instant::now());
        self.tell_rivals();
        said
    }

    async fn try_to(&mut self, anew: &mut (impl FnMut() + Send)) -> Result<Instant, LedgerError> {
        let expect = match self.seat.held() {
            Some(expect) => expect,
            None => self.look(anew).await?,
        };
        self.document.rivals = self.seat.rivals(Instant::now());
        self.document.last_words = self.seat.last_words(Instant::now());
        self.document.answers = newest(&mut self.answers);
        self.document.sites = newest(&mut self.sites);
        let bytes = documents::encode(&self.document);
        let bytes = bytes.map_err(|error| LedgerError::Unavailable(error.to_string()))?;
        let sent = Instant::now();
        match self.ledger.write(&self.key, bytes, expect).await {
            Ok(revision) => self.seat.hold(revision),
            Err(error) => {
                if matches!(error, LedgerError::Conflict { .. }) {
                    self.seat.lose();
                }
                return Err(error);
            }
        }
        Ok(sent)
    }

    /// Looks what its place has.
    async fn look(&mut self, anew: &mut (impl FnMut() + Send)) -> Result<Expect, LedgerError> {
        let found = self.ledger.read(&self.key).await?;
        match self.seat.find(found.as_ref(), Instant::now()) {
            Look::Write(expect) => Ok(expect),
            Look::Anew(expect) => {
                anew();
                Ok(expect)
            }
            Look::Later(current) => {
                Err(LedgerError::Conflict { key: self.key.clone(), current: Some(current) })
            }
        }
    }

    /// Tells once that another goes by its name, and that none does any more.
    fn tell_rivals(&self) {
        let node = self.key.name();
        if let Some(rival) = self.document.rivals.iter().find(|rival| rival.lives) {
            let reason = "another process runs under its name; no purge is complete while both do";
            if self.troubles.begin(Trouble::Twin, reason) {
                tracing::error!(
                    node,
                    rival = rival.incarnation,
                    "{reason}: end one of them, or give it another name; if it was killed, take it \
                     out with `nearcast node remove {node} --force`"
                );
            }
        } else if self.troubles.end(Trouble::Twin) {
            tracing::info!(node, "no other process runs under its name any more");
        }
    }

    /// Waits until it answers by something else than it last said, or serves other sites.
    pub(super) async fn goes_otherwise(&mut self) {
        tokio::select! {
            () = changed(&mut self.answers) => {}
            () = changed(&mut self.sites) => {}
        }
    }

    /// When it is to be said again that it is there.
    pub(super) fn next(&self) -> Instant {
        let beat = Instant::now() + jittered(self.heartbeat);
        self.seat.next_gone().map_or(beat, |gone| beat.min(gone))
    }
}

fn newest<T: Clone>(said: &mut Option<watch::Receiver<Option<T>>>) -> Option<T> {
    said.as_mut().and_then(|said| said.borrow_and_update().clone())
}

/// Waits for a change; where nothing is said there is none.
async fn changed<T>(said: &mut Option<watch::Receiver<T>>) {
    if let Some(said) = said
        && said.changed().await.is_ok()
    {
        return;
    }
    pending::<()>().await;
}
