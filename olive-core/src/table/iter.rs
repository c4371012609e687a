//! A cursor over a table.
//!
//! ```text
//! index ─► block i: Layout ─► entry p ─► key   prefix · head · rest, put together in a buffer
//!                                       value in place
//! ```
//!
//! Entries of a block can be reached in any order, so a step back costs what a
//! step on does. The buffer keeps the prefix from one entry to the next, and its
//! head is one store of 8 bytes. What a merge compares does not come from the buffer,
//! which the processor would have to wait for, but from the head itself: see [`Fit`].

use std::ops::Range;
use std::path::Path;

use crate::error::{Error, Result};
use crate::format::BadBytes;
use crate::format::block::{Block, HEAD_BYTES, Layout, Step};
use crate::format::index::BlockAt;
use crate::internal_iter::{InternalIter, PLAIN_STEPS_MAX, Window};
use crate::key::{InternalKey, SeqNo, Tag};
use crate::sync::{Arc, OwnLines};
use crate::table::Table;
use crate::table::ahead::Ahead;
use crate::table::fit::Fit;
use crate::table::open::{self, Core, Source};
use crate::value::{MappingHandle, Value};
use crate::vfs::{self, Mapping, VfsFile};

/// How much a scan reads at once where tables are not mapped.
const SCAN_READ_BYTES: u64 = 1 << 20;
/// Of the block behind one of several pages that a seek has led to, so much is asked for
/// together with it, where it may not be in memory: from there on, who walks asks ahead.
const NEXT_BYTES_MAX: u32 = 64 << 10;
/// The longest key buffer that an iterator at rest keeps.
const KEPT_KEY_BYTES_MAX: usize = 4096;

/// A cursor over a table, which it holds.
#[derive(Debug)]
pub struct TableIter {
    pub(super) table: Arc<Table>,
    /// Checks every block, and expects to read all of them.
    scan: bool,
    /// What holds the current block: the table's mapping, the block, or a range that
    /// was read.
    bytes: Option<MappingHandle>,
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
    /// The number that the current key's suffix begins with.
    head: u64,
    fit: Fit,
    /// Where the current value stands in `bytes`.
    value: Range<usize>,
    valid: bool,
    ahead: Ahead,
    steps: Steps,
}

/// Entries that were looked at ahead, of the current block.
#[derive(Debug)]
struct Steps {
    /// The place of the first one in the block.
    from: usize,
    count: usize,
    steps: [Step; PLAIN_STEPS_MAX],
}

impl Steps {
    /// The entry at `position` of the block, if it is among them.
    #[inline]
    fn get(&self, position: usize) -> Option<&Step> {
        let steps = self.steps.get(..self.count)?;
        steps.get(position.checked_sub(self.from)?)
    }
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
            head: 0,
            fit: Fit::default(),
            value: 0..0,
            valid: false,
            ahead: Ahead::default(),
            steps: Steps { from: 0, count: 0, steps: [Step::NONE; PLAIN_STEPS_MAX] },
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

    fn is_mapped(&self) -> bool {
        self.table.core.get().is_some_and(|core| matches!(core.source(), Source::Mapped(_)))
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
        let path = &self.table.path;
        let core = self.table.core()?;
        let Some(at) = core.index().block(i) else {
            let blocks = core.index().blocks();
            return Err(Error::invalid(format!("there is no block {i} of {blocks}")));
        };
        match core.source() {
            Source::Mapped(mapping) => {
                if self.bytes.is_none() {
                    self.bytes = Some(mapping.pin());
                }
                // A walk forward has asked for this one at the last.
                let is_jump = before.is_none_or(|before| before + 1 != i);
                if is_jump {
                    open::prefetch_start(open::slice(mapping, at));
                }
                let next = core.index().block(i + 1);
                if let Some(next) = next {
                    open::prefetch_start(open::slice(mapping, next));
                }
                let more = next.map_or(0, |next| next.len.min(NEXT_BYTES_MAX));
                let ask = is_jump.then_some(more);
                let here = at.offset as usize;
                let cold = open::spans_pages(at) && core.residency().is_cold();
                self.ahead.step(mapping, core.warmth(), (before, i), here, (self.scan, cold));
                if self.scan {
                    core.check_all(path, mapping, at)?;
                } else {
                    core.check_mapped(path, mapping, (i, at), ask)?;
                }
            }
            Source::File(file) if self.scan => {
                read_window(core, path, &**file, at, &mut self.bytes, &mut self.bytes_at)?;
            }
            Source::File(file) => {
                let bytes = core.read_block(&**file, path, at)?;
                self.bytes = Some(Arc::new(OwnLines(Mapping::owned(bytes))));
                self.bytes_at = at.offset;
            }
        }
        self.base = (at.offset - self.bytes_at) as usize;
        let bytes = block_bytes(self.bytes.as_ref(), self.base, at.len as usize);
        self.layout = Layout::parse(bytes).map_err(|bad| open::damaged(path, at.offset, bad))?;
        let prefix = Block::new(bytes, &self.layout).prefix();
        if self.key.len() < prefix.len() + HEAD_BYTES {
            self.key.resize(prefix.len() + HEAD_BYTES, 0);
        }
        if let Some(kept) = self.key.get_mut(..prefix.len()) {
            kept.copy_from_slice(prefix);
        }
        self.fit = Fit::default();
        self.steps.count = 0;
        self.block = Some(i);
        Ok(())
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
        self.head = u64::from_be_bytes(entry.head);
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

    /// How many bytes of blocks lie before `target`, as [`Table::offset_within_block`] says.
    pub(super) fn offset_of(&mut self, target: InternalKey<'_>) -> Result<u64> {
        let position = self.search(target)? as u64;
        let at = self.block.and_then(|i| self.table.core().ok()?.index().block(i));
        let count = self.layout.count().max(1) as u64;
        Ok(at.map_or(0, |at| at.offset + u64::from(at.len) * position / count))
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

/// Reads many blocks at once, unless the block is among those that were read.
fn read_window(
    core: &Core,
    path: &Path,
    file: &dyn VfsFile,
    at: BlockAt,
    held: &mut Option<MappingHandle>,
    held_at: &mut u64,
) -> Result<()> {
    let end = at.offset + u64::from(at.len);
    let held_bytes = held.as_ref().map_or(0, |bytes| bytes.len() as u64);
    if at.offset < *held_at || end > *held_at + held_bytes {
        let len = SCAN_READ_BYTES.min(core.data_bytes() - at.offset).max(u64::from(at.len));
        let mut bytes = vec![0; len as usize];
        vfs::read_exact_at(file, at.offset, &mut bytes).map_err(|e| Error::io("read", path, e))?;
        *held = Some(Arc::new(OwnLines(Mapping::owned(bytes))));
        *held_at = at.offset;
    }
    let base = (at.offset - *held_at) as usize;
    core.check_block(path, at, block_bytes(held.as_ref(), base, at.len as usize))
}

#[inline]
fn block_bytes(bytes: Option<&MappingHandle>, base: usize, len: usize) -> &[u8] {
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

    /// Keeps a mapping, which is the table's, but not what was read.
    fn rest(&mut self) {
        self.valid = false;
        self.block = None;
        self.ahead = Ahead::default();
        if !self.is_mapped() {
            self.bytes = None;
        }
        if self.key.capacity() > KEPT_KEY_BYTES_MAX {
            self.key = Vec::new();
        }
    }

    #[inline]
    fn tag(&self) -> Tag {
        self.tag
    }

    #[inline]
    fn head(&mut self, window: &Window) -> u64 {
        if self.fit.window != window.number() {
            let prefix = self.key.get(..self.layout.prefix_len()).unwrap_or(&[]);
            self.fit = Fit::of(prefix, window);
        }
        match self.fit.shift {
            Some(shift) => self.fit.base | self.head.checked_shr(shift).unwrap_or(0),
            None => window.head(self.key().scoped),
        }
    }

    #[inline]
    fn plain_below(&mut self, window: &Window, below: u64, seq: SeqNo) -> usize {
        if self.position + 1 >= self.layout.count() {
            return 0;
        }
        if self.fit.window != window.number() {
            self.head(window);
        }
        let Some(shift) = self.fit.shift else { return 0 };
        let bytes = block_bytes(self.bytes.as_ref(), self.base, self.layout.bytes());
        let block = Block::new(bytes, &self.layout);
        let from = self.position + 1;
        let ahead = from..self.layout.count().min(from + PLAIN_STEPS_MAX);
        let base = self.fit.base;
        let mut before = self.head;
        let mut is_plain = |head: u64, tag: Tag| {
            let differs = std::mem::replace(&mut before, head) != head;
            let in_window = base | head.checked_shr(shift).unwrap_or(0);
            differs && in_window < below && tag.seq() <= seq && tag.is_put()
        };
        let Some(steps) = block.steps(ahead.clone()) else {
            return block
                .heads_and_tags(ahead)
                .take_while(|&(head, tag)| is_plain(head, tag))
                .count();
        };
        let kept = &mut self.steps;
        (kept.from, kept.count) = (from, 0);
        for (step, slot) in steps.zip(&mut kept.steps) {
            if !is_plain(step.head, step.tag) {
                break;
            }
            *slot = step;
            kept.count += 1;
        }
        kept.count
    }

    /// All keys of a block with steps are of one length.
    #[inline]
    fn stride(&mut self) -> Result<Tag> {
        let position = self.position + 1;
        let Some(step) = self.steps.get(position) else {
            self.load(position)?;
            return Ok(self.tag);
        };
        let head_at = self.layout.prefix_len();
        if let Some(head) = self.key.get_mut(head_at..head_at + HEAD_BYTES) {
            head.copy_from_slice(&step.head.to_be_bytes());
        }
        let value = step.value();
        (self.tag, self.head) = (step.tag, step.head);
        self.value = self.base + value.start..self.base + value.end;
        self.position = position;
        Ok(self.tag)
    }

    /// Suffixes with unequal heads are unequal.
    #[inline]
    fn next_differs(&self) -> bool {
        let bytes = block_bytes(self.bytes.as_ref(), self.base, self.layout.bytes());
        let next = Block::new(bytes, &self.layout).head(self.position + 1);
        next.is_some_and(|next| next != self.head)
    }

    #[inline]
    fn prev_differs(&self) -> bool {
        let Some(before) = self.position.checked_sub(1) else { return false };
        let bytes = block_bytes(self.bytes.as_ref(), self.base, self.layout.bytes());
        let before = Block::new(bytes, &self.layout).head(before);
        before.is_some_and(|before| before != self.head)
    }
}
