//! YCSB's core workloads A to F (Cooper et al., "Benchmarking Cloud Serving Systems with
//! YCSB", SoCC 2010): requests by Zipf's distribution of 0.99, D's by age.
//!
//! Entries are numbered by when they came: those below `filled_ops` were filled in, the
//! next is what an insert adds. The number's key is [`permuted`] among twice as many, so
//! that inserts come between others.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use olive_benches::entries::{KeyBuf, Values};
use olive_benches::numbers::{Rng, Zipf, permuted};
use olive_benches::spec::{Job, Outcome, Side, Work};

use super::clocks::Clock;
use super::{Did, together};
use crate::engines::{Cursor, Engine};

const SCAN_ENTRIES_MAX: u64 = 100;

#[derive(Clone, Copy)]
enum Op {
    Read,
    Update,
    Insert,
    Scan,
    ReadModifyWrite,
}

/// The workload's operation for a number below 100.
fn pick(work: Work, percent: u64) -> Op {
    match work {
        Work::YcsbA if percent < 50 => Op::Update,
        Work::YcsbB if percent < 5 => Op::Update,
        Work::YcsbD if percent < 5 => Op::Insert,
        Work::YcsbE if percent < 5 => Op::Insert,
        Work::YcsbE => Op::Scan,
        Work::YcsbF if percent < 50 => Op::ReadModifyWrite,
        _ => Op::Read,
    }
}

pub(super) fn run<E: Engine, C: Clock>(engine: &E, job: &Job) -> Result<Outcome> {
    let next = AtomicU64::new(job.filled_ops);
    let puts = AtomicU64::new(0);
    let zipf = Zipf::new(job.filled_ops, 0.99);
    let Did { side, finished, .. } = together::<C>(job, |thread, share, clock, deadline| {
        let mut session = Session {
            engine,
            job,
            next: &next,
            zipf: zipf.clone(),
            rng: Rng::new(0xE0 + thread as u64),
            key: KeyBuf::new(job.key_bytes),
            values: Values::new(job.value_bytes, thread as u64),
            puts: 0,
        };
        let mut done = share;
        for op in 0..share {
            let kind = pick(job.work, session.rng.below(100));
            let touched = clock.time(|| session.one(kind))?;
            black_box(touched);
            if deadline.passed(op) {
                done = op + 1;
                break;
            }
        }
        puts.fetch_add(session.puts, Ordering::Relaxed);
        Ok(done)
    })?;
    let puts = puts.into_inner();
    let side_of = |ops| Side { ops, ..side };
    // One that reads, modifies and writes counts once, as a write.
    let puts_side = (puts > 0).then(|| side_of(puts));
    let gets = side.ops - puts;
    Ok(Outcome { puts: puts_side, gets: Some(side_of(gets)), finished, ..Outcome::default() })
}

struct Session<'a, E> {
    engine: &'a E,
    job: &'a Job,
    next: &'a AtomicU64,
    zipf: Zipf,
    rng: Rng,
    key: KeyBuf,
    values: Values,
    puts: u64,
}

impl<E: Engine> Session<'_, E> {
    #[inline]
    fn one(&mut self, op: Op) -> Result<u64> {
        let number = match op {
            Op::Insert => self.next.fetch_add(1, Ordering::Relaxed),
            _ if self.job.work == Work::YcsbD => {
                let newest = self.next.load(Ordering::Relaxed) - 1;
                newest - self.zipf.rank(&mut self.rng)
            }
            _ => self.zipf.scrambled(&mut self.rng),
        };
        let key = self.key.of(permuted(number, self.job.entries));
        match op {
            Op::Read => Ok(self.engine.get(key)?.unwrap_or(0)),
            Op::Scan => {
                let count = 1 + self.rng.below(SCAN_ENTRIES_MAX);
                // A cursor of its own: it must see what was inserted before.
                Ok(self.engine.with_cursor(|cursor| cursor.read_from(key, count))?.sum)
            }
            Op::Update | Op::Insert => {
                self.puts += 1;
                self.engine.put(key, self.values.value())?;
                Ok(0)
            }
            Op::ReadModifyWrite => {
                self.puts += 1;
                let touched = self.engine.get(key)?.unwrap_or(0);
                self.engine.put(key, self.values.value())?;
                Ok(touched)
            }
        }
    }
}
