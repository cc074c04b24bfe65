//! What probes have come to so far, and what is due next: the state behind [`super::Prober`].
//!
//! In: outcomes, orders, new fleets, `now`, draws. Out: what to probe, when to look again, the
//! standings when they changed, and lines for the log.
//! Always holds: a target is due or under way, never both and never neither; a check that stands
//! twice is one; a target that a new fleet still has keeps its place in the queue; every change is
//! told once, with its reason; a probe that this node could not make changes no state, and is made again
//! soon while there is no result at all.
//! It deliberately neither probes nor waits nor publishes.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use geodns_core::{
    fleet::{FleetView, PopId},
    health::{HealthTable, Target, operator::Order, schedule},
    moment::Moment,
    settings::{CheckSettings, HealthSettings, StateWord},
    standing::{PerMille, Standings},
};
use nearcast_daemon::seldom::Seldom;

use super::{
    attempt::{Fault, Outcome},
    told,
};

/// While a PoP takes its clients back, its share is looked at this often.
const RAMP_STEP: Duration = Duration::from_millis(250);
/// How often a report of load is asked whether it is too old.
const LOAD_STEP: Duration = Duration::from_secs(1);

/// What is watched, and how it is judged.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The PoPs.
    pub fleet: Arc<FleetView>,
    /// How each address is probed.
    pub checks: Vec<CheckSettings>,
    /// What follows.
    pub health: HealthSettings,
    /// Probes under way at once.
    pub probes_max: usize,
}

/// A probe that is to begin.
#[derive(Clone, Debug)]
pub(super) struct Due {
    pub(super) address: IpAddr,
    pub(super) check: CheckSettings,
    began: Moment,
}

/// What is known of a target beside its state.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// When it is probed next; nothing while it is.
    due: Option<Moment>,
    /// What its last probe came to.
    pub(super) last: Option<(Moment, Outcome)>,
    /// Why it is in its state.
    pub(super) why: Option<Outcome>,
}

/// What an operator's orders come to.
type Ordered = (Option<bool>, Option<StateWord>);

/// See the module.
pub(super) struct Watch {
    pub(super) watched: Watched,
    pub(super) table: HealthTable,
    /// By target.
    pub(super) known: Vec<Known>,
    queue: BTreeSet<(Moment, usize)>,
    standings: Standings,
    /// By PoP: the orders that were in force when last looked.
    ordered: Vec<Ordered>,
    /// Probes that this node could not make.
    pub(super) blind: u64,
    /// When that was told last.
    blind_told: Seldom,
}

impl Watch {
    pub(super) fn new(watched: Watched, now: Moment, draw: impl FnMut() -> u64) -> Self {
        let nothing = Watched {
            fleet: Arc::default(),
            checks: Vec::new(),
            health: HealthSettings::default(),
            probes_max: 1,
        };
        let mut watch = Self {
            watched: nothing,
            table: HealthTable::default(),
            known: Vec::new(),
            queue: BTreeSet::new(),
            standings: Standings::default(),
            ordered: Vec::new(),
            blind: 0,
            blind_told: Seldom::default(),
        };
        watch.renew(watched, now, draw);
        watch
    }

    /// Watches something else; what is still there keeps its state and its place in the queue.
    pub(super) fn renew(
        &mut self,
        mut watched: Watched,
        now: Moment,
        mut draw: impl FnMut() -> u64,
    ) -> Standings {
        watched.checks = each_once(&watched.checks);
        let table = self.table.renewed(&watched.fleet, &watched.checks, now);
        let places = self.table.places(&watched.checks);
        let mut before: HashMap<(IpAddr, usize), Known> = HashMap::new();
        for (target, known) in self.table.targets().iter().zip(&mut self.known) {
            before.insert((target.address, target.check), std::mem::take(known));
        }
        let mut known = Vec::new();
        for target in table.targets() {
            let Some(check) = watched.checks.get(target.check) else { continue };
            let place = places.get(target.check).copied().flatten();
            let kept = place.and_then(|place| before.remove(&(target.address, place)));
            let is_same = place.and_then(|place| self.watched.checks.get(place)) == Some(check);
            // What is under way asks by the words of before, and is not waited for.
            known.push(match kept {
                Some(kept) if is_same => kept,
                kept => Known {
                    due: Some(schedule::first(check, now, draw())),
                    ..kept.unwrap_or_default()
                },
            });
        }
        self.queue = (0..).zip(&known).filter_map(|(at, one)| Some((one.due?, at))).collect();
        self.known = known;
        self.table = table;
        self.watched = watched;
        self.ordered = self.orders(now);
        self.standings = self.compose(now);
        self.standings.clone()
    }

    /// The targets whose time has come, at most `room` of them; each is under way from now on.
    pub(super) fn begin(&mut self, room: usize, now: Moment) -> Vec<Due> {
        let mut begun = Vec::new();
        while begun.len() < room
            && let Some((at, index)) = self.queue.first().copied()
            && at <= now
        {
            self.queue.remove(&(at, index));
            let Some(known) = self.known.get_mut(index) else { continue };
            known.due = None;
            let Some(target) = self.table.targets().get(index).copied() else { continue };
            let Some(check) = self.table.check(&target).cloned() else { continue };
            begun.push(Due { address: target.address, check, began: now });
        }
        begun
    }

    /// When something is to be done next, if `room` is left for probes.
    pub(super) fn next(&self, has_room: bool, now: Moment) -> Option<Moment> {
        let due = self.queue.first().map(|(at, _)| *at).filter(|_| has_room);
        due.into_iter().chain(self.table.next_end(now)).chain(self.next_look(now)).min()
    }

    /// Takes what a probe came to; the standings, if they changed.
    pub(super) fn take(
        &mut self,
        due: &Due,
        outcome: Outcome,
        now: Moment,
        draw: u64,
    ) -> Option<Standings> {
        // The fleet or the checks may have changed meanwhile.
        let index = self.table.targets().iter().position(|target| {
            target.address == due.address && self.table.check(target) == Some(&due.check)
        })?;
        let is_awaited = self.table.machine(index)?.is_awaited();
        let next = match &outcome {
            Err(Fault::Local(_)) if is_awaited => schedule::first(&due.check, now, draw),
            _ => schedule::next(&due.check, due.began, draw).max(now),
        };
        let known = self.known.get_mut(index)?;
        if known.due.is_none() {
            known.due = Some(next);
            self.queue.insert((next, index));
        }
        if let Err(Fault::Local(why)) = &outcome {
            // No result: the address stays as it is, however long this node has nothing to probe with.
            self.table.blind(index);
            self.blind = self.blind.saturating_add(1);
            if self.blind_told.is_due() {
                let (address, port) = (due.address, due.check.port);
                tracing::warn!(%address, port, why, "this node cannot probe; it stays as it was seen last");
            }
            known.last = Some((now, outcome));
            return None;
        }
        let before = self.table.machine(index).cloned();
        let change = self.table.take(index, outcome.is_ok(), now);
        let load = outcome.as_ref().ok().and_then(|passed| passed.load);
        if let Some(load) = load {
            self.table.report(index, load, now);
        }
        let known = self.known.get_mut(index)?;
        if change.is_some() || known.why.is_none() {
            known.why = Some(outcome.clone());
        }
        known.last = Some((now, outcome));
        if let Some(change) = change {
            self.tell(&change.target, change.state, now);
        }
        if self.table.machine(index) == before.as_ref() && load.is_none() {
            return None;
        }
        self.look(now)
    }

    /// Takes an operator's order; the standings, if they changed.
    pub(super) fn order(
        &mut self,
        pop: PopId,
        order: Order,
        end: Option<Moment>,
        now: Moment,
    ) -> Option<Standings> {
        let name = self.watched.fleet.name(pop).to_owned();
        self.table.order(&name, order, end);
        self.ordered = self.orders(now);
        self.look(now)
    }

    /// Looks at what the passing of time has changed; the standings, if they did.
    pub(super) fn look(&mut self, now: Moment) -> Option<Standings> {
        self.tell_ended(now);
        let standings = self.compose(now);
        if standings == self.standings {
            return None;
        }
        self.standings.clone_from(&standings);
        Some(standings)
    }

    pub(super) fn standings(&self) -> &Standings {
        &self.standings
    }

    fn compose(&self, now: Moment) -> Standings {
        self.table.standings(&self.watched.fleet, &self.watched.health, now)
    }

    fn next_look(&self, now: Moment) -> Option<Moment> {
        let pops = self.standings.pops();
        let ramps = |ramp: PerMille| ramp < PerMille::ALL;
        if pops.iter().any(|pop| ramps(pop.v4.ramp) || ramps(pop.v6.ramp)) {
            return Some(now.plus(RAMP_STEP));
        }
        pops.iter().any(|pop| pop.load.is_some()).then(|| now.plus(LOAD_STEP))
    }

    fn orders(&self, now: Moment) -> Vec<Ordered> {
        let of = |name: &str| self.table.orders(name);
        let pops = self.watched.fleet.pops.iter();
        pops.map(|pop| (of(&pop.name).drained(now), of(&pop.name).forced(now))).collect()
    }

    /// Tells which orders have come to their end.
    fn tell_ended(&mut self, now: Moment) {
        let ordered = self.orders(now);
        if ordered == self.ordered {
            return;
        }
        for ((pop, before), after) in
            self.watched.fleet.pops.iter().zip(&self.ordered).zip(&ordered)
        {
            if before.0.is_some() && after.0.is_none() {
                tracing::info!(pop = %pop.name, "the order to drain or undrain has ended");
            }
            if before.1.is_some() && after.1.is_none() {
                tracing::info!(pop = %pop.name, "the order to force has ended: probes decide again");
            }
        }
        self.ordered = ordered;
    }

    fn tell(&self, target: &Target, state: StateWord, now: Moment) {
        let pop = self.watched.fleet.name(target.pop);
        let Some(index) = self.table.targets().iter().position(|one| one == target) else { return };
        let (Some(check), Some(known)) = (self.table.check(target), self.known.get(index)) else {
            return;
        };
        let why = told(known.why.as_ref());
        let window = self.watched.health.flap_window;
        let flaps = self.table.machine(index).map_or(0, |machine| machine.flaps(window, now));
        let (address, port, kind) = (target.address, check.port, check.kind);
        match state {
            StateWord::Up => tracing::info!(pop, %address, port, ?kind, why, flaps, "up"),
            StateWord::Down => tracing::warn!(pop, %address, port, ?kind, why, flaps, "down"),
        }
    }
}

/// A result finds its target by address and check, so each check stands once.
fn each_once(checks: &[CheckSettings]) -> Vec<CheckSettings> {
    let mut once: Vec<CheckSettings> = Vec::new();
    for check in checks {
        if !once.contains(check) {
            once.push(check.clone());
        }
    }
    once
}
