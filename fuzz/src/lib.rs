//! What the fuzz targets do with their bytes.
//!
//! Each target of `fuzz_targets/` is one call into here. The modules are plain files
//! with no dependency but the crate that they try, so that the tests of olive-core
//! and olive-client include them and run every kept input without a fuzzer.

pub mod engine;
pub mod kept;
pub mod protocol;
