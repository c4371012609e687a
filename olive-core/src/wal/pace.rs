//! How long a leader gives way to those whom the last sync woke, before it syncs.
//!
//! Whether that pays depends on what they do between two writes, on how many they are and
//! on the disk, so it is tried: nearly always one of two ways, now and then the other, and
//! the one in which more writers come a second is kept.
//!
//! ```text
//! patient:  until all have come, at most as long as the last sync took, which is what
//!           those who come too late would wait for
//! hasty:    a few yields
//!
//! syncs     64     16     128      16      256      16      64      16
//!        ├patient┼hasty┼─patient─┼hasty┼──patient──┼hasty┼─hasty──┼patient┼ …
//!                                                     ▲
//!                                              was better: kept
//! ```

use std::time::Duration;

/// How often a leader gives way at the most, and how often a hasty one does.
const YIELDS_MAX: u32 = 1024;
const YIELDS_HASTY: u32 = 16;

/// Syncs of a trial; the first ones still have to do with the way before.
const TRIAL: u32 = 16;
const TRIAL_UNSETTLED: u32 = 2;
/// Syncs between trials: twice as many each time that nothing changes.
const SPELL_MIN: u32 = 64;
const SPELL_MAX: u32 = 1024;

/// What a sync counts for after the next one.
const FADE: f64 = 31.0 / 32.0;

/// A sync, with the time since the one before, counts as no longer than so many quick ones:
/// in more than that the disk was busy, the machine stood still, or nobody wrote.
const LONGEST: u32 = 8;

/// What one leader leaves to the next.
#[derive(Debug)]
pub(super) struct Pace {
    /// How long the last sync took, and a quick one of late, and when the last one ended.
    sync: Duration,
    quick: Duration,
    ended: Duration,
    /// Who had ever asked for a sync by then.
    asked: u64,
    /// The way that is kept, or whether this is a trial of the other.
    patient: bool,
    trial: bool,
    /// Syncs of this spell, and of the one between the last trials.
    syncs: u32,
    spell: u32,
    kept: Rate,
    tried: Rate,
}

/// Writers of a spell, and its time; the last syncs count most.
#[derive(Debug, Default)]
struct Rate {
    writers: f64,
    seconds: f64,
}

impl Rate {
    fn add(&mut self, writers: u64, took: Duration) {
        self.writers = self.writers * FADE + writers as f64;
        self.seconds = self.seconds * FADE + took.as_secs_f64();
    }

    fn is_above(&self, other: &Rate) -> bool {
        self.writers * other.seconds > other.writers * self.seconds
    }
}

impl Pace {
    pub(super) fn new() -> Pace {
        Pace {
            sync: Duration::ZERO,
            quick: Duration::MAX,
            ended: Duration::ZERO,
            asked: 0,
            patient: true,
            trial: false,
            syncs: 0,
            spell: SPELL_MIN,
            kept: Rate::default(),
            tried: Rate::default(),
        }
    }

    /// Whether a leader who has given way so often, for as long as `waited` says, does so
    /// again for those who have not come.
    pub(super) fn waits(&self, yields: u32, waited: impl FnOnce() -> Duration) -> bool {
        let patient = self.patient != self.trial;
        yields < YIELDS_HASTY || patient && yields < YIELDS_MAX && waited() < self.sync
    }

    /// Notes a sync from `start` to `end`, before which it was given way. `asked` writers
    /// have ever asked for one by now: not all of them were in time for this one, but they
    /// are counted once.
    pub(super) fn note(&mut self, asked: u64, start: Duration, end: Duration) {
        self.sync = end.saturating_sub(start);
        self.quick = self.sync.min(self.quick.saturating_add(self.quick / 64));
        let took = end.saturating_sub(self.ended).min(self.quick * LONGEST);
        self.ended = end;
        let writers = asked - self.asked;
        self.asked = asked;
        self.syncs += 1;
        if !self.trial {
            self.kept.add(writers, took);
            if self.syncs >= self.spell {
                (self.trial, self.syncs, self.tried) = (true, 0, Rate::default());
            }
            return;
        }
        if self.syncs > TRIAL_UNSETTLED {
            self.tried.add(writers, took);
        }
        if self.syncs >= TRIAL {
            let better = self.tried.is_above(&self.kept);
            self.patient ^= better;
            self.spell = if better { SPELL_MIN } else { (2 * self.spell).min(SPELL_MAX) };
            (self.trial, self.syncs, self.kept) = (false, 0, Rate::default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYNC: Duration = Duration::from_micros(100);

    /// A log whose syncs take 100 µs, for 8 writers who come back so long after they were
    /// woken that a leader must be patient to have them all.
    struct Log {
        pace: Pace,
        now: Duration,
        asked: u64,
        back_after: Duration,
    }

    impl Log {
        fn new(back_after: Duration) -> Log {
            Log { pace: Pace::new(), now: Duration::from_secs(1), asked: 0, back_after }
        }

        fn is_patient(&self) -> bool {
            self.pace.waits(YIELDS_HASTY, || Duration::ZERO)
        }

        /// One sync; says whether it was led with patience.
        fn sync(&mut self) -> bool {
            let patient = self.is_patient();
            let patience = if patient { self.pace.sync } else { Duration::ZERO };
            // Of those who come during a sync the next has no more than half.
            let writers = if self.back_after <= patience { 8 } else { 4 };
            self.now += self.back_after.min(patience);
            let start = self.now;
            self.now += SYNC;
            self.asked += writers;
            self.pace.note(self.asked, start, self.now);
            patient
        }

        /// How many of so many syncs were led with patience.
        fn patient_of(&mut self, syncs: u32) -> u32 {
            (0..syncs).map(|_| u32::from(self.sync())).sum()
        }
    }

    #[test]
    fn a_leader_waits_where_writers_come_back_soon() {
        let mut log = Log::new(SYNC / 2);
        assert!(log.patient_of(10_000) > 9_800);
    }

    #[test]
    fn a_leader_does_not_wait_where_they_come_too_late() {
        let mut log = Log::new(SYNC * 3);
        log.sync();
        assert_eq!(log.patient_of(SPELL_MIN - 1), SPELL_MIN - 1, "it begins with patience");
        assert!(log.patient_of(10_000) < 200);
    }

    #[test]
    fn what_writers_do_may_change() {
        let mut log = Log::new(SYNC / 2);
        log.patient_of(5_000);
        log.back_after = SYNC * 3;
        log.patient_of(SPELL_MAX + TRIAL);
        assert!(log.patient_of(1_000) < 100);
        log.back_after = SYNC / 2;
        log.patient_of(SPELL_MAX + TRIAL);
        assert!(log.patient_of(1_000) > 900);
    }

    #[test]
    fn a_pause_and_an_idle_time_are_one_bad_sync() {
        let mut log = Log::new(SYNC / 2);
        for syncs in 0..2_000 {
            log.sync();
            if syncs % 7 == 0 {
                log.now += Duration::from_millis(30);
            }
        }
        assert!(log.patient_of(1_000) > 900);
    }

    #[test]
    fn patience_ends_with_the_time_of_a_sync_and_is_nothing_where_time_stands_still() {
        let mut pace = Pace::new();
        pace.note(1, Duration::ZERO, SYNC);
        assert!(pace.waits(YIELDS_HASTY, || SYNC - Duration::from_nanos(1)));
        assert!(!pace.waits(YIELDS_HASTY, || SYNC));
        assert!(!pace.waits(YIELDS_MAX, || Duration::ZERO));
        assert!(pace.waits(YIELDS_HASTY - 1, || SYNC), "a few yields, whatever the time");
        pace.note(2, SYNC, SYNC);
        assert!(!pace.waits(YIELDS_HASTY, || Duration::ZERO));
    }
}
