//! Which tables make the tree, and the manifest that says so.
//!
//! ```text
//! tree.rs       Version: the tables of each level, immutable     level.rs  one level, and its search
//! manifest.rs   Manifest: CURRENT, the log of edits, its errors
//! source.rs     everything that a merge can read
//! replay.rs     the lines of a manifest folded into one state
//! ```

mod level;
mod manifest;
mod replay;
mod source;
mod tree;

#[cfg(test)]
pub(crate) mod testing;

pub use crate::format::edit::LEVELS;
pub use level::Level0;
pub use manifest::{Manifest, ManifestState};
pub use source::Source;
pub use tree::Version;
