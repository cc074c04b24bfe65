//! The binary trees that lead from an address to the number of a list.
//!
//! In: blocks of addresses in ascending order, without gaps, each with a number. Out: a tree whose
//! leaves are exactly the largest blocks of one number each; the depth of a leaf is the scope of
//! an answer (RFC 7871 §7.2.1).
//! Always holds: leaves never overlap and together cover the space; two leaves of equal number are
//! never siblings, so no scope could be shorter.
//! Hot path: a lookup is one walk, without allocation or lock; `tests/` below compare it with a
//! search through all blocks.
//!
//! A node is 8 bytes, its two children. Both families share one array, so that a prefix behind
//! which IPv4 addresses stand ([`super::fold`]) is a link to the root of the IPv4 tree. The first
//! sixteen steps are one look into a table: they are the ones that every query takes.

use super::{lists::ListId, span::Space};

/// Set in a reference to a list rather than to a node.
const LEAF: u32 = 1 << 31;
/// In a table, where the depth of a leaf above the table's own stands.
const DEPTH_SHIFT: u32 = 26;
const LIST_MASK: u32 = (1 << DEPTH_SHIFT) - 1;
/// Steps that the table saves.
const TABLE_BITS: u8 = 16;

/// Entries of a table between two pauses.
const ENTRIES_PER_PAUSE: u32 = 512;

/// A child: a node, or the number of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeRef(u32);

impl NodeRef {
    pub(super) const fn leaf(list: ListId) -> Self {
        Self(LEAF | (list.0 & LIST_MASK))
    }

    const fn is_leaf(self) -> bool {
        self.0 & LEAF != 0
    }

    const fn list(self) -> ListId {
        ListId(self.0 & LIST_MASK)
    }
}

/// Grows a tree from its blocks.
#[derive(Debug)]
pub(super) struct TreeBuilder {
    nodes: Vec<u64>,
    nodes_max: usize,
    /// Left siblings that wait for their right ones, from the shortest prefix to the longest.
    waiting: Vec<(u8, NodeRef)>,
}

/// There are more nodes than are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooManyNodes;

impl TreeBuilder {
    /// There is room for `likely` nodes from the start: growing copies all of them, in one long step.
    pub(super) fn new(nodes_max: usize, likely: usize) -> Self {
        // A reference has 31 bits.
        let nodes_max = nodes_max.min(usize::try_from(LEAF).unwrap_or(usize::MAX));
        let nodes = Vec::with_capacity(likely.min(nodes_max));
        Self { nodes, nodes_max, waiting: Vec::new() }
    }

    /// Adds the block that follows: what stands behind a prefix of so many bits.
    ///
    /// Whoever waits with the same length is the left sibling: blocks come in order, so between
    /// the two nothing else is missing.
    pub(super) fn push(&mut self, prefix: u8, block: NodeRef) -> Result<(), TooManyNodes> {
        let (mut prefix, mut block) = (prefix, block);
        while let Some((_, left)) = self.waiting.pop_if(|(waiting, _)| *waiting == prefix) {
            prefix = prefix.saturating_sub(1);
            if left == block && left.is_leaf() {
                continue;
            }
            let index = self.nodes.len();
            if index >= self.nodes_max {
                return Err(TooManyNodes);
            }
            self.nodes.push(u64::from(left.0) | u64::from(block.0) << 32);
            block = NodeRef(u32::try_from(index).map_err(|_too_many| TooManyNodes)?);
        }
        self.waiting.push((prefix, block));
        Ok(())
    }

    /// The root of the space whose blocks were pushed; the next space may follow.
    pub(super) fn root(&mut self) -> NodeRef {
        let root = self.waiting.pop().filter(|(prefix, _)| *prefix == 0);
        debug_assert!(root.is_some() && self.waiting.is_empty(), "blocks cover the space");
        root.map_or(NodeRef::leaf(ListId(0)), |(_, root)| root)
    }

    pub(super) fn finish(mut self, four: NodeRef, six: NodeRef, pause: &mut dyn FnMut()) -> Tree {
        self.nodes.shrink_to_fit();
        let four = table(&self.nodes, four, pause);
        let six = table(&self.nodes, six, pause);
        Tree { nodes: self.nodes, four, six }
    }
}

/// Both trees of a map.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    nodes: Vec<u64>,
    four: Box<[u32]>,
    six: Box<[u32]>,
}

impl Tree {
    /// The list of an IPv4 address, and the bits that led to it.
    pub(super) fn find_v4(&self, address: u32) -> (ListId, u8) {
        self.find(&self.four, address)
    }

    /// The list of an IPv6 address, and the bits that led to it.
    pub(super) fn find_v6(&self, address: u128) -> (ListId, u8) {
        self.find(&self.six, address)
    }

    #[inline]
    fn find<A: Space>(&self, table: &[u32], address: A) -> (ListId, u8) {
        let mut at = table.get(address.first_bits()).copied().unwrap_or(LEAF);
        if at & LEAF != 0 {
            return (ListId(at & LIST_MASK), depth_of(at));
        }
        let mut bits = address.behind_first_bits();
        let mut depth = TABLE_BITS;
        while at & LEAF == 0 {
            let (bit, behind) = bits.split_bit();
            at = child(&self.nodes, at, bit);
            bits = behind;
            depth = depth.saturating_add(1);
        }
        (NodeRef(at).list(), depth)
    }

    /// Nodes of both trees.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// What they take, tables included.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.nodes)
            .saturating_add(size_of_val(&*self.four))
            .saturating_add(size_of_val(&*self.six))
    }
}

/// A node's left child for 0 or its right one for 1. A children's index is always smaller than its
/// parent's, so every walk ends.
///
/// Without a branch: which way a walk goes is as good as random.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the half that is asked for")]
fn child(nodes: &[u64], node: u32, bit: u32) -> u32 {
    let node = nodes.get(node as usize).copied().unwrap_or(u64::MAX);
    node.wrapping_shr(bit << 5) as u32
}

/// The depth of a leaf in a table.
fn depth_of(entry: u32) -> u8 {
    u8::try_from(entry >> DEPTH_SHIFT & 31).unwrap_or(TABLE_BITS)
}

/// Where the first sixteen bits lead: to a node, or to a leaf with its depth.
fn table(nodes: &[u64], root: NodeRef, pause: &mut dyn FnMut()) -> Box<[u32]> {
    let entry = |index: u32| {
        if index.is_multiple_of(ENTRIES_PER_PAUSE) {
            pause();
        }
        let (mut at, mut bits, mut depth) = (root, index << 16, 0_u8);
        while !at.is_leaf() && depth < TABLE_BITS {
            let (bit, behind) = bits.split_bit();
            at = NodeRef(child(nodes, at.0, bit));
            bits = behind;
            depth = depth.saturating_add(1);
        }
        if at.is_leaf() { at.0 | u32::from(depth) << DEPTH_SHIFT } else { at.0 }
    };
    (0..1_u32 << TABLE_BITS).map(entry).collect()
}

/// Adds what covers `first..=last` with one number, as blocks.
pub(super) fn push_span<A: Space>(
    tree: &mut TreeBuilder,
    first: A,
    last: A,
    list: NodeRef,
) -> Result<(), TooManyNodes> {
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
