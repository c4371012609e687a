//! The skiplist: its nodes, its heads, and the search that readers make.
//!
//! ```text
//! node, at a multiple of 8 bytes; a node's offset is where its tag stands
//!
//!   slot h-1 | ... | slot 1 | slot 0 | tag 8 | key bytes 4, value bytes 4 | key | value | pad
//!                                    ^ offset
//! slot l (16 bytes), for level l
//!
//!   head of the next node's key 8 | offset of the next node 4 | level 0: of the previous one 4
//! ```
//!
//! The root is a node without tag and key at a fixed offset; offset 0 means none.
//! Entries are ordered by key ascending, then by tag descending. Nothing is ever
//! removed.
//!
//! # Heads
//!
//! A head is 8 bytes of a key as a big-endian number. It stands in the slot that
//! leads to the node, so that most steps are decided without touching the next
//! node, which is the cache miss that a search consists of. Which 8 bytes is a
//! choice for the whole list, the *window*, made once from the first keys: keys
//! begin with a keyspace id and often with long runs of the same bytes, where a
//! fixed place would make all heads equal. A window is a prefix P, and
//!
//! ```text
//! head(key) = the 8 bytes behind P, zeros where the key ends    if key starts with P
//!             0                                                 if key < P otherwise
//!             MAX                                               if key > P otherwise
//! ```
//!
//! which never falls as keys rise: `a <= b` implies `head(a) <= head(b)`. So
//! unequal heads decide, and equal ones ask for the keys; P is a matter of speed
//! only. Until a window is chosen all heads count as equal (the mask is 0). The
//! writer chooses it by writing every head anew and then publishing P with
//! Release: who sees P sees such heads, who does not looks at none.
//!
//! # Readers beside the writer
//!
//! The writer fills a node, then for each level from below stores first the
//! offset, then the head into the slot before it, each with Release. A reader
//! loads first the head, then the offset, each with Acquire. Thus the offset is
//! at least as new as the head; since at a slot only nodes that sort earlier come
//! in, **the node at the offset is at or before the one that the head is of**:
//!
//! * head below the target's: the node is before the target too; going on to it
//!   is right (and it is not "none": that has the head MAX until the offset is in).
//! * heads equal: the node itself is compared, so what follows is right for it.
//! * head above: the reader goes down, which is always right. What it may pass
//!   over are nodes whose head it did not see. An entry published before the
//!   search began is not among them: its store of the head happened before.
//!
//! So a search ends on level 0 at some node before the target, and no published
//! entry lies between them but behind the head that was seen. There the offset may
//! still lead to newer nodes before the target: [`Skiplist::at_or_behind`] walks
//! over these by comparing keys. Backward links are stored last; a reader that
//! meets an old one misses only entries that were not published.

use std::cmp::Ordering as Order;

use super::ArenaGauge;
use super::arena::{Arena, UNIT_BYTES};
use crate::error::Result;
use crate::key::{InternalKey, Tag};
use crate::sync::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Levels; with one node in four on the next one up, enough for 4^12 entries.
pub(super) const LEVELS_MAX: usize = 12;
pub(super) const SLOT_BYTES: usize = 16;
/// Tag and lengths.
pub(super) const HEADER_BYTES: usize = 16;
const ROOT_BYTES: usize = LEVELS_MAX * SLOT_BYTES;
const ROOT: Node = Node((ROOT_BYTES / UNIT_BYTES) as u32);
/// The head in a slot that leads nowhere.
pub(super) const HEAD_NONE: u64 = u64::MAX;

/// The offset of a node in the arena, in units of 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Node(pub(super) u32);

impl Node {
    pub(super) const NONE: Node = Node(0);
}

/// The link to the next node on one level.
#[repr(C)]
pub(super) struct Slot {
    pub(super) head: AtomicU64,
    pub(super) next: AtomicU32,
    /// Used on level 0 only.
    pub(super) prev: AtomicU32,
}

/// A skiplist in an arena. Its functions on a [`Node`] are unsafe in that the node
/// must be one of this list, which whoever holds a node keeps.
pub(super) struct Skiplist {
    pub(super) arena: Arena,
    /// Levels in use; one that is old only makes a search start lower.
    pub(super) levels: AtomicUsize,
    pub(super) last: AtomicU32,
    pub(super) len: AtomicUsize,
    /// 0: none yet. Else the offset of a node << 32 | 1 << 31 | bytes of its key.
    pub(super) window: AtomicU64,
}

/// The window as one search sees it.
#[derive(Clone, Copy)]
pub(super) struct Window<'a> {
    prefix: &'a [u8],
    /// All ones, or 0 where there is no window yet.
    pub(super) mask: u64,
}

/// What is looked for, with its head.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) key: InternalKey<'a>,
    pub(super) head: u64,
    pub(super) mask: u64,
}

impl Skiplist {
    pub(super) fn new(capacity_bytes: usize, gauge: &ArenaGauge) -> Result<Skiplist> {
        let list = Skiplist {
            // The root's own place holds no tag; its end is where it would stand.
            arena: Arena::new(ROOT_BYTES, capacity_bytes, gauge)?,
            levels: AtomicUsize::new(1),
            last: AtomicU32::new(ROOT.0),
            len: AtomicUsize::new(0),
            window: AtomicU64::new(0),
        };
        for level in 0..LEVELS_MAX {
            // SAFETY: the root has all levels.
            let slot = unsafe { list.slot(ROOT, level) };
            slot.head.store(HEAD_NONE, Ordering::Relaxed);
        }
        Ok(list)
    }

    pub(super) fn root(&self) -> Node {
        ROOT
    }

    /// The first node, or none.
    pub(super) fn first(&self) -> Node {
        // SAFETY: the root has all levels.
        unsafe { self.next(ROOT, 0) }
    }

    /// The last node, or the root.
    pub(super) fn last(&self) -> Node {
        Node(self.last.load(Ordering::Acquire))
    }

    #[inline]
    pub(super) fn window(&self) -> Window<'_> {
        let chosen = self.window.load(Ordering::Acquire);
        if chosen == 0 {
            return Window { prefix: &[], mask: 0 };
        }
        let len = (chosen as u32 & !(1 << 31)) as usize;
        // SAFETY: the writer names a node of this list whose key is no shorter.
        let prefix = unsafe { self.bytes(Node((chosen >> 32) as u32), 0, len) };
        Window::new(prefix)
    }

    #[inline]
    pub(super) fn target<'a>(&self, key: InternalKey<'a>) -> Target<'a> {
        let window = self.window();
        Target { key, head: window.head(key.scoped), mask: window.mask }
    }

    /// The slot of `node` for `level`.
    ///
    /// # Safety
    ///
    /// `node` is the root or a node of this list, and at least `level + 1` high.
    #[inline]
    pub(super) unsafe fn slot(&self, node: Node, level: usize) -> &Slot {
        // SAFETY: by the caller's promise it lies in what the node took of the
        // arena; it was written, or zeroed, before the node's offset was given
        // out, and is changed through atomics only.
        unsafe {
            let end = self.arena.ptr(node.0, 0);
            &*end.sub((level + 1) * SLOT_BYTES).cast::<Slot>()
        }
    }

    /// `len` bytes that stand `start` bytes behind the node's header.
    ///
    /// # Safety
    ///
    /// `node` is a node of this list, not the root, and has that many.
    #[inline]
    pub(super) unsafe fn bytes(&self, node: Node, start: usize, len: usize) -> &[u8] {
        // SAFETY: key and value were written before the node's offset was given
        // out and never change; the slice lives no longer than the arena.
        unsafe { std::slice::from_raw_parts(self.arena.ptr(node.0, HEADER_BYTES + start), len) }
    }

    /// # Safety
    ///
    /// `node` is a node of this list, not the root.
    #[inline]
    unsafe fn header(&self, node: Node) -> (Tag, usize, usize) {
        // SAFETY: written before the node's offset was given out, and aligned to 8.
        unsafe {
            let at = self.arena.ptr(node.0, 0);
            let lens = at.add(8).cast::<u32>();
            (Tag(at.cast::<u64>().read()), lens.read() as usize, lens.add(1).read() as usize)
        }
    }

    /// # Safety
    ///
    /// `node` is a node of this list, not the root.
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
    /// `node` is a node of this list, not the root.
    #[inline]
    pub(super) unsafe fn value(&self, node: Node) -> &[u8] {
        // SAFETY: the caller's promise; the header says how long the value is.
        unsafe {
            let (_, key_len, value_len) = self.header(node);
            self.bytes(node, key_len, value_len)
        }
    }

    /// Whether `node` sorts before the target.
    ///
    /// # Safety
    ///
    /// `node` is a node of this list, not the root.
    #[inline]
    pub(super) unsafe fn is_before(&self, node: Node, target: &Target<'_>) -> bool {
        // SAFETY: the caller's promise.
        let key = unsafe { self.key(node) };
        key.cmp(&target.key) == Order::Less
    }

    /// The next node on `level`, by reading its offset alone.
    ///
    /// # Safety
    ///
    /// As [`Skiplist::slot`].
    #[inline]
    pub(super) unsafe fn next(&self, node: Node, level: usize) -> Node {
        // SAFETY: the caller's promise.
        Node(unsafe { self.slot(node, level) }.next.load(Ordering::Acquire))
    }

    /// Asks for the slots of `node`; none and any other value is harmless.
    #[inline]
    fn prefetch(&self, node: Node) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        // SAFETY: a hint; the address is computed without claims and not read by it.
        unsafe {
            use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(self.arena.hint(node.0, SLOT_BYTES));
        }
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        let _ = node;
    }

    /// The node before, or the root.
    ///
    /// # Safety
    ///
    /// `node` is a node of this list, not the root.
    #[inline]
    pub(super) unsafe fn prev(&self, node: Node) -> Node {
        // SAFETY: the caller's promise.
        Node(unsafe { self.slot(node, 0) }.prev.load(Ordering::Acquire))
    }

    /// From `node`, which is before the target, along `level` to the last node
    /// there that is.
    ///
    /// # Safety
    ///
    /// As [`Skiplist::slot`].
    #[inline]
    pub(super) unsafe fn along(
        &self,
        mut node: Node,
        level: usize,
        target: &Target<'_>,
        behind: &mut Node,
    ) -> (Node, Order) {
        loop {
            // SAFETY: the caller's promise; from then on a node that a slot of
            // this level leads to, which is thus as high.
            let slot = unsafe { self.slot(node, level) };
            let head = slot.head.load(Ordering::Acquire) & target.mask;
            if level > 0 {
                // Where the search goes if it goes down: half of the time.
                // SAFETY: as high as `level`, so higher than the one below.
                self.prefetch(unsafe { self.next(node, level - 1) });
            }
            if head > target.head {
                return (node, Order::Greater);
            }
            let next = Node(slot.next.load(Ordering::Acquire));
            if head == target.head {
                if next == Node::NONE || next == *behind {
                    return (node, Order::Equal);
                }
                // SAFETY: as above.
                if !unsafe { self.is_before(next, target) } {
                    *behind = next;
                    return (node, Order::Equal);
                }
            }
            node = next;
        }
    }

    /// The search down to level 0: the last node found before the target (or the
    /// root), and how its last head compared with the target's.
    #[inline]
    fn descend(&self, target: &Target<'_>) -> (Node, Order) {
        let mut behind = Node::NONE;
        let mut node = ROOT;
        let mut level = self.levels.load(Ordering::Acquire);
        loop {
            level -= 1;
            // SAFETY: the root has all levels, and `along` stays on one.
            let (at, order) = unsafe { self.along(node, level, target, &mut behind) };
            if level == 0 {
                return (at, order);
            }
            node = at;
        }
    }

    /// The last node before `key`, or the root, and the one behind it, or none.
    #[inline]
    pub(super) fn around(&self, key: InternalKey<'_>) -> (Node, Node) {
        let target = self.target(key);
        self.at_or_behind(self.descend(&target).0, &target)
    }

    /// The same for one who stands at `node`, before the target, on level 0.
    #[inline]
    fn at_or_behind(&self, mut node: Node, target: &Target<'_>) -> (Node, Node) {
        loop {
            // SAFETY: a node of this list, or the root; each has level 0.
            let next = unsafe { self.next(node, 0) };
            // SAFETY: as above.
            if next == Node::NONE || !unsafe { self.is_before(next, target) } {
                return (node, next);
            }
            node = next;
        }
    }

    /// The first node at or behind `key` if it has the same scoped key.
    #[inline]
    pub(super) fn find(&self, key: InternalKey<'_>) -> Option<Node> {
        let target = self.target(key);
        let (node, order) = self.descend(&target);
        if order == Order::Greater {
            // What is published behind `node` has a greater head, thus another key.
            return None;
        }
        let (_, next) = self.at_or_behind(node, &target);
        // SAFETY: a node of this list.
        let same = next != Node::NONE && unsafe { self.key(next) }.scoped == key.scoped;
        same.then_some(next)
    }
}

impl<'a> Window<'a> {
    pub(super) fn new(prefix: &'a [u8]) -> Window<'a> {
        Window { prefix, mask: u64::MAX }
    }

    /// The length of the prefix for keys that share the first `common` bytes and
    /// have at least `shortest`. The window ends where the keys end
    /// rather than starting where they part: numbers that count up would leave it
    /// with the first carry.
    pub(super) fn prefix_len(common: usize, shortest: usize) -> usize {
        common.min(shortest.saturating_sub(8)).min(u16::MAX.into())
    }

    #[inline]
    pub(super) fn head(&self, key: &[u8]) -> u64 {
        let len = self.prefix.len();
        if self.mask == 0 {
            return 0;
        }
        if let Some((start, rest)) = key.split_at_checked(len)
            && start == self.prefix
        {
            if let Some(head) = rest.first_chunk::<8>() {
                return u64::from_be_bytes(*head);
            }
            let mut head = [0; 8];
            head[..rest.len()].copy_from_slice(rest);
            return u64::from_be_bytes(head);
        }
        if key < self.prefix { 0 } else { u64::MAX }
    }
}
