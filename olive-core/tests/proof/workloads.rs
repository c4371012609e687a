//! Scripts for the crash proofs: what is done, and seven ways to mix it.
//!
//! Values are not in a script: they follow from how many writes came before, so that
//! each write's differs from all others, and a script stays short when it is printed.

use crate::support::Random;

/// One step. What it needs and does not find (a keyspace, a snapshot) it passes over,
/// so that any part of a script is a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    /// Key, and length of the value.
    Put(u16, u32),
    /// The same, synced whatever the database's durability.
    PutSynced(u16, u32),
    Delete(u16),
    /// Keyspace (0 is the default one), key, and length of the value or none for a delete.
    Batch(Vec<(u8, u16, Option<u32>)>),
    Create(u8),
    Drop(u8),
    Flush,
    Compact(u16, u16),
    CompactAll,
    Sync,
    /// One step of maintenance.
    Maintain,
    /// Maintenance until nothing is due.
    Settle,
    Snapshot,
    /// The oldest snapshot is read, and let go.
    Release,
    Checkpoint,
    /// The next edit finds no room in the manifest, and goes into a new one.
    FullManifest,
    /// A clean close, and an open.
    Reopen,
    /// The process dies, and another opens what is in the page cache.
    Kill,
}

/// A way to mix operations.
#[derive(Clone, Copy)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    next: fn(&mut Random, &mut Vec<Op>),
}

pub(crate) const WORKLOADS: [Workload; 7] = [
    Workload { name: "few-keys", next: few_keys },
    Workload { name: "batches", next: batches },
    Workload { name: "large", next: large },
    Workload { name: "churn", next: churn },
    Workload { name: "reopen", next: reopen },
    Workload { name: "mixed", next: mixed },
    Workload { name: "ranges", next: ranges },
];

impl Workload {
    /// `ops` operations by `seed`.
    pub(crate) fn script(&self, seed: u64, ops: usize) -> Vec<Op> {
        let mut random = Random(seed);
        let mut script = Vec::new();
        while script.len() < ops {
            (self.next)(&mut random, &mut script);
        }
        script
    }
}

fn put(random: &mut Random, keys: u64, len: u64) -> Op {
    Op::Put(random.below(keys) as u16, random.below(len) as u32)
}

fn batch(random: &mut Random, spaces: u64, keys: u64, len: u64) -> Op {
    let change = |random: &mut Random| {
        let space = random.below(spaces) as u8;
        let value = (random.below(4) > 0).then(|| random.below(len) as u32);
        (space, random.below(keys) as u16, value)
    };
    Op::Batch((0..=random.below(6)).map(|_| change(random)).collect())
}

fn few_keys(random: &mut Random, script: &mut Vec<Op>) {
    script.push(match random.below(24) {
        0..13 => put(random, 9, 120),
        13..19 => Op::Delete(random.below(9) as u16),
        19 => Op::PutSynced(random.below(9) as u16, 30),
        20 => Op::Sync,
        21 if random.below(6) == 0 => Op::Flush,
        21..24 => Op::Maintain,
        _ => Op::Kill,
    });
}

fn batches(random: &mut Random, script: &mut Vec<Op>) {
    script.push(match random.below(30) {
        0..15 => batch(random, 4, 20, 90),
        15..18 => put(random, 20, 60),
        18 | 19 => Op::Create(random.below(3) as u8 + 1),
        20 => Op::Drop(random.below(3) as u8 + 1),
        21 => Op::Sync,
        22 if random.below(3) == 0 => Op::Flush,
        23 if random.below(8) == 0 => Op::Reopen,
        24 if random.below(8) == 0 => Op::Kill,
        _ => Op::Maintain,
    });
}

/// Values up to twice a segment's length, some just as long as what is left of one.
fn large(random: &mut Random, script: &mut Vec<Op>) {
    script.push(match random.below(20) {
        0..4 => put(random, 12, 200),
        4..8 => Op::Put(random.below(12) as u16, 900 + random.below(3000) as u32),
        8 | 9 => Op::Put(random.below(12) as u16, 3900 + random.below(250) as u32),
        10 => Op::PutSynced(random.below(12) as u16, 4096 + random.below(4096) as u32),
        11 => batch(random, 1, 12, 1500),
        12 => Op::Delete(random.below(12) as u16),
        13 => Op::Sync,
        14 if random.below(8) == 0 => Op::Kill,
        _ => Op::Maintain,
    });
}

fn churn(random: &mut Random, script: &mut Vec<Op>) {
    script.push(match random.below(20) {
        0..9 => put(random, 60, 160),
        9 | 10 => Op::Delete(random.below(60) as u16),
        11 => batch(random, 1, 60, 200),
        12 | 13 => Op::Flush,
        14 if random.below(3) == 0 => Op::Settle,
        15 if random.below(6) == 0 => Op::CompactAll,
        16 => Op::Sync,
        _ => Op::Maintain,
    });
}

fn reopen(random: &mut Random, script: &mut Vec<Op>) {
    match random.below(16) {
        0..6 => script.push(put(random, 25, 150)),
        6 => script.push(Op::Delete(random.below(25) as u16)),
        7 => script.push(batch(random, 2, 25, 100)),
        8 => script.push(Op::Create(1)),
        9 => script.push(Op::Reopen),
        10 | 11 => script.push(Op::Kill),
        12 => script.extend([Op::FullManifest, put(random, 25, 50), Op::Flush]),
        13 => script.push(Op::Sync),
        _ => script.push(Op::Maintain),
    }
}

fn mixed(random: &mut Random, script: &mut Vec<Op>) {
    script.push(match random.below(30) {
        0..11 => put(random, 30, 150),
        11..14 => Op::Delete(random.below(30) as u16),
        14..17 => batch(random, 3, 30, 90),
        17 => Op::Create(random.below(2) as u8 + 1),
        18 if random.below(3) == 0 => Op::Drop(2),
        19 => Op::Snapshot,
        20 => Op::Release,
        21 if random.below(4) == 0 => Op::Checkpoint,
        22 if random.below(2) == 0 => Op::Flush,
        23 if random.below(8) == 0 => Op::Reopen,
        24 if random.below(8) == 0 => Op::Kill,
        25 if random.below(8) == 0 => Op::CompactAll,
        26 => Op::Sync,
        27 => Op::PutSynced(random.below(30) as u16, 40),
        _ => Op::Maintain,
    });
}

/// Runs of keys are deleted, and ranges around them compacted.
fn ranges(random: &mut Random, script: &mut Vec<Op>) {
    let start = random.below(70) as u16;
    let end = start + random.below(20) as u16;
    script.push(match random.below(20) {
        0..8 => put(random, 90, 140),
        8 => Op::Batch((start..end).map(|key| (0, key, None)).collect()),
        9 | 10 => Op::Batch((start..end).map(|key| (0, key, Some(40))).collect()),
        11 if random.below(2) == 0 => Op::Compact(start, end),
        12 if random.below(2) == 0 => Op::Flush,
        13 if random.below(4) == 0 => Op::Settle,
        14 => Op::Snapshot,
        15 => Op::Release,
        16 => Op::Sync,
        _ => Op::Maintain,
    });
}
