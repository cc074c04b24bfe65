//! A thread's counters: one cell for each thing that can be said of a query.
//!
//! In: cells. Out: numbers. Always holds: one thread writes a sheet, through its only [`Pen`], so
//! that counting is a load and a store and no locked instruction; any thread reads it.
//! It deliberately does not know what the numbers are called: `page` does.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use geodns_core::{
    answer::{Known, Transport},
    limit::ResponseClass,
    locate::client::Origin,
    wire::{
        cookie::Standing,
        kind::{Rcode, RecordType},
        query::Dropped,
    },
};

use super::{Met, is_nodata, labels::PLACES};
use crate::udp::Lost;

/// What is counted for itself among the types; all others are counted together.
pub(super) const TYPES: [RecordType; 18] = [
    RecordType::A,
    RecordType::AAAA,
    RecordType::HTTPS,
    RecordType::NS,
    RecordType::SOA,
    RecordType::CNAME,
    RecordType::MX,
    RecordType::TXT,
    RecordType::SRV,
    RecordType::PTR,
    RecordType::CAA,
    RecordType::DS,
    RecordType::DNSKEY,
    RecordType::SVCB,
    RecordType::TLSA,
    RecordType::NAPTR,
    RecordType::ANY,
    RecordType::AXFR,
];
pub(super) const TRANSPORTS: [Transport; 5] =
    [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Https, Transport::Quic];
pub(super) const RCODES: [Rcode; 8] = [
    Rcode::NoError,
    Rcode::FormErr,
    Rcode::ServFail,
    Rcode::NxDomain,
    Rcode::NotImp,
    Rcode::Refused,
    Rcode::BadVers,
    Rcode::BadCookie,
];
pub(super) const CLASSES: [ResponseClass; 5] = [
    ResponseClass::Answer,
    ResponseClass::NoData,
    ResponseClass::NxDomain,
    ResponseClass::Referral,
    ResponseClass::Error,
];
pub(super) const ORIGINS: [Origin; 4] =
    [Origin::Subnet, Origin::Resolver, Origin::Withheld, Origin::Ignored];
pub(super) const KNOWN: [Known; 2] = [Known::Listed, Known::Unlisted];
pub(super) const STANDINGS: [Option<Standing>; 4] =
    [None, Some(Standing::ClientOnly), Some(Standing::Invalid), Some(Standing::Valid)];
pub(super) const LOST: [Lost; 5] =
    [Lost::NoPort, Lost::TooLong, Lost::NoAddress, Lost::NotSent, Lost::NotReceived];
pub(super) const NO_QUERY: [Dropped; 2] = [Dropped::TooShort, Dropped::Response];
pub(super) const MET: [Met; 5] =
    [Met::Accepted, Met::RefusedTotal, Met::RefusedNetwork, Met::Expired, Met::Broken];

/// Places for types: without a question, each of [`TYPES`], any other.
pub(super) const TYPE_PLACES: usize = TYPES.len() + 2;
/// Places for response codes; NODATA has one of its own.
pub(super) const RCODE_PLACES: usize = RCODES.len() + 1;
/// Zones, with a place for what is from none.
const ZONE_PLACES: usize = PLACES + 1;
/// PoPs, with a place for nobody.
const POP_PLACES: usize = PLACES + 1;

const QUERIES: usize = 0;
const RESPONSES: usize = QUERIES + TRANSPORTS.len() * TYPE_PLACES;
const POPS: usize = RESPONSES + ZONE_PLACES * RCODE_PLACES;
const LOCATED: usize = POPS + POP_PLACES;
const COOKIES: usize = LOCATED + ORIGINS.len() * KNOWN.len();
const SLIPPED: usize = COOKIES + STANDINGS.len();
const LIMITED: usize = SLIPPED + CLASSES.len();
const LOSSES: usize = LIMITED + CLASSES.len();
const SILENCE: usize = LOSSES + LOST.len();
const CONNECTIONS: usize = SILENCE + NO_QUERY.len();
const SINGLE: usize = CONNECTIONS + TRANSPORTS.len() * MET.len();
const CELLS: usize = SINGLE + 2;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell(usize);

impl Cell {
    /// Responses that said TC for being too long.
    pub(super) const TRUNCATED: Self = Self(SINGLE);
    /// Queries that there was no room for.
    pub(super) const NO_ROOM: Self = Self(SINGLE + 1);

    pub(super) fn query(transport: Transport, rtype: Option<RecordType>) -> Self {
        let place = rtype.map_or(0, |rtype| {
            1 + TYPES.iter().position(|known| *known == rtype).unwrap_or(TYPES.len())
        });
        Self::query_place(transport, place)
    }

    pub(super) const fn query_place(transport: Transport, place: usize) -> Self {
        Self(QUERIES + transport as usize * TYPE_PLACES + place)
    }

    pub(super) const fn response(zone: Option<usize>, rcode: Rcode, class: ResponseClass) -> Self {
        let place = if is_nodata(class) { RCODES.len() } else { rcode as usize };
        Self::response_place(zone, place)
    }

    pub(super) const fn response_place(zone: Option<usize>, place: usize) -> Self {
        Self(RESPONSES + or_last(zone) * RCODE_PLACES + place)
    }

    pub(super) const fn pop(pop: Option<usize>) -> Self {
        Self(POPS + or_last(pop))
    }

    pub(super) const fn located(origin: Origin, known: Known) -> Self {
        Self(LOCATED + origin as usize * KNOWN.len() + known as usize)
    }

    pub(super) const fn cookie(standing: Option<Standing>) -> Self {
        Self(
            COOKIES
                + match standing {
                    None => 0,
                    Some(standing) => 1 + standing as usize,
                },
        )
    }

    pub(super) const fn slipped(class: ResponseClass) -> Self {
        Self(SLIPPED + class as usize)
    }

    pub(super) const fn limited(class: ResponseClass) -> Self {
        Self(LIMITED + class as usize)
    }

    pub(super) const fn lost(why: Lost) -> Self {
        Self(LOSSES + why as usize)
    }

    pub(super) const fn no_query(why: Dropped) -> Self {
        Self(SILENCE + why as usize)
    }

    pub(super) const fn met(transport: Transport, what: Met) -> Self {
        Self(CONNECTIONS + transport as usize * MET.len() + what as usize)
    }
}

const fn or_last(place: Option<usize>) -> usize {
    match place {
        Some(place) => place,
        None => PLACES,
    }
}

/// One thread's counters.
#[derive(Debug)]
pub(super) struct Sheet(Box<[AtomicU64]>);

impl Default for Sheet {
    fn default() -> Self {
        Self((0..CELLS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Sheet {
    pub(super) fn read(&self, cell: Cell) -> u64 {
        self.0.get(cell.0).map_or(0, |cell| cell.load(Ordering::Relaxed))
    }
}

/// What writes a sheet; there is one for each.
#[derive(Debug)]
pub(super) struct Pen(Arc<Sheet>);

impl Pen {
    pub(super) const fn new(sheet: Arc<Sheet>) -> Self {
        Self(sheet)
    }

    /// Counts one.
    pub(super) fn one(&mut self, cell: Cell) {
        debug_assert!(cell.0 < CELLS, "{cell:?}");
        if let Some(cell) = self.0.0.get(cell.0) {
            // Nobody else writes it, so nothing is lost between the two.
            cell.store(cell.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Every cell is somebody's, and nobody else's.
    #[test]
    fn cells_are_apart_and_their_order_is_that_of_the_tables() {
        let mut cells = vec![Cell::TRUNCATED.0, Cell::NO_ROOM.0];
        for (at, transport) in TRANSPORTS.into_iter().enumerate() {
            assert_eq!(transport as usize, at);
            cells.extend((0..TYPE_PLACES).map(|place| Cell::query_place(transport, place).0));
            cells.extend(MET.map(|met| Cell::met(transport, met).0));
        }
        for zone in (0..PLACES).map(Some).chain([None]) {
            cells.extend((0..RCODE_PLACES).map(|place| Cell::response_place(zone, place).0));
            cells.push(Cell::pop(zone).0);
        }
        for origin in ORIGINS {
            cells.extend(KNOWN.map(|known| Cell::located(origin, known).0));
        }
        cells.extend(STANDINGS.map(|standing| Cell::cookie(standing).0));
        for class in CLASSES {
            cells.extend([Cell::slipped(class).0, Cell::limited(class).0]);
        }
        cells.extend(LOST.map(|lost| Cell::lost(lost).0));
        cells.extend(NO_QUERY.map(|dropped| Cell::no_query(dropped).0));
        assert_eq!(cells.len(), CELLS);
        assert_eq!(cells.into_iter().collect::<HashSet<_>>(), (0..CELLS).collect());
        for (at, rcode) in RCODES.into_iter().enumerate() {
            assert_eq!(rcode as usize, at);
        }
        for (at, met) in MET.into_iter().enumerate() {
            assert_eq!(met as usize, at);
        }
    }
}
