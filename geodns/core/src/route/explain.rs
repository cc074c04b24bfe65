//! Every step of a choice, for an operator's eyes.
//!
//! In: the same as [`Routes::choose`]. Out: the choice, and the PoPs before and after each filter
//! with the reason for each that was dropped. It is the choice itself, watched, not a second
//! telling of it, so it cannot differ.

use super::{
    Ask, Choice, MapId, Pass, RouteId, Routes, Watch,
    filter::{Assumed, FilterName, Reason, Source, Trace},
    slate::Slate,
};
use crate::{fleet::PopId, locate::Located, standing::Standings};

/// A choice and how it came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// The choice.
    pub choice: Choice,
    /// The PoPs that answer, in order.
    pub pops: Vec<PopId>,
    /// What was tried, in order.
    pub phases: Vec<Phase>,
}

/// PoPs that were sent through a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// The route.
    pub route: RouteId,
    /// Where the PoPs come from.
    pub source: Source,
    /// What was assumed.
    pub assumed: Assumed,
    /// What the policy did, in order.
    pub steps: Vec<Step>,
}

/// What a filter did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The filter; nothing for the choice by the kind of record.
    pub filter: Option<FilterName>,
    /// The PoPs that came in.
    pub before: Vec<PopId>,
    /// The PoPs that were left, in order.
    pub after: Vec<PopId>,
    /// Those that were dropped, and why.
    pub dropped: Vec<(PopId, Reason)>,
}

impl Routes {
    /// Chooses as [`Self::choose`] does, and tells how.
    pub fn explain<'m>(
        &self,
        id: RouteId,
        ask: &Ask,
        standings: &Standings,
        locate: impl Fn(MapId) -> Located<'m>,
    ) -> Explained {
        let mut slate = Slate::new();
        let mut notes = Notes::default();
        let mut pass = Pass::new(ask, standings, &mut slate, &mut notes);
        let choice = self.run(id, &mut pass, locate);
        Explained { choice, pops: slate.pops().collect(), phases: notes.0 }
    }
}

#[derive(Default)]
struct Notes(Vec<Phase>);

impl Notes {
    fn step(&mut self) -> Option<&mut Step> {
        self.0.last_mut()?.steps.last_mut()
    }
}

impl Trace for Notes {
    const IS_TOLD: bool = true;

    fn dropped(&mut self, pop: PopId, reason: Reason) {
        if let Some(step) = self.step() {
            step.dropped.push((pop, reason));
        }
    }

    fn begins(&mut self, filter: Option<FilterName>, before: &Slate) {
        let before = before.pops().collect();
        let step = Step { filter, before, after: Vec::new(), dropped: Vec::new() };
        if let Some(phase) = self.0.last_mut() {
            phase.steps.push(step);
        }
    }

    fn ends(&mut self, after: &Slate) {
        if let Some(step) = self.step() {
            step.after = after.pops().collect();
        }
    }
}

impl Watch for Notes {
    fn enters(&mut self, route: RouteId, source: Source, assumed: Assumed) {
        self.0.push(Phase { route, source, assumed, steps: Vec::new() });
    }
}
