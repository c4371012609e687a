//! The engine: its decoders, and itself on a disk where calls fail.

pub mod block;
pub mod manifest;
pub mod operations;
pub mod table;
pub mod wal;
