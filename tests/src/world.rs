//! A world for tests that are not scenarios: a real edge through its public API, in-memory pipes,
//! servers that a test writes in Rust, a clock that only the test moves.
//!
//! In: settings, and for each server's authority what it does with a connection. Out: an edge,
//! pipes into it, and a count of what is still open.
//! Always holds: everything runs on the caller's one paused runtime; connections and server tasks
//! are counted from their start to their end, their abortion included.
//! It deliberately does not know what the edge does inside.
//! Clause: CONTRIBUTING.md *Tests*.

pub mod caller;
pub mod dice;
pub mod model;
pub mod origin;

use std::{
    collections::BTreeMap,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use edge::{
    Edge,
    clock::Clock,
    fetch::{
        FetchError,
        connect::{BoxedIo, Connect, Opened, Tcp},
        policy::AddressPolicy,
    },
};
use edge_core::{
    settings::{EdgeSettings, SiteSettings},
    site::ServerAddress,
};
use nearcast_daemon::{
    access_log::AccessLog,
    drain::{Drain, drain},
};
use parking_lot::Mutex;
use tokio::io::{DuplexStream, duplex};

use crate::theatre::{paused::opening, pipes::PIPE_OCTETS};

/// The address that clients seem to come from.
const CLIENT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 77)), 4242);

/// What a server does with one connection.
pub type Server = Arc<dyn Fn(DuplexStream) -> Task + Send + Sync>;
/// A task to be spawned.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How a server takes connections now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// It accepts.
    #[default]
    Up,
    /// It refuses.
    Refuses,
    /// It neither accepts nor refuses.
    Hangs,
    /// It would accept, but the node has no descriptor left to ask with.
    Spent,
}

/// The wires to all servers.
#[derive(Default)]
pub struct Wires {
    servers: Mutex<BTreeMap<String, (Server, Reach)>>,
    opened: Mutex<BTreeMap<String, usize>>,
    open: Arc<AtomicUsize>,
}

impl Wires {
    /// Puts a server at `authority` (`host:port`).
    pub fn put(&self, authority: &str, server: Server) {
        self.servers.lock().insert(authority.to_owned(), (server, Reach::Up));
    }

    /// Changes how a server takes connections.
    pub fn reach(&self, authority: &str, reach: Reach) {
        if let Some(server) = self.servers.lock().get_mut(authority) {
            server.1 = reach;
        }
    }

    /// Connections that were tried to `authority` so far.
    #[must_use]
    pub fn tried(&self, authority: &str) -> usize {
        self.opened.lock().get(authority).copied().unwrap_or(0)
    }

    /// Server connections that are open now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }
}

/// Counts while it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Connect for Wires {
    fn connect<'a>(
        &'a self,
        server: &'a ServerAddress,
        _policy: &'a AddressPolicy,
    ) -> Pin<Box<dyn Future<Output = Result<Opened, FetchError>> + Send + 'a>> {
        Box::pin(async move {
            let authority = format!("{}:{}", server.host, server.port);
            *self.opened.lock().entry(authority.clone()).or_default() += 1;
            let found = self.servers.lock().get(&authority).cloned();
            match found {
                Some((serve, Reach::Up)) => {
                    let (near, far) = duplex(PIPE_OCTETS);
                    let counted = Counted::new(&self.open);
                    let task = serve(far);
                    tokio::spawn(async move {
                        task.await;
                        drop(counted);
                    });
                    Ok((Box::new(near) as BoxedIo).into())
                }
                Some((_, Reach::Spent)) => {
                    Err(FetchError::Spent { server: authority, reason: "no descriptor".to_owned() })
                }
                Some((_, Reach::Hangs)) => std::future::pending().await,
                Some((_, Reach::Refuses)) | None => {
                    Err(FetchError::Connect { server: authority, reason: "refused".to_owned() })
                }
            }
        })
    }
}

/// A site with its defaults.
///
/// # Errors
/// When the text is no site.
pub fn site(toml: &str) -> Result<SiteSettings, String> {
    toml::from_str(toml).map_err(|error| error.to_string())
}

/// The edge and what surrounds it.
pub struct World {
    /// The edge.
    pub edge: Edge,
    /// The way to the servers.
    pub wires: Arc<Wires>,
    drain: Drain,
    serving: Arc<AtomicUsize>,
}

impl World {
    /// A world with an edge in it whose servers are at the end of `wires`, inside the caller's
    /// paused runtime.
    ///
    /// # Errors
    /// The problems with the settings.
    pub fn new(
        settings: &EdgeSettings,
        sites: &[SiteSettings],
        wires: Arc<Wires>,
        access_log: AccessLog,
    ) -> Result<Self, String> {
        let connector: Arc<dyn Connect> = Arc::<Wires>::clone(&wires);
        Self::with(settings, sites, (wires, connector), (access_log, Vec::new()))
    }

    /// A world whose servers are real ones.
    ///
    /// # Errors
    /// The problems with the settings.
    pub fn over_sockets(
        settings: &EdgeSettings,
        sites: &[SiteSettings],
        own_addresses: Vec<SocketAddr>,
    ) -> Result<Self, String> {
        let tcp = Tcp::new(tokio::runtime::Handle::current());
        let way = (Arc::default(), Arc::new(tcp) as Arc<dyn Connect>);
        Self::with(settings, sites, way, (AccessLog::off(), own_addresses))
    }

    fn with(
        settings: &EdgeSettings,
        sites: &[SiteSettings],
        (wires, connector): (Arc<Wires>, Arc<dyn Connect>),
        (access_log, own_addresses): (AccessLog, Vec<SocketAddr>),
    ) -> Result<Self, String> {
        let (drain, draining) = drain();
        let surroundings = edge::World {
            node: Arc::from("edge"),
            cdn_id: Arc::from("edge"),
            clock: Clock::anchored_at(opening()),
            fills: tokio::runtime::Handle::current(),
            control: tokio::runtime::Handle::current(),
            connector,
            workers: 1,
            access_log,
            own_addresses,
            ledger: Vec::new(),
            draining,
            leased: false,
        };
        let edge = Edge::new(settings, sites, surroundings).map_err(|p| format!("{p:?}"))?;
        Ok(Self { edge, wires, drain, serving: Arc::default() })
    }

    /// A new client connection to the edge.
    #[must_use]
    pub fn connect(&self) -> DuplexStream {
        let (near, far) = duplex(PIPE_OCTETS);
        let edge = self.edge.clone();
        let counted = Counted::new(&self.serving);
        tokio::spawn(async move {
            edge.serve_connection(0, far, CLIENT).await;
            drop(counted);
        });
        near
    }

    /// Client connections that the edge serves now.
    #[must_use]
    pub fn serving(&self) -> usize {
        self.serving.load(Ordering::Acquire)
    }

    /// Tells the edge to drain.
    pub fn drain(&self) {
        self.drain.start();
    }
}

/// Lets everything that can move without the clock come to rest.
pub async fn rest() {
    rest_for(400).await;
}

/// Lets the runtime turn so many times.
pub async fn rest_for(turns: usize) {
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
}

/// Turns the runtime, clock standing still, until `reached`; whether it was.
pub async fn until(reached: impl Fn() -> bool) -> bool {
    for _ in 0..200_000 {
        if reached() {
            return true;
        }
        tokio::task::yield_now().await;
    }
    reached()
}
