//! Every input that the fuzz targets keep, run without a fuzzer: where they begin,
//! and what showed something wrong once.

#[expect(unreachable_pub, reason = "a part of the fuzzer's library")]
#[path = "../../../fuzz/src/engine/mod.rs"]
mod engine;
#[expect(unreachable_pub, reason = "a part of the fuzzer's library")]
#[path = "../../../fuzz/src/kept.rs"]
mod kept;

use crate::tally::Tally;

/// A target's name, and what it does with an input.
type Target = (&'static str, fn(&[u8]));

#[test]
fn every_kept_input_of_the_fuzzer_passes() {
    let tally = Tally::new("fuzz-regressions");
    let targets: [Target; 5] = [
        ("block", engine::block::run),
        ("table", engine::table::run),
        ("wal", engine::wal::run),
        ("manifest", engine::manifest::run),
        ("operations", engine::operations::run),
    ];
    for (target, run) in targets {
        let inputs = kept::each(target, run);
        assert!(inputs > 0, "{target} keeps no input");
        tally.add(target, inputs as u64);
    }
    tally.close();
}
