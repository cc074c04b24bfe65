//! What every transport reads without waiting: the view in force, the clock, the drain.
//!
//! In: views, which the loader and the prober publish whole. Out: the view in force, pinned for a
//! batch of queries. Always holds: zones, maps and routes, the standings of the fleet that they were
//! made for, and the limiter change together, so that a query never sees a PoP of one fleet with the
//! standing of another; reading costs no lock and, pinned, no atomic write; a retired view is freed
//! by [`Shared::publish`], [`Shared::stand`] or [`Shared::sweep`], never by who reads.
//! It deliberately does not know who publishes, or what an answer is.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::{ArcSwap, Cache, Guard};
use geodns_core::{
    answer::{Served, Snapshot, snapshot::Mismatch},
    limit::Limiter,
    standing::Standings,
};
use nearcast_daemon::drain::{Drain, Draining, drain};
use parking_lot::Mutex;

use crate::{
    clock::Clock,
    given_up::GivenUp,
    record::{Labels, Recorder},
};

/// All that an answer depends on, beside the query and the moment.
#[derive(Clone, Debug)]
pub struct View {
    served: Served,
    limiter: Option<Arc<Limiter>>,
    labels: Arc<Labels>,
}

/// See the module.
pub struct Shared {
    view: Arc<ArcSwap<View>>,
    /// Views that are no longer in force, until nobody reads them. Publishing holds the lock.
    retired: Mutex<Vec<Arc<View>>>,
    recorder: Arc<Recorder>,
    clock: Clock,
    draining: AtomicBool,
    drain: Drain,
    given_up: GivenUp,
}

/// One reader's hold on the view in force. It keeps the last view that it saw alive, so its owner
/// looks again now and then even when nobody asks.
#[derive(Debug)]
pub struct Pin(Cache<Arc<ArcSwap<View>>, Arc<View>>);

impl Shared {
    /// Shares what is served from now on; nobody is limited where there is no limiter.
    #[must_use]
    pub fn new(
        served: Served,
        limiter: Option<Arc<Limiter>>,
        recorder: Arc<Recorder>,
        clock: Clock,
    ) -> Arc<Self> {
        let labels = Arc::new(recorder.labels(served.snapshot()));
        let view = View { served, limiter, labels };
        Arc::new(Self {
            view: Arc::new(ArcSwap::from_pointee(view)),
            retired: Mutex::new(Vec::new()),
            recorder,
            clock,
            draining: AtomicBool::new(false),
            drain: drain().0,
            given_up: GivenUp::default(),
        })
    }

    /// The clock of this server.
    #[must_use]
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// Where this server counts and logs.
    #[must_use]
    pub const fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    /// Which drains were given up, and when.
    pub(crate) const fn given_up(&self) -> &GivenUp {
        &self.given_up
    }

    /// Puts a snapshot, with the standings of its fleet, in force.
    pub fn publish(&self, served: Served, limiter: Option<Arc<Limiter>>) {
        let labels = Arc::new(self.recorder.labels(served.snapshot()));
        let mut retired = self.retired.lock();
        self.replace(View { served, limiter, labels }, &mut retired);
    }

    /// Puts new standings of the same fleet in force.
    ///
    /// # Errors
    /// They are of another fleet: a snapshot was published meanwhile. Nothing has changed.
    pub fn stand(
        &self,
        snapshot: &Arc<Snapshot>,
        standings: Arc<Standings>,
    ) -> Result<(), Mismatch> {
        let mut retired = self.retired.lock();
        let view = self.view.load_full();
        if !std::ptr::eq(view.served.snapshot(), &**snapshot) {
            return Err(Mismatch);
        }
        let served = Served::new(Arc::clone(snapshot), standings)?;
        let limiter = view.limiter.clone();
        let labels = Arc::clone(&view.labels);
        drop(view);
        self.replace(View { served, limiter, labels }, &mut retired);
        Ok(())
    }

    fn replace(&self, view: View, retired: &mut Vec<Arc<View>>) {
        retired.push(self.view.swap(Arc::new(view)));
        free(retired);
    }

    /// Frees retired views that nobody reads any longer, and says how many are still read. To be
    /// called now and then: readers let go at their next look, at most a wake-up later.
    pub fn sweep(&self) -> usize {
        let mut retired = self.retired.lock();
        free(&mut retired);
        retired.len()
    }

    /// The view in force, for one look.
    #[must_use]
    pub fn view(&self) -> Guard<Arc<View>> {
        self.view.load()
    }

    /// A hold on the view in force, for who looks often.
    #[must_use]
    pub fn pin(&self) -> Pin {
        Pin(Cache::new(Arc::clone(&self.view)))
    }

    /// Begins the end: what was received is answered, listeners close, connections end.
    pub fn start_draining(&self) {
        self.draining.store(true, Ordering::Release);
        self.drain.start();
    }

    /// Whether the end has begun; one load.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// The same, to await it and to be waited for.
    #[must_use]
    pub fn draining(&self) -> Draining {
        self.drain.draining()
    }

    /// The side of the drain that waits.
    #[must_use]
    pub const fn drain(&self) -> &Drain {
        &self.drain
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("draining", &self.is_draining()).finish_non_exhaustive()
    }
}

impl View {
    /// What queries are answered from.
    #[must_use]
    pub const fn served(&self) -> &Served {
        &self.served
    }

    /// What networks were sent.
    #[must_use]
    pub fn limiter(&self) -> Option<&Limiter> {
        self.limiter.as_deref()
    }

    /// Where its zones and PoPs are counted.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.labels
    }
}

impl Pin {
    /// The view in force: one load where it is the one that was seen last.
    pub fn view(&mut self) -> &View {
        self.0.load()
    }
}

/// A view that only this list holds can be taken up by nobody: it is out of the swap, and readers
/// copy their hold from there alone.
fn free(retired: &mut Vec<Arc<View>>) {
    retired.retain(|view| Arc::strong_count(view) > 1);
}
