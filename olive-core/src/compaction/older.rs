//! What may hold something older of a key than a plan's inputs do.
//!
//! A tombstone in the input may be dropped only if nothing older of its key is
//! outside the plan. Outside are the tables of every level below the input level
//! that are not in the plan, and, for a plan on level 0, tables of level 0 that
//! were not picked, unless all they hold is newer.
//!
//! ```text
//! key      ----------->      ascending, as a merge gives them
//! level 5  [   ] [  |cursor ] [   ]
//! level 6  [ ] [ ] [|cursor ] [ ]
//! ```

use crate::key::SeqNo;
use crate::sync::Arc;
use crate::table::Table;
use crate::version::{LEVELS, Version};

use super::plan::Plan;

/// Says of ascending keys whether something older of them may lie outside a plan.
#[derive(Debug)]
pub struct OlderTables {
    /// Tables in key order and disjoint, and the first that the keys have not passed.
    runs: Vec<(Vec<Arc<Table>>, usize)>,
    /// Tables of level 0, in any order.
    level0: Vec<Arc<Table>>,
}

impl OlderTables {
    /// For `plan`, which was made from `version`.
    ///
    /// It stays right while other jobs run: they sink what is older, and what they
    /// take away from a level was in `version`.
    #[must_use]
    pub fn new(version: &Version, plan: &Plan) -> OlderTables {
        let (smallest, largest) = plan.range();
        let mut mine: Vec<u64> = plan.tables().map(|t| t.meta().number).collect();
        mine.sort_unstable();
        let outside = |t: &&Arc<Table>| mine.binary_search(&t.meta().number).is_err();
        let runs = (plan.input_level + 1..LEVELS)
            .map(|level| version.run(level, smallest, largest))
            .map(|run| (run.iter().filter(outside).cloned().collect::<Vec<_>>(), 0))
            .filter(|(run, _)| !run.is_empty())
            .collect();
        let mut level0 = Vec::new();
        if plan.input_level == 0 {
            let newest = plan.inputs.iter().map(|t| t.meta().seq_max).max();
            let newest = newest.unwrap_or(SeqNo::ZERO);
            let others = version.overlapping(0, smallest, largest).filter(outside);
            level0 = others.filter(|t| t.meta().seq_min <= newest).cloned().collect();
        }
        OlderTables { runs, level0 }
    }

    /// Whether there are no such tables at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.level0.is_empty()
    }

    /// Whether one of them may hold `scoped`. Keys must come in ascending order; the
    /// whole walk costs one step a table.
    #[inline]
    pub fn may_contain_older(&mut self, scoped: &[u8]) -> bool {
        let mut found = false;
        for (tables, cursor) in &mut self.runs {
            while let Some(table) = tables.get(*cursor) {
                let meta = table.meta();
                if meta.largest.as_slice() >= scoped {
                    found |= meta.smallest.as_slice() <= scoped;
                    break;
                }
                *cursor += 1;
            }
        }
        found || self.level0.iter().any(|t| t.meta().overlaps(scoped, scoped))
    }
}
