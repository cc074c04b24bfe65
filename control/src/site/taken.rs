//! What sites have taken that come one after the other.
//!
//! In: sites. Out: whether there is room for one more. Always: it refuses what
//! [`super::Catalogue::has_room`] refuses, in the same words, and takes no longer for the last of
//! thousands than for the first. It does not know who speaks for which site.
//! Clause: docs/operate.md *Copies of a ledger*.

use std::collections::{BTreeSet, HashMap};

use super::{
    Catalogue, FileSite, HOSTS_MAX, Rules, SITES_MAX, SiteError, Sound, TEXT_BYTES_MAX,
    record::{folded, hosts},
};

pub(super) struct Taken<'t> {
    rules: &'t dyn Rules,
    /// Those of the node's file.
    of_file: BTreeSet<String>,
    /// Which site has a host.
    hosts: HashMap<String, String>,
    sites: usize,
    bytes: u64,
}

impl<'t> Taken<'t> {
    /// What those have that are there.
    pub(super) fn new(there: &Catalogue, rules: &'t dyn Rules) -> Self {
        let (mut of_file, mut taken) = (BTreeSet::new(), HashMap::new());
        for FileSite { name, hosts } in rules.of_file() {
            taken.extend(folded(&hosts).into_iter().map(|host| (host, name.clone())));
            of_file.insert(name);
        }
        let (mut sites, mut bytes) = (0_usize, 0_u64);
        for (name, listed) in there.present() {
            let all = hosts(name, &listed.hosts, rules);
            taken.extend(all.into_iter().map(|host| (host, name.clone())));
            sites = sites.saturating_add(1);
            bytes = bytes.saturating_add(listed.bytes);
        }
        Self { rules, of_file, hosts: taken, sites, bytes }
    }

    /// Takes what a site wants that is not there yet.
    pub(super) fn take(&mut self, wanted: &Sound) -> Result<(), SiteError> {
        if wanted.hosts.len() > HOSTS_MAX {
            return Err(SiteError::TooManyHosts(wanted.hosts.len()));
        }
        if self.sites >= SITES_MAX {
            return Err(SiteError::TooMany);
        }
        let bytes = self.bytes.saturating_add(wanted.bytes());
        if bytes > TEXT_BYTES_MAX {
            return Err(SiteError::TooMuch);
        }
        if self.of_file.contains(&wanted.name) {
            return Err(SiteError::OfFile(wanted.name.clone()));
        }
        let all = hosts(&wanted.name, &wanted.hosts, self.rules);
        let taken = all.iter().find_map(|host| self.hosts.get_key_value(host));
        if let Some((host, by)) = taken {
            return Err(SiteError::Taken { host: host.clone(), by: by.clone() });
        }
        self.hosts.extend(all.into_iter().map(|host| (host, wanted.name.clone())));
        self.sites = self.sites.saturating_add(1);
        self.bytes = bytes;
        Ok(())
    }
}
