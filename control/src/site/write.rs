//! Writing a site: a version first, then the catalogue that names it.
//!
//! In: a ledger, what is wanted, what is expected. Out: [`Written`], or why not.
//! Always: nothing is in force before the catalogue names it, which is one compare-and-set over all
//! sites: of two writers that read the same catalogue one looks again, and then sees what the other
//! took. What a writer leaves behind that is named by nothing is tidied away by the next one of the
//! same site: only versions whose number the catalogue has passed, which nobody can name any more.
//! It deliberately does not know HTTP.
//! Clause: docs/decisions/0011-sites-behind-one-catalogue.md.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use bytes::Bytes;
use futures_util::future::try_join_all;

use super::{
    CATALOGUE, Rules, SiteError, Sound,
    record::{Catalogue, Listed, Made, Version, folder, number},
    versions,
};
use crate::{
    documents,
    ledger::{Document, Expect, Key, Ledger, LedgerError, Log, Revision},
};

/// How often what others wrote meanwhile is looked at.
pub(super) const TRIES_MAX: u32 = 32;
/// Versions that are taken away at the same time.
const TIDIED_AT_ONCE: usize = 64;
/// The keys of sites begin so.
const SITES: &str = "sites/";

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Change<'c> {
    /// The site.
    pub name: &'c str,
    /// What it is to say; nothing deletes it.
    pub text: Option<&'c Sound>,
    /// What its writer expects of it.
    pub wanted: Wanted<'c>,
    /// Who that is.
    pub author: &'c Author,
    /// The name under which it is done once.
    pub once: Option<&'c str>,
    /// Versions that are kept of it.
    pub kept: usize,
}

/// What a writer expects of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<'w> {
    /// That there is none.
    Absent,
    /// That there is one.
    Present,
    /// That it is at this revision.
    At(u64),
    /// That it is at one of these.
    OneOf(&'w [u64]),
}

impl Wanted<'_> {
    /// Whether a site that is at `current`, or not there, is so.
    #[must_use]
    pub fn holds(self, current: Option<u64>) -> bool {
        match self {
            Self::Absent => current.is_none(),
            Self::Present => current.is_some(),
            Self::At(revision) => current == Some(revision),
            Self::OneOf(revisions) => current.is_some_and(|current| revisions.contains(&current)),
        }
    }
}

/// Who writes.
#[derive(Clone, Debug)]
pub struct Author {
    /// The id of the token.
    pub by: String,
    /// Where the order came from.
    pub from: Option<IpAddr>,
    /// When, for people.
    pub at: String,
    /// The sites that they speak for; all of them, those to come included, when absent.
    pub sites: Option<Vec<String>>,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The version.
    pub version: Version,
    /// Whether there was no such site before.
    pub created: bool,
}

/// The catalogue, and where it was read.
pub(super) struct Held {
    pub(super) catalogue: Catalogue,
    at: Option<Revision>,
}

impl Held {
    pub(super) async fn read(ledger: &dyn Ledger) -> Result<Self, SiteError> {
        let Some(found) = ledger.read(&catalogue_key()?).await? else {
            return Ok(Self { catalogue: Catalogue::default(), at: None });
        };
        let catalogue = documents::decode(&found.value)?;
        Ok(Self { catalogue, at: Some(found.revision) })
    }

    /// The same, for who puts something beside what is there: where an earlier version of this program did
    /// not say how long a text is, it is read.
    pub(super) async fn measured(ledger: &dyn Ledger) -> Result<Self, SiteError> {
        let mut held = Self::read(ledger).await?;
        // Once: what is written next says all of them.
        for (name, listed) in &mut held.catalogue.sites {
            if listed.deleted || listed.bytes > 0 {
                continue;
            }
            match versions(ledger, name, &listed.made, 1).await {
                Ok(newest) => {
                    let text = newest.first().and_then(|version| version.text.as_ref());
                    listed.bytes = text.map_or(0, |it| u64::try_from(it.len()).unwrap_or(u64::MAX));
                }
                // What cannot be read here is of an unknown length.
                Err(SiteError::Unreadable(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(held)
    }

    /// It, and the revision that it was read at.
    pub(super) fn into_parts(self) -> (Catalogue, Option<Revision>) {
        (self.catalogue, self.at)
    }
}

/// Writes a site, or takes it away.
///
/// # Errors
/// When it may not be so, or the ledger does not take it.
pub async fn write(
    ledger: &dyn Ledger,
    change: Change<'_>,
    rules: &dyn Rules,
) -> Result<Written, SiteError> {
    for _ in 0..TRIES_MAX {
        let held = Held::measured(ledger).await?;
        if let Some(former) = repeated(ledger, &held.catalogue, change).await? {
            return Ok(former);
        }
        let (mut next, written) = next(ledger, &held.catalogue, change, rules).await?;
        let bytes = encode(&written.version)?;
        let made = Made::of(written.version.revision, &bytes);
        let key = made.key(change.name).ok_or_else(|| none(change))?;
        if let Some(listed) = next.sites.get_mut(change.name) {
            listed.made = made;
        }
        let forgotten = next.forget_oldest();
        // The same bytes, if it is there: its key says so.
        ledger.write(&key, bytes, Expect::Anything).await?;
        let expect = held.at.map_or(Expect::Absent, Expect::At);
        match ledger.write(&catalogue_key()?, encode(&next)?, expect).await {
            Ok(_) => {
                if let Err(error) = tidy(ledger, &next, change, &forgotten).await {
                    tracing::debug!(%error, site = change.name, "old versions are there still");
                }
                return Ok(written);
            }
            Err(LedgerError::Conflict { .. }) => {}
            Err(LedgerError::TooLarge { .. }) => return Err(SiteError::Full),
            Err(error) => return Err(error.into()),
        }
    }
    Err(SiteError::Busy)
}

/// The catalogue as it would be, but for which version it names.
async fn next(
    ledger: &dyn Ledger,
    catalogue: &Catalogue,
    change: Change<'_>,
    rules: &dyn Rules,
) -> Result<(Catalogue, Written), SiteError> {
    let there = catalogue.find(change.name);
    let current = there.map(|listed| listed.made.revision);
    if !change.wanted.holds(current) {
        return Err(match current {
            None if change.text.is_none() => none(change),
            _ => SiteError::Changed { name: change.name.to_owned(), current },
        });
    }
    if let Some(text) = change.text {
        catalogue.has_room(text, change.author.sites.as_deref(), rules)?;
    }
    let revision = catalogue.revision.saturating_add(1);
    let id = match there {
        Some(listed) => listed.id.clone(),
        // A ledger that is made anew counts from the beginning, under another epoch.
        None => format!("{}-{revision}", ledger.ends(Log::Purges).await?.last.epoch),
    };
    let Author { by, from, at, sites: _ } = change.author.clone();
    let hosts = change.text.map(|text| text.hosts.clone()).unwrap_or_default();
    let version = Version {
        id: id.clone(),
        revision,
        before: catalogue.sites.get(change.name).map(|listed| listed.made.clone()),
        text: change.text.map(|text| text.text.clone()),
        hosts: hosts.clone(),
        by,
        from,
        at,
        once: change.once.map(str::to_owned),
    };
    let mut next = Catalogue { revision, ..catalogue.clone() };
    let made = Made { revision, mark: String::new() };
    let bytes = change.text.map(Sound::bytes).unwrap_or_default();
    let listed = Listed { id, made, hosts, bytes, deleted: change.text.is_none() };
    next.sites.insert(change.name.to_owned(), listed);
    Ok((next, Written { version, created: current.is_none() }))
}

/// The same change, if it was done under this name already.
async fn repeated(
    ledger: &dyn Ledger,
    catalogue: &Catalogue,
    change: Change<'_>,
) -> Result<Option<Written>, SiteError> {
    let (Some(once), Some(listed)) = (change.once, catalogue.sites.get(change.name)) else {
        return Ok(None);
    };
    let versions = versions(ledger, change.name, &listed.made, change.kept).await?;
    let is_it = |version: &&Version| version.once.as_deref() == Some(once);
    let Some(version) = versions.iter().find(is_it) else { return Ok(None) };
    if version.text.as_ref() != change.text.map(|text| &text.text) {
        return Err(SiteError::AnotherOrder(change.name.to_owned()));
    }
    let before = versions.iter().find(|older| older.revision < version.revision);
    let created = before.is_none_or(|before| before.text.is_none());
    Ok(Some(Written { version: version.clone(), created }))
}

/// Takes versions away that nothing names any more.
async fn tidy(
    ledger: &dyn Ledger,
    catalogue: &Catalogue,
    change: Change<'_>,
    forgotten: &[String],
) -> Result<(), SiteError> {
    let mut named = Vec::new();
    let mut made = catalogue.sites.get(change.name).map(|listed| listed.made.clone());
    while named.len() < change.kept.max(1)
        && let Some(key) = made.take().and_then(|made| made.key(change.name))
    {
        // What cannot be read hides what it follows, which stays then.
        if let Some(found) = ledger.read(&key).await? {
            made = documents::decode::<Version>(&found.value)?.before;
        }
        named.push(key);
    }
    take_away(ledger, catalogue, change.name, &named).await?;
    forget(ledger, catalogue, forgotten).await
}

/// Takes the versions of sites away that a catalogue no longer has.
async fn forget(
    ledger: &dyn Ledger,
    catalogue: &Catalogue,
    forgotten: &[String],
) -> Result<(), SiteError> {
    for name in forgotten {
        take_away(ledger, catalogue, name, &[]).await?;
    }
    Ok(())
}

async fn take_away(
    ledger: &dyn Ledger,
    catalogue: &Catalogue,
    name: &str,
    named: &[Key],
) -> Result<(), SiteError> {
    let Some(folder) = folder(name) else { return Ok(()) };
    for found in ledger.list(&folder).await?.documents {
        // A later number may be about to be named by who has read this catalogue.
        let is_past = number(&found.key).is_some_and(|number| number <= catalogue.revision);
        if is_past && !named.contains(&found.key) {
            ledger.delete(&found.key, found.revision).await?;
        }
    }
    Ok(())
}

/// Takes versions of all sites away that nothing names any more, but for `kept` of each; what broke off
/// left them behind, also of sites that there are not.
pub(crate) async fn tidy_all(
    ledger: &dyn Ledger,
    catalogue: &Catalogue,
    kept: usize,
) -> Result<(), SiteError> {
    let listing = ledger.list(SITES).await?;
    let all: HashMap<&Key, &Bytes> =
        listing.documents.iter().map(|found| (&found.key, &found.value)).collect();
    let (mut named, mut hidden) = (HashSet::new(), Vec::new());
    for (name, listed) in &catalogue.sites {
        let (mut left, mut next) = (kept.max(1), Some(listed.made.clone()));
        while left > 0
            && let Some(key) = next.take().and_then(|made| made.key(name))
        {
            match all.get(&key).map(|bytes| documents::decode::<Version>(bytes)) {
                Some(Ok(version)) => next = version.before,
                // What cannot be read hides what it follows, which stays then.
                Some(Err(_)) => hidden.extend(folder(name)),
                None => {}
            }
            named.insert(key);
            left = left.saturating_sub(1);
        }
    }
    let is_left = |found: &&Document| {
        // A later number may be about to be named by who has read this catalogue.
        number(&found.key).is_some_and(|number| number <= catalogue.revision)
            && !named.contains(&found.key)
            && !hidden.iter().any(|folder| found.key.as_str().starts_with(folder))
    };
    let left: Vec<&Document> = listing.documents.iter().filter(is_left).collect();
    for some in left.chunks(TIDIED_AT_ONCE) {
        try_join_all(some.iter().map(|found| ledger.delete(&found.key, found.revision))).await?;
    }
    Ok(())
}

fn none(change: Change<'_>) -> SiteError {
    SiteError::NoSuchSite(change.name.to_owned())
}

fn catalogue_key() -> Result<Key, LedgerError> {
    Key::parse(CATALOGUE).ok_or_else(|| LedgerError::Unavailable("no key".to_owned()))
}

fn encode<T: serde::Serialize>(value: &T) -> Result<Bytes, LedgerError> {
    documents::encode(value).map_err(|error| LedgerError::Unavailable(error.to_string()))
}
