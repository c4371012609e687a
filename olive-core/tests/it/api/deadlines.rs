//! A write that need not wait is done; one that may not wait says for what it would have to.

use std::sync::Arc;
use std::time::Duration;

use olive_core::internals::vfs::sim::{Action, OpKind, SimVfs, errno};
use olive_core::{Db, Error, ErrorKind, Maintenance, WriteBatch, WriteOptions};

use crate::support::{kind, open_sim, tiny};

fn at_once() -> WriteOptions {
    WriteOptions::default().deadline(Duration::ZERO)
}

/// Puts until one fails; says how many did not.
fn fill(db: &Db) -> (u32, Error) {
    for number in 0..10_000 {
        if let Err(error) = db.put_with(format!("key{number:06}"), [7; 100], &at_once()) {
            assert!(!db.contains_key(format!("key{number:06}")).expect("a get"), "not written");
            return (number, error);
        }
    }
    panic!("no write had to wait");
}

#[test]
fn without_a_need_to_wait_a_deadline_of_zero_is_kept() {
    for maintenance in [Maintenance::Manual, Maintenance::Threads] {
        let vfs = SimVfs::new(1);
        vfs.set_tick(Duration::from_micros(10));
        let db = open_sim(tiny().maintenance(maintenance), &vfs).expect("a new database");
        db.put_with("k", "v", &at_once()).expect("nothing is in its way");
        db.delete_with("k", &at_once()).expect("nothing is in its way");
    }
}

#[test]
fn by_hand_a_write_that_may_not_wait_does_not_flush() {
    let vfs = SimVfs::new(1);
    let db = open_sim(tiny().memtables_max(2), &vfs).expect("a new database");
    let other = db.keyspace("other").expect("a keyspace");
    let (written, error) = fill(&db);
    assert!(written > 5, "{written}");
    assert_eq!(error.kind(), ErrorKind::Stalled);
    assert!(error.to_string().contains("cause: memtables"), "{error}");
    let before = db.stats().expect("stats");
    assert_eq!(before.flushes, 0);
    let mut batch = WriteBatch::new();
    batch.put("k", "v");
    assert_eq!(kind(db.delete_with("key000000", &at_once())), ErrorKind::Stalled);
    assert_eq!(kind(db.write_with(&batch, &at_once())), ErrorKind::Stalled);
    assert_eq!(kind(other.put_with("k", "v", &at_once())), ErrorKind::Stalled);
    let after = db.stats().expect("stats");
    assert_eq!((after.put_ops, after.last_sequence), (before.put_ops, before.last_sequence));
    db.flush().expect("a flush");
    db.put_with("k", "v", &at_once()).expect("there is room again");
}

#[test]
fn a_payment_that_is_due_is_a_wait() {
    // By hand nothing is paid: a write waits where there is no room, and no sooner.
    let by_hand = open_sim(tiny().memtables_max(8), &SimVfs::new(1)).expect("a new database");
    let (room, _) = fill(&by_hand);
    let vfs = SimVfs::new(1);
    vfs.set_tick(Duration::from_micros(10));
    let options = tiny().maintenance(Maintenance::Threads).memtables_max(8);
    let db = open_sim(options, &vfs).expect("a new database");
    vfs.set_filter(Some(Arc::new(|entry| {
        let is_table = entry.path.extension().is_some_and(|end| end == "sst");
        let hit = entry.kind == OpKind::Create && is_table;
        if hit { Action::Fail(errno::EIO) } else { Action::Do }
    })));
    let (written, error) = fill(&db);
    assert_eq!(error.kind(), ErrorKind::Stalled, "{error}");
    assert!(error.to_string().contains("cause: memtables"), "{error}");
    assert!(written < room, "there was room: {written} of {room}");
    vfs.set_filter(None);
    db.flush().expect("a flush");
    // So many more tables in level 0 would be a debt as well.
    db.compact_range(..).expect("a compaction");
    db.put_with("k", "v", &at_once()).expect("nothing is owed any more");
}
