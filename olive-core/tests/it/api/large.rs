//! Values from 1 byte to 64 MiB, through log, flush, compaction and reopen.

use olive_core::{Db, Options, TableIo, WalIo};

use crate::support::{Random, Scratch};

fn value(len: usize) -> Vec<u8> {
    let mut random = Random(len as u64);
    let pattern = random.bytes(1021);
    pattern.iter().copied().cycle().take(len).collect()
}

const LENGTHS: [usize; 12] =
    [0, 1, 30, 31, 512, 513, 4095, 4096, 70_000, 1 << 20, (5 << 20) + 1, 64 << 20];

fn check(db: &Db, lengths: &[usize]) {
    for &len in lengths {
        let key = format!("{len:012}");
        let found = db.get(&key).expect("a get").expect("a value");
        assert!(found == value(len), "{len} bytes");
        assert_eq!(db.get_with(&key, <[u8]>::len).expect("a get"), Some(len));
    }
    let found: Vec<usize> =
        db.iter().expect("a walk").map(|entry| entry.expect("an entry").1.len()).collect();
    assert_eq!(found, lengths);
    let found = db.iter().expect("a walk").rev().map(|entry| entry.expect("an entry").1.len());
    assert!(found.eq(lengths.iter().rev().copied()));
}

fn through_everything(options: Options, lengths: &[usize]) {
    let scratch = Scratch::new();
    let db = options.clone().open(scratch.path()).expect("a new database");
    for &len in lengths {
        db.put(format!("{len:012}"), value(len)).expect("a put");
    }
    check(&db, lengths);
    db.flush().expect("a flush");
    check(&db, lengths);
    db.put("gone", value(100_000)).expect("a put");
    db.delete("gone").expect("a delete");
    db.compact_range(..).expect("a compaction");
    check(&db, lengths);
    assert!(db.verify().expect("a verify").is_clean());
    db.close().expect("a close");
    let db = options.open(scratch.path()).expect("a reopen");
    check(&db, lengths);
}

#[test]
fn large_values_go_through_everything() {
    through_everything(Options::default(), &LENGTHS);
}

#[test]
fn large_values_go_through_small_parts() {
    let options = Options::default()
        .memtable_bytes(1 << 10)
        .block_bytes(64)
        .table_bytes(1 << 10)
        .wal_segment_bytes_max(4 << 10)
        .table_io(TableIo::Read)
        .wal_io(WalIo::Write);
    through_everything(options, &LENGTHS[..11]);
}

#[test]
fn a_large_value_in_the_log_is_replayed() {
    let scratch = Scratch::new();
    let db = Options::default().open(scratch.path()).expect("a new database");
    for &len in &LENGTHS[..11] {
        db.put(format!("{len:012}"), value(len)).expect("a put");
    }
    let reader = Options::default().open_read_only(scratch.path()).expect("a read-only open");
    check(&reader, &LENGTHS[..11]);
    // As a kill leaves it: the folder without its process.
    let copy = scratch.beside("killed");
    std::fs::create_dir(&copy).expect("a folder");
    for entry in std::fs::read_dir(scratch.path()).expect("a folder") {
        let path = entry.expect("an entry").path();
        std::fs::copy(&path, copy.join(path.file_name().expect("a name"))).expect("a copy");
    }
    check(&Db::open(copy).expect("an open after a kill"), &LENGTHS[..11]);
}
