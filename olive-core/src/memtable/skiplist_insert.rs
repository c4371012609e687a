//! The skiplist's one writer.
//!
//! ```text
//! insert   where:   from the last insert's position upward until the key is
//!                   bracketed, then down (sequential keys: level 0, at once);
//!                   keys before the last one: from the top
//!          node:    one piece of the arena; its slots take over what the slots
//!                   before it hold
//!          publish: on each level from below the offset, then the head; then the
//!                   backward link of the node behind
//! ```
//!
//! The order of stores is what readers rely on: see skiplist.rs.
//!
//! # How high a node is
//!
//! One node in four goes on to the next level. So that the room which an entry
//! may take is known beforehand, and is little more than what it does take, each
//! entry saves one slot and a tower is built of slots saved: what is saved and not
//! yet used counts as taken in [`MemtableWriter::fits`]. An entry uses 1/3 slot on
//! average, so a tower is cut only in a list of a few entries.

use super::skiplist::{
    HEAD_NONE, HEADER_BYTES, LEVELS_MAX, Node, SLOT_BYTES, Skiplist, Slot, Target, Window,
};
use super::{ArenaGauge, Memtable, arena::UNIT_BYTES};
use crate::error::Result;
use crate::key::InternalKey;
use crate::sync::{Arc, AtomicU32, AtomicU64, Ordering};

/// Entries after which the window of the heads is chosen.
const WINDOW_ENTRIES: usize = 64;
/// Slots that each entry saves for towers.
const SAVED_SLOTS: usize = 1;
/// Of this many nodes one goes on to the next level.
const BRANCHING_BITS: u32 = 2;

/// The one who may insert.
#[derive(Debug)]
pub struct MemtableWriter {
    table: Arc<Memtable>,
    inserter: Inserter,
}

/// What the writer remembers from insert to insert, beside the list itself.
#[derive(Debug)]
struct Inserter {
    /// On each level the last node at or before the last insert.
    path: [Node; LEVELS_MAX],
    saved_slots: usize,
    random: u64,
    keys: KeysSoFar,
}

/// What the first keys have in common.
#[derive(Debug)]
struct KeysSoFar {
    first: Node,
    common: usize,
    shortest: usize,
}

/// An empty table, and the only writer it will ever have.
pub(super) fn table_and_writer(
    capacity_bytes: usize,
    gauge: &ArenaGauge,
) -> Result<(Arc<Memtable>, MemtableWriter)> {
    let list = Skiplist::new(capacity_bytes, gauge)?;
    let root = list.root();
    let table = Arc::new(Memtable { list });
    let inserter = Inserter {
        path: [root; LEVELS_MAX],
        saved_slots: 0,
        random: 0x9E37_79B9_7F4A_7C15,
        keys: KeysSoFar { first: Node::NONE, common: usize::MAX, shortest: usize::MAX },
    };
    Ok((Arc::clone(&table), MemtableWriter { table, inserter }))
}

/// Arena bytes of a node with a tower of `height`, or `usize::MAX`.
fn node_bytes(scoped_len: usize, value_len: usize, height: usize) -> usize {
    scoped_len
        .saturating_add(value_len)
        .saturating_add(HEADER_BYTES + height * SLOT_BYTES + UNIT_BYTES - 1)
        / UNIT_BYTES
        * UNIT_BYTES
}

/// The most arena bytes that an entry takes or saves.
pub(super) fn entry_bytes_max(scoped_len: usize, value_len: usize) -> usize {
    node_bytes(scoped_len, value_len, 1 + SAVED_SLOTS)
}

impl MemtableWriter {
    /// Whether `bytes` more (by [`Memtable::entry_bytes_max`]) have room.
    #[must_use]
    #[inline]
    pub fn fits(&self, bytes: usize) -> bool {
        let arena = &self.table.list.arena;
        let taken = arena.used_bytes() + self.inserter.saved_slots * SLOT_BYTES;
        bytes <= arena.capacity_bytes().saturating_sub(taken)
    }

    /// The table it writes into.
    #[must_use]
    pub fn table(&self) -> &Arc<Memtable> {
        &self.table
    }

    /// Inserts one entry; no entry with the same key and tag may be there.
    ///
    /// # Panics
    ///
    /// Where it does not fit.
    pub fn insert(&mut self, key: InternalKey<'_>, value: &[u8]) {
        let fits = self.fits(entry_bytes_max(key.scoped.len(), value.len()))
            && key.scoped.len().max(value.len()) <= u32::MAX as usize;
        assert!(fits, "an entry fits into its memtable");
        self.inserter.insert(&self.table.list, key, value);
    }
}

impl Inserter {
    #[inline]
    fn insert(&mut self, list: &Skiplist, key: InternalKey<'_>, value: &[u8]) {
        let target = list.target(key);
        let height = self.next_height();
        self.find_path(list, &target);
        // SAFETY: the only writer's, by `&mut`; `find_path` left on each level
        // the node to link behind.
        unsafe {
            let node = fill(list, key, value, height);
            self.link(list, node, height, target.head);
        }
        let len = list.len.load(Ordering::Relaxed) + 1;
        list.len.store(len, Ordering::Release);
        if len <= WINDOW_ENTRIES {
            self.note_key(list, key.scoped, len);
        }
    }

    /// Draws the height of the next node, within the slots saved.
    #[inline]
    fn next_height(&mut self) -> usize {
        // xorshift64*, whose upper half is the good one.
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let draw = self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32 | 1 << 32;
        let more = (draw.trailing_zeros() / BRANCHING_BITS) as usize;
        let saved = self.saved_slots + SAVED_SLOTS;
        let more = more.min(LEVELS_MAX - 1).min(saved);
        self.saved_slots = (saved - more).min(LEVELS_MAX - 1);
        1 + more
    }

    /// Moves the path to the place of `target`: on each level the last node before.
    #[inline]
    fn find_path(&mut self, list: &Skiplist, target: &Target<'_>) {
        let levels = list.levels.load(Ordering::Relaxed);
        let (mut level, mut node) = (levels, list.root());
        let mut behind = Node::NONE;
        // SAFETY: nodes of the path are nodes of this list, or its root, as high
        // as their place in the path; so are those that `along` finds from them.
        unsafe {
            if self.path[0] != list.root() && list.is_before(self.path[0], target) {
                // Where nothing on a level lies between the last insert and the
                // target, nothing does on those above, and the path holds there.
                level = 0;
                while level < levels && precedes(list, self.path[level], level, target) {
                    level += 1;
                }
                node = self.path[level.saturating_sub(1)];
            }
            while level > 0 {
                level -= 1;
                node = list.along(node, level, target, &mut behind).0;
                self.path[level] = node;
            }
        }
    }

    /// Publishes `node` behind the path, and moves the path onto it.
    ///
    /// # Safety
    ///
    /// `node` was just filled, with `height`, and the path is its place.
    #[inline]
    unsafe fn link(&mut self, list: &Skiplist, node: Node, height: usize, head: u64) {
        // SAFETY: the caller's promise; one writer, so nothing moves in between.
        unsafe {
            let behind = list.next(self.path[0], 0);
            for level in 0..height {
                let before = list.slot(self.path[level], level);
                let slot = list.slot(node, level);
                slot.head.store(before.head.load(Ordering::Relaxed), Ordering::Relaxed);
                slot.next.store(before.next.load(Ordering::Relaxed), Ordering::Relaxed);
            }
            list.slot(node, 0).prev.store(self.path[0].0, Ordering::Relaxed);
            for level in 0..height {
                let before = list.slot(self.path[level], level);
                before.next.store(node.0, Ordering::Release);
                before.head.store(head, Ordering::Release);
                self.path[level] = node;
            }
            if behind == Node::NONE {
                list.last.store(node.0, Ordering::Release);
            } else {
                list.slot(behind, 0).prev.store(node.0, Ordering::Release);
            }
        }
        if height > list.levels.load(Ordering::Relaxed) {
            list.levels.store(height, Ordering::Release);
        }
    }

    /// Learns from one of the first keys; the last of them chooses the window.
    #[cold]
    fn note_key(&mut self, list: &Skiplist, key: &[u8], len: usize) {
        if len == 1 {
            self.keys = KeysSoFar { first: self.path[0], common: key.len(), shortest: key.len() };
        }
        let keys = &mut self.keys;
        // SAFETY: `first` was inserted into this list.
        let first = unsafe { list.key(keys.first) }.scoped;
        let common = first.iter().zip(key).take_while(|(a, b)| a == b).count();
        keys.common = keys.common.min(common);
        keys.shortest = keys.shortest.min(key.len());
        if len == WINDOW_ENTRIES {
            let prefix_len = Window::prefix_len(keys.common, keys.shortest);
            let (first, prefix) = (keys.first, &first[..prefix_len]);
            write_heads(list, &Window::new(prefix));
            let chosen = u64::from(first.0) << 32 | 1 << 31 | prefix_len as u64;
            list.window.store(chosen, Ordering::Release);
        }
    }
}

/// Whether the node behind `node` on `level` is before the target.
///
/// # Safety
///
/// As `Skiplist::slot`; the writer's own, so head and offset are of one node.
#[inline]
unsafe fn precedes(list: &Skiplist, node: Node, level: usize, target: &Target<'_>) -> bool {
    // SAFETY: the caller's promise.
    let slot = unsafe { list.slot(node, level) };
    let head = slot.head.load(Ordering::Relaxed) & target.mask;
    if head != target.head {
        return head < target.head;
    }
    let next = Node(slot.next.load(Ordering::Relaxed));
    // SAFETY: what a slot leads to is a node of this list.
    next != Node::NONE && unsafe { list.is_before(next, target) }
}

/// Takes a node of the arena and writes all but its links, which lead nowhere.
///
/// # Safety
///
/// The caller is the only writer and knows that it fits.
#[inline]
unsafe fn fill(list: &Skiplist, key: InternalKey<'_>, value: &[u8], height: usize) -> Node {
    let (scoped, tag) = (key.scoped, key.tag);
    let bytes = node_bytes(scoped.len(), value.len(), height);
    // SAFETY: one writer by the caller's promise. All stores lie within `bytes`:
    // `height` slots, the header, key and value; nobody else knows the place yet.
    unsafe {
        let start = list.arena.alloc(bytes);
        let node = Node(start + (height * SLOT_BYTES / UNIT_BYTES) as u32);
        let slots = list.arena.ptr(start, 0).cast::<Slot>();
        for slot in 0..height {
            slots.add(slot).write(Slot {
                head: AtomicU64::new(HEAD_NONE),
                next: AtomicU32::new(0),
                prev: AtomicU32::new(0),
            });
        }
        let at = list.arena.ptr(node.0, 0);
        at.cast::<u64>().write(tag.0);
        at.add(8).cast::<u32>().write(scoped.len() as u32);
        at.add(12).cast::<u32>().write(value.len() as u32);
        let key_at = at.add(HEADER_BYTES);
        key_at.copy_from_nonoverlapping(scoped.as_ptr(), scoped.len());
        key_at.add(scoped.len()).copy_from_nonoverlapping(value.as_ptr(), value.len());
        node
    }
}

/// Writes the heads of all slots by `window`. No reader looks at them yet.
fn write_heads(list: &Skiplist, window: &Window<'_>) {
    for level in 0..list.levels.load(Ordering::Relaxed) {
        let mut node = list.root();
        loop {
            // SAFETY: the root, or a node that a slot of this level leads to.
            let slot = unsafe { list.slot(node, level) };
            let next = Node(slot.next.load(Ordering::Relaxed));
            if next == Node::NONE {
                slot.head.store(HEAD_NONE, Ordering::Relaxed);
                break;
            }
            // SAFETY: as above.
            let head = window.head(unsafe { list.key(next) }.scoped);
            slot.head.store(head, Ordering::Relaxed);
            node = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Kind, SeqNo, Tag};

    fn key(n: u64) -> Vec<u8> {
        format!("\x01{n:016}").into_bytes()
    }

    /// What a reader meets between the two stores of `link`, which threads hit too
    /// seldom: an offset that leads to a new node beside the head of the old one.
    #[test]
    fn a_half_linked_node_hides_nothing_and_is_not_mistaken_for_another() {
        for new in [1, 201, 399] {
            let (table, mut writer) = table_and_writer(1 << 20, &ArenaGauge::new()).unwrap();
            for n in (0..400).step_by(2) {
                writer.insert(InternalKey::new(&key(n), Tag::new(SeqNo(1), Kind::Put)), b"");
            }
            let (list, scoped) = (&table.list, key(new));
            let new_key = InternalKey::new(&scoped, Tag::new(SeqNo(2), Kind::Put));
            writer.inserter.find_path(list, &list.target(new_key));
            // SAFETY: the writer is here, and does not insert from now on.
            unsafe {
                let node = fill(list, new_key, b"", 1);
                let before = list.slot(writer.inserter.path[0], 0);
                let slot = list.slot(node, 0);
                slot.head.store(before.head.load(Ordering::Relaxed), Ordering::Relaxed);
                slot.next.store(before.next.load(Ordering::Relaxed), Ordering::Relaxed);
                slot.prev.store(writer.inserter.path[0].0, Ordering::Relaxed);
                before.next.store(node.0, Ordering::Release);
            }
            for n in 0..402 {
                let found = table.get(&key(n), SeqNo(1)).is_some();
                assert_eq!(found, n % 2 == 0 && n < 400, "{n} beside {new}");
                let scoped = key(n);
                let target = InternalKey::seek(&scoped, SeqNo::MAX);
                let (before, behind) = list.around(target);
                // SAFETY: nodes of this list, the root and none set apart.
                unsafe {
                    assert!(before == list.root() || list.key(before) < target, "{n}");
                    assert!(behind == Node::NONE || list.key(behind) >= target, "{n}");
                }
            }
        }
    }
}
