//! What the edges of a process go by: settings and sites, changed while they answer.
//!
//! In: settings, sites. Out: edges that go by them, or the old ones and why.
//! Always holds: what any of them does not take, none of them has; one that comes up meanwhile, or
//! later, goes by the last change; no settings are built under the lock.
//! It does not know where they come from.

use edge::Edge;
use edge_core::settings::{EdgeSettings, SiteSettings};

use super::{Edges, Slot, told};
use crate::failure::Failure;

/// What an edge goes by, or will once it answers.
#[derive(Clone)]
pub(super) struct InForce {
    settings: EdgeSettings,
    pub(super) sites: Vec<SiteSettings>,
    /// Another one after each change.
    turn: u64,
}

impl Edges {
    /// Gives the edge that a node file has new settings; with any problem the old ones stay in force.
    pub(crate) fn reload(
        &self,
        settings: &EdgeSettings,
        sites: &[SiteSettings],
    ) -> Result<(), Failure> {
        self.renew(|in_force| {
            in_force.settings = settings.clone();
            in_force.sites = sites.to_vec();
        })
    }

    /// Gives all edges other sites, also those that do not answer now; the same holds.
    pub(crate) fn take_sites(&self, sites: &[SiteSettings]) -> Result<(), Failure> {
        self.renew(|in_force| in_force.sites = sites.to_vec())
    }

    fn renew(&self, change: impl Fn(&mut InForce)) -> Result<(), Failure> {
        let before: Vec<InForce> = {
            let mut slots = self.0.slots.lock();
            let renew = |slot: &mut Slot| {
                let before = slot.in_force.clone();
                change(&mut slot.in_force);
                slot.in_force.turn += 1;
                before
            };
            slots.iter_mut().map(renew).collect()
        };
        let renewed = self.apply();
        if renewed.is_err() {
            for (slot, before) in self.0.slots.lock().iter_mut().zip(before) {
                let turn = slot.in_force.turn + 1;
                slot.in_force = InForce { turn, ..before };
            }
            // They had these a moment ago.
            drop(self.apply());
        }
        renewed
    }

    /// Has those that answer go by what is in force.
    fn apply(&self) -> Result<(), Failure> {
        let all: Vec<(Edge, InForce)> = {
            let slots = self.0.slots.lock();
            let running = slots.iter().filter_map(|slot| Some((slot.running()?, slot)));
            running.map(|(running, slot)| (running.edge.clone(), slot.in_force.clone())).collect()
        };
        all.iter().try_for_each(|(edge, in_force)| in_force.give(edge))
    }

    /// Has an edge that has just come up go by what changed while it did.
    pub(super) fn catch_up(&self, name: &str) -> Result<(), Failure> {
        let mut turn = None;
        loop {
            let (edge, in_force) = {
                let slots = self.0.slots.lock();
                let slot = slots.iter().find(|slot| slot.plan.name == name);
                let Some((slot, running)) = slot.and_then(|slot| Some((slot, slot.running()?)))
                else {
                    return Ok(());
                };
                (running.edge.clone(), slot.in_force.clone())
            };
            if turn == Some(in_force.turn) {
                return Ok(());
            }
            in_force.give(&edge)?;
            turn = Some(in_force.turn);
        }
    }
}

impl InForce {
    pub(super) fn new(settings: EdgeSettings, sites: Vec<SiteSettings>) -> Self {
        Self { settings, sites, turn: 0 }
    }

    fn give(&self, edge: &Edge) -> Result<(), Failure> {
        let given = edge.reload(&self.settings, &self.sites);
        given.map_err(|problems| Failure::new(told(&problems)))
    }
}
