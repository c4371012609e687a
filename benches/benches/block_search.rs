//! Searches in one block, and in a table of 500,000 entries: hit, miss, scan.
//! Keys are 16 decimal digits with gaps, values 100 bytes.

#![expect(missing_docs, reason = "criterion makes public functions")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use olive_core::internals::format::block::{Block, Layout, ZERO_PUT};
use olive_core::internals::format::block_builder::BlockBuilder;
use olive_core::internals::internal_iter::InternalIter;
use olive_core::internals::key::{InternalKey, SeqNo};
use olive_core::internals::table::{
    Table, TableReadOptions, TableWriter, TableWriterOptions, filter_hash,
};
use olive_core::internals::vfs::{OsVfs, Vfs};
use olive_core::{ChecksumPolicy, TableIo};

const ENTRIES: u64 = 500_000;

/// The default keyspace, and every third number: two misses between two hits.
fn key(number: u64) -> [u8; 17] {
    format!("\x01{number:016}").into_bytes().try_into().unwrap()
}

fn shuffled(i: u64, below: u64) -> u64 {
    let mut z = i.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (z ^ (z >> 27)) % below
}

fn block_search(c: &mut Criterion) {
    let mut builder = BlockBuilder::default();
    let mut entries = 0;
    while builder.add(
        InternalKey::new(&key(700_000 + 3 * entries), ZERO_PUT),
        &[7; 100],
        false,
        4096,
    ) {
        entries += 1;
    }
    let mut bytes = Vec::new();
    builder.encode(&mut bytes, 0);
    let mut group = c.benchmark_group("block");
    for (name, off) in [("hit", 0), ("miss", 1)] {
        let keys: Vec<[u8; 17]> =
            (0..4096).map(|i| key(700_000 + 3 * shuffled(i, entries) + off)).collect();
        let mut i = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                i = (i + 1) & (keys.len() - 1);
                let layout = Layout::parse(black_box(&bytes)).unwrap();
                let target = InternalKey::seek(&keys[i], SeqNo::MAX);
                Block::new(&bytes, &layout).find(target).unwrap().map(|entry| entry.value.start)
            });
        });
    }
    group.finish();
}

fn table() -> (tempfile::TempDir, Arc<Table>) {
    let dir = tempfile::tempdir().unwrap();
    let vfs: Arc<dyn Vfs> = Arc::new(OsVfs::default());
    let options = TableWriterOptions { block_bytes: 4096, filter_bits_per_key: 10 };
    let mut writer = TableWriter::create(&vfs, dir.path(), 1, options).unwrap();
    for i in 0..ENTRIES {
        writer.add(InternalKey::new(&key(3 * i), ZERO_PUT), &[7; 100]).unwrap();
    }
    let meta = writer.finish().unwrap();
    println!("{:.2} bytes an entry", meta.bytes as f64 / ENTRIES as f64);
    let io = TableReadOptions { io: TableIo::Mapped, checksum_policy: ChecksumPolicy::FirstRead };
    let table = Table::new(vfs, dir.path(), meta, io);
    (dir, table)
}

fn table_reads(c: &mut Criterion) {
    let (_dir, table) = table();
    assert_eq!(scan(&table), ENTRIES);
    println!("{} bytes of index and filter in memory", table.memory_bytes());
    let mut group = c.benchmark_group("table");
    for (name, off) in [("get_hit", 0), ("get_miss_past_filter", 1)] {
        let keys: Vec<[u8; 17]> =
            (0..1 << 20).map(|i| key(3 * shuffled(i, ENTRIES) + off)).collect();
        let mut i = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                i = (i + 1) & (keys.len() - 1);
                table.get(&keys[i], SeqNo::MAX).unwrap().map(|found| found.bytes()[0])
            });
        });
        group.bench_function(format!("{name}_filtered"), |b| {
            b.iter(|| {
                i = (i + 1) & (keys.len() - 1);
                if !table.may_contain(filter_hash(&keys[i])).unwrap() {
                    return None;
                }
                table.get(&keys[i], SeqNo::MAX).unwrap().map(|found| found.bytes()[0])
            });
        });
    }
    group.throughput(Throughput::Elements(ENTRIES)).sample_size(20);
    group.bench_function("scan", |b| b.iter(|| scan(&table)));
    group.finish();
}

fn scan(table: &Arc<Table>) -> u64 {
    let mut iter = table.iter();
    let mut entries = 0;
    let mut more = iter.seek_to_first().unwrap();
    while more {
        black_box((iter.key(), iter.value()));
        entries += 1;
        more = iter.next().unwrap();
    }
    entries
}

fn writes(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let vfs: Arc<dyn Vfs> = Arc::new(OsVfs::default());
    let options = TableWriterOptions { block_bytes: 4096, filter_bits_per_key: 10 };
    let keys: Vec<[u8; 17]> = (0..ENTRIES / 5).map(|i| key(3 * i)).collect();
    let mut group = c.benchmark_group("table");
    group.throughput(Throughput::Elements(keys.len() as u64)).sample_size(10);
    let mut number = 0;
    group.bench_function("write_unsynced", |b| {
        b.iter(|| {
            number += 1;
            let mut writer = TableWriter::create(&vfs, dir.path(), number, options).unwrap();
            for key in &keys {
                writer.add(InternalKey::new(key, ZERO_PUT), &[7; 100]).unwrap();
            }
            writer.abandon();
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(500))
        .measurement_time(std::time::Duration::from_secs(2));
    targets = block_search, table_reads, writes
}
criterion_main!(benches);
