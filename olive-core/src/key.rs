//! Keys as the tree sees them.
//!
//! ```text
//! user key      the caller's bytes, 0 to 65,535 of them
//! scoped key    keyspace id · user key            (what tables and memtables order by)
//! internal key  scoped key, tag                   (one version of a key)
//! tag           sequence number << 8 | kind       (sorts newest first)
//! ```
//!
//! The keyspace id is a prefix-free, order-preserving number, so that scoped
//! keys compare as plain bytes and a keyspace is one contiguous range:
//!
//! ```text
//! 0 ..= 247          one byte, the number itself
//! 248 .. 2^56        0xF7 + n, then n big-endian bytes without a leading zero (n = 1 ..= 7)
//! 0xFF               reserved: sorts behind every keyspace
//! ```

use std::cmp::Ordering;
use std::fmt;

/// The longest user key, in bytes.
pub const KEY_BYTES_MAX: usize = 65_535;
/// The longest value, in bytes: 1 GiB.
pub const VALUE_BYTES_MAX: usize = 1 << 30;
/// The largest encoded batch, in bytes: 1 GiB + 1 MiB.
pub const BATCH_BYTES_MAX: usize = (1 << 30) + (1 << 20);
/// The longest scoped key: the longest user key behind the longest keyspace id.
pub const SCOPED_KEY_BYTES_MAX: usize = KEY_BYTES_MAX + KeyspaceId::ENCODED_BYTES_MAX;

/// The position of one operation in the order of all writes: 56 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SeqNo(pub u64);

impl SeqNo {
    /// Before the first operation; also what compaction gives to entries that
    /// every snapshot sees.
    pub const ZERO: SeqNo = SeqNo(0);
    /// The last one there can be.
    pub const MAX: SeqNo = SeqNo((1 << 56) - 1);
}

impl fmt::Display for SeqNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an entry does to its key. Zero is invalid; numbers are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The key has the value.
    Put = 1,
    /// A tombstone: the key has no value.
    Delete = 2,
}

impl Kind {
    /// The kind with this number; the error is the name of one that is reserved
    /// for a later version, or "invalid".
    pub fn from_number(number: u8) -> Result<Kind, &'static str> {
        match number {
            1 => Ok(Kind::Put),
            2 => Ok(Kind::Delete),
            3 => Err("range-delete (reserved)"),
            4 => Err("merge (reserved)"),
            5 => Err("value pointer (reserved)"),
            6 => Err("put with expiry (reserved)"),
            _ => Err("invalid"),
        }
    }
}

/// Sequence number and kind in one number; a larger tag is newer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u64);

impl Tag {
    /// The tag of one operation.
    #[must_use]
    pub const fn new(seq: SeqNo, kind: Kind) -> Tag {
        Tag(seq.0 << 8 | kind as u64)
    }

    /// The tag to seek by: not newer than any entry numbered `seq` or below
    /// sorts before it.
    #[must_use]
    pub const fn seek(seq: SeqNo) -> Tag {
        Tag(seq.0 << 8 | 0xFF)
    }

    /// The sequence number.
    #[must_use]
    pub const fn seq(self) -> SeqNo {
        SeqNo(self.0 >> 8)
    }

    /// The number of the kind, which may be unknown.
    #[must_use]
    pub const fn kind_number(self) -> u8 {
        self.0 as u8
    }

    /// Whether it is a put.
    #[must_use]
    pub const fn is_put(self) -> bool {
        self.kind_number() == Kind::Put as u8
    }

    /// Whether it is a tombstone.
    #[must_use]
    pub const fn is_delete(self) -> bool {
        self.kind_number() == Kind::Delete as u8
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Kind::from_number(self.kind_number()) {
            Ok(kind) => write!(f, "{}:{kind:?}", self.seq()),
            Err(name) => write!(f, "{}:{name}", self.seq()),
        }
    }
}

/// One version of a key: borrowed scoped key and its tag. Ordered by scoped key,
/// then newest first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct InternalKey<'a> {
    /// Keyspace id and user key.
    pub scoped: &'a [u8],
    /// Sequence number and kind.
    pub tag: Tag,
}

impl<'a> InternalKey<'a> {
    /// The version `tag` of `scoped`.
    #[must_use]
    pub const fn new(scoped: &'a [u8], tag: Tag) -> InternalKey<'a> {
        InternalKey { scoped, tag }
    }

    /// The key to seek by for the newest version at or below `seq`.
    #[must_use]
    pub const fn seek(scoped: &'a [u8], seq: SeqNo) -> InternalKey<'a> {
        InternalKey { scoped, tag: Tag::seek(seq) }
    }
}

impl Ord for InternalKey<'_> {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.scoped.cmp(other.scoped).then_with(|| other.tag.cmp(&self.tag))
    }
}

impl PartialOrd for InternalKey<'_> {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for InternalKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"@{:?}", self.scoped.escape_ascii(), self.tag)
    }
}

/// The number of a keyspace; never used again once given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyspaceId(pub u64);

impl KeyspaceId {
    /// Where names of keyspaces are kept.
    pub const CATALOG: KeyspaceId = KeyspaceId(0);
    /// The keyspace that `Db`'s own calls work on.
    pub const DEFAULT: KeyspaceId = KeyspaceId(1);
    /// The largest number.
    pub const MAX: KeyspaceId = KeyspaceId((1 << 56) - 1);
    /// The most bytes that an encoded id takes.
    pub const ENCODED_BYTES_MAX: usize = 8;
    const ONE_BYTE_MAX: u64 = 0xF7;

    /// Appends the encoded id.
    pub fn encode_into(self, out: &mut Vec<u8>) {
        let (bytes, len) = self.encoded();
        out.extend_from_slice(&bytes[..len]);
    }

    /// The encoded id and its length in bytes.
    #[must_use]
    #[inline]
    pub fn encoded(self) -> ([u8; 8], usize) {
        let mut bytes = [0; 8];
        if self.0 <= KeyspaceId::ONE_BYTE_MAX {
            bytes[0] = self.0 as u8;
            return (bytes, 1);
        }
        let count = (64 - self.0.leading_zeros() as usize).div_ceil(8);
        bytes[0] = KeyspaceId::ONE_BYTE_MAX as u8 + count as u8;
        bytes[1..=count].copy_from_slice(&self.0.to_be_bytes()[8 - count..]);
        (bytes, count + 1)
    }

    /// The id at the start of a scoped key and the user key behind it, or `None`
    /// where no id is whole or it is not in its shortest form.
    #[must_use]
    #[inline]
    pub fn split(scoped: &[u8]) -> Option<(KeyspaceId, &[u8])> {
        let (&first, rest) = scoped.split_first()?;
        if u64::from(first) <= KeyspaceId::ONE_BYTE_MAX {
            return Some((KeyspaceId(u64::from(first)), rest));
        }
        let count = usize::from(first) - KeyspaceId::ONE_BYTE_MAX as usize;
        if count > 7 || rest.len() < count {
            return None;
        }
        let (number, user_key) = rest.split_at(count);
        let id = number.iter().fold(0, |id, &byte| id << 8 | u64::from(byte));
        let shortest = number[0] != 0 && id > KeyspaceId::ONE_BYTE_MAX;
        shortest.then_some((KeyspaceId(id), user_key))
    }

    /// The first scoped key that lies behind this keyspace: its exclusive end.
    #[must_use]
    pub fn end(self) -> Vec<u8> {
        let mut end = Vec::with_capacity(8);
        if self.0 >= KeyspaceId::MAX.0 {
            end.push(0xFF);
        } else {
            KeyspaceId(self.0 + 1).encode_into(&mut end);
        }
        end
    }
}

/// A scoped key built for one call: on the stack where it is short.
pub struct ScopedKey {
    inline: [u8; ScopedKey::INLINE_BYTES],
    len: usize,
    heap: Vec<u8>,
}

impl ScopedKey {
    const INLINE_BYTES: usize = 120;

    /// `user_key` in `keyspace`.
    #[must_use]
    #[inline]
    pub fn new(keyspace: KeyspaceId, user_key: &[u8]) -> ScopedKey {
        let (id, id_len) = keyspace.encoded();
        let len = id_len + user_key.len();
        let mut key = ScopedKey { inline: [0; ScopedKey::INLINE_BYTES], len, heap: Vec::new() };
        if len <= ScopedKey::INLINE_BYTES {
            // All of it, which is a store and no call; the key goes over what is too much.
            key.inline[..id.len()].copy_from_slice(&id);
            key.inline[id_len..len].copy_from_slice(user_key);
        } else {
            key.heap.reserve_exact(len);
            key.heap.extend_from_slice(&id[..id_len]);
            key.heap.extend_from_slice(user_key);
        }
        key
    }
}

impl std::ops::Deref for ScopedKey {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        if self.heap.is_empty() { &self.inline[..self.len] } else { &self.heap }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyspace_ids_keep_their_order_and_are_prefix_free() {
        let ids = [0, 1, 2, 246, 247, 248, 249, 255, 256, 65_535, 65_536, 1 << 24, (1 << 56) - 1];
        let encoded: Vec<Vec<u8>> = ids
            .iter()
            .map(|&id| {
                let mut bytes = Vec::new();
                KeyspaceId(id).encode_into(&mut bytes);
                bytes
            })
            .collect();
        for pair in encoded.windows(2) {
            assert!(pair[0] < pair[1], "{pair:?}");
            assert!(!pair[1].starts_with(&pair[0]), "{pair:?}");
        }
        for (id, bytes) in ids.iter().zip(&encoded) {
            let mut scoped = bytes.clone();
            scoped.extend_from_slice(b"\0key");
            assert_eq!(KeyspaceId::split(&scoped), Some((KeyspaceId(*id), &b"\0key"[..])));
            assert!(KeyspaceId(*id).end() > scoped);
        }
    }

    #[test]
    fn keyspace_ids_that_are_cut_reserved_or_too_long_are_refused() {
        for bad in [&[][..], &[0xF8], &[0xF8, 0x00], &[0xF8, 0xF7], &[0xF9, 0, 1], &[0xFF, 1]] {
            assert_eq!(KeyspaceId::split(bad), None, "{bad:?}");
        }
        assert_eq!(KeyspaceId::split(&[0xF8, 0xF8]), Some((KeyspaceId(248), &[][..])));
    }

    #[test]
    fn versions_of_a_key_sort_newest_first() {
        let old = InternalKey::new(b"k", Tag::new(SeqNo(1), Kind::Put));
        let new = InternalKey::new(b"k", Tag::new(SeqNo(2), Kind::Delete));
        assert!(new < old);
        assert!(InternalKey::seek(b"k", SeqNo(2)) <= new);
        assert!(InternalKey::seek(b"k", SeqNo(1)) > new);
        assert!(InternalKey::seek(b"k", SeqNo(1)) <= old);
        assert!(old < InternalKey::new(b"k\0", Tag::new(SeqNo(9), Kind::Put)));
    }

    #[test]
    fn a_scoped_key_is_the_same_inline_and_on_the_heap() {
        for len in [0, 1, 118, 119, 120, 121, 65_535] {
            let user_key = vec![7; len];
            let scoped = ScopedKey::new(KeyspaceId(300), &user_key);
            assert_eq!(KeyspaceId::split(&scoped), Some((KeyspaceId(300), &user_key[..])));
        }
    }
}
