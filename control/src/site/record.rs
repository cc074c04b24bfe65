//! What the ledger knows of sites: the catalogue, and versions.
//!
//! In: values. Out: documents and their keys. Always: a version's key says which it is and what it
//! says, so two writers never write to the same one; hosts are compared without case and trailing
//! dot, as requests are. It does not know who writes.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
};

use serde::{Deserialize, Serialize};

use super::{FileSite, Rules, SiteError, Sound};
use crate::{
    ledger::{Key, Position},
    token::fingerprint,
};

/// Where the catalogue stands.
pub const CATALOGUE: &str = "sites/catalogue";
/// Sites, at most.
pub const SITES_MAX: usize = 2000;
/// Hosts that a site names, at most: all that there are stand in one document.
pub const HOSTS_MAX: usize = 100;
/// The texts of all sites together, at most: every node has them in memory.
pub const TEXT_BYTES_MAX: u64 = 32 << 20;
/// Deleted sites whose history is kept; the oldest give way.
pub const GONE_MAX: usize = 100;
/// Imports that are remembered, so that who repeats one is answered what they were.
const IMPORTS_MAX: usize = 8;
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
    /// The last copies that were put in, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub imports: Vec<Imported>,
}

/// That a copy was put in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Which import it was: a node that meets another one purges all that it has stored.
    pub id: String,
    /// Of which copy, and how.
    pub of: String,
    /// The revision of the catalogue that it made.
    pub revision: u64,
    /// The name under which it was ordered once, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub once: Option<String>,
    /// Sites that were put in.
    pub sites: usize,
    /// Tokens.
    pub tokens: usize,
    /// Tokens that were there already.
    pub tokens_kept: usize,
    /// Tokens that may have been revoked here.
    pub tokens_revoked: usize,
    /// Nodes that were drained by it.
    #[serde(default)]
    pub drains: usize,
    /// Where the purge log has that everything stored is purged, which comes last; nothing where it may
    /// not be done to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purge: Option<Position>,
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
    /// How long its text is.
    #[serde(default)]
    pub bytes: u64,
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

    /// The newest import, if there was one.
    #[must_use]
    pub fn imported(&self) -> Option<&Imported> {
        self.imports.last()
    }

    /// A copy is put in.
    pub(crate) fn remember(&mut self, import: Imported) {
        self.imports.push(import);
        self.imports.drain(..self.imports.len().saturating_sub(IMPORTS_MAX));
    }

    /// Whether a site may be as it is wanted, beside all others, by one who speaks for `sites`, or for
    /// all of them.
    pub(super) fn has_room(
        &self,
        wanted: &Sound,
        sites: Option<&[String]>,
        rules: &dyn Rules,
    ) -> Result<(), SiteError> {
        self.has_space(wanted)?;
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
        match sites {
            Some(sites) => self.is_theirs(wanted, sites, rules),
            None => Ok(()),
        }
    }

    /// Whether there is space for it.
    fn has_space(&self, wanted: &Sound) -> Result<(), SiteError> {
        if wanted.hosts.len() > HOSTS_MAX {
            return Err(SiteError::TooManyHosts(wanted.hosts.len()));
        }
        if self.find(&wanted.name).is_none() && self.present().count() >= SITES_MAX {
            return Err(SiteError::TooMany);
        }
        let others = self.present().filter(|(name, _)| **name != wanted.name);
        let others: u64 = others.map(|(_, listed)| listed.bytes).sum();
        if others.saturating_add(wanted.bytes()) > TEXT_BYTES_MAX {
            return Err(SiteError::TooMuch);
        }
        Ok(())
    }

    /// Whether one who speaks for `sites` alone may take the hosts that it does not have yet: none that
    /// another site's wildcard answers for, and none that is, or is below, another's name in a zone,
    /// also if there is no such site yet.
    fn is_theirs(
        &self,
        wanted: &Sound,
        sites: &[String],
        rules: &dyn Rules,
    ) -> Result<(), SiteError> {
        let has = self.find(&wanted.name).map(|listed| folded(&listed.hosts)).unwrap_or_default();
        let mut suffixes: HashMap<String, String> = HashMap::new();
        let of_file = rules.of_file().into_iter().map(|site| (site.name, site.hosts));
        let of_ledger = self.present().map(|(name, listed)| (name.clone(), listed.hosts.clone()));
        for (name, hosts) in of_file.chain(of_ledger) {
            for host in folded(&hosts) {
                // One that answers for whatever nobody else does owns none of it.
                if let Some(suffix) = host.strip_prefix('*').filter(|suffix| !suffix.is_empty()) {
                    suffixes.insert(suffix.to_owned(), name.clone());
                }
            }
        }
        let zone = rules.host_of("x").map(|host| folded(&[host]).concat());
        let zone = zone.as_deref().and_then(|host| host.strip_prefix('x'));
        for host in folded(&wanted.hosts).into_iter().filter(|host| !has.contains(host)) {
            let below = zone.and_then(|zone| host.strip_suffix(zone));
            let below = below.and_then(|labels| labels.rsplit('.').next());
            let dots = host.bytes().enumerate().skip(1).filter(|(_, byte)| *byte == b'.');
            let narrowest = dots.filter_map(|(dot, _)| suffixes.get(host.get(dot..)?));
            let mut narrowest = narrowest.map(String::as_str);
            let owner = below.or_else(|| narrowest.next());
            let is_theirs = |owner: &str| owner == wanted.name || sites.iter().any(|s| s == owner);
            if owner.is_some_and(|owner| !is_theirs(owner)) {
                return Err(SiteError::Within { host });
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
pub(super) fn hosts(name: &str, named: &[String], rules: &dyn Rules) -> Vec<String> {
    let mut all = folded(named);
    all.extend(rules.host_of(name).map(|host| folded(&[host])).unwrap_or_default());
    all
}

pub(super) fn folded(hosts: &[String]) -> Vec<String> {
    let fold = |host: &String| host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    hosts.iter().map(fold).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::{Content, Unsound};

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

    /// A node under a zone, whose file has a wildcard.
    struct Node;

    impl Rules for Node {
        fn check(&self, _content: Content<'_>) -> Result<Sound, Unsound> {
            unreachable!("nothing is sent here")
        }

        fn of_file(&self) -> Vec<FileSite> {
            let hosts = vec!["*.Filed.example".to_owned()];
            vec![FileSite { name: "filed".to_owned(), hosts }]
        }

        fn host_of(&self, name: &str) -> Option<String> {
            Some(format!("{name}.cdn.test"))
        }
    }

    fn listed(hosts: &[&str], bytes: u64) -> Listed {
        Listed {
            id: String::new(),
            made: Made::of(1, b""),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            bytes,
            deleted: false,
        }
    }

    fn wanted(name: &str, hosts: &[&str]) -> Sound {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        Sound { name: name.to_owned(), hosts, text: "text".to_owned() }
    }

    #[test]
    fn who_speaks_for_some_sites_takes_nothing_within_anothers() {
        let mut catalogue = Catalogue::default();
        let shop = ["*.shop.example", "*.own.shop.example", "old.blog.example"];
        catalogue.sites.insert("shop".to_owned(), listed(&shop, 0));
        catalogue.sites.insert("blog".to_owned(), listed(&["*.Blog.example"], 0));
        catalogue.sites.insert("rest".to_owned(), listed(&["*"], 0));
        for (host, sites, is_theirs) in [
            ("new.example", &["shop"][..], true),
            ("a.blog.example", &["shop"], false),
            ("b.a.BLOG.example.", &["shop"], false),
            ("*.a.blog.example", &["shop"], false),
            ("blog.example", &["shop"], true),
            ("a.filed.example", &["shop"], false),
            ("a.blog.example", &["shop", "blog"], true),
            // What it has already it keeps, whoever came later.
            ("old.blog.example", &["shop"], true),
            // Its own suffix is the narrowest.
            ("a.shop.example", &["shop"], true),
            ("a.own.shop.example", &["shop"], true),
            // Names of sites in the zone, those to come included.
            ("shop.cdn.test", &["shop"], true),
            ("a.shop.cdn.test", &["shop"], true),
            ("news.CDN.test", &["shop"], false),
            ("a.news.cdn.test", &["shop"], false),
            ("*.cdn.test", &["shop"], false),
            ("news.cdn.test", &["shop", "news"], true),
        ] {
            let sites: Vec<String> = sites.iter().map(|site| (*site).to_owned()).collect();
            let wanted = wanted("shop", &[host]);
            let room = catalogue.has_room(&wanted, Some(&sites), &Node);
            assert_eq!(room.is_ok(), is_theirs, "{host} {sites:?}: {room:?}");
            if let Err(error) = room {
                assert!(matches!(error, SiteError::Within { .. }), "{host}: {error}");
            }
            catalogue.has_room(&wanted, None, &Node).unwrap();
        }
    }

    #[test]
    fn one_site_takes_no_more_than_its_part_of_the_space() {
        let mut catalogue = Catalogue::default();
        let hosts = |count: usize| (0..count).map(|at| format!("{at}.example")).collect();
        let site = |count| Sound { hosts: hosts(count), ..wanted("shop", &[]) };
        catalogue.has_room(&site(HOSTS_MAX), None, &Node).unwrap();
        let error = catalogue.has_room(&site(HOSTS_MAX + 1), None, &Node).unwrap_err();
        assert!(error.to_string().starts_with("it names 101 hosts; allowed: 100"), "{error}");
        // What it takes now counts for nothing once it is replaced; "text" is the rest.
        catalogue.sites.insert("shop".to_owned(), listed(&[], TEXT_BYTES_MAX));
        catalogue.sites.insert("blog".to_owned(), listed(&[], TEXT_BYTES_MAX - 4));
        catalogue.has_room(&site(1), None, &Node).unwrap();
        catalogue.sites.insert("news".to_owned(), listed(&[], 1));
        let error = catalogue.has_room(&site(1), None, &Node).unwrap_err();
        assert!(matches!(error, SiteError::TooMuch), "{error}");
    }

    #[test]
    fn of_deleted_sites_the_oldest_are_forgotten() {
        let listed = |revision, deleted| Listed {
            id: String::new(),
            made: Made::of(revision, b""),
            hosts: Vec::new(),
            bytes: 0,
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
