//! How far the edges have come with the catalogue.
//!
//! In: the roster, a revision of the catalogue, the sites that are asked for. Out: each edge with whether it
//! serves by that.
//! Always: nobody polls: what nodes say is watched. An edge is any node that says that it is one, or applies
//! purges, or says what is not understood. It serves by a revision once it says that it has taken that or a
//! later one of the same ledger, and names none of the sites among those that it could not set up; one that
//! it does name ends the wait for it, since that goes on until somebody changes something. The word of one
//! of whose name there are several does not count, and nor does that of one that is not here: it may have
//! started again since, and what it serves nobody knows. Who is registered is asked of the ledger after the catalogue was written.
//! It deliberately does not know what was written.
//! Clause: docs/operate.md *Sites*.

use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;

use super::{Refused, Served, served::is_zero};
use crate::{
    ledger::{LedgerError, Position},
    node::{NodeDocument, Role},
    roster::{Presence, Roster, Sighting},
    waiting::{Look, Now, Waiting},
};

/// Where it stands why something is refused, for who may not know of all sites.
const HIDDEN: &str =
    "why is told to a token for all sites, in the node's log, and under its /readyz";

/// An edge, as far as the catalogue is concerned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "SitesNode")]
pub struct NodeSites {
    /// Its node's name.
    pub node: String,
    /// Whether it is here.
    pub state: Presence,
    /// Whether it serves by it.
    pub applied: bool,
    /// What it does not serve as the ledger has it; an earlier version goes on, if there is one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
    /// How many more sites it has refused that it does not name, or that are not for the caller to know.
    #[serde(skip_serializing_if = "is_zero")]
    pub refused_more: u64,
    /// True where other processes go by its name, so that what it says says nothing of them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub contested: bool,
    /// True where it serves more than it says, as its disk does not take that: a start without the ledger
    /// would serve what was before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unkept: bool,
    /// True where it does not say what it serves, as one of an older version.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub silent: bool,
    /// Why what it says cannot be read; it may be an edge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
    /// Whether it has looked at that revision, whatever came of it.
    #[serde(skip)]
    has_looked: bool,
}

/// Whether every edge serves by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "SitesState")]
pub enum State {
    /// All do.
    Complete,
    /// Some do not, or are not known to.
    Partial,
}

/// What is known of a revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "SitesProgress")]
pub struct Progress {
    /// Whether it is done.
    pub state: State,
    /// True where it is not, and nothing more is waited for: each edge has taken it, or refused to.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub settled: bool,
    /// The edges, by name.
    pub nodes: Vec<NodeSites>,
}

/// Which sites are asked for, and who asks.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// They; all of them without.
    pub sites: Option<&'a [String]>,
    /// The oldest revision that one of them has; nothing where that is not known.
    pub oldest: Option<u64>,
    /// The sites that who asks may know of; all of them without.
    pub known: Option<&'a [String]>,
}

/// Waits until every edge has taken the catalogue as it was `at`, or has refused to; no longer than
/// `until`.
///
/// # Errors
/// When the ledger cannot be asked which nodes there are.
pub async fn wait(
    roster: &Roster,
    (at, asked): (Position, Asked<'_>),
    until: Instant,
) -> Result<Progress, LedgerError> {
    let mut waiting = Waiting::begin(roster);
    waiting.ask().await?;
    let look = |now: Now<'_>| {
        let due = now.strange_until(at.epoch);
        let node = |(name, sighting)| NodeSites::of(name, sighting, (at, asked));
        let nodes: Vec<NodeSites> = now.seen.nodes().filter_map(node).collect();
        let all = |is_so: fn(&NodeSites) -> bool| due.is_none() && nodes.iter().all(is_so);
        let (is_complete, is_over) = (all(|node| node.applied), all(|node| node.has_looked));
        let state = if is_complete { State::Complete } else { State::Partial };
        let progress = Progress { state, settled: is_over && !is_complete, nodes };
        Look { progress, is_over, due, again: None }
    };
    waiting.until(until, look).await
}

impl NodeSites {
    /// A node, if it is an edge.
    fn of(name: &str, sighting: &Sighting, (at, asked): (Position, Asked<'_>)) -> Option<Self> {
        let unknown = Self {
            node: name.to_owned(),
            state: sighting.presence,
            applied: false,
            refused: Vec::new(),
            refused_more: 0,
            contested: false,
            unkept: false,
            silent: false,
            unreadable: None,
            has_looked: false,
        };
        let document = match &sighting.document {
            Ok(document) => document,
            Err(why) => return Some(Self { unreadable: Some(why.clone()), ..unknown }),
        };
        if !is_edge(document) {
            return None;
        }
        if document.is_contested() {
            return Some(Self { contested: true, ..unknown });
        }
        let Some(said) = document.sites.as_ref().map(Served::bounded) else {
            return Some(Self { silent: true, ..unknown });
        };
        // It may have started since with an older state, as long as nobody has heard of it.
        let is_here = sighting.presence == Presence::Here;
        let has_looked = is_here && said.at.is_some_and(|served| served.has_reached(at));
        // What it refused of a site before says nothing of what it will make of this.
        let is_asked = |refused: &&Refused| match (&refused.site, asked.sites) {
            (Some(site), Some(sites)) => has_looked && sites.contains(site),
            (Some(_), None) => has_looked,
            (None, _) => true,
        };
        let all: Vec<&Refused> = said.refused.iter().filter(is_asked).collect();
        let refused: Vec<Refused> =
            all.iter().filter_map(|refused| asked.may_know(refused)).collect();
        let hidden = u64::try_from(all.len().saturating_sub(refused.len())).unwrap_or(u64::MAX);
        // One that is gone is among none of these.
        let is_of_any = has_looked && asked.sites.is_none_or(|sites| !sites.is_empty());
        // Nor is one that was written after all of these.
        let may_be = match (asked.oldest, said.more_up_to) {
            (Some(oldest), Some(up_to)) => oldest <= up_to,
            _ => true,
        };
        let unnamed = if is_of_any && may_be { said.refused_more } else { 0 };
        let refused_more = unnamed.saturating_add(hidden);
        let applied = has_looked && refused.is_empty() && refused_more == 0;
        let unkept = said.unkept;
        Some(Self { applied, refused, refused_more, unkept, has_looked, ..unknown })
    }
}

impl Asked<'_> {
    /// What who asks may know of it. A reason may name other sites, and hosts of theirs.
    fn may_know(&self, refused: &Refused) -> Option<Refused> {
        let Some(known) = self.known else { return Some(refused.clone()) };
        let why = match &refused.site {
            None => HIDDEN.to_owned(),
            Some(site) if known.contains(site) => format!("site \"{site}\": {HIDDEN}"),
            Some(_) => return None,
        };
        Some(Refused { site: refused.site.clone(), why })
    }
}

fn is_edge(document: &NodeDocument) -> bool {
    document.roles.contains(&Role::Edge) || document.applied.is_some()
}
