//! Whose address decides: the client's, as its resolver says it, or the resolver's own.
//!
//! In: the resolver's address and its client subnet, if it sent one. Out: the address to locate,
//! and how its scope is answered.
//! Always holds: a subnet that is not used is answered with scope 0, and so is one of source
//! prefix length 0, by which a resolver asks that its client not be told apart.
//! It deliberately does not know the option's bytes: malformed ones never come here.
//!
//! RFC 7871 §7.1.2, §7.2.1, §11.3. Hot path: one binary search, however many resolvers are listed.

use std::net::IpAddr;

use crate::{
    nets::Nets,
    settings::{Believe, ClientSubnetSettings},
};

/// A client subnet as a resolver sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// ADDRESS, the bits beyond the source prefix zero.
    pub address: IpAddr,
    /// SOURCE PREFIX-LENGTH.
    pub source: u8,
}

/// The address that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// It.
    pub address: IpAddr,
    /// Whose it is.
    pub origin: Origin,
}

/// Whose address decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The client's, from its resolver's client subnet.
    Subnet,
    /// The resolver's, which sent no subnet.
    Resolver,
    /// The resolver's, whose subnet has source prefix length 0.
    Withheld,
    /// The resolver's, whose subnet is not believed.
    Ignored,
}

/// Which resolvers' subnets are believed.
#[derive(Clone, Debug)]
pub struct Trust {
    believe: Believe,
    resolvers: Nets,
}

impl Trust {
    /// What the settings say.
    #[must_use]
    pub fn new(settings: &ClientSubnetSettings) -> Self {
        Self { believe: settings.believe, resolvers: Nets::new(&settings.resolvers) }
    }

    /// The address that decides the answer to `resolver`.
    #[must_use]
    pub fn client(&self, resolver: IpAddr, subnet: Option<Subnet>) -> Client {
        let by_resolver = |origin| Client { address: resolver, origin };
        match subnet {
            None => by_resolver(Origin::Resolver),
            Some(_) if !self.believes(resolver) => by_resolver(Origin::Ignored),
            Some(Subnet { source: 0, .. }) => by_resolver(Origin::Withheld),
            Some(subnet) => Client { address: subnet.address, origin: Origin::Subnet },
        }
    }

    fn believes(&self, resolver: IpAddr) -> bool {
        match self.believe {
            Believe::All => true,
            Believe::None => false,
            Believe::Listed => self.resolvers.contains(resolver),
        }
    }
}

impl Client {
    /// SCOPE PREFIX-LENGTH of an answer that follows from `bits` bits of this address.
    #[must_use]
    pub const fn scope(&self, bits: u8) -> u8 {
        match self.origin {
            Origin::Subnet => bits,
            Origin::Resolver | Origin::Withheld | Origin::Ignored => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subnet_decides_where_it_is_believed_and_says_something() {
        let subnet =
            |address: &str, source| Some(Subnet { address: address.parse().unwrap(), source });
        let rows = [
            (
                "RFC 7871 §7.1.2",
                Believe::All,
                "192.0.2.1",
                subnet("198.51.100.0", 24),
                Origin::Subnet,
            ),
            ("no option", Believe::All, "192.0.2.1", None, Origin::Resolver),
            ("§7.1.2: source 0", Believe::All, "192.0.2.1", subnet("0.0.0.0", 0), Origin::Withheld),
            (
                "§11.3: listed",
                Believe::Listed,
                "192.0.2.1",
                subnet("198.51.100.0", 24),
                Origin::Subnet,
            ),
            (
                "listed, mapped",
                Believe::Listed,
                "::ffff:192.0.2.1",
                subnet("2001:db8::", 56),
                Origin::Subnet,
            ),
            (
                "not listed",
                Believe::Listed,
                "192.0.3.1",
                subnet("198.51.100.0", 24),
                Origin::Ignored,
            ),
            ("none", Believe::None, "192.0.2.1", subnet("198.51.100.0", 24), Origin::Ignored),
        ];
        for (name, believe, resolver, subnet, origin) in rows {
            let resolvers = vec!["192.0.2.0/24".parse().unwrap()];
            let trust = Trust::new(&ClientSubnetSettings { believe, resolvers });
            let resolver: IpAddr = resolver.parse().unwrap();
            let client = trust.client(resolver, subnet);
            assert_eq!(client.origin, origin, "{name}");
            let (address, scope) = match origin {
                Origin::Subnet => (subnet.unwrap().address, 20),
                Origin::Resolver | Origin::Withheld | Origin::Ignored => (resolver, 0),
            };
            assert_eq!((client.address, client.scope(20)), (address, scope), "{name}");
        }
    }

    #[test]
    fn a_resolver_is_listed_however_its_network_is_written() {
        for network in ["192.0.2.0/24", "::ffff:192.0.2.0/120", "64:ff9b::c000:200/120"] {
            let resolvers = vec![network.parse().unwrap()];
            let trust = Trust::new(&ClientSubnetSettings { believe: Believe::Listed, resolvers });
            for (resolver, believed) in
                [("192.0.2.1", true), ("::ffff:192.0.2.1", true), ("192.0.3.1", false)]
            {
                assert_eq!(trust.believes(resolver.parse().unwrap()), believed, "{network}");
            }
        }
    }

    #[test]
    fn every_resolver_of_a_long_list_is_found_and_no_other() {
        // In no order, one within the other, some with bits behind their length.
        let listed = (0..10_000_u32).map(|at| {
            let at = at.wrapping_mul(7_919) % 10_000;
            let text = match at % 3 {
                0 => format!("10.{}.{}.77/24", at / 256, at % 256),
                1 => format!("10.{}.{}.128/25", at / 256, at % 256),
                _ => format!("2001:db8:{at:x}::1/48"),
            };
            text.parse().unwrap()
        });
        let resolvers = listed.chain(["10.0.0.0/20".parse().unwrap()]).collect();
        let trust = Trust::new(&ClientSubnetSettings { believe: Believe::Listed, resolvers });
        let rows = [
            ("10.0.1.1", true),
            ("10.0.15.255", true),
            ("10.0.16.1", false),
            ("10.0.16.129", true),
            ("10.0.18.1", true),
            ("10.39.15.1", true),
            ("10.39.17.1", false),
            ("11.0.1.1", false),
            ("2001:db8:2::53", true),
            ("2001:db8:3::53", false),
        ];
        for (resolver, believed) in rows {
            assert_eq!(trust.believes(resolver.parse().unwrap()), believed, "{resolver}");
        }
    }
}
