//! The sites of a process: those of its file, and those of its ledger.
//!
//! In: the file's settings, what is known of the ledger's sites. Out: both together, for the edges and
//! for GeoDNS; how a site is checked here, for the admin API.
//! Always holds: a site of the ledger that cannot be served here keeps no other from being served, and
//! is told, in the log and under `/readyz`; what is not taken leaves what is in force.
//! It knows no HTTP, and no settings file but as settings.

use std::{
    convert::Infallible,
    future::pending,
    num::NonZeroUsize,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use edge::snapshot;
use edge_core::settings::SiteSettings;
use nearcast_config::{
    NodeConfig,
    problem::Report,
    site_text::{Beside, Checks, LeftOut, Sent},
};
use nearcast_control::site::{
    Content, FileSite, Following, Known, Refused, Rules, Served, Sound, Unsound,
};
use nearcast_daemon::{
    descriptors,
    readiness::{Condition, Readiness},
};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    descriptors::needed, edges::Edges, failure::chain, ledger::purge_everything, reloads::Roles,
};

/// What a site is called in problems of a text that has no file.
const CALLED: &str = "site";

/// Where it is said what a process's edges serve of the ledger's sites.
pub(crate) type Serves = Arc<watch::Sender<Option<Served>>>;

/// See the module; clones are the same sites.
#[derive(Clone)]
pub(crate) struct Sites(Arc<Inner>);

struct Inner {
    /// What the file says, as far as it was taken.
    base: Mutex<Base>,
    /// What is served.
    in_force: Mutex<Vec<SiteSettings>>,
    /// What was left out when the sites were last put together.
    left_out: Mutex<Vec<LeftOut>>,
    /// What is known of the ledger's texts.
    checks: Mutex<Checks>,
    /// What came of it when they were last given to the edges: those that could not be built, or why
    /// none was taken.
    not_taken: Mutex<Vec<Refused>>,
    ledgers: Option<Following>,
    /// What of the ledger's was put together last, for the edges.
    given: Mutex<Arc<Known>>,
    /// What the edges serve of them, whatever the disk has.
    served: Mutex<Option<Served>>,
    /// Where it is said what they serve.
    serves: Serves,
    /// The newest import into the ledger after which everything stored was purged.
    import: Mutex<Option<String>>,
    told: OnceLock<Told>,
    room: Room,
}

struct Base {
    config: Arc<NodeConfig>,
    beside: Arc<Beside>,
}

impl Base {
    fn of(config: NodeConfig) -> Self {
        Self { beside: Arc::new(Beside::of(&config)), config: Arc::new(config) }
    }
}

/// What is told under `/readyz`.
struct Told {
    listed: Condition,
    in_force: Condition,
}

/// The file descriptors that sites can come to need.
struct Room {
    started: Arc<NodeConfig>,
    workers: NonZeroUsize,
    /// 0 where nobody counts.
    provided: AtomicU64,
}

impl Sites {
    /// Those of a process that starts with `config` and has `provided` file descriptors.
    pub(crate) fn new(
        config: NodeConfig,
        (ledgers, serves): (Option<Following>, Serves),
        (workers, provided): (NonZeroUsize, u64),
    ) -> Self {
        let base = Base::of(config);
        let started = Arc::clone(&base.config);
        // Nothing is stored yet.
        let import = ledgers.as_ref().and_then(|ledgers| ledgers.known().borrow().import.clone());
        Self(Arc::new(Inner {
            base: Mutex::new(base),
            in_force: Mutex::default(),
            left_out: Mutex::default(),
            checks: Mutex::default(),
            not_taken: Mutex::default(),
            ledgers,
            given: Mutex::default(),
            served: Mutex::default(),
            serves,
            import: Mutex::new(import),
            told: OnceLock::new(),
            room: Room { started, workers, provided: AtomicU64::new(provided) },
        }))
    }

    /// The settings in force, with the sites of the ledger as it has them now.
    pub(crate) fn together(&self) -> NodeConfig {
        let config = Arc::clone(&self.0.base.lock().config);
        self.join(&config)
    }

    /// Settings of a file, with the sites of the ledger as it has them now.
    pub(crate) fn join(&self, of_file: &NodeConfig) -> NodeConfig {
        let mut config = of_file.clone();
        let Some(known) = self.known() else { return config };
        let known = Arc::clone(&known.borrow());
        let sent = known.sites.iter().map(|site| Sent {
            name: &site.name,
            id: &site.id,
            text: &site.text,
        });
        let sent: Vec<Sent<'_>> = sent.collect();
        let in_force = self.0.in_force.lock().clone();
        let left_out = config.join(&sent, &in_force, &mut self.0.checks.lock());
        let mut before = self.0.left_out.lock();
        for one in left_out.iter().filter(|one| !before.contains(one)) {
            tracing::error!("{one}");
        }
        *before = left_out;
        drop(before);
        *self.0.given.lock() = Arc::clone(&known);
        self.tell(&known);
        config
    }

    /// A file's settings were taken, and what they came to with the ledger's sites.
    pub(crate) fn took(&self, of_file: NodeConfig, together: &NodeConfig) {
        *self.0.base.lock() = Base::of(of_file);
        self.took_sites(together);
    }

    /// Sites were taken.
    pub(crate) fn took_sites(&self, together: &NodeConfig) {
        self.0.in_force.lock().clone_from(&together.sites);
        let Room { started, workers, provided } = &self.0.room;
        if provided.load(Ordering::Relaxed) > 0 {
            let needed = needed(started, together, *workers);
            if needed > provided.swap(needed, Ordering::Relaxed) {
                descriptors::provide(needed);
            }
        }
    }

    /// The revision of the ledger's sites that were put together last; 0 without a ledger.
    pub(crate) fn revision(&self) -> u64 {
        self.0.given.lock().revision
    }

    /// Whether they are of an import that has begun a new time: only once for each.
    fn begins(&self) -> bool {
        let import = self.0.given.lock().import.clone();
        let mut before = self.0.import.lock();
        let is_another = import.is_some() && *before != import;
        *before = import;
        is_another
    }

    /// The edges go by the sites that were put together last, but for those that they could not take.
    pub(crate) fn given(&self, edges: &Edges) {
        if self.begins() {
            // The purge log says so as well, and may have been applied before the sites were taken; until
            // then an edge stored what came from where they were before.
            tracing::info!("a copy was put into the ledger; everything stored is purged");
            edges.running().iter().for_each(purge_everything);
        }
        // Nothing is said to be served before it is, and nothing of before an import is any more.
        let refused = |snapshot::LeftOut { site, why }| Refused { site: Some(site), why };
        self.say(edges.left_out().into_iter().map(refused).collect());
    }

    /// None of those that were put together last was taken.
    fn not_given(&self, why: String) {
        self.say(vec![Refused { site: None, why }]);
    }

    /// Says to the ledger what is served, and what is not under `/readyz` and once in the log.
    fn say(&self, not_taken: Vec<Refused>) {
        let mut before = self.0.not_taken.lock();
        for Refused { why, .. } in not_taken.iter().filter(|reason| !before.contains(reason)) {
            tracing::error!("{why}");
        }
        before.clone_from(&not_taken);
        drop(before);
        let Some(known) = self.known() else { return };
        let known = Arc::clone(&known.borrow());
        self.tell(&known);
        let left_out = self.0.left_out.lock();
        let left_out = left_out
            .iter()
            .map(|one| Refused { site: Some(one.name.clone()), why: one.to_string() });
        let given = Arc::clone(&self.0.given.lock());
        let refused = given.troubles.iter().cloned().chain(left_out).chain(not_taken).collect();
        *self.0.served.lock() = Some(Served::of(given.at(), &given.sites, refused));
        self.say_kept();
    }

    /// Says what is served, as far as the disk has it.
    fn say_kept(&self) {
        // Inside, so that what was so before takes the place of nothing newer.
        self.0.serves.send_if_modified(|said| {
            let served = self.0.served.lock().clone();
            let on_disk = self.0.ledgers.as_ref().and_then(Following::on_disk);
            let served = match on_disk {
                Some(on_disk) => served.map(|served| served.kept(*on_disk.borrow())),
                None => served,
            };
            let is_new = *said != served;
            *said = served;
            is_new
        });
    }

    /// Says more as soon as the disk has it.
    pub(crate) async fn keep_saying(&self) -> Infallible {
        if let Some(mut on_disk) = self.0.ledgers.as_ref().and_then(Following::on_disk) {
            while on_disk.changed().await.is_ok() {
                self.say_kept();
            }
        }
        pending().await
    }

    /// What is known of the ledger's sites, and each change of that.
    pub(crate) fn known(&self) -> Option<watch::Receiver<Arc<Known>>> {
        self.0.ledgers.as_ref().map(Following::known)
    }

    /// Tells under `/readyz` whether they were ever listed, and whether all of them are in force.
    pub(crate) fn report(&self, readiness: &Readiness) {
        let Some(known) = self.known() else { return };
        let told = Told {
            listed: readiness.condition("ledger-sites", "not listed yet"),
            // Others are served, so it takes no traffic away.
            in_force: readiness.advice("ledger-sites-in-force", "not listed yet"),
        };
        // There is one admin listener.
        drop(self.0.told.set(told));
        let known = Arc::clone(&known.borrow());
        self.tell(&known);
    }

    fn tell(&self, known: &Known) {
        let Some(Told { listed, in_force }) = self.0.told.get() else { return };
        if known.listed {
            listed.holds();
        }
        let left_out = self.0.left_out.lock();
        let reasons = left_out.iter().map(ToString::to_string);
        let not_taken = self.0.not_taken.lock();
        let why = |refused: &Refused| refused.why.clone();
        let reasons = known.troubles.iter().map(why).chain(reasons);
        let reasons: Vec<String> = reasons.chain(not_taken.iter().map(why)).collect();
        if reasons.is_empty() {
            in_force.holds();
        } else {
            in_force.fails(&reasons.join("; "));
        }
    }
}

/// Gives the ledger's sites, as they are now, to whoever serves them.
pub(crate) fn take(roles: &Roles) {
    let together = roles.sites.together();
    // The edges first: nobody is sent to one that does not know a site yet.
    if let Err(failure) = roles.edges.take_sites(&together.sites) {
        roles.sites.not_given(format!("{failure}; the sites in force stay"));
        return;
    }
    roles.sites.took_sites(&together);
    roles.sites.given(&roles.edges);
    if let Some(dns) = &roles.dns
        && let Err(error) = dns.take_sites(names(&together, roles.sites.revision()))
    {
        tracing::error!("{}; GeoDNS goes on with the sites that it has", chain(&error));
        return;
    }
    tracing::info!(sites = together.sites.len(), "the ledger's sites are in force");
}

/// The names of the sites, as GeoDNS has them, at a revision of the ledger's.
pub(crate) fn names(config: &NodeConfig, revision: u64) -> geodns::server::Sites {
    let names = config.sites.iter().map(|site| site.name.as_str().into()).collect();
    geodns::server::Sites { names, revision }
}

impl Rules for Sites {
    fn check(&self, content: Content<'_>) -> Result<Sound, Unsound> {
        let beside = Arc::clone(&self.0.base.lock().beside);
        let checked = match content {
            Content::Toml(text) => beside.check(text, CALLED).map(|site| (text.to_owned(), site)),
            Content::Json(value) => beside.check_json(value, CALLED),
        };
        let (text, site) = checked.map_err(|report| unsound(&report))?;
        let SiteSettings { name, mut hosts, .. } = site;
        // What it has by its name is every node's own affair.
        let own = beside.host_of(&name);
        hosts.retain(|host| Some(host) != own.as_ref());
        Ok(Sound { name, hosts, text: text.trim_start_matches('\n').to_owned() })
    }

    fn of_file(&self) -> Vec<FileSite> {
        let config = Arc::clone(&self.0.base.lock().config);
        let site =
            |site: &SiteSettings| FileSite { name: site.name.clone(), hosts: site.hosts.clone() };
        config.sites.iter().map(site).collect()
    }

    fn host_of(&self, name: &str) -> Option<String> {
        self.0.base.lock().beside.host_of(name)
    }
}

fn unsound(report: &Report) -> Unsound {
    let problems = serde_json::to_value(&report.problems).unwrap_or_default();
    Unsound { report: report.to_string(), problems }
}
