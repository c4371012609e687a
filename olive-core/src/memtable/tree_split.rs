//! The steps by which a full leaf is split beside readers, in the order that they rely on
//! (see tree.rs).
//!
//! ```text
//! 1 a new leaf with the upper half, and its links       nobody knows it
//! 2 the link of the old leaf                            both have the upper half
//! 3 the inner node: children, first entries, heads
//! 4 the old leaf's order, and its count of splits       only the new one has it
//! 5 the backward link of the leaf behind
//! ```

use super::tree::Tree;
use super::tree_nodes::{Inner, LEAF_ENTRIES, LeafAt, Node, SlotOrder};
use crate::sync::Ordering;

/// How many entries a leaf keeps when it is split.
pub(super) const KEPT: usize = LEAF_ENTRIES / 2;

/// A child of an inner node, with the key that it begins with.
#[derive(Clone, Copy)]
pub(super) struct Child {
    pub(super) head: u64,
    pub(super) first: Node,
    pub(super) at: u32,
}

impl Child {
    pub(super) fn of(inner: &Inner, place: usize) -> Child {
        Child {
            head: inner.heads[place].load(Ordering::Relaxed),
            first: Node(inner.firsts[place].load(Ordering::Relaxed)),
            at: inner.children[place].load(Ordering::Relaxed),
        }
    }
}

/// Adds a child behind the last; there is room.
pub(super) fn append_child(inner: &Inner, child: Child) {
    let count = inner.count.load(Ordering::Relaxed) as usize;
    inner.children[count].store(child.at, Ordering::Release);
    inner.firsts[count].store(child.first.0, Ordering::Release);
    inner.heads[count].store(child.head, Ordering::Release);
    inner.count.store(count as u64 + 1, Ordering::Release);
}

/// Adds a child at `place`, 1 at least; there is room. `stored` is called after each
/// store, for tests.
#[inline]
pub(super) fn insert_child(inner: &Inner, place: usize, child: Child, mut stored: impl FnMut()) {
    let count = inner.count.load(Ordering::Relaxed) as usize;
    if place == count {
        return append_child(inner, child);
    }
    // The last one twice, and from there all move up by one: children first, heads last.
    append_child(inner, Child::of(inner, count - 1));
    stored();
    for to in (place + 1..count).rev() {
        inner.children[to].store(inner.children[to - 1].load(Ordering::Relaxed), Ordering::Release);
        stored();
    }
    inner.children[place].store(child.at, Ordering::Release);
    stored();
    for to in (place + 1..count).rev() {
        inner.firsts[to].store(inner.firsts[to - 1].load(Ordering::Relaxed), Ordering::Release);
        stored();
    }
    inner.firsts[place].store(child.first.0, Ordering::Release);
    stored();
    for to in (place + 1..count).rev() {
        inner.heads[to].store(inner.heads[to - 1].load(Ordering::Relaxed), Ordering::Release);
        stored();
    }
    inner.heads[place].store(child.head, Ordering::Release);
}

/// Copies the upper half of a full leaf into an empty one that nobody knows.
///
/// # Safety
///
/// Both are leaves of the tree.
pub(super) unsafe fn copy_upper_half(tree: &Tree, left: LeafAt, right: LeafAt) {
    // SAFETY: the caller's promise.
    let (left, right) = unsafe { (tree.leaf(left), tree.leaf(right)) };
    let from = SlotOrder(left.order.load(Ordering::Relaxed));
    for (to, position) in (KEPT..LEAF_ENTRIES).enumerate() {
        let slot = from.slot(position);
        right.heads[to].store(left.heads[slot].load(Ordering::Relaxed), Ordering::Release);
        right.nodes[to].store(left.nodes[slot].load(Ordering::Relaxed), Ordering::Release);
    }
    let order = SlotOrder::EMPTY.truncated(LEAF_ENTRIES - KEPT);
    right.order.store(order.0, Ordering::Release);
}

/// # Safety
///
/// Both are leaves of the tree.
pub(super) unsafe fn link_right(tree: &Tree, left: LeafAt, right: LeafAt) {
    // SAFETY: the caller's promise.
    unsafe { tree.leaf(left) }.next.store(right.0, Ordering::Release);
}

/// # Safety
///
/// `right` is a leaf of the tree, linked.
pub(super) unsafe fn link_back(tree: &Tree, right: LeafAt) {
    // SAFETY: the caller's promise, and what is linked is a leaf.
    unsafe {
        match LeafAt(tree.leaf(right).next.load(Ordering::Relaxed)) {
            LeafAt::NONE => tree.last_leaf.store(right.0, Ordering::Release),
            behind => tree.leaf(behind).prev.store(right.0, Ordering::Release),
        }
    }
}
