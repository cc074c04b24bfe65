//! The HTTP caching proxy: listeners, the hallway, the store, fillings and the origin side.
//!
//! In: settings, connections. Out: answers, and requests to origins.
//! Always holds: what may be stored, reused or served stale is decided by `edge-core` alone; the
//! rooms here return values and only the hallway ([`serve`]) orders them.
//! It deliberately knows no settings file, no signals and no other node.
//!
//! Rooms: [`listener`] (sockets, workers) → [`connection`] over [`wire`] (own HTTP/1.1 I/O) →
//! [`serve`] → [`store`] and [`fetch`]; [`record`] (log, metrics), [`snapshot`] (settings in
//! force), [`clock`], [`lease`], [`admin`] (the metrics page).

pub mod admin;
pub mod body;
pub mod clock;
pub mod connection;
pub mod fetch;
pub mod lease;
pub mod listener;
pub mod purge;
pub mod record;
pub mod serve;
pub mod snapshot;
pub mod store;
pub mod wire;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock, atomic::Ordering},
    time::Duration,
};

use arc_swap::ArcSwap;
use edge_core::{
    settings::{EdgeSettings, SiteSettings},
    site::{Problem, ServerAddress},
    stamps::Room,
};
use nearcast_daemon::{access_log::AccessLog, drain::Draining};
use parking_lot::Mutex;
use tokio::{
    runtime,
    time::{Instant, MissedTickBehavior, interval},
};

use self::{
    clock::Clock,
    connection::Serving,
    fetch::{
        connect::Connect,
        names::Seen,
        policy::{AddressPolicy, LedgerServer},
        room::{FillCounts, FillRoom},
        table::FillingTable,
        world::OriginWorld,
    },
    lease::Lease,
    listener::{Bound, Connections, ListenError, Open, Slot, Workers},
    purge::PurgeCounts,
    record::{SiteMetrics, Tally, Worker},
    serve::Hall,
    snapshot::{SiteIds, Snapshot},
    store::{Memory, budget::Budget, memory::MemoryTier, stamps::Stamps},
    wire::Deadlines,
};

/// The memory that no budget hands out: this part, this many bytes more, but never more than
/// [`UNCHARGED_MAX`]. Clients' connections (some 25 KiB each), the runtimes, what the allocator
/// rounds up and what it cannot reuse of what has given way are charged to nothing, and a full
/// budget beside a thousand clients would reach more than `memory` × 1.2 with them.
const UNCHARGED: (u64, u64) = (8, 16 << 20);
/// See [`UNCHARGED`]: so many parts of so many.
const UNCHARGED_MAX: (u64, u64) = (3, 16);
/// The share of the budget that complete responses may take; fillings and readers have the rest.
const STORED_PERCENT: u64 = 80;
/// Keys that are remembered as uncacheable, and as asked about, at most and at least. Any client fills
/// these tables by asking, and each of their entries takes some 250 bytes that nothing is charged
/// for: with one for [`REMEMBERED_BYTES`] of the memory both together are a sixtieth of it.
const REMEMBERED: (u64, u64) = (1_000, 50_000);
/// See [`REMEMBERED`].
const REMEMBERED_BYTES: u64 = 32 * 1024;
/// How often a worker looks at its deadlines and its log buffer.
const TICK: Duration = Duration::from_millis(250);
/// How often idle origin connections are looked at.
const SWEEP: Duration = Duration::from_secs(5);

/// What an edge needs of its surroundings.
pub struct World {
    /// The node's name.
    pub node: Arc<str>,
    /// The node's cdn-id (RFC 8586 §2): a name that no other CDN has.
    pub cdn_id: Arc<str>,
    /// The clock of the law.
    pub clock: Clock,
    /// The runtime of fillings and origin connections.
    pub fills: runtime::Handle,
    /// The runtime of what has to go on whatever requests do: checks of origins.
    pub control: runtime::Handle,
    /// How bytes travel to origins.
    pub connector: Arc<dyn Connect>,
    /// Workers that serve connections.
    pub workers: usize,
    /// Where requests are logged.
    pub access_log: AccessLog,
    /// Where this process itself listens: addresses that no origin may be reached at.
    pub own_addresses: Vec<SocketAddr>,
    /// Where its ledger is, if that is elsewhere: no origin of a site that the ledger has.
    pub ledger: Vec<LedgerServer>,
    /// Whether the process drains.
    pub draining: Draining,
    /// Whether it reuses what it stores only as long as somebody vouches for it ([`Edge::vouch`]).
    pub leased: bool,
}

/// An edge; clones are the same edge.
#[derive(Clone)]
pub struct Edge(Arc<Inner>);

struct Inner {
    hall: Arc<Hall>,
    ids: Mutex<SiteIds>,
    connector: Arc<dyn Connect>,
    control: runtime::Handle,
    own_addresses: Vec<SocketAddr>,
    ledger: Vec<LedgerServer>,
    workers: Vec<WorkerState>,
    connections: Arc<Connections>,
    draining: Draining,
}

struct WorkerState {
    worker: Arc<Worker>,
    /// Made inside the worker's runtime, whose clock counts.
    deadlines: OnceLock<Deadlines>,
}

impl Edge {
    /// An edge that serves `sites`.
    ///
    /// # Errors
    /// Every problem with the settings.
    pub fn new(
        settings: &EdgeSettings,
        sites: &[SiteSettings],
        world: World,
    ) -> Result<Self, Vec<Problem>> {
        let mut ids = SiteIds::default();
        let own = &world.own_addresses;
        let room = Arc::new(room(settings, &world));
        let origin = OriginWorld {
            connector: Arc::clone(&world.connector),
            policy: Arc::new(AddressPolicy::of_file(settings, own)),
            policy_of_ledger: Arc::new(AddressPolicy::of_ledger(settings, own, &world.ledger)),
            fills: world.fills.clone(),
            memory: memory(&room),
            control: world.control.clone(),
            clock: world.clock,
        };
        let count = world.workers.max(1);
        let snapshot = Snapshot::build(settings, sites, &mut ids, None, &origin, count)?;
        let hall = Arc::new(Hall {
            room,
            node: world.node,
            cdn_id: world.cdn_id,
            snapshot: ArcSwap::from_pointee(snapshot),
            fills: world.fills,
            nowhere: Arc::new(SiteMetrics::new(Arc::from("-"), count)),
            limits: Tally::limits(),
            refused: Tally::refusals(),
            purges: PurgeCounts::default(),
        });
        let workers = (0..count)
            .map(|index| WorkerState {
                worker: Arc::new(Worker::new(index, world.access_log.writer())),
                deadlines: OnceLock::new(),
            })
            .collect();
        let edge = Self(Arc::new(Inner {
            hall,
            ids: Mutex::new(ids),
            connector: world.connector,
            control: world.control,
            own_addresses: world.own_addresses,
            ledger: world.ledger,
            workers,
            connections: Connections::new(count),
            draining: world.draining,
        }));
        edge.spawn_sweepers();
        edge.0.adopt(settings);
        Ok(edge)
    }

    /// Takes new settings; with any problem the old ones stay in force.
    ///
    /// The memory's size, the listeners and the number of workers are those of the start.
    ///
    /// # Errors
    /// Every problem with the settings.
    pub fn reload(
        &self,
        settings: &EdgeSettings,
        sites: &[SiteSettings],
    ) -> Result<(), Vec<Problem>> {
        let inner = &self.0;
        let mut ids = inner.ids.lock();
        let old = inner.hall.snapshot.load_full();
        let own = &inner.own_addresses;
        let origin = OriginWorld {
            connector: Arc::clone(&inner.connector),
            policy: Arc::new(AddressPolicy::of_file(settings, own)),
            policy_of_ledger: Arc::new(AddressPolicy::of_ledger(settings, own, &inner.ledger)),
            fills: inner.hall.fills.clone(),
            memory: memory(&inner.hall.room),
            control: inner.control.clone(),
            clock: inner.hall.room.clock,
        };
        let count = inner.workers.len();
        let new = Snapshot::build(settings, sites, &mut ids, Some(&old), &origin, count)?;
        for (id, entry) in &old.sites {
            let goes_on = new.sites.get(id).is_some_and(|new| Arc::ptr_eq(&new.pool, &entry.pool));
            if !goes_on {
                entry.pool.retire();
            }
        }
        inner.hall.snapshot.store(Arc::new(new));
        let is_there = |id| inner.hall.snapshot.load().sites.contains_key(&id);
        inner.hall.room.stamps.resize(stamps_room(settings), is_there);
        inner.adopt(settings);
        Ok(())
    }

    /// Sites of the ledger that it cannot serve, and why.
    #[must_use]
    pub fn left_out(&self) -> Vec<snapshot::LeftOut> {
        self.0.hall.snapshot.load().left_out.clone()
    }

    /// Serves one connection until it ends, on `worker`, whose runtime this must be called in.
    pub async fn serve_connection<S>(&self, worker: usize, io: S, client: SocketAddr)
    where
        S: wire::Stream + Send + 'static,
    {
        let Some(state) = self.0.workers.get(worker % self.0.workers.len()) else { return };
        let serving = Serving {
            hall: Arc::clone(&self.0.hall),
            worker: Arc::clone(&state.worker),
            deadlines: state.deadlines(),
            draining: self.0.draining.clone(),
        };
        connection::serve(serving, io, client).await;
    }

    /// Starts the workers on `bound` sockets.
    ///
    /// # Errors
    /// When a worker cannot be started.
    pub fn start(&self, bound: Bound) -> Result<Workers, ListenError> {
        listener::start(self, bound, &self.0.draining)
    }

    /// What it has stored may be reused unasked before `until`, and from then on only after its origin
    /// was asked; nothing changes for an edge without a lease. Purges that were applied before this are
    /// seen by all who go by it.
    pub fn vouch(&self, until: Instant) {
        let room = &self.0.hall.room;
        if let Some(lease) = &room.lease {
            lease.vouch(room.clock.at(until));
        }
    }

    /// The hallway, for the metrics page.
    #[must_use]
    pub fn hall(&self) -> &Arc<Hall> {
        &self.0.hall
    }

    /// The names of origins, for the metrics page.
    #[must_use]
    pub fn names(&self) -> Vec<Seen> {
        self.0.connector.names()
    }

    /// The connections, for the metrics page.
    #[must_use]
    pub fn connections(&self) -> &Arc<Connections> {
        &self.0.connections
    }

    fn admit(&self, worker: usize, client: IpAddr) -> Option<Slot> {
        let snapshot = self.0.hall.snapshot.load();
        let limits = &snapshot.edge.limits;
        let (max, per_address) = (limits.connections_max, limits.connections_per_address_max);
        self.0.connections.admit(worker, client, max, per_address)
    }

    /// A place for a balancer's connection, which is nobody's yet; none for strangers.
    fn admit_balancer(&self, worker: usize, peer: IpAddr) -> Option<Slot> {
        let snapshot = self.0.hall.snapshot.load();
        if !snapshot.edge.is_balancer(peer) {
            self.0.connections.refused_stranger.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.0.connections.admit(worker, peer, snapshot.edge.limits.connections_max, u32::MAX)
    }

    /// How long a balancer has to say whose its connection is, and in a drain, and how many that client
    /// may have.
    fn introduction(&self) -> ((Duration, Duration), u32) {
        let snapshot = self.0.hall.snapshot.load();
        let (limits, wire) = (&snapshot.edge.limits, &snapshot.edge.wire);
        ((limits.header_timeout, wire.linger_timeout), limits.connections_per_address_max)
    }

    fn connections_of(&self, worker: usize) -> Arc<Open> {
        self.0.connections.of(worker)
    }

    fn flush(&self, worker: usize) {
        if let Some(state) = self.0.workers.get(worker) {
            state.worker.flush();
        }
    }

    /// Frees what was purged, and closes idle origin connections in time; both end with the edge.
    fn spawn_sweepers(&self) {
        self.0.hall.fills.spawn(purge::free(Arc::downgrade(&self.0.hall.room)));
        let hall = Arc::downgrade(&self.0.hall);
        self.0.hall.fills.spawn(async move {
            let mut ticks = interval(SWEEP);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let Some(hall) = hall.upgrade() else { return };
                for entry in hall.snapshot.load().sites.values() {
                    entry.pool.sweep();
                }
            }
        });
    }
}

impl Inner {
    /// Has the names of the servers in force resolved, before anybody asks for them.
    fn adopt(&self, settings: &EdgeSettings) {
        let snapshot = self.hall.snapshot.load();
        let servers = snapshot.sites.values().flat_map(|entry| &entry.site.origin.servers);
        let servers: Vec<ServerAddress> = servers.map(|server| server.address.clone()).collect();
        self.connector.adopt(settings, &servers);
    }
}

impl WorkerState {
    fn deadlines(&self) -> Deadlines {
        let deadlines = self.deadlines.get_or_init(|| {
            let deadlines = Deadlines::new(TICK);
            tokio::spawn(deadlines.clone().sweep());
            let worker = Arc::downgrade(&self.worker);
            tokio::spawn(async move {
                let mut ticks = interval(TICK);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    ticks.tick().await;
                    let Some(worker) = worker.upgrade() else { return };
                    worker.tick();
                }
            });
            deadlines
        });
        deadlines.clone()
    }
}

fn stamps_room(settings: &EdgeSettings) -> Room {
    let (limits, size) = (&settings.limits, |max| usize::try_from(max).unwrap_or(usize::MAX));
    Room { invalidations_max: size(limits.invalidations_max), purges_max: size(limits.purges_max) }
}

fn memory(room: &FillRoom) -> Memory {
    Memory { budget: Arc::clone(&room.budget), tier: Arc::clone(&room.tier) }
}

fn room(settings: &EdgeSettings, world: &World) -> FillRoom {
    let memory = settings.memory.as_u64();
    let (part, more) = UNCHARGED;
    let (most, of) = UNCHARGED_MAX;
    let charged = memory - (memory / part + more).min(memory / of * most);
    let stored = charged / 100 * STORED_PERCENT;
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let variants_max = usize::try_from(settings.variants_max).unwrap_or(usize::MAX);
    let remembered = (memory / REMEMBERED_BYTES).clamp(REMEMBERED.0, REMEMBERED.1);
    let budget = Budget::new(size(charged));
    FillRoom {
        node: Arc::clone(&world.node),
        clock: world.clock,
        tier: Arc::new(MemoryTier::new(size(stored), variants_max, Arc::clone(&budget))),
        budget,
        stamps: Stamps::new(stamps_room(settings)),
        lease: world.leased.then(Lease::default),
        table: FillingTable::default(),
        uncacheable: moka::sync::Cache::new(remembered),
        asked: moka::sync::Cache::new(remembered),
        hasher: foldhash::quality::RandomState::default(),
        counts: FillCounts::default(),
    }
}
