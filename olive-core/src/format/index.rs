//! The index section: one record a data block, and what separates the blocks.
//!
//! ```text
//!  0  u32  n, data blocks (at least 1)
//!  4  u32  p, length of the common prefix
//!  8  p bytes       the prefix that the smallest key and all separators share
//!     n × 44 bytes  records, in the order of the blocks:
//!        0  u64  where the block starts in the file
//!        8  u64  newest sequence number in it
//!       16  u64  tag of its separator; all ones: none, the separator is no entry's key
//!       24  u32  its length
//!       28  u32  entries
//!       32  u32  tombstones
//!       36  u32  entries that are older versions of the key right before them
//!       40  u32  where its separator ends in the area of keys
//!     keys          separators past the prefix, one behind the other
//! ```
//!
//! Separator i, a scoped key and a tag, is at or before every entry of block i and
//! behind every entry of block i - 1: the key is the shortest such start of block
//! i's first key. Where a key goes on from one block to the next, its separator is
//! the whole key with the tag right behind the last one of block i - 1. Separator
//! 0 is the prefix itself. So an entry, if it is there at all, is in the last
//! block whose separator is at or before it.
//!
//! In memory a search walks 8-byte heads of the separators past the prefix, in
//! two steps: every 16th head, then 16 in a row.

use std::cmp::Ordering;

use crate::format::block::{HEAD_BYTES, head_of};
use crate::format::block_builder::BlockFacts;
use crate::format::{BadBytes, coding};
use crate::key::{InternalKey, SeqNo, Tag};

/// Bytes of one record.
pub const RECORD_BYTES: usize = 44;
const HEADER_BYTES: usize = 8;
/// The tag of a separator that is no entry's key: before every version of it.
pub const NO_TAG: Tag = Tag(u64::MAX);
const STRIDE: usize = 16;

/// What the index says of one data block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexRecord<'a> {
    /// Where it starts in the file.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u32,
    /// What is in it.
    pub facts: BlockFacts,
    /// Its separator past the prefix.
    pub separator: &'a [u8],
    /// The separator's tag.
    pub tag: Tag,
}

/// Builds an index section.
#[derive(Debug, Default)]
pub struct IndexBuilder {
    records: Vec<(u64, u32, BlockFacts, Tag, usize)>,
    separators: Vec<u8>,
}

impl IndexBuilder {
    /// Adds the next block: `previous` is the last key of the block before it (`None`
    /// for the first block), `first` the first key of this one.
    pub fn add(
        &mut self,
        previous: Option<InternalKey<'_>>,
        first: &[u8],
        (offset, len): (u64, u32),
        facts: BlockFacts,
    ) {
        let tag = match previous {
            Some(previous) if previous.scoped == first => {
                self.separators.extend_from_slice(first);
                Tag(previous.tag.0.saturating_sub(1))
            }
            Some(previous) => {
                let common = coding::common_prefix_len(previous.scoped, first);
                self.separators.extend(first.iter().take(common + 1));
                NO_TAG
            }
            None => NO_TAG,
        };
        self.records.push((offset, len, facts, tag, self.separators.len()));
    }

    /// Bytes that the section takes, at most.
    #[must_use]
    pub fn bytes(&self) -> usize {
        HEADER_BYTES + self.records.len() * RECORD_BYTES + self.separators.len()
    }

    /// The section of a table whose first key is `smallest`. `None`: it has more
    /// blocks or longer separators than 32 bits can number.
    #[must_use]
    pub fn encode(&self, smallest: &[u8]) -> Option<Vec<u8>> {
        let separator = |i: usize| {
            let start = i.checked_sub(1).map_or(0, |before| self.records[before].4);
            &self.separators[start..self.records[i].4]
        };
        let count = u32::try_from(self.records.len()).ok()?;
        u32::try_from(self.separators.len()).ok()?;
        let prefix_len = match self.records.len() {
            0 | 1 => 0,
            n => coding::common_prefix_len(smallest, separator(n - 1)),
        };
        let mut out = Vec::with_capacity(self.bytes() + prefix_len);
        coding::push_u32(&mut out, count);
        coding::push_u32(&mut out, prefix_len as u32);
        out.extend_from_slice(&smallest[..prefix_len]);
        let mut key_end = 0;
        for (i, (offset, len, facts, tag, _)) in self.records.iter().enumerate() {
            key_end += separator(i).len().saturating_sub(prefix_len);
            coding::push_u64(&mut out, *offset);
            coding::push_u64(&mut out, facts.seq_max.0);
            coding::push_u64(&mut out, tag.0);
            for number in [*len, facts.entries, facts.tombstones, facts.older_versions] {
                coding::push_u32(&mut out, number);
            }
            coding::push_u32(&mut out, key_end as u32);
        }
        for i in 1..self.records.len() {
            out.extend_from_slice(&separator(i)[prefix_len..]);
        }
        Some(out)
    }
}

/// An index section in place, its lengths checked.
#[derive(Debug, Clone, Copy)]
pub struct IndexSection<'a> {
    prefix: &'a [u8],
    records: &'a [[u8; RECORD_BYTES]],
    keys: &'a [u8],
    keys_at: usize,
}

impl<'a> IndexSection<'a> {
    /// The section `bytes`.
    pub fn parse(bytes: &'a [u8]) -> Result<IndexSection<'a>, BadBytes> {
        let parts = || {
            let count = coding::u32_at(bytes, 0)? as usize;
            let prefix_len = coding::u32_at(bytes, 4)? as usize;
            let (prefix, rest) = bytes.get(HEADER_BYTES..)?.split_at_checked(prefix_len)?;
            let (records, keys) = rest.split_at_checked(count.checked_mul(RECORD_BYTES)?)?;
            let keys_at = bytes.len() - keys.len();
            let records = records.as_chunks().0;
            (count > 0).then_some(IndexSection { prefix, records, keys, keys_at })
        };
        parts().ok_or_else(|| {
            let counts = (coding::u32_at(bytes, 0), coding::u32_at(bytes, 4));
            let len = bytes.len();
            BadBytes::new(0, format!("an index of {len} bytes says (blocks, prefix) {counts:?}"))
        })
    }

    /// The prefix that all separators share.
    #[must_use]
    pub fn prefix(&self) -> &'a [u8] {
        self.prefix
    }

    /// Data blocks.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.records.len()
    }

    /// The record of block `i`.
    pub fn record(&self, i: usize) -> Result<IndexRecord<'a>, BadBytes> {
        self.record_if_whole(i).ok_or_else(|| {
            let at = self.keys_at - RECORD_BYTES * self.records.len().saturating_sub(i);
            BadBytes::new(
                at as u64,
                format!("index record {i} names a separator that is not there"),
            )
        })
    }

    fn record_if_whole(&self, i: usize) -> Option<IndexRecord<'a>> {
        let record = self.records.get(i)?;
        let key_start = match i.checked_sub(1) {
            Some(before) => coding::u32_at(self.records.get(before)?, 40)?,
            None => 0,
        };
        let key_end = coding::u32_at(record, 40)?;
        Some(IndexRecord {
            offset: coding::u64_at(record, 0)?,
            len: coding::u32_at(record, 24)?,
            facts: BlockFacts {
                entries: coding::u32_at(record, 28)?,
                tombstones: coding::u32_at(record, 32)?,
                older_versions: coding::u32_at(record, 36)?,
                seq_max: SeqNo(coding::u64_at(record, 8)?),
            },
            separator: self.keys.get(key_start as usize..key_end as usize)?,
            tag: Tag(coding::u64_at(record, 16)?),
        })
    }
}

/// Where a block stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockAt {
    /// Its first byte.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u32,
    key_end: u32,
}

/// The index as searches want it: all they touch, and nothing else.
#[derive(Debug)]
pub struct Index {
    prefix: Box<[u8]>,
    heads: Box<[u64]>,
    /// Every 16th head.
    tops: Box<[u64]>,
    blocks: Box<[BlockAt]>,
    keys: Box<[u8]>,
    /// Tags of the separators, unless all are [`NO_TAG`].
    tags: Box<[u64]>,
}

impl Index {
    /// Decodes a section; `data_bytes` is the end of the blocks in the file. Checks
    /// that blocks lie in it one behind the other and that separators ascend.
    pub fn decode(bytes: &[u8], data_bytes: u64) -> Result<Index, BadBytes> {
        let section = IndexSection::parse(bytes)?;
        let count = section.blocks();
        let mut heads = Vec::with_capacity(count);
        let mut blocks = Vec::with_capacity(count);
        let mut tags = Vec::new();
        let mut end = 0;
        let mut key_end = 0;
        let mut before: Option<IndexRecord<'_>> = None;
        for i in 0..count {
            let record = section.record(i)?;
            let bad = |what: &str| Err(BadBytes::new(0, format!("index record {i}: {what}")));
            let ascends = before.is_none_or(|before| {
                let order = before.separator.cmp(record.separator);
                order.then_with(|| record.tag.cmp(&before.tag)) == Ordering::Less
            });
            if !ascends {
                return bad("its separator is not behind the one before it");
            }
            if i == 0 && (!record.separator.is_empty() || record.tag != NO_TAG) {
                return bad("the first separator is not the prefix");
            }
            let block_end = record.offset.checked_add(u64::from(record.len));
            if record.offset < end || block_end.is_none_or(|end| end > data_bytes) {
                return bad(&format!(
                    "expected a block within {end}..{data_bytes}, found {} bytes at {}",
                    record.len, record.offset
                ));
            }
            end = record.offset + u64::from(record.len);
            key_end += record.separator.len() as u32;
            heads.push(head_of(record.separator));
            blocks.push(BlockAt { offset: record.offset, len: record.len, key_end });
            if record.tag != NO_TAG && tags.is_empty() {
                tags = vec![NO_TAG.0; i];
            }
            if record.tag != NO_TAG || !tags.is_empty() {
                tags.push(record.tag.0);
            }
            before = Some(record);
        }
        Ok(Index {
            prefix: section.prefix.into(),
            tops: heads.iter().copied().step_by(STRIDE).collect(),
            heads: heads.into(),
            blocks: blocks.into(),
            keys: section.keys.get(..key_end as usize).unwrap_or(&[]).into(),
            tags: tags.into(),
        })
    }

    /// Data blocks; at least one.
    #[must_use]
    #[inline]
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Where block `i` stands.
    #[must_use]
    #[inline]
    pub fn block(&self, i: usize) -> Option<BlockAt> {
        self.blocks.get(i).copied()
    }

    /// Bytes of memory that it takes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of_val(&*self.heads)
            + size_of_val(&*self.tops)
            + size_of_val(&*self.blocks)
            + size_of_val(&*self.tags)
            + self.keys.len()
            + self.prefix.len()
    }

    /// The one block that can have `target`: the last whose separator is at or
    /// before it, or the first.
    #[must_use]
    #[inline]
    pub fn find(&self, target: InternalKey<'_>) -> usize {
        let Some(suffix) = target.scoped.strip_prefix(&*self.prefix) else {
            let before = target.scoped < &*self.prefix;
            return if before { 0 } else { self.blocks.len().saturating_sub(1) };
        };
        let head = head_of(suffix);
        let top = self.tops.partition_point(|&other| other <= head);
        let start = top.saturating_sub(1) * STRIDE;
        let end = self.heads.len().min(start + STRIDE);
        let window = self.heads.get(start..end).unwrap_or(&[]);
        let behind = start + window.partition_point(|&other| other <= head);
        match behind.checked_sub(1) {
            Some(last) if self.heads.get(last) == Some(&head) => {
                self.among_ties(last, suffix, target.tag)
            }
            Some(last) => last,
            None => 0,
        }
    }

    /// The last block at or before `last` whose separator, all of whose heads tie
    /// with the target's, is at or before the target; else the one before them.
    fn among_ties(&self, last: usize, suffix: &[u8], tag: Tag) -> usize {
        let ties = self.heads.get(..=last).unwrap_or(&[]);
        let head = ties.last().copied().unwrap_or(0);
        let mut low = match last.checked_sub(1).and_then(|i| ties.get(i)) {
            Some(&other) if other == head => ties.partition_point(|&other| other < head),
            _ => last,
        };
        let mut high = last + 1;
        while low < high {
            let middle = low + (high - low) / 2;
            if self.is_at_or_before(middle, suffix, tag) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low.saturating_sub(1)
    }

    fn is_at_or_before(&self, i: usize, suffix: &[u8], tag: Tag) -> bool {
        let key_end = |i: usize| self.blocks.get(i).map_or(0, |block| block.key_end as usize);
        let range = i.checked_sub(1).map_or(0, key_end)..key_end(i);
        let separator = self.keys.get(range).unwrap_or(&[]);
        let separator_tag = self.tags.get(i).copied().unwrap_or(NO_TAG.0);
        let tails = (separator.get(HEAD_BYTES..), suffix.get(HEAD_BYTES..));
        let keys = match tails {
            (Some(a), Some(b)) => a.cmp(b),
            _ => separator.len().cmp(&suffix.len()),
        };
        keys.then_with(|| tag.cmp(&Tag(separator_tag))) != Ordering::Greater
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(entries: u32) -> BlockFacts {
        BlockFacts { entries, seq_max: SeqNo(7), ..BlockFacts::default() }
    }

    /// An index over blocks that each have the keys from one to the next of `firsts`.
    fn build(keys: &[(Vec<u8>, u64)], per_block: usize) -> Vec<u8> {
        let mut builder = IndexBuilder::default();
        for (i, block) in keys.chunks(per_block).enumerate() {
            let previous = (i * per_block).checked_sub(1).map(|last| &keys[last]);
            let previous = previous.map(|(key, tag)| InternalKey::new(key, Tag(*tag)));
            builder.add(previous, &block[0].0, (64 * i as u64, 60), facts(block.len() as u32));
        }
        builder.encode(&keys[0].0).unwrap()
    }

    fn sorted(mut keys: Vec<(Vec<u8>, u64)>) -> Vec<(Vec<u8>, u64)> {
        keys.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        keys.dedup();
        keys
    }

    fn check(keys: Vec<(Vec<u8>, u64)>, per_block: usize) {
        let keys = sorted(keys);
        let bytes = build(&keys, per_block);
        let blocks = keys.len().div_ceil(per_block);
        let index = Index::decode(&bytes, 64 * blocks as u64).unwrap();
        assert_eq!(index.blocks(), blocks);
        for (i, (key, tag)) in keys.iter().enumerate() {
            assert_eq!(index.find(InternalKey::new(key, Tag(*tag))), i / per_block, "{key:?}");
            // The newest version at or below a number: in its block, nowhere else.
            let newer = Tag(tag + 1);
            let taken = i > 0 && keys[i - 1] == (key.clone(), newer.0);
            if !taken {
                assert_eq!(index.find(InternalKey::new(key, newer)), i / per_block, "{key:?}");
            }
        }
        let section = IndexSection::parse(&bytes).unwrap();
        let entries: u32 = (0..blocks).map(|i| section.record(i).unwrap().facts.entries).sum();
        assert_eq!(entries as usize, keys.len());
    }

    #[test]
    fn every_key_is_found_in_its_block() {
        for per_block in [1, 2, 3, 7, 50] {
            check((0..600).map(|i| (format!("{i:016}").into_bytes(), 1)).collect(), per_block);
            check((0..300_u16).map(|i| (i.to_be_bytes().to_vec(), 1)).collect(), per_block);
            check((0..100).map(|i| (vec![0; i], 1)).collect(), per_block);
            check((0..100).map(|i| (vec![0xFF; i], 1)).collect(), per_block);
            let long = |i: u8| ([&[b'x'; 40][..], &[i]].concat(), 1);
            check((0..100).map(long).collect(), per_block);
        }
    }

    #[test]
    fn versions_of_one_key_over_many_blocks_are_told_apart_by_tag() {
        for key in [&b""[..], b"k", b"a key longer than its head"] {
            for per_block in [1, 2, 5] {
                let mut keys: Vec<_> = (1..60).map(|i| (key.to_vec(), i * 10)).collect();
                keys.extend((1..30).map(|i| ([key, b"\0"].concat(), i * 10)));
                keys.push((b"z".to_vec(), 10));
                check(keys, per_block);
            }
        }
    }

    #[test]
    fn targets_outside_the_prefix_go_to_the_ends() {
        let keys: Vec<_> = (0..100).map(|i| (format!("prefix{i:03}").into_bytes(), 1)).collect();
        let index = Index::decode(&build(&keys, 10), 640).unwrap();
        let find = |key: &[u8]| index.find(InternalKey::seek(key, SeqNo::MAX));
        assert_eq!((find(b""), find(b"pre"), find(b"prefix")), (0, 0, 0));
        assert_eq!((find(b"a"), find(b"z"), find(b"prefix9999")), (0, 9, 9));
    }

    #[test]
    fn bad_indexes_are_refused_and_none_panics() {
        let keys: Vec<_> = (0..40).map(|i| (format!("key{i:02}").into_bytes(), 1)).collect();
        let bytes = build(&keys, 4);
        for cut in 0..bytes.len() {
            assert!(Index::decode(&bytes[..cut], 640).is_err(), "cut at {cut}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(index) = Index::decode(&flipped, 640) {
                for (key, tag) in &keys {
                    assert!(index.find(InternalKey::new(key, Tag(*tag))) < index.blocks());
                }
            }
        }
        assert!(Index::decode(&bytes, 639 - 4).is_err(), "a block past the data");
        let mut huge = bytes.clone();
        huge[..4].fill(0xFF);
        assert!(Index::decode(&huge, 640).is_err());
    }
}
