//! Which site answers for a host.
//!
//! In: sites, then hosts. Always holds: an exact host goes before a suffix, a longer suffix before
//! a shorter one, and `*` comes last; no pattern belongs to two sites.

use std::{
    collections::{
        BTreeMap, HashMap,
        hash_map::{DefaultHasher, Entry},
    },
    hash::BuildHasherDefault,
    sync::Arc,
};

use super::{Host, HostPattern, Problem, Site};

/// Keyed by what an operator wrote, so that no client can fill it with collisions; a hasher of
/// fixed keys keeps the core free of randomness.
type ByName = HashMap<Box<str>, Arc<Site>, BuildHasherDefault<DefaultHasher>>;

/// The sites of a node, found by host.
#[derive(Clone, Debug, Default)]
pub struct SiteTable {
    sites: Vec<Arc<Site>>,
    exact: ByName,
    /// Keyed by the suffix with its leading dot.
    suffixes: ByName,
    any: Option<Arc<Site>>,
}

impl SiteTable {
    /// The table of these sites.
    ///
    /// # Errors
    /// Every name and host that stands twice, at `site[index]…`.
    pub fn build(sites: Vec<Arc<Site>>) -> Result<Self, Vec<Problem>> {
        let mut table = Self::default();
        let mut problems = Vec::new();
        let mut names: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        for (index, site) in sites.iter().enumerate() {
            let first = *names.entry(Arc::clone(&site.name)).or_insert(index);
            if first != index {
                problems.push(Problem {
                    at: format!("site[{index}].name"),
                    message: format!("\"{}\" is the name of site[{first}] as well", site.name),
                });
            }
            for (position, pattern) in site.hosts.iter().enumerate() {
                if let Some(owner) = table.add(pattern, site) {
                    problems.push(Problem {
                        at: format!("site[{index}].hosts[{position}]"),
                        message: format!("\"{pattern}\" belongs to site \"{owner}\" already"),
                    });
                }
            }
        }
        table.sites = sites;
        if problems.is_empty() { Ok(table) } else { Err(problems) }
    }

    /// The site that answers for `host`.
    #[must_use]
    pub fn find(&self, host: &Host<'_>) -> Option<&Arc<Site>> {
        let host = host.as_str();
        if let Some(site) = self.exact.get(host) {
            return Some(site);
        }
        // At least one label stands before the dot: a leading dot begins no suffix.
        let dots = host.bytes().enumerate().skip(1).filter(|(_, byte)| *byte == b'.');
        let mut suffixes = dots.filter_map(|(dot, _)| host.get(dot..));
        suffixes.find_map(|suffix| self.suffixes.get(suffix)).or(self.any.as_ref())
    }

    /// All sites, in the order given.
    #[must_use]
    pub fn sites(&self) -> &[Arc<Site>] {
        &self.sites
    }

    /// Adds a pattern, or names the site that has it.
    fn add(&mut self, pattern: &HostPattern, site: &Arc<Site>) -> Option<Arc<str>> {
        let (names, name) = match pattern {
            HostPattern::Exact(name) => (&mut self.exact, name),
            HostPattern::Suffix(suffix) => (&mut self.suffixes, suffix),
            HostPattern::Any => {
                return match &self.any {
                    Some(owner) => Some(Arc::clone(&owner.name)),
                    None => {
                        self.any = Some(Arc::clone(site));
                        None
                    }
                };
            }
        };
        match names.entry(name.clone()) {
            Entry::Occupied(entry) => Some(Arc::clone(&entry.get().name)),
            Entry::Vacant(entry) => {
                entry.insert(Arc::clone(site));
                None
            }
        }
    }
}
