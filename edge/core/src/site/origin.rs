//! From what the settings say of an origin's servers and their choice to its plan.
//!
//! In: [`OriginSettings`]. Out: parts of an [`super::OriginPlan`]; every problem on the way.
//! Bounds of numbers are the schema's business.

use std::collections::HashMap;

use super::{Problem, ServerAddress, ServerPlan, build::Faults};
use crate::{
    balance::{BalancePlan, hash::server_key},
    ejection::EjectionPlan,
    settings::{OriginSettings, RoleWord, ServerSettings},
};

pub(super) fn balance(settings: &OriginSettings) -> BalancePlan {
    BalancePlan {
        by: settings.balance,
        group_up_min: settings.group_up_min,
        hash_load_max: settings.hash_load_max,
    }
}

pub(super) fn ejection(settings: &OriginSettings) -> EjectionPlan {
    EjectionPlan {
        failures: settings.ejection_failures,
        time: settings.ejection_time,
        time_max: settings.ejection_time_max,
        share_max: settings.ejection_share_max,
        error_percent: settings.ejection_error_percent,
        latency_factor: settings.ejection_latency_factor,
        requests_min: settings.ejection_requests_min,
        window: settings.ejection_window,
    }
}

pub(super) fn error_statuses(statuses: &[u16], faults: &mut Faults) -> Vec<u16> {
    for (index, status) in statuses.iter().enumerate() {
        if !(500..=599).contains(status) {
            let at = format!("origin.error_statuses[{index}]");
            faults.add(at, &status.to_string(), "a server's error, from 500 to 599");
        }
    }
    let mut statuses = statuses.to_vec();
    statuses.sort_unstable();
    statuses
}

pub(super) fn servers(all: &[ServerSettings], faults: &mut Faults) -> Vec<ServerPlan> {
    let mut fault = |at: String, message: &str| {
        faults.0.push(Problem { at, message: message.to_owned() });
    };
    if all.is_empty() {
        fault("origin.servers".to_owned(), "at least one server");
    } else if all.iter().all(|server| server.role != RoleWord::Primary) {
        fault("origin.servers".to_owned(), "at least one server with the role \"primary\"");
    }
    let has_groups = all.iter().any(|server| server.group.is_some());
    let mut groups: Vec<&str> = Vec::new();
    let mut servers: Vec<ServerPlan> = Vec::new();
    let mut known_at = HashMap::new();
    for (index, server) in all.iter().enumerate() {
        let at = format!("origin.servers[{index}]");
        if has_groups && server.group.is_none() {
            fault(at.clone(), "without a group, which other servers have; all need one, or none");
        }
        let name = server.group.as_deref().unwrap_or_default();
        let known = groups.iter().position(|group| *group == name);
        let group = known.unwrap_or(groups.len());
        if known.is_none() {
            groups.push(name);
        }
        let Some(address) = ServerAddress::parse(&server.url) else {
            let message =
                "http://host[:port] or https://host[:port], or http+srv://name or https+srv://name";
            fault(at, &format!("\"{}\" is not {message}", server.url));
            continue;
        };
        if let Some(before) = known_at.insert(address.clone(), index) {
            let message = format!(
                "\"{}\" is servers[{before}] already; who is to get more has a weight",
                server.url
            );
            fault(at, &message);
            continue;
        }
        servers.push(ServerPlan {
            key: server_key(&url(&address)),
            name: address.authority.as_str().into(),
            address,
            weight: server.weight,
            role: server.role,
            group,
            group_name: name.into(),
        });
    }
    tell_apart(&mut servers);
    servers
}

/// Names those by their URLs who have their authority in common.
fn tell_apart(servers: &mut [ServerPlan]) {
    let mut count: HashMap<String, u32> = HashMap::new();
    for server in &*servers {
        let alike = count.entry(server.address.authority.clone()).or_default();
        *alike = alike.saturating_add(1);
    }
    for server in servers {
        if count.get(&server.address.authority).is_some_and(|alike| *alike > 1) {
            server.name = url(&server.address).into();
        }
    }
}

fn url(address: &ServerAddress) -> String {
    let scheme = if address.tls { "https" } else { "http" };
    let service = if address.service.is_some() { "+srv" } else { "" };
    format!("{scheme}{service}://{}", address.authority)
}
