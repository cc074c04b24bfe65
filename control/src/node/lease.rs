//! A node's lease: until when it may reuse what it holds though the ledger may be out of its reach.
//!
//! In: writes of its document that were acknowledged, the end of the purge log, how far it has come.
//! Out: until when others go by it.
//! Always: it is counted on the node's own monotonic clock, from before a write was sent: whoever sees
//! that write later, and then counts as long, has seen the lease end. Who lets it lapse gets it back
//! only once everything has been applied that was in the log *after* the write that brought it back:
//! a purge that somebody called complete meanwhile, since the lease had lapsed, was in the log before
//! that. It deliberately does not know what a node does without a lease.
//! Clause: docs/operate.md *When the ledger is away*.

use std::time::Duration;

use tokio::time::Instant;

use crate::ledger::Position;

/// A lease is held to have lapsed so much of its length later than its holder must go by that, and
/// [`MARGIN`] more: clocks of two machines do not tick quite alike.
const MARGIN_PART: u32 = 10;
/// See [`MARGIN_PART`].
const MARGIN: Duration = Duration::from_millis(100);

/// After how long a silence a lease has certainly lapsed, for who only hears of its holder.
#[must_use]
pub fn lapse_after(lease: Duration) -> Duration {
    lease + lease / MARGIN_PART + MARGIN
}

/// See the module.
#[derive(Debug)]
pub(super) struct Lease {
    length: Duration,
    held_until: Option<Instant>,
    lacks: Lacks,
}

/// What has to be applied before the lease counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lacks {
    /// Nobody has looked yet where the log ends.
    Unknown,
    /// Everything up to here.
    UpTo(Position),
    Nothing,
}

impl Lease {
    /// One that has lapsed.
    pub(super) fn new(length: Duration) -> Self {
        Self { length, held_until: None, lacks: Lacks::Unknown }
    }

    /// A write that was sent at `sent` was acknowledged, and it is `now`.
    pub(super) fn acknowledged(&mut self, sent: Instant, now: Instant) {
        if self.has_lapsed(now) {
            self.lacks = Lacks::Unknown;
        }
        self.held_until = Some(sent + self.length);
    }

    /// The ledger may be another one than a moment ago.
    pub(super) fn doubt(&mut self) {
        self.lacks = Lacks::Unknown;
    }

    /// Whether it is to be looked up where the log ends.
    pub(super) fn wants_end(&self) -> bool {
        self.lacks == Lacks::Unknown
    }

    /// The log ended there, after the last write was acknowledged.
    pub(super) fn ends(&mut self, last: Position) {
        self.lacks = Lacks::UpTo(last);
    }

    /// Until when what is held may be reused, if at all, by who has `applied` that.
    pub(super) fn good_until(&mut self, applied: Position) -> Option<Instant> {
        if let Lacks::UpTo(last) = self.lacks
            && applied.has_reached(last)
        {
            self.lacks = Lacks::Nothing;
        }
        self.held_until.filter(|_| self.lacks == Lacks::Nothing)
    }

    /// Whether it is over, or has not begun.
    pub(super) fn has_lapsed(&self, now: Instant) -> bool {
        self.held_until.is_none_or(|until| now >= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Epoch;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seq: u64) -> Position {
        Position { epoch: Epoch(7), seq }
    }

    #[test]
    fn it_counts_from_before_the_write_was_sent() {
        let start = Instant::now();
        let mut lease = Lease::new(10 * SECOND);
        lease.acknowledged(start, start + 3 * SECOND);
        assert!(lease.wants_end());
        lease.ends(at(5));
        assert_eq!(lease.good_until(at(5)), Some(start + 10 * SECOND));
        lease.acknowledged(start + 4 * SECOND, start + 5 * SECOND);
        assert_eq!(lease.good_until(at(5)), Some(start + 14 * SECOND), "it goes on");
    }

    #[test]
    fn others_wait_for_longer_than_its_holder_goes_by_it() {
        assert!(lapse_after(10 * SECOND) > 11 * SECOND, "their clocks may go faster");
        assert!(lapse_after(Duration::ZERO) > Duration::ZERO);
    }

    #[test]
    fn who_let_it_lapse_applies_what_was_missed_first() {
        let start = Instant::now();
        let mut lease = Lease::new(10 * SECOND);
        lease.acknowledged(start, start);
        lease.ends(at(5));
        assert!(lease.good_until(at(5)).is_some());
        // The answer came when it was over already, though it was sent before.
        lease.acknowledged(start + 9 * SECOND, start + 10 * SECOND);
        assert_eq!(lease.good_until(at(5)), None, "nobody knows what was purged");
        assert!(lease.wants_end());
        lease.ends(at(8));
        assert_eq!(lease.good_until(at(7)), None);
        assert_eq!(lease.good_until(at(8)), Some(start + 19 * SECOND));
    }

    #[test]
    fn who_is_slow_to_apply_begins_anew_when_it_lapses_meanwhile() {
        let start = Instant::now();
        let mut lease = Lease::new(10 * SECOND);
        lease.acknowledged(start, start);
        lease.ends(at(5));
        assert_eq!(lease.good_until(at(4)), None);
        lease.acknowledged(start + 10 * SECOND, start + 11 * SECOND);
        assert_eq!(lease.good_until(at(5)), None, "what came meanwhile counts as well");
        let foreign = Position { epoch: Epoch(8), seq: 9 };
        lease.ends(at(6));
        assert_eq!(lease.good_until(foreign), None);
    }
}
