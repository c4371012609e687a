//! Cursors and iterators that are made one after the other: what an earlier one has left
//! behind must not show in a later one.

use olive_core::{Db, Progress};

use crate::support::{Scratch, tiny};

fn number(n: u32) -> String {
    format!("key {n:04}")
}

/// All keys that a cursor walks over, forward and backward.
fn keys(db: &Db) -> Vec<String> {
    let mut cursor = db.cursor().expect("a cursor");
    let mut keys = Vec::new();
    let mut more = cursor.seek_to_first().expect("a seek");
    while more {
        keys.push(String::from_utf8_lossy(cursor.key()).into_owned());
        more = cursor.next().expect("a step");
    }
    let mut back = Vec::new();
    let mut more = cursor.seek_to_last().expect("a seek");
    while more {
        back.push(String::from_utf8_lossy(cursor.key()).into_owned());
        more = cursor.prev().expect("a step");
    }
    back.reverse();
    assert_eq!(keys, back);
    keys
}

#[test]
fn each_cursor_shows_what_was_written_before_it_was_made() {
    let scratch = Scratch::new();
    let db = tiny().open(scratch.path()).expect("a new database");
    let mut expected = Vec::new();
    assert_eq!(keys(&db), expected);
    for n in 0..120 {
        db.put(number(n), [n as u8; 40]).expect("a put");
        expected.push(number(n));
        if n % 3 == 2 {
            db.delete(number(n - 1)).expect("a delete");
            expected.retain(|key| *key != number(n - 1));
        }
        if n % 31 == 30 {
            db.flush().expect("a flush");
        }
        if n % 50 == 49 {
            db.compact_range(..).expect("a compaction");
        }
        assert_eq!(keys(&db), expected, "after {n}");
    }
    db.close().expect("a close");
}

#[test]
fn bounds_keyspaces_and_snapshots_are_those_of_each_iterator() {
    let scratch = Scratch::new();
    let db = tiny().open(scratch.path()).expect("a new database");
    let other = db.keyspace("other").expect("a keyspace");
    for n in 0..40 {
        db.put(number(n), "old").expect("a put");
        other.put(number(n), "other").expect("a put");
    }
    db.flush().expect("a flush");
    let snapshot = db.snapshot().expect("a snapshot");
    for n in 0..40 {
        db.put(number(n), "new").expect("a put");
    }
    for n in 0..20 {
        let range = number(n)..number(2 * n);
        let count = db.range(range.clone()).expect("a range").count();
        assert_eq!(count, n as usize);
        assert_eq!(db.range(range.clone()).expect("a range").rev().count(), n as usize);
        let values = [
            (db.range(range.clone()).expect("a range").next(), "new"),
            (snapshot.range(range.clone()).expect("a range").next(), "old"),
            (other.range(range).expect("a range").next(), "other"),
            (db.iter().expect("all").next_back(), "new"),
        ];
        for (entry, value) in values.into_iter().take(if n == 0 { 0 } else { 4 }) {
            assert_eq!(entry.expect("an entry").expect("an entry").1, value.as_bytes());
        }
        let mut first = db.cursor().expect("a cursor");
        assert!(!first.valid());
        let mut second = snapshot.cursor().expect("a cursor at the same time");
        assert!(first.seek(number(n)).expect("a seek") && second.seek_to_last().expect("a seek"));
        assert_eq!((first.key(), second.key()), (number(n).as_bytes(), number(39).as_bytes()));
        assert_eq!((first.value(), second.value()), (&b"new"[..], &b"old"[..]));
    }
    db.close().expect("a close");
}

#[test]
fn a_cursor_that_is_gone_holds_no_table_or_memtable() {
    let scratch = Scratch::new();
    let db = tiny().open(scratch.path()).expect("a new database");
    for round in 0..4 {
        for n in 0..30 {
            db.put(number(n), [round; 40]).expect("a put");
        }
        assert_eq!(keys(&db).len(), 30);
        db.flush().expect("a flush");
        assert_eq!(keys(&db).len(), 30);
        db.compact_range(..).expect("a compaction");
        while db.maintain().expect("maintenance") != Progress::Idle {}
        let stats = db.stats().expect("stats");
        assert_eq!(stats.pinned_bytes, 0, "round {round}");
        assert_eq!(stats.obsolete_bytes, 0, "round {round}");
    }
    db.close().expect("a close");
}
