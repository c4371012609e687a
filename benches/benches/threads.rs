//! Reads of one table by 1, 2 and 4 threads at once: what they take from each other.
//!
//! ```text
//! get            a handle of a value in the table
//! get, large     the same of 1,000 bytes in the memtable
//! iter           a range of 100 entries, each with a handle
//! cursor         one is made, and seeks
//! snapshot       one is taken, and dropped
//! ```
//!
//! The time is that of one operation of all threads together: on as many processors it
//! halves where threads double.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion};
use olive_benches::entries::KeyBuf;
use olive_core::Options;

const ENTRIES: u64 = 200_000;
const LARGE: u64 = 10_000;
const RANGE: usize = 100;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    threads(&mut criterion).expect("a new database is read");
    criterion.final_summary();
}

fn threads(criterion: &mut Criterion) -> olive_core::Result<()> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let db = Options::default().memtable_bytes(256 << 20).open(folder.path().join("db"))?;
    for number in 0..ENTRIES {
        db.put(KeyBuf::new(16).of(number), [number as u8; 100])?;
    }
    db.flush()?;
    db.compact_range(..)?;
    for number in ENTRIES..ENTRIES + LARGE {
        db.put(KeyBuf::new(16).of(number), [number as u8; 1000])?;
    }
    together(criterion, "get", |number| {
        black_box(db.get(KeyBuf::new(16).of(number % ENTRIES))).map(drop)
    });
    together(criterion, "get, large", |number| {
        black_box(db.get(KeyBuf::new(16).of(ENTRIES + number % LARGE))).map(drop)
    });
    together(criterion, "iter", |number| {
        let mut from = KeyBuf::new(16);
        let from = from.of(number % (ENTRIES - RANGE as u64));
        db.range(from..)?.take(RANGE).try_for_each(|entry| black_box(entry).map(drop))
    });
    together(criterion, "cursor", |number| {
        let mut cursor = db.cursor()?;
        cursor.seek(KeyBuf::new(16).of(number % ENTRIES)).map(drop)
    });
    together(criterion, "snapshot", |_| black_box(db.snapshot()).map(drop));
    db.close()
}

fn together(
    criterion: &mut Criterion,
    name: &str,
    read: impl Fn(u64) -> olive_core::Result<()> + Sync,
) {
    let mut group = criterion.benchmark_group(format!("threads, {name}"));
    group.sample_size(10);
    for threads in [1, 2, 4] {
        group.bench_function(BenchmarkId::from_parameter(threads), |bencher| {
            bencher.iter_custom(|iters| time(&read, threads, iters));
        });
    }
    group.finish();
}

/// The time of `iters` reads by so many threads together.
fn time(
    read: &(impl Fn(u64) -> olive_core::Result<()> + Sync),
    threads: u64,
    iters: u64,
) -> Duration {
    let failed = AtomicU64::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let failed = &failed;
            scope.spawn(move || {
                let mut state = thread;
                for _ in (thread..iters).step_by(threads as usize) {
                    state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(2 * thread + 1);
                    if read(state >> 33).is_err() {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(failed.into_inner(), 0, "reads succeed");
    start.elapsed()
}
