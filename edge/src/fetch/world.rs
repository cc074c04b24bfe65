//! What an origin's pool needs of its surroundings.
//!
//! In: how bytes travel, runtimes, memory, the clock. Out: the same, as a site meets it. Always: a site
//! of the ledger meets the stricter policy. It knows no origin.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::{connect::Connect, policy::AddressPolicy};
use crate::{clock::Clock, store::Memory};

/// See the module.
#[derive(Clone)]
pub struct OriginWorld {
    /// How bytes travel.
    pub connector: Arc<dyn Connect>,
    /// Which addresses are allowed.
    pub policy: Arc<AddressPolicy>,
    /// The same, for sites of the ledger.
    pub policy_of_ledger: Arc<AddressPolicy>,
    /// The runtime that owns the connections.
    pub fills: Handle,
    /// What connections and what is on its way over them are charged to.
    pub memory: Memory,
    /// The runtime that checks servers.
    pub control: Handle,
    /// The clock that servers are watched by.
    pub clock: Clock,
}

impl OriginWorld {
    /// What a site meets, which is of a file or `of_ledger`.
    #[must_use]
    pub fn of_site(&self, of_ledger: bool) -> Self {
        let policy = if of_ledger { &self.policy_of_ledger } else { &self.policy };
        Self { policy: Arc::clone(policy), ..self.clone() }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        fetch::connect::Tcp,
        store::{budget::Budget, memory::MemoryTier},
    };

    /// Real sockets, and no memory to speak of; inside a runtime.
    pub(crate) fn world() -> OriginWorld {
        let budget = Budget::new(1);
        let tier = Arc::new(MemoryTier::new(1, 1, Arc::clone(&budget)));
        OriginWorld {
            connector: Arc::new(Tcp::new(Handle::current())),
            policy: Arc::default(),
            policy_of_ledger: Arc::default(),
            fills: Handle::current(),
            memory: Memory { budget, tier },
            control: Handle::current(),
            clock: Clock::system(),
        }
    }
}
