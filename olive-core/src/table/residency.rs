//! Whether what a read is about to touch is in memory, as far as that pays to ask.
//!
//! Under RANDOM advice each page that is not in memory is a read of the disk by itself, one
//! after the other, so who is about to touch several asks for them at once. But to look
//! whether they are there costs a call to the system, more than to read them where they
//! are: so most reads of a table that is in memory do without.
//!
//! ```text
//! reads   1 ... 64    65 ... 319   320     321     322    ...
//!         look:       not asked    look:   look:   look:  ...  until 64 in a row have found
//!         all there                gone                        all there
//! ```

use std::cell::Cell;

use crate::sync::{AtomicU32, Ordering};

/// Where all is in memory, a thread looks at each read of so many.
const ONE_IN: u32 = 256;
/// So many reads in a row must have found what they touch before that is so again.
const LOOKS: u32 = 64;

/// What the last looks at a table have found.
///
/// Where all is in memory this is only read: a line that all who read the table wrote
/// would cost them more than the looks that it saves. Threads may lose each other's steps;
/// what they count is a matter of speed only.
#[derive(Debug)]
pub(super) struct Residency {
    /// Looks that are still due, at every read.
    looks: AtomicU32,
}

impl Default for Residency {
    /// Of a table that was just opened, which nothing is known of.
    fn default() -> Residency {
        Residency { looks: AtomicU32::new(LOOKS) }
    }
}

impl Residency {
    /// Whether to look before this read.
    #[inline]
    pub(super) fn is_look_due(&self) -> bool {
        self.is_cold() || is_turn_of_thread()
    }

    /// Whether a look has found something gone lately.
    #[inline]
    pub(super) fn is_cold(&self) -> bool {
        self.looks.load(Ordering::Relaxed) > 0
    }

    /// Notes what a look has found.
    pub(super) fn note(&self, was_there: bool) {
        let looks = self.looks.load(Ordering::Relaxed);
        if !was_there {
            self.looks.store(LOOKS, Ordering::Relaxed);
        } else if looks > 0 {
            self.looks.store(looks - 1, Ordering::Relaxed);
        }
    }
}

/// Says yes once in [`ONE_IN`] calls of each thread.
#[inline]
fn is_turn_of_thread() -> bool {
    thread_local!(static CALLS: Cell<u32> = const { Cell::new(0) });
    CALLS.with(|calls| {
        calls.set(calls.get().wrapping_add(1));
        calls.get() % ONE_IN == 0
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::internal_iter::InternalIter;
    use crate::key::{InternalKey, Kind, SeqNo, Tag};
    use crate::options::{ChecksumPolicy, TableIo};
    use crate::sync::Arc;
    use crate::table::{Table, TableReadOptions, TableWriter, TableWriterOptions};
    use crate::vfs::{OsVfs, Vfs};

    type Read = fn(&Arc<Table>, &[u8]);

    fn key(i: u32) -> Vec<u8> {
        format!("\x01{i:06}").into_bytes()
    }

    /// A table that was just written, so it is in memory, of values of `len` bytes.
    fn table(dir: &Path, len: usize) -> Arc<Table> {
        let vfs: Arc<dyn Vfs> = Arc::new(OsVfs::default());
        let options = TableWriterOptions { block_bytes: 4096, filter_bits_per_key: 10 };
        let mut writer = TableWriter::create(&vfs, dir, len as u64, options).unwrap();
        for i in 0..2 * LOOKS {
            let tag = Tag::new(SeqNo(u64::from(i)), Kind::Put);
            writer.add(InternalKey::new(&key(i), tag), &vec![i as u8; len]).unwrap();
        }
        let meta = writer.finish().unwrap();
        let options =
            TableReadOptions { io: TableIo::Mapped, checksum_policy: ChecksumPolicy::FirstRead };
        Table::new(vfs, dir, meta, options)
    }

    #[test]
    fn reads_of_several_pages_look_until_a_table_is_known_to_be_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        let ways: [Read; 3] = [
            |table, key| drop(table.get(key, SeqNo::MAX).unwrap().unwrap()),
            |table, key| assert!(table.iter().seek(InternalKey::seek(key, SeqNo::MAX)).unwrap()),
            |table, key| table.approach(key, SeqNo::MAX).unwrap().will_need(),
        ];
        let large = table(dir.path(), 6000);
        for read in ways {
            let is_cold = |table: &Table| table.core().unwrap().residency().is_cold();
            let large =
                Table::new(Arc::clone(&large.vfs), dir.path(), large.meta.clone(), large.options);
            assert!(is_cold(&large), "nothing is known of it");
            (1..LOOKS).for_each(|i| read(&large, &key(i)));
            assert!(is_cold(&large));
            (LOOKS..=LOOKS + 1).for_each(|i| read(&large, &key(i)));
            assert!(!is_cold(&large));
        }
        // A fault reads a page, which is all of a block.
        let small = table(dir.path(), 100);
        (0..2 * LOOKS).for_each(|i| ways[0](&small, &key(i)));
        assert!(small.core().unwrap().residency().is_cold());
    }

    /// How many of so many reads look, where they find what `is_there` says of each.
    fn looks(residency: &Residency, reads: u32, is_there: impl Fn(u32) -> bool) -> u32 {
        let mut looks = 0;
        for read in 0..reads {
            if residency.is_look_due() {
                looks += 1;
                residency.note(is_there(read));
            }
        }
        looks
    }

    #[test]
    fn few_reads_look_where_all_is_in_memory_and_all_where_it_is_not() {
        let residency = Residency::default();
        assert_eq!(looks(&residency, LOOKS, |_| true), LOOKS, "nothing is known of it");
        assert_eq!(looks(&residency, ONE_IN * 100, |_| true), 100);
        assert!(looks(&residency, 6400, |_| false) > 6400 - ONE_IN);
        assert!(looks(&residency, 6400, |read| read % 10 > 0) == 6400, "one in ten is gone");
        assert_eq!(
            looks(&residency, 55 + ONE_IN * 10, |_| true),
            55 + 10,
            "nine had found all there"
        );
    }
}
