//! The log on a real disk: 116-byte payloads (a 12-byte key and a 100-byte value)
//! stored through the mapping and written; written and synced, by one thread and by
//! eight; 4 KiB payloads; and replay of a full segment.

#![expect(missing_docs, reason = "criterion_group! makes a function without any")]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use olive_core::internals::format::edit::DatabaseId;
use olive_core::internals::key::SeqNo;
use olive_core::internals::vfs::{OsVfs, Vfs};
use olive_core::internals::wal::{LogSync, LogWriter, ReplayPlan, Segment, SegmentIo, replay};
use olive_core::{RecoveryMode, WriteBatch};

const SEGMENT_BYTES: u64 = 64 << 20;
const DATABASE: DatabaseId = DatabaseId(1);

/// A log that goes on in fresh segments; the old ones are removed.
struct Log {
    temp: tempfile::TempDir,
    vfs: Arc<dyn Vfs>,
    io: SegmentIo,
    writer: LogWriter,
    sync: Arc<LogSync>,
    next: u64,
}

impl Log {
    fn new(io: SegmentIo) -> Log {
        let temp = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let vfs: Arc<dyn Vfs> = Arc::new(OsVfs::default());
        let dir = temp.path().to_path_buf();
        let first = Segment::create(&vfs, &dir, DATABASE, 1, 0, SEGMENT_BYTES, io).unwrap();
        let (writer, sync) = LogWriter::new(first, Arc::clone(&vfs));
        Log { temp, vfs, io, writer, sync, next: 1 }
    }

    fn append(&mut self, payload: &[u8], by_write: bool) {
        self.writer.append(SeqNo(self.next), 1, payload, by_write).unwrap();
        self.next += 1;
    }

    /// Out of the measured time.
    fn rotate(&mut self) {
        let old = self.writer.segment();
        let dir = self.temp.path();
        let number = old + 1;
        let segment =
            Segment::create(&self.vfs, dir, DATABASE, number, old, SEGMENT_BYTES, self.io);
        self.writer.rotate(segment.unwrap()).unwrap();
        self.sync.sync().unwrap();
        self.vfs.unlink(&self.path(old)).unwrap();
    }

    fn path(&self, number: u64) -> PathBuf {
        self.temp.path().join(format!("{number:06}.wal"))
    }

    /// Time of `iters` appends.
    fn time(&mut self, iters: u64, mut one: impl FnMut(&mut Log), payload_len: usize) -> Duration {
        let mut spent = Duration::ZERO;
        let mut left = iters;
        while left > 0 {
            let start = now();
            while left > 0 && self.writer.fits(payload_len) {
                one(self);
                left -= 1;
            }
            spent += start.elapsed();
            if left > 0 {
                self.rotate();
            }
        }
        spent
    }
}

fn now() -> Instant {
    Instant::now()
}

/// One put whose encoding has `len` bytes.
fn payload(len: usize) -> Vec<u8> {
    let mut batch = WriteBatch::new();
    let overhead = if len > 140 { 17 } else { 16 };
    batch.put([b'k'; 12], vec![b'v'; len - overhead]);
    assert_eq!(batch.encoded_bytes(), len);
    let mut ops = Vec::new();
    olive_core::internals::batch::encode_op(
        &mut ops,
        olive_core::internals::key::KeyspaceId::DEFAULT,
        olive_core::internals::key::Kind::Put,
        &[b'k'; 12],
        &vec![b'v'; len - overhead],
    );
    ops
}

fn append(c: &mut Criterion) {
    let mut group = c.benchmark_group("wal append");
    for len in [116, 4096] {
        let payload = payload(len);
        for io in [SegmentIo::Mapped, SegmentIo::Written, SegmentIo::Reserved] {
            let mut log = Log::new(io);
            group.bench_function(BenchmarkId::new(format!("{io:?}"), len), |b| {
                b.iter_custom(|iters| log.time(iters, |log| log.append(&payload, false), len));
            });
        }
    }
    group.finish();
}

fn append_synced(c: &mut Criterion) {
    let mut group = c.benchmark_group("wal append synced");
    group.sample_size(20);
    let payload = payload(116);
    let mut log = Log::new(SegmentIo::Mapped);
    group.bench_function("1 thread", |b| {
        let one = |log: &mut Log| {
            log.append(&payload, true);
            log.sync.sync().unwrap();
        };
        b.iter_custom(|iters| log.time(iters, one, 116));
    });
    let sync = log.sync.clone();
    let shared = Mutex::new(log);
    group.bench_function("8 threads", |b| {
        b.iter_custom(|iters| {
            let start = now();
            std::thread::scope(|scope| {
                for thread in 0..8 {
                    let (sync, shared, payload) = (&sync, &shared, &payload);
                    scope.spawn(move || {
                        for _ in 0..(iters + thread) / 8 {
                            let position = {
                                let mut log = shared.lock().unwrap();
                                if !log.writer.fits(116) {
                                    log.rotate();
                                }
                                let next = SeqNo(log.next);
                                log.next += 1;
                                log.writer.append(next, 1, payload, true).unwrap()
                            };
                            sync.wait(position).unwrap();
                        }
                    });
                }
            });
            start.elapsed()
        });
    });
    group.finish();
}

fn replayed(c: &mut Criterion) {
    let mut group = c.benchmark_group("wal replay");
    group.sample_size(20);
    for len in [116, 4096] {
        let payload = payload(len);
        let mut log = Log::new(SegmentIo::Mapped);
        let mut records = 0;
        while log.writer.fits(len) {
            log.append(&payload, false);
            records += 1;
        }
        let plan = ReplayPlan {
            dir: log.temp.path(),
            database: DATABASE,
            oldest: 1,
            found: &[1],
            sealed: None,
            flushed: SeqNo::ZERO,
            mode: RecoveryMode::Strict,
        };
        group.throughput(Throughput::Bytes(records * len as u64));
        group.bench_function(BenchmarkId::from_parameter(len), |b| {
            b.iter(|| {
                let answer = replay(&*log.vfs, &plan, &mut |_, _| {}, &mut |_| Ok(())).unwrap();
                assert_eq!(answer.records, records);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, append, append_synced, replayed);
criterion_main!(benches);
