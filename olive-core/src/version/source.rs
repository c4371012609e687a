//! Everything that a merge can read, as one type without boxes.

use super::Version;
use crate::error::Result;
use crate::internal_iter::{InternalIter, Stand, Window};
use crate::iter::{Concat, Run};
use crate::key::{InternalKey, SeqNo, Tag};
use crate::memtable::{MemtableIter, SortedRun};
use crate::sync::Arc;
use crate::table::{Table, TableIter};
use crate::value::Value;

/// A sorted run of entries.
#[expect(clippy::large_enum_variant, reason = "moved once, walked long: a box is one more step")]
#[derive(Debug)]
pub enum Source {
    /// A memtable.
    Memtable(MemtableIter),
    /// Entries that recovery has gathered.
    Sorted(SortedRun),
    /// Disjoint tables in key order: a level, a part of one, or one table. That is one
    /// variant, so that telling these apart is two branches and no jump through a table.
    Tables(Concat<TableRun>),
}

impl Source {
    /// Walks one table: of level 0.
    #[must_use]
    pub fn table(table: Arc<Table>) -> Source {
        Source::Tables(Concat::new(TableRun(Tables::One(table))))
    }

    /// Walks disjoint tables that are in key order, once, from front to back.
    #[must_use]
    pub fn scan(tables: Vec<Arc<Table>>) -> Source {
        Source::Tables(Concat::new(TableRun(Tables::Listed(tables))))
    }

    /// Walks a level of `version` below level 0.
    #[must_use]
    pub fn level(version: Arc<Version>, level: usize) -> Source {
        Source::Tables(Concat::new(TableRun(Tables::OfLevel(version, level))))
    }
}

/// Disjoint tables in key order.
#[derive(Debug)]
pub struct TableRun(Tables);

#[derive(Debug)]
enum Tables {
    /// Read here and there; the version holds them.
    OfLevel(Arc<Version>, usize),
    /// Read here and there.
    One(Arc<Table>),
    /// Read once, from front to back.
    Listed(Vec<Arc<Table>>),
}

impl TableRun {
    #[inline]
    fn tables(&self) -> &[Arc<Table>] {
        match &self.0 {
            Tables::OfLevel(version, level) => version.level(*level),
            Tables::One(table) => std::slice::from_ref(table),
            Tables::Listed(tables) => tables,
        }
    }
}

impl Run for TableRun {
    type Iter = TableIter;

    fn len(&self) -> usize {
        self.tables().len()
    }

    fn largest(&self, index: usize) -> &[u8] {
        &self.tables()[index].meta().largest
    }

    fn smallest(&self, index: usize) -> &[u8] {
        &self.tables()[index].meta().smallest
    }

    fn open(&self, index: usize) -> TableIter {
        let table = &self.tables()[index];
        match &self.0 {
            Tables::OfLevel(..) | Tables::One(_) => table.iter(),
            Tables::Listed(_) => table.scan(),
        }
    }
}

macro_rules! each {
    ($self:ident, $iter:ident => $call:expr) => {
        match $self {
            Source::Memtable($iter) => $call,
            Source::Sorted($iter) => $call,
            Source::Tables($iter) => $call,
        }
    };
}

impl InternalIter for Source {
    fn seek_to_first(&mut self) -> Result<bool> {
        each!(self, iter => iter.seek_to_first())
    }

    fn seek_to_last(&mut self) -> Result<bool> {
        each!(self, iter => iter.seek_to_last())
    }

    fn seek(&mut self, target: InternalKey<'_>) -> Result<bool> {
        each!(self, iter => iter.seek(target))
    }

    fn seek_until(&mut self, target: InternalKey<'_>, end: Option<&[u8]>) -> Result<bool> {
        each!(self, iter => iter.seek_until(target, end))
    }

    fn seek_before(&mut self, target: InternalKey<'_>) -> Result<bool> {
        each!(self, iter => iter.seek_before(target))
    }

    #[inline]
    fn next(&mut self) -> Result<bool> {
        each!(self, iter => iter.next())
    }

    #[inline]
    fn next_until(&mut self, end: Option<&[u8]>) -> Result<bool> {
        each!(self, iter => iter.next_until(end))
    }

    #[inline]
    fn prev(&mut self) -> Result<bool> {
        each!(self, iter => iter.prev())
    }

    #[inline]
    fn valid(&self) -> bool {
        each!(self, iter => iter.valid())
    }

    #[inline]
    fn key(&self) -> InternalKey<'_> {
        each!(self, iter => iter.key())
    }

    #[inline]
    fn value(&self) -> &[u8] {
        each!(self, iter => iter.value())
    }

    fn value_handle(&self) -> Value {
        each!(self, iter => iter.value_handle())
    }

    fn rest(&mut self) {
        each!(self, iter => iter.rest());
    }

    #[inline]
    fn tag(&self) -> Tag {
        each!(self, iter => iter.tag())
    }

    #[inline]
    fn head(&mut self, window: &Window) -> u64 {
        each!(self, iter => iter.head(window))
    }

    #[inline]
    fn next_differs(&self) -> bool {
        each!(self, iter => iter.next_differs())
    }

    #[inline]
    fn prev_differs(&self) -> bool {
        each!(self, iter => iter.prev_differs())
    }

    #[inline]
    fn stand(&mut self, window: &Window) -> Stand {
        each!(self, iter => iter.stand(window))
    }

    #[inline]
    fn plain_below(&mut self, window: &Window, below: u64, seq: SeqNo) -> usize {
        each!(self, iter => iter.plain_below(window, below, seq))
    }

    #[inline]
    fn stride(&mut self) -> Result<Tag> {
        each!(self, iter => iter.stride())
    }
}
