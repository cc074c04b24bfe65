//! One connection: request after request until either side ends it.
//!
//! In: a byte stream. Out: responses in the order of the requests; counts and records.
//! Always holds: a request is at its route's gate before it is in the record, so that whoever sees
//! it in the record can release it; a wait ends when the peer leaves.
//! Spec: RFC 9112 §9; RFC 9110 §10.1.1.

use std::future::pending;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::control;
use crate::inbound::{self, InboundError};
use crate::origin::{Inner, Serves};
use crate::reply::{After, CutBy, Head, Reply};
use crate::request::{Framing, Request};
use crate::script::answer;
use crate::script::table::Visit;
use crate::script::template::Facts;
use crate::script::{Expect, Pace, RequestContent};
use crate::send::{Sent, send};
use crate::wire::{Gone, Wire};

/// Octets that may arrive early, beyond the longest head.
const EARLY_BYTES: usize = 64 * 1024;

/// Octets that are thrown away after a close.
const LINGER_BYTES: usize = 1024 * 1024;

/// What a kind of stream can do.
pub(crate) struct Transport<I> {
    /// Makes the coming drop a reset.
    pub(crate) reset: fn(&I),
    /// How long the peer may go on sending after a close.
    pub(crate) linger: Option<Duration>,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// In good order, or cut as the script says.
    Closed,
    /// By a scripted reset.
    Reset,
    /// The peer left in the middle of an exchange.
    Vanished,
}

impl From<Gone> for End {
    fn from(Gone: Gone) -> Self {
        Self::Vanished
    }
}

/// Serves a connection to its end.
pub(crate) async fn serve<I>(origin: &Inner, io: I, transport: Transport<I>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut served = Served {
        origin,
        wire: Wire::new(io, origin.settings.head_bytes_max + EARLY_BYTES),
        number: origin.next_connection(),
        open: Open::new(origin),
    };
    let end = served.run().await;
    if end == End::Vanished {
        origin.recorder.count(|stats| stats.peers_vanished += 1);
    }
    let Served { mut wire, open, .. } = served;
    if end == End::Reset {
        (transport.reset)(wire.io());
    }
    drop(open);
    if end == End::Closed {
        wire.finish().await;
        if let Some(linger) = transport.linger {
            // Either the peer finishes in time or it is dropped.
            drop(tokio::time::timeout(linger, wire.discard(LINGER_BYTES)).await);
        }
    }
}

/// The count of a connection that is open.
struct Open<'a> {
    origin: &'a Inner,
    counted: bool,
}

impl<'a> Open<'a> {
    fn new(origin: &'a Inner) -> Self {
        origin.recorder.count(|stats| {
            stats.connections_opened += 1;
            stats.connections_open += 1;
        });
        Self { origin, counted: true }
    }

    /// A connection whose first request is for the control route belongs to whoever watches.
    fn uncount(&mut self) {
        if std::mem::take(&mut self.counted) {
            self.origin.recorder.count(|stats| {
                stats.connections_opened -= 1;
                stats.connections_open -= 1;
            });
        }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if self.counted {
            self.origin.recorder.count(|stats| stats.connections_open -= 1);
        }
    }
}

/// The count of a request that is held.
struct Held<'a>(&'a Inner);

impl<'a> Held<'a> {
    fn new(origin: &'a Inner) -> Self {
        origin.recorder.count(|stats| stats.held += 1);
        Self(origin)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.recorder.count(|stats| stats.held -= 1);
    }
}

/// A connection that is served.
struct Served<'a, I> {
    origin: &'a Inner,
    wire: Wire<I>,
    number: u64,
    open: Open<'a>,
}

impl<I: AsyncRead + AsyncWrite + Unpin> Served<'_, I> {
    async fn run(&mut self) -> End {
        let mut first = true;
        loop {
            let head = inbound::head(&mut self.wire, self.origin.settings.head_bytes_max).await;
            let answered = match head {
                Ok(request) if self.is_control(&request) => {
                    if first {
                        self.open.uncount();
                    }
                    self.control(&request).await
                }
                Ok(request) => self.exchange(&request).await,
                Err(error) => self.refuse(error).await,
            };
            match answered {
                Ok(After::Keep) => first = false,
                Ok(After::Close) => return End::Closed,
                Err(end) => return end,
            }
        }
    }

    fn is_control(&self, request: &Request) -> bool {
        self.origin.settings.control && request.target.starts_with(control::PREFIX)
    }

    /// One request and its response.
    async fn exchange(&mut self, request: &Request) -> Result<After, End> {
        let framing = match request.framing() {
            Ok(framing) => framing,
            Err(bad) => return self.refuse(bad.into()).await,
        };
        let origin = self.origin;
        match &origin.serves {
            Serves::Script(table) => {
                let visit = table.read().arrive(&request.method, &request.target);
                self.scripted(request, framing, visit).await
            }
            Serves::Files(files) => {
                let sequence = self.record(request);
                self.content(request, framing, sequence, Expect::Continue, None).await?;
                let reply = files.answer(request, (origin.clock)()).await;
                let after = self.send(reply, sequence).await?;
                Ok(if request.keeps_alive() { after } else { After::Close })
            }
        }
    }

    async fn scripted(
        &mut self,
        request: &Request,
        framing: Framing,
        mut visit: Visit,
    ) -> Result<After, End> {
        let sequence = self.record(request);
        let step = std::sync::Arc::clone(&visit.step);
        let (expect, pace) = (step.expect, step.request_pace);
        if step.request_content == RequestContent::Before {
            self.content(request, framing, sequence, expect, pace).await?;
        }
        for interim in &step.interim {
            self.wire.pause(interim.delay).await?;
            let facts = Facts { n: visit.n, now: (self.origin.clock)(), request };
            self.wire.write(&answer::interim(interim, &facts)).await?;
        }
        if step.never {
            self.wire.until(pending::<()>()).await?;
        }
        self.wire.pause(step.head_delay).await?;
        if let Some(hold) = step.hold {
            let held = Held::new(self.origin);
            self.wire.until(visit.held(hold)).await?;
            drop(held);
        }
        let facts = Facts { n: visit.n, now: (self.origin.clock)(), request };
        let after = self.send(answer::reply(&step, &facts), sequence).await?;
        if step.request_content == RequestContent::After && after == After::Keep {
            self.content(request, framing, sequence, Expect::Silent, pace).await?;
        }
        Ok(after)
    }

    fn record(&self, request: &Request) -> u64 {
        self.origin.recorder.head(request, self.number, (self.origin.clock)())
    }

    /// Reads a request's content into the record.
    async fn content(
        &mut self,
        request: &Request,
        framing: Framing,
        sequence: u64,
        expect: Expect,
        pace: Option<Pace>,
    ) -> Result<(), End> {
        if framing != Framing::None && request.expects_continue() && expect == Expect::Continue {
            self.wire.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let recorder = &self.origin.recorder;
        let keep = |piece: &[u8]| recorder.content(sequence, piece);
        let limit = self.origin.settings.head_bytes_max;
        match inbound::content(&mut self.wire, framing, limit, pace, keep).await {
            Ok(trailers) => {
                recorder.whole(sequence, trailers);
                Ok(())
            }
            Err(error) => Err(self.refuse(error).await.err().unwrap_or(End::Closed)),
        }
    }

    async fn send(&mut self, reply: Reply, sequence: u64) -> Result<After, End> {
        let after = reply.after;
        let sent = send(&mut self.wire, reply).await?;
        self.origin.recorder.answered(sequence);
        match sent {
            Sent::Whole => Ok(after),
            Sent::Cut(CutBy::Close) => Err(End::Closed),
            Sent::Cut(CutBy::Reset) => Err(End::Reset),
        }
    }

    /// What cannot be read gets its status, and the connection closes.
    async fn refuse(&mut self, error: InboundError) -> Result<After, End> {
        let (status, why) = match error {
            InboundError::Finished => return Ok(After::Close),
            InboundError::Gone => return Err(End::Vanished),
            InboundError::Bad(bad) => (400, bad.0),
            InboundError::TooLong => (431, "a head or trailer section that is too long"),
        };
        self.origin.recorder.count(|stats| stats.requests_bad += 1);
        let reply = control::text(Head::status(status).field("Connection", "close"), why);
        send(&mut self.wire, reply).await?;
        Ok(After::Close)
    }

    /// A request to the control route.
    async fn control(&mut self, request: &Request) -> Result<After, End> {
        let framing = match request.framing() {
            Ok(framing) => framing,
            Err(bad) => return self.refuse(bad.into()).await,
        };
        let settings = &self.origin.settings;
        if request.expects_continue() {
            self.wire.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let mut content = Vec::new();
        let mut whole = true;
        let keep = |piece: &[u8]| {
            whole = whole && content.len() + piece.len() <= settings.control_bytes_max;
            if whole {
                content.extend_from_slice(piece);
            }
        };
        let read = inbound::content(&mut self.wire, framing, settings.head_bytes_max, None, keep);
        if let Err(error) = read.await {
            return self.refuse(error).await;
        }
        let answer = async {
            if whole {
                control::answer(self.origin, request, &content).await
            } else {
                control::problem(413, "the content is longer than the control route takes")
            }
        };
        let reply = self.wire.until(answer).await?;
        send(&mut self.wire, reply).await?;
        Ok(if request.keeps_alive() { After::Keep } else { After::Close })
    }
}
