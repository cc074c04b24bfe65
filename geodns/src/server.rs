//! A server: what answers, what probes, what loads, and how all of it begins, changes and ends.
//!
//! In: a [`Plan`], bound sockets, a [`World`]. Out: a [`Server`], whose workers answer from the
//! first moment on; reloads; the end, once the process drains.
//! Always holds: zones, maps, settings and standings change as one; a failed reload changes nothing
//! and says why; whoever answers never waits for a reload and never frees what it retired; after the
//! drain began, queries are answered on for the lame-duck time, then what was received is.
//! It deliberately knows no settings file, no signals, and not how an answer comes about.

mod lifetime;
mod nodes;
mod sites;

pub use self::sites::Sites;

use std::{sync::Arc, time::Duration};

use geodns_core::{
    answer::{
        Served, Snapshot,
        snapshot::{Sources, ZoneSource},
    },
    fleet::{FleetView, Nodes},
    limit::Limiter,
    problem::Problem,
    settings::GeodnsSettings,
    standing::Standings,
    wire::{
        cookie::{Secret, Secrets},
        name::Name,
    },
    zonefile::Record,
};
use nearcast_daemon::{
    drain::Draining,
    files::Watcher,
    readiness::{Condition, Readiness},
};
use parking_lot::Mutex;
use tokio::{
    runtime,
    sync::{Notify, Semaphore},
    task::spawn_blocking,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use self::lifetime::Lifetime;
use crate::{
    beside::beside,
    clock::Clock,
    limits::StreamLimits,
    listen::Bound,
    load::{self, LoadError, Loaded},
    probe::{
        Prober,
        attempt::{self, Attempt},
        watch::Watched,
    },
    record::Recorder,
    serials::{self, ZoneSerial},
    spare::{self, Looks, Spare},
    state::Shared,
    tls::{CertificateError, CertificateFiles, Certificates},
    workers::{self, Serving, StartError, Workers},
};

/// How often retired views are looked at.
const SWEEP: Duration = Duration::from_secs(1);

/// What a server is to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `[geodns]`, paths resolved.
    pub settings: GeodnsSettings,
    /// The fleet, as the settings have it.
    pub fleet: Arc<FleetView>,
    /// What is known of its nodes beside that. A reload goes on with what is known then.
    pub nodes: Arc<Nodes>,
    /// The zones, in the order of the settings; sites answer under the first.
    pub zones: Arc<[ZonePlan]>,
    /// The sites. A reload goes on with the revision that is known then.
    pub sites: Sites,
    /// The node's name, which NSID and `id.server` tell where the settings say no other.
    pub node: String,
    /// What makes cookies; without them, and if cookies are on, the server draws its own.
    pub secrets: Option<Secrets>,
    /// What the encrypted transports show.
    pub certificate: Option<CertificateFiles>,
    /// What a connection may cost; only the start's count.
    pub streams: StreamLimits,
    /// Probes under way at once.
    pub probes_max: usize,
    /// How long queries are answered on after the drain began.
    pub lame_duck: Duration,
}

/// A zone.
#[derive(Clone, Debug)]
pub struct ZonePlan {
    /// Its apex.
    pub apex: Name,
    /// Its records.
    pub records: Vec<Record>,
}

/// What a server needs of its surroundings.
pub struct World {
    /// Its clock.
    pub clock: Clock,
    /// The runtime of probes and reloads.
    pub control: runtime::Handle,
    /// How probes reach addresses.
    pub attempt: Arc<dyn Attempt>,
    /// Where it counts and logs queries.
    pub recorder: Arc<Recorder>,
    /// Whether the process is ready.
    pub readiness: Readiness,
    /// Whether it drains.
    pub draining: Draining,
}

/// Why a server does not start, or does not take a new plan. What runs is kept.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The settings are at fault.
    #[error("{}", load::lines(_0))]
    Settings(Vec<Problem>),
    /// The geo data are.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The certificate is.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// We are: standings and fleet do not belong together.
    #[error("the standings are of another fleet")]
    Mismatch,
}

/// A server; clones are the same one.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    front: Arc<Front>,
    prober: Prober,
    certificates: Option<Certificates>,
    streams: StreamLimits,
    control: runtime::Handle,
    draining: Draining,
    /// Held while a plan is taken, which may take seconds: for threads that may wait.
    loading: Mutex<Loading>,
    in_force: Mutex<InForce>,
    /// A plan was taken: other files may count now.
    taken: Notify,
    /// An explanation reads all sources, so there is one at a time.
    explaining: Arc<Semaphore>,
    spare: Arc<Spare>,
}

/// What of the last plan is asked for by who may not wait.
#[derive(Clone)]
struct InForce {
    loaded: Arc<Loaded>,
    lame_duck: Duration,
    serials: Arc<[ZoneSerial]>,
}

/// What a reload starts from.
struct Loading {
    plan: Plan,
    limiter: Option<Arc<Limiter>>,
    own_secrets: Secrets,
    lifetime: Lifetime,
}

/// Where the prober puts standings: beside the snapshot that is in force.
struct Front {
    shared: std::sync::OnceLock<Arc<Shared>>,
    snapshot: Mutex<Arc<Snapshot>>,
}

impl Front {
    fn stand(&self, standings: Standings) {
        let Some(shared) = self.shared.get() else { return };
        let snapshot = Arc::clone(&self.snapshot.lock());
        if let Err(error) = shared.stand(&snapshot, Arc::new(standings)) {
            tracing::error!(%error, "the new standings are not in force");
        }
    }
}

impl Server {
    /// A server that answers once [`Self::start`] gave it sockets; its probes begin now.
    ///
    /// # Errors
    /// Why nothing can be served by this plan.
    pub fn new(plan: Plan, world: World) -> Result<Self, PlanError> {
        let loaded_condition = world.readiness.condition("geodns-loaded", "loading maps and zones");
        let probed_condition = world.readiness.condition("geodns-probed", "first probes");
        let own_secrets = Secrets { current: Secret::new(rand::random()), other: None };
        check(&plan)?;
        let fleet = plan.with_nodes();
        let loaded = Arc::new(Loaded::load(&plan.settings, &fleet, None)?);
        let certificates = plan.certificate.as_ref().map(Certificates::load).transpose()?;
        let snapshot = Arc::new(snapshot(&plan, &fleet, &loaded, (own_secrets, None))?);
        let serials = serials::of(&plan, &snapshot).into();
        let limiter = limiter(&plan.settings);
        let front = Arc::new(Front {
            shared: std::sync::OnceLock::new(),
            snapshot: Mutex::new(Arc::clone(&snapshot)),
        });
        let publish = {
            let front = Arc::clone(&front);
            Box::new(move |standings| front.stand(standings))
        };
        let (prober, standings) =
            Prober::new(watched(&plan, fleet), world.clock, world.attempt, publish);
        let served =
            Served::new(snapshot, Arc::new(standings)).map_err(|_mismatch| PlanError::Mismatch)?;
        let shared = Shared::new(served, limiter.clone(), world.recorder, world.clock);
        // Nobody else had the chance.
        drop(front.shared.set(Arc::clone(&shared)));
        loaded_condition.holds();
        let (streams, lifetime) = (plan.streams.clone(), Lifetime::new(&plan.settings));
        let server = Self(Arc::new(Inner {
            shared,
            front,
            prober,
            certificates,
            streams,
            control: world.control,
            draining: world.draining,
            in_force: Mutex::new(InForce { loaded, lame_duck: plan.lame_duck, serials }),
            loading: Mutex::new(Loading { plan, limiter, own_secrets, lifetime }),
            taken: Notify::new(),
            explaining: Arc::new(Semaphore::new(1)),
            spare: Arc::default(),
        }));
        server.spawn(loaded_condition, probed_condition);
        Ok(server)
    }

    /// Starts the workers on `bound` sockets. They end once the process has drained.
    ///
    /// # Errors
    /// When a worker cannot be started.
    pub fn start(&self, bound: Bound) -> Result<Workers, StartError> {
        let serving = Serving {
            shared: Arc::clone(&self.0.shared),
            limits: self.0.streams.clone(),
            certificates: self.0.certificates.clone(),
        };
        workers::start(bound, &serving)
    }

    /// Takes a new plan, and says what is to be mended of it nevertheless; if it cannot be used the
    /// old one stays in force. It may take seconds.
    ///
    /// Listeners, workers, limits of connections and whether there is a certificate at all are
    /// those of the start.
    ///
    /// # Errors
    /// Why the plan is not taken.
    pub fn reload(&self, plan: Plan) -> Result<Vec<Problem>, PlanError> {
        let mut loading = self.0.loading.lock();
        let plan = plan.going_on_from(&loading.plan);
        let problems = self.take(&mut loading, plan)?;
        drop(loading);
        self.0.taken.notify_one();
        Ok(problems)
    }

    /// What answers are made from, for explanations.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// What probes, and takes an operator's orders.
    #[must_use]
    pub fn prober(&self) -> &Prober {
        &self.0.prober
    }

    /// The maps that are in force.
    #[must_use]
    pub fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.0.in_force.lock().loaded)
    }

    /// The serials of the zones.
    pub(crate) fn serials(&self) -> Arc<[ZoneSerial]> {
        Arc::clone(&self.0.in_force.lock().serials)
    }

    /// Held by who explains an answer.
    pub(crate) fn explaining(&self) -> &Arc<Semaphore> {
        &self.0.explaining
    }

    /// What hears of everything that was loaded for a while.
    pub(crate) fn spare(&self) -> &Spare {
        &self.0.spare
    }

    fn take(&self, loading: &mut Loading, plan: Plan) -> Result<Vec<Problem>, PlanError> {
        // What is not in force in the end was loaded as well.
        let former = Arc::clone(&self.0.shared.view());
        let taken = self.try_take(loading, plan);
        self.keep_given_up(&former, loading);
        self.0.spare.loaded();
        taken
    }

    fn try_take(&self, loading: &mut Loading, plan: Plan) -> Result<Vec<Problem>, PlanError> {
        let inner = &self.0;
        check(&plan)?;
        let (fleet, loaded) = (plan.with_nodes(), self.loaded());
        let loaded = Arc::new(beside(|| Loaded::load(&plan.settings, &fleet, Some(&loaded)))?);
        let before = Arc::clone(&inner.front.snapshot.lock());
        let of_before = (loading.own_secrets, Some(&*before));
        let snapshot = Arc::new(snapshot(&plan, &fleet, &loaded, of_before)?);
        drop(before);
        // The last that can fail; from here on all of it is in force.
        if let (Some(certificates), Some(files)) = (&inner.certificates, &plan.certificate) {
            certificates.reload(files)?;
        }
        let limiter = if plan.settings.rate_limit == loading.plan.settings.rate_limit {
            loading.limiter.clone()
        } else {
            limiter(&plan.settings)
        };
        inner.prober.renew(watched(&plan, fleet), |standings| {
            let served = Served::new(Arc::clone(&snapshot), Arc::new(standings))
                .map_err(|_mismatch| PlanError::Mismatch)?;
            *inner.front.snapshot.lock() = Arc::clone(&snapshot);
            inner.shared.publish(served, limiter.clone());
            Ok::<_, PlanError>(())
        })?;
        let serials: Arc<[ZoneSerial]> = serials::of(&plan, &snapshot).into();
        let problems = serials::problems(&serials);
        problems.iter().for_each(|problem| tracing::warn!("{problem}"));
        *inner.in_force.lock() = InForce { loaded, lame_duck: plan.lame_duck, serials };
        let lifetime = loading.lifetime.next(&plan.settings, Instant::now());
        *loading = Loading { plan, limiter, lifetime, ..*loading };
        Ok(problems)
    }

    /// The tasks of a server, each of which ends when the process does.
    fn spawn(&self, loaded: Condition, probed: Condition) {
        let control = &self.0.control;
        control.spawn(self.0.prober.clone().run(self.0.draining.stopped()));
        self.0.spare.loaded();
        let sweep = sweep(Arc::downgrade(&self.0.shared), Arc::clone(&self.0.spare));
        control.spawn(until_stopped(self.0.draining.clone(), sweep));
        control.spawn(until_stopped(self.0.draining.clone(), self.clone().follow_files()));
        control.spawn(self.clone().end(loaded, probed));
    }

    /// Readiness, and the end of it.
    async fn end(self, loaded: Condition, probed: Condition) {
        let (draining, shared) = (&self.0.draining, &self.0.shared);
        let guard = draining.attendance();
        let started = draining.started();
        let mut started = std::pin::pin!(started);
        tokio::select! {
            biased;
            () = &mut started => {}
            () = self.0.prober.ready() => {
                probed.holds();
                started.await;
            }
        }
        loaded.fails("draining");
        let lame_duck = self.0.in_force.lock().lame_duck;
        tracing::info!(?lame_duck, "queries are answered on for a while");
        // Who sends queries here learns first that it should not; stopping cuts that short.
        drop(timeout(lame_duck, draining.stopped()).await);
        shared.start_draining();
        tokio::select! {
            _ = shared.drain().wait(Duration::MAX) => {}
            () = draining.stopped() => {}
        }
        shared.drain().stop();
        drop(guard);
    }

    /// Takes up files of geo data that are replaced.
    async fn follow_files(self) {
        let mut watcher = Watcher::new();
        watcher.watch(self.loaded().prints());
        loop {
            tokio::select! {
                () = self.0.taken.notified() => watcher.watch(self.loaded().prints()),
                () = watcher.changed() => self.reload_files().await,
            }
        }
    }

    async fn reload_files(&self) {
        let server = self.clone();
        let reload = move || {
            let mut loading = server.0.loading.lock();
            // A certificate that is being replaced has nothing to do with them.
            let plan = Plan { certificate: None, ..loading.plan.clone() };
            server.take(&mut loading, plan)
        };
        match self.0.control.spawn_blocking(reload).await {
            Ok(Ok(_)) => tracing::info!("geo data files were replaced, and are in force"),
            Ok(Err(error)) => {
                tracing::error!(
                    "{}; the geo data in force stay; mend the file, it is watched",
                    chain(&error)
                );
            }
            Err(error) => tracing::error!(%error, "taking up geo data files failed"),
        }
    }
}

/// What no law of settings sees.
fn check(plan: &Plan) -> Result<(), PlanError> {
    let problems = attempt::problems(&plan.settings.check);
    if problems.is_empty() { Ok(()) } else { Err(PlanError::Settings(problems)) }
}

fn snapshot(
    plan: &Plan,
    fleet: &Arc<FleetView>,
    loaded: &Loaded,
    (own_secrets, before): (Secrets, Option<&Snapshot>),
) -> Result<Snapshot, PlanError> {
    let last = |apex: &Name| {
        let mut published = before?.published();
        published.find(|(zone, ..)| zone.apex() == apex.as_ref()).map(|(_, published, _)| published)
    };
    let zone = |zone: &ZonePlan| ZoneSource {
        apex: zone.apex.clone(),
        records: zone.records.clone(),
        last: last(&zone.apex),
    };
    let sources = Sources {
        fleet: Arc::clone(fleet),
        maps: loaded.maps.clone(),
        zones: plan.zones.iter().map(zone).collect(),
        sites: plan.sites.names.clone(),
        node: plan.node.clone(),
        secrets: plan.settings.cookies.enabled.then(|| plan.secrets.unwrap_or(own_secrets)),
    };
    Snapshot::build(sources, &plan.settings).map_err(PlanError::Settings)
}

fn watched(plan: &Plan, fleet: Arc<FleetView>) -> Watched {
    Watched {
        fleet,
        checks: plan.settings.check.clone(),
        health: plan.settings.health.clone(),
        probes_max: plan.probes_max.max(1),
    }
}

fn limiter(settings: &GeodnsSettings) -> Option<Arc<Limiter>> {
    let limits = settings.rate_limit.limits()?;
    Some(Arc::new(Limiter::new(&limits, rand::random())))
}

async fn sweep(shared: std::sync::Weak<Shared>, spare: Arc<Spare>) {
    let mut looks = Looks::default();
    let mut ticks = interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        if spare.is_due(&mut looks, shared.sweep()) {
            drop(spawn_blocking(spare::give_back).await);
        }
    }
}

async fn until_stopped(draining: Draining, work: impl Future<Output = ()>) {
    tokio::select! {
        () = draining.stopped() => {}
        () = work => {}
    }
}

/// An error with all of its reasons.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}
