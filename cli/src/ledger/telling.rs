//! What operators are told of the ledger, and of this process's nodes in it.
//!
//! In: the ledger's health, the nodes' troubles, the roster. Out: conditions of `/readyz`, and metrics.
//! Always holds: all of it is advice: edges serve without the ledger. It does not know what is wrong.

use std::collections::BTreeMap;

use nearcast_control::{
    ledger::Health,
    node::{Trouble, Troubles},
    roster::{Presence, Roster},
};
use nearcast_daemon::{
    metrics::Metrics,
    readiness::{Condition, Readiness},
};
use tokio::sync::watch;

use super::Opened;

impl Opened {
    /// On the metrics page and in the report of readiness.
    pub(super) fn tell(&self, metrics: &Metrics, readiness: &Readiness) {
        let health = self.ledger.health();
        on_page(health.clone(), metrics);
        troubles_on_page(&self.troubles, metrics);
        nodes_on_page(&self.roster, metrics);
        // Edges serve without it, so it takes no traffic away.
        let condition = readiness.advice("ledger", "starting");
        // They end with the ledger.
        self.control.spawn(watch_health(health, condition));
        let condition = readiness.advice("ledger-node", "starting");
        self.control.spawn(watch_troubles(self.troubles.watch(), condition));
    }
}

fn on_page(health: watch::Receiver<Health>, metrics: &Metrics) {
    metrics.register(move |scrape| {
        let (writable, failures) = {
            let health = health.borrow();
            (i64::from(health.failing().is_none()), health.failures())
        };
        scrape
            .gauge("ledger_writable", "1 while the ledger takes writes.")?
            .sample(&[], writable)?;
        scrape
            .counter("ledger_failures", "Times that the ledger stopped taking writes.")?
            .sample(&[], failures)
    });
}

fn troubles_on_page(troubles: &Troubles, metrics: &Metrics) {
    let troubles = troubles.watch();
    metrics.register(move |scrape| {
        let counts = Trouble::ALL.map(|what| {
            let count = troubles.borrow().keys().filter(|(_, trouble)| *trouble == what).count();
            (what.as_str(), count as u64)
        });
        let help = "Nodes of this process that cannot do something in the ledger, by what.";
        let mut family = scrape.gauge("ledger_troubles", help)?;
        for (what, count) in counts {
            family.sample(&[("trouble", what)], count)?;
        }
        Ok(())
    });
}

fn nodes_on_page(roster: &Roster, metrics: &Metrics) {
    let seen = roster.seen();
    metrics.register(move |scrape| {
        let counts = {
            let seen = seen.borrow();
            Presence::ALL.map(|presence| (presence.as_str(), seen.count(presence) as u64))
        };
        let mut family = scrape.gauge("ledger_nodes", "Nodes, by whether they are here.")?;
        for (state, count) in counts {
            family.sample(&[("state", state)], count)?;
        }
        Ok(())
    });
}

async fn watch_health(mut health: watch::Receiver<Health>, condition: Condition) {
    loop {
        match health.borrow_and_update().failing() {
            None => condition.holds(),
            Some(reason) => condition.fails(reason),
        }
        if health.changed().await.is_err() {
            return;
        }
    }
}

async fn watch_troubles(
    mut troubles: watch::Receiver<BTreeMap<(String, Trouble), String>>,
    condition: Condition,
) {
    loop {
        let told: Vec<String> = troubles
            .borrow_and_update()
            .iter()
            .map(|((node, trouble), reason)| format!("{node}: {}: {reason}", trouble.as_str()))
            .collect();
        if told.is_empty() {
            condition.holds();
        } else {
            condition.fails(&told.join("; "));
        }
        if troubles.changed().await.is_err() {
            return;
        }
    }
}
