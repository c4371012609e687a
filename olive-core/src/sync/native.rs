//! The standard library's, and the cell that readers pin a view from.

use std::time::Duration;

pub(crate) use std::sync::MutexGuard;
use std::sync::TryLockError;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};
pub(crate) use std::thread::yield_now;

pub(crate) use arc_swap::ArcSwap;

use std::sync::atomic::Ordering;

#[cfg(target_os = "linux")]
use std::num::NonZeroU64;

#[cfg(target_os = "linux")]
use rustix::thread::{current_timer_slack, futex, set_current_timer_slack};

/// A mutual exclusion lock without poisoning.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Mutex<T> {
        Mutex(std::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The lock, unless somebody has it.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// A condition variable for [`Mutex`].
#[derive(Debug, Default)]
pub(crate) struct Condvar(std::sync::Condvar);

impl Condvar {
    pub(crate) const fn new() -> Condvar {
        Condvar(std::sync::Condvar::new())
    }

    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(guard).unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Waits at most `timeout`; wakes may be spurious.
    pub(crate) fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> MutexGuard<'a, T> {
        match self.0.wait_timeout(guard, timeout) {
            Ok((guard, _)) => guard,
            Err(poisoned) => poisoned.into_inner().0,
        }
    }

    /// The same for times of some microseconds: the system adds a thread's timer slack to
    /// each, 50 µs by default, so that it can wake several threads at once.
    pub(crate) fn wait_briefly<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> MutexGuard<'a, T> {
        #[cfg(target_os = "linux")]
        let _slack = TimerSlack::least();
        self.wait_timeout(guard, timeout)
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// How late the system may wake the calling thread; as it was, when dropped.
#[cfg(target_os = "linux")]
struct TimerSlack {
    before: Option<NonZeroU64>,
}

#[cfg(target_os = "linux")]
impl TimerSlack {
    /// One nanosecond. Where the system forbids it, wakes come later, and nothing else.
    fn least() -> TimerSlack {
        let before = current_timer_slack().ok().and_then(NonZeroU64::new);
        if before.is_some() {
            let _ = set_current_timer_slack(Some(NonZeroU64::MIN));
        }
        TimerSlack { before }
    }
}

#[cfg(target_os = "linux")]
impl Drop for TimerSlack {
    fn drop(&mut self) {
        if self.before.is_some() {
            let _ = set_current_timer_slack(self.before);
        }
    }
}

/// How often something came to pass, for those who wait for the next time: without a lock
/// that all who are woken at once would have to take one after the other.
///
/// ```text
/// loop {
///     let seen = count.now();
///     if what is waited for is there { break }
///     count.wait(seen);             what came since `seen` was taken ends it at once
/// }
/// ```
#[derive(Debug, Default)]
pub(crate) struct EventCount {
    count: AtomicU32,
    /// Who began to wait since the count was last advanced, or a few more.
    waiters: AtomicU32,
    #[cfg(not(target_os = "linux"))]
    sleep: (Mutex<()>, Condvar),
}

impl EventCount {
    pub(crate) fn now(&self) -> u32 {
        self.count.load(Ordering::Acquire)
    }

    /// Returns once the count is not `seen` any more, or for no reason.
    pub(crate) fn wait(&self, seen: u32) {
        // Before the count is looked at again: who advances it looks at the waiters after,
        // so that one of the two sees the other.
        self.waiters.fetch_add(1, Ordering::SeqCst);
        self.sleep(seen);
    }

    #[cfg(target_os = "linux")]
    fn sleep(&self, seen: u32) {
        // An error is a reason to look again as well: the count has changed, or a signal came.
        let _ = futex::wait(&self.count, futex::Flags::PRIVATE, seen, None);
    }

    #[cfg(not(target_os = "linux"))]
    fn sleep(&self, seen: u32) {
        let mut guard = self.sleep.0.lock();
        while self.count.load(Ordering::Acquire) == seen {
            guard = self.sleep.1.wait(guard);
        }
    }

    /// Who has begun to wait since the count was last advanced, or a few more.
    pub(crate) fn waiters(&self) -> u32 {
        self.waiters.load(Ordering::Relaxed)
    }

    /// Wakes all who wait; says how many.
    pub(crate) fn advance(&self) -> u32 {
        self.count.fetch_add(1, Ordering::SeqCst);
        let waiters = self.waiters.swap(0, Ordering::SeqCst);
        if waiters > 0 {
            self.wake_all();
        }
        waiters
    }

    #[cfg(target_os = "linux")]
    fn wake_all(&self) {
        let everyone = i32::MAX as u32;
        let woken = futex::wake(&self.count, futex::Flags::PRIVATE, everyone);
        debug_assert!(woken.is_ok(), "a futex of this process: {woken:?}");
    }

    #[cfg(not(target_os = "linux"))]
    fn wake_all(&self) {
        // Nobody is between their look at the count and their sleep.
        drop(self.sleep.0.lock());
        self.sleep.1.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_brief_wait_leaves_the_thread_its_timer_slack() {
        let slack = NonZeroU64::new(70_000);
        set_current_timer_slack(slack).unwrap();
        let within = TimerSlack::least();
        assert_eq!(current_timer_slack().ok(), Some(1));
        drop(within);
        assert_eq!(current_timer_slack().ok(), slack.map(NonZeroU64::get));
        let lock = Mutex::new(());
        drop(Condvar::new().wait_briefly(lock.lock(), Duration::from_micros(20)));
        assert_eq!(current_timer_slack().ok(), slack.map(NonZeroU64::get));
    }

    #[test]
    fn nobody_sleeps_through_what_they_wait_for() {
        const ROUNDS: u64 = 20_000;
        let (count, reached) = (EventCount::default(), AtomicU64::new(0));
        let wait_for = |round: u64| loop {
            let seen = count.now();
            if reached.load(Ordering::Acquire) >= round {
                break;
            }
            count.wait(seen);
        };
        std::thread::scope(|threads| {
            for thread in 0..3 {
                let wait_for = &wait_for;
                threads.spawn(move || (thread..=ROUNDS).step_by(3).for_each(wait_for));
            }
            for round in 1..=ROUNDS {
                reached.store(round, Ordering::Release);
                count.advance();
                if round % 64 == 0 {
                    yield_now();
                }
            }
        });
    }

    #[test]
    fn waiters_are_counted_until_they_are_woken() {
        let count = EventCount::default();
        let seen = count.now();
        std::thread::scope(|threads| {
            threads.spawn(|| count.wait(seen));
            while count.waiters() == 0 {
                yield_now();
            }
            assert_eq!(count.advance(), 1);
        });
        assert_eq!((count.waiters(), count.advance()), (0, 0));
        // The moment is past: this returns at once.
        count.wait(seen);
    }
}
