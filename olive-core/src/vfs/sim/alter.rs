//! A record with mutations left out or moved: what the disk would hold if whoever
//! wrote it had forgotten a sync, or done it too late.
//!
//! ```text
//! record     … write A · sync A · rename A …
//! Behind 3   … write A ·    –   · rename A + sync A …
//! Away       … write A ·    –   · rename A …
//! ```
//!
//! This is the same as another run for mutations that nobody can see the effect of
//! before a power cut: syncs above all.

use super::crash::Journal;
use super::disk::Op;
use super::{SimVfs, TraceEntry};

/// Where a mutation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// It is left out.
    Away,
    /// It is done right after the mutation of this number, or never if the record
    /// ends before.
    Behind(u64),
    /// It is done right before the mutation of this number.
    Before(u64),
}

impl SimVfs {
    /// A copy of this disk and its record, in which the mutations of some numbers
    /// have moved. All keep their numbers: where one was, nothing is done.
    ///
    /// # Panics
    ///
    /// Where mutations are not recorded, and where one that is to move, or that one
    /// is to move before, is not among them.
    #[must_use]
    pub fn altered(&self, moves: &[(u64, Move)]) -> SimVfs {
        let mut state = self.state();
        let number = state.mutations;
        let journal = state.journal();
        let mut altered = Journal::new(&journal.base, journal.base_number);
        altered.entries.clone_from(&journal.entries);
        let first = journal.base_number + 1;
        altered.alter(first, moves);
        let disk = altered.disk_at(number).clone();
        let copy = state.copy(disk);
        let mut copied = copy.state();
        copied.mutations = number;
        copied.journal = Some(altered);
        drop(copied);
        copy
    }
}

impl Journal {
    fn alter(&mut self, first: u64, moves: &[(u64, Move)]) {
        let index = |number: u64| (number - first) as usize;
        let mut before: Vec<(usize, Op)> = Vec::new();
        let mut behind: Vec<(usize, Op)> = Vec::new();
        for (number, to) in moves {
            let (entry, op) = &mut self.entries[index(*number)];
            let op = leave_out(entry, op);
            match to {
                Move::Away => {}
                Move::Before(target) => before.push((index(*target), op)),
                Move::Behind(target) => behind.push((index(*target), op)),
            }
        }
        let mut add = |index: usize, op: Op, is_first: bool| {
            let Some((_, there)) = self.entries.get_mut(index) else { return };
            let mut ops = match std::mem::replace(there, Op::Nothing) {
                Op::Several(ops) => ops,
                Op::Nothing => Vec::new(),
                op => vec![op],
            };
            ops.insert(if is_first { 0 } else { ops.len() }, op);
            *there = Op::Several(ops);
        };
        // In the order that they had among themselves.
        for (index, op) in before.into_iter().rev() {
            add(index, op, true);
        }
        for (index, op) in behind {
            add(index, op, false);
        }
    }
}

fn leave_out(entry: &mut TraceEntry, op: &mut Op) -> Op {
    entry.skipped = true;
    std::mem::replace(op, Op::Nothing)
}
