//! `nearcast run --config FILE`: the roles that a node file has.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use nearcast_config::{NodeConfig, Reading};
use nearcast_daemon::{files::Watcher, settings::NodeSettings};

use crate::{
    descriptors::needed,
    dns::DnsPlan,
    edges::EdgePlan,
    failure::{Failure, chain},
    process::{Plan, Process, unique},
    reloads::{Reloaded, Roles},
    restart,
};

/// The command line of `run`.
#[derive(Debug, Args)]
#[command(after_help = crate::environment::HELP)]
pub(crate) struct Arguments {
    /// The node file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Runs until a signal ends it.
pub(crate) fn run(arguments: &Arguments, workers: Option<NonZeroUsize>) -> Result<(), Failure> {
    let file = arguments.config.clone();
    let Reading { result, files } = nearcast_config::read(&file);
    let config = result.map_err(|report| Failure::new(report.to_string()))?;
    let workers = config.node.worker_count(workers);
    let started = config.clone();
    let process = Process::start(plan(config, workers))?;
    tracing::info!(file = %file.display(), workers, "running");
    for edge in process.edges().seen() {
        tracing::info!(node = edge.name, listen = ?edge.addresses, "the edge answers");
    }
    if let Some(dns) = process.dns() {
        tracing::info!(listen = ?dns.addresses(), "GeoDNS answers");
    }
    if let Some(address) = process.admin() {
        tracing::info!(listen = %address, "the admin listener answers");
    }
    let mut watcher = Watcher::new();
    watcher.watch(&files);
    let reload = move |roles: &Roles| {
        let Reading { result, files } = nearcast_config::read(&file);
        let drain_deadline = match result {
            Ok(new) => reload(&file, &started, new, roles),
            Err(report) => {
                tracing::error!("{report}; the settings in force stay");
                None
            }
        };
        Reloaded { files, drain_deadline }
    };
    process.run(watcher, Some(reload))
}

fn plan(config: NodeConfig, workers: NonZeroUsize) -> Plan {
    let descriptors = needed(&config, &config, workers);
    let dns = DnsPlan::of(&config, workers);
    let base = config.clone();
    let name = config.node.name.clone();
    let sites = config.sites;
    let cdn_id = cdn_id(&config.node);
    let pop = config.node.pop.clone();
    let reached_at = config.node.addresses.clone();
    let edges =
        config.edge.map(|settings| EdgePlan { name, cdn_id, pop, reached_at, settings, sites });
    Plan {
        base,
        node: config.node,
        admin: config.admin,
        control: config.control,
        log: config.log,
        edges: edges.into_iter().collect(),
        dns,
        workers,
        descriptors,
        same_port: false,
        theatre: false,
    }
}

/// The operator's own name for the node; the default one is everybody's.
fn cdn_id(node: &NodeSettings) -> String {
    if node.name == NodeSettings::default().name { unique(&node.name) } else { node.name.clone() }
}

/// Takes the file's new settings, or keeps the old ones and says why; `started` is what the process
/// was started with, and still has where a change needs a restart. The new deadline of a drain, if any
/// role took its new settings.
fn reload(
    file: &Path,
    started: &NodeConfig,
    of_file: NodeConfig,
    roles: &Roles,
) -> Option<Duration> {
    let new = &roles.sites.join(&of_file);
    for key in restart::needed(started, new) {
        tracing::warn!(key, "this change needs a restart; the old value stays in force");
    }
    let mut what_stays = "the settings in force stay";
    let mut deadline = None;
    // First the one that reads more files, and so is likelier to find something wrong still.
    if let (Some(plan), Some(dns)) = (geodns::server::Plan::of(new), &roles.dns) {
        if let Err(error) = dns.reload(plan) {
            tracing::error!("{}; {what_stays}", chain(&error));
            return None;
        }
        // It holds for the lame-duck time, which has changed with the rest.
        deadline = Some(new.node.drain_deadline);
        what_stays = "GeoDNS has taken its new settings; those in force stay for the edge";
    }
    if let Some(settings) = &new.edge
        && let Err(failure) = roles.edges.reload(settings, &new.sites)
    {
        tracing::error!("{failure}; {what_stays}");
        return deadline;
    }
    roles.sites.took(of_file, new);
    roles.sites.given(&roles.edges);
    roles.log.set_level(new.log.level);
    tracing::info!(file = %file.display(), sites = new.sites.len(), "reloaded");
    Some(new.node.drain_deadline)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc8586_2_no_two_nodes_of_the_default_name_share_a_cdn_id() {
        let default = NodeSettings::default();
        assert_ne!(cdn_id(&default), default.name);
        assert_ne!(cdn_id(&default), cdn_id(&default));
        let named = NodeSettings { name: "fra-1".to_owned(), ..NodeSettings::default() };
        assert_eq!(cdn_id(&named), "fra-1");
    }
}
