//! The shape that the tree should have.
//!
//! Targets are set from the last level's size up, so that what lies above it, and
//! may be overwritten by it or deleted, stays a fixed part of the whole:
//!
//! ```text
//! level 6 (last)   10 GB   its own size: it is never too large
//! level 5           1 GB   a tenth of it
//! level 4         100 MB   a tenth: below level_base_bytes, so this is the base level
//! level 1..3        0      empty; what stands there is drained downwards
//! level 0                  sinks straight into the base level
//! ```
//!
//! The idea is RocksDB's `level_compaction_dynamic_level_bytes`.

use super::plan::Claim;
use crate::version::{LEVELS, Version};

/// The last level.
const LAST: usize = LEVELS - 1;

/// What the picker goes by.
#[derive(Debug, Clone, Copy)]
pub struct PickerConfig {
    /// How many tables level 0 may have before they are merged.
    pub level0_tables: usize,
    /// From how many on they are merged whatever it costs, and not only where they are alike.
    pub level0_tables_due: usize,
    /// The largest target of the base level, in bytes.
    pub level_base_bytes: u64,
    /// How many times a level is larger than the one above.
    pub level_multiplier: u32,
    /// The size at which a compaction begins another table, in bytes.
    pub table_bytes: u64,
}

/// How large each level should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// The level into which level 0 is merged.
    pub(super) base_level: usize,
    /// Bytes that a level may have; 0: none should be there. The last level's is its
    /// own size. Level 0's is about bytes; its count of tables has a limit of its own.
    pub(super) targets: [u64; LEVELS],
}

impl Shape {
    /// The shape that fits what `version` holds.
    #[must_use]
    pub(super) fn of(version: &Version, config: &PickerConfig) -> Shape {
        let largest = (1..LEVELS).map(|level| version.level_bytes(level)).max().unwrap_or(0);
        let multiplier = u64::from(config.level_multiplier.max(2));
        let mut targets = [0; LEVELS];
        let mut level = LAST;
        let mut target = largest.max(config.level_base_bytes);
        targets[level] = target;
        while target > config.level_base_bytes && level > 1 {
            level -= 1;
            target /= multiplier;
            targets[level] = target;
        }
        // By bytes, level 0 may hold a third of a base level at its largest: less would
        // rewrite the base level for each flush, more would cost space (measured by
        // simulation.rs: write amplification 5.7 at a third and 6.2 at a tenth of the
        // last level, for 20 million puts).
        let level0 = (config.level_base_bytes / 3).max(1);
        targets[0] = if level == LAST { level0 } else { level0.max(target) };
        // Newer versions of a key must stay above older ones: while a level above the
        // base is still being drained, nothing from level 0 may pass it by.
        let first = (1..LEVELS).find(|&l| version.level_bytes(l) > 0).unwrap_or(LAST);
        Shape { base_level: level.min(first), targets }
    }
}

/// Bytes that each level may have, see `Shape::targets`.
#[must_use]
pub fn level_targets(version: &Version, config: &PickerConfig) -> [u64; LEVELS] {
    Shape::of(version, config).targets
}

/// How far each level is over what it may have: from 1.0 on it should be compacted.
#[must_use]
pub fn scores(version: &Version, config: &PickerConfig) -> [f64; LEVELS] {
    scores_beside(version, config, &Shape::of(version, config), &[])
}

/// The same, without what running jobs take away.
pub(super) fn scores_beside(
    version: &Version,
    config: &PickerConfig,
    shape: &Shape,
    running: &[Claim],
) -> [f64; LEVELS] {
    let mut scores = [0.0; LEVELS];
    for (level, score) in scores.iter_mut().enumerate().take(LAST) {
        let (mut tables, mut bytes) = (version.level(level).len(), version.level_bytes(level));
        for claim in running.iter().filter(|claim| claim.input_level == level) {
            let leaving = version.level(level).iter().filter(|t| claim.has(t.meta().number));
            for table in leaving {
                tables -= 1;
                bytes -= table.meta().bytes;
            }
        }
        let target = shape.targets[level];
        *score = match (level, target) {
            (0, _) => {
                let by_count = tables as f64 / config.level0_tables.max(1) as f64;
                by_count.max(bytes as f64 / target as f64)
            }
            (_, 0) if bytes == 0 => 0.0,
            // A level above the base: to be drained, however little it holds.
            (_, 0) => 1.0 + bytes as f64 / config.level_base_bytes.max(1) as f64,
            _ => bytes as f64 / target as f64,
        };
    }
    scores
}

/// Bytes that compactions still have to write before every level has its shape:
/// an estimate, by what each level is over its target and what it meets below.
#[must_use]
pub fn debt(version: &Version, config: &PickerConfig) -> u64 {
    let shape = Shape::of(version, config);
    let scores = scores_beside(version, config, &shape, &[]);
    let mut bytes = 0_u64;
    let mut sinking = 0;
    if scores[0] >= 1.0 {
        sinking = version.level_bytes(0);
        bytes = sinking + version.level_bytes(shape.base_level);
    }
    for level in 1..LAST {
        let here = version.level_bytes(level) + if level >= shape.base_level { sinking } else { 0 };
        let excess = here.saturating_sub(shape.targets[level]);
        if level >= shape.base_level {
            sinking = excess;
        }
        if excess > 0 {
            let below = version.level_bytes(level + 1) as f64 / here as f64;
            bytes += (excess as f64 * (1.0 + below)) as u64;
        }
    }
    bytes
}
