//! The tree that orders a memtable, and the search that readers make. Its nodes are in
//! tree_nodes.rs, and the 8-byte heads that most comparisons look at in window.rs.
//!
//! A B+ tree whose leaves are linked both ways. Entries are ordered by key ascending,
//! then by tag descending; nothing is ever removed, and no node ever moves. Offset 0
//! means none. A search touches the inner nodes, which stay in the processor's caches,
//! one leaf, and one entry: a skiplist touches one node after the other, each a cache
//! miss that waits for the one before.
//!
//! # Readers beside the writer
//!
//! All stores are Release and all loads Acquire, so what is seen is never newer than
//! what was written before it.
//!
//! **A leaf** has its entries in slots of no order; `order` is a permutation of the slots,
//! as 14 numbers of 4 bits, and how many of them count. An insert fills a free slot and
//! then stores a new `order`: a reader has all of a leaf as it was at one moment. A leaf
//! is split by giving the upper half of its entries to a new one behind it, and only
//! after that by an `order` that has the lower half; `splits` counts this. Slots of the
//! upper half are filled again later. So a reader that finds `splits` as it was before it
//! read has read what `order` said; else it begins again, which only a split makes it do.
//!
//! The smallest key of a leaf never changes, since smaller ones belong to the leaf before;
//! its entry is in slot 0 for ever. (The first leaf begins before all keys.)
//!
//! **The links** to the next leaf lead over all entries at any moment: the new leaf is
//! linked before the old one gives up its upper half. In between, both have it, and who
//! walks passes over what it has seen. A link to the previous leaf may be old, and then
//! leads to a leaf from which the next ones lead back.
//!
//! **An inner node** is changed in place, from the end: first the children move up by
//! one, then their first entries, then the heads. A reader loads head, then first entry,
//! then child, so what it compares is at or behind the start of the child that it takes:
//! **it never goes too far to the right**. Too far to the left is mended on the leaves:
//! whoever finds all entries of a leaf before its target looks where the next one begins.

use std::cmp::Ordering as Order;

use super::ArenaGauge;
use super::arena::{Arena, UNIT_BYTES};
use super::hash_index::{self, Line};
use super::tree_nodes::{
    HEADER_BYTES, Inner, InnerAt, LEAF_BYTES, LEAF_ENTRIES, Leaf, LeafAt, Node, SlotOrder,
};
use super::window::Window;
use crate::error::Result;
use crate::key::{InternalKey, SeqNo, Tag};
use crate::sync::{AtomicU32, AtomicU64, AtomicUsize, Ordering, OwnLines};

/// The first leaf stands in the root, a cache line behind its start.
const FIRST_AT_BYTES: usize = 64;
/// Behind it come the lines of the hash index, up to the end of the root.
const LINES_AT_BYTES: usize = (FIRST_AT_BYTES + LEAF_BYTES).next_multiple_of(size_of::<Line>());
pub(super) const FIRST_LEAF: LeafAt = LeafAt((FIRST_AT_BYTES / UNIT_BYTES) as u32);

/// The offset of a line of the hash index, in units.
#[inline]
fn line_at(line: usize) -> u32 {
    ((LINES_AT_BYTES + line * size_of::<Line>()) / UNIT_BYTES) as u32
}

/// A tree in an arena. Its functions on a [`Node`], [`LeafAt`] or [`InnerAt`] are unsafe
/// in that it must be one of this tree, which whoever holds one keeps.
pub(super) struct Tree {
    pub(super) arena: Arena,
    /// Levels of inner nodes << 32 | the offset of the root: a leaf if there are none.
    pub(super) root: AtomicU64,
    pub(super) last_leaf: AtomicU32,
    lines: usize,
    /// Written with each insert, and not read by searches.
    pub(super) len: OwnLines<AtomicUsize>,
    /// 0: none yet. Else the offset of an entry << 32 | 1 << 31 | bytes of its key.
    pub(super) window: AtomicU64,
}

/// What is looked for, with its head.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) key: InternalKey<'a>,
    pub(super) head: u64,
    pub(super) mask: u64,
}

/// A leaf as it was at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeafRun {
    pub(super) leaf: LeafAt,
    pub(super) next: LeafAt,
    pub(super) nodes: [Node; LEAF_ENTRIES],
    pub(super) count: usize,
}

impl Tree {
    /// An empty one; `reserve_bytes` beside the capacity are for its own nodes.
    pub(super) fn new(
        capacity_bytes: usize,
        reserve_bytes: usize,
        gauge: &ArenaGauge,
    ) -> Result<Tree> {
        let lines = hash_index::lines_for(capacity_bytes);
        let root_bytes = LINES_AT_BYTES + lines * size_of::<Line>();
        let tree = Tree {
            arena: Arena::new(root_bytes, capacity_bytes, reserve_bytes, gauge)?,
            lines,
            root: AtomicU64::new(u64::from(FIRST_LEAF.0)),
            last_leaf: AtomicU32::new(FIRST_LEAF.0),
            len: OwnLines(AtomicUsize::new(0)),
            window: AtomicU64::new(0),
        };
        // SAFETY: in the root, which is zeroed: a leaf without links or entries.
        unsafe { tree.leaf(FIRST_LEAF) }.order.store(SlotOrder::EMPTY.0, Ordering::Release);
        Ok(tree)
    }

    /// The hash index's line for a key, by its hash.
    #[inline]
    pub(super) fn line(&self, hash: u64) -> &Line {
        let line = hash_index::line_of(hash, self.lines);
        // SAFETY: in the root, which is zeroed, aligned to a line, and ends behind the last
        // one; changed through atomics only.
        unsafe { &*self.arena.ptr(line_at(line), 0).cast::<Line>() }
    }

    /// Asks for it before it is read.
    #[inline]
    pub(super) fn prefetch_line(&self, hash: u64) {
        let line = hash_index::line_of(hash, self.lines);
        self.prefetch(line_at(line), size_of::<Line>());
    }

    /// The newest version of `scoped`, whose hash that is, at or below `seq`.
    #[inline]
    pub(super) fn find_hashed(&self, scoped: &[u8], hash: u64, seq: SeqNo) -> Option<Node> {
        let line = self.line(hash);
        for node in line.candidates(hash) {
            // SAFETY: the writer leads to entries of this tree only.
            let key = unsafe { self.key(node) };
            if key.scoped == scoped {
                let is_published = key.tag.seq() <= seq;
                return if is_published { Some(node) } else { self.search(scoped, seq) };
            }
        }
        if line.may_have_left_out(hash) { self.search(scoped, seq) } else { None }
    }

    /// The same, for keys and versions that the index does not lead to.
    #[cold]
    #[inline(never)]
    fn search(&self, scoped: &[u8], seq: SeqNo) -> Option<Node> {
        self.find(InternalKey::seek(scoped, seq))
    }

    #[inline]
    pub(super) fn window(&self) -> Window<'_> {
        let chosen = self.window.load(Ordering::Acquire);
        if chosen == 0 {
            return Window::NONE;
        }
        let len = (chosen as u32 & !(1 << 31)) as usize;
        // SAFETY: the writer names an entry of this tree whose key is no shorter.
        let prefix = unsafe { self.bytes(Node((chosen >> 32) as u32), 0, len) };
        Window::new(prefix)
    }

    #[inline]
    pub(super) fn target<'a>(&self, key: InternalKey<'a>) -> Target<'a> {
        let window = self.window();
        Target { key, head: window.head(key.scoped), mask: window.mask }
    }

    /// # Safety
    ///
    /// `at` is a leaf of this tree.
    #[inline]
    pub(super) unsafe fn leaf(&self, at: LeafAt) -> &Leaf {
        // SAFETY: by the caller's promise one was written there, or the root's zeros
        // are one, before the offset was given out; changed through atomics only.
        unsafe { &*self.arena.ptr(at.0, 0).cast::<Leaf>() }
    }

    /// # Safety
    ///
    /// `at` is an inner node of this tree.
    #[inline]
    pub(super) unsafe fn inner(&self, at: InnerAt) -> &Inner {
        // SAFETY: as for `leaf`.
        unsafe { &*self.arena.ptr(at.0, 0).cast::<Inner>() }
    }

    /// `len` bytes that stand `start` bytes behind the entry's header.
    ///
    /// # Safety
    ///
    /// `node` is an entry of this tree, and has that many.
    #[inline]
    pub(super) unsafe fn bytes(&self, node: Node, start: usize, len: usize) -> &[u8] {
        // SAFETY: key and value were written before the entry's offset was given out
        // and never change; the slice lives no longer than the arena.
        unsafe { std::slice::from_raw_parts(self.arena.ptr(node.0, HEADER_BYTES + start), len) }
    }

    /// # Safety
    ///
    /// `node` is an entry of this tree.
    #[inline]
    unsafe fn header(&self, node: Node) -> (Tag, usize, usize) {
        // SAFETY: written before the entry's offset was given out, and aligned to 8.
        unsafe {
            let at = self.arena.ptr(node.0, 0);
            let lens = at.add(8).cast::<u32>();
            (Tag(at.cast::<u64>().read()), lens.read() as usize, lens.add(1).read() as usize)
        }
    }

    /// # Safety
    ///
    /// `node` is an entry of this tree.
    #[inline]
    pub(super) unsafe fn key(&self, node: Node) -> InternalKey<'_> {
        // SAFETY: the caller's promise; the header says how long the key is.
        unsafe {
            let (tag, key_len, _) = self.header(node);
            InternalKey::new(self.bytes(node, 0, key_len), tag)
        }
    }

    /// # Safety
    ///
    /// `node` is an entry of this tree.
    #[inline]
    pub(super) unsafe fn value(&self, node: Node) -> &[u8] {
        // SAFETY: the caller's promise; the header says how long the value is.
        unsafe {
            let (_, key_len, value_len) = self.header(node);
            self.bytes(node, key_len, value_len)
        }
    }

    /// How an entry of head `head` compares with the target. Touches the entry only
    /// where the heads tie.
    ///
    /// # Safety
    ///
    /// `node` gives an entry of this tree, whose head that is or will be.
    #[inline]
    unsafe fn compare(&self, head: u64, node: impl FnOnce() -> Node, target: &Target<'_>) -> Order {
        match (head & target.mask).cmp(&target.head) {
            // SAFETY: the caller's promise.
            Order::Equal => unsafe { self.key(node()) }.cmp(&target.key),
            unequal => unequal,
        }
    }

    /// Asks for the lines of a leaf, or the first ones of an entry, before they are read.
    #[inline]
    pub(super) fn prefetch(&self, at: u32, bytes: usize) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        for line in (0..bytes).step_by(64) {
            // SAFETY: a hint; the address is computed without claims, not read by it.
            unsafe {
                use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
                _mm_prefetch::<_MM_HINT_T0>(self.arena.hint(at, line));
            }
        }
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        let _ = (at, bytes);
    }

    /// The last child of `inner` that begins at or before the target, as far as is seen.
    ///
    /// # Safety
    ///
    /// `at` is an inner node of this tree.
    #[inline]
    pub(super) unsafe fn child(&self, at: InnerAt, target: &Target<'_>) -> usize {
        // SAFETY: the caller's promise.
        let inner = unsafe { self.inner(at) };
        let (mut first, mut len) = (0, inner.count.load(Ordering::Acquire) as usize);
        while len > 1 {
            let half = len / 2;
            let middle = first + half;
            let head = inner.heads[middle].load(Ordering::Acquire);
            let node = || Node(inner.firsts[middle].load(Ordering::Acquire));
            // SAFETY: what stands in an inner node are entries of this tree.
            if unsafe { self.compare(head, node, target) } != Order::Greater {
                first = middle;
            }
            len -= half;
        }
        first
    }

    /// The leaf where the target belongs, or one before it.
    #[inline]
    pub(super) fn leaf_of(&self, target: &Target<'_>) -> LeafAt {
        let root = self.root.load(Ordering::Acquire);
        let mut at = root as u32;
        for _ in 0..root >> 32 {
            // SAFETY: as many levels below the root are inner nodes, and their children
            // are nodes of this tree.
            unsafe {
                let child = self.child(InnerAt(at), target);
                at = self.inner(InnerAt(at)).children[child].load(Ordering::Acquire);
            }
        }
        self.prefetch(at, LEAF_BYTES);
        LeafAt(at)
    }

    /// How many entries of `leaf` are before the target, if `order` is its order.
    ///
    /// # Safety
    ///
    /// `leaf` is of this tree.
    #[inline]
    pub(super) unsafe fn position(
        &self,
        leaf: &Leaf,
        order: SlotOrder,
        target: &Target<'_>,
    ) -> usize {
        let (mut first, mut len) = (0, order.count());
        while len > 0 {
            let half = len / 2;
            let slot = order.slot(first + half).min(LEAF_ENTRIES - 1);
            let head = leaf.heads[slot].load(Ordering::Acquire);
            let node = || Node(leaf.nodes[slot].load(Ordering::Acquire));
            // SAFETY: a slot that counts, or counted, has an entry of this tree.
            if unsafe { self.compare(head, node, target) } == Order::Less {
                first += half + 1;
                len -= half + 1;
            } else {
                len = half;
            }
        }
        first
    }

    /// Whether the leaf begins at or before the target.
    ///
    /// # Safety
    ///
    /// `at` is a leaf of this tree, but not the first.
    #[inline]
    unsafe fn begins_before(&self, at: LeafAt, target: &Target<'_>) -> bool {
        // SAFETY: the caller's promise; slot 0 was filled before the leaf was linked.
        unsafe {
            let leaf = self.leaf(at);
            let head = leaf.heads[0].load(Ordering::Acquire);
            self.compare(head, || self.first_of(at), target) != Order::Greater
        }
    }

    /// The first entry of a leaf.
    ///
    /// # Safety
    ///
    /// As for `begins_before`.
    #[inline]
    pub(super) unsafe fn first_of(&self, at: LeafAt) -> Node {
        // SAFETY: the caller's promise.
        Node(unsafe { self.leaf(at) }.nodes[0].load(Ordering::Acquire))
    }

    /// The first entry at or behind `key` if it has the same scoped key.
    #[inline]
    pub(super) fn find(&self, key: InternalKey<'_>) -> Option<Node> {
        let target = self.target(key);
        // SAFETY: `leaf_of` gives a leaf of this tree.
        unsafe { self.find_from(self.leaf_of(&target), &target) }
    }

    /// [`find`](Self::find), from a leaf at or before the target on.
    ///
    /// # Safety
    ///
    /// `at` is a leaf of this tree.
    #[inline]
    pub(super) unsafe fn find_from(&self, mut at: LeafAt, target: &Target<'_>) -> Option<Node> {
        loop {
            // SAFETY: the tree leads to its own leaves and entries only.
            unsafe {
                let leaf = self.leaf(at);
                let splits = leaf.splits.load(Ordering::Acquire);
                let order = SlotOrder(leaf.order.load(Ordering::Acquire));
                let position = self.position(leaf, order, target);
                let next = LeafAt(leaf.next.load(Ordering::Acquire));
                let slot = order.slot(position).min(LEAF_ENTRIES - 1);
                let (head, node) = (
                    leaf.heads[slot].load(Ordering::Acquire),
                    Node(leaf.nodes[slot].load(Ordering::Acquire)),
                );
                if leaf.splits.load(Ordering::Acquire) != splits {
                    continue;
                }
                if position < order.count() {
                    return self.same_key(head, node, target);
                }
                if next == LeafAt::NONE {
                    return None;
                }
                if !self.begins_before(next, target) {
                    let head = self.leaf(next).heads[0].load(Ordering::Acquire);
                    return self.same_key(head, self.first_of(next), target);
                }
                at = next;
            }
        }
    }

    /// # Safety
    ///
    /// `node` is an entry of this tree, of that head.
    #[inline]
    unsafe fn same_key(&self, head: u64, node: Node, target: &Target<'_>) -> Option<Node> {
        if head & target.mask != target.head {
            return None;
        }
        // SAFETY: the caller's promise.
        (unsafe { self.key(node) }.scoped == target.key.scoped).then_some(node)
    }

    /// The leaf as it is at one moment, and how many of its entries are before the
    /// target (none without one).
    ///
    /// # Safety
    ///
    /// `at` is a leaf of this tree.
    #[inline]
    pub(super) unsafe fn run(&self, at: LeafAt, target: Option<&Target<'_>>) -> (LeafRun, usize) {
        // SAFETY: the caller's promise.
        let leaf = unsafe { self.leaf(at) };
        loop {
            let splits = leaf.splits.load(Ordering::Acquire);
            let order = SlotOrder(leaf.order.load(Ordering::Acquire));
            let mut nodes = [Node::NONE; LEAF_ENTRIES];
            for (position, node) in nodes.iter_mut().enumerate().take(order.count()) {
                let slot = order.slot(position).min(LEAF_ENTRIES - 1);
                *node = Node(leaf.nodes[slot].load(Ordering::Acquire));
            }
            // SAFETY: a leaf of this tree.
            let position = target.map_or(0, |target| unsafe { self.position(leaf, order, target) });
            // Behind `order`: if that has given up its upper half, this leads there.
            let next = LeafAt(leaf.next.load(Ordering::Acquire));
            if leaf.splits.load(Ordering::Acquire) == splits {
                return (LeafRun { leaf: at, next, nodes, count: order.count() }, position);
            }
        }
    }

    /// The leaf in which the target belongs, looked for from one at or before it on, and
    /// its position there: one past the end where the next leaf begins behind the target.
    #[inline]
    pub(super) fn around(&self, target: &Target<'_>, from: LeafAt) -> (LeafRun, usize) {
        let mut at = from;
        loop {
            // SAFETY: the tree leads to its own leaves only; a next one is not the first.
            unsafe {
                let (run, position) = self.run(at, Some(target));
                let to_the_right = position == run.count
                    && run.next != LeafAt::NONE
                    && self.begins_before(run.next, target);
                if !to_the_right {
                    return (run, position);
                }
                at = run.next;
            }
        }
    }

    /// The leaf before, with its entries that are before all of `at`; none before the
    /// first.
    ///
    /// # Safety
    ///
    /// `at` is a leaf of this tree.
    pub(super) unsafe fn before(&self, at: LeafAt) -> Option<LeafRun> {
        if at == FIRST_LEAF {
            return None;
        }
        // SAFETY: the caller's promise; links lead to leaves, and the way right from a
        // leaf before `at` leads to it.
        unsafe {
            let first = self.target(self.key(self.first_of(at)));
            let mut before = LeafAt(self.leaf(at).prev.load(Ordering::Acquire));
            loop {
                let (mut run, position) = self.run(before, Some(&first));
                if run.next == at {
                    run.count = position;
                    return Some(run);
                }
                before = run.next;
            }
        }
    }

    /// The last leaf.
    pub(super) fn last(&self) -> LeafRun {
        let mut at = LeafAt(self.last_leaf.load(Ordering::Acquire));
        loop {
            // SAFETY: a leaf of this tree, as those that it leads to.
            let (run, _) = unsafe { self.run(at, None) };
            if run.next == LeafAt::NONE {
                return run;
            }
            at = run.next;
        }
    }
}
