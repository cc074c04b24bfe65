//! The caller's grip on a connection whose I/O hyper owns.
//!
//! In go wishes, out go figures and the way to send interim responses. It holds no part of the socket, so keeping it
//! keeps nothing open.

use std::sync::Arc;

use super::{
    account::{Account, Sent},
    interim::Interim,
    shared::{ABORT, CLOSE, DRAIN, Shared},
    stats::ConnectionStats,
};

/// What the caller keeps of a connection; clones are cheap.
#[derive(Debug, Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The connection's counters.
    #[must_use]
    pub fn stats(&self) -> &ConnectionStats {
        &self.shared.stats
    }

    /// The way to send interim responses to the request that is being served at this moment. Call it from the
    /// service's `call`: what it returns falls silent with that request.
    #[must_use]
    pub fn interim(&self) -> Interim {
        Interim::new(Arc::clone(&self.shared))
    }

    /// Take no request that comes from now on: an idle connection ends now, a busy one after its current exchange.
    /// One that has had no request yet, or has begun to send another, is given `linger_timeout` for it: its client
    /// could not know better (RFC 9112 §9.5 excuses only the close of a connection that was idle). Whoever serves a
    /// request has to say `Connection: close` while [`Handle::is_ending`].
    pub fn drain(&self) {
        self.shared.wish(DRAIN);
    }

    /// Whether no other request is taken.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.shared.attention() & (CLOSE | DRAIN) != 0
    }

    /// Keeps an account of the current response, of which nothing more will be given, until it is over.
    pub fn account(&self, account: Box<dyn Account>) {
        let stats = &self.shared.stats;
        // What hyper gave in pieces may have left before hyper saw its end.
        let is_over = stats.responses() == stats.requests();
        let content_bytes = stats.content_bytes();
        let over = is_over.then_some(Sent { content_bytes, is_complete: true, refused: None });
        self.shared.ledger.enter(account, over);
    }

    /// End the connection now, whatever it is doing.
    pub fn abort(&self) {
        self.shared.wish(ABORT);
    }
}
