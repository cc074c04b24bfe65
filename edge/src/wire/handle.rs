//! The caller's grip on a connection whose I/O hyper owns.
//!
//! In go wishes, out go figures and the way to send interim responses. It holds no part of the socket, so keeping it
//! keeps nothing open.

use std::sync::Arc;

use super::{
    interim::Interim,
    shared::{ABORT, CLOSE, Shared},
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

    /// Give hyper no further request: an idle connection ends now, a busy one after its current exchange. It does not
    /// add `Connection: close` to the current response; hyper's graceful shutdown does.
    pub fn close_after_current(&self) {
        self.shared.wish(CLOSE);
    }

    /// End the connection now, whatever it is doing.
    pub fn abort(&self) {
        self.shared.wish(ABORT);
    }
}
