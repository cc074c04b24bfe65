//! What counts as one client: its network.
//!
//! In: how many bits are one network. Out: the network of an address. Always holds: an IPv4 address
//! inside IPv6 (v4-mapped) is in the network of the IPv4 address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientNetworks {
    ipv4_mask: u32,
    ipv6_mask: u128,
}

impl ClientNetworks {
    /// Networks of so many bits.
    #[must_use]
    pub fn new(ipv4_prefix_length: u8, ipv6_prefix_length: u8) -> Self {
        let ipv4_host_bits = 32_u32.saturating_sub(ipv4_prefix_length.into());
        let ipv6_host_bits = 128_u32.saturating_sub(ipv6_prefix_length.into());
        Self {
            ipv4_mask: u32::MAX.checked_shl(ipv4_host_bits).unwrap_or(0),
            ipv6_mask: u128::MAX.checked_shl(ipv6_host_bits).unwrap_or(0),
        }
    }

    /// The first address of the network that `client` is in.
    #[must_use]
    pub fn of(&self, client: IpAddr) -> IpAddr {
        match client.to_canonical() {
            IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & self.ipv4_mask).into(),
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & self.ipv6_mask).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_as_large_as_the_settings_say() {
        let rows = [
            ((24, 56), "192.0.2.77", "192.0.2.0"),
            ((24, 56), "::ffff:192.0.2.77", "192.0.2.0"),
            ((32, 56), "192.0.2.77", "192.0.2.77"),
            ((0, 0), "192.0.2.77", "0.0.0.0"),
            ((24, 56), "2001:db8:1:2ff::9", "2001:db8:1:200::"),
            ((24, 128), "2001:db8::9", "2001:db8::9"),
            ((0, 0), "2001:db8::9", "::"),
        ];
        for ((v4, v6), client, network) in rows {
            let found = ClientNetworks::new(v4, v6).of(client.parse().unwrap());
            assert_eq!(found, network.parse::<IpAddr>().unwrap(), "{client}/{v4}/{v6}");
        }
    }
}
