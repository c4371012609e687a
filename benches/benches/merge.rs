//! Tables merged, and an index searched: what compactions, scans and seeks are made of.
//!
//! ```text
//! interleaved  each run wins in turn       2 runs, 5 runs
//! in stretches one run wins 1,000 times    2 runs, 5 runs
//! index        which block has a key       of a table of 500,000 entries
//! ```
//!
//! Keys are 16 decimal digits, values 100 bytes; the tables are mapped and warm.

#![expect(missing_docs, reason = "criterion makes public functions")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use olive_benches::numbers::permuted;
use olive_core::internals::format::block::ZERO_PUT;
use olive_core::internals::internal_iter::InternalIter;
use olive_core::internals::iter::Merge;
use olive_core::internals::key::InternalKey;
use olive_core::internals::table::{Table, TableReadOptions, TableWriter, TableWriterOptions};
use olive_core::internals::vfs::{OsVfs, Vfs};
use olive_core::{ChecksumPolicy, TableIo};

const ENTRIES: u64 = 500_000;
const STRETCH: u64 = 1000;

/// In the default keyspace.
fn key(number: u64) -> [u8; 17] {
    format!("\x01{number:016}").into_bytes().try_into().unwrap()
}

fn table(dir: &Path, file: u64, numbers: impl Iterator<Item = u64>) -> Arc<Table> {
    let vfs: Arc<dyn Vfs> = Arc::new(OsVfs::default());
    let options = TableWriterOptions { block_bytes: 4096, filter_bits_per_key: 10 };
    let mut writer = TableWriter::create(&vfs, dir, file, options).unwrap();
    for number in numbers {
        writer.add(InternalKey::new(&key(number), ZERO_PUT), &[7; 100]).unwrap();
    }
    let meta = writer.finish().unwrap();
    let io = TableReadOptions { io: TableIo::Mapped, checksum_policy: ChecksumPolicy::FirstRead };
    Table::new(vfs, dir, meta, io)
}

/// `runs` tables that have all numbers between them; `stretch` neighbours are in one.
fn tables(dir: &Path, runs: u64, stretch: u64) -> Vec<Arc<Table>> {
    let of = |run| (0..ENTRIES).filter(move |number| number / stretch % runs == run);
    (0..runs).map(|run| table(dir, run + 1, of(run))).collect()
}

fn merged(tables: &[Arc<Table>]) -> u64 {
    let mut merge = Merge::new(tables.iter().map(Table::iter).collect());
    let mut entries = 0;
    let mut more = merge.seek_to_first().unwrap();
    while more {
        black_box((merge.key(), merge.value()));
        entries += 1;
        more = merge.next().unwrap();
    }
    entries
}

fn merge(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("merge");
    group.throughput(Throughput::Elements(ENTRIES)).sample_size(10);
    for (name, stretch) in [("interleaved", 1), ("in stretches", STRETCH)] {
        for runs in [2, 5] {
            let dir = tempfile::tempdir().unwrap();
            let tables = tables(dir.path(), runs, stretch);
            assert_eq!(merged(&tables), ENTRIES);
            group.bench_function(BenchmarkId::new(name, runs), |b| b.iter(|| merged(&tables)));
        }
    }
    group.finish();
}

fn index(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let table = table(dir.path(), 1, 0..ENTRIES);
    let keys: Vec<[u8; 17]> = (0..1 << 16).map(|i| key(permuted(i, ENTRIES))).collect();
    let last = table.offset_of(&key(ENTRIES - 1)).unwrap();
    assert!(table.offset_of(&key(ENTRIES / 2)).unwrap().abs_diff(last / 2) < last / 10);
    let mut at = 0;
    criterion.bench_function("index search", |b| {
        b.iter(|| {
            at = (at + 1) & (keys.len() - 1);
            table.offset_of(black_box(&keys[at])).unwrap()
        });
    });
}

criterion_group!(benches, merge, index);
criterion_main!(benches);
