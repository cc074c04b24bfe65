//! The sites of a node: those of its file, and those of the ledger.
//!
//! In: a node file's settings, the ledger's sites, the sites in force. Out: all of them together, and
//! which were left out. Always: of two that want the same name or host the file's is there, then the
//! one that has it in force, then the one that was made first, so nobody who comes later takes what
//! another has, whatever they call their site; one that is not sound here is as it was in force, if it
//! was. So no site of the ledger keeps a node from its own. A text that was checked is not checked
//! again while what it stands beside is the same.
//! Does not know: where the ledger's sites come from.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

use edge_core::settings::SiteSettings;

use super::{Beside, fold};
use crate::NodeConfig;

/// A site as the ledger has it.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'s> {
    /// Its name.
    pub name: &'s str,
    /// Which site of its name it is; it ends with a number that is larger the later it was made.
    pub id: &'s str,
    /// Its TOML text.
    pub text: &'s Arc<str>,
}

impl Sent<'_> {
    fn is(&self, site: &SiteSettings) -> bool {
        site.name == self.name && site.id == self.id
    }

    /// When it was made, beside others of one ledger.
    fn made(&self) -> u64 {
        let number = self.id.rsplit('-').next().and_then(|number| number.parse().ok());
        number.unwrap_or(u64::MAX)
    }
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

/// What came of checking texts, as long as they are sent.
#[derive(Debug, Default)]
pub struct Checks {
    beside: Beside,
    pub(super) known: HashMap<String, Check>,
}

#[derive(Debug)]
pub(super) struct Check {
    text: Arc<str>,
    pub(super) result: Result<SiteSettings, String>,
}

impl Checks {
    /// Checks what is new of it, and forgets what is not sent any more.
    fn renew(&mut self, beside: &Beside, sent: &[Sent<'_>]) {
        if self.beside != *beside {
            *self = Self { beside: beside.clone(), known: HashMap::new() };
        }
        let names: HashSet<&str> = sent.iter().map(|site| site.name).collect();
        self.known.retain(|name, _| names.contains(name.as_str()));
        for Sent { name, text, .. } in sent {
            if self.known.get(*name).is_none_or(|check| check.text != **text) {
                let result = beside.check(text, name).map_err(|report| report.to_string());
                let check = Check { text: Arc::clone(text), result };
                self.known.insert((*name).to_owned(), check);
            }
        }
    }

    fn of(&self, sent: &Sent<'_>) -> Result<SiteSettings, String> {
        let check = self.known.get(sent.name).map(|check| check.result.clone());
        let checked = check.unwrap_or_else(|| Err("it was not checked".to_owned()))?;
        Ok(SiteSettings { id: sent.id.to_owned(), ..checked })
    }
}

impl NodeConfig {
    /// Adds the ledger's sites; `in_force` are those that the node serves now.
    pub fn join(
        &mut self,
        sent: &[Sent<'_>],
        in_force: &[SiteSettings],
        checks: &mut Checks,
    ) -> Vec<LeftOut> {
        checks.renew(&Beside::of(self), sent);
        let former: HashMap<&str, &SiteSettings> =
            in_force.iter().map(|site| (site.name.as_str(), site)).collect();
        let former = |sent: &Sent<'_>| former.get(sent.name).copied().filter(|site| sent.is(site));
        let mut place = Place::of(&self.sites);
        let mut order: Vec<&Sent<'_>> = sent.iter().collect();
        order.sort_by_key(|sent| (former(sent).is_none(), sent.made(), sent.id, sent.name));
        for sent in &order {
            let Some(former) = former(sent) else { continue };
            place.hold(former, checks.of(sent).ok().as_ref());
        }
        let mut left_out = Vec::new();
        for sent in order {
            let taken = checks.of(sent).and_then(|site| place.take(site));
            match taken {
                Ok(site) => self.sites.push(site),
                Err(reason) => {
                    let stays = former(sent).cloned().and_then(|site| place.take(site).ok());
                    let name = sent.name.to_owned();
                    left_out.push(LeftOut { name, reason, stays: stays.is_some() });
                    self.sites.extend(stays);
                }
            }
        }
        left_out
    }
}

/// Which names and hosts are taken, and by whom.
struct Place {
    names: HashSet<String>,
    hosts: HashMap<String, String>,
}

impl Place {
    fn of(sites: &[SiteSettings]) -> Self {
        let mut place = Self { names: HashSet::new(), hosts: HashMap::new() };
        for site in sites {
            place.names.insert(site.name.clone());
            place.hosts.extend(hosts(site).map(|host| (host, site.name.clone())));
        }
        place
    }

    /// Holds what a site has in force, and keeps as it is wanted, or all of that where it is not sound.
    fn hold(&mut self, former: &SiteSettings, wanted: Option<&SiteSettings>) {
        let wanted: Option<HashSet<String>> = wanted.map(|wanted| hosts(wanted).collect());
        for host in hosts(former) {
            if wanted.as_ref().is_none_or(|wanted| wanted.contains(&host)) {
                self.hosts.entry(host).or_insert_with(|| former.name.clone());
            }
        }
    }

    /// Takes a site in, or says what another has of it.
    fn take(&mut self, site: SiteSettings) -> Result<SiteSettings, String> {
        if self.names.contains(&site.name) {
            return Err("another site has this name, in the node's file".to_owned());
        }
        for host in &site.hosts {
            if let Some(by) = self.hosts.get(&fold(host)).filter(|by| **by != site.name) {
                return Err(format!("host \"{host}\" is site \"{by}\"'s"));
            }
        }
        self.names.insert(site.name.clone());
        self.hosts.extend(hosts(&site).map(|host| (host, site.name.clone())));
        Ok(site)
    }
}

/// Its hosts, as they are compared.
fn hosts(site: &SiteSettings) -> impl Iterator<Item = String> {
    site.hosts.iter().map(|host| fold(host))
}
