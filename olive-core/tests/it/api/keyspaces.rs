//! Keyspaces: many, dropped, made again, in batches and in snapshots.

use olive_core::{ErrorKind, WriteBatch};

use crate::support::{Scratch, entries, kind, settle, tiny};

#[test]
fn so_many_keyspaces_that_their_ids_take_two_bytes() {
    const COUNT: u32 = 330;
    let scratch = Scratch::new();
    let name = |number: u32| format!("space {number:03}");
    let db = tiny().memtable_bytes(16 << 10).open(scratch.path()).expect("a new database");
    for number in 0..COUNT {
        let keyspace = db.keyspace(&name(number)).expect("a keyspace");
        keyspace.put("", number.to_le_bytes()).expect("a put");
        keyspace.put([0xFF; 4], name(number)).expect("a put");
        if number % 2 == 0 {
            keyspace.put("even", "").expect("a put");
        }
    }
    let check = |db: &olive_core::Db| {
        assert_eq!(db.keyspaces().expect("names"), (0..COUNT).map(name).collect::<Vec<_>>());
        for number in 0..COUNT {
            let keyspace = db.keyspace(&name(number)).expect("a keyspace");
            let found = entries(&keyspace).expect("a walk");
            assert_eq!(found.len(), 2 + usize::from(number % 2 == 0), "{number}");
            assert_eq!(found[0], (Vec::new(), number.to_le_bytes().to_vec()));
            assert_eq!(
                keyspace.get([0xFF; 4]).expect("a get").expect("v"),
                name(number).into_bytes()
            );
            assert_eq!(keyspace.iter().expect("a walk").rev().count(), found.len());
            assert_eq!(keyspace.prefix([0xFF]).expect("a walk").count(), 1);
        }
        assert_eq!(db.iter().expect("a walk").count(), 0);
    };
    check(&db);
    settle(&db).expect("maintenance");
    check(&db);
    db.close().expect("a close");
    let db = tiny().open(scratch.path()).expect("a reopen");
    check(&db);
    let snapshot = db.snapshot().expect("a snapshot");
    for number in (0..COUNT).step_by(3) {
        assert!(db.drop_keyspace(&name(number)).expect("a drop"));
    }
    settle(&db).expect("maintenance");
    for number in 0..COUNT {
        let then = snapshot.keyspace(&name(number)).expect("a look").expect("it was there");
        assert_eq!(then.get("").expect("a get").expect("a value"), number.to_le_bytes());
    }
    assert_eq!(db.keyspaces().expect("names").len(), 220);
}

#[test]
fn a_dropped_keyspace_fails_by_all_its_handles_and_begins_empty_again() {
    let scratch = Scratch::new();
    let db = tiny().open(scratch.path()).expect("a new database");
    let users = db.keyspace("users").expect("a keyspace");
    let same = db.keyspace("users").expect("a keyspace");
    users.put("1", "Ada").expect("a put");
    let before = db.snapshot().expect("a snapshot");
    let held = users.get("1").expect("a get").expect("a value");
    let mut walk = users.iter().expect("a walk");
    let mut batch = WriteBatch::new();
    batch.put("good", "v").put_in(&users, "2", "Bob");
    assert!(db.drop_keyspace("users").expect("a drop"));
    assert!(!db.drop_keyspace("users").expect("nothing to drop"));
    for handle in [&users, &same] {
        let kinds = [
            kind(handle.put("k", "v")),
            kind(handle.delete("k")),
            kind(handle.get("1")),
            kind(handle.multi_get(["1"])),
            kind(handle.contains_key("1")),
            kind(handle.iter()),
            kind(handle.range("a"..)),
            kind(handle.prefix("a")),
            kind(handle.cursor()),
            kind(handle.snapshot()),
            kind(handle.write(&batch)),
            kind(handle.compact_range(..)),
            kind(handle.approximate_size(..)),
        ];
        assert_eq!(kinds, [ErrorKind::InvalidArgument; 13]);
        assert!(handle.get("1").expect_err("dropped").to_string().contains("users"));
    }
    assert_eq!(kind(db.write(&batch)), ErrorKind::InvalidArgument);
    assert!(db.get("good").expect("a get").is_none(), "all of the batch, or nothing");
    assert_eq!(walk.next().expect("an entry").expect("an entry").1, b"Ada");
    assert_eq!(held, b"Ada");

    let anew = db.keyspace("users").expect("a keyspace");
    assert_eq!(anew.iter().expect("a walk").count(), 0);
    anew.put("3", "Eve").expect("a put");
    assert_eq!(kind(users.get("1")), ErrorKind::InvalidArgument, "it is not the old one");
    assert_eq!(kind(db.write(&batch)), ErrorKind::InvalidArgument);
    for _ in 0..2 {
        let then = before.keyspace("users").expect("a look").expect("it was there");
        assert_eq!(then.get("1").expect("a get").expect("a value"), b"Ada");
        assert!(then.get("3").expect("a get").is_none());
        db.compact_range(..).expect("a compaction");
        anew.compact_range(..).expect("a compaction");
        settle(&db).expect("maintenance");
    }
    db.close().expect("a close");
    let db = tiny().open(scratch.path()).expect("a reopen");
    let anew = db.keyspace("users").expect("a keyspace");
    assert_eq!(entries(&anew).expect("a walk"), [(b"3".to_vec(), b"Eve".to_vec())]);
}

#[test]
fn batches_over_keyspaces_are_whole_after_a_kill() {
    let vfs = olive_core::internals::vfs::sim::SimVfs::new(1);
    let db = crate::support::open_sim(tiny(), &vfs).expect("a new database");
    let (left, right) = (db.keyspace("left").expect("k"), db.keyspace("right").expect("k"));
    for number in 0..100_u32 {
        let mut batch = WriteBatch::new();
        batch.put("count", number.to_le_bytes());
        batch.put_in(&left, number.to_be_bytes(), "l").put_in(&right, number.to_be_bytes(), "r");
        if number > 0 {
            batch.delete_in(&left, (number - 1).to_be_bytes());
        }
        left.write(&batch).expect("a batch, by any handle");
    }
    let db = crate::support::open_sim(tiny(), &vfs.kill_now()).expect("an open");
    assert_eq!(db.get("count").expect("a get").expect("a value"), 99_u32.to_le_bytes());
    assert_eq!(db.keyspace("left").expect("k").iter().expect("a walk").count(), 1);
    assert_eq!(db.keyspace("right").expect("k").iter().expect("a walk").count(), 100);
}

#[test]
fn ids_are_not_used_again_across_lives() {
    let scratch = Scratch::new();
    for life in 0..6 {
        let db = tiny().open(scratch.path()).expect("an open");
        assert_eq!(db.keyspaces().expect("names"), if life % 2 == 0 { vec![] } else { vec!["k"] });
        if life % 2 == 0 {
            let keyspace = db.keyspace("k").expect("a keyspace");
            assert_eq!(keyspace.iter().expect("a walk").count(), 0, "life {life}");
            keyspace.put("left over", [life]).expect("a put");
        } else {
            assert!(db.drop_keyspace("k").expect("a drop"));
        }
    }
}
