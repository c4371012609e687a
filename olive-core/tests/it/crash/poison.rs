//! A failed sync stops the writer side until the database is opened again.

use olive_core::internals::vfs::sim::{Fault, OpKind, SimVfs, errno};
use olive_core::{Db, Durability, ErrorKind, WriteOptions};

use crate::support::{entries, kind, open_sim, tiny};

fn durable() -> WriteOptions {
    WriteOptions::default().durability(Durability::Sync)
}

fn poisoned(fault: Fault, act: impl Fn(&Db) -> olive_core::Result<()>) {
    let vfs = SimVfs::new(1);
    let db = open_sim(tiny(), &vfs).expect("a new database");
    db.put("k", "before").expect("a put");
    db.flush().expect("a flush");
    db.put("acknowledged", "v").expect("a put");
    let snapshot = db.snapshot().expect("a snapshot");
    vfs.set_faults(vec![fault]);
    assert_eq!(kind(act(&db)), ErrorKind::Poisoned);
    vfs.set_faults(Vec::new());

    for _ in 0..2 {
        let error = db.put("k", "after").expect_err("writes have stopped");
        assert_eq!(error.kind(), ErrorKind::Poisoned);
        assert!(error.to_string().contains("/db"), "the cause is named: {error}");
    }
    let unlinks = vfs.calls_of(OpKind::Unlink);
    assert_eq!(kind(db.flush()), ErrorKind::Poisoned);
    assert_eq!(kind(db.sync()), ErrorKind::Poisoned);
    assert_eq!(kind(db.compact_range(..)), ErrorKind::Poisoned);
    assert_eq!(kind(db.maintain()), ErrorKind::Poisoned);
    assert_eq!(kind(db.keyspace("new")), ErrorKind::Poisoned);
    assert_eq!(kind(db.drop_keyspace("new")), ErrorKind::Poisoned);
    assert_eq!(kind(db.checkpoint("/copy")), ErrorKind::Poisoned);
    let health = db.health().expect("health");
    assert!(!health.writable && health.poisoned.is_some());

    assert_eq!(db.get("k").expect("a get").expect("a value"), b"before");
    assert_eq!(snapshot.get("k").expect("a get").expect("a value"), b"before");
    assert!(db.iter().expect("a walk").count() >= 2);
    assert_eq!(kind(db.close()), ErrorKind::Poisoned);
    assert_eq!(vfs.calls_of(OpKind::Unlink), unlinks, "nothing is deleted");

    let db = open_sim(tiny(), &vfs.kill_now()).expect("a reopen");
    assert_eq!(db.get("k").expect("a get").expect("a value"), b"before");
    assert_eq!(db.get("acknowledged").expect("a get").expect("a value"), b"v");
    db.put("k", "on").expect("a put");
    assert!(entries(&db).expect("a walk").len() >= 2);
}

fn failing(kind: OpKind, nth: u64) -> Fault {
    Fault::once(Some(kind), nth, errno::EIO)
}

#[test]
fn a_failed_sync_of_the_log_in_a_write() {
    poisoned(failing(OpKind::Sync, 1), |db| db.put_with("durable", "v", &durable()));
}

#[test]
fn a_failed_sync_of_the_log_by_call() {
    poisoned(failing(OpKind::Sync, 1), Db::sync);
}

#[test]
fn a_failed_sync_of_the_folder_in_a_flush() {
    poisoned(failing(OpKind::SyncDir, 1), Db::flush);
}

#[test]
fn a_failed_sync_of_the_manifest_in_a_flush() {
    // The first is that of the table.
    poisoned(failing(OpKind::Sync, 2), Db::flush);
}

#[test]
fn a_failed_sync_of_a_table_fails_only_its_job() {
    let vfs = SimVfs::new(1);
    let db = open_sim(tiny(), &vfs).expect("a new database");
    db.put("k", "v").expect("a put");
    vfs.set_faults(vec![failing(OpKind::Sync, 1)]);
    assert_eq!(kind(db.flush()), ErrorKind::Io);
    assert!(db.health().expect("health").writable);
    db.put("k", "w").expect("a put");
    db.flush().expect("the next flush");
    assert_eq!(db.get("k").expect("a get").expect("a value"), b"w");
    db.close().expect("a close");
    let db = open_sim(tiny(), &vfs).expect("a reopen");
    assert_eq!(db.get("k").expect("a get").expect("a value"), b"w");
    assert!(db.verify().expect("a verify").is_clean());
}
