//! The proof that nothing acknowledged is lost: what docs and README promise, tried at
//! length.
//!
//! Each proof has a short form that runs with all tests, and a long form that is ignored
//! and run by name:
//!
//! ```sh
//! cargo test --release -p olive-core --test proof -- --ignored --nocapture
//! ```
//!
//! Each closes with one line of counts ([`tally`]). `OLIVE_PROOF_SEED` replays a run: it
//! is printed by each that draws anything at random.

mod allocations;
mod bit_rot;
mod crash_points;
mod failing_calls;
mod full_disk;
mod fuzz_regressions;
mod golden_database;
mod images;
mod lessons;
mod linearizable;
mod model;
mod mutations;
mod recording;
mod recovery_crashes;
mod regressions;
mod script;
mod shrink;
mod sites;
#[expect(dead_code, reason = "shared with the tests of `it`, which use all of it")]
#[path = "../support/mod.rs"]
mod support;
mod tally;
mod workloads;
mod world;
