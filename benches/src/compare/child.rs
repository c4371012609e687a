//! One measurement, in a process of its own.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use olive_benches::spec::{Job, Outcome, Work};

use crate::engines::{self, Engine, Settings};
use crate::measure::{MemoryWatch, cpu_seconds, disk_bytes, until_rest, written_bytes};
use crate::pauses::PauseWatch;
use crate::workloads;

/// Does the job and prints the outcome as one line of JSON.
pub(crate) fn run(job: &str) -> Result<()> {
    let job: Job = serde_json::from_str(job).context("a job as JSON")?;
    if let Some(cgroup) = &job.cgroup {
        std::fs::write(cgroup.join("cgroup.procs"), std::process::id().to_string())
            .with_context(|| format!("cannot enter {}", cgroup.display()))?;
    }
    let outcome = engines::run(&job).with_context(|| format!("{} {:?}", job.engine, job.work))?;
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}

/// Opens the engine, does the work, lets it settle, closes.
pub(crate) fn measure<E: Engine>(job: &Job) -> Result<Outcome> {
    let info = olive_benches::engines::find(&job.engine).context("an engine of the list")?;
    let settings =
        Settings { compressed: info.compressed, sync: job.sync, cache_bytes: job.cache_bytes };
    let watch = MemoryWatch::start();
    let opening = Instant::now();
    let engine = E::open(&job.dir, settings)?;
    let open_seconds = opening.elapsed().as_secs_f64();
    if job.warm {
        workloads::warm(&engine, job)?;
    }
    let (cpu, written) = (cpu_seconds(), written_bytes()?);
    let is_watched = job.clocks && job.work == Work::FillOverwrite;
    let pauses = is_watched.then(PauseWatch::start);
    let (mut outcome, slow_puts) = workloads::run(&engine, job)?;
    if let Some(pauses) = pauses.map(PauseWatch::end) {
        outcome.machine_pause_seconds_max = Some(pauses.longest().as_secs_f64());
        if let Some(latency) = outcome.puts.and_then(|puts| puts.latency) {
            let slow = slow_puts.iter().map(|&put| pauses.taken_off(put));
            let longest = slow.max().unwrap_or(Duration::from_nanos(latency.ns_max));
            outcome.longest_put_seconds = Some(longest.as_secs_f64());
        }
    }
    outcome.open_seconds = open_seconds;

    let settling = Instant::now();
    if outcome.puts.is_some() {
        engine.flush()?;
        let settled = until_rest(settling, job.seconds_max.max(60));
        outcome.settle_seconds = settled.as_secs_f64();
        if let (true, Some(puts)) = (job.settle_counts, outcome.puts.as_mut()) {
            puts.seconds += outcome.settle_seconds;
        }
    }
    outcome.cpu_seconds = cpu_seconds() - cpu;
    outcome.effective = engine.effective();
    engine.close()?;
    outcome.written_bytes = written_bytes()? - written;
    let memory = watch.end();
    outcome.anonymous_bytes_peak = memory.anonymous_bytes;
    outcome.file_bytes_peak = memory.file_bytes;
    outcome.disk_bytes = disk_bytes(&job.dir)?;
    outcome.put_bytes =
        outcome.puts.map_or(0, |puts| puts.ops) * (job.key_bytes + job.value_bytes) as u64;
    Ok(outcome)
}
