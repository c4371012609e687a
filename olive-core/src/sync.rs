//! The primitives that threads meet on: one place, so that a model checker can
//! stand in for the standard library.
//!
//! ```sh
//! RUSTFLAGS="--cfg olive_shuttle" cargo test --release -p olive-core --lib \
//!     --target-dir target/shuttle shuttle -- --nocapture
//! ```
//!
//! A [`Mutex`] here is never poisoned: a panic in one caller's closure must not
//! end the database for all others, so each critical section leaves its state
//! whole before it can panic.

#[cfg(all(test, olive_shuttle))]
#[path = "sync/checked.rs"]
mod primitives;
#[cfg(not(all(test, olive_shuttle)))]
#[path = "sync/native.rs"]
mod primitives;

mod event_count;
#[cfg_attr(
    all(target_os = "linux", not(all(test, olive_shuttle))),
    path = "sync/sleepers_futex.rs"
)]
#[cfg_attr(
    not(all(target_os = "linux", not(all(test, olive_shuttle)))),
    path = "sync/sleepers_portable.rs"
)]
mod sleepers;

use std::cell::Cell;
pub(crate) use std::sync::atomic::Ordering;
pub(crate) use std::sync::{Arc, OnceLock};

#[cfg(all(test, olive_shuttle))]
pub(crate) use primitives::explore;
pub(crate) use primitives::{
    ArcSwap, AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Condvar, Mutex, MutexGuard, yield_now,
};

pub(crate) use event_count::EventCount;

/// Something on cache lines of its own: what one thread writes all the time does not take
/// its neighbours from those who only read them. (Two lines: processors fetch pairs.)
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct OwnLines<T>(pub(crate) T);

/// The calling thread's number, by which it takes its own of what there is several of.
#[inline]
pub(crate) fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) });
    NUMBER.with(|number| {
        if number.get() == usize::MAX {
            number.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        number.get()
    })
}

/// How many counts [`Handles`] have: more threads than these share some.
const HANDLE_COUNTS: usize = 8;

/// Several counted handles of one thing that many threads hold for a moment.
///
/// ```text
/// Handles ──┬─► count │ handle ─┐
///           ├─► count │ handle ─┼─► what it leads to
///           └─► ...            ─┘
///                 ▲
///                 └ a thread takes the one of its number
/// ```
///
/// Were the holders counted in one place, each of them would write the line that all other
/// threads write for each of theirs: the most of what a `get` costs then.
#[derive(Debug)]
pub(crate) struct Handles<H>([Arc<OwnLines<H>>; HANDLE_COUNTS]);

impl<H> Handles<H> {
    /// Handles that `make` makes: each holds the thing.
    pub(crate) fn new(make: impl Fn() -> H) -> Handles<H> {
        Handles(std::array::from_fn(|_| Arc::new(OwnLines(make()))))
    }

    /// A handle that is the caller's as long as it likes.
    #[inline]
    pub(crate) fn get(&self) -> Arc<OwnLines<H>> {
        Arc::clone(&self.0[thread_number() % HANDLE_COUNTS])
    }

    /// Whether nobody has one. They are looked at one after the other: it is for the caller
    /// to know that nobody takes one meanwhile.
    pub(crate) fn are_unheld(&self) -> bool {
        self.0.iter().all(|handle| Arc::strong_count(handle) == 1)
    }
}

impl<T> std::ops::Deref for OwnLines<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_of_all_threads_hold_the_thing_and_outlive_the_rest() {
        let thing = Arc::new(7);
        let handles = Handles::new(|| Arc::clone(&thing));
        assert!(handles.are_unheld());
        let mut held = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..2 * HANDLE_COUNTS)
                .map(|_| scope.spawn(|| [handles.get(), handles.get()]))
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        let places: std::collections::HashSet<_> = held.iter().map(Arc::as_ptr).collect();
        assert!(places.len() > 1, "threads count apart");
        while let Some(handle) = held.pop() {
            assert!(!handles.are_unheld());
            assert_eq!(***handle, 7);
        }
        assert!(handles.are_unheld());
        let last = handles.get();
        drop(handles);
        assert_eq!((***last, Arc::strong_count(&thing)), (7, 2));
    }

    #[test]
    fn each_count_is_on_lines_of_its_own() {
        let handles = Handles::new(|| 0_u8);
        let mut lines: Vec<_> = handles.0.iter().map(|h| Arc::as_ptr(h).addr() / 128).collect();
        lines.sort_unstable();
        // What is counted stands behind its count, and begins lines of its own too.
        assert!(lines.windows(2).all(|pair| pair[1] - pair[0] >= 2), "{lines:?}");
    }
}
