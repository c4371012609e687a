//! The filter: hashing a key, asking for one that is there and one that is not,
//! in a filter that fits the caches and one that does not.

#![expect(missing_docs, reason = "criterion makes public functions")]

use criterion::{Criterion, criterion_group, criterion_main};
use olive_core::internals::format::filter::{Filter, encode, filter_hash};

fn key(number: u64) -> Vec<u8> {
    format!("\x01{number:016}").into_bytes()
}

fn filter(c: &mut Criterion) {
    let mut group = c.benchmark_group("filter");
    for len in [4, 17, 64, 1024] {
        let bytes = vec![b'k'; len];
        group.bench_function(format!("hash_{len}_bytes"), |b| {
            b.iter(|| filter_hash(std::hint::black_box(&bytes)));
        });
    }
    for keys in [10_000_u64, 4_000_000] {
        let hashes: Vec<u64> = (0..keys).map(|i| filter_hash(&key(i))).collect();
        let filter = Filter::decode(&encode(&hashes, 10)).unwrap();
        let others: Vec<u64> = (keys..2 * keys).map(|i| filter_hash(&key(i))).collect();
        let hits = others.iter().filter(|&&hash| filter.may_contain(hash)).count();
        println!("{keys} keys: {:.3} % false hits", 100.0 * hits as f64 / keys as f64);
        for (name, hashes) in [("hit", &hashes), ("miss", &others)] {
            let mut i = 0;
            group.bench_function(format!("{name}_of_{keys}"), |b| {
                b.iter(|| {
                    i = (i + 1) % hashes.len();
                    filter.may_contain(hashes[i])
                });
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_secs(1));
    targets = filter
}
criterion_main!(benches);
