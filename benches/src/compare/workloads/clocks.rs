//! Timing each operation costs as much as a fast get, so a run either times each or none.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use olive_benches::spec::Latency;

use crate::pauses::Span;

/// From which length on it is kept when an operation began and ended.
const SLOW_MIN: Duration = Duration::from_millis(1);

pub(super) trait Clock: Default + Send {
    fn time<T>(&mut self, work: impl FnOnce() -> T) -> T;
    fn merge(&mut self, other: &Self);
    fn latency(&self) -> Option<Latency>;
    /// The operations of a millisecond and more.
    fn into_slow(self) -> Vec<Span>;
}

#[derive(Default)]
pub(super) struct NoClock;

impl Clock for NoClock {
    #[inline(always)]
    fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        work()
    }

    fn merge(&mut self, _: &NoClock) {}

    fn latency(&self) -> Option<Latency> {
        None
    }

    fn into_slow(self) -> Vec<Span> {
        Vec::new()
    }
}

/// Each operation into a histogram of three digits.
pub(super) struct Timed {
    histogram: Histogram<u64>,
    slow: Vec<Span>,
}

impl Default for Timed {
    fn default() -> Timed {
        const MINUTE_NS: u64 = 60_000_000_000;
        let histogram = Histogram::new_with_max(MINUTE_NS, 3);
        let histogram = histogram.expect("bounds that the histogram takes");
        Timed { histogram, slow: Vec::new() }
    }
}

impl Clock for Timed {
    #[inline]
    fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        let end = Instant::now();
        let took = end - start;
        self.histogram.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        if took >= SLOW_MIN {
            self.slow.push((start, end));
        }
        result
    }

    fn merge(&mut self, other: &Timed) {
        self.histogram.add(&other.histogram).expect("histograms of the same bounds");
        self.slow.extend(&other.slow);
    }

    fn latency(&self) -> Option<Latency> {
        let at = |quantile| self.histogram.value_at_quantile(quantile);
        (!self.histogram.is_empty()).then(|| Latency {
            ns_p50: at(0.5),
            ns_p99: at(0.99),
            ns_p999: at(0.999),
            ns_p9999: at(0.9999),
            ns_max: self.histogram.max(),
        })
    }

    fn into_slow(self) -> Vec<Span> {
        self.slow
    }
}
