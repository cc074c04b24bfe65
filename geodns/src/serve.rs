//! The desk: where every query is answered, whatever carried it.
//!
//! In: a message, who sent it and over what. Out: the response, from `geodns_core::answer`, byte for
//! byte. Always holds: a query sees one view and one moment; all that is kept from one query to the
//! next was allocated before the first; what came of a query is noted once, here.
//! It deliberately does not know sockets, nor what a message says.
//!
//! Hot path: no lock, no await, no allocation; `tests/allocation.rs` holds it to that.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use geodns_core::answer::{Asked, Reply, Scratch, Transport, answer};
use rand::{Rng, rngs::SmallRng};

use crate::{
    clock::{Clock, Now},
    record::{Met, Noted, Scribe},
    state::{Pin, Shared},
    udp::{Lost, Respond, WAKE},
};

/// One thread's place to answer at.
#[derive(Debug)]
pub struct Desk {
    shared: Arc<Shared>,
    pin: Pin,
    clock: Clock,
    now: Now,
    /// When it last let go of what had waited.
    ticked: Duration,
    scratch: Scratch,
    /// Which of equals is chosen is no secret.
    draws: SmallRng,
    scribe: Scribe,
}

impl Desk {
    /// A desk over `shared`.
    #[must_use]
    pub fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
            pin: shared.pin(),
            clock: shared.clock(),
            now: shared.clock().now(),
            ticked: Duration::ZERO,
            scratch: Scratch::default(),
            draws: rand::make_rng(),
            scribe: shared.recorder().scribe(),
        }
    }

    /// Reads the clock for the queries that follow.
    pub fn look(&mut self) {
        self.now = self.clock.now();
        // Who is never idle has lines of the log to hand on, too.
        if self.now.since_start.saturating_sub(self.ticked) >= WAKE {
            self.tick();
        }
    }

    /// Writes the response to `message` into `out` and says how long it is; nothing for none.
    pub fn answer(
        &mut self,
        message: &[u8],
        client: SocketAddr,
        transport: Transport,
        out: &mut [u8],
    ) -> Option<usize> {
        let view = self.pin.view();
        let asked = Asked {
            message,
            peer: client.ip(),
            transport,
            wall_seconds: self.now.unix_seconds(),
            now: self.now.since_start,
            draw: self.draws.next_u64(),
        };
        let reply = answer(view.served(), view.limiter(), &asked, &mut self.scratch, out);
        let noted = Noted { asked: &asked, port: client.port(), reply: &reply, now: self.now };
        self.scribe.note(&noted, view.labels());
        let Reply::Send { bytes, facts } = reply else { return None };
        if view.served().standings().has_out()
            && let Some(wanted) = facts.wanted()
        {
            let of = (view.served(), view.labels());
            self.shared.given_up().note(self.scratch.pops(), wanted, of, self.now);
        }
        Some(bytes)
    }

    /// The network that a client counts as.
    pub(crate) fn network(&mut self, client: IpAddr) -> IpAddr {
        self.pin.view().served().snapshot().client_networks().of(client)
    }

    /// Notes what became of a connection.
    pub fn met(&mut self, transport: Transport, what: Met) {
        self.scribe.met(transport, what);
    }

    /// Lets go of a view that is no longer in force and of lines that have waited. To be called a few
    /// times a second, whether or not anybody asks.
    pub fn tick(&mut self) {
        self.ticked = self.now.since_start;
        self.pin.view();
        self.scribe.tick();
    }
}

impl Respond for Desk {
    fn begin(&mut self) {
        self.look();
    }

    fn respond(&mut self, query: &[u8], client: SocketAddr, out: &mut [u8]) -> Option<usize> {
        self.answer(query, client, Transport::Udp, out)
    }

    fn lost(&mut self, why: Lost) {
        self.scribe.lost(why);
    }

    fn idle(&mut self) {
        self.tick();
    }

    fn is_ending(&self) -> bool {
        self.shared.is_draining()
    }
}
