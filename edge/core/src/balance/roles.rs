//! Who may have a request: reads go to replicas, the rest to the primary.
//!
//! Always holds: a write never reaches a replica, nor a standby that has not taken over; a standby that
//! has taken over stays until it has been down itself for as long, and the primaries wait meanwhile as
//! it did before: a primary that comes back may lack what was written since.

use std::time::Duration;

use super::{Ask, NoServer, Purpose, ServerView};
use crate::settings::RoleWord;

/// The servers that a request is spread over, and those of them that it may be sent to now.
pub(super) fn eligible(
    servers: &[ServerView],
    ask: &Ask,
) -> Result<(Vec<usize>, Vec<usize>), NoServer> {
    let ranked = |index: usize, view: &ServerView| rank(index, view, ask);
    let has_roles = servers.iter().any(|view| view.role != RoleWord::Primary);
    let all = || servers.iter().enumerate();
    let is_ready = |view: &ServerView| view.is_up && !view.tried && !view.is_on_trial;
    // A write has nowhere else to go.
    let is_there = |view: &ServerView| {
        let may_crowd = ask.purpose == Purpose::Write && has_roles;
        is_ready(view) || may_crowd && view.is_up && !view.tried
    };
    let best_of = |is: &dyn Fn(&ServerView) -> bool| {
        let those = all().filter(|(_, view)| is(view));
        those.filter_map(|(index, view)| ranked(index, view)).min()
    };
    let sieves: [&dyn Fn(&ServerView) -> bool; 2] = [&is_ready, &is_there];
    for is in sieves {
        let Some(best) = best_of(is) else { continue };
        let members = all().filter(|(index, view)| ranked(*index, view) == Some(best));
        let now = members.clone().filter(|(_, view)| is(view));
        let now = now.map(|(index, _)| index).collect();
        return Ok((members.map(|(index, _)| index).collect(), now));
    }
    if ask.purpose == Purpose::Write && has_roles {
        let tried = all().any(|(index, view)| view.tried && ranked(index, view).is_some());
        return Err(if tried { NoServer::AllTried } else { NoServer::PrimaryDown });
    }
    // Whoever is left out may be there after all.
    let untried = all().filter(|(index, view)| !view.tried && ranked(*index, view).is_some());
    let untried: Vec<usize> = untried.map(|(index, _)| index).collect();
    if untried.is_empty() { Err(NoServer::AllTried) } else { Ok((untried.clone(), untried)) }
}

/// Those whom a second try may go to beside a first at `first`: up, untried, and as good a choice by
/// their role. Who is down or of a lower role may have other content, and has not been asked for.
pub(super) fn beside(
    servers: &[ServerView],
    ask: &Ask,
    first: usize,
) -> Option<(Vec<usize>, Vec<usize>)> {
    let best = servers.get(first).and_then(|view| rank(first, view, ask))?;
    let members = servers.iter().enumerate();
    let members = members.filter(|(index, view)| rank(*index, view, ask) == Some(best));
    let is_ready = |view: &ServerView| view.is_up && !view.tried && !view.is_on_trial;
    let now = members.clone().filter(|(_, view)| is_ready(view));
    let now: Vec<usize> = now.map(|(index, _)| index).collect();
    Some((members.map(|(index, _)| index).collect(), now))
}

/// How far from the first choice a server is for a request; nothing where it may not have it.
fn rank(index: usize, view: &ServerView, ask: &Ask) -> Option<u8> {
    let is_acting = match ask.acting {
        Some(acting) => acting == index,
        None => view.role == RoleWord::Primary,
    };
    match (ask.purpose, view.role) {
        (Purpose::Write, _) => is_acting.then_some(0),
        (Purpose::Read, RoleWord::Replica) => Some(0),
        (Purpose::Read, _) if is_acting => Some(1),
        (Purpose::Read, RoleWord::Primary | RoleWord::Standby) => Some(2),
    }
}

/// Which standby stands in for the primaries, of an origin that has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Takeover {
    acting: Option<usize>,
}

/// What became of the primaries' place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Succession {
    /// This standby stands in for them.
    TakenOver(usize),
    /// They are back, for the standby has been down.
    Returned,
}

impl Takeover {
    /// With this standby in the primaries' place from the start.
    #[must_use]
    pub const fn by(acting: Option<usize>) -> Self {
        Self { acting }
    }

    /// The standby that stands in.
    #[must_use]
    pub const fn acting(self) -> Option<usize> {
        self.acting
    }

    /// Looks at how servers stand; `down_for` tells for how long the one of an index has been down.
    /// What changed, if anything did.
    pub fn look(
        &mut self,
        servers: &[ServerView],
        down_for: impl Fn(usize) -> Duration,
        after: Duration,
    ) -> Option<Succession> {
        let is_up = |index: usize| servers.get(index).is_some_and(|view| view.is_up);
        if self.acting.is_some_and(is_up) {
            return None;
        }
        let of = |role| servers.iter().enumerate().filter(move |(_, view)| view.role == role);
        let mut primaries = of(RoleWord::Primary).map(|(index, _)| index);
        let has_primary = primaries.clone().any(is_up);
        // Who holds the place has to be away for a while: a moment's trouble is no reason to change.
        let holder_waits = match self.acting {
            Some(acting) => down_for(acting) < after,
            None => has_primary || primaries.any(|index| down_for(index) < after),
        };
        if holder_waits {
            return None;
        }
        if has_primary {
            self.acting = None;
            return Some(Succession::Returned);
        }
        let (next, _) = of(RoleWord::Standby).find(|(_, view)| view.is_up)?;
        self.acting = Some(next);
        Some(Succession::TakenOver(next))
    }
}
