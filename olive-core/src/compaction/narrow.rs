//! Compactions for a disk that is nearly full: such as need little room at once.
//!
//! ```text
//! level n    one table and what it meets below, the deepest level first: what is
//!            overwritten or deleted goes there, and gives room back
//! level 0    all that may sink, into the base level, if that fits
//!            else as many of the oldest as fit, onto the level above the base, if that
//!            is empty; from there they sink one by one, as level n
//!            else as many of the oldest as fit with what they meet on the base level
//!            else neighbours in age into one table of level 0
//! ```
//!
//! A plan needs room for its outputs before its inputs go: no more than the bytes of all
//! its tables.

use super::picker::{costs, is_busy, oldest_free, settle, within_level0};
use super::plan::{Claim, Plan, PlanKind};
use super::shape::{PickerConfig, Shape, scores_beside};
use crate::sync::Arc;
use crate::table::Table;
use crate::version::Version;

/// A compaction that is due, collides with none of `running`, and whose tables have no
/// more than `bytes_max`; `None`: there is none, and what is due, if anything is, needs
/// more room.
#[must_use]
pub fn pick_narrow(
    version: &Version,
    config: &PickerConfig,
    running: &[Claim],
    bytes_max: u64,
) -> Option<Plan> {
    let shape = Shape::of(version, config);
    let scores = scores_beside(version, config, &shape, running);
    let narrow = Narrow { version, config, running, bytes_max };
    let deeper = (1..scores.len()).rev().filter(|&level| scores[level] >= 1.0);
    deeper
        .into_iter()
        .find_map(|level| narrow.of_level(level))
        .or_else(|| (scores[0] >= 1.0).then(|| narrow.of_level0(&shape)).flatten())
}

struct Narrow<'a> {
    version: &'a Version,
    config: &'a PickerConfig,
    running: &'a [Claim],
    bytes_max: u64,
}

impl Narrow<'_> {
    fn of_level(&self, level: usize) -> Option<Plan> {
        let tables = self.version.level(level);
        let mut by_cost = costs(self.version, level);
        by_cost.retain(|&(_, at)| !is_busy(&tables[at], self.running));
        by_cost.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        by_cost.into_iter().find_map(|(_, at)| self.plan(level, level + 1, &tables[at..=at]))
    }

    fn of_level0(&self, shape: &Shape) -> Option<Plan> {
        let base_level = shape.base_level;
        // Not above a level that is to be drained itself: tables would be rewritten once
        // for each level of a staircase.
        let has_step = base_level > 1 && shape.targets[base_level] > 0;
        let oldest = oldest_free(self.version, self.config, self.running);
        let as_many_as_fit = |level: usize| {
            (0..oldest.len()).find_map(|newest| self.plan(0, level, &oldest[newest..]))
        };
        self.plan(0, base_level, &oldest)
            .or_else(|| has_step.then(|| as_many_as_fit(base_level - 1)).flatten())
            .or_else(|| as_many_as_fit(base_level))
            .or_else(|| {
                let plan = within_level0(self.version, self.config, self.running, true)?;
                self.fits(&plan).then_some(plan)
            })
    }

    fn plan(&self, level: usize, output_level: usize, inputs: &[Arc<Table>]) -> Option<Plan> {
        if inputs.is_empty() {
            return None;
        }
        let plan = Plan::new(self.version, level, output_level, inputs.to_vec());
        let plan = settle(self.version, plan, self.config);
        self.fits(&plan).then_some(plan)
    }

    fn fits(&self, plan: &Plan) -> bool {
        let has_room = plan.kind == PlanKind::Move || plan.bytes() <= self.bytes_max;
        has_room && !self.running.iter().any(|claim| claim.collides(plan))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::testing::{meta, version};

    const CONFIG: PickerConfig = PickerConfig {
        level0_tables: 2,
        level0_tables_due: 2,
        level_base_bytes: 1_000,
        level_multiplier: 10,
        table_bytes: 100,
    };

    /// What a plan takes and from where to where.
    fn told(plan: Option<Plan>) -> Option<(usize, usize, Vec<u64>, usize)> {
        plan.map(|plan| {
            let inputs = plan.inputs.iter().map(|table| table.meta().number).collect();
            (plan.input_level, plan.output_level, inputs, plan.next.len())
        })
    }

    /// Three tables of level 0 over ten of the last level, 100 bytes each.
    fn wide() -> Version {
        let last = (0..10).map(|n| (6, meta(10 + n, n * 100, n * 100 + 99, 0)));
        let level0 = (0..3).map(|n| (0, meta(20 + n, 0, 999, 10 + n)));
        version(&last.chain(level0).collect::<Vec<_>>())
    }

    #[test]
    fn what_fits_sinks_at_once_and_what_does_not_by_way_of_the_level_above() {
        let pick = |bytes_max| told(pick_narrow(&wide(), &CONFIG, &[], bytes_max));
        assert_eq!(pick(1_300), Some((0, 6, vec![22, 21, 20], 10)));
        assert_eq!(pick(1_299), Some((0, 5, vec![22, 21, 20], 0)));
        assert_eq!(pick(200), Some((0, 5, vec![21, 20], 0)), "the oldest first");
        assert_eq!(pick(199), Some((0, 5, vec![20], 0)));
        assert_eq!(pick(99), Some((0, 5, vec![20], 0)), "a move needs no room");
    }

    #[test]
    fn what_lies_deeper_sinks_first_one_table_at_a_time() {
        let last = (0..10).map(|n| (6, meta(10 + n, n * 100, n * 100 + 99, 0)));
        let above = [(5, meta(30, 0, 499, 9)), (5, meta(31, 600, 799, 9))];
        let level0 = (0..3).map(|n| (0, meta(20 + n, 0, 999, 10 + n)));
        let version = version(&last.chain(above).chain(level0).collect::<Vec<_>>());
        let pick = |bytes_max| told(pick_narrow(&version, &CONFIG, &[], bytes_max));
        assert_eq!(pick(300), Some((5, 6, vec![31], 2)));
        assert_eq!(pick(299), None, "no staircase of levels");
    }

    #[test]
    fn nothing_is_picked_that_is_not_due() {
        let calm = version(&[(0, meta(20, 0, 999, 10)), (6, meta(10, 0, 999, 0))]);
        assert!(pick_narrow(&calm, &CONFIG, &[], u64::MAX).is_none());
    }
}
