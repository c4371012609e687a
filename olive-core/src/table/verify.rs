//! Reads a whole table anew, past every mapping and memory of earlier checks.
//!
//! ```text
//! footer, list, sections   as at open, from the file
//! each block               checksum, between its separators, order of keys, record of the index
//! between blocks           zeros
//! in the end               counts, key range, sequence range against properties; filter
//! ```

use crate::error::{Error, ErrorKind, Result};
use crate::format::BadBytes;
use crate::format::block::{Block, Entry, HEAD_BYTES, Layout};
use crate::format::block_builder::BlockFacts;
use crate::format::filter::filter_hash;
use crate::format::index::{IndexRecord, IndexSection};
use crate::key::{InternalKey, SeqNo, Tag};
use crate::stats::Report;
use crate::table::Table;
use crate::table::open::{Ends, damaged, open_file, read_block};
use crate::vfs::{self, VfsFile};

pub(super) fn verify(table: &Table, report: &mut Report) -> Result<()> {
    report.tables += 1;
    match walk(table, report) {
        Err(e) if matches!(e.kind(), ErrorKind::Corruption | ErrorKind::Unsupported) => {
            report.damage.push(e.to_string());
            Ok(())
        }
        other => other,
    }
}

fn walk(table: &Table, report: &mut Report) -> Result<()> {
    let file = open_file(&*table.vfs, &table.path)?;
    let ends = Ends::read(&*file, &table.path, &table.meta)?;
    report.bytes += table.meta.bytes - ends.data_bytes;
    let section = IndexSection::parse(&ends.index_bytes)
        .map_err(|bad| damaged(&table.path, ends.data_bytes, bad))?;
    let mut walk = Walk::new(table, &ends, section.prefix());
    let mut end = 0;
    for i in 0..section.blocks() {
        let bad = |bad| damaged(&table.path, ends.data_bytes, bad);
        let record = section.record(i).map_err(bad)?;
        walk.check_gap(&*file, end, record.offset)?;
        walk.block(&*file, i, &record)?;
        end = record.offset + u64::from(record.len);
        report.blocks += 1;
        report.entries += u64::from(record.facts.entries);
        report.bytes += u64::from(record.len);
    }
    walk.check_gap(&*file, end, ends.data_bytes)?;
    walk.totals()
}

/// What was seen so far.
struct Walk<'a> {
    table: &'a Table,
    ends: &'a Ends,
    prefix: &'a [u8],
    /// The last key, and the one being read.
    last: Vec<u8>,
    last_tag: Tag,
    key: Vec<u8>,
    entries: u64,
    tombstones: u64,
    seq_min: SeqNo,
    seq_max: SeqNo,
    smallest: Vec<u8>,
}

impl<'a> Walk<'a> {
    fn new(table: &'a Table, ends: &'a Ends, prefix: &'a [u8]) -> Walk<'a> {
        Walk {
            table,
            ends,
            prefix,
            last: Vec::new(),
            last_tag: Tag(0),
            key: Vec::new(),
            entries: 0,
            tombstones: 0,
            seq_min: SeqNo::MAX,
            seq_max: SeqNo::ZERO,
            smallest: Vec::new(),
        }
    }

    fn damaged(&self, offset: u64, what: String) -> Error {
        Error::corruption(&self.table.path, offset, what)
    }

    /// No checksum covers what lies between blocks: it is less than a page of zeros.
    fn check_gap(&self, file: &dyn VfsFile, start: u64, end: u64) -> Result<()> {
        let gap = end.saturating_sub(start);
        if gap > 4096 {
            return Err(self.damaged(start, format!("{gap} bytes that no block claims")));
        }
        let mut bytes = vec![0; gap as usize];
        vfs::read_exact_at(file, start, &mut bytes)
            .map_err(|e| Error::io("read", &self.table.path, e))?;
        match bytes.iter().position(|&byte| byte != 0) {
            Some(at) => Err(self.damaged(start + at as u64, "not zero, between blocks".to_owned())),
            None => Ok(()),
        }
    }

    fn block(&mut self, file: &dyn VfsFile, i: usize, record: &IndexRecord<'_>) -> Result<()> {
        let at = self.ends.index.block(i);
        let missing = || self.damaged(record.offset, format!("block {i} is not in the index"));
        let (path, id) = (&self.table.path, self.table.meta.id);
        let bytes = read_block(file, path, id, at.ok_or_else(missing)?)?;
        let bad = |bad: BadBytes| damaged(&self.table.path, record.offset, bad);
        let layout = Layout::parse(&bytes).map_err(bad)?;
        let block = Block::new(&bytes, &layout);
        let separator = [self.prefix, record.separator].concat();
        let separator = InternalKey::new(&separator, record.tag);
        if self.entries > 0 && InternalKey::new(&self.last, self.last_tag) >= separator {
            let what = format!("separator {separator:?} is not behind the block before it");
            return Err(self.damaged(record.offset, what));
        }
        let mut found = BlockFacts::default();
        for position in 0..layout.count() {
            let bad = |bad: BadBytes| damaged(&self.table.path, record.offset, bad);
            let entry = block.entry(position).map_err(bad)?;
            assemble(&mut self.key, &block, &entry);
            let key = InternalKey::new(&self.key, entry.tag);
            if position == 0 && key < separator {
                let what =
                    format!("first key {key:?} of a block before its separator {separator:?}");
                return Err(self.damaged(record.offset, what));
            }
            self.entry(entry.tag, record.offset, &mut found)?;
        }
        if found != record.facts {
            let what = format!("a block: expected {:?}, found {found:?}", record.facts);
            return Err(self.damaged(record.offset, what));
        }
        Ok(())
    }

    /// The key in `self.key` comes next.
    fn entry(&mut self, tag: Tag, offset: u64, found: &mut BlockFacts) -> Result<()> {
        let key = InternalKey::new(&self.key, tag);
        let first = self.entries == 0;
        if first {
            self.smallest.extend_from_slice(&self.key);
        } else if InternalKey::new(&self.last, self.last_tag) >= key {
            let last = InternalKey::new(&self.last, self.last_tag);
            return Err(self.damaged(offset, format!("{key:?} comes behind {last:?}")));
        }
        let hash = filter_hash(&self.key);
        if self.ends.filter.as_ref().is_some_and(|filter| !filter.may_contain(hash)) {
            return Err(self.damaged(offset, format!("{key:?} is not in the filter")));
        }
        found.entries += 1;
        found.tombstones += u32::from(tag.is_delete());
        found.older_versions += u32::from(!first && self.last == self.key);
        found.seq_max = found.seq_max.max(tag.seq());
        self.entries += 1;
        self.tombstones += u64::from(tag.is_delete());
        self.seq_min = self.seq_min.min(tag.seq());
        self.seq_max = self.seq_max.max(tag.seq());
        self.last_tag = tag;
        std::mem::swap(&mut self.last, &mut self.key);
        Ok(())
    }

    fn totals(&self) -> Result<()> {
        let properties = &self.ends.properties;
        let expected = (
            (properties.entries, properties.tombstones, properties.seq_min, properties.seq_max),
            (&properties.smallest, &properties.largest),
        );
        let found = (
            (self.entries, self.tombstones, self.seq_min, self.seq_max),
            (&self.smallest, &self.last),
        );
        if expected == found {
            return Ok(());
        }
        let what = format!("the table: expected {expected:?}, found {found:?}");
        Err(self.damaged(self.ends.data_bytes, what))
    }
}

fn assemble(key: &mut Vec<u8>, block: &Block<'_>, entry: &Entry<'_>) {
    key.clear();
    key.extend_from_slice(block.prefix());
    key.extend(entry.head.iter().take(entry.suffix_len.min(HEAD_BYTES)));
    key.extend_from_slice(entry.rest);
}
