//! Counters that many threads add to: each thread on a cache line of its own, which it
//! reads and writes apart. Threads past 64 share other lines, by locked additions.

use crate::sync::{AtomicU64, Ordering, thread_number};

/// Lines of one thread each, and lines that threads share.
const OWN: usize = 64;
const SHARED: usize = 64;

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
        Counters((0..OWN + SHARED).map(|_| Slot::default()).collect())
    }

    /// Adds `counts` to the calling thread's slot.
    #[inline]
    pub(crate) fn add(&self, counts: &[(Count, u64)]) {
        let thread = thread_number();
        if thread >= OWN {
            return self.add_shared(thread, counts);
        }
        let slot = &self.0[thread];
        for &(count, by) in counts {
            let counter = &slot.0[count as usize];
            counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Relaxed);
        }
    }

    #[cold]
    fn add_shared(&self, thread: usize, counts: &[(Count, u64)]) {
        let slot = &self.0[OWN + thread % SHARED];
        for &(count, by) in counts {
            slot.0[count as usize].fetch_add(by, Ordering::Relaxed);
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
        const THREADS: u64 = 2 * (OWN + SHARED) as u64;
        let counters = Counters::new();
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        counters.add(&[(Count::Gets, 1), (Count::ReadBytes, 7)]);
                    }
                });
            }
        });
        assert_eq!(counters.sum(Count::Gets), THREADS * 1000);
        assert_eq!(counters.sum(Count::ReadBytes), THREADS * 7000);
        assert_eq!(counters.sum(Count::GetHits), 0);
    }
}
