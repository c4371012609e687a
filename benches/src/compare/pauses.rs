//! Pauses of the whole machine: a virtual one is stopped by its host now and then, and
//! nothing in it can tell its operation's time from that.
//!
//! On each processor a thread sleeps for 4 ms over and over. A single one that wakes late
//! was kept from its processor by another thread; where all of them are silent at once for
//! more than a scheduler's slice beyond that, none had a processor to run on.
//!
//! Each look costs tens of microseconds where a timer is the host's, so the percentiles of
//! what makes less than a million operations a second would show them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

const SLEEP: Duration = Duration::from_millis(4);
/// A sleep, a slice of 4 ms, and a little.
const SILENCE_MIN: Duration = Duration::from_millis(9);

/// From when to when.
pub(crate) type Span = (Instant, Instant);

pub(crate) struct PauseWatch {
    ends: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Span>>>,
}

impl PauseWatch {
    /// Watches every processor that this process may run on.
    pub(crate) fn start() -> PauseWatch {
        let allowed = sched_getaffinity(None).unwrap_or_default();
        let ends = Arc::new(AtomicBool::new(false));
        let processors = (0..CpuSet::MAX_CPU).filter(|&processor| allowed.is_set(processor));
        let threads = processors.map(|processor| {
            let ends = Arc::clone(&ends);
            std::thread::spawn(move || watch(processor, &ends))
        });
        PauseWatch { threads: threads.collect(), ends }
    }

    /// The times in which no processor ran anything. With one processor nothing can be
    /// told: none.
    pub(crate) fn end(self) -> Pauses {
        self.ends.store(true, Ordering::Relaxed);
        let silences = self.threads.into_iter().map(|thread| thread.join().unwrap_or_default());
        let silences: Vec<_> = silences.collect();
        Pauses(if silences.len() < 2 { Vec::new() } else { common(silences) })
    }
}

/// Times in which the whole machine stood still.
pub(crate) struct Pauses(Vec<Span>);

impl Pauses {
    pub(crate) fn longest(&self) -> Duration {
        self.0.iter().map(|pause| pause.1 - pause.0).max().unwrap_or_default()
    }

    /// The length of an operation, but for the pauses within it.
    pub(crate) fn taken_off(&self, (start, end): Span) -> Duration {
        let within = self.0.iter().map(|pause| {
            let (from, to) = (pause.0.max(start), pause.1.min(end));
            to.saturating_duration_since(from)
        });
        (end - start).saturating_sub(within.sum())
    }
}

fn watch(processor: usize, ends: &AtomicBool) -> Vec<Span> {
    let mut only = CpuSet::new();
    only.set(processor);
    let mut silences = Vec::new();
    if sched_setaffinity(None, &only).is_err() {
        return silences;
    }
    let mut last = Instant::now();
    while !ends.load(Ordering::Relaxed) {
        std::thread::sleep(SLEEP);
        let now = Instant::now();
        if now - last > SILENCE_MIN {
            silences.push((last + SLEEP, now));
        }
        last = now;
    }
    silences
}

/// The times that are within a silence of each processor.
fn common(silences: Vec<Vec<Span>>) -> Vec<Span> {
    let both = |common: Vec<Span>, others: Vec<Span>| {
        let pairs = common.iter().flat_map(|&one| others.iter().map(move |&other| (one, other)));
        let both = pairs.map(|(one, other)| (one.0.max(other.0), one.1.min(other.1)));
        both.filter(|silence| silence.0 < silence.1).collect()
    };
    silences.into_iter().reduce(both).unwrap_or_default()
}
