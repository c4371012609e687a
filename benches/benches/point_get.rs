//! Point gets by where the key is found.
//!
//! ```text
//! memtable      puts, nothing flushed
//! level 0       four tables that overlap, none compacted
//! last level    all of it compacted
//! missing       a key between two others, in the compacted tree: a filter's work
//! ```
//!
//! Each database holds the same entries (16-byte keys, 100-byte values); keys are
//! asked for in an order without a pattern. Maintenance is by hand, so that
//! nothing moves while it is measured.

use std::hint::black_box;
use std::path::Path;

use criterion::Criterion;
use olive_core::{Db, Maintenance, Options};

const ENTRIES: u64 = 200_000;
const LEVEL0_TABLES: u64 = 4;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    point_get(&mut criterion);
    criterion.final_summary();
}

fn point_get(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut group = criterion.benchmark_group("point_get");
    let places: [(&str, olive_core::Result<Db>); 3] = [
        ("memtable", in_memtable(folder.path())),
        ("level 0", in_level_0(folder.path())),
        ("last level", in_last_level(folder.path())),
    ];
    for (place, db) in places {
        let db = db.expect("a new database is filled");
        let mut number = numbers();
        group.bench_function(place, |bencher| {
            bencher.iter(|| {
                let value = db.get(key(black_box(number()))).expect("a get succeeds");
                assert!(value.is_some(), "the key was put");
                value
            });
        });
        if place == "last level" {
            group.bench_function("last level, get_with", |bencher| {
                bencher.iter(|| {
                    let key = key(black_box(number()));
                    db.get_with(key, |value| value.len()).expect("a get succeeds")
                });
            });
            group.bench_function("missing", |bencher| {
                bencher.iter(|| {
                    let mut missing = key(black_box(number()));
                    missing[15] = b':';
                    assert!(db.get(missing).expect("a get succeeds").is_none());
                });
            });
        }
        db.close().expect("close succeeds");
    }
    group.finish();
}

fn in_memtable(folder: &Path) -> olive_core::Result<Db> {
    let db = options().open(folder.join("memtable"))?;
    fill(&db, 0, 1)?;
    Ok(db)
}

fn in_level_0(folder: &Path) -> olive_core::Result<Db> {
    let db = options().open(folder.join("level-0"))?;
    for part in 0..LEVEL0_TABLES {
        fill(&db, part, LEVEL0_TABLES)?;
        db.flush()?;
    }
    Ok(db)
}

fn in_last_level(folder: &Path) -> olive_core::Result<Db> {
    let db = options().open(folder.join("last-level"))?;
    fill(&db, 0, 1)?;
    db.flush()?;
    db.compact_range(..)?;
    Ok(db)
}

fn options() -> Options {
    Options::default().maintenance(Maintenance::Manual).memtable_bytes(256 << 20).level0_tables(64)
}

/// Puts every number that leaves `part` when divided by `parts`.
fn fill(db: &Db, part: u64, parts: u64) -> olive_core::Result<()> {
    for number in (part..ENTRIES).step_by(parts as usize) {
        db.put(key(number), [number as u8; 100])?;
    }
    Ok(())
}

/// A 16-byte key: zero-padded decimal.
fn key(number: u64) -> [u8; 16] {
    let mut key = [b'0'; 16];
    let mut rest = number;
    for byte in key.iter_mut().rev() {
        *byte += (rest % 10) as u8;
        rest /= 10;
    }
    key
}

/// Numbers below the count of entries, without a pattern.
fn numbers() -> impl FnMut() -> u64 {
    let mut state = 1_u64;
    move || {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        (state >> 33) % ENTRIES
    }
}
