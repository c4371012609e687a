//! Counts and latencies of one thread, and of all together.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use olive_client::protocol::{ErrorKind, clean};

/// Latencies over this are counted as this.
const LATENCY_NS_MAX: u64 = 600_000_000_000;

#[derive(Debug)]
pub(super) struct Tally {
    /// Requests that were put into a write.
    pub(super) asked: u64,
    /// PUTs that were done.
    pub(super) put: u64,
    /// GETs that brought a value, and those whose key has none.
    pub(super) hits: u64,
    pub(super) missing: u64,
    /// Values that were others than those put.
    pub(super) mismatched: u64,
    /// ERROR answers by kind, with the text of the first.
    pub(super) errors: BTreeMap<&'static str, (u64, String)>,
    /// Connections that broke, the cause of the first, and the requests that they left
    /// without an answer.
    pub(super) broken: u64,
    pub(super) broken_cause: Option<String>,
    pub(super) unanswered: u64,
    pub(super) latency_ns: Histogram<u64>,
    /// When the last answer came.
    pub(super) ended: Instant,
}

impl Tally {
    pub(super) fn new(began: Instant) -> Tally {
        let latency_ns = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3);
        Tally {
            asked: 0,
            put: 0,
            hits: 0,
            missing: 0,
            mismatched: 0,
            errors: BTreeMap::new(),
            broken: 0,
            broken_cause: None,
            unanswered: 0,
            latency_ns: latency_ns.expect("1 is less than the half of the greatest"),
            ended: began,
        }
    }

    pub(super) fn latency(&mut self, latency: Duration) {
        self.latency_ns.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn error(&mut self, kind: ErrorKind, text: &str) {
        let (count, _) =
            self.errors.entry(kind.word()).or_insert_with(|| (0, clean(text.as_bytes())));
        *count += 1;
    }

    pub(super) fn broke(&mut self, cause: String, unanswered: usize) {
        self.broken += 1;
        self.broken_cause.get_or_insert(cause);
        self.unanswered += unanswered as u64;
    }

    pub(super) fn error_count(&self) -> u64 {
        self.errors.values().map(|(count, _)| count).sum()
    }

    /// Requests that have their answer.
    pub(super) fn answered(&self) -> u64 {
        self.put + self.hits + self.missing + self.error_count()
    }

    pub(super) fn add(&mut self, other: Tally) {
        self.asked += other.asked;
        self.put += other.put;
        self.hits += other.hits;
        self.missing += other.missing;
        self.mismatched += other.mismatched;
        for (kind, (count, text)) in other.errors {
            self.errors.entry(kind).or_insert((0, text)).0 += count;
        }
        self.broken += other.broken;
        self.broken_cause = self.broken_cause.take().or(other.broken_cause);
        self.unanswered += other.unanswered;
        self.latency_ns.add(other.latency_ns).expect("all have the same bounds");
        self.ended = self.ended.max(other.ended);
    }

    /// What went wrong, if anything did.
    pub(super) fn failure(&self) -> Option<String> {
        let mut parts: Vec<String> = self
            .errors
            .iter()
            .map(|(kind, (count, text))| format!("{count} requests got ERROR {kind} {text}"))
            .collect();
        if self.mismatched > 0 {
            parts.push(format!("{} values are not those that were put", self.mismatched));
        }
        if self.broken > 0 {
            let cause = self.broken_cause.as_deref().unwrap_or_default();
            parts.push(format!(
                "{} connections broke with {} requests unanswered: {cause}",
                self.broken, self.unanswered
            ));
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}
