//! Which addresses an origin may be reached at.
//!
//! In: the node's settings, where it listens, where its ledger is. Out: whether an address is allowed.
//! Always holds: no name leads to this machine, to link-local services or back into our own listeners
//! without the node file's permission; nor, for a site of the ledger, whose writer need not be the
//! operator, into any network that is not public, or to the ledger itself. It does not know names.
//! Clause: docs/operate.md *Origins on private addresses*.

use std::net::{IpAddr, SocketAddr};

use edge_core::settings::EdgeSettings;
use ground::{fold::canonical, networks};
use ipnet::IpNet;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    /// Networks that the node's settings allow although they are closed, as addresses are looked at.
    allowed: Vec<IpNet>,
    /// Where this node itself listens.
    own: Vec<SocketAddr>,
    /// Where the ledger is.
    ledger: Vec<LedgerServer>,
    writer: Writer,
}

/// Who wrote the site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Writer {
    /// Who wrote the node's file.
    #[default]
    Operator,
    /// Who had a token for it.
    Anybody,
}

/// A server that has the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerServer {
    /// Its address, unless it is known by its name.
    pub address: Option<IpAddr>,
    /// Its port.
    pub port: u16,
}

impl LedgerServer {
    /// The others of its cluster, and those that a name leads to, are within the operator's networks
    /// at the same port.
    fn may_be(self, ip: IpAddr, port: u16) -> bool {
        let is_it = self.address.is_some_and(|address| address.to_canonical() == ip);
        self.port == port && (is_it || networks::inside(ip).is_some())
    }
}

impl AddressPolicy {
    /// For sites of the node's file; `own` is where this node itself listens.
    #[must_use]
    pub fn of_file(settings: &EdgeSettings, own: &[SocketAddr]) -> Self {
        let allowed = settings.origin_networks_allowed.iter().copied().map(canonical).collect();
        Self { allowed, own: own.to_vec(), ledger: Vec::new(), writer: Writer::Operator }
    }

    /// For sites of the ledger, which is at `ledger`.
    #[must_use]
    pub fn of_ledger(settings: &EdgeSettings, own: &[SocketAddr], ledger: &[LedgerServer]) -> Self {
        let allowed = settings.ledger_origins.iter().copied().map(canonical).collect();
        Self { allowed, own: own.to_vec(), ledger: ledger.to_vec(), writer: Writer::Anybody }
    }

    /// The setting that allows what is not.
    #[must_use]
    pub fn setting(&self) -> &'static str {
        match self.writer {
            Writer::Operator => "edge.origin_networks_allowed",
            Writer::Anybody => "edge.ledger_origins",
        }
    }

    /// Whether an origin may be reached at `address`.
    #[must_use]
    pub fn allows(&self, address: SocketAddr) -> bool {
        let (ip, port) = (address.ip().to_canonical(), address.port());
        let own = self.own.iter().any(|own| {
            own.port() == port
                && (own.ip().to_canonical() == ip || own.ip().is_unspecified() && is_local(ip))
        });
        // Our own listeners are refused even inside an allowed network unless it names the very
        // address: a whole loopback net is no wish to loop.
        if own || self.ledger.iter().any(|server| server.may_be(ip, port)) {
            return self.allows_by_name(ip);
        }
        let is_closed = match self.writer {
            Writer::Operator => is_local(ip),
            Writer::Anybody => networks::inside(ip).is_some(),
        };
        !is_closed || self.allowed.iter().any(|net| net.contains(&ip))
    }

    /// Whether a connection from `local` to `peer` has come back to one of our own listeners: with
    /// a wildcard listener only the connection itself tells that an address is this machine's.
    #[must_use]
    pub fn came_home(&self, local: SocketAddr, peer: SocketAddr) -> bool {
        let ip = peer.ip().to_canonical();
        let ours = self.own.iter().any(|own| {
            own.port() == peer.port()
                && (own.ip().is_unspecified() || own.ip().to_canonical() == ip)
        });
        ours && local.ip().to_canonical() == ip && !self.allows_by_name(ip)
    }

    fn allows_by_name(&self, ip: IpAddr) -> bool {
        self.allowed.iter().any(|net| net.contains(&ip) && net.prefix_len() == net.max_prefix_len())
    }
}

/// Loopback, link-local and unspecified addresses; the latter connect to this machine as well.
fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || v4.is_unspecified(),
        IpAddr::V6(v6) => {
            let [high @ .., _, _] = v6.segments();
            // IPv4-compatible and NAT64 (RFC 6052) addresses reach what they embed.
            let embeds = matches!(high, [0, 0, 0, 0, 0, 0] | [0x64, 0xff9b, 0, 0, 0, 0]);
            let [.., a, b, c, d] = v6.octets();
            v6.is_loopback()
                || v6.is_unicast_link_local()
                || v6.is_unspecified()
                || embeds && is_local(IpAddr::from([a, b, c, d]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn of_file(allowed: &[&str], own: &[SocketAddr]) -> AddressPolicy {
        let origin_networks_allowed = nets(allowed);
        let settings = EdgeSettings { origin_networks_allowed, ..EdgeSettings::default() };
        AddressPolicy::of_file(&settings, own)
    }

    #[test]
    fn local_addresses_need_permission() {
        let none = AddressPolicy::default();
        for local in [
            "127.0.0.1:80",
            "127.9.9.9:80",
            "169.254.169.254:80",
            "[::1]:80",
            "[fe80::1]:80",
            "0.0.0.0:80",
            "[::]:80",
            "[::ffff:127.0.0.1]:80",
            "[::127.0.0.1]:80",
            "[64:ff9b::7f00:1]:80",
        ] {
            assert!(!none.allows(address(local)), "{local}");
        }
        for public in ["192.0.2.1:80", "10.0.0.1:80", "[2001:db8::1]:443"] {
            assert!(none.allows(address(public)), "{public}");
        }
        for written in ["127.0.0.0/8", "::ffff:127.0.0.0/104"] {
            let some = of_file(&[written], &[]);
            assert!(some.allows(address("127.0.0.1:80")), "{written}");
            assert!(some.allows(address("[::ffff:127.0.0.1]:80")), "{written}");
            for other in ["[::1]:80", "169.254.0.1:80", "[64:ff9b::7f00:1]:80"] {
                assert!(!some.allows(address(other)), "{written}: {other}");
            }
        }
    }

    #[test]
    fn our_own_listeners_are_refused_unless_named_one_by_one() {
        let own = [address("127.0.0.2:8080"), address("0.0.0.0:81")];
        let whole = of_file(&["127.0.0.0/8"], &own);
        assert!(!whole.allows(address("127.0.0.2:8080")));
        assert!(whole.allows(address("127.0.0.2:8081")));
        assert!(!whole.allows(address("127.0.0.1:81")));
        for written in ["127.0.0.2/32", "::ffff:127.0.0.2/128"] {
            let named = of_file(&[written], &own);
            assert!(named.allows(address("127.0.0.2:8080")), "{written}");
        }
        // Behind a wildcard listener, 192.0.2.1 is known to be ours by the connection alone.
        assert!(whole.came_home(address("192.0.2.1:999"), address("192.0.2.1:81")));
        assert!(!whole.came_home(address("192.0.2.9:999"), address("192.0.2.1:81")));
        assert!(!whole.came_home(address("192.0.2.1:999"), address("192.0.2.1:82")));
    }

    #[test]
    fn a_site_of_the_ledger_reaches_the_internet_and_what_is_allowed_to_it() {
        let of = |allowed: &[&str]| {
            let settings = EdgeSettings {
                ledger_origins: nets(allowed),
                // What the operator's own sites may is nothing that others may.
                origin_networks_allowed: nets(&["0.0.0.0/0", "::/0"]),
                ..EdgeSettings::default()
            };
            let by_name = LedgerServer { address: None, port: 4222 };
            let public = LedgerServer { address: Some("192.0.2.7".parse().unwrap()), port: 4333 };
            let own = [address("10.0.0.2:8080")];
            AddressPolicy::of_ledger(&settings, &own, &[by_name, public])
        };
        for (to, allowed, expected) in [
            ("192.0.2.1:80", &[][..], true),
            ("[2001:db8::1]:443", &[], true),
            ("127.0.0.1:80", &[], false),
            ("10.0.0.1:80", &[], false),
            ("100.64.0.1:80", &[], false),
            ("169.254.169.254:80", &[], false),
            ("[fd00:ec2::254]:80", &[], false),
            ("[64:ff9b::a00:1]:80", &[], false),
            ("10.0.0.1:80", &["10.0.0.0/8"], true),
            ("[::ffff:10.0.0.1]:80", &["10.0.0.0/8"], true),
            ("10.0.0.2:8080", &["10.0.0.0/8"], false),
            ("10.0.0.1:4222", &["10.0.0.0/8"], false),
            ("10.0.0.1:4222", &["10.0.0.1/32"], true),
            // Names lead the node itself to public servers too, but there anybody may have the port.
            ("192.0.2.1:4222", &[], true),
            ("192.0.2.7:4333", &[], false),
            ("192.0.2.7:80", &[], true),
        ] {
            assert_eq!(of(allowed).allows(address(to)), expected, "{to} {allowed:?}");
        }
    }
}
