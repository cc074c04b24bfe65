//! Client Subnet: the network that a resolver asks for (RFC 7871).
//!
//! In: the data of an option. Out: [`Ecs`], which borrows it; and the option of the answer.
//! Always holds: family, source prefix length and address go back exactly as they came
//! (§7.2.1: a resolver drops what differs); the scope is 0 wherever the source is 0.
//! It deliberately does not know which scope is right: that is the map's to say.
//!
//! Hot path: no allocation.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::cursor::Cursor;

/// The bytes of an option before its address.
const FIXED_BYTES: usize = 4;

/// A client subnet option that follows §6 and §7.1.2 in everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ecs<'a> {
    family: Family,
    source_prefix_length: u8,
    address: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

/// What is wrong with an option: FORMERR (RFC 7871 §6, §7.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EcsError {
    /// Less than the four bytes that all have.
    #[error("the option is too short")]
    TooShort,
    /// Neither IPv4 nor IPv6.
    #[error("the address family is unknown")]
    Family,
    /// A prefix that is longer than an address.
    #[error("the prefix is longer than an address")]
    PrefixLength,
    /// Queries say no scope.
    #[error("the scope of a query is not 0")]
    Scope,
    /// Too few or too many bytes for the prefix.
    #[error("the address does not have the length of the prefix")]
    AddressLength,
    /// Bits behind the prefix.
    #[error("a bit behind the prefix is set")]
    TrailingBits,
}

impl<'a> Ecs<'a> {
    /// Reads the data of an option in a query.
    pub fn read(data: &'a [u8]) -> Result<Self, EcsError> {
        let mut cursor = Cursor::new(data);
        let fixed = cursor.array::<FIXED_BYTES>().ok_or(EcsError::TooShort)?;
        let [family_high, family_low, source_prefix_length, scope_prefix_length] = fixed;
        let family = match u16::from_be_bytes([family_high, family_low]) {
            1 => Family::V4,
            2 => Family::V6,
            _ => return Err(EcsError::Family),
        };
        if source_prefix_length > family.bits() {
            return Err(EcsError::PrefixLength);
        }
        if scope_prefix_length != 0 {
            return Err(EcsError::Scope);
        }
        let address = cursor.rest();
        if address.len() != usize::from(source_prefix_length.div_ceil(8)) {
            return Err(EcsError::AddressLength);
        }
        let spare = source_prefix_length % 8;
        let trailing = u8::MAX.checked_shr(u32::from(spare)).unwrap_or(0);
        if spare != 0 && address.last().is_some_and(|last| last & trailing != 0) {
            return Err(EcsError::TrailingBits);
        }
        Ok(Self { family, source_prefix_length, address })
    }

    /// How many bits of the client's address the resolver says.
    #[must_use]
    pub const fn source_prefix_length(&self) -> u8 {
        self.source_prefix_length
    }

    /// The address of the network, its unsaid bits zero.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        match self.family {
            Family::V4 => IpAddr::V4(Ipv4Addr::from(padded::<4>(self.address))),
            Family::V6 => IpAddr::V6(Ipv6Addr::from(padded::<16>(self.address))),
        }
    }

    /// How long [`Self::write`]'s data is.
    pub(super) fn data_bytes(&self) -> usize {
        self.address.len().saturating_add(FIXED_BYTES)
    }

    /// The first bytes of the answer's option; the address as it came follows them.
    ///
    /// A scope beyond the family's bits cannot be meant and is cut to them.
    pub(super) fn fixed(&self, scope_prefix_length: u8) -> [u8; FIXED_BYTES] {
        let scope = match self.source_prefix_length {
            0 => 0,
            _ => scope_prefix_length.min(self.family.bits()),
        };
        let [high, low] = self.family.code().to_be_bytes();
        [high, low, self.source_prefix_length, scope]
    }

    pub(super) const fn address_bytes(&self) -> &'a [u8] {
        self.address
    }
}

impl Family {
    const fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    const fn code(self) -> u16 {
        match self {
            Self::V4 => 1,
            Self::V6 => 2,
        }
    }
}

fn padded<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut padded = [0; N];
    for (to, from) in padded.iter_mut().zip(bytes) {
        *to = *from;
    }
    padded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn options_are_read_to_the_letter() {
        type Row<'a> = (&'a str, &'a [u8], Result<(&'a str, u8), EcsError>);
        let v6 = b"\0\x02\x80\0\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01";
        let rows: &[Row<'_>] = &[
            ("§6 IPv4 /24", b"\0\x01\x18\0\xcb\0\x71", Ok(("203.0.113.0", 24))),
            ("§6 IPv4 /32", b"\0\x01\x20\0\xcb\0\x71\x07", Ok(("203.0.113.7", 32))),
            ("§6 IPv4 /20", b"\0\x01\x14\0\xcb\0\x70", Ok(("203.0.112.0", 20))),
            ("§6 IPv6 /56", b"\0\x02\x38\0\x20\x01\x0d\xb8\0\0\x01", Ok(("2001:db8:0:100::", 56))),
            ("§6 IPv6 /128", v6, Ok(("2001:db8::1", 128))),
            ("§7.1.2 source 0, IPv4", b"\0\x01\0\0", Ok(("0.0.0.0", 0))),
            ("§7.1.2 source 0, IPv6", b"\0\x02\0\0", Ok(("::", 0))),
            ("§6 nothing", b"", Err(EcsError::TooShort)),
            ("§6 three bytes", b"\0\x01\0", Err(EcsError::TooShort)),
            ("§6 family 0", b"\0\0\0\0", Err(EcsError::Family)),
            ("§6 family 3", b"\0\x03\0\0", Err(EcsError::Family)),
            ("§6 family 256", b"\x01\0\0\0", Err(EcsError::Family)),
            ("§6 IPv4 /33", b"\0\x01\x21\0\xcb\0\x71\x07\x80", Err(EcsError::PrefixLength)),
            ("§6 IPv6 /129", b"\0\x02\x81\0", Err(EcsError::PrefixLength)),
            ("§6 a scope in a query", b"\0\x01\x18\x18\xcb\0\x71", Err(EcsError::Scope)),
            ("§6 too few bytes", b"\0\x01\x18\0\xcb\0", Err(EcsError::AddressLength)),
            ("§6 too many bytes", b"\0\x01\x18\0\xcb\0\x71\0", Err(EcsError::AddressLength)),
            ("§6 an address, source 0", b"\0\x01\0\0\x01", Err(EcsError::AddressLength)),
            ("§6 a bit behind /20", b"\0\x01\x14\0\xcb\0\x71", Err(EcsError::TrailingBits)),
            ("§6 a bit behind /1", b"\0\x01\x01\0\xc0", Err(EcsError::TrailingBits)),
            (
                "§6 a bit behind /127",
                &[&v6[..2], b"\x7f", &v6[3..]].concat(),
                Err(EcsError::TrailingBits),
            ),
        ];
        for (row, data, expected) in rows {
            let read = Ecs::read(data).map(|ecs| (ecs.address(), ecs.source_prefix_length()));
            let expected = expected.map(|(address, length)| (address.parse().unwrap(), length));
            assert_eq!(read, expected, "RFC 7871 {row}");
        }
    }

    #[test]
    fn options_are_echoed_with_a_scope() {
        let rows: &[(&str, &[u8], u8, &[u8])] = &[
            ("§7.2.1", b"\0\x01\x18\0\xcb\0\x71", 20, b"\0\x01\x18\x14"),
            ("§7.2.1 longer than the source", b"\0\x01\x18\0\xcb\0\x71", 32, b"\0\x01\x18\x20"),
            ("§7.2.1 not tailored", b"\0\x01\x18\0\xcb\0\x71", 0, b"\0\x01\x18\0"),
            ("§6 no longer than an address", b"\0\x01\x18\0\xcb\0\x71", 120, b"\0\x01\x18\x20"),
            ("§7.1.2 source 0", b"\0\x01\0\0", 24, b"\0\x01\0\0"),
            ("§7.2.1 IPv6", b"\0\x02\x08\0\x20", 48, b"\0\x02\x08\x30"),
        ];
        for (row, data, scope, expected) in rows {
            let ecs = Ecs::read(data).unwrap();
            assert_eq!(ecs.fixed(*scope).as_slice(), *expected, "RFC 7871 {row}");
            assert_eq!(ecs.address_bytes(), &data[4..], "RFC 7871 {row}");
            assert_eq!(ecs.data_bytes(), data.len(), "RFC 7871 {row}");
        }
    }

    proptest! {
        #[test]
        fn an_echo_repeats_the_query(data in prop::collection::vec(any::<u8>(), 0..24)) {
            if let Ok(ecs) = Ecs::read(&data) {
                prop_assert_eq!([&ecs.fixed(0), ecs.address_bytes()].concat(), data);
            }
        }
    }
}
