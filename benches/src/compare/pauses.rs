//! Pauses of the whole machine: a virtual one is stopped by its host now and then, and
//! nothing in it can tell its operation's time from that.
//!
//! On each processor a thread sleeps for 2 ms over and over. A single one that wakes late
//! was kept from its processor by another thread; where all of them are silent at once for
//! more than a scheduler's slice, none had a processor to run on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

const SLEEP: Duration = Duration::from_millis(2);
/// A slice of 4 ms, and a little.
const SILENCE_MIN: Duration = Duration::from_millis(5);

type Silence = (Instant, Instant);

pub(crate) struct PauseWatch {
    ends: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Silence>>>,
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

    /// The longest time in which no processor ran anything. With one processor nothing can
    /// be told: zero.
    pub(crate) fn end(self) -> Duration {
        self.ends.store(true, Ordering::Relaxed);
        let silences = self.threads.into_iter().map(|thread| thread.join().unwrap_or_default());
        let silences: Vec<_> = silences.collect();
        if silences.len() < 2 { Duration::ZERO } else { longest_common(&silences) }
    }
}

fn watch(processor: usize, ends: &AtomicBool) -> Vec<Silence> {
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
            silences.push((last, now));
        }
        last = now;
    }
    silences
}

/// The longest time that is within a silence of each processor.
fn longest_common(silences: &[Vec<Silence>]) -> Duration {
    let common = silences.iter().cloned().reduce(|common, others| {
        let pairs = common.iter().flat_map(|&one| others.iter().map(move |&other| (one, other)));
        let both = pairs.map(|(one, other)| (one.0.max(other.0), one.1.min(other.1)));
        both.filter(|silence| silence.0 < silence.1).collect()
    });
    let lengths = common.unwrap_or_default().into_iter().map(|silence| silence.1 - silence.0);
    lengths.max().unwrap_or_default()
}
