//! HTTP/2 by prior knowledge, with deadlines and limits of our own (RFC 9113 §3.3).
//!
//! In: a byte stream whose preface was read. Out: nothing; what ended it is counted.
//! Always holds: what the transport accepts is the sign of life, so no PING is sent that would wait
//! behind a slow client's own bytes; a stream that stands still is reset alone; the connection is
//! told with GOAWAY before it is closed, and does not outlive that by more than a grace once its
//! streams are over (RFC 9113 §6.8).
//!
//! The h2 library is used as it is and not through hyper: hyper lets go of a stream when it has
//! handed over the last bytes, and from then on nobody could reset a client that never takes them.

use std::{
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Weak},
    time::Duration,
};

use edge_core::settings::LimitSettings;
use h2::{
    Reason, RecvStream,
    server::{self, SendResponse},
};
use http::{Request, StatusCode, header, request::Parts};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    Serving,
    answer::answer,
    content::{Charges, RequestContent, StreamContent, has_bare_space},
    streams::{Look, Piece, Stream, StreamInterim, Streams, Watch},
    transport::{Section, Traffic, Transport},
};
use crate::{
    serve::{Connection, Hall},
    store::budget::Charge,
};

/// Bytes of content that a client may have on its way to us, per stream and connection: the
/// protocol's own first window, under which no connection can be held (RFC 9113 §6.9.2). A client
/// may fill it while its request waits for an origin, so it does not grow.
const WINDOW_BYTES: u32 = 65_535;
/// Bytes of content that are queued for one stream.
const SEND_BYTES: usize = 64 * 1024;
/// How often a connection is looked at for its deadlines.
const TICK: Duration = Duration::from_secs(1);

/// Serves HTTP/2 to the connection's end.
pub(super) async fn serve<S>(serving: Serving, io: S, client: SocketAddr)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Serving { hall, worker, draining, .. } = serving;
    let (limits, grace) = {
        let snapshot = hall.snapshot.load();
        (snapshot.edge.limits.clone(), snapshot.edge.wire.linger_timeout)
    };
    let traffic = Arc::new(Traffic::new(limits.h2_controls_max));
    let streams = Arc::new(Streams::new(Arc::clone(&traffic), limits.h2_resets_max));
    let section_bytes =
        usize::try_from(limits.header_bytes_max.as_u64()).unwrap_or(usize::MAX).saturating_mul(2);
    let section = Section::new(Arc::clone(&hall.room), section_bytes);
    let window = section.window();
    let transport = Transport::new(io, Arc::clone(&traffic), section);
    let shaking = settings(&limits).handshake::<_, Piece>(transport);
    let Ok(Ok(connection)) = timeout(limits.header_timeout, shaking).await else { return };
    let about = Arc::new(Connection::new(worker, client, None));
    let mut session = Session {
        hall,
        about,
        connection,
        streams,
        tasks: JoinSet::new(),
        watch: Watch::default(),
        window,
    };
    let mut drain = pin!(draining.started());
    let mut is_draining = false;
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let streams = Arc::clone(&session.streams);
        tokio::select! {
            accepted = session.connection.accept() => match accepted {
                Some(Ok((request, respond))) => session.take(request, respond),
                Some(Err(error)) => {
                    tracing::debug!(%client, %error, "an HTTP/2 connection ended early");
                    return;
                }
                None => return,
            },
            () = &mut drain, if !is_draining => {
                is_draining = true;
                session.close();
            }
            () = streams.flood.notified() => {
                return session.part("h2_resets_max", Reason::ENHANCE_YOUR_CALM, grace).await;
            }
            () = traffic.flood.notified() => {
                return session.part("h2_controls_max", Reason::ENHANCE_YOUR_CALM, grace).await;
            }
            () = traffic.scarce.notified() => {
                return session.part("memory", Reason::ENHANCE_YOUR_CALM, grace).await;
            }
            _ = tick.tick() => match session.watch.look(&streams, &limits, grace) {
                Look::Fine => {}
                Look::Stalled(stalled) => (0..stalled).for_each(|_| session.hit("write_timeout")),
                Look::Idle => {
                    session.hit("idle_timeout");
                    session.close();
                }
                Look::Over => return,
                Look::Slow => return session.part("header_timeout", Reason::NO_ERROR, grace).await,
                Look::Deaf => return session.part("write_timeout", Reason::NO_ERROR, grace).await,
            }
        }
    }
}

fn settings(limits: &LimitSettings) -> server::Builder {
    let header_bytes = u32::try_from(limits.header_bytes_max.as_u64()).unwrap_or(u32::MAX);
    let mut builder = server::Builder::new();
    builder
        .max_concurrent_streams(limits.h2_streams_max)
        .max_header_list_size(header_bytes)
        .initial_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_send_buffer_size(SEND_BYTES);
    builder
}

/// A connection that is being served.
struct Session<S> {
    hall: Arc<Hall>,
    about: Arc<Connection>,
    connection: server::Connection<Transport<S>, Piece>,
    streams: Arc<Streams>,
    /// One task per stream; they end with the connection.
    tasks: JoinSet<()>,
    watch: Watch,
    /// What its window takes of the budget while any content is open.
    window: Arc<Mutex<Weak<Charge>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    fn take(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Piece>) {
        while self.tasks.try_join_next().is_some() {}
        let mut stream = Stream::open(&self.streams);
        let (head, content) = request.into_parts();
        if head.headers.get_all(header::CONTENT_LENGTH).iter().count() > 1 {
            // RFC 9113 §8.1.1: the library looks at the first only.
            return self.refuse("content_length", &head, respond);
        }
        if has_bare_space(&head.headers) {
            // RFC 9113 §8.2.1.
            return self.refuse("field_value", &head, respond);
        }
        let Some(charges) = self.charges(&head, &content) else {
            // RFC 9113 §8.7: nothing was done with it, so the client may send it again.
            self.hit("memory");
            self.hall.note_reset(&self.about, &head, StatusCode::SERVICE_UNAVAILABLE);
            respond.send_reset(Reason::REFUSED_STREAM);
            // It is no reset of the client's.
            stream.is_answered = true;
            return;
        };
        let is_charged = charges.request.is_some();
        let interim = StreamInterim::to(&stream);
        let content = StreamContent::new(content, &head.headers, (interim, charges));
        let content = RequestContent::Http2(content);
        let answered = self.hall.serve(&self.about, Request::from_parts(head, content));
        // What finds no room is answered before the next head is taken, so that heads do not pile up.
        let answered = if is_charged { answered } else { answered.begun() };
        self.tasks.spawn(answer(answered, respond, stream));
    }

    /// RFC 9113 §8.1.1: a malformed request is a stream error, and goes no further.
    fn refuse(&self, reason: &'static str, head: &Parts, mut respond: SendResponse<Piece>) {
        self.hall.refused.hit(reason);
        self.hall.note_reset(&self.about, head, StatusCode::BAD_REQUEST);
        respond.send_reset(Reason::PROTOCOL_ERROR);
    }

    /// What a request takes of the budget from when it is here: its head, which the library has read
    /// whole before anybody can look at it, and the window if content follows, without which nothing
    /// is done with it.
    fn charges(&self, head: &Parts, content: &RecvStream) -> Option<Charges> {
        let window = if content.is_end_stream() { None } else { Some(self.window()?) };
        Some(Charges { request: self.hall.charge_head(head), _window: window })
    }

    /// The charge of the connection's window, which all its contents share.
    fn window(&self) -> Option<Arc<Charge>> {
        let mut window = self.window.lock();
        if let Some(charge) = window.upgrade() {
            return Some(charge);
        }
        let charge = Arc::new(self.hall.room.reserve(WINDOW_BYTES as usize)?);
        *window = Arc::downgrade(&charge);
        Some(charge)
    }

    /// Takes no more streams than the client has sent already.
    fn close(&mut self) {
        self.watch.close(&self.streams);
        self.connection.graceful_shutdown();
    }

    fn hit(&self, limit: &'static str) {
        self.hall.limits.hit(limit);
        tracing::debug!(client = %self.about.client, limit, "an HTTP/2 client met a limit");
    }

    /// Ends it now: says why, as far as the client lets us.
    async fn part(mut self, limit: &'static str, reason: Reason, grace: Duration) {
        self.hit(limit);
        self.tasks.abort_all();
        self.connection.abrupt_shutdown(reason);
        let ended = timeout(grace, std::future::poll_fn(|cx| self.connection.poll_closed(cx)));
        if ended.await.is_err() {
            tracing::debug!(client = %self.about.client, "an HTTP/2 client did not hear GOAWAY");
        }
    }
}
