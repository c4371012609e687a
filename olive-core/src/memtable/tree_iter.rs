//! The cursor over a memtable, and values that pin it. Both hold the table and an
//! entry of it, which is what makes their reads of the entry sound.

use super::Memtable;
use super::tree::{FIRST_LEAF, HEADER_BYTES, LEAF_BYTES, LEAF_ENTRIES, LeafAt, LeafRun, Node};
use crate::error::Result;
use crate::internal_iter::InternalIter;
use crate::key::{InternalKey, SeqNo, Tag};
use crate::sync::Arc;
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
    #[must_use]
    #[inline]
    pub fn get(&self, scoped: &[u8], seq: SeqNo) -> Option<(Tag, &[u8])> {
        let node = self.tree.find(InternalKey::seek(scoped, seq))?;
        // SAFETY: found in this tree.
        unsafe { Some((self.tree.key(node).tag, self.tree.value(node))) }
    }

    /// Whether there may be entries of the key whose `filter_hash`
    /// this is: false is certain, of all that was published before.
    #[must_use]
    #[inline]
    pub fn may_contain(&self, hash: u64) -> bool {
        self.tree.filter_line(hash).has(hash)
    }

    /// Asks for what [`may_contain`](Self::may_contain) reads.
    #[inline]
    pub fn prefetch_filter(&self, hash: u64) {
        self.tree.prefetch_filter(hash);
    }

    /// Begins a [`get`](Self::get) that is made in steps, among those for other keys.
    #[must_use]
    #[inline]
    pub fn approach<'a>(&'a self, scoped: &'a [u8], seq: SeqNo) -> Approach<'a> {
        let key = InternalKey::seek(scoped, seq);
        let leaf = self.tree.leaf_of(&self.tree.target(key));
        Approach { table: self, key, leaf }
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
        let node = self.tree.find(InternalKey::seek(scoped, seq))?;
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

/// A search on its way: each step asks for the cache lines of the next, which come while
/// other searches make theirs.
#[derive(Debug, Clone, Copy)]
pub struct Approach<'a> {
    table: &'a Memtable,
    key: InternalKey<'a>,
    /// Of the table, at or before the key.
    leaf: LeafAt,
}

impl<'a> Approach<'a> {
    /// Asks for the entry, once the leaf's lines may have come.
    #[inline]
    pub fn ask_for_entry(&self) {
        let tree = &self.table.tree;
        // SAFETY: `approach` found the leaf in this tree.
        unsafe { tree.prefetch_entry(self.leaf, &tree.target(self.key), AHEAD_BYTES) }
    }

    /// What [`Memtable::get`] gives.
    #[must_use]
    #[inline]
    pub fn get(&self) -> Option<(Tag, &'a [u8])> {
        let tree = &self.table.tree;
        // SAFETY: `approach` found the leaf in this tree, and the entry is found there.
        unsafe {
            let node = tree.find_from(self.leaf, &tree.target(self.key))?;
            Some((tree.key(node).tag, tree.value(node)))
        }
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
        Value::pinned(Arc::new(PinnedValue { table: Arc::clone(table), node }))
    }
}

/// A value in place.
struct PinnedValue {
    table: Arc<Memtable>,
    node: Node,
}

impl Pinned for PinnedValue {
    fn bytes(&self) -> &[u8] {
        // SAFETY: made by `value_of` of an entry of this table.
        unsafe { self.table.tree.value(self.node) }
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
