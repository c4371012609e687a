//! Makes a script that fails small: operations are taken out of it, halves down to
//! single ones, and those that stay are made simpler. The crash point shrinks with it:
//! it is the first that fails in what is left.

use std::fmt::Write as _;

use olive_core::internals::vfs::sim::CrashMode;

use crate::images::{Checker, modes};
use crate::recording::{Recording, Setup, Start};
use crate::sites::Watch;
use crate::workloads::Op;

const ATTEMPTS_MAX: usize = 600;

/// A crash that loses something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) wrong: String,
    /// The mutation and the way of the crash, where it took one.
    pub(crate) crash: String,
    /// The function of `regressions.rs` that shows it.
    pub(crate) proof: &'static str,
}

impl Failure {
    /// In a crash after mutation `at`.
    pub(crate) fn at(at: u64, mode: CrashMode, wrong: String) -> Failure {
        Failure { wrong, crash: format!("mutation {at}, {mode:?}"), proof: "survives" }
    }

    pub(crate) fn without_crash(wrong: String) -> Failure {
        Failure { wrong, crash: "no crash".to_owned(), proof: "survives" }
    }
}

/// A run that can be done again: what a regression keeps.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) seed: u64,
    pub(crate) setup: Setup,
    pub(crate) ops: Vec<Op>,
}

impl Case {
    pub(crate) fn record(&self, watch: Watch) -> Result<Recording, String> {
        Recording::of(&Start::new(self.seed), self.setup, &self.ops, watch)
    }

    /// The first crash point, in any mode, that is bad.
    pub(crate) fn first_failure(&self, watch: Watch) -> Option<Failure> {
        let run = match crate::images::quietly(|| self.record(watch)) {
            Ok(run) => run,
            Err(wrong) => return Some(Failure::without_crash(wrong)),
        };
        let mut checker = Checker::new(&run, &run.vfs);
        for at in 0..=run.mutations() {
            for mode in modes(at, run.vfs.trace_entry(at).as_ref(), self.seed) {
                if let Err(wrong) = checker.check(at, mode) {
                    return Some(Failure::at(at, mode, wrong));
                }
            }
        }
        None
    }

    /// As it is kept in `regressions.rs`.
    pub(crate) fn as_regression(&self, failure: &Failure) -> String {
        let Case { seed, setup, ops } = self;
        let call = failure.proof;
        let mut text = format!("    // {}: {}\n", failure.crash, failure.wrong);
        let _ = write!(text, "    {call}({seed:#x}, {setup:?}, vec!{ops:?});");
        text
    }
}

/// The smallest case found for which `fails` tells a failure, and that.
pub(crate) fn shrink(
    case: &Case,
    failure: Failure,
    fails: impl Fn(&Case) -> Option<Failure>,
) -> (Case, Failure) {
    let mut shrink = Shrink { case: case.clone(), failure, fails, attempts: 0 };
    shrink.remove();
    shrink.simplify();
    shrink.remove();
    (shrink.case, shrink.failure)
}

/// What a bad crash is told as: where it was found, and the smallest script that shows it.
pub(crate) fn report(
    case: &Case,
    name: &str,
    failure: Failure,
    fails: impl Fn(&Case) -> Option<Failure>,
) -> String {
    let found = format!("{name}, {:?}, {}: {}", case.setup, failure.crash, failure.wrong);
    let (small, failure) = shrink(case, failure, fails);
    format!("{found}\n  the smallest script:\n{}", small.as_regression(&failure))
}

struct Shrink<F> {
    case: Case,
    failure: Failure,
    fails: F,
    attempts: usize,
}

impl<F: Fn(&Case) -> Option<Failure>> Shrink<F> {
    fn remove(&mut self) {
        let mut part = self.case.ops.len().div_ceil(2);
        while part > 0 {
            // From the back: what comes behind the failure goes first.
            let mut end = self.case.ops.len();
            while end > 0 {
                let start = end.saturating_sub(part);
                let mut left = self.case.ops.clone();
                left.drain(start..end);
                self.take_if_it_fails(left);
                end = start;
            }
            part /= 2;
        }
    }

    fn simplify(&mut self) {
        for index in 0..self.case.ops.len() {
            while simpler(&self.case.ops[index]).into_iter().any(|op| {
                let mut ops = self.case.ops.clone();
                ops[index] = op;
                self.take_if_it_fails(ops)
            }) {}
        }
    }

    fn take_if_it_fails(&mut self, ops: Vec<Op>) -> bool {
        if self.attempts >= ATTEMPTS_MAX {
            return false;
        }
        self.attempts += 1;
        let case = Case { ops, ..self.case.clone() };
        let Some(failure) = (self.fails)(&case) else { return false };
        (self.case, self.failure) = (case, failure);
        true
    }
}

/// The next simpler ones, the simplest first.
fn simpler(op: &Op) -> Vec<Op> {
    let shorter =
        |len: u32| [0, len / 2, len.saturating_sub(1)].into_iter().filter(move |&l| l < len);
    match op {
        Op::Put(key, len) => shorter(*len).map(|len| Op::Put(*key, len)).collect(),
        Op::PutSynced(key, len) => {
            shorter(*len).map(|len| Op::PutSynced(*key, len)).chain([Op::Put(*key, *len)]).collect()
        }
        Op::Batch(changes) => (0..changes.len())
            .map(|gone| {
                let mut fewer = changes.clone();
                fewer.remove(gone);
                Op::Batch(fewer)
            })
            .collect(),
        Op::Settle | Op::CompactAll => vec![Op::Maintain],
        Op::Compact(..) => vec![Op::CompactAll],
        Op::Reopen => vec![Op::Kill],
        _ => Vec::new(),
    }
}

/// Tables are named by the manifest, but their bytes were never synced.
#[test]
fn a_planted_fault_shrinks_to_a_script_of_a_few_operations() {
    use olive_core::internals::vfs::sim::{OpKind, TraceEntry};
    let plant = |entry: &TraceEntry| {
        entry.kind == OpKind::Sync && entry.path.extension().is_some_and(|sort| sort == "sst")
    };
    let setup = Setup { mapped: true, durable: true, compacting: false };
    let ops = crate::workloads::WORKLOADS[3].script(5, 30);
    let case = Case { seed: 5, setup, ops };
    assert_eq!(case.first_failure(Watch::default()), None, "without the fault all is well");
    let failure = case.first_failure(Watch::planted(plant)).expect("the fault shows");
    let fails = |case: &Case| case.first_failure(Watch::planted(plant));
    let (small, failure) = shrink(&case, failure, fails);
    // A write to flush, and nothing else: open and close flush by themselves.
    let text = small.as_regression(&failure);
    assert!(small.ops.len() <= 2 && matches!(small.ops[0], Op::Put(..)), "{text}");
    assert_eq!(fails(&small), Some(failure), "it still fails");
    assert!(text.contains("\n    survives(0x5, Setup {"), "{text}");
}
