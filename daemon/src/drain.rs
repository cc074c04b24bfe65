//! Ending in order: stop taking work, let what runs finish, know what did not.
//!
//! In: `start`, `stop`, and guards held by connections and tasks. Out: a phase that anyone may await
//! and the number of guards still held when the wait ended.
//! Always: phases only move forward (running, draining, stopped); a guard counts from its making to
//! its drop, whatever the phase; who only attends to the work of others is waited for and is no work
//! left undone; nothing here waits under a lock.
//! Does not know: what a guard protects, how a connection is told to close, or the process's exit.
//! Clause: docs/operate.md *Drain and stop*.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// How far the process has come on its way to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Work is taken.
    Running,
    /// No new work is taken; what runs may finish.
    Draining,
    /// Nobody waits any longer.
    Stopped,
}

/// How a wait for the guards ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every guard was dropped, or only attendants' were left.
    Complete,
    /// The deadline passed, or `stop` was called, with this many guards still held beside those.
    Partial {
        /// Guards still held.
        remaining: usize,
    },
}

#[derive(Debug)]
struct Guards {
    held: AtomicUsize,
    /// How many of them attend.
    attending: AtomicUsize,
    last_dropped: Notify,
}

/// The operator's side: starts the drain and waits for its end. Clones share one state.
#[derive(Debug, Clone)]
pub struct Drain {
    phase: watch::Sender<Phase>,
    guards: Arc<Guards>,
}

/// The worker's side: learns of the drain and holds guards. Clones share one state.
#[derive(Debug, Clone)]
pub struct Draining {
    phase: watch::Receiver<Phase>,
    guards: Arc<Guards>,
}

/// Something that a drain waits for: a connection, a filling, a task.
#[derive(Debug)]
#[must_use = "a guard counts only while it is held"]
pub struct Guard {
    guards: Arc<Guards>,
    attends: bool,
}

/// A new pair, running, with no guard held.
#[must_use]
pub fn drain() -> (Drain, Draining) {
    let (sender, receiver) = watch::channel(Phase::Running);
    let guards = Arc::new(Guards {
        held: AtomicUsize::new(0),
        attending: AtomicUsize::new(0),
        last_dropped: Notify::new(),
    });
    let drain = Drain { phase: sender, guards: Arc::clone(&guards) };
    (drain, Draining { phase: receiver, guards })
}

impl Drain {
    /// Starts the drain; later calls change nothing.
    pub fn start(&self) {
        self.advance(Phase::Draining);
    }

    /// Ends every wait at once, drained or not.
    pub fn stop(&self) {
        self.advance(Phase::Stopped);
    }

    /// Another worker's side of this drain.
    #[must_use]
    pub fn draining(&self) -> Draining {
        Draining { phase: self.phase.subscribe(), guards: Arc::clone(&self.guards) }
    }

    /// Guards held now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.guards.held.load(Ordering::Acquire)
    }

    /// The work that is left: guards held beside those of attendants.
    #[must_use]
    pub fn left(&self) -> usize {
        self.held().saturating_sub(self.guards.attending.load(Ordering::Acquire))
    }

    /// Waits until no guard is held, `deadline` has passed, or `stop` was called.
    pub async fn wait(&self, deadline: Duration) -> Drained {
        let mut phase = self.phase.subscribe();
        // A deadline too far to be represented is none in practice; a year stands for it.
        let far = Duration::from_secs(365 * 24 * 3600);
        let until = Instant::now() + deadline.min(far);
        tokio::select! {
            biased;
            () = self.guards.none_held() => Drained::Complete,
            _ = phase.wait_for(|phase| *phase == Phase::Stopped) => self.partial(),
            () = tokio::time::sleep_until(until) => self.partial(),
        }
    }

    fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let forward = *phase < to;
            if forward {
                *phase = to;
            }
            forward
        });
    }

    fn partial(&self) -> Drained {
        match self.left() {
            0 => Drained::Complete,
            remaining => Drained::Partial { remaining },
        }
    }
}

impl Draining {
    /// The phase now: one atomic read and an uncontended lock; ask it per connection, not per byte.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Resolves once the drain has started; at once when it had. Dropping every `Drain` starts it too.
    pub fn started(&self) -> impl Future<Output = ()> + Send + 'static {
        reached(self.phase.clone(), Phase::Draining)
    }

    /// Resolves once the process must end now.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        reached(self.phase.clone(), Phase::Stopped)
    }

    /// A guard that the drain waits for.
    pub fn guard(&self) -> Guard {
        self.guards.held.fetch_add(1, Ordering::AcqRel);
        Guard { guards: Arc::clone(&self.guards), attends: false }
    }

    /// A guard of who attends to what others guard: a worker thread, which ends after its connections.
    /// The drain waits for it, but it is nothing that was in flight.
    pub fn attendance(&self) -> Guard {
        self.guards.attending.fetch_add(1, Ordering::AcqRel);
        let mut guard = self.guard();
        guard.attends = true;
        guard
    }
}

async fn reached(mut receiver: watch::Receiver<Phase>, phase: Phase) {
    // An error means that nobody is left who could ever ask: the owner has gone, so end.
    drop(receiver.wait_for(|now| *now >= phase).await);
}

impl Guards {
    async fn none_held(&self) {
        loop {
            // Made before the count is read: from here on it sees every `notify_waiters`.
            let dropped = self.last_dropped.notified();
            if self.held.load(Ordering::Acquire) == 0 {
                return;
            }
            dropped.await;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.attends {
            self.guards.attending.fetch_sub(1, Ordering::AcqRel);
        }
        let before = self.guards.held.fetch_sub(1, Ordering::AcqRel);
        debug_assert!(before > 0, "a guard was dropped twice");
        if before == 1 {
            self.guards.last_dropped.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn nothing_held_is_drained_at_once() {
        let (drain, _draining) = drain();
        let before = Instant::now();
        assert_eq!(drain.wait(LONG).await, Drained::Complete);
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_ends_with_the_last_guard() {
        let (drain, draining) = drain();
        let guards = [draining.guard(), draining.guard()];
        drain.start();
        let waiter = tokio::spawn({
            let drain = drain.clone();
            async move { drain.wait(LONG).await }
        });
        draining.started().await;
        let before = Instant::now();
        for guard in guards {
            tokio::task::yield_now().await;
            assert!(!waiter.is_finished(), "a guard is still held");
            drop(guard);
        }
        assert_eq!(waiter.await.unwrap(), Drained::Complete);
        assert!(before.elapsed() < LONG);
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_ends_the_wait_and_the_rest_is_counted() {
        let (drain, draining) = drain();
        let _first = draining.guard();
        let _second = draining.guard();
        drop(draining.guard());
        drain.start();
        let before = Instant::now();
        let end = drain.wait(Duration::from_secs(25)).await;
        assert_eq!(end, Drained::Partial { remaining: 2 });
        assert_eq!(before.elapsed().as_secs(), 25);
        assert_eq!(drain.held(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn attendants_are_waited_for_and_not_counted() {
        let (drain, draining) = drain();
        let attendant = draining.attendance();
        let work = draining.guard();
        drain.start();
        assert_eq!(drain.wait(Duration::ZERO).await, Drained::Partial { remaining: 1 });
        drop(work);
        let before = Instant::now();
        assert_eq!(drain.wait(Duration::from_secs(5)).await, Drained::Complete);
        assert_eq!(before.elapsed().as_secs(), 5, "it was waited for");
        drop(attendant);
        let _late = draining.guard();
        assert_eq!(drain.wait(Duration::ZERO).await, Drained::Partial { remaining: 1 });
    }

    #[tokio::test(start_paused = true)]
    async fn stop_ends_the_wait_before_the_deadline() {
        let (drain, draining) = drain();
        let _guard = draining.guard();
        let waiter = tokio::spawn({
            let drain = drain.clone();
            async move { drain.wait(Duration::MAX).await }
        });
        tokio::task::yield_now().await;
        drain.stop();
        draining.stopped().await;
        assert_eq!(waiter.await.unwrap(), Drained::Partial { remaining: 1 });
    }

    #[tokio::test(start_paused = true)]
    async fn phases_only_move_forward() {
        let (drain, draining) = drain();
        assert_eq!(draining.phase(), Phase::Running);
        drain.start();
        assert_eq!(draining.phase(), Phase::Draining);
        drain.stop();
        drain.start();
        assert_eq!(draining.phase(), Phase::Stopped);
        drain.draining().started().await;
    }

    #[tokio::test(start_paused = true)]
    async fn losing_the_drain_starts_it() {
        let (drain, draining) = drain();
        drop(drain);
        draining.started().await;
    }

    #[test]
    fn guards_dropped_on_many_threads_are_all_seen() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        for _ in 0..200 {
            let (drain, draining) = drain();
            let threads = [(); 4].map(|()| {
                let guard = draining.guard();
                std::thread::spawn(move || drop(guard))
            });
            let end = runtime.block_on(drain.wait(Duration::from_secs(20)));
            assert_eq!(end, Drained::Complete);
            for thread in threads {
                thread.join().unwrap();
            }
        }
    }
}
