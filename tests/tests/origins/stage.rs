//! A paused world whose servers are scripted mock origins.
//!
//! In: scripts by server name, settings. Out: answers, and what each origin saw.

use std::{future::Future, sync::Arc};

use edge_core::settings::EdgeSettings;
use nearcast_daemon::access_log::AccessLog;
use nearcast_tests::{
    message::Answer,
    theatre::paused::opening,
    world::{Server, Wires, World, caller::Caller, site},
};
use origin_mock::{
    clock,
    origin::{Origin, Settings},
    script::{Script, Step},
};
use tokio::task::JoinSet;

pub(super) const HOST: &str = "www.example";

/// Runs under the paused clock.
pub(super) fn run<T>(test: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().unwrap().block_on(test)
}

/// A world and its origins.
pub(super) struct Stage {
    pub(super) world: World,
    origins: Vec<Origin>,
}

/// An origin that does as the script says, and takes no orders.
pub(super) fn origin(script: Script) -> Origin {
    let settings = Settings { control: false, ..Settings::default() };
    Origin::scripted(script, clock::anchored(opening()), settings).unwrap()
}

pub(super) fn server(origin: &Origin) -> Server {
    let origin = origin.clone();
    Arc::new(move |io| {
        let origin = origin.clone();
        Box::pin(async move { origin.serve_connection(io).await })
    })
}

/// A stage whose servers are named `a`, `b`, … in the order of their scripts.
pub(super) fn stage(scripts: Vec<Script>, origin_settings: &str) -> Stage {
    stage_with(&EdgeSettings::default(), scripts, origin_settings)
}

pub(super) fn stage_with(edge: &EdgeSettings, scripts: Vec<Script>, settings: &str) -> Stage {
    let alike = vec![""; scripts.len()];
    stage_of(edge, scripts.into_iter().zip(alike).collect(), settings)
}

/// The same with more said of each server: `, role = "replica"`.
pub(super) fn stage_of(edge: &EdgeSettings, servers: Vec<(Script, &str)>, settings: &str) -> Stage {
    let wires = Arc::new(Wires::default());
    let mut names = Vec::new();
    let mut origins = Vec::new();
    for ((script, more), name) in servers.into_iter().zip(["a", "b", "c", "d"]) {
        let origin = origin(script);
        wires.put(&format!("{name}:80"), server(&origin));
        names.push(match more {
            "" => format!("\"http://{name}\""),
            more => format!("{{ url = \"http://{name}\"{more} }}"),
        });
        origins.push(origin);
    }
    let text = format!(
        "name = \"www\"\nhosts = [\"*\"]\n[origin]\nservers = [{}]\n{settings}\n",
        names.join(", ")
    );
    let world = World::new(edge, &[site(&text).unwrap()], wires, AccessLog::off()).unwrap();
    Stage { world, origins }
}

impl Stage {
    pub(super) fn caller(&self) -> Caller {
        Caller::on(self.world.connect())
    }

    pub(super) async fn get(&self, target: &str) -> Answer {
        self.caller().ask("GET", HOST, target, "").await
    }

    pub(super) fn origin(&self, index: usize) -> &Origin {
        &self.origins[index]
    }

    /// Requests that an origin saw.
    pub(super) fn asked(&self, index: usize) -> u64 {
        self.origins[index].recorder().stats().requests
    }

    /// Sends clients off at once, one for each target.
    pub(super) fn crowd(&self, targets: impl Iterator<Item = String>) -> JoinSet<Answer> {
        let mut crowd = JoinSet::new();
        for target in targets {
            let mut caller = self.caller();
            crowd.spawn(async move { caller.ask("GET", HOST, &target, "").await });
        }
        crowd
    }
}

/// A 200 that may be stored for a minute.
pub(super) fn cacheable(text: &str) -> Step {
    Step::text(text).with_field("Cache-Control", "max-age=60")
}

/// A 200 that may not be stored.
pub(super) fn unstorable(text: &str) -> Step {
    Step::text(text).with_field("Cache-Control", "no-store")
}

/// A close instead of a response.
pub(super) fn closes() -> Step {
    Step { cut_head_after: Some(0), ..Step::default() }
}
