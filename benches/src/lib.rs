//! What the benches share: the parts of the side-by-side run that touch no engine.
//!
//! ```text
//! numbers   random, Zipf and permuted numbers          entries   keys and values of them
//! spec      what a child process is told, and answers  plan      which of that, in which order
//! state     results on disk, so that a run resumes     report    ratios, table
//! svg       the pictures                               engines   names and kinds
//! ```
//!
//! The program itself is `src/compare/`, behind the feature `compare`.

pub mod engines;
pub mod entries;
pub mod numbers;
pub mod plan;
pub mod report;
pub mod spec;
pub mod state;
pub mod svg;
