//! File descriptors: as many as the system lets this process have.
//!
//! In: how many the settings can come to need. Out: the soft limit (getrlimit(2), RLIMIT_NOFILE) at
//! its hard limit, and a warning if that is too few.
//! Always: nothing is lowered; too few is no reason not to start, for the limits of the settings are
//! seldom all reached.
//! Does not know: what descriptors are needed for.
//! Clause: docs/operate.md *Start*.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a process has open beside what its settings speak of: logs, listeners, event queues, files
/// that are read.
pub const OTHERS: u64 = 100;

/// Takes all that there are, and warns if they are fewer than `needed`.
pub fn provide(needed: u64) {
    let before = getrlimit(Resource::Nofile);
    if before.current != before.maximum {
        let all = Rlimit { current: before.maximum, maximum: before.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, all) {
            tracing::warn!(%error, "the limit of file descriptors cannot be raised");
        }
    }
    if let Some(allowed) = too_few(getrlimit(Resource::Nofile).current, needed) {
        tracing::warn!(
            allowed,
            needed,
            "there are fewer file descriptors than the settings can come to need: connections will \
             wait or fail; raise LimitNOFILE= of the service, or lower connections_max"
        );
    }
}

/// The limit, if it is below what is needed; none is no limit.
fn too_few(allowed: Option<u64>, needed: u64) -> Option<u64> {
    allowed.filter(|allowed| *allowed < needed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_than_needed_are_told() {
        assert_eq!(too_few(Some(1024), 10_100), Some(1024));
        assert_eq!(too_few(Some(1024), 1024), None);
        assert_eq!(too_few(None, u64::MAX), None);
    }

    #[test]
    fn all_that_the_system_gives_are_taken() {
        let Some(most) = getrlimit(Resource::Nofile).maximum else { return };
        let fewer = Rlimit { current: Some(most - 1), maximum: Some(most) };
        setrlimit(Resource::Nofile, fewer).unwrap();
        provide(0);
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
