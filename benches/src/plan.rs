//! What is measured, in which order, and which rows of the table come of it.
//!
//! ```text
//! group   a database's life: the phases share one folder an engine     16x100/random
//! phase   one measurement in a process of its own                      readrandom
//! row     one figure of a phase, with what Olive must reach            2 threads
//! ```
//!
//! Within a round, each phase is run on every engine before the next phase is: figures
//! that are compared were measured within a minute or two.

mod groups;
mod rates;

pub use groups::{Selection, Size, groups};
pub use rates::seconds_estimate;

use crate::engines::{EngineInfo, OLIVE};
use crate::spec::{Filled, Skew, Work};

/// A database's life, measured phase by phase.
#[derive(Debug, Clone)]
pub struct Group {
    /// Unique, and a folder's name but for the slash.
    pub id: String,
    /// What it is, for people.
    pub title: String,
    /// Bytes of a key.
    pub key_bytes: usize,
    /// Bytes of a value.
    pub value_bytes: usize,
    /// Keys are of numbers below this.
    pub entries: u64,
    /// Bytes of cache, for engines that have one.
    pub cache_bytes: u64,
    /// Whether it runs under the memory limit.
    pub limited: bool,
    /// Whether the compressed forms take part.
    pub compressed: bool,
    /// Families that take part; empty for all.
    pub families: &'static [&'static str],
    /// At most so many rounds, for what takes long.
    pub rounds_max: u32,
    /// In this order.
    pub phases: Vec<Phase>,
    /// What the table shows.
    pub rows: Vec<Row>,
}

/// One measurement.
#[derive(Debug, Clone)]
pub struct Phase {
    /// Unique in its group.
    pub id: &'static str,
    /// What is done.
    pub work: Work,
    /// Operations.
    pub ops: u64,
    /// Threads.
    pub threads: usize,
    /// Which keys.
    pub skew: Skew,
    /// How the database was or is filled.
    pub filled: Filled,
    /// Each write synced.
    pub sync: bool,
    /// Each operation timed.
    pub clocks: bool,
    /// Caches warmed before.
    pub warm: bool,
    /// Whether later phases need it: it is run again when a run is resumed among them.
    pub builds: bool,
    /// Whether settling is part of the time.
    pub settle_counts: bool,
    /// Only Olive has it.
    pub olive_only: bool,
}

impl Phase {
    /// Whether it writes.
    pub fn writes(&self) -> bool {
        !matches!(
            self.work,
            Work::ReadHit
                | Work::ReadHandle
                | Work::ReadMissing
                | Work::Seek
                | Work::Scan
                | Work::ScanOwned
                | Work::YcsbC
        )
    }
}

/// A figure of an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is what its name says; report.rs has the units")]
pub enum Metric {
    PutsPerSecond,
    GetsPerSecond,
    OpsPerSecond,
    PutP999,
    PutP9999,
    PutMax,
    PutMaxRunning,
    MachinePause,
    GetP999,
    DiskBytes,
    WrittenPerByte,
    AnonymousPeak,
    FilePeak,
    CpuPerOp,
    Settle,
    Open,
}

impl Metric {
    /// Whether more is better.
    pub fn is_rate(self) -> bool {
        matches!(self, Metric::PutsPerSecond | Metric::GetsPerSecond | Metric::OpsPerSecond)
    }
}

/// What a row asks of Olive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// So many times as good as the best peer.
    Best(f64),
    /// So many times as good as the best log-structured peer.
    BestLsm(f64),
    /// So many times as good as this family's best.
    Family(&'static str, f64),
    /// At most this, in the metric's unit.
    AtMost(f64),
}

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Row {
    /// What it shows, for people.
    pub title: String,
    /// The phase that is shown.
    pub phase: &'static str,
    /// Olive's phase, where that is another.
    pub olive_phase: Option<&'static str>,
    /// Which figure.
    pub metric: Metric,
    /// What Olive must reach.
    pub goals: Vec<Goal>,
}

impl Group {
    /// Whether an engine runs a phase of this group.
    pub fn takes_part(&self, engine: &EngineInfo, phase: &Phase) -> bool {
        (!phase.olive_only || engine.name == OLIVE)
            && (self.compressed || !engine.compressed)
            && (self.families.is_empty() || self.families.contains(&engine.family))
    }

    /// A phase by its name.
    pub fn phase(&self, id: &str) -> Option<&Phase> {
        self.phases.iter().find(|phase| phase.id == id)
    }

    /// Leaves only the phases that were asked for, those that they need, and their rows.
    pub fn keep(&mut self, wanted: impl Fn(&str) -> bool) {
        let last = self.phases.iter().rposition(|phase| wanted(phase.id));
        let mut at = 0;
        self.phases.retain(|phase| {
            at += 1;
            wanted(phase.id) || (phase.builds && last.is_some_and(|last| at <= last))
        });
        let phases = &self.phases;
        self.rows.retain(|row| {
            phases.iter().any(|phase| phase.id == row.phase)
                && row.olive_phase.is_none_or(|id| phases.iter().any(|phase| phase.id == id))
        });
    }
}

#[cfg(test)]
mod tests;
