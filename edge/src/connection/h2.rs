//! HTTP/2 through hyper, with deadlines and limits of our own.
//!
//! In: a byte stream that begins with the preface. Out: nothing; what ended it is counted.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use http::Request;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{MissedTickBehavior, interval},
};

use super::{
    Serving,
    h1::Pending,
    prefixed::Prefixed,
    streams::{H2Watch, Look, Stream, Streams},
};
use crate::serve::Connection;

/// Bytes of HTTP/2 content that a client may have on its way to us, per stream and connection.
const H2_WINDOW_BYTES: u32 = 256 * 1024;
/// Bytes of content that are queued for one HTTP/2 stream.
const H2_SEND_BYTES: usize = 64 * 1024;
/// How often an HTTP/2 connection is looked at for its deadlines.
const H2_TICK: Duration = Duration::from_secs(1);

/// Serves HTTP/2 to the connection's end.
pub(super) async fn serve<S>(serving: Serving, io: Prefixed<S>, client: SocketAddr)
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
