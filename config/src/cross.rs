//! What must hold between the settings of a node.
//!
//! In: the tree and the sections that were sound. Out: findings.
//! Always: a law is applied only to values that are themselves right, and a default is never
//! blamed: the fault is told at a key that the operator wrote.
//! Does not know: sites (`sites` does), files (`named` does).
//! Clause: ARCHITECTURE.md *Memory*, docs/operate.md *The settings file*.

use std::{net::SocketAddr, time::Duration};

use bytesize::ByteSize;
use edge_core::settings::EdgeSettings;
use nearcast_control::{node::lapse_after, settings::ControlSettings};
use nearcast_daemon::settings::LogSettings;

use crate::{
    check::Findings,
    kind::Complaint,
    tree::{self, Node},
};

/// A node that plays no role is a mistake.
pub(crate) fn roles(root: &Node<'_>, findings: &mut Findings) {
    if tree::find(root, "edge").is_none() && tree::find(root, "geodns").is_none() {
        let fault = "missing, and a node plays at least one role";
        let allowed = "[edge] or [geodns], with listen = [\"IP:PORT\"]";
        findings.missing("edge", root, Complaint::new(fault, allowed));
    }
}

/// What a listener takes of its port.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Tcp,
    Udp,
    Both,
}

/// Every key that says where this node listens.
const LISTENERS: [(&str, Takes); 7] = [
    ("edge.listen", Takes::Tcp),
    ("edge.listen_proxied", Takes::Tcp),
    ("geodns.listen", Takes::Both),
    ("geodns.tls.dot", Takes::Tcp),
    ("geodns.tls.doh", Takes::Tcp),
    ("geodns.tls.doq", Takes::Udp),
    ("admin.listen", Takes::Tcp),
];

/// Every listener needs an address of its own; TCP and UDP do not share ports.
pub(crate) fn listeners(root: &Node<'_>, findings: &mut Findings) {
    let mut taken: Vec<(String, SocketAddr, Takes)> = Vec::new();
    for (key, takes) in LISTENERS {
        let Some(node) = tree::find(root, key) else { continue };
        let one = std::iter::once((key.to_owned(), node));
        let items = tree::items(node).iter().enumerate();
        let each = items.map(|(at, item)| (tree::item(key, at), item));
        for (key, node) in one.chain(each) {
            let text = tree::string(node);
            let Some(address) = text.and_then(|text| text.parse().ok()) else { continue };
            let meets = |(_, other, theirs): &&(String, SocketAddr, Takes)| {
                let one_protocol =
                    takes == *theirs || takes == Takes::Both || *theirs == Takes::Both;
                one_protocol && collide(*other, address)
            };
            match taken.iter().find(meets) {
                Some((other, ..)) => {
                    let fault = format!("taken by {other}");
                    findings.wrong(&key, node, Complaint::new(fault, "each address and port once"));
                }
                None => taken.push((key, address, takes)),
            }
        }
    }
}

/// 0.0.0.0 and [::] take their port on every address of their family; port 0 is always another.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let one_family = a.is_ipv4() == b.is_ipv4();
    let one_address = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && one_family && one_address
}

/// The laws of `[edge]`.
pub(crate) fn edge(root: &Node<'_>, edge: &EdgeSettings, findings: &mut Findings) {
    if edge.listen.is_empty() && findings.none_within("edge.listen") {
        let complaint =
            |fault| Complaint::new(fault, "a list of IP:PORT, as [\"0.0.0.0:80\", \"[::]:80\"]");
        match tree::find(root, "edge.listen") {
            Some(node) => findings.wrong("edge.listen", node, complaint("nothing to listen on")),
            None => {
                let node = tree::nearest(root, "edge");
                findings.missing("edge.listen", node, complaint("missing"));
            }
        }
    }
    let key = "edge.proxy_peers";
    if !edge.listen_proxied.is_empty() && edge.proxy_peers.is_empty() && findings.none_within(key) {
        let fault = "missing, and nobody else may connect to edge.listen_proxied";
        let allowed = "a list of ADDRESS/BITS, as [\"10.0.0.0/8\"]";
        let node = tree::nearest(root, "edge.listen_proxied");
        findings.missing(key, node, Complaint::new(fault, allowed));
    }
    let limits = &edge.limits;
    for (key, size, other, most) in [
        ("edge.object_bytes_max", edge.object_bytes_max, "edge.memory", edge.memory),
        ("edge.window_bytes", edge.window_bytes, "edge.memory", edge.memory),
        (
            "edge.limits.uri_bytes_max",
            limits.uri_bytes_max,
            "edge.limits.header_bytes_max",
            limits.header_bytes_max,
        ),
    ] {
        not_above(root, (key, size), (other, most), findings);
    }
    let (min, max) = ("edge.resolved_ttl_min", "edge.resolved_ttl_max");
    if edge.resolved_ttl_min > edge.resolved_ttl_max
        && let Some((key, node)) =
            [min, max].into_iter().find_map(|key| Some((key, tree::find(root, key)?)))
        && [min, max].iter().all(|key| findings.none_within(key))
    {
        let fault = format!("{min} is longer than {max}");
        findings.wrong(
            key,
            node,
            Complaint::new(fault, "a minimum that is no more than the maximum"),
        );
    }
    let one = ("edge.limits.connections_per_address_max", limits.connections_per_address_max);
    never_reached(root, one, ("edge.limits.connections_max", limits.connections_max), findings);
}

/// What one may have must not be more than what all may have together.
pub(crate) fn never_reached(
    root: &Node<'_>,
    (key, one): (&str, u32),
    (other, all): (&str, u32),
    findings: &mut Findings,
) {
    if let Some(node) = tree::find(root, key)
        && one > all
        && [key, other].iter().all(|key| findings.none_within(key))
    {
        let fault = format!("more than {other}, so it would never be reached");
        findings.wrong(key, node, Complaint::new(fault, format!("at most {all}")));
    }
}

/// The laws of `[control]`: a silence is longer than two heartbeats; there is one ledger, and a
/// certificate has its key.
pub(crate) fn control(root: &Node<'_>, control: &ControlSettings, findings: &mut Findings) {
    let (beat, lease) = ("control.heartbeat", "control.lease");
    let twice = ("twice control.heartbeat", control.heartbeat * 2);
    not_shorter(root, (lease, control.lease), (beat, twice), findings);
    let away = ("control.away_after", control.away_after);
    not_shorter(root, away, (beat, twice), findings);
    // Who is away may be removed, and is not waited for then.
    let lapsed = ("1.1 times control.lease and 100ms", lapse_after(control.lease));
    not_shorter(root, away, (lease, lapsed), findings);
    let Some(nats) = &control.nats else { return };
    let (one, other) = ("control.nats", "control.embedded");
    if control.embedded.is_some()
        && let Some(node) = tree::find(root, one)
        && [one, other].iter().all(|key| findings.none_within(key))
    {
        let fault = format!("beside {other}, and a node has one ledger");
        findings.wrong(one, node, Complaint::new(fault, format!("{one} or {other}")));
    }
    let (key, there) = match (&nats.certificate, &nats.key) {
        (Some(_), None) => ("control.nats.key", "certificate"),
        (None, Some(_)) => ("control.nats.certificate", "key"),
        _ => return,
    };
    let complaint = Complaint::new(format!("missing beside `{there}`"), "the path of a PEM file");
    findings.missing(key, tree::nearest(root, key), complaint);
}

/// A span must not be shorter than what another setting comes to; told where the operator wrote either.
fn not_shorter(
    root: &Node<'_>,
    (key, span): (&str, Duration),
    (other, (what, least)): (&str, (&str, Duration)),
    findings: &mut Findings,
) {
    let written = || [key, other].into_iter().find_map(|key| Some((key, tree::find(root, key)?)));
    if span < least
        && [key, other].iter().all(|key| findings.none_within(key))
        && let Some((at, node)) = written()
    {
        let [span, least] = [span, least].map(humantime::format_duration);
        let fault = format!("{key} is {span}, which is shorter than {what}, {least}");
        findings.wrong(at, node, Complaint::new(fault, format!("{key} of {least} and more")));
    }
}

/// The laws of `[log]`.
pub(crate) fn log(root: &Node<'_>, log: &LogSettings, findings: &mut Findings) {
    let queue = ("log.access_queue", log.access_queue);
    not_above(root, ("log.access_buffer", log.access_buffer), queue, findings);
}

/// A size that the operator wrote must not be larger than another.
pub(crate) fn not_above(
    root: &Node<'_>,
    (key, size): (&str, ByteSize),
    (other, most): (&str, ByteSize),
    findings: &mut Findings,
) {
    let Some(node) = tree::find(root, key) else { return };
    if size <= most || !findings.none_within(key) || !findings.none_within(other) {
        return;
    }
    let by_default = if tree::find(root, other).is_some() { "" } else { " by default" };
    let fault = format!("larger than {other}, which is {}{by_default}", size_text(most));
    let advice = format!("lower it or raise {other}");
    let complaint = Complaint::new(fault, format!("at most {}", size_text(most)));
    findings.wrong(key, node, complaint.advising(advice));
}

/// A size as an operator writes it.
pub(crate) fn size_text(size: ByteSize) -> String {
    size.to_string().replace(".0 ", " ")
}
