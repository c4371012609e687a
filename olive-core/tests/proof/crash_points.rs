//! Durability 1: scripted workloads lose their power, or are killed, at every mutation.
//!
//! Whatever survives, open succeeds and shows the model after some write, at or past the
//! last one that was promised to survive; what it shows is whole, stays the same over a
//! close and an open, and leaves no file behind that nothing needs.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::images::{Checker, modes, quietly};
use crate::recording::{Recording, Setup};
use crate::shrink::{Case, Failure, report};
use crate::sites::Watch;
use crate::tally::{Tally, seed};
use crate::workloads::{WORKLOADS, Workload};

const SEED: u64 = 0x0C4A_5401;

/// How much is tried.
pub(crate) struct Extent {
    /// A script has at least so many operations, and makes at least so many mutations.
    pub(crate) ops_min: usize,
    pub(crate) mutations_min: u64,
    /// Every how many of those a crash comes.
    pub(crate) step: u64,
}

pub(crate) const SHORT: Extent = Extent { ops_min: 60, mutations_min: 100, step: 3 };
pub(crate) const LONG: Extent = Extent { ops_min: 300, mutations_min: 1500, step: 1 };

impl Extent {
    /// The shortest script that is long enough, and its run.
    pub(crate) fn record(
        &self,
        workload: &Workload,
        setup: Setup,
        seed: u64,
    ) -> (Case, Result<Recording, String>) {
        let mut ops = self.ops_min;
        loop {
            let case = Case { seed, setup, ops: workload.script(seed, ops) };
            let run = quietly(|| case.record(Watch::default()));
            match &run {
                Ok(run) if run.mutations() < self.mutations_min => ops += ops / 4,
                _ => return (case, run),
            }
        }
    }
}

/// Does `work` for each job, on two threads.
pub(crate) fn on_threads<T: Sync>(jobs: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let all = || {
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(job);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(all);
        all();
    });
}

/// Each workload under four setups, in which each choice comes twice; all eight have
/// their turns.
pub(crate) fn four_setups_each() -> Vec<(Workload, Setup)> {
    let turns = |at: usize| [[0, 3, 5, 6], [1, 2, 4, 7]][at % 2].map(|turn| Setup::ALL[turn]);
    let workloads = WORKLOADS.into_iter().enumerate();
    workloads.flat_map(|(at, workload)| turns(at).map(|setup| (workload, setup))).collect()
}

fn crash_everywhere(tally: &Tally, jobs: &[(Workload, Setup)], extent: &Extent, seed: u64) {
    let distinct = Mutex::new(HashSet::new());
    let fails = |case: &Case| case.first_failure(Watch::default());
    on_threads(jobs, |(workload, setup)| {
        let (case, run) = extent.record(workload, *setup, seed);
        let run = match run {
            Ok(run) => run,
            Err(wrong) => {
                let failure = Failure::without_crash(wrong);
                return tally.bad(report(&case, workload.name, failure, fails));
            }
        };
        let mutations = run.mutations();
        let mut checker = Checker::new(&run, &run.vfs);
        'points: for at in (0..=mutations).step_by(extent.step as usize) {
            for mode in modes(at, run.vfs.trace_entry(at).as_ref(), seed) {
                if let Err(wrong) = checker.check(at, mode) {
                    let failure = Failure::at(at, mode, wrong);
                    tally.bad(report(&case, workload.name, failure, fails));
                    break 'points;
                }
            }
        }
        tally.add("runs", 1);
        tally.add("operations", case.ops.len() as u64);
        tally.add("mutations", mutations);
        let (segments, reserved) = run.segments();
        tally.add("segments", segments);
        tally.add("reserved only", reserved);
        for (name, count) in &checker.counts {
            tally.add(name, *count);
        }
        tally.add(setup.name(), checker.counts["images"]);
        let compacting = if setup.compacting { "compacting" } else { "not compacting" };
        tally.add(compacting, checker.counts["images"]);
        distinct.lock().expect("the hashes").extend(checker.hashes());
    });
    tally.add("distinct", distinct.lock().expect("the hashes").len() as u64);
}

fn tally() -> Tally {
    let tally = Tally::new("crash-points");
    for name in ["runs", "operations", "mutations", "images", "distinct", "recovered", "refused"] {
        tally.add(name, 0);
    }
    tally
}

#[test]
fn a_crash_anywhere_loses_nothing_that_was_promised() {
    let tally = tally();
    // Each workload under another setup.
    let jobs: Vec<(Workload, Setup)> =
        WORKLOADS.into_iter().zip(Setup::ALL.into_iter().rev()).collect();
    crash_everywhere(&tally, &jobs, &SHORT, seed(SEED));
    assert!(tally.count("distinct") > 1000, "{tally}");
    tally.close();
}

#[test]
#[ignore = "long: every mutation of seven workloads, each under four setups, some minutes"]
fn a_crash_anywhere_loses_nothing_that_was_promised_at_length() {
    let tally = tally();
    let jobs = four_setups_each();
    crash_everywhere(&tally, &jobs, &LONG, seed(SEED));
    assert!(tally.count("distinct") >= 15_000, "{tally}");
    assert!(tally.count("reserved only") >= 50, "{tally}");
    tally.close();
}
