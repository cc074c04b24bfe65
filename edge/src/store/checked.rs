//! What a stored response knows of its own standing, so that a hit need not ask again.
//!
//! In: what was looked up, and after which strike. Out: the same, as long as nothing was struck
//! since. Always holds: what is dead stays dead, and what is stale stays stale, since the latest that
//! declared it so, whether or not somebody looked between two; two that look at once
//! may both write, and the older of their answers is asked for again.

use std::sync::atomic::{AtomicU64, Ordering};

use edge_core::{stamps::Cause, time::Timestamp};

/// See the module.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The newest strike when it was looked up, and in the last bits by what it is dead: the place
    /// of the cause, counted from 1.
    last: AtomicU64,
    /// Since when it is stale, in milliseconds; 0 while it was not declared so.
    stale_since: AtomicU64,
}

/// Room for the place of a cause.
const BITS: u32 = 3;
const MASK: u64 = (1 << BITS) - 1;
const NEVER: u64 = 0;

const _: () = assert!(Cause::ALL.len() < 1 << BITS, "every cause has a place beside none");

impl Default for Checked {
    fn default() -> Self {
        Self { last: AtomicU64::new(0), stale_since: AtomicU64::new(NEVER) }
    }
}

impl Checked {
    /// What was found after the strike `newest`, if it was looked up since.
    pub(super) fn at(&self, newest: u64) -> Option<Option<Cause>> {
        let last = self.last.load(Ordering::Acquire);
        match cause(last) {
            None if last >> BITS >= newest => Some(None),
            None => None,
            dead => Some(dead),
        }
    }

    /// Notes what was found after the strike `newest`; gives the cause back if it was not known.
    pub(super) fn note(&self, newest: u64, dead: Option<Cause>) -> Option<Cause> {
        let place = dead.map_or(0, |cause| cause.index() as u64 + 1);
        let before = self.last.swap(newest << BITS | place, Ordering::AcqRel);
        dead.filter(|_| cause(before).is_none())
    }

    /// Notes that it is stale; gives the cause back if it was not known.
    pub(super) fn outdate(&self, since: Timestamp, cause: Cause) -> Option<Cause> {
        let since = since.as_millis().max(NEVER + 1);
        let before = self.stale_since.fetch_max(since, Ordering::AcqRel);
        (before == NEVER).then_some(cause)
    }

    /// Since when it is stale, if it was declared so.
    pub(super) fn stale_since(&self) -> Option<Timestamp> {
        let since = self.stale_since.load(Ordering::Acquire);
        (since != NEVER).then(|| Timestamp::from_millis(since))
    }
}

fn cause(last: u64) -> Option<Cause> {
    let place = usize::try_from(last & MASK).ok()?.checked_sub(1)?;
    Cause::ALL.get(place).copied()
}
