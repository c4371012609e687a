//! The whole engine under the model checker, on a simulated disk, with threads for
//! writing, reading and maintenance: the commit queue, and the switch of views.

use std::path::Path;

use crate::db::open_on;
use crate::sync::{Arc, AtomicU64, Ordering, explore};
use crate::vfs::sim::{CrashMode, SimVfs};
use crate::{Db, Durability, Maintenance, Options, Progress, WriteBatch, WriteOptions};

const SCHEDULES: usize = 10_000;

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
    let value = [number.to_le_bytes(); 40].concat();
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
/// acknowledged batch or a later one, whole, whichever view it pins. Every second batch
/// fills a memtable, so the writer switches views too. `holds`: a snapshot of the state
/// before all is held, and is to show that state afterwards.
fn switch(holds: bool, maintain: fn(&Db)) {
    let db = open(&SimVfs::new(1));
    for number in 1..=2 {
        put_pair(&db, "", number, Durability::Buffered);
        db.flush().expect("a flush");
    }
    let held = holds.then(|| db.snapshot().expect("a snapshot"));
    let acknowledged = Arc::new(AtomicU64::new(2));
    let (told, heard) = (Arc::clone(&acknowledged), acknowledged);
    let (writer, reader, worker) = (db.clone(), db.clone(), db.clone());
    join(vec![
        shuttle::thread::spawn(move || {
            for number in 3..=5 {
                put_pair(&writer, "", number, Durability::Buffered);
                told.store(number, Ordering::Release);
            }
        }),
        shuttle::thread::spawn(move || read_on(&reader, &heard)),
        shuttle::thread::spawn(move || maintain(&worker)),
    ]);
    assert_eq!(number_of(&db, ""), Some(5));
    if let Some(held) = held {
        let before = [held.get("a"), held.get("b")].map(|value| number(value.expect("a get")));
        assert_eq!(before, [2, 2], "the snapshot reads on");
    }
    db.close().expect("a close");
}

/// Reads by a get, by several keys at once, and by a snapshot, in turns.
fn read_on(db: &Db, acknowledged: &AtomicU64) {
    let mut last = 0;
    for round in 0..6 {
        let least = acknowledged.load(Ordering::Acquire).max(last);
        last = match round % 3 {
            0 => number(db.get("a").expect("a get")),
            1 => number_of(db, "").expect("a batch is seen whole"),
            _ => {
                let snapshot = db.snapshot().expect("a snapshot");
                let [a, b] = ["a", "b"].map(|key| number(snapshot.get(key).expect("a get")));
                assert_eq!(a, b, "a batch is seen whole");
                a
            }
        };
        assert!(last >= least, "{last} read, {least} was acknowledged or read before");
    }
}

#[test]
fn shuttle_view_switch() {
    let flush: fn(&Db) = |db| db.flush().expect("a flush");
    let compact: fn(&Db) = |db| db.compact_range(..).expect("a compaction");
    let steps: fn(&Db) = |db| while db.maintain().expect("a step") != Progress::Idle {};
    explore("view switch by a flush", SCHEDULES, move || switch(true, flush));
    explore("view switch by a compaction", SCHEDULES, move || switch(false, compact));
    explore("view switch by a compaction, with a snapshot", SCHEDULES, move || {
        switch(true, compact);
    });
    explore("view switch by steps", SCHEDULES, move || switch(false, steps));
}

/// A writer puts keys into a range that was deleted, and deletes them; readers walk over it
/// all the while, each finding what the number that was written with them says. Under the
/// checker a walk over two hidden entries is a long one, so that gaps come and go.
#[test]
fn shuttle_gaps_beside_a_writer() {
    explore("gaps", SCHEDULES, || {
        let db = open(&SimVfs::new(1));
        for key in ["b", "c", "d", "e"] {
            db.put(key, "old").expect("a put");
            db.delete(key).expect("a delete");
        }
        db.put("z", 0_u64.to_le_bytes()).expect("a put");
        let place = |round: u64| if round < 3 { "c" } else { "d" };
        let (writer, readers) = (db.clone(), [db.clone(), db.clone()]);
        let mut threads = vec![shuttle::thread::spawn(move || {
            for round in 1..=4 {
                let mut batch = WriteBatch::new();
                match round % 2 {
                    1 => batch.put(place(round), "new"),
                    _ => batch.delete(place(round)),
                };
                batch.put("z", round.to_le_bytes());
                writer.write(&batch).expect("a batch");
            }
        })];
        threads.extend(readers.map(|db| {
            shuttle::thread::spawn(move || {
                let mut last = 0;
                for _ in 0..4 {
                    let walk = db.range("b"..).expect("a range");
                    let mut entries: Vec<_> = walk.map(|e| e.expect("an entry")).collect();
                    let round = number(entries.pop().map(|(_, value)| value));
                    assert!(round >= last, "{round} behind {last}");
                    last = round;
                    let keys: Vec<&[u8]> = entries.iter().map(|(key, _)| &key[..]).collect();
                    let there = (round % 2 == 1).then(|| place(round).as_bytes());
                    assert_eq!(keys, there.into_iter().collect::<Vec<_>>(), "as of {round}");
                }
            })
        }));
        join(threads);
        db.close().expect("a close");
    });
}

/// The entries of the keyspace `k`, if there is one.
fn entries_of_k(db: &Db) -> Option<usize> {
    let names = db.keyspaces().expect("names");
    let keyspace = names.contains(&"k".to_owned()).then(|| db.keyspace("k").expect("a keyspace"));
    keyspace.map(|keyspace| keyspace.iter().expect("a walk").count())
}

/// A keyspace is dropped and its tables go, while others take snapshots, iterators and a
/// checkpoint: each has both of its entries, or is refused, or has no such keyspace.
#[test]
fn shuttle_beside_a_drop() {
    explore("beside a drop", SCHEDULES, || {
        let sim = SimVfs::new(1);
        let db = open(&sim);
        let keyspace = db.keyspace("k").expect("a keyspace");
        for key in ["a", "b"] {
            keyspace.put(key, [1; 40]).expect("a put");
            db.flush().expect("a flush");
        }
        let (dropper, copier) = (db.clone(), db.clone());
        join(vec![
            shuttle::thread::spawn(move || {
                assert!(dropper.drop_keyspace("k").expect("a drop"));
                while dropper.maintain().expect("a step") != Progress::Idle {}
            }),
            shuttle::thread::spawn(move || {
                // Without a snapshot, which would keep the entries.
                if let Ok(walk) = keyspace.iter() {
                    let walked: crate::Result<Vec<_>> = walk.collect();
                    assert_eq!(walked.expect("entries").len(), 2);
                }
                let Ok(snapshot) = keyspace.snapshot() else { return };
                for _ in 0..3 {
                    let found = ["a", "b"].map(|key| snapshot.get(key).expect("a get").is_some());
                    assert_eq!(found, [true; 2], "a snapshot reads on");
                }
            }),
            shuttle::thread::spawn(move || copier.checkpoint("/copy").expect("a checkpoint")),
        ]);
        let copy = open_on(options(), Arc::new(sim), Path::new("/copy")).expect("it opens");
        assert!([None, Some(2)].contains(&entries_of_k(&copy)), "{:?}", entries_of_k(&copy));
        assert_eq!(entries_of_k(&db), None);
        db.close().expect("a close");
    });
}
