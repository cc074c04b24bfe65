//! What a policy is made of: a name, what it does, and why it drops a PoP.
//!
//! In: the PoPs that are left, how they stand, and what is asked. Out: fewer PoPs, or another
//! order. Each filter is a file of its own beside this one: its settings, its decision, its table.
//! Always holds: a filter is a pure function of its input; only `up`, `fence`, and `load` in a
//! client's own list may leave nobody, which sends the query on to other PoPs.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    fence, first::First, load::Shedding, nearest::Nearest, priority, slate::Slate, sticky::Sticky,
    up, weight,
};
use crate::{
    fleet::{PopId, PopSet},
    standing::{Standing, Standings, Wanted},
};

/// A word of a route's policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FilterName {
    /// Drops PoPs that are down or drained, and a share of the clients of one that comes back.
    Up,
    /// Drops PoPs whose fence keeps the client out.
    Fence,
    /// Moves clients away from PoPs that are full, the more the fuller.
    Load,
    /// Leaves the nearest PoP that is left, and those as near.
    Nearest,
    /// Leaves the PoPs of the lowest priority number.
    Priority,
    /// Orders by chance, in proportion to weight.
    Weight,
    /// Orders by a hash of client or name, in proportion to weight: the same one gets the same PoP.
    Sticky,
    /// Leaves the first PoPs.
    First,
}

/// A filter, ready to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    Up,
    Fence,
    Load(Shedding),
    Nearest(Nearest),
    Priority,
    Weight,
    Sticky(Sticky),
    First(First),
}

/// Why a PoP was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It has no record of the kind that is asked for.
    NothingOfThisKind,
    /// Too few of its addresses are up.
    Down,
    /// An operator drains it.
    Drained,
    /// It was down and takes its clients back, so far this share of them, in thousandths.
    RampingUp(u16),
    /// Its fence keeps the client out.
    Fenced,
    /// It is fuller than the high watermark: this full, in thousandths.
    Full(u16),
    /// It is fuller than the low watermark, and this client is among those that are moved away.
    Shed(u16),
    /// Another one is nearer.
    Farther,
    /// Another one has a lower priority number.
    Priority(u32),
    /// Its weight is 0.
    Weightless,
    /// Enough others stand before it.
    NotAmongFirst,
}

/// What is taken for granted, where answers without it would be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Assumed {
    /// Nothing: probes and operators are believed.
    Nothing,
    /// None is drained: what works serves clients better than what is dead.
    Undrained,
    /// Every PoP is up: more likely the probes are wrong than all of them are gone.
    Up,
    /// Every PoP is up, and none is drained.
    UpAndUndrained,
}

/// Where the PoPs come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The client's list.
    List,
    /// All PoPs of the map, since none of the list was left.
    Rest,
}

/// What a filter may know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'c> {
    pub(super) standings: &'c Standings,
    pub(super) excluded: &'c PopSet,
    pub(super) wanted: Wanted,
    pub(super) assumed: Assumed,
    pub(super) source: Source,
    pub(super) client: u64,
    pub(super) name: u64,
    pub(super) draw: u64,
}

impl<'c> Context<'c> {
    pub(super) fn standing(&self, pop: PopId) -> Option<&'c Standing> {
        self.standings.pop(pop)
    }
}

/// Who watches a policy at work; in an answer, nobody.
pub(super) trait Trace {
    /// Whether each filter is to look at each PoP, also where that cannot drop any.
    const IS_TOLD: bool;
    /// `pop` is dropped.
    fn dropped(&mut self, _pop: PopId, _reason: Reason) {}
    /// A filter begins; `None` is the choice by the kind of record, before every policy.
    fn begins(&mut self, _filter: Option<FilterName>, _before: &Slate) {}
    /// The filter has done its work.
    fn ends(&mut self, _after: &Slate) {}
}

/// Nobody watches.
pub(super) struct Unwatched;

impl Trace for Unwatched {
    const IS_TOLD: bool = false;
}

impl Filter {
    pub(super) const fn name(&self) -> FilterName {
        match self {
            Self::Up => FilterName::Up,
            Self::Fence => FilterName::Fence,
            Self::Load(_) => FilterName::Load,
            Self::Nearest(_) => FilterName::Nearest,
            Self::Priority => FilterName::Priority,
            Self::Weight => FilterName::Weight,
            Self::Sticky(_) => FilterName::Sticky,
            Self::First(_) => FilterName::First,
        }
    }

    /// Whether it may drop one of [`Standings::unhindered`], or order them.
    pub(super) const fn concerns_unhindered(&self, standings: &Standings) -> bool {
        match self {
            Self::Up => false,
            Self::Load(shedding) => shedding.moves_any(standings.load_max()),
            Self::Fence
            | Self::Nearest(_)
            | Self::Priority
            | Self::Weight
            | Self::Sticky(_)
            | Self::First(_) => true,
        }
    }

    pub(super) fn apply(&self, slate: &mut Slate, cx: &Context<'_>, trace: &mut impl Trace) {
        match self {
            Self::Up => up::apply(slate, cx, trace),
            Self::Fence => fence::apply(slate, cx, trace),
            Self::Load(shedding) => shedding.apply(slate, cx, trace),
            Self::Nearest(nearest) => nearest.apply(slate, trace),
            Self::Priority => priority::apply(slate, cx, trace),
            Self::Weight => weight::apply(slate, cx, trace),
            Self::Sticky(sticky) => sticky.apply(slate, cx, trace),
            Self::First(first) => first.apply(slate, trace),
        }
    }
}

/// Leaves the PoPs that have a record of the kind that is asked for. Every policy begins so.
pub(super) fn of_this_kind(slate: &mut Slate, cx: &Context<'_>, trace: &mut impl Trace) {
    slate.retain(|candidate| {
        let offers = cx.standing(candidate.pop).is_some_and(|pop| pop.offers(cx.wanted));
        if !offers {
            trace.dropped(candidate.pop, Reason::NothingOfThisKind);
        }
        offers
    });
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |f: &mut fmt::Formatter<'_>, per_mille: u16| {
            write!(f, "{}.{} %", per_mille / 10, per_mille % 10)
        };
        match self {
            Self::NothingOfThisKind => f.write_str("has no record of this kind"),
            Self::Down => f.write_str("down"),
            Self::Drained => f.write_str("drained"),
            Self::RampingUp(share) => {
                f.write_str("coming back: takes ")?;
                percent(f, *share)?;
                f.write_str(" of its clients")
            }
            Self::Fenced => f.write_str("its fence keeps the client out"),
            Self::Full(load) => {
                f.write_str("full: load ")?;
                percent(f, *load)
            }
            Self::Shed(load) => {
                f.write_str("moves some clients away: load ")?;
                percent(f, *load)
            }
            Self::Farther => f.write_str("another one is nearer"),
            Self::Priority(best) => write!(f, "another one has priority {best}"),
            Self::Weightless => f.write_str("weight 0"),
            Self::NotAmongFirst => f.write_str("enough others stand before it"),
        }
    }
}
