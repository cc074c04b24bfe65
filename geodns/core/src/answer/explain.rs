//! Why an answer is what it is: every step, for an operator's eyes.
//!
//! In: [`Served`], a question, a client, and what the sources say of that client. Out:
//! [`Explanation`], ready for JSON, and as text by `Display`.
//! Always holds: nothing is told a second time. The choice is the choice itself, watched; the
//! records are read out of the response that the client would be sent, so neither can differ from
//! what is answered, except that chance, where a policy has it, falls anew for each query.
//! It deliberately does not read sources: they are files, and the caller has them.

mod records;
mod text;

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Asked, Reply, Scratch, Served, Snapshot, Transport, answer, records::wanted};
use crate::{
    fleet::PopId,
    locate::{Finding, Located, Map},
    route::{
        Ask, Outcome, Phase, RouteId, Step,
        filter::{Assumed, FilterName, Source},
        rendezvous::name_key,
    },
    wire::{
        kind::{Class, RecordType},
        name::{Folded, Name},
        response::{Owner, STREAM_BYTES_MAX},
    },
    zone::{End, Zone},
};

/// A question, from a client.
#[derive(Clone, Debug)]
pub struct Inquiry {
    /// The name.
    pub name: Name,
    /// The type.
    pub rtype: RecordType,
    /// The client.
    pub client: IpAddr,
    /// Where chance falls.
    pub draw: u64,
}

/// What it is answered, and why.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "RouteExplanation")]
pub struct Explanation {
    /// The name.
    pub name: String,
    /// The type.
    pub rtype: String,
    /// The client.
    pub client: IpAddr,
    /// The zone that answers; nothing, if none of ours does.
    pub zone: Option<InZone>,
    /// What stands at the name, or at the end of its aliases.
    pub found: Standing,
    /// How the client is steered, where a route stands there.
    pub route: Option<Steering>,
    /// The response code.
    pub rcode: String,
    /// The answer section, a record a line.
    pub answer: Vec<String>,
    /// The authority section.
    pub authority: Vec<String>,
}

/// A zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct InZone {
    /// Its apex.
    pub name: String,
    /// Its serial.
    pub serial: u32,
}

/// What a question meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "FoundAtName")]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The name is in no zone of ours.
    NotOurs,
    /// A route.
    Route,
    /// Records of the zone file.
    Records,
    /// The name, without such records.
    NoData,
    /// A route, of whose own map no PoP has such an address.
    RouteWithoutAddress,
    /// No such name.
    NxDomain,
    /// A delegation.
    Referral,
    /// An alias that leads out of the zone.
    Outside,
    /// Too many aliases.
    TooLong,
}

/// How a client is steered.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Steering {
    /// The route.
    pub route: String,
    /// Its map.
    pub map: String,
    /// Where the client is.
    pub location: Whereabouts,
    /// What the map says of it, best first.
    pub list: Vec<String>,
    /// The bits of the client's address that the answer follows from: what a client subnet is
    /// answered as its scope.
    pub scope: u8,
    /// How long the answer may be cached, in seconds.
    pub ttl: u32,
    /// What was tried, in order.
    pub phases: Vec<Tried>,
    /// The PoPs that answer, in order; none is SERVFAIL.
    pub pops: Vec<String>,
}

/// Where a client is.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "ClientLocation")]
pub struct Location {
    /// The address that was looked for, if it is not the client's own: IPv6 may carry IPv4.
    pub folded: Option<IpAddr>,
    /// The operator's network that holds it.
    pub network: Option<String>,
    /// ISO 3166-1.
    pub country: Option<String>,
    /// As databases call it.
    pub continent: Option<String>,
    /// ISO 3166-2.
    pub region: Option<String>,
    /// The autonomous system.
    pub asn: Option<u32>,
    /// Degrees north and east.
    pub coordinates: Option<(f64, f64)>,
    /// Which of these decided.
    pub decided_by: String,
    /// PoPs whose fence keeps the client out.
    pub fenced: Vec<String>,
}

/// Where a client is, or why nobody can say.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "ClientWhereabouts")]
#[serde(untagged)]
pub enum Whereabouts {
    /// What the sources say.
    Found(Location),
    /// They could not be read.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// PoPs that were sent through a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "TriedPolicy")]
pub struct Tried {
    /// The route whose policy it is.
    pub route: String,
    /// Where the PoPs come from.
    pub from: From,
    /// What was assumed.
    pub assumed: Assumption,
    /// What the policy did.
    pub steps: Vec<Filtered>,
}

/// Where PoPs come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "PopsFrom")]
#[serde(rename_all = "snake_case")]
pub enum From {
    /// The client's list.
    List,
    /// All PoPs of the map, since none of the list was left.
    Rest,
}

/// What is assumed, since without it nobody would be left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Assumption {
    /// Nothing.
    Nothing,
    /// That none is drained.
    Undrained,
    /// That every PoP is up.
    Up,
    /// That every PoP is up, and none drained.
    UpAndUndrained,
}

/// What a filter did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "FilterStep")]
pub struct Filtered {
    /// The filter; nothing for the choice by the kind of record.
    pub filter: Option<FilterName>,
    /// What came in.
    pub before: Vec<String>,
    /// What was left, in order.
    pub after: Vec<String>,
    /// What was dropped.
    pub dropped: Vec<Lost>,
}

/// A PoP that was dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "DroppedPop")]
pub struct Lost {
    /// The PoP.
    pub pop: String,
    /// Why.
    pub reason: String,
}

/// Explains an answer. `find` says where the client is, for a map: see [`Finding::find`].
pub fn explain(
    served: &Served,
    inquiry: &Inquiry,
    find: impl FnOnce(&Map) -> Result<Finding, String>,
) -> Explanation {
    let name = Folded::of(inquiry.name.as_ref());
    let zones = served.snapshot().zones();
    let zone = zones.find(&name, inquiry.rtype).and_then(|id| zones.zone(id));
    let end = zone.map(|zone| zone.lookup(&name, inquiry.rtype).end);
    let route = match end {
        Some(End::Route { owner, route }) => {
            let owner = match owner {
                Owner::Question => inquiry.name.clone(),
                Owner::Name(name) => name.into(),
            };
            steer(served, inquiry, &owner, route, find)
        }
        _ => None,
    };
    let response = response(served, inquiry);
    Explanation {
        name: inquiry.name.to_string(),
        rtype: inquiry.rtype.to_string(),
        client: inquiry.client,
        zone: zone.map(|zone| InZone { name: zone.apex().to_string(), serial: zone.serial() }),
        found: match (zone, end) {
            (Some(zone), Some(End::NoData)) if lacks_address(zone, &name, inquiry.rtype) => {
                Standing::RouteWithoutAddress
            }
            (_, end) => end.map_or(Standing::NotOurs, standing),
        },
        route,
        rcode: response.rcode,
        answer: response.answer,
        authority: response.authority,
    }
}

/// Whether a route answers at a name with addresses of the other kind only.
fn lacks_address(zone: &Zone, name: &Folded, rtype: RecordType) -> bool {
    let other = match rtype {
        RecordType::A => RecordType::AAAA,
        RecordType::AAAA => RecordType::A,
        _ => return false,
    };
    matches!(zone.lookup(name, other).end, End::Route { .. })
}

fn standing(end: End<'_>) -> Standing {
    match end {
        End::Data { .. } | End::Any { .. } => Standing::Records,
        End::Route { .. } => Standing::Route,
        End::NoData => Standing::NoData,
        End::NxDomain => Standing::NxDomain,
        End::Referral(_) => Standing::Referral,
        End::Outside => Standing::Outside,
        End::TooLong => Standing::TooLong,
    }
}

/// The response that the client would be sent over TCP.
fn response(served: &Served, inquiry: &Inquiry) -> records::Sections {
    let mut message = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(inquiry.name.as_ref().wire());
    message.extend(inquiry.rtype.0.to_be_bytes());
    message.extend(Class::IN.0.to_be_bytes());
    let asked = Asked {
        message: &message,
        peer: inquiry.client,
        transport: Transport::Tcp,
        wall_seconds: 0,
        now: std::time::Duration::ZERO,
        draw: inquiry.draw,
    };
    let mut out = vec![0; STREAM_BYTES_MAX.into()];
    match answer(served, None, &asked, &mut Scratch::default(), &mut out) {
        Reply::Send { bytes, facts } => {
            records::Sections::read(out.get(..bytes).unwrap_or_default(), facts.rcode)
        }
        Reply::Drop(_) => records::Sections::default(),
    }
}

fn steer(
    served: &Served,
    inquiry: &Inquiry,
    owner: &Name,
    id: RouteId,
    find: impl FnOnce(&Map) -> Result<Finding, String>,
) -> Option<Steering> {
    let snapshot = served.snapshot();
    let route = snapshot.routes().route(id)?;
    let map = snapshot.map(route.map)?;
    let client = inquiry.client;
    let ask = Ask {
        wanted: wanted(inquiry.rtype),
        client,
        name: name_key(owner.as_ref().wire()),
        draw: inquiry.draw,
    };
    let locate = |map| snapshot.map(map).map_or(Located::NOWHERE, |map| map.locate(client));
    let told = snapshot.routes().explain(id, &ask, served.standings(), locate);
    let is_answered = matches!(told.choice.outcome, Outcome::Answered { .. });
    let pops = if is_answered { told.pops } else { Vec::new() };
    Some(Steering {
        route: (*route.name).to_owned(),
        map: map.name().to_owned(),
        location: match find(map) {
            Ok(finding) => Whereabouts::Found(location(snapshot, client, &finding)),
            Err(reason) => Whereabouts::Unknown { reason },
        },
        list: names(snapshot, map.locate(client).list.ranked.iter().map(|ranked| ranked.pop)),
        scope: told.choice.scope,
        ttl: told.choice.ttl,
        phases: told.phases.into_iter().map(|phase| tried(snapshot, &phase)).collect(),
        pops: names(snapshot, pops),
    })
}

fn names(snapshot: &Snapshot, pops: impl IntoIterator<Item = PopId>) -> Vec<String> {
    pops.into_iter().map(|pop| snapshot.fleet().name(pop).to_owned()).collect()
}

fn location(snapshot: &Snapshot, client: IpAddr, finding: &Finding) -> Location {
    let place = &finding.place;
    let fenced = snapshot.fleet().iter().map(|(id, _)| id);
    Location {
        folded: Some(finding.client.address).filter(|folded| *folded != client),
        network: finding.network.map(|network| network.to_string()),
        country: place.country.map(|country| country.to_string()),
        continent: place.continent.map(|continent| continent.to_string()),
        region: place.region.map(|region| region.to_string()),
        asn: place.asn,
        coordinates: place.point.map(|point| (point.latitude(), point.longitude())),
        decided_by: finding.basis.to_string(),
        fenced: names(snapshot, fenced.filter(|id| finding.excluded.contains(*id))),
    }
}

fn tried(snapshot: &Snapshot, phase: &Phase) -> Tried {
    let route = snapshot.routes().route(phase.route);
    Tried {
        route: route.map_or_else(String::new, |route| (*route.name).to_owned()),
        from: match phase.source {
            Source::List => From::List,
            Source::Rest => From::Rest,
        },
        assumed: match phase.assumed {
            Assumed::Nothing => Assumption::Nothing,
            Assumed::Undrained => Assumption::Undrained,
            Assumed::Up => Assumption::Up,
            Assumed::UpAndUndrained => Assumption::UpAndUndrained,
        },
        steps: phase.steps.iter().map(|step| filtered(snapshot, step)).collect(),
    }
}

fn filtered(snapshot: &Snapshot, step: &Step) -> Filtered {
    let lost = |(pop, reason): &(PopId, crate::route::filter::Reason)| Lost {
        pop: snapshot.fleet().name(*pop).to_owned(),
        reason: reason.to_string(),
    };
    Filtered {
        filter: step.filter,
        before: names(snapshot, step.before.iter().copied()),
        after: names(snapshot, step.after.iter().copied()),
        dropped: step.dropped.iter().map(lost).collect(),
    }
}
