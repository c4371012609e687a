//! Durability 2: a crash within recovery, writes, and another crash.
//!
//! ```text
//! script ── killed ──> open, from the page cache ──> writes, synced ──> close
//!                        │ power cut                    │ power cut
//!                        ▼                              ▼
//!                      open ──> writes, synced        open
//!                        │         │ power cut
//!                        ▼         ▼
//!                      open      open
//! ```
//!
//! What was read after a kill may exist in the page cache only: from the moment that open
//! returned, a power cut must not take it.

use std::collections::BTreeMap;

use olive_core::internals::vfs::sim::CrashMode;

use crate::crash_points::{Extent, four_setups_each, on_threads};
use crate::images::{Checker, power_cuts, quietly};
use crate::recording::{Recording, Setup};
use crate::shrink::{Case, Failure, report};
use crate::sites::Watch;
use crate::tally::{Tally, seed};
use crate::workloads::{Op, WORKLOADS, Workload};

const SEED: u64 = 0x0C4A_5402;

type Counts = BTreeMap<&'static str, u64>;

/// Every how many mutations something is done.
#[derive(Clone, Copy)]
struct Steps {
    kill: u64,
    cut: u64,
    /// Power cuts within recovery from which another run goes on.
    second: u64,
}

const SHORT: Steps = Steps { kill: 37, cut: 3, second: 25 };
const LONG: Steps = Steps { kill: 11, cut: 1, second: 9 };
const EVERY: Steps = Steps { kill: 1, cut: 1, second: 5 };

fn after_a_kill() -> Vec<Op> {
    vec![
        Op::Put(200, 50),
        Op::Maintain,
        Op::Delete(3),
        Op::Sync,
        Op::Batch(vec![(0, 201, Some(90)), (1, 4, Some(20)), (0, 5, None)]),
        Op::Checkpoint,
        Op::PutSynced(202, 30),
    ]
}

fn after_a_cut() -> Vec<Op> {
    vec![Op::Put(300, 30), Op::Sync, Op::Put(301, 40)]
}

/// All of it for one script. Gives what was tried.
fn crash_in_recovery(case: &Case, steps: Steps) -> Result<Counts, Failure> {
    let failure = |crash: String| move |wrong: String| Failure { wrong, crash, proof: PROOF };
    let mut counts = Counts::new();
    let base = quietly(|| case.record(Watch::default())).map_err(failure("no crash".into()))?;
    for at in (0..=base.mutations()).step_by(steps.kill as usize) {
        let start = base.killed_at(at);
        let run = || Recording::of(&start, case.setup, &after_a_kill(), Watch::default());
        let killed = quietly(run).map_err(failure(format!("killed after mutation {at}")))?;
        let opened = killed.opened_at();
        let mut checker = Checker::new(&killed, &killed.vfs);
        for cut in (0..=killed.mutations()).step_by(steps.cut as usize) {
            for mode in some_modes(case.seed ^ at << 20 ^ cut, 4) {
                let crash = || format!("killed after mutation {at}, then {cut}, {mode:?}");
                checker.check(cut, mode).map_err(|wrong| failure(crash())(wrong))?;
                *counts.entry(if cut < opened { "within" } else { "behind" }).or_default() += 1;
            }
        }
        // The first cut moves along with the kills, so that all places have their turn.
        let first = at / steps.kill % steps.second;
        for cut in (first..=opened).step_by(steps.second as usize) {
            let mode = some_modes(case.seed ^ at << 20 ^ cut, 1)[0];
            let crash = format!("killed after mutation {at}, cut after {cut}, {mode:?}");
            let twice = crash_again(&killed, cut, mode).map_err(failure(crash))?;
            *counts.entry("twice").or_default() += twice;
        }
        *counts.entry("kills").or_default() += 1;
        for (name, count) in &checker.counts {
            *counts.entry(name).or_default() += count;
        }
    }
    Ok(counts)
}

const PROOF: &str = "survives_recoveries";

/// After a power cut within recovery: open, writes, and another cut.
fn crash_again(killed: &Recording, cut: u64, mode: CrashMode) -> Result<u64, String> {
    let start = killed.cut_at(cut, mode);
    let run = || Recording::of(&start, killed.setup, &after_a_cut(), Watch::default());
    let again = quietly(run)?;
    let mut checker = Checker::new(&again, &again.vfs);
    let mut tried = 0;
    for at in (0..=again.mutations()).step_by(2) {
        for mode in some_modes(at ^ cut << 20, 2) {
            let wrong = |wrong| format!("and again after {at}, {mode:?}: {wrong}");
            checker.check(at, mode).map_err(wrong)?;
            tried += 1;
        }
    }
    Ok(tried)
}

/// `count` modes of all, by seed.
fn some_modes(seed: u64, count: usize) -> Vec<CrashMode> {
    let mut modes = power_cuts(0, None, seed);
    modes.push(CrashMode::Everything);
    let turn = (seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize % modes.len();
    modes.rotate_left(turn);
    modes.truncate(count);
    modes
}

/// The first failure of a small script, every kill tried.
pub(crate) fn first_failure(case: &Case) -> Option<Failure> {
    crash_in_recovery(case, EVERY).err()
}

fn prove(tally: &Tally, jobs: &[(Workload, Setup)], extent: &Extent, steps: Steps) {
    let seed = seed(SEED);
    let names = ["runs", "kills", "within", "behind", "twice", "images", "recovered", "refused"];
    names.iter().for_each(|name| tally.add(name, 0));
    on_threads(jobs, |(workload, setup)| {
        let (case, _) = extent.record(workload, *setup, seed);
        match crash_in_recovery(&case, steps) {
            Ok(counts) => {
                let runs = ["within", "behind", "twice"].map(|name| counts[name]).iter().sum();
                tally.add("runs", runs);
                for (name, count) in counts {
                    tally.add(name, count);
                }
                tally.add(setup.name(), runs);
            }
            Err(failure) => tally.bad(report(&case, workload.name, failure, first_failure)),
        }
    });
}

#[test]
fn a_crash_within_recovery_and_another_behind_it_lose_nothing() {
    let tally = Tally::new("recovery-crashes");
    let extent = Extent { ops_min: 40, mutations_min: 150, step: 1 };
    let jobs: Vec<(Workload, Setup)> = WORKLOADS.into_iter().zip(Setup::ALL).collect();
    prove(&tally, &jobs, &extent, SHORT);
    assert!(tally.count("runs") > 1000, "{tally}");
    tally.close();
}

#[test]
#[ignore = "long: kills and power cuts within recovery, over all workloads, a minute or two"]
fn a_crash_within_recovery_and_another_behind_it_lose_nothing_at_length() {
    let tally = Tally::new("recovery-crashes");
    let extent = Extent { ops_min: 80, mutations_min: 300, step: 1 };
    let jobs = four_setups_each();
    prove(&tally, &jobs, &extent, LONG);
    assert!(tally.count("runs") >= 10_000, "{tally}");
    tally.close();
}
