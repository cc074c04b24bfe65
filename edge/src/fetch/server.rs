//! One origin server: its connections, its queue, and whether it is left out.
//!
//! Always holds: never more than `connections_max` connections; never more than `queue_max`
//! requests waiting for one. It knows nothing of other servers or of retries.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use edge_core::site::{OriginPlan, ServerAddress};
use http::HeaderValue;
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use super::{FetchError, link::Link, trunk::Trunks};

/// One server and what is known of it.
pub struct Server {
    pub(super) address: ServerAddress,
    pub(super) authority: HeaderValue,
    idle: Mutex<Vec<Idle>>,
    pub(super) trunks: Trunks,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    failures: AtomicU32,
    ejection: Mutex<Option<Ejection>>,
    pub(super) counts: ServerCounts,
}

/// What a server has done so far.
#[derive(Debug, Default)]
pub struct ServerCounts {
    /// Requests sent.
    pub requests: AtomicU64,
    /// Connections opened.
    pub connections: AtomicU64,
    /// TLS sessions among them that resumed an earlier one.
    pub resumed: AtomicU64,
    /// Requests that failed and blame the server.
    pub failures: AtomicU64,
    /// Times it was left out.
    pub ejections: AtomicU64,
}

/// For how long a server is left out.
#[derive(Clone, Copy)]
struct Ejection {
    since: Instant,
    until: Instant,
}

struct Idle {
    link: Link,
    since: Instant,
}

impl Server {
    pub(super) fn new(address: &ServerAddress, plan: &OriginPlan) -> Arc<Self> {
        let authority = HeaderValue::from_str(&address.authority)
            .unwrap_or_else(|_| HeaderValue::from_static("invalid"));
        Arc::new(Self {
            address: address.clone(),
            authority,
            idle: Mutex::new(Vec::new()),
            trunks: Trunks::default(),
            permits: Arc::new(Semaphore::new(
                usize::try_from(plan.connections_max).unwrap_or(Semaphore::MAX_PERMITS),
            )),
            waiting: AtomicUsize::new(0),
            failures: AtomicU32::new(0),
            ejection: Mutex::new(None),
            counts: ServerCounts::default(),
        })
    }

    /// `host:port`, the server's name in logs and metrics.
    pub fn name(&self) -> &str {
        &self.address.authority
    }

    /// What it has done so far.
    pub fn counts(&self) -> &ServerCounts {
        &self.counts
    }

    /// Requests that wait for a connection now.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether it is left out now.
    pub fn is_ejected(&self) -> bool {
        self.ejection.lock().is_some_and(|ejection| Instant::now() < ejection.until)
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
    ) -> Result<OwnedSemaphorePermit, FetchError> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        let queue_max = usize::try_from(plan.queue_max).unwrap_or(usize::MAX);
        let _place = Place::take(self, queue_max)
            .ok_or_else(|| FetchError::QueueFull { server: self.address.authority.clone() })?;
        let queue_timeout = || FetchError::QueueTimeout {
            server: self.address.authority.clone(),
            limit: plan.queue_timeout,
        };
        let before = Instant::now();
        let waited = timeout(*patience, Arc::clone(&self.permits).acquire_owned()).await;
        *patience = patience.saturating_sub(before.elapsed());
        match waited {
            Ok(Ok(permit)) => Ok(permit),
            // The semaphore is never closed; a closed one would be as good as a full one.
            Ok(Err(_)) | Err(_) => Err(queue_timeout()),
        }
    }

    pub(super) fn checkout(&self, keep_alive: Duration) -> Option<Link> {
        let mut idle = self.idle.lock();
        // The most recently used one is the least likely to be closed by the server just now.
        while let Some(candidate) = idle.pop() {
            if !candidate.link.is_closed() && candidate.since.elapsed() < keep_alive {
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

    /// A response came to its end whose request went out at `sent`.
    pub(super) fn succeeded(&self, sent: Instant) {
        self.failures.store(0, Ordering::Relaxed);
        // While all servers are left out all are tried; the first that answers is back at once.
        // What was sent before it began to fail says nothing of how it is now.
        let mut ejection = self.ejection.lock();
        let now = Instant::now();
        if ejection.take_if(|ejection| ejection.since <= sent && now < ejection.until).is_some() {
            tracing::info!(server = %self.address.authority, "an origin server answers again");
        }
    }

    /// It gave no response, or half of one. A response is one whatever its status and framing say: else a
    /// client that knows a URL that is answered 503 could have the server left out for all.
    pub(super) fn failed(&self, plan: &OriginPlan) {
        self.counts.failures.fetch_add(1, Ordering::Relaxed);
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures < plan.ejection_failures {
            return;
        }
        self.failures.store(0, Ordering::Relaxed);
        let mut ejection = self.ejection.lock();
        let now = Instant::now();
        if ejection.is_none_or(|ejection| ejection.until <= now) {
            self.counts.ejections.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                server = %self.address.authority, failures, for_ = ?plan.ejection_time,
                "an origin server keeps failing; it is left out while others answer"
            );
            *ejection = Some(Ejection { since: now, until: now + plan.ejection_time });
        }
    }
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

#[cfg(test)]
mod tests {
    use edge_core::{settings::OriginProtocol, site::HostChoice};
    use tokio::{
        io::{AsyncReadExt as _, duplex},
        runtime::Handle,
    };

    use super::*;
    use crate::{fetch::connect::BoxedIo, store::budget::Budget};

    fn plan() -> OriginPlan {
        OriginPlan {
            servers: Vec::new(),
            host: HostChoice::Server,
            sni: None,
            ca: None,
            identity: None,
            protocol: OriginProtocol::Auto,
            proxy_protocol: false,
            connections_max: 4,
            queue_max: 4,
            queue_timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
            first_byte_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(1),
            keep_alive: Duration::from_secs(1),
            ejection_failures: 5,
            ejection_time: Duration::from_secs(1),
            retry_percent: 10,
        }
    }

    #[tokio::test]
    async fn dropped_idle_connections_are_closed() {
        let address = ServerAddress::parse("http://a").unwrap();
        let server = Server::new(&address, &plan());
        let mut far_ends = Vec::new();
        for _ in 0..2 {
            let (near, far) = duplex(64);
            let charge = Budget::new(1).reserve(1).unwrap();
            let stream: BoxedIo = Box::new(near);
            let link = Link::over(stream.into(), &Handle::current(), charge).await;
            server.put_back(link.unwrap());
            far_ends.push(far);
        }
        server.drop_idle();
        assert!(server.checkout(Duration::from_secs(1)).is_none());
        for far in &mut far_ends {
            assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
        }
    }
}
