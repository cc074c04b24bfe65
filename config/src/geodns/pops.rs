//! The PoPs of the file, and which of them this node belongs to.
//!
//! In: `[[pop]]`, `[node]`. Out: a fleet that maps and routes can be checked against.
//! Always: names of PoPs that are not sound are in it too, so that what names them is not blamed.
//! Does not know: maps or routes.
//! Clause: ARCHITECTURE.md *Words* (PoP, node).

use geodns_core::{
    fleet::{FleetView, PopView},
    settings::{FenceSettings, HttpsSettings, PopSettings},
};
use nearcast_daemon::settings::NodeSettings;

use super::{Given, law};
use crate::{
    check::{self, Findings},
    kind::Complaint,
    tree,
};

/// The fleet, as far as it can be known.
pub(super) struct Fleet {
    pub(super) view: FleetView,
    /// Whether the name of each PoP is known.
    pub(super) is_named: bool,
    /// Whether all the rest of them is, too.
    pub(super) is_whole: bool,
}

/// Checks all PoPs, and `node.pop`.
pub(super) fn check(
    given: &Given<'_, '_>,
    pops: &[Option<PopSettings>],
    findings: &mut Findings,
) -> Fleet {
    let names: Vec<Option<&str>> = (0..pops.len())
        .map(|at| {
            let key = format!("{}.name", tree::item("pop", at));
            let name = tree::find(given.root, &key).and_then(tree::string);
            name.filter(|_| findings.none_within(&key))
        })
        .collect();
    let is_named = names.iter().all(Option::is_some);
    let home = given.node.and_then(|node| home(given, node, &names, findings));
    let by_name = || {
        let view = |name: &Option<&str>| PopView::new(name.unwrap_or_default());
        FleetView { revision: 0, pops: names.iter().map(view).collect() }
    };
    let is_whole = pops.iter().all(Option::is_some);
    // What is not sound keeps its place, so that the law's indexes are the file's.
    let mut pops: Vec<PopSettings> = pops
        .iter()
        .zip(&names)
        .enumerate()
        .map(|(at, (pop, name))| known(at, pop, *name))
        .collect();
    if let (Some(node), Some(home)) = (given.node, home) {
        join(given, node, home, &mut pops, findings);
    }
    match FleetView::build(&pops) {
        Ok(view) => Fleet { view, is_named, is_whole },
        Err(problems) => {
            for problem in problems {
                law::tell(given.root, &problem.at, &problem.message, findings);
            }
            Fleet { view: by_name(), is_named, is_whole: false }
        }
    }
}

/// A PoP, as far as it is known.
fn known(at: usize, pop: &Option<PopSettings>, name: Option<&str>) -> PopSettings {
    pop.clone().unwrap_or_else(|| PopSettings {
        // No PoP can be called by a name that is no label.
        name: name.map_or_else(|| format!("[{at}]"), str::to_owned),
        location: None,
        addresses: Vec::new(),
        bias: 0,
        weight: 0,
        priority: 0,
        capacity: None,
        fence: FenceSettings::default(),
        https: HttpsSettings::default(),
        drain: false,
    })
}

/// Where a node file says that it has a ledger that others have as well.
const SHARED_LEDGER: &str = "control.nats";

/// A PoP's addresses are those of its nodes: this one's count, whether or not they are repeated.
fn join(
    given: &Given<'_, '_>,
    node: &NodeSettings,
    home: usize,
    pops: &mut [PopSettings],
    findings: &mut Findings,
) {
    // A PoP that the file names no address of has those that its nodes say in a ledger that they share,
    // and this one is not the only one of them.
    let is_learnt = tree::find(given.root, SHARED_LEDGER).is_some()
        && pops.get(home).is_some_and(|pop| pop.addresses.is_empty());
    for (place, address) in node.addresses.iter().enumerate() {
        let key = tree::item("node.addresses", place);
        let written = tree::nearest(given.root, &key);
        match pops.iter().position(|pop| pop.addresses.contains(address)) {
            Some(owner) if owner == home => {}
            Some(owner) => {
                let fault = format!("an address of {}, not of node.pop", tree::item("pop", owner));
                findings.wrong(&key, written, Complaint::new(fault, "addresses of this node"));
            }
            None if address.is_unspecified() || address.is_multicast() => {
                let fault = "not an address that clients can be sent to";
                findings.wrong(&key, written, Complaint::new(fault, "addresses of this node"));
            }
            None if is_learnt => {}
            None => {
                if let Some(pop) = pops.get_mut(home) {
                    pop.addresses.push(*address);
                }
            }
        }
    }
}

/// The place of this node's PoP. Where no PoP is given, its name is a label for logs only.
fn home(
    given: &Given<'_, '_>,
    node: &NodeSettings,
    names: &[Option<&str>],
    findings: &mut Findings,
) -> Option<usize> {
    let pop = node.pop.as_deref()?;
    let home = names.iter().position(|name| *name == Some(pop));
    let is_known = names.is_empty() || names.contains(&None) || home.is_some();
    if !is_known && let Some(written) = tree::find(given.root, "node.pop") {
        let names: Vec<&str> = names.iter().copied().flatten().collect();
        let complaint = Complaint::new("no such PoP", names.join(", "));
        let complaint = match check::did_you_mean(pop, names.iter().copied()) {
            Some(near) => complaint.advising(format!("did you mean \"{near}\"?")),
            None => complaint.advising("add a [[pop]] of this name"),
        };
        findings.wrong("node.pop", written, complaint);
    }
    home
}
