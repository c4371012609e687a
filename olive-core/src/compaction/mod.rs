//! Which tables to merge, and into which level.
//!
//! Everything here is decided from a [`Version`](crate::version::Version) and
//! numbers alone: no file is touched, so it is tested with tables of numbers.
//!
//! ```text
//! shape.rs    how large each level should be, and how far it is from that
//! picker.rs   the most urgent merge that collides with none that runs
//! ripe.rs     where none is: a merge that its tombstones are worth
//! narrow.rs   one that needs little room, for a disk that is nearly full
//! plan.rs     a merge: its inputs, its output level, what it claims
//! older.rs    whether a tombstone may go: what lies below a plan
//! ```

mod job;
mod narrow;
mod older;
mod picker;
mod plan;
mod retain;
mod ripe;
mod shape;

#[cfg(test)]
mod simulation;

pub use job::{JobContext, run};
pub use narrow::pick_narrow;
pub use older::OlderTables;
pub use picker::pick;
pub use plan::{Claim, Plan, PlanKind};
pub use retain::Readers;
pub use ripe::pick_ripe;
pub use shape::{PickerConfig, debt, level_targets, scores};
