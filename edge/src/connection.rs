//! One client connection, from its first byte to its end.
//!
//! In: a byte stream. Out: nothing; requests go through the hallway.
//! Always holds: HTTP/1.1 reaches hyper only through our own I/O ([`crate::wire`]); HTTP/2 is
//! taken by prior knowledge (RFC 9113 §3.3) with bounded streams and resets; when the process
//! drains, the connection says so (`Connection: close`, GOAWAY) and ends after its exchanges.
//! It knows no sockets' options and no limits on their number: that is the listener's.

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use edge_core::settings::LimitSettings;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use nearcast_daemon::drain::Draining;
use parking_lot::Mutex;
use slab::Slab;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use crate::{
    body::ServeBody,
    record::Worker,
    serve::{Answered, Connection, Desk, Hall},
    wire::{self, Deadlines},
};

/// What a client that knows to speak HTTP/2 sends first (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of HTTP/2 content that a client may have on its way to us, per stream and connection.
const H2_WINDOW_BYTES: u32 = 256 * 1024;
/// Bytes that hyper queues for one HTTP/1.1 connection before it waits for the socket.
const BUFFER_BYTES: usize = 64 * 1024;
/// Fields of a head that hyper has room for without asking the heap.
const HYPER_FIELDS_MAX: usize = 100;
/// Bytes of content that are queued for one HTTP/2 stream.
const H2_SEND_BYTES: usize = 64 * 1024;
/// How often an HTTP/2 connection is looked at for its deadlines.
const H2_TICK: Duration = Duration::from_secs(1);

/// What serving a connection needs.
pub struct Serving {
    /// The hallway.
    pub hall: Arc<Hall>,
    /// The worker that serves it.
    pub worker: Arc<Worker>,
    /// The worker's deadlines.
    pub deadlines: Deadlines,
    /// Whether the process drains.
    pub draining: Draining,
}

/// Serves one connection to its end.
pub async fn serve<S>(serving: Serving, mut io: S, client: SocketAddr)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = Arc::clone(&serving.hall.snapshot.load().edge.wire);
    let mut received = [0; PREFACE.len()];
    let first = timeout(limits.header_timeout, sniff(&mut io, &mut received));
    let length = match first.await {
        Ok(Ok(length)) => length,
        Ok(Err(_)) => return,
        Err(_) => {
            serving.hall.limits.hit("header_timeout");
            return;
        }
    };
    let received = received.get(..length).unwrap_or_default();
    if received == PREFACE {
        let io = Prefixed { prefix: Bytes::copy_from_slice(received), io };
        serve_h2(serving, io, client).await;
        return;
    }
    let Serving { hall, worker, deadlines, draining } = serving;
    let desk =
        Desk::new(Arc::clone(&hall), Arc::new(Connection::new(worker.clone(), client, None)));
    let (io, handle) = wire::Io::new(io, received, desk, limits, &deadlines);
    let connection = Arc::new(Connection::new(worker, client, Some(handle.clone())));
    serve_h1((hall, connection), io, handle, draining).await;
}

/// Reads until the bytes are the preface or cannot become it any more.
async fn sniff<S: AsyncRead + Unpin>(io: &mut S, received: &mut [u8; 24]) -> io::Result<usize> {
    let mut length = 0;
    while length < PREFACE.len() && PREFACE.get(..length) == received.get(..length) {
        let room = received.get_mut(length..).unwrap_or_default();
        let read = io.read(room).await?;
        if read == 0 {
            break;
        }
        length += read;
    }
    Ok(length)
}

async fn serve_h1<S>(
    (hall, connection): (Arc<Hall>, Arc<Connection>),
    io: wire::Io<S, Desk>,
    grip: wire::Handle,
    draining: Draining,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let client = connection.client;
    let tally = Arc::clone(&hall);
    let (head_bytes, fields_max) = {
        let snapshot = hall.snapshot.load();
        (snapshot.edge.wire.header_bytes_max, snapshot.edge.wire.header_count_max)
    };
    let service = service_fn(move |request: Request<Incoming>| {
        Pending::of(hall.serve(&connection, request), None)
    });
    // No timer: hyper would arm one per request head; `wire` holds the deadlines.
    let mut builder = http1::Builder::new();
    builder.half_close(false).auto_date_header(false).max_buf_size(head_bytes.max(BUFFER_BYTES));
    if fields_max > HYPER_FIELDS_MAX {
        builder.max_headers(fields_max);
    }
    let mut serving = pin!(builder.serve_connection(io, service));
    let mut drain = pin!(draining.started());
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = &mut drain => {
            serving.as_mut().graceful_shutdown();
            grip.close_after_current();
            serving.await
        }
    };
    let refusal = grip.stats().refusal().map(wire::Refusal::as_str);
    let timeout = grip.stats().timeout().map(wire::Timeout::as_str);
    // A deadline that was told the client in a 408 is one hit, not two.
    for limit in refusal.into_iter().chain(timeout.filter(|timeout| Some(*timeout) != refusal)) {
        tally.limits.hit(limit);
        tracing::debug!(%client, limit, "a connection was refused or ran out of time");
    }
    if let Err(error) = ended {
        tracing::debug!(%client, %error, "an HTTP/1.1 connection ended early");
    }
}

async fn serve_h2<S>(serving: Serving, io: Prefixed<S>, client: SocketAddr)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Serving { hall, worker, draining, .. } = serving;
    let snapshot = hall.snapshot.load_full();
    let limits = &snapshot.edge.limits;
    let streams = Arc::new(Streams::new(limits.h2_resets_max));
    let tally = Arc::clone(&hall);
    let connection = Arc::new(Connection::new(worker, client, None));
    let seen = Arc::clone(&streams);
    let service = service_fn(move |request: Request<Incoming>| {
        let stream = Stream::open(&seen);
        Pending::of(hall.serve(&connection, request), Some(stream))
    });
    let header_bytes = u32::try_from(limits.header_bytes_max.as_u64()).unwrap_or(u32::MAX);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .max_concurrent_streams(limits.h2_streams_max)
        .max_header_list_size(header_bytes)
        .initial_stream_window_size(H2_WINDOW_BYTES)
        .initial_connection_window_size(H2_WINDOW_BYTES)
        .max_send_buf_size(H2_SEND_BYTES)
        .keep_alive_interval(Some(limits.idle_timeout / 2))
        .keep_alive_timeout(limits.header_timeout);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(io), service));
    let mut drain = pin!(draining.started());
    let mut draining = false;
    let mut tick = interval(H2_TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watch = H2Watch::new(&streams);
    let ended = loop {
        tokio::select! {
            ended = serving.as_mut() => break ended,
            () = &mut drain, if !draining => {
                draining = true;
                serving.as_mut().graceful_shutdown();
            }
            () = streams.flood.notified() => {
                tally.limits.hit("h2_resets_max");
                tracing::debug!(%client, "an HTTP/2 client reset too many streams");
                return;
            }
            _ = tick.tick() => match watch.look(&streams, limits) {
                Look::Fine => {}
                Look::Idle => serving.as_mut().graceful_shutdown(),
                Look::Stalled => {
                    tally.limits.hit("write_timeout");
                    tracing::debug!(%client, "an HTTP/2 client takes nothing of a response");
                    return;
                }
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%client, %error, "an HTTP/2 connection ended early");
    }
}

/// An answer on its way to hyper.
struct Pending {
    answered: Option<Answered>,
    stream: Option<Stream>,
}

impl Pending {
    fn of(answered: Answered, stream: Option<Stream>) -> Self {
        Self { answered: Some(answered), stream }
    }
}

impl Future for Pending {
    type Output = Result<Response<ServeBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut response = match self.answered.take() {
            Some(Answered::Now(response)) => *response,
            Some(Answered::Later(mut later)) => match poll_boxed(&mut later, cx) {
                Poll::Ready(response) => response,
                Poll::Pending => {
                    self.answered = Some(Answered::Later(later));
                    return Poll::Pending;
                }
            },
            None => return Poll::Pending,
        };
        if let Some(mut stream) = self.stream.take() {
            stream.answered = true;
            response.body_mut().attach(stream);
        }
        Poll::Ready(Ok(response))
    }
}

fn poll_boxed<T>(future: &mut BoxFuture<'static, T>, cx: &mut Context<'_>) -> Poll<T> {
    future.as_mut().poll(cx)
}

/// The streams of one HTTP/2 connection.
#[derive(Debug)]
struct Streams {
    started: Instant,
    open: Mutex<Slab<Arc<Progress>>>,
    opened: AtomicU64,
    /// Streams that ended before their answer since the last look at the minute.
    resets: AtomicU32,
    resets_max: u32,
    flood: Notify,
}

/// How far a stream's client has come with its answer.
#[derive(Debug)]
struct Progress {
    /// When the client was last given something, in milliseconds since the connection began;
    /// [`OURS`] while it waits for us.
    given: AtomicU64,
}

/// The next step of a stream is ours: its answer or more of its content.
const OURS: u64 = u64::MAX;

impl Streams {
    fn new(resets_max: u32) -> Self {
        Self {
            started: Instant::now(),
            open: Mutex::new(Slab::new()),
            opened: AtomicU64::new(0),
            resets: AtomicU32::new(0),
            resets_max,
            flood: Notify::new(),
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(OURS - 1)
    }
}

/// One HTTP/2 stream; it ends when its answer's content does, or when the client resets it.
#[derive(Debug)]
pub struct Stream {
    streams: Arc<Streams>,
    progress: Arc<Progress>,
    slot: usize,
    answered: bool,
}

impl Stream {
    fn open(streams: &Arc<Streams>) -> Self {
        streams.opened.fetch_add(1, Ordering::Relaxed);
        let progress = Arc::new(Progress { given: AtomicU64::new(OURS) });
        let slot = streams.open.lock().insert(Arc::clone(&progress));
        Self { streams: Arc::clone(streams), progress, slot, answered: false }
    }

    /// The client has something to take now.
    pub fn give(&self) {
        self.progress.given.store(self.streams.millis(), Ordering::Relaxed);
    }

    /// The client waits for us.
    pub fn owe(&self) {
        self.progress.given.store(OURS, Ordering::Relaxed);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.streams.open.lock().remove(self.slot);
        if self.answered {
            return;
        }
        // Rapid reset (CVE-2023-44487): a stream that is opened and reset costs us a forward and
        // the client nothing.
        let resets = self.streams.resets.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if resets > self.streams.resets_max {
            self.streams.flood.notify_one();
        }
    }
}

/// What an HTTP/2 connection was doing when it was last looked at.
struct H2Watch {
    minute: Instant,
    active: Instant,
    opened: u64,
}

enum Look {
    Fine,
    Idle,
    Stalled,
}

impl H2Watch {
    fn new(streams: &Streams) -> Self {
        Self { minute: streams.started, active: streams.started, opened: 0 }
    }

    fn look(&mut self, streams: &Streams, limits: &LimitSettings) -> Look {
        let now = Instant::now();
        if now.duration_since(self.minute) >= Duration::from_secs(60) {
            self.minute = now;
            streams.resets.store(0, Ordering::Relaxed);
        }
        let millis = streams.millis();
        let patience = u64::try_from(limits.write_timeout.as_millis()).unwrap_or(OURS);
        let (any, stalled) = {
            let open = streams.open.lock();
            let stalled = open.iter().any(|(_, progress)| {
                let given = progress.given.load(Ordering::Relaxed);
                given != OURS && millis.saturating_sub(given) >= patience
            });
            (!open.is_empty(), stalled)
        };
        let opened = streams.opened.load(Ordering::Relaxed);
        if any || opened != self.opened {
            self.opened = opened;
            self.active = now;
        }
        if stalled {
            return Look::Stalled;
        }
        if now.duration_since(self.active) >= limits.idle_timeout {
            return Look::Idle;
        }
        Look::Fine
    }
}

/// A stream some of whose bytes were read already.
struct Prefixed<S> {
    prefix: Bytes,
    io: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let length = self.prefix.len().min(buf.remaining());
        buf.put_slice(&self.prefix.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
