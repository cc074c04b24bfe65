//! Networks that are not the internet: private, shared, of this machine or its link, for tests.
//!
//! In: an address. Out: the network that it is in, if it is such a one. Always: an IPv6 address that
//! leads to an IPv4 address is judged as that. It does not know who may go where.
//! Clause: RFC 6890 (the registries), RFC 1918, RFC 4193, RFC 6598, RFC 3964 §4, RFC 8215.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

const fn four([a, b, c, d]: [u8; 4], bits: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)
}

const fn six(first: u16, second: u16, third: u16, bits: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, third, 0, 0, 0, 0, 0), bits)
}

/// Those that nobody on the internet can be in; what documentation names is in no network at all.
const INSIDE: [Ipv4Net; 11] = [
    four([0, 0, 0, 0], 8),
    four([10, 0, 0, 0], 8),
    four([100, 64, 0, 0], 10),
    four([127, 0, 0, 0], 8),
    four([169, 254, 0, 0], 16),
    four([172, 16, 0, 0], 12),
    four([192, 0, 0, 0], 24),
    four([192, 168, 0, 0], 16),
    four([198, 18, 0, 0], 15),
    four([224, 0, 0, 0], 4),
    four([240, 0, 0, 0], 4),
];

/// The same; Teredo and the local prefix of NAT64 lead to where only their own network knows.
const INSIDE_6: [Ipv6Net; 7] = [
    Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128),
    six(0x64, 0xff9b, 1, 48),
    six(0x2001, 0, 0, 32),
    six(0xfc00, 0, 0, 7),
    six(0xfe80, 0, 0, 10),
    six(0xfec0, 0, 0, 10),
    six(0xff00, 0, 0, 8),
];

/// The network that is not the internet and holds `address`.
#[must_use]
pub fn inside(address: IpAddr) -> Option<IpNet> {
    match address.to_canonical() {
        IpAddr::V4(four) => INSIDE.iter().find(|net| net.contains(&four)).map(|net| (*net).into()),
        IpAddr::V6(six) => {
            let named = INSIDE_6.iter().find(|net| net.contains(&six)).map(|net| (*net).into());
            let carried = || inside(carried(six)?.into()).map(|_| IpAddr::V6(six).into());
            named.or_else(carried)
        }
    }
}

/// The IPv4 address that an address leads to: IPv4-compatible, NAT64 (RFC 6052), 6to4 (RFC 3056).
fn carried(six: Ipv6Addr) -> Option<Ipv4Addr> {
    let [_, _, a, b, c, d, .., w, x, y, z] = six.octets();
    match six.segments() {
        [0, 0, 0, 0, 0, 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => Some(Ipv4Addr::new(w, x, y, z)),
        [0x2002, ..] => Some(Ipv4Addr::new(a, b, c, d)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_a_network_that_is_not_the_internet_or_it_is_public() {
        for (address, network) in [
            ("0.0.0.0", Some("0.0.0.0/8")),
            ("10.1.2.3", Some("10.0.0.0/8")),
            ("100.100.100.200", Some("100.64.0.0/10")),
            ("127.9.9.9", Some("127.0.0.0/8")),
            ("169.254.169.254", Some("169.254.0.0/16")),
            ("172.31.255.255", Some("172.16.0.0/12")),
            ("192.168.1.1", Some("192.168.0.0/16")),
            ("255.255.255.255", Some("240.0.0.0/4")),
            ("::ffff:10.0.0.1", Some("10.0.0.0/8")),
            ("::", Some("::/128")),
            ("::1", Some("::1/128")),
            ("::10.0.0.1", Some("::a00:1/128")),
            ("64:ff9b::a00:1", Some("64:ff9b::a00:1/128")),
            ("64:ff9b:1::1", Some("64:ff9b:1::/48")),
            ("2002:a00:1::1", Some("2002:a00:1::1/128")),
            ("fd00:ec2::254", Some("fc00::/7")),
            ("fe80::1", Some("fe80::/10")),
            ("ff02::1", Some("ff00::/8")),
            ("8.8.8.8", None),
            ("172.32.0.1", None),
            ("192.0.2.1", None),
            ("2001:db8::1", None),
            ("2606:4700::1", None),
            ("64:ff9b::808:808", None),
            ("2002:808:808::1", None),
        ] {
            let found = inside(address.parse().unwrap()).map(|net| net.to_string());
            assert_eq!(found.as_deref(), network, "{address}");
        }
    }
}
