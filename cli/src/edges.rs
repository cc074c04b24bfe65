//! The edges of a process: each drains by itself, so that one can be stopped and started again
//! while the others answer.
//!
//! In: plans with their bound sockets. Out: edges that answer, and those that do not.
//! Always holds: an edge that is started again listens where it did before and begins with an empty
//! cache; one change of an edge is done before the next begins, and is done whether or not who asked
//! for it waits; an edge that comes up while all drain ends with them; an edge that is down is no node
//! of the ledger; nothing waits under the lock.
//! It knows no settings file and no signal.

mod in_force;

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};

use edge::{
    Edge, World,
    clock::Clock,
    fetch::connect::Tcp,
    listener::{self, Bound, Workers},
    snapshot::LeftOut,
};
use edge_core::settings::{EdgeSettings, SiteSettings};
use nearcast_control::node::{Leaving, Member};
use nearcast_daemon::{
    access_log::AccessLog,
    drain::{Drain, Drained, drain},
};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use self::in_force::InForce;
use crate::{failure::Failure, ledger::Opened, waits::Waits};

/// One edge, as its process is to run it.
#[derive(Clone)]
pub(crate) struct EdgePlan {
    /// Its node's name.
    pub(crate) name: String,
    /// Its node's name in CDN-Loop.
    pub(crate) cdn_id: String,
    /// The PoP that it belongs to.
    pub(crate) pop: Option<String>,
    /// Under which addresses clients reach it, where it says so.
    pub(crate) reached_at: Vec<IpAddr>,
    /// `[edge]`
    pub(crate) settings: EdgeSettings,
    /// `[[site]]`
    pub(crate) sites: Vec<SiteSettings>,
}

/// What all edges of a process share.
pub(crate) struct Ground {
    /// The runtime that fetches.
    pub(crate) fills: Handle,
    /// The runtime that checks.
    pub(crate) control: Handle,
    /// Workers of each edge.
    pub(crate) workers: NonZeroUsize,
    /// Where requests are logged.
    pub(crate) access_log: AccessLog,
    /// Where the process itself listens.
    pub(crate) own: Vec<SocketAddr>,
    /// The ledger, if the process has one.
    pub(crate) ledger: Option<Opened>,
}

/// See the module; clones are the same edges.
#[derive(Clone)]
pub(crate) struct Edges(Arc<Inner>);

struct Inner {
    ground: Ground,
    slots: Mutex<Vec<Slot>>,
}

struct Slot {
    plan: EdgePlan,
    addresses: Vec<SocketAddr>,
    state: State,
    in_force: InForce,
}

enum State {
    Up(Running),
    /// With what takes it out of the ledger, as long as that takes.
    Down(Option<Leaving>),
    /// Between the two, or back.
    Changing,
}

/// An edge that answers.
struct Running {
    edge: Edge,
    workers: Workers,
    drain: Drain,
    /// What has it apply purges.
    member: Option<Member>,
}

/// An edge as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Its node's name.
    pub(crate) name: String,
    /// Where it listens.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Whether it answers.
    pub(crate) up: bool,
}

/// What came of stopping or starting an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is done.
    Done,
    /// It was so already.
    Nothing,
    /// There is no such edge.
    Unknown,
    /// Another change of it is under way.
    Busy,
}

impl Edges {
    /// Builds every edge, and starts none yet.
    pub(crate) fn build(
        plans: Vec<EdgePlan>,
        bound: Vec<Bound>,
        ground: Ground,
    ) -> Result<Prepared, Failure> {
        let built = plans
            .into_iter()
            .zip(bound)
            .map(|(plan, bound)| Ok((build(&plan, &ground)?, plan, bound)))
            .collect::<Result<_, Failure>>()?;
        Ok(Prepared { built, ground })
    }

    /// Those that answer now.
    pub(crate) fn running(&self) -> Vec<Edge> {
        self.running_by_name().into_iter().map(|(_, edge)| edge).collect()
    }

    /// Sites of the ledger that they cannot serve, and why, each once.
    pub(crate) fn left_out(&self) -> Vec<LeftOut> {
        let mut all: Vec<LeftOut> = self.running().iter().flat_map(Edge::left_out).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// [`Self::running`] with their nodes' names.
    pub(crate) fn running_by_name(&self) -> Vec<(String, Edge)> {
        let named = |slot: &Slot| {
            let edge = slot.running()?.edge.clone();
            Some((slot.plan.name.clone(), edge))
        };
        self.0.slots.lock().iter().filter_map(named).collect()
    }

    /// The sites of those that do not answer now.
    pub(crate) fn sites_planned(&self) -> Vec<String> {
        let slots = self.0.slots.lock();
        let down = slots.iter().filter(|slot| slot.running().is_none());
        down.flat_map(|slot| &slot.in_force.sites).map(|site| site.name.clone()).collect()
    }

    /// All of them.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let see = |slot: &Slot| Seen {
            name: slot.plan.name.clone(),
            addresses: slot.addresses.clone(),
            up: slot.running().is_some(),
        };
        self.0.slots.lock().iter().map(see).collect()
    }

    /// Ends an edge at once, as a power cut would: what it was sending breaks off. Who does not wait
    /// for it has not called it off.
    pub(crate) async fn stop(&self, name: &str) -> Result<Change, Failure> {
        let (edges, name) = (self.clone(), name.to_owned());
        self.to_its_end(async move { Ok(edges.stop_now(&name).await) }).await
    }

    /// Starts an edge that was stopped; the same holds.
    pub(crate) async fn start(&self, name: &str) -> Result<Change, Failure> {
        let (edges, name) = (self.clone(), name.to_owned());
        self.to_its_end(async move { edges.start_now(&name).await }).await
    }

    /// In a task of its own: a caller that goes away drops what it waits for.
    async fn to_its_end(
        &self,
        change: impl Future<Output = Result<Change, Failure>> + Send + 'static,
    ) -> Result<Change, Failure> {
        self.0.ground.control.spawn(change).await.unwrap_or_else(|error| Err(Failure::of(&error)))
    }

    async fn stop_now(&self, name: &str) -> Change {
        let running = match self.take_up(name) {
            Ok(running) => running,
            Err(change) => return change,
        };
        running.drain.start();
        running.drain.stop();
        // Its threads end by themselves now; waiting for them would hold the control runtime up.
        let Running { workers, member, .. } = running;
        let ended = tokio::task::spawn_blocking(move || workers.join()).await;
        if let Err(error) = ended {
            tracing::error!(%error, edge = name, "its workers ended badly");
        }
        // It holds nothing any more, so nobody need wait for it.
        let leaving = match member {
            Some(member) => member.leave().await,
            None => None,
        };
        self.put(name, State::Down(leaving));
        tracing::warn!(edge = name, "stopped");
        Change::Done
    }

    async fn start_now(&self, name: &str) -> Result<Change, Failure> {
        let leaving = match self.take_down(name) {
            Ok(leaving) => leaving,
            Err(change) => return Ok(change),
        };
        match self.start_again(name, leaving).await {
            Ok(running) => {
                self.put(name, State::Up(running));
                if let Err(failure) = self.catch_up(name) {
                    tracing::error!(edge = name, "{failure}; it goes by what it was started with");
                }
                tracing::warn!(edge = name, "started");
                Ok(Change::Done)
            }
            Err((failure, leaving)) => {
                self.put(name, State::Down(leaving));
                Err(failure)
            }
        }
    }

    /// Builds it anew and lets it join and answer; what had joined before a failure leaves, and what
    /// was leaving still does.
    async fn start_again(
        &self,
        name: &str,
        leaving: Option<Leaving>,
    ) -> Result<Running, (Failure, Option<Leaving>)> {
        let ((edge, drain), bound, plan) = match self.build_again(name) {
            Ok(built) => built,
            Err(failure) => return Err((failure, leaving)),
        };
        // It is about to join.
        drop(leaving);
        let member = match &self.0.ground.ledger {
            Some(ledger) => match ledger.join(&plan, &bound.addresses, &edge).await {
                Ok(member) => Some(member),
                // It may have, or was there still.
                Err(failure) => return Err((failure, ledger.leave(name))),
            },
            None => None,
        };
        match edge.start(bound) {
            Ok(workers) => Ok(Running { edge, workers, drain, member }),
            Err(error) => {
                let leaving = match member {
                    Some(member) => member.leave().await,
                    None => None,
                };
                Err((Failure::of(&error), leaving))
            }
        }
    }

    fn build_again(&self, name: &str) -> Result<((Edge, Drain), Bound, EdgePlan), Failure> {
        let (plan, addresses) = self.plan(name)?;
        let ground = &self.0.ground;
        let plain = plan.settings.listen.len().min(addresses.len());
        let (listen, proxied) = addresses.split_at(plain);
        let bound = listener::bind(listen, proxied, ground.workers.get());
        let bound = bound.map_err(|error| Failure::of(&error))?;
        Ok((build(&plan, ground)?, bound, plan))
    }

    fn plan(&self, name: &str) -> Result<(EdgePlan, Vec<SocketAddr>), Failure> {
        let slots = self.0.slots.lock();
        let slot = slots.iter().find(|slot| slot.plan.name == name);
        let slot = slot.ok_or_else(|| Failure::new(format!("no edge is called {name}")))?;
        let plan = EdgePlan { sites: slot.in_force.sites.clone(), ..slot.plan.clone() };
        Ok((plan, slot.addresses.clone()))
    }

    /// Takes an edge that answers out of its slot, to change it.
    fn take_up(&self, name: &str) -> Result<Running, Change> {
        let mut slots = self.0.slots.lock();
        let slot = slots.iter_mut().find(|slot| slot.plan.name == name).ok_or(Change::Unknown)?;
        match std::mem::replace(&mut slot.state, State::Changing) {
            State::Up(running) => Ok(running),
            State::Changing => Err(Change::Busy),
            down @ State::Down(_) => {
                slot.state = down;
                Err(Change::Nothing)
            }
        }
    }

    /// Claims the slot of an edge that is down, to change it, with what still takes it out of the
    /// ledger.
    fn take_down(&self, name: &str) -> Result<Option<Leaving>, Change> {
        let mut slots = self.0.slots.lock();
        let slot = slots.iter_mut().find(|slot| slot.plan.name == name).ok_or(Change::Unknown)?;
        match std::mem::replace(&mut slot.state, State::Changing) {
            State::Down(leaving) => Ok(leaving),
            State::Changing => Err(Change::Busy),
            up @ State::Up(_) => {
                slot.state = up;
                Err(Change::Nothing)
            }
        }
    }

    fn put(&self, name: &str, state: State) {
        let mut slots = self.0.slots.lock();
        if let Some(slot) = slots.iter_mut().find(|slot| slot.plan.name == name) {
            slot.state = state;
        }
    }

    /// Drains all of them, until `deadline` or until `cut` ends; says how many connections were
    /// left.
    pub(crate) async fn drain(&self, deadline: Duration, cut: impl Future<Output = ()>) -> usize {
        let drains = self.drains();
        for drain in &drains {
            drain.start();
        }
        let all = async {
            let mut left = 0;
            let until = tokio::time::Instant::now() + deadline;
            for drain in &drains {
                let rest = until.saturating_duration_since(tokio::time::Instant::now());
                if let Drained::Partial { remaining } = drain.wait(rest).await {
                    left += remaining;
                }
            }
            left
        };
        let left = tokio::select! {
            left = all => left,
            () = cut => drains.iter().map(Drain::left).sum(),
        };
        for drain in &drains {
            drain.stop();
        }
        left
    }

    fn drains(&self) -> Vec<Drain> {
        let slots = self.0.slots.lock();
        slots.iter().filter_map(Slot::running).map(|running| running.drain.clone()).collect()
    }

    /// Ends what came up while the others drained, waits for the workers, and takes the nodes out of
    /// a ledger that others go on with.
    pub(crate) fn join(self) {
        let slots = std::mem::take(&mut *self.0.slots.lock());
        for slot in slots {
            if let State::Up(running) = slot.state {
                // Its start was under way when the others were told.
                running.drain.start();
                running.drain.stop();
                running.workers.join();
                if let (Some(ledger), Some(member)) = (&self.0.ground.ledger, running.member) {
                    ledger.left_for_good(member);
                }
            }
        }
    }
}

impl Slot {
    fn running(&self) -> Option<&Running> {
        match &self.state {
            State::Up(running) => Some(running),
            State::Down(_) | State::Changing => None,
        }
    }
}

/// Edges that are built and bound, but do not answer yet.
pub(crate) struct Prepared {
    built: Vec<((Edge, Drain), EdgePlan, Bound)>,
    ground: Ground,
}

impl Prepared {
    /// Lets all of them answer.
    pub(crate) fn start(self, waits: &mut Waits) -> Result<Edges, Failure> {
        let mut slots = Vec::new();
        for ((edge, drain), plan, bound) in self.built {
            let addresses = bound.addresses.clone();
            let ledger = self.ground.ledger.as_ref();
            // Every purge so far is applied before the first answer.
            let member = ledger.map(|ledger| ledger.join_now(&plan, &addresses, &edge, waits));
            let member = member.transpose()?;
            let workers = edge.start(bound).map_err(|error| Failure::of(&error))?;
            let state = State::Up(Running { edge, workers, drain, member });
            let (settings, sites) = (plan.settings.clone(), plan.sites.clone());
            let in_force = InForce::new(settings, sites);
            slots.push(Slot { plan, addresses, state, in_force });
        }
        Ok(Edges(Arc::new(Inner { ground: self.ground, slots: Mutex::new(slots) })))
    }
}

fn build(plan: &EdgePlan, ground: &Ground) -> Result<(Edge, Drain), Failure> {
    let (drain, draining) = drain();
    let world = World {
        node: Arc::from(plan.name.as_str()),
        cdn_id: Arc::from(plan.cdn_id.as_str()),
        clock: Clock::system(),
        fills: ground.fills.clone(),
        control: ground.control.clone(),
        connector: Arc::new(Tcp::new(ground.fills.clone())),
        workers: ground.workers.get(),
        access_log: ground.access_log.clone(),
        own_addresses: ground.own.clone(),
        ledger: ground.ledger.as_ref().map(Opened::servers).unwrap_or_default(),
        draining,
        leased: ground.ledger.as_ref().is_some_and(Opened::is_leased),
    };
    let edge = Edge::new(&plan.settings, &plan.sites, world)
        .map_err(|problems| Failure::new(told(&problems)))?;
    Ok((edge, drain))
}

/// Problems that only building an edge can find, one a line.
fn told(problems: &[edge_core::site::Problem]) -> String {
    let lines: Vec<String> =
        problems.iter().map(|problem| format!("{}: {}", problem.at, problem.message)).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests;
