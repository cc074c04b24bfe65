//! Sites in the ledger: written, read, taken back.
//!
//! In: a ledger, a site's text that [`Rules`] found sound. Out: versions of sites; [`Written`].
//! Always: no two sites share a name or a host, also if two writers want the same at once; a version
//! is never changed, and what is in force is what the catalogue names; an id is never given to
//! another site, so what is stored of a deleted site is never met by one that is made again.
//! It deliberately does not know what a site's text says, nor HTTP.
//! Clause: docs/decisions/0011-sites-behind-one-catalogue.md, docs/operate.md *Sites*.

mod copied;
mod follow;
pub mod progress;
mod record;
mod served;
mod taken;
mod write;

pub use self::{
    copied::{CopiedSite, CopiedSiteError, CopiedVersion},
    follow::{Following, KeptSites, Known, LedgerSite, SitesFile, follow},
    record::{
        CATALOGUE, Catalogue, GONE_MAX, HOSTS_MAX, Imported, Listed, Made, SITES_MAX,
        TEXT_BYTES_MAX, Version,
    },
    served::{Refused, Served, SitesOnDisk},
    write::{Author, Change, Wanted, Written, write},
};
pub(crate) use self::{
    copied::{Planned, Receiver, are_few_enough, copied, former, planned},
    write::tidy_all,
};

use serde_json::Value;

use crate::{
    documents::{self, DocumentError},
    ledger::{Ledger, LedgerError},
};

/// What the node that is asked knows of sites: how they are read, and those of its own file.
pub trait Rules: Send + Sync {
    /// Checks a site's text as a file's would be.
    ///
    /// # Errors
    /// Every problem of it.
    fn check(&self, content: Content<'_>) -> Result<Sound, Unsound>;

    /// The sites of this node's file.
    fn of_file(&self) -> Vec<FileSite>;

    /// The host that a site of this name has beside those that it names, if any: its name in a zone.
    fn host_of(&self, name: &str) -> Option<String>;
}

/// What is sent of a site.
#[derive(Clone, Copy, Debug)]
pub enum Content<'c> {
    /// A TOML text with one `[[site]]`.
    Toml(&'c str),
    /// What such a table says, as JSON.
    Json(&'c Value),
}

/// A site's text that is sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sound {
    /// The site's name.
    pub name: String,
    /// The hosts that it names.
    pub hosts: Vec<String>,
    /// The text, as TOML.
    pub text: String,
}

impl Sound {
    fn bytes(&self) -> u64 {
        u64::try_from(self.text.len()).unwrap_or(u64::MAX)
    }
}

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsound {
    /// In words, a line for each.
    pub report: String,
    /// The same, for programs.
    pub problems: Value,
}

/// A site of a node's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSite {
    /// Its name.
    pub name: String,
    /// All its hosts.
    pub hosts: Vec<String>,
}

/// Why a site is not written or read.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// There is none of this name.
    #[error("there is no site \"{0}\" in the ledger")]
    NoSuchSite(String),
    /// It is not as its writer expects.
    #[error("site \"{name}\" is {}, not what was expected", at(.current))]
    Changed {
        /// The site.
        name: String,
        /// Its revision, if it is there.
        current: Option<u64>,
    },
    /// Another site has the host.
    #[error("host \"{host}\" is another site's")]
    Taken {
        /// The host.
        host: String,
        /// The site that has it.
        by: String,
    },
    /// The host is within what another site has, for which its writer does not speak.
    #[error(
        "host \"{host}\" is within what another site answers for: a token that is for both may take it"
    )]
    Within {
        /// The host.
        host: String,
    },
    /// A site names too many hosts.
    #[error(
        "it names {0} hosts; allowed: {HOSTS_MAX} for a site of the ledger, where *.example.com is one"
    )]
    TooManyHosts(usize),
    /// A site of this name stands in a node's file.
    #[error("site \"{0}\" is one of this node's file, which is where it is changed")]
    OfFile(String),
    /// There are too many.
    #[error("there are {SITES_MAX} sites in the ledger; delete some first")]
    TooMany,
    /// All texts together are too long.
    #[error(
        "the texts of all sites in the ledger would be longer than {} MiB; delete some, or make them \
         shorter",
        TEXT_BYTES_MAX >> 20
    )]
    TooMuch,
    /// The catalogue has no room for it.
    #[error("the ledger's list of sites and their hosts is full; delete sites or hosts first")]
    Full,
    /// The key of the order was another one's.
    #[error("this Idempotency-Key was used for another change of site \"{0}\"")]
    AnotherOrder(String),
    /// Others wrote first, again and again.
    #[error("other sites are being written all the time; try again")]
    Busy,
    /// The catalogue is of a newer version.
    #[error("the ledger's sites cannot be read here: {0}")]
    Unreadable(#[from] DocumentError),
    /// The ledger says no.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

fn at(current: &Option<u64>) -> String {
    current.map_or_else(|| "absent".to_owned(), |revision| format!("at revision {revision}"))
}

/// Which sites there are.
///
/// # Errors
/// When the ledger cannot be read, or a newer version wrote it.
pub async fn catalogue(ledger: &dyn Ledger) -> Result<Catalogue, SiteError> {
    Ok(write::Held::read(ledger).await?.catalogue)
}

/// Whether a site could be so, beside all others, for one who speaks for `sites`, or for all; and
/// whether it is as its writer expects, if they say so.
///
/// # Errors
/// When it could not, or the ledger cannot be read.
pub async fn has_room(
    ledger: &dyn Ledger,
    (site, wanted): (&Sound, Option<Wanted<'_>>),
    sites: Option<&[String]>,
    rules: &dyn Rules,
) -> Result<(), SiteError> {
    let (catalogue, _) = write::Held::measured(ledger).await?.into_parts();
    let current = catalogue.find(&site.name).map(|listed| listed.made.revision);
    if wanted.is_some_and(|wanted| !wanted.holds(current)) {
        return Err(SiteError::Changed { name: site.name.clone(), current });
    }
    catalogue.has_room(site, sites, rules)
}

/// The versions of a site that are kept, newest first; the newest may say that it was deleted.
///
/// # Errors
/// When there is none, or the ledger cannot be read.
pub async fn history(ledger: &dyn Ledger, name: &str) -> Result<Vec<Version>, SiteError> {
    let none = || SiteError::NoSuchSite(name.to_owned());
    // What is named may be tidied away between the two reads, once the catalogue names another.
    for _ in 0..write::TRIES_MAX {
        let listed = catalogue(ledger).await?.sites.remove(name).ok_or_else(none)?;
        let versions = versions(ledger, name, &listed.made, usize::MAX).await?;
        if !versions.is_empty() {
            return Ok(versions);
        }
    }
    Err(SiteError::Busy)
}

/// The versions from `newest` back, no more than `max`, as far as they are kept and can be read.
pub(super) async fn versions(
    ledger: &dyn Ledger,
    name: &str,
    newest: &Made,
    max: usize,
) -> Result<Vec<Version>, SiteError> {
    let (mut versions, mut next) = (Vec::new(), Some(newest.clone()));
    while versions.len() < max
        && let Some(key) = next.take().and_then(|made| made.key(name))
        && let Some(found) = ledger.read(&key).await?
    {
        match documents::decode::<Version>(&found.value) {
            Ok(version) => {
                next.clone_from(&version.before);
                versions.push(version);
            }
            Err(error) if versions.is_empty() => return Err(error.into()),
            Err(_) => break,
        }
    }
    Ok(versions)
}
