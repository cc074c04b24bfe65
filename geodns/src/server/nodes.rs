//! What is known of the fleet's nodes, and all else as it is.
//!
//! In: addresses of nodes, and those that nobody is to be sent to. Out: answers by these; which of
//! the latter were answered all the same, as nobody else was left. Always: what
//! cannot be taken leaves the former ones in force; no file is read again but the geo data, and those
//! only if they changed. It does not know who knows the nodes.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use geodns_core::fleet::{FleetView, Nodes, PopId};
use tokio::time::Instant;

use super::{Loading, Plan, PlanError, Server, Sites};
use crate::state::View;

/// For how long an answer may be with a worker that is at work on a batch, and in the network; and what
/// caches round TTLs by.
const ON_ITS_WAY_MAX: Duration = Duration::from_secs(3);

impl Server {
    /// Answers by other nodes, and goes on with all else; when this returns, nothing is answered by the
    /// former ones any more. Out comes for how long what was answered until then may be cached, with
    /// the time that it may be on its way.
    ///
    /// # Errors
    /// As [`Server::reload`].
    pub fn take_nodes(&self, nodes: Arc<Nodes>) -> Result<Duration, PlanError> {
        let mut loading = self.0.loading.lock();
        if loading.plan.nodes == nodes {
            return Ok(self.cached_for(&loading, Instant::now()));
        }
        let plan = Plan { nodes, certificate: None, ..loading.plan.clone() };
        if plan.with_nodes() == loading.plan.with_nodes() {
            loading.plan.nodes = plan.nodes;
            return Ok(self.cached_for(&loading, Instant::now()));
        }
        // A certificate that is being replaced has nothing to do with them.
        let certificate = loading.plan.certificate.clone();
        self.take(&mut loading, plan)?;
        loading.plan.certificate = certificate;
        Ok(self.cached_for(&loading, Instant::now()))
    }

    /// For how long what was answered until now may be cached. It may take seconds.
    #[must_use]
    pub fn last_cached_for(&self) -> Duration {
        self.cached_for(&self.0.loading.lock(), Instant::now())
    }

    /// Waits for an answer with an address that nobody is to be sent to.
    pub async fn gives_up(&self) {
        self.0.shared.given_up().next().await;
    }

    /// Until when such answers may be cached, by address; those of before may be over. It may take
    /// seconds.
    #[must_use]
    pub fn given_up(&self) -> BTreeMap<IpAddr, Instant> {
        let loading = self.0.loading.lock();
        let shared = &self.0.shared;
        shared.given_up().with_former(self.given_up_by(&shared.view(), &loading))
    }

    /// Keeps what was given up by a view that is in force no more.
    pub(super) fn keep_given_up(&self, former: &View, loading: &Loading) {
        let given_up = self.given_up_by(former, loading);
        self.0.shared.given_up().keep(given_up, Instant::now());
    }

    fn given_up_by(&self, view: &View, loading: &Loading) -> BTreeMap<IpAddr, Instant> {
        let (shared, clock) = (&self.0.shared, self.0.shared.clock());
        let pops = &view.served().snapshot().fleet().pops;
        let pops = (0..pops.len()).filter_map(PopId::new).zip(pops);
        let out = pops.flat_map(|(id, pop)| pop.out.iter().map(move |address| (id, *address)));
        out.filter_map(|(id, address)| {
            let last = clock.instant_at(shared.given_up().last(view.labels(), id, address)?);
            Some((address, last + self.cached_for(loading, last)))
        })
        .collect()
    }

    /// For how long an answer that was made until `then` may be cached. A TTL counts from its arrival:
    /// a client takes its time to read it from a connection, and the network to bring it.
    fn cached_for(&self, loading: &Loading, then: Instant) -> Duration {
        loading.lifetime.left(then) + self.0.streams.write_timeout + ON_ITS_WAY_MAX
    }
}

impl Plan {
    /// This plan of a file, with what is known beside the file as it was in the one before.
    pub(super) fn going_on_from(self, before: &Self) -> Self {
        let sites = Sites { revision: before.sites.revision, ..self.sites };
        Self { nodes: Arc::clone(&before.nodes), sites, ..self }
    }

    /// The fleet, with what is known of its nodes, at the revision of the sites.
    pub(super) fn with_nodes(&self) -> Arc<FleetView> {
        let revision = self.sites.revision;
        if *self.nodes == Nodes::default() && self.fleet.revision == revision {
            return Arc::clone(&self.fleet);
        }
        Arc::new(FleetView { revision, ..self.fleet.with_nodes(&self.nodes) })
    }
}
