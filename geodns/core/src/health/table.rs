//! All targets of a node's probes and their states.
//!
//! In: the fleet and the checks. Out: what to probe, and where each result goes. Always holds: one
//! target for each address of the fleet and each check; a target that a new fleet or new checks
//! still have keeps its state, so that a reload is no restart, and a target whose question is new
//! begins in the state in which its address was last seen: what is dead stays dead, and what lives
//! lives, whatever changes in a file, until as many probes as ever say otherwise; the changes of an
//! address are counted as long as the fleet has it, whichever checks saw them.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use super::{
    machine::Machine,
    operator::{Order, Orders},
};
use crate::{
    fleet::{FleetView, Load, PopId, PopView},
    moment::Moment,
    settings::{CheckSettings, StateWord},
    standing::PerMille,
};

/// What is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The PoP.
    pub pop: PopId,
    /// The address.
    pub address: IpAddr,
    /// The check, by its place among the checks.
    pub check: usize,
}

/// A target changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The target.
    pub target: Target,
    /// Its state from now on.
    pub state: StateWord,
}

/// All targets and their states.
#[derive(Clone, Debug, Default)]
pub struct HealthTable {
    pub(super) checks: Vec<CheckSettings>,
    targets: Vec<Target>,
    machines: Vec<Machine>,
    /// By target: what its last answer that said so reported, and when.
    loads: Vec<Option<(PerMille, Moment)>>,
    /// By address.
    changes: HashMap<IpAddr, u64>,
    /// By PoP: its targets' places.
    by_pop: Vec<std::ops::Range<usize>>,
    /// By the name of the PoP, so that they outlive a reload.
    orders: HashMap<Arc<str>, Orders>,
    /// The same: what the PoP's nodes said last.
    told: HashMap<Arc<str>, Load>,
}

impl HealthTable {
    /// The targets of a fleet, before any result.
    #[must_use]
    pub fn new(fleet: &FleetView, checks: &[CheckSettings], now: Moment) -> Self {
        Self::default().renewed(fleet, checks, now)
    }

    /// The targets of another fleet or other checks, with what is known of those that remain.
    #[must_use]
    pub fn renewed(&self, fleet: &FleetView, checks: &[CheckSettings], now: Moment) -> Self {
        let before = self.targets.iter().zip(self.machines.iter().zip(&self.loads));
        let known: HashMap<(IpAddr, usize), (&Machine, &Option<_>)> =
            before.map(|(target, known)| ((target.address, target.check), known)).collect();
        let places = self.places(checks);
        let seen = self.seen();
        let mut table =
            Self { checks: checks.to_vec(), orders: self.orders.clone(), ..Self::default() };
        table.told.clone_from(&self.told);
        table.orders.retain(|name, _| fleet.find(name).is_some());
        let addresses = fleet.pops.iter().flat_map(PopView::addresses);
        table.changes = addresses.map(|address| (address, self.changes(address))).collect();
        for (pop, view) in fleet.iter() {
            let first = table.targets.len();
            for address in view.addresses() {
                for ((check, settings), before) in checks.iter().enumerate().zip(&places) {
                    let known = before.and_then(|before| known.get(&(address, before)));
                    let new = || match seen.get(&address) {
                        Some(machine) => machine.resumed(settings),
                        None => Machine::new(settings, now),
                    };
                    let (machine, load) = known.map_or_else(
                        || (new(), None),
                        |(machine, load)| (machine.kept(settings), **load),
                    );
                    table.machines.push(machine);
                    table.loads.push(load);
                    table.targets.push(Target { pop, address, check });
                }
            }
            table.by_pop.push(first..table.targets.len());
        }
        table
    }

    /// For each of `checks`, the place of the one before that it goes on from: the same one, or
    /// else one that asks the same. None has two that go on from it.
    #[must_use]
    pub fn places(&self, checks: &[CheckSettings]) -> Vec<Option<usize>> {
        let equal = |check: &CheckSettings| self.checks.iter().position(|before| before == check);
        let mut places: Vec<Option<usize>> = checks.iter().map(equal).collect();
        for (at, check) in checks.iter().enumerate() {
            if places.get(at).is_some_and(Option::is_none) {
                let mut before = self.checks.iter().enumerate();
                let place = before.find(|(place, before)| {
                    before.asks_as(check) && !places.contains(&Some(*place))
                });
                if let Some(slot) = places.get_mut(at) {
                    *slot = place.map(|(place, _)| place);
                }
            }
        }
        places
    }

    /// By address: how probes saw it last.
    fn seen(&self) -> HashMap<IpAddr, &Machine> {
        let mut seen = HashMap::new();
        let targets = self.targets.iter().zip(&self.machines);
        for (target, machine) in targets.filter(|(_, machine)| machine.is_seen()) {
            let gravest = seen.entry(target.address).or_insert(machine);
            *gravest = gravest.graver(machine);
        }
        seen
    }

    /// What is probed, in an order that stays as long as the table.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// How a target is probed.
    #[must_use]
    pub fn check(&self, target: &Target) -> Option<&CheckSettings> {
        self.checks.get(target.check)
    }

    /// A target's state.
    #[must_use]
    pub fn machine(&self, index: usize) -> Option<&Machine> {
        self.machines.get(index)
    }

    /// Takes the outcome of a probe of the target at `index`; the change, if it made one.
    pub fn take(&mut self, index: usize, passed: bool, now: Moment) -> Option<Change> {
        let target = *self.targets.get(index)?;
        let check = self.checks.get(target.check)?;
        let state = self.machines.get_mut(index)?.take(check, passed, now)?;
        let changes = self.changes.entry(target.address).or_default();
        *changes = changes.saturating_add(1);
        Some(Change { target, state })
    }

    /// Notes that the target at `index` could not be probed.
    pub fn blind(&mut self, index: usize) {
        if let Some(machine) = self.machines.get_mut(index) {
            machine.blind();
        }
    }

    /// Takes what nodes say of their PoPs' load, in the place of all that they said before.
    pub fn hear(&mut self, told: HashMap<Arc<str>, Load>) {
        self.told = told;
    }

    pub(super) fn told(&self, pop: &str) -> Option<Load> {
        self.told.get(pop).copied()
    }

    /// Takes what the target at `index` reported of its load.
    pub fn report(&mut self, index: usize, load: PerMille, now: Moment) {
        if let Some(last) = self.loads.get_mut(index) {
            *last = Some((load, now));
        }
    }

    /// The changes that checks saw an address make, these and those that are gone.
    #[must_use]
    pub fn changes(&self, address: IpAddr) -> u64 {
        self.changes.get(&address).copied().unwrap_or_default()
    }

    /// Takes an operator's order; whether there is such a PoP is the caller's to know.
    pub fn order(&mut self, pop: &str, order: Order, end: Option<Moment>) {
        self.orders.entry(pop.into()).or_default().take(order, end);
    }

    /// What an operator said of a PoP.
    #[must_use]
    pub fn orders(&self, pop: &str) -> Orders {
        self.orders.get(pop).copied().unwrap_or_default()
    }

    /// Whether every target has a result, or cannot be had one of: before that, what is up is a
    /// guess that may soon be mended.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.machines.iter().any(Machine::is_awaited)
    }

    /// When an order ends next, and standings must be made anew.
    #[must_use]
    pub fn next_end(&self, now: Moment) -> Option<Moment> {
        self.orders.values().filter_map(|orders| orders.next_end(now)).min()
    }

    /// What the targets of a PoP that are up have reported, and when.
    pub(super) fn loads_of(&self, pop: PopId) -> impl Iterator<Item = (PerMille, Moment)> {
        let range = self.by_pop.get(pop.index()).cloned().unwrap_or_default();
        let machines = self.machines.get(range.clone()).unwrap_or_default();
        let up = machines.iter().map(|machine| machine.state() == StateWord::Up);
        let loads = self.loads.get(range).unwrap_or_default();
        loads.iter().zip(up).filter_map(|(load, up)| load.filter(|_| up))
    }

    /// A PoP's targets, with their checks and states.
    pub(super) fn of_pop(
        &self,
        pop: PopId,
    ) -> impl Iterator<Item = (&Target, &CheckSettings, &Machine)> {
        let range = self.by_pop.get(pop.index()).cloned().unwrap_or_default();
        let targets = self.targets.get(range.clone()).unwrap_or_default();
        let machines = self.machines.get(range).unwrap_or_default();
        targets
            .iter()
            .zip(machines)
            .filter_map(|(target, machine)| Some((target, self.checks.get(target.check)?, machine)))
    }
}
