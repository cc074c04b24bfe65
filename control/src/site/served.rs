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
    /// The newest revision of these, and so no site that was written later is one of them; nothing where
    /// that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_up_to: Option<u64>,
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
            let mut sites = sites.iter();
            let site = sites.find(|site| Some(&site.name) == refused.site.as_ref());
            // It is one that could not be read; nobody knows when it was written.
            site.map_or(u64::MAX, |site| site.revision)
        };
        // What speaks of all comes before any of them.
        refused.sort_by_cached_key(|refused| {
            let newest = std::cmp::Reverse(made(refused));
            (refused.site.is_some(), newest, refused.clone())
        });
        refused.dedup_by(|later, former| later.site.is_some() && later.site == former.site);
        let more = refused.len().saturating_sub(NAMED_MAX);
        let more_up_to = refused.get(NAMED_MAX).map(made).filter(|made| *made < u64::MAX);
        refused.truncate(NAMED_MAX);
        for (place, refused) in refused.iter_mut().enumerate() {
            let chars = if place < TOLD_MAX { WHY_CHARS_MAX } else { 0 };
            refused.why = plain(&refused.why, chars);
        }
        let refused_more = u64::try_from(more).unwrap_or(u64::MAX);
        Self { at, refused, refused_more, more_up_to, unkept: false }
    }

    /// What a node said, which may have said anything.
    #[must_use]
    pub(crate) fn bounded(&self) -> Self {
        let one = |refused: &Refused| Refused {
            site: refused.site.as_deref().map(|site| plain(site, WHY_CHARS_MAX)),
            why: plain(&refused.why, WHY_CHARS_MAX),
        };
        let refused: Vec<Refused> = self.refused.iter().take(NAMED_MAX).map(one).collect();
        let more = self.refused.len().saturating_sub(NAMED_MAX);
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        let more_up_to = self.more_up_to.filter(|_| more == 0);
        let refused_more = self.refused_more.saturating_add(more);
        Self { refused, refused_more, more_up_to, ..*self }
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

/// A text as it can be shown on a terminal, cut to so many characters: one line, which is read as it
/// stands.
pub(crate) fn plain(text: &str, chars: usize) -> String {
    let is_plain = |char: char| {
        let turns = matches!(
            char,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        );
        !char.is_control() && !turns
    };
    let plain = |char| if is_plain(char) { char } else { ' ' };
    text.chars().map(plain).take(chars).collect()
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
        assert_eq!(served.more_up_to, Some(37));
        assert_eq!(served.refused[0], refused(None, "all"));
        assert_eq!(served.refused[1].site.as_deref(), Some("site-100"));
        assert_eq!(served.refused[1].why.len(), WHY_CHARS_MAX);
        assert!(served.refused[1].why.starts_with("why why"));
        assert!(served.refused[TOLD_MAX..].iter().all(|refused| refused.why.is_empty()));
        assert!(serde_json::to_vec(&served).unwrap().len() < 10_000);
        assert_eq!(served.bounded(), served);
        // One that could not be read may be newer than all.
        let mut all: Vec<Refused> = (1..=100).map(|at| refused(Some(&name(at)), "")).collect();
        all.push(refused(Some("unreadable"), ""));
        let served = Served::of(None, &sites, all);
        assert_eq!(served.refused[0].site.as_deref(), Some("unreadable"));
    }

    #[test]
    fn whatever_a_node_says_is_bounded_and_turns_no_line() {
        let forged = refused(Some("a\nb"), &"why\n\u{202e}\u{1b}[2J".repeat(999));
        let said = Served { refused: vec![forged; 99], more_up_to: Some(1), ..Served::default() };
        let bounded = said.bounded();
        assert_eq!((bounded.refused.len(), bounded.refused_more), (NAMED_MAX, 35));
        assert_eq!((bounded.more_up_to, bounded.refused[0].site.as_deref()), (None, Some("a b")));
        assert!(bounded.refused[0].why.starts_with("why   [2Jwhy   [2J"));
        assert_eq!(bounded.refused[0].why.len(), WHY_CHARS_MAX);
    }
}
