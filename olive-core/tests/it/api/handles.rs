//! Who keeps the database open, and what is left after close.

use olive_core::{Db, ErrorKind, Keyspace, Snapshot, WriteBatch};

use crate::support::{Scratch, kind, tiny};

#[test]
fn every_call_after_close_says_closed_and_held_values_stay() {
    let scratch = Scratch::new();
    let db = tiny().open(scratch.path()).expect("a new database");
    let keyspace = db.keyspace("other").expect("a keyspace");
    db.put("in a table", [7; 3000]).expect("a put");
    keyspace.put("k", "v").expect("a put");
    db.flush().expect("a flush");
    db.put("in a memtable", [8; 1000]).expect("a put");
    let clone = db.clone();
    let snapshot = db.snapshot().expect("a snapshot");
    let mut walk = db.iter().expect("a walk");
    let mut back = db.iter().expect("a walk");
    let mut cursor = db.cursor().expect("a cursor");
    assert!(cursor.seek_to_first().expect("a seek"));
    let (held_key, held_value) = walk.next().expect("an entry").expect("an entry");
    let in_table = db.get("in a table").expect("a get").expect("a value");
    let in_memtable = db.get("in a memtable").expect("a get").expect("a value");
    let before = scratch.files();
    clone.close().expect("a close");
    db.close().expect("a second close does nothing");
    let closed = scratch.files();
    assert_ne!(before.len(), 0);

    all_closed_db(&db, &scratch);
    all_closed_keyspace(&keyspace);
    all_closed_snapshot(&snapshot);
    assert_eq!(kind(walk.next().expect("an error")), ErrorKind::Closed);
    assert!(walk.next().is_none(), "an iterator ends after an error");
    assert_eq!(kind(back.next_back().expect("an error")), ErrorKind::Closed);
    assert!(back.next().is_none());
    assert_eq!(kind(cursor.next()), ErrorKind::Closed);
    assert_eq!(kind(cursor.prev()), ErrorKind::Closed);
    assert_eq!(kind(cursor.seek("k")), ErrorKind::Closed);
    assert_eq!(kind(cursor.seek_for_prev("k")), ErrorKind::Closed);
    assert_eq!(kind(cursor.seek_to_first()), ErrorKind::Closed);
    assert_eq!(kind(cursor.seek_to_last()), ErrorKind::Closed);
    assert!(scratch.files() == closed, "nothing is changed after close");

    assert_eq!(held_key, b"in a memtable");
    assert_eq!(held_value, [8; 1000]);
    assert_eq!(in_table, [7; 3000]);
    assert_eq!(in_memtable, [8; 1000]);
    std::fs::remove_dir_all(scratch.path()).expect("the folder goes");
    assert_eq!(in_table.clone(), [7; 3000]);
    drop((db, clone, keyspace, snapshot, walk, back, cursor));
    assert_eq!(in_table, [7; 3000]);
    assert_eq!(in_memtable, [8; 1000]);
}

fn all_closed_db(db: &Db, scratch: &Scratch) {
    let mut batch = WriteBatch::new();
    batch.put("k", "v");
    let kinds = [
        kind(db.put("k", "v")),
        kind(db.delete("k")),
        kind(db.write(&batch)),
        kind(db.write(&WriteBatch::new())),
        kind(db.get("k")),
        kind(db.get_with("k", <[u8]>::len)),
        kind(db.multi_get(["k"])),
        kind(db.multi_get_with(&["k"], |_, _| ())),
        kind(db.contains_key("k")),
        kind(db.iter()),
        kind(db.range("a".."b")),
        kind(db.prefix("a")),
        kind(db.cursor()),
        kind(db.snapshot()),
        kind(db.keyspace("other")),
        kind(db.keyspace("new")),
        kind(db.keyspaces()),
        kind(db.drop_keyspace("other")),
        kind(db.flush()),
        kind(db.sync()),
        kind(db.compact_range(..)),
        kind(db.maintain()),
        kind(db.checkpoint(scratch.beside("copy"))),
        kind(db.approximate_size(..)),
        kind(db.stats()),
        kind(db.health()),
        kind(db.verify()),
    ];
    assert_eq!(kinds, [ErrorKind::Closed; 27]);
}

fn all_closed_keyspace(keyspace: &Keyspace) {
    let mut batch = WriteBatch::new();
    batch.put_in(keyspace, "k", "v");
    let kinds = [
        kind(keyspace.put("k", "v")),
        kind(keyspace.delete("k")),
        kind(keyspace.write(&batch)),
        kind(keyspace.get("k")),
        kind(keyspace.get_with("k", <[u8]>::len)),
        kind(keyspace.multi_get(["k"])),
        kind(keyspace.multi_get_with(&["k"], |_, _| ())),
        kind(keyspace.contains_key("k")),
        kind(keyspace.iter()),
        kind(keyspace.range("a"..)),
        kind(keyspace.prefix("a")),
        kind(keyspace.cursor()),
        kind(keyspace.snapshot()),
        kind(keyspace.compact_range(..)),
        kind(keyspace.approximate_size(..)),
    ];
    assert_eq!(kinds, [ErrorKind::Closed; 15]);
    assert_eq!(keyspace.name(), "other");
}

fn all_closed_snapshot(snapshot: &Snapshot) {
    let kinds = [
        kind(snapshot.get("k")),
        kind(snapshot.get_with("k", <[u8]>::len)),
        kind(snapshot.multi_get(["k"])),
        kind(snapshot.multi_get_with(&["k"], |_, _| ())),
        kind(snapshot.contains_key("k")),
        kind(snapshot.iter()),
        kind(snapshot.range("a"..)),
        kind(snapshot.prefix("a")),
        kind(snapshot.cursor()),
        kind(snapshot.keyspace("other")),
    ];
    assert_eq!(kinds, [ErrorKind::Closed; 10]);
}

#[test]
fn the_last_handle_closes_and_a_keyspace_is_one_but_a_snapshot_is_not() {
    let scratch = Scratch::new();
    for maintenance in [olive_core::Maintenance::Manual, olive_core::Maintenance::Threads] {
        let options = tiny().maintenance(maintenance);
        let db = options.clone().open(scratch.path()).expect("an open");
        let clone = db.clone();
        drop(db);
        clone.put("k", "v").expect("a clone keeps it open");
        let keyspace = clone.keyspace("other").expect("a keyspace");
        let snapshot = clone.snapshot().expect("a snapshot");
        let mut walk = clone.iter().expect("a walk");
        let mut cursor = clone.cursor().expect("a cursor");
        drop(clone);
        keyspace.put("k", "v").expect("a keyspace keeps it open");
        assert_eq!(snapshot.get("k").expect("a get").expect("a value"), b"v");
        assert_eq!(kind(options.clone().open(scratch.path())), ErrorKind::Locked);
        let second = keyspace.clone();
        drop(keyspace);
        second.put("k", "w").expect("so does its clone");
        drop(second);
        assert_eq!(kind(snapshot.get("k")), ErrorKind::Closed);
        assert_eq!(kind(walk.next().expect("an error")), ErrorKind::Closed);
        assert_eq!(kind(cursor.seek_to_first()), ErrorKind::Closed);
        let db = options.open(scratch.path()).expect("the lock is free though they are held");
        assert_eq!(db.keyspace("other").expect("k").get("k").expect("a get").expect("v"), b"w");
    }
}

#[test]
fn a_database_dropped_on_another_thread_while_readers_hold_its_parts() {
    let scratch = Scratch::new();
    let db = olive_core::Options::default().open(scratch.path()).expect("a new database");
    for number in 0..1000 {
        db.put(format!("k{number:04}"), [1; 100]).expect("a put");
    }
    let snapshot = db.snapshot().expect("a snapshot");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut reads = 0_u64;
            loop {
                match snapshot.get("k0500") {
                    Ok(value) => assert_eq!(value.expect("a value"), [1; 100]),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Closed);
                        return;
                    }
                }
                for entry in snapshot.iter().into_iter().flatten() {
                    match entry {
                        Ok((_, value)) => assert_eq!(value, [1; 100]),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Closed),
                    }
                }
                reads += 1;
                assert!(reads < 10_000_000, "it is never closed");
            }
        });
        scope.spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(30));
            drop(db);
        });
    });
}

#[test]
fn handles_print_themselves() {
    let scratch = Scratch::new();
    let db = tiny().open(scratch.path()).expect("a new database");
    db.put("k\0", "v\n").expect("a put");
    let keyspace = db.keyspace("other").expect("a keyspace");
    assert!(format!("{db:?}").contains("db"));
    assert!(format!("{keyspace:?}").contains("other"));
    assert!(format!("{:?}", db.snapshot().expect("a snapshot")).contains("sequence"));
    assert!(format!("{:?} {:?}", db.iter().expect("i"), db.cursor().expect("c")).len() > 10);
    let (key, value) = db.iter().expect("a walk").next().expect("one").expect("an entry");
    assert_eq!(format!("{key:?} {value:?}"), r#"b"k\x00" b"v\n""#);
    assert!(format!("{:?}", tiny()).contains("memtable_bytes: 2048"));
}

#[test]
fn a_closed_database_is_free_while_children_of_the_process_begin() {
    let scratch = Scratch::new();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Between its fork and its exec, a child holds every open file.
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                std::process::Command::new("true").status().expect("a child");
            }
        });
        let lives = || -> olive_core::Result<()> {
            for _ in 0..100 {
                tiny().open(scratch.path())?.close()?;
            }
            Ok(())
        };
        let lived = lives();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        lived.expect("a hundred lives");
    });
}
