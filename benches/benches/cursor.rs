//! A cursor's next and seek, by what it merges.
//!
//! ```text
//! last level      all compacted: one source
//! memtable        nothing flushed: one source
//! memtable and 4  the newest fifth in the memtable, the rest in four tables of level 0
//! ```
//!
//! Each database holds the same entries (16-byte keys, 100-byte values). Maintenance is by
//! hand, so that nothing moves while it is measured.

use std::hint::black_box;
use std::path::Path;

use criterion::Criterion;
use olive_benches::entries::KeyBuf;
use olive_benches::numbers::Rng;
use olive_core::{Db, Maintenance, Options};

const ENTRIES: u64 = 200_000;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    cursor(&mut criterion);
    criterion.final_summary();
}

fn cursor(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut group = criterion.benchmark_group("cursor");
    let places: [(&str, olive_core::Result<Db>); 3] = [
        ("last level", compacted(&folder.path().join("last-level"))),
        ("memtable", filled(&folder.path().join("memtable"), 1)),
        ("memtable and 4", filled(&folder.path().join("memtable-and-4"), 5)),
    ];
    for (place, db) in places {
        let db = db.expect("a new database is filled");
        let mut cursor = db.cursor().expect("a cursor");
        assert!(cursor.seek_to_first().expect("a seek succeeds"), "there are entries");
        group.bench_function(format!("next, {place}"), |bencher| {
            bencher.iter(|| {
                if !cursor.next().expect("next succeeds") {
                    cursor.seek_to_first().expect("a seek succeeds");
                }
                black_box((cursor.key(), cursor.value()));
            });
        });
        let (mut rng, mut key) = (Rng::new(1), KeyBuf::new(16));
        group.bench_function(format!("seek, {place}"), |bencher| {
            bencher.iter(|| {
                let found = cursor.seek(key.of(rng.below(ENTRIES))).expect("a seek succeeds");
                assert!(found, "the key was put");
                black_box((cursor.key(), cursor.value()));
            });
        });
        db.close().expect("close succeeds");
    }
    group.finish();
}

/// All entries in `parts`, flushed between, the last part left in the memtable.
fn filled(folder: &Path, parts: u64) -> olive_core::Result<Db> {
    let options = Options::default().maintenance(Maintenance::Manual);
    let db = options.memtable_bytes(256 << 20).level0_tables(64).open(folder)?;
    let mut key = KeyBuf::new(16);
    for part in 0..parts {
        if part > 0 {
            db.flush()?;
        }
        for number in (part..ENTRIES).step_by(parts as usize) {
            db.put(key.of(number), [number as u8; 100])?;
        }
    }
    Ok(db)
}

fn compacted(folder: &Path) -> olive_core::Result<Db> {
    let db = filled(folder, 1)?;
    db.flush()?;
    db.compact_range(..)?;
    Ok(db)
}
