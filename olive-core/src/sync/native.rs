//! The standard library's, and the cell that readers pin a view from.

use std::time::Duration;

pub(crate) use std::sync::MutexGuard;
use std::sync::TryLockError;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};
pub(crate) use std::thread::yield_now;

pub(crate) use arc_swap::ArcSwap;

#[cfg(target_os = "linux")]
use std::num::NonZeroU64;

#[cfg(target_os = "linux")]
use rustix::thread::{current_timer_slack, set_current_timer_slack};

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
