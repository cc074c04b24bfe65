//! The deadlines of all connections of one worker, held by one sweeper instead of a timer per request.
//!
//! In go connections that come and go and the deadlines that they set for themselves, out go wake-ups of those whose
//! deadline has passed. A deadline is met between its moment and one tick later, never before it. The woken
//! connection decides what its deadline meant. The clock is tokio's, so a paused test clock moves it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior};

use super::shared::{EXPIRED, NEVER, Shared};

/// How many connections are looked at before other tasks get a turn: a full house must not delay a request.
const SLICE: usize = 4096;

/// One worker's sweeper and its register of connections; clones share it.
#[derive(Debug, Clone)]
pub struct Deadlines {
    register: Arc<Register>,
}

#[derive(Debug)]
struct Register {
    epoch: Instant,
    tick: Duration,
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    connections: Vec<Option<Arc<Shared>>>,
    free: Vec<usize>,
}

impl Deadlines {
    /// A register whose sweeper looks every `tick`. Call it inside the runtime whose clock counts.
    #[must_use]
    pub fn new(tick: Duration) -> Self {
        let tick = tick.max(Duration::from_millis(1));
        Self {
            register: Arc::new(Register {
                epoch: Instant::now(),
                tick,
                places: Mutex::new(Places::default()),
            }),
        }
    }

    /// Sweeps until dropped. The worker spawns it once, on the runtime that polls the connections.
    pub async fn sweep(self) {
        let mut interval = tokio::time::interval(self.register.tick);
        interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            interval.tick().await;
            let mut from = 0;
            while self.sweep_slice(from) {
                from += SLICE;
                tokio::task::yield_now().await;
            }
        }
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        let places = self.register.places.lock();
        places.connections.len() - places.free.len()
    }

    /// Wakes the overdue of one slice; says whether another slice follows.
    fn sweep_slice(&self, from: usize) -> bool {
        let now = self.now_millis();
        let places = self.register.places.lock();
        let slice = places.connections.get(from..).unwrap_or_default();
        for connection in slice.iter().take(SLICE).flatten() {
            if connection.is_overdue(now) {
                connection.wish(EXPIRED);
            }
        }
        slice.len() > SLICE
    }

    pub(super) fn now_millis(&self) -> u64 {
        u64::try_from((Instant::now() - self.register.epoch).as_millis()).unwrap_or(NEVER - 1)
    }

    /// The moment `timeout` from now.
    pub(super) fn after(&self, timeout: Duration) -> u64 {
        let millis = u64::try_from(timeout.as_millis()).unwrap_or(NEVER);
        self.now_millis().saturating_add(millis)
    }

    pub(super) fn enter(&self, connection: Arc<Shared>) -> usize {
        let mut places = self.register.places.lock();
        if let Some(place) = places.free.pop() {
            if let Some(free) = places.connections.get_mut(place) {
                *free = Some(connection);
            }
            return place;
        }
        places.connections.push(Some(connection));
        places.connections.len() - 1
    }

    pub(super) fn leave(&self, place: usize) {
        let mut places = self.register.places.lock();
        if places.connections.get_mut(place).and_then(Option::take).is_some() {
            places.free.push(place);
        }
    }
}
