//! What a name server has answered by, and what of that may be cached.
//!
//! In: the drains that it answers by, as they change, and for how long what it answered before may be
//! cached. Out: what it says of that.
//! Always: it says that an answer has expired only when whoever got it at the last moment has kept it
//! for its TTL, by this process's own monotonic clock; of answers of a process before it nothing is
//! known, so all begins with the first drains that this one answers by. It does not know who asks.
//! Clause: docs/operate.md *Draining a node*; RFC 2181 §8.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::Answers;
use crate::ledger::Position;

/// Changes whose earlier answers may be cached, at most; more are taken together with the last.
const PENDING_MAX: usize = 64;

/// See the module.
#[derive(Debug)]
pub struct Answering {
    tell: Arc<watch::Sender<Option<Answers>>>,
    /// What is answered by, with when nothing before it is cached any more; in their order.
    pending: VecDeque<(Position, Instant)>,
}

impl Answering {
    /// Tells it there.
    #[must_use]
    pub fn new(tell: Arc<watch::Sender<Option<Answers>>>) -> Self {
        Self { tell, pending: VecDeque::new() }
    }

    /// From `now` on every answer goes by `drains`; one before that may be cached for `ttl` more.
    pub fn applied(&mut self, drains: Position, ttl: Duration, now: Instant) {
        let said = *self.tell.borrow();
        if said.is_some_and(|said| said.drains == drains) {
            return;
        }
        let goes_on = said.filter(|said| drains.has_reached(said.drains));
        if goes_on.is_none() {
            self.pending.clear();
        }
        if self.pending.len() >= PENDING_MAX {
            self.pending.pop_back();
        }
        // A longer TTL of before holds on.
        let due = self.pending.back().map_or(now + ttl, |(_, due)| (now + ttl).max(*due));
        self.pending.push_back((drains, due));
        let ttl_s = due.saturating_duration_since(now).as_millis().div_ceil(1000);
        let ttl_s = u64::try_from(ttl_s).unwrap_or(u64::MAX);
        let expired = goes_on.and_then(|said| said.expired);
        self.tell.send_replace(Some(Answers { drains, expired, ttl_s }));
        self.lapse(now);
    }

    /// When something expires next.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.pending.front().map(|(_, due)| *due)
    }

    /// Says what has expired.
    pub fn lapse(&mut self, now: Instant) {
        let mut last = None;
        while let Some((drains, due)) = self.pending.front()
            && *due <= now
        {
            last = Some(*drains);
            self.pending.pop_front();
        }
        let Some(last) = last else { return };
        self.tell.send_modify(|said| {
            if let Some(said) = said {
                said.expired = Some(last);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Epoch;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(epoch: u64, seq: u64) -> Position {
        Position { epoch: Epoch(epoch), seq }
    }

    fn said(answering: &Answering) -> (u64, Option<u64>, u64) {
        let said = answering.tell.borrow().unwrap();
        (said.drains.seq, said.expired.map(|expired| expired.seq), said.ttl_s)
    }

    #[test]
    fn an_answer_has_expired_once_its_ttl_is_over() {
        let (begin, mut answering) = (Instant::now(), Answering::new(Arc::default()));
        assert_eq!(answering.due(), None);
        answering.applied(at(1, 5), 10 * SECOND, begin);
        assert_eq!(said(&answering), (5, None, 10));
        answering.applied(at(1, 5), 99 * SECOND, begin + SECOND);
        assert_eq!(answering.due(), Some(begin + 10 * SECOND), "it went by these already");
        answering.applied(at(1, 7), 10 * SECOND, begin + 4 * SECOND);
        answering.lapse(begin + 10 * SECOND - Duration::from_millis(1));
        assert_eq!(said(&answering), (7, None, 10));
        answering.lapse(begin + 10 * SECOND);
        assert_eq!(said(&answering), (7, Some(5), 10));
        // A shorter TTL since takes nothing out of caches.
        answering.applied(at(1, 8), SECOND, begin + 11 * SECOND);
        assert_eq!(answering.due(), Some(begin + 14 * SECOND));
        answering.lapse(begin + 14 * SECOND);
        assert_eq!((said(&answering), answering.due()), ((8, Some(8), 3), None));
    }

    #[test]
    fn in_another_ledger_or_an_older_state_nothing_has_expired() {
        for other in [at(2, 9), at(1, 3)] {
            let (begin, mut answering) = (Instant::now(), Answering::new(Arc::default()));
            answering.applied(at(1, 5), Duration::ZERO, begin);
            assert_eq!(said(&answering), (5, Some(5), 0));
            answering.applied(at(1, 6), SECOND, begin);
            answering.applied(other, 2 * SECOND, begin);
            assert_eq!(said(&answering), (other.seq, None, 2));
            assert_eq!(answering.due(), Some(begin + 2 * SECOND));
        }
    }

    #[test]
    fn many_changes_are_taken_together() {
        let (begin, mut answering) = (Instant::now(), Answering::new(Arc::default()));
        for seq in 1..=1000 {
            answering.applied(
                at(1, seq),
                SECOND,
                begin + SECOND * u32::try_from(seq).unwrap() / 1000,
            );
        }
        assert_eq!(answering.pending.len(), PENDING_MAX);
        answering.lapse(begin + 2 * SECOND);
        assert_eq!(said(&answering), (1000, Some(1000), 1));
    }
}
