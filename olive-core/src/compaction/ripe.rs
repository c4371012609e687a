//! What is compacted for its tombstones, where every level has its shape.
//!
//! ```text
//! level n      [ 600 puts, 400 tombstones ]        hide some 400 below
//! level n + 1  [ 500 ][ 500 ]                      1,000 entries to be rewritten, and 600
//!              1,600 entries for 400 that go: ripe
//! ```
//!
//! A tombstone takes a few bytes, and what it hides stays until both meet, so sizes alone
//! would let a database that was mostly deleted keep all its room, and iterators walk over
//! what is gone. A merge that lets go of one entry in [`COST_MAX`] that it writes is cheap:
//! each byte is written some ten times as often on its way down. So tombstones at rest hide
//! no more than about a quarter of what lies below them.
//!
//! RocksDB counts twice what a tombstone may hide to the size of a table, for a like end
//! (`compensated_file_size`).

use super::picker;
use super::plan::{Claim, Plan, PlanKind};
use super::shape::{PickerConfig, Shape};
use crate::format::edit::TableMeta;
use crate::key::SeqNo;
use crate::sync::Arc;
use crate::table::Table;
use crate::version::{LEVELS, Version};

/// How many entries may be read and written for each tombstone that sinks.
const COST_MAX: u64 = 4;

/// A compaction that tombstones are worth and that collides with none of `running`: of
/// tables that no reader before `oldest_reader` keeps from letting go. For when
/// [`pick`](super::pick) has nothing.
#[must_use]
pub fn pick_ripe(
    version: &Version,
    config: &PickerConfig,
    running: &[Claim],
    oldest_reader: SeqNo,
) -> Option<Plan> {
    let of_level0 = || {
        let inputs = picker::oldest_free(version, config, running);
        let base_level = Shape::of(version, config).base_level;
        let may_go = inputs.iter().all(|table| table.meta().seq_max <= oldest_reader);
        (may_go && version.level_tombstones(0) > 0 && !inputs.is_empty())
            .then(|| Plan::new(version, 0, base_level, inputs))
            .filter(is_ripe)
    };
    let of_level = |level: usize| {
        let tables = if version.level_tombstones(level) > 0 { version.level(level) } else { &[] };
        tables.iter().filter(|table| table.meta().seq_max <= oldest_reader).find_map(|table| {
            let plan = plan_of(version, level, table)?;
            is_free(&plan, running).then_some(plan)
        })
    };
    of_level0()
        .filter(|plan| is_free(plan, running))
        .or_else(|| version.deeper().find_map(of_level))
        .map(|plan| picker::settle(version, plan, config))
}

/// The compaction of one table, if its tombstones are worth it.
fn plan_of(version: &Version, level: usize, table: &Arc<Table>) -> Option<Plan> {
    let meta = table.meta();
    // First by what is at hand.
    if cost(std::iter::once(meta), std::iter::empty()) > meta.tombstones.saturating_mul(COST_MAX) {
        return None;
    }
    let plan = if level + 1 < LEVELS {
        Plan::new(version, level, level + 1, vec![Arc::clone(table)])
    } else {
        Plan::rewrite(version, level, &meta.smallest, &meta.largest, 0)?
    };
    is_ripe(&plan).then_some(plan)
}

/// Whether its tombstones are worth what it costs.
fn is_ripe(plan: &Plan) -> bool {
    let inputs = plan.inputs.iter().map(|table| table.meta());
    let next = plan.next.iter().map(|table| table.meta());
    let tombstones: u64 = inputs.clone().map(|meta| meta.tombstones).sum();
    tombstones > 0 && cost(inputs, next) <= tombstones.saturating_mul(COST_MAX)
}

/// Entries that a compaction would read and may have to write, but for tombstones that
/// sink.
fn cost<'a>(
    inputs: impl Iterator<Item = &'a TableMeta>,
    next: impl Iterator<Item = &'a TableMeta>,
) -> u64 {
    let above: u64 = inputs.map(|meta| meta.entries.saturating_sub(meta.tombstones)).sum();
    above + next.map(|meta| meta.entries).sum::<u64>()
}

fn is_free(plan: &Plan, running: &[Claim]) -> bool {
    debug_assert_eq!(plan.kind, PlanKind::Merge);
    !running.iter().any(|claim| claim.collides(plan))
}
