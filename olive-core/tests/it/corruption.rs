//! Damaged files: detected and named, or the same answers; never a panic, never a
//! wrong answer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use olive_core::internals::open_read_only_on;
use olive_core::internals::vfs::sim::SimVfs;
use olive_core::{Db, ErrorKind, Options, RecoveryMode, Result, TableIo};

use crate::support::{DIR, Model, Random, is_damage, open_sim, settle, tiny};

/// Every how many bytes a bit is flipped, or a length is cut to.
const STRIDE: usize = 7;

/// A small database, killed: tables on two levels, a manifest with edits, a log of
/// which all is promised.
fn small(table_io: TableIo) -> (SimVfs, Model) {
    let vfs = SimVfs::new(77);
    let options = tiny().memtable_bytes(16 << 10).table_io(table_io);
    let db = open_sim(options, &vfs).expect("a new database");
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
    let model = Model::of(&db).expect("a read");
    (vfs.kill_now(), model)
}

fn files(vfs: &SimVfs) -> Vec<PathBuf> {
    vfs.paths().into_iter().filter(|path| !path.ends_with("LOCK")).collect()
}

/// What a reader of everything comes to; `verify` must agree with the reads.
fn read_all(db: &Db) -> Result<Model> {
    let report = db.verify()?;
    let found = Model::of(db);
    if let Err(error) = &found {
        assert!(is_damage(error), "{error:?}");
        assert!(!report.is_clean(), "verify did not find what a read did: {error:?}");
    }
    if let Some(damage) = report.damage.first() {
        assert!(damage.contains(DIR), "the file is named: {damage}");
    }
    found
}

/// Opens a damaged disk for writing or reading, and reads everything.
fn check(vfs: &SimVfs, options: Options, read_only: bool, model: &Model, what: &str) -> bool {
    let opened = if read_only {
        open_read_only_on(options, Arc::new(vfs.clone()), DIR)
    } else {
        open_sim(options, vfs)
    };
    match opened.and_then(|db| read_all(&db)) {
        Ok(found) => {
            assert_eq!(&found, model, "{what}: a wrong answer");
            false
        }
        Err(error) => {
            assert!(is_damage(&error), "{what}: {error:?}");
            assert!(error.to_string().contains(DIR), "{what}: no file is named: {error}");
            true
        }
    }
}

fn damage_everywhere(
    table_io: TableIo,
    damage: impl Fn(&SimVfs, &Path, usize, &mut Random),
    least_detected: usize,
) {
    let (vfs, model) = small(table_io);
    let options = tiny().table_io(table_io);
    let mut random = Random(5);
    let (mut detected, mut tried) = (0, 0);
    for path in files(&vfs) {
        let bytes = vfs.read_raw(&path);
        // Behind the records a segment is zeros: a few of those are enough.
        let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        let places = (0..used).step_by(STRIDE).chain((used..bytes.len()).step_by(997));
        for place in places {
            let copy = vfs.kill_now();
            damage(&copy, &path, place, &mut random);
            let what = format!("{} at {place}", path.display());
            detected += usize::from(check(&copy, options.clone(), place % 3 == 0, &model, &what));
            tried += 1;
        }
    }
    assert!(tried > 300, "{tried} are too few");
    assert!(detected > tried * least_detected / 100, "{detected} of {tried} were detected");
}

fn flip(vfs: &SimVfs, path: &Path, place: usize, random: &mut Random) {
    vfs.flip_bit(path, place as u64 * 8 + random.below(8));
}

fn cut(vfs: &SimVfs, path: &Path, place: usize, _: &mut Random) {
    vfs.truncate_raw(path, place as u64);
}

#[test]
fn a_flipped_bit_is_found_or_does_no_harm_mapped() {
    damage_everywhere(TableIo::Mapped, flip, 50);
}

#[test]
fn a_flipped_bit_is_found_or_does_no_harm_read() {
    damage_everywhere(TableIo::Read, flip, 50);
}

#[test]
fn a_cut_file_is_found_or_does_no_harm() {
    damage_everywhere(TableIo::Mapped, cut, 80);
    damage_everywhere(TableIo::Read, cut, 80);
}

#[test]
fn bytes_of_garbage_are_found_or_do_no_harm() {
    // Eight at their place lie in one record: past the log's last promise, which has
    // a record of its own, loss is allowed, and 9 bytes could take both.
    let garbage = |vfs: &SimVfs, path: &Path, place: usize, random: &mut Random| {
        let mut bytes = vfs.read_raw(path);
        let start = place / 8 * 8;
        let end = (start + 8).min(bytes.len());
        let fill = random.bytes(end - start);
        bytes[start..end].copy_from_slice(&fill);
        vfs.write_raw(path, &bytes);
    };
    damage_everywhere(TableIo::Mapped, garbage, 50);
}

#[test]
fn an_extended_file_is_found_or_does_no_harm() {
    let (vfs, model) = small(TableIo::Mapped);
    for path in files(&vfs) {
        for more in [1, 7, 512, 5000] {
            let copy = vfs.kill_now();
            copy.truncate_raw(&path, copy.read_raw(&path).len() as u64 + more);
            let what = format!("{} and {more} zeros", path.display());
            check(&copy, tiny(), false, &model, &what);
            check(&copy, tiny(), true, &model, &what);
        }
    }
}

#[test]
fn files_deleted_swapped_or_from_elsewhere_are_found_or_do_no_harm() {
    let (vfs, model) = small(TableIo::Mapped);
    let other = SimVfs::new(78);
    let db = open_sim(tiny(), &other).expect("a new database");
    for number in 0..40 {
        db.put(format!("key{number:02}"), "foreign").expect("a put");
    }
    db.sync().expect("a sync");
    let foreign = other.kill_now();
    for path in files(&vfs) {
        let copy = vfs.kill_now();
        copy.remove_raw(&path);
        check(&copy, tiny(), false, &model, &format!("{} deleted", path.display()));
        let sources = files(&vfs).into_iter().map(|p| vfs.read_raw(&p));
        let foreign = files(&foreign).into_iter().map(|p| foreign.read_raw(&p));
        for (nth, bytes) in sources.chain(foreign).enumerate() {
            let copy = vfs.kill_now();
            copy.write_raw(&path, &bytes);
            let what = format!("{} replaced by file {nth}", path.display());
            check(&copy, tiny(), false, &model, &what);
            check(&copy, tiny(), true, &model, &what);
        }
    }
}

#[test]
fn the_lenient_recovery_modes_never_panic_nor_make_entries_up() {
    let (vfs, model) = small(TableIo::Mapped);
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
                    let _ = &model;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corruption, "{error}"),
            }
        }
    }
}
