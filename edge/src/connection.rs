//! One client connection, from its first byte to its end.
//!
//! In: a byte stream. Out: nothing; requests go through the hallway.
//! Always holds: HTTP/1.1 reaches hyper only through our own I/O ([`crate::wire`]); HTTP/2 is
//! taken by prior knowledge (RFC 9113 §3.3) with bounded streams and resets; when the process
//! drains, the connection says so (`Connection: close`, GOAWAY) and ends after its exchanges.
//! It knows no sockets' options and no limits on their number: that is the listener's.

mod answer;
mod content;
mod http1;
mod http2;
mod streams;
#[cfg(test)]
mod tests;
mod transport;

use std::{io, net::SocketAddr, sync::Arc};

use nearcast_daemon::drain::Draining;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::{Instant, sleep_until},
};

pub use self::{
    content::{ContentError, RequestContent, StreamContent},
    streams::StreamInterim,
};
use crate::{
    record::Worker,
    serve::{Connection, Desk, Hall},
    wire::{self, Deadlines},
};

/// What a client that knows to speak HTTP/2 sends first (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

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
    S: wire::Stream + Send + 'static,
{
    let limits = Arc::clone(&serving.hall.snapshot.load().edge.wire);
    let accepted = Instant::now();
    let (mut received, mut length) = ([0; PREFACE.len()], 0);
    let grace = async {
        serving.draining.started().await;
        sleep_until(Instant::now() + limits.linger_timeout).await;
    };
    let is_known = tokio::select! {
        biased;
        sniffed = sniff(&mut io, &mut received, &mut length) => match sniffed {
            Ok(()) => true,
            Err(_) => return,
        },
        () = sleep_until(accepted + limits.header_timeout) => false,
        () = grace => return,
    };
    if !is_known && length == 0 {
        serving.hall.limits.hit("header_timeout");
        return;
    }
    // A few bytes that may still become either are the beginning of a head that came too slowly: `wire` says 408.
    let received = received.get(..length).unwrap_or_default();
    if received == PREFACE {
        http2::serve(serving, io, client).await;
        return;
    }
    let Serving { hall, worker, deadlines, draining } = serving;
    let desk =
        Desk::new(Arc::clone(&hall), Arc::new(Connection::new(worker.clone(), client, None)));
    let (mut io, handle) = wire::Io::new(io, received, desk, limits, &deadlines);
    io.accepted_before(accepted.elapsed());
    let connection = Arc::new(Connection::new(worker, client, Some(handle.clone())));
    http1::serve((hall, connection), io, handle, draining).await;
}

/// Reads until the bytes are the preface or cannot become it any more.
async fn sniff<S: AsyncRead + Unpin>(
    io: &mut S,
    received: &mut [u8; 24],
    length: &mut usize,
) -> io::Result<()> {
    while *length < PREFACE.len() && PREFACE.get(..*length) == received.get(..*length) {
        let room = received.get_mut(*length..).unwrap_or_default();
        let read = io.read(room).await?;
        if read == 0 {
            break;
        }
        *length += read;
    }
    Ok(())
}
