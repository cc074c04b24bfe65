//! How PoPs stand, on the metrics page.
//!
//! In: a prober. Out: families with their samples, read when the page is. Always holds: every address
//! of the fleet is there, also one that nothing probes, which counts as up.

use std::fmt;

use geodns_core::settings::StateWord;
use nearcast_daemon::metrics::{Metrics, Scrape};

use super::{Prober, status::PopStatus};

impl Prober {
    /// Puts the PoPs on the page.
    pub fn register(&self, metrics: &Metrics) {
        let prober = self.clone();
        metrics.register(move |scrape| write(&prober.status(), scrape));
    }
}

fn write(pops: &[PopStatus], scrape: &mut Scrape<'_>) -> fmt::Result {
    let mut family =
        scrape.gauge("dns_pop_drained", "Whether a PoP is out of answers by order.")?;
    for pop in pops {
        family.sample(&[("pop", &*pop.name)], u64::from(pop.drained))?;
    }
    let mut family = scrape.gauge("dns_pop_forced", "Whether an order says how a PoP stands.")?;
    for pop in pops {
        family.sample(&[("pop", &*pop.name)], u64::from(pop.forced.is_some()))?;
    }
    let mut family = scrape.gauge("dns_pop_address_up", "Whether an address passes its checks.")?;
    for (pop, address) in addresses(pops) {
        let labels = [("pop", &*pop.name), ("address", &*address.address.to_string())];
        family.sample(&labels, u64::from(address.state == StateWord::Up))?;
    }
    let mut family =
        scrape.counter("dns_pop_address_changes", "Times that a check of an address turned.")?;
    for (pop, address) in addresses(pops) {
        let labels = [("pop", &*pop.name), ("address", &*address.address.to_string())];
        let changes = address.checks.iter().map(|check| check.changes).sum::<u64>();
        family.sample(&labels, changes)?;
    }
    Ok(())
}

fn addresses(
    pops: &[PopStatus],
) -> impl Iterator<Item = (&PopStatus, &super::status::AddressStatus)> {
    pops.iter().flat_map(|pop| pop.addresses.iter().map(move |address| (pop, address)))
}
