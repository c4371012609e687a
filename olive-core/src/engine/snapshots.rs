//! The live snapshots.

use std::collections::BTreeMap;

use crate::key::SeqNo;
use crate::sync::{Mutex, OwnLines, thread_number};

/// How many parts the list has: threads that take snapshots at once seldom meet.
const PARTS: usize = 8;

/// Sequence numbers that somebody holds, with how many hold each: a thread registers its
/// own in the part of its number.
#[derive(Debug, Default)]
pub(crate) struct Snapshots([OwnLines<Mutex<BTreeMap<SeqNo, u64>>>; PARTS]);

/// A number that is held until it is [released](Snapshots::release).
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeldSeq {
    pub(crate) seq: SeqNo,
    part: usize,
}

impl Snapshots {
    /// Loads a number by `published` and registers it, in one step against the look of
    /// [`list`](Self::list) into this part: a job that does not see the snapshot began
    /// before the number was loaded, so it cannot drop what the snapshot reads.
    pub(crate) fn register(&self, published: impl FnOnce() -> SeqNo) -> HeldSeq {
        let part = thread_number() % PARTS;
        let mut live = self.0[part].lock();
        let seq = published();
        *live.entry(seq).or_insert(0) += 1;
        HeldSeq { seq, part }
    }

    /// One holder less, by any thread.
    pub(crate) fn release(&self, held: HeldSeq) {
        let mut live = self.0[held.part].lock();
        if let Some(holders) = live.get_mut(&held.seq) {
            *holders -= 1;
            if *holders == 0 {
                live.remove(&held.seq);
            }
        }
    }

    /// The numbers held, ascending. For a job, whose entries are all published: what is
    /// registered in a part behind its look into that one has a number at or past them.
    pub(crate) fn list(&self) -> Vec<SeqNo> {
        let mut all = Vec::new();
        for part in &self.0 {
            all.extend(part.lock().keys().copied());
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// How many snapshots there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.iter().map(|part| part.lock().values().sum::<u64>()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_held_as_often_as_it_was_registered() {
        let snapshots = Snapshots::default();
        let seven = snapshots.register(|| SeqNo(7));
        snapshots.register(|| SeqNo(3));
        snapshots.register(|| SeqNo(7));
        snapshots.release(seven);
        assert_eq!(snapshots.list(), [SeqNo(3), SeqNo(7)]);
        assert_eq!(snapshots.count(), 2);
        snapshots.release(seven);
        assert_eq!(snapshots.list(), [SeqNo(3)]);
    }

    #[test]
    fn numbers_of_all_threads_are_listed_once_and_any_thread_releases_them() {
        let snapshots = Snapshots::default();
        let of_thread =
            |n: usize| [SeqNo(5), SeqNo(100 - n as u64)].map(|seq| snapshots.register(|| seq));
        let held: Vec<HeldSeq> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..2 * PARTS).map(|n| scope.spawn(move || of_thread(n))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let listed = snapshots.list();
        assert_eq!(listed.len(), 1 + 2 * PARTS);
        assert!(listed.is_sorted() && listed[0] == SeqNo(5));
        assert_eq!(snapshots.count(), 4 * PARTS as u64);
        held.into_iter().for_each(|held| snapshots.release(held));
        assert!(snapshots.list().is_empty());
    }
}
