//! What a tree is made of: entries, leaves and inner nodes, as they lie in the arena.
//!
//! ```text
//! entry, at a multiple of 8 bytes
//!
//!   tag 8 | key bytes 4, value bytes 4 | key | value | pad
//!
//! leaf (192 bytes): up to 14 entries, in the order that `order` says
//!
//!   heads 14 x 8 | offsets of entries 14 x 4 | order 8 | splits 4 | next 4 | previous 4
//!
//! inner node (520 bytes): up to 32 children, in order
//!
//!   children 4 | heads 32 x 8 | first entries 32 x 4 | children 32 x 4
//! ```
//!
//! Offset 0 means none. How readers and the one writer meet in them: tree.rs.

use crate::sync::{AtomicU32, AtomicU64};

/// Entries of a leaf: as many as 4 bits each leave room for a count.
pub(super) const LEAF_ENTRIES: usize = 14;
/// Children of an inner node.
pub(super) const INNER_CHILDREN: usize = 32;
pub(super) const LEAF_BYTES: usize = size_of::<Leaf>();
pub(super) const INNER_BYTES: usize = size_of::<Inner>();
/// Tag and lengths.
pub(super) const HEADER_BYTES: usize = 16;

/// The offset of an entry in the arena, in units of 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Node(pub(super) u32);

impl Node {
    pub(super) const NONE: Node = Node(0);
}

/// The offset of a leaf.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct LeafAt(pub(super) u32);

impl LeafAt {
    pub(super) const NONE: LeafAt = LeafAt(0);
}

/// The offset of an inner node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct InnerAt(pub(super) u32);

#[repr(C)]
pub(super) struct Leaf {
    pub(super) heads: [AtomicU64; LEAF_ENTRIES],
    pub(super) nodes: [AtomicU32; LEAF_ENTRIES],
    pub(super) order: AtomicU64,
    pub(super) splits: AtomicU32,
    pub(super) next: AtomicU32,
    pub(super) prev: AtomicU32,
    _unused: u32,
}

/// The head and the first entry of child 0 mean nothing: it begins where its node does.
#[repr(C)]
pub(super) struct Inner {
    pub(super) count: AtomicU64,
    pub(super) heads: [AtomicU64; INNER_CHILDREN],
    pub(super) firsts: [AtomicU32; INNER_CHILDREN],
    pub(super) children: [AtomicU32; INNER_CHILDREN],
}

/// Which slots of a leaf count, in order: a permutation of all slots, 4 bits each from
/// the lowest on, and in the top byte how many of them are in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SlotOrder(pub(super) u64);

impl SlotOrder {
    /// Slots in their own order, none in use.
    pub(super) const EMPTY: SlotOrder = SlotOrder(0x00DC_BA98_7654_3210);
    const COUNT_SHIFT: u32 = 56;
    const SLOTS: u64 = (1 << Self::COUNT_SHIFT) - 1;

    #[inline]
    pub(super) fn count(self) -> usize {
        (self.0 >> Self::COUNT_SHIFT) as usize
    }

    /// The slot at `position`.
    #[inline]
    pub(super) fn slot(self, position: usize) -> usize {
        // Masked for the compiler, which then need not check; 15 is never stored.
        (self.0 >> (4 * position) & 15) as usize
    }

    /// With the next free slot at `position`, and which slot that is. Not full.
    #[inline]
    pub(super) fn inserted(self, position: usize) -> (SlotOrder, usize) {
        let count = self.count();
        let slot = self.slot(count);
        let below = (1_u64 << (4 * position)) - 1;
        let through = (1_u64 << (4 * count)) - 1;
        let behind = Self::SLOTS & !((1_u64 << (4 * (count + 1))) - 1);
        let slots = self.0 & below
            | (slot as u64) << (4 * position)
            | (self.0 & through & !below) << 4
            | self.0 & behind;
        (SlotOrder(slots | (count as u64 + 1) << Self::COUNT_SHIFT), slot)
    }

    /// With the first `count` only.
    #[inline]
    pub(super) fn truncated(self, count: usize) -> SlotOrder {
        SlotOrder(self.0 & Self::SLOTS | (count as u64) << Self::COUNT_SHIFT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_as_large_as_their_picture() {
        assert_eq!((LEAF_BYTES, INNER_BYTES), (192, 520));
    }

    #[test]
    fn an_order_takes_slots_in_at_any_position_and_gives_them_back() {
        let mut state = 7_u64;
        let mut order = SlotOrder::EMPTY;
        let mut model: Vec<usize> = Vec::new();
        for _ in 0..10_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let random = (state >> 33) as usize;
            if model.len() == LEAF_ENTRIES {
                let kept = random % LEAF_ENTRIES;
                order = order.truncated(kept);
                model.truncate(kept);
            } else {
                let position = random % (model.len() + 1);
                let (inserted, slot) = order.inserted(position);
                assert!(!model.contains(&slot) && slot < LEAF_ENTRIES);
                model.insert(position, slot);
                order = inserted;
            }
            let slots: Vec<usize> = (0..order.count()).map(|p| order.slot(p)).collect();
            assert_eq!(slots, model);
            let all: u64 = (0..LEAF_ENTRIES).map(|p| 1 << order.slot(p)).sum();
            assert_eq!(all, (1 << LEAF_ENTRIES) - 1, "a permutation");
        }
    }
}
