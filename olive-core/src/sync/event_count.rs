//! A count to wait on.

use super::Ordering;
use super::primitives::AtomicU32;
use super::sleepers::Sleepers;

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
    /// Who began to wait since the count was last advanced, or a few more or less.
    waiters: AtomicU32,
    sleepers: Sleepers,
}

impl EventCount {
    pub(crate) fn now(&self) -> u32 {
        self.count.load(Ordering::Acquire)
    }

    /// Returns once the count is not `seen` any more, or for no reason.
    pub(crate) fn wait(&self, seen: u32) {
        self.waiters.fetch_add(1, Ordering::Relaxed);
        self.sleepers.sleep(&self.count, seen);
    }

    /// Who has begun to wait since the count was last advanced, or a few more or less.
    pub(crate) fn waiters(&self) -> u32 {
        self.waiters.load(Ordering::Relaxed)
    }

    /// Wakes all who wait; says how many, or a few more or less.
    ///
    /// Also where nobody seems to: who began to wait for this may have been counted by the
    /// one before, which was not done with counting when the count was taken.
    pub(crate) fn advance(&self) -> u32 {
        self.count.fetch_add(1, Ordering::SeqCst);
        let waiters = self.waiters.swap(0, Ordering::Relaxed);
        self.sleepers.wake_all(&self.count);
        waiters
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{Arc, AtomicU64, yield_now};
    use std::time::Duration;

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
    #[expect(clippy::disallowed_methods, reason = "a thread that is left behind if it sleeps on")]
    fn who_was_counted_by_the_one_before_is_woken() {
        let count = Arc::new(EventCount::default());
        // One advances the count, and is not done when another begins to wait for the next.
        count.count.fetch_add(1, Ordering::SeqCst);
        let seen = count.now();
        let (told, woken) = std::sync::mpsc::channel();
        let waiting = Arc::clone(&count);
        std::thread::spawn(move || {
            waiting.wait(seen);
            told.send(())
        });
        while count.waiters() == 0 {
            yield_now();
        }
        count.waiters.store(0, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(20));
        count.advance();
        woken.recv_timeout(Duration::from_secs(30)).expect("nobody sleeps for ever");
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
