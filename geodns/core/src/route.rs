//! Routing: which of the PoPs that are good for a client answer it now.
//!
//! In: a route, what is asked, where the client is, how PoPs stand, a draw. Out: PoPs in order,
//! the scope and the TTL of the answer, or that nobody may answer; and, for an operator, every
//! step on the way there.
//! Always holds: the same input gives the same PoPs; which types a name has follows from the
//! fleet and the map alone, never from a client or from health ([`Routes::types`]); the scope is
//! that of the deepest leaf that was consulted.
//! It deliberately does not know maps: the hallway hands in [`Located`] lists.
//!
//! RFC 7871 §7.2.1, §7.4. Hot path: [`Routes::choose`] allocates nothing and takes no lock;
//! `a_choice_allocates_nothing` in `tests/geo_allocation.rs` holds it to that.
//!
//! A route works in steps. The client's own list goes through the policy first. If nobody is
//! left, all PoPs of the map do, in the order that follows the list. If nobody is left again, the
//! fallback route does the same, and so on. If nobody is left at the end, all of this is done once
//! more as if no PoP were drained: one that works comes before one that is dead. If nobody is left
//! then, the first route's PoPs are offered as if they were up, or the answer is SERVFAIL, as its
//! settings say.

pub mod answer;
mod build;
mod explain;
pub mod fence;
pub mod filter;
pub mod first;
pub mod https;
pub mod load;
pub mod nearest;
pub mod priority;
pub mod slate;
pub mod sticky;
#[cfg(test)]
mod tests;
pub mod up;
pub mod weight;

pub use ground::rendezvous;

pub use self::explain::{Explained, Phase, Step};

use std::{net::IpAddr, sync::Arc};

use ground::fold::fold;

use self::{
    filter::{Assumed, Context, Filter, Source, Trace, Unwatched},
    rendezvous::client_key,
    slate::Slate,
};
use crate::{
    fleet::{FleetView, PopId},
    locate::Located,
    settings::AllDown,
    standing::{Standings, Wanted},
};

/// A route's place among the routes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(u16);

/// A map's place among the maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MapId(u16);

/// All routes of a node.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    routes: Vec<Route>,
}

/// How names are answered.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name.
    pub name: Arc<str>,
    /// The names that it answers, relative to each zone.
    pub names: Vec<Box<str>>,
    /// Whether it answers for every site.
    pub sites: bool,
    /// Its map.
    pub map: MapId,
    /// Addresses in an answer.
    pub addresses_max: usize,
    filters: Vec<Filter>,
    reach: Reach,
    /// Itself and the routes that are tried after it.
    ways: Vec<RouteId>,
    all_down: AllDown,
    ttl: u32,
    /// Whether what is chosen depends on the name, here or in a fallback.
    by_name: bool,
    /// By how many bits clients are told apart at least: of IPv4 and of IPv6.
    bits_min: (u8, u8),
}

/// Where in a list PoPs stand that would take the client back if they were up, beside those before
/// the last one that is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Nowhere: the first ones answer.
    Before,
    /// In the bands of those that are chosen.
    Bands,
    /// Anywhere.
    All,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// The kind of record.
    pub wanted: Wanted,
    /// The address that decides ([`crate::locate::client::Client`]).
    pub client: IpAddr,
    /// [`rendezvous::name_key`] of the name; anything, where [`Route::is_by_name`] says no.
    pub name: u64,
    /// A number without pattern, another one for each answer.
    pub draw: u64,
}

/// What is answered; its PoPs are left on the slate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Whether anybody answers; if not, the answer is SERVFAIL.
    pub outcome: Outcome,
    /// The bits of the client's address that the answer follows from.
    pub scope: u8,
    /// How long the answer may be cached, in seconds.
    pub ttl: u32,
}

/// Whether anybody answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The PoPs on the slate do.
    Answered {
        /// The route that they are from.
        route: RouteId,
        /// Where in its map they are from.
        source: Source,
        /// What had to be assumed.
        assumed: Assumed,
    },
    /// Nobody does: all are down and the route says SERVFAIL, or fences keep the client out of all.
    Nobody,
}

/// The kinds of records that a route's names have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Types {
    /// A.
    pub v4: bool,
    /// AAAA.
    pub v6: bool,
    /// HTTPS.
    pub https: bool,
}

impl RouteId {
    /// The route at this place among the routes.
    #[must_use]
    pub fn new(index: usize) -> Option<Self> {
        u16::try_from(index).ok().map(Self)
    }

    /// Its place among the routes.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl MapId {
    /// The map at this place among the maps.
    #[must_use]
    pub fn new(index: usize) -> Option<Self> {
        u16::try_from(index).ok().map(Self)
    }

    /// Its place among the maps.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl Routes {
    /// The route of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<RouteId> {
        RouteId::new(self.routes.iter().position(|route| &*route.name == name)?)
    }

    /// A route.
    #[must_use]
    pub fn route(&self, id: RouteId) -> Option<&Route> {
        self.routes.get(usize::from(id.0))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (RouteId, &Route)> {
        let with_id = |(index, route)| Some((RouteId::new(index)?, route));
        self.routes.iter().enumerate().filter_map(with_id)
    }

    /// Chooses the PoPs that answer, and leaves them on `slate`. `locate` says what a map says of
    /// the client.
    pub fn choose<'m>(
        &self,
        id: RouteId,
        ask: &Ask,
        standings: &Standings,
        slate: &mut Slate,
        locate: impl Fn(MapId) -> Located<'m>,
    ) -> Choice {
        self.run(id, &mut Pass::new(ask, standings, slate, &mut Unwatched), locate)
    }

    fn run<'m>(
        &self,
        id: RouteId,
        pass: &mut Pass<'_, impl Watch>,
        locate: impl Fn(MapId) -> Located<'m>,
    ) -> Choice {
        let Some(first) = self.route(id) else { return pass.choice(Outcome::Nobody) };
        pass.scope = first.scope_min(pass.ask.client);
        pass.ttl = first.ttl;
        for assumed in [Assumed::Nothing, Assumed::Undrained] {
            for way in first.ways.iter().copied() {
                let Some(route) = self.route(way) else { continue };
                if let Some(source) = pass.through(way, route, &locate(route.map), assumed) {
                    return pass.choice(Outcome::Answered { route: way, source, assumed });
                }
            }
        }
        if first.all_down == AllDown::Offer {
            let located = locate(first.map);
            for assumed in [Assumed::Up, Assumed::UpAndUndrained] {
                if let Some(source) = pass.through(id, first, &located, assumed) {
                    return pass.choice(Outcome::Answered { route: id, source, assumed });
                }
            }
        }
        pass.choice(Outcome::Nobody)
    }

    /// The kinds of records that the names of a route have: addresses where any PoP of its map has
    /// some, HTTPS where all agree ([`Self::https`]). `members` says which PoPs a map has.
    #[must_use]
    pub fn types<'m>(
        &self,
        id: RouteId,
        fleet: &FleetView,
        members: impl Fn(MapId) -> &'m [PopId],
    ) -> Types {
        let own = self.route(id).map_or(&[][..], |route| members(route.map));
        let pops = || own.iter().filter_map(|id| fleet.pop(*id));
        let (v4, v6) = (pops().any(|pop| !pop.v4.is_empty()), pops().any(|pop| !pop.v6.is_empty()));
        let https = (v4 || v6) && matches!(self.https(id, fleet, members), Ok(Some(_)));
        Types { v4, v6, https }
    }
}

/// Who watches a choice at work.
trait Watch: Trace {
    /// PoPs enter a policy.
    fn enters(&mut self, _route: RouteId, _source: Source, _assumed: Assumed) {}
}

impl Watch for Unwatched {}

/// One query's way through routes.
struct Pass<'p, W> {
    ask: &'p Ask,
    standings: &'p Standings,
    slate: &'p mut Slate,
    trace: &'p mut W,
    scope: u8,
    ttl: u32,
}

impl<'p, W: Watch> Pass<'p, W> {
    fn new(ask: &'p Ask, standings: &'p Standings, slate: &'p mut Slate, trace: &'p mut W) -> Self {
        Self { ask, standings, slate, trace, scope: 0, ttl: 0 }
    }

    fn choice(&self, outcome: Outcome) -> Choice {
        Choice { outcome, scope: self.scope, ttl: self.ttl }
    }

    /// Sends the client's list, and if nobody is left, the PoPs that follow it, through a policy.
    fn through(
        &mut self,
        id: RouteId,
        route: &Route,
        located: &Located<'_>,
        assumed: Assumed,
    ) -> Option<Source> {
        self.scope = self.scope.max(located.scope);
        let folded = fold(self.ask.client);
        let mut cx = Context {
            standings: self.standings,
            excluded: located.list.excluded,
            wanted: self.ask.wanted,
            assumed,
            source: Source::List,
            client: client_key(folded.masked(self.scope)),
            name: self.ask.name,
            draw: self.ask.draw,
        };
        for source in [Source::List, Source::Rest] {
            match source {
                Source::List => self.slate.fill(located.list.ranked),
                Source::Rest => self.slate.fill_rest(located.list.rest),
            }
            cx.source = source;
            self.trace.enters(id, source, assumed);
            route.apply(self.slate, &cx, self.trace);
            match source {
                Source::List => {
                    self.bound_ttl(route, located.list.ranked.iter().map(|one| one.pop));
                }
                Source::Rest => self.bound_ttl(route, located.list.rest.iter().copied()),
            }
            if !self.slate.is_empty() {
                return Some(source);
            }
        }
        None
    }

    /// An answer is cached no longer than any PoP it depends on allows: those that are chosen, and
    /// those that may take the client back, which stand before them in `pops`, or wherever else the
    /// policy would find them if they were up. Whoever stands behind the last one and is up was not
    /// chosen, and may come and go.
    fn bound_ttl(&mut self, route: &Route, pops: impl Iterator<Item = PopId>) {
        let chosen = self.slate.candidates();
        let last = chosen.iter().map(|one| usize::from(one.place)).max();
        let count = last.map_or(usize::MAX, |last| last.saturating_add(1));
        let reach = match route.reach {
            Reach::Before => count,
            Reach::Bands => chosen.iter().map(|one| one.band_end.into()).max().unwrap_or(count),
            Reach::All => usize::MAX,
        };
        let wanted = self.ask.wanted;
        for (place, pop) in pops.enumerate().take(count.max(reach)) {
            let Some(pop) = self.standings.pop(pop) else { continue };
            if place < count || pop.is_drained(wanted) || !pop.is_up(wanted) {
                self.ttl = self.ttl.min(pop.ttl_max);
            }
        }
    }
}

impl Route {
    /// It and the routes that are tried after it.
    #[must_use]
    pub fn ways(&self) -> &[RouteId] {
        &self.ways
    }

    /// Whether what is chosen depends on the name that is asked for.
    #[must_use]
    pub const fn is_by_name(&self) -> bool {
        self.by_name
    }

    fn apply<T: Trace>(&self, slate: &mut Slate, cx: &Context<'_>, trace: &mut T) {
        // Filters drop PoPs and never bring one in: what holds for all of them goes on to.
        let hurries = !T::IS_TOLD && slate.is_within(cx.standings.unhindered(cx.wanted));
        if !hurries {
            trace.begins(None, slate);
            filter::of_this_kind(slate, cx, trace);
            trace.ends(slate);
        }
        for filter in &self.filters {
            if slate.is_empty() {
                return;
            }
            if hurries && !filter.concerns_unhindered(cx.standings) {
                continue;
            }
            trace.begins(Some(filter.name()), slate);
            filter.apply(slate, cx, trace);
            trace.ends(slate);
        }
    }

    /// The shortest scope of an answer to `client`.
    fn scope_min(&self, client: IpAddr) -> u8 {
        let folded = fold(client);
        let bits = match (self.bits_min, folded.address) {
            ((0, _), IpAddr::V4(_)) | ((_, 0), IpAddr::V6(_)) => return 0,
            ((bits, _), IpAddr::V4(_)) | ((_, bits), IpAddr::V6(_)) => bits,
        };
        folded.added.saturating_add(bits)
    }
}
