//! Data blocks, searched in place.
//!
//! ```text
//!  0  u32  CRC-32 of everything behind it, xored with the mask of its place
//!  4  u8   compression: 0, none
//!  5  u8   flags: 1 offsets are u32 (else u16); 2 no tags: every entry is a put numbered 0
//!  6  u16  0
//!  8  u32  n, entries (at least 1)
//! 12  u32  p, length of the keys' common prefix
//! 16  u32  s, length of every key's suffix (what follows the prefix); 0xFFFFFFFF: they differ
//! 20  u32  length of the block
//! 24  n × u64        heads: the first 8 bytes of the suffix as a number, most significant
//!                    byte first, zeros behind a shorter one
//!     (n + 1) × u16/u32   where entry i starts, from the start of the block; the last is the end
//!     p bytes        the common prefix
//!     n × u64        tags (sequence number << 8 | kind), unless left out
//!     entries        suffix length varint, if they differ · the suffix past its first 8 bytes · value
//! ```
//!
//! A search compares the prefix once, then halves the heads; it looks at an entry
//! only where heads tie. Heads of "a" and "a\0" tie: there the length decides.
//! With suffixes of one length up to 8 bytes, a hit touches nothing of an entry
//! but its value.

use std::cmp::Ordering;
use std::ops::Range;

use crate::format::{BadBytes, checksum, coding};
use crate::key::{InternalKey, Kind, SCOPED_KEY_BYTES_MAX, SeqNo, Tag};

/// Bytes of the fixed header.
pub const HEADER_BYTES: usize = 24;
/// Bytes of a key that stand in its head.
pub const HEAD_BYTES: usize = 8;
/// Flag: offsets are 4 bytes wide.
pub(super) const FLAG_WIDE: u8 = 1;
/// Flag: tags are left out, all are [`ZERO_PUT`].
pub(super) const FLAG_NO_TAGS: u8 = 2;
/// In place of the length of all suffixes: they differ.
pub(super) const SUFFIXES_DIFFER: u32 = u32::MAX;
/// A put that every snapshot sees.
pub const ZERO_PUT: Tag = Tag::new(SeqNo::ZERO, Kind::Put);

/// The first 8 bytes of a suffix as a number that orders as they do.
#[must_use]
#[inline]
pub fn head_of(suffix: &[u8]) -> u64 {
    if let Some(bytes) = suffix.first_chunk() {
        return u64::from_be_bytes(*bytes);
    }
    // Loads that overlap, in place of a loop over a length that no one can predict.
    let len = suffix.len() as u32;
    if let (Some(first), Some(last)) = (suffix.first_chunk(), suffix.last_chunk()) {
        let last = u64::from(u32::from_be_bytes(*last));
        return u64::from(u32::from_be_bytes(*first)) << 32 | last << (64 - 8 * len);
    }
    let byte = |i: u32| suffix.get(i as usize).map_or(0, |&byte| u64::from(byte) << (56 - 8 * i));
    byte(0) | byte(len / 2) | byte(len.saturating_sub(1))
}

/// Where the parts of a block stand: its header, decoded and checked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Layout {
    count: usize,
    bytes: usize,
    prefix_at: usize,
    prefix_len: usize,
    /// `None`: they differ, and stand in each entry.
    suffix_len: Option<usize>,
    /// `None`: all are [`ZERO_PUT`].
    tags_at: Option<usize>,
    entries_at: usize,
    wide: bool,
}

impl Layout {
    /// Decodes the header of `block`, the whole of a block. The checksum is not
    /// checked here, see [`check`].
    #[inline]
    pub fn parse(block: &[u8]) -> Result<Layout, BadBytes> {
        let Some(header) = block.first_chunk::<HEADER_BYTES>() else {
            return Err(BadBytes::new(0, format!("a block of {} bytes", block.len())));
        };
        let [_, _, _, _, compression, flags, zero_0, zero_1, numbers @ ..] = header;
        let number = |i: usize| coding::u32_at(numbers, 4 * i).unwrap_or(0);
        let (count, prefix_len, suffix_len) = (number(0) as usize, number(1) as usize, number(2));
        let strange = (flags & !(FLAG_WIDE | FLAG_NO_TAGS)) | compression | zero_0 | zero_1;
        let wide = flags & FLAG_WIDE != 0;
        // Each term is below 2^36, so the sums cannot overflow.
        let prefix_at = HEADER_BYTES + 8 * count + (count + 1) * if wide { 4 } else { 2 };
        let tags_at = prefix_at + prefix_len;
        let tagged = flags & FLAG_NO_TAGS == 0;
        let entries_at = if tagged { tags_at + 8 * count } else { tags_at };
        let suffix_len = (suffix_len != SUFFIXES_DIFFER).then_some(suffix_len as usize);
        let layout = Layout {
            count,
            bytes: block.len(),
            prefix_at,
            prefix_len,
            suffix_len,
            tags_at: tagged.then_some(tags_at),
            entries_at,
            wide,
        };
        let key_len_min = prefix_len + suffix_len.unwrap_or(0);
        let whole = count > 0
            && entries_at <= block.len()
            && number(3) as usize == block.len()
            && key_len_min <= SCOPED_KEY_BYTES_MAX;
        if strange == 0 && whole { Ok(layout) } else { Err(layout.why_not(header, number(3))) }
    }

    #[cold]
    fn why_not(&self, header: &[u8; HEADER_BYTES], length: u32) -> BadBytes {
        let [_, _, _, _, compression, flags, zeros @ ..] = header;
        if *compression != 0 {
            return BadBytes::unsupported(4, format!("compression tag {compression}"));
        }
        if flags & !(FLAG_WIDE | FLAG_NO_TAGS) != 0 || zeros[0] != 0 || zeros[1] != 0 {
            return BadBytes::unsupported(5, format!("block flags {flags:#04x}"));
        }
        if length as usize != self.bytes {
            let expected = self.bytes;
            return BadBytes::new(20, format!("block length: expected {expected}, found {length}"));
        }
        BadBytes::new(
            8,
            format!(
                "a block of {} bytes with {} entries, a prefix of {} bytes and suffixes of {:?}",
                self.bytes, self.count, self.prefix_len, self.suffix_len
            ),
        )
    }

    /// Entries of the block; at least one.
    #[must_use]
    #[inline]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Length of the block in bytes.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Length of the prefix that all its keys share.
    #[must_use]
    #[inline]
    pub fn prefix_len(&self) -> usize {
        self.prefix_len
    }
}

/// Refuses a block whose checksum is not that of its bytes in its place: `mask` is the
/// place's [mask](checksum::place_mask).
pub fn check(block: &[u8], mask: u32) -> Result<(), BadBytes> {
    match (coding::u32_at(block, 0), block.get(4..)) {
        (Some(stored), Some(rest)) => checksum::check(rest, stored ^ mask, 0, "a data block"),
        _ => Err(BadBytes::new(0, format!("a block of {} bytes", block.len()))),
    }
}

/// One entry of a block.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// The first bytes of the suffix; zeros behind a shorter one.
    pub head: [u8; HEAD_BYTES],
    /// The suffix past its first 8 bytes.
    pub rest: &'a [u8],
    /// The length of the suffix.
    pub suffix_len: usize,
    /// Sequence number and kind.
    pub tag: Tag,
    /// Where the value stands in the block.
    pub value: Range<usize>,
}

/// An entry whose key is the block's prefix and a head, as far as a walk needs it.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// A number that orders as the first bytes of suffixes do.
    pub head: u64,
    /// Sequence number and kind.
    pub tag: Tag,
    value_start: u32,
    value_end: u32,
}

impl Step {
    /// One that leads nowhere.
    pub const NONE: Step = Step { head: 0, tag: ZERO_PUT, value_start: 0, value_end: 0 };

    /// Where the value stands in the block.
    #[must_use]
    #[inline]
    pub fn value(&self) -> Range<usize> {
        self.value_start as usize..self.value_end as usize
    }
}

/// A block in place: its bytes, and where its parts stand in them.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    bytes: &'a [u8],
    layout: &'a Layout,
}

impl<'a> Block<'a> {
    /// The block that `layout` was parsed from.
    #[must_use]
    #[inline]
    pub fn new(bytes: &'a [u8], layout: &'a Layout) -> Block<'a> {
        Block { bytes, layout }
    }

    /// The prefix that all keys share.
    #[must_use]
    #[inline]
    pub fn prefix(&self) -> &'a [u8] {
        let at = self.layout.prefix_at;
        self.bytes.get(at..at + self.layout.prefix_len).unwrap_or(&[])
    }

    #[inline]
    fn heads(&self) -> &'a [[u8; 8]] {
        let end = HEADER_BYTES + 8 * self.layout.count;
        self.bytes.get(HEADER_BYTES..end).unwrap_or(&[]).as_chunks().0
    }

    /// The head of entry `i`, a number that orders as the first bytes of suffixes do.
    #[must_use]
    #[inline]
    pub fn head(&self, i: usize) -> Option<u64> {
        self.heads().get(i).map(number)
    }

    /// Heads and tags of the entries of `range`.
    #[inline]
    pub fn heads_and_tags(&self, range: Range<usize>) -> impl Iterator<Item = (u64, Tag)> + 'a {
        let tags_at = self.layout.tags_at;
        let tags = tags_at.and_then(|at| self.bytes.get(at..at + 8 * self.layout.count));
        let tags = tags.unwrap_or(&[]).as_chunks().0.get(range.clone()).unwrap_or(&[]);
        let heads = self.heads().get(range).unwrap_or(&[]);
        let untagged = tags_at.is_none();
        heads.iter().enumerate().map(move |(i, head)| {
            // A tag that is not there is of no kind.
            let tag = tags.get(i).map_or(0, number);
            (number(head), if untagged { ZERO_PUT } else { Tag(tag) })
        })
    }

    /// The entries of `range`, where all suffixes are of one length that is no more
    /// than a head has and offsets are short. Ends before one whose offsets are out of
    /// order: [`entry`](Self::entry) tells of that.
    #[inline]
    pub fn steps(&self, range: Range<usize>) -> Option<impl Iterator<Item = Step> + 'a> {
        let layout = self.layout;
        let len = layout.suffix_len?;
        if layout.wide || len > HEAD_BYTES || layout.prefix_len + len > SCOPED_KEY_BYTES_MAX {
            return None;
        }
        let offsets_at = HEADER_BYTES + 8 * layout.count;
        let offsets = self.bytes.get(offsets_at..offsets_at + 2 * (layout.count + 1))?;
        let offsets = offsets.as_chunks().0.get(range.start..=range.end)?;
        let (low, high) = (layout.entries_at, self.bytes.len());
        let steps = self.heads_and_tags(range).zip(offsets.windows(2)).map_while(
            move |((head, tag), pair)| {
                let &[start, end] = pair else { return None };
                let (start, end) = (u16::from_le_bytes(start), u16::from_le_bytes(end));
                let in_order = low <= start.into() && start <= end && usize::from(end) <= high;
                let (value_start, value_end) = (start.into(), end.into());
                in_order.then_some(Step { head, tag, value_start, value_end })
            },
        );
        Some(steps)
    }

    /// The first entry at or behind `target`; the count, if there is none.
    #[inline]
    pub fn lower_bound(&self, target: InternalKey<'_>) -> Result<usize, BadBytes> {
        match target.scoped.strip_prefix(self.prefix()) {
            Some(suffix) => self.lower_bound_of_suffix(suffix, target.tag),
            None if target.scoped < self.prefix() => Ok(0),
            None => Ok(self.layout.count),
        }
    }

    /// The first entry at or behind `target` if it is of the same key.
    #[inline]
    pub fn find(&self, target: InternalKey<'_>) -> Result<Option<Entry<'a>>, BadBytes> {
        let Some(suffix) = target.scoped.strip_prefix(self.prefix()) else { return Ok(None) };
        let head = head_of(suffix);
        let heads = self.heads();
        let at = heads.partition_point(|other| number(other) < head);
        match heads.get(at) {
            Some(other) if number(other) == head => {}
            _ => return Ok(None),
        }
        let entry = self.entry(at)?;
        if entry.has_suffix(suffix) && entry.tag <= target.tag {
            return Ok(Some(entry));
        }
        let at = self.among_ties(at, suffix, target.tag)?;
        match heads.get(at) {
            Some(other) if number(other) == head => {
                Ok(Some(self.entry(at)?).filter(|entry| entry.has_suffix(suffix)))
            }
            _ => Ok(None),
        }
    }

    #[inline]
    fn lower_bound_of_suffix(&self, suffix: &[u8], tag: Tag) -> Result<usize, BadBytes> {
        let head = head_of(suffix);
        let heads = self.heads();
        // The standard library halves without branches.
        let at = heads.partition_point(|other| number(other) < head);
        match heads.get(at) {
            Some(other) if number(other) == head => self.among_ties(at, suffix, tag),
            _ => Ok(at),
        }
    }

    /// The first entry at or behind the target among those from `low` on whose head
    /// is the target's, or the one behind them.
    fn among_ties(&self, low: usize, suffix: &[u8], tag: Tag) -> Result<usize, BadBytes> {
        let heads = self.heads().get(low..).unwrap_or(&[]);
        let mut low = low;
        let mut high = match (heads.first(), heads.get(1)) {
            (Some(first), Some(second)) if first == second => {
                low + heads.partition_point(|head| head == first)
            }
            _ => low + 1,
        };
        while low < high {
            let middle = low + (high - low) / 2;
            if self.entry(middle)?.cmp_tied(suffix, tag) == Ordering::Less {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Entry `i`, every offset checked.
    #[inline(always)]
    pub fn entry(&self, i: usize) -> Result<Entry<'a>, BadBytes> {
        self.entry_if_whole(i).ok_or_else(|| self.why_no_entry(i))?.kind_checked()
    }

    #[inline(always)]
    fn entry_if_whole(&self, i: usize) -> Option<Entry<'a>> {
        let layout = self.layout;
        if i >= layout.count {
            return None;
        }
        let head = coding::u64_at(self.bytes, HEADER_BYTES + 8 * i)?.to_be_bytes();
        let (start, end) = self.range(i)?;
        let tag = match layout.tags_at {
            None => ZERO_PUT,
            Some(at) => Tag(coding::u64_at(self.bytes, at + 8 * i)?),
        };
        if start < layout.entries_at || end < start || end > self.bytes.len() {
            return None;
        }
        let (suffix_len, rest_at) = match layout.suffix_len {
            Some(len) => (len, start),
            None => {
                let (len, rest_at) = coding::varint_at(self.bytes, start)?;
                (len as usize, rest_at)
            }
        };
        let mut rest: &[u8] = &[];
        let mut value_at = rest_at;
        if suffix_len > HEAD_BYTES {
            value_at = rest_at + (suffix_len - HEAD_BYTES);
            rest = self.bytes.get(rest_at..value_at)?;
        }
        let key_fits = layout.prefix_len + suffix_len <= SCOPED_KEY_BYTES_MAX;
        (value_at <= end && key_fits).then_some(Entry {
            head,
            rest,
            suffix_len,
            tag,
            value: value_at..end,
        })
    }

    #[inline]
    fn range(&self, i: usize) -> Option<(usize, usize)> {
        let offsets_at = HEADER_BYTES + 8 * self.layout.count;
        Some(if self.layout.wide {
            let pair = coding::u64_at(self.bytes, offsets_at + 4 * i)?;
            (pair as u32 as usize, (pair >> 32) as usize)
        } else {
            let pair = coding::u32_at(self.bytes, offsets_at + 2 * i)?;
            (pair as u16 as usize, (pair >> 16) as usize)
        })
    }

    #[cold]
    fn why_no_entry(&self, i: usize) -> BadBytes {
        let (start, end) = self.range(i).unwrap_or((0, 0));
        let layout = self.layout;
        BadBytes::new(
            start.min(layout.bytes) as u64,
            format!(
                "entry {i} of {}: expected within {}..{}, found {start}..{end}",
                layout.count, layout.entries_at, layout.bytes
            ),
        )
    }
}

impl Entry<'_> {
    /// Whether its suffix, the head of which is that of `suffix`, is the same.
    #[inline]
    fn has_suffix(&self, suffix: &[u8]) -> bool {
        self.suffix_len == suffix.len()
            && (suffix.len() <= HEAD_BYTES || suffix.get(HEAD_BYTES..) == Some(self.rest))
    }

    /// Compares with a target whose suffix has the same head.
    #[inline]
    fn cmp_tied(&self, suffix: &[u8], tag: Tag) -> Ordering {
        let keys = match suffix.get(HEAD_BYTES..) {
            Some(rest) if self.suffix_len > HEAD_BYTES && !rest.is_empty() => self.rest.cmp(rest),
            // The shorter one is the start of the longer one.
            _ => self.suffix_len.cmp(&suffix.len()),
        };
        keys.then_with(|| tag.cmp(&self.tag))
    }

    #[inline]
    fn kind_checked(self) -> Result<Self, BadBytes> {
        match self.tag.kind_number() {
            1 | 2 => Ok(self),
            unknown => Err(bad_kind(self.value.start, unknown)),
        }
    }
}

#[cold]
fn bad_kind(at: usize, unknown: u8) -> BadBytes {
    let name = Kind::from_number(unknown).err().unwrap_or("known");
    let what = format!("an entry of kind {unknown}: {name}");
    if name == "invalid" {
        BadBytes::new(at as u64, what)
    } else {
        BadBytes::unsupported(at as u64, what)
    }
}

#[inline]
fn number(head: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*head)
}

#[cfg(test)]
#[path = "block_tests.rs"]
mod tests;
