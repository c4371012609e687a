//! Olive's promises, tested from outside: one binary.
mod api;
mod around;
mod child;
mod corruption;
mod crash;
mod floors;
mod golden_manifest;
mod golden_table;
mod golden_wal;
mod recovery;
#[path = "../support/mod.rs"]
mod support;
