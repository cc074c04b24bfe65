//! The listeners: sockets, worker threads, and limits on the number of connections.
//!
//! In: addresses. Out: connections, each served on the worker that accepted it.
//! Always holds: every address is first bound once without SO_REUSEPORT, so that a taken port is
//! noticed; each worker has its own socket per address and its own current-thread runtime, so that
//! no request crosses threads on its way to a hit; a connection over a limit is closed at once and
//! counted; when the process drains, listeners close first, but not on those who wait in them.
//! It knows nothing of HTTP.

mod backlog;
mod proxied;

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use nearcast_daemon::{
    drain::{Draining, Guard},
    seldom::Seldom,
};
use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime,
    sync::Notify,
    task::JoinSet,
    time::timeout,
};

use crate::Edge;

/// Connections that wait to be accepted, per socket.
const BACKLOG: i32 = 4096;

/// The longest pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the edge does not listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A worker thread could not be started.
    #[error("cannot start worker {worker}")]
    Worker {
        /// Its number.
        worker: usize,
        /// What the system said.
        source: io::Error,
    },
}

/// The running workers.
#[derive(Debug)]
pub struct Workers {
    /// Where they listen; ports that were 0 are the chosen ones.
    pub addresses: Vec<SocketAddr>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Workers {
    /// Waits for the workers, which end once the process has drained.
    pub fn join(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
    }
}

/// Sockets that are bound, one per worker and address.
#[derive(Debug)]
pub struct Bound {
    /// The addresses, with the ports that were chosen.
    pub addresses: Vec<SocketAddr>,
    sockets: Vec<Vec<(Socket, Expects)>>,
}

/// What a connection begins with.
#[derive(Clone, Copy, Debug)]
enum Expects {
    /// A client's request.
    Request,
    /// What a balancer says of its client.
    Header,
}

/// Binds `addresses`, and for balancers `proxied`, for `workers` workers.
///
/// # Errors
/// The first address that cannot be listened on.
pub fn bind(
    addresses: &[SocketAddr],
    proxied: &[SocketAddr],
    workers: usize,
) -> Result<Bound, ListenError> {
    let mut sockets: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    let mut bound = Vec::new();
    let plain = addresses.iter().map(|address| (*address, Expects::Request));
    let proxied = proxied.iter().map(|address| (*address, Expects::Header));
    for (address, expects) in plain.chain(proxied) {
        let failed = |source| ListenError::Bind { address, source };
        // With SO_REUSEPORT a second process of ours would silently take half the connections.
        let probe = socket(address, false).map_err(failed)?;
        probe.listen(1).map_err(failed)?;
        let chosen = probe.local_addr().map_err(failed)?.as_socket().unwrap_or(address);
        drop(probe);
        for worker in &mut sockets {
            let socket = socket(chosen, true).map_err(failed)?;
            socket.listen(BACKLOG).map_err(failed)?;
            worker.push((socket, expects));
        }
        bound.push(chosen);
    }
    Ok(Bound { addresses: bound, sockets })
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Starts one thread per worker on its sockets.
///
/// # Errors
/// When a thread or its runtime cannot be started.
pub fn start(edge: &Edge, bound: Bound, draining: &Draining) -> Result<Workers, ListenError> {
    let mut threads = Vec::new();
    for (worker, sockets) in bound.sockets.into_iter().enumerate() {
        let failed = |source| ListenError::Worker { worker, source };
        let runtime =
            runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (edge, draining) = (edge.clone(), draining.clone());
        let thread = thread::Builder::new()
            .name(format!("edge-{worker}"))
            .spawn(move || runtime.block_on(work(edge, worker, sockets, draining)))
            .map_err(failed)?;
        threads.push(thread);
    }
    Ok(Workers { addresses: bound.addresses, threads })
}

/// One worker: accepts until the process drains, then waits for its connections.
async fn work(edge: Edge, worker: usize, sockets: Vec<(Socket, Expects)>, draining: Draining) {
    let mut accepting = JoinSet::new();
    for (socket, expects) in sockets {
        match TcpListener::from_std(socket.into()) {
            Ok(listener) => {
                let door = (listener, expects);
                accepting.spawn(accept(edge.clone(), worker, door, draining.clone()));
            }
            Err(error) => tracing::error!(%error, "a listener could not be registered"),
        }
    }
    let attendance = draining.attendance();
    draining.started().await;
    // The accept loops end now, which closes the listeners before the connections end.
    while accepting.join_next().await.is_some() {}
    let open = edge.connections_of(worker);
    tokio::select! {
        () = open.none() => {}
        () = draining.stopped() => {}
    }
    edge.flush(worker);
    drop(attendance);
}

async fn accept(
    edge: Edge,
    worker: usize,
    (listener, expects): (TcpListener, Expects),
    draining: Draining,
) {
    let mut started = pin!(draining.started());
    let mut told = Seldom::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut started => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => admit(&edge, worker, accepted, expects, &draining),
            Err(error) => {
                if error.kind() == io::ErrorKind::ConnectionAborted {
                    // The client was gone before we came to it.
                    continue;
                }
                // Out of descriptors: the connection stays in the backlog, and trying again at
                // once would spin. The next one to close makes room, here or elsewhere.
                if told.is_due() {
                    tracing::warn!(%error, "a connection could not be accepted");
                }
                let open = edge.connections_of(worker);
                if timeout(ACCEPT_PAUSE, open.one_less()).await.is_err() {
                    tracing::debug!("accepting again");
                }
            }
        }
    }
    let Ok(listener) = listener.into_std() else { return };
    let ((_, grace), _) = edge.introduction();
    let open = edge.connections_of(worker);
    let accept = || listener.accept();
    let admit = |(stream, client): (std::net::TcpStream, SocketAddr)| {
        if stream.set_nonblocking(true).is_ok()
            && let Ok(stream) = TcpStream::from_std(stream)
        {
            admit(&edge, worker, (stream, client), expects, &draining);
        }
    };
    backlog::empty(accept, admit, || open.one_less(), grace).await;
}

/// Serves a connection, if the limits allow one more.
fn admit(
    edge: &Edge,
    worker: usize,
    accepted: (TcpStream, SocketAddr),
    expects: Expects,
    draining: &Draining,
) {
    let peer = accepted.1.ip();
    let slot = match expects {
        Expects::Request => edge.admit(worker, peer),
        Expects::Header => edge.admit_balancer(worker, peer),
    };
    let Some(slot) = slot else { return };
    let held = (slot, draining.guard(), draining.clone());
    tokio::spawn(serve(edge.clone(), worker, accepted, expects, held));
}

async fn serve(
    edge: Edge,
    worker: usize,
    (mut stream, peer): (TcpStream, SocketAddr),
    expects: Expects,
    (mut slot, guard, draining): (Slot, Guard, Draining),
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let client = match expects {
        Expects::Request => Some(peer),
        Expects::Header => introduced(&edge, &mut stream, peer, (&mut slot, &draining)).await,
    };
    if let Some(client) = client {
        edge.serve_connection(worker, stream, client).await;
    }
    drop((slot, guard));
}

/// Whom a balancer introduces, if that client may have one more connection.
async fn introduced(
    edge: &Edge,
    stream: &mut TcpStream,
    peer: SocketAddr,
    (slot, draining): (&mut Slot, &Draining),
) -> Option<SocketAddr> {
    let (times, per_address) = edge.introduction();
    match proxied::in_time(stream, peer, times, draining).await {
        Ok(client) => client.filter(|client| slot.passes_to(client.ip(), per_address)),
        Err(error) => {
            tracing::debug!(%peer, %error, "a balancer's header was not taken");
            slot.connections.refused_header.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

/// Connections there are: of the node, of each address, of each worker.
#[derive(Debug)]
pub struct Connections {
    by_address: Mutex<HashMap<IpAddr, u32>>,
    workers: Vec<Arc<Open>>,
    /// Connections refused because the node had too many.
    pub refused_total: AtomicU64,
    /// Connections refused because their address had too many.
    pub refused_address: AtomicU64,
    /// Connections refused because a stranger came to a balancers' listener.
    pub refused_stranger: AtomicU64,
    /// Connections refused because a balancer's header was none, or came too late.
    pub refused_header: AtomicU64,
    /// Connections accepted.
    pub accepted: AtomicU64,
}

/// One worker's open connections.
#[derive(Debug, Default)]
pub struct Open {
    count: AtomicU64,
    changed: Notify,
}

impl Open {
    async fn none(&self) {
        loop {
            let changed = self.changed.notified();
            if self.count.load(Ordering::Acquire) == 0 {
                return;
            }
            changed.await;
        }
    }

    /// Until a connection closes.
    async fn one_less(&self) {
        self.changed.notified().await;
    }
}

impl Connections {
    /// None yet, for `workers` workers.
    #[must_use]
    pub fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self {
            by_address: Mutex::new(HashMap::new()),
            workers: (0..workers).map(|_| Arc::default()).collect(),
            refused_total: AtomicU64::new(0),
            refused_address: AtomicU64::new(0),
            refused_stranger: AtomicU64::new(0),
            refused_header: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
        })
    }

    /// A place for one more connection of `client` to `worker`, if the limits allow it.
    pub fn admit(
        self: &Arc<Self>,
        worker: usize,
        client: IpAddr,
        max: u32,
        per_address: u32,
    ) -> Option<Slot> {
        if self.open() >= u64::from(max) {
            self.refused_total.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let address = net_of(client);
        if !self.count(address, per_address) {
            return None;
        }
        self.accepted.fetch_add(1, Ordering::Relaxed);
        let open = self.of(worker);
        open.count.fetch_add(1, Ordering::AcqRel);
        Some(Slot { connections: Arc::clone(self), address, open })
    }

    /// One more of this address, if it may have one.
    fn count(&self, address: IpAddr, per_address: u32) -> bool {
        let mut by_address = self.by_address.lock();
        let count = by_address.entry(address).or_insert(0);
        if *count >= per_address {
            self.refused_address.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        *count += 1;
        true
    }

    /// One less.
    fn discount(&self, address: IpAddr) {
        let mut by_address = self.by_address.lock();
        if let Some(count) = by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&address);
            }
        }
    }

    /// One worker's connections.
    #[must_use]
    pub fn of(&self, worker: usize) -> Arc<Open> {
        self.workers.get(worker).map(Arc::clone).unwrap_or_default()
    }

    /// Connections that are open now.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.workers.iter().map(|open| open.count.load(Ordering::Relaxed)).sum()
    }
}

/// What counts as one client: an IPv4 address, or an IPv6 /64, of which a host has as many
/// addresses as it likes.
fn net_of(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !0 << 64)),
    }
}

/// One connection's place under the limits.
#[derive(Debug)]
pub struct Slot {
    connections: Arc<Connections>,
    address: IpAddr,
    open: Arc<Open>,
}

impl Slot {
    /// Counts for `client` from now on, if it may have one more.
    fn passes_to(&mut self, client: IpAddr, per_address: u32) -> bool {
        let address = net_of(client);
        if address == self.address {
            return true;
        }
        if !self.connections.count(address, per_address) {
            return false;
        }
        self.connections.discount(std::mem::replace(&mut self.address, address));
        true
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connections.discount(self.address);
        self.open.count.fetch_sub(1, Ordering::AcqRel);
        self.open.changed.notify_waiters();
    }
}
