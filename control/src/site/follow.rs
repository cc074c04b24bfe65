//! A node follows the ledger's sites.
//!
//! In: a ledger, the sites on the node's own disk. Out: [`Known`], and each change of it.
//! Always: the first listing is there before [`follow`] returns, or the sites of the disk where the
//! ledger is away; what cannot be read, as a newer version may have written it, leaves what is
//! known of it in force, and is told; changes that come one after the other are taken together; a
//! ledger that has no catalogue any more takes no site away.
//! It deliberately does not know what a site's text says.

use std::{collections::HashMap, fmt::Display, sync::Arc, time::Duration};

use futures_util::stream::{self, StreamExt as _};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until, timeout, timeout_at},
};

use super::{
    CATALOGUE, Refused, SitesOnDisk,
    record::{Catalogue, Listed, Version},
};
use crate::{
    documents::{self, DocumentError},
    keeper::Keeper,
    kept::{Keep, KeptFile},
    ledger::{Epoch, Ledger, LedgerError, Log, Position, Revision, Watch},
};

/// Changes that come no later than this after another are taken together with it.
const QUIET: Duration = Duration::from_millis(20);
/// The longest time that one waits for others.
const TOGETHER_MAX: Duration = Duration::from_millis(200);
/// Texts that are read at once.
const READ_AT_ONCE: usize = 16;
/// How long the ledger may take at the start, where the disk has the sites.
const FIRST_MAX: Duration = Duration::from_secs(5);
/// After a failure the ledger is asked again so much later, and after each further one twice that.
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// See [`RETRY_FIRST`].
const RETRY_MAX: Duration = Duration::from_secs(5);

/// A site of the ledger, as a node has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerSite {
    /// Its name.
    pub name: String,
    /// Which site of this name it is.
    pub id: String,
    /// The version's number.
    pub revision: u64,
    /// The version's mark.
    pub mark: String,
    /// Its TOML text; clones share it.
    #[serde(with = "shared")]
    pub text: Arc<str>,
}

/// The ledger's sites, as a node keeps them.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptSites {
    /// They.
    pub sites: Vec<LedgerSite>,
    /// See [`Known::revision`].
    #[serde(default)]
    pub revision: u64,
    /// The epoch of [`Known::at`].
    #[serde(default)]
    pub epoch: Option<u64>,
    /// See [`Known::import`].
    #[serde(default)]
    pub import: Option<String>,
}

/// Where a node keeps them.
pub type SitesFile = KeptFile<KeptSites>;

impl Keep for KeptSites {
    const NAME: &'static str = "sites";
    const LOST: &'static str = "the ledger's sites cannot be kept on disk; a start without the ledger \
                                would serve older ones";
}

/// A text that is shared in memory, and is a text on disk.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(text: &Arc<str>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(text)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Arc<str>, D::Error> {
        String::deserialize(from).map(Arc::from)
    }
}

/// What is known of the ledger's sites.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The sites, by name.
    pub sites: Vec<LedgerSite>,
    /// The revision of the catalogue that they are of.
    pub revision: u64,
    /// Which ledger that is of, by the epoch of its purge log; nothing where it has no catalogue.
    pub epoch: Option<Epoch>,
    /// The newest import of a copy into that ledger: with another one a new time begins, and what was
    /// stored before is of sites that may have been others.
    pub import: Option<String>,
    /// Whether they are the ledger's, or were when they were kept on disk.
    pub listed: bool,
    /// What could not be read; older versions are in force in its place.
    pub troubles: Vec<Refused>,
}

impl Known {
    /// The catalogue's revision, and which ledger's that is.
    #[must_use]
    pub fn at(&self) -> Option<Position> {
        self.epoch.map(|epoch| Position { epoch, seq: self.revision })
    }
}

/// The ledger's sites, as long as this is there.
#[derive(Debug)]
pub struct Following {
    known: watch::Receiver<Arc<Known>>,
    on_disk: Option<watch::Receiver<SitesOnDisk>>,
    _task: JoinSet<()>,
}

impl Following {
    /// What is known, and each change of it.
    #[must_use]
    pub fn known(&self) -> watch::Receiver<Arc<Known>> {
        self.known.clone()
    }

    /// Up to where the disk has it, and each change of that; nothing where no disk is to have it.
    #[must_use]
    pub fn on_disk(&self) -> Option<watch::Receiver<SitesOnDisk>> {
        self.on_disk.clone()
    }
}

/// Follows the ledger's sites, inside the runtime that it goes on in; keeps them in `file`, if there
/// is to be one.
pub async fn follow(ledger: Arc<dyn Ledger>, file: Option<SitesFile>) -> Following {
    let kept = file.as_ref().and_then(SitesFile::read);
    let before = match kept {
        Some(KeptSites { sites, revision, epoch, import }) => {
            let epoch = epoch.map(Epoch);
            Known { sites, revision, epoch, import, listed: true, ..Known::default() }
        }
        None => Known::default(),
    };
    let (keeper, on_disk) = match file {
        Some(file) => {
            let (keeper, on_disk) = keeper(file, before.at());
            (keeper, Some(on_disk))
        }
        None => (None, None),
    };
    let first = timeout(FIRST_MAX, read_all(&*ledger, &before)).await;
    let first = first.unwrap_or_else(|_late| {
        Err(LedgerError::Unavailable("it has not answered in time".to_owned()))
    });
    let (known, from) = match first {
        Ok((known, revision)) => (known, Some(revision)),
        Err(error) => {
            tracing::warn!(
                %error,
                sites = before.sites.len(),
                "the ledger's sites cannot be read; those on disk are in force, if there are any"
            );
            (before, None)
        }
    };
    let follower = Follower { ledger, keeper };
    follower.keep(&known);
    let (tell, told) = watch::channel(Arc::new(known));
    let mut task = JoinSet::new();
    task.spawn(follower.run(tell, from));
    Following { known: told, on_disk, _task: task }
}

/// Keeps sites in a file that has those of `at`, and tells up to where it has them.
fn keeper(
    file: SitesFile,
    at: Option<Position>,
) -> (Option<Keeper<KeptSites>>, watch::Receiver<SitesOnDisk>) {
    let (tell, told) = watch::channel(SitesOnDisk { at, is_failing: false });
    let keeper = file.keeper(move |sites: &KeptSites, is_kept| {
        let at = sites.epoch.map(|epoch| Position { epoch: Epoch(epoch), seq: sites.revision });
        tell.send_modify(|on_disk| {
            on_disk.is_failing = !is_kept;
            if is_kept {
                on_disk.at = at;
            }
        });
    });
    (keeper, told)
}

struct Follower {
    ledger: Arc<dyn Ledger>,
    keeper: Option<Keeper<KeptSites>>,
}

impl Follower {
    async fn run(self, tell: watch::Sender<Arc<Known>>, mut from: Option<Revision>) {
        let mut retry = RETRY_FIRST;
        loop {
            let Err(error) = self.follow(&tell, &mut from, &mut retry).await;
            if retry == RETRY_FIRST {
                tracing::warn!(%error, "the ledger's sites cannot be followed; trying again");
            }
            from = None;
            sleep_until(Instant::now() + retry).await;
            retry = (retry * 2).min(RETRY_MAX);
        }
    }

    /// Reads where nothing is known, then takes what changes, until that fails.
    async fn follow(
        &self,
        tell: &watch::Sender<Arc<Known>>,
        from: &mut Option<Revision>,
        retry: &mut Duration,
    ) -> Result<std::convert::Infallible, LedgerError> {
        let at = match from.take() {
            Some(revision) => revision,
            None => self.take(tell).await?,
        };
        let mut watch = self.ledger.watch(CATALOGUE, at).await?;
        *retry = RETRY_FIRST;
        loop {
            next(&mut *watch).await?;
            let until = Instant::now() + TOGETHER_MAX;
            loop {
                let quiet = Instant::now() + QUIET;
                if quiet > until {
                    break;
                }
                let Ok(change) = timeout_at(quiet, next(&mut *watch)).await else { break };
                change?;
            }
            self.take(tell).await?;
        }
    }

    /// Reads what there is, and tells what is new of it.
    async fn take(&self, tell: &watch::Sender<Arc<Known>>) -> Result<Revision, LedgerError> {
        let before = Arc::clone(&tell.borrow());
        let (known, revision) = read_all(&*self.ledger, &before).await?;
        if known != *before {
            for trouble in &known.troubles {
                tracing::error!("{}", trouble.why);
            }
            self.keep(&known);
            tell.send_replace(Arc::new(known));
        }
        Ok(revision)
    }

    fn keep(&self, known: &Known) {
        if let Some(keeper) = self.keeper.as_ref().filter(|_| known.listed) {
            let Known { sites, revision, epoch, import, .. } = known.clone();
            let epoch = epoch.map(|epoch| epoch.0);
            keeper.keep(KeptSites { sites, revision, epoch, import });
        }
    }
}

/// Waits for a change of the catalogue; a site's versions may stand below its name.
async fn next(watch: &mut dyn Watch) -> Result<(), LedgerError> {
    while watch.next().await?.key.as_str() != CATALOGUE {}
    Ok(())
}

/// The sites that there are, and the revision at which that was so.
async fn read_all(ledger: &dyn Ledger, before: &Known) -> Result<(Known, Revision), LedgerError> {
    loop {
        let epoch = ledger.ends(Log::Purges).await?.last.epoch;
        let listing = ledger.list(CATALOGUE).await?;
        let found = listing.documents.iter().find(|found| found.key.as_str() == CATALOGUE);
        let Some(found) = found else {
            let troubles = Vec::new();
            let mut known = Known { listed: true, epoch: None, troubles, ..before.clone() };
            if !known.sites.is_empty() {
                known.troubles.push(of_all(
                    "the ledger has no sites any more, not even none: it was made anew; those \
                     that were in force stay until a site is written to it",
                ));
            }
            return Ok((known, listing.revision));
        };
        match documents::decode::<Catalogue>(&found.value) {
            Ok(catalogue) => {
                // Another one is in force meanwhile.
                let Some(known) = read_named(ledger, before, &catalogue).await? else { continue };
                // Or the ledger is another one.
                if ledger.ends(Log::Purges).await?.last.epoch != epoch {
                    continue;
                }
                return Ok((Known { epoch: Some(epoch), ..known }, listing.revision));
            }
            Err(error) => {
                let trouble =
                    format!("the list of the ledger's sites: {error}; those in force stay");
                let troubles = vec![of_all(&trouble)];
                let known = Known { listed: true, troubles, ..before.clone() };
                return Ok((known, listing.revision));
            }
        }
    }
}

/// The sites that a catalogue names; nothing if one of them is gone.
async fn read_named(
    ledger: &dyn Ledger,
    before: &Known,
    catalogue: &Catalogue,
) -> Result<Option<Known>, LedgerError> {
    let import = catalogue.imported().map(|import| import.id.clone());
    let revision = catalogue.revision;
    let mut known = Known { revision, import, listed: true, ..Known::default() };
    let former: HashMap<(&str, &str), &LedgerSite> =
        before.sites.iter().map(|site| ((&*site.name, &*site.id), site)).collect();
    let reading = catalogue.present().map(|(name, listed)| {
        let former = former.get(&(name.as_str(), listed.id.as_str())).copied();
        read_one(ledger, name, listed, former)
    });
    let reading: Vec<_> = reading.collect();
    let mut reading = stream::iter(reading).buffered(READ_AT_ONCE);
    while let Some((name, former, read)) = reading.next().await {
        match read? {
            Read::There(site) => known.sites.push(site),
            Read::Nowhere => {}
            Read::Unreadable(error) => {
                known.troubles.push(trouble(name, &error, former));
                known.sites.extend(former.cloned());
            }
            Read::Missing if is_in_force(ledger, catalogue).await? => {
                let missing = "its text is not in the ledger";
                known.troubles.push(trouble(name, &missing, former));
                known.sites.extend(former.cloned());
            }
            Read::Missing => return Ok(None),
        }
    }
    Ok(Some(known))
}

/// What came of reading a site's version.
enum Read {
    There(LedgerSite),
    /// It says that the site was deleted, or the site cannot be called so.
    Nowhere,
    /// It was tidied away, or lost.
    Missing,
    Unreadable(DocumentError),
}

/// Reads a site, unless it is known already.
async fn read_one<'r>(
    ledger: &dyn Ledger,
    name: &'r str,
    listed: &Listed,
    former: Option<&'r LedgerSite>,
) -> (&'r str, Option<&'r LedgerSite>, Result<Read, LedgerError>) {
    if let Some(same) = former.filter(|site| site.is(listed)) {
        return (name, former, Ok(Read::There(same.clone())));
    }
    let Some(key) = listed.made.key(name) else { return (name, former, Ok(Read::Nowhere)) };
    let read = match ledger.read(&key).await {
        Err(error) => Err(error),
        Ok(None) => Ok(Read::Missing),
        Ok(Some(found)) => Ok(match documents::decode::<Version>(&found.value) {
            Ok(Version { text: Some(text), id, revision, .. }) => {
                let (name, mark) = (name.to_owned(), listed.made.mark.clone());
                Read::There(LedgerSite { name, id, revision, mark, text: text.into() })
            }
            Ok(Version { text: None, .. }) => Read::Nowhere,
            Err(error) => Read::Unreadable(error),
        }),
    };
    (name, former, read)
}

/// Whether a catalogue is what the ledger has.
async fn is_in_force(ledger: &dyn Ledger, catalogue: &Catalogue) -> Result<bool, LedgerError> {
    let documents = ledger.list(CATALOGUE).await?.documents;
    let found = documents.iter().find(|found| found.key.as_str() == CATALOGUE);
    let now = found.and_then(|found| documents::decode::<Catalogue>(&found.value).ok());
    Ok(now.as_ref() == Some(catalogue))
}

impl LedgerSite {
    fn is(&self, listed: &Listed) -> bool {
        self.revision == listed.made.revision && self.mark == listed.made.mark
    }
}

fn trouble(name: &str, what: &dyn Display, former: Option<&LedgerSite>) -> Refused {
    let why = format!("site \"{name}\" of the ledger: {what}; {}", instead(former));
    Refused { site: Some(name.to_owned()), why }
}

fn of_all(why: &str) -> Refused {
    Refused { site: None, why: why.to_owned() }
}

fn instead(former: Option<&LedgerSite>) -> String {
    match former {
        Some(former) => format!("revision {} of it stays in force", former.revision),
        None => "it is not served by this node".to_owned(),
    }
}
