//! Damage of every sort, and what each recovery mode makes of it.

use super::*;
use crate::error::ErrorKind;
use crate::format::wal_record::{RecordHeader, RecordKind, SegmentHeader, encode_record};

/// Three segments; the first two, and half of the third, were synced.
fn log(disk: &Disk) -> (Scribe, WalPosition) {
    let mut scribe = Scribe::new(disk.segment(1, 0, 1024, SegmentIo::Mapped));
    for number in [2, 3] {
        for n in 0..4 {
            scribe.append(1 + n % 2, 40, false);
        }
        scribe.sync.sync().unwrap();
        let next = disk.segment(number, number - 1, 1024, SegmentIo::Mapped);
        scribe.writer.rotate(next).unwrap();
    }
    scribe.append(1, 40, false);
    scribe.append(2, 40, false);
    let synced = scribe.sync.sync().unwrap();
    scribe.append(1, 40, false);
    scribe.append(1, 40, false);
    (scribe, synced)
}

/// Records that a prefix must have: those that the log's last promise covers.
const PROMISED: usize = 10;
const ALL: usize = 12;

#[test]
fn every_flipped_bit_is_detected_or_changes_only_what_was_never_synced() {
    let disk = Disk::new();
    let (scribe, synced) = log(&disk);
    let (mut detected, mut cut, mut same) = (0, 0, 0);
    for number in 1..=3 {
        let whole = disk.bytes(number);
        for bit in 0..whole.len() * 8 {
            disk.flip(number, bit);
            match disk.replay(1, RecoveryMode::Strict) {
                Err(error) => {
                    let known = [ErrorKind::Corruption, ErrorKind::Unsupported];
                    assert!(known.contains(&error.kind()), "{error}");
                    let name = format!("{number:06}.wal");
                    assert!(error.to_string().contains(&name), "bit {bit} of {name}: {error}");
                    detected += 1;
                }
                Ok(log) => {
                    assert!(log.records.len() >= PROMISED, "bit {bit} of {number}: a silent loss");
                    assert_eq!(log.records, scribe.written[..log.records.len()]);
                    if log.records.len() == ALL {
                        same += 1
                    } else {
                        cut += 1
                    }
                    let at = WalPosition { segment: number, offset: bit as u64 / 8 };
                    assert!(log.records.len() == ALL || at >= synced);
                    assert!(log.records.len() == ALL || !log.answer.dropped.is_empty());
                }
            }
            for mode in [RecoveryMode::PointInTime, RecoveryMode::Salvage] {
                // A third of the bits: each mode alone takes as long as the default.
                if bit % 3 == 0
                    && let Ok(log) = disk.replay(1, mode)
                {
                    let mut rest = scribe.written.iter();
                    for record in &log.records {
                        assert!(rest.any(|written| written == record), "an invented record");
                    }
                    if mode == RecoveryMode::PointInTime {
                        assert_eq!(log.records, scribe.written[..log.records.len()]);
                    }
                }
            }
            disk.flip(number, bit);
        }
    }
    println!("{detected} detected, {cut} cut in the unsynced tail, {same} without effect");
    assert!(detected > 8_000 && cut > 1_000 && same > 5_000);
}

#[test]
fn every_cut_is_corruption() {
    let disk = Disk::new();
    log(&disk);
    for number in 1..=3 {
        let whole = disk.bytes(number);
        for len in 0..whole.len() {
            disk.put(number, &whole[..len]);
            let error = disk.replay(1, RecoveryMode::Strict).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corruption, "{number} cut to {len}: {error}");
            disk.replay(1, RecoveryMode::PointInTime).unwrap();
            disk.replay(1, RecoveryMode::Salvage).unwrap();
        }
        disk.vfs.unlink(&disk.path(number)).unwrap();
        let error = disk.replay(1, RecoveryMode::Strict).unwrap_err();
        assert!(error.to_string().contains("missing"), "{error}");
        let salvaged = disk.replay(1, RecoveryMode::Salvage).unwrap();
        assert_eq!(salvaged.records.len(), ALL - 4);
        assert!(salvaged.answer.dropped.iter().any(|line| line.contains("missing")));
        disk.put(number, &whole);
    }
}

#[test]
fn swapped_foreign_and_renamed_segments_are_refused() {
    let (disk, other) = (Disk::new(), Disk::new());
    log(&disk);
    let whole = [disk.bytes(1), disk.bytes(2), disk.bytes(3)];
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        disk.put(a as u64 + 1, &whole[b]);
        disk.put(b as u64 + 1, &whole[a]);
        let error = disk.replay(1, RecoveryMode::Strict).unwrap_err();
        assert!(error.to_string().contains("under the name of"), "{error}");
        for (n, bytes) in whole.iter().enumerate() {
            disk.put(n as u64 + 1, bytes);
        }
    }
    let foreign = DatabaseId(7);
    Segment::create(&other.vfs, &other.dir, foreign, 2, 1, 1024, SegmentIo::Written).unwrap();
    disk.put(2, &other.bytes(2));
    let error = disk.replay(1, RecoveryMode::Strict).unwrap_err();
    assert!(error.to_string().contains("of database"), "{error}");
    assert_eq!(disk.replay(1, RecoveryMode::Salvage).unwrap().records.len(), ALL - 4);
    // The right name and number, but not the successor of who announces it.
    other.vfs.unlink(&other.path(2)).unwrap();
    other.segment(2, 0, 1024, SegmentIo::Written);
    disk.put(2, &other.bytes(2));
    let error = disk.replay(1, RecoveryMode::Strict).unwrap_err();
    assert!(error.to_string().contains("follows 0"), "{error}");
}

#[test]
fn a_record_of_another_segment_or_another_place_never_passes() {
    let disk = Disk::new();
    let mut scribe = Scribe::new(disk.segment(1, 0, 4096, SegmentIo::Written));
    let first_end = scribe.append(1, 100, false).offset as usize;
    let second_end = scribe.append(1, 100, false).offset as usize;
    let mut bytes = disk.bytes(1);
    // The first record again where the third would be, and in its own place in a
    // segment with another salt.
    bytes.copy_within(64..first_end, second_end);
    disk.put(1, &bytes);
    let log = disk.replay(1, RecoveryMode::Strict).unwrap();
    assert_eq!(log.records, scribe.written);
    assert!(log.answer.dropped[0].contains("checksum"), "{:?}", log.answer.dropped);
    disk.segment(2, 1, 4096, SegmentIo::Written);
    let mut other = disk.bytes(2);
    other[64..second_end].copy_from_slice(&bytes[64..second_end]);
    disk.put(2, &other);
    let log = disk.replay(2, RecoveryMode::Salvage).unwrap();
    assert!(log.records.is_empty());
}

#[test]
fn a_log_stored_as_a_value_is_never_taken_for_the_log() {
    let disk = Disk::new();
    let mut scribe = Scribe::new(disk.segment(1, 0, 1 << 16, SegmentIo::Written));
    for _ in 0..5 {
        scribe.append(1, 100, false);
    }
    scribe.sync.sync().unwrap();
    scribe.append(1, 100, false);
    let itself = disk.bytes(1);
    for shift in 0..9 {
        let mut batch = WriteBatch::new();
        batch.put("log", [&vec![0; shift], &itself[..2000]].concat());
        let at = scribe.writer.used_bytes() as usize;
        scribe.writer.append(SeqNo(scribe.next), 1, batch.ops(), false).unwrap();
        // Its header is lost, so the search goes through the value.
        for bit in [at * 8, (at + 32) * 8] {
            disk.flip(1, bit);
            let log = disk.replay(1, RecoveryMode::Strict).unwrap();
            assert_eq!(log.records.len(), scribe.written.len());
            let salvaged = disk.replay(1, RecoveryMode::Salvage).unwrap();
            assert_eq!(salvaged.records, scribe.written);
            disk.flip(1, bit);
        }
        scribe.written.push((scribe.next, 1, batch.ops().to_vec()));
        scribe.next += 1;
    }
}

#[test]
fn a_gap_or_a_step_back_in_sequence_numbers_is_a_bad_record() {
    for (numbers, given) in [([1, 2, 4], 2), ([1, 2, 2], 2), ([2, 3, 4], 0), ([1, 1, 2], 1)] {
        let disk = Disk::new();
        let (mut writer, sync) =
            LogWriter::new(disk.segment(1, 0, 4096, SegmentIo::Written), disk.vfs.clone());
        for number in numbers {
            writer.append(SeqNo(number), 1, &ops(number, 1, 5), false).unwrap();
        }
        let log = disk.replay(1, RecoveryMode::Strict).unwrap();
        assert_eq!(log.records.len(), given, "{numbers:?}");
        assert!(log.answer.dropped[0].contains("follows"));
        sync.sync().unwrap();
        writer.append_promise().unwrap();
        assert!(disk.replay(1, RecoveryMode::Strict).is_err(), "{numbers:?}");
    }
}

#[test]
fn operations_that_are_not_what_is_said_are_a_bad_record_and_unknown_ones_unsupported() {
    for (payload, count, kind) in [
        (ops(1, 2, 5), 3, None),
        (ops(1, 2, 5), 1, None),
        (ops(1, 1, 5)[..8].to_vec(), 1, None),
        (vec![0, 1, 1], 1, None),
        (vec![3, 1, 1], 1, Some(ErrorKind::Unsupported)),
        (vec![99, 1, 1], 1, Some(ErrorKind::Unsupported)),
    ] {
        let disk = Disk::new();
        let (mut writer, _sync) =
            LogWriter::new(disk.segment(1, 0, 4096, SegmentIo::Written), disk.vfs.clone());
        writer.append(SeqNo(1), count, &payload, false).unwrap();
        let outcome = disk.replay(1, RecoveryMode::Strict);
        assert_eq!(outcome.as_ref().err().map(|e| e.kind()), kind, "{outcome:?}");
        assert!(outcome.is_err() || outcome.unwrap().records.is_empty());
    }
}

#[test]
fn an_unannounced_segment_with_records_is_dropped_and_a_ruin_is_ignored() {
    let disk = Disk::new();
    let mut scribe = Scribe::new(disk.segment(1, 0, 4096, SegmentIo::Written));
    scribe.append(1, 10, false);
    for ruin in [&[][..], &[0; 4096], &[0xAB; 4096], &disk.bytes(1)[..63]] {
        disk.put(2, ruin);
        let log = disk.replay(1, RecoveryMode::Strict).unwrap();
        assert_eq!((log.records.len(), log.answer.dropped.len()), (1, 0));
    }
    // The end mark was not synced, and a power cut took it.
    let mark = scribe.writer.used_bytes() as usize;
    scribe.writer.rotate(disk.segment(3, 1, 4096, SegmentIo::Written)).unwrap();
    scribe.append(1, 10, false);
    let whole = disk.bytes(1);
    disk.put(1, &[&whole[..mark], &vec![0; 4096 - mark]].concat());
    let log = disk.replay(1, RecoveryMode::Strict).unwrap();
    assert_eq!((log.records.len(), log.last()), (1, 1));
    assert!(log.answer.dropped[0].contains("000003.wal: 1 records"), "{:?}", log.answer.dropped);
    // Once anything promises past the break, it is a loss.
    scribe.sync.sync().unwrap();
    scribe.writer.append_promise().unwrap();
    let error = disk.replay(1, RecoveryMode::Strict).unwrap_err();
    assert!(error.to_string().contains("000001.wal"), "{error}");
    let cut = disk.replay(1, RecoveryMode::PointInTime).unwrap();
    assert_eq!((cut.records.len(), cut.answer.dropped.len()), (1, 2));
    let salvaged = disk.replay(1, RecoveryMode::Salvage).unwrap();
    assert_eq!(salvaged.records.len(), 2);
}

#[test]
fn what_the_sink_answers_ends_the_replay() {
    let disk = Disk::new();
    let mut scribe = Scribe::new(disk.segment(1, 0, 4096, SegmentIo::Written));
    scribe.append(1, 10, false);
    let plan = ReplayPlan {
        dir: &disk.dir,
        database: DATABASE,
        oldest: 1,
        found: &[1],
        sealed: None,
        flushed: SeqNo::ZERO,
        mode: RecoveryMode::Strict,
    };
    let mut full = |_: Record<'_>| Err(crate::error::Error::invalid("full"));
    let outcome = replay(&*disk.vfs, &plan, &mut |_, _| {}, &mut full);
    assert_eq!(outcome.unwrap_err().to_string(), "full");
    // A segment that was found and is gone is an error, not a tail.
    let gone = ReplayPlan { found: &[1, 2], ..plan };
    let outcome = replay(&*disk.vfs, &gone, &mut |_, _| {}, &mut |_| Ok(()));
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn a_header_that_promises_what_comes_behind_it_has_its_checksum_by_chance() {
    let disk = Disk::new();
    let (scribe, _) = log(&disk);
    let end = scribe.sync.appended();
    let whole = disk.bytes(end.segment);
    let seed = SegmentHeader::decode(&whole).unwrap().seed();
    let here = WalPosition { segment: end.segment, offset: end.offset + 64 };
    let refused = |promise: WalPosition| {
        let header = RecordHeader {
            kind: RecordKind::Promise,
            number: 0,
            count: 0,
            payload_len: 0,
            promise: promise.promise(),
        };
        let mut record = Vec::new();
        encode_record(&mut record, seed, here.offset, &header, &[]);
        let mut bytes = whole.clone();
        bytes[here.offset as usize..][..record.len()].copy_from_slice(&record);
        disk.put(end.segment, &bytes);
        match disk.replay(1, RecoveryMode::Strict) {
            Ok(log) => {
                assert_eq!(log.records, scribe.written, "{promise}");
                false
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
                true
            }
        }
    };
    assert!(!refused(end), "all that it promises is there");
    assert!(refused(here), "what is missing was promised by a record behind it");
    assert!(!refused(WalPosition { offset: here.offset + 8, ..here }));
    assert!(!refused(WalPosition { segment: here.segment + 1, offset: 64 }));
    assert!(!refused(WalPosition { segment: u64::from(u32::MAX), offset: 0 }));
}
