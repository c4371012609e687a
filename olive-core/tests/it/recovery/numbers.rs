//! File numbers that come to their end: by a file from elsewhere, or by use.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use olive_core::internals::format::file_names::{FILE_NUMBER_MAX, FILE_NUMBERS_RESERVED, FileKind};
use olive_core::internals::open_read_only_on;
use olive_core::internals::version::Manifest;
use olive_core::internals::vfs::Vfs;
use olive_core::internals::vfs::sim::SimVfs;
use olive_core::{Db, Error, ErrorKind, Maintenance, Options, WriteOptions};

use crate::support::{DIR, Model, kind, open_sim, settle, tiny};

/// A database with tables and records in its log, as a kill leaves it, that goes on from
/// `next_file`.
fn going_on_from(next_file: u64) -> (SimVfs, Model) {
    let vfs = SimVfs::new(1);
    let db = open_sim(tiny(), &vfs).expect("a new database");
    for number in 0..60 {
        db.put(format!("key{number:02}"), [number; 40]).expect("a put");
    }
    settle(&db).expect("maintenance");
    db.put("in the log", "only").expect("a put");
    let model = Model::of(&db).expect("a read");
    let killed = vfs.kill_now();
    let manifest = Manifest::read(&killed, Path::new(DIR)).expect("a manifest").expect("is there");
    let mut state = manifest.state;
    state.next_file = Some(next_file);
    let disk: Arc<dyn Vfs> = Arc::new(killed.clone());
    Manifest::create(&disk, Path::new(DIR), 900_000, manifest.database, &state)
        .expect("another manifest");
    (killed, model)
}

/// The highest number of a file in the folder.
fn highest(vfs: &SimVfs) -> u64 {
    let names = vfs.list(Path::new(DIR)).expect("a list");
    names.iter().filter_map(|name| FileKind::of(name)?.number()).max().expect("there are some")
}

fn read_only(vfs: &SimVfs) -> Model {
    let db = open_read_only_on(tiny(), Arc::new(vfs.clone()), DIR).expect("a read-only open");
    Model::of(&db).expect("a read")
}

fn says_used_up(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    let text = error.to_string();
    assert!(text.contains("file numbers") && text.contains("used up"), "{text}");
    assert!(text.contains(DIR) && text.contains("read-only"), "{text}");
}

#[test]
fn a_file_that_would_use_up_the_numbers_is_refused_by_name_before_anything_is_written() {
    let (vfs, model) = going_on_from(900_001);
    for name in ["4294967294.sst", "4294967295.sst", "4294967294.wal", "MANIFEST-4294967295"] {
        let disk = vfs.fork();
        let stray = Path::new(DIR).join(name);
        disk.write_raw(&stray, b"from elsewhere");
        let before = (disk.mutations(), disk.image_hash());
        let error = open_sim(tiny(), &disk).expect_err("no numbers are left");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        let text = error.to_string();
        assert!(text.contains(name) && text.contains("move it out"), "{text}");
        assert_eq!((disk.mutations(), disk.image_hash()), before, "nothing is changed");
        disk.remove_raw(&stray);
        let db = open_sim(tiny(), &disk).expect("an open without it");
        assert_eq!(Model::of(&db).expect("a read"), model);
        assert!(highest(&disk) < 1_000_000);
    }
}

/// Puts until a put fails; what was acknowledged is in `model`.
fn fill(db: &Db, model: &mut Model, round: u64) -> Error {
    let soon = WriteOptions::default().deadline(Duration::from_secs(60));
    for number in 0..10_000 {
        let (key, value) = (format!("{round} {number:05}"), [7; 100]);
        match db.put_with(&key, value, &soon) {
            Ok(()) => model.put("", key.as_bytes(), &value),
            Err(error) => return error,
        }
    }
    panic!("the numbers do not end");
}

fn numbers_end_while_it_runs(options: &Options) {
    let running_max = FILE_NUMBER_MAX - FILE_NUMBERS_RESERVED;
    let (mut vfs, mut model) = going_on_from(running_max - 12);
    for round in 0..6 {
        let db = open_sim(options.clone(), &vfs).expect("an open");
        assert_eq!(Model::of(&db).expect("a read"), model, "round {round}");
        says_used_up(&fill(&db, &mut model, round));
        says_used_up(&db.flush().expect_err("a flush makes tables"));
        assert_eq!(Model::of(&db).expect("a read"), model, "what was acknowledged, round {round}");
        match round % 2 {
            // The log has it all, and is synced.
            0 => says_used_up(&db.close().expect_err("the last flush makes tables")),
            _ => vfs = vfs.kill_now(),
        }
        assert_eq!(read_only(&vfs), model, "round {round}");
    }
    assert!(highest(&vfs) > running_max, "opens have used the reserve");
    assert!(highest(&vfs) < running_max + 200, "and only opens have");
}

#[test]
fn numbers_that_end_by_use_are_told_and_lose_nothing() {
    numbers_end_while_it_runs(&tiny());
}

#[test]
fn numbers_that_end_under_threads_are_told_and_lose_nothing() {
    numbers_end_while_it_runs(&tiny().maintenance(Maintenance::Threads));
}

#[test]
fn without_numbers_for_an_open_nothing_is_written_and_all_is_read() {
    for next_file in [FILE_NUMBER_MAX - 1_023, FILE_NUMBER_MAX, FILE_NUMBER_MAX + 1] {
        let (vfs, model) = going_on_from(next_file);
        let before = (vfs.mutations(), vfs.image_hash());
        says_used_up(&open_sim(tiny(), &vfs).expect_err("no numbers are left"));
        assert_eq!((vfs.mutations(), vfs.image_hash()), before, "nothing is changed");
        assert_eq!(read_only(&vfs), model);
    }
    let (vfs, model) = going_on_from(FILE_NUMBER_MAX - 1_100);
    let db = open_sim(tiny(), &vfs).expect("an open with the last numbers");
    assert_eq!(Model::of(&db).expect("a read"), model);
    let (vfs, _) = going_on_from(FILE_NUMBER_MAX + 2);
    assert_eq!(kind(open_sim(tiny(), &vfs)), ErrorKind::Corruption);
}
