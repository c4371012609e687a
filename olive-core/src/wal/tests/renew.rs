//! Segments that are made of old ones.

use super::*;
use crate::error::ErrorKind;
use crate::format::wal_record::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::vfs::sim::{CrashMode, Fault, Fill, OpKind, SimVfs, errno};

const LEN: u64 = 4096;

/// Segment 1 full of records and needed by nobody, segment 2 in use.
struct Life {
    sim: SimVfs,
    vfs: Arc<dyn Vfs>,
    scribe: Scribe,
    /// Records in segment 1.
    gone: usize,
    io: SegmentIo,
}

const DIR: &str = "/db";

impl Life {
    fn new(io: SegmentIo) -> Life {
        let sim = SimVfs::new(3);
        sim.create_dir(Path::new(DIR)).unwrap();
        sim.sync_dir(Path::new("/")).unwrap();
        let vfs: Arc<dyn Vfs> = Arc::new(sim.clone());
        let create = |number, predecessor| {
            Segment::create(&vfs, Path::new(DIR), DATABASE, number, predecessor, LEN, io).unwrap()
        };
        let mut scribe = Scribe::new(create(1, 0));
        while scribe.writer.fits(300) {
            scribe.append(2, 50, false);
        }
        let gone = scribe.written.len();
        scribe.writer.rotate(create(2, 1)).unwrap();
        scribe.append(3, 60, false);
        scribe.sync.sync().unwrap();
        sim.record(true);
        Life { sim, vfs, scribe, gone, io }
    }

    fn renew(&self, number: u64, len: u64) -> Result<Segment> {
        let place = (Path::new(DIR), 1);
        Segment::renew(&self.vfs, place, DATABASE, number, 2, len, self.io)
    }

    /// That from segment 2 on, an image has the first records, `least` of them or more.
    fn check(&self, image: &SimVfs, least: usize, what: &str) {
        let written = &self.scribe.written[self.gone..];
        let flushed = SeqNo(written[0].0 - 1);
        let log = replayed(image, Path::new(DIR), 2, |plan| plan.flushed = flushed);
        let log = log.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(log.records.len() >= least, "{what}: {} of {least}", log.records.len());
        assert!(log.records == written[..log.records.len()], "{what}");
    }
}

/// Whether it is segment 3, and nothing else.
fn is_whole_and_empty(bytes: &[u8]) -> bool {
    let header = SegmentHeader::decode(bytes).ok();
    header.is_some_and(|header| (header.number, header.predecessor, header.len) == (3, 2, LEN))
        && bytes.len() as u64 == LEN
        && bytes[SEGMENT_HEADER_BYTES..].iter().all(|&byte| byte == 0)
}

#[test]
fn a_renewed_segment_goes_on_with_the_log_and_has_nothing_of_the_old_one() {
    for io in [SegmentIo::Mapped, SegmentIo::Written, SegmentIo::Reserved] {
        let disk = Disk::new();
        let mut scribe = Scribe::new(disk.segment(1, 0, LEN, io));
        while scribe.writer.fits(300) {
            scribe.append(2, 50, false);
        }
        let gone = scribe.written.len();
        scribe.writer.rotate(disk.segment(2, 1, LEN, io)).unwrap();
        let old = (disk.dir.as_path(), 1);
        let next = Segment::renew(&disk.vfs, old, DATABASE, 3, 2, LEN, io).unwrap();
        assert_eq!((next.number(), next.predecessor(), next.len()), (3, 2, LEN));
        assert!(is_whole_and_empty(&disk.bytes(3)));
        assert_eq!(disk.vfs.list(&disk.dir).unwrap().len(), 2, "the old name is gone");
        while scribe.writer.fits(300) {
            scribe.append(2, 50, false);
        }
        scribe.writer.rotate(next).unwrap();
        scribe.append(1, 10, true);
        let flushed = SeqNo(scribe.written[gone].0 - 1);
        let log = replayed(&*disk.vfs, &disk.dir, 2, |plan| plan.flushed = flushed).unwrap();
        assert!(log.records == scribe.written[gone..]);
        assert!(log.answer.dropped.is_empty());
    }
}

#[test]
fn a_power_cut_while_a_segment_is_renewed_shows_it_whole_or_not_at_all() {
    let mut renewed = 0;
    for io in [SegmentIo::Mapped, SegmentIo::Written, SegmentIo::Reserved] {
        let mut life = Life::new(io);
        let first = life.sim.mutations();
        let next = life.renew(3, LEN).unwrap();
        let made = life.sim.mutations();
        life.scribe.append(1, 20, false);
        life.scribe.writer.rotate(next).unwrap();
        life.scribe.append(2, 30, false);
        life.scribe.sync.sync().unwrap();
        let synced = life.sim.mutations();
        let all = life.scribe.written.len() - life.gone;
        let mut modes = vec![CrashMode::Synced, CrashMode::Everything];
        modes.extend([Fill::Zeros, Fill::Garbage { seed: 1 }].map(CrashMode::Spoiled));
        modes.extend([Fill::Zeros, Fill::Garbage { seed: 1 }].map(CrashMode::Tail));
        modes.extend((0..20).map(|seed| CrashMode::Random { seed }));
        modes.extend((0..20).map(|seed| CrashMode::Names { seed }));
        modes.extend([1, 31, 33, 511, 512, 513].map(|bytes| CrashMode::Torn { bytes }));
        for at in first..=synced {
            for &mode in &modes {
                let what = format!("{io:?}, mutation {at} of {synced}, {mode:?}");
                let image = life.sim.crash_at(at, mode);
                life.check(&image, if at == synced { all } else { 1 }, &what);
                let names = image.list(Path::new(DIR)).unwrap();
                let there = names.contains(&FileKind::Segment(3).name());
                if there && at <= made {
                    let path = segment_path(Path::new(DIR), 3);
                    assert!(is_whole_and_empty(&image.read_raw(&path)), "{what}");
                    renewed += 1;
                }
                assert!(there || at < made, "{what}: its name was durable");
            }
        }
    }
    assert!(renewed > 100, "{renewed}");
}

#[test]
fn whichever_call_fails_a_renewed_segment_is_ready_or_gone() {
    for io in [SegmentIo::Mapped, SegmentIo::Written, SegmentIo::Reserved] {
        let life = Life::new(io);
        let before = life.sim.calls();
        life.renew(3, LEN).unwrap();
        let calls = life.sim.calls() - before;
        assert!(calls > 6, "{calls}");
        for nth in 1..=calls {
            for errno in [errno::EIO, errno::ENOSPC] {
                let life = Life::new(io);
                life.sim.set_faults(vec![Fault::once(None, nth, errno)]);
                let error = life.renew(3, LEN).map(drop).unwrap_err();
                let kinds = [ErrorKind::Io, ErrorKind::DiskFull, ErrorKind::Poisoned];
                assert!(kinds.contains(&error.kind()), "call {nth}: {error}");
                life.sim.set_faults(vec![]);
                let names = life.vfs.list(Path::new(DIR)).unwrap();
                assert_eq!(names, ["000002.wal"], "call {nth}: {error}");
                life.check(&life.sim.kill_now(), 1, &format!("call {nth}"));
            }
        }
        let life = Life::new(io);
        life.sim.set_faults(vec![Fault::once(Some(OpKind::SyncDir), 1, errno::EIO)]);
        assert_eq!(life.renew(3, LEN).unwrap_err().kind(), ErrorKind::Poisoned);
    }
}

#[test]
fn what_is_no_older_or_of_another_length_does_not_become_the_next() {
    for (number, len) in [(3, LEN * 2), (3, LEN - 8)] {
        let life = Life::new(SegmentIo::Mapped);
        let error = life.renew(number, len).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert!(error.to_string().contains("segment 1 "), "{error}");
        life.check(&life.sim.kill_now(), 1, "after it was refused");
    }
    let life = Life::new(SegmentIo::Mapped);
    assert_eq!(life.renew(2, LEN).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert!(life.vfs.list(Path::new(DIR)).unwrap().contains(&FileKind::Segment(2).name()));
}

#[test]
fn segments_that_nobody_needs_are_not_synced() {
    for (forgotten, syncs) in [(0, 4), (2, 4), (3, 3), (4, 2), (5, 1), (9, 1)] {
        let life = Life::new(SegmentIo::Mapped);
        let mut scribe = life.scribe;
        let mut flushed = vec![scribe.written[life.gone].0 - 1];
        for number in 3..=5 {
            let (dir, old) = (Path::new(DIR), number - 1);
            let next = Segment::create(&life.vfs, dir, DATABASE, number, old, LEN, life.io);
            scribe.writer.rotate(next.unwrap()).unwrap();
            flushed.push(scribe.next - 1);
            scribe.append(1, 10, false);
        }
        scribe.sync.forget_before(forgotten);
        let before = life.sim.calls_of(OpKind::Sync);
        let end = scribe.sync.sync().unwrap();
        assert_eq!(end, scribe.sync.appended());
        assert_eq!(life.sim.calls_of(OpKind::Sync) - before, syncs, "before {forgotten}");
        let image = life.sim.crash_now(CrashMode::Synced);
        let oldest = forgotten.clamp(2, 5);
        let flushed = SeqNo(flushed[oldest as usize - 2]);
        let log = replayed(&image, Path::new(DIR), oldest, |plan| plan.flushed = flushed).unwrap();
        assert_eq!(log.last(), scribe.next - 1);
    }
}
