//! A damaged log under the lenient recovery modes, and a damaged block beside sound ones.
//! What the default makes of damage is proved in `tests/proof/bit_rot.rs`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use olive_core::internals::open_read_only_on;
use olive_core::internals::vfs::sim::SimVfs;
use olive_core::{ErrorKind, RecoveryMode};

use crate::support::{DIR, Random, open_sim, settle, tiny};

/// A small database, killed: tables on two levels, a manifest with edits, a log of
/// which all is promised.
fn small() -> SimVfs {
    let vfs = SimVfs::new(77);
    let db = open_sim(tiny().memtable_bytes(16 << 10), &vfs).expect("a new database");
    let users = db.keyspace("users").expect("a keyspace");
    for round in 0..2 {
        for number in 0..12 {
            let value = format!("value {round} {number} ").repeat(number % 4);
            db.put(format!("key{number:02}"), value).expect("a put");
        }
        users.put("1", "Ada").expect("a put");
        db.delete("key03").expect("a delete");
        db.flush().expect("a flush");
        if round == 0 {
            db.compact_range(..).expect("a compaction");
        }
    }
    db.put("only", "in the log").expect("a put");
    db.put("key05", "anew").expect("a put");
    db.delete("key06").expect("a delete");
    db.sync().expect("a sync");
    vfs.advance(std::time::Duration::from_secs(5));
    settle(&db).expect("maintenance");
    vfs.kill_now()
}

fn files(vfs: &SimVfs) -> Vec<PathBuf> {
    vfs.paths().into_iter().filter(|path| !path.ends_with("LOCK")).collect()
}

fn flip(vfs: &SimVfs, path: &Path, place: usize, random: &mut Random) {
    vfs.flip_bit(path, place as u64 * 8 + random.below(8));
}

#[test]
fn the_lenient_recovery_modes_never_panic_nor_make_entries_up() {
    let vfs = small();
    let log = files(&vfs).into_iter().find(|path| path.extension().is_some_and(|e| e == "wal"));
    let log = log.expect("a segment");
    let used = vfs.read_raw(&log).iter().rposition(|&b| b != 0).expect("records") + 1;
    let mut random = Random(6);
    for place in (0..used).step_by(3) {
        for mode in [RecoveryMode::PointInTime, RecoveryMode::Salvage] {
            let copy = vfs.kill_now();
            flip(&copy, &log, place, &mut random);
            match open_sim(tiny().recovery_mode(mode), &copy) {
                Ok(db) => {
                    let only = db.get("only").expect("a get");
                    assert!(only.is_none_or(|value| value == b"in the log"), "{place} {mode:?}");
                    let five = db.get("key05").expect("a get").expect("it is in a table");
                    let old = b"value 1 5 ";
                    assert!(five == b"anew" || five == old, "{place} {mode:?}: {five:?}");
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corruption, "{error}"),
            }
        }
    }
}

/// A block is read when something in it is asked for, and not for its neighbours' sake.
#[test]
fn a_damaged_block_is_an_error_for_its_own_keys_alone() {
    for settled in [false, true] {
        damaged_block(settled);
    }
}

/// In level 0, or each in a level where one table follows the other.
fn damaged_block(settled: bool) {
    let vfs = SimVfs::new(5);
    let options = tiny().memtable_bytes(64 << 10).table_bytes(64 << 10);
    let db = open_sim(options, &vfs).expect("a new database");
    let key = |number: usize| format!("key{number:03}");
    for part in [50..100, 0..50] {
        for number in part {
            db.put(key(number), [number as u8; 100]).expect("a put");
        }
        db.flush().expect("a flush");
    }
    if settled {
        settle(&db).expect("maintenance");
    }
    let levels = db.stats().expect("stats").levels;
    assert_eq!(levels[if settled { 6 } else { 0 }].tables, 2, "{levels:?}");
    db.close().expect("a close");
    let mut table = files(&vfs);
    table.retain(|path| path.extension().is_some_and(|ending| ending == "sst"));
    table.sort();
    // The first block of the table of the keys from 50 on.
    vfs.flip_bit(&table[0], 8 * 40);
    for db in [
        open_sim(tiny(), &vfs),
        open_read_only_on(tiny(), Arc::new(vfs.kill_now()), Path::new(DIR)),
    ] {
        let db = db.expect("nothing of the block is needed");
        assert_eq!(db.get(key(49)).expect("a get").expect("a value"), [49; 100]);
        let keys =
            |walk: olive_core::Iter| walk.collect::<Result<Vec<_>, _>>().map(|all| all.len());
        assert_eq!(keys(db.range(key(0)..key(50)).expect("a range")).expect("entries"), 50);
        assert_eq!(keys(db.prefix("key01").expect("a prefix")).expect("entries"), 10);
        assert_eq!(db.get(key(99)).expect("a get").expect("a value"), [99; 100]);
        for error in [
            db.get(key(50)).expect_err("a damaged block"),
            db.range(key(0)..=key(50)).expect("a range").find_map(Result::err).expect("an error"),
            db.iter().expect("a walk").find_map(Result::err).expect("an error"),
        ] {
            assert_eq!(error.kind(), ErrorKind::Corruption);
            assert!(error.to_string().contains(&*table[0].file_name().unwrap().to_string_lossy()));
        }
    }
}
