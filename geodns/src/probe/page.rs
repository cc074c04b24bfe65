//! How PoPs stand, on the metrics page.
//!
//! In: a prober. Out: gauges of PoPs, counters of changes and of what could not be probed. Always holds: everything is read when the
//! page is, under the lock that composing takes, never by who answers queries.
//! It deliberately counts no queries: [`crate::record`] does.

use std::fmt;

use geodns_core::settings::StateWord;
use nearcast_daemon::metrics::{Metrics, Scrape};

use super::{Prober, status::PopStatus};

/// Puts what `prober` knows on the page.
pub fn register(prober: &Prober, metrics: &Metrics) {
    let prober = prober.clone();
    metrics.register(move |scrape| {
        let pops = prober.status();
        states(&pops, scrape)?;
        changes(&pops, scrape)?;
        blind(prober.blind(), scrape)
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
    }
    Ok(())
}

fn changes(pops: &[PopStatus], scrape: &mut Scrape<'_>) -> fmt::Result {
    let help = "Changes between up and down that own probes saw.";
    let mut family = scrape.counter("dns_health_changes", help)?;
    for pop in pops {
        for address in &pop.addresses {
            let ip = address.address.to_string();
            family.sample(&[("pop", pop.name.as_str()), ("address", &ip)], address.changes)?;
        }
    }
    Ok(())
}

fn blind(probes: u64, scrape: &mut Scrape<'_>) -> fmt::Result {
    let help = "Probes that this node could not make, for want of descriptors, ports or memory.";
    scrape.counter("dns_probes_blind", help)?.sample(&[], probes)
}
