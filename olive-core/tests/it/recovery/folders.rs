//! Folders in which something is missing, left over, newer or from elsewhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use olive_core::internals::open_read_only_on;
use olive_core::internals::vfs::sim::{Fault, OpKind, SimVfs, errno};
use olive_core::{Db, ErrorKind, Options, RecoveryMode, Result};

use crate::support::{DIR, Model, kind, open_sim, settle, tiny};

fn names(vfs: &SimVfs, ending: &str) -> Vec<PathBuf> {
    let mut paths = vfs.paths();
    paths.retain(|path| path.to_string_lossy().contains(ending));
    paths
}

/// A database with tables and records in its log, not closed; and what it holds.
fn filled(seed: u64) -> (SimVfs, Db, Model) {
    let vfs = SimVfs::new(seed);
    let db = open_sim(tiny(), &vfs).expect("a new database");
    for round in 0..3 {
        for number in 0..20 {
            db.put(format!("key{number:02}"), format!("{seed} {round} {number}")).expect("a put");
        }
        db.flush().expect("a flush");
    }
    db.put("in the log", "only").expect("a put");
    db.put("and", "another").expect("a put");
    let model = Model::of(&db).expect("a read");
    (vfs, db, model)
}

fn killed(seed: u64) -> (SimVfs, Model) {
    let (vfs, _db, model) = filled(seed);
    (vfs.kill_now(), model)
}

fn read_only(options: Options, vfs: &SimVfs) -> Result<Db> {
    open_read_only_on(options, Arc::new(vfs.clone()), DIR)
}

#[test]
fn a_clean_close_leaves_no_segment_and_opens_the_same() {
    let (vfs, db, model) = filled(1);
    db.close().expect("a close");
    assert_eq!(names(&vfs, ".wal"), Vec::<PathBuf>::new());
    assert_eq!(names(&vfs, ".tmp"), Vec::<PathBuf>::new());
    let db = open_sim(tiny(), &vfs).expect("a reopen");
    assert_eq!(Model::of(&db).expect("a read"), model);
    drop(db);
    assert_eq!(names(&vfs, ".wal"), Vec::<PathBuf>::new());
}

#[test]
fn a_later_segment_with_records_voids_the_clean_mark() {
    let (vfs, db, _) = filled(2);
    db.close().expect("a close");
    // An open that was killed before its manifest was in force left an empty
    // segment; one killed after it left records.
    let db = open_sim(tiny(), &vfs).expect("a reopen");
    db.put("later", "than the mark").expect("a put");
    let model = Model::of(&db).expect("a read");
    let db = open_sim(tiny(), &vfs.kill_now()).expect("an open after a kill");
    assert_eq!(Model::of(&db).expect("a read"), model);
}

#[test]
fn a_read_only_open_writes_nothing_beside_a_writer_or_after_a_kill() {
    let (vfs, db, model) = filled(3);
    for disk in [vfs.clone(), vfs.kill_now()] {
        let before = (disk.mutations(), disk.image_hash());
        let reader = read_only(tiny(), &disk).expect("a read-only open");
        assert_eq!(Model::of(&reader).expect("a read"), model);
        assert!(reader.verify().expect("a verify").is_clean());
        assert_eq!(kind(reader.put("k", "v")), ErrorKind::ReadOnly);
        assert_eq!(kind(reader.keyspace("new")), ErrorKind::ReadOnly);
        assert_eq!(kind(reader.flush()), ErrorKind::ReadOnly);
        assert_eq!(kind(reader.sync()), ErrorKind::ReadOnly);
        assert_eq!(kind(reader.compact_range(..)), ErrorKind::ReadOnly);
        assert_eq!(kind(reader.maintain()), ErrorKind::ReadOnly);
        assert!(!reader.health().expect("health").writable);
        reader.close().expect("a close");
        assert_eq!((disk.mutations(), disk.image_hash()), before);
    }
    db.put("the writer", "goes on").expect("a put");
}

#[test]
fn a_read_only_handle_shows_its_moment_while_the_writer_removes_its_tables() {
    let (vfs, db, model) = filled(4);
    let reader = read_only(tiny(), &vfs).expect("a read-only open");
    for number in 0..20 {
        db.delete(format!("key{number:02}")).expect("a delete");
    }
    db.compact_range(..).expect("a compaction");
    settle(&db).expect("maintenance");
    assert_eq!(Model::of(&reader).expect("a read"), model);
}

#[test]
fn tables_or_records_without_a_current_are_corruption() {
    let (vfs, model) = killed(5);
    let current = Path::new(DIR).join("CURRENT");
    let kept = vfs.read_raw(&current);
    vfs.remove_raw(&current);
    let before = vfs.image_hash();
    assert_eq!(kind(open_sim(tiny(), &vfs)), ErrorKind::Corruption);
    assert_eq!(vfs.image_hash(), before, "nothing is changed");
    for table in names(&vfs, ".sst") {
        vfs.remove_raw(&table);
    }
    assert_eq!(kind(open_sim(tiny(), &vfs)), ErrorKind::Corruption);
    let (vfs, _) = (killed(5).0, model);
    vfs.write_raw(&current, &kept);
    assert!(open_sim(tiny(), &vfs).is_ok());
}

#[test]
fn an_empty_segment_without_a_current_is_an_unfinished_creation() {
    let whole = SimVfs::new(6);
    whole.record(true);
    drop(open_sim(tiny(), &whole).expect("a new database"));
    for at in 0..=whole.mutations() {
        let killed = whole.kill_at(at);
        let db = open_sim(tiny(), &killed).unwrap_or_else(|e| panic!("mutation {at}: {e:?}"));
        assert_eq!(Model::of(&db).expect("a read"), Model::default());
        db.put("k", "v").expect("a put");
    }
}

#[test]
fn a_current_that_names_nothing_whole_is_corruption() {
    let current = Path::new(DIR).join("CURRENT");
    let texts: [&[u8]; 9] = [
        b"MANIFEST-999999\n",
        b"",
        b"\n",
        b"MANIFEST-000002",
        b"MANIFEST-2\n",
        b"LOCK\n",
        b"../other\n",
        b"\xFF\xFE\n",
        &[b'x'; 5000],
    ];
    for text in texts {
        let (vfs, _) = killed(7);
        vfs.write_raw(&current, text);
        let before = vfs.image_hash();
        let error = open_sim(tiny(), &vfs).expect_err("CURRENT is bad");
        assert_eq!(error.kind(), ErrorKind::Corruption, "{text:?}: {error}");
        let named = if text == texts[0] { "MANIFEST-999999" } else { "CURRENT" };
        assert!(error.to_string().contains(named), "{text:?}: {error}");
        assert_eq!(vfs.image_hash(), before, "nothing is changed");
        assert_eq!(kind(read_only(tiny(), &vfs)), ErrorKind::Corruption);
    }
}

#[test]
fn a_missing_table_or_segment_is_corruption_by_name() {
    let count = |ending: &str| names(&killed(8).0, ending).len();
    assert!(count(".sst") > 1 && count(".wal") > 0);
    for ending in [".sst", ".wal"] {
        for nth in 0..count(ending) {
            let (vfs, model) = killed(8);
            let path = names(&vfs, ending)[nth].clone();
            vfs.remove_raw(&path);
            match open_sim(tiny(), &vfs) {
                // A prepared segment, or one that was to go, holds nothing.
                Ok(db) => assert_eq!(Model::of(&db).expect("a read"), model, "{path:?}"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
                    let name = path.file_name().expect("a name").to_string_lossy();
                    assert!(error.to_string().contains(&*name), "{error}");
                }
            }
        }
    }
}

#[test]
fn a_foreign_table_of_the_same_length_is_found() {
    let mut swapped = 0;
    let (other, _) = killed(8);
    for path in names(&other, ".sst") {
        let (vfs, model) = killed(9);
        let foreign = other.read_raw(&path);
        for place in names(&vfs, ".sst") {
            if vfs.read_raw(&place).len() != foreign.len() {
                continue;
            }
            let vfs = vfs.kill_now();
            vfs.write_raw(&place, &foreign);
            swapped += 1;
            assert!(read_only(tiny(), &vfs).is_err_and(|e| e.kind() == ErrorKind::Corruption));
            let found = open_sim(tiny(), &vfs).and_then(|db| {
                let report = db.verify().expect("a verify");
                assert!(!report.is_clean());
                Model::of(&db)
            });
            match found {
                Ok(found) => assert_eq!(found, model),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corruption, "{error}"),
            }
        }
    }
    assert!(swapped > 0, "no table was of another's length");
}

#[test]
fn recovery_modes_cut_or_skip_what_strict_refuses() {
    let vfs = SimVfs::new(10);
    let db = open_sim(Options::default().maintenance(olive_core::Maintenance::Manual), &vfs)
        .expect("a new database");
    for number in 0..30 {
        db.put(format!("key{number:02}"), [number; 40]).expect("a put");
    }
    db.sync().expect("a sync");
    settle(&db).expect("maintenance");
    let vfs = vfs.kill_now();
    let log = names(&vfs, ".wal")[0].clone();
    let bytes = vfs.read_raw(&log);
    let middle = bytes.windows(40).position(|w| w == [15; 40]).expect("the value in the log");
    vfs.flip_bit(&log, middle as u64 * 8 + 3);
    let open = |mode| open_sim(tiny().recovery_mode(mode), &vfs.kill_now());
    let error = open(RecoveryMode::Strict).expect_err("a bad record before a promise");
    assert_eq!(error.kind(), ErrorKind::Corruption);
    assert!(error.to_string().contains(".wal"), "{error}");
    let cut = open(RecoveryMode::PointInTime).expect("a cut");
    let health = cut.health().expect("health");
    assert!(!health.recovery_dropped.is_empty());
    assert_eq!(cut.iter().expect("a walk").count(), 15);
    let salvaged = open(RecoveryMode::Salvage).expect("a salvage");
    assert!(!salvaged.health().expect("health").recovery_dropped.is_empty());
    assert_eq!(salvaged.iter().expect("a walk").count(), 29);
    assert!(salvaged.get("key15").expect("a get").is_none());
}

#[test]
fn the_recovery_listener_hears_of_the_end() {
    let (vfs, _) = killed(11);
    let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = Arc::clone(&heard);
    let options = tiny().recovery_listener(move |progress| {
        sink.lock().expect("a lock").push(progress.clone());
    });
    drop(open_sim(options, &vfs).expect("an open"));
    let heard = heard.lock().expect("a lock");
    let last = heard.last().expect("a report");
    assert!(last.done && last.records >= 2, "{last:?}");
    assert!(last.bytes_read <= last.bytes_total && last.dropped.is_empty());
}

#[test]
fn what_cannot_be_written_is_named_the_lock_or_the_folder() {
    let (there, _) = killed(13);
    let missing = there.fork();
    missing.remove_raw(&Path::new(DIR).join("LOCK"));
    for (vfs, text) in [
        (there, "the file /db/LOCK cannot be written"),
        (missing, "the folder /db cannot be written"),
    ] {
        vfs.set_faults(vec![Fault::once(Some(OpKind::Lock), 1, errno::EACCES)]);
        let error = open_sim(tiny(), &vfs).expect_err("the lock is refused");
        assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[test]
fn orphans_of_a_crash_are_removed_at_open_and_strangers_are_left() {
    let (vfs, model) = killed(12);
    let orphans = ["900000.sst", "900001.wal", "MANIFEST-900002", "CURRENT.tmp"];
    for name in orphans {
        vfs.write_raw(&Path::new(DIR).join(name), b"half of something");
    }
    vfs.write_raw(&Path::new(DIR).join("notes.txt"), b"mine");
    match open_sim(tiny(), &vfs) {
        Ok(db) => {
            assert_eq!(Model::of(&db).expect("a read"), model);
            for name in orphans {
                assert!(names(&vfs, name).is_empty(), "{name} is left");
            }
            assert_eq!(vfs.read_raw(&Path::new(DIR).join("notes.txt")), b"mine");
            db.put("k", "v").expect("a put");
            db.flush().expect("a flush");
            let numbers = names(&vfs, ".sst");
            let is_new = |path: &PathBuf| path.to_string_lossy().contains("9000");
            assert!(numbers.iter().any(is_new), "new numbers are above all that stood there");
        }
        Err(error) => panic!("{error:?}"),
    }
}
