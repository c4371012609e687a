//! Calls of the system that fail: an error or a right answer, and nothing lost.

mod descriptors;
mod disk_full;
mod nearly_full;
mod poison;
