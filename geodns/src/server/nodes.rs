//! What is known of the fleet's nodes, and all else as it is.
//!
//! In: addresses of nodes, and those that nobody is to be sent to. Out: answers by these. Always: what
//! cannot be taken leaves the former ones in force; no file is read again but the geo data, and those
//! only if they changed. It does not know who knows the nodes.

use std::{sync::Arc, time::Duration};

use geodns_core::fleet::{FleetView, Nodes};
use tokio::time::Instant;

use super::{Loading, Plan, PlanError, Server, Sites};

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
            return Ok(self.cached_for(&loading));
        }
        let plan = Plan { nodes, certificate: None, ..loading.plan.clone() };
        if plan.with_nodes() == loading.plan.with_nodes() {
            loading.plan.nodes = plan.nodes;
            return Ok(self.cached_for(&loading));
        }
        // A certificate that is being replaced has nothing to do with them.
        let certificate = loading.plan.certificate.clone();
        self.take(&mut loading, plan)?;
        loading.plan.certificate = certificate;
        Ok(self.cached_for(&loading))
    }

    /// For how long an answer that was made until now may be cached. A TTL counts from its arrival: a
    /// client takes its time to read it from a connection, and the network to bring it.
    fn cached_for(&self, loading: &Loading) -> Duration {
        loading.lifetime.left(Instant::now()) + self.0.streams.write_timeout + ON_ITS_WAY_MAX
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
