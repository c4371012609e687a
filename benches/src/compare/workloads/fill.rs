//! Puts.

use anyhow::Result;
use olive_benches::entries::{KeyBuf, Values};
use olive_benches::numbers::{filled, permuted};
use olive_benches::spec::{Job, Outcome, Work};

use super::clocks::Clock;
use super::{Deadline, Did, Picker, together};
use crate::engines::Engine;
use crate::pauses::Span;

const BATCH: u64 = 100;

pub(super) fn run<E: Engine, C: Clock>(engine: &E, job: &Job) -> Result<(Outcome, Vec<Span>)> {
    let did = match job.work {
        Work::FillBatch => batches::<E, C>(engine, job)?,
        Work::FillOverwrite => {
            let twice = Job { ops: job.ops * 2, ..job.clone() };
            puts::<E, C, _>(engine, &twice, |_| |op| filled(op, job.entries))?
        }
        Work::FillSeq => puts::<E, C, _>(engine, job, |_| |op| op)?,
        Work::FillUnique => puts::<E, C, _>(engine, job, |_| |op| permuted(op, job.entries))?,
        Work::Overwrite => puts::<E, C, _>(engine, job, |thread| {
            let mut picker = Picker::new(job, 0xA0 + thread);
            move |_| picker.there()
        })?,
        _ => puts::<E, C, _>(engine, job, |_| |op| filled(op, job.entries))?,
    };
    let Did { side, slow, finished } = did;
    Ok((Outcome { puts: Some(side), finished, ..Outcome::default() }, slow))
}

/// Threads take turns of the operations' indexes, so that together they put what one
/// thread alone would.
fn puts<E: Engine, C: Clock, N: FnMut(u64) -> u64>(
    engine: &E,
    job: &Job,
    numbers: impl Fn(u64) -> N + Sync,
) -> Result<Did> {
    let threads = job.threads as u64;
    together::<C>(job, |thread, share, clock, deadline: Deadline| {
        let mut key = KeyBuf::new(job.key_bytes);
        let mut values = Values::new(job.value_bytes, thread as u64);
        let mut number = numbers(thread as u64);
        for op in 0..share {
            let key = key.of(number(op * threads + thread as u64));
            let value = values.value();
            clock.time(|| engine.put(key, value))?;
            if deadline.passed(op) {
                return Ok(op + 1);
            }
        }
        Ok(share)
    })
}

fn batches<E: Engine, C: Clock>(engine: &E, job: &Job) -> Result<Did> {
    together::<C>(job, |thread, share, clock, deadline| {
        let mut keys = vec![KeyBuf::new(job.key_bytes); BATCH as usize];
        let mut value_pool = vec![0; BATCH as usize * job.value_bytes];
        let mut values = Values::new(job.value_bytes, thread as u64);
        let mut batch = E::Batch::default();
        for first in (0..share).step_by(BATCH as usize) {
            let count = BATCH.min(share - first) as usize;
            for (at, value) in value_pool.chunks_exact_mut(job.value_bytes).take(count).enumerate()
            {
                value.copy_from_slice(values.value());
                keys[at].of(filled(first + at as u64, job.entries));
            }
            let entries = keys[..count].iter().map(KeyBuf::bytes);
            let entries = entries.zip(value_pool.chunks_exact(job.value_bytes));
            clock.time(|| engine.put_all(&mut batch, entries))?;
            if deadline.passed((first / BATCH) * 16 + 15) {
                return Ok(first + count as u64);
            }
        }
        Ok(share)
    })
}
