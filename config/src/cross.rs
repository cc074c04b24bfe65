//! What must hold between the settings of a node.
//!
//! In: the tree and the sections that were sound. Out: findings.
//! Always: a law is applied only to values that are themselves right, and a default is never
//! blamed: the fault is told at a key that the operator wrote.
//! Does not know: sites (`sites` does), files (`named` does).
//! Clause: ARCHITECTURE.md *Memory*, docs/operate.md *The settings file*.

use std::net::SocketAddr;

use bytesize::ByteSize;
use edge_core::settings::EdgeSettings;
use nearcast_daemon::settings::LogSettings;

use crate::{
    check::Findings,
    kind::Complaint,
    tree::{self, Node},
};

/// A node that plays no role is a mistake.
pub(crate) fn roles(root: &Node<'_>, findings: &mut Findings) {
    if tree::find(root, "edge").is_none() {
        let fault = "missing, and a node plays at least one role";
        let complaint = Complaint::new(fault, "[edge] with listen = [\"IP:PORT\"]");
        findings.missing("edge", root, complaint);
    }
}

/// Every listener needs an address of its own.
pub(crate) fn listeners(root: &Node<'_>, findings: &mut Findings) {
    let mut taken: Vec<(String, SocketAddr)> = Vec::new();
    let edge = tree::find(root, "edge.listen").map_or(&[][..], tree::items);
    let admin = tree::find(root, "admin.listen");
    let paths = (0..edge.len()).map(|at| tree::item("edge.listen", at));
    let keys = paths.zip(edge).chain(admin.map(|node| ("admin.listen".to_owned(), node)));
    for (key, node) in keys {
        let Some(address) = tree::string(node).and_then(|text| text.parse().ok()) else { continue };
        match taken.iter().find(|(_, other)| collide(*other, address)) {
            Some((other, _)) => {
                let fault = format!("taken by {other}");
                findings.wrong(&key, node, Complaint::new(fault, "each address and port once"));
            }
            None => taken.push((key, address)),
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
    let (one, all) = (limits.connections_per_address_max, limits.connections_max);
    let key = "edge.limits.connections_per_address_max";
    let both = [key, "edge.limits.connections_max"];
    if let Some(node) = tree::find(root, key)
        && one > all
        && both.iter().all(|key| findings.none_within(key))
    {
        let fault = "more than edge.limits.connections_max, so it would never be reached";
        findings.wrong(key, node, Complaint::new(fault, format!("at most {all}")));
    }
}

/// The laws of `[log]`.
pub(crate) fn log(root: &Node<'_>, log: &LogSettings, findings: &mut Findings) {
    let queue = ("log.access_queue", log.access_queue);
    not_above(root, ("log.access_buffer", log.access_buffer), queue, findings);
}

/// A size that the operator wrote must not be larger than another.
fn not_above(
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
