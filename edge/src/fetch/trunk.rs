//! One HTTP/2 connection to an origin server, shared by all requests that find a seat on it.
//!
//! In: a byte stream to the server. Out: seats, each for one stream.
//! Always holds: no more streams than the server allows and we are ready for; a connection that the
//! server leaves (GOAWAY), that its name has left, that has broken or on which many streams were
//! given up takes no further stream and ends with its last one; one whose server gives no sign of
//! life while streams are open takes none until it does, and is ended when it does not; what a server
//! may send ahead is bounded for each stream, and charged to its seat.
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
    Ping, PingPong, Reason,
    client::{Builder, Connection, SendRequest},
};
use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::{Semaphore, SemaphorePermit, oneshot},
    task::AbortHandle,
    time::Instant,
};

use super::{
    chain,
    connect::Opened,
    frames::{Frames, READ_BYTES},
    life::Life,
    names::Residence,
    server::Counted,
    stream::Seat,
    way::{Blame, Need},
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
const TRUNK_BYTES: usize = 144 * 1024 + READ_BYTES;
/// What a TLS session holds beside it.
const TLS_BYTES: usize = 8 * 1024;
/// Streams that are given up on one connection before it takes no further one: servers count them to
/// defend themselves, which would harm all who share it.
const RESETS_MAX: usize = 64;
/// What small frames may take beyond their content (256 bytes less their length each) while they
/// wait for their reader, who only needs its turn.
const SMALL_FRAMES_BYTES: usize = 16 * 1024 * 1024;

/// See the module.
pub(super) struct Trunk {
    pub(super) sender: SendRequest<Bytes>,
    pub(super) fills: Handle,
    driver: AbortHandle,
    pub(super) use_: Arc<Use>,
    began: Instant,
    pub(super) residence: Option<Residence>,
    _counted: Option<Counted>,
    _charge: Charge,
}

/// What use is made of a connection.
pub(super) struct Use {
    seats: AtomicUsize,
    is_over: AtomicBool,
    idle_since: Mutex<Instant>,
    life: Arc<Life>,
    /// Streams that we have given up.
    resets: AtomicUsize,
    /// Uploads that the server lets wait.
    stalled: AtomicUsize,
    /// Whether the server was blamed for its end.
    is_blamed: AtomicBool,
}

impl Use {
    fn new() -> Self {
        Self {
            seats: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
            idle_since: Mutex::new(Instant::now()),
            life: Arc::new(Life::new()),
            resets: AtomicUsize::new(0),
            stalled: AtomicUsize::new(0),
            is_blamed: AtomicBool::new(false),
        }
    }

    fn is_idle(&self) -> bool {
        self.seats.load(Ordering::Acquire) == 0
    }

    /// From now on it takes no further stream.
    pub(super) fn close(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    /// A stream is given up before its end.
    pub(super) fn note_reset(&self) {
        if self.resets.fetch_add(1, Ordering::AcqRel) + 1 >= RESETS_MAX {
            self.close();
        }
    }

    /// Whose doing it is that a stream failed. The end of the connection is one failure, whoever
    /// sees it first, and not as many as there were streams.
    pub(super) fn blame(&self, error: &h2::Error) -> Blame {
        let is_lost = error.is_io() || error.is_go_away();
        if is_lost {
            self.close();
        }
        match error {
            _ if is_unprocessed(error) => Blame::Nobody,
            _ if is_misread(error) => Blame::Answer,
            _ if is_lost && self.is_blamed.swap(true, Ordering::AcqRel) => Blame::Known,
            _ => Blame::Server,
        }
    }
}

/// Whether the server says that it has not looked at a request (RFC 9113 §8.7). A GOAWAY that tells
/// of an error may be about any stream.
pub(super) fn is_unprocessed(error: &h2::Error) -> bool {
    let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    let left = error.is_go_away() && error.reason() == Some(Reason::NO_ERROR);
    error.is_remote() && (refused || left)
}

/// Whether a stream was ended on our side because of what the server said on it.
pub(super) fn is_misread(error: &h2::Error) -> bool {
    error.is_reset() && error.is_library()
}

/// An upload that the server lets wait, until it drops.
pub(super) struct Stalled(Arc<Use>);

impl Stalled {
    pub(super) fn on(use_: &Arc<Use>) -> Self {
        use_.stalled.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(use_))
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        self.0.stalled.fetch_sub(1, Ordering::AcqRel);
    }
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
        Opened { stream, residence, counted, .. }: Opened,
        fills: &Handle,
        charge: Charge,
    ) -> Result<Self, String> {
        let use_ = Arc::new(Use::new());
        let stream = Frames::of(stream, Arc::clone(&use_.life));
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
            .data_frame_budget(SMALL_FRAMES_BYTES)
            .enable_push(false)
            .handshake::<_, Bytes>(stream)
            .await
            .map_err(|error| chain(&error))?;
        let (ready, is_ready) = oneshot::channel();
        // Ends when the connection closes or the trunk drops.
        let driver = fills.spawn(drive(connection, Arc::clone(&use_), ready));
        let (fills, driver) = (fills.clone(), driver.abort_handle());
        let began = Instant::now();
        let (_counted, _charge) = (counted, charge);
        let trunk = Self { sender, fills, driver, use_, began, residence, _counted, _charge };
        match is_ready.await {
            Ok(()) => Ok(trunk),
            Err(_ended) => Err("it does not speak HTTP/2, or has closed".to_owned()),
        }
    }

    /// A seat, if there is one free and the server is there. A request `with_content` has none behind
    /// an upload that waits: they share the server's window (RFC 9113 §5.2).
    fn seat(self: &Arc<Self>, with_content: bool) -> Option<Seat> {
        let is_stalled = with_content && self.use_.stalled.load(Ordering::Acquire) > 0;
        if is_stalled || self.use_.life.is_in_doubt() {
            return None;
        }
        let allowed = self.sender.current_max_send_streams();
        let most = allowed.min(usize::try_from(STREAMS_MAX).unwrap_or(usize::MAX));
        let take = |taken| (taken < most).then_some(taken + 1);
        let seats = &self.use_.seats;
        let taken = seats.fetch_update(Ordering::AcqRel, Ordering::Acquire, take);
        taken.ok().map(|_| self.taken())
    }

    fn taken(self: &Arc<Self>) -> Seat {
        self.use_.life.asked();
        Seat::new(Arc::clone(self))
    }

    /// A seat on a connection that nobody else may use; it closes with the seat.
    pub(super) fn alone(self) -> Seat {
        Arc::new(self).first_seat()
    }

    /// The seat of who has opened it, whatever the server allows: it may say no itself.
    fn first_seat(self: &Arc<Self>) -> Seat {
        self.use_.seats.fetch_add(1, Ordering::AcqRel);
        self.taken()
    }

    /// A seat is free again; whether its stream was given up before its end.
    pub(super) fn leave(&self, is_reset: bool) {
        if is_reset {
            self.use_.note_reset();
        }
        *self.use_.idle_since.lock() = Instant::now();
        self.use_.seats.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether it takes no further stream.
    pub(super) fn is_closed(&self) -> bool {
        self.use_.is_over.load(Ordering::Acquire)
            || self.residence.as_ref().is_some_and(Residence::is_out_of_use)
    }

    fn is_idle(&self) -> bool {
        self.use_.is_idle()
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
        self.0.close();
    }
}

async fn drive(
    mut connection: Connection<Frames, Bytes>,
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
    use_.life.ends(&mut ping, || !use_.is_idle()).await;
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
    /// A seat on a connection that there is and that has not been idle for longer than `keep_alive`.
    pub(super) fn seat(&self, keep_alive: Duration, need: Need) -> Option<Seat> {
        let mut list = self.list.lock();
        list.retain(|trunk| !trunk.is_closed() && !trunk.is_idle_since(keep_alive));
        let is_new_enough =
            |trunk: &&Arc<Trunk>| need.since.is_none_or(|since| trunk.began >= since);
        list.iter().filter(is_new_enough).find_map(|trunk| trunk.seat(need.with_content))
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
