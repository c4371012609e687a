//! The cursor over a memtable, and values that pin it. Both hold the tree and an
//! entry of it, which is what makes their reads of the entry sound.

use super::Memtable;
use super::tree::{FIRST_LEAF, LeafRun, Tree};
use super::tree_nodes::{HEADER_BYTES, LEAF_BYTES, LEAF_ENTRIES, LeafAt, Node};
use crate::error::Result;
use crate::format::filter::filter_hash;
use crate::internal_iter::InternalIter;
use crate::key::{InternalKey, SeqNo, Tag};
use crate::sync::{Arc, OwnLines};
use crate::value::{Pinned, Value};

/// Values up to this long are copied: a handle that pins needs an allocation too,
/// and keeps the whole arena.
const COPIED_BYTES_MAX: usize = 512;
/// How much of each entry a cursor asks for ahead: header, key, and a short value.
const AHEAD_BYTES: usize = HEADER_BYTES + 112;

/// A cursor over a memtable, which it keeps. A step allocates nothing. It walks each
/// leaf as it was when the cursor came there: entries that are inserted later may be
/// met or not.
#[derive(Debug)]
pub struct MemtableIter {
    table: Arc<Memtable>,
    run: LeafRun,
    /// In the run; its count where the cursor stands on no entry.
    position: usize,
}

impl Memtable {
    /// The newest version of `scoped` at or below `seq`, in place.
    #[cfg_attr(
        not(any(test, feature = "internals")),
        expect(dead_code, reason = "the engine knows the hash")
    )]
    #[must_use]
    #[inline]
    pub fn get(&self, scoped: &[u8], seq: SeqNo) -> Option<(Tag, &[u8])> {
        self.get_hashed(scoped, filter_hash(scoped), seq)
    }

    /// The same, for who knows the key's `filter_hash`.
    #[must_use]
    #[inline]
    pub fn get_hashed(&self, scoped: &[u8], hash: u64, seq: SeqNo) -> Option<(Tag, &[u8])> {
        let node = self.tree.find_hashed(scoped, hash, seq)?;
        // SAFETY: found in this tree.
        unsafe { Some((self.tree.key(node).tag, self.tree.value(node))) }
    }

    /// What [`get`](Self::get) gives, by the tree alone.
    #[cfg(test)]
    pub(super) fn get_by_tree(&self, scoped: &[u8], seq: SeqNo) -> Option<(Tag, &[u8])> {
        let node = self.tree.find(InternalKey::seek(scoped, seq))?;
        // SAFETY: found in this tree.
        unsafe { Some((self.tree.key(node).tag, self.tree.value(node))) }
    }

    /// Asks for the line of the hash index that a [`get`](Self::get) reads first.
    #[inline]
    pub fn prefetch_index(&self, hash: u64) {
        self.tree.prefetch_line(hash);
    }

    /// Asks for the entry that a [`get`](Self::get) will find, if there is one. Reads the
    /// line of the hash index.
    #[inline]
    pub fn prefetch_entry(&self, hash: u64) {
        if let Some(node) = self.tree.line(hash).candidates(hash).next() {
            self.tree.prefetch(node.0, AHEAD_BYTES);
        }
    }

    /// The same as a handle: a copy if it is small or if `copy` says so, otherwise
    /// in place, holding the arena.
    #[must_use]
    pub fn get_value(
        self: &Arc<Self>,
        scoped: &[u8],
        seq: SeqNo,
        copy: bool,
    ) -> Option<(Tag, Value)> {
        let node = self.tree.find_hashed(scoped, filter_hash(scoped), seq)?;
        // SAFETY: found in this tree.
        unsafe { Some((self.tree.key(node).tag, value_of(self, node, copy))) }
    }

    /// A cursor that holds the memtable. It stands on no entry yet.
    #[must_use]
    pub fn iter(self: &Arc<Self>) -> MemtableIter {
        let run = LeafRun {
            leaf: FIRST_LEAF,
            next: LeafAt::NONE,
            nodes: [Node::NONE; LEAF_ENTRIES],
            count: 0,
        };
        MemtableIter { table: Arc::clone(self), run, position: 0 }
    }
}

/// # Safety
///
/// `node` is an entry of the table's tree.
unsafe fn value_of(table: &Arc<Memtable>, node: Node, copy: bool) -> Value {
    // SAFETY: the caller's promise.
    let value = unsafe { table.tree.value(node) };
    if copy || value.len() <= COPIED_BYTES_MAX {
        Value::copied(value)
    } else {
        Value::pinned(Arc::new(PinnedValue { tree: table.handles.get(), node }))
    }
}

/// A value in place.
struct PinnedValue {
    tree: Arc<OwnLines<Arc<Tree>>>,
    node: Node,
}

impl Pinned for PinnedValue {
    fn bytes(&self) -> &[u8] {
        // SAFETY: made by `value_of` of an entry of this tree.
        unsafe { self.tree.value(self.node) }
    }
}

impl MemtableIter {
    #[inline]
    fn around(&self, target: InternalKey<'_>) -> (LeafRun, usize) {
        let tree = &self.table.tree;
        let target = tree.target(target);
        tree.around(&target, tree.leaf_of(&target))
    }

    #[inline]
    fn stand(&mut self, run: LeafRun, position: usize) -> bool {
        self.run = run;
        self.position = position;
        self.valid()
    }

    fn off(&mut self) -> bool {
        self.position = self.run.count;
        false
    }

    /// The entry it stands on.
    ///
    /// # Panics
    ///
    /// Where it stands on none: a caller's mistake by the trait's contract.
    #[inline]
    fn here(&self) -> Node {
        assert!(self.valid(), "the cursor stands on an entry");
        self.run.nodes[self.position]
    }

    /// Goes to the next leaf's first entry that it has not passed: a leaf that is being
    /// split shares entries with the one behind it for a moment.
    fn enter_next(&mut self, last: Option<Node>) -> bool {
        let tree = &self.table.tree;
        loop {
            let next = self.run.next;
            if next == LeafAt::NONE {
                return self.off();
            }
            // SAFETY: a link of this tree leads to a leaf of it, not the first; `last` is
            // an entry of it.
            unsafe {
                let (mut run, mut position) = tree.run(next, None);
                if let Some(node) = last
                    && tree.key(tree.first_of(next)) <= tree.key(node)
                {
                    let target = tree.target(tree.key(node));
                    (run, position) = tree.run(next, Some(&target));
                    position += usize::from(position < run.count && run.nodes[position] == node);
                }
                self.run = run;
                if position < run.count {
                    self.position = position;
                    return true;
                }
            }
        }
    }

    /// Asks for the entries of the leaf behind this one, and for the leaf behind that.
    fn ask_ahead(&self) {
        let tree = &self.table.tree;
        if self.run.next == LeafAt::NONE {
            return;
        }
        // SAFETY: a link of this tree leads to a leaf of it.
        let (ahead, _) = unsafe { tree.run(self.run.next, None) };
        for node in &ahead.nodes[..ahead.count] {
            tree.prefetch(node.0, AHEAD_BYTES);
        }
        if ahead.next != LeafAt::NONE {
            tree.prefetch(ahead.next.0, LEAF_BYTES);
        }
    }
}

impl InternalIter for MemtableIter {
    fn seek_to_first(&mut self) -> Result<bool> {
        // SAFETY: every tree has it.
        let (run, _) = unsafe { self.table.tree.run(FIRST_LEAF, None) };
        Ok(self.stand(run, 0))
    }

    fn seek_to_last(&mut self) -> Result<bool> {
        let run = self.table.tree.last();
        Ok(self.stand(run, run.count.saturating_sub(1)))
    }

    fn seek(&mut self, target: InternalKey<'_>) -> Result<bool> {
        let (run, position) = self.around(target);
        Ok(self.stand(run, position) || self.enter_next(None))
    }

    fn seek_before(&mut self, target: InternalKey<'_>) -> Result<bool> {
        let (run, position) = self.around(target);
        if position > 0 {
            return Ok(self.stand(run, position - 1));
        }
        self.run = run;
        self.position = 0;
        Ok(self.enter_before())
    }

    #[inline]
    fn next(&mut self) -> Result<bool> {
        let here = self.here();
        self.position += 1;
        if self.position < self.run.count {
            return Ok(true);
        }
        let more = self.enter_next(Some(here));
        self.ask_ahead();
        Ok(more)
    }

    #[inline]
    fn prev(&mut self) -> Result<bool> {
        let _ = self.here();
        match self.position.checked_sub(1) {
            Some(position) => {
                self.position = position;
                Ok(true)
            }
            None => Ok(self.enter_before()),
        }
    }

    #[inline]
    fn valid(&self) -> bool {
        self.position < self.run.count
    }

    #[inline]
    fn key(&self) -> InternalKey<'_> {
        // SAFETY: `here` is an entry of this tree.
        unsafe { self.table.tree.key(self.here()) }
    }

    #[inline]
    fn value(&self) -> &[u8] {
        // SAFETY: `here` is an entry of this tree.
        unsafe { self.table.tree.value(self.here()) }
    }

    fn value_handle(&self) -> Value {
        // SAFETY: `here` is an entry of this tree.
        unsafe { value_of(&self.table, self.here(), false) }
    }

    fn rest(&mut self) {
        self.off();
    }

    #[inline]
    fn next_differs(&self) -> bool {
        let tree = &self.table.tree;
        match self.run.nodes.get(self.position + 1) {
            // SAFETY: both are entries of this tree.
            Some(&next) if self.position + 1 < self.run.count => unsafe {
                tree.key(next).scoped != tree.key(self.here()).scoped
            },
            _ => false,
        }
    }
}

impl MemtableIter {
    /// Goes to the last entry before the leaf it is in.
    fn enter_before(&mut self) -> bool {
        // SAFETY: the run's leaf is one of this tree.
        match unsafe { self.table.tree.before(self.run.leaf) } {
            Some(run) if run.count > 0 => self.stand(run, run.count - 1),
            _ => self.off(),
        }
    }
}
