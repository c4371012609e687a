//! When what iterators walk over in vain pays for a flush.
//!
//! A deleted key costs each iterator that meets it a step, until a flush and a compaction
//! have dropped it. Where a range is a queue, all that was taken out of it lies before its
//! head, and each look at the head would walk over what a memtable holds of that, up to
//! some hundred thousand entries.
//!
//! ```text
//! steps over long runs of entries that are not shown    added up
//!                     │  as many as the memtable's flush would cost
//!                     ▼
//!                the memtable is flushed, and the sum is 0 again
//! ```
//!
//! So no more than about twice is lost of what the best moment to flush would have cost,
//! whatever comes next: the rule of who rents until he has paid the price. Where the runs
//! are in tables, flushes bring on the compaction that drops them.
//!
//! RocksDB has limits for the same (`memtable_op_scan_flush_trigger`), which are off.

use super::Engine;
use crate::error::Result;
use crate::sync::{AtomicBool, AtomicU64, Ordering, OwnLines};

/// What a flush costs for each entry of the memtable, some 1 µs, in steps of 40 ns.
const ENTRY_STEPS: u64 = 25;
/// What it costs besides, 20 ms: files made and synced, and its part of a compaction.
const FLUSH_STEPS: u64 = 500_000;
/// A memtable of fewer entries is left alone: the runs are elsewhere.
const ENTRIES_MIN: u64 = 1024;

/// Steps that were made in vain, and whether they ask for a flush.
#[derive(Debug, Default)]
pub(super) struct Passed {
    steps: OwnLines<AtomicU64>,
    wants_flush: AtomicBool,
}

impl Passed {
    /// Notes steps beside a memtable of so many entries; whether a flush is wanted now, and
    /// was not before.
    fn note(&self, steps: u64, entries: u64) -> bool {
        let sum = self.steps.fetch_add(steps, Ordering::Relaxed) + steps;
        if entries < ENTRIES_MIN || sum < FLUSH_STEPS + ENTRY_STEPS * entries {
            return false;
        }
        self.steps.store(0, Ordering::Relaxed);
        !self.wants_flush.swap(true, Ordering::Relaxed)
    }

    fn take_wish(&self) -> bool {
        self.wants_flush.load(Ordering::Relaxed) && self.wants_flush.swap(false, Ordering::Relaxed)
    }
}

impl Engine {
    /// Notes what an iterator has walked over in vain.
    #[cold]
    pub(super) fn note_passed(&self, steps: u64) {
        let entries = self.view.load().memtable.len() as u64;
        if !self.read_only && self.passed.note(steps, entries) {
            self.threads.wake_flush();
        }
    }

    /// Begins another memtable, so that this one is flushed, where iterators wish for it and
    /// there is room.
    pub(super) fn rotate_if_wished(&self) -> Result<()> {
        if self.passed.take_wish()
            && let Some(commit) = self.commit.lock().as_mut()
            && !commit.memtable.table().is_empty()
        {
            self.rotate_memtable(commit, 0)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_is_wished_for_once_its_price_was_paid_in_steps() {
        let passed = Passed::default();
        let price = FLUSH_STEPS + ENTRY_STEPS * 10_000;
        assert!(!passed.note(price - 1, 10_000) && !passed.take_wish());
        assert!(passed.note(1, 10_000));
        assert!(!passed.note(2 * price, 10_000), "it is known already");
        assert!(passed.take_wish() && !passed.take_wish());
        assert!(!passed.note(price - 1, 10_000), "the sum began anew");
    }

    #[test]
    fn a_memtable_of_few_entries_is_left_alone() {
        let passed = Passed::default();
        assert!(!passed.note(u64::MAX / 2, ENTRIES_MIN - 1));
        assert!(passed.note(0, ENTRIES_MIN), "what was lost still counts");
    }
}
