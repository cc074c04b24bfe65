//! One process of Nearcast: the runtimes, what runs on them, and how it all ends.
//!
//! In: settings of one or more edges. Out: running edges, until a signal ends them.
//! Always holds: everything is bound before anything answers, so a process that cannot play all
//! its roles plays none; on the first SIGTERM readiness goes off, listeners close, connections
//! say so and end; after the deadline, or a second signal, the process ends anyway.
//! It knows no settings file: `run` and `up` do.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    net::SocketAddr,
    num::NonZeroUsize,
    ops::ControlFlow,
    sync::Arc,
    time::Duration,
};

use axum::Router;
use edge::{
    Edge, World,
    clock::Clock,
    fetch::connect::Tcp,
    listener::{self, Bound, ListenError, Workers},
};
use edge_core::settings::{EdgeSettings, SiteSettings};
use nearcast_daemon::{
    access_log::AccessLog,
    admin::{self, Admin},
    drain::{Drain, Drained, drain},
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
};

use crate::{failure::Failure, reload::Changes};

/// How long the logs may take to write their last lines.
const LAST_LINES: Duration = Duration::from_secs(2);

/// What a process is to run.
pub(crate) struct Plan {
    /// `[node]`
    pub(crate) node: NodeSettings,
    /// `[admin]`
    pub(crate) admin: AdminSettings,
    /// `[log]`
    pub(crate) log: LogSettings,
    /// The edges.
    pub(crate) edges: Vec<EdgePlan>,
    /// Workers of each edge.
    pub(crate) workers: NonZeroUsize,
}

/// One edge.
pub(crate) struct EdgePlan {
    /// Its node's name.
    pub(crate) name: String,
    /// Its node's name in CDN-Loop.
    pub(crate) cdn_id: String,
    /// `[edge]`
    pub(crate) settings: EdgeSettings,
    /// `[[site]]`
    pub(crate) sites: Vec<SiteSettings>,
}

/// A process whose edges answer.
pub(crate) struct Process {
    control: Runtime,
    fills: Runtime,
    edges: Vec<Running>,
    admin: Option<(SocketAddr, oneshot::Sender<()>)>,
    drain: Drain,
    listening: Condition,
    access_log: AccessLog,
    log: Log,
    deadline: Duration,
    signals: Signals,
}

/// An edge that answers.
pub(crate) struct Running {
    /// Its node's name.
    pub(crate) name: String,
    /// It.
    pub(crate) edge: Edge,
    workers: Workers,
}

impl Running {
    /// Where it listens.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.workers.addresses
    }
}

impl Process {
    /// Starts everything, or nothing.
    pub(crate) fn start(plan: Plan) -> Result<Self, Failure> {
        let log = Log::install(&plan.log).map_err(|error| Failure::of(&error))?;
        let access_log = AccessLog::open(&plan.log).map_err(|error| Failure::of(&error))?;
        let metrics = Metrics::new();
        let readiness = Readiness::new();
        let listening = readiness.condition("edge-listening", "starting");
        let control = admin::control_runtime().map_err(|error| Failure::of(&error))?;
        let fills = Builder::new_multi_thread()
            .thread_name("fills")
            .enable_all()
            .build()
            .map_err(|error| Failure::of(&error))?;
        let signals = {
            let _inside = control.enter();
            Signals::install().map_err(|error| Failure::of(&error))?
        };
        let (drain, _) = drain();
        let bound = bind(&plan)?;
        let mut own: Vec<SocketAddr> =
            bound.iter().flat_map(|bound| bound.addresses.iter().copied()).collect();
        let admin = match plan.admin.listen {
            Some(address) => Some(Admin::bind(address, &plan.admin).map_err(|e| Failure::of(&e))?),
            None => None,
        };
        own.extend(admin.as_ref().map(Admin::address));
        let mut edges = Vec::new();
        for (plan_of, bound) in plan.edges.into_iter().zip(bound) {
            let world = World {
                node: Arc::from(plan_of.name.as_str()),
                cdn_id: Arc::from(plan_of.cdn_id),
                clock: Clock::system(),
                fills: fills.handle().clone(),
                connector: Arc::new(Tcp),
                workers: plan.workers.get(),
                access_log: access_log.clone(),
                own_addresses: own.clone(),
                draining: drain.draining(),
            };
            let edge = Edge::new(&plan_of.settings, &plan_of.sites, world)
                .map_err(|problems| Failure::new(told(&problems)))?;
            edges.push((plan_of.name, edge, bound));
        }
        log.register(&metrics);
        access_log.register(&metrics);
        process::register(&metrics, env!("CARGO_PKG_VERSION"));
        edge::admin::register(edges.iter().map(|(_, edge, _)| edge), &metrics);
        let admin = admin.map(|admin| serve_admin(&control, admin, &metrics, &readiness));
        let edges = edges
            .into_iter()
            .map(|(name, edge, bound)| {
                let workers = edge.start(bound).map_err(|error| Failure::of(&error))?;
                Ok(Running { name, edge, workers })
            })
            .collect::<Result<Vec<_>, Failure>>()?;
        listening.holds();
        let deadline = plan.node.drain_deadline;
        Ok(Self {
            control,
            fills,
            edges,
            admin,
            drain,
            listening,
            access_log,
            log,
            deadline,
            signals,
        })
    }

    /// The edges that answer.
    pub(crate) fn edges(&self) -> &[Running] {
        &self.edges
    }

    /// Where the admin listener answers.
    pub(crate) fn admin(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|(address, _)| *address)
    }

    /// Runs until a signal ends it; `reload` is called when one is asked for, and where there is
    /// nothing to read again it may end the process.
    pub(crate) fn run(
        mut self,
        mut changes: Changes,
        mut reload: impl FnMut(&[Running], &Log) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        let Self { control, edges, signals, access_log, log, .. } = &mut self;
        control.block_on(async {
            loop {
                let next = tokio::select! {
                    event = signals.next() => match event {
                        Event::Reload => {
                            // Whoever rotates logs sends this one by habit, and it costs nothing.
                            access_log.reopen();
                            reload(edges, log)
                        }
                        Event::ReopenLogs => {
                            access_log.reopen();
                            ControlFlow::Continue(())
                        }
                        Event::Drain | Event::Stop => ControlFlow::Break(()),
                    },
                    () = changes.next() => reload(edges, log),
                };
                if next.is_break() {
                    return;
                }
            }
        });
        self.end()
    }

    /// Drains and ends.
    pub(crate) fn end(self) -> Result<(), Failure> {
        let Self { control, fills, edges, drain, mut signals, deadline, .. } = self;
        self.listening.fails("draining");
        tracing::info!(deadline = ?deadline, "draining");
        let drained = control.block_on(async {
            drain.start();
            tokio::select! {
                drained = drain.wait(deadline) => drained,
                () = ending(&mut signals) => {
                    drain.stop();
                    drain.wait(Duration::ZERO).await
                }
            }
        });
        drain.stop();
        for running in edges {
            running.workers.join();
        }
        control.block_on(self.access_log.close(LAST_LINES));
        if let Some((_, end)) = self.admin {
            // The listener may have ended by itself; then nobody waits for this.
            end.send(()).unwrap_or_default();
        }
        if let Drained::Partial { remaining } = drained {
            tracing::warn!(remaining, "ended before everything in flight was done");
        }
        self.log.flush(LAST_LINES);
        // A name that is being resolved cannot be called back; nobody waits for it.
        fills.shutdown_background();
        control.shutdown_background();
        Ok(())
    }
}

/// The next signal that ends a process; while it drains already, there is nothing more to drain.
async fn ending(signals: &mut Signals) {
    while !matches!(signals.next().await, Event::Drain | Event::Stop) {}
}

/// Binds every edge's addresses, before anything answers.
fn bind(plan: &Plan) -> Result<Vec<Bound>, Failure> {
    plan.edges
        .iter()
        .map(|edge| {
            listener::bind(&edge.settings.listen, plan.workers.get()).map_err(
                |error| match &error {
                    ListenError::Bind { .. } | ListenError::Worker { .. } => Failure::of(&error),
                },
            )
        })
        .collect()
}

fn serve_admin(
    control: &Runtime,
    admin: Admin,
    metrics: &Metrics,
    readiness: &Readiness,
) -> (SocketAddr, oneshot::Sender<()>) {
    let address = admin.address();
    admin.register(metrics);
    let (end, ended) = oneshot::channel::<()>();
    let routes = admin::router(metrics, readiness, Router::new());
    control.spawn(async move {
        let until = async {
            // An error means that the process ends without saying so; that is an end as well.
            drop(ended.await);
        };
        if let Err(error) = admin.serve(routes, until).await {
            tracing::error!(%error, "the admin listener ended");
        }
    });
    (address, end)
}

/// A cdn-id that no other process has, for a node whose name many have: two CDNs that call
/// themselves the same would refuse each other's requests as loops (RFC 8586 §2). The machine's
/// name would do, but it is nobody's business.
pub(crate) fn unique(name: &str) -> String {
    // Its keys are random: enough to be told apart, which is all that it is for.
    format!("{name}-{:016x}", RandomState::new().build_hasher().finish())
}

/// Problems that only building an edge can find, one a line.
pub(crate) fn told(problems: &[edge_core::site::Problem]) -> String {
    let lines: Vec<String> =
        problems.iter().map(|problem| format!("{}: {}", problem.at, problem.message)).collect();
    lines.join("\n")
}
