//! One sorted run of tables that do not overlap: a level below level 0.
//!
//! At most one table's iterator is open at a time; the others are found by their
//! key ranges alone.

use crate::error::Result;
use crate::internal_iter::{InternalIter, Stand, Window};
use crate::key::{InternalKey, SeqNo, Tag};
use crate::value::Value;

/// Tables in key order, disjoint: no scoped key is in two of them.
#[cfg_attr(feature = "internals", expect(clippy::len_without_is_empty, reason = "nobody asks"))]
pub trait Run {
    /// What walks one table.
    type Iter: InternalIter;
    /// How many tables.
    fn len(&self) -> usize;
    /// The largest scoped key of table `index`.
    fn largest(&self, index: usize) -> &[u8];
    /// The smallest scoped key of table `index`.
    fn smallest(&self, index: usize) -> &[u8];
    /// Walks table `index`.
    fn open(&self, index: usize) -> Self::Iter;
}

/// Walks the tables of a [`Run`] one after the other.
#[derive(Debug)]
pub struct Concat<R: Run> {
    run: R,
    /// The table that `iter` walks.
    index: usize,
    iter: Option<R::Iter>,
}

impl<R: Run> Concat<R> {
    /// Stands on no entry.
    pub fn new(run: R) -> Concat<R> {
        Concat { run, index: 0, iter: None }
    }

    /// The first table whose largest key is at or behind `scoped`.
    fn table_of(&self, scoped: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.run.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.run.largest(middle) < scoped {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Whether there is a table `index`, all keys of which are at `end` or behind it.
    #[inline]
    fn begins_behind(&self, index: usize, end: Option<&[u8]>) -> bool {
        end.is_some_and(|end| index < self.run.len() && self.run.smallest(index) >= end)
    }

    /// Makes `index` the table that is walked; an open one is used again.
    fn open(&mut self, index: usize) -> Option<&mut R::Iter> {
        if index >= self.run.len() {
            self.iter = None;
            return None;
        }
        if self.iter.is_none() || self.index != index {
            self.iter = Some(self.run.open(index));
            self.index = index;
        }
        self.iter.as_mut()
    }

    /// On to the first entry of the tables behind the current one. A table that begins at
    /// `end` or behind it is not opened.
    fn skip_forward(&mut self, end: Option<&[u8]>) -> Result<bool> {
        loop {
            let next = self.index + 1;
            if self.begins_behind(next, end) {
                return Ok(false);
            }
            match self.open(next) {
                None => return Ok(false),
                Some(iter) => {
                    if iter.seek_to_first()? {
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// Back to the last entry of the tables before the current one.
    fn skip_backward(&mut self) -> Result<bool> {
        loop {
            let Some(before) = self.index.checked_sub(1) else {
                self.iter = None;
                return Ok(false);
            };
            match self.open(before) {
                None => return Ok(false),
                Some(iter) => {
                    if iter.seek_to_last()? {
                        return Ok(true);
                    }
                }
            }
        }
    }

    #[inline]
    fn current_mut(&mut self) -> &mut R::Iter {
        self.iter.as_mut().expect("the iterator stands on an entry")
    }

    #[inline]
    fn current(&self) -> &R::Iter {
        self.iter.as_ref().expect("the iterator stands on an entry")
    }
}

impl<R: Run> InternalIter for Concat<R> {
    fn seek_to_first(&mut self) -> Result<bool> {
        match self.open(0) {
            None => Ok(false),
            Some(iter) => Ok(iter.seek_to_first()? || self.skip_forward(None)?),
        }
    }

    fn seek_to_last(&mut self) -> Result<bool> {
        match self.open(self.run.len().wrapping_sub(1)) {
            None => Ok(false),
            Some(iter) => Ok(iter.seek_to_last()? || self.skip_backward()?),
        }
    }

    fn seek(&mut self, target: InternalKey<'_>) -> Result<bool> {
        self.seek_until(target, None)
    }

    fn seek_until(&mut self, target: InternalKey<'_>, end: Option<&[u8]>) -> Result<bool> {
        let index = self.table_of(target.scoped);
        if self.begins_behind(index, end) {
            self.rest();
            return Ok(false);
        }
        let Some(iter) = self.open(index) else { return Ok(false) };
        Ok(iter.seek(target)? || self.skip_forward(end)?)
    }

    fn seek_before(&mut self, target: InternalKey<'_>) -> Result<bool> {
        match self.open(self.table_of(target.scoped)) {
            None => self.seek_to_last(),
            Some(iter) => Ok(iter.seek_before(target)? || self.skip_backward()?),
        }
    }

    #[inline]
    fn next(&mut self) -> Result<bool> {
        self.next_until(None)
    }

    #[inline]
    fn next_until(&mut self, end: Option<&[u8]>) -> Result<bool> {
        match &mut self.iter {
            None => Ok(false),
            Some(iter) => Ok(iter.next()? || self.skip_forward(end)?),
        }
    }

    #[inline]
    fn prev(&mut self) -> Result<bool> {
        match &mut self.iter {
            None => Ok(false),
            Some(iter) => Ok(iter.prev()? || self.skip_backward()?),
        }
    }

    #[inline]
    fn valid(&self) -> bool {
        self.iter.as_ref().is_some_and(InternalIter::valid)
    }

    #[inline]
    fn key(&self) -> InternalKey<'_> {
        self.current().key()
    }

    #[inline]
    fn value(&self) -> &[u8] {
        self.current().value()
    }

    fn value_handle(&self) -> Value {
        self.current().value_handle()
    }

    fn rest(&mut self) {
        if let Some(iter) = &mut self.iter {
            iter.rest();
        }
    }

    #[inline]
    fn tag(&self) -> Tag {
        self.current().tag()
    }

    #[inline]
    fn head(&mut self, window: &Window) -> u64 {
        self.current_mut().head(window)
    }

    #[inline]
    fn next_differs(&self) -> bool {
        self.current().next_differs()
    }

    #[inline]
    fn prev_differs(&self) -> bool {
        self.current().prev_differs()
    }

    #[inline]
    fn stand(&mut self, window: &Window) -> Stand {
        self.current_mut().stand(window)
    }

    #[inline]
    fn plain_below(&mut self, window: &Window, below: u64, seq: SeqNo) -> usize {
        self.current_mut().plain_below(window, below, seq)
    }

    #[inline]
    fn stride(&mut self) -> Result<Tag> {
        self.current_mut().stride()
    }
}
