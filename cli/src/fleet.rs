//! GeoDNS goes by what the ledger says of the fleet's nodes.
//!
//! In: the fleet, as it is followed; a server. Out: answers by it.
//! Always holds: one change is taken at a time, on a thread that may wait, and the newest only; what
//! cannot be taken leaves what is in force, and is told, in the log and under `/readyz`. It does not
//! know what a node says.

use std::{future::pending, sync::Arc};

use geodns::server::Server;
use geodns_core::fleet::Nodes;
use nearcast_control::fleet::{Fleet, Following};
use nearcast_daemon::readiness::{Condition, Readiness};
use tokio::{
    runtime::Handle,
    sync::watch,
    task::{JoinSet, spawn_blocking},
};

use crate::failure::chain;

/// See the module; ends when it is dropped.
pub(crate) struct Follower {
    _task: JoinSet<()>,
}

impl Follower {
    /// Has `server`, which was started with the fleet as it was, go by each change of it.
    pub(crate) fn begin(
        server: &Server,
        following: Following,
        control: &Handle,
        readiness: &Readiness,
    ) -> Self {
        // What is in force answers, so it takes no traffic away.
        let in_force = readiness.advice("geodns-fleet", "not read yet");
        let mut task = JoinSet::new();
        task.spawn_on(follow(server.clone(), following, in_force), control);
        Self { _task: task }
    }
}

async fn follow(server: Server, following: Following, in_force: Condition) {
    let mut fleets = following.fleet();
    loop {
        let fleet = Arc::clone(&fleets.borrow_and_update());
        let (server, nodes) = (server.clone(), nodes(&fleet));
        match spawn_blocking(move || server.take_nodes(nodes)).await {
            Ok(Ok(_)) => in_force.holds(),
            Ok(Err(error)) => {
                let why = chain(&error);
                tracing::error!("{why}; GeoDNS goes on with the nodes and drains that it has");
                in_force.fails(&why);
            }
            Err(error) => tracing::error!(%error, "taking the fleet's nodes broke off"),
        }
        next(&mut fleets).await;
    }
}

/// Waits for a change; after the last one for ever.
async fn next(fleets: &mut watch::Receiver<Arc<Fleet>>) {
    if fleets.changed().await.is_err() {
        pending::<()>().await;
    }
}

/// The fleet, in the words of GeoDNS.
pub(crate) fn nodes(fleet: &Fleet) -> Arc<Nodes> {
    Arc::new(Nodes { addresses: fleet.addresses.clone(), out: fleet.out.clone() })
}
