//! A hash index over the keys of a memtable, which grows while it is read.
//!
//! A get walks through each memtable, some six cache misses deep, whether the key is there
//! or not. One line of this index tells where a key's newest version is, or that there is
//! none: a key in a memtable is two misses away, any other one.
//!
//! ```text
//! line, of 64 bytes:   tags 12 × 1 | left out 4 | entries 12 × 4
//!
//! line     (h >> 32) · lines >> 32      h: the hash of the tables' filters
//! tag      h mod 256, but 1 for 0;      0: a free slot, and so are those behind it
//! ```
//!
//! The writer fills a line's slots in order. A key that comes again takes its old slot, so
//! that the slot leads to its newest version; whoever looks for an older one searches in
//! the tree. A key that finds its line full is left out: it sets bit (h >> 8) mod 32 of
//! `left out`, and a key that is in no slot has to be looked for in the tree only where its
//! bit is set.
//!
//! # Readers beside the writer
//!
//! An entry is whole before a slot leads to it, a slot leads to it before its tag says so,
//! and both are stored with Release and loaded with Acquire. What was published before a
//! reader began is in its slot, or newer versions of the same key are, or its bit is set;
//! and none of these is ever taken back.
//!
//! Tags that are compared side by side: N. Bronson, X. Shi, Open-sourcing F14, 2019.

use crate::sync::{AtomicU32, AtomicU64, Ordering};

use super::tree_nodes::Node;

/// One line to so many bytes of the memtable: where entries are of 170 bytes with their
/// share of the nodes, a full memtable has 6 in a line, and 1 in 300 is left out.
const BYTES_A_LINE: usize = 1 << 10;
/// Those of the largest memtable, of 32 GiB.
const LINES_MAX: usize = 32 << 20;
const SLOTS: usize = 12;
/// Tags in the first word.
const FIRST_TAGS: usize = 8;
const LEFT_OUT_BITS: u32 = 32;

/// A cache line of the index.
#[repr(C, align(64))]
pub(super) struct Line {
    first_tags: AtomicU64,
    last_tags: AtomicU32,
    left_out: AtomicU32,
    nodes: [AtomicU32; SLOTS],
}

/// How many lines a memtable of `capacity_bytes` has.
pub(super) fn lines_for(capacity_bytes: usize) -> usize {
    (capacity_bytes / BYTES_A_LINE).clamp(1, LINES_MAX)
}

/// The line of a key, by its hash.
#[inline]
pub(super) fn line_of(hash: u64, lines: usize) -> usize {
    (((hash >> 32) * lines as u64) >> 32) as usize
}

impl Line {
    /// Leads the key of this hash to `node`. `replaces` says of an entry whether it is of
    /// the same key, and then whether `node` is newer. By the writer alone.
    #[inline]
    pub(super) fn insert(
        &self,
        hash: u64,
        node: Node,
        mut replaces: impl FnMut(Node) -> Option<bool>,
    ) {
        for slot in self.slots(hash) {
            if let Some(is_newer) = replaces(self.node(slot)) {
                if is_newer {
                    self.nodes[slot].store(node.0, Ordering::Release);
                }
                return;
            }
        }
        let (first, last) =
            (self.first_tags.load(Ordering::Relaxed), self.last_tags.load(Ordering::Relaxed));
        let taken =
            if last == 0 { bytes_used(first) } else { FIRST_TAGS + bytes_used(last.into()) };
        match taken {
            SLOTS => {
                let left_out = self.left_out.load(Ordering::Relaxed) | left_out_bit(hash);
                self.left_out.store(left_out, Ordering::Release);
            }
            FIRST_TAGS.. => {
                self.nodes[taken].store(node.0, Ordering::Release);
                let tag = u32::from(tag(hash)) << (8 * (taken - FIRST_TAGS));
                self.last_tags.store(last | tag, Ordering::Release);
            }
            _ => {
                self.nodes[taken].store(node.0, Ordering::Release);
                let tag = u64::from(tag(hash)) << (8 * taken);
                self.first_tags.store(first | tag, Ordering::Release);
            }
        }
    }

    /// Entries that may be of the key with this hash.
    #[inline]
    pub(super) fn candidates(&self, hash: u64) -> impl Iterator<Item = Node> {
        self.slots(hash).map(|slot| self.node(slot))
    }

    /// Whether a key that is none of the candidates may be in the tree. To be asked after
    /// them.
    #[inline]
    pub(super) fn may_have_left_out(&self, hash: u64) -> bool {
        self.left_out.load(Ordering::Acquire) & left_out_bit(hash) != 0
    }

    #[inline]
    fn node(&self, slot: usize) -> Node {
        Node(self.nodes[slot].load(Ordering::Acquire))
    }

    /// The slots in use whose tag is that of the hash.
    #[inline]
    fn slots(&self, hash: u64) -> impl Iterator<Item = usize> + use<> {
        let pattern = u64::from(tag(hash)) * LOWEST_BITS;
        let mut first = zero_bytes(self.first_tags.load(Ordering::Acquire) ^ pattern);
        // The bytes past the last tag are zeros, which no tag is.
        let mut last = zero_bytes(u64::from(self.last_tags.load(Ordering::Acquire)) ^ pattern);
        std::iter::from_fn(move || {
            if first != 0 {
                let slot = first.trailing_zeros() as usize / 8;
                first &= first - 1;
                return Some(slot);
            }
            if last != 0 {
                let slot = FIRST_TAGS + last.trailing_zeros() as usize / 8;
                last &= last - 1;
                // In range for the compiler too.
                return Some(slot.min(SLOTS - 1));
            }
            None
        })
    }
}

const LOWEST_BITS: u64 = 0x0101_0101_0101_0101;
const ALL_BUT_HIGHEST_BITS: u64 = 0x7F7F_7F7F_7F7F_7F7F;

/// The highest bit of each byte that is zero.
#[inline]
fn zero_bytes(word: u64) -> u64 {
    !(((word & ALL_BUT_HIGHEST_BITS) + ALL_BUT_HIGHEST_BITS) | word | ALL_BUT_HIGHEST_BITS)
}

/// How many bytes, from the lowest on, there are up to the last that is not zero.
#[inline]
fn bytes_used(word: u64) -> usize {
    8 - word.leading_zeros() as usize / 8
}

#[inline]
fn tag(hash: u64) -> u8 {
    (hash as u8).max(1)
}

#[inline]
fn left_out_bit(hash: u64) -> u32 {
    1 << ((hash >> 8) as u32 % LEFT_OUT_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::filter::filter_hash;

    fn index(lines: usize) -> Vec<Line> {
        (0..lines)
            .map(|_| Line {
                first_tags: AtomicU64::new(0),
                last_tags: AtomicU32::new(0),
                left_out: AtomicU32::new(0),
                nodes: [const { AtomicU32::new(0) }; SLOTS],
            })
            .collect()
    }

    fn hash(n: u32) -> u64 {
        filter_hash(format!("{n:016}").as_bytes())
    }

    /// Keys are their numbers: entry n + 1 is of key n.
    fn insert(lines: &[Line], n: u32) {
        lines[line_of(hash(n), lines.len())].insert(hash(n), Node(n + 1), |_| None);
    }

    fn leads_to(lines: &[Line], n: u32) -> (bool, bool, usize) {
        let line = &lines[line_of(hash(n), lines.len())];
        let mut candidates = line.candidates(hash(n));
        let is_there = candidates.any(|node| node == Node(n + 1));
        (is_there, line.may_have_left_out(hash(n)), line.candidates(hash(n)).count())
    }

    #[test]
    fn a_line_is_a_cache_line() {
        assert_eq!((size_of::<Line>(), align_of::<Line>()), (64, 64));
    }

    #[test]
    fn every_key_is_led_to_or_left_out_and_few_others_are() {
        let lines = index(lines_for(64 << 20));
        assert_eq!(lines.len(), 64 << 10);
        let keys = (64 << 20) / 170;
        (0..keys).for_each(|n| insert(&lines, n));
        let (mut left_out, mut wrong) = (0, 0);
        for n in 0..keys {
            let (is_there, may_be_left_out, candidates) = leads_to(&lines, n);
            assert!(is_there || may_be_left_out, "{n}");
            left_out += usize::from(!is_there);
            wrong += candidates - usize::from(is_there);
        }
        assert!(left_out < keys as usize / 200, "{left_out} of {keys} are left out");
        assert!(wrong < keys as usize * 4 / 100, "{wrong} for {keys}");
        let searches = (keys..keys * 2).filter(|&n| leads_to(&lines, n).1).count();
        assert!(searches < keys as usize / 500, "{searches} of {keys} searched in vain");
    }

    #[test]
    fn a_full_line_leaves_keys_out_and_tells_them_from_most_others() {
        let lines = index(1);
        (0..SLOTS as u32).for_each(|n| insert(&lines, n));
        assert!((0..SLOTS as u32).all(|n| leads_to(&lines, n).0));
        assert!((0..1000).all(|n| !leads_to(&lines, n).1), "nothing is left out");
        insert(&lines, 500);
        assert_eq!((leads_to(&lines, 500).0, leads_to(&lines, 500).1), (false, true));
        let searches = (0..1000).filter(|&n| leads_to(&lines, n).1).count();
        assert!((10..60).contains(&searches), "about 1000 / 32, and it is {searches}");
    }

    #[test]
    fn a_key_that_comes_again_keeps_its_slot_and_leads_to_the_newest() {
        let lines = index(1);
        // Of three keys that share a tag, and one that does not.
        let hashes = [0x0107, 0x0207, 0x0307, 0x0408];
        let key_of = |node: Node| node.0 % 4;
        let mut newest = [0; 4];
        for node in 1..200_u32 {
            let key = key_of(Node(node));
            lines[0].insert(hashes[key as usize], Node(node), |old| {
                (key_of(old) == key).then_some(node > old.0)
            });
            newest[key as usize] = node;
        }
        // An older one that comes late changes nothing.
        lines[0].insert(hashes[1], Node(1), |old| (key_of(old) == 1).then_some(false));
        for (key, hash) in hashes.into_iter().enumerate() {
            let nodes: Vec<Node> = lines[0].candidates(hash).collect();
            assert!(nodes.contains(&Node(newest[key])), "key {key}: {nodes:?}");
            assert_eq!(nodes.len(), if hash & 0xFF == 7 { 3 } else { 1 });
            assert!(!lines[0].may_have_left_out(hash));
        }
    }

    #[test]
    fn all_tags_in_all_slots_are_told_apart() {
        for low in 0..=255_u64 {
            let lines = index(1);
            // Neighbours of one tag, which a borrow or carry between bytes would mix up.
            let hashes: Vec<u64> = (0..SLOTS as u64).map(|slot| (low + slot % 3) & 0xFF).collect();
            for (slot, &hash) in hashes.iter().enumerate() {
                lines[0].insert(hash, Node(slot as u32 + 1), |_| None);
                for probe in 0..=255 {
                    let same = |&h: &u64| tag(h) == tag(probe);
                    let expected: Vec<u32> =
                        (0..=slot).filter(|&s| same(&hashes[s])).map(|s| s as u32 + 1).collect();
                    let found: Vec<u32> = lines[0].candidates(probe).map(|n| n.0).collect();
                    assert_eq!(found, expected, "tag {probe} beside {low}, slot {slot}");
                }
            }
        }
    }

    #[test]
    fn an_empty_one_has_nothing_and_a_small_one_has_a_line() {
        let lines = index(lines_for(0));
        assert_eq!(lines.len(), 1);
        for n in 0..1000 {
            assert_eq!(line_of(hash(n), 1), 0);
            assert_eq!(leads_to(&lines, n), (false, false, 0));
        }
        assert_eq!(lines_for(usize::MAX), LINES_MAX);
        assert_eq!(line_of(u64::MAX, LINES_MAX), LINES_MAX - 1);
    }
}
