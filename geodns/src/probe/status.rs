//! What is known of each PoP, for an operator's eyes.
//!
//! In: the prober's state, `now`. Out: plain values that serialise.
//! Always holds: spans, not dates: the clock of health knows no dates.
//! It deliberately does not know who reads it.

use std::net::IpAddr;

use geodns_core::{
    fleet::PopView,
    health::Target,
    moment::Moment,
    settings::{CheckKind, StateWord},
    standing::{Addresses, Standing},
};
use schemars::JsonSchema;
use serde::Serialize;

use super::{told, watch::Watch};

/// A PoP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PopStatus {
    /// Its name.
    pub name: String,
    /// Whether enough of its IPv4 addresses are up; nothing if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<StateWord>,
    /// Whether enough of its IPv6 addresses are up; nothing if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<StateWord>,
    /// Whether it is taken out of answers as long as others are there.
    pub drained: bool,
    /// The state in which an operator holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forced: Option<StateWord>,
    /// The seconds until the next of an operator's orders for it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_ends_in_seconds: Option<u64>,
    /// Whether its state may change with the next results.
    pub in_doubt: bool,
    /// How long an answer that depends on it may be cached.
    pub ttl_max_seconds: u32,
    /// The share of its clients that it has taken back after it was down, of 1000.
    pub ramp_per_mille: u16,
    /// How full it is, of 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_per_mille: Option<u16>,
    /// Its share among equals.
    pub weight: u32,
    /// Its addresses.
    pub addresses: Vec<AddressStatus>,
}

/// An address of a PoP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AddressStatus {
    /// It.
    pub address: IpAddr,
    /// Whether all of its checks are up.
    pub state: StateWord,
    /// Whether it is of a node that is drained: nobody is sent to it as long as there are others.
    pub drained: bool,
    /// The changes that checks saw it make, these and those that are gone.
    pub changes: u64,
    /// Its checks.
    pub checks: Vec<CheckStatus>,
}

/// A check of an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CheckStatus {
    /// What is done.
    pub kind: CheckKind,
    /// The port.
    pub port: u16,
    /// What it comes to.
    pub state: StateWord,
    /// For how long it has.
    pub since_seconds: u64,
    /// Why.
    pub why: String,
    /// What the last probe came to.
    pub last: String,
    /// How long ago that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seconds_ago: Option<u64>,
    /// Whether the state may change with the next results.
    pub in_doubt: bool,
    /// Changes of state within the window of the settings.
    pub flaps: u32,
    /// Changes of state since it is watched.
    pub changes: u64,
}

impl Watch {
    pub(super) fn status(&self, now: Moment) -> Vec<PopStatus> {
        let pops = self.watched.fleet.pops.iter().zip(self.standings().pops());
        let mut targets = self.table.targets().iter().enumerate().peekable();
        let mut all = Vec::new();
        for (index, (view, standing)) in pops.enumerate() {
            let mut own = Vec::new();
            while let Some((at, target)) =
                targets.next_if(|(_, target)| target.pop.index() == index)
            {
                own.extend(self.check_status(at, target, now).map(|status| (target, status)));
            }
            all.push(self.pop_status(view, standing, own, now));
        }
        all
    }

    fn pop_status(
        &self,
        view: &PopView,
        standing: &Standing,
        checks: Vec<(&Target, CheckStatus)>,
        now: Moment,
    ) -> PopStatus {
        let mut addresses: Vec<AddressStatus> = view
            .addresses()
            .map(|address| AddressStatus {
                address,
                state: StateWord::Up,
                drained: view.out.contains(&address),
                changes: self.table.changes(address),
                checks: Vec::new(),
            })
            .collect();
        for (target, check) in checks {
            let of = addresses.iter_mut().find(|one| one.address == target.address);
            if let Some(address) = of {
                if check.state == StateWord::Down {
                    address.state = StateWord::Down;
                }
                address.checks.push(check);
            }
        }
        let orders = self.table.orders(&view.name);
        PopStatus {
            name: view.name.to_string(),
            ipv4: family(&standing.v4),
            ipv6: family(&standing.v6),
            drained: standing.drained,
            forced: orders.forced(now),
            order_ends_in_seconds: orders.next_end(now).map(|end| end.since(now).as_secs()),
            in_doubt: standing.in_doubt,
            ttl_max_seconds: standing.ttl_max,
            ramp_per_mille: standing.v4.ramp.min(standing.v6.ramp).0,
            load_per_mille: standing.load.map(|load| load.0),
            weight: standing.weight,
            addresses,
        }
    }

    fn check_status(&self, at: usize, target: &Target, now: Moment) -> Option<CheckStatus> {
        let (check, machine) = (self.table.check(target)?, self.table.machine(at)?);
        let known = self.known.get(at)?;
        let last = known.last.as_ref();
        Some(CheckStatus {
            kind: check.kind,
            port: check.port,
            state: machine.state(),
            since_seconds: now.since(machine.since()).as_secs(),
            why: told(known.why.as_ref()),
            last: told(last.map(|(_, outcome)| outcome)),
            last_seconds_ago: last.map(|(at, _)| now.since(*at).as_secs()),
            in_doubt: machine.in_doubt(),
            flaps: machine.flaps(self.watched.health.flap_window, now),
            changes: machine.changes(),
        })
    }
}

fn family<A>(addresses: &Addresses<A>) -> Option<StateWord> {
    let state = if addresses.enough { StateWord::Up } else { StateWord::Down };
    (!addresses.all.is_empty()).then_some(state)
}
