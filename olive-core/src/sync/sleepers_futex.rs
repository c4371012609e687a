//! Threads that sleep until a count changes: Linux has a call for it.

use std::sync::atomic::AtomicU32;

use rustix::thread::futex;

/// Those who sleep on one count.
#[derive(Debug, Default)]
pub(crate) struct Sleepers;

impl Sleepers {
    /// Returns once the count is not `seen` and all who sleep were woken, or for no reason.
    pub(crate) fn sleep(&self, count: &AtomicU32, seen: u32) {
        // An error is a reason to look again as well: the count has changed, or a signal came.
        let _ = futex::wait(count, futex::Flags::PRIVATE, seen, None);
    }

    /// Wakes all who sleep; after the count has changed.
    pub(crate) fn wake_all(&self, count: &AtomicU32) {
        let everyone = i32::MAX as u32;
        let woken = futex::wake(count, futex::Flags::PRIVATE, everyone);
        debug_assert!(woken.is_ok(), "a futex of this process: {woken:?}");
    }
}
