//! What a node says of the ledger's sites that it serves.
//!
//! In: up to where it has taken the catalogue, what of that it could not. Out: what stands in its document.
//! Always: it is of a bounded size, so that a node can always say it: of the sites that it could not set up
//! the newest are named, and of these the first with the reason; the rest is counted. Nothing is said to
//! be served that the next start, without the ledger, would not serve. It does not know what a site's text
//! says.
//! Clause: docs/operate.md *Sites*.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LedgerSite;
use crate::ledger::Position;

/// Sites that are named.
const NAMED_MAX: usize = 64;
/// Sites whose reasons are told.
const TOLD_MAX: usize = 8;
/// The longest reason.
const WHY_CHARS_MAX: usize = 300;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// The revision of the catalogue up to which it serves all but what it names, with the epoch of the
    /// purge log that says which ledger that is; nothing where it has none.
    #[serde(default)]
    pub at: Option<Position>,
    /// What of that it does not serve; of sites the newest version first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refused_more: u64,
    /// Whether it serves more than it says, as its disk does not take that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unkept: bool,
}

/// Up to where a node's disk has the sites.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SitesOnDisk {
    /// There.
    pub at: Option<Position>,
    /// Whether it does not take what came since.
    pub is_failing: bool,
}

/// A site that a node does not serve as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SiteRefused")]
pub struct Refused {
    /// Its name; null where it speaks of all of them.
    pub site: Option<String>,
    /// Why, and what is in force instead; empty where there are too many.
    pub why: String,
}

impl Served {
    /// What is served of `sites` as they were `at`.
    #[must_use]
    pub fn of(at: Option<Position>, sites: &[LedgerSite], mut refused: Vec<Refused>) -> Self {
        let made = |refused: &Refused| {
            let name = refused.site.as_deref()?;
            sites.iter().find(|site| site.name == name).map(|site| site.revision)
        };
        // What speaks of all comes before any of them.
        refused.sort_by_cached_key(|refused| {
            let newest = std::cmp::Reverse(made(refused));
            (refused.site.is_some(), newest, refused.clone())
        });
        refused.dedup_by(|later, former| later.site.is_some() && later.site == former.site);
        let more = refused.len().saturating_sub(NAMED_MAX);
        refused.truncate(NAMED_MAX);
        for (place, refused) in refused.iter_mut().enumerate() {
            let chars = if place < TOLD_MAX { WHY_CHARS_MAX } else { 0 };
            // It is shown on terminals.
            let plain = |char: char| if char.is_control() { ' ' } else { char };
            refused.why = refused.why.chars().map(plain).take(chars).collect();
        }
        let refused_more = u64::try_from(more).unwrap_or(u64::MAX);
        Self { at, refused, refused_more, unkept: false }
    }

    /// The same, as far as a start without the ledger would serve it as well.
    #[must_use]
    pub fn kept(self, disk: SitesOnDisk) -> Self {
        match self.at {
            Some(at) if !disk.at.is_some_and(|kept| kept.has_reached(at)) => {
                let kept = disk.at.filter(|kept| kept.epoch == at.epoch);
                Self { at: kept, unkept: disk.is_failing, ..self }
            }
            _ => self,
        }
    }
}

pub(crate) fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Epoch;

    fn refused(site: Option<&str>, why: &str) -> Refused {
        Refused { site: site.map(str::to_owned), why: why.to_owned() }
    }

    #[test]
    fn nothing_is_said_that_a_start_without_the_ledger_would_not_serve() {
        let at = |epoch, seq| Some(Position { epoch: Epoch(epoch), seq });
        let said = |own, on_disk, is_failing| {
            let served = Served { at: own, ..Served::default() };
            let said = served.kept(SitesOnDisk { at: on_disk, is_failing });
            (said.at, said.unkept)
        };
        assert_eq!(said(at(1, 7), at(1, 7), false), (at(1, 7), false));
        // The disk has taken more than the edges have, or has not taken what came later still.
        assert_eq!(said(at(1, 7), at(1, 9), true), (at(1, 7), false));
        assert_eq!(said(at(1, 7), at(1, 6), false), (at(1, 6), false));
        assert_eq!(said(at(1, 7), at(1, 6), true), (at(1, 6), true));
        assert_eq!(said(at(1, 7), at(2, 9), true), (None, true));
        assert_eq!(said(at(1, 7), None, false), (None, false));
        assert_eq!(said(None, at(1, 7), true), (None, false));
    }

    #[test]
    fn the_newest_are_named_and_the_rest_is_counted() {
        let name = |at: usize| format!("site-{at}");
        let site = |at: usize| LedgerSite {
            name: name(at),
            id: String::new(),
            revision: u64::try_from(at).unwrap(),
            mark: String::new(),
            text: "".into(),
        };
        let sites: Vec<LedgerSite> = (1..=100).map(site).collect();
        let long = "why\n".repeat(200);
        let mut all: Vec<Refused> = (1..=100).map(|at| refused(Some(&name(at)), &long)).collect();
        all.push(refused(Some("site-7"), "again"));
        all.push(refused(None, "all"));
        let served = Served::of(None, &sites, all);
        assert_eq!(served.refused.len(), NAMED_MAX);
        assert_eq!(served.refused_more, 101 - 64);
        assert_eq!(served.refused[0], refused(None, "all"));
        assert_eq!(served.refused[1].site.as_deref(), Some("site-100"));
        assert_eq!(served.refused[1].why.len(), WHY_CHARS_MAX);
        assert!(served.refused[1].why.starts_with("why why"));
        assert!(served.refused[TOLD_MAX..].iter().all(|refused| refused.why.is_empty()));
        assert!(serde_json::to_vec(&served).unwrap().len() < 10_000);
    }
}
