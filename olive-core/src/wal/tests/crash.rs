//! Power cuts and kills at every mutation of the disk, and calls that fail.
//!
//! The promise that matters most: what a genuine crash leaves is never taken for
//! corruption, has every synced record, and no hole.

use super::*;
use crate::error::ErrorKind;
use crate::vfs::sim::{CrashMode, Fault, Fill, OpKind, SimVfs, errno};

const SEGMENT_BYTES: u64 = 4096;

/// A log on the simulated disk, and what was acknowledged of it when.
struct Life {
    sim: SimVfs,
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    io: SegmentIo,
    scribe: Scribe,
    dice: Dice,
    /// The largest segment number that was tried.
    number: u64,
    /// After so many mutations: operations synced, operations appended.
    acknowledged: Vec<(u64, u64, u64)>,
    synced: u64,
    failures: u64,
}

impl Life {
    /// A log with its first segment, on a disk that records from there on.
    fn new(seed: u64, io: SegmentIo) -> Life {
        let sim = SimVfs::new(seed);
        let dir = PathBuf::from("/db");
        sim.create_dir(&dir).unwrap();
        sim.sync_dir(Path::new("/")).unwrap();
        let vfs: Arc<dyn Vfs> = Arc::new(sim.clone());
        let first = Segment::create(&vfs, &dir, DATABASE, 1, 0, SEGMENT_BYTES, io).unwrap();
        sim.record(true);
        let scribe = Scribe::new(first);
        let acknowledged = vec![(sim.mutations(), 0, 0)];
        let (number, synced, failures) = (1, 0, 0);
        let dice = Dice(seed);
        Life { sim, vfs, dir, io, scribe, dice, number, acknowledged, synced, failures }
    }

    /// One step; an error changes nothing but the count of failures.
    fn step(&mut self) {
        let outcome = match self.dice.roll(10) {
            0..7 => self.append(),
            7 => self.scribe.writer.append_promise().map(|_| ()),
            _ => self.sync(),
        };
        if outcome.is_err() {
            self.failures += 1;
        }
        let appended = self.scribe.next - 1;
        self.acknowledged.push((self.sim.mutations(), self.synced, appended));
    }

    fn append(&mut self) -> Result<()> {
        let (count, value_len) = (1 + self.dice.roll(3) as u32, self.dice.roll(250) as usize);
        let by_write = self.dice.roll(2) == 0;
        if !self.scribe.writer.fits(3 * 280) {
            self.number += 1;
            let (io, number, active) = (self.io, self.number, self.scribe.writer.segment());
            let len = SEGMENT_BYTES;
            let next = Segment::create(&self.vfs, &self.dir, DATABASE, number, active, len, io)?;
            self.scribe.writer.rotate(next)?;
        }
        let end = self.scribe.try_append(count, value_len, by_write)?;
        if by_write && self.dice.roll(2) == 0 {
            self.scribe.sync.wait(end)?;
            self.synced = self.scribe.next - 1;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.scribe.sync.sync()?;
        self.synced = self.scribe.next - 1;
        Ok(())
    }

    /// What must be found after `mutations`: synced, and appended.
    fn acknowledged_at(&self, mutations: u64) -> (u64, u64) {
        let before = self.acknowledged.partition_point(|(at, ..)| *at <= mutations);
        let (_, synced, appended) = self.acknowledged[before - 1];
        (synced, appended)
    }

    /// That an image holds a prefix with at least `floor` operations.
    fn check(&self, image: &SimVfs, floor: u64, what: &str) -> Log {
        let log = replayed(image, &self.dir, 1, |_| {});
        let log = log.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(log.records, self.scribe.written[..log.records.len()], "{what}");
        assert!(log.last() >= floor, "{what}: {} of {floor} operations", log.last());
        log
    }
}

#[test]
fn a_power_cut_at_any_mutation_keeps_what_was_synced_and_is_never_corruption() {
    let mut images = 0;
    for seed in 1..=12 {
        let io = [SegmentIo::Written, SegmentIo::Mapped, SegmentIo::Reserved][seed as usize % 3];
        let mut life = Life::new(seed, io);
        let first = life.sim.mutations();
        for _ in 0..120 {
            life.step();
        }
        assert!(life.number > 3 && life.synced > 20 && life.failures == 0);
        let mut modes = vec![CrashMode::Synced, CrashMode::Everything];
        modes.extend([Fill::Zeros, Fill::Garbage { seed }].map(CrashMode::Spoiled));
        modes.extend([Fill::Zeros, Fill::Garbage { seed }].map(CrashMode::Tail));
        modes.extend((0..6).map(|seed| CrashMode::Random { seed }));
        modes.extend([1, 31, 33, 511, 512, 513].map(|bytes| CrashMode::Torn { bytes }));
        for at in first + 1..=life.sim.mutations() {
            let (synced, appended) = life.acknowledged_at(at);
            for &mode in &modes {
                let what = format!("seed {seed}, mutation {at}, {mode:?}");
                let floor = if mode == CrashMode::Everything { appended } else { synced };
                life.check(&life.sim.crash_at(at, mode), floor, &what);
                images += 1;
            }
            let log =
                life.check(&life.sim.kill_at(at), appended, &format!("seed {seed}, kill {at}"));
            assert!(log.answer.dropped.is_empty() || log.last() == appended);
            images += 1;
        }
    }
    println!("{images} crash images");
    assert!(images > 40_000);
}

#[test]
fn whichever_call_fails_the_log_has_what_was_acknowledged_and_nothing_else() {
    let mut failures = 0;
    for io in [SegmentIo::Mapped, SegmentIo::Written, SegmentIo::Reserved] {
        for error in [errno::EIO, errno::ENOSPC, errno::EINTR] {
            for nth in 1..60 {
                let kind = (nth % 3 == 0).then_some(OpKind::Write);
                for fault in [
                    Fault::once(kind, nth, error),
                    Fault::from_then_on(kind, nth, error),
                    Fault::short(kind, nth),
                ] {
                    // A write that is interrupted for ever is tried for ever.
                    let endless = error == errno::EINTR && fault.forever;
                    if endless {
                        continue;
                    }
                    let mut life = Life::new(nth, io);
                    life.sim.set_faults(vec![fault.clone()]);
                    for _ in 0..60 {
                        life.step();
                    }
                    failures += life.failures;
                    life.sim.set_faults(Vec::new());
                    let what = format!("{io:?} {fault:?}");
                    let appended = life.scribe.next - 1;
                    let log = life.check(&life.sim.kill_now(), appended, &what);
                    assert_eq!(log.last(), appended, "{what}");
                    for mode in [CrashMode::Synced, CrashMode::Random { seed: nth }] {
                        life.check(&life.sim.crash_now(mode), life.synced, &what);
                    }
                }
            }
        }
    }
    println!("{failures} steps failed");
    assert!(failures > 1_000);
}

#[test]
fn after_a_failed_sync_everyone_learns_that_the_outcome_is_unknown() {
    let mut life = Life::new(1, SegmentIo::Mapped);
    let end = life.scribe.append(1, 10, false);
    life.sim.set_faults(vec![Fault::once(Some(OpKind::Sync), 1, errno::EIO)]);
    let sync = life.scribe.sync.clone();
    let scribe = &mut life.scribe;
    for error in [
        sync.wait(end).unwrap_err(),
        sync.wait(end).unwrap_err(),
        sync.sync().unwrap_err(),
        sync.check().unwrap_err(),
        scribe.try_append(1, 10, true).unwrap_err(),
        scribe.writer.append_promise().unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Poisoned);
        assert!(error.to_string().contains("unknown"), "{error}");
        assert!(error.to_string().contains("/db/000001.wal"), "{error}");
    }
    assert_eq!(life.sim.calls_of(OpKind::Sync), 2, "one to create the segment, one that failed");
}

#[test]
fn a_failed_append_that_cannot_be_taken_back_poisons() {
    let mut life = Life::new(1, SegmentIo::Written);
    life.scribe.append(1, 10, false);
    let half = Fault::short(Some(OpKind::Write), 1);
    let then = Fault::from_then_on(Some(OpKind::Write), 2, errno::EIO);
    life.sim.set_faults(vec![half, then]);
    assert_eq!(life.scribe.try_append(1, 100, true).unwrap_err().kind(), ErrorKind::Poisoned);
    life.sim.set_faults(Vec::new());
    assert_eq!(life.scribe.try_append(1, 100, true).unwrap_err().kind(), ErrorKind::Poisoned);
    assert!(life.scribe.sync.sync().is_err());
    life.check(&life.sim.kill_now(), 1, "what was left is torn");
}

#[test]
fn what_was_taken_back_is_synced_with_the_log() {
    let mut life = Life::new(1, SegmentIo::Mapped);
    let half = Fault::short(Some(OpKind::Write), 1);
    let then = Fault::once(Some(OpKind::Write), 2, errno::EIO);
    life.sim.set_faults(vec![half, then]);
    assert_eq!(life.scribe.try_append(1, 300, true).unwrap_err().kind(), ErrorKind::Io);
    life.sim.set_faults(Vec::new());
    life.scribe.append(1, 10, false);
    life.scribe.sync.sync().unwrap();
    let path = life.dir.join("000001.wal");
    let whole = life.sim.kill_now().read_raw(&path);
    for seed in 0..20 {
        let found = life.sim.crash_now(CrashMode::Random { seed }).read_raw(&path);
        assert!(found == whole, "seed {seed}: behind the end is what was taken back");
    }
}

#[test]
fn a_full_disk_is_disk_full_and_leaves_no_file() {
    for io in [SegmentIo::Mapped, SegmentIo::Written, SegmentIo::Reserved] {
        let life = Life::new(1, io);
        // Zeros, where there are any, and the header.
        let writes = if io == SegmentIo::Reserved { 1 } else { 2 };
        let calls = (1..=writes).map(|nth| (OpKind::Write, nth));
        for (kind, nth) in calls.chain([(OpKind::Reserve, 1)]) {
            life.sim.set_faults(vec![Fault::once(Some(kind), nth, errno::ENOSPC)]);
            let error = Segment::create(&life.vfs, &life.dir, DATABASE, 2, 1, SEGMENT_BYTES, io);
            assert_eq!(error.unwrap_err().kind(), ErrorKind::DiskFull);
            assert_eq!(life.vfs.list(&life.dir).unwrap(), ["000001.wal"]);
        }
        life.sim.set_faults(vec![Fault::once(Some(OpKind::SyncDir), 1, errno::EIO)]);
        let error = Segment::create(&life.vfs, &life.dir, DATABASE, 2, 1, SEGMENT_BYTES, io);
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Poisoned);
        assert_eq!(life.vfs.list(&life.dir).unwrap(), ["000001.wal"]);
    }
}

#[test]
fn a_read_that_fails_is_an_error_and_never_the_end_of_the_log() {
    let mut life = Life::new(5, SegmentIo::Written);
    for _ in 0..60 {
        life.step();
    }
    let image = life.sim.kill_now();
    let calls = image.calls();
    life.check(&image, life.scribe.next - 1, "without a fault");
    // The listing is the test's own.
    let calls = image.calls() - calls - 1;
    let mut refused = 0;
    for mode in [RecoveryMode::Strict, RecoveryMode::PointInTime, RecoveryMode::Salvage] {
        for kind in [OpKind::Open, OpKind::Len, OpKind::Read, OpKind::Metadata] {
            for nth in 1..=calls {
                for fault in
                    [Fault::once(Some(kind), nth, errno::EIO), Fault::short(Some(kind), nth)]
                {
                    image.set_faults(vec![fault]);
                    match replayed(&image, &life.dir, 1, |plan| plan.mode = mode) {
                        Ok(log) => assert_eq!(log.records, life.scribe.written),
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::Io, "{error}");
                            refused += 1;
                        }
                    }
                }
            }
        }
    }
    assert_eq!(refused, 3 * calls);
}
