//! Scripts that failed once, as a failure prints them, with the function that shows it.
//!
//! So far the engine has failed none: these are the smallest that show a sync taken away
//! from it, each named by that.

use crate::recording::Setup;
use crate::shrink::Case;
use crate::sites::Watch;
use crate::workloads::Op::{self, *};

/// A crash at any mutation loses nothing.
fn survives(seed: u64, setup: Setup, ops: Vec<Op>) {
    let case = Case { seed, setup, ops };
    if let Some(failure) = case.first_failure(Watch::default()) {
        panic!("it fails again:\n{}", case.as_regression(&failure));
    }
}

/// A kill at any mutation, and crashes in the recovery from it, lose nothing.
fn survives_recoveries(seed: u64, setup: Setup, ops: Vec<Op>) {
    let case = Case { seed, setup, ops };
    if let Some(failure) = crate::recovery_crashes::first_failure(&case) {
        panic!("it fails again:\n{}", case.as_regression(&failure));
    }
}

#[test]
fn a_table_is_synced_before_a_manifest_names_it() {
    let setup = Setup { mapped: true, durable: true, compacting: false };
    survives(0x5, setup, vec![Put(23, 0)]);
}

#[test]
fn a_log_is_synced_before_a_write_is_acknowledged_and_behind_a_kill() {
    let setup = Setup { mapped: false, durable: false, compacting: true };
    let ops = vec![PutSynced(1, 0), Put(2, 4000), Kill, Delete(1), FullManifest, Flush, Reopen];
    survives(0x5, setup, ops.clone());
    survives_recoveries(0x5, setup, ops);
}
