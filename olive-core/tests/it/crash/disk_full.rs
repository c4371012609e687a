//! A disk without room, driven by hand: writes that cannot go on say so, reads go on,
//! and the database resumes by itself when there is room. With threads, and on real
//! disks, it is proved in `tests/proof/full_disk.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use olive_core::internals::vfs::sim::{Action, OpKind, SimVfs, errno};
use olive_core::{Db, Error, ErrorKind, WalIo};

use crate::support::{entries, open_sim, tiny};

/// Puts until one fails; says how many did not, and with what the last one failed.
fn fill(db: &Db, value: &[u8]) -> (u32, Error) {
    for number in 0..20_000 {
        if let Err(error) = db.put(format!("key{number:06}"), value) {
            return (number, error);
        }
    }
    panic!("the disk is never full");
}

fn used(vfs: &SimVfs) -> u64 {
    vfs.bytes_of_files()
}

fn tables_of(vfs: &SimVfs) -> usize {
    vfs.paths().iter().filter(|path| path.extension().is_some_and(|e| e == "sst")).count()
}

fn check(db: &Db, written: u32, value: &[u8]) {
    let found = entries(db).expect("a walk");
    assert_eq!(found.len(), written as usize);
    for (number, (key, found)) in found.iter().enumerate() {
        assert_eq!(*key, format!("key{number:06}").into_bytes());
        assert_eq!(found, value);
    }
    let last = format!("key{:06}", written - 1);
    assert!(db.contains_key(last).expect("a get"));
    assert!(!db.contains_key(format!("key{written:06}")).expect("a get"), "it was refused");
}

fn fill_and_free(wal_io: WalIo) {
    let vfs = SimVfs::new(1);
    vfs.set_tick(Duration::from_micros(10));
    let options = tiny().wal_io(wal_io);
    let db = open_sim(options.clone(), &vfs).expect("a new database");
    db.put("key000000", [7; 100]).expect("a put");
    vfs.set_capacity(Some(used(&vfs) + (60 << 10)));
    let (mut written, error) = fill(&db, &[7; 100]);
    assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
    assert!(written > 10, "{written}");
    check(&db, written, &[7; 100]);
    let again = db.put("key999999", [7; 100]).expect_err("there is still no room");
    assert_eq!(again.kind(), ErrorKind::DiskFull, "{again}");
    assert!(db.health().expect("health").poisoned.is_none());

    let copy = open_sim(options.clone(), &unlimited(&vfs)).expect("a reopen with room");
    check(&copy, written, &[7; 100]);

    vfs.set_capacity(None);
    for _ in 0..100 {
        db.put(format!("key{written:06}"), [7; 100]).expect("it resumes at once");
        written += 1;
    }
    db.flush().expect("a flush");
    check(&db, written, &[7; 100]);
    assert!(db.health().expect("health").writable);
    db.close().expect("a close");
    let db = open_sim(options, &vfs).expect("a reopen");
    check(&db, written, &[7; 100]);
    assert!(db.verify().expect("a verify").is_clean());
}

fn unlimited(vfs: &SimVfs) -> SimVfs {
    let copy = vfs.kill_now();
    copy.set_capacity(None);
    copy
}

#[test]
fn a_full_disk_by_hand_mapped() {
    fill_and_free(WalIo::Mapped);
}

#[test]
fn a_full_disk_by_hand_written() {
    fill_and_free(WalIo::Write);
}

#[test]
fn a_full_disk_at_any_size_loses_nothing_and_leaves_no_partial_output() {
    for room in (0..40).map(|n| n * 1000) {
        let vfs = SimVfs::new(1);
        let db = match open_sim(tiny(), &vfs) {
            Ok(db) => db,
            Err(error) => panic!("{error:?}"),
        };
        vfs.set_capacity(Some(used(&vfs) + room));
        let (written, error) = fill(&db, &[3; 60]);
        assert_eq!(error.kind(), ErrorKind::DiskFull, "{room}: {error}");
        for act in [Db::flush, |db: &Db| db.compact_range(..), |db: &Db| db.maintain().map(drop)] {
            if let Err(error) = act(&db) {
                assert_eq!(error.kind(), ErrorKind::DiskFull, "{room}: {error}");
            }
        }
        let tables = tables_of(&vfs);
        let live: u64 = db.stats().expect("stats").levels.iter().map(|level| level.tables).sum();
        // The tables of one edit whose append failed may be named after a crash.
        assert!(tables as u64 <= live + 3, "{room}: {tables} tables, {live} of them live");
        if written > 0 {
            check(&db, written, &[3; 60]);
        }
        if room % 2000 == 0 {
            vfs.set_capacity(None);
            db.put("key000000", [3; 60]).expect("a put with room");
            db.compact_range(..).expect("a compaction with room");
            let live: u64 = db.stats().expect("stats").levels.iter().map(|l| l.tables).sum();
            assert_eq!(tables_of(&vfs) as u64, live, "{room}: an output is left");
            check(&db, written.max(1), &[3; 60]);
            continue;
        }
        let closed = db.close();
        if let Err(error) = closed {
            assert_eq!(error.kind(), ErrorKind::DiskFull, "{room}: {error}");
        }
        let db = open_sim(tiny(), &unlimited(&vfs)).unwrap_or_else(|e| panic!("{room}: {e:?}"));
        if written > 0 {
            check(&db, written, &[3; 60]);
        }
    }
}

#[test]
fn a_full_disk_at_creation_leaves_a_folder_that_can_be_created_in_later() {
    for room in [0, 10, 1000, 4096, 4100, 4500, 5000] {
        let vfs = SimVfs::new(1);
        vfs.set_capacity(Some(room));
        if let Err(error) = open_sim(tiny(), &vfs) {
            assert_eq!(error.kind(), ErrorKind::DiskFull, "{room}: {error}");
        }
        vfs.set_capacity(None);
        let db = open_sim(tiny(), &vfs.kill_now()).unwrap_or_else(|e| panic!("{room}: {e:?}"));
        db.put("k", "v").expect("a put");
        assert!(vfs.calls_of(OpKind::Create) > 0);
    }
}

#[test]
fn a_full_disk_at_recovery_changes_nothing() {
    let vfs = SimVfs::new(1);
    let db = open_sim(tiny().memtable_bytes(64 << 10), &vfs).expect("a new database");
    for number in 0..100 {
        db.put(format!("key{number:06}"), [1; 50]).expect("a put");
    }
    for room in (0..12).map(|n| n * 700) {
        let disk = vfs.kill_now();
        disk.set_capacity(Some(used(&disk) + room));
        match open_sim(tiny(), &disk) {
            Ok(db) => check(&db, 100, &[1; 50]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::DiskFull, "{room}: {error}"),
        }
        let db = open_sim(tiny(), &unlimited(&disk)).unwrap_or_else(|e| panic!("{room}: {e:?}"));
        check(&db, 100, &[1; 50]);
    }
}

#[test]
fn a_flush_that_found_no_room_is_not_recorded_by_a_compaction_that_did() {
    let vfs = SimVfs::new(1);
    let options = tiny().memtable_bytes(4 << 10).memtables_max(8).table_bytes(64 << 10);
    let db = open_sim(options.clone(), &vfs).expect("a new database");
    let put = |number: u32| db.put(format!("key{number:06}"), [5; 100]);
    let mut written = 0;
    // One table below the limit of level 0, and two memtables to flush.
    while db.stats().expect("stats").levels[0].tables < 23 {
        put(written).expect("a put");
        written += 1;
        db.flush().expect("a flush");
    }
    while db.stats().expect("stats").immutable_bytes == 0 {
        put(written).expect("a put");
        written += 1;
    }
    let writes = AtomicU64::new(0);
    vfs.set_filter(Some(Arc::new(move |entry| {
        let hit = entry.kind == OpKind::Write
            && entry.path.to_string_lossy().contains("MANIFEST-")
            && writes.fetch_add(1, Ordering::Relaxed) > 0;
        if hit { Action::Fail(errno::ENOSPC) } else { Action::Do }
    })));
    let error = db.flush().expect_err("the second of two has no room");
    assert_eq!(error.kind(), ErrorKind::DiskFull);
    vfs.set_filter(None);
    assert_eq!(db.stats().expect("stats").levels[0].tables, 24);
    // Level 0 is at its limit: the next writes that need a memtable compact by hand.
    vfs.record(true);
    while db.stats().expect("stats").compactions == 0 && written < 2000 {
        put(written).expect("a put");
        written += 1;
    }
    assert!(written < 2000, "no compaction came");
    for at in 1..=vfs.mutations() {
        if vfs.trace_entry(at).is_none_or(|entry| entry.kind == OpKind::Store) {
            continue;
        }
        let db = open_sim(options.clone(), &vfs.kill_at(at))
            .unwrap_or_else(|e| panic!("mutation {at}: {e:?}"));
        let found = entries(&db).expect("a walk").len() as u32;
        check(&db, found, &[5; 100]);
        assert!(found >= 25, "mutation {at}: {found}");
    }
    let db = open_sim(options, &vfs.kill_now()).expect("an open");
    check(&db, written, &[5; 100]);
}

#[test]
fn a_log_segment_that_is_too_long_for_the_room_is_made_shorter() {
    let vfs = SimVfs::new(1);
    let options = tiny().memtable_bytes(64 << 20).wal_segment_bytes_max(64 << 20);
    let db = open_sim(options.clone(), &vfs).expect("a new database");
    // Segments grow: the next one is longer than the room that will be left.
    let mut written = 0;
    while db.stats().expect("stats").wal_bytes < 4 << 20 {
        db.put(format!("key{written:06}"), [7; 1000]).expect("a put");
        written += 1;
    }
    let capacity = used(&vfs) + (1 << 20);
    vfs.set_capacity(Some(capacity));
    loop {
        match db.put(format!("key{written:06}"), [7; 1000]) {
            Ok(()) => written += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
                break;
            }
        }
    }
    let left = capacity - used(&vfs);
    assert!(left < 64 << 10, "{left} bytes are left");
    check(&db, written, &[7; 1000]);
    vfs.set_capacity(Some(used(&vfs) + (200 << 10)));
    db.put(format!("key{written:06}"), [7; 1000]).expect("room for a short one");
    check(&db, written + 1, &[7; 1000]);
    let db = open_sim(options, &unlimited(&vfs)).expect("a reopen with room");
    check(&db, written + 1, &[7; 1000]);
}
