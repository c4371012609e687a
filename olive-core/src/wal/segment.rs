//! Segments, made ahead so that an append has only its record to write.
//!
//! ```text
//! create · reserve · zero · header · fsync · fsync of the folder · map, populate
//! ```
//!
//! All of it is on disk, and the name too, before anyone can announce the segment or
//! write into it: an announced one is there and whole. One that a crash left with a
//! header and without its zeros is not announced, and what it holds instead has no
//! checksum under its salt.

use std::io;
use std::path::{Path, PathBuf};

use super::segment_path;
use crate::error::{Error, ErrorKind, Result};
use crate::format::edit::DatabaseId;
use crate::format::wal_record::{
    RECORD_HEADER_BYTES, SEGMENT_BYTES_MAX, SEGMENT_HEADER_BYTES, SegmentHeader, record_bytes,
};
use crate::options::WalIo;
use crate::sync::Arc;
use crate::vfs::{SharedMap, Vfs, VfsFile, write_all_at};

/// What is kept free behind every record of operations: one promise and the end mark.
pub(super) const TAIL_BYTES: u64 = 2 * RECORD_HEADER_BYTES as u64;

/// Zeros are written in pieces of this.
const ZERO_BYTES: usize = 128 << 10;

/// A segment that is durable, empty, and ready for appends.
#[derive(Debug)]
pub struct Segment {
    pub(super) path: PathBuf,
    pub(super) header: SegmentHeader,
    pub(super) file: Arc<dyn VfsFile>,
    /// Through which records are stored; `None`: they are written.
    pub(super) map: Option<Box<dyn SharedMap>>,
}

impl Segment {
    /// Creates, reserves, zeroes and syncs segment `number` of `len` bytes, with its
    /// header, and makes its name durable. `predecessor` is 0 for the first. On an
    /// error the file is unlinked again.
    ///
    /// # Errors
    ///
    /// `DiskFull` or `Io`: nothing is changed, it can be tried again under another
    /// number. `Poisoned`: the folder could not be synced.
    pub fn create(
        vfs: &Arc<dyn Vfs>,
        dir: &Path,
        database: DatabaseId,
        number: u64,
        predecessor: u64,
        len: u64,
        io: WalIo,
    ) -> Result<Segment> {
        let segment = Segment::create_unnamed(vfs, dir, database, number, predecessor, len, io)?;
        vfs.sync_dir(dir).map_err(|e| {
            // Nothing names it: if it stays, the next open removes it.
            let _ = vfs.unlink(&segment.path);
            Error::io("sync the folder", dir, e)
                .wrap(ErrorKind::Poisoned, "the names on disk are not known")
        })?;
        Ok(segment)
    }

    /// The same, but for its name: whoever names it in a manifest makes that durable
    /// with the manifest's own.
    ///
    /// # Errors
    ///
    /// `DiskFull` or `Io`, as those of [`create`](Segment::create).
    pub fn create_unnamed(
        vfs: &Arc<dyn Vfs>,
        dir: &Path,
        database: DatabaseId,
        number: u64,
        predecessor: u64,
        len: u64,
        io: WalIo,
    ) -> Result<Segment> {
        if number == 0 || number > u64::from(u32::MAX) || predecessor >= number {
            return Err(Error::invalid(format!(
                "log segment {number} behind {predecessor}: numbers ascend from 1 to 2^32 - 1"
            )));
        }
        if !(Segment::len_for(0)..=SEGMENT_BYTES_MAX).contains(&len) {
            return Err(Error::invalid(format!("a log segment of {len} bytes")));
        }
        let header = SegmentHeader { database, number, predecessor, salt: vfs.random(), len };
        let path = segment_path(dir, number);
        let file = vfs.create(&path).map_err(|e| Error::io("create", &path, e))?;
        match fill(&path, &*file, &header, io) {
            Ok(map) => Ok(Segment { path, header, file, map }),
            Err(error) => {
                // Nothing names it: if it stays, the next open removes it.
                let _ = vfs.unlink(&path);
                Err(error)
            }
        }
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.header.number
    }

    /// The number of the segment that it can follow; 0: none.
    #[must_use]
    pub fn predecessor(&self) -> u64 {
        self.header.predecessor
    }

    /// Its length in bytes.
    #[must_use]
    #[cfg_attr(
        feature = "internals",
        expect(clippy::len_without_is_empty, reason = "a segment has a header at least")
    )]
    pub fn len(&self) -> u64 {
        self.header.len
    }

    /// The least length of a segment that can take a record of `payload_len`.
    #[must_use]
    pub fn len_for(payload_len: usize) -> u64 {
        SEGMENT_HEADER_BYTES as u64 + record_bytes(payload_len) as u64 + TAIL_BYTES
    }
}

fn fill(
    path: &Path,
    file: &dyn VfsFile,
    header: &SegmentHeader,
    io: WalIo,
) -> Result<Option<Box<dyn SharedMap>>> {
    let failed = |doing: &'static str| move |e: io::Error| Error::io(doing, path, e);
    file.reserve(header.len).map_err(failed("reserve the blocks of"))?;
    write_zeros(file, 0, header.len).map_err(failed("zero"))?;
    write_all_at(file, 0, &header.encode()).map_err(failed("write the header of"))?;
    file.sync().map_err(failed("sync"))?;
    if io != WalIo::Mapped {
        return Ok(None);
    }
    let map = file.map_shared(header.len).map_err(failed("map"))?;
    map.populate(0, header.len).map_err(failed("bring into memory"))?;
    Ok(Some(map))
}

/// Writes `len` zeros at `offset`, in large pieces.
pub(super) fn write_zeros(file: &dyn VfsFile, mut offset: u64, mut len: u64) -> io::Result<()> {
    let zeros = vec![0; ZERO_BYTES.min(usize::try_from(len).unwrap_or(ZERO_BYTES))];
    while len > 0 {
        let piece = len.min(zeros.len() as u64);
        write_all_at(file, offset, &zeros[..piece as usize])?;
        offset += piece;
        len -= piece;
    }
    Ok(())
}
