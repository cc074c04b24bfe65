//! Connections to the origin as in-memory pipes, which a scenario can cut.
//!
//! In: host names to connect to. Out: the near end of a pipe whose far end the mock origin serves.
//! Always holds: a server that is down refuses new connections and has dropped the old ones.

use std::collections::BTreeSet;

use origin_mock::origin::Origin;
use parking_lot::Mutex;
use tokio::io::{DuplexStream, duplex};
use tokio::task::AbortHandle;

/// What a pipe holds before its writer waits; small, so that backpressure is met early.
pub const PIPE_OCTETS: usize = 16 * 1024;

/// The origin's servers behind pipes.
pub struct Pipes {
    origin: Origin,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    all_down: bool,
    down: BTreeSet<String>,
    open: Vec<(String, AbortHandle)>,
}

impl Pipes {
    /// All servers are this origin.
    #[must_use]
    pub fn to(origin: Origin) -> Self {
        Self { origin, state: Mutex::default() }
    }

    /// Connects to a server; `None` when it refuses.
    #[must_use]
    pub fn open(&self, server: &str) -> Option<DuplexStream> {
        let mut state = self.state.lock();
        if state.all_down || state.down.contains(server) {
            return None;
        }
        let (near, far) = duplex(PIPE_OCTETS);
        let origin = self.origin.clone();
        let task = tokio::spawn(async move { origin.serve_connection(far).await });
        state.open.push((server.to_owned(), task.abort_handle()));
        Some(near)
    }

    /// Makes servers (all, or the one named) refuse and drop connections, or accept them again.
    pub fn set_down(&self, server: Option<&str>, down: bool) {
        let mut state = self.state.lock();
        match (server, down) {
            (None, down) => {
                state.all_down = down;
                state.down.clear();
            }
            (Some(server), true) => {
                state.down.insert(server.to_owned());
            }
            (Some(server), false) => {
                state.down.remove(server);
            }
        }
        if down {
            state.open.retain(|(own, task)| {
                let stays = server.is_some_and(|server| server != own);
                if !stays {
                    task.abort();
                }
                stays
            });
        }
    }
}
