//! Appends, rotation and promises, and that replay gives back what was appended.

use super::*;
use crate::error::ErrorKind;

#[test]
fn what_was_appended_is_replayed_in_order_by_store_and_by_write() {
    for io in [SegmentIo::Mapped, SegmentIo::Written, SegmentIo::Reserved] {
        let disk = Disk::new();
        let mut scribe = Scribe::new(disk.segment(1, 0, 1 << 20, io));
        for (n, value_len) in [0, 1, 7, 8, 100, 4_000, 65_536, 300_000].into_iter().enumerate() {
            let end = scribe.append(1 + n as u32 % 3, value_len, n % 2 == 0);
            assert_eq!(end, scribe.sync.appended());
            assert_eq!(end.offset % 8, 0);
        }
        let log = disk.replay(1, RecoveryMode::Strict).unwrap();
        assert_eq!(log.records, scribe.written);
        assert_eq!(log.last(), scribe.next - 1);
        assert!(log.answer.dropped.is_empty());
        assert_eq!(log.answer.records, 8);
    }
}

#[test]
fn the_log_goes_on_over_segments_and_a_prepared_one_is_no_part_of_it() {
    for io in [SegmentIo::Mapped, SegmentIo::Written, SegmentIo::Reserved] {
        let disk = Disk::new();
        let mut scribe = Scribe::new(disk.segment(3, 0, 4096, io));
        for number in [5, 6, 9] {
            while scribe.writer.fits(1000) {
                scribe.append(2, 50, false);
            }
            scribe.writer.rotate(disk.segment(number, scribe.writer.segment(), 4096, io)).unwrap();
        }
        scribe.append(1, 10, true);
        let _prepared = disk.segment(12, 9, 4096, io);
        let log = disk.replay(3, RecoveryMode::Strict).unwrap();
        assert_eq!(log.records, scribe.written);
        assert!(log.answer.dropped.is_empty(), "{:?}", log.answer.dropped);
        // An end mark and a promise always have room, and a full segment is refused.
        assert!(scribe.writer.append(SeqNo(9), 1, &[0; 4096], false).is_err());
        let foreign = disk.segment(13, 12, 4096, io);
        assert_eq!(scribe.writer.rotate(foreign).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}

#[test]
fn the_least_segment_takes_its_record_a_promise_and_the_end_mark() {
    for payload_len in [1, 8, 100_000] {
        let disk = Disk::new();
        let len = Segment::len_for(payload_len);
        let (mut writer, sync) =
            LogWriter::new(disk.segment(1, 0, len, SegmentIo::Mapped), disk.vfs.clone());
        assert!(writer.fits(payload_len) && !writer.fits(payload_len.next_multiple_of(8) + 1));
        let value_len = payload_len.saturating_sub(20);
        let payload = ops(1, 1, value_len);
        if payload.len() <= payload_len {
            writer.append(SeqNo(1), 1, &payload, true).unwrap();
        }
        sync.sync().unwrap();
        writer.append_promise().unwrap();
        writer.rotate(disk.segment(2, 1, len, SegmentIo::Mapped)).unwrap();
        disk.replay(1, RecoveryMode::Strict).unwrap();
    }
}

#[test]
fn flushed_records_are_read_and_not_given() {
    let disk = Disk::new();
    let mut scribe = Scribe::new(disk.segment(1, 0, 1 << 16, SegmentIo::Written));
    for _ in 0..10 {
        scribe.append(3, 10, false);
    }
    let with_flushed =
        |flushed| replayed(&*disk.vfs, &disk.dir, 1, |plan| plan.flushed = SeqNo(flushed));
    let log = with_flushed(12).unwrap();
    assert_eq!(log.records, scribe.written[4..]);
    assert_eq!(with_flushed(30).unwrap().records, []);
    assert_eq!(with_flushed(40).unwrap().last(), 40, "an older log than the tables");
    // A record across the border cannot be: it was never synced, so it is cut.
    let cut = with_flushed(13).unwrap();
    assert_eq!((cut.records.len(), cut.last()), (0, 13));
    assert!(cut.answer.dropped[0].contains("13 are flushed"), "{:?}", cut.answer.dropped);
}

#[test]
fn a_promise_record_follows_a_sync_once_and_asks_for_no_sync() {
    let disk = Disk::new();
    let mut scribe = Scribe::new(disk.segment(1, 0, 1 << 16, SegmentIo::Mapped));
    assert!(!scribe.writer.append_promise().unwrap(), "an empty log is at rest");
    let first = scribe.append(1, 100, false);
    assert!(!scribe.writer.append_promise().unwrap(), "nothing was synced");
    assert_eq!(scribe.sync.sync().unwrap(), first);
    assert!(scribe.writer.append_promise().unwrap());
    assert!(!scribe.writer.append_promise().unwrap());
    assert_eq!(scribe.sync.appended(), scribe.sync.synced());
    scribe.sync.sync().unwrap();
    assert_eq!(scribe.sync.syncs(), 1);
    // The promise is on disk now: losing the record before it is a loss.
    disk.flip(1, (64 + 40) * 8);
    let error = disk.replay(1, RecoveryMode::Strict).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corruption);
    assert!(error.to_string().contains("000001.wal at offset 64"), "{error}");
    disk.flip(1, (64 + 40) * 8);
    scribe.append(1, 100, false);
    assert_eq!(disk.replay(1, RecoveryMode::Strict).unwrap().records, scribe.written);
}

#[test]
fn a_record_promises_what_was_synced_before_it() {
    let disk = Disk::new();
    let mut scribe = Scribe::new(disk.segment(1, 0, 1 << 16, SegmentIo::Mapped));
    let second = scribe.append(1, 8, false);
    scribe.sync.wait(second).unwrap();
    scribe.append(1, 8, false);
    assert!(!scribe.writer.append_promise().unwrap(), "the record promised it");
    let damaged = 64 + 8;
    disk.flip(1, damaged * 8);
    assert!(disk.replay(1, RecoveryMode::Strict).is_err());
    let cut = disk.replay(1, RecoveryMode::PointInTime).unwrap();
    assert!(cut.records.is_empty() && cut.answer.dropped.len() == 1);
    let salvaged = disk.replay(1, RecoveryMode::Salvage).unwrap();
    assert_eq!(salvaged.records, scribe.written[1..]);
    assert_eq!(salvaged.answer.dropped.len(), 2, "{:?}", salvaged.answer.dropped);
}

#[test]
fn a_promise_over_the_end_mark_makes_the_whole_old_segment_needed() {
    let disk = Disk::new();
    let mut scribe = Scribe::new(disk.segment(1, 0, 4096, SegmentIo::Mapped));
    scribe.append(1, 100, false);
    let mark = scribe.writer.used_bytes() as usize;
    scribe.writer.rotate(disk.segment(2, 1, 4096, SegmentIo::Mapped)).unwrap();
    let start = WalPosition { segment: 2, offset: 64 };
    assert!(scribe.sync.synced() < start && scribe.sync.appended() == start);
    scribe.append(1, 100, false);
    disk.flip(1, mark * 8);
    let cut = disk.replay(1, RecoveryMode::Strict).unwrap();
    assert_eq!(cut.records, scribe.written[..1]);
    assert_eq!(cut.answer.dropped.len(), 2, "{:?}", cut.answer.dropped);
    disk.flip(1, mark * 8);
    scribe.sync.sync().unwrap();
    assert!(scribe.writer.append_promise().unwrap());
    disk.flip(1, mark * 8);
    assert_eq!(disk.replay(1, RecoveryMode::Strict).unwrap_err().kind(), ErrorKind::Corruption);
}

#[test]
fn a_checkpoint_ends_with_its_sealed_segment_and_needs_all_of_it() {
    let disk = Disk::new();
    let mut scribe = Scribe::new(disk.segment(1, 0, 4096, SegmentIo::Mapped));
    scribe.append(2, 100, false);
    scribe.writer.rotate(disk.segment(2, 1, 4096, SegmentIo::Mapped)).unwrap();
    scribe.append(2, 100, false);
    let mark = scribe.writer.used_bytes() as usize;
    scribe.writer.rotate(disk.segment(3, 2, 4096, SegmentIo::Mapped)).unwrap();
    disk.vfs.unlink(&disk.path(3)).unwrap();
    assert!(disk.replay(1, RecoveryMode::Strict).is_err(), "an announced segment is missing");
    let sealed = |sealed| replayed(&*disk.vfs, &disk.dir, 1, |plan| plan.sealed = Some(sealed));
    assert_eq!(sealed(2).unwrap().records, scribe.written);
    assert_eq!(sealed(1).unwrap().records, scribe.written[..1]);
    assert!(sealed(0).unwrap().records.is_empty());
    disk.flip(2, mark * 8);
    assert_eq!(sealed(2).unwrap_err().kind(), ErrorKind::Corruption);
}

#[test]
fn segments_are_created_whole_or_not_at_all() {
    let disk = Disk::new();
    let create = |number, predecessor, len| {
        Segment::create(
            &disk.vfs,
            &disk.dir,
            DATABASE,
            number,
            predecessor,
            len,
            SegmentIo::Written,
        )
    };
    for (number, predecessor, len) in
        [(0, 0, 4096), (1 << 32, 1, 4096), (2, 2, 4096), (1, 0, 100), (1, 0, 1 << 36)]
    {
        assert_eq!(
            create(number, predecessor, len).unwrap_err().kind(),
            ErrorKind::InvalidArgument
        );
    }
    let segment = create(7, 3, 4096).unwrap();
    assert_eq!((segment.number(), segment.predecessor(), segment.len()), (7, 3, 4096));
    assert_eq!(disk.bytes(7).len(), 4096);
    assert_eq!(create(7, 3, 4096).unwrap_err().kind(), ErrorKind::Io, "a file is there");
    assert_eq!(disk.bytes(7).len(), 4096, "and stays");
}
