//! Timing each operation costs as much as a fast get, so a run either times each or none.

use std::time::Instant;

use hdrhistogram::Histogram;
use olive_benches::spec::Latency;

pub(super) trait Clock: Default + Send {
    fn time<T>(&mut self, work: impl FnOnce() -> T) -> T;
    fn merge(&mut self, other: &Self);
    fn latency(&self) -> Option<Latency>;
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
}

/// Each operation into a histogram of three digits.
pub(super) struct Timed(Histogram<u64>);

impl Default for Timed {
    fn default() -> Timed {
        const MINUTE_NS: u64 = 60_000_000_000;
        Timed(Histogram::new_with_max(MINUTE_NS, 3).expect("bounds that the histogram takes"))
    }
}

impl Clock for Timed {
    #[inline]
    fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        let ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0.saturating_record(ns);
        result
    }

    fn merge(&mut self, other: &Timed) {
        self.0.add(&other.0).expect("histograms of the same bounds");
    }

    fn latency(&self) -> Option<Latency> {
        let at = |quantile| self.0.value_at_quantile(quantile);
        (!self.0.is_empty()).then(|| Latency {
            ns_p50: at(0.5),
            ns_p99: at(0.99),
            ns_p999: at(0.999),
            ns_p9999: at(0.9999),
            ns_max: self.0.max(),
        })
    }
}
