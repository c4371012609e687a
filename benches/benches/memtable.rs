//! The memtable: 400,000 entries of 16-byte decimal keys and 100-byte
//! values.
#![expect(missing_docs, reason = "criterion's macro makes a public function")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use olive_core::internals::internal_iter::InternalIter;
use olive_core::internals::key::{InternalKey, Kind, SeqNo, Tag};
use olive_core::internals::memtable::{ArenaGauge, Memtable, MemtableWriter};

const ENTRIES: u64 = 400_000;
const CAPACITY_BYTES: usize = 128 << 20;

/// The scoped key of number `n` in the default keyspace.
fn key(n: u64) -> [u8; 17] {
    let mut key = [b'0'; 17];
    key[0] = 1;
    let mut rest = n;
    for digit in key.iter_mut().rev().take(16) {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    key
}

/// A fixed random number for `n`, below 2 million; even ones are inserted.
fn scattered(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ z >> 31) % 1_000_000 * 2
}

fn fill(writer: &mut MemtableWriter, number: fn(u64) -> u64) {
    let value = [b'v'; 100];
    for n in 0..ENTRIES {
        let key = key(number(n));
        writer.insert(InternalKey::new(&key, Tag::new(SeqNo(n + 1), Kind::Put)), &value);
    }
}

fn inserts(c: &mut Criterion) {
    let mut group = c.benchmark_group("memtable/insert");
    group.throughput(Throughput::Elements(ENTRIES)).sample_size(10);
    for (name, number) in [("random", scattered as fn(u64) -> u64), ("sequential", |n| n)] {
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    let gauge = ArenaGauge::new();
                    let (_table, mut writer) = Memtable::new(CAPACITY_BYTES, &gauge).unwrap();
                    let start = Instant::now();
                    fill(&mut writer, number);
                    spent += start.elapsed();
                }
                spent
            });
        });
    }
    group.finish();
}

fn reads(c: &mut Criterion) {
    let (table, mut writer) = Memtable::new(CAPACITY_BYTES, &ArenaGauge::new()).unwrap();
    fill(&mut writer, scattered);
    println!("arena bytes an entry: {:.1}", table.bytes_used() as f64 / table.len() as f64);
    let mut group = c.benchmark_group("memtable/get");
    for (name, odd) in [("hit", 0), ("miss", 1)] {
        let mut n = 0;
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| {
                n = (n + 7919) % ENTRIES;
                let found = table.get(&key(scattered(n) + odd), SeqNo::MAX);
                assert_eq!(found.is_some(), odd == 0);
                black_box(found);
            });
        });
    }
    group.finish();

    let mut group = c.benchmark_group("memtable/scan");
    group.throughput(Throughput::Elements(ENTRIES)).sample_size(10);
    for backward in [false, true] {
        let name = if backward { "backward" } else { "forward" };
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| {
                let mut iter = table.iter();
                let mut more = if backward { iter.seek_to_last() } else { iter.seek_to_first() };
                while more.unwrap() {
                    black_box((iter.key(), iter.value()));
                    more = if backward { iter.prev() } else { iter.next() };
                }
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = inserts, reads
}
criterion_main!(benches);
