//! Probing: what this node itself sees of each PoP, and what operators say of it in passing.
//!
//! In: the fleet, checks, orders. Out: [`Standings`], published whole whenever they change, before
//! anybody could ask for them; and the state of every target, for an operator's eyes.
//! Always holds: standings are composed here, on the control runtime, never by who answers queries;
//! no more probes are under way than the settings allow; one target is never probed twice at once;
//! what is published last is what is known last, since composing and publishing share one lock.
//! It deliberately does not know what a state means for an answer, or who else knows the standings.

pub mod attempt;
pub mod page;
pub mod status;
#[cfg(test)]
mod tests;
pub mod trust;
pub mod watch;

use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use geodns_core::{
    fleet::Load, health::operator::Order, moment::Moment, settings::StateWord, standing::Standings,
};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch as channel},
    task::{Id, JoinError, JoinSet},
    time::{Instant, sleep_until},
};

use self::{
    attempt::{Attempt, Fault, Outcome},
    status::PopStatus,
    watch::{Due, Watch, Watched},
};
use crate::clock::Clock;

/// Who is told of new standings; it is called under the prober's lock, and should be quick.
pub type Publish = Box<dyn Fn(Standings) + Send + Sync>;

/// Probes a fleet; clones are the same prober.
#[derive(Clone)]
pub struct Prober(Arc<Inner>);

struct Inner {
    clock: Clock,
    attempt: Arc<dyn Attempt>,
    publish: Publish,
    watch: Mutex<Watch>,
    /// Something other than a probe changed what is to be done next.
    changed: Notify,
    /// Whether every target has had a result, or was tried often enough; it stays so when others
    /// come.
    ready: channel::Sender<bool>,
}

/// There is no PoP of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no PoP \"{0}\"")]
pub struct NoSuchPop(pub String);

impl Prober {
    /// A prober that runs once [`Self::run`] does, and the standings before any result.
    #[must_use]
    pub fn new(
        watched: Watched,
        clock: Clock,
        attempt: Arc<dyn Attempt>,
        publish: Publish,
    ) -> (Self, Standings) {
        let watch = Watch::new(watched, clock.moment(), rand::random);
        let standings = watch.standings().clone();
        let ready = channel::Sender::new(watch.table.is_ready());
        let (watch, changed) = (Mutex::new(watch), Notify::new());
        (Self(Arc::new(Inner { clock, attempt, publish, watch, changed, ready })), standings)
    }

    /// Probes until `end`.
    pub async fn run(self, end: impl Future<Output = ()>) {
        let mut end = std::pin::pin!(end);
        let mut under_way = UnderWay::default();
        loop {
            let wait = self.0.begin(&mut under_way);
            tokio::select! {
                biased;
                () = &mut end => return,
                Some((due, outcome)) = under_way.next() => self.0.take(&due, outcome),
                () = self.0.changed.notified() => {}
                () = wait_or_never(wait) => self.0.look(),
            }
        }
    }

    /// Watches another fleet, or the same by other checks, from now on. `publish` is handed the
    /// standings of the new fleet, and nothing is published beside it: so it can put them in force
    /// together with what else belongs to that fleet.
    pub fn renew<T>(&self, watched: Watched, publish: impl FnOnce(Standings) -> T) -> T {
        let mut watch = self.0.watch.lock();
        let standings = watch.renew(watched, self.0.clock.moment(), rand::random);
        let result = publish(standings);
        let ready = watch.table.is_ready();
        drop(watch);
        self.0.ready.send_if_modified(|known| ready && !std::mem::replace(known, true));
        self.0.changed.notify_one();
        result
    }

    /// Takes an operator's order, which holds for so long, or until the next of its kind or the end
    /// of the process.
    ///
    /// # Errors
    /// There is no such PoP.
    pub fn order(
        &self,
        pop: &str,
        order: Order,
        lasting: Option<Duration>,
    ) -> Result<(), NoSuchPop> {
        let mut watch = self.0.watch.lock();
        let id = watch.watched.fleet.find(pop).ok_or_else(|| NoSuchPop(pop.to_owned()))?;
        let now = self.0.clock.moment();
        let end = lasting.map(|lasting| now.plus(lasting));
        tracing::info!(pop, order = word(order), lasting = ?lasting, "an operator's order");
        if let Some(standings) = watch.order(id, order, end, now) {
            (self.0.publish)(standings);
        }
        drop(watch);
        self.0.changed.notify_one();
        Ok(())
    }

    /// Takes what nodes say of their PoPs' load, in the place of all that they said before.
    pub fn hear(&self, told: HashMap<Arc<str>, Load>) {
        let mut watch = self.0.watch.lock();
        watch.table.hear(told);
        if let Some(standings) = watch.look(self.0.clock.moment()) {
            (self.0.publish)(standings);
        }
        drop(watch);
        // Reports grow old.
        self.0.changed.notify_one();
    }

    /// A time of this process, as reports have it.
    #[must_use]
    pub fn moment_at(&self, time: Instant) -> Moment {
        self.0.clock.moment_at(time)
    }

    /// Probes so far that this node could not make.
    #[must_use]
    pub fn blind(&self) -> u64 {
        self.0.watch.lock().blind
    }

    /// Whether every target has a result, or cannot be had one of: before that, what is up is a
    /// guess.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.watch.lock().table.is_ready()
    }

    /// Waits until that has been so for every target that there was.
    pub async fn ready(&self) {
        let mut ready = self.0.ready.subscribe();
        // The sender lives as long as this prober.
        drop(ready.wait_for(|ready| *ready).await);
    }

    /// How the PoPs stand.
    #[must_use]
    pub fn standings(&self) -> Standings {
        self.0.watch.lock().standings().clone()
    }

    /// What is known of every PoP.
    #[must_use]
    pub fn status(&self) -> Vec<PopStatus> {
        self.0.watch.lock().status(self.0.clock.moment())
    }
}

impl Inner {
    /// Begins what is due; how long nothing else will be.
    fn begin(&self, under_way: &mut UnderWay) -> Option<Duration> {
        let mut watch = self.watch.lock();
        let now = self.clock.moment();
        let room = watch.watched.probes_max.saturating_sub(under_way.probes.len());
        for due in watch.begin(room, now) {
            under_way.begin(due, &*self.attempt);
        }
        let has_room = watch.watched.probes_max > under_way.probes.len();
        Some(wait(now, watch.next(has_room, now)?))
    }

    fn take(&self, due: &Due, outcome: Outcome) {
        let mut watch = self.watch.lock();
        let now = self.clock.moment();
        if let Some(standings) = watch.take(due, outcome, now, rand::random()) {
            (self.publish)(standings);
        }
        let ready = watch.table.is_ready();
        self.ready.send_if_modified(|known| ready && !std::mem::replace(known, true));
    }

    fn look(&self) {
        let mut watch = self.watch.lock();
        if let Some(standings) = watch.look(self.clock.moment()) {
            (self.publish)(standings);
        }
    }
}

/// Probes that have begun.
#[derive(Default)]
struct UnderWay {
    probes: JoinSet<Outcome>,
    which: HashMap<Id, Due>,
}

impl UnderWay {
    fn begin(&mut self, due: Due, attempt: &dyn Attempt) {
        let probe = attempt.attempt(due.address, &due.check);
        let id = self.probes.spawn(probe).id();
        self.which.insert(id, due);
    }

    /// The next to end; nothing if none has begun.
    async fn next(&mut self) -> Option<(Due, Outcome)> {
        let (id, outcome) = match self.probes.join_next_with_id().await? {
            Ok(ended) => ended,
            Err(error) => (error.id(), Err(broken(&error))),
        };
        Some((self.which.remove(&id)?, outcome))
    }
}

fn broken(error: &JoinError) -> Fault {
    tracing::error!(%error, "a probe broke off; it counts as failed");
    Fault::Broken
}

/// Rounded up: a timer that fires too early would have nothing to do, again and again.
fn wait(now: Moment, next: Moment) -> Duration {
    next.since(now).max(Duration::from_millis(1))
}

async fn wait_or_never(wait: Option<Duration>) {
    match wait {
        Some(wait) => sleep_until(Instant::now() + wait).await,
        None => std::future::pending().await,
    }
}

const fn word(order: Order) -> &'static str {
    match order {
        Order::Drain => "drain",
        Order::Undrain => "undrain",
        Order::Force(StateWord::Up) => "force up",
        Order::Force(StateWord::Down) => "force down",
        Order::Unforce => "unforce",
        Order::Clear => "clear",
    }
}

/// Why a target is in its state, in words.
fn told(outcome: Option<&Outcome>) -> String {
    match outcome {
        Some(Ok(_)) => "it passes".to_owned(),
        Some(Err(fault)) => fault.to_string(),
        None => "not probed yet".to_owned(),
    }
}
