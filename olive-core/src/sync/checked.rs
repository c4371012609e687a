//! The model checker's (shuttle's), in unit tests under `--cfg olive_shuttle`: it runs
//! threads one at a time, and chooses at each point where threads meet which goes on.
//!
//! Atomics keep std's representation, since the memtable places them in raw memory, and
//! give the checker a choice before each access. It tries orders of accesses, not what
//! weaker orderings than sequential consistency would allow beside them: for that the
//! memtable's tests run under Miri.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{self, Ordering};
use std::time::Duration;

pub(crate) use shuttle::thread::yield_now;

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};

/// A point at which another thread may go on.
fn point() {
    // An access to an atomic that nobody shares: its value does not matter.
    shuttle::sync::atomic::AtomicBool::new(false).load(Ordering::SeqCst);
}

macro_rules! atomics {
    ($($name:ident of $of:ty { $($extra:ident),* })*) => {$(
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub(crate) struct $name(atomic::$name);

        impl $name {
            pub(crate) const fn new(value: $of) -> $name {
                $name(atomic::$name::new(value))
            }

            pub(crate) fn load(&self, order: Ordering) -> $of {
                point();
                self.0.load(order)
            }

            pub(crate) fn store(&self, value: $of, order: Ordering) {
                point();
                self.0.store(value, order);
            }

            $(
                pub(crate) fn $extra(&self, value: $of, order: Ordering) -> $of {
                    point();
                    self.0.$extra(value, order)
                }
            )*
        }
    )*};
}

atomics! {
    AtomicBool of bool { swap }
    AtomicU32 of u32 { fetch_add, swap }
    AtomicU64 of u64 { fetch_add, fetch_max, fetch_or }
    AtomicUsize of usize { fetch_add, fetch_max, fetch_sub }
}

impl AtomicU64 {
    pub(crate) fn fetch_update(
        &self,
        set: Ordering,
        fetch: Ordering,
        change: impl FnMut(u64) -> Option<u64>,
    ) -> Result<u64, u64> {
        point();
        self.0.fetch_update(set, fetch, change)
    }
}

/// The cell that readers pin a view from.
#[derive(Debug)]
pub(crate) struct ArcSwap<T>(std::sync::Mutex<Arc<T>>);

impl<T> ArcSwap<T> {
    pub(crate) fn from_pointee(value: T) -> ArcSwap<T> {
        ArcSwap(std::sync::Mutex::new(Arc::new(value)))
    }

    pub(crate) fn load(&self) -> Arc<T> {
        point();
        Arc::clone(&self.0.lock().expect("nobody panics with it"))
    }

    pub(crate) fn load_full(&self) -> Arc<T> {
        self.load()
    }

    pub(crate) fn store(&self, value: Arc<T>) {
        // Dropping it may meet other threads.
        drop(self.swap(value));
    }

    pub(crate) fn swap(&self, value: Arc<T>) -> Arc<T> {
        point();
        std::mem::replace(&mut *self.0.lock().expect("nobody panics with it"), value)
    }
}

/// A mutual exclusion lock without poisoning.
#[derive(Default)]
pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Mutex<T> {
        Mutex(shuttle::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let guard = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        MutexGuard { mutex: self, guard }
    }

    /// The lock, unless somebody has it.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let guard = self.0.try_lock().ok()?;
        Some(MutexGuard { mutex: self, guard })
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mutex")
    }
}

/// Holds a [`Mutex`].
pub(crate) struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    guard: shuttle::sync::MutexGuard<'a, T>,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// A condition variable for [`Mutex`].
#[derive(Debug, Default)]
pub(crate) struct Condvar(shuttle::sync::Condvar);

impl Condvar {
    pub(crate) const fn new() -> Condvar {
        Condvar(shuttle::sync::Condvar::new())
    }

    /// Without a wake this never returns: the checker finds that nobody can go on.
    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        let MutexGuard { mutex, guard } = guard;
        let guard = self.0.wait(guard).unwrap_or_else(std::sync::PoisonError::into_inner);
        MutexGuard { mutex, guard }
    }

    /// The time is up at once: a wake is worth nothing more than that.
    pub(crate) fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        _timeout: Duration,
    ) -> MutexGuard<'a, T> {
        let mutex = guard.mutex;
        drop(guard);
        shuttle::thread::yield_now();
        mutex.lock()
    }

    pub(crate) fn wait_briefly<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> MutexGuard<'a, T> {
        self.wait_timeout(guard, timeout)
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// Runs `test` under many schedules, half of them drawn at each point, half by
/// priorities with few changes (Burckhardt and others, "A randomized scheduler with
/// probabilistic guarantees of finding bugs", 2010), and prints how many.
///
/// `OLIVE_SCHEDULES` sets how many; shuttle prints a failing one, and how to replay it.
pub(crate) fn explore(what: &str, schedules: usize, test: impl Fn() + Send + Sync + 'static) {
    const PRIORITY_CHANGES: usize = 3;
    let schedules = match std::env::var("OLIVE_SCHEDULES") {
        Ok(text) => text.parse().expect("OLIVE_SCHEDULES is a number"),
        Err(_) => schedules,
    };
    let half = schedules.div_ceil(2);
    let test = Arc::new(test);
    let mut config = shuttle::Config::new();
    config.stack_size = 1 << 20;
    let run = |scheduler: Box<dyn Scheduler + Send>| {
        let test = Arc::clone(&test);
        shuttle::Runner::new(scheduler, config.clone()).run(move || test())
    };
    let random = run(Box::new(RandomScheduler::new_from_seed(1, half)));
    let priorities = run(Box::new(PctScheduler::new_from_seed(1, PRIORITY_CHANGES, half)));
    println!("shuttle {what}: schedules: random {random}, by priorities {priorities}, 0 bad");
}
