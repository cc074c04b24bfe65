//! What must hold for each site, and between sites.
//!
//! In: the tree, `[edge]`, and the sites that were sound. Out: findings.
//! Always: rules, names and hosts are compared on every site of the file, sound or not.
//! Does not know: what a site's settings mean; `edge_core::site` does.
//! Clause: docs/operate.md *The settings file* (hosts), *Origins on private addresses*.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use edge_core::{
    settings::{EdgeSettings, SiteSettings},
    site::{Problem, Site, SiteId, SiteTable},
};
use ground::{fold::canonical, networks};
use ipnet::IpNet;

use crate::{
    check::Findings,
    geodns::GeodnsConfig,
    kind::Complaint,
    tree::{self, Node},
};

/// Who wrote sites, and so what their origins may be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Writer {
    /// Who wrote the node's file.
    Operator,
    /// Who had a token for it.
    Anybody,
}

/// Checks all sites; `sites[n]` is none where `site[n]` is not sound.
pub(crate) fn check(
    root: &Node<'_>,
    (edge, writer): (Option<&EdgeSettings>, Writer),
    sites: &[Option<SiteSettings>],
    findings: &mut Findings,
) {
    duplicates(root, findings);
    let defaults = EdgeSettings::default();
    let mut built = Vec::new();
    for (at, site) in sites.iter().enumerate() {
        let path = tree::item("site", at);
        rules(root, &path, findings);
        let Some(site) = site else { continue };
        if let Some(edge) = edge {
            permissions(root, (edge, writer), (&path, site), findings);
        }
        match Site::build(site, edge.unwrap_or(&defaults), SiteId(0)) {
            Ok(site) => built.push(Arc::new(site)),
            Err(problems) => law(root, &format!("{path}."), problems, findings),
        }
    }
    // The indexes in the table's problems are those of the file only if every site is in it.
    if built.len() == sites.len()
        && let Err(problems) = SiteTable::build(built)
    {
        law(root, "", problems, findings);
    }
}

/// Every site also answers under `<site>.<first zone>`, unless routes leave sites out.
pub(crate) fn answer_under(
    root: &Node<'_>,
    geodns: &GeodnsConfig,
    sites: &mut [SiteSettings],
    findings: &mut Findings,
) {
    let Some(zone) = geodns.zones.first() else { return };
    if !geodns.routes.iter().any(|(_, route)| route.sites) {
        return;
    }
    let apex = zone.apex.to_string().trim_end_matches('.').to_ascii_lowercase();
    let folded = |host: &str| host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let mut owners: HashMap<String, (usize, usize)> = HashMap::new();
    for (at, site) in sites.iter().enumerate() {
        for (place, host) in site.hosts.iter().enumerate() {
            owners.insert(folded(host), (at, place));
        }
    }
    for (at, site) in sites.iter_mut().enumerate() {
        let host = format!("{}.{apex}", site.name);
        match owners.get(&host) {
            None => site.hosts.push(host),
            Some((owner, _)) if *owner == at => {}
            Some((owner, place)) => {
                let key = tree::item(&format!("{}.hosts", tree::item("site", *owner)), *place);
                let fault = format!("is where {} answers", tree::item("site", at));
                let complaint = Complaint::new(fault, "another host, or another name for the site");
                findings.wrong(&key, tree::nearest(root, &key), complaint);
            }
        }
    }
}

/// Notes what the caching law says of settings; on a key that already has a fault it adds nothing.
fn law(root: &Node<'_>, section: &str, problems: Vec<Problem>, findings: &mut Findings) {
    for Problem { at, message } in problems {
        let key = format!("{section}{at}");
        if !findings.none_within(&key) {
            continue;
        }
        match tree::find(root, &key) {
            Some(node) => findings.wrong(&key, node, Complaint::new(message, "")),
            None => findings.missing(&key, tree::nearest(root, &key), Complaint::new(message, "")),
        }
    }
}

/// Rules that can never apply, and query names that say nothing.
fn rules(root: &Node<'_>, site: &str, findings: &mut Findings) {
    let list = format!("{site}.rule");
    let count = tree::find(root, &list).map_or(0, |node| tree::items(node).len());
    let mut paths: HashMap<String, String> = HashMap::new();
    let mut catch_all: Option<String> = None;
    for rule in (0..count).map(|at| tree::item(&list, at)) {
        query(root, &rule, findings);
        let key = format!("{rule}.path");
        if !findings.none_within(&key) {
            continue;
        }
        let node = tree::nearest(root, &key);
        let path = tree::string(node).unwrap_or("*").to_owned();
        if let Some(first) = catch_all.as_ref().or_else(|| paths.get(&path)) {
            let fault = format!("never applies, {first} comes first and takes its paths");
            let complaint = Complaint::new(fault, "each path once, and \"*\" last");
            findings.wrong(&key, node, complaint.advising("move the narrower rule up"));
        }
        if catch_all.is_none() && matches!(&*path, "*" | "/*") {
            catch_all = Some(rule.clone());
        }
        paths.entry(path).or_insert(rule);
    }
}

fn query(root: &Node<'_>, rule: &str, findings: &mut Findings) {
    let Some(query) = tree::find(root, &format!("{rule}.query")) else { return };
    let key = format!("{rule}.query.names");
    if !findings.none_within(&format!("{rule}.query")) {
        return;
    }
    let mode = tree::find(root, &format!("{rule}.query.mode")).and_then(tree::string);
    let names = tree::find(root, &key).map_or(0, |node| tree::items(node).len());
    match (mode.unwrap_or("all"), names) {
        (mode @ ("keep" | "drop"), 0) => {
            let fault = format!("missing, and mode = \"{mode}\" speaks of them");
            let allowed = "a list [\"…\", …] of parameter names";
            findings.missing(&key, query, Complaint::new(fault, allowed));
        }
        (mode @ ("all" | "none"), 1..) => {
            let fault = format!("of no effect with mode = \"{mode}\"");
            let complaint = Complaint::new(fault, "names for mode = \"keep\" or \"drop\"");
            findings.wrong(&key, tree::nearest(root, &key), complaint);
        }
        _ => {}
    }
}

/// No two sites share a name or a host.
fn duplicates(root: &Node<'_>, findings: &mut Findings) {
    let mut names = HashMap::new();
    let mut hosts = HashMap::new();
    let sites = tree::find(root, "site").map_or(&[][..], tree::items);
    for at in 0..sites.len() {
        let site = tree::item("site", at);
        once(root, tree::join(&site, "name"), &mut names, findings);
        let list = tree::join(&site, "hosts");
        let count = tree::find(root, &list).map_or(0, |node| tree::items(node).len());
        for host in 0..count {
            once(root, tree::item(&list, host), &mut hosts, findings);
        }
    }
}

fn once(root: &Node<'_>, key: String, seen: &mut HashMap<String, String>, findings: &mut Findings) {
    let Some(node) = tree::find(root, &key) else { return };
    let Some(text) = tree::string(node) else { return };
    // Hosts match ignoring case and a trailing dot; site names are labels, too.
    let folded = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    match seen.get(&folded) {
        Some(first) => {
            let complaint = Complaint::new(format!("already given by {first}"), "each once");
            findings.wrong(&key, node, complaint);
        }
        None => {
            seen.insert(folded, key);
        }
    }
}

/// Origins on addresses that are closed to a site would be refused at every connect without the
/// permission of this file, so a missing permission is told here.
fn permissions(
    root: &Node<'_>,
    (edge, writer): (&EdgeSettings, Writer),
    (site, settings): (&str, &SiteSettings),
    findings: &mut Findings,
) {
    let (setting, allowed, what) = match writer {
        Writer::Operator => {
            let what = "a loopback or link-local address without permission";
            ("origin_networks_allowed", &edge.origin_networks_allowed, what)
        }
        Writer::Anybody => {
            let what = "an address that is not public, without this node's permission for the \
                        ledger's sites";
            ("ledger_origins", &edge.ledger_origins, what)
        }
    };
    if !findings.none_within(&format!("edge.{setting}")) {
        return;
    }
    for (at, server) in settings.origin.servers.iter().enumerate() {
        let Some((addresses, network)) = closed(&server.url, writer) else { continue };
        let mut allowed = allowed.iter().copied().map(canonical);
        if allowed.any(|network| addresses.iter().any(|address| network.contains(address))) {
            continue;
        }
        let key = tree::item(&format!("{site}.origin.servers"), at);
        let of_table = tree::join(&key, "url");
        let key = if tree::find(root, &of_table).is_some() { of_table } else { key };
        if let Some(node) = tree::find(root, &key) {
            let complaint = Complaint::new(what, format!("one within edge.{setting}"));
            let advice = format!("to allow it, set {setting} = [\"{network}\"] in [edge]");
            findings.wrong(&key, node, complaint.advising(advice));
        }
    }
}

/// The addresses that a server's URL says, if they need permission, and the network to permit.
fn closed(server: &str, writer: Writer) -> Option<(Vec<IpAddr>, IpNet)> {
    let (_, rest) = server.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => authority.split(':').next()?,
    };
    if host.trim_end_matches('.').eq_ignore_ascii_case("localhost") {
        let both = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        return Some((both.to_vec(), networks::inside(Ipv4Addr::LOCALHOST.into())?));
    }
    // An IPv4 address mapped into IPv6 is connected to as what it is.
    let address = host.parse::<IpAddr>().ok()?.to_canonical();
    let is_local = match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified(),
    };
    if matches!(writer, Writer::Operator) && !is_local {
        return None;
    }
    // Connecting to no address in particular reaches this machine, and nothing else of its network.
    let network =
        if address.is_unspecified() { address.into() } else { networks::inside(address)? };
    Some((vec![address], network))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_on_this_machine_or_link_need_permission() {
        for (server, network) in [
            ("http://127.0.0.1:3000", Some("127.0.0.0/8")),
            ("http://localhost:3000/", Some("127.0.0.0/8")),
            ("https://LOCALHOST.", Some("127.0.0.0/8")),
            ("http://[::ffff:127.0.0.1]", Some("127.0.0.0/8")),
            ("http://169.254.169.254", Some("169.254.0.0/16")),
            ("http://0.0.0.0:80", Some("0.0.0.0/32")),
            ("http://[::1]:80", Some("::1/128")),
            ("http://[fe80::1]", Some("fe80::/10")),
            ("http://[::]", Some("::/128")),
            ("http://192.0.2.1", None),
            ("http://10.0.0.1", None),
            ("http://[2001:db8::1]:80", None),
            ("https://origin.example:8443", None),
        ] {
            let found = closed(server, Writer::Operator).map(|(_, network)| network.to_string());
            assert_eq!(found.as_deref(), network, "{server}");
        }
    }

    #[test]
    fn servers_of_the_ledgers_sites_that_are_not_public_need_permission() {
        for (server, network) in [
            ("http://localhost:3000/", Some("127.0.0.0/8")),
            ("http://10.0.0.1", Some("10.0.0.0/8")),
            ("http://100.100.100.200", Some("100.64.0.0/10")),
            ("http://169.254.169.254", Some("169.254.0.0/16")),
            ("http://0.0.0.0:80", Some("0.0.0.0/32")),
            ("http://[fd00:ec2::254]", Some("fc00::/7")),
            ("http://192.0.2.1", None),
            ("http://[2001:db8::1]:80", None),
            ("https://origin.example:8443", None),
        ] {
            let found = closed(server, Writer::Anybody).map(|(_, network)| network.to_string());
            assert_eq!(found.as_deref(), network, "{server}");
        }
    }
}
