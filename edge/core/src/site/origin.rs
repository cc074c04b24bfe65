//! From an origin's settings to its plan.
//!
//! In: [`OriginSettings`]. Out: an [`OriginPlan`]; every problem of the settings on the way.
//! Bounds of numbers are the schema's business.

use std::{net::Ipv6Addr, sync::Arc};

use http::HeaderValue;

use super::{
    CheckPlan, Host, HostChoice, OriginPlan, Problem, ServerAddress, ServerPlan,
    build::{Faults, is_name},
};
use crate::{
    balance::{BalancePlan, hash::server_key},
    ejection::EjectionPlan,
    settings::{OriginSettings, RoleWord, ServerSettings},
};

/// The origin that the settings describe; what is wrong with them goes to `faults`.
pub(super) fn plan(settings: &OriginSettings, faults: &mut Faults) -> OriginPlan {
    let servers = servers(&settings.servers, faults);
    if let Some(sni) = &settings.sni
        && !is_name(sni)
    {
        faults.add("origin.sni".to_owned(), sni, "a host name");
    }
    OriginPlan {
        servers,
        host: host_choice(&settings.host, faults),
        sni: settings.sni.clone(),
        ca: settings.ca.clone(),
        connections_max: settings.connections_max,
        queue_max: settings.queue_max,
        queue_timeout: settings.queue_timeout,
        connect_timeout: settings.connect_timeout,
        first_byte_timeout: settings.first_byte_timeout,
        idle_timeout: settings.idle_timeout,
        keep_alive: settings.keep_alive,
        ejection: EjectionPlan {
            failures: settings.ejection_failures,
            time: settings.ejection_time,
            time_max: settings.ejection_time_max,
            share_max: settings.ejection_share_max,
            error_percent: settings.ejection_error_percent,
            latency_factor: settings.ejection_latency_factor,
            requests_min: settings.ejection_requests_min,
            window: settings.ejection_window,
        },
        error_statuses: error_statuses(&settings.error_statuses, faults),
        retry_percent: settings.retry_percent,
        balance: BalancePlan {
            by: settings.balance,
            group_up_min: settings.group_up_min,
            hash_load_max: settings.hash_load_max,
        },
        takeover_after: settings.takeover_after,
        slow_start: settings.slow_start,
        concurrency: settings.concurrency,
        hedge_after: settings.hedge_after,
        check: settings.check.as_ref().map(|check| Arc::new(CheckPlan::build(check, faults))),
    }
}

fn error_statuses(statuses: &[u16], faults: &mut Faults) -> Vec<u16> {
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

fn servers(all: &[ServerSettings], faults: &mut Faults) -> Vec<ServerPlan> {
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
    let mut servers = Vec::new();
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
            let message = "http://host[:port] or https://host[:port]";
            fault(at, &format!("\"{}\" is not {message}", server.url));
            continue;
        };
        servers.push(ServerPlan {
            address,
            key: server_key(&server.url),
            weight: server.weight,
            role: server.role,
            group,
            group_name: name.into(),
        });
    }
    servers
}

fn host_choice(text: &str, faults: &mut Faults) -> HostChoice {
    match text {
        "server" => return HostChoice::Server,
        "client" => return HostChoice::Client,
        _ => {}
    }
    // The operator's own form is sent, port included.
    let value = Host::parse(text).and_then(|_| HeaderValue::from_str(text).ok());
    value.map_or_else(
        || {
            faults.add("origin.host".to_owned(), text, "server, client or a host name");
            HostChoice::Server
        },
        HostChoice::Name,
    )
}

impl ServerAddress {
    /// Reads `http://host[:port]` or `https://host[:port]`, a slash at its end allowed.
    #[must_use]
    pub fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let tls = match scheme {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let host = Host::parse(authority)?;
        let default = if tls { 443 } else { 80 };
        let after_address = authority.rsplit(']').next().unwrap_or_default();
        let port = match after_address.split_once(':') {
            Some((_, digits)) => digits.parse().ok().filter(|port| *port != 0)?,
            None => default,
        };
        let name = host.as_str();
        let authority = if port == default { name.to_owned() } else { format!("{name}:{port}") };
        let host = name.trim_start_matches('[').trim_end_matches(']').to_owned();
        (is_name(&host) || host.parse::<Ipv6Addr>().is_ok()).then_some(Self {
            tls,
            host,
            port,
            authority,
        })
    }
}
