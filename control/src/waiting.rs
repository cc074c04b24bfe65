//! Waiting for what nodes say.
//!
//! In: the roster, what is looked for. Out: what is known once it is found, or when the time is over.
//! Always: nobody polls: what nodes say is watched. Who is registered is asked of the ledger once the wait
//! has begun, and again where what is looked for hangs on that; a ledger that cannot be asked then ends
//! the wait with what is known, since that is no failure of what is waited for.
//! It deliberately does not know what is looked for.

use std::{future::pending, pin::pin};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::{
    ledger::{Epoch, LedgerError},
    roster::{Roster, Seen},
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Waiting {
    roster: Roster,
    seen: watch::Receiver<Seen>,
    /// When the ledger was asked last.
    asked: Option<Instant>,
}

/// What nodes have said up to a moment.
pub(crate) struct Now<'n> {
    pub(crate) seen: &'n Seen,
    roster: &'n Roster,
    /// When the ledger was asked last who is registered.
    pub(crate) asked: Option<Instant>,
}

/// What is known at a moment.
pub(crate) struct Look<P> {
    pub(crate) progress: P,
    /// Whether there is nothing more to wait for.
    pub(crate) is_over: bool,
    /// When asking the ledger once more would tell more.
    pub(crate) due: Option<Instant>,
    /// When the same that is known would come to something else.
    pub(crate) again: Option<Instant>,
}

impl Waiting {
    /// Watches from now on.
    pub(crate) fn begin(roster: &Roster) -> Self {
        Self { roster: roster.clone(), seen: roster.seen(), asked: None }
    }

    /// Asks the ledger who is registered.
    pub(crate) async fn ask(&mut self) -> Result<(), LedgerError> {
        self.asked = Some(self.roster.confirm().await?);
        Ok(())
    }

    /// Looks at what is known now.
    pub(crate) fn look<P>(&mut self, look: impl FnOnce(Now<'_>) -> P) -> P {
        let seen = self.seen.borrow_and_update();
        look(Now { seen: &seen, roster: &self.roster, asked: self.asked })
    }

    /// Looks until it is over, no longer than `until`.
    ///
    /// # Errors
    /// When the ledger was never asked who is registered, and cannot be.
    pub(crate) async fn until<P>(
        &mut self,
        until: Instant,
        mut look: impl FnMut(Now<'_>) -> Look<P>,
    ) -> Result<P, LedgerError> {
        let roster = self.roster.clone();
        // Not before: it is polled here for the first time, and what is waited for is written.
        let mut asking = pin!(roster.confirm());
        let mut is_asking = self.asked.is_none();
        loop {
            let Look { progress, is_over, due, again } = self.look(&mut look);
            if is_over {
                return Ok(progress);
            }
            tokio::select! {
                // Its sender lives as long as the roster.
                _ = self.seen.changed() => {}
                asked = &mut asking, if is_asking => match asked {
                    Ok(asked) => (self.asked, is_asking) = (Some(asked), false),
                    Err(error) if self.asked.is_none() => return Err(error),
                    Err(_) => return Ok(progress),
                },
                () = at(due), if !is_asking => {
                    asking.set(roster.confirm());
                    is_asking = true;
                }
                () = at(again) => {}
                () = sleep_until(until) => return Ok(progress),
            }
        }
    }
}

impl Now<'_> {
    /// Until when nodes may be about to say that they are there, in a ledger that was made anew.
    pub(crate) fn strange_until(&self, epoch: Epoch) -> Option<Instant> {
        let good_from = self.roster.good_from(epoch)?;
        self.asked.is_none_or(|asked| asked < good_from).then_some(good_from)
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}
