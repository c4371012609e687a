//! Scripts that failed once, as a failure prints them.

use crate::recording::Setup;
use crate::shrink::Case;
use crate::sites::Watch;
use crate::workloads::Op::{self, *};

fn survives(seed: u64, setup: Setup, ops: Vec<Op>) {
    let case = Case { seed, setup, ops };
    if let Some(failure) = case.first_failure(Watch::default()) {
        panic!("it fails again:\n{}", case.as_regression(&failure));
    }
}
