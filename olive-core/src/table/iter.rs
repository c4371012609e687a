//! A cursor over a table.
//!
//! ```text
//! index ─► block i: Layout ─► entry p ─► key   prefix · head · rest, put together in a buffer
//!                                       value in place
//! ```
//!
//! Entries of a block can be reached in any order, so a step back costs what a
//! step on does. The buffer keeps the prefix from one entry to the next, and its
//! head is one store of 8 bytes.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::format::BadBytes;
use crate::format::block::{Block, HEAD_BYTES, Layout};
use crate::format::index::BlockAt;
use crate::internal_iter::InternalIter;
use crate::key::{InternalKey, Tag};
use crate::sync::Arc;
use crate::table::Table;
use crate::table::open::{self, Core, Source};
use crate::value::Value;
use crate::vfs::{self, Mapping, VfsFile};

/// How much an iterator asks for ahead once it goes from block to block.
const ITER_AHEAD_BYTES: usize = 256 << 10;
/// How much a scan asks for ahead.
const SCAN_AHEAD_BYTES: usize = 2 << 20;
/// How much a scan reads at once where tables are not mapped.
const SCAN_READ_BYTES: u64 = 1 << 20;
/// Blocks one behind the other after which an iterator asks ahead.
const SEQUENTIAL_BLOCKS: u32 = 2;

/// A cursor over a table, which it holds.
#[derive(Debug)]
pub struct TableIter {
    pub(super) table: Arc<Table>,
    /// Checks every block, and expects to read all of them.
    scan: bool,
    /// What holds the current block: the table's mapping, the block, or a range that
    /// was read.
    bytes: Option<Arc<Mapping>>,
    /// Where `bytes` starts in the file.
    bytes_at: u64,
    /// The block that was entered.
    block: Option<usize>,
    /// Where it starts in `bytes`.
    base: usize,
    layout: Layout,
    position: usize,
    /// The current key, and at least 8 bytes more.
    key: Vec<u8>,
    key_len: usize,
    tag: Tag,
    /// Where the current value stands in `bytes`.
    value: Range<usize>,
    valid: bool,
    ahead: Ahead,
}

impl TableIter {
    pub(super) fn new(table: Arc<Table>, scan: bool) -> TableIter {
        TableIter {
            table,
            scan,
            bytes: None,
            bytes_at: 0,
            block: None,
            base: 0,
            layout: Layout::default(),
            position: 0,
            key: Vec::new(),
            key_len: 0,
            tag: Tag(0),
            value: 0..0,
            valid: false,
            ahead: Ahead::default(),
        }
    }

    /// Goes to entry `position` of block `i`, counted from its end if `from_end`.
    fn enter_at(&mut self, i: usize, position: usize, from_end: bool) -> Result<bool> {
        self.valid = false;
        self.enter(i)?;
        let last = self.layout.count() - 1;
        self.load(if from_end { last - position.min(last) } else { position })
    }

    fn after(&mut self) -> Result<bool> {
        match self.block {
            Some(i) if i + 1 < self.table.core()?.index().blocks() => {
                self.enter_at(i + 1, 0, false)
            }
            _ => Ok(self.off()),
        }
    }

    fn before(&mut self) -> Result<bool> {
        match self.block {
            Some(i) if i > 0 => self.enter_at(i - 1, 0, true),
            _ => Ok(self.off()),
        }
    }

    fn off(&mut self) -> bool {
        self.valid = false;
        false
    }

    /// Makes `i` the current block, if it is not.
    fn enter(&mut self, i: usize) -> Result<()> {
        if self.block == Some(i) {
            return Ok(());
        }
        let before = self.block.take();
        let table = Arc::clone(&self.table);
        let core = table.core()?;
        let Some(at) = core.index().block(i) else {
            let blocks = core.index().blocks();
            return Err(Error::invalid(format!("there is no block {i} of {blocks}")));
        };
        match core.source() {
            Source::Mapped(mapping) => self.enter_mapped(core, mapping, (before, i), at)?,
            Source::File(file) if self.scan => self.enter_window(core, &**file, at)?,
            Source::File(file) => {
                let bytes = core.read_block(&**file, &table.path, at)?;
                self.bytes = Some(Arc::new(Mapping::owned(bytes)));
                self.bytes_at = at.offset;
            }
        }
        self.base = (at.offset - self.bytes_at) as usize;
        let bytes = block_bytes(self.bytes.as_ref(), self.base, at.len as usize);
        self.layout =
            Layout::parse(bytes).map_err(|bad| open::damaged(&table.path, at.offset, bad))?;
        self.key.clear();
        self.key.extend_from_slice(Block::new(bytes, &self.layout).prefix());
        self.key.resize(self.layout.prefix_len() + HEAD_BYTES, 0);
        self.block = Some(i);
        Ok(())
    }

    fn enter_mapped(
        &mut self,
        core: &Core,
        mapping: &Arc<Mapping>,
        (before, i): (Option<usize>, usize),
        at: BlockAt,
    ) -> Result<()> {
        if self.bytes.is_none() {
            self.bytes = Some(Arc::clone(mapping));
        }
        self.ahead.step(mapping, (before, i), at, self.scan);
        let path = &self.table.path;
        if self.scan {
            core.check_all(path, mapping, at)
        } else {
            core.check_mapped(path, mapping, i, at)
        }
    }

    /// Reads many blocks at once, unless the block is among those that were read.
    fn enter_window(&mut self, core: &Core, file: &dyn VfsFile, at: BlockAt) -> Result<()> {
        let path = &self.table.path;
        let end = at.offset + u64::from(at.len);
        let held = self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        if at.offset < self.bytes_at || end > self.bytes_at + held {
            let len = SCAN_READ_BYTES.min(core.data_bytes() - at.offset).max(u64::from(at.len));
            let mut bytes = vec![0; len as usize];
            vfs::read_exact_at(file, at.offset, &mut bytes)
                .map_err(|e| Error::io("read", path, e))?;
            self.bytes = Some(Arc::new(Mapping::owned(bytes)));
            self.bytes_at = at.offset;
        }
        let base = (at.offset - self.bytes_at) as usize;
        let bytes = block_bytes(self.bytes.as_ref(), base, at.len as usize);
        core.check_block(path, at, bytes)
    }

    /// Makes entry `position` of the current block the current entry.
    #[inline]
    fn load(&mut self, position: usize) -> Result<bool> {
        let bytes = block_bytes(self.bytes.as_ref(), self.base, self.layout.bytes());
        let entry = match Block::new(bytes, &self.layout).entry(position) {
            Ok(entry) => entry,
            Err(bad) => return Err(self.fail(bad)),
        };
        let head_at = self.layout.prefix_len();
        let rest_at = head_at + HEAD_BYTES;
        if let Some(head) = self.key.get_mut(head_at..rest_at) {
            head.copy_from_slice(&entry.head);
        }
        if !entry.rest.is_empty() {
            self.key.truncate(rest_at);
            self.key.extend_from_slice(entry.rest);
        }
        self.key_len = head_at + entry.suffix_len;
        self.tag = entry.tag;
        self.value = self.base + entry.value.start..self.base + entry.value.end;
        self.position = position;
        self.valid = true;
        Ok(true)
    }

    #[cold]
    fn fail(&mut self, bad: BadBytes) -> Error {
        self.valid = false;
        open::damaged(&self.table.path, self.bytes_at + self.base as u64, bad)
    }

    /// The block that may have `target` becomes the current one; answers the first
    /// position at or behind it there, which may be the block's end.
    fn search(&mut self, target: InternalKey<'_>) -> Result<usize> {
        self.valid = false;
        let i = self.table.core()?.index().find(target);
        self.enter(i)?;
        let bytes = block_bytes(self.bytes.as_ref(), self.base, self.layout.bytes());
        match Block::new(bytes, &self.layout).lower_bound(target) {
            Ok(position) => Ok(position),
            Err(bad) => Err(self.fail(bad)),
        }
    }
}

#[inline]
fn block_bytes(bytes: Option<&Arc<Mapping>>, base: usize, len: usize) -> &[u8] {
    bytes.and_then(|bytes| bytes.get(base..base + len)).unwrap_or(&[])
}

impl InternalIter for TableIter {
    fn seek_to_first(&mut self) -> Result<bool> {
        self.enter_at(0, 0, false)
    }

    fn seek_to_last(&mut self) -> Result<bool> {
        self.valid = false;
        let last = self.table.core()?.index().blocks().saturating_sub(1);
        self.enter_at(last, 0, true)
    }

    fn seek(&mut self, target: InternalKey<'_>) -> Result<bool> {
        let position = self.search(target)?;
        if position < self.layout.count() { self.load(position) } else { self.after() }
    }

    fn seek_before(&mut self, target: InternalKey<'_>) -> Result<bool> {
        match self.search(target)?.checked_sub(1) {
            Some(position) => self.load(position),
            None => self.before(),
        }
    }

    #[inline]
    fn next(&mut self) -> Result<bool> {
        let position = self.position + 1;
        if position < self.layout.count() { self.load(position) } else { self.after() }
    }

    #[inline]
    fn prev(&mut self) -> Result<bool> {
        match self.position.checked_sub(1) {
            Some(position) => self.load(position),
            None => self.before(),
        }
    }

    #[inline]
    fn valid(&self) -> bool {
        self.valid
    }

    #[inline]
    fn key(&self) -> InternalKey<'_> {
        InternalKey::new(self.key.get(..self.key_len).unwrap_or(&[]), self.tag)
    }

    #[inline]
    fn value(&self) -> &[u8] {
        let bytes = self.bytes.as_ref().and_then(|bytes| bytes.get(self.value.clone()));
        bytes.unwrap_or(&[])
    }

    fn value_handle(&self) -> Value {
        match &self.bytes {
            Some(bytes) => Value::mapped(Arc::clone(bytes), self.value.start, self.value.len()),
            None => Value::copied(&[]),
        }
    }
}

/// Decides what to ask for ahead, in either direction.
#[derive(Debug, Default)]
struct Ahead {
    /// +1: from block to the next one; -1: to the one before; 0: neither.
    direction: i8,
    /// Steps in a row in this direction.
    steps: u32,
    /// How far was asked for.
    edge: usize,
}

impl Ahead {
    fn step(
        &mut self,
        mapping: &Mapping,
        (before, i): (Option<usize>, usize),
        at: BlockAt,
        scan: bool,
    ) {
        let direction = match before {
            Some(before) if before + 1 == i => 1,
            Some(before) if i + 1 == before => -1,
            None if scan => 1,
            _ => 0,
        };
        let here = at.offset as usize;
        if direction == 0 || direction != self.direction {
            *self = Ahead { direction, steps: 0, edge: here };
        }
        self.steps += 1;
        let (steps_min, window) =
            if scan { (1, SCAN_AHEAD_BYTES) } else { (SEQUENTIAL_BLOCKS, ITER_AHEAD_BYTES) };
        if direction == 0 || self.steps < steps_min {
            return;
        }
        if direction > 0 && here + window / 2 >= self.edge {
            let start = self.edge.max(here);
            mapping.will_need(start, window);
            self.edge = start + window;
        } else if direction < 0 && here <= self.edge + window / 2 {
            let end = self.edge.min(here);
            let start = end.saturating_sub(window);
            mapping.will_need(start, end - start);
            self.edge = start;
        }
    }
}
