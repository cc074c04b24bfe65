//! Sites as a copy of the ledger has them.
//!
//! In: documents as they are together; sites of a copy. Out: sites with the versions that are kept of
//! them; the catalogue and the versions that put them into a ledger.
//! Always: what is put in is checked as a site that is written is; a number that the ledger has given
//! is not given again, so no ETag means two texts; what the ledger had of a site stays as its
//! history, and a site that is not in the copy is one that was deleted. It knows no tokens.
//! Clause: docs/operate.md *Copies of a ledger*.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Author, CATALOGUE, Catalogue, Content, Listed, Made, Rules, SITES_MAX, SiteError, Unsound,
    Version, record::folder, taken::Taken, write::Held,
};
use crate::{
    copy::is_for_people,
    documents::{self, DocumentError},
    ledger::{Document, Epoch, Key, Ledger, Position, Revision},
};

/// The largest number that a copy brings into a ledger: there is room behind it for all that come.
const BROUGHT_MAX: u64 = 1 << 48;
/// The largest number in a copy: that of no ledger is larger, whatever was brought into it.
const REVISION_MAX: u64 = 1 << 49;

/// The keys of sites begin so.
const SITES: &str = "sites/";

/// A site in a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CopiedSite {
    /// Its name.
    pub name: String,
    /// Its versions, the newest first, which is the one in force.
    #[schemars(length(min = 1))]
    pub versions: Vec<CopiedVersion>,
}

/// A version of a site in a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CopiedVersion {
    /// Which site of its name it is of.
    pub id: String,
    /// Its number.
    pub revision: u64,
    /// The site's TOML text; null where it says that the site was deleted.
    pub text: Option<String>,
    /// The hosts that it names.
    pub hosts: Vec<String>,
    /// The id of the token that wrote it.
    pub by: String,
    /// Where that came from.
    pub from: Option<IpAddr>,
    /// When, for people.
    pub at: String,
}

/// Why a site is not put in.
#[derive(Debug, thiserror::Error)]
pub enum CopiedSiteError {
    /// It is not what was copied.
    #[error("site {name:?}: {fault}")]
    Broken {
        /// The site.
        name: String,
        /// What is wrong.
        fault: String,
    },
    /// Its text is not sound here.
    #[error("site \"{name}\": {}", .unsound.report)]
    Unsound {
        /// The site.
        name: String,
        /// What is wrong.
        unsound: Unsound,
    },
    /// It may not be beside others.
    #[error("site \"{name}\": {error}")]
    NoRoom {
        /// The site.
        name: String,
        /// Why.
        error: SiteError,
    },
}

/// What is known of the sites of a ledger, out of all of its documents: no more than `versions_max`
/// versions of each. What cannot be read is named in `left_out`.
///
/// # Errors
/// When the catalogue cannot be read.
pub(crate) fn copied(
    documents: &[Document],
    versions_max: usize,
    left_out: &mut Vec<String>,
) -> Result<Vec<CopiedSite>, DocumentError> {
    let all: BTreeMap<&str, &Bytes> =
        documents.iter().map(|found| (found.key.as_str(), &found.value)).collect();
    let Some(catalogue) = all.get(CATALOGUE) else { return Ok(Vec::new()) };
    let catalogue: Catalogue = documents::decode(catalogue)?;
    let mut sites = Vec::with_capacity(catalogue.sites.len());
    for (name, listed) in &catalogue.sites {
        let (mut versions, mut next) = (Vec::new(), Some(listed.made.clone()));
        while versions.len() < versions_max
            && let Some(key) = next.take().and_then(|made| made.key(name))
        {
            let read = all.get(key.as_str()).map(|bytes| documents::decode::<Version>(bytes));
            match read {
                Some(Ok(version)) => {
                    next.clone_from(&version.before);
                    versions.push(CopiedVersion::of(version));
                }
                Some(Err(error)) => left_out.push(format!("{key}: {error}")),
                // Older ones are taken away in time.
                None if versions.is_empty() => left_out.push(format!("{key}: it is not there")),
                None => {}
            }
        }
        if !versions.is_empty() {
            sites.push(CopiedSite { name: name.clone(), versions });
        }
    }
    Ok(sites)
}

impl CopiedVersion {
    /// The name of its order is nobody's in another ledger.
    fn of(version: Version) -> Self {
        let Version { id, revision, before: _, text, hosts, by, from, at, once: _ } = version;
        Self { id, revision, text, hosts, by, from, at }
    }
}

/// What puts sites into a ledger.
#[derive(Debug)]
pub(crate) struct Planned {
    /// What the catalogue is to say.
    pub(crate) catalogue: Catalogue,
    /// The versions that it names, which come first.
    pub(crate) versions: Vec<(Key, Bytes)>,
}

/// The ledger that a copy's sites are put into.
pub(crate) struct Receiver<'r> {
    /// What it has.
    pub(crate) former: &'r Catalogue,
    /// Its own epoch, which ids of sites that are made in it begin with.
    pub(crate) epoch: Epoch,
    /// How many versions of a site it keeps.
    pub(crate) kept: usize,
}

/// What puts the sites of a copy in place of those that are there. Of those that the copy left out nothing
/// is known, so they stay as they are.
///
/// # Errors
/// When one of them may not be so, or the ledger could not hold it.
pub(crate) fn planned(
    (sites, left_out): (&[CopiedSite], &[String]),
    Receiver { former, epoch, kept }: Receiver<'_>,
    (rules, author): (&dyn Rules, &Author),
) -> Result<Planned, CopiedSiteError> {
    let mut next = Catalogue { sites: BTreeMap::new(), ..former.clone() };
    let in_copy: BTreeSet<&str> = sites.iter().map(|site| site.name.as_str()).collect();
    for name in left_out.iter().filter_map(|left_out| site_of(left_out)) {
        if let Some(listed) = former.sites.get(name).filter(|_| !in_copy.contains(name)) {
            next.sites.insert(name.to_owned(), listed.clone());
        }
    }
    let taken = Taken::new(&next, rules);
    let numbers = numbers(sites, former.revision, kept.max(1));
    let mut plan = Plan { rules, former, taken, next, numbers, epoch, versions: Vec::new() };
    let mut ids: BTreeMap<&str, &str> =
        former.sites.iter().map(|(name, listed)| (listed.id.as_str(), name.as_str())).collect();
    for (at, site) in sites.iter().enumerate() {
        plan.put(at, site)?;
        for version in &site.versions {
            let other = ids.insert(&version.id, &site.name).filter(|other| *other != site.name);
            if let Some(other) = other {
                let fault = format!("its id {} is one of site \"{other}\"", version.id);
                return Err(broken(&site.name, fault));
            }
        }
    }
    for (name, listed) in &former.sites {
        if !plan.next.sites.contains_key(name) {
            plan.delete(name, listed, author)?;
        }
    }
    let Plan { next: mut catalogue, mut versions, .. } = plan;
    // One of its own, so that no two imports are told by the same.
    catalogue.revision = catalogue.revision.saturating_add(1);
    let forgotten = catalogue.forget_oldest();
    let folders: Vec<String> = forgotten.iter().filter_map(|name| folder(name)).collect();
    versions.retain(|(key, _)| !folders.iter().any(|folder| key.as_str().starts_with(folder)));
    Ok(Planned { catalogue, versions })
}

/// The site of a version that was left out of a copy.
fn site_of(left_out: &str) -> Option<&str> {
    let (key, _) = left_out.split_once(':')?;
    Some(key.strip_prefix(SITES)?.split_once('/')?.0)
}

/// The numbers that versions get, by which site it is and what they have: in the order of the copy, all
/// behind those that the ledger has given, and as they are where that is so. Were they added to each
/// other, a ledger that takes its own copies would come to the end of them.
fn numbers(sites: &[CopiedSite], after: u64, kept: usize) -> BTreeMap<(usize, u64), u64> {
    let mut all: Vec<(u64, usize)> = Vec::new();
    for (at, site) in sites.iter().enumerate() {
        all.extend(site.versions.iter().take(kept).map(|version| (version.revision, at)));
    }
    all.sort_unstable();
    let mut last = after;
    let numbered = all.into_iter().map(|(revision, at)| {
        let brought = if revision <= BROUGHT_MAX { revision } else { 0 };
        last = last.saturating_add(1).max(brought);
        ((at, revision), last)
    });
    numbered.collect()
}

struct Plan<'p> {
    rules: &'p dyn Rules,
    former: &'p Catalogue,
    taken: Taken<'p>,
    next: Catalogue,
    /// See [`numbers`].
    numbers: BTreeMap<(usize, u64), u64>,
    epoch: Epoch,
    versions: Vec<(Key, Bytes)>,
}

impl Plan<'_> {
    fn put(&mut self, at: usize, site: &CopiedSite) -> Result<(), CopiedSiteError> {
        let name = site.name.as_str();
        let newest = sound(site)?;
        if self.next.sites.contains_key(name) {
            return Err(broken(name, "it is there twice".to_owned()));
        }
        let (mut hosts, mut bytes) = (newest.hosts.clone(), 0);
        if let Some(text) = &newest.text {
            let checked = self.rules.check(Content::Toml(text));
            let checked = checked
                .map_err(|unsound| CopiedSiteError::Unsound { name: name.to_owned(), unsound })?;
            if checked.name != name {
                return Err(broken(name, format!("its text is one of site \"{}\"", checked.name)));
            }
            let room = self.taken.take(&checked);
            room.map_err(|error| CopiedSiteError::NoRoom { name: name.to_owned(), error })?;
            bytes = checked.bytes();
            hosts = checked.hosts;
        }
        // Numbers in ids of this ledger are those that sites were made at: none of them is given to
        // another site. Those of others have another epoch.
        for made in site.versions.iter().filter_map(|version| made_in(&version.id)) {
            if made.epoch == self.epoch && made.seq > BROUGHT_MAX.max(self.former.revision) {
                return Err(broken(name, "it has an id that is none".to_owned()));
            }
            let own = if made.epoch == self.epoch { made.seq } else { 0 };
            self.next.revision = self.next.revision.max(own);
        }
        // What the ledger has of it stays, behind what is put in.
        let mut made = self.former.sites.get(name).map(|listed| listed.made.clone());
        for version in site.versions.iter().rev() {
            // Of older ones than are kept there is none.
            let number = self.numbers.get(&(at, version.revision));
            let Some(revision) = number.copied() else { continue };
            let CopiedVersion { id, revision: _, text, hosts, by, from, at } = version.clone();
            let before = made.take();
            let version = Version { id, revision, before, text, hosts, by, from, at, once: None };
            made = Some(self.write(name, &version)?);
        }
        let Some(made) = made else { return Ok(()) };
        let (id, deleted) = (newest.id.clone(), newest.text.is_none());
        self.next.sites.insert(name.to_owned(), Listed { id, made, hosts, bytes, deleted });
        Ok(())
    }

    /// Says of a site that the ledger has and the copy has not that it was deleted.
    fn delete(
        &mut self,
        name: &str,
        listed: &Listed,
        author: &Author,
    ) -> Result<(), CopiedSiteError> {
        let mut listed = listed.clone();
        if !listed.deleted {
            let Author { by, from, at, sites: _ } = author.clone();
            let version = Version {
                id: listed.id.clone(),
                revision: self.next.revision.saturating_add(1),
                before: Some(listed.made),
                text: None,
                hosts: Vec::new(),
                by,
                from,
                at,
                once: None,
            };
            listed.made = self.write(name, &version)?;
            (listed.hosts, listed.deleted) = (Vec::new(), true);
        }
        self.next.sites.insert(name.to_owned(), listed);
        Ok(())
    }

    fn write(&mut self, name: &str, version: &Version) -> Result<Made, CopiedSiteError> {
        let bytes = documents::encode(version);
        let bytes = bytes.map_err(|error| broken(name, error.to_string()))?;
        let made = Made::of(version.revision, &bytes);
        let key = made.key(name).ok_or_else(|| broken(name, "it is no name".to_owned()))?;
        self.next.revision = self.next.revision.max(version.revision);
        self.versions.push((key, bytes));
        Ok(made)
    }
}

/// The newest version of a site whose versions are in order.
fn sound(site: &CopiedSite) -> Result<&CopiedVersion, CopiedSiteError> {
    let broken = |fault: &str| broken(&site.name, fault.to_owned());
    if folder(&site.name).is_none() {
        return Err(broken("it is no name of a site"));
    }
    let Some(newest) = site.versions.first() else { return Err(broken("it has no version")) };
    let numbers = site.versions.iter().map(|version| version.revision);
    if numbers.into_iter().any(|number| !(1..=REVISION_MAX).contains(&number)) {
        return Err(broken("it has a revision that is none, or too large"));
    }
    let pairs = site.versions.iter().zip(site.versions.iter().skip(1));
    if pairs.into_iter().any(|(newer, older)| newer.revision <= older.revision) {
        return Err(broken("its versions are not in order, the newest first"));
    }
    let mut ids = site.versions.iter().map(|version| made_in(&version.id));
    if !ids.all(|made| made.is_some_and(|made| (1..=REVISION_MAX).contains(&made.seq))) {
        return Err(broken("it has an id that is none"));
    }
    let mut words = site
        .versions
        .iter()
        .flat_map(|version| [&version.by, &version.at].into_iter().chain(&version.hosts));
    if !words.all(|word| is_for_people(word)) {
        return Err(broken("it has a host, a time or an author that is none"));
    }
    Ok(newest)
}

/// What a site's id says, as a ledger makes them: an epoch, which no other ledger has, and the
/// revision at which the site was made.
fn made_in(id: &str) -> Option<Position> {
    let made = id.parse::<Position>().ok()?;
    // Written in one way only.
    (made.to_string() == id).then_some(made)
}

/// Whether a catalogue may have so many sites.
pub(crate) fn are_few_enough(sites: &[CopiedSite]) -> bool {
    sites.len() <= SITES_MAX.saturating_add(super::GONE_MAX)
}

fn broken(name: &str, fault: String) -> CopiedSiteError {
    CopiedSiteError::Broken { name: name.to_owned(), fault }
}

/// The catalogue of a ledger as it is now, with the revision of its document.
///
/// # Errors
/// When it cannot be read.
pub(crate) async fn former(
    ledger: &dyn Ledger,
) -> Result<(Catalogue, Option<Revision>), SiteError> {
    Ok(Held::measured(ledger).await?.into_parts())
}
