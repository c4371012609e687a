//! The workloads, generic over the engine and over whether each operation is timed.
//!
//! ```text
//! fill    puts into an empty or a full database     read    gets, seeks, scans
//! mixed   one reader and one writer at once         ycsb    A to F
//! clocks  timed operations, and ones that are not
//! ```

mod clocks;
mod fill;
mod mixed;
mod read;
mod ycsb;

use std::hint::black_box;
use std::sync::Barrier;
use std::time::Instant;

use anyhow::{Result, anyhow};
use olive_benches::entries::KeyBuf;
use olive_benches::numbers::{Rng, Zipf, filled, permuted};
use olive_benches::spec::{Filled, Job, Outcome, Side, Skew, Work};

use crate::engines::{Cursor, Engine};
use crate::pauses::Span;
use clocks::{Clock, NoClock, Timed};

/// Does the job's work; what it measured, and its timed puts of a millisecond and more.
pub(crate) fn run<E: Engine>(engine: &E, job: &Job) -> Result<(Outcome, Vec<Span>)> {
    if job.clocks { run_with::<E, Timed>(engine, job) } else { run_with::<E, NoClock>(engine, job) }
}

fn run_with<E: Engine, C: Clock>(engine: &E, job: &Job) -> Result<(Outcome, Vec<Span>)> {
    let outcome = match job.work {
        Work::FillSeq
        | Work::FillRandom
        | Work::FillUnique
        | Work::FillBatch
        | Work::FillOverwrite
        | Work::Overwrite => return fill::run::<E, C>(engine, job),
        Work::ReadHit
        | Work::ReadHandle
        | Work::ReadMissing
        | Work::Seek
        | Work::Scan
        | Work::ScanOwned => read::run::<E, C>(engine, job),
        Work::ReadWhileWriting => mixed::run::<E, C>(engine, job),
        Work::YcsbA | Work::YcsbB | Work::YcsbC | Work::YcsbD | Work::YcsbE | Work::YcsbF => {
            ycsb::run::<E, C>(engine, job)
        }
    };
    Ok((outcome?, Vec::new()))
}

/// Reads every entry once and some of them again, so that caches hold what they would
/// hold in the middle of a program's life.
pub(crate) fn warm<E: Engine>(engine: &E, job: &Job) -> Result<()> {
    black_box(engine.with_cursor(|cursor| cursor.scan())?);
    let mut picker = Picker::new(job, u64::MAX);
    let mut key = KeyBuf::new(job.key_bytes);
    for _ in 0..(job.ops / 4).min(200_000) {
        black_box(engine.get(key.of(picker.there()))?);
    }
    Ok(())
}

/// Draws numbers of a database's entries, as skewed as the job wants.
struct Picker {
    rng: Rng,
    zipf: Option<Zipf>,
    filled: Filled,
    filled_ops: u64,
    entries: u64,
}

impl Picker {
    fn new(job: &Job, seed: u64) -> Picker {
        let zipf = (job.skew == Skew::Zipf).then(|| Zipf::new(job.filled_ops.max(1), 0.99));
        Picker {
            rng: Rng::new(seed),
            zipf,
            filled: job.filled,
            filled_ops: job.filled_ops.max(1),
            entries: job.entries,
        }
    }

    /// The number of an entry that was filled in.
    #[inline]
    fn there(&mut self) -> u64 {
        let index = match &self.zipf {
            Some(zipf) => zipf.scrambled(&mut self.rng),
            None => self.rng.below(self.filled_ops),
        };
        match self.filled {
            Filled::Random => filled(index, self.entries),
            Filled::Unique => permuted(index, self.entries),
        }
    }

    /// Any number of the range.
    #[inline]
    fn any(&mut self) -> u64 {
        self.rng.below(self.entries)
    }
}

/// When the work has to end, looked at seldom.
#[derive(Clone, Copy)]
struct Deadline(Instant);

impl Deadline {
    fn of(job: &Job) -> Deadline {
        Deadline(Instant::now() + std::time::Duration::from_secs(job.seconds_max))
    }

    /// Every 1,024th operation reads a clock: a thousandth of what one costs.
    #[inline]
    fn passed(self, op: u64) -> bool {
        op % 1024 == 1023 && Instant::now() >= self.0
    }
}

/// What one thread did, and from when to when.
struct Done<C> {
    ops: u64,
    clock: C,
    began: Instant,
    ended: Instant,
}

/// What all threads of a workload did.
struct Did {
    side: Side,
    /// The operations of a millisecond and more, where each was timed.
    slow: Vec<Span>,
    /// Whether it ended by itself rather than by its deadline.
    finished: bool,
}

/// Runs `work` in `threads` threads that begin at once, each told its number and how many
/// operations are its share; the time is from the first one's first to the last one's last.
fn together<C: Clock>(
    job: &Job,
    work: impl Fn(usize, u64, &mut C, Deadline) -> Result<u64> + Sync,
) -> Result<Did> {
    let threads = job.threads.max(1);
    let barrier = Barrier::new(threads);
    let deadline = Deadline::of(job);
    let done: Result<Vec<Done<C>>> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|thread| {
                let (barrier, work) = (&barrier, &work);
                let share = (job.ops + thread as u64) / threads as u64;
                scope.spawn(move || {
                    let mut clock = C::default();
                    barrier.wait();
                    let began = Instant::now();
                    let ops = work(thread, share, &mut clock, deadline)?;
                    Ok(Done { ops, clock, began, ended: Instant::now() })
                })
            })
            .collect();
        let joined = handles
            .into_iter()
            .map(|handle| handle.join().map_err(|_| anyhow!("a thread of the work panicked"))?);
        joined.collect()
    });
    let done = done?;
    let began = done.iter().map(|thread| thread.began).min().unwrap_or_else(Instant::now);
    let mut clock = C::default();
    let mut side = Side::default();
    for thread in &done {
        side.ops += thread.ops;
        side.seconds = side.seconds.max(thread.ended.duration_since(began).as_secs_f64());
        clock.merge(&thread.clock);
    }
    side.latency = clock.latency();
    let finished = Instant::now() < deadline.0;
    Ok(Did { side, slow: clock.into_slow(), finished })
}
