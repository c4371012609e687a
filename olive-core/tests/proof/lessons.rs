//! What others paid for (the list at the end of the durability document), each a
//! test named after it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use olive_core::internals::open_read_only_on;
use olive_core::internals::vfs::sim::{
    Action, CrashMode, Fault, Filter, OpKind, SimVfs, TraceEntry, errno,
};
use olive_core::{Db, ErrorKind, TableIo, WalIo};

use crate::support::{DIR, Model, entries, kind, open_sim, settle, tiny};

fn filled(vfs: &SimVfs) -> Db {
    let db = open_sim(tiny(), vfs).expect("a new database");
    for number in 0..30 {
        db.put(format!("key{number:02}"), format!("value {number}")).expect("a put");
    }
    db.flush().expect("a flush");
    db
}

fn having(vfs: &SimVfs, part: &str) -> Vec<PathBuf> {
    let mut paths = vfs.paths();
    paths.retain(|path| path.to_string_lossy().contains(part));
    paths
}

fn fail_on(vfs: &SimVfs, kind: OpKind, part: &'static str, errno: i32) {
    vfs.set_filter(Some(Arc::new(move |entry| {
        let hit = entry.kind == kind && entry.path.to_string_lossy().contains(part);
        if hit { Action::Fail(errno) } else { Action::Do }
    })));
}

#[test]
fn an_empty_sstable_named_by_a_manifest_is_corruption() {
    let vfs = SimVfs::new(1);
    filled(&vfs).close().expect("a close");
    let tables = having(&vfs, ".sst");
    assert!(!tables.is_empty());
    for table in tables {
        let copy = vfs.kill_now();
        copy.write_raw(&table, b"");
        let read_only = open_read_only_on(tiny(), Arc::new(copy.clone()), DIR);
        for opened in [open_sim(tiny(), &copy), read_only] {
            let error = opened.expect_err("an empty table");
            assert_eq!(error.kind(), ErrorKind::Corruption);
            assert!(error.to_string().contains(&*table.to_string_lossy()), "{error}");
        }
    }
}

#[test]
fn no_memtable_without_entries_becomes_a_table() {
    let vfs = SimVfs::new(1);
    let db = open_sim(tiny(), &vfs).expect("a new database");
    db.flush().expect("a flush of nothing");
    db.compact_range(..).expect("a compaction of nothing");
    db.put("k", "v").expect("a put");
    db.delete("k").expect("a delete");
    db.compact_range(..).expect("a compaction");
    db.close().expect("a close");
    assert_eq!(having(&vfs, ".sst"), Vec::<PathBuf>::new(), "nothing is left to be in a table");
    assert_eq!(entries(&open_sim(tiny(), &vfs).expect("a reopen")).expect("a walk"), []);
}

#[test]
fn the_directory_is_synced_after_a_rename_before_anything_is_unlinked() {
    let run = |filter: Option<Filter>| {
        let vfs = SimVfs::new(1);
        vfs.set_filter(filter);
        vfs.record(true);
        filled(&vfs).close().expect("a close");
        drop(open_sim(tiny(), &vfs).expect("a reopen"));
        let mut trace = vfs.trace();
        trace.retain(|entry| !entry.skipped);
        trace
    };
    assert_eq!(renames_in_order(&run(None)).expect("all in order"), 2);
    // Without the sync that each of them is, it is no longer in order.
    for kind in [OpKind::SyncDir, OpKind::Sync] {
        let without: Filter =
            Arc::new(move |entry| if entry.kind == kind { Action::Skip } else { Action::Do });
        renames_in_order(&run(Some(without))).expect_err("a sync was taken away");
    }
}

/// Counts the renames of a trace, each to CURRENT, of a synced file, and followed by
/// a sync of the folder before anything is unlinked.
fn renames_in_order(trace: &[TraceEntry]) -> Result<usize, String> {
    let mut renames = 0;
    for (place, entry) in trace.iter().enumerate().filter(|(_, e)| e.kind == OpKind::Rename) {
        renames += 1;
        let target = entry.to.as_deref().expect("a target");
        assert_eq!(target, Path::new(DIR).join("CURRENT"));
        let behind = &trace[place + 1..];
        let synced = behind.iter().position(|e| e.kind == OpKind::SyncDir);
        let synced = synced.ok_or(format!("no sync of the folder behind {entry:?}"))?;
        if behind[..synced].iter().any(|e| e.kind == OpKind::Unlink) {
            return Err(format!("unlinked before the sync of the folder behind {entry:?}"));
        }
        let last =
            |kind| trace[..place].iter().rposition(|e| e.kind == kind && e.path == entry.path);
        let written = last(OpKind::Write).expect("what is renamed was written");
        if last(OpKind::Sync).is_none_or(|synced| synced < written) {
            return Err(format!("not synced before {entry:?}"));
        }
    }
    Ok(renames)
}

#[test]
fn a_manifest_is_not_appended_to_after_a_full_disk() {
    let fresh = || {
        let vfs = SimVfs::new(1);
        let db = filled(&vfs);
        db.put("k", "v").expect("a put");
        vfs.record(true);
        (vfs, db)
    };
    let of_manifest = |entry: &TraceEntry| entry.path.to_string_lossy().contains("MANIFEST-");
    let (vfs, db) = fresh();
    db.flush().expect("a flush");
    let mut writes = vfs.trace();
    writes.retain(|entry| entry.kind == OpKind::Write);
    let nth = 1 + writes.iter().position(of_manifest).expect("an edit") as u64;

    // Nothing of the line gets written, or half of it; then there is no room.
    for half in [false, true] {
        let (vfs, db) = fresh();
        let manifest = having(&vfs, "MANIFEST-")[0].clone();
        let before = vfs.read_raw(&manifest);
        let full = |nth| Fault::from_then_on(Some(OpKind::Write), nth, errno::ENOSPC);
        vfs.set_faults(match half {
            false => vec![full(nth)],
            true => vec![Fault::short(Some(OpKind::Write), nth), full(nth + 1)],
        });
        assert_eq!(kind(db.flush()), ErrorKind::DiskFull);
        vfs.set_faults(Vec::new());
        assert_eq!(vfs.read_raw(&manifest).len() > before.len(), half);
        let so_far = vfs.trace().len();
        db.put("k", "w").expect("a put");
        db.flush().expect("a flush with room");
        let trace = vfs.trace();
        let appended =
            trace[so_far..].iter().any(|e| e.kind == OpKind::Write && e.path == manifest);
        assert!(!appended, "the next edit goes into a new manifest");
        assert!(trace[so_far..].iter().any(of_manifest));
        assert_ne!(having(&vfs, "MANIFEST-")[0], manifest);
        let model = Model::of(&db).expect("a read");
        let db = open_sim(tiny(), &vfs.crash_now(CrashMode::Synced)).expect("an open");
        assert_eq!(Model::of(&db).expect("a read"), model);
    }
}

#[test]
fn files_are_not_deleted_after_a_failed_manifest_sync() {
    let fresh = || {
        let vfs = SimVfs::new(1);
        let db = filled(&vfs);
        for number in 0..30 {
            db.put(format!("key{number:02}"), "anew").expect("a put");
        }
        db.sync().expect("a sync");
        (vfs, db)
    };
    let (vfs, db) = fresh();
    let unlinks = vfs.calls_of(OpKind::Unlink);
    db.compact_range(..).expect("a compaction");
    settle(&db).expect("maintenance");
    assert!(vfs.calls_of(OpKind::Unlink) > unlinks, "otherwise its inputs are deleted");

    let (vfs, db) = fresh();
    let model = Model::of(&db).expect("a read");
    fail_on(&vfs, OpKind::Sync, "MANIFEST-", errno::EIO);
    let unlinks = vfs.calls_of(OpKind::Unlink);
    assert_eq!(kind(db.compact_range(..)), ErrorKind::Poisoned);
    vfs.set_filter(None);
    assert_eq!(kind(db.maintain()), ErrorKind::Poisoned);
    drop(db);
    assert_eq!(vfs.calls_of(OpKind::Unlink), unlinks);
    for mode in [CrashMode::Synced, CrashMode::Everything, CrashMode::Random { seed: 9 }] {
        let db = open_sim(tiny(), &vfs.crash_now(mode)).expect("an open");
        assert_eq!(Model::of(&db).expect("a read"), model, "{mode:?}");
    }
}

#[test]
fn corruption_in_the_middle_of_the_log_is_not_taken_for_a_tail() {
    for wal_io in [WalIo::Mapped, WalIo::Write] {
        let vfs = SimVfs::new(1);
        let options = tiny().memtable_bytes(64 << 10).wal_io(wal_io);
        let db = open_sim(options.clone(), &vfs).expect("a new database");
        for number in 0..60 {
            db.put(format!("key{number:02}"), [number + 1; 100]).expect("a put");
        }
        db.sync().expect("a sync");
        settle(&db).expect("maintenance");
        let mut found = 0;
        for log in having(&vfs, ".wal") {
            let bytes = vfs.read_raw(&log);
            for number in (0..60).step_by(4) {
                let Some(place) = bytes.windows(100).position(|w| w == [number + 1; 100]) else {
                    continue;
                };
                let copy = vfs.kill_now();
                copy.flip_bit(&log, place as u64 * 8 + 77);
                let error = open_sim(options.clone(), &copy).expect_err("a bad record");
                assert_eq!(error.kind(), ErrorKind::Corruption);
                assert!(error.to_string().contains("offset"), "{error}");
                found += 1;
            }
        }
        assert!(found >= 10, "{found}");
    }
}

#[test]
fn a_read_error_is_not_taken_for_the_end_of_input_in_a_compaction() {
    let fresh = || {
        let vfs = SimVfs::new(1);
        let options = tiny().table_io(TableIo::Read).level0_tables(60);
        let db = open_sim(options, &vfs).expect("a new database");
        for round in 0..3 {
            for number in 0..100 {
                db.put(format!("key{number:02}"), [round; 40]).expect("a put");
            }
            db.flush().expect("a flush");
            if round == 0 {
                // Many tables one behind the other, so that most are read on the way.
                db.compact_range(..).expect("a compaction");
            }
        }
        let model = Model::of(&db).expect("a read");
        (vfs, db, model)
    };
    let (vfs, db, _) = fresh();
    let before = vfs.calls_of(OpKind::Read);
    db.compact_range(..).expect("a compaction");
    let reads = vfs.calls_of(OpKind::Read) - before;
    assert!(reads > 10, "{reads} reads");
    let mut failed = 0;
    for nth in 1..=reads {
        let (vfs, db, model) = fresh();
        vfs.set_faults(vec![Fault::once(Some(OpKind::Read), nth, errno::EIO)]);
        let result = db.compact_range(..);
        failed += u32::from(result.is_err());
        if let Err(error) = result {
            assert_eq!(error.kind(), ErrorKind::Io, "{nth}: {error}");
        }
        vfs.set_faults(Vec::new());
        assert_eq!(Model::of(&db).expect("a read"), model, "read {nth}");
        db.compact_range(..).expect("the next compaction");
        assert_eq!(Model::of(&db).expect("a read"), model, "read {nth}");
        let db = open_sim(tiny(), &vfs.kill_now()).expect("an open");
        assert_eq!(Model::of(&db).expect("a read"), model, "read {nth}");
    }
    assert!(failed > reads as u32 / 2, "{failed} of {reads} failed");
}

#[test]
fn versions_that_a_snapshot_sees_are_not_dropped() {
    let vfs = SimVfs::new(1);
    let db = open_sim(tiny(), &vfs).expect("a new database");
    let mut held = Vec::new();
    for round in 0..12 {
        for number in 0..8 {
            let key = format!("key{number}");
            if (round + number) % 5 == 0 {
                db.delete(&key).expect("a delete");
            } else {
                db.put(&key, format!("{round}")).expect("a put");
            }
        }
        if round % 3 != 1 {
            held.push((db.snapshot().expect("a snapshot"), entries(&db).expect("a walk")));
        }
        if round % 4 == 3 {
            db.compact_range(..).expect("a compaction");
            settle(&db).expect("maintenance");
        }
    }
    db.compact_range(..).expect("a compaction");
    while !held.is_empty() {
        for (snapshot, expected) in &held {
            assert_eq!(&entries(snapshot).expect("a walk"), expected);
            for (key, value) in expected {
                assert_eq!(snapshot.get(key).expect("a get").as_deref(), Some(&value[..]));
            }
        }
        held.remove(held.len() / 2);
        db.compact_range(..).expect("a compaction");
    }
    let stats = db.stats().expect("stats");
    assert_eq!((stats.snapshots, stats.oldest_snapshot), (0, None));
}

#[test]
fn one_user_key_is_never_split_across_two_tables_of_a_level() {
    let vfs = SimVfs::new(1);
    let db = open_sim(tiny(), &vfs).expect("a new database");
    let mut held = Vec::new();
    for round in 0_u8..60 {
        db.put("hot", [round; 100]).expect("a put");
        db.put(format!("cold{:02}", round % 20), [round; 100]).expect("a put");
        held.push(db.snapshot().expect("a snapshot"));
        if round % 20 == 19 {
            db.compact_range(..).expect("a compaction");
        }
    }
    assert!(db.verify().expect("a verify").is_clean());
    let levels = db.stats().expect("stats").levels;
    let versions: u64 = held.len() as u64 * 100;
    assert!(versions > 4 << 10, "more than the tables' length");
    assert!(levels.iter().any(|level| level.level > 0 && level.tables > 1), "{levels:?}");
    for (round, snapshot) in held.iter().enumerate() {
        let value = snapshot.get("hot").expect("a get").expect("a value");
        assert_eq!(value, [round as u8; 100]);
        assert_eq!(snapshot.prefix("hot").expect("a walk").count(), 1);
    }
    let model = Model::of(&db).expect("a read");
    drop(held);
    db.compact_range(.."hot").expect("a compaction up to the key");
    db.compact_range("hot"..).expect("a compaction from the key");
    assert_eq!(Model::of(&db).expect("a read"), model);
}

#[test]
fn a_panic_of_the_caller_leaves_no_lock_poisoned() {
    let vfs = SimVfs::new(1);
    let db = filled(&vfs);
    let panicked = catch_unwind(AssertUnwindSafe(|| db.get_with("key01", |_| panic!("mine"))));
    assert!(panicked.is_err());
    let keys = ["key01", "key02"].iter().inspect(|key| {
        assert!(**key != "key02", "mine");
    });
    assert!(catch_unwind(AssertUnwindSafe(|| db.multi_get(keys))).is_err());
    let mut walk = db.iter().expect("a walk");
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        walk.next();
        panic!("mine");
    }));
    assert!(panicked.is_err());
    assert_eq!(walk.count(), 29);
    db.put("k", "v").expect("a put");
    db.compact_range(..).expect("a compaction");
    assert_eq!(db.get("key01").expect("a get").expect("a value"), b"value 1");
    db.close().expect("a close");
}

#[test]
fn a_panic_while_locks_are_held_leaves_none_poisoned() {
    for part in [".sst", "MANIFEST-"] {
        let vfs = SimVfs::new(1);
        let db = filled(&vfs);
        db.put("before", part).expect("a put");
        // From below: the engine is in the middle of a flush.
        vfs.set_filter(Some(Arc::new(move |entry| {
            assert!(!entry.path.to_string_lossy().contains(part), "mine");
            Action::Do
        })));
        assert!(catch_unwind(AssertUnwindSafe(|| db.flush())).is_err(), "{part}");
        vfs.set_filter(None);
        assert_eq!(db.get("before").expect("a get").expect("a value"), part.as_bytes());
        db.put("behind", part).expect("a put");
        assert_eq!(entries(&db).expect("a walk").len(), 32);
        db.flush().expect("a flush");
        db.compact_range(..).expect("a compaction");
        let model = Model::of(&db).expect("a read");
        db.close().expect("a close");
        let db = open_sim(tiny(), &vfs).expect("a reopen");
        assert_eq!(Model::of(&db).expect("a read"), model);
    }
}

#[test]
fn sequence_numbers_do_not_restart_after_recovery() {
    let vfs = SimVfs::new(1);
    let mut last = 0;
    let mut disk = vfs.clone();
    for life in 0..6 {
        let db = open_sim(tiny(), &disk).expect("an open");
        let found = db.stats().expect("stats").last_sequence;
        assert!(found >= last, "life {life}: {found} after {last}");
        if life > 0 {
            assert_eq!(db.get("k").expect("a get").expect("a value"), [life - 1]);
        }
        db.put("k", [life]).expect("a put");
        assert_eq!(db.get("k").expect("a get").expect("a value"), [life], "the newer one wins");
        if life % 3 == 1 {
            db.compact_range(..).expect("a compaction");
        }
        last = db.snapshot().expect("a snapshot").sequence();
        assert!(last > found);
        if life % 2 == 0 {
            disk = disk.kill_now();
        } else {
            db.close().expect("a close");
        }
    }
}

#[test]
fn the_error_of_a_tables_last_write_is_not_dropped() {
    let fresh = || {
        let vfs = SimVfs::new(1);
        let db = open_sim(tiny(), &vfs).expect("a new database");
        for number in 0..12 {
            db.put(format!("key{number:02}"), [number; 60]).expect("a put");
        }
        (vfs, db)
    };
    let (vfs, db) = fresh();
    vfs.record(true);
    db.flush().expect("a flush");
    let writes = |vfs: &SimVfs| {
        let trace = vfs.trace();
        trace.iter().filter(|e| e.kind == OpKind::Write && !e.range.is_empty()).count() as u64
    };
    let writes = writes(&vfs);
    let mut failed = 0;
    for nth in 1..=writes {
        let (vfs, db) = fresh();
        let model = Model::of(&db).expect("a read");
        vfs.set_faults(vec![Fault::once(Some(OpKind::Write), nth, errno::EIO)]);
        let flushed = db.flush();
        vfs.set_faults(Vec::new());
        // An edit that cannot be appended goes into a new manifest; all else fails.
        if let Err(error) = &flushed {
            assert_eq!(error.kind(), ErrorKind::Io, "{error}");
            failed += 1;
        }
        let db = open_sim(tiny(), &vfs.kill_now()).expect("an open");
        assert_eq!(Model::of(&db).expect("a read"), model, "write {nth}");
        assert!(db.verify().expect("a verify").is_clean(), "write {nth}");
    }
    assert_eq!(failed, writes - 1, "each write of the table");
}

#[test]
fn a_checkpoint_shares_no_live_log() {
    let vfs = SimVfs::new(1);
    let db = filled(&vfs);
    db.put("before", "it").expect("a put");
    vfs.record(true);
    db.checkpoint("/copy").expect("a checkpoint");
    let model = Model::of(&db).expect("a read");
    db.put("behind", "it").expect("a put");
    db.put("before", "no more").expect("a put");
    let mut links = vfs.trace();
    links.retain(|entry| entry.kind == OpKind::Link);
    assert!(!links.is_empty(), "tables are shared");
    for entry in links {
        assert!(entry.path.extension().is_some_and(|e| e == "sst"), "{entry:?}");
    }
    for mode in [CrashMode::Synced, CrashMode::Everything] {
        let disk = vfs.crash_now(mode);
        let copy =
            olive_core::internals::open_on(tiny(), Arc::new(disk), "/copy").expect("it opens");
        assert_eq!(Model::of(&copy).expect("a read"), model, "{mode:?}");
    }
}
