//! What is kept of a file beside its bytes.
//!
//! ```text
//! record    length u64 · mtime ns i64 · ctime ns i64 · inode u64 · mode u32 · checksum u64
//! checksum  over path, what stands before it in the record, and contents
//! ```
//!
//! All little-endian. Path and status are in the checksum so that contents under
//! another file's path, or beside another state's record, are a difference.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use olive_examples::random::checksum;

/// The record of one file as it was when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    /// What the file system said.
    pub(crate) status: Status,
    /// Of path and contents.
    pub(crate) checksum: u64,
}

/// By what a change of a file can be told. The time of the status (ctime) moves
/// with every write and cannot be set back by a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status {
    /// In bytes.
    pub(crate) length: u64,
    /// Time of the last write, in nanoseconds since 1970.
    mtime_ns: i64,
    /// Time of the last change of the status, in nanoseconds since 1970.
    pub(crate) ctime_ns: i64,
    inode: u64,
    mode: u32,
}

impl Status {
    /// The length of the encoded status.
    const BYTES: usize = 36;

    pub(crate) fn of(metadata: &Metadata) -> Status {
        let ns = |seconds: i64, ns: i64| seconds.saturating_mul(1_000_000_000).saturating_add(ns);
        Status {
            length: metadata.len(),
            mtime_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
            ctime_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
            mode: metadata.mode(),
        }
    }

    fn encode(&self) -> [u8; Status::BYTES] {
        let mut bytes = [0; Status::BYTES];
        bytes[..8].copy_from_slice(&self.length.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.mtime_ns.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.ctime_ns.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.inode.to_le_bytes());
        bytes[32..].copy_from_slice(&self.mode.to_le_bytes());
        bytes
    }
}

impl Record {
    /// The length of the encoded record.
    pub(crate) const BYTES: usize = Status::BYTES + 8;

    pub(crate) fn new(path: &[u8], status: Status, contents: &[u8]) -> Record {
        Record { status, checksum: Record::checksum_of(path, status, contents) }
    }

    /// Whether `contents` are those that were stored under `path`.
    pub(crate) fn fits(&self, path: &[u8], contents: &[u8]) -> bool {
        contents.len() as u64 == self.status.length
            && Record::checksum_of(path, self.status, contents) == self.checksum
    }

    fn checksum_of(path: &[u8], status: Status, contents: &[u8]) -> u64 {
        checksum(checksum(checksum(0, path), &status.encode()), contents)
    }

    pub(crate) fn encode(&self) -> [u8; Record::BYTES] {
        let mut bytes = [0; Record::BYTES];
        bytes[..Status::BYTES].copy_from_slice(&self.status.encode());
        bytes[Status::BYTES..].copy_from_slice(&self.checksum.to_le_bytes());
        bytes
    }

    /// `None` where the bytes are not those of a record.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Record> {
        let bytes: &[u8; Record::BYTES] = bytes.try_into().ok()?;
        let word = |at: usize| bytes[at..].first_chunk().copied().unwrap_or_default();
        let status = Status {
            length: u64::from_le_bytes(word(0)),
            mtime_ns: i64::from_le_bytes(word(8)),
            ctime_ns: i64::from_le_bytes(word(16)),
            inode: u64::from_le_bytes(word(24)),
            mode: u32::from_le_bytes(bytes[32..].first_chunk().copied().unwrap_or_default()),
        };
        Some(Record { status, checksum: u64::from_le_bytes(word(Status::BYTES)) })
    }
}
