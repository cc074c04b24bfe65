//! How PoPs stand, on the metrics page.
//!
<<<<<<< ours
//! In: a prober. Out: families with their samples, read when the page is. Always holds: every address
//! of the fleet is there, also one that nothing probes, which counts as up.
=======
//! In: a prober. Out: gauges of PoPs, counters of changes. Always holds: everything is read when the
//! page is, under the lock that composing takes, never by who answers queries.
//! It deliberately counts no queries: [`crate::record`] does.
>>>>>>> theirs

use std::fmt;

use geodns_core::settings::StateWord;
use nearcast_daemon::metrics::{Metrics, Scrape};

use super::{Prober, status::PopStatus};

<<<<<<< ours
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
=======
/// Puts what `prober` knows on the page.
pub fn register(prober: &Prober, metrics: &Metrics) {
    let prober = prober.clone();
    metrics.register(move |scrape| {
        let pops = prober.status();
        states(&pops, scrape)?;
        changes(&pops, scrape)
    });
}

fn states(pops: &[PopStatus], scrape: &mut Scrape<'_>) -> fmt::Result {
    let help = "Whether enough addresses of a family of a PoP are up.";
    let mut family = scrape.gauge("dns_pop_up", help)?;
    for pop in pops {
        for (name, state) in [("ipv4", pop.ipv4), ("ipv6", pop.ipv6)] {
            if let Some(state) = state {
                let labels = [("pop", pop.name.as_str()), ("family", name)];
                family.sample(&labels, u64::from(state == StateWord::Up))?;
            }
        }
    }
    let help = "Whether a PoP is taken out of answers as long as others are there.";
    let mut family = scrape.gauge("dns_pop_drained", help)?;
    for pop in pops {
        family.sample(&[("pop", pop.name.as_str())], u64::from(pop.drained))?;
>>>>>>> theirs
    }
    Ok(())
}

<<<<<<< ours
fn addresses(
    pops: &[PopStatus],
) -> impl Iterator<Item = (&PopStatus, &super::status::AddressStatus)> {
    pops.iter().flat_map(|pop| pop.addresses.iter().map(move |address| (pop, address)))
=======
fn changes(pops: &[PopStatus], scrape: &mut Scrape<'_>) -> fmt::Result {
    let help = "Changes between up and down that own probes saw.";
    let mut family = scrape.counter("dns_health_changes", help)?;
    for pop in pops {
        for address in &pop.addresses {
            let changes = address.checks.iter().map(|check| check.changes).sum();
            let ip = address.address.to_string();
            family.sample(&[("pop", pop.name.as_str()), ("address", &ip)], changes)?;
        }
    }
    Ok(())
>>>>>>> theirs
}
