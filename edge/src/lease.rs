//! Until when what is stored may be reused without its origin's word: of an edge that may miss purges
//! and is not to serve what they named.
//!
//! In: moments, as they are vouched for. Out: whether a request of that moment may reuse anything.
//! Always: it is compared with the request's own time, which was read after its head came, and not
//! with what some task last noticed: a process that stood still for a while serves nothing on a lease
//! that ended meanwhile. Whoever sees a newer moment sees every purge that was applied before it was
//! vouched for.
//! It deliberately does not know who vouches, nor why.
//!
//! Hot path: [`Lease::is_good`] is one atomic load, and an edge without a lease makes none.

use std::sync::atomic::{AtomicU64, Ordering};

use edge_core::time::Timestamp;

/// See the module; it begins as one that is over.
#[derive(Debug, Default)]
pub struct Lease(AtomicU64);

impl Lease {
    /// What is stored may be reused before `until`.
    pub fn vouch(&self, until: Timestamp) {
        self.0.store(until.as_millis(), Ordering::Release);
    }

    /// Whether a request of `now` may reuse anything.
    #[must_use]
    pub fn is_good(&self, now: Timestamp) -> bool {
        now.as_millis() < self.0.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_reused_before_it_is_vouched_for_nor_from_its_end_on() {
        let (lease, at) = (Lease::default(), Timestamp::from_millis);
        assert!(!lease.is_good(at(1)));
        lease.vouch(at(1000));
        assert!(lease.is_good(at(999)) && !lease.is_good(at(1000)));
    }
}
