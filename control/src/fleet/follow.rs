//! A process follows the fleet.
//!
//! In: a ledger, its roster, the fleet on this machine's own disk. Out: [`Fleet`], and each change of it;
//! which of them the disk has.
//! Always: what the ledger says is there before [`follow`] returns, or what the disk says where the
//! ledger is away; nobody polls; while the ledger is away the fleet stays as it was. It does not know
//! what follows from it.

use std::{collections::BTreeSet, convert::Infallible, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet, time::timeout};

use super::{
    Fleet, FleetFile,
    load::{Loads, loads},
};
use crate::{
    drain::{self, DRAINS, Drains},
    keeper::Keeper,
    ledger::{Epoch, Ledger, LedgerError, Log},
    node::Retry,
    roster::{Roster, Seen, Sighting},
};

/// How long the ledger may take at the start.
const FIRST_MAX: Duration = Duration::from_secs(5);

/// The fleet, as long as this is there.
#[derive(Debug)]
pub struct Following {
    fleet: watch::Receiver<Arc<Fleet>>,
    loads: watch::Receiver<Arc<Loads>>,
    on_disk: watch::Receiver<OnDisk>,
    _task: JoinSet<()>,
}

/// Which fleet a start without the ledger would know; where there is no such start, the newest.
#[derive(Clone, Debug, Default)]
pub struct OnDisk {
    fleet: Option<Arc<Fleet>>,
    is_failing: bool,
}

impl OnDisk {
    /// It would know this one.
    #[must_use]
    pub fn has(&self, fleet: &Arc<Fleet>) -> bool {
        self.fleet.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, fleet))
    }

    /// Whether a newer one cannot be written, for now.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.is_failing
    }

    /// The last try to keep that.
    pub(crate) fn tried(&mut self, fleet: &Arc<Fleet>, is_kept: bool) {
        if is_kept {
            self.fleet = Some(Arc::clone(fleet));
        }
        self.is_failing = !is_kept;
    }
}

impl Following {
    /// The fleet, and each change of it.
    #[must_use]
    pub fn fleet(&self) -> watch::Receiver<Arc<Fleet>> {
        self.fleet.clone()
    }

    /// What the disk has of it, and each change of that.
    #[must_use]
    pub fn on_disk(&self) -> watch::Receiver<OnDisk> {
        self.on_disk.clone()
    }

    /// What the nodes of each PoP carry, and each report of it; nothing is kept of it.
    #[must_use]
    pub fn loads(&self) -> watch::Receiver<Arc<Loads>> {
        self.loads.clone()
    }
}

/// Follows the fleet, inside the runtime that it goes on in; keeps it in `file`, if there is to be one.
pub async fn follow(ledger: Arc<dyn Ledger>, roster: Roster, file: Option<FleetFile>) -> Following {
    let before = file.as_ref().and_then(FleetFile::read).unwrap_or_default();
    let tell_kept = watch::Sender::new(OnDisk::default());
    let on_disk = tell_kept.subscribe();
    let keeping = Keeping::begin(file, tell_kept);
    let (tell, told) = watch::channel(Arc::new(before));
    let report = watch::Sender::new(Arc::<Loads>::default());
    let loads = report.subscribe();
    let follower = Follower { ledger, roster, keeping, tell, report };
    match timeout(FIRST_MAX, follower.read()).await {
        Ok(Ok((drains, epoch))) => follower.take(&drains, epoch),
        Ok(Err(error)) => {
            tracing::warn!(%error, "drains cannot be read; the fleet is as it was last known here");
        }
        Err(_late) => {
            tracing::warn!(
                "the ledger does not say which nodes are drained; the fleet is as it was \
                            last known here"
            );
        }
    }
    let mut task = JoinSet::new();
    task.spawn(follower.run());
    Following { fleet: told, loads, on_disk, _task: task }
}

/// The epochs of purge logs that nodes go by. A log may be made anew alone, which those notice that follow
/// it: where these change, it is looked at again.
fn epochs(seen: &Seen) -> BTreeSet<u64> {
    let applied = |(_, node): (_, &Sighting)| node.document.as_ref().ok()?.applied;
    seen.nodes().filter_map(applied).map(|applied| applied.epoch.0).collect()
}

struct Follower {
    ledger: Arc<dyn Ledger>,
    roster: Roster,
    keeping: Keeping,
    tell: watch::Sender<Arc<Fleet>>,
    report: watch::Sender<Arc<Loads>>,
}

impl Follower {
    async fn run(self) {
        let mut retry = Retry::default();
        loop {
            let Err(error) = self.follow(&mut retry).await;
            if retry.is_first() {
                tracing::warn!(%error, "drains cannot be followed; trying again");
            }
            retry.wait().await;
        }
    }

    async fn follow(&self, retry: &mut Retry) -> Result<Infallible, LedgerError> {
        let mut seen = self.roster.seen();
        loop {
            let met = epochs(&seen.borrow());
            let (mut drains, epoch) = self.read().await?;
            let mut changes = self.ledger.watch(DRAINS, drains.revision).await?;
            *retry = Retry::default();
            loop {
                seen.borrow_and_update();
                self.take(&drains, epoch);
                tokio::select! {
                    change = changes.next() => drains.change(change?),
                    // Its sender lives as long as the roster.
                    _ = seen.changed() => {}
                }
                if epochs(&seen.borrow()) != met {
                    break;
                }
            }
        }
    }

    /// The drains that there are; the roster knows all nodes of that moment then. First the epoch: if
    /// the ledger is made anew meanwhile they are told as those of the former one, which count nowhere.
    async fn read(&self) -> Result<(Drains, Epoch), LedgerError> {
        let epoch = self.ledger.ends(Log::Purges).await?.last.epoch;
        self.roster.confirm().await?;
        Ok((drain::list(&*self.ledger).await?, epoch))
    }

    fn take(&self, drains: &Drains, epoch: Epoch) {
        let (fleet, loads) = {
            let seen = self.roster.seen();
            let seen = seen.borrow();
            (self.tell.borrow().next((drains, epoch), &seen), loads(drains, &seen))
        };
        self.report.send_if_modified(|before| {
            let is_new = **before != loads;
            if is_new {
                *before = Arc::new(loads);
            }
            is_new
        });
        if **self.tell.borrow() != fleet {
            let fleet = Arc::new(fleet);
            self.tell.send_replace(Arc::clone(&fleet));
            self.keeping.keep(fleet);
        }
    }
}

/// Where the newest fleet goes.
enum Keeping {
    /// To the disk, on a thread that tells.
    On(Keeper<Arc<Fleet>>),
    /// Nowhere, as the ledger is on this disk itself.
    Needless(watch::Sender<OnDisk>),
    /// Nowhere, as there can be no thread.
    Failed(watch::Sender<OnDisk>),
}

impl Keeping {
    fn begin(file: Option<FleetFile>, tell: watch::Sender<OnDisk>) -> Self {
        let Some(file) = file else { return Self::Needless(tell) };
        let of_thread = tell.clone();
        let keeper = file.keeper(move |fleet, is_kept| {
            of_thread.send_modify(|told| told.tried(fleet, is_kept));
        });
        keeper.map_or(Self::Failed(tell), Self::On)
    }

    fn keep(&self, fleet: Arc<Fleet>) {
        match self {
            Self::On(keeper) => keeper.keep(fleet),
            Self::Needless(tell) => tell.send_modify(|told| told.tried(&fleet, true)),
            Self::Failed(tell) => tell.send_modify(|told| told.tried(&fleet, false)),
        }
    }
}
