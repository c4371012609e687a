//! Threads that sleep until a count changes: by a lock and a condition variable.

use super::Ordering;
use super::primitives::{AtomicU32, Condvar, Mutex};

/// Those who sleep on one count.
#[derive(Debug, Default)]
pub(crate) struct Sleepers {
    lock: Mutex<()>,
    changed: Condvar,
}

impl Sleepers {
    /// Returns once the count is not `seen` and all who sleep were woken, or for no reason.
    pub(crate) fn sleep(&self, count: &AtomicU32, seen: u32) {
        let guard = self.lock.lock();
        if count.load(Ordering::Acquire) == seen {
            drop(self.changed.wait(guard));
        }
    }

    /// Wakes all who sleep; after the count has changed.
    pub(crate) fn wake_all(&self, _: &AtomicU32) {
        // Nobody is between their look at the count and their sleep.
        drop(self.lock.lock());
        self.changed.notify_all();
    }
}
