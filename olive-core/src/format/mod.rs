//! Bytes to values and back: every format that reaches the disk.
//!
//! Pure: no file, no clock, no thread, no lock. Decoders parse borrowed bytes and
//! answer [`BadBytes`] where they are not what an encoder wrote; none panics and
//! none allocates by a length that it has not checked.

pub mod block;
pub mod block_builder;
pub mod checksum;
pub mod coding;
pub mod edit;
pub mod file_names;
pub mod filter;
pub mod index;
pub mod manifest_line;
pub mod properties;
pub mod sections;
pub mod wal_record;

use std::fmt;

/// Why bytes could not be decoded: where, what was expected, what was found.
/// Whoever read them adds the file's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadBytes {
    /// Offset within the bytes that were given.
    pub offset: u64,
    /// Expected and found.
    pub what: String,
    /// Whether the bytes are whole but of a version, kind or feature that this
    /// program does not know.
    pub unsupported: bool,
}

impl BadBytes {
    /// Bytes at `offset` that no encoder wrote.
    pub fn new(offset: u64, what: impl Into<String>) -> BadBytes {
        BadBytes { offset, what: what.into(), unsupported: false }
    }

    /// Bytes at `offset` that a newer program wrote.
    pub fn unsupported(offset: u64, what: impl Into<String>) -> BadBytes {
        BadBytes { offset, what: what.into(), unsupported: true }
    }
}

impl fmt::Display for BadBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {}: {}", self.offset, self.what)
    }
}
