//! The way of one request to a server: a connection of its own, or a seat on a shared one.
//!
//! In: a server, a plan. Out: a way, and over it a response.
//! Always holds: what is there already is used before a connection is opened; where connections are
//! shared one is opened at a time, and who waits for it waits no longer than for a connection of
//! its own. It knows no queue, no other server and no retries.

use std::{
    error::Error as _,
    io,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use edge_core::{settings::OriginProtocol, site::OriginPlan};
use http::{Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::{
    io::AsyncWriteExt as _,
    runtime::Handle,
    time::{Instant, timeout, timeout_at},
};

use super::{
    FetchError, chain,
    connect::Opened,
    content::ClientContent,
    io_reason,
    link::{Link, Signs},
    names::Residence,
    server::{Counted, Server},
    socket::Look,
    stream::{Seat, Stream},
    tls::TlsPlan,
    trunk::{Trunk, WINDOW_BYTES},
    world::OriginWorld,
};
use crate::store::budget::Charge;

/// How long a kept connection may take to be ready for the next request: hyper may need a moment
/// more than the response's last byte, but a server that does not read must not hold anybody up.
const READY_PATIENCE: Duration = Duration::from_millis(10);

/// A header of the PROXY protocol, version 2, that names nobody: signature, LOCAL, no addresses.
const LOCAL: &[u8; 16] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// See the module.
pub(super) enum Way {
    /// HTTP/1.1: a connection that nobody else uses meanwhile.
    Own(Link),
    /// HTTP/2: a stream beside others.
    Shared(Seat),
}

/// Why a way brought no response.
pub(super) struct Unanswered {
    /// The request, if certainly nothing was done with it, or nothing speaks against doing it again.
    pub(super) message: Option<Request<ClientContent>>,
    /// What went wrong.
    pub(super) reason: String,
    /// Whose doing it is.
    pub(super) blame: Blame,
}

/// Whose doing it is that there is no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// The server's.
    Server,
    /// The server's, which did answer, in a way that cannot be taken.
    Answer,
    /// Nobody's: the server has said that it has not looked at the request.
    Nobody,
    /// That of other requests, behind which it waited on a shared connection; nothing was done.
    Others,
    /// The server's, which has been blamed for it already.
    Known,
    /// The request's own: it cannot be said in HTTP/2.
    Request,
}

impl Unanswered {
    pub(super) fn unsent(message: Request<ClientContent>, reason: String, blame: Blame) -> Self {
        Self { message: Some(message), reason, blame }
    }

    /// The same, and the request is not to be sent again.
    pub(super) fn fault(reason: String, blame: Blame) -> Self {
        Self { message: None, reason, blame }
    }
}

impl Way {
    /// What the server has shown of itself.
    pub(super) fn signs(&self) -> Arc<Signs> {
        match self {
            Self::Own(link) => link.signs(),
            Self::Shared(seat) => seat.signs(),
        }
    }

    /// No answer came in time.
    pub(super) fn give_up(&self) {
        match self {
            // It ends with this.
            Self::Own(_) => {}
            Self::Shared(seat) => seat.give_up(),
        }
    }

    /// The request has been on another before.
    pub(super) fn settle(&mut self) {
        match self {
            Self::Own(_) => {}
            Self::Shared(seat) => seat.settle(),
        }
    }

    /// Whether its connection takes no further request.
    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Own(link) => link.is_closed(),
            Self::Shared(seat) => seat.is_over(),
        }
    }

    /// The address did not do; whether the server's name leads to one that may do better.
    pub(super) fn shun(&self) -> bool {
        let residence = match self {
            Self::Own(link) => link.residence(),
            Self::Shared(seat) => seat.residence(),
        };
        residence.is_some_and(Residence::failed)
    }

    /// Sends a request and waits for the response's head.
    pub(super) async fn send(
        &mut self,
        message: Request<ClientContent>,
        tls: bool,
    ) -> Result<Response<Content>, Unanswered> {
        let link = match self {
            Self::Own(link) => link,
            Self::Shared(seat) => return seat.send(message, tls).await,
        };
        let signs = link.signs();
        let answer = link.send(message).await;
        answer.map(|response| response.map(Content::Own)).map_err(|mut failure| {
            let is_answer = failure.error().is_parse() && signs.speaks_http();
            let blame = if is_answer { Blame::Answer } else { Blame::Server };
            let message = failure.take_message();
            Unanswered { message, reason: chain(failure.error()), blame }
        })
    }
}

/// What a request needs of its way.
#[derive(Clone, Copy, Default)]
pub(super) struct Need {
    /// No connection that was there before: what was has been left by the server, or lost.
    pub(super) fresh: bool,
    /// No shared one that was there before this.
    pub(super) since: Option<Instant>,
    /// It has content.
    pub(super) with_content: bool,
}

/// What a way needs of its pool.
pub(super) struct Roads<'p> {
    pub(super) plan: &'p OriginPlan,
    pub(super) tls: Option<&'p TlsPlan>,
    pub(super) world: &'p OriginWorld,
}

impl Roads<'_> {
    /// A way to `server`, and whether its connection was there before.
    pub(super) async fn to(
        &self,
        server: &Server,
        need: Need,
        reserve: &(dyn Fn(usize) -> Result<Charge, FetchError> + Sync),
    ) -> Result<(Way, bool), FetchError> {
        if let Some(seat) = server.trunks.seat(self.plan.keep_alive, need) {
            return Ok((shared(seat, reserve)?, true));
        }
        if let Some(link) = if need.fresh { None } else { self.kept(server).await } {
            return Ok((Way::Own(link), true));
        }
        let limit = self.plan.connect_timeout;
        // Called on the fills runtime, which has to own the socket.
        timeout(limit, self.open(server, need, reserve)).await.map_err(|_elapsed| {
            FetchError::ConnectTimeout { server: server.address.authority.clone(), limit }
        })?
    }

    /// A kept connection that is ready for a request, if there is one.
    async fn kept(&self, server: &Server) -> Option<Link> {
        let patience = Instant::now() + READY_PATIENCE;
        // One that is not ready in time is dropped, which closes it.
        while let Some(mut link) = server.checkout(self.plan.keep_alive) {
            if timeout_at(patience, link.is_ready()).await.unwrap_or(false) {
                return Some(link);
            }
        }
        None
    }

    /// A new connection, or a seat on one that somebody else has opened meanwhile; made on the fills
    /// runtime, which drives it from then on.
    async fn open(
        &self,
        server: &Server,
        need: Need,
        reserve: &(dyn Fn(usize) -> Result<Charge, FetchError> + Sync),
    ) -> Result<(Way, bool), FetchError> {
        let _turn = match server.trunks.turn(self.plan, server.address.tls).await {
            Some(turn) => match server.trunks.seat(self.plan.keep_alive, need) {
                Some(seat) => return Ok((shared(seat, reserve)?, true)),
                None => Some(turn),
            },
            None => None,
        };
        // Where one address of a name does not do another may.
        let mut may_again = true;
        loop {
            match self.make(server, reserve).await {
                Err(Unmade { is_elsewhere: true, .. }) if may_again => may_again = false,
                made => return made.map(|way| (way, false)).map_err(|unmade| unmade.error),
            }
        }
    }

    async fn make(
        &self,
        server: &Server,
        reserve: &(dyn Fn(usize) -> Result<Charge, FetchError> + Sync),
    ) -> Result<Way, Unmade> {
        let tls = server.address.tls;
        let mut charge = reserve(self.cost(tls))?;
        let Begun { mut opened, is_http2, is_resumed } = self.begin(server).await?;
        opened.counted = Some(Counted::of(&server.counts));
        server.trunks.speaks(is_http2);
        server.counts.resumed.fetch_add(is_resumed.into(), Ordering::Relaxed);
        let (fills, residence) = (&self.world.fills, opened.residence.clone());
        let failed = |reason| Unmade::at(residence.as_ref(), unmade(server, reason));
        let way = if is_http2 {
            let trunk = Trunk::over(opened, fills, charge).await;
            shared(server.trunks.add(trunk.map_err(failed)?), reserve)?
        } else {
            charge.reduce_to(Link::cost(tls));
            let link = Link::over(opened, fills, charge).await;
            Way::Own(link.map_err(|error| failed(chain(&error)))?)
        };
        server.counts.connections.fetch_add(1, Ordering::Relaxed);
        Ok(way)
    }

    /// A way over a connection that is for nothing else, driven by `runtime`; closed when it drops.
    pub(super) async fn apart(
        &self,
        server: &Server,
        runtime: &Handle,
        charge: Charge,
    ) -> Result<Way, FetchError> {
        let begun = self.begin(server).await;
        let Begun { opened, is_http2, .. } = begun.map_err(|unmade| unmade.error)?;
        Ok(if is_http2 {
            let trunk = Trunk::over(opened, runtime, charge).await;
            Way::Shared(Trunk::alone(trunk.map_err(|reason| unmade(server, reason))?))
        } else {
            let link = Link::over(opened, runtime, charge).await;
            Way::Own(link.map_err(|error| unmade(server, chain(&error)))?)
        })
    }

    /// What a connection is charged before it is known what it will speak.
    pub(super) fn cost(&self, tls: bool) -> usize {
        let may_share = match self.plan.protocol {
            OriginProtocol::Auto => tls,
            OriginProtocol::Http1 => false,
            OriginProtocol::Http2 => true,
        };
        let own = Link::cost(tls);
        if may_share { own.max(Trunk::cost(tls)) } else { own }
    }

    /// A connection with all that comes before HTTP.
    async fn begin(&self, server: &Server) -> Result<Begun, Unmade> {
        let address = &server.address;
        let mut opened = self.world.connector.connect(address, &self.world.policy).await?;
        let residence = opened.residence.clone();
        let failed = |error| Unmade::at(residence.as_ref(), error);
        if self.plan.proxy_protocol {
            let said = opened.stream.write_all(LOCAL).await;
            said.map_err(|error| failed(unmade(server, io_reason(&error))))?;
        }
        let (mut is_http2, mut is_resumed) = (self.plan.protocol == OriginProtocol::Http2, false);
        if let Some(tls) = self.tls.filter(|_| address.tls) {
            let session = tls.wrap(opened.stream, address).await.map_err(failed)?;
            opened.stream = session.stream;
            opened.look = opened.look.map(Look::through_tls);
            is_http2 = session.is_http2;
            is_resumed = session.is_resumed;
        }
        Ok(Begun { opened, is_http2, is_resumed })
    }
}

/// A connection that is ready for HTTP.
struct Begun {
    opened: Opened,
    is_http2: bool,
    is_resumed: bool,
}

/// No connection.
struct Unmade {
    error: FetchError,
    /// The server's name leads to another address, which may do better.
    is_elsewhere: bool,
}

impl Unmade {
    /// The address did not do.
    fn at(residence: Option<&Residence>, error: FetchError) -> Self {
        Self { error, is_elsewhere: residence.is_some_and(Residence::failed) }
    }
}

impl From<FetchError> for Unmade {
    fn from(error: FetchError) -> Self {
        Self { error, is_elsewhere: false }
    }
}

fn unmade(server: &Server, reason: String) -> FetchError {
    FetchError::Connect { server: server.address.authority.clone(), reason }
}

fn shared(
    mut seat: Seat,
    reserve: &(dyn Fn(usize) -> Result<Charge, FetchError> + Sync),
) -> Result<Way, FetchError> {
    seat.hold(reserve(usize::try_from(WINDOW_BYTES).unwrap_or(usize::MAX))?);
    Ok(Way::Shared(seat))
}

/// A response's content, whatever it comes over.
pub(super) enum Content {
    /// On a connection of its own.
    Own(Incoming),
    /// On a stream.
    Shared(Stream),
}

/// Why content broke off.
pub(super) struct Misread {
    pub(super) reason: String,
    /// Its framing is wrong, rather than no more of it coming; or the server is blamed for it already.
    pub(super) is_blameless: bool,
}

impl Content {
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Misread>>> {
        match self {
            Self::Own(incoming) => {
                let frame = ready!(Pin::new(incoming).poll_frame(cx));
                Poll::Ready(frame.map(|frame| {
                    frame.map_err(|error| Misread {
                        reason: chain(&error),
                        is_blameless: is_misframed(&error),
                    })
                }))
            }
            Self::Shared(stream) => stream.poll_frame(cx),
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(incoming) => incoming.is_end_stream(),
            Self::Shared(stream) => stream.is_end_stream(),
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(incoming) => incoming.size_hint(),
            Self::Shared(stream) => stream.size_hint(),
        }
    }
}

/// Whether chunks came that are none (RFC 9112 §7.1), rather than no more of them.
fn is_misframed(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| {
        // A record of TLS that is wrong is no answer's doing, but the connection's.
        let of_tls = cause.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
        !of_tls && matches!(cause.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
    })
}
