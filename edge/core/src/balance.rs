//! Whom to ask: which of an origin's servers gets a request.
//!
//! In: what is known of each server at this moment, what is asked for, a draw. Out: a server, or that
//! none may be asked. Always holds: a server that is up and has not had its try goes before every other;
//! while none is up all are tried, except by writes where roles say who may have them; a further try
//! takes no turn of a first one; weights are met in the long run.
//! It deliberately knows no connection, no clock and no reason why a server is down.
//!
//! The order of the sieves: role ([`roles`]), up or down, group ([`groups`]), a free connection, and
//! then `balance`: [`turns`], [`least`] or [`hash`].

pub mod groups;
pub mod hash;
pub mod latency;
pub mod least;
pub mod roles;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "sums that a test may get wrong")]
mod tests;
pub mod turns;

use ground::state::PerMille;
use http::Method;

use self::turns::Turns;
use crate::settings::{BalanceWord, RoleWord};

/// How an origin's servers are chosen among.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BalancePlan {
    /// By what.
    pub by: BalanceWord,
    /// The share of a group's servers, in percent, that carry all that comes to it.
    pub group_up_min: u32,
    /// What a server may have in flight by `hash`, in percent of its share.
    pub hash_load_max: u32,
}

/// What is known of a server at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerView {
    /// What hashing knows it by: it follows from its URL alone.
    pub key: u64,
    /// Its share among equals.
    pub weight: u32,
    /// Its role.
    pub role: RoleWord,
    /// Its group; a lower one goes first.
    pub group: usize,
    /// Whether checks pass and nothing has it left out.
    pub is_up: bool,
    /// Whether it is on trial after an ejection, and busy with the one request that shows how it is.
    pub is_on_trial: bool,
    /// What it takes of its share, after it was down.
    pub ramp: PerMille,
    /// Requests that it has now.
    pub in_flight: u32,
    /// Requests that wait for it.
    pub waiting: usize,
    /// Whether a request would have a connection at once.
    pub is_free: bool,
    /// Its measured first-byte time in microseconds; 0 where none was measured.
    pub first_byte: u64,
    /// The share of its latest requests that came to nothing or to an error.
    pub faults: PerMille,
    /// Whether this request has been tried there.
    pub tried: bool,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Whether it reads or writes.
    pub purpose: Purpose,
    /// A hash of its cache key.
    pub key: u64,
    /// A number out of all, by chance.
    pub draw: u64,
    /// The standby that stands in for the primaries.
    pub acting: Option<usize>,
}

/// Whether a request may go to a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// GET and HEAD.
    Read,
    /// Everything else.
    Write,
}

/// No server may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoServer {
    /// Every server that may have the request has had its try.
    AllTried,
    /// It is for the primary, which is down.
    PrimaryDown,
}

impl Purpose {
    /// The purpose of a method (RFC 9110 §9.3.1, §9.3.2).
    #[must_use]
    pub fn of(method: &Method) -> Self {
        if method == Method::GET || method == Method::HEAD { Self::Read } else { Self::Write }
    }
}

impl ServerView {
    /// Its weight as far as it is back, in thousandths; never nothing.
    pub(crate) fn share(&self) -> u32 {
        self.weight.max(1).saturating_mul(u32::from(self.ramp.0.clamp(1, PerMille::ALL.0)))
    }
}

/// Whether a server has a connection free at once, and how many requests wait for one, as far as it is
/// back: on its ramp it has a part of its connections, and what is beyond counts as waiting, by so much
/// more as the part is smaller. Else it would be the only free one while others are full, which is when
/// its ramp is there for.
#[must_use]
pub fn queue(
    (is_free, waiting): (bool, usize),
    ramp: PerMille,
    in_flight: u32,
    connections_max: u32,
) -> (bool, usize) {
    if ramp >= PerMille::ALL {
        return (is_free, waiting);
    }
    let (all, ramp) = (u64::from(PerMille::ALL.0), u64::from(ramp.0.max(1)));
    let part = u64::from(connections_max).saturating_mul(ramp).checked_div(all).unwrap_or(0).max(1);
    let Some(beyond) = u64::from(in_flight).checked_sub(part) else { return (is_free, waiting) };
    let beyond = beyond.saturating_add(1).saturating_mul(all).checked_div(ramp).unwrap_or(0);
    (false, waiting.saturating_add(usize::try_from(beyond).unwrap_or(usize::MAX)))
}

/// Chooses a server; takes a turn.
///
/// # Errors
/// There is none that may be asked.
pub fn choose(
    plan: &BalancePlan,
    turns: &mut Turns,
    servers: &[ServerView],
    ask: &Ask,
) -> Result<usize, NoServer> {
    let (members, eligible) = roles::eligible(servers, ask)?;
    among(plan, turns, servers, (members, eligible), ask).ok_or(NoServer::AllTried)
}

/// Chooses a server for a second try beside the first at `first`, which is under way; nothing where no
/// other is up that is as good a choice by its role.
pub fn beside(
    plan: &BalancePlan,
    turns: &mut Turns,
    servers: &[ServerView],
    ask: &Ask,
    first: usize,
) -> Option<usize> {
    let found = roles::beside(servers, ask, first)?;
    among(plan, turns, servers, found, ask)
}

/// The choice among servers that are alike by their roles.
fn among(
    plan: &BalancePlan,
    turns: &mut Turns,
    servers: &[ServerView],
    (members, eligible): (Vec<usize>, Vec<usize>),
    ask: &Ask,
) -> Option<usize> {
    let eligible = groups::narrowed(plan, servers, &members, eligible, ask);
    match plan.by {
        BalanceWord::Hash => hash::pick(servers, &eligible, ask.key, plan.hash_load_max),
        BalanceWord::RoundRobin => {
            let is_first = servers.iter().all(|server| !server.tried);
            turns.take(servers, &least_waiting(servers, &eligible), is_first)
        }
        BalanceWord::LeastLoaded => {
            least::pick(servers, &least_waiting(servers, &eligible), ask.draw)
        }
    }
}

/// Of those that are alike in all else, one with a free connection goes before one that has a queue,
/// and the shorter queue before the longer: a server that hangs keeps its requests for
/// `first_byte_timeout` and would else be given a share of the others all the while.
fn least_waiting(servers: &[ServerView], eligible: &[usize]) -> Vec<usize> {
    let queue = |index: &usize| servers.get(*index).map(|view| (!view.is_free, view.waiting));
    let least = eligible.iter().filter_map(queue).min();
    eligible.iter().filter(|index| queue(index) == least).copied().collect()
}
