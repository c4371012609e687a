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

pub(crate) use std::sync::atomic::Ordering;
pub(crate) use std::sync::{Arc, OnceLock};

#[cfg(all(test, olive_shuttle))]
pub(crate) use primitives::explore;
pub(crate) use primitives::{
    ArcSwap, AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Condvar, EventCount, Mutex, MutexGuard,
    yield_now,
};

/// Something on cache lines of its own: what one thread writes all the time does not take
/// its neighbours from those who only read them. (Two lines: processors fetch pairs.)
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct OwnLines<T>(pub(crate) T);

impl<T> std::ops::Deref for OwnLines<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}
