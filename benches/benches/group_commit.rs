//! Synced puts of 1, 2, 8 and 32 threads: writers that wait together share a sync, so the
//! time a put falls as the threads grow. And the same buffered, which share a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion};
use olive_benches::entries::KeyBuf;
use olive_core::{Db, Durability, WriteOptions};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for (name, durability) in [("synced", Durability::Sync), ("buffered", Durability::Buffered)] {
        commits(&mut criterion, name, durability);
    }
    criterion.final_summary();
}

fn commits(criterion: &mut Criterion, name: &str, durability: Durability) {
    // Not in /tmp, which may be memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary folder");
    let db = Db::open(folder.path().join("db")).expect("a new database");
    let options = WriteOptions::default().durability(durability);
    let next = AtomicU64::new(0);
    let mut group = criterion.benchmark_group(format!("group commit, {name}"));
    group.sample_size(10);
    for threads in [1, 2, 8, 32] {
        group.bench_function(BenchmarkId::from_parameter(threads), |bencher| {
            bencher.iter_custom(|iters| puts(&db, &options, &next, threads, iters));
        });
    }
    group.finish();
    db.close().expect("close succeeds");
}

/// The time of `iters` puts by so many threads together.
fn puts(db: &Db, options: &WriteOptions, next: &AtomicU64, threads: u64, iters: u64) -> Duration {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                let mut key = KeyBuf::new(16);
                for _ in 0..(iters + thread) / threads {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    db.put_with(key.of(number), [7; 100], options).expect("a put succeeds");
                }
            });
        }
    });
    start.elapsed()
}
