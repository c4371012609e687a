//! The model test: random scripts against a versioned map.
//!
//! ```text
//! seed ──► script: operations on a set of options          ops.rs, sets.rs
//!             │
//!             ├──► the database, on the simulated disk or the real one   world.rs
//!             └──► the reference: what was visible after each write      reference.rs
//!
//! reads     what a handle, snapshot, cursor or iterator shows is what the
//!           reference had after the write that it sees                   reads.rs
//! crashes   what an open finds is what the reference had after some write, at or
//!           past the last one acknowledged as synced (a kill: the last
//!           acknowledged); the run goes on from there                    ends.rs
//! ```
//!
//! A script that fails is made small and printed, with the line that runs its
//! seed again:
//!
//! ```text
//! OLIVE_MODEL_SEED=3-200-240-1f2e cargo test -p olive-core --test proof model_replay
//! ```
//!
//! `OLIVE_PROOF_SEED` runs all scripts of a run again. What it found once is kept in
//! `regressions.rs`, as scripts.

mod ends;
mod ops;
mod reads;
mod reference;
mod regressions;
mod sets;
mod shrink;
mod world;

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use olive_core::internals::vfs::{OsVfs, Vfs};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::tally::{Tally, seed};
use ops::{Op, Script};
use sets::SETS;
use world::Events;

const SHORT_CASES: u64 = 10 * SETS.len() as u64;
const SHORT_OPS: RangeInclusive<usize> = 60..=240;
const LONG_CASES: u64 = 10_000;
const LONG_OPS: RangeInclusive<usize> = 200..=256;
/// More than the cores that it is meant for: those on the real disk wait for its syncs.
const WORKERS: usize = 5;
/// A case that takes longer hangs.
const CASE_SECONDS_MAX: u64 = 120;
/// How often each event must have come in the long form.
const EVENTS_MIN: u64 = 1_000;

/// Every event that the long form must bring about.
const EVENTS: [&str; 50] = [
    "batch",
    "batch across keyspaces",
    "checkpoint",
    "clock moved on",
    "compaction of a range",
    "compaction of all",
    "compared whole",
    "crash within recovery",
    "cursor",
    "cursor moved",
    "cursor turns",
    "delete",
    "flush asked for",
    "get",
    "held iterator goes on",
    "iterator held",
    "iterator walked from both ends",
    "keyspace dropped",
    "keyspace made",
    "keyspace made again",
    "kill",
    "multi_get",
    "power cut: a filled tail",
    "power cut: everything",
    "power cut: only what was synced",
    "power cut: sectors at random",
    "power cut: spoiled writes",
    "power cut: torn",
    "prefix",
    "put",
    "range",
    "read by a snapshot held across a compaction",
    "read by a snapshot held across a flush",
    "read of a keyspace dropped since the snapshot",
    "read-only open",
    "reopen",
    "rest",
    "settled",
    "run of deletes",
    "run of puts",
    "snapshot",
    "snapshot released",
    "step: collected",
    "step: compacted",
    "step: flushed",
    "step: synced",
    "sync",
    "verify",
    "write to a dropped keyspace",
    "read of a dropped keyspace",
];

#[test]
fn model_short() {
    let tally = Tally::new("model-short");
    run_cases(&tally, SHORT_CASES, &SHORT_OPS, seed(0x0011_7E5E));
    tally.close();
}

#[test]
#[ignore = "long: 10,000 cases, about 6 minutes in release"]
fn model_long() {
    let tally = Tally::new("model-long");
    run_cases(&tally, LONG_CASES, &LONG_OPS, seed(OsVfs::default().random()));
    tally.close();
    assert!(tally.count("operations") >= LONG_CASES * 200);
    for event in EVENTS {
        assert!(tally.count(event) >= EVENTS_MIN, "{event}: only {}", tally.count(event));
    }
}

/// Does nothing unless `OLIVE_MODEL_SEED` says which case to run again.
#[test]
fn model_replay() {
    if let Ok(case) = std::env::var("OLIVE_MODEL_SEED") {
        let case: Case = case.parse().expect("set-least-most-seed, as it was printed");
        case.run(&AtomicU64::new(0)).unwrap_or_else(|wrong| panic!("{wrong}"));
    }
}

/// One script: by its option set, the range of its length, and its seed.
#[derive(Debug, Clone)]
struct Case {
    set: usize,
    ops: RangeInclusive<usize>,
    seed: u64,
}

impl Case {
    /// How many operations it has.
    fn len(&self) -> usize {
        let span = (self.ops.end() - self.ops.start()) as u64 + 1;
        self.ops.start() + (splitmix(self.seed) % span) as usize
    }

    /// Runs it; makes it small if it fails. `began` is when the run began, in
    /// seconds, for who watches.
    fn run(&self, began: &AtomicU64) -> Result<Events, String> {
        let mut seed = [0; 32];
        for (part, salt) in seed.chunks_mut(8).zip(0..) {
            part.copy_from_slice(&splitmix(self.seed ^ salt).to_le_bytes());
        }
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let op = ops::op();
        let trees = (0..self.len()).map(|_| op.new_tree(&mut runner));
        let trees: Vec<_> = trees.collect::<Result<_, _>>().map_err(|reason| reason.to_string())?;
        let attempt = |ops: Vec<Op>| {
            began.store(now().as_secs(), Ordering::Relaxed);
            world::run_caught(&Script { set: self.set, ops })
        };
        attempt(trees.iter().map(ValueTree::current).collect()).map_err(|wrong| {
            let (ops, reason) = shrink::shrink(trees, wrong, attempt);
            let ops: String =
                ops.iter().map(|op| format!("    {op:?},\n").replace(": [", ": vec![")).collect();
            format!(
                "{reason}\n\nthe smallest script that fails, on set {}:\n\n{ops}\n\
                 OLIVE_MODEL_SEED={self} cargo test -p olive-core --test proof model_replay\n",
                self.set,
            )
        })
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}-{:x}", self.set, self.ops.start(), self.ops.end(), self.seed)
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Case, String> {
        let parts: Vec<&str> = text.split('-').collect();
        let [set, least, most, seed] = parts[..] else { return Err(text.to_owned()) };
        let number = |part: &str| part.parse::<usize>().map_err(|error| error.to_string());
        let seed = u64::from_str_radix(seed, 16).map_err(|error| error.to_string())?;
        Ok(Case { set: number(set)?, ops: number(least)?..=number(most)?, seed })
    }
}

/// Runs `cases` scripts, over all option sets in turn, and counts what came.
fn run_cases(tally: &Tally, cases: u64, ops: &RangeInclusive<usize>, base: u64) {
    tally.add("option sets", (SETS.len() as u64).min(cases));
    let next = AtomicU64::new(0);
    let failed = AtomicBool::new(false);
    let events = Mutex::new(Events::new());
    let work = |watched: &Watched| {
        while !failed.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= cases {
                break;
            }
            let set = number as usize % SETS.len();
            let case = Case { set, ops: ops.clone(), seed: splitmix(base ^ splitmix(number)) };
            *watched.case.lock().unwrap() = Some(case.clone());
            match case.run(&watched.began) {
                Ok(came) => {
                    tally.add("cases", 1);
                    tally.add("operations", case.len() as u64);
                    let mut events = events.lock().unwrap();
                    came.iter().for_each(|(event, n)| *events.entry(event).or_default() += n);
                }
                Err(wrong) => {
                    failed.store(true, Ordering::Relaxed);
                    tally.bad(wrong);
                }
            }
        }
        *watched.case.lock().unwrap() = None;
        watched.done.store(true, Ordering::Relaxed);
    };
    let watched: [Watched; WORKERS] = Default::default();
    std::thread::scope(|scope| {
        for watched in &watched {
            scope.spawn(|| work(watched));
            scope.spawn(|| watched.until_done());
        }
    });
    for (event, count) in events.into_inner().unwrap() {
        tally.add(event, count);
    }
}

/// What a worker is at, so that a case that hangs is named.
#[derive(Default)]
struct Watched {
    case: Mutex<Option<Case>>,
    began: AtomicU64,
    done: AtomicBool,
}

impl Watched {
    fn until_done(&self) {
        while !self.done.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(50));
            let began = self.began.load(Ordering::Relaxed);
            if began > 0
                && now().as_secs() > began + CASE_SECONDS_MAX
                && let Some(case) = &*self.case.lock().unwrap()
            {
                eprintln!("hangs: OLIVE_MODEL_SEED={case}");
                std::process::abort();
            }
        }
    }
}

fn now() -> Duration {
    OsVfs::default().monotonic()
}

fn splitmix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
