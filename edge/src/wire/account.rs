//! How a response went, for whoever keeps account of it.
//!
//! In go an account, which its keeper hands over once there is nothing more to give, and what the socket has accepted;
//! out goes the one to the other, when the response is over. Who hands it over too late is told at once. It does not
//! know what an account says.
//!
//! What always holds: each account is settled once, at the latest with the end of the connection.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::Mutex;

use super::refusal::Refusal;

/// What is to be told how a response went.
pub trait Account: Send {
    /// It is over.
    fn settle(self: Box<Self>, sent: &Sent);
}

/// What the socket accepted of a response.
#[derive(Debug, Clone, Default)]
pub struct Sent {
    /// Bytes of its content.
    pub content_bytes: u64,
    /// All of it was accepted.
    pub is_complete: bool,
    /// It is a refusal, and its client may call it by this, in the place of whatever was to be answered.
    pub refused: Option<(Refusal, Option<u64>)>,
}

/// The account of the exchange that is under way.
#[derive(Default)]
pub(super) struct Ledger {
    state: Mutex<State>,
    /// Nothing waits: the lock is for those who wait.
    waits: AtomicBool,
}

#[derive(Default)]
enum State {
    #[default]
    Open,
    Waiting(Box<dyn Account>),
    /// The connection has ended, and this was the last of it.
    Closed(Sent),
}

impl Ledger {
    /// Keeps an account until its response is over; `over` is how it went if it is.
    pub(super) fn enter(&self, account: Box<dyn Account>, over: Option<Sent>) {
        let sent = {
            let mut state = self.state.lock();
            match (&*state, over) {
                (State::Closed(sent), _) => sent.clone(),
                (_, Some(sent)) => sent,
                (_, None) => {
                    let before = std::mem::replace(&mut *state, State::Waiting(account));
                    debug_assert!(!matches!(before, State::Waiting(_)), "one account at a time");
                    self.waits.store(true, Relaxed);
                    return;
                }
            }
        };
        account.settle(&sent);
    }

    /// The response is over.
    pub(super) fn settle(&self, sent: impl FnOnce() -> Sent) {
        if self.waits.load(Relaxed) {
            self.turn(State::Open, &sent());
        }
    }

    /// The connection is.
    pub(super) fn close(&self, sent: &Sent) {
        self.turn(State::Closed(sent.clone()), sent);
    }

    fn turn(&self, to: State, sent: &Sent) {
        let before = std::mem::replace(&mut *self.state.lock(), to);
        self.waits.store(false, Relaxed);
        if let State::Waiting(account) = before {
            account.settle(sent);
        }
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Ledger").field("waits", &self.waits).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    struct Page(Arc<Mutex<Vec<u64>>>);

    impl Account for Page {
        fn settle(self: Box<Self>, sent: &Sent) {
            self.0.lock().push(sent.content_bytes);
        }
    }

    #[test]
    fn each_account_is_settled_once_however_late_it_comes() {
        let told: Arc<Mutex<Vec<u64>>> = Arc::default();
        let (page, ledger) = (|| Box::new(Page(Arc::clone(&told))), Ledger::default());
        let sent = |content_bytes| Sent { content_bytes, ..Sent::default() };
        ledger.settle(|| sent(1));
        ledger.enter(page(), None);
        assert!(told.lock().is_empty());
        ledger.settle(|| sent(2));
        ledger.settle(|| sent(3));
        assert_eq!(*told.lock(), [2]);
        ledger.enter(page(), Some(sent(4)));
        ledger.enter(page(), None);
        ledger.close(&sent(5));
        ledger.enter(page(), None);
        assert_eq!(*told.lock(), [2, 4, 5, 5]);
    }
}
