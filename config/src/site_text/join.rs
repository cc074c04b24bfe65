//! The sites of a node: those of its file, and those of the ledger.
//!
//! In: a node file's settings, the ledger's sites, the sites in force. Out: all of them together, and
//! which were left out. Always: of two that want the same name or host the file's is there, then the
//! one that comes first; one that is not sound here is as it was in force, if it was. So no site of
//! the ledger keeps a node from its own.
//! Does not know: where the ledger's sites come from.

use std::{collections::HashMap, fmt};

use edge_core::settings::SiteSettings;

use super::{Beside, fold};
use crate::NodeConfig;

/// A site as the ledger has it.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'s> {
    /// Its name.
    pub name: &'s str,
    /// Which site of its name it is.
    pub id: &'s str,
    /// Its TOML text.
    pub text: &'s str,
}

/// A site of the ledger that is not as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
    /// Whether the version that was in force still is.
    pub stays: bool,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, reason, stays } = self;
        let what =
            if *stays { "the version in force stays" } else { "this node does not serve it" };
        write!(f, "site \"{name}\" of the ledger: {reason}; {what}")
    }
}

impl NodeConfig {
    /// Adds the ledger's sites; `in_force` are those that the node serves now.
    pub fn join(&mut self, sent: &[Sent<'_>], in_force: &[SiteSettings]) -> Vec<LeftOut> {
        let beside = Beside::of(self);
        let mut taken: HashMap<String, String> = HashMap::new();
        for site in &self.sites {
            take(site, &mut taken);
        }
        let mut left_out = Vec::new();
        let mut names: Vec<String> = self.sites.iter().map(|site| site.name.clone()).collect();
        for Sent { name, id, text } in sent {
            let mut is_free = |site: SiteSettings| match clash(&site, &names, &taken) {
                Some(clash) => Err(clash),
                None => {
                    take(&site, &mut taken);
                    names.push(site.name.clone());
                    Ok(site)
                }
            };
            let checked = beside.check(text, name).map_err(|report| report.to_string());
            let checked = checked.map(|site| SiteSettings { id: (*id).to_owned(), ..site });
            match checked.and_then(&mut is_free) {
                Ok(site) => self.sites.push(site),
                Err(reason) => {
                    let former = in_force.iter().find(|site| site.name == *name && site.id == *id);
                    let former = former.cloned().and_then(|site| is_free(site).ok());
                    let (name, stays) = ((*name).to_owned(), former.is_some());
                    left_out.push(LeftOut { name, reason, stays });
                    self.sites.extend(former);
                }
            }
        }
        left_out
    }
}

fn take(site: &SiteSettings, taken: &mut HashMap<String, String>) {
    for host in &site.hosts {
        taken.insert(fold(host), site.name.clone());
    }
}

/// What another site has of it.
fn clash(site: &SiteSettings, names: &[String], taken: &HashMap<String, String>) -> Option<String> {
    if names.contains(&site.name) {
        return Some("another site has this name, in the node's file".to_owned());
    }
    let host = site.hosts.iter().find_map(|host| taken.get(&fold(host)).map(|by| (host, by)));
    host.map(|(host, by)| format!("host \"{host}\" is site \"{by}\"'s"))
}
