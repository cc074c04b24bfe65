//! What a name server has answered by, and what of that may be cached.
//!
//! In: the fleets that it answers by, as they change, for how long what it answered before may be
//! cached, which drains it gave up, and which fleet its disk has. Out: what it says of that.
//! Always: it says that an answer has expired only when whoever got it at the last moment has kept it
//! for its TTL, by this process's own monotonic clock; of answers of a process before it nothing is
//! known, so all begins with the first drains that this one answers by. An address that is out later than
//! its drain was written, as nobody knew of it or another node had it, is cached from then, so that
//! drain and all after it have not expired. Nothing is said that the next process would break: what is
//! answered by is held back until a start without the ledger would answer by it as well.
//! It does not know who asks.
//! Clause: docs/operate.md *Draining a node*; RFC 2181 §8.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::Answers;
use crate::{
    fleet::{Fleet, OnDisk},
    ledger::{Position, Revision},
};

/// Changes whose earlier answers may be cached, at most; more are taken together with the last.
const PENDING_MAX: usize = 64;

/// See the module.
#[derive(Debug)]
pub struct Answering {
    tell: Arc<watch::Sender<Option<Answers>>>,
    /// How it is, whatever the disk has.
    own: Option<Answers>,
    /// Up to where the disk has it.
    kept: Option<Position>,
    /// What is answered by, and not known to be on the disk.
    held: Option<Arc<Fleet>>,
    /// The disk does not take it.
    is_failing: bool,
    /// What is answered by, with when nothing before it is cached any more; in their order.
    pending: VecDeque<(Position, Instant)>,
    /// What is out, by the first drain of each.
    out: BTreeMap<IpAddr, Revision>,
    /// What was answered all the same, with when that is not cached any more.
    given_up: BTreeMap<IpAddr, Instant>,
}

impl Answering {
    /// Tells it there.
    #[must_use]
    pub fn new(tell: Arc<watch::Sender<Option<Answers>>>) -> Self {
        Self {
            tell,
            own: None,
            kept: None,
            held: None,
            is_failing: false,
            pending: VecDeque::new(),
            out: BTreeMap::new(),
            given_up: BTreeMap::new(),
        }
    }

    /// From `now` on every answer goes by this fleet; one before that may be cached for `ttl` more.
    pub fn applied(&mut self, fleet: &Arc<Fleet>, ttl: Duration, now: Instant) {
        let Some(drains) = fleet.at else { return };
        self.take((drains, &fleet.since), ttl, now);
        self.held = Some(Arc::clone(fleet));
        self.lapse(now);
        self.say();
    }

    /// The disk has that.
    pub fn kept(&mut self, on_disk: &OnDisk) {
        self.is_failing = on_disk.is_failing();
        if let Some(fleet) = self.held.take_if(|held| on_disk.has(held)) {
            self.kept = fleet.at;
        }
        self.say();
    }

    /// Until when answers with addresses may be cached that were given though these are out; what was
    /// told of others before holds, also where they are a PoP's no more.
    pub fn given_up(&mut self, until: BTreeMap<IpAddr, Instant>, now: Instant) {
        for (address, until) in until {
            let known = self.given_up.entry(address).or_insert(until);
            *known = until.max(*known);
        }
        self.lapse(now);
        self.say();
    }

    /// It answers by `drains`, by which `out` is.
    fn take(
        &mut self,
        (drains, out): (Position, &BTreeMap<IpAddr, Revision>),
        ttl: Duration,
        now: Instant,
    ) {
        let own = self.own.as_ref();
        // Who has heard of these drains may have been answered with it until now.
        let new = out.iter().filter(|(address, _)| !self.out.contains_key(address));
        let new = new.map(|(_, since)| since.0).min().filter(|_| own.is_some());
        self.out.clone_from(out);
        let late = new.filter(|since| own.is_some_and(|own| *since <= own.drains.seq));
        if own.is_some_and(|own| own.drains == drains) && late.is_none() {
            return;
        }
        let goes_on = own.filter(|own| drains.has_reached(own.drains));
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
        let expired = goes_on.and_then(|own| own.expired);
        // What the disk has knows nothing of an address that is out only now.
        let in_time = |at: Position| match late {
            Some(late) => Position { seq: at.seq.min(late.saturating_sub(1)), ..at },
            None => at,
        };
        self.kept = self.kept.map(in_time);
        let expired = expired.map(in_time);
        self.own = Some(Answers { expired, ttl_s, ..Answers::by(drains) });
    }

    /// Says it, as far as the disk has it.
    fn say(&self) {
        let Some(own) = &self.own else { return };
        let unkept = self.held.is_some() && self.is_failing;
        let kept = self.kept.filter(|kept| kept.epoch == own.drains.epoch);
        let kept = kept.map_or(0, |kept| kept.seq);
        if kept == 0 && !unkept {
            return;
        }
        let at_most = |at: Position| Position { seq: at.seq.min(kept), ..at };
        let (drains, expired) = (at_most(own.drains), own.expired.map(at_most));
        let given_up = self.given_up.keys().copied().collect();
        let said = Some(Answers { drains, expired, unkept, given_up, ..*own });
        self.tell.send_if_modified(|before| {
            let is_new = *before != said;
            *before = said;
            is_new
        });
    }

    /// When something expires next.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        let pending = self.pending.front().map(|(_, due)| due);
        self.given_up.values().chain(pending).min().copied()
    }

    /// Says what has expired.
    pub fn lapse(&mut self, now: Instant) {
        let given_up = self.given_up.len();
        self.given_up.retain(|_, until| now < *until);
        let mut last = None;
        while let Some((drains, due)) = self.pending.front()
            && *due <= now
        {
            last = Some(*drains);
            self.pending.pop_front();
        }
        if let (Some(last), Some(own)) = (last, &mut self.own) {
            own.expired = Some(last);
        }
        if last.is_some() || given_up != self.given_up.len() {
            self.say();
        }
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

    impl Answering {
        /// What it goes by is kept at once.
        fn goes_by(
            &mut self,
            (at, out): (Position, &BTreeMap<IpAddr, Revision>),
            ttl: Duration,
            now: Instant,
        ) {
            let fleet = Arc::new(Fleet { at: Some(at), since: out.clone(), ..Fleet::default() });
            self.applied(&fleet, ttl, now);
            self.kept(&on_disk(&fleet));
        }
    }

    fn on_disk(fleet: &Arc<Fleet>) -> OnDisk {
        let mut on_disk = OnDisk::default();
        on_disk.tried(fleet, true);
        on_disk
    }

    fn said(answering: &Answering) -> (u64, Option<u64>, u64) {
        let said = answering.tell.borrow().clone().unwrap();
        (said.drains.seq, said.expired.map(|expired| expired.seq), said.ttl_s)
    }

    #[test]
    fn an_answer_has_expired_once_its_ttl_is_over() {
        let (begin, mut answering) = (Instant::now(), Answering::new(Arc::default()));
        assert_eq!(answering.due(), None);
        answering.goes_by((at(1, 5), NONE), 10 * SECOND, begin);
        assert_eq!(said(&answering), (5, None, 10));
        answering.goes_by((at(1, 5), NONE), 99 * SECOND, begin + SECOND);
        assert_eq!(answering.due(), Some(begin + 10 * SECOND), "it went by these already");
        answering.goes_by((at(1, 7), NONE), 10 * SECOND, begin + 4 * SECOND);
        answering.lapse(begin + 10 * SECOND - Duration::from_millis(1));
        assert_eq!(said(&answering), (7, None, 10));
        answering.lapse(begin + 10 * SECOND);
        assert_eq!(said(&answering), (7, Some(5), 10));
        // A shorter TTL since takes nothing out of caches.
        answering.goes_by((at(1, 8), NONE), SECOND, begin + 11 * SECOND);
        assert_eq!(answering.due(), Some(begin + 14 * SECOND));
        answering.lapse(begin + 14 * SECOND);
        assert_eq!((said(&answering), answering.due()), ((8, Some(8), 3), None));
    }

    #[test]
    fn in_another_ledger_or_an_older_state_nothing_has_expired() {
        for other in [at(2, 9), at(1, 3)] {
            let (begin, mut answering) = (Instant::now(), Answering::new(Arc::default()));
            answering.goes_by((at(1, 5), NONE), Duration::ZERO, begin);
            assert_eq!(said(&answering), (5, Some(5), 0));
            answering.goes_by((at(1, 6), NONE), SECOND, begin);
            answering.goes_by((other, NONE), 2 * SECOND, begin);
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
        answering.goes_by((at(1, 4), &out(&[(1, 3)])), SECOND, begin);
        answering.goes_by((at(1, 6), &out(&[(1, 3), (2, 6)])), SECOND, begin + SECOND);
        answering.lapse(begin + 2 * SECOND);
        assert_eq!(said(&answering), (6, Some(6), 1));
        let later = begin + 9 * SECOND;
        answering.goes_by((at(1, 6), &out(&[(1, 3), (2, 6), (3, 5)])), SECOND, later);
        assert_eq!((said(&answering), answering.due()), ((6, Some(4), 1), Some(later + SECOND)));
        answering.lapse(later + SECOND);
        assert_eq!(said(&answering), (6, Some(6), 1));
        // Together with another change, and while something is pending.
        let later = begin + 20 * SECOND;
        let with_new = out(&[(1, 3), (2, 6), (3, 5), (4, 7)]);
        answering.goes_by((at(1, 7), &with_new), 3 * SECOND, later);
        assert_eq!(said(&answering), (7, Some(6), 3));
        let with_late = out(&[(1, 3), (2, 6), (3, 5), (4, 7), (5, 2), (6, 8)]);
        answering.goes_by((at(1, 8), &with_late), SECOND, later);
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
            answering.goes_by(
                (at(1, seq), NONE),
                SECOND,
                begin + SECOND * u32::try_from(seq).unwrap() / 1000,
            );
        }
        assert_eq!(answering.pending.len(), PENDING_MAX);
        answering.lapse(begin + 2 * SECOND);
        assert_eq!(said(&answering), (1000, Some(1000), 1));
    }

    #[test]
    fn nothing_is_said_that_a_start_without_the_ledger_would_break() {
        let (now, mut answering) = (Instant::now(), Answering::new(Arc::default()));
        let fleet = |seq, out: &[(u8, u64)]| {
            let row = |(last, since): &(u8, u64)| ([192, 0, 2, *last].into(), Revision(*since));
            let since = out.iter().map(row).collect();
            Arc::new(Fleet { at: Some(at(1, seq)), since, ..Fleet::default() })
        };
        let unkept = |answering: &Answering| answering.tell.borrow().as_ref().unwrap().unkept;
        let first = fleet(5, &[(1, 5)]);
        answering.applied(&first, Duration::ZERO, now);
        answering.kept(&on_disk(&fleet(4, &[])));
        assert_eq!(*answering.tell.borrow(), None);
        // What it goes by since then does not become older by waiting for the disk.
        answering.kept(&on_disk(&first));
        assert_eq!((said(&answering), unkept(&answering)), ((5, Some(5), 0), false));
        // One that cannot be kept is not said, and why that is.
        let second = fleet(6, &[(1, 5), (2, 6)]);
        answering.applied(&second, Duration::ZERO, now);
        let mut failing = on_disk(&first);
        failing.tried(&second, false);
        answering.kept(&failing);
        assert_eq!((said(&answering), unkept(&answering)), ((5, Some(5), 0), true));
        answering.kept(&on_disk(&second));
        assert_eq!((said(&answering), unkept(&answering)), ((6, Some(6), 0), false));
        // An address that is out later than its drain is not out on the disk.
        let third = fleet(6, &[(1, 5), (2, 6), (3, 5)]);
        answering.applied(&third, Duration::ZERO, now);
        assert_eq!(said(&answering), (4, Some(4), 0));
        answering.kept(&on_disk(&third));
        assert_eq!(said(&answering), (6, Some(6), 0));
        // In another ledger nothing is.
        answering.applied(&Arc::new(Fleet { at: Some(at(2, 9)), ..Fleet::default() }), SECOND, now);
        answering.kept(&failing);
        let drains = answering.tell.borrow().as_ref().unwrap().drains;
        assert_eq!((drains, unkept(&answering)), (at(2, 0), true));
    }

    #[test]
    fn a_drain_that_is_given_up_is_said_as_long_as_that_may_be_cached() {
        let (now, mut answering) = (Instant::now(), Answering::new(Arc::default()));
        let given_up = |answering: &Answering| {
            answering.tell.borrow().as_ref().map(|said| said.given_up.clone())
        };
        let [one, other]: [IpAddr; 2] = [[192, 0, 2, 1].into(), [192, 0, 2, 2].into()];
        let (soon, late) = (now + SECOND, now + 2 * SECOND);
        answering.given_up([(one, soon)].into(), now);
        answering.goes_by((at(1, 5), NONE), Duration::ZERO, now);
        assert_eq!((given_up(&answering), answering.due()), (Some(vec![one]), Some(soon)));
        // It goes on, and one more.
        answering.given_up([(one, late), (other, soon)].into(), soon);
        assert_eq!((given_up(&answering), answering.due()), (Some(vec![one]), Some(late)));
        // What is told later of fewer, as of a PoP that one has left, takes nothing out of caches.
        answering.given_up([(one, soon)].into(), soon);
        answering.given_up(BTreeMap::new(), soon);
        assert_eq!((given_up(&answering), answering.due()), (Some(vec![one]), Some(late)));
        answering.lapse(late);
        assert_eq!((given_up(&answering), answering.due()), (Some(vec![]), None));
    }
}
