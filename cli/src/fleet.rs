//! GeoDNS goes by what the ledger says of the fleet's nodes.
//!
//! In: the fleet and its load, as they are followed; a server. Out: answers by them; which drains these
//! go by, and which were given up.
//! Always holds: one change is taken at a time, on a thread that may wait, and the newest only; what
//! cannot be taken leaves what is in force, is told, in the log and under `/readyz`, and tried again;
//! nothing is said to be answered by before it is, and before this machine's disk has it. It does not know what a node says.

use std::{collections::HashMap, future::pending, sync::Arc, time::Duration};

use geodns::server::Server;
use geodns_core::{
    fleet::{Load, Nodes},
    standing::PerMille,
};
use nearcast_control::{
    fleet::{Fleet, Following, Loads, PopLoad},
    node::Answering,
};
use nearcast_daemon::readiness::{Condition, Readiness};
use tokio::{
    runtime::Handle,
    sync::watch,
    task::{JoinSet, spawn_blocking},
    time::{Instant, sleep_until},
};

use crate::{
    failure::chain,
    ledger::{Opened, Voice},
};

/// How long after a fleet could not be taken it is tried again; after each further failure twice that.
const AGAIN_FIRST: Duration = Duration::from_secs(1);
/// See [`AGAIN_FIRST`].
const AGAIN_MAX: Duration = Duration::from_secs(60);

/// See the module; ends when it is dropped.
pub(crate) struct Follower {
    _task: JoinSet<()>,
    ledger: Opened,
    /// The server's node, where it has one of its own.
    voice: Option<Voice>,
}

impl Follower {
    /// Has `server`, which was started with the fleet as it was, go by each change of it.
    pub(crate) fn begin(
        server: &Server,
        (ledger, following): (Opened, Following),
        voice: Option<Voice>,
        (control, readiness): (&Handle, &Readiness),
    ) -> Self {
        // What is in force answers, so it takes no traffic away.
        let in_force = readiness.advice("geodns-fleet", "not read yet");
        let mut task = JoinSet::new();
        task.spawn_on(follow(server.clone(), following, ledger.answering(), in_force), control);
        Self { _task: task, ledger, voice }
    }

    /// The server answers no more, and its nodes are about to leave.
    pub(crate) fn answered_last(&self, server: &Server) {
        self.ledger.answered_last(server.last_cached_for());
    }

    /// The server answers no more; from a thread that may wait.
    pub(crate) fn leave(self) {
        if let Some(voice) = self.voice {
            voice.leave();
        }
    }
}

async fn follow(
    server: Server,
    following: Following,
    mut answering: Answering,
    in_force: Condition,
) {
    let (mut fleets, mut loads) = (following.fleet(), following.loads());
    let mut on_disk = following.on_disk();
    let mut pause = AGAIN_FIRST;
    loop {
        let fleet = Arc::clone(&fleets.borrow_and_update());
        let (taking, nodes) = (server.clone(), nodes(&fleet));
        let again = match spawn_blocking(move || taking.take_nodes(nodes)).await {
            Ok(Ok(cached_for)) => {
                in_force.holds();
                answering.applied(&fleet, cached_for, Instant::now());
                look(&server, &mut answering).await;
                answering.kept(&on_disk.borrow_and_update());
                None
            }
            Ok(Err(error)) => {
                let why = chain(&error);
                tracing::error!("{why}; GeoDNS goes on with the nodes and drains that it has");
                in_force.fails(&why);
                Some(pause)
            }
            Err(error) => {
                tracing::error!(%error, "taking the fleet's nodes broke off");
                Some(pause)
            }
        };
        pause = again.map_or(AGAIN_FIRST, |pause| (pause * 2).min(AGAIN_MAX));
        let again = again.map(|pause| Instant::now() + pause);
        loop {
            tokio::select! {
                () = next(&mut fleets) => break,
                () = at(again) => break,
                () = next(&mut on_disk) => answering.kept(&on_disk.borrow_and_update()),
                () = at(answering.due()) => look(&server, &mut answering).await,
                () = server.gives_up() => look(&server, &mut answering).await,
                () = next(&mut loads) => hear(&server, &loads.borrow_and_update()),
            }
        }
    }
}

/// Looks which drains the server gave up, and what is cached no more.
async fn look(server: &Server, answering: &mut Answering) {
    let asked = server.clone();
    match spawn_blocking(move || asked.given_up()).await {
        Ok(until) => answering.given_up(until, Instant::now()),
        Err(error) => {
            tracing::error!(%error, "looking for drains that were given up broke off");
            answering.lapse(Instant::now());
        }
    }
}

/// Waits for a moment; without one for ever.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}

/// Waits for a change; after the last one for ever.
async fn next<T>(told: &mut watch::Receiver<T>) {
    if told.changed().await.is_err() {
        pending::<()>().await;
    }
}

/// Has GeoDNS go by what the nodes carry.
fn hear(server: &Server, loads: &Loads) {
    let prober = server.prober();
    let load = |(pop, load): (&String, &PopLoad)| {
        let share = load.share_per_mille.map(PerMille);
        let at = prober.moment_at(load.at);
        (pop.as_str().into(), Load { connections: load.connections, share, at })
    };
    prober.hear(loads.iter().map(load).collect::<HashMap<_, _>>());
}

/// The fleet, in the words of GeoDNS.
pub(crate) fn nodes(fleet: &Fleet) -> Arc<Nodes> {
    Arc::new(Nodes { addresses: fleet.addresses.clone(), out: fleet.out.clone() })
}
