//! The two address spaces as numbers, and sources walked along them.
//!
//! In: first and last addresses. Out: the largest block (a prefix) at an address that a span
//! holds, and what each source says of an address and for how far.
//! Always holds: no arithmetic wraps, at the last address of a space neither.

use std::net::IpAddr;

use super::database::DatabaseError;

/// An address space: `u32` for IPv4, `u128` for IPv6.
pub(super) trait Space: Copy + Ord {
    /// Bits of an address.
    const BITS: u8;
    /// The first address.
    const FIRST: Self;
    /// The last address.
    const LAST: Self;

    /// The address as a number, if it is one of this space.
    fn of(address: IpAddr) -> Option<Self>;
    /// The address that follows.
    fn next(self) -> Option<Self>;
    /// The address before; the first has none and stays.
    fn before(self) -> Self;
    /// The last address of the block that begins here, of so many bits.
    fn last_of(self, prefix: u8) -> Self;
    /// How long the prefix of a block that begins here must be at least.
    fn shortest_prefix(self) -> u8;
    /// The first sixteen bits.
    fn first_bits(self) -> usize;
    /// The bits behind those, moved to the front.
    fn behind_first_bits(self) -> Self;
    /// The first eight bits, and the others moved to the front.
    fn split_byte(self) -> (u8, Self);
}

macro_rules! space {
    ($number:ty, $variant:path) => {
        impl Space for $number {
            #[expect(clippy::cast_possible_truncation, reason = "32 or 128")]
            const BITS: u8 = <$number>::BITS as u8;
            const FIRST: Self = 0;
            const LAST: Self = Self::MAX;

            fn of(address: IpAddr) -> Option<Self> {
                if let $variant(address) = address { Some(address.to_bits()) } else { None }
            }
            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }
            fn before(self) -> Self {
                self.saturating_sub(1)
            }
            fn last_of(self, prefix: u8) -> Self {
                self | Self::MAX.checked_shr(u32::from(prefix)).unwrap_or(0)
            }
            fn shortest_prefix(self) -> u8 {
                let free = u8::try_from(self.trailing_zeros()).unwrap_or(0);
                <Self as Space>::BITS.saturating_sub(free)
            }
            fn first_bits(self) -> usize {
                (self >> (<$number>::BITS - 16)) as usize
            }
            fn behind_first_bits(self) -> Self {
                self << 16
            }
            fn split_byte(self) -> (u8, Self) {
                ((self >> (<$number>::BITS - 8)) as u8, self << 8)
            }
        }
    };
}
space!(u32, IpAddr::V4);
space!(u128, IpAddr::V6);

/// The prefix of the largest block that begins at `first` and does not go beyond `last`.
pub(super) fn block<A: Space>(first: A, last: A) -> u8 {
    let mut prefix = first.shortest_prefix();
    while prefix < A::BITS && first.last_of(prefix) > last {
        prefix = prefix.saturating_add(1);
    }
    prefix
}

/// A source that is asked along ascending addresses.
pub(super) trait Cursor<A> {
    /// What the source says of `address`, as a number of its own (0 for nothing), and the last
    /// address for which it says the same without a doubt. Addresses never descend.
    fn at(&mut self, address: A) -> Result<(u32, A), DatabaseError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_as_large_as_the_span_and_the_address_allow() {
        let rows = [
            (0_u32, u32::MAX, 0),
            (0, 0, 32),
            (0, 255, 24),
            (0, 256, 24),
            (0, 254, 25),
            (1, u32::MAX, 32),
            (0x8000_0000, u32::MAX, 1),
            (0xc000_0200, 0xc000_02ff, 24),
            (u32::MAX, u32::MAX, 32),
        ];
        for (first, last, expected) in rows {
            assert_eq!(block(first, last), expected, "{first:x} {last:x}");
        }
        assert_eq!(block(0_u128, u128::MAX), 0);
        assert_eq!(block(1_u128 << 96, (1_u128 << 97) - 1), 32);
        assert_eq!(u32::MAX.next(), None);
        assert_eq!(Space::before(0_u128), 0);
    }
}
