//! Whether a segment that no manifest knows of holds anything.

use std::io;
use std::path::Path;

use crate::error::{Error, Result};
use crate::format::wal_record::{
    RECORD_ALIGN, SEGMENT_BYTES_MAX, SEGMENT_HEADER_BYTES, SegmentHeader, promise_at,
};
use crate::vfs::{Vfs, read_file};

/// Whether the segment at `path` has a valid header and, anywhere behind it, a valid
/// record. One that is gone, or that was not finished, has none.
///
/// # Errors
///
/// `Io`: it cannot be read.
pub fn has_records(vfs: &dyn Vfs, path: &Path) -> Result<bool> {
    let bytes = match read_file(vfs, path, SEGMENT_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(Error::io("read", path, e)),
    };
    let seed = match SegmentHeader::decode(&bytes) {
        Ok(header) => header.seed(),
        // A newer program's: whatever it holds, it is not ours to take for nothing.
        Err(bad) if bad.unsupported => return Ok(true),
        Err(_) => return Ok(false),
    };
    let mut offsets = (SEGMENT_HEADER_BYTES..bytes.len()).step_by(RECORD_ALIGN);
    Ok(offsets.any(|offset| promise_at(&bytes, offset, seed).is_some()))
}
