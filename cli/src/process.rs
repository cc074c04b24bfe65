//! One process of Nearcast: the runtimes, what runs on them, and how it all ends.
//!
//! In: settings of one or more edges. Out: running edges, until a signal ends them.
//! Always holds: everything is bound before anything answers, so a process that cannot play all
//! its roles plays none; on the first SIGTERM readiness goes off, queries are answered on for the
//! lame-duck time, then listeners close, connections say so and end; after one deadline for all of
//! it, or a second signal, the process ends anyway.
//! It knows no settings file: `run` and `up` do.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    io::ErrorKind,
    net::SocketAddr,
    num::NonZeroUsize,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::Router;
use edge::listener::{self, Bound, ListenError};
use futures_util::FutureExt as _;
use nearcast_config::NodeConfig;
use nearcast_control::settings::ControlSettings;
use nearcast_daemon::{
    access_log::AccessLog,
    admin::{self, Admin},
    descriptors,
    files::Watcher,
    log::Log,
    metrics::Metrics,
    process,
    readiness::{Condition, Readiness},
    settings::{AdminSettings, LogSettings, NodeSettings},
    signals::{Event, Signals},
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use crate::{
    described::described,
    dns::{Dns, DnsPlan},
    edges::{EdgePlan, Edges, Ground},
    failure::Failure,
    keys::Keys,
    ledger::Opened,
    reloads::{Reloaded, Reloads, Roles, Why},
    sites::{self, Sites},
    theatre,
    waits::Waits,
};

/// How often another port is tried that all edges can have.
const SAME_PORT_TRIES: u32 = 32;

/// How long the logs may take to write their last lines.
const LAST_LINES: Duration = Duration::from_secs(2);

/// What a process is to run.
pub(crate) struct Plan {
    /// What its sites stand beside: the file, or what is in its place.
    pub(crate) base: NodeConfig,
    /// `[node]`
    pub(crate) node: NodeSettings,
    /// `[admin]`
    pub(crate) admin: AdminSettings,
    /// `[control]`
    pub(crate) control: ControlSettings,
    /// `[log]`
    pub(crate) log: LogSettings,
    /// The edges.
    pub(crate) edges: Vec<EdgePlan>,
    /// The GeoDNS server.
    pub(crate) dns: Option<DnsPlan>,
    /// Workers of each edge.
    pub(crate) workers: NonZeroUsize,
    /// The file descriptors that it can come to need.
    pub(crate) descriptors: u64,
    /// Whether the edges share a port, also where any free one will do: what DNS answers has none.
    pub(crate) same_port: bool,
    /// Whether edges may be stopped and started over the admin listener.
    pub(crate) theatre: bool,
}

/// A process whose edges answer.
pub(crate) struct Process {
    control: Runtime,
    fills: Runtime,
    sites: Sites,
    edges: Edges,
    dns: Option<Dns>,
    admin: Option<Answering>,
    /// What an edge says of readiness.
    listening: Option<Condition>,
    access_log: AccessLog,
    log: Log,
    deadline: Duration,
    signals: Signals,
}

impl Process {
    /// Starts everything, or nothing.
    pub(crate) fn start(mut plan: Plan) -> Result<Self, Failure> {
        let log = Log::install(&plan.log).map_err(|error| Failure::of(&error))?;
        let access_log = AccessLog::open(&plan.log).map_err(|error| Failure::of(&error))?;
        descriptors::provide(plan.descriptors);
        let metrics = Metrics::new();
        let readiness = Readiness::new();
        let has_edges = !plan.edges.is_empty();
        let listening = has_edges.then(|| readiness.condition("edge-listening", "starting"));
        let (control, fills) = runtimes()?;
        let mut waits = Waits::inside(&control)?;
        let bound = bind(&plan)?;
        let edge_port =
            bound.first().and_then(|bound| bound.addresses.first()).map(SocketAddr::port);
        let dns_bound = plan.dns.as_ref().map(DnsPlan::bind).transpose()?;
        let mut own: Vec<SocketAddr> =
            bound.iter().flat_map(|bound| bound.addresses.iter().copied()).collect();
        let admin = bind_admin(&plan.admin)?;
        own.extend(admin.as_ref().map(Admin::address));
        own.extend(dns_bound.iter().flat_map(|bound| bound.addresses.all()));
        let ledger = Opened::open(&plan, &mut waits)?;
        let sites = plan.take_sites(ledger.as_ref(), &mut waits)?;
        let ground = Ground {
            fills: fills.handle().clone(),
            control: control.handle().clone(),
            workers: plan.workers,
            access_log: access_log.clone(),
            own,
            ledger: ledger.clone(),
        };
        let edges = Edges::build(plan.edges, bound, ground)?;
        log.register(&metrics);
        access_log.register(&metrics);
        process::register(&metrics, env!("CARGO_PKG_VERSION"));
        let edges = edges.start(&mut waits)?;
        sites.given(&edges);
        let routes = tell(&edges, &metrics);
        let theatre = plan.theatre.then(|| theatre::routes(&edges));
        let dns = match plan.dns.zip(dns_bound) {
            Some((plan, bound)) => {
                let bound = (bound, edge_port);
                Some(plan.start(bound, control.handle(), (&metrics, &readiness))?)
            }
            None => None,
        };
        let of_dns = dns.as_ref().map(|dns| geodns::admin::router(dns.server().clone()));
        let of_ledger = ledger.map(|ledger| ledger.mount((&edges, &sites), (&metrics, &readiness)));
        let more = [Some(routes), theatre, Some(described(of_dns, of_ledger))];
        let more = more.into_iter().flatten().fold(Router::new(), Router::merge);
        let admin = admin.map(|admin| serve_admin(&control, admin, (&metrics, &readiness), more));
        listening.iter().for_each(Condition::holds);
        Ok(Self {
            control,
            fills,
            sites,
            edges,
            dns,
            admin,
            listening,
            access_log,
            log,
            deadline: plan.node.drain_deadline,
            signals: waits.over(),
        })
    }

    /// Its edges.
    pub(crate) fn edges(&self) -> &Edges {
        &self.edges
    }

    /// The keys of its terminal, if it has one, with which its edges are stopped and started.
    pub(crate) fn keys(&self) -> Option<Keys> {
        Keys::take(&self.edges, self.control.handle())
    }

    /// Its GeoDNS server.
    pub(crate) fn dns(&self) -> Option<&Dns> {
        self.dns.as_ref()
    }

    /// Where the admin listener answers.
    pub(crate) fn admin(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|admin| admin.address)
    }

    /// Runs until a signal ends it; `reload` is called when a signal or one of `files` that has
    /// changed asks for it. Without one there is no file to read again, and the signal ends the process.
    pub(crate) fn run(
        mut self,
        files: Watcher,
        reload: Option<impl Fn(&Roles) -> Reloaded + Send + Sync + 'static>,
    ) -> Result<(), Failure> {
        let Self { control, sites, edges, dns, signals, access_log, log, deadline, .. } = &mut self;
        let dns = dns.as_ref();
        let server = dns.map(|dns| dns.server().clone());
        let changes = sites.known();
        let (sites, of_disk) = (sites.clone(), sites.clone());
        let roles = Roles { edges: edges.clone(), dns: server, log: log.clone(), sites };
        let has_file = reload.is_some();
        let reload = Arc::new(move |why| match (&reload, why) {
            (Some(reload), Why::Asked) => reload(&roles),
            _ => {
                sites::take(&roles);
                Reloaded::default()
            }
        });
        let mut reloads = Reloads::new(reload, files, changes);
        let reopen = || {
            access_log.reopen();
            if let Some(dns) = dns {
                dns.reopen_log();
            }
        };
        control.block_on(async {
            let mut saying = pin!(of_disk.keep_saying());
            loop {
                tokio::select! {
                    never = &mut saying => match never {},
                    event = signals.next() => match (event, has_file) {
                        (Event::Drain | Event::Stop, _) | (Event::Reload, false) => return,
                        (Event::Reload, true) => {
                            // Whoever rotates logs sends this one by habit, and it costs nothing.
                            reopen();
                            reloads.ask();
                        }
                        (Event::ReopenLogs, _) => reopen(),
                    },
                    new = reloads.next() => *deadline = new.unwrap_or(*deadline),
                }
            }
        });
        self.end()
    }

    /// Drains and ends.
    pub(crate) fn end(self) -> Result<(), Failure> {
        let Self { control, fills, edges, dns, mut signals, deadline, .. } = self;
        self.listening.iter().for_each(|listening| listening.fails("draining"));
        tracing::info!(deadline = ?deadline, "draining");
        let left = control.block_on(async {
            let cut = ending(&mut signals).shared();
            let until = Instant::now() + deadline;
            let of_dns = drain_dns(dns.as_ref(), until, cut.clone());
            let of_edges = async {
                // As long as DNS is answered from here, it may answer with this node's own edge.
                last_answer(dns.as_ref(), until, cut.clone()).await;
                edges.drain(until.saturating_duration_since(Instant::now()), cut.clone()).await
            };
            let (of_dns, of_edges) = tokio::join!(of_dns, of_edges);
            of_dns + of_edges
        });
        if let Some(Answering { end, ended, .. }) = self.admin {
            // The listener may have ended by itself; then nobody waits for this.
            end.send(()).unwrap_or_default();
            // It gives what it is answering a moment, and writes down what was done; the edges are
            // still known to it.
            if let Err(error) = control.block_on(ended) {
                tracing::error!(%error, "the admin listener ended badly");
            }
        }
        if let Some(dns) = &dns {
            dns.answered_last();
        }
        edges.join();
        let query_log = dns.map(Dns::join);
        if let Some(log) = query_log {
            control.block_on(log.close(LAST_LINES));
        }
        control.block_on(self.access_log.close(LAST_LINES));
        if left > 0 {
            tracing::warn!(remaining = left, "ended before everything in flight was done");
        }
        self.log.flush(LAST_LINES);
        // A name that is being resolved cannot be called back; nobody waits for it.
        fills.shutdown_background();
        control.shutdown_background();
        Ok(())
    }
}

/// The control runtime, and that of the fills.
fn runtimes() -> Result<(Runtime, Runtime), Failure> {
    let control = admin::control_runtime().map_err(|error| Failure::of(&error))?;
    let fills = Builder::new_multi_thread().thread_name("fills").enable_all().build();
    Ok((control, fills.map_err(|error| Failure::of(&error))?))
}

impl Plan {
    /// Adds the ledger's sites to those that it has; GeoDNS knows the ledger's nodes as well.
    fn take_sites(&mut self, ledger: Option<&Opened>, waits: &mut Waits) -> Result<Sites, Failure> {
        let followed = ledger.map(|ledger| ledger.follow_sites(waits)).transpose()?;
        let of_ledger = (followed, ledger.map(Opened::serves).unwrap_or_default());
        let sites = Sites::new(self.base.clone(), of_ledger, (self.workers, self.descriptors));
        let together = sites.together();
        for edge in &mut self.edges {
            edge.sites.clone_from(&together.sites);
        }
        if let Some(dns) = &mut self.dns {
            dns.plan.sites = sites::names(&together, sites.revision());
            if let Some(ledger) = ledger {
                dns.follow(ledger.clone(), ledger.follow_fleet(waits)?);
            }
        }
        sites.took_sites(&together);
        Ok(sites)
    }
}

/// The next signal that ends a process; while it drains already, there is nothing more to drain.
async fn ending(signals: &mut Signals) {
    while !matches!(signals.next().await, Event::Drain | Event::Stop) {}
}

/// Waits until the GeoDNS server, whose drain has begun, takes no more queries; no longer than
/// `until` or until `cut` ends.
async fn last_answer(dns: Option<&Dns>, until: Instant, cut: impl Future<Output = ()>) {
    let Some(dns) = dns else { return };
    tokio::select! {
        () = dns.server().shared().draining().started() => {}
        () = sleep_until(until) => {}
        () = cut => {}
    }
}

/// Drains the GeoDNS server, `until` then or until `cut` ends; says how many connections were left.
async fn drain_dns(dns: Option<&Dns>, until: Instant, cut: impl Future<Output = ()>) -> usize {
    let Some(dns) = dns else { return 0 };
    let drain = dns.drain();
    drain.start();
    tokio::select! {
        _ = drain.wait(until.saturating_duration_since(Instant::now())) => {}
        () = cut => {}
    }
    // The connections are waited for by the server's own drain; stopping would hide them.
    let left = dns.server().shared().drain().left();
    drain.stop();
    left
}

/// Binds every edge's addresses, before anything answers.
fn bind(plan: &Plan) -> Result<Vec<Bound>, Failure> {
    let mut tries_left = SAME_PORT_TRIES;
    loop {
        match bind_all(plan) {
            Ok(bound) => return Ok(bound),
            Err(ListenError::Bind { source, .. })
                if plan.same_port && tries_left > 0 && source.kind() == ErrorKind::AddrInUse =>
            {
                tries_left -= 1;
            }
            Err(error) => return Err(Failure::of(&error)),
        }
    }
}

fn bind_admin(settings: &AdminSettings) -> Result<Option<Admin>, Failure> {
    let bound = settings.listen.map(|address| Admin::bind(address, settings));
    bound.transpose().map_err(|error| Failure::of(&error))
}

fn bind_all(plan: &Plan) -> Result<Vec<Bound>, ListenError> {
    let mut chosen: Option<u16> = None;
    let mut all = Vec::new();
    for edge in &plan.edges {
        let (mut listen, proxied) = (edge.settings.listen.clone(), &edge.settings.listen_proxied);
        if let Some(port) = chosen.filter(|_| plan.same_port) {
            listen.iter_mut().for_each(|address| address.set_port(port));
        }
        let bound = listener::bind(&listen, proxied, plan.workers.get())?;
        chosen = chosen.or_else(|| bound.addresses.first().map(SocketAddr::port));
        all.push(bound);
    }
    Ok(all)
}

/// Puts the edges on the metrics page, and gives their routes for operators.
fn tell(edges: &Edges, metrics: &Metrics) -> Router {
    let on_page = edges.clone();
    edge::admin::register(move || on_page.running(), metrics);
    let on_route = edges.clone();
    edge::admin::origins::router(move || on_route.running())
}

/// The admin listener while it answers.
struct Answering {
    address: SocketAddr,
    end: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

fn serve_admin(
    control: &Runtime,
    admin: Admin,
    (metrics, readiness): (&Metrics, &Readiness),
    more: Router,
) -> Answering {
    let address = admin.address();
    admin.register(metrics);
    let (end, ended) = oneshot::channel::<()>();
    let routes = admin::router(metrics, readiness, more);
    let ended = control.spawn(async move {
        let until = async {
            // An error means that the process ends without saying so; that is an end as well.
            drop(ended.await);
        };
        if let Err(error) = admin.serve(routes, until).await {
            tracing::error!(%error, "the admin listener ended");
        }
    });
    Answering { address, end, ended }
}

/// A cdn-id that no other process has, for a node whose name many have: two CDNs that call
/// themselves the same would refuse each other's requests as loops (RFC 8586 §2). The machine's
/// name would do, but it is nobody's business.
pub(crate) fn unique(name: &str) -> String {
    // Its keys are random: enough to be told apart, which is all that it is for.
    format!("{name}-{:016x}", RandomState::new().build_hasher().finish())
}
