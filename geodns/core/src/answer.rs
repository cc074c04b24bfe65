//! Answering: the one function that turns the bytes of a query into the bytes of its response.
//!
//! In: [`Served`] (everything that is known ahead, and how PoPs stand), a limiter, what was
//! received and when, a draw, and room for the response. Out: [`Reply`]: nothing to send, or the
//! length of the response and [`Facts`] for whoever counts and logs.
//! Always holds: the same input gives the same bytes, but for the limiter; whatever carries a
//! query, UDP, TCP, TLS, HTTPS or QUIC, its response is made here and nowhere else; a response is
//! never answered, and everything else gets at most one response; a negative answer and the types
//! of a name never depend on the client or on health.
//! It is the hallway: it orders the rooms ([`crate::wire`], [`crate::zone`], [`crate::locate`],
//! [`crate::route`], [`crate::limit`]), which do not know each other.
//!
//! RFC 1035 §4.1, 2308, 6891, 7871, 7873, 8482, 8914, 9018. Hot path: no allocation, no lock;
//! `tests/answer/allocation.rs` holds it to that.

pub mod explain;
mod facts;
mod names;
mod records;
pub mod snapshot;

pub use self::{
    facts::{Emptied, Facts, Known, Routed},
    snapshot::{Served, Snapshot},
};

use std::{cell::Cell, net::IpAddr, time::Duration};

use crate::{
    fleet::PopId,
    limit::{Limiter, Proof, ResponseClass, Verdict},
    locate::{
        Located,
        client::{Client, Subnet},
    },
    route::{Ask, Choice, MapId, Outcome, Route, RouteId, rendezvous::name_key, slate::Slate},
    standing::Standings,
    wire::{
        chaos::ChaosAnswer,
        cookie::{Checked, Standing},
        edns::{ExtendedError, ExtendedErrorCode},
        kind::{Class, Rcode},
        name::{Folded, NameRef},
        query::{Decoded, Dropped, Query, Question, decode},
        response::{Carrier, Owner, Response, Section},
    },
    zone::{End, Found, ZoneId},
};

/// What carried a query, and carries its response back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams (RFC 1035 §4.2.1).
    Udp,
    /// A connection (RFC 7766).
    Tcp,
    /// The same over TLS (RFC 7858).
    Tls,
    /// A request over HTTPS (RFC 8484).
    Https,
    /// A stream of QUIC (RFC 9250).
    Quic,
}

/// A query as it was received.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its bytes, without the length that stands before them on streams.
    pub message: &'a [u8],
    /// The address that it came from.
    pub peer: IpAddr,
    /// What carried it.
    pub transport: Transport,
    /// The wall clock, in seconds of the Unix epoch, modulo 2^32: cookies are dated.
    pub wall_seconds: u32,
    /// A clock that only moves forward, the same for all threads: what the limiter goes by.
    pub now: Duration,
    /// A number without pattern, another one for each query.
    pub draw: u64,
}

/// What a thread keeps from one query to the next, so that nothing is allocated for any.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    slate: Slate,
}

impl Scratch {
    /// The PoPs of the last answer, where it was made of any ([`Facts::wanted`]).
    pub fn pops(&self) -> impl Iterator<Item = PopId> {
        self.slate.pops()
    }
}

/// What to do about a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reply {
    /// Send nothing.
    Drop(Silence),
    /// Send the first bytes of the buffer.
    Send {
        /// How many.
        bytes: usize,
        /// What they say, for metrics and the query log.
        facts: Facts,
    },
}

/// Why a message is not answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Silence {
    /// It is none that may be answered.
    NoQuery(Dropped),
    /// Its network has asked too much; this is what the response would have said.
    Limited(Facts),
    /// The buffer has no room for its question.
    NoRoom,
}

impl Transport {
    /// Whether nobody on the way can read it.
    #[must_use]
    pub const fn is_encrypted(self) -> bool {
        match self {
            Self::Udp | Self::Tcp => false,
            Self::Tls | Self::Https | Self::Quic => true,
        }
    }

    /// The name, as it stands in metrics and in the query log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Https => "https",
            Self::Quic => "quic",
        }
    }
}

/// Answers a query. `out` should have room for what the transport can carry:
/// [`crate::wire::response::STREAM_BYTES_MAX`], or the snapshot's limit of datagrams.
pub fn answer(
    served: &Served,
    limiter: Option<&Limiter>,
    asked: &Asked<'_>,
    scratch: &mut Scratch,
    out: &mut [u8],
) -> Reply {
    let (query, fault) = match decode(asked.message) {
        Decoded::Dropped(why) => return Reply::Drop(Silence::NoQuery(why)),
        Decoded::Faulty { query, rcode } => (query, Some(rcode)),
        Decoded::Asked(query) => (query, None),
    };
    let snapshot = served.snapshot();
    let carrier = match asked.transport {
        Transport::Udp => Carrier::Datagram { bytes_max: snapshot.udp_bytes_max },
        Transport::Tcp | Transport::Tls | Transport::Https | Transport::Quic => Carrier::Stream,
    };
    let Some(mut response) = Response::begin(out, &query, carrier) else {
        return Reply::Drop(Silence::NoRoom);
    };
    let cookie = snapshot.check_cookie(&query, asked);
    let said = match (fault, query.question) {
        (Some(rcode), _) => Said::fault(rcode, &query),
        (None, None) => Said::cookie_only(cookie.as_ref()),
        (None, Some(question)) => {
            let standings = served.standings();
            let desk = Desk { snapshot, standings, asked, query: &query, question: &question };
            desk.say(&mut scratch.slate, &mut response)
        }
    };
    let mut facts = said.facts(asked.transport, &query, cookie.map(|checked| checked.standing));
    match judge(limiter, asked, &facts) {
        Verdict::Send => {}
        Verdict::Slip => {
            response.truncate();
            facts.emptied = Some(Emptied::Limited);
        }
        Verdict::Drop => return Reply::Drop(Silence::Limited(facts)),
    }
    let opt = snapshot.opt(&query, &said, cookie.as_ref(), asked.transport);
    let finished = response.finish(said.rcode, opt.as_ref());
    if finished.truncated && facts.emptied.is_none() {
        facts.emptied = Some(Emptied::TooLong);
    }
    Reply::Send { bytes: finished.bytes, facts }
}

/// Whether the response may go to its client. A connection proves the client's address as a cookie
/// does.
fn judge(limiter: Option<&Limiter>, asked: &Asked<'_>, facts: &Facts) -> Verdict {
    let Some(limiter) = limiter else { return Verdict::Send };
    let proof = match (asked.transport, facts.cookie) {
        (Transport::Udp, Some(Standing::Valid)) => Proof::Given,
        (Transport::Udp, _) => Proof::None,
        (Transport::Tcp | Transport::Tls | Transport::Https | Transport::Quic, _) => Proof::Given,
    };
    let [_, _, _, _, a, b, c, d] = asked.draw.to_be_bytes();
    let draw = u32::from_be_bytes([a, b, c, d]);
    limiter.judge(asked.peer, facts.class, proof, asked.now, draw)
}

/// What a response says, besides its records.
#[derive(Clone, Copy, Debug)]
struct Said {
    rcode: Rcode,
    class: ResponseClass,
    error: Option<ExtendedError<'static>>,
    zone: Option<ZoneId>,
    routed: Option<Routed>,
    /// SCOPE PREFIX-LENGTH, if the query has a client subnet.
    scope: u8,
}

impl Said {
    const fn new(rcode: Rcode, class: ResponseClass) -> Self {
        Self { rcode, class, error: None, zone: None, routed: None, scope: 0 }
    }

    const fn error(rcode: Rcode, code: Option<ExtendedErrorCode>) -> Self {
        let error = match code {
            Some(code) => Some(ExtendedError { code, text: "" }),
            None => None,
        };
        Self { error, ..Self::new(rcode, ResponseClass::Error) }
    }

    /// What cannot be read or is not served.
    fn fault(rcode: Rcode, query: &Query<'_>) -> Self {
        let code = match rcode {
            Rcode::NotImp => Some(ExtendedErrorCode::NotSupported),
            // Of the queries that can be read, transfers and strange classes are refused.
            Rcode::Refused => match query.question.map(|question| question.class) {
                Some(Class::IN | Class::CH) => Some(ExtendedErrorCode::NotSupported),
                Some(_) | None => Some(ExtendedErrorCode::NotAuthoritative),
            },
            Rcode::NoError
            | Rcode::FormErr
            | Rcode::ServFail
            | Rcode::NxDomain
            | Rcode::BadVers
            | Rcode::BadCookie => None,
        };
        Self::error(rcode, code)
    }

    /// A query without a question asks about its cookie and nothing else (RFC 7873 §5.4); where
    /// cookies are not spoken, that is no query.
    fn cookie_only(cookie: Option<&Checked>) -> Self {
        match cookie.map(|checked| checked.standing) {
            Some(Standing::ClientOnly | Standing::Valid) => {
                Self::new(Rcode::NoError, ResponseClass::NoData)
            }
            Some(Standing::Invalid) => Self::error(Rcode::BadCookie, None),
            None => Self::error(Rcode::FormErr, None),
        }
    }

    fn facts(&self, transport: Transport, query: &Query<'_>, cookie: Option<Standing>) -> Facts {
        Facts {
            transport,
            zone: self.zone,
            rtype: query.question.map(|question| question.rtype),
            rcode: self.rcode,
            class: self.class,
            routed: self.routed,
            scope: query.edns.and_then(|edns| edns.ecs).map(|_| self.scope),
            cookie,
            emptied: None,
        }
    }
}

/// Where one question is answered.
struct Desk<'d> {
    snapshot: &'d Snapshot,
    standings: &'d Standings,
    asked: &'d Asked<'d>,
    query: &'d Query<'d>,
    question: &'d Question<'d>,
}

impl Desk<'_> {
    fn say(&self, slate: &mut Slate, response: &mut Response<'_>) -> Said {
        let question = self.question;
        if question.class == Class::CH {
            return self.say_who(response);
        }
        let name = Folded::of(question.name);
        let zones = self.snapshot.zones();
        let Some(id) = zones.find(&name, question.rtype) else {
            return Said::error(Rcode::Refused, Some(ExtendedErrorCode::NotAuthoritative));
        };
        let Some(zone) = zones.zone(id) else {
            return Said::error(Rcode::ServFail, Some(ExtendedErrorCode::Other));
        };
        let found = zone.lookup(&name, question.rtype);
        let said = match found.end {
            End::Route { owner, route } => self.say_routed(&found, owner, route, slate, response),
            End::TooLong => Said::error(Rcode::ServFail, Some(ExtendedErrorCode::InvalidData)),
            End::Data { .. }
            | End::Any { .. }
            | End::NoData
            | End::NxDomain
            | End::Referral(_)
            | End::Outside => Said::new(found.write(response), class(&found)),
        };
        Said { zone: Some(id), ..said }
    }

    /// Class CH: which server this is.
    fn say_who(&self, response: &mut Response<'_>) -> Said {
        match self.snapshot.chaos().answer(self.question) {
            ChaosAnswer::Data(set) => {
                response.set_authoritative();
                response.add(Section::Answer, Owner::Question, set);
                Said::new(Rcode::NoError, ResponseClass::Answer)
            }
            ChaosAnswer::NoData => {
                response.set_authoritative();
                Said::new(Rcode::NoError, ResponseClass::NoData)
            }
            ChaosAnswer::Refused => {
                Said::error(Rcode::Refused, Some(ExtendedErrorCode::NotAuthoritative))
            }
        }
    }

    /// Records of a route's PoPs. Where nobody may answer, nothing is written but SERVFAIL, also
    /// after aliases: what a resolver caches of it is for a short time only (RFC 2308 §7.1).
    fn say_routed(
        &self,
        found: &Found<'_>,
        owner: Owner<'_>,
        route: RouteId,
        slate: &mut Slate,
        response: &mut Response<'_>,
    ) -> Said {
        let client = self.client();
        let name = match owner {
            Owner::Question => self.question.name,
            Owner::Name(name) => name,
        };
        let (choice, known) = self.choose(route, name, &client, slate);
        let routed = Routed {
            route,
            outcome: choice.outcome,
            pop: slate.pops().next(),
            origin: client.origin,
            known,
        };
        let said = match choice.outcome {
            Outcome::Nobody => Said::error(Rcode::ServFail, Some(ExtendedErrorCode::Other)),
            Outcome::Answered { route: way, .. } => {
                found.write(response);
                let max = self.snapshot.routes().route(way).map_or(1, |one| one.addresses_max);
                let records = records::Records {
                    https: self.snapshot.https(route),
                    slate,
                    standings: self.standings,
                    draw: self.asked.draw,
                    max,
                };
                records.write(response, owner, self.question.rtype, choice.ttl);
                Said::new(Rcode::NoError, ResponseClass::Answer)
            }
        };
        Said { routed: Some(routed), scope: client.scope(choice.scope), ..said }
    }

    /// The address that decides: that of the client subnet, or of whoever asks.
    fn client(&self) -> Client {
        let ecs = self.query.edns.and_then(|edns| edns.ecs);
        let subnet =
            ecs.map(|ecs| Subnet { address: ecs.address(), source: ecs.source_prefix_length() });
        self.snapshot.trust().client(self.asked.peer, subnet)
    }

    fn choose(
        &self,
        route: RouteId,
        name: NameRef<'_>,
        client: &Client,
        slate: &mut Slate,
    ) -> (Choice, Known) {
        let known = Cell::new(Known::Listed);
        let locate = |map: MapId| {
            let located =
                self.snapshot.map(map).map_or(Located::NOWHERE, |map| map.locate(client.address));
            if located.list.ranked.is_empty() {
                known.set(Known::Unlisted);
            }
            located
        };
        let routes = self.snapshot.routes();
        let by_name = routes.route(route).is_some_and(Route::is_by_name);
        let ask = Ask {
            wanted: records::wanted(self.question.rtype),
            client: client.address,
            // A hash over a whole name takes longer than a walk through the map.
            name: if by_name { name_key(name.wire()) } else { 0 },
            draw: self.asked.draw,
        };
        let choice = routes.choose(route, &ask, self.standings, slate, locate);
        (choice, known.get())
    }
}

fn class(found: &Found<'_>) -> ResponseClass {
    match found.end {
        End::Data { .. } | End::Any { .. } | End::Route { .. } | End::Outside => {
            ResponseClass::Answer
        }
        End::NoData => ResponseClass::NoData,
        End::NxDomain => ResponseClass::NxDomain,
        End::Referral(_) => ResponseClass::Referral,
        End::TooLong => ResponseClass::Error,
    }
}
