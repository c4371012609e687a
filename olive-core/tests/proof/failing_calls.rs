//! Durability 5: each Nth call of the system fails, by every kind of call, with each
//! error, once and from then on.
//!
//! ```text
//! case   workload · options · one fault ("the 7th sync gives EIO", "from the 3rd on")
//! run    every call answers right, or with an error that is no damage; reads too
//! after  faults gone: killed, or closed and killed, or (Sync) cut off from power
//!        -> opens, holds every acknowledged write, verifies, takes writes
//! ```
//!
//! The long form does every case, the short one a sample over all of them.

mod cases;
mod life;
mod watch;
mod workloads;

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::failing_calls::cases::{Case, World};
use crate::failing_calls::watch::Watch;
use crate::tally::{Tally, seed};

/// Threads that work on cases.
const WORKERS: usize = 2;

/// Does every `stride`th of all cases.
fn prove(proof: &'static str, stride: usize) {
    let tally = Tally::new(proof);
    let seed = seed(0x0005_FA17);
    let world = World::new(seed);
    let all = world.cases();
    // Another sample with each seed; with a stride of 1 it is everything.
    let from = seed as usize % stride;
    let cases: Vec<&Case> = all.iter().skip(from).step_by(stride).collect();
    tally.add("workloads", world.workloads() as u64);
    tally.add("option sets", world.sets() as u64);
    tally.add("calls", world.calls());
    tally.add("cases", cases.len() as u64);
    let watch = Watch::new(WORKERS);
    let next = AtomicUsize::new(0);
    watch.guard(|| {
        std::thread::scope(|scope| {
            for worker in 0..WORKERS {
                let (world, cases, next, tally, watch) = (&world, &cases, &next, &tally, &watch);
                scope.spawn(move || {
                    while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                        watch.begin(worker, || world.name(case));
                        world.run(case, tally);
                    }
                    watch.end(worker);
                });
            }
        });
    });
    print!("{}", cases::table(&cases));
    assert!(tally.count("faults met") * 10 > tally.count("cases") * 9, "{tally}");
    tally.close();
}

#[test]
fn a_sample_of_calls_fails() {
    prove("failing-calls (sample)", 97);
}

#[test]
#[ignore = "minutes: every call of every workload, with every error"]
fn every_call_fails() {
    prove("failing-calls", 1);
}
