//! The binary trees that lead from an address to the number of a list, while they grow.
//!
//! In: blocks of addresses in ascending order, without gaps, each with a list. Out: [`Strides`] whose
//! leaves are exactly the largest blocks of one list each; the depth of a leaf is the scope of an
//! answer (RFC 7871 §7.2.1).
//! Always holds: leaves never overlap and together cover the space; two leaves of equal list are
//! never siblings, so no scope could be shorter.
//! It deliberately keeps no node: what has its last sibling becomes part of a stride at once.
//!
//! Both families share the strides, so that a prefix behind which IPv4 addresses stand
//! ([`ground::fold`]) leads to the table of IPv4.

use super::{
    span::Space,
    strides::{Entry, STRIDE_BITS, Strides, TABLE_BITS, WORDS_MAX, push_stride},
};

/// Entries of a table between two pauses.
const ENTRIES_PER_PAUSE: usize = 512;

/// Grows trees from their blocks.
#[derive(Debug)]
pub(super) struct TreeBuilder {
    words: Vec<u32>,
    words_max: usize,
    /// Leaves and strides that belong to no stride yet, in the order of their addresses, each with
    /// the length of the prefix that it stands behind.
    loose: Vec<(u8, Entry)>,
    /// Left siblings that wait for their right ones, from the shortest prefix to the longest, each
    /// with how many of the loose ones it consists of.
    waiting: Vec<(u8, usize)>,
}

/// There is more than is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl TreeBuilder {
    /// There is room for `likely` words from the start: growing copies all of them, in one long step.
    pub(super) fn new(words_max: usize, likely: usize) -> Self {
        let words_max = words_max.min(WORDS_MAX);
        let words = Vec::with_capacity(likely.min(words_max));
        Self { words, words_max, loose: Vec::new(), waiting: Vec::new() }
    }

    /// Adds the block that follows: what stands behind a prefix of so many bits.
    ///
    /// Whoever waits with the same length is the left sibling: blocks come in order, so between
    /// the two nothing else is missing.
    pub(super) fn push(&mut self, prefix: u8, block: Entry) -> Result<(), TooLarge> {
        let (mut prefix, mut count) = (prefix, 1_usize);
        self.loose.push((prefix, block));
        while let Some((_, left)) = self.waiting.pop_if(|(waiting, _)| *waiting == prefix) {
            prefix = prefix.saturating_sub(1);
            if count == 1 && left == 1 && self.merge(prefix) {
                continue;
            }
            count = count.saturating_add(left);
            if prefix >= TABLE_BITS && prefix.is_multiple_of(STRIDE_BITS) {
                self.stride(prefix, count)?;
                count = 1;
            }
        }
        self.waiting.push((prefix, count));
        Ok(())
    }

    /// Makes one leaf of the last two, if they have one list.
    fn merge(&mut self, prefix: u8) -> bool {
        let [.., (both, left), (_, right)] = &mut *self.loose else { return false };
        if left != right || !left.is_list() {
            return false;
        }
        *both = prefix;
        self.loose.pop();
        true
    }

    /// Makes a stride of the last `count` loose ones.
    fn stride(&mut self, prefix: u8, count: usize) -> Result<(), TooLarge> {
        let from = self.loose.len().saturating_sub(count);
        let entries = self.loose.drain(from..).map(|(at, entry)| {
            let bits = at.saturating_sub(prefix);
            (entry.by(bits), neighbours(STRIDE_BITS, bits))
        });
        let stride = push_stride(&mut self.words, entries);
        self.loose.push((prefix, stride));
        if self.words.len() > self.words_max { Err(TooLarge) } else { Ok(()) }
    }

    /// The table of the space whose blocks were pushed; the next space may follow.
    pub(super) fn table(&mut self, pause: &mut dyn FnMut()) -> Box<[Entry]> {
        let whole = self.waiting.pop();
        debug_assert!(
            self.waiting.is_empty() && whole.is_some_and(|(prefix, _)| prefix == 0),
            "blocks cover the space"
        );
        let mut table = Vec::with_capacity(1 << TABLE_BITS);
        for (bits, entry) in self.loose.drain(..) {
            for _ in 0..neighbours(TABLE_BITS, bits) {
                if table.len().is_multiple_of(ENTRIES_PER_PAUSE) {
                    pause();
                }
                table.push(entry.by(bits));
            }
        }
        table.into()
    }

    /// What grew, with the tables of both spaces.
    pub(super) fn finish(mut self, four: Box<[Entry]>, six: Box<[Entry]>) -> Strides {
        self.words.shrink_to_fit();
        Strides { four, six, words: self.words }
    }
}

/// How many neighbours share an entry that `bits` of the `all` bits of a look lead to.
fn neighbours(all: u8, bits: u8) -> u32 {
    1_u32.wrapping_shl(all.saturating_sub(bits).into())
}

/// Adds what covers `first..=last` with one list, as blocks.
pub(super) fn push_span<A: Space>(
    tree: &mut TreeBuilder,
    first: A,
    last: A,
    list: Entry,
) -> Result<(), TooLarge> {
    let mut first = first;
    loop {
        let prefix = super::span::block(first, last);
        tree.push(prefix, list)?;
        let end = first.last_of(prefix);
        match end.next() {
            Some(next) if end < last => first = next,
            _ => return Ok(()),
        }
    }
}
