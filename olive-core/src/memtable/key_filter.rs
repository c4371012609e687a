//! A blocked Bloom filter over the keys of a memtable that grows while it is read.
//!
//! A get that finds a key in no memtable would walk through each of them, some five cache
//! misses deep; one line tells that it need not. The writer sets a key's bits before it
//! publishes the entry, so who sees an entry finds its bits: they are only ever set.
//!
//! ```text
//! line     (h >> 32) · lines >> 32            h: the hash of the tables' filters
//! bits     4 of the line's 512, from 9 bits of h · golden ratio each
//! ```
//!
//! F. Putze, P. Sanders, J. Singler: Cache-, Hash- and Space-Efficient Bloom Filters,
//! WEA 2007.

use crate::sync::{AtomicU64, Ordering};

/// One line to so many bytes of the memtable: 10 bits a key where entries are of 160 bytes
/// with their share of the nodes, and at least 2 where they are smallest.
const BYTES_A_LINE: usize = 8 << 10;
/// Those of the largest memtable, of 32 GiB.
const LINES_MAX: usize = 4 << 20;
const PROBES: u32 = 4;
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A cache line of the filter.
#[repr(C, align(64))]
pub(super) struct Line([AtomicU64; 8]);

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
    /// Sets the bits of a key. By the writer alone.
    #[inline]
    pub(super) fn set(&self, hash: u64) {
        for (word, bit) in bits(hash) {
            let word = &self.0[word];
            let before = word.load(Ordering::Relaxed);
            if before & bit == 0 {
                word.store(before | bit, Ordering::Release);
            }
        }
    }

    /// Whether the key may be there.
    #[inline]
    pub(super) fn has(&self, hash: u64) -> bool {
        bits(hash).all(|(word, bit)| self.0[word].load(Ordering::Acquire) & bit != 0)
    }
}

/// Words of a line, and a bit of each.
#[inline]
fn bits(hash: u64) -> impl Iterator<Item = (usize, u64)> {
    let mixed = hash.wrapping_mul(GOLDEN);
    (0..PROBES).map(move |probe| {
        let bit = mixed >> (64 - 9 * (probe + 1));
        ((bit >> 6) as usize & 7, 1 << (bit & 63))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::filter::filter_hash;

    fn filter(lines: usize) -> Vec<Line> {
        (0..lines).map(|_| Line([const { AtomicU64::new(0) }; 8])).collect()
    }

    fn hash(n: u64) -> u64 {
        filter_hash(format!("{n:016}").as_bytes())
    }

    #[test]
    fn what_was_set_is_there_and_little_else() {
        let lines = filter(lines_for(64 << 20));
        assert_eq!(lines.len(), 8192);
        // At 160 bytes an entry.
        let keys = (64 << 20) / 160;
        for n in 0..keys {
            lines[line_of(hash(n), lines.len())].set(hash(n));
        }
        assert!((0..keys).all(|n| lines[line_of(hash(n), lines.len())].has(hash(n))));
        let others = keys..keys * 2;
        let wrong = others.filter(|&n| lines[line_of(hash(n), lines.len())].has(hash(n))).count();
        assert!(wrong < keys as usize * 3 / 100, "{wrong} of {keys}");
    }

    #[test]
    fn an_empty_one_has_nothing_and_a_small_one_has_a_line() {
        let lines = filter(lines_for(0));
        assert_eq!(lines.len(), 1);
        for n in 0..1000 {
            assert_eq!(line_of(hash(n), 1), 0);
            assert!(!lines[0].has(hash(n)));
        }
        assert_eq!(lines_for(usize::MAX), LINES_MAX);
        assert_eq!(line_of(u64::MAX, LINES_MAX), LINES_MAX - 1);
    }
}
