//! Writers, readers, scanners and snapshots at once; every answer is checked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use olive_core::internals::open_read_only_on;
use olive_core::internals::vfs::sim::SimVfs;
use olive_core::{Durability, Options, Reader, WalIo, WriteBatch, WriteOptions};

use crate::support::{DIR, Scratch, open_sim, tiny};

const KEYS: u64 = 400;

fn options(wal_io: WalIo) -> Options {
    Options::default()
        .wal_io(wal_io)
        .memtable_bytes(16 << 10)
        .block_bytes(256)
        .table_bytes(8 << 10)
        .level0_tables(2)
        .level_base_bytes(32 << 10)
        .wal_segment_bytes_max(64 << 10)
        .compaction_threads(2)
        .sync_interval(Duration::from_millis(3))
}

fn key(number: u64) -> String {
    format!("key{number:05}")
}

/// Every batch writes the same round under a pair of keys; a reader never sees two.
fn check_pairs(reader: &impl Reader, least: u64) {
    let mut last = None;
    let mut count = 0;
    for entry in reader.iter().expect("a walk") {
        let (key, value) = entry.expect("an entry");
        assert!(last.as_ref() < Some(&key), "keys rise");
        let round = u64::from_le_bytes(value[..8].try_into().expect("a round"));
        if count % 2 == 1 {
            assert_eq!(Some(round), last_round(&last, reader), "a batch is seen whole");
        }
        assert!(round >= least, "an older round than one that was acknowledged");
        last = Some(key);
        count += 1;
    }
    assert_eq!(count, KEYS);
}

fn last_round(last: &Option<olive_core::Key>, reader: &impl Reader) -> Option<u64> {
    let value = reader.get(last.as_ref()?).expect("a get")?;
    Some(u64::from_le_bytes(value[..8].try_into().expect("a round")))
}

fn run(wal_io: WalIo) {
    let scratch = Scratch::new();
    let db = options(wal_io).open(scratch.path()).expect("a new database");
    let rounds: Vec<AtomicU64> = (0..KEYS / 2).map(|_| AtomicU64::new(0)).collect();
    for pair in 0..KEYS / 2 {
        let mut batch = WriteBatch::new();
        let value = [0_u64.to_le_bytes(); 6].concat();
        batch.put(key(pair * 2), &value).put(key(pair * 2 + 1), &value);
        db.write(&batch).expect("a batch");
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..2_u64 {
            let (db, rounds, done) = (&db, &rounds, &done);
            scope.spawn(move || {
                let mut round = 0;
                while !done.load(Ordering::Relaxed) {
                    round += 1;
                    for pair in (writer..KEYS / 2).step_by(2) {
                        let mut batch = WriteBatch::new();
                        let value = [u64::to_le_bytes(round); 6].concat();
                        batch.put(key(pair * 2), &value).put(key(pair * 2 + 1), &value);
                        let durable = round % 50 == 0 && pair % 64 == writer;
                        let durability =
                            if durable { Durability::Sync } else { Durability::Buffered };
                        db.write_with(&batch, &WriteOptions::default().durability(durability))
                            .expect("a batch");
                        rounds[pair as usize].store(round, Ordering::Release);
                    }
                }
            });
        }
        for reader in 0..2_u64 {
            let (db, rounds, done) = (&db, &rounds, &done);
            scope.spawn(move || {
                let mut number = reader;
                while !done.load(Ordering::Relaxed) {
                    number = (number * 7 + 13) % KEYS;
                    let least = rounds[number as usize / 2].load(Ordering::Acquire);
                    let value = db.get(key(number)).expect("a get").expect("a value");
                    let found = u64::from_le_bytes(value[..8].try_into().expect("a round"));
                    assert!(found >= least, "{found} after {least} was acknowledged");
                    let both = [key(number / 2 * 2), key(number / 2 * 2 + 1)];
                    let both = db.multi_get(&both).expect("a get");
                    assert_eq!(both[0], both[1], "as of one moment");
                }
            });
        }
        let (db, rounds, done) = (&db, &rounds, &done);
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                let least = rounds.iter().map(|r| r.load(Ordering::Acquire)).min().unwrap_or(0);
                let snapshot = db.snapshot().expect("a snapshot");
                check_pairs(&snapshot, least);
                std::thread::sleep(Duration::from_millis(5));
                check_pairs(&snapshot, least);
            }
        });
        std::thread::sleep(Duration::from_millis(1200));
        done.store(true, Ordering::Relaxed);
    });
    let least = rounds.iter().map(|round| round.load(Ordering::Acquire)).collect::<Vec<_>>();
    assert!(db.verify().expect("a verify").is_clean());
    assert_eq!(db.stats().expect("stats").background_errors, 0);
    db.close().expect("a close");
    let db = options(wal_io).open(scratch.path()).expect("a reopen");
    for (pair, round) in least.iter().enumerate() {
        let value = db.get(key(pair as u64 * 2)).expect("a get").expect("a value");
        assert_eq!(&value[..8], round.to_le_bytes());
    }
}

#[test]
fn writers_readers_and_snapshots_at_once_mapped() {
    run(WalIo::Mapped);
}

#[test]
fn writers_readers_and_snapshots_at_once_written() {
    run(WalIo::Write);
}

#[test]
fn maintenance_by_many_hands_at_once() {
    let scratch = Scratch::new();
    let db = tiny().open(scratch.path()).expect("a new database");
    std::thread::scope(|scope| {
        for hand in 0..4_u32 {
            let db = &db;
            scope.spawn(move || {
                for number in 0..250 {
                    db.put(format!("{hand} {number:04}"), [1; 60]).expect("a put");
                    match number % 25 {
                        3 => drop(db.maintain().expect("a step")),
                        9 => db.flush().expect("a flush"),
                        15 if hand < 2 => db.compact_range(..).expect("a compaction"),
                        21 => db.sync().expect("a sync"),
                        _ => {}
                    }
                }
            });
        }
    });
    assert_eq!(db.iter().expect("a walk").count(), 1000);
    assert!(db.verify().expect("a verify").is_clean());
    db.close().expect("a close");
    let db = tiny().open(scratch.path()).expect("a reopen");
    assert_eq!(db.iter().expect("a walk").count(), 1000);
}

#[test]
fn keyspaces_made_and_dropped_at_once() {
    let scratch = Scratch::new();
    let db = tiny().open(scratch.path()).expect("a new database");
    std::thread::scope(|scope| {
        for hand in 0..3_u32 {
            let db = &db;
            scope.spawn(move || {
                for round in 0..60 {
                    let name = format!("shared {}", round % 3);
                    let keyspace = db.keyspace(&name).expect("a keyspace");
                    if let Err(error) = keyspace.put(format!("{hand} {round}"), [1; 40]) {
                        let kind = error.kind();
                        assert_eq!(kind, olive_core::ErrorKind::InvalidArgument, "{error}");
                    }
                    if round % 5 == hand {
                        db.drop_keyspace(&name).expect("a drop");
                    }
                    if round % 7 == 0 {
                        db.maintain().expect("a step");
                    }
                }
            });
        }
    });
    let names = db.keyspaces().expect("names");
    let model = crate::support::Model::of(&db).expect("a read");
    db.close().expect("a close");
    let db = tiny().open(scratch.path()).expect("a reopen");
    assert_eq!(db.keyspaces().expect("names"), names);
    assert_eq!(crate::support::Model::of(&db).expect("a read"), model);
}

/// Segments become the next ones while a reader replays them: it must not take a half of an
/// old one for all that there was.
#[test]
fn a_reader_beside_a_busy_writer_misses_nothing_that_was_acknowledged() {
    let sim = SimVfs::new(7);
    let options = Options::default().memtable_bytes(16 << 10).wal_segment_bytes_max(8 << 10);
    let db = open_sim(options.clone(), &sim).expect("a database");
    let (acknowledged, enough) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..100_000_u64 {
                if enough.load(Ordering::Relaxed) {
                    break;
                }
                db.put(format!("k{number:06}"), [7; 100]).expect("a put");
                acknowledged.store(number + 1, Ordering::Release);
            }
        });
        let mut opened = 0;
        // Until segments have become the next ones many times.
        while opened < 30 || acknowledged.load(Ordering::Acquire) < 20_000 {
            let least = acknowledged.load(Ordering::Acquire);
            let reader = open_read_only_on(options.clone(), Arc::new(sim.clone()), DIR);
            // One that always comes too late is an error, not a wrong answer.
            let Ok(reader) = reader else { continue };
            let found = reader.iter().expect("a walk").count() as u64;
            assert!(found >= least, "{found} of {least} entries");
            opened += 1;
        }
        enough.store(true, Ordering::Relaxed);
    });
}
