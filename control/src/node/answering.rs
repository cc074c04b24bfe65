//! What a name server has answered by, and what of that may be cached.
//!
//! In: the drains that it answers by, which addresses are out by them, as they change, and for how long
//! what it answered before may be cached. Out: what it says of that.
//! Always: it says that an answer has expired only when whoever got it at the last moment has kept it
//! for its TTL, by this process's own monotonic clock; of answers of a process before it nothing is
//! known, so all begins with the first drains that this one answers by. An address that is out later than
//! its drain was written, as nobody knew of it or another node had it, is cached from then, so that
//! drain and all after it have not expired. It does not know who asks.
//! Clause: docs/operate.md *Draining a node*; RFC 2181 §8.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::Answers;
use crate::ledger::{Position, Revision};

/// Changes whose earlier answers may be cached, at most; more are taken together with the last.
const PENDING_MAX: usize = 64;

/// See the module.
#[derive(Debug)]
pub struct Answering {
    tell: Arc<watch::Sender<Option<Answers>>>,
    /// What is answered by, with when nothing before it is cached any more; in their order.
    pending: VecDeque<(Position, Instant)>,
    /// What is out, by the first drain of each.
    out: BTreeMap<IpAddr, Revision>,
}

impl Answering {
    /// Tells it there.
    #[must_use]
    pub fn new(tell: Arc<watch::Sender<Option<Answers>>>) -> Self {
        Self { tell, pending: VecDeque::new(), out: BTreeMap::new() }
    }

    /// From `now` on every answer goes by `drains`, by which `out` is; one before that may be cached for
    /// `ttl` more.
    pub fn applied(
        &mut self,
        (drains, out): (Position, &BTreeMap<IpAddr, Revision>),
        ttl: Duration,
        now: Instant,
    ) {
        let said = *self.tell.borrow();
        // Who has heard of these drains may have been answered with it until now.
        let new = out.iter().filter(|(address, _)| !self.out.contains_key(address));
        let new = new.map(|(_, since)| since.0).min().filter(|_| said.is_some());
        self.out.clone_from(out);
        let late = new.filter(|since| said.is_some_and(|said| *since <= said.drains.seq));
        if said.is_some_and(|said| said.drains == drains) && late.is_none() {
            return;
        }
        let goes_on = said.filter(|said| drains.has_reached(said.drains));
        if goes_on.is_none() {
            self.pending.clear();
        }
        let due_before = self.pending.back().map(|(_, due)| *due);
        let before = |at: Position| late.is_none_or(|late| at.seq < late);
        self.pending.retain(|(at, _)| before(*at));
        if self.pending.len() >= PENDING_MAX {
            self.pending.pop_back();
        }
        // A longer TTL of before holds on.
        let due = due_before.map_or(now + ttl, |due| (now + ttl).max(due));
        self.pending.push_back((drains, due));
        let ttl_s = due.saturating_duration_since(now).as_millis().div_ceil(1000);
        let ttl_s = u64::try_from(ttl_s).unwrap_or(u64::MAX);
        let expired = goes_on.and_then(|said| said.expired);
        let expired = match (expired, late) {
            (Some(at), Some(late)) => {
                let seq = at.seq.min(late.saturating_sub(1));
                Some(Position { seq, ..at })
            }
            (expired, _) => expired,
        };
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
    const NONE: &BTreeMap<IpAddr, Revision> = &BTreeMap::new();

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
        answering.applied((at(1, 5), NONE), 10 * SECOND, begin);
        assert_eq!(said(&answering), (5, None, 10));
        answering.applied((at(1, 5), NONE), 99 * SECOND, begin + SECOND);
        assert_eq!(answering.due(), Some(begin + 10 * SECOND), "it went by these already");
        answering.applied((at(1, 7), NONE), 10 * SECOND, begin + 4 * SECOND);
        answering.lapse(begin + 10 * SECOND - Duration::from_millis(1));
        assert_eq!(said(&answering), (7, None, 10));
        answering.lapse(begin + 10 * SECOND);
        assert_eq!(said(&answering), (7, Some(5), 10));
        // A shorter TTL since takes nothing out of caches.
        answering.applied((at(1, 8), NONE), SECOND, begin + 11 * SECOND);
        assert_eq!(answering.due(), Some(begin + 14 * SECOND));
        answering.lapse(begin + 14 * SECOND);
        assert_eq!((said(&answering), answering.due()), ((8, Some(8), 3), None));
    }

    #[test]
    fn in_another_ledger_or_an_older_state_nothing_has_expired() {
        for other in [at(2, 9), at(1, 3)] {
            let (begin, mut answering) = (Instant::now(), Answering::new(Arc::default()));
            answering.applied((at(1, 5), NONE), Duration::ZERO, begin);
            assert_eq!(said(&answering), (5, Some(5), 0));
            answering.applied((at(1, 6), NONE), SECOND, begin);
            answering.applied((other, NONE), 2 * SECOND, begin);
            assert_eq!(said(&answering), (other.seq, None, 2));
            assert_eq!(answering.due(), Some(begin + 2 * SECOND));
        }
    }

    #[test]
    fn what_is_out_later_than_its_drain_is_cached_from_then() {
        let out = |rows: &[(u8, u64)]| -> BTreeMap<IpAddr, Revision> {
            let row = |(last, since): &(u8, u64)| ([192, 0, 2, *last].into(), Revision(*since));
            rows.iter().map(row).collect()
        };
        let (begin, mut answering) = (Instant::now(), Answering::new(Arc::default()));
        answering.applied((at(1, 4), &out(&[(1, 3)])), SECOND, begin);
        answering.applied((at(1, 6), &out(&[(1, 3), (2, 6)])), SECOND, begin + SECOND);
        answering.lapse(begin + 2 * SECOND);
        assert_eq!(said(&answering), (6, Some(6), 1));
        let later = begin + 9 * SECOND;
        answering.applied((at(1, 6), &out(&[(1, 3), (2, 6), (3, 5)])), SECOND, later);
        assert_eq!((said(&answering), answering.due()), ((6, Some(4), 1), Some(later + SECOND)));
        answering.lapse(later + SECOND);
        assert_eq!(said(&answering), (6, Some(6), 1));
        // Together with another change, and while something is pending.
        let later = begin + 20 * SECOND;
        let with_new = out(&[(1, 3), (2, 6), (3, 5), (4, 7)]);
        answering.applied((at(1, 7), &with_new), 3 * SECOND, later);
        assert_eq!(said(&answering), (7, Some(6), 3));
        let with_late = out(&[(1, 3), (2, 6), (3, 5), (4, 7), (5, 2), (6, 8)]);
        answering.applied((at(1, 8), &with_late), SECOND, later);
        assert_eq!(
            (said(&answering), answering.due()),
            ((8, Some(1), 3), Some(later + 3 * SECOND))
        );
        answering.lapse(later + 3 * SECOND);
        assert_eq!(said(&answering), (8, Some(8), 3));
    }

    #[test]
    fn many_changes_are_taken_together() {
        let (begin, mut answering) = (Instant::now(), Answering::new(Arc::default()));
        for seq in 1..=1000 {
            answering.applied(
                (at(1, seq), NONE),
                SECOND,
                begin + SECOND * u32::try_from(seq).unwrap() / 1000,
            );
        }
        assert_eq!(answering.pending.len(), PENDING_MAX);
        answering.lapse(begin + 2 * SECOND);
        assert_eq!(said(&answering), (1000, Some(1000), 1));
    }
}
