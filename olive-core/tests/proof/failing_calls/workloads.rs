//! What is done while calls fail.

use olive_core::internals::vfs::sim::{Fault, OpKind, errno};

use crate::script::{Step, script};
use crate::support::Random;

/// One thing that a workload does.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Step(Step),
    /// Makes a checkpoint of this number.
    Checkpoint(usize),
    /// Reads everything through a second, read-only handle.
    ReadOnly,
    /// Reads everything through the handle itself.
    ReadAll,
    /// Compacts a part of the keys.
    CompactPart,
}

/// A list of acts with a name.
pub(super) struct Workload {
    pub(super) name: &'static str,
    pub(super) acts: Vec<Act>,
    /// What fails in every run of it: some calls are made only then.
    pub(super) fails: Option<Fault>,
}

/// All workloads, by `seed`.
pub(super) fn all(seed: u64) -> Vec<Workload> {
    let of = |name, acts| Workload { name, acts, fails: None };
    vec![
        of("tables", tables(seed)),
        of("batches", batches(seed ^ 1)),
        of("checkpoints", checkpoints(seed ^ 2)),
        Workload {
            fails: Some(Fault::once(Some(OpKind::Link), 2, errno::EIO)),
            ..of("failed checkpoint", checkpoints(seed ^ 3))
        },
        of("read-only", read_only(seed ^ 4)),
        of("large", large(seed ^ 5)),
        of("maintenance", maintenance(seed ^ 6)),
    ]
}

fn put(random: &mut Random, len: usize) -> Act {
    let key = format!("key{:02}", random.below(25)).into_bytes();
    Act::Step(Step::Put(key, random.bytes(len)))
}

fn some(random: &mut Random) -> Act {
    let len = random.below(180) as usize;
    match random.below(5) {
        0 => Act::Step(Step::Delete(format!("key{:02}", random.below(25)).into_bytes())),
        _ => put(random, len),
    }
}

fn tables(seed: u64) -> Vec<Act> {
    let mut random = Random(seed);
    let mut acts = Vec::new();
    for round in 0..4 {
        acts.extend((0..9).map(|_| some(&mut random)));
        acts.push(Act::Step(Step::Flush));
        acts.extend((0..3).map(|_| some(&mut random)));
        acts.push(match round {
            0 => Act::Step(Step::Compact),
            1 => Act::CompactPart,
            2 => Act::Step(Step::Reopen),
            _ => Act::Step(Step::Compact),
        });
    }
    acts.push(Act::ReadAll);
    acts
}

/// Keyspaces that come and go, batches across them, and everything in between.
fn batches(seed: u64) -> Vec<Act> {
    let mut acts: Vec<Act> = script(seed, 34).into_iter().map(Act::Step).collect();
    acts.push(Act::ReadAll);
    acts
}

fn checkpoints(seed: u64) -> Vec<Act> {
    let mut random = Random(seed);
    let mut acts = Vec::new();
    for number in 0..3 {
        acts.extend((0..7).map(|_| some(&mut random)));
        if number == 1 {
            acts.push(Act::Step(Step::Compact));
        }
        acts.push(Act::Checkpoint(number));
    }
    acts.push(put(&mut random, 40));
    acts.push(Act::Step(Step::Reopen));
    acts.push(Act::Checkpoint(3));
    acts
}

fn read_only(seed: u64) -> Vec<Act> {
    let mut random = Random(seed);
    let mut acts = Vec::new();
    for round in 0..4 {
        acts.extend((0..6).map(|_| some(&mut random)));
        acts.push(Act::ReadOnly);
        acts.push(Act::Step(
            [Step::Flush, Step::Maintain, Step::Reopen, Step::Sync][round].clone(),
        ));
    }
    acts.push(Act::ReadOnly);
    acts
}

/// Records with a segment of their own, values with a block of their own.
fn large(seed: u64) -> Vec<Act> {
    let mut random = Random(seed);
    let mut acts = Vec::new();
    for round in 0..2 {
        acts.push(put(&mut random, 30));
        acts.push(put(&mut random, 70 << 10));
        acts.push(put(&mut random, 6 << 10));
        acts.push(Act::Step(Step::Sync));
        acts.push(put(&mut random, 1 << 10));
        acts.push(put(&mut random, 66 << 10));
        acts.push(Act::Step(if round == 0 { Step::Flush } else { Step::Maintain }));
        acts.push(put(&mut random, 20));
        acts.push(Act::Step(if round == 0 { Step::Reopen } else { Step::Compact }));
    }
    acts
}

/// Small writes and one step of maintenance after the other.
fn maintenance(seed: u64) -> Vec<Act> {
    let mut random = Random(seed);
    let mut acts = Vec::new();
    for turn in 0..55 {
        acts.push(some(&mut random));
        if turn % 2 == 1 {
            acts.push(Act::Step(Step::Maintain));
        }
        if turn % 19 == 18 {
            acts.push(Act::Step(Step::Sync));
            acts.extend((0..4).map(|_| Act::Step(Step::Maintain)));
        }
    }
    acts.push(Act::ReadAll);
    acts
}
