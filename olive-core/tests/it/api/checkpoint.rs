//! Checkpoints: databases of their own that share tables.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use olive_core::internals::open_on;
use olive_core::internals::vfs::sim::{Action, CrashMode, OpKind, SimVfs, errno};
use olive_core::{Db, ErrorKind, Options};

use crate::around::{Around, Call, Surrounded};
use crate::support::{Model, Scratch, kind, open_sim, settle, tiny};

#[test]
fn a_checkpoint_opens_by_itself_goes_its_own_way_and_outlives_its_source() {
    let scratch = Scratch::new();
    let copy = scratch.beside("copy");
    let db = tiny().open(scratch.path()).expect("a new database");
    let users = db.keyspace("users").expect("a keyspace");
    for number in 0..100 {
        db.put(format!("k{number:03}"), [1; 50]).expect("a put");
        users.put(format!("u{number:03}"), [2; 50]).expect("a put");
    }
    db.delete("k000").expect("a delete");
    let model = Model::of(&db).expect("a read");
    db.checkpoint(&copy).expect("a checkpoint");
    db.put("k001", "changed behind it").expect("a put");
    db.drop_keyspace("users").expect("a drop");
    db.compact_range(..).expect("a compaction");

    let second = tiny().open(&copy).expect("it opens beside its source");
    assert_eq!(Model::of(&second).expect("a read"), model);
    assert!(second.verify().expect("a verify").is_clean());
    second.put("mine", "alone").expect("a put");
    second.compact_range(..).expect("a compaction");
    assert!(db.get("mine").expect("a get").is_none());
    second.checkpoint(scratch.beside("third")).expect("a checkpoint of a checkpoint");
    db.close().expect("a close");
    drop((db, users));
    std::fs::remove_dir_all(scratch.path()).expect("the source goes");
    assert!(second.verify().expect("a verify").is_clean());
    drop(second);
    let mut expected = model;
    expected.put("", b"mine", b"alone");
    for path in [copy, scratch.beside("third")] {
        let db = tiny().open(path).expect("an open");
        assert_eq!(Model::of(&db).expect("a read"), expected);
    }
}

#[test]
fn a_target_that_exists_is_refused_and_left_as_it_is() {
    let scratch = Scratch::new();
    let db = tiny().open(scratch.path()).expect("a new database");
    db.put("k", "v").expect("a put");
    db.flush().expect("a flush");
    std::fs::write(scratch.beside("file"), "mine").expect("a file");
    std::fs::create_dir(scratch.beside("folder")).expect("a folder");
    let before = scratch.files();
    for name in ["file", "folder", "db", "file/below"] {
        let error = db.checkpoint(scratch.beside(name)).expect_err("it exists");
        let expected =
            if name == "file/below" { ErrorKind::Io } else { ErrorKind::InvalidArgument };
        assert!(error.kind() == expected || error.kind() == ErrorKind::InvalidArgument, "{error}");
    }
    assert_eq!(kind(db.checkpoint("/")), ErrorKind::InvalidArgument);
    assert_eq!(kind(db.checkpoint(scratch.beside("missing/below"))), ErrorKind::Io);
    assert!(scratch.files() == before);
}

#[test]
fn a_checkpoint_of_nothing_is_an_empty_database() {
    let scratch = Scratch::new();
    let db = tiny().open(scratch.path()).expect("a new database");
    db.checkpoint(scratch.beside("copy")).expect("a checkpoint");
    let copy = Options::default().create_if_missing(false).open(scratch.beside("copy"));
    let copy = copy.expect("it is a database");
    assert_eq!(copy.iter().expect("a walk").count(), 0);
    copy.put("k", "v").expect("a put");
}

#[test]
fn checkpoints_while_writers_go_on_hold_a_prefix_of_each() {
    let scratch = Scratch::new();
    let options = Options::default().memtable_bytes(64 << 10).level0_tables(2);
    let db = options.open(scratch.path()).expect("a new database");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let (db, done) = (&db, &done);
            scope.spawn(move || {
                let mut number = 0_u32;
                while !done.load(Ordering::Relaxed) {
                    db.put(format!("{writer} {number:08}"), [writer; 100]).expect("a put");
                    number += 1;
                }
            });
        }
        for number in 0..5 {
            let at_least = db.iter().expect("a walk").count();
            let path = scratch.beside(&format!("copy {number}"));
            db.checkpoint(&path).expect("a checkpoint");
            let copy = Db::open(&path).expect("it opens");
            let mut count = 0;
            for writer in 0..2 {
                for (nth, entry) in copy.prefix(format!("{writer} ")).expect("a walk").enumerate() {
                    let (key, value) = entry.expect("an entry");
                    assert_eq!(key, format!("{writer} {nth:08}").into_bytes(), "a hole");
                    assert_eq!(value, [writer; 100]);
                    count += 1;
                }
            }
            assert!(count >= at_least, "{count} of {at_least}");
            assert!(copy.verify().expect("a verify").is_clean());
        }
        done.store(true, Ordering::Relaxed);
    });
}

fn on_disk() -> (SimVfs, Db, Model) {
    let vfs = SimVfs::new(1);
    let db = open_sim(tiny(), &vfs).expect("a new database");
    for number in 0..40 {
        db.put(format!("k{number:03}"), [1; 50]).expect("a put");
    }
    let model = Model::of(&db).expect("a read");
    (vfs, db, model)
}

#[test]
fn another_file_system_gets_copies() {
    let (vfs, db, model) = on_disk();
    vfs.set_filter(Some(Arc::new(|entry| match entry.kind {
        // EXDEV
        OpKind::Link => Action::Fail(18),
        _ => Action::Do,
    })));
    db.checkpoint("/copy").expect("a checkpoint");
    vfs.set_filter(None);
    let copy = open_on(tiny(), Arc::new(vfs.crash_now(CrashMode::Synced)), "/copy");
    assert_eq!(Model::of(&copy.expect("it opens")).expect("a read"), model);
}

#[test]
fn a_checkpoint_that_fails_leaves_nothing_and_can_be_made_again() {
    let (vfs, db, model) = on_disk();
    db.flush().expect("a flush");
    let fork = |vfs: &SimVfs| open_sim(tiny(), vfs).expect("an open");
    drop(db);
    let count = {
        let vfs = vfs.kill_now();
        let db = fork(&vfs);
        let before = vfs.calls();
        db.checkpoint("/copy").expect("a checkpoint");
        vfs.calls() - before
    };
    for nth in 1..=count {
        let vfs = vfs.kill_now();
        let db = fork(&vfs);
        let fault = olive_core::internals::vfs::sim::Fault::once(None, nth, errno::EIO);
        vfs.set_faults(vec![fault]);
        let result = db.checkpoint("/copy");
        vfs.set_faults(Vec::new());
        let left: Vec<_> = vfs.paths().into_iter().filter(|p| !p.starts_with("/db")).collect();
        match result {
            Ok(()) => {}
            Err(_) if left.iter().all(|path| path.starts_with("/copy")) && !left.is_empty() => {
                // Only the sync of the folder above is behind the rename.
            }
            Err(error) => {
                assert!(left.is_empty(), "call {nth}: {error}: {left:?}");
                if db.health().expect("health").poisoned.is_none() {
                    db.checkpoint("/copy").unwrap_or_else(|e| panic!("call {nth}, again: {e:?}"));
                }
            }
        }
        assert_eq!(Model::of(&db).expect("a read"), model);
    }
}

#[test]
fn a_checkpoint_cut_by_a_crash_is_whole_or_not_there_and_can_be_made_again() {
    let (vfs, db, model) = on_disk();
    vfs.record(true);
    db.checkpoint("/copy").expect("a checkpoint");
    for at in 0..=vfs.mutations() {
        for mode in [CrashMode::Synced, CrashMode::Everything, CrashMode::Random { seed: at }] {
            if vfs.trace_entry(at).is_none() {
                continue;
            }
            let disk = vfs.crash_at(at, mode);
            let is_there = disk.paths().iter().any(|path| path.starts_with("/copy"));
            if is_there {
                let copy = open_on(tiny(), Arc::new(disk.clone()), "/copy");
                let copy = copy.unwrap_or_else(|e| panic!("{at} {mode:?}: {e:?}"));
                assert_eq!(Model::of(&copy).expect("a read"), model, "{at} {mode:?}");
            } else {
                let db = open_sim(tiny(), &disk).expect("the source opens");
                db.checkpoint("/copy").unwrap_or_else(|e| panic!("{at} {mode:?}: {e:?}"));
            }
        }
    }
}

/// Once, while a checkpoint makes its folder: a keyspace is dropped, and its tables go.
#[derive(Debug, Default)]
struct Dropping(Mutex<Option<Db>>);

impl Around for Dropping {
    fn around<T>(&self, call: Call, _: &Path, run: impl FnOnce() -> T) -> T {
        let db = if call == Call::CreateDir { self.0.lock().expect("a lock").take() } else { None };
        if let Some(db) = db {
            db.put("beside", "the drop").expect("a put");
            assert!(db.drop_keyspace("users").expect("a drop"));
            settle(&db).expect("maintenance");
        }
        run()
    }
}

#[test]
fn a_keyspace_that_is_dropped_meanwhile_is_in_it_whole_or_not_at_all() {
    let sim = SimVfs::new(1);
    let disk = Arc::new(sim.clone());
    let disk = Arc::new(Surrounded { disk, around: Dropping::default() });
    let db = open_on(tiny(), Arc::clone(&disk) as _, "/db").expect("a new database");
    let users = db.keyspace("users").expect("a keyspace");
    for number in 0..100 {
        users.put(format!("u{number:03}"), [2; 50]).expect("a put");
    }
    db.put("k", "before").expect("a put");
    let before = Model::of(&db).expect("a read");
    *disk.around.0.lock().expect("a lock") = Some(db.clone());
    db.checkpoint("/copy").expect("a checkpoint");
    assert!(disk.around.0.lock().expect("a lock").is_none(), "it was dropped on the way");
    let after = Model::of(&db).expect("a read");
    let copy = open_on(tiny(), Arc::new(sim), "/copy").expect("the checkpoint opens");
    let copied = Model::of(&copy).expect("a read");
    assert!(copied == before || copied == after, "{:?}", copy.keyspaces());
}
