//! The GeoDNS server of a process.
//!
//! In: a plan, addresses. Out: a server that answers, until it has drained.
//! Always holds: every address is bound before anything answers; while it drains it answers on for
//! its lame-duck time, so that whoever sends queries here looks elsewhere first.
//! It knows no settings file and no signal.

use std::{net::SocketAddr, num::NonZeroUsize, sync::Arc};

use geodns::{
    clock::Clock,
    listen::{self, Addresses, Bound},
    plan,
    probe::{attempt::Network, trust::Trust},
    record::Recorder,
    server::{Plan, Server, World},
    workers::Workers,
};
use geodns_core::settings::CheckSettings;
use nearcast_config::NodeConfig;
use nearcast_control::fleet::Following;
use nearcast_daemon::{
    access_log::AccessLog,
    drain::{Drain, drain},
    metrics::Metrics,
    readiness::Readiness,
    settings::LogSettings,
};
use tokio::runtime::Handle;

use crate::{
    failure::{Failure, chain},
    fleet::{self, Follower},
    ledger::Opened,
};

/// What a GeoDNS server is to be.
pub(crate) struct DnsPlan {
    /// What it is to do.
    pub(crate) plan: Plan,
    /// Where it listens.
    pub(crate) addresses: Addresses,
    /// Its threads.
    pub(crate) workers: usize,
    /// Where its query log goes.
    pub(crate) log: LogSettings,
    /// One query in so many is logged.
    pub(crate) log_one_in: u32,
    /// How PoPs are probed that are this process's own edges: on the port that those have.
    pub(crate) check_edges: Option<CheckSettings>,
    /// The fleet, as a ledger has it.
    pub(crate) follows: Option<(Opened, Following)>,
}

/// One that answers.
pub(crate) struct Dns {
    server: Server,
    workers: Workers,
    drain: Drain,
    log: AccessLog,
    /// Has it go by what a ledger says of the fleet.
    follower: Option<Follower>,
}

impl DnsPlan {
    /// What the file's `[geodns]` asks for, if it has one; `workers` where it does not say how many.
    pub(crate) fn of(config: &NodeConfig, workers: NonZeroUsize) -> Option<Self> {
        let settings = &config.geodns.as_ref()?.settings;
        let (log, log_one_in) = plan::query_log(settings);
        Some(Self {
            plan: Plan::of(config)?,
            addresses: plan::addresses(settings),
            workers: settings.workers.unwrap_or(workers).get(),
            log,
            log_one_in,
            check_edges: None,
            follows: None,
        })
    }

    /// Has it start with the fleet as a ledger has it, and go by each change of that.
    pub(crate) fn follow(&mut self, ledger: Opened, following: Following) {
        self.plan.nodes = fleet::nodes(&following.fleet().borrow());
        self.follows = Some((ledger, following));
    }

    /// Takes its addresses.
    pub(crate) fn bind(&self) -> Result<Bound, Failure> {
        listen::bind(&self.addresses, self.workers).map_err(|error| Failure::of(&error))
    }

    /// Lets it answer.
    pub(crate) fn start(
        mut self,
        (bound, edge_port): (Bound, Option<u16>),
        control: &Handle,
        (metrics, readiness): (&Metrics, &Readiness),
    ) -> Result<Dns, Failure> {
        let log = AccessLog::open(&self.log)
            .map_err(|error| Failure::new(format!("the query log: {}", chain(&error))))?;
        if let Some((check, port)) = self.check_edges.zip(edge_port) {
            self.plan.settings.check.push(CheckSettings { port, ..check });
        }
        let recorder = Recorder::new(log.clone(), self.log_one_in);
        recorder.register(metrics);
        let (drain, draining) = drain();
        let world = World {
            clock: Clock::system(),
            control: control.clone(),
            attempt: Arc::new(Network::new(Trust::of_the_system())),
            recorder,
            readiness: readiness.clone(),
            draining,
        };
        let server = Server::new(self.plan, world).map_err(|error| Failure::of(&error))?;
        geodns::probe::page::register(server.prober(), metrics);
        geodns::serials::register(&server, metrics);
        let workers = server.start(bound).map_err(|error| Failure::of(&error))?;
        let begin = |(ledger, following): (Opened, Following)| {
            let voice = ledger.attend(workers.addresses.all());
            Follower::begin(&server, (ledger, following), voice, (control, readiness))
        };
        let follower = self.follows.map(begin);
        Ok(Dns { server, workers, drain, log, follower })
    }
}

impl Dns {
    /// It, for the admin listener.
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// Where it answers.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.workers.addresses.all()
    }

    /// Where it answers plain DNS first.
    pub(crate) fn first(&self) -> Option<SocketAddr> {
        self.workers.addresses.dns.first().copied()
    }

    /// The side of its drain that waits.
    pub(crate) fn drain(&self) -> &Drain {
        &self.drain
    }

    /// Opens its query log again, after it was moved away.
    pub(crate) fn reopen_log(&self) {
        self.log.reopen();
    }

    /// It has drained, and its process is about to end.
    pub(crate) fn answered_last(&self) {
        if let Some(follower) = &self.follower {
            follower.answered_last(&self.server);
        }
    }

    /// Waits for its threads, which end once it has drained.
    pub(crate) fn join(self) -> AccessLog {
        self.workers.join();
        if let Some(follower) = self.follower {
            follower.leave();
        }
        self.log
    }
}
