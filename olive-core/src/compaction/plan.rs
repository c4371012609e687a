//! One compaction: which tables go in, and where the output lands.
//!
//! ```text
//! level n      [ inputs ]                 newer
//! level m      [ next ][ next ][ next ]   every table of m within the range of all inputs
//! level m + 1  [ grandparents ...       ] where outputs are cut, so that none overlaps many
//! ```
//!
//! The levels between n and m are empty.

use crate::sync::Arc;
use crate::table::Table;
use crate::version::{LEVELS, Version};

/// What is done with the inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanKind {
    /// They overlap nothing on the output level, nor each other: the edit alone
    /// moves them.
    Move,
    /// They are merged with `next` into new tables.
    Merge,
}

/// A compaction to be done.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Whether anything is written.
    pub kind: PlanKind,
    /// Where `inputs` are.
    pub input_level: usize,
    /// Where the output goes, and where `next` are. The same as `input_level` for a
    /// rewrite in place and for a merge within level 0.
    pub output_level: usize,
    /// Tables of the input level, in its order: level 0 newest first.
    pub inputs: Vec<Arc<Table>>,
    /// Tables of the output level, in key order.
    pub next: Vec<Arc<Table>>,
    /// Tables of the level below the output within its range, in key order.
    pub grandparents: Vec<Arc<Table>>,
    /// Whether nothing older of any key in it can be outside it.
    pub bottommost: bool,
}

/// What a running compaction keeps others from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Where its inputs are.
    pub input_level: usize,
    /// Where its outputs will be.
    pub output_level: usize,
    /// The numbers of all its tables, ascending.
    tables: Vec<u64>,
    smallest: Vec<u8>,
    largest: Vec<u8>,
}

impl Claim {
    /// A claim on tables (level and number) that an edit alone takes out.
    #[must_use]
    pub fn of(removed: &[(usize, u64)]) -> Claim {
        let mut tables: Vec<u64> = removed.iter().map(|&(_, number)| number).collect();
        tables.sort_unstable();
        // No output: a range that nothing overlaps.
        Claim {
            input_level: 0,
            output_level: LEVELS,
            tables,
            smallest: vec![0xFF],
            largest: Vec::new(),
        }
    }

    /// Whether table `number` takes part.
    #[must_use]
    pub fn has(&self, number: u64) -> bool {
        self.tables.binary_search(&number).is_ok()
    }

    /// Whether `plan` may not run beside it: they share a table, or their outputs
    /// could overlap on one level.
    #[must_use]
    pub fn collides(&self, plan: &Plan) -> bool {
        if plan.tables().any(|table| self.has(table.meta().number)) {
            return true;
        }
        let (smallest, largest) = plan.range();
        plan.output_level == self.output_level
            && smallest <= self.largest.as_slice()
            && largest >= self.smallest.as_slice()
    }
}

impl Plan {
    /// The plan that takes `inputs` (at least one, in the order of their level) from
    /// `input_level` to `output_level`.
    pub(super) fn new(
        version: &Version,
        input_level: usize,
        output_level: usize,
        inputs: Vec<Arc<Table>>,
    ) -> Plan {
        let mut plan = Plan {
            kind: PlanKind::Merge,
            input_level,
            output_level,
            inputs,
            next: Vec::new(),
            grandparents: Vec::new(),
            bottommost: false,
        };
        if output_level > input_level {
            let (smallest, largest) = plan.range();
            plan.next = version.run(output_level, smallest, largest).to_vec();
        }
        if output_level + 1 < LEVELS {
            let (smallest, largest) = plan.range();
            plan.grandparents = version.run(output_level + 1, smallest, largest).to_vec();
        }
        plan.bottommost = super::OlderTables::new(version, &plan).is_empty();
        plan
    }

    /// The next step of sinking the keys `smallest..=largest` (scoped): all tables of
    /// `level` that have some, or from level 1 down the first of them with up to
    /// about `bytes_max` bytes of inputs and outputs, into the next level that has
    /// tables. `None`: the level has none in the range, or there are none below it
    /// (level 0 sinks into the last level then).
    ///
    /// Called again from behind [`range`](Plan::range)`().1`, then level after level,
    /// it brings a range into one level. Whether it collides with running jobs is for
    /// the caller to ask, by [`Claim::collides`].
    #[must_use]
    pub fn for_range(
        version: &Version,
        level: usize,
        smallest: &[u8],
        largest: &[u8],
        bytes_max: u64,
    ) -> Option<Plan> {
        let below = (level + 1..LEVELS).find(|&l| version.level_bytes(l) > 0);
        if level == 0 {
            let inputs = with_older(version, smallest, largest);
            let output = below.unwrap_or(LEVELS - 1);
            return (!inputs.is_empty()).then(|| Plan::new(version, 0, output, inputs));
        }
        let output = below?;
        let inputs = first_of(version.run(level, smallest, largest), bytes_max, |table| {
            let meta = table.meta();
            let met = version.run(output, &meta.smallest, &meta.largest).iter();
            meta.bytes + met.map(|t| t.meta().bytes).sum::<u64>()
        });
        (!inputs.is_empty()).then(|| Plan::new(version, level, output, inputs))
    }

    /// A rewrite in place of the tables of `level` (1 or deeper) with keys in
    /// `smallest..=largest`: the first of them with up to about `bytes_max` bytes.
    /// For the last level, to let go of what was kept for a snapshot. `None`: the
    /// level has none there.
    #[must_use]
    pub fn rewrite(
        version: &Version,
        level: usize,
        smallest: &[u8],
        largest: &[u8],
        bytes_max: u64,
    ) -> Option<Plan> {
        let tables = version.run(level, smallest, largest);
        let inputs = first_of(tables, bytes_max, |table| table.meta().bytes);
        (!inputs.is_empty()).then(|| Plan::new(version, level, level, inputs))
    }

    /// All its tables.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<Table>> + Clone {
        self.inputs.iter().chain(&self.next)
    }

    /// The bytes of all its tables.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.tables().map(|t| t.meta().bytes).sum()
    }

    /// Its smallest and its largest scoped key.
    #[must_use]
    pub fn range(&self) -> (&[u8], &[u8]) {
        let smallest = self.tables().map(|t| t.meta().smallest.as_slice()).min();
        let largest = self.tables().map(|t| t.meta().largest.as_slice()).max();
        (smallest.unwrap_or_default(), largest.unwrap_or_default())
    }

    /// Tombstones in it.
    #[must_use]
    pub fn tombstones(&self) -> u64 {
        self.tables().map(|t| t.meta().tombstones).sum()
    }

    /// What others must leave alone while it runs.
    #[must_use]
    pub fn claim(&self) -> Claim {
        let mut tables: Vec<u64> = self.tables().map(|t| t.meta().number).collect();
        tables.sort_unstable();
        let (smallest, largest) = self.range();
        Claim {
            input_level: self.input_level,
            output_level: self.output_level,
            tables,
            smallest: smallest.to_vec(),
            largest: largest.to_vec(),
        }
    }
}

/// The first of `tables`, at least one if there is one, up to `bytes_max` by `cost`.
fn first_of(
    tables: &[Arc<Table>],
    bytes_max: u64,
    cost: impl Fn(&Table) -> u64,
) -> Vec<Arc<Table>> {
    let mut left = bytes_max;
    let mut taken = Vec::new();
    for table in tables {
        let bytes = cost(table);
        if !taken.is_empty() && bytes > left {
            break;
        }
        left = left.saturating_sub(bytes);
        taken.push(Arc::clone(table));
    }
    taken
}

/// The tables of level 0 with keys in the range, and every older one that overlaps
/// one of these: none may be left above what sinks.
fn with_older(version: &Version, smallest: &[u8], largest: &[u8]) -> Vec<Arc<Table>> {
    let mut taken: Vec<Arc<Table>> = Vec::new();
    for table in version.level(0) {
        let meta = table.meta();
        let meets = |t: &Arc<Table>| meta.overlaps(&t.meta().smallest, &t.meta().largest);
        if meta.overlaps(smallest, largest) || taken.iter().any(meets) {
            taken.push(Arc::clone(table));
        }
    }
    taken
}
