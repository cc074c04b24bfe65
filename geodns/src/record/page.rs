//! The counters on the metrics page.
//!
//! In: a recorder. Out: families with their samples. Always holds: what was never counted is not
//! shown where a family has many samples, and shown as 0 where it has few.

use std::fmt;

use geodns_core::{
    limit::ResponseClass,
    locate::client::Origin,
    wire::{cookie::Standing, query::Dropped},
};
use nearcast_daemon::metrics::{CounterFamily, Labels as Samples, Scrape};

use super::{
    Met, Recorder,
    sheet::{
        CLASSES, Cell, KNOWN, LOST, MET, NO_QUERY, ORIGINS, RCODE_PLACES, RCODES, STANDINGS,
        TRANSPORTS, TYPE_PLACES, TYPES,
    },
};
use crate::udp::Lost;

/// Writes all families.
pub(super) fn write(recorder: &Recorder, scrape: &mut Scrape<'_>) -> fmt::Result {
    write_queries(recorder, scrape)?;
    write_responses(recorder, scrape)?;
    write_routed(recorder, scrape)?;
    write_proofs(recorder, scrape)?;
    write_lost(recorder, scrape)?;
    write_connections(recorder, scrape)?;
    write_log(recorder, scrape)
}

fn write_log(recorder: &Recorder, scrape: &mut Scrape<'_>) -> fmt::Result {
    let lines = recorder.log.counts();
    let mut family =
        scrape.counter("dns_query_log_lines", "Lines of the query log, by what became of them.")?;
    family.sample(&[("became", "written")], lines.written)?;
    family.sample(&[("became", "dropped")], lines.dropped)
}

fn write_queries(recorder: &Recorder, scrape: &mut Scrape<'_>) -> fmt::Result {
    let mut family = scrape.counter("dns_queries", "Queries answered, by transport and type.")?;
    for transport in TRANSPORTS {
        for place in 0..TYPE_PLACES {
            let rtype = place.checked_sub(1).map(|at| TYPES.get(at).and_then(|rtype| rtype.word()));
            let rtype = rtype.map_or("none", |word| word.unwrap_or("other"));
            let labels = [("transport", transport.as_str()), ("type", rtype)];
            some(&mut family, &labels, recorder.sum(Cell::query_place(transport, place)))?;
        }
    }
    Ok(())
}

fn write_responses(recorder: &Recorder, scrape: &mut Scrape<'_>) -> fmt::Result {
    let names = recorder.names.lock();
    let mut family = scrape.counter(
        "dns_responses",
        "Responses by zone and response code; NODATA is NOERROR without records.",
    )?;
    let zones = names.zones.all().map(|(place, name)| (Some(place), name));
    for (zone, name) in zones.chain([(None, "")]) {
        for place in 0..RCODE_PLACES {
            let rcode = RCODES.get(place).map_or("NODATA", |rcode| rcode.as_str());
            let labels = [("zone", name), ("rcode", rcode)];
            some(&mut family, &labels, recorder.sum(Cell::response_place(zone, place)))?;
        }
    }
    Ok(())
}

fn write_routed(recorder: &Recorder, scrape: &mut Scrape<'_>) -> fmt::Result {
    let names = recorder.names.lock();
    let mut family = scrape
        .counter("dns_pop_answers", "Routed answers by the first PoP in them; none: nobody.")?;
    for (place, name) in names.pops.all() {
        family.sample(&[("pop", name)], recorder.sum(Cell::pop(Some(place))))?;
    }
    family.sample(&[("pop", "")], recorder.sum(Cell::pop(None)))?;
    drop(names);
    let mut family = scrape.counter(
        "dns_located",
        "Routed answers by whose address was located and whether a source knew it.",
    )?;
    for origin in ORIGINS {
        for known in KNOWN {
            let labels = [("address", origin_word(origin)), ("known", known.as_str())];
            family.sample(&labels, recorder.sum(Cell::located(origin, known)))?;
        }
    }
    Ok(())
}

fn write_proofs(recorder: &Recorder, scrape: &mut Scrape<'_>) -> fmt::Result {
    let mut family =
        scrape.counter("dns_cookies", "Queries answered, by what their cookie proves.")?;
    for standing in STANDINGS {
        let labels = [("standing", standing_word(standing))];
        family.sample(&labels, recorder.sum(Cell::cookie(standing)))?;
    }
    let mut family =
        scrape.counter("dns_limited", "Responses over the rate limit, by class and verdict.")?;
    for class in CLASSES {
        let word = class_word(class);
        let slipped = recorder.sum(Cell::slipped(class));
        family.sample(&[("class", word), ("verdict", "slipped")], slipped)?;
        let dropped = recorder.sum(Cell::limited(class));
        family.sample(&[("class", word), ("verdict", "dropped")], dropped)?;
    }
    let mut family =
        scrape.counter("dns_truncated", "Responses without records, for being too long.")?;
    family.sample(&[], recorder.sum(Cell::TRUNCATED))
}

fn write_lost(recorder: &Recorder, scrape: &mut Scrape<'_>) -> fmt::Result {
    let mut family = scrape
        .counter("dns_dropped", "Messages without a response, by reason; see dns_limited.")?;
    for why in LOST {
        family.sample(&[("reason", lost_word(why))], recorder.sum(Cell::lost(why)))?;
    }
    for why in NO_QUERY {
        let word = match why {
            Dropped::TooShort => "too short",
            Dropped::Response => "response",
        };
        family.sample(&[("reason", word)], recorder.sum(Cell::no_query(why)))?;
    }
    family.sample(&[("reason", "no room")], recorder.sum(Cell::NO_ROOM))
}

fn write_connections(recorder: &Recorder, scrape: &mut Scrape<'_>) -> fmt::Result {
    let mut family =
        scrape.counter("dns_connections", "Connections, by transport and what became of them.")?;
    // Datagrams have none.
    for transport in TRANSPORTS.into_iter().skip(1) {
        for met in MET {
            let labels = [("transport", transport.as_str()), ("outcome", met_word(met))];
            family.sample(&labels, recorder.sum(Cell::met(transport, met)))?;
        }
    }
    Ok(())
}

/// A sample of a family that has too many to show those that are 0.
fn some(family: &mut CounterFamily<'_>, labels: Samples<'_>, value: u64) -> fmt::Result {
    if value == 0 { Ok(()) } else { family.sample(labels, value) }
}

/// The name of a class, in metrics and in the query log.
pub(super) const fn class_word(class: ResponseClass) -> &'static str {
    match class {
        ResponseClass::Answer => "answer",
        ResponseClass::NoData => "nodata",
        ResponseClass::NxDomain => "nxdomain",
        ResponseClass::Referral => "referral",
        ResponseClass::Error => "error",
    }
}

/// Whose address was located, in metrics and in the query log.
pub(super) const fn origin_word(origin: Origin) -> &'static str {
    match origin {
        Origin::Subnet => "subnet",
        Origin::Resolver => "resolver",
        Origin::Withheld => "withheld",
        Origin::Ignored => "ignored",
    }
}

/// What a cookie proves, in metrics and in the query log.
pub(super) const fn standing_word(standing: Option<Standing>) -> &'static str {
    match standing {
        None => "none",
        Some(Standing::ClientOnly) => "client",
        Some(Standing::Invalid) => "invalid",
        Some(Standing::Valid) => "valid",
    }
}

const fn lost_word(why: Lost) -> &'static str {
    match why {
        Lost::NoPort => "source port 0",
        Lost::TooLong => "too long",
        Lost::NoAddress => "no local address",
        Lost::NotSent => "not sent",
        Lost::NotReceived => "not received",
    }
}

const fn met_word(met: Met) -> &'static str {
    match met {
        Met::Accepted => "accepted",
        Met::RefusedTotal => "refused: total",
        Met::RefusedNetwork => "refused: network",
        Met::Expired => "expired",
        Met::Broken => "broken",
    }
}
