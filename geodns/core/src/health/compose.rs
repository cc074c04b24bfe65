//! From targets to addresses to PoPs.
//!
//! In: a [`HealthTable`], the fleet, `now`. Out: [`Standings`]. An address is up when all of its
//! checks are, a PoP is up in a family when enough of its addresses are.
//! Always holds: a PoP without addresses of a family is not up in it; without checks, every
//! address is up; a force goes before probes, an order to drain or not before the fleet's word; a
//! address that nobody is to be sent to counts as if it were not there, unless the others are not enough:
//! then it counts, and the PoP as drained in that family; a report of load that is too old is no report, and what targets report goes before the fleet's word:
//! it is the mean of those that are up, who share the PoP's clients.
//! The TTL rule: an answer is cached no longer than `ttl_max`; while a target of the PoP is in
//! doubt, no longer than it takes until its state can change, but at least `ttl_min`.

use std::{net::IpAddr, time::Duration};

use super::table::HealthTable;
use crate::{
    fleet::{FleetView, Load, PopId, PopView},
    moment::Moment,
    route::rendezvous::name_key,
    settings::{HealthSettings, StateWord},
    standing::{Addresses, PerMille, Standing, Standings},
};

impl HealthTable {
    /// How the PoPs of a fleet stand, which must be the fleet that the table was made for.
    #[must_use]
    pub fn standings(
        &self,
        fleet: &FleetView,
        settings: &HealthSettings,
        now: Moment,
    ) -> Standings {
        let standing = |(id, view)| self.standing(id, view, settings, now);
        Standings::new(fleet.iter().map(standing).collect())
    }

    fn standing(
        &self,
        id: PopId,
        view: &PopView,
        settings: &HealthSettings,
        now: Moment,
    ) -> Standing {
        let orders = self.orders(&view.name);
        let forced = orders.forced(now);
        let state = |address: IpAddr| self.address(id, address, forced, settings, now);
        let min = usize::try_from(settings.addresses_min).unwrap_or(usize::MAX);
        let in_doubt = forced.is_none() && self.of_pop(id).any(|(_, _, one)| one.in_doubt());
        let ends_in = orders.next_end(now).map(|end| end.since(now));
        Standing {
            key: name_key(view.name.as_bytes()),
            weight: view.weight,
            priority: view.priority,
            // An order here speaks of the PoP, and takes no node back in.
            drained: orders.drained(now).unwrap_or(view.drained) || view.is_out(),
            load: self
                .reported(id, settings.load_age_max, now)
                .or_else(|| load(self.told(&view.name), view.capacity, settings.load_age_max, now)),
            v4: addresses(&view.v4, min, is_out(view), |address| state(IpAddr::V4(address))),
            v6: addresses(&view.v6, min, is_out(view), |address| state(IpAddr::V6(address))),
            https: view.https.clone(),
            in_doubt,
            ttl_max: self.ttl_max(id, in_doubt, ends_in, settings),
        }
    }

    /// The share of its clients that an address takes; nothing while it is down.
    fn address(
        &self,
        id: PopId,
        address: IpAddr,
        forced: Option<StateWord>,
        settings: &HealthSettings,
        now: Moment,
    ) -> Option<PerMille> {
        match forced {
            Some(StateWord::Up) => return Some(PerMille::ALL),
            Some(StateWord::Down) => return None,
            None => {}
        }
        let mut share = PerMille::ALL;
        for (target, _, machine) in self.of_pop(id) {
            if target.address == address {
                if machine.state() == StateWord::Down {
                    return None;
                }
                share = share.min(machine.ramp(settings.ramp_up, now));
            }
        }
        Some(share)
    }

    /// How full a PoP's own answers say it is.
    fn reported(&self, id: PopId, age_max: Duration, now: Moment) -> Option<PerMille> {
        let recent = self.loads_of(id).filter(|(_, at)| now.since(*at) <= age_max);
        let (sum, count) = recent.fold((0_u64, 0_u64), |(sum, count), (load, _)| {
            (sum.saturating_add(load.0.into()), count.saturating_add(1))
        });
        u16::try_from(sum.checked_div(count)?).ok().map(PerMille)
    }

    fn ttl_max(
        &self,
        id: PopId,
        in_doubt: bool,
        ends_in: Option<Duration>,
        settings: &HealthSettings,
    ) -> u32 {
        let mut ttl = settings.ttl_max;
        let at_least = settings.ttl_min.min(settings.ttl_max);
        if in_doubt {
            for (_, check, machine) in self.of_pop(id).filter(|(_, _, one)| one.in_doubt()) {
                ttl = ttl.min(machine.time_to_change(check));
            }
        }
        // An order that ends is a change that is known ahead.
        ttl = ttl.min(ends_in.unwrap_or(ttl)).max(at_least);
        u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX)
    }
}

/// Whether nobody is to be sent to an address of a PoP.
fn is_out<A: Into<IpAddr>>(view: &PopView) -> impl Fn(A) -> bool {
    |address| view.out.contains(&address.into())
}

fn addresses<A: Copy>(
    all: &[A],
    min: usize,
    is_out: impl Fn(A) -> bool,
    share: impl Fn(A) -> Option<PerMille>,
) -> Addresses<A> {
    let kept: Vec<A> = all.iter().copied().filter(|address| !is_out(*address)).collect();
    let own = judged(&kept, min, &share);
    if own.enough || kept.len() == all.len() {
        return own;
    }
    let whole = judged(all, min, &share);
    match (kept.is_empty(), whole.enough) {
        (false, false) => own,
        (true, _) => Addresses { drained: true, ..whole },
        (false, true) => Addresses { drained: true, all: kept, ..whole },
    }
}

/// How addresses stand together, as if there were no others.
fn judged<A: Copy>(all: &[A], min: usize, share: impl Fn(A) -> Option<PerMille>) -> Addresses<A> {
    let states: Vec<(A, PerMille)> =
        all.iter().filter_map(|address| Some((*address, share(*address)?))).collect();
    Addresses {
        all: all.to_vec(),
        drained: false,
        enough: !states.is_empty() && states.len() >= min.min(all.len()),
        // The PoP has been back for as long as the first of its addresses.
        ramp: states.iter().map(|(_, share)| *share).max().unwrap_or(PerMille::ALL),
        up: states.into_iter().map(|(address, _)| address).collect(),
    }
}

fn load(
    report: Option<Load>,
    capacity: Option<u64>,
    age_max: Duration,
    now: Moment,
) -> Option<PerMille> {
    let report = report.filter(|report| now.since(report.at) <= age_max)?;
    let Some(capacity) = capacity else { return report.share };
    let capacity = u128::from(capacity).max(1);
    let per_mille = u128::from(report.connections).saturating_mul(1000).checked_div(capacity)?;
    Some(PerMille(u16::try_from(per_mille).unwrap_or(u16::MAX)))
}
