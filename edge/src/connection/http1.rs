//! HTTP/1.1 over our own I/O: through hyper, once there is something that needs it.
//!
//! In: the I/O, and what answers. Out: nothing; what ended it is counted.
//! Always holds: no timer of hyper's runs, `wire` holds every deadline.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderValue, Request, Response, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use nearcast_daemon::drain::{Draining, Phase};

use super::content::RequestContent;
use crate::{
    body::ServeBody,
    fetch::chain,
    record::UNREAD,
    serve::{Answered, Connection, Desk, Hall},
    wire,
};

/// Bytes that hyper queues for one HTTP/1.1 connection before it waits for the socket.
const BUFFER_BYTES: usize = 64 * 1024;
/// Fields of a head that hyper has room for without asking the heap.
const HYPER_FIELDS_MAX: usize = 100;

/// Serves HTTP/1.1 to the connection's end.
pub(super) async fn serve<S>(
    (hall, connection): (Arc<Hall>, Arc<Connection>),
    mut io: wire::Io<S, Desk>,
    grip: wire::Handle,
    draining: Draining,
) where
    S: wire::Stream + Send + 'static,
{
    let client = connection.client;
    let tally = Arc::clone(&hall);
    let (head_bytes, fields_max) = {
        let snapshot = hall.snapshot.load();
        (snapshot.edge.wire.header_bytes_max, snapshot.edge.wire.header_count_max)
    };
    // Many connections bring hits alone. A drain is looked at first: its last answer says so, which hyper's does.
    let alone = tokio::select! {
        biased;
        () = draining.started() => Ok(()),
        alone = poll_fn(|cx| io.poll_alone(cx)) => alone,
    };
    let limits = (head_bytes, fields_max);
    let ended = match alone {
        Ok(()) => {
            let ended = through_hyper((hall, connection), io, &grip, &draining, limits).await;
            if ended.as_ref().is_err_and(hyper::Error::is_parse) {
                tally.refused.hit(UNREAD);
            }
            ended.map_err(|error| chain(&error))
        }
        Err(error) => Err(chain(&error)),
    };
    let refusal = grip.stats().refusal();
    if let Some(refusal) = refusal.filter(|refusal| !refusal.is_limit()) {
        tally.refused.hit(refusal.as_str());
        tracing::debug!(%client, reason = refusal.as_str(), "a request was malformed");
    }
    let refusal = refusal.filter(|refusal| refusal.is_limit()).map(wire::Refusal::as_str);
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

/// The rest of a connection, once it brings what needs hyper.
async fn through_hyper<S>(
    (hall, connection): (Arc<Hall>, Arc<Connection>),
    io: wire::Io<S, Desk>,
    grip: &wire::Handle,
    draining: &Draining,
    (head_bytes, fields_max): (usize, usize),
) -> hyper::Result<()>
where
    S: wire::Stream + Send + 'static,
{
    let handle = grip.clone();
    let service = service_fn(move |request: Request<Incoming>| Pending {
        answered: Some(hall.serve(&connection, request.map(RequestContent::Http1))),
        grip: handle.clone(),
    });
    // No timer: hyper would arm one per request head; `wire` holds the deadlines.
    let mut builder = http1::Builder::new();
    builder.half_close(false).auto_date_header(false).max_buf_size(head_bytes.max(BUFFER_BYTES));
    if fields_max > HYPER_FIELDS_MAX {
        builder.max_headers(fields_max);
    }
    let mut serving = pin!(builder.serve_connection(io, service));
    if draining.phase() > Phase::Running {
        // Before the next request is looked at.
        grip.drain();
    }
    // hyper's own graceful shutdown ends a connection that has not had a request yet.
    tokio::select! {
        biased;
        ended = serving.as_mut() => ended,
        () = draining.started() => {
            grip.drain();
            serving.await
        }
    }
}

/// An answer on its way to hyper.
struct Pending {
    answered: Option<Answered>,
    grip: wire::Handle,
}

impl Future for Pending {
    type Output = Result<Response<ServeBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut response = match self.answered.take() {
            Some(Answered::Now(response)) => *response,
            Some(Answered::Later(mut later)) => match later.as_mut().poll(cx) {
                Poll::Ready(response) => response,
                Poll::Pending => {
                    self.answered = Some(Answered::Later(later));
                    return Poll::Pending;
                }
            },
            None => return Poll::Pending,
        };
        if self.grip.is_ending() {
            // RFC 9112 §9.6: the client learns that this was the last.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(response))
    }
}
