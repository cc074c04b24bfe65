//! Folding: an IPv6 address that carries an IPv4 address is that IPv4 address.
//!
//! In: an address, or a network. Out: the address to look for, and how many bits stand before it,
//! which a scope must count as well; the network that holds what the folded addresses are.
//! Always holds: folding twice changes nothing, and a prefix of the folded address of `n` bits is
//! the prefix of the original of `n` plus those bits.
//!
//! Where a client is, all carriers tell ([`fold`]). Whom to trust, only v4-mapped addresses do
//! ([`canonical`]): they are another spelling of the very peer, while 6to4 and NAT64 addresses are
//! routed as what they are, and anyone may announce 2002::/16 (RFC 3964 §4).
//!
//! It deliberately leaves Teredo alone, whose IPv4 address stands inverted at the end of the
//! address, so that no prefix of one is a prefix of the other.
//!
//! RFC 4291 §2.5.5.2 (v4-mapped), RFC 3056 §2 (6to4), RFC 6052 §2.1 (the well-known prefix).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

/// A prefix behind which the next 32 bits are an IPv4 address.
#[derive(Clone, Copy, Debug)]
pub struct Carrier {
    /// The first address behind the prefix.
    pub first: u128,
    /// The length of the prefix.
    pub bits: u8,
}

const MAPPED: Carrier = Carrier { first: 0xffff << 32, bits: 96 };

/// In the order of their addresses.
pub const CARRIERS: [Carrier; 3] = [
    MAPPED,
    Carrier { first: 0x0064_ff9b << 96, bits: 96 },
    Carrier { first: 0x2002 << 112, bits: 16 },
];

impl Carrier {
    /// The last address behind the prefix.
    #[must_use]
    pub fn last(self) -> u128 {
        self.first | u128::MAX.checked_shr(u32::from(self.bits)).unwrap_or(0)
    }

    fn carries(self, address: u128) -> bool {
        (self.first..=self.last()).contains(&address)
    }

    /// The IPv4 address in `address`.
    fn unwrap(self, address: u128) -> Ipv4Addr {
        let shifted = address.checked_shr(u32::from(96_u8.saturating_sub(self.bits))).unwrap_or(0);
        #[expect(clippy::cast_possible_truncation, reason = "the 32 bits behind the prefix")]
        Ipv4Addr::from_bits(shifted as u32)
    }
}

/// An address with what was folded away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Folded {
    /// The address to look for.
    pub address: IpAddr,
    /// The bits that stood before it: 0, 16 or 96.
    pub added: u8,
}

/// Folds a client address.
#[must_use]
pub fn fold(address: IpAddr) -> Folded {
    if let IpAddr::V6(six) = address {
        let bits = six.to_bits();
        if let Some(carrier) = CARRIERS.into_iter().find(|carrier| carrier.carries(bits)) {
            return Folded { address: IpAddr::V4(carrier.unwrap(bits)), added: carrier.bits };
        }
    }
    Folded { address, added: 0 }
}

/// Folds a network; nothing where it names more than the IPv4 address that its addresses carry.
#[must_use]
pub fn fold_network(network: IpNet) -> Option<IpNet> {
    fold_by(&CARRIERS, network)
}

/// The network that holds an address read by [`IpAddr::to_canonical`] where `network` holds it as
/// it came.
#[must_use]
pub fn canonical(network: IpNet) -> IpNet {
    // Nothing follows the IPv4 address in a v4-mapped one, so every such network can be folded.
    fold_by(&[MAPPED], network).unwrap_or(network)
}

fn fold_by(carriers: &[Carrier], network: IpNet) -> Option<IpNet> {
    let IpNet::V6(six) = network else { return Some(network.trunc()) };
    let first = six.network().to_bits();
    let carrier = carriers.iter().find(|carrier| carrier.carries(first));
    match carrier.and_then(|carrier| Some((carrier, six.prefix_len().checked_sub(carrier.bits)?))) {
        // A network around a carrier speaks of the other addresses in it.
        None => Some(network.trunc()),
        Some((carrier, bits)) => Ipv4Net::new(carrier.unwrap(first), bits).ok().map(IpNet::V4),
    }
}

impl Folded {
    /// The first `scope` bits of the address as it came, the rest zero, folded.
    #[must_use]
    pub fn masked(self, scope: u8) -> IpAddr {
        let bits = scope.saturating_sub(self.added);
        match self.address {
            IpAddr::V4(four) => {
                let rest = u32::MAX.checked_shr(u32::from(bits)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(four.to_bits() & !rest))
            }
            IpAddr::V6(six) => {
                let rest = u128::MAX.checked_shr(u32::from(bits)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() & !rest))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_that_carry_an_ipv4_address_fold_to_it() {
        let rows = [
            ("RFC 4291 §2.5.5.2", "::ffff:192.0.2.1", "192.0.2.1", 96),
            ("RFC 3056 §2", "2002:c000:201::1", "192.0.2.1", 16),
            ("RFC 3056 §2: whatever follows", "2002:c000:201:ffff:1:2:3:4", "192.0.2.1", 16),
            ("RFC 6052 §2.1", "64:ff9b::c000:201", "192.0.2.1", 96),
            ("RFC 6052: only the /96", "64:ff9b:0:0:0:1:c000:201", "64:ff9b::1:c000:201", 0),
            (
                "RFC 8215: the local prefix is not it",
                "64:ff9b:1::c000:201",
                "64:ff9b:1::c000:201",
                0,
            ),
            ("RFC 4380: not Teredo", "2001:0:1::2", "2001:0:1::2", 0),
            ("RFC 4291 §2.5.5.1: not v4-compatible", "::192.0.2.1", "::192.0.2.1", 0),
            ("an IPv4 address", "192.0.2.1", "192.0.2.1", 0),
            ("an IPv6 address", "2001:db8::1", "2001:db8::1", 0),
        ];
        for (name, address, expected, added) in rows {
            let folded = fold(address.parse().unwrap());
            assert_eq!(folded, Folded { address: expected.parse().unwrap(), added }, "{name}");
        }
    }

    #[test]
    fn networks_fold_as_their_addresses_do() {
        let rows = [
            ("10.1.2.3/8", Some("10.0.0.0/8")),
            ("2001:db8::1/32", Some("2001:db8::/32")),
            ("::ffff:10.0.0.0/104", Some("10.0.0.0/8")),
            ("::ffff:0.0.0.0/96", Some("0.0.0.0/0")),
            ("2002:c000:200::/40", Some("192.0.2.0/24")),
            ("2002:c000:201::/48", Some("192.0.2.1/32")),
            ("2002:c000:201:1::/64", None),
            ("64:ff9b::c000:201/128", Some("192.0.2.1/32")),
            ("2000::/3", Some("2000::/3")),
            ("::/0", Some("::/0")),
        ];
        for (network, expected) in rows {
            let folded = fold_network(network.parse().unwrap());
            assert_eq!(folded, expected.map(|text| text.parse().unwrap()), "{network}");
        }
    }

    #[test]
    fn whom_to_trust_only_v4_mapped_addresses_tell() {
        let rows = [
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("::ffff:192.0.2.1/128", "192.0.2.1/32"),
            ("::ffff:0.0.0.0/96", "0.0.0.0/0"),
            ("2002:c000:200::/40", "2002:c000:200::/40"),
            ("2002:c000:201:1::/64", "2002:c000:201:1::/64"),
            ("64:ff9b::c000:200/120", "64:ff9b::c000:200/120"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::/0", "::/0"),
        ];
        for (network, expected) in rows {
            let network: IpNet = network.parse().unwrap();
            assert_eq!(canonical(network), expected.parse().unwrap(), "{network}");
            let address = network.network().to_canonical();
            let is_within = canonical(network).contains(&address);
            assert!(is_within, "{address} within {network}");
        }
    }

    #[test]
    fn masking_counts_the_bits_that_were_folded_away() {
        let rows = [
            ("192.0.2.129", 25, "192.0.2.128"),
            ("192.0.2.129", 0, "0.0.0.0"),
            ("192.0.2.129", 32, "192.0.2.129"),
            ("::ffff:192.0.2.129", 96 + 24, "192.0.2.0"),
            ("2002:c000:281::1", 16 + 24, "192.0.2.0"),
            ("2002:c000:281::1", 3, "0.0.0.0"),
            ("2001:db8:ffff::1", 33, "2001:db8:8000::"),
            ("2001:db8::1", 128, "2001:db8::1"),
        ];
        for (address, scope, expected) in rows {
            let masked = fold(address.parse().unwrap()).masked(scope);
            assert_eq!(masked, expected.parse::<IpAddr>().unwrap(), "{address}/{scope}");
        }
    }

    proptest! {
        #[test]
        fn folding_twice_changes_nothing(bits: u128, four: u32) {
            for carrier in CARRIERS {
                let shift = u32::from(96_u8.saturating_sub(carrier.bits));
                let address = carrier.first | (u128::from(four) << shift);
                let folded = fold(IpAddr::V6(Ipv6Addr::from_bits(address)));
                prop_assert_eq!(folded.address, IpAddr::V4(Ipv4Addr::from_bits(four)));
                prop_assert_eq!(fold(folded.address), Folded { added: 0, ..folded });
            }
            let any = fold(IpAddr::V6(Ipv6Addr::from_bits(bits)));
            prop_assert_eq!(fold(any.address).address, any.address);
        }
    }
}
