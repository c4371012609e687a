//! Durability 1: scripted workloads lose their power, or are killed, at every mutation.
//!
//! Whatever survives, open succeeds and shows the model after some write, at or past the
//! last one that was promised to survive; what it shows is whole, stays the same over a
//! close and an open, and leaves no file behind that nothing needs.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::images::{Checker, modes};
use crate::recording::Setup;
use crate::shrink::{Case, Failure, report};
use crate::sites::Watch;
use crate::tally::{Tally, seed};
use crate::workloads::{WORKLOADS, Workload};

const SEED: u64 = 0x0C4A_5401;

/// How much is tried.
struct Extent {
    ops: fn(&Workload) -> usize,
    /// Every how many mutations.
    step: u64,
    mutations_min: u64,
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

fn crash_everywhere(tally: &Tally, jobs: &[(Workload, Setup)], extent: &Extent, seed: u64) {
    let distinct = Mutex::new(HashSet::new());
    on_threads(jobs, |(workload, setup)| {
        let ops = workload.script(seed, (extent.ops)(workload));
        let case = Case { seed, setup: *setup, ops };
        let run = match case.record(Watch::default()) {
            Ok(run) => run,
            Err(wrong) => {
                let failure = Failure { wrong, crash: "no crash".to_owned() };
                return tally.bad(report(&case, workload.name, failure));
            }
        };
        let mutations = run.mutations();
        assert!(
            mutations >= extent.mutations_min && case.ops.len() >= 300.min((extent.ops)(workload)),
            "{}, {setup:?}: {mutations} mutations are too few",
            workload.name
        );
        let mut checker = Checker::new(&run, &run.vfs);
        'points: for at in (0..=mutations).step_by(extent.step as usize) {
            for mode in modes(at, run.vfs.trace_entry(at).as_ref(), seed) {
                if let Err(wrong) = checker.check(at, mode) {
                    let crash = format!("mutation {at}, {mode:?}");
                    tally.bad(report(&case, workload.name, Failure { wrong, crash }));
                    break 'points;
                }
            }
        }
        tally.add("runs", 1);
        tally.add("mutations", mutations);
        for (name, count) in &checker.counts {
            tally.add(name, *count);
        }
        tally.add(setup.name(), checker.counts["images"]);
        tally.add(if setup.compacting { "compacting" } else { "not" }, checker.counts["images"]);
        distinct.lock().expect("the hashes").extend(checker.hashes());
    });
    tally.add("distinct", distinct.lock().expect("the hashes").len() as u64);
}

fn tally() -> Tally {
    let tally = Tally::new("crash-points");
    for name in ["runs", "mutations", "images", "distinct", "recovered", "refused", "checkpoints"] {
        tally.add(name, 0);
    }
    tally
}

#[test]
fn a_crash_anywhere_loses_nothing_that_was_promised() {
    let tally = tally();
    let extent = Extent { ops: |_| 60, step: 3, mutations_min: 0 };
    // Each workload under another setup.
    let jobs: Vec<(Workload, Setup)> =
        WORKLOADS.into_iter().zip(Setup::ALL.into_iter().rev()).collect();
    crash_everywhere(&tally, &jobs, &extent, seed(SEED));
    assert!(tally.count("distinct") > 1000, "{tally}");
    tally.close();
}

#[test]
#[ignore = "long: every mutation of seven workloads under eight setups, some minutes"]
fn a_crash_anywhere_loses_nothing_that_was_promised_at_length() {
    let tally = tally();
    let extent = Extent { ops: |workload| workload.ops, step: 1, mutations_min: 1500 };
    let jobs: Vec<(Workload, Setup)> = WORKLOADS
        .into_iter()
        .flat_map(|workload| Setup::ALL.into_iter().map(move |setup| (workload, setup)))
        .collect();
    crash_everywhere(&tally, &jobs, &extent, seed(SEED));
    assert!(tally.count("distinct") >= 15_000, "{tally}");
    tally.close();
}
