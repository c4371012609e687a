//! One reader and one writer at once: both go on until the time is over, so that each is
//! measured beside the other and never alone.

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use olive_benches::entries::{KeyBuf, Values};
use olive_benches::spec::{Job, Outcome, Side};

use super::Picker;
use super::clocks::Clock;
use crate::engines::Engine;

/// How long, for as many operations as the job has: at most this.
const SECONDS_MAX: f64 = 10.0;
const OPS_A_SECOND: f64 = 200_000.0;

pub(super) fn run<E: Engine, C: Clock>(engine: &E, job: &Job) -> Result<Outcome> {
    let time = Duration::from_secs_f64((job.ops as f64 / OPS_A_SECOND).clamp(0.2, SECONDS_MAX));
    let ends = AtomicBool::new(false);
    let barrier = Barrier::new(3);
    let (puts, gets) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut key = KeyBuf::new(job.key_bytes);
            let mut values = Values::new(job.value_bytes, 0xD0);
            let mut picker = Picker::new(job, 0xD0);
            barrier.wait();
            until::<C>(&ends, |clock| {
                let (key, value) = (key.of(picker.there()), values.value());
                clock.time(|| engine.put(key, value))
            })
        });
        let reader = scope.spawn(|| {
            let mut key = KeyBuf::new(job.key_bytes);
            let mut picker = Picker::new(job, 0xD1);
            barrier.wait();
            until::<C>(&ends, |clock| {
                let key = key.of(picker.there());
                let touched = clock.time(|| engine.get(key))?;
                ensure!(touched.is_some(), "a get did not find its key");
                black_box(touched);
                Ok(())
            })
        });
        barrier.wait();
        std::thread::sleep(time);
        ends.store(true, Ordering::Relaxed);
        (writer.join(), reader.join())
    });
    let puts = puts.map_err(|_| anyhow!("the writer panicked"))??;
    let gets = gets.map_err(|_| anyhow!("the reader panicked"))??;
    Ok(Outcome { puts: Some(puts), gets: Some(gets), finished: true, ..Outcome::default() })
}

fn until<C: Clock>(ends: &AtomicBool, mut op: impl FnMut(&mut C) -> Result<()>) -> Result<Side> {
    let mut clock = C::default();
    let began = Instant::now();
    let mut ops = 0;
    while !ends.load(Ordering::Relaxed) {
        op(&mut clock)?;
        ops += 1;
    }
    Ok(Side { ops, seconds: began.elapsed().as_secs_f64(), latency: clock.latency() })
}
