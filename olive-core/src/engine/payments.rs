//! What writers owe, and in how long waits it is paid.
//!
//! Where writers outrun what is done behind them for long, one in a thousand waits and
//! more, whatever a wait is: then waits are short. Where they do so for a moment, a few
//! longer waits are fewer than one in a thousand.
//!
//! ```text
//! paid since the last memtable but one was full      a wait
//! 800 µs and more by 1,500 writes                    60 to 800 µs
//! less                                               800 µs
//! ```

use std::time::Duration;

use crate::key::SeqNo;
use crate::stats::nanoseconds;
use crate::sync::{AtomicU64, Ordering};

/// No wait is shorter: falling asleep and waking up would take too much of it.
const WAIT_MIN: Duration = Duration::from_micros(60);
/// Nor longer.
const WAIT_MAX: Duration = Duration::from_micros(800);
/// Longer waits are to be rarer than one in so many writes.
const WRITES_A_LONG_WAIT: u64 = 1_500;
/// How much of what was waited too long counts: a process that was stopped for a minute
/// has not paid for a minute.
const CREDIT_NS_MAX: u64 = 20_000_000;

/// What is owed, and what was paid.
#[derive(Debug, Default)]
pub(super) struct Payments {
    owed_ns: AtomicU64,
    /// Nanoseconds that were waited beyond what was owed.
    credit_ns: AtomicU64,
    paid_ns: AtomicU64,
    /// The sequence number and what had been paid when the last memtable but one, and the
    /// last one, were full.
    from: [(AtomicU64, AtomicU64); 2],
}

impl Payments {
    /// Of a database whose last write is `seq`.
    pub(super) fn new(seq: SeqNo) -> Payments {
        let from = || (AtomicU64::new(seq.0), AtomicU64::new(0));
        Payments { from: [from(), from()], ..Payments::default() }
    }

    /// Adds to what is owed; says whether it may be time to pay.
    #[inline]
    pub(super) fn owe(&self, ns: u64) -> bool {
        self.owed_ns.fetch_add(ns, Ordering::Relaxed) + ns >= nanoseconds(WAIT_MIN)
    }

    /// A write that was not made owes nothing.
    pub(super) fn forgive(&self, ns: u64) {
        let less = |owed: u64| Some(owed.saturating_sub(ns));
        let _ = self.owed_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Takes a payment off what is owed, if that is enough for one; how long it is to be
    /// waited for, where what was waited too long before does not cover it. `seq` is the
    /// last write's.
    pub(super) fn take(&self, seq: SeqNo) -> Option<u64> {
        let (wait_min, wait_max) = (self.due_ns(seq), nanoseconds(WAIT_MAX));
        let relaxed = Ordering::Relaxed;
        let rest = |owed: u64| (owed >= wait_min).then(|| owed.saturating_sub(wait_max));
        let pay = self.owed_ns.fetch_update(relaxed, relaxed, rest).ok()?.min(wait_max);
        let uncovered = |credit: u64| Some(credit.saturating_sub(pay));
        let covered = self.credit_ns.fetch_update(relaxed, relaxed, uncovered).unwrap_or(0);
        let left = pay.saturating_sub(covered);
        self.paid_ns.fetch_add(pay.min(covered), relaxed);
        if left >= wait_min {
            self.paid_ns.fetch_add(left, relaxed);
            return Some(left);
        }
        self.owed_ns.fetch_add(left, relaxed);
        None
    }

    /// Puts back what a wait that was cut short did not pay, or notes what it paid beyond.
    pub(super) fn waited(&self, pay_ns: u64, waited_ns: u64, was_cut: bool) {
        let relaxed = Ordering::Relaxed;
        let more = |credit: u64| {
            Some(credit.saturating_add(waited_ns.saturating_sub(pay_ns)).min(CREDIT_NS_MAX))
        };
        let _ = self.credit_ns.fetch_update(relaxed, relaxed, more);
        if was_cut {
            let unpaid = pay_ns.saturating_sub(waited_ns);
            self.owed_ns.fetch_add(unpaid, relaxed);
            let less = |paid: u64| Some(paid.saturating_sub(unpaid));
            let _ = self.paid_ns.fetch_update(relaxed, relaxed, less);
        }
    }

    /// A memtable is full whose last write is `seq`.
    pub(super) fn memtable_full(&self, seq: SeqNo) {
        let relaxed = Ordering::Relaxed;
        let [before, last] = &self.from;
        before.0.store(last.0.load(relaxed), relaxed);
        before.1.store(last.1.load(relaxed), relaxed);
        last.0.store(seq.0, relaxed);
        last.1.store(self.paid_ns.load(relaxed), relaxed);
    }

    /// How much is to be owed before it is paid.
    fn due_ns(&self, seq: SeqNo) -> u64 {
        let (from_seq, from_paid) = &self.from[0];
        let writes = seq.0.saturating_sub(from_seq.load(Ordering::Relaxed));
        let paid = self.paid_ns.load(Ordering::Relaxed);
        let paid = paid.saturating_sub(from_paid.load(Ordering::Relaxed));
        let affordable = writes.saturating_mul(nanoseconds(WAIT_MAX)) / WRITES_A_LONG_WAIT;
        nanoseconds(if paid < affordable { WAIT_MAX } else { WAIT_MIN })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: u64 = 1_000;

    /// Of a database that has paid much.
    fn owing(us: u64) -> Payments {
        let payments = Payments::new(SeqNo(1_000));
        payments.paid_ns.store(u64::MAX / 2, Ordering::Relaxed);
        payments.owed_ns.store(us * US, Ordering::Relaxed);
        payments
    }

    fn take(payments: &Payments) -> Option<u64> {
        payments.take(SeqNo(1_001))
    }

    #[test]
    fn what_is_owed_is_paid_in_waits_neither_too_short_nor_too_long() {
        let payments = owing(1_690);
        let waits = [(); 4].map(|()| take(&payments));
        assert_eq!(waits, [Some(800 * US), Some(800 * US), Some(90 * US), None]);
        let payments = owing(59);
        assert_eq!(take(&payments), None);
        assert!(payments.owe(US), "it is owed still");
    }

    #[test]
    fn what_was_waited_too_long_pays_for_what_comes_next() {
        let payments = owing(100);
        assert_eq!(take(&payments), Some(100 * US), "nothing was paid before");
        payments.waited(100 * US, 330 * US, false);
        for _ in 0..2 {
            payments.owe(100 * US);
            assert_eq!(take(&payments), None);
        }
        assert_eq!(payments.owed_ns.load(Ordering::Relaxed), 0);
        payments.owe(80 * US);
        assert_eq!(take(&payments), None, "30 are covered; 50 are too short a wait");
        payments.owe(40 * US);
        assert_eq!(take(&payments), Some(90 * US), "and are not forgotten");
    }

    #[test]
    fn a_long_sleep_pays_for_no_more_than_a_little() {
        let payments = owing(0);
        payments.waited(0, u64::MAX, false);
        payments.waited(0, u64::MAX, false);
        let free = (0..).take_while(|_| {
            payments.owe(800 * US);
            take(&payments).is_none()
        });
        assert_eq!(free.count(), 25);
    }

    #[test]
    fn what_a_wait_that_was_cut_short_did_not_pay_is_owed_still() {
        let payments = owing(100);
        assert_eq!(take(&payments), Some(100 * US));
        let paid = payments.paid_ns.load(Ordering::Relaxed);
        payments.waited(100 * US, 10 * US, true);
        assert_eq!(payments.paid_ns.load(Ordering::Relaxed), paid - 90 * US);
        assert_eq!(take(&payments), Some(90 * US));
    }

    /// Writes that each owe `ns`; how many in a thousand wait, and for how long at most.
    fn wait_often(payments: &Payments, seqs: std::ops::Range<u64>, ns: u64) -> (f64, u64) {
        let writes = (seqs.end - seqs.start) as f64;
        let (mut waits, mut longest) = (0.0, 0);
        for seq in seqs {
            if payments.owe(ns)
                && let Some(wait) = payments.take(SeqNo(seq))
            {
                waits += 1.0;
                longest = longest.max(wait);
            }
        }
        (waits / writes * 1_000.0, longest)
    }

    #[test]
    fn a_moments_debt_is_paid_in_waits_that_are_rare() {
        // 400,000 writes a memtable, of which each eighth owes 1.5 µs.
        let payments = Payments::new(SeqNo(0));
        for memtable in 0..5_u64 {
            let from = memtable * 400_000;
            assert_eq!(wait_often(&payments, from..from + 350_000, 0), (0.0, 0));
            let (often, longest) = wait_often(&payments, from + 350_000..from + 400_000, 1_500);
            assert!(often / 8.0 < 0.5 && longest >= 800 * US, "{often} for {longest}");
            payments.memtable_full(SeqNo(from + 400_000));
        }
    }

    #[test]
    fn who_owes_much_all_the_time_waits_briefly() {
        let payments = Payments::new(SeqNo(0));
        for memtable in 0..5_u64 {
            let from = memtable * 60_000;
            let (often, longest) = wait_often(&payments, from..from + 60_000, 2_000);
            // The first of them find that nothing was paid yet.
            assert!(memtable < 1 || (often > 1.0 && longest < 70 * US), "{often} for {longest}");
            payments.memtable_full(SeqNo(from + 60_000));
        }
        // And a while later, when little is owed, rarely again.
        assert_eq!(wait_often(&payments, 300_000..500_000, 0), (0.0, 0));
        payments.memtable_full(SeqNo(500_000));
        assert_eq!(wait_often(&payments, 500_000..700_000, 0), (0.0, 0));
        payments.memtable_full(SeqNo(700_000));
        let (_, longest) = wait_often(&payments, 700_000..710_000, 2_000);
        assert!(longest >= 800 * US, "{longest}");
    }
}
