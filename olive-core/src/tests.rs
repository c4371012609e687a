//! The whole engine under the model checker, on a simulated disk, with threads for
//! writing, reading and maintenance: the commit queue, and the switch of views.

use std::path::Path;

use crate::db::open_on;
use crate::sync::{Arc, explore};
use crate::vfs::sim::{CrashMode, SimVfs};
use crate::{Db, Durability, Maintenance, Options, Progress, WriteBatch, WriteOptions};

const SCHEDULES: usize = 2_000;

fn options() -> Options {
    Options::default()
        .maintenance(Maintenance::Manual)
        .memtable_bytes(1 << 10)
        .block_bytes(128)
        .table_bytes(1 << 10)
        .level0_tables(1)
        .level_base_bytes(1 << 10)
        .wal_segment_bytes_max(4 << 10)
}

fn open(sim: &SimVfs) -> Db {
    open_on(options(), Arc::new(sim.clone()), Path::new("/db")).expect("an open")
}

fn number(value: Option<crate::Value>) -> u64 {
    let value = value.expect("it was put before all");
    u64::from_le_bytes(value[..8].try_into().expect("a number"))
}

/// Puts `number` under both keys of the pair, in one batch.
fn put_pair(db: &Db, name: &str, number: u64, durability: Durability) {
    let mut batch = WriteBatch::new();
    let value = [number.to_le_bytes(); 8].concat();
    batch.put(format!("{name}a"), &value).put(format!("{name}b"), &value);
    let options = WriteOptions::default().durability(durability);
    db.write_with(&batch, &options).expect("a batch");
}

fn join(threads: Vec<shuttle::thread::JoinHandle<()>>) {
    for thread in threads {
        thread.join().expect("a thread");
    }
}

/// Writers of synced and buffered batches at once: what a synced one acknowledged is on
/// the disk, whole, and so is all that was acknowledged to others before it began.
#[test]
fn shuttle_commit_queue() {
    explore("commit queue", SCHEDULES, || {
        let sim = SimVfs::new(1);
        let db = open(&sim);
        let threads = (0..3)
            .map(|writer| {
                let (db, sim) = (db.clone(), sim.clone());
                shuttle::thread::spawn(move || {
                    let name = format!("writer {writer}");
                    for number in 1..=2 {
                        let synced = (writer + number) % 3 > 0;
                        let durability =
                            if synced { Durability::Sync } else { Durability::Buffered };
                        put_pair(&db, &name, number, durability);
                        assert_eq!(number_of(&db, &name), Some(number), "its own write");
                        if synced && number == 2 {
                            let cut = sim.crash_now(CrashMode::Synced);
                            let found = number_of(&open(&cut), &name);
                            assert_eq!(found, Some(number), "{name}: lost or by half");
                        }
                    }
                })
            })
            .collect();
        join(threads);
        for writer in 0..3 {
            assert_eq!(number_of(&db, &format!("writer {writer}")), Some(2));
        }
        db.close().expect("a close");
    });
}

/// The number under both keys of the pair as of one moment, if they agree.
fn number_of(db: &Db, name: &str) -> Option<u64> {
    let [a, b] = ["a", "b"].map(|part| format!("{name}{part}"));
    let values = db.multi_get([a, b]).expect("a get");
    let [a, b] = <[_; 2]>::try_from(values).expect("two values").map(number);
    (a == b).then_some(a)
}

/// A writer, a reader, and a thread that flushes and compacts: each read finds the last
/// acknowledged batch or a later one, whole, whichever view it pins.
fn switch(maintain: fn(&Db)) {
    let db = open(&SimVfs::new(1));
    for number in 1..=2 {
        put_pair(&db, "", number, Durability::Buffered);
        db.flush().expect("a flush");
    }
    let held = db.snapshot().expect("a snapshot");
    let acknowledged = Arc::new(crate::sync::AtomicU64::new(2));
    let (told, heard) = (Arc::clone(&acknowledged), acknowledged);
    let (writer, reader, worker) = (db.clone(), db.clone(), db.clone());
    let threads = vec![
        shuttle::thread::spawn(move || {
            for number in 3..=5 {
                put_pair(&writer, "", number, Durability::Buffered);
                told.store(number, crate::sync::Ordering::Release);
            }
        }),
        shuttle::thread::spawn(move || {
            let mut last = 0;
            for round in 0..3 {
                let least = heard.load(crate::sync::Ordering::Acquire).max(last);
                last = match round {
                    0 => number(reader.get("a").expect("a get")),
                    1 => number_of(&reader, "").expect("a batch is seen whole"),
                    _ => {
                        let snapshot = reader.snapshot().expect("a snapshot");
                        let a = number(snapshot.get("a").expect("a get"));
                        let b = number(snapshot.get("b").expect("a get"));
                        assert_eq!(a, b, "a batch is seen whole");
                        a
                    }
                };
                assert!(last >= least, "{last} read, {least} was acknowledged or read before");
            }
        }),
        shuttle::thread::spawn(move || maintain(&worker)),
    ];
    join(threads);
    assert_eq!(number_of(&db, ""), Some(5));
    let before = [held.get("a"), held.get("b")].map(|value| number(value.expect("a get")));
    assert_eq!(before, [2, 2], "the snapshot reads on");
    drop(held);
    db.close().expect("a close");
}

#[test]
fn shuttle_view_switch() {
    explore("view switch by a flush", SCHEDULES, || switch(|db| db.flush().expect("a flush")));
    explore("view switch by a compaction", SCHEDULES, || {
        switch(|db| db.compact_range(..).expect("a compaction"));
    });
    explore("view switch by steps", SCHEDULES, || {
        switch(|db| {
            for _ in 0..4 {
                if db.maintain().expect("a step") == Progress::Idle {
                    return;
                }
            }
        });
    });
}
