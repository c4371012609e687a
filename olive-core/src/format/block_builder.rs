//! Builds data blocks; [`block`](crate::format::block) draws them.
//!
//! The common prefix, and with it what each entry takes, is known only when the
//! last key is. So keys and values wait in two buffers, and the exact size of the
//! block to be is kept up to date: a new key can only shorten the prefix, and
//! seldom does, so that counting anew then costs little.

use crate::format::block::{
    FLAG_NO_TAGS, FLAG_WIDE, HEAD_BYTES, HEADER_BYTES, SUFFIXES_DIFFER, ZERO_PUT, head_of,
};
use crate::format::{checksum, coding};
use crate::key::{InternalKey, SeqNo, Tag};

/// What the index says of a block, besides where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BlockFacts {
    /// Entries, tombstones included.
    pub entries: u32,
    /// Tombstones.
    pub tombstones: u32,
    /// Entries whose key an entry right before them in the table has too.
    pub older_versions: u32,
    /// The newest sequence number.
    pub seq_max: SeqNo,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    key_end: usize,
    value_end: usize,
    tag: Tag,
}

/// Collects the entries of one block.
#[derive(Debug, Default)]
pub struct BlockBuilder {
    keys: Vec<u8>,
    values: Vec<u8>,
    pending: Vec<Pending>,
    shape: Shape,
    facts: BlockFacts,
}

/// What decides the size of a block besides its values.
#[derive(Debug, Clone, Copy, Default)]
struct Shape {
    prefix_len: usize,
    /// Length of every key so far; `None`: they differ.
    key_len: Option<usize>,
    tagged: bool,
    /// Bytes that entries take besides values.
    entry_bytes: usize,
}

impl Shape {
    fn entry_bytes(&self, key_len: usize) -> usize {
        let suffix_len = key_len - self.prefix_len;
        let rest = suffix_len.saturating_sub(HEAD_BYTES);
        if self.key_len.is_some() { rest } else { rest + coding::varint_bytes(suffix_len as u32) }
    }

    /// Length of a block of `count` entries, and whether its offsets are wide.
    fn block_bytes(&self, count: usize, value_bytes: usize) -> (usize, bool) {
        let tags = if self.tagged { 8 * count } else { 0 };
        let rest = HEADER_BYTES + 8 * count + self.prefix_len + tags + self.entry_bytes;
        let narrow = rest + 2 * (count + 1) + value_bytes;
        if narrow <= usize::from(u16::MAX) {
            (narrow, false)
        } else {
            (rest + 4 * (count + 1) + value_bytes, true)
        }
    }
}

impl BlockBuilder {
    /// Entries so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.pending.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// The first scoped key; empty if there is none.
    #[must_use]
    pub fn first_key(&self) -> &[u8] {
        self.key(0)
    }

    /// Length of the block as it is.
    #[must_use]
    pub fn bytes(&self) -> usize {
        if self.is_empty() {
            return 0;
        }
        self.shape.block_bytes(self.count(), self.values.len()).0
    }

    /// Adds an entry, which must sort behind the last, unless the block would outgrow
    /// `bytes_max` by it; the first entry is always taken. `older_version`: the entry
    /// before it, in this block or the one before, has the same scoped key.
    #[must_use]
    pub fn add(
        &mut self,
        key: InternalKey<'_>,
        value: &[u8],
        older_version: bool,
        bytes_max: usize,
    ) -> bool {
        let shape = self.shape_with(key);
        let (bytes, _) = shape.block_bytes(self.count() + 1, self.values.len() + value.len());
        if bytes > bytes_max && !self.is_empty() {
            return false;
        }
        self.shape = shape;
        self.keys.extend_from_slice(key.scoped);
        self.values.extend_from_slice(value);
        let (key_end, value_end) = (self.keys.len(), self.values.len());
        self.pending.push(Pending { key_end, value_end, tag: key.tag });
        self.facts.entries += 1;
        self.facts.tombstones += u32::from(key.tag.is_delete());
        self.facts.older_versions += u32::from(older_version);
        self.facts.seq_max = self.facts.seq_max.max(key.tag.seq());
        true
    }

    /// Appends the block to `out` and empties the builder. It must have an entry.
    /// `mask` is that of its [place](checksum::place_mask).
    pub fn encode(&mut self, out: &mut Vec<u8>, mask: u32) -> BlockFacts {
        let start = out.len();
        let (bytes, wide) = self.shape.block_bytes(self.count(), self.values.len());
        out.reserve(bytes);
        self.encode_header(out, bytes, wide);
        for i in 0..self.count() {
            coding::push_u64(out, head_of(self.suffix(i)));
        }
        self.encode_offsets(out, bytes, wide);
        out.extend_from_slice(&self.key(0)[..self.shape.prefix_len]);
        if self.shape.tagged {
            for entry in &self.pending {
                coding::push_u64(out, entry.tag.0);
            }
        }
        self.encode_entries(out);
        debug_assert_eq!(out.len() - start, bytes, "the size that was counted");
        let crc = checksum::crc32(&out[start + 4..]) ^ mask;
        out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
        self.keys.clear();
        self.values.clear();
        self.pending.clear();
        self.shape = Shape::default();
        std::mem::take(&mut self.facts)
    }

    /// The bytes of a block of one entry, but for the value at its end: a large
    /// value need not be copied.
    #[must_use]
    pub fn front_of_single(
        key: InternalKey<'_>,
        value: &[u8],
        older_version: bool,
        mask: u32,
    ) -> (Vec<u8>, BlockFacts) {
        let mut builder = BlockBuilder::default();
        let _ = builder.add(key, &[], older_version, 0);
        let (bytes, wide) = builder.shape.block_bytes(1, value.len());
        let mut front = Vec::with_capacity(bytes - value.len());
        builder.encode_header(&mut front, bytes, wide);
        coding::push_u64(&mut front, 0);
        for offset in [bytes - value.len(), bytes] {
            push_offset(&mut front, offset, wide);
        }
        front.extend_from_slice(key.scoped);
        if builder.shape.tagged {
            coding::push_u64(&mut front, key.tag.0);
        }
        let crc = checksum::crc32_of_two(&front[4..], value) ^ mask;
        front[..4].copy_from_slice(&crc.to_le_bytes());
        (front, builder.facts)
    }

    fn shape_with(&self, key: InternalKey<'_>) -> Shape {
        let mut shape = self.shape;
        let tagged = shape.tagged || key.tag != ZERO_PUT;
        let len = key.scoped.len();
        if self.is_empty() {
            return Shape { prefix_len: len, key_len: Some(len), tagged, entry_bytes: 0 };
        }
        shape.tagged = tagged;
        shape.prefix_len = {
            let prefix = &self.key(0)[..shape.prefix_len];
            if key.scoped.starts_with(prefix) {
                prefix.len()
            } else {
                coding::common_prefix_len(prefix, key.scoped)
            }
        };
        shape.key_len = shape.key_len.filter(|&same| same == len);
        if (shape.prefix_len, shape.key_len) != (self.shape.prefix_len, self.shape.key_len) {
            let keys = 0..self.count();
            shape.entry_bytes = keys.map(|i| shape.entry_bytes(self.key(i).len())).sum();
        }
        shape.entry_bytes += shape.entry_bytes(len);
        shape
    }

    fn key(&self, i: usize) -> &[u8] {
        let end = self.pending.get(i).map_or(0, |entry| entry.key_end);
        &self.keys[self.start(i, |entry| entry.key_end)..end]
    }

    fn suffix(&self, i: usize) -> &[u8] {
        &self.key(i)[self.shape.prefix_len..]
    }

    fn start(&self, i: usize, end: impl Fn(&Pending) -> usize) -> usize {
        i.checked_sub(1).and_then(|before| self.pending.get(before)).map_or(0, end)
    }

    fn encode_header(&self, out: &mut Vec<u8>, bytes: usize, wide: bool) {
        let suffix_len = self.shape.key_len.map(|len| (len - self.shape.prefix_len) as u32);
        coding::push_u32(out, 0);
        out.push(0);
        out.push(
            if wide { FLAG_WIDE } else { 0 } | if self.shape.tagged { 0 } else { FLAG_NO_TAGS },
        );
        coding::push_u16(out, 0);
        coding::push_u32(out, self.count() as u32);
        coding::push_u32(out, self.shape.prefix_len as u32);
        coding::push_u32(out, suffix_len.unwrap_or(SUFFIXES_DIFFER));
        coding::push_u32(out, bytes as u32);
    }

    fn encode_offsets(&self, out: &mut Vec<u8>, bytes: usize, wide: bool) {
        let mut offset = bytes - self.shape.entry_bytes - self.values.len();
        for (i, entry) in self.pending.iter().enumerate() {
            push_offset(out, offset, wide);
            let value_len = entry.value_end - self.start(i, |entry| entry.value_end);
            offset += self.shape.entry_bytes(self.key(i).len()) + value_len;
        }
        push_offset(out, offset, wide);
    }

    fn encode_entries(&self, out: &mut Vec<u8>) {
        for (i, entry) in self.pending.iter().enumerate() {
            let suffix = self.suffix(i);
            if self.shape.key_len.is_none() {
                coding::push_varint(out, suffix.len() as u32);
            }
            if let Some(rest) = suffix.get(HEAD_BYTES..) {
                out.extend_from_slice(rest);
            }
            let value_at = self.start(i, |entry| entry.value_end);
            out.extend_from_slice(&self.values[value_at..entry.value_end]);
        }
    }
}

fn push_offset(out: &mut Vec<u8>, offset: usize, wide: bool) {
    if wide {
        coding::push_u32(out, offset as u32);
    } else {
        coding::push_u16(out, offset as u16);
    }
}
