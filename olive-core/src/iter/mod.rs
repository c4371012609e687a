//! Iterators over iterators: [`Merge`] makes one sorted run of several,
//! [`Concat`] one of tables that follow each other, and [`Visible`] shows of a
//! run what a snapshot sees.

mod concat;
mod gap;
mod merge;
mod visible;

pub use concat::{Concat, Run};
pub use gap::{Found, Gap};
pub use merge::Merge;
pub use visible::{Bounds, Visible};
