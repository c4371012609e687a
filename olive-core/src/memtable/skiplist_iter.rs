//! The cursor over a memtable, and values that pin it. Both hold the table and a
//! node of it, which is what makes their reads of the node sound.

use super::Memtable;
use super::skiplist::Node;
use crate::error::Result;
use crate::internal_iter::InternalIter;
use crate::key::{InternalKey, SeqNo, Tag};
use crate::sync::Arc;
use crate::value::{Pinned, Value};

/// Values up to this long are copied: a handle that pins needs an allocation too,
/// and keeps the whole arena.
const COPIED_BYTES_MAX: usize = 512;

/// A cursor over a memtable, which it keeps. A step allocates nothing, and entries
/// that are inserted later are seen where the cursor comes past them.
#[derive(Debug)]
pub struct MemtableIter {
    table: Arc<Memtable>,
    /// A node of the table's list, or none; never the root.
    node: Node,
}

impl Memtable {
    /// The newest version of `scoped` at or below `seq`, in place.
    #[must_use]
    #[inline]
    pub fn get(&self, scoped: &[u8], seq: SeqNo) -> Option<(Tag, &[u8])> {
        let node = self.list.find(InternalKey::seek(scoped, seq))?;
        // SAFETY: found in this list.
        unsafe { Some((self.list.key(node).tag, self.list.value(node))) }
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
        let node = self.list.find(InternalKey::seek(scoped, seq))?;
        // SAFETY: found in this list.
        unsafe { Some((self.list.key(node).tag, value_of(self, node, copy))) }
    }

    /// A cursor that holds the memtable. It stands on no entry yet.
    #[must_use]
    pub fn iter(self: &Arc<Self>) -> MemtableIter {
        MemtableIter { table: Arc::clone(self), node: Node::NONE }
    }
}

/// # Safety
///
/// `node` is a node of the table's list, not the root.
unsafe fn value_of(table: &Arc<Memtable>, node: Node, copy: bool) -> Value {
    // SAFETY: the caller's promise.
    let value = unsafe { table.list.value(node) };
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
        // SAFETY: made by `value_of` of a node of this table.
        unsafe { self.table.list.value(self.node) }
    }
}

impl MemtableIter {
    #[inline]
    fn stand_on(&mut self, node: Node) -> Result<bool> {
        self.node = if node == self.table.list.root() { Node::NONE } else { node };
        Ok(self.valid())
    }

    /// The node it stands on.
    ///
    /// # Panics
    ///
    /// Where it stands on none: a caller's mistake by the trait's contract.
    #[inline]
    fn here(&self) -> Node {
        assert!(self.valid(), "the cursor stands on an entry");
        self.node
    }
}

impl InternalIter for MemtableIter {
    fn seek_to_first(&mut self) -> Result<bool> {
        let first = self.table.list.first();
        self.stand_on(first)
    }

    fn seek_to_last(&mut self) -> Result<bool> {
        let last = self.table.list.last();
        self.stand_on(last)
    }

    fn seek(&mut self, target: InternalKey<'_>) -> Result<bool> {
        let (_, at_or_behind) = self.table.list.around(target);
        self.stand_on(at_or_behind)
    }

    fn seek_before(&mut self, target: InternalKey<'_>) -> Result<bool> {
        let (before, _) = self.table.list.around(target);
        self.stand_on(before)
    }

    #[inline]
    fn next(&mut self) -> Result<bool> {
        let here = self.here();
        // SAFETY: `here` is a node of this list; each has level 0.
        let next = unsafe { self.table.list.next(here, 0) };
        self.stand_on(next)
    }

    #[inline]
    fn prev(&mut self) -> Result<bool> {
        let here = self.here();
        // SAFETY: `here` is a node of this list.
        let prev = unsafe { self.table.list.prev(here) };
        self.stand_on(prev)
    }

    #[inline]
    fn valid(&self) -> bool {
        self.node != Node::NONE
    }

    #[inline]
    fn key(&self) -> InternalKey<'_> {
        // SAFETY: `here` is a node of this list.
        unsafe { self.table.list.key(self.here()) }
    }

    #[inline]
    fn value(&self) -> &[u8] {
        // SAFETY: `here` is a node of this list.
        unsafe { self.table.list.value(self.here()) }
    }

    fn value_handle(&self) -> Value {
        // SAFETY: `here` is a node of this list.
        unsafe { value_of(&self.table, self.here(), false) }
    }
}
