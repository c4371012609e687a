//! Counters that many threads add to: each thread on a cache line of its own.
//!
//! A slot is read and written apart, so two threads that share one (past 64) may
//! lose a count; figures for people are worth that, a locked addition a read is
//! not.

use crate::sync::{AtomicU64, Ordering, thread_number};

const SLOTS: usize = 64;

/// What is counted on the read path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Count {
    Gets,
    GetHits,
    GetTables,
    ReadBytes,
    FilterProbes,
    FilterUseful,
}

const COUNTS: usize = 6;

#[derive(Debug, Default)]
#[repr(align(128))]
struct Slot([AtomicU64; COUNTS]);

/// Read-path counters.
#[derive(Debug)]
pub(crate) struct Counters(Box<[Slot]>);

impl Counters {
    pub(crate) fn new() -> Counters {
        Counters((0..SLOTS).map(|_| Slot::default()).collect())
    }

    /// Adds `counts` to the calling thread's slot.
    #[inline]
    pub(crate) fn add(&self, counts: &[(Count, u64)]) {
        let slot = &self.0[thread_number() % SLOTS];
        for &(count, by) in counts {
            let counter = &slot.0[count as usize];
            counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Relaxed);
        }
    }

    /// The sum over all threads.
    pub(crate) fn sum(&self, count: Count) -> u64 {
        self.0.iter().map(|slot| slot.0[count as usize].load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_all_threads_add_up() {
        let counters = Counters::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        counters.add(&[(Count::Gets, 1), (Count::ReadBytes, 7)]);
                    }
                });
            }
        });
        assert_eq!(counters.sum(Count::Gets), 4000);
        assert_eq!(counters.sum(Count::ReadBytes), 28_000);
        assert_eq!(counters.sum(Count::GetHits), 0);
    }
}
