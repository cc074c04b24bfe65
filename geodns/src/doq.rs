//! DNS over QUIC (RFC 9250).
//!
//! In: connections with the ALPN token "doq", each query on a stream of its own. Out: its response
//! on the same stream. Always holds: what the RFC calls a fatal error ends the connection with
//! DOQ_PROTOCOL_ERROR; a stream that is slow delays no other; a connection without queries ends;
//! only a client that has proved its address (RFC 9000 §8.1) has a place, so that nobody takes the
//! places of others with forged packets.
//! It deliberately does not know what a query says, beyond what its RFC forbids.
//!
//! A connection stays with the worker whose socket its first packet came to: the system picks
//! sockets by the client's address, so a client that changes its address would reach another one.
//! We say so in the handshake (disable_active_migration, RFC 9000 §18.2).

use std::{io, net::UdpSocket, sync::Arc, time::Duration};

use bytes::Bytes;
use geodns_core::{
    answer::Transport,
    wire::query::{Decoded, decode},
};
use quinn::{
    Connection, Endpoint, EndpointConfig, IdleTimeout, Incoming, RecvStream, SendStream,
    ServerConfig, TokioRuntime, TransportConfig, VarInt, crypto::rustls::QuicServerConfig,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    limits::StreamLimits,
    record::Met,
    streams::{Held, Session, Worker},
    tls::Certificates,
};

const ALPN: &[u8] = b"doq";
const LENGTH_BYTES: usize = 2;
/// The longest wait for the last packets, once all connections are over.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Connections that wait to be accepted, per socket, and what they may have sent by then: one each,
/// and all together.
const WAITING_MAX: usize = 1024;
const WAITING_BYTES_MAX: u64 = 16 * 1024;
const WAITING_BYTES_TOTAL_MAX: u64 = 1024 * 1024;

/// RFC 9250 §4.3.
const NO_ERROR: VarInt = VarInt::from_u32(0x0);
const INTERNAL_ERROR: VarInt = VarInt::from_u32(0x1);
const PROTOCOL_ERROR: VarInt = VarInt::from_u32(0x2);
const EXCESSIVE_LOAD: VarInt = VarInt::from_u32(0x4);

/// What one stream came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// It was answered.
    Answered,
    /// Its client gave it up.
    GivenUp,
    /// It was not sent in time.
    Expired,
    /// It broke the protocol, and so the connection (RFC 9250 §4.3.3).
    Broken,
}

/// A listening endpoint.
///
/// # Errors
/// The socket cannot be used.
pub(crate) fn endpoint(
    socket: UdpSocket,
    certificates: &Certificates,
    limits: &StreamLimits,
) -> io::Result<Endpoint> {
    let crypto =
        QuicServerConfig::try_from(certificates.quic(&[ALPN])).map_err(io::Error::other)?;
    let mut transport = TransportConfig::default();
    let idle = IdleTimeout::try_from(limits.idle_timeout).map_err(io::Error::other)?;
    let query_bytes = u32::try_from(LENGTH_BYTES + limits.query_bytes_max).unwrap_or(u32::MAX);
    transport
        .max_idle_timeout(Some(idle))
        .max_concurrent_bidi_streams(limits.streams_max.into())
        // RFC 9250 §4.2: queries have bidirectional streams, and nothing has others.
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(query_bytes.into())
        .receive_window(query_bytes.saturating_mul(limits.streams_max).into())
        .send_window(u64::from(u16::MAX) * 4)
        .datagram_receive_buffer_size(None);
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(Arc::new(transport))
        .migration(false)
        .max_incoming(WAITING_MAX)
        .incoming_buffer_size(WAITING_BYTES_MAX)
        .incoming_buffer_size_total(WAITING_BYTES_TOTAL_MAX);
    Endpoint::new(EndpointConfig::default(), Some(config), socket, Arc::new(TokioRuntime))
}

/// Serves an endpoint until the drain has begun and its connections are over.
pub(crate) async fn serve(endpoint: Endpoint, worker: Worker) {
    let mut connections = JoinSet::new();
    loop {
        let incoming = tokio::select! {
            incoming = endpoint.accept() => incoming,
            () = worker.draining.started() => None,
        };
        let Some(incoming) = incoming else { break };
        // Those that are over are let go of.
        while connections.try_join_next().is_some() {}
        if let Some((incoming, session, held)) = admit(incoming, &worker) {
            connections.spawn(shake_hands(incoming, session, held));
        }
    }
    endpoint.set_server_config(None);
    while connections.join_next().await.is_some() {}
    drop(timeout(LAST_WORDS, endpoint.wait_idle()).await);
}

fn admit(incoming: Incoming, worker: &Worker) -> Option<(Incoming, Session, Held)> {
    if !incoming.remote_address_validated() {
        // RFC 9000 §8.1.2. It costs the client a round trip, and a forger all that it could have.
        drop(incoming.retry());
        return None;
    }
    match worker.admit(incoming.remote_address(), Transport::Quic) {
        Some((session, held)) => Some((incoming, session, held)),
        None => {
            incoming.refuse();
            None
        }
    }
}

async fn shake_hands(incoming: Incoming, session: Session, held: Held) {
    let Ok(connecting) = incoming.accept() else { return session.met(Met::Broken) };
    match timeout(session.limits.handshake_timeout, connecting).await {
        Ok(Ok(connection)) => converse(&connection, &session).await,
        Ok(Err(_)) => session.met(Met::Broken),
        Err(_) => session.met(Met::Expired),
    }
    drop(held);
}

/// Answers a connection's streams until it ends.
async fn converse(connection: &Connection, session: &Session) {
    let mut streams = JoinSet::new();
    let mut idle_until = Instant::now() + session.limits.idle_timeout;
    let code = loop {
        tokio::select! {
            accepted = connection.accept_bi() => match accepted {
                Ok((send, receive)) => {
                    streams.spawn(answer(send, receive, session.clone()));
                }
                // It is over: closed, or idle for too long.
                Err(_) => return,
            },
            Some(ended) = streams.join_next() => match ended {
                Ok(Ended::Answered) => idle_until = Instant::now() + session.limits.idle_timeout,
                Ok(Ended::GivenUp) => {}
                Ok(ended @ Ended::Expired) => {
                    session.met(Met::Expired);
                    break ended.code();
                }
                Ok(ended @ Ended::Broken) => {
                    session.met(Met::Broken);
                    break ended.code();
                }
                Err(_) => break INTERNAL_ERROR,
            },
            // QUIC's own timer is reset by every packet, so a PING would keep a place for nothing.
            () = sleep_until(idle_until) => break NO_ERROR,
            () = session.draining.started() => break NO_ERROR,
        }
    };
    if code == NO_ERROR {
        // What was asked in time is answered.
        while streams.join_next().await.is_some() {}
    }
    connection.close(code, &[]);
}

impl Ended {
    const fn code(self) -> VarInt {
        match self {
            Self::Answered | Self::GivenUp => NO_ERROR,
            Self::Expired => EXCESSIVE_LOAD,
            Self::Broken => PROTOCOL_ERROR,
        }
    }
}

/// Answers one stream.
async fn answer(mut send: SendStream, receive: RecvStream, session: Session) -> Ended {
    let asked = match timeout(session.limits.query_timeout, read(receive, &session)).await {
        Ok(asked) => asked,
        Err(_) => Err(Ended::Expired),
    };
    let response = asked.and_then(|query| respond(&query, &session));
    let response = match response {
        Ok(response) => response,
        Err(ended) => {
            // Without this the stream would end as if it had an empty response.
            drop(send.reset(ended.code()));
            return ended;
        }
    };
    let sending = async {
        if send.write_chunk(response).await.is_ok() && send.finish().is_ok() {
            // Until then closing the connection would take it back.
            drop(send.stopped().await);
        }
    };
    match timeout(session.limits.write_timeout, sending).await {
        Ok(()) => Ended::Answered,
        Err(_) => Ended::Expired,
    }
}

fn respond(query: &[u8], session: &Session) -> Result<Bytes, Ended> {
    let message = query.get(LENGTH_BYTES..).filter(|message| is_allowed(message));
    let message = message.ok_or(Ended::Broken)?;
    session.counter.answer(session, message, framed).ok_or(Ended::Broken)
}

/// Reads a stream to its end, which the client says after its one query (RFC 9250 §4.2).
async fn read(mut receive: RecvStream, session: &Session) -> Result<Vec<u8>, Ended> {
    let bytes_max = LENGTH_BYTES + session.limits.query_bytes_max;
    let bytes = match receive.read_to_end(bytes_max).await {
        Ok(bytes) => bytes,
        Err(quinn::ReadToEndError::TooLong) => return Err(Ended::Broken),
        // Given up (DOQ_REQUEST_CANCELLED), or the connection is over.
        Err(quinn::ReadToEndError::Read(_)) => return Err(Ended::GivenUp),
    };
    let (length, message) = bytes.split_first_chunk().ok_or(Ended::Broken)?;
    // RFC 9250 §4.3.3: no less than was announced, and no second message.
    if usize::from(u16::from_be_bytes(*length)) == message.len() {
        Ok(bytes)
    } else {
        Err(Ended::Broken)
    }
}

/// RFC 9250 §4.2.1: the stream says which query it is, so the message's ID is 0. RFC 9250 §5.5.2: how
/// long a connection is kept is QUIC's to say, and edns-tcp-keepalive is a fatal error.
fn is_allowed(message: &[u8]) -> bool {
    let edns = match decode(message) {
        Decoded::Asked(query) | Decoded::Faulty { query, .. } => query.edns,
        Decoded::Dropped(_) => None,
    };
    matches!(message, [0, 0, ..]) && !edns.is_some_and(|edns| edns.tcp_keepalive)
}

fn framed(response: &[u8]) -> Bytes {
    let length = u16::try_from(response.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&length, response].concat().into()
}
