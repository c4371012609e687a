//! The tree's one writer.
//!
//! ```text
//! insert   where:   the last leaf if the key is behind all others, else down from the root
//!          entry:   one piece of the arena
//!          full:    the leaf is split: see tree_split.rs
//!          publish: a free slot of the leaf, then the leaf's order
//! ```
//!
//! The order of stores is what readers rely on: see tree.rs. Keys that only rise leave
//! full leaves behind: a new one begins with the new entry.
//!
//! # Room for nodes
//!
//! Which insert will split a leaf is not known beforehand, so each entry pays its share
//! of the nodes, [`SHARE_BYTES`]. A leaf is split when it is full, at half: the 7 entries
//! that came since it had 7 pay for the new leaf and for its share of an inner node. What
//! was paid and is not used yet counts as taken in [`MemtableWriter::fits`]. Nodes at the
//! right edge, one a level, may come before they are paid for: the arena has
//! [`RESERVE_BYTES`] beside its capacity for them.

use super::tree::{FIRST_LEAF, Target, Tree};
use super::tree_nodes::{
    HEADER_BYTES, INNER_BYTES, INNER_CHILDREN, Inner, InnerAt, LEAF_BYTES, LEAF_ENTRIES, Leaf,
    LeafAt, Node, SlotOrder,
};
use super::tree_split::{
    Child, KEPT, append_child, copy_upper_half, insert_child, link_back, link_right,
};
use super::window::Window;
use super::{ArenaGauge, Memtable, arena::UNIT_BYTES};
use crate::error::Result;
use crate::format::filter::filter_hash;
use crate::key::InternalKey;
use crate::sync::{Arc, Handles, Ordering};

/// Entries after which the window of the heads is chosen.
const WINDOW_ENTRIES: usize = 64;
/// What a leaf pays for the inner nodes: 16 leaves pay for a node, and for its own share.
const INNER_SHARE_BYTES: usize = 35;
/// What an entry pays for leaves and inner nodes: [`KEPT`] pay for a leaf and its share.
const SHARE_BYTES: usize = 33;
/// With 16 children at least a node, and no more leaves than offsets, there are no more.
const LEVELS_MAX: usize = 7;
pub(super) const RESERVE_BYTES: usize = LEAF_PAID_BYTES + LEVELS_MAX * INNER_PAID_BYTES;
/// What is paid for a leaf, and for an inner node, when it comes.
const LEAF_PAID_BYTES: usize = KEPT * SHARE_BYTES;
const INNER_PAID_BYTES: usize = INNER_CHILDREN / 2 * INNER_SHARE_BYTES;

const _: () = assert!(LEAF_PAID_BYTES >= LEAF_BYTES + INNER_SHARE_BYTES);
const _: () = assert!(INNER_PAID_BYTES >= INNER_BYTES + INNER_SHARE_BYTES);

/// The one who may insert.
#[derive(Debug)]
pub struct MemtableWriter {
    table: Arc<Memtable>,
    pub(super) inserter: Inserter,
}

/// Where an entry belongs, as it was when it was looked for: where its leaf has been
/// split since, it may be one further on.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    leaf: LeafAt,
    splits: u64,
    /// Of the key, by the window that there was; the mask says whether there was one.
    head: u64,
    mask: u64,
    /// Of the key, for the hash index.
    hash: u64,
}

/// What the writer remembers from insert to insert, beside the tree itself.
#[derive(Debug)]
pub(super) struct Inserter {
    /// What entries have paid for leaves that are not there yet.
    leaves_paid_bytes: usize,
    /// What the entries of the last leaf still have to pay for it.
    last_leaf_owes_bytes: usize,
    /// What leaves have paid for inner nodes that are not there yet; below 0 where they
    /// still have to.
    inner_paid_bytes: isize,
    /// Leaves that came since the beginning.
    splits: u64,
    keys: KeysSoFar,
}

/// What the first keys have in common.
#[derive(Debug)]
struct KeysSoFar {
    first: Node,
    common: usize,
    shortest: usize,
}

/// The way from the root to a leaf: inner nodes, and which child was taken.
#[derive(Debug)]
pub(super) struct Path {
    steps: [(InnerAt, usize); LEVELS_MAX],
    levels: usize,
    pub(super) leaf: LeafAt,
}

/// An empty table, and the only writer it will ever have.
pub(super) fn table_and_writer(
    capacity_bytes: usize,
    gauge: &ArenaGauge,
) -> Result<(Arc<Memtable>, MemtableWriter)> {
    let tree = Arc::new(Tree::new(capacity_bytes, RESERVE_BYTES, gauge)?);
    let handles = Handles::new(|| Arc::clone(&tree));
    let table = Arc::new(Memtable { tree, handles });
    let keys = KeysSoFar { first: Node::NONE, common: usize::MAX, shortest: usize::MAX };
    let inserter = Inserter {
        leaves_paid_bytes: 0,
        last_leaf_owes_bytes: 0,
        inner_paid_bytes: 0,
        splits: 0,
        keys,
    };
    Ok((Arc::clone(&table), MemtableWriter { table, inserter }))
}

/// Arena bytes of an entry, or `usize::MAX`.
fn node_bytes(scoped_len: usize, value_len: usize) -> usize {
    scoped_len.saturating_add(value_len).saturating_add(HEADER_BYTES + UNIT_BYTES - 1) / UNIT_BYTES
        * UNIT_BYTES
}

/// The most arena bytes that an entry takes, its share of the nodes included.
pub(super) fn entry_bytes_max(scoped_len: usize, value_len: usize) -> usize {
    node_bytes(scoped_len, value_len).saturating_add(SHARE_BYTES)
}

/// The same of all entries whose keys and values have `bytes` in sum.
pub(super) fn entries_bytes_max(entries: usize, bytes: usize) -> usize {
    let beside = HEADER_BYTES + UNIT_BYTES - 1 + SHARE_BYTES;
    bytes.saturating_add(entries.saturating_mul(beside))
}

impl MemtableWriter {
    /// Whether `bytes` more (by [`Memtable::entry_bytes_max`]) have room.
    #[must_use]
    #[inline]
    pub fn fits(&self, bytes: usize) -> bool {
        let arena = &self.table.tree.arena;
        let taken = (arena.used_bytes() + self.inserter.leaves_paid_bytes) as isize
            + self.inserter.inner_paid_bytes
            - self.inserter.last_leaf_owes_bytes as isize;
        bytes <= (arena.capacity_bytes() as isize - taken).max(0) as usize
    }

    /// The table it writes into.
    #[must_use]
    pub fn table(&self) -> &Arc<Memtable> {
        &self.table
    }

    /// Finds the place of an insert to come, and asks for its memory, which then comes
    /// while something else is done. Other inserts may come before it.
    #[must_use]
    #[inline]
    pub fn find(&self, key: InternalKey<'_>) -> Place {
        let tree = &self.table.tree;
        let hash = filter_hash(key.scoped);
        tree.prefetch_line(hash);
        let target = tree.target(key);
        let leaf = last_leaf_of(tree, &target).unwrap_or_else(|| tree.leaf_of(&target));
        Place { leaf, splits: self.inserter.splits, head: target.head, mask: target.mask, hash }
    }

    /// Inserts one entry; no entry with the same key and tag may be there.
    ///
    /// # Panics
    ///
    /// Where it does not fit.
    #[inline]
    pub fn insert(&mut self, key: InternalKey<'_>, value: &[u8]) {
        self.insert_at(self.find(key), key, value);
    }

    /// Inserts one entry at the place that was found for it, by [`find`](Self::find) of the
    /// same key.
    ///
    /// # Panics
    ///
    /// As [`insert`](Self::insert).
    #[inline]
    pub fn insert_at(&mut self, place: Place, key: InternalKey<'_>, value: &[u8]) {
        let fits = self.fits(entry_bytes_max(key.scoped.len(), value.len()))
            && key.scoped.len().max(value.len()) <= u32::MAX as usize;
        assert!(fits, "an entry fits into its memtable");
        self.inserter.insert(&self.table.tree, place, key, value);
    }
}

impl Inserter {
    #[inline]
    fn insert(&mut self, tree: &Tree, place: Place, key: InternalKey<'_>, value: &[u8]) {
        let target = match place.mask {
            // The window was chosen since, perhaps; once chosen it stays.
            0 => tree.target(key),
            mask => Target { key, head: place.head, mask },
        };
        let mut at = place.leaf;
        if place.splits != self.splits {
            at = tree.around(&target, at).0.leaf;
        }
        // SAFETY: the only writer's, by `&mut`, so what the tree leads to is what is there.
        unsafe {
            let node = fill(tree, key, value);
            tree.line(place.hash).insert(place.hash, node, |old| {
                let old = tree.key(old);
                (old.scoped == key.scoped).then_some(old.tag < key.tag)
            });
            let leaf = tree.leaf(at);
            let order = SlotOrder(leaf.order.load(Ordering::Relaxed));
            let position = tree.position(leaf, order, &target);
            if order.count() < LEAF_ENTRIES {
                self.publish(leaf, position, node, target.head);
            } else {
                self.insert_into_full(tree, at, position, (node, &target));
            }
            let len = tree.len.load(Ordering::Relaxed) + 1;
            tree.len.store(len, Ordering::Release);
            if len <= WINDOW_ENTRIES {
                self.note_key(tree, node, len);
            }
        }
    }

    /// Fills a free slot of a leaf that is not full.
    #[inline]
    fn publish(&mut self, leaf: &Leaf, position: usize, node: Node, head: u64) {
        let order = SlotOrder(leaf.order.load(Ordering::Relaxed));
        if order.count() >= KEPT {
            self.leaves_paid_bytes += SHARE_BYTES;
        } else {
            // Nearly always for nothing: leaves that came of a split are paid for.
            self.last_leaf_owes_bytes = self.last_leaf_owes_bytes.saturating_sub(SHARE_BYTES);
        }
        let (order, slot) = order.inserted(position);
        leaf.heads[slot].store(head, Ordering::Release);
        leaf.nodes[slot].store(node.0, Ordering::Release);
        leaf.order.store(order.0, Ordering::Release);
    }

    /// # Safety
    ///
    /// The caller is the only writer; `at` is the target's leaf, full, and `position` its
    /// place there.
    #[inline(never)]
    unsafe fn insert_into_full(
        &mut self,
        tree: &Tree,
        at: LeafAt,
        position: usize,
        (node, target): (Node, &Target<'_>),
    ) {
        let path = path_to(tree, target);
        debug_assert_eq!(path.leaf, at, "the writer's own search is exact");
        // SAFETY: the caller's promise.
        unsafe {
            let is_last = tree.last_leaf.load(Ordering::Relaxed) == at.0;
            if is_last && position == LEAF_ENTRIES {
                let right = self.new_leaf(tree, at);
                self.last_leaf_owes_bytes = LEAF_PAID_BYTES;
                self.publish(tree.leaf(right), 0, node, target.head);
                link_right(tree, at, right);
                self.index(tree, &path, right);
                link_back(tree, right);
                return;
            }
            let right = self.new_leaf(tree, at);
            copy_upper_half(tree, at, right);
            link_right(tree, at, right);
            self.index(tree, &path, right);
            self.give_up_upper_half(tree, at);
            link_back(tree, right);
            if position <= KEPT {
                self.publish(tree.leaf(at), position, node, target.head);
            } else {
                self.publish(tree.leaf(right), position - KEPT, node, target.head);
            }
        }
    }

    /// An empty leaf with the links of one behind `left`.
    ///
    /// # Safety
    ///
    /// The caller is the only writer, and `left` a leaf of the tree.
    pub(super) unsafe fn new_leaf(&mut self, tree: &Tree, left: LeafAt) -> LeafAt {
        // SAFETY: the caller's promise; a leaf of zeros is one without links.
        let (at, leaf, left_leaf) = unsafe {
            let at = LeafAt(tree.arena.alloc_zeroed(LEAF_BYTES));
            (at, tree.leaf(at), tree.leaf(left))
        };
        leaf.order.store(SlotOrder::EMPTY.0, Ordering::Release);
        leaf.next.store(left_leaf.next.load(Ordering::Relaxed), Ordering::Release);
        leaf.prev.store(left.0, Ordering::Release);
        self.inner_paid_bytes += INNER_SHARE_BYTES as isize;
        self.splits += 1;
        at
    }

    /// The old leaf keeps the lower half. Slots of the upper one are free from now on, and
    /// what was paid for a leaf is used.
    ///
    /// # Safety
    ///
    /// The caller is the only writer, and `left` a full leaf of the tree.
    pub(super) unsafe fn give_up_upper_half(&mut self, tree: &Tree, left: LeafAt) {
        // SAFETY: the caller's promise.
        let leaf = unsafe { tree.leaf(left) };
        let order = SlotOrder(leaf.order.load(Ordering::Relaxed));
        leaf.order.store(order.truncated(KEPT).0, Ordering::Release);
        let splits = leaf.splits.load(Ordering::Relaxed);
        leaf.splits.store(splits.wrapping_add(1), Ordering::Release);
        self.leaves_paid_bytes -= LEAF_PAID_BYTES;
    }

    /// Makes the inner nodes lead to `right`, a leaf behind that of the path.
    ///
    /// # Safety
    ///
    /// The caller is the only writer, the path is as it is, and `right` has its entries.
    pub(super) unsafe fn index(&mut self, tree: &Tree, path: &Path, right: LeafAt) {
        // SAFETY: the caller's promise.
        let (head, first) =
            unsafe { (tree.leaf(right).heads[0].load(Ordering::Relaxed), tree.first_of(right)) };
        // SAFETY: as above.
        let is_last = unsafe { tree.leaf(right) }.next.load(Ordering::Relaxed) == LeafAt::NONE.0;
        let mut child = Child { head, first, at: right.0 };
        for &(at, taken) in path.steps[..path.levels].iter().rev() {
            // SAFETY: an inner node of the path.
            match unsafe { self.add_child(tree, at, taken + 1, child, is_last) } {
                None => return,
                Some(split) => child = split,
            }
        }
        // SAFETY: the caller's promise.
        unsafe { self.grow(tree, child) };
    }

    /// Adds a child at `place`, which `is_last` of all on its level, or not; gives the new
    /// node behind it if it had to be split.
    ///
    /// # Safety
    ///
    /// The caller is the only writer, and `at` an inner node of the tree.
    unsafe fn add_child(
        &mut self,
        tree: &Tree,
        at: InnerAt,
        place: usize,
        child: Child,
        is_last: bool,
    ) -> Option<Child> {
        // SAFETY: the caller's promise.
        let inner = unsafe { tree.inner(at) };
        let count = inner.count.load(Ordering::Relaxed) as usize;
        if count < INNER_CHILDREN {
            insert_child(inner, place, child, || ());
            return None;
        }
        debug_assert!(!is_last || place == INNER_CHILDREN, "{place}");
        // Behind all others: keys that rise, for which full nodes are left behind. Anywhere
        // else the new node would have one child, and the next split here another such node.
        let kept = if is_last { INNER_CHILDREN } else { INNER_CHILDREN / 2 };
        // SAFETY: the caller's promise.
        let (right_at, right) = unsafe { self.new_inner(tree) };
        for from in kept..INNER_CHILDREN {
            append_child(right, Child::of(inner, from));
        }
        let split = if kept == INNER_CHILDREN { child } else { Child::of(inner, kept) };
        if kept == INNER_CHILDREN {
            append_child(right, child);
        } else {
            // Readers that still come here for the upper half find the last child of the
            // lower one, and go on along the leaves.
            inner.count.store(kept as u64, Ordering::Release);
            if place <= kept {
                insert_child(inner, place, child, || ());
            } else {
                insert_child(right, place - kept, child, || ());
            }
        }
        Some(Child { at: right_at.0, ..split })
    }

    /// A new root over the old one and `right`.
    ///
    /// # Safety
    ///
    /// The caller is the only writer.
    unsafe fn grow(&mut self, tree: &Tree, right: Child) {
        let root = tree.root.load(Ordering::Relaxed);
        // SAFETY: the caller's promise.
        let (at, inner) = unsafe { self.new_inner(tree) };
        append_child(inner, Child { head: 0, first: right.first, at: root as u32 });
        append_child(inner, right);
        let levels = (root >> 32) + 1;
        tree.root.store(levels << 32 | u64::from(at.0), Ordering::Release);
    }

    /// # Safety
    ///
    /// The caller is the only writer.
    unsafe fn new_inner<'t>(&mut self, tree: &'t Tree) -> (InnerAt, &'t Inner) {
        self.inner_paid_bytes -= INNER_PAID_BYTES as isize - INNER_SHARE_BYTES as isize;
        // SAFETY: the caller's promise; zeros are an inner node without children.
        unsafe {
            let at = InnerAt(tree.arena.alloc_zeroed(INNER_BYTES));
            (at, tree.inner(at))
        }
    }

    /// Learns from one of the first keys; the last of them chooses the window.
    #[cold]
    fn note_key(&mut self, tree: &Tree, node: Node, len: usize) {
        // SAFETY: just inserted.
        let key = unsafe { tree.key(node) }.scoped;
        if len == 1 {
            self.keys = KeysSoFar { first: node, common: key.len(), shortest: key.len() };
        }
        let keys = &mut self.keys;
        // SAFETY: `first` was inserted into this tree.
        let first = unsafe { tree.key(keys.first) }.scoped;
        let common = first.iter().zip(key).take_while(|(a, b)| a == b).count();
        keys.common = keys.common.min(common);
        keys.shortest = keys.shortest.min(key.len());
        if len == WINDOW_ENTRIES {
            let prefix_len = Window::prefix_len(keys.common, keys.shortest);
            let (first, prefix) = (keys.first, &first[..prefix_len]);
            write_heads(tree, &Window::new(prefix));
            let chosen = u64::from(first.0) << 32 | 1 << 31 | prefix_len as u64;
            tree.window.store(chosen, Ordering::Release);
        }
    }
}

/// The last leaf, if the target is behind all of its entries.
#[inline]
fn last_leaf_of(tree: &Tree, target: &Target<'_>) -> Option<LeafAt> {
    let at = LeafAt(tree.last_leaf.load(Ordering::Relaxed));
    // SAFETY: a leaf of this tree, whose slots in use have entries of it.
    unsafe {
        let leaf = tree.leaf(at);
        let order = SlotOrder(leaf.order.load(Ordering::Relaxed));
        let slot = order.slot(order.count().checked_sub(1)?);
        let head = leaf.heads[slot].load(Ordering::Relaxed) & target.mask;
        let is_behind = if head == target.head {
            tree.key(Node(leaf.nodes[slot].load(Ordering::Relaxed))) < target.key
        } else {
            head < target.head
        };
        is_behind.then_some(at)
    }
}

/// The way to the target's leaf. By the writer, for whom it is exact.
pub(super) fn path_to(tree: &Tree, target: &Target<'_>) -> Path {
    let root = tree.root.load(Ordering::Relaxed);
    let levels = (root >> 32) as usize;
    let mut path = Path { steps: [(InnerAt(0), 0); LEVELS_MAX], levels, leaf: LeafAt::NONE };
    let mut at = root as u32;
    for step in &mut path.steps[..levels] {
        // SAFETY: as many levels below the root are inner nodes.
        let child = unsafe { tree.child(InnerAt(at), target) };
        *step = (InnerAt(at), child);
        // SAFETY: as above.
        at = unsafe { tree.inner(InnerAt(at)) }.children[child].load(Ordering::Relaxed);
    }
    path.leaf = LeafAt(at);
    path
}

/// Takes a piece of the arena and writes an entry that nobody knows yet.
///
/// # Safety
///
/// The caller is the only writer and knows that it fits.
#[inline]
unsafe fn fill(tree: &Tree, key: InternalKey<'_>, value: &[u8]) -> Node {
    let (scoped, tag) = (key.scoped, key.tag);
    // SAFETY: one writer by the caller's promise. All stores lie within what was taken:
    // the header, key and value; nobody else knows the place yet.
    unsafe {
        let node = Node(tree.arena.alloc(node_bytes(scoped.len(), value.len())));
        let at = tree.arena.ptr(node.0, 0);
        at.cast::<u64>().write(tag.0);
        at.add(8).cast::<u32>().write(scoped.len() as u32);
        at.add(12).cast::<u32>().write(value.len() as u32);
        let key_at = at.add(HEADER_BYTES);
        key_at.copy_from_nonoverlapping(scoped.as_ptr(), scoped.len());
        key_at.add(scoped.len()).copy_from_nonoverlapping(value.as_ptr(), value.len());
        node
    }
}

/// Writes all heads by `window`. No reader looks at them yet.
fn write_heads(tree: &Tree, window: &Window<'_>) {
    // SAFETY: what the tree leads to are its own leaves, inner nodes and entries.
    let head_of = |node: u32| window.head(unsafe { tree.key(Node(node)) }.scoped);
    let mut at = FIRST_LEAF;
    while at != LeafAt::NONE {
        // SAFETY: as above.
        let leaf = unsafe { tree.leaf(at) };
        let order = SlotOrder(leaf.order.load(Ordering::Relaxed));
        for slot in (0..order.count()).map(|position| order.slot(position)) {
            let head = head_of(leaf.nodes[slot].load(Ordering::Relaxed));
            leaf.heads[slot].store(head, Ordering::Release);
        }
        at = LeafAt(leaf.next.load(Ordering::Relaxed));
    }
    let root = tree.root.load(Ordering::Relaxed);
    let mut level = vec![root as u32];
    for below in (0..root >> 32).rev() {
        let mut children = Vec::new();
        for at in level {
            // SAFETY: as above.
            let inner = unsafe { tree.inner(InnerAt(at)) };
            for place in 0..inner.count.load(Ordering::Relaxed) as usize {
                let head = head_of(inner.firsts[place].load(Ordering::Relaxed));
                inner.heads[place].store(head, Ordering::Release);
                children.push(inner.children[place].load(Ordering::Relaxed));
            }
        }
        level = if below > 0 { children } else { Vec::new() };
    }
}
