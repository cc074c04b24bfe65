//! What the ledger knows of sites: the catalogue, and versions.
//!
//! In: values. Out: documents and their keys. Always: a version's key says which it is and what it
//! says, so two writers never write to the same one; hosts are compared without case and trailing
//! dot, as requests are. It does not know who writes.

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
};

use serde::{Deserialize, Serialize};

use super::{FileSite, Rules, SiteError, Sound};
use crate::{ledger::Key, token::fingerprint};

/// Where the catalogue stands.
pub const CATALOGUE: &str = "sites/catalogue";
/// Sites, at most.
pub const SITES_MAX: usize = 2000;
/// Deleted sites whose history is kept; the oldest give way.
pub const GONE_MAX: usize = 100;
/// The longest name.
const NAME_BYTES_MAX: usize = 63;
/// Digits of a version's mark: enough to tell apart what two writers write at the same time.
const MARK_DIGITS: usize = 16;

/// Which sites there are: one document, so that taking a host is one compare-and-set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalogue {
    /// The last revision that a version of any site has got.
    pub revision: u64,
    /// The sites, and those deleted last, by name.
    pub sites: BTreeMap<String, Listed>,
}

/// A site in the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Which site of its name it is.
    pub id: String,
    /// The version in force.
    pub made: Made,
    /// The hosts that it names.
    pub hosts: Vec<String>,
    /// Whether it is deleted, and only its history is there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
}

/// Which version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Its number, through all sites.
    pub revision: u64,
    /// A part of its text's hash.
    pub mark: String,
}

/// A version of a site: what it said, or that it was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Which site of its name it is of.
    pub id: String,
    /// Its number.
    pub revision: u64,
    /// The version before it.
    pub before: Option<Made>,
    /// The site's TOML text; nothing once it was deleted.
    pub text: Option<String>,
    /// The hosts that it names.
    pub hosts: Vec<String>,
    /// The id of the token that wrote it.
    pub by: String,
    /// Where that came from.
    pub from: Option<IpAddr>,
    /// When, for people.
    pub at: String,
    /// The name under which this change was ordered once, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub once: Option<String>,
}

impl Made {
    /// Which version `bytes` are, of this number.
    pub(super) fn of(revision: u64, bytes: &[u8]) -> Self {
        let mut mark = fingerprint(bytes);
        mark.truncate(MARK_DIGITS);
        Self { revision, mark }
    }

    /// Where it stands, for a site that may be called so.
    pub(super) fn key(&self, name: &str) -> Option<Key> {
        Key::parse(&format!("{}{}-{}", folder(name)?, self.revision, self.mark))
    }
}

/// How the keys of a site's versions begin.
pub(super) fn folder(name: &str) -> Option<String> {
    let is_fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_fine);
    fits.then(|| format!("sites/{name}/"))
}

/// The number in a version's key.
pub(super) fn number(key: &Key) -> Option<u64> {
    key.name().split_once('-')?.0.parse().ok()
}

impl Catalogue {
    /// Those that are not deleted.
    pub fn present(&self) -> impl Iterator<Item = (&String, &Listed)> {
        self.sites.iter().filter(|(_, listed)| !listed.deleted)
    }

    /// A site that is not deleted.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Listed> {
        self.sites.get(name).filter(|listed| !listed.deleted)
    }

    /// Whether a site may be as it is wanted, beside all others.
    pub(super) fn has_room(&self, wanted: &Sound, rules: &dyn Rules) -> Result<(), SiteError> {
        if self.find(&wanted.name).is_none() && self.present().count() >= SITES_MAX {
            return Err(SiteError::TooMany);
        }
        // There may be tens of thousands of each.
        let hosts: HashSet<String> =
            hosts(&wanted.name, &wanted.hosts, rules).into_iter().collect();
        let taken = |theirs: &[String]| theirs.iter().find(|host| hosts.contains(*host)).cloned();
        for FileSite { name, hosts: theirs } in rules.of_file() {
            if name == wanted.name {
                return Err(SiteError::OfFile(name));
            }
            if let Some(host) = taken(&folded(&theirs)) {
                return Err(SiteError::Taken { host, by: name });
            }
        }
        for (name, listed) in self.present().filter(|(name, _)| **name != wanted.name) {
            if let Some(host) = taken(&self::hosts(name, &listed.hosts, rules)) {
                return Err(SiteError::Taken { host, by: name.clone() });
            }
        }
        Ok(())
    }

    /// Forgets the oldest deleted sites beyond [`GONE_MAX`]; says which.
    pub(super) fn forget_oldest(&mut self) -> Vec<String> {
        let deleted = self.sites.iter().filter(|(_, listed)| listed.deleted);
        let mut gone: Vec<(u64, String)> =
            deleted.map(|(name, listed)| (listed.made.revision, name.clone())).collect();
        gone.sort_unstable();
        gone.truncate(gone.len().saturating_sub(GONE_MAX));
        let names: Vec<String> = gone.into_iter().map(|(_, name)| name).collect();
        self.sites.retain(|name, _| !names.contains(name));
        names
    }
}

/// All hosts of a site, as they are compared.
fn hosts(name: &str, named: &[String], rules: &dyn Rules) -> Vec<String> {
    let mut all = folded(named);
    all.extend(rules.host_of(name).map(|host| folded(&[host])).unwrap_or_default());
    all
}

fn folded(hosts: &[String]) -> Vec<String> {
    let fold = |host: &String| host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    hosts.iter().map(fold).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_a_version_is_in_the_folder_of_its_site_and_says_its_number() {
        let made = Made::of(17, b"text");
        assert_ne!(made, Made::of(17, b"other"));
        let key = made.key("shop").unwrap();
        assert!(key.as_str().starts_with("sites/shop/17-"), "{key}");
        assert_eq!(number(&key), Some(17));
        for name in ["", "Shop", "a/b", "a.b", "..", "a b", &"x".repeat(64)] {
            assert_eq!(made.key(name), None, "{name}");
        }
        // A site may be called as the catalogue is.
        assert_ne!(made.key("catalogue").unwrap().as_str(), CATALOGUE);
    }

    #[test]
    fn of_deleted_sites_the_oldest_are_forgotten() {
        let listed = |revision, deleted| Listed {
            id: String::new(),
            made: Made::of(revision, b""),
            hosts: Vec::new(),
            deleted,
        };
        let mut catalogue = Catalogue::default();
        catalogue.sites.insert("kept".to_owned(), listed(0, false));
        for at in 1..=u64::try_from(GONE_MAX).unwrap() + 2 {
            catalogue.sites.insert(format!("gone-{at}"), listed(at, true));
        }
        assert_eq!(catalogue.forget_oldest(), ["gone-1", "gone-2"]);
        assert_eq!(catalogue.sites.len(), GONE_MAX + 1);
        assert!(catalogue.find("kept").is_some() && catalogue.find("gone-3").is_none());
        assert!(catalogue.forget_oldest().is_empty());
    }
}
