//! Passes over a workload, and the rows that come of them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;
use olive_examples::system::rss_anon_bytes;
use olive_examples::text::rate;

/// Does all operations; gives how many, and the time of the whole.
pub(crate) fn throughput(
    ops: u64,
    mut op: impl FnMut(u64) -> Result<()>,
) -> Result<(u64, Duration)> {
    let started = Instant::now();
    for step in 0..ops {
        op(step)?;
    }
    Ok((ops, started.elapsed()))
}

/// Does all operations and times each, in nanoseconds.
pub(crate) fn latency(ops: u64, mut op: impl FnMut(u64) -> Result<()>) -> Result<Histogram<u64>> {
    let mut histogram = Histogram::new(3)?;
    for step in 0..ops {
        let started = Instant::now();
        op(step)?;
        histogram.record(started.elapsed().as_nanos() as u64)?;
    }
    Ok(histogram)
}

/// The line above the rows.
pub(crate) fn header() -> String {
    format!(
        "{:<18}{:>12}{:>10}{:>10}{:>10}{:>12}",
        "workload", "op/s", "p50 µs", "p99 µs", "p99.9 µs", "max µs"
    )
}

/// One workload's figures.
pub(crate) struct Row {
    name: String,
    rate: String,
    latency: Option<Histogram<u64>>,
}

impl Row {
    pub(crate) fn new(name: &str) -> Row {
        Row { name: name.to_owned(), rate: String::new(), latency: None }
    }

    pub(crate) fn rate(&mut self, (ops, time): (u64, Duration)) {
        self.rate = rate(ops, time);
    }

    pub(crate) fn latency(&mut self, histogram: Histogram<u64>) {
        self.latency = Some(histogram);
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<18}{:>12}", self.name, self.rate)?;
        let Some(histogram) = &self.latency else { return Ok(()) };
        let us = |ns: u64| ns as f64 / 1e3;
        let at = |quantile| us(histogram.value_at_quantile(quantile));
        let (p50, p99, p999) = (at(0.5), at(0.99), at(0.999));
        write!(f, "{p50:>10.2}{p99:>10.2}{p999:>10.2}{:>12.1}", us(histogram.max()))
    }
}

/// Watches anonymous memory from a thread of its own, every 10 ms.
pub(crate) struct PeakMemory {
    shared: Arc<(AtomicBool, AtomicU64)>,
    thread: JoinHandle<()>,
}

impl PeakMemory {
    pub(crate) fn start() -> PeakMemory {
        let shared = Arc::new((AtomicBool::new(false), AtomicU64::new(0)));
        let watched = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            while !watched.0.load(Relaxed) {
                watched.1.fetch_max(rss_anon_bytes().unwrap_or(0), Relaxed);
                thread::sleep(Duration::from_millis(10));
            }
        });
        PeakMemory { shared, thread }
    }

    /// The most there was, in bytes; `None` where the system does not tell.
    pub(crate) fn stop(self) -> Option<u64> {
        self.shared.0.store(true, Relaxed);
        self.thread.join().ok()?;
        Some(self.shared.1.load(Relaxed)).filter(|&bytes| bytes > 0)
    }
}
