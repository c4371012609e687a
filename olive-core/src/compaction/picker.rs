//! The most urgent compaction.
//!
//! ```text
//! score every level (shape.rs); from the highest that is 1 or more:
//!   level 0   the oldest tables, as far as none overlaps an older one that stays,
//!             with what they meet on the base level; or, where that is far larger
//!             than they are, or busy: neighbours in age into one table of level 0
//!   level n   the table that meets least on level n + 1 for its size; one of mostly
//!             tombstones counts as if it met a quarter; and its neighbours as far
//!             as they meet nothing more
//! a table that meets nothing moves
//! ```
//!
//! What keeps the order of versions right: a plan never leaves an older version of
//! one of its keys above its output, and merges within level 0 take tables between
//! whose sequence numbers no other's lie.

use super::plan::{Claim, Plan, PlanKind};
use super::shape::{PickerConfig, Shape, scores_beside};
use crate::sync::Arc;
use crate::table::Table;
use crate::version::Version;

/// The most that one plan takes from its input level, in tables of full size.
const INPUT_TABLES_MAX: u64 = 25;
/// The most that a moved table may meet two levels below, in times `table_bytes`:
/// more, and its own compaction would be a large one.
const GRANDPARENT_TABLES_MAX: u64 = 10;

/// The most urgent compaction that collides with none of `running`; `None`: every
/// level has its shape, or all that is to be done is being done.
#[must_use]
pub fn pick(version: &Version, config: &PickerConfig, running: &[Claim]) -> Option<Plan> {
    let shape = Shape::of(version, config);
    let scores = scores_beside(version, config, &shape, running);
    let mut urgent: Vec<usize> = (0..scores.len()).filter(|&l| scores[l] >= 1.0).collect();
    urgent.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    urgent.into_iter().find_map(|level| match level {
        0 => pick_level0(version, config, &shape, running),
        _ => pick_level(version, config, level, running),
    })
}

fn pick_level0(
    version: &Version,
    config: &PickerConfig,
    shape: &Shape,
    running: &[Claim],
) -> Option<Plan> {
    let inputs = oldest_free(version, config, running);
    let bytes: u64 = inputs.iter().map(|t| t.meta().bytes).sum();
    let plan = (!inputs.is_empty())
        .then(|| settle(version, Plan::new(version, 0, shape.base_level, inputs), config))
        .filter(|plan| !running.iter().any(|claim| claim.collides(plan)));
    let is_due = version.level(0).len() >= config.level0_tables_due;
    let within = || within_level0(version, config, running, is_due);
    match plan {
        // Few bytes that would rewrite many: gather them first.
        Some(plan) if plan.kind == PlanKind::Merge && bytes < shape.targets[0] => {
            let met: u64 = plan.next.iter().map(|t| t.meta().bytes).sum();
            let many = met / u64::from(config.level_multiplier.max(2)) > bytes;
            if many { within().or(is_due.then_some(plan)) } else { Some(plan) }
        }
        Some(plan) => Some(plan),
        None if version.level(0).len() >= 2 * config.level0_tables => within(),
        None => None,
    }
}

/// The oldest tables of level 0, newest first: none is busy, none overlaps an older
/// one that is not among them.
pub(super) fn oldest_free(
    version: &Version,
    config: &PickerConfig,
    running: &[Claim],
) -> Vec<Arc<Table>> {
    let mut taken: Vec<Arc<Table>> = Vec::new();
    let mut left: Vec<&Arc<Table>> = Vec::new();
    let mut bytes = 0;
    for table in version.level(0).iter().rev() {
        let meta = table.meta();
        if taken.len() >= config.level0_tables && bytes > INPUT_TABLES_MAX * config.table_bytes {
            break;
        }
        let meets = |t: &&Arc<Table>| t.meta().overlaps(&meta.smallest, &meta.largest);
        if is_busy(table, running) || left.iter().any(meets) {
            left.push(table);
        } else {
            bytes += meta.bytes;
            taken.push(Arc::clone(table));
        }
    }
    taken.reverse();
    taken
}

/// Neighbours in age, merged within level 0: the newest, and on as long as the next older
/// one is not larger than twice all before it; the second too, where that `is_due`. So a
/// byte is rewritten some few times for each time that level 0 grows by its number of
/// tables, and where it need not be, no more often than what it lies in has doubled.
pub(super) fn within_level0(
    version: &Version,
    config: &PickerConfig,
    running: &[Claim],
    is_due: bool,
) -> Option<Plan> {
    let tables = version.level(0);
    let free = tables.iter().position(|t| !is_busy(t, running))?;
    let mut end = free;
    let mut bytes = 0_u64;
    let whatever = if is_due { 2 } else { 1 };
    for table in &tables[free..] {
        let more = table.meta().bytes;
        let alike = end < free + whatever || more <= bytes.saturating_mul(2);
        if is_busy(table, running) || !alike || bytes > INPUT_TABLES_MAX * config.table_bytes {
            break;
        }
        bytes += more;
        end += 1;
    }
    let inputs = tables[free..end].to_vec();
    if inputs.len() < 2 || !alone_in_age(tables, &inputs) {
        return None;
    }
    let plan = Plan::new(version, 0, 0, inputs);
    (!running.iter().any(|claim| claim.collides(&plan))).then_some(plan)
}

/// Whether no other table's sequence numbers reach between those of `inputs`.
fn alone_in_age(tables: &[Arc<Table>], inputs: &[Arc<Table>]) -> bool {
    let oldest = inputs.iter().map(|t| t.meta().seq_min).min();
    let newest = inputs.iter().map(|t| t.meta().seq_max).max();
    let (Some(oldest), Some(newest)) = (oldest, newest) else { return false };
    tables.iter().filter(|t| !inputs.iter().any(|i| Arc::ptr_eq(i, t))).all(|t| {
        let meta = t.meta();
        meta.seq_max < oldest || meta.seq_min > newest
    })
}

fn pick_level(
    version: &Version,
    config: &PickerConfig,
    level: usize,
    running: &[Claim],
) -> Option<Plan> {
    let mut by_cost = costs(version, level);
    by_cost.retain(|&(_, at)| !is_busy(&version.level(level)[at], running));
    by_cost.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    by_cost.into_iter().find_map(|(_, at)| {
        let inputs = vec![Arc::clone(&version.level(level)[at])];
        let plan = Plan::new(version, level, level + 1, inputs);
        if running.iter().any(|claim| claim.collides(&plan)) {
            return None;
        }
        let plan = widened(version, config, plan, at, running);
        Some(settle(version, plan, config))
    })
}

/// For each table of `level` what it meets below for each byte of its own, and its
/// place. One walk over both levels.
pub(super) fn costs(version: &Version, level: usize) -> Vec<(f64, usize)> {
    let below = version.level(level + 1);
    let mut from = 0;
    let mut costs = Vec::with_capacity(version.level(level).len());
    for (at, table) in version.level(level).iter().enumerate() {
        let meta = table.meta();
        while below.get(from).is_some_and(|t| t.meta().largest < meta.smallest) {
            from += 1;
        }
        let met = below[from..].iter().take_while(|t| t.meta().smallest <= meta.largest);
        let met: u64 = met.map(|t| t.meta().bytes).sum();
        let cost = met as f64 / meta.bytes.max(1) as f64;
        let of_tombstones = meta.tombstones > meta.entries / 2;
        costs.push((if of_tombstones { cost / 4.0 } else { cost }, at));
    }
    costs
}

/// `plan`, with the neighbours of its one input at `at` that meet nothing below but
/// what it meets already: they come nearly for nothing.
fn widened(
    version: &Version,
    config: &PickerConfig,
    plan: Plan,
    at: usize,
    running: &[Claim],
) -> Plan {
    if plan.next.is_empty() {
        return plan;
    }
    let tables = version.level(plan.input_level);
    let met = plan.next.len();
    let mut bytes = tables[at].meta().bytes;
    let mut fits = |table: &Arc<Table>| {
        let meta = table.meta();
        bytes += meta.bytes;
        let run = version.run(plan.output_level, &meta.smallest, &meta.largest);
        let (smallest, largest) = plan.range();
        !is_busy(table, running)
            && !run.is_empty()
            && bytes <= INPUT_TABLES_MAX * config.table_bytes
            && run.iter().all(|t| t.meta().overlaps(smallest, largest))
    };
    let from = at - tables[..at].iter().rev().take_while(|t| fits(t)).count();
    let to = at + 1 + tables[at + 1..].iter().take_while(|t| fits(t)).count();
    let wide = Plan::new(version, plan.input_level, plan.output_level, tables[from..to].to_vec());
    let free = !running.iter().any(|claim| claim.collides(&wide));
    if free && wide.next.len() == met { wide } else { plan }
}

/// `plan` as a move, where nothing would be gained by rewriting its inputs.
pub(super) fn settle(version: &Version, mut plan: Plan, config: &PickerConfig) -> Plan {
    let meets_none = |t: &Arc<Table>| {
        let meta = t.meta();
        let others = plan.inputs.iter().filter(|other| !Arc::ptr_eq(other, t));
        version.run(plan.output_level, &meta.smallest, &meta.largest).is_empty()
            && others.into_iter().all(|o| !meta.overlaps(&o.meta().smallest, &o.meta().largest))
    };
    let grandparents: u64 = plan.grandparents.iter().map(|t| t.meta().bytes).sum();
    let free_of_tombstones = !plan.bottommost || plan.tombstones() == 0;
    if free_of_tombstones
        && grandparents <= GRANDPARENT_TABLES_MAX * config.table_bytes * plan.inputs.len() as u64
        && plan.inputs.iter().all(meets_none)
    {
        plan.kind = PlanKind::Move;
        plan.next.clear();
    }
    plan
}

pub(super) fn is_busy(table: &Table, running: &[Claim]) -> bool {
    running.iter().any(|claim| claim.has(table.meta().number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::edit::TableMeta;
    use crate::version::testing::{meta, version};

    /// Numbers of the tables that are merged within level 0 at rest, of these lengths, the
    /// newest first, above half a megabyte.
    fn gathered(level0: &[u64]) -> Option<Vec<u64>> {
        let config = PickerConfig {
            level0_tables: 2,
            level0_tables_due: 4,
            level_base_bytes: 1_000_000,
            level_multiplier: 10,
            table_bytes: 1_000_000,
        };
        let of =
            |number: u64, bytes: u64, seq: u64| TableMeta { bytes, ..meta(number, 0, 999, seq) };
        let mut tables = vec![(6, of(99, 500_000, 0))];
        let numbers = 0..level0.len() as u64;
        tables.extend(numbers.zip(level0).map(|(n, &bytes)| (0, of(n, bytes, 100 - n))));
        let plan = pick(&version(&tables), &config, &[])?;
        assert_eq!(plan.output_level, 0, "what would rewrite half a megabyte waits");
        Some(plan.inputs.iter().map(|table| table.meta().number).collect())
    }

    #[test]
    fn a_few_bytes_do_not_have_all_that_was_gathered_written_again() {
        assert_eq!(gathered(&[10, 10_000]), None);
        assert_eq!(gathered(&[10, 20]), Some(vec![0, 1]));
        assert_eq!(gathered(&[10, 15, 10_000]), Some(vec![0, 1]));
        assert_eq!(gathered(&[10, 15, 50, 30_000]), Some(vec![0, 1, 2]));
        assert_eq!(gathered(&[10, 1_000, 20_000]), None);
        assert_eq!(gathered(&[10, 1_000, 20_000, 25_000]), Some(vec![0, 1]), "there are too many");
    }
}
