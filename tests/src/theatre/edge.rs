//! The real edge on the in-process stage.
//!
//! In: a scenario's settings, and pipes to its origin. Out: how that edge serves a pipe.
//! Always holds: the edge's clock is the runtime's, anchored where the origin's is; its fillings and
//! workers share the scenario's one thread (ARCHITECTURE.md *Threads*).

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use edge::clock::Clock;
use edge::fetch::FetchError;
use edge::fetch::{
    connect::{BoxedIo, Connect, Opened},
    policy::AddressPolicy,
};
use edge::{Edge, World};
use edge_core::settings::{EdgeSettings, SiteSettings};
use edge_core::site::ServerAddress;
use nearcast_daemon::access_log::AccessLog;
use nearcast_daemon::drain::drain;

use super::paused::{self, Cast, PausedStage, Serve};
use super::pipes::Pipes;
use crate::play::{NODE, play};
use crate::scenario::{Scenario, Settings};

/// Plays a scenario against the real edge under the paused clock.
///
/// # Errors
/// What went otherwise than written.
pub fn perform(scenario: &Scenario) -> Result<(), String> {
    paused::run(async {
        let (settings, leased) = (scenario.settings.clone(), scenario.is_leased());
        let script = scenario.script.clone();
        let stage = PausedStage::new(script, |pipes| edge(&settings, leased, pipes))?;
        play(scenario, &stage).await.map_err(|failure| failure.to_string())
    })
}

fn edge(settings: &Settings, leased: bool, pipes: Arc<Pipes>) -> Result<Cast, String> {
    let own: EdgeSettings =
        settings.edge.clone().try_into().map_err(|error| format!("edge: {error}"))?;
    let sites = settings
        .sites
        .iter()
        .cloned()
        .map(|site| site.try_into::<SiteSettings>().map_err(|error| format!("site: {error}")));
    let sites = sites.collect::<Result<Vec<_>, _>>()?;
    let (drain, draining) = drain();
    let world = World {
        node: Arc::from(NODE),
        cdn_id: Arc::from(NODE),
        clock: Clock::anchored_at(paused::opening()),
        fills: tokio::runtime::Handle::current(),
        control: tokio::runtime::Handle::current(),
        connector: Arc::new(ThroughPipes(pipes)),
        workers: 1,
        access_log: AccessLog::off(),
        own_addresses: Vec::new(),
        ledger: Vec::new(),
        draining,
        leased,
    };
    let edge = Edge::new(&own, &sites, world).map_err(|problems| format!("{problems:?}"))?;
    let client = SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000));
    let serving = edge.clone();
    let serve: Serve = Box::new(move |io| {
        // Nothing is ever drained, but a drain without its owner counts as started.
        let _running = &drain;
        let edge = serving.clone();
        tokio::spawn(async move { edge.serve_connection(0, io, client).await });
    });
    Ok(Cast { serve, edge: Some(edge) })
}

struct ThroughPipes(Arc<Pipes>);

impl Connect for ThroughPipes {
    fn connect<'a>(
        &'a self,
        server: &'a ServerAddress,
        _policy: &'a AddressPolicy,
    ) -> futures_util::future::BoxFuture<'a, Result<Opened, FetchError>> {
        Box::pin(async move {
            match self.0.open(&server.host) {
                Some(near) => Ok((Box::new(near) as BoxedIo).into()),
                None => Err(FetchError::Connect {
                    server: server.authority.clone(),
                    reason: "the server is down".to_owned(),
                }),
            }
        })
    }
}
