//! Space comes back: from drops, deletes, old versions and files that nothing holds.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use olive_core::internals::vfs::sim::{CrashMode, OpKind, SimVfs, TraceEntry};
use olive_core::{Db, Maintenance, Options, WalIo};

use crate::support::{Scratch, open_sim, settle, tiny};

fn files(dir: &Path, ending: &str) -> Vec<String> {
    std::fs::read_dir(dir)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(ending))
        .collect()
}

fn allocated_bytes(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).expect("a folder");
    files.map(|entry| entry.expect("an entry").metadata().expect("a file").blocks() * 512).sum()
}

#[test]
fn an_empty_database_takes_less_than_a_mebibyte() {
    let scratch = Scratch::new();
    let db = Options::default().open(scratch.path()).expect("a new database");
    std::thread::sleep(Duration::from_millis(100));
    assert!(allocated_bytes(&scratch.path()) < 1 << 20);
    db.put("k", "v").expect("a put");
    std::thread::sleep(Duration::from_millis(100));
    assert!(allocated_bytes(&scratch.path()) < 1 << 20);
    db.close().expect("a close");
    assert!(allocated_bytes(&scratch.path()) < 1 << 20);
}

#[test]
fn a_dropped_keyspace_gives_its_space_back_by_itself() {
    for maintenance in [Maintenance::Manual, Maintenance::Threads] {
        let scratch = Scratch::new();
        let options = Options::default().maintenance(maintenance).memtable_bytes(256 << 10);
        let db = options.open(scratch.path()).expect("a new database");
        let large = db.keyspace("large").expect("a keyspace");
        for number in 0..2000 {
            large.put(format!("k{number}"), [1; 1000]).expect("a put");
        }
        db.put("kept", "v").expect("a put");
        db.keyspace("behind").expect("a keyspace").put("kept", "w").expect("a put");
        db.flush().expect("a flush");
        assert!(db.stats().expect("stats").table_bytes > 2_000_000);
        db.drop_keyspace("large").expect("a drop");
        let mut left = 0;
        for _ in 0..300 {
            if maintenance == Maintenance::Manual {
                settle(&db).expect("maintenance");
            }
            left = db.stats().expect("stats").table_bytes;
            if left < 100_000 {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(left < 100_000, "{maintenance:?}: {left} bytes are left");
        db.compact_range(..).expect("a compaction");
        assert_eq!(db.get("kept").expect("a get").expect("a value"), b"v");
    }
}

/// None of them is an eighth of a table, and all are most of it; and others lie between.
#[test]
fn many_small_dropped_keyspaces_give_their_space_back_together() {
    for kept_each in [1000, 10] {
        let scratch = Scratch::new();
        let options = Options::default().maintenance(Maintenance::Manual);
        let db = options.open(scratch.path()).expect("a new database");
        let names: Vec<String> = (0..60).map(|number| format!("keyspace {number}")).collect();
        for name in &names {
            let keyspace = db.keyspace(name).expect("a keyspace");
            for number in 0..200_u32 {
                keyspace.put(number.to_be_bytes(), [1; 200]).expect("a put");
            }
        }
        db.put("kept", "v").expect("a put");
        db.flush().expect("a flush");
        settle(&db).expect("maintenance");
        assert!(db.stats().expect("stats").table_bytes > 2_000_000);
        let is_kept = |number: usize| number % kept_each == 5;
        for (number, name) in names.iter().enumerate() {
            if !is_kept(number) {
                db.drop_keyspace(name).expect("a drop");
            }
        }
        settle(&db).expect("maintenance");
        let left = db.stats().expect("stats").table_bytes;
        let kept = (0..60).filter(|&number| is_kept(number)).count() as u64;
        assert!(left < kept * 60_000 + 10_000, "{left} bytes are left of {kept} keyspaces");
        assert_eq!(db.get("kept").expect("a get").expect("a value"), b"v");
        for (number, name) in names.iter().enumerate().filter(|(number, _)| is_kept(*number)) {
            let keyspace = db.keyspace(name).expect("a keyspace");
            assert_eq!(keyspace.iter().expect("a walk").count(), 200, "{number}");
        }
        let compactions = db.stats().expect("stats").compactions;
        settle(&db).expect("maintenance");
        assert_eq!(db.stats().expect("stats").compactions, compactions, "it has come to rest");
    }
}

/// A table was written anew for one of them and then for the other, for ever: where
/// blocks end with keyspaces, each seems to have some of it left.
#[test]
fn after_dropped_keyspaces_that_share_a_table_maintenance_comes_to_rest() {
    for first in [0, 1] {
        let scratch = Scratch::new();
        let options = tiny().memtable_bytes(64 << 10).table_bytes(64 << 10);
        let db = options.open(scratch.path()).expect("a new database");
        db.put("kept", [1; 900]).expect("a put");
        for name in ["a", "b", "c", "d", "e"] {
            db.keyspace(name).expect("a keyspace").put("k", [2; 900]).expect("a put");
        }
        db.flush().expect("a flush");
        for name in ["a", "b", "c", "d", "e"].iter().skip(first).step_by(2) {
            assert!(db.drop_keyspace(name).expect("a drop"));
        }
        settle(&db).expect("maintenance");
        let compactions = db.stats().expect("stats").compactions;
        assert!((1..10).contains(&compactions), "{compactions}");
        let entries = db.verify().expect("a verify").entries;
        assert!(entries < 20, "{entries} entries left");
        assert_eq!(db.get("kept").expect("a get").expect("a value"), [1; 900]);
    }
}

#[test]
fn what_was_deleted_and_compacted_leaves_nothing() {
    let scratch = Scratch::new();
    let db = Options::default().memtable_bytes(1 << 20).open(scratch.path()).expect("a database");
    for number in 0..20_000 {
        db.put(format!("k{number:06}"), [1; 200]).expect("a put");
    }
    db.compact_range(..).expect("a compaction");
    assert!(db.stats().expect("stats").table_bytes > 4_000_000);
    let snapshot = db.snapshot().expect("a snapshot");
    for number in 0..20_000 {
        db.delete(format!("k{number:06}")).expect("a delete");
    }
    db.compact_range(..).expect("a compaction");
    assert!(db.stats().expect("stats").table_bytes > 4_000_000, "a snapshot holds it");
    assert_eq!(snapshot.iter().expect("a walk").count(), 20_000);
    drop(snapshot);
    db.compact_range(..).expect("a compaction");
    let left = db.stats().expect("stats").table_bytes;
    assert!(left < 10_000, "{left} bytes are left");
    assert_eq!(db.iter().expect("a walk").count(), 0);
    let on_disk: u64 = files(&scratch.path(), ".sst")
        .iter()
        .map(|name| std::fs::metadata(scratch.path().join(name)).expect("a file").len())
        .sum();
    assert!(on_disk < 1_000_000, "{on_disk} bytes of tables are on disk");
}

#[test]
fn deleted_entries_give_their_space_back_by_themselves() {
    for (is_deleted, kept) in
        [(|n| n % 10 > 0, 2_000), (|n| n % 3 > 0, 6_667), (|n| n < 10_000, 10_000), (|_| true, 0)]
            as [(fn(u32) -> bool, u64); 4]
    {
        let scratch = Scratch::new();
        let options = Options::default().maintenance(Maintenance::Manual);
        let db = options.open(scratch.path()).expect("a new database");
        for number in 0..20_000 {
            db.put(format!("k{number:06}"), [1; 200]).expect("a put");
        }
        db.compact_range(..).expect("a compaction");
        let before = db.stats().expect("stats").table_bytes;
        let snapshot = db.snapshot().expect("a snapshot");
        for number in (0..20_000).filter(|&number| is_deleted(number)) {
            db.delete(format!("k{number:06}")).expect("a delete");
        }
        db.flush().expect("a flush");
        settle(&db).expect("maintenance");
        assert!(db.stats().expect("stats").table_bytes > before, "a snapshot holds it");
        drop(snapshot);
        settle(&db).expect("maintenance");
        let left = db.stats().expect("stats").table_bytes;
        assert!(left <= before * kept / 20_000 + 10_000, "{left} of {before}, {kept} kept");
        assert_eq!(db.iter().expect("a walk").count() as u64, kept);
        let report = db.verify().expect("a verify");
        assert!(report.damage.is_empty() && report.entries == kept, "{report:?}");
        // And what comes later is compacted as ever.
        db.put("k000000", "again").expect("a put");
        db.compact_range(..).expect("a compaction");
        assert_eq!(db.get("k000000").expect("a get").expect("a value"), b"again");
    }
}

#[test]
fn tombstones_that_a_snapshot_kept_in_the_last_level_go_after_it() {
    let scratch = Scratch::new();
    let db = tiny().open(scratch.path()).expect("a new database");
    for number in 0..200 {
        db.put(format!("k{number:06}"), [1; 20]).expect("a put");
    }
    let snapshot = db.snapshot().expect("a snapshot");
    for number in 0..150 {
        db.delete(format!("k{number:06}")).expect("a delete");
    }
    db.compact_range(..).expect("a compaction");
    settle(&db).expect("maintenance");
    assert_eq!(db.verify().expect("a verify").entries, 350);
    assert_eq!(snapshot.iter().expect("a walk").count(), 200);
    drop(snapshot);
    settle(&db).expect("maintenance");
    assert!(db.verify().expect("a verify").entries < 80);
    assert_eq!(db.iter().expect("a walk").count(), 50);
}

#[test]
fn overwritten_versions_go_without_being_asked() {
    let scratch = Scratch::new();
    let db = tiny().open(scratch.path()).expect("a new database");
    for round in 0..60_u32 {
        for number in 0..20 {
            db.put(format!("k{number:02}"), round.to_le_bytes().repeat(10)).expect("a put");
        }
        settle(&db).expect("maintenance");
    }
    let stats = db.stats().expect("stats");
    assert!(stats.table_bytes < 40_000, "{} bytes for 20 entries", stats.table_bytes);
    assert!(files(&scratch.path(), ".wal").len() <= 4);
    assert_eq!(files(&scratch.path(), "").iter().filter(|n| n.starts_with("MANIFEST")).count(), 1);
}

#[test]
fn a_flushed_segment_becomes_the_next_one_and_goes_once_nothing_is_written() {
    let sim = SimVfs::new(1);
    let options = tiny().memtable_bytes(8 << 10).wal_segment_bytes_max(16 << 10);
    let db = open_sim(options.clone(), &sim).expect("a new database");
    sim.record(true);
    let segments = || sim.paths().iter().filter(|path| is_segment(path)).count();
    let mut number = 0_u64;
    for _ in 0..60 {
        for _ in 0..20 {
            db.put(format!("k{number:06}"), [number as u8; 200]).expect("a put");
            number += 1;
        }
        // Not until all is done: at rest, no spare is kept.
        for _ in 0..3 {
            db.maintain().expect("maintenance");
        }
        assert!(segments() <= 5, "{} at once", segments());
        let bytes = db.stats().expect("stats").wal_bytes;
        assert!(bytes <= segments() as u64 * (16 << 10), "{bytes} of {}", segments());
    }
    let trace = sim.trace();
    let again = trace.iter().filter(|entry| entry.to.as_deref().is_some_and(is_segment)).count();
    assert!(again > 5, "{again} were used again");
    settle(&db).expect("maintenance");
    assert!(segments() <= 2, "one in use, one prepared");
    for n in 0..number {
        let value = db.get(format!("k{n:06}")).expect("a get").expect("every key is there");
        assert_eq!(&*value, [n as u8; 200]);
    }
    let killed = sim.kill_now();
    let found = open_sim(options, &killed).expect("it opens again");
    assert_eq!(found.iter().expect("a walk").count() as u64, number);
    db.close().expect("a close");
    assert_eq!(segments(), 0);
}

/// What was done to the segments that so many records of `len` bytes went into: how many
/// there were, and of these, how many were zeroed and stored into.
fn segments_of(db: &Db, sim: &SimVfs, len: usize, records: u32) -> (usize, usize, usize) {
    let from = sim.mutations();
    for number in 0..records {
        db.put(number.to_be_bytes(), vec![len as u8; len]).expect("a put");
        if len > 16 << 10 || number % 20 == 0 {
            settle(db).expect("maintenance");
        }
    }
    let trace: Vec<_> = sim.trace().into_iter().filter(|entry| entry.number > from).collect();
    let with = |is: &dyn Fn(&TraceEntry) -> bool| {
        let paths = trace.iter().filter(|entry| is_segment(&entry.path) && is(entry));
        paths.map(|entry| &entry.path).collect::<BTreeSet<_>>().len()
    };
    let segments = with(&|entry| entry.kind == OpKind::Create);
    let zeroed = with(&|entry| entry.kind == OpKind::Write && entry.range == (0..16 << 10));
    (segments, zeroed, with(&|entry| entry.kind == OpKind::Store))
}

#[test]
fn segments_for_large_records_are_not_zeroed_and_written() {
    let sim = SimVfs::new(1);
    let options = tiny().wal_segment_bytes_max(16 << 10).wal_io(WalIo::Mapped);
    let options = options.wal_mapped_record_bytes_max(400);
    let db = open_sim(options.clone(), &sim).expect("a new database");
    sim.record(true);
    let (_, zeroed, stored) = segments_of(&db, &sim, 200, 400);
    assert!(zeroed >= 5 && stored >= 5, "small: {zeroed} zeroed, {stored} stored into");
    // The two that were there before anything large came are what they are.
    let (large, zeroed, stored) = segments_of(&db, &sim, 600, 400);
    assert!(large > 10 && zeroed <= 2 && stored <= 3, "{large}, {zeroed}, {stored}");
    let (_, zeroed, stored) = segments_of(&db, &sim, 200, 400);
    assert!(zeroed >= 3 && stored >= 3, "small again: {zeroed} zeroed, {stored} stored into");
    // Each has a segment of its own, behind one that was prepared and is too short.
    let (large, zeroed, stored) = segments_of(&db, &sim, 20_000, 20);
    assert!(large > 30 && zeroed <= 2 && stored <= 3, "{large}, {zeroed}, {stored}");
    for image in [sim.kill_now(), sim.crash_now(CrashMode::Synced)] {
        let db = open_sim(options.clone(), &image).expect("it opens again");
        assert_eq!(db.iter().expect("a walk").count(), 400);
    }
}

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "wal")
}

#[test]
fn files_go_when_nothing_holds_them() {
    let scratch = Scratch::new();
    let db = tiny().open(scratch.path()).expect("a new database");
    for number in 0..50 {
        db.put(format!("k{number:02}"), [1; 600]).expect("a put");
    }
    db.compact_range(..).expect("a compaction");
    settle(&db).expect("maintenance");
    let live = |db: &Db| -> usize {
        db.stats().expect("stats").levels.iter().map(|level| level.tables as usize).sum()
    };
    assert_eq!(files(&scratch.path(), ".sst").len(), live(&db));
    let value = db.get("k10").expect("a get").expect("a value");
    let mut walk = db.iter().expect("a walk");
    for number in 0..50 {
        db.delete(format!("k{number:02}")).expect("a delete");
    }
    db.compact_range(..).expect("a compaction");
    settle(&db).expect("maintenance");
    assert!(db.stats().expect("stats").obsolete_bytes > 0, "a walk and a value hold tables");
    assert!(walk.all(|entry| entry.is_ok_and(|(_, value)| value == [1; 600])));
    drop(walk);
    settle(&db).expect("maintenance");
    let held = files(&scratch.path(), ".sst").len() - live(&db);
    assert_eq!(held, 1, "one table is held by one value");
    assert_eq!(value, [1; 600]);
    drop(value);
    settle(&db).expect("maintenance");
    assert_eq!(files(&scratch.path(), ".sst").len(), live(&db));
    assert_eq!(db.stats().expect("stats").obsolete_bytes, 0);
}

#[test]
fn a_table_held_at_close_goes_at_the_next_open() {
    let scratch = Scratch::new();
    let db = tiny().open(scratch.path()).expect("a new database");
    db.put("k", [1; 600]).expect("a put");
    db.flush().expect("a flush");
    let value = db.get("k").expect("a get").expect("a value");
    db.delete("k").expect("a delete");
    db.compact_range(..).expect("a compaction");
    db.close().expect("a close");
    assert_eq!(value, [1; 600]);
    let db = tiny().open(scratch.path()).expect("a reopen");
    assert_eq!(files(&scratch.path(), ".sst"), Vec::<String>::new());
    assert_eq!(value, [1; 600], "a mapping outlives its name");
    drop(db);
}

#[test]
fn a_keyspace_dropped_before_a_reopen_gives_its_space_back() {
    let scratch = Scratch::new();
    let options = || Options::default().maintenance(Maintenance::Manual);
    let db = options().open(scratch.path()).expect("a new database");
    let large = db.keyspace("large").expect("a keyspace");
    let behind = db.keyspace("behind").expect("a keyspace");
    db.put("before", "v").expect("a put");
    behind.put("k", "w").expect("a put");
    for number in 0..500 {
        large.put(format!("k{number}"), [1; 1000]).expect("a put");
    }
    db.flush().expect("a flush");
    let snapshot = db.snapshot().expect("a snapshot");
    db.drop_keyspace("large").expect("a drop");
    settle(&db).expect("maintenance");
    assert!(db.stats().expect("stats").table_bytes > 400_000, "a snapshot reads it");
    let then = snapshot.keyspace("large").expect("a look").expect("it was there");
    assert_eq!(then.iter().expect("a walk").count(), 500);
    db.close().expect("a close");
    let db = options().open(scratch.path()).expect("a reopen");
    settle(&db).expect("maintenance");
    let left = db.stats().expect("stats").table_bytes;
    assert!(left < 20_000, "{left} bytes are left");
    assert_eq!(db.get("before").expect("a get").expect("a value"), b"v");
    assert_eq!(db.keyspace("behind").expect("k").get("k").expect("a get").expect("v"), b"w");
}
