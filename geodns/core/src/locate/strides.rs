//! What leads from an address to the number of a list: few looks, each far from the one before.
//!
//! In: what has grown ([`super::tree`]). Out: for an address, the list of its leaf, and the leaf's
//! depth, which is the scope of an answer (RFC 7871 §7.2.1).
//! Always holds: a stride leads to earlier ones only, so every walk ends.
//! It deliberately does not know how it grew.
//!
//! A look at a part of a map that nobody looked at lately costs more than all else that an answer
//! does with the list. So the first sixteen bits, which every query takes, are one look into a
//! table, and each eight bits after those are one into a stride: 256 neighbours, of which only where
//! another entry begins is kept, with the entries close behind. A list of 24 bits is two looks away,
//! in a binary tree nine.
//!
//! Hot path: no allocation, no lock; `a_lookup_allocates_nothing` in `tests/geo_allocation.rs`
//! holds it to that.

use super::{lists::ListId, span::Space};

/// Bits that a table takes.
pub(super) const TABLE_BITS: u8 = 16;
/// Bits that a stride takes.
pub(super) const STRIDE_BITS: u8 = 8;
/// Words of a stride's bits: one for each neighbour, the first one lowest, set where an entry begins.
const BITS_WORDS: usize = 8;
/// What stands before them: a byte for each of these words, how many entries begin before it.
const COUNTS_WORDS: usize = 2;
/// What stands before the entries of a stride.
const HEAD_WORDS: usize = COUNTS_WORDS + BITS_WORDS;

/// Set in an entry that leads to a list.
const LIST: u32 = 1 << 31;
/// From here on stands how many of the bits that the look took lead to the list: 0 to 16.
const DEPTH_SHIFT: u32 = 26;
const LIST_MASK: u32 = (1 << DEPTH_SHIFT) - 1;
/// Words that strides may take: an entry says at which one begins, and the last number is taken.
pub(super) const WORDS_MAX: usize = (LIST - 1) as usize;

/// Where a look leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry(u32);

/// What an entry says.
enum Leads {
    /// To a list, by so many of the bits that the look took.
    List(ListId, u8),
    /// To the table of IPv4.
    Four,
    /// To a stride.
    Stride(u32),
}

/// What leads to the lists of a map.
#[derive(Clone, Debug)]
pub(super) struct Strides {
    pub(super) four: Box<[Entry]>,
    pub(super) six: Box<[Entry]>,
    pub(super) words: Vec<u32>,
}

impl Entry {
    /// The table of IPv4.
    pub(super) const FOUR: Self = Self(LIST - 1);
    const NOWHERE: Self = Self::list(ListId::FIRST);

    /// A list, by no bits as yet.
    pub(super) const fn list(list: ListId) -> Self {
        Self(LIST | list.0 & LIST_MASK)
    }

    pub(super) const fn is_list(self) -> bool {
        self.0 & LIST != 0
    }

    /// The same, by so many of the bits that the look takes; what leads on takes all of them.
    pub(super) const fn by(self, bits: u8) -> Self {
        if self.is_list() { Self(self.0 | (bits as u32) << DEPTH_SHIFT) } else { self }
    }

    #[inline]
    fn leads(self) -> Leads {
        if self.is_list() {
            let depth = u8::try_from(self.0 >> DEPTH_SHIFT & 31).unwrap_or(TABLE_BITS);
            Leads::List(ListId(self.0 & LIST_MASK), depth)
        } else if self == Self::FOUR {
            Leads::Four
        } else {
            Leads::Stride(self.0)
        }
    }
}

/// Adds a stride of these entries, each with how many neighbours share it, and says what leads there.
pub(super) fn push_stride(
    words: &mut Vec<u32>,
    entries: impl Iterator<Item = (Entry, u32)>,
) -> Entry {
    let at = words.len();
    words.extend([0; HEAD_WORDS]);
    let mut bits = [0_u32; BITS_WORDS];
    let mut neighbour = 0_u32;
    for (entry, neighbours) in entries {
        if let Some(word) = bits.get_mut((neighbour >> 5) as usize) {
            *word |= 1_u32.wrapping_shl(neighbour);
        }
        neighbour = neighbour.saturating_add(neighbours);
        words.push(entry.0);
    }
    let mut begun = 0_u32;
    let [a, b, c, d, e, f, g, h] = bits.map(|bits| {
        let before = u8::try_from(begun).unwrap_or(u8::MAX);
        begun = begun.saturating_add(bits.count_ones());
        before
    });
    let counts = [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])];
    let head = counts.into_iter().chain(bits);
    words.iter_mut().skip(at).zip(head).for_each(|(word, head)| *word = head);
    Entry(u32::try_from(at).unwrap_or(LIST) & !LIST)
}

impl Strides {
    /// The list of an IPv4 address, and the bits that led to it.
    pub(super) fn find_v4(&self, address: u32) -> (ListId, u8) {
        let (list, depth) = self.walk(&self.four, address);
        (list.unwrap_or(ListId::FIRST), depth)
    }

    /// The list of an IPv6 address, and the bits that led to it.
    pub(super) fn find_v6(&self, address: u128) -> (ListId, u8) {
        let (list, depth) = self.walk(&self.six, address);
        if let Some(list) = list {
            return (list, depth);
        }
        let behind = address.checked_shl(depth.into()).unwrap_or_default();
        let (list, more) = self.find_v4((behind >> 96) as u32);
        (list, depth.saturating_add(more))
    }

    /// The list of an address, or nothing where an IPv4 address begins, and the bits that led there.
    #[inline]
    fn walk<A: Space>(&self, table: &[Entry], address: A) -> (Option<ListId>, u8) {
        let mut entry = table.get(address.first_bits()).copied().unwrap_or(Entry::NOWHERE);
        let mut bits = address.behind_first_bits();
        let (mut before, mut taken) = (0_u8, TABLE_BITS);
        loop {
            let stride = match entry.leads() {
                Leads::List(list, depth) => return (Some(list), before.saturating_add(depth)),
                Leads::Four => return (None, before.saturating_add(taken)),
                Leads::Stride(stride) => stride,
            };
            (before, taken) = (before.saturating_add(taken), STRIDE_BITS);
            let (neighbour, behind) = bits.split_byte();
            (entry, bits) = (self.step(stride, neighbour).unwrap_or(Entry::NOWHERE), behind);
        }
    }

    /// The entry of a neighbour in a stride.
    #[inline]
    fn step(&self, stride: u32, neighbour: u8) -> Option<Entry> {
        let (head, entries) =
            self.words.get(stride as usize..)?.split_first_chunk::<HEAD_WORDS>()?;
        let word = usize::from(neighbour >> 5);
        let bits = head.get(COUNTS_WORDS.wrapping_add(word))?;
        let counts = head.get(word >> 2)?.to_le_bytes();
        let before = counts.get(word & 3).copied()?;
        let upto = u32::MAX >> (!neighbour & 31);
        // The first neighbour has one, so at least one begins up to here.
        let begun = u32::from(before).wrapping_add((bits & upto).count_ones()).wrapping_sub(1);
        entries.get(begun as usize).copied().map(Entry)
    }

    /// What they take, tables included.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.four)
            .saturating_add(size_of_val(&*self.six))
            .saturating_add(size_of_val(&*self.words))
    }
}
