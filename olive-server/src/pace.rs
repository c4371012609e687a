//! [`Pace`]: when a connection's thread lets others go first before it reads.
//!
//! A thread that waits for input falls asleep and is woken, which is the larger part of
//! what a short request costs. Where many connections are busy, giving way to their
//! threads takes the time in which the next request comes, and then nobody need sleep:
//! unpipelined, that is half as many requests again on two cores. Where few are busy it
//! would only put the thread behind whatever else wants the processor, while one that is
//! woken by its input goes first.
//!
//! Busy is who has answered a few times since the clock's last tick.

use std::sync::atomic::{AtomicUsize, Ordering};

/// So many turns within a tick make a connection busy.
const TURNS_BUSY: u32 = 4;
/// From so many busy connections on they give way to each other.
const BUSY_MIN: usize = 8;

/// How many connections are busy.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    in_this_tick: AtomicUsize,
    in_the_last: AtomicUsize,
}

impl Pace {
    /// The clock ticks.
    pub(crate) fn tick(&self) {
        self.in_the_last.store(self.in_this_tick.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// How often one connection has answered since the last tick.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    at_ms: u64,
    turns: u32,
}

impl Turns {
    /// Before a read, at a time of the clock: says whether to let others go first.
    pub(crate) fn gives_way(&mut self, now_ms: u64, pace: &Pace) -> bool {
        if self.at_ms != now_ms {
            *self = Turns { at_ms: now_ms, turns: 0 };
        }
        self.turns += 1;
        if self.turns == TURNS_BUSY {
            pace.in_this_tick.fetch_add(1, Ordering::Relaxed);
        }
        pace.in_the_last.load(Ordering::Relaxed) >= BUSY_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_are_given_where_many_were_busy_in_the_last_tick() {
        let pace = Pace::default();
        let mut all: Vec<Turns> = (0..BUSY_MIN).map(|_| Turns::default()).collect();
        let mut answer = |connections: usize, turns: u32, now_ms: u64| {
            let mut gave = 0;
            for turn in all.iter_mut().take(connections) {
                gave += (0..turns).filter(|_| turn.gives_way(now_ms, &pace)).count();
            }
            pace.tick();
            gave
        };
        assert_eq!(answer(BUSY_MIN, TURNS_BUSY, 50), 0, "nobody was busy before");
        assert_eq!(answer(1, 3, 100), 3);
        assert_eq!(answer(BUSY_MIN, TURNS_BUSY - 1, 150), 0, "one was there before, and seldom");
        assert_eq!(answer(BUSY_MIN - 1, 9 * TURNS_BUSY, 200), 0, "all were seldom");
        assert_eq!(answer(BUSY_MIN, TURNS_BUSY, 250), 0, "one too few");
        assert_eq!(answer(2, 1, 300), 2);
    }
}
