//! One HTTP/2 connection to an origin server, shared by all requests that find a seat on it.
//!
//! In: a byte stream to the server. Out: seats, each for one stream.
//! Always holds: no more streams than the server allows and we are ready for; a connection that the
//! server leaves (GOAWAY), that its name has left or that has broken takes no further stream and
//! ends with its last one; one that does not answer a PING while streams are open is ended; what a
//! server may send ahead is bounded for each stream, and charged to its seat.
//!
//! The h2 library is used as it is and not through hyper, whose client drops interim responses.
//!
//! RFC 9113 §5.1.2 (streams at once), §5.2 (flow control), §6.7 (PING), §6.8 (GOAWAY).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use edge_core::{settings::OriginProtocol, site::OriginPlan};
use h2::{
    Ping, PingPong,
    client::{Builder, Connection, SendRequest},
};
use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::{Semaphore, SemaphorePermit, oneshot},
    task::AbortHandle,
    time::{Instant, sleep_until, timeout},
};

use super::{
    chain,
    connect::{BoxedIo, Opened},
    names::Residence,
    server::Counted,
    stream::Seat,
};
use crate::store::budget::Charge;

/// What a server may send ahead of us on one stream.
pub(super) const WINDOW_BYTES: u32 = 128 * 1024;
/// Streams at once on one connection, whatever more the server allows.
const STREAMS_MAX: u32 = 128;
/// What is queued for the server on one stream.
const SEND_BYTES: usize = 64 * 1024;
/// The largest response head.
const HEAD_BYTES: u32 = 64 * 1024;
/// Streams that we have given up and still know, so that what was on its way on them harms nothing.
const GIVEN_UP_MAX: usize = 192;
/// How long we do: longer than a server needs to hear of it.
const GIVEN_UP_FOR: Duration = Duration::from_secs(30);
/// What a connection holds beside its streams: the library's buffers, its task and tables, and what
/// it knows of streams that were given up.
const TRUNK_BYTES: usize = 144 * 1024;
/// What a TLS session holds beside it.
const TLS_BYTES: usize = 8 * 1024;
/// How often a server with open streams is asked for a sign of life.
const PING_PAUSE: Duration = Duration::from_secs(15);
/// How long it may take to give one.
const PONG_TIMEOUT: Duration = Duration::from_secs(10);

/// See the module.
pub(super) struct Trunk {
    pub(super) sender: SendRequest<Bytes>,
    pub(super) fills: Handle,
    driver: AbortHandle,
    use_: Arc<Use>,
    residence: Option<Residence>,
    _counted: Option<Counted>,
    _charge: Charge,
}

/// What use is made of a connection.
struct Use {
    seats: AtomicUsize,
    is_over: AtomicBool,
    idle_since: Mutex<Instant>,
}

impl Trunk {
    /// What the budget is charged for a connection, with TLS or without.
    pub(super) fn cost(tls: bool) -> usize {
        if tls { TRUNK_BYTES + TLS_BYTES } else { TRUNK_BYTES }
    }

    /// Speaks HTTP/2 over a stream; `fills` drives the connection from then on.
    ///
    /// It is of use when the server has answered a PING: its SETTINGS came before, and say how many
    /// streams it allows. More than that would be refused, and a crowd that waits for seats would
    /// not know whether to open another connection.
    pub(super) async fn over(
        Opened { stream, residence, counted }: Opened,
        fills: &Handle,
        charge: Charge,
    ) -> Result<Self, String> {
        let (sender, connection) = Builder::new()
            .initial_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES.saturating_mul(STREAMS_MAX))
            .max_header_list_size(HEAD_BYTES)
            .max_send_buffer_size(SEND_BYTES)
            .max_concurrent_reset_streams(GIVEN_UP_MAX)
            .reset_stream_duration(GIVEN_UP_FOR)
            // It would count what comes late on streams that clients have left, over the life of
            // the connection, and end it for all.
            .max_local_error_reset_streams(None)
            .enable_push(false)
            .handshake::<_, Bytes>(stream)
            .await
            .map_err(|error| chain(&error))?;
        let use_ = Arc::new(Use {
            seats: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
            idle_since: Mutex::new(Instant::now()),
        });
        let (ready, is_ready) = oneshot::channel();
        // Ends when the connection closes or the trunk drops.
        let driver = fills.spawn(drive(connection, Arc::clone(&use_), ready));
        let (fills, driver) = (fills.clone(), driver.abort_handle());
        let trunk =
            Self { sender, fills, driver, use_, residence, _counted: counted, _charge: charge };
        match is_ready.await {
            Ok(()) => Ok(trunk),
            Err(_ended) => Err("it does not speak HTTP/2, or has closed".to_owned()),
        }
    }

    /// A seat, if there is one free.
    pub(super) fn seat(self: &Arc<Self>) -> Option<Seat> {
        let allowed = self.sender.current_max_send_streams();
        let most = allowed.min(usize::try_from(STREAMS_MAX).unwrap_or(usize::MAX));
        let take = |taken| (taken < most).then_some(taken + 1);
        let seats = &self.use_.seats;
        let taken = seats.fetch_update(Ordering::AcqRel, Ordering::Acquire, take);
        taken.ok().map(|_| Seat::new(Arc::clone(self)))
    }

    /// A seat on a connection that nobody else may use; it closes with the seat.
    pub(super) fn alone(self) -> Seat {
        Arc::new(self).first_seat()
    }

    /// The seat of who has opened it, whatever the server allows: it may say no itself.
    fn first_seat(self: &Arc<Self>) -> Seat {
        self.use_.seats.fetch_add(1, Ordering::AcqRel);
        Seat::new(Arc::clone(self))
    }

    /// A seat is free again.
    pub(super) fn leave(&self) {
        *self.use_.idle_since.lock() = Instant::now();
        self.use_.seats.fetch_sub(1, Ordering::AcqRel);
    }

    /// From now on it takes no further stream.
    pub(super) fn close(&self) {
        self.use_.is_over.store(true, Ordering::Release);
    }

    fn is_closed(&self) -> bool {
        self.use_.is_over.load(Ordering::Acquire)
            || self.residence.as_ref().is_some_and(Residence::is_left)
    }

    fn is_idle(&self) -> bool {
        self.use_.seats.load(Ordering::Acquire) == 0
    }

    fn is_idle_since(&self, keep_alive: Duration) -> bool {
        self.is_idle() && self.use_.idle_since.lock().elapsed() >= keep_alive
    }
}

impl Drop for Trunk {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Marks a connection as over, however its driver ends.
struct Over(Arc<Use>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Release);
    }
}

async fn drive(
    mut connection: Connection<BoxedIo, Bytes>,
    use_: Arc<Use>,
    ready: oneshot::Sender<()>,
) {
    let ping = connection.ping_pong();
    let over = Over(use_);
    tokio::select! {
        ended = connection => if let Err(error) = ended {
            tracing::debug!(error = %chain(&error), "an origin connection ended");
        },
        () = silence(ping, &over.0, ready) => tracing::debug!("an origin connection gave no sign of life"),
    }
}

/// Ends when a server with open streams gives no sign of life.
async fn silence(ping: Option<PingPong>, use_: &Use, ready: oneshot::Sender<()>) {
    let Some(mut ping) = ping else { return std::future::pending().await };
    if ping.ping(Ping::opaque()).await.is_err() {
        return;
    }
    // Whoever opened it may have stopped waiting.
    ready.send(()).unwrap_or_default();
    loop {
        sleep_until(Instant::now() + PING_PAUSE).await;
        if use_.seats.load(Ordering::Acquire) > 0
            && timeout(PONG_TIMEOUT, ping.ping(Ping::opaque())).await.is_err()
        {
            return;
        }
    }
}

/// The trunks to one server.
pub(super) struct Trunks {
    list: Mutex<Vec<Arc<Trunk>>>,
    /// Who may open the next one: a crowd that finds none waits for it instead of opening as many.
    turn: Semaphore,
    /// What was spoken last; see [`UNKNOWN`] and the following.
    spoken: AtomicU8,
}

const UNKNOWN: u8 = 0;
const HTTP_1: u8 = 1;
const HTTP_2: u8 = 2;

impl Default for Trunks {
    fn default() -> Self {
        Self { list: Mutex::default(), turn: Semaphore::new(1), spoken: AtomicU8::new(UNKNOWN) }
    }
}

impl Trunks {
    /// A seat on a connection that there is.
    pub(super) fn seat(&self) -> Option<Seat> {
        let mut list = self.list.lock();
        list.retain(|trunk| !trunk.is_closed());
        list.iter().find_map(Trunk::seat)
    }

    /// A new connection, and its first seat.
    pub(super) fn add(&self, trunk: Trunk) -> Seat {
        let trunk = Arc::new(trunk);
        let seat = trunk.first_seat();
        self.list.lock().push(trunk);
        seat
    }

    /// Waits until nobody else opens a connection that may become one for all; not at all where
    /// connections are for one request at a time.
    pub(super) async fn turn(&self, plan: &OriginPlan, tls: bool) -> Option<SemaphorePermit<'_>> {
        if !self.may_share(plan, tls) {
            return None;
        }
        // The semaphore is never closed; a closed one would be as good as none.
        let turn = self.turn.acquire().await.ok();
        turn.filter(|_| self.may_share(plan, tls))
    }

    fn may_share(&self, plan: &OriginPlan, tls: bool) -> bool {
        match plan.protocol {
            OriginProtocol::Http1 => false,
            OriginProtocol::Http2 => true,
            OriginProtocol::Auto => tls && self.spoken.load(Ordering::Relaxed) != HTTP_1,
        }
    }

    /// Notes what a server has agreed on.
    pub(super) fn speaks(&self, is_http2: bool) {
        self.spoken.store(if is_http2 { HTTP_2 } else { HTTP_1 }, Ordering::Relaxed);
    }

    /// Closes those that have been idle for longer than `keep_alive`.
    pub(super) fn sweep(&self, keep_alive: Duration) {
        self.list.lock().retain(|trunk| !trunk.is_closed() && !trunk.is_idle_since(keep_alive));
    }

    /// Closes all that are idle.
    pub(super) fn drop_idle(&self) {
        self.list.lock().retain(|trunk| !trunk.is_idle());
    }
}
