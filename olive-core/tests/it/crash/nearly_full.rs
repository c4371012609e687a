//! A disk with room for flushes and not for the compactions that are due: writes go on
//! until there is no room for a flush.

use std::collections::BTreeMap;
use std::time::Duration;

use olive_core::internals::vfs::sim::SimVfs;
use olive_core::{Db, ErrorKind, Maintenance, Options};

use crate::support::{Random, entries, open_sim, settle, tiny};

const KEYS: u64 = 8_000;
const VALUE_BYTES: usize = 120;
/// Far more than a flush needs, and far less than level 0 needs to sink.
const ROOM_BYTES: u64 = 350 << 10;

fn options(maintenance: Maintenance) -> Options {
    tiny()
        .maintenance(maintenance)
        .level0_tables(1)
        .memtable_bytes(32 << 10)
        .block_bytes(1 << 10)
        .table_bytes(32 << 10)
        .level_base_bytes(128 << 10)
        .level_multiplier(10)
        .wal_segment_bytes_max(16 << 10)
}

/// Overwrites keys at random.
struct Writer {
    random: Random,
    held: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Puts that were not refused.
    taken: usize,
}

impl Writer {
    fn put(&mut self, db: &Db) -> bool {
        let key = format!("key{:06}", self.random.below(KEYS)).into_bytes();
        let value = self.random.bytes(VALUE_BYTES);
        match db.put(&key, &value) {
            Ok(()) => {
                self.taken += 1;
                self.held.insert(key, value);
                true
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
                false
            }
        }
    }

    /// Puts, with a wait after each that is refused, until so many were taken, or a hundred
    /// refused one after the other.
    fn write(&mut self, db: &Db, maintenance: Maintenance, puts: usize) {
        let end = self.taken + puts;
        let mut refusals = 0;
        while self.taken < end && refusals < 100 {
            if self.put(db) {
                refusals = 0;
                continue;
            }
            refusals += 1;
            if maintenance == Maintenance::Threads {
                std::thread::sleep(Duration::from_millis(10));
            } else if let Err(error) = settle(db) {
                assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
            }
        }
    }

    fn check(&self, db: &Db) {
        let found: BTreeMap<_, _> = entries(db).expect("a walk").into_iter().collect();
        assert!(found == self.held, "{} entries, {} expected", found.len(), self.held.len());
    }
}

/// A base level with all keys, and level 0 at its limit.
fn owing(vfs: &SimVfs) -> Writer {
    let db = open_sim(options(Maintenance::Manual), vfs).expect("a new database");
    let mut writer = Writer { random: Random(7), held: BTreeMap::new(), taken: 0 };
    writer.write(&db, Maintenance::Manual, 2 * KEYS as usize);
    db.compact_range(..).expect("a compaction");
    while db.stats().expect("stats").levels[0].tables < 18 {
        writer.write(&db, Maintenance::Manual, 180);
        db.flush().expect("a flush");
    }
    db.close().expect("a close");
    writer
}

fn goes_on(maintenance: Maintenance) {
    let vfs = SimVfs::new(1);
    // So that seconds of the clock, which threads wait for, take less.
    vfs.set_tick(Duration::from_millis(1));
    let mut writer = owing(&vfs);
    let capacity = vfs.bytes_of_files() + ROOM_BYTES;
    vfs.set_capacity(Some(capacity));
    let db = open_sim(options(maintenance), &vfs).expect("a reopen");
    writer.write(&db, maintenance, 10 * ROOM_BYTES as usize / VALUE_BYTES);
    let left = capacity.saturating_sub(vfs.bytes_of_files());
    assert!(left < 64 << 10, "writes are refused, and {left} bytes are left");
    vfs.set_capacity(None);
    writer.check(&db);
    db.close().expect("a close");
    let db = open_sim(options(maintenance), &vfs).expect("a reopen");
    assert!(db.verify().expect("a verify").is_clean());
    writer.check(&db);
}

#[test]
fn writes_go_on_beside_compactions_without_room_by_hand() {
    goes_on(Maintenance::Manual);
}

#[test]
fn writes_go_on_beside_compactions_without_room_by_threads() {
    goes_on(Maintenance::Threads);
}
