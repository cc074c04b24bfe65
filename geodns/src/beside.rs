//! Work beside whoever answers, who goes first.
//!
//! In: work that takes seconds of a processor. Out: what came of it.
//! Always holds: it has a thread of its own with a lower priority, which ends with it, for no thread
//! may raise its own again; a processor that is free is used as ever, and one that answers a flood
//! still leaves it a tenth.
//! It deliberately does not know what the work is; its callers may wait.

use std::{panic::resume_unwind, thread};

use rustix::process::nice;

/// How much lower the priority is: a tenth of the weight of those who answer.
const LOWER_BY: i32 = 10;
/// The thread's name.
const NAME: &str = "geodns-load";

/// Does `work`, and waits for it.
pub(crate) fn beside<T: Send>(work: impl Fn() -> T + Sync) -> T {
    let lowered = || {
        if let Err(error) = nice(LOWER_BY) {
            tracing::debug!(%error, "loading goes on with the priority of those who answer");
        }
        work()
    };
    thread::scope(|scope| {
        match thread::Builder::new().name(NAME.to_owned()).spawn_scoped(scope, lowered) {
            Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            // Without another thread it is done here, at the expense of those who answer.
            Err(_) => work(),
        }
    })
}

#[cfg(test)]
mod tests {
    use rustix::process::getpriority_process;

    use super::*;

    #[test]
    fn the_work_has_a_lower_priority_and_whoever_waits_keeps_its_own() {
        let own = getpriority_process(None).unwrap();
        let of_work = beside(|| getpriority_process(None).unwrap());
        assert_eq!(of_work, (own + LOWER_BY).min(19));
        assert_eq!(getpriority_process(None).unwrap(), own);
    }
}
