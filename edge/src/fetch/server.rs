//! One origin server: its connections, its queue, and what is known of how it does.
//!
//! Always holds: never more than `connections_max` connections; never more than `queue_max`
//! requests waiting for one; every change of its state is told once, with the reason. It knows nothing of
//! other servers or of retries: [`super::choose`] compares.

#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use edge_core::{
    concurrency::Limit,
    ejection::{EjectionPlan, Reason, Shown},
    settings::ConcurrencyWord,
    site::{OriginPlan, ServerAddress, ServerPlan},
};
use ground::moment::Moment;
use http::HeaderValue;
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use super::{
    FetchError,
    link::Link,
    probe::Verdict,
    standing::{Room, Standing, State},
    trunk::Trunks,
};
use crate::clock::Clock;

/// One server and what is known of it.
pub struct Server {
    site: Arc<str>,
    pub(super) address: ServerAddress,
    pub(super) plan: ServerPlan,
    pub(super) authority: HeaderValue,
    clock: Clock,
    idle: Mutex<Vec<Idle>>,
    pub(super) trunks: Trunks,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    in_flight: AtomicU32,
    state: Mutex<State>,
    pub(super) counts: Arc<ServerCounts>,
}

/// What a server has done so far.
#[derive(Debug, Default)]
pub struct ServerCounts {
    /// Requests sent.
    pub requests: AtomicU64,
    /// Connections opened.
    pub connections: AtomicU64,
    /// Connections that are open now.
    pub open: AtomicU64,
    /// TLS sessions among them that resumed an earlier one.
    pub resumed: AtomicU64,
    /// Requests that failed and blame the server.
    pub failures: AtomicU64,
    /// Times it was left out.
    pub ejections: AtomicU64,
}

/// A connection, counted until it drops.
pub struct Counted(Arc<ServerCounts>);

impl Counted {
    pub(super) fn of(counts: &Arc<ServerCounts>) -> Self {
        counts.open.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(counts))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}

struct Idle {
    link: Link,
    since: Instant,
}

/// A request's place at a server: counted until it drops.
pub(super) struct Admission {
    server: Arc<Server>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Admission {
    fn at(server: &Arc<Server>, permit: OwnedSemaphorePermit) -> Self {
        server.in_flight.fetch_add(1, Ordering::AcqRel);
        Self { server: Arc::clone(server), permit: Some(permit) }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.server.in_flight.fetch_sub(1, Ordering::AcqRel);
        if let Some(permit) = self.permit.take()
            && self.server.gives_up_a_permit()
        {
            permit.forget();
        }
    }
}

impl Server {
    /// A server by `plan`; what is known of `before`, which was at the same URL, goes on.
    pub(super) fn new(
        plan: &ServerPlan,
        origin: &OriginPlan,
        clock: Clock,
        before: Option<&Self>,
    ) -> Arc<Self> {
        let address = plan.address.clone();
        let authority = HeaderValue::from_str(&address.authority)
            .unwrap_or_else(|_| HeaderValue::from_static("invalid"));
        let (check, now) = (origin.check.as_deref(), moment(clock));
        let mut state = match before {
            Some(one) => one.state.lock().renewed(check, now),
            None => State::new(check, now),
        };
        let max = origin.connections_max;
        let room = (origin.concurrency == ConcurrencyWord::Adaptive).then(|| {
            let known = state.room.map(|room| room.limit.within(max, now));
            let limit = known.unwrap_or_else(|| Limit::new(max, now));
            Room { limit, granted: limit.value() }
        });
        let permits = room.map_or(max, |room| room.granted);
        state.room = room;
        Arc::new(Self {
            site: Arc::clone(&origin.site),
            address,
            plan: plan.clone(),
            authority,
            clock,
            idle: Mutex::new(Vec::new()),
            trunks: Trunks::default(),
            permits: Arc::new(Semaphore::new(
                usize::try_from(permits).unwrap_or(Semaphore::MAX_PERMITS),
            )),
            waiting: AtomicUsize::new(0),
            in_flight: AtomicU32::new(0),
            state: Mutex::new(state),
            counts: before.map(|one| Arc::clone(&one.counts)).unwrap_or_default(),
        })
    }

    /// What logs and metrics call it.
    pub fn name(&self) -> &str {
        &self.plan.name
    }

    /// What the settings say of it.
    pub fn plan(&self) -> &ServerPlan {
        &self.plan
    }

    /// What it has done so far.
    pub fn counts(&self) -> &ServerCounts {
        &self.counts
    }

    /// Requests that wait for a connection now.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Requests that it has now.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Requests that it may have at once, where its answers say.
    pub fn limit(&self) -> Option<u32> {
        self.state.lock().room.map(|room| room.limit.value())
    }

    /// Its measured time to the first byte; zero where none was measured.
    pub fn first_byte(&self) -> Duration {
        Duration::from_micros(self.state.lock().latency.micros(self.now()))
    }

    /// Checks of it that failed so far.
    pub fn checks_failed(&self) -> u64 {
        self.state.lock().checks_failed
    }

    /// Whether it is left out now for what requests have shown.
    pub fn is_ejected(&self) -> bool {
        self.state.lock().record.ejection(self.now()).is_some()
    }

    /// Whether it is asked as others are, and since when.
    pub fn standing(&self) -> (Standing, Duration) {
        let now = self.now();
        self.state.lock().standing(now)
    }

    /// For how long it has been out, one ejection after the other; of one that is not, since its standing
    /// changed.
    pub(super) fn out_for(&self) -> Duration {
        self.glance(|state, now| {
            let since = state.record.out_since().map_or(Duration::ZERO, |since| now.since(since));
            state.standing(now).1.max(since)
        })
    }

    fn moment_of(&self, at: Instant) -> Moment {
        Moment::from_millis(self.clock.at(at).as_millis())
    }

    /// What is known of it, for choosing.
    pub(super) fn glance<T>(&self, look: impl FnOnce(&mut State, Moment) -> T) -> T {
        let now = self.now();
        look(&mut self.state.lock(), now)
    }

    fn now(&self) -> Moment {
        moment(self.clock)
    }

    /// Whether a request would have a connection at once.
    pub(super) fn is_free(&self) -> bool {
        self.permits.available_permits() > 0
    }

    /// Waits for a connection to be free, no longer than `patience` is left, which it uses up.
    pub(super) async fn admit(
        self: &Arc<Self>,
        plan: &OriginPlan,
        patience: &mut Duration,
    ) -> Result<Admission, FetchError> {
        if let Some(admission) = self.admit_now() {
            return Ok(admission);
        }
        let queue_timeout = || FetchError::QueueTimeout {
            server: self.address.authority.clone(),
            limit: plan.queue_timeout,
        };
        if patience.is_zero() {
            return Err(queue_timeout());
        }
        let queue_max = usize::try_from(plan.queue_max).unwrap_or(usize::MAX);
        let _place = Place::take(self, queue_max)
            .ok_or_else(|| FetchError::QueueFull { server: self.address.authority.clone() })?;
        let before = Instant::now();
        let waited = timeout(*patience, Arc::clone(&self.permits).acquire_owned()).await;
        *patience = patience.saturating_sub(before.elapsed());
        match waited {
            Ok(Ok(permit)) => Ok(Admission::at(self, permit)),
            // The semaphore is never closed; a closed one would be as good as a full one.
            Ok(Err(_)) | Err(_) => Err(queue_timeout()),
        }
    }

    pub(super) fn checkout(&self, keep_alive: Duration) -> Option<Link> {
        let mut idle = self.idle.lock();
        // The most recently used one is the least likely to be closed by the server just now.
        while let Some(candidate) = idle.pop() {
            let is_young = candidate.since.elapsed() < keep_alive;
            if is_young && !candidate.link.is_closed() && candidate.link.is_quiet() {
                return Some(candidate.link);
            }
        }
        None
    }

    pub(super) fn put_back(&self, link: Link) {
        if !link.is_closed() {
            self.idle.lock().push(Idle { link, since: Instant::now() });
        }
    }

    pub(super) fn sweep(&self, keep_alive: Duration) {
        self.idle.lock().retain(|idle| !idle.link.is_closed() && idle.since.elapsed() < keep_alive);
        self.trunks.sweep(keep_alive);
    }

    /// Closes all kept connections: a server that has closed one has probably closed the others,
    /// and beside a new one they would be too many.
    pub(super) fn drop_idle(&self) {
        self.idle.lock().clear();
        self.trunks.drop_idle();
    }

    /// A response came to a request that went out at `sent`, so long after all of it was there, if all of
    /// it was; whether its status counts as an error, and whether it is a server's. How fast a server
    /// fails is no measure of how fast it is.
    pub(super) fn answered(
        &self,
        plan: &EjectionPlan,
        (sent, took): (Instant, Option<Duration>),
        (is_error, is_5xx): (bool, bool),
    ) {
        let (in_flight, sent) = (self.in_flight(), self.moment_of(sent));
        let is_fault = is_error || is_5xx;
        self.glance(|state, now| {
            state.count(is_fault, sent, now);
            state.record.answered(plan, sent, now, is_error);
            let Some(took) = took.filter(|_| !is_fault) else { return };
            state.measure(took, sent, now);
            if let Some(room) = &mut state.room {
                room.limit.answered(took, in_flight, now);
            }
            self.fit(state);
        });
    }

    /// A response came to its end whose request went out at `sent`.
    pub(super) fn succeeded(&self, sent: Instant) {
        let sent = self.moment_of(sent);
        if self.glance(|state, now| state.record.succeeded(sent, now)) {
            self.look();
        }
    }

    /// It gave no response to what was sent at `sent`, or half of one. A response is one whatever its
    /// status and framing say: else a client that knows a URL that is answered 503 could have the server
    /// left out for all.
    pub(super) fn failed(&self, plan: &OriginPlan, sent: Instant) {
        let sent = self.moment_of(sent);
        self.counts.failures.fetch_add(1, Ordering::Relaxed);
        self.glance(|state, now| {
            state.count(true, sent, now);
            state.record.failed(&plan.ejection, sent, now);
        });
    }

    /// It has let a request wait in vain since `sent`, and nobody waits any more.
    pub(super) fn was_late(&self, sent: Instant) {
        self.was_slow(sent);
        self.glance(|state, now| {
            if let Some(room) = &mut state.room {
                room.limit.was_late(now);
            }
            self.fit(state);
        });
    }

    /// It has not answered yet what was sent at `sent`.
    pub(super) fn was_slow(&self, sent: Instant) {
        let (waited, sent) = (sent.elapsed(), self.moment_of(sent));
        self.glance(|state, now| state.measure(waited, sent, now));
    }

    /// Has as many permits as the limit says; those that are taken are given up when they come back.
    fn fit(&self, state: &mut State) {
        let Some(room) = &mut state.room else { return };
        let limit = room.limit.value();
        if limit > room.granted {
            self.permits.add_permits(permits(limit - room.granted));
            room.granted = limit;
        } else {
            let forgotten = self.permits.forget_permits(permits(room.granted - limit));
            room.granted -= u32::try_from(forgotten).unwrap_or(0);
        }
    }

    fn gives_up_a_permit(&self) -> bool {
        self.glance(|state, _| match &mut state.room {
            Some(room) if room.granted > room.limit.value() => {
                room.granted -= 1;
                true
            }
            Some(_) | None => false,
        })
    }

    /// A place at once, if there is one.
    pub(super) fn admit_now(self: &Arc<Self>) -> Option<Admission> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        Some(Admission::at(self, permit))
    }

    /// Takes what a check of it came to.
    pub(super) fn checked(&self, verdict: Verdict) {
        self.glance(|state, now| state.take(verdict, now));
        self.look();
    }

    /// Takes note that the answer of one that was left out has been looked at; whether nobody else was up,
    /// so that failures in a row are forgotten.
    pub(super) fn take_answered(&self, is_over: bool) {
        self.glance(|state, now| {
            state.record.take_answered();
            if is_over {
                state.record.pardon(now);
            }
        });
    }

    /// Leaves it out.
    pub(super) fn eject(&self, plan: &EjectionPlan, reason: Reason) {
        self.counts.ejections.fetch_add(1, Ordering::Relaxed);
        self.glance(|state, now| state.record.eject(plan, reason, now));
        self.look();
    }

    /// Notes whether it is up, and tells if that has changed.
    pub(super) fn look(&self) {
        self.glance(|state, now| state.look((&self.site, self.name()), now));
    }

    /// What is to be judged beside the others.
    pub(super) fn shown(&self, plan: &EjectionPlan) -> Shown {
        self.glance(|state, now| Shown {
            role: self.plan.role,
            group: self.plan.group,
            is_down: state.is_down(),
            ..state.record.shown(plan, state.latency.micros(now), now)
        })
    }
}

fn permits(count: u32) -> usize {
    usize::try_from(count).unwrap_or(Semaphore::MAX_PERMITS)
}

fn moment(clock: Clock) -> Moment {
    Moment::from_millis(clock.now().as_millis())
}

/// A place in a server's queue.
struct Place<'a>(&'a Server);

impl<'a> Place<'a> {
    fn take(server: &'a Server, max: usize) -> Option<Self> {
        server
            .waiting
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |waiting| {
                (waiting < max).then_some(waiting + 1)
            })
            .ok()
            .map(|_| Self(server))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}
