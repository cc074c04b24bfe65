//! Real processes: the built program, nginx, curl, wrk, and a blocking client to question them.
//!
//! In: a node file, a folder of files. Out: running processes that end with the test, and what they
//! said on the wire and in their logs.
//! Always holds: every wait has a deadline; every process is ended by its own id; ports are free
//! ones, or in a network of the test's own; a tool that is missing fails the test and is named.
//! It deliberately does not use the edge's own code: what comes over the socket is judged by this
//! client alone.
//! Clause: CONTRIBUTING.md *Tests* (real binaries and real peers).

pub mod bucket;
pub mod cluster;
pub mod geodns;
pub mod http;
pub mod nats;
pub mod network;
pub mod nginx;
pub mod node;
pub mod origin;
pub mod packages;
pub mod page;
pub mod process;
pub mod program;
pub mod relay;
pub mod resolver;
pub mod terminal;
pub mod up;

use std::{
    error::Error,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use tokio::time::Instant;

/// What a step of a test gives: a value, or why there is none.
pub type Tested<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// How long anything may take before it counts as not happening, on a busy machine as well.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Time between two looks at a state that cannot be awaited.
const LOOK: Duration = Duration::from_millis(10);

/// A flag that is raised when this drops, by a panic as well: who waits for it is not waited for in vain.
#[derive(Debug)]
pub struct Raised<'f>(pub &'f AtomicBool);

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Looks until there is something to see.
///
/// # Errors
/// When [`PATIENCE`] ran out; `what` says what was waited for.
pub fn wait_for<T>(what: &str, look: impl FnMut() -> Tested<Option<T>>) -> Tested<T> {
    wait_within(PATIENCE, what, look)
}

/// The same for what may take so long.
///
/// # Errors
/// When that time ran out; `what` says what was waited for.
pub fn wait_within<T>(
    limit: Duration,
    what: &str,
    mut look: impl FnMut() -> Tested<Option<T>>,
) -> Tested<T> {
    let until = Instant::now() + limit;
    loop {
        if let Some(seen) = look()? {
            return Ok(seen);
        }
        if Instant::now() >= until {
            return Err(format!("waited {limit:?} in vain: {what}").into());
        }
        pause();
    }
}

/// Lets others run before the next look.
fn pause() {
    thread::park_timeout(LOOK);
}
