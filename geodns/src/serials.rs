//! The serials of zones, as their operator is told of them.
//!
//! In: a plan, the snapshot that was made of it. Out: what to mend, and numbers on the metrics page.
//! Always holds: a fault of a serial keeps no content from being served; it is told with each reload
//! until the serial is ahead of what was published.
//! It deliberately does not know how a serial is made: `geodns_core::serial` does.

use std::fmt;

use geodns_core::{
    answer::Snapshot,
    problem::Problem,
    serial::{Order, Published},
    zone::Zone,
};
use nearcast_daemon::metrics::{Metrics, Scrape};

use crate::server::{Plan, Server};

/// The serial of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ZoneSerial {
    zone: String,
    serial: u32,
    problem: Option<Problem>,
}

/// The serials that are published by `plan`.
pub(crate) fn of(plan: &Plan, snapshot: &Snapshot) -> Vec<ZoneSerial> {
    let one = |(index, (zone, published, order)): (usize, (&Zone, Published, Order))| {
        let (zone, serial) = (zone.apex().to_string(), published.serial);
        ZoneSerial { problem: problem(plan, index, (&zone, serial), order), zone, serial }
    };
    snapshot.published().enumerate().map(one).collect()
}

/// What is to be mended, of all zones.
pub(crate) fn problems(serials: &[ZoneSerial]) -> Vec<Problem> {
    serials.iter().filter_map(|one| one.problem.clone()).collect()
}

/// A zone without a file has nowhere to write a serial; nobody is asked to.
fn problem(
    plan: &Plan,
    index: usize,
    (zone, serial): (&str, u32),
    order: Order,
) -> Option<Problem> {
    let file = plan.settings.zone.get(index)?.file.as_ref()?.display();
    let message = match order {
        Order::First | Order::Same | Order::Told => return None,
        Order::Untold => format!(
            "{zone} has other content than before under the same serial, {serial}; it is served; \
             raise the serial in {file}"
        ),
        Order::Receded => format!(
            "the serial of {zone} has gone back, and {serial} stays until the node is started \
             again; its content is served; write a serial above {serial} into {file}"
        ),
    };
    Some(Problem { at: format!("zone[{index}].file"), message })
}

/// Puts the serials of `server` on the page.
pub fn register(server: &Server, metrics: &Metrics) {
    let server = server.clone();
    metrics.register(move |scrape| write(&server.serials(), scrape));
}

fn write(serials: &[ZoneSerial], scrape: &mut Scrape<'_>) -> fmt::Result {
    let help = "The serial of a zone; equal on all nodes that have the same of it.";
    let mut family = scrape.gauge("dns_zone_serial", help)?;
    for one in serials {
        family.sample(&[("zone", one.zone.as_str())], u64::from(one.serial))?;
    }
    let help = "Whether a zone's serial is to be raised: its content changed without it.";
    let mut family = scrape.gauge("dns_zone_serial_faulty", help)?;
    for one in serials {
        family.sample(&[("zone", one.zone.as_str())], u64::from(one.problem.is_some()))?;
    }
    Ok(())
}
