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
//!
//! One for large records is reserved and not zeroed: the file system gives zeros for what
//! was reserved, and such records are worth a call to the system each, so that no page has
//! to be made ready for stores. That spares one of the two bytes that the log has the disk
//! write for each byte of a record.
//!
//! A segment that nothing needs any more can become the next one, which spares its blocks
//! and its pages in memory a round through the system:
//!
//! ```text
//! zero · header · fsync, all under its old name · rename · fsync of the folder · map, populate
//! ```
//!
//! The manifest needs no segment of the old number, so a crash in between leaves one that
//! nobody reads and the next open removes; under its new number nobody ever sees anything
//! but a segment that is whole and empty.

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
use crate::vfs::{Access, SharedMap, Vfs, VfsFile, write_all_at};

/// What is kept free behind every record of operations: one promise and the end mark.
pub(super) const TAIL_BYTES: u64 = 2 * RECORD_HEADER_BYTES as u64;

/// Zeros are written in pieces of this.
const ZERO_BYTES: usize = 128 << 10;

/// How records come into a segment, and so what is made ready for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentIo {
    /// Stored through a mapping, but for those that a sync follows: zeroed, mapped, and
    /// in memory.
    Mapped,
    /// Written, whatever their length: zeroed, so that a sync behind one of them finds its
    /// blocks in use.
    Written,
    /// Written, and large: reserved, which is all that a file system needs to give zeros.
    Reserved,
}

impl From<WalIo> for SegmentIo {
    fn from(io: WalIo) -> SegmentIo {
        match io {
            WalIo::Mapped => SegmentIo::Mapped,
            WalIo::Write => SegmentIo::Written,
        }
    }
}

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
    /// Creates, reserves, zeroes (by `io`) and syncs segment `number` of `len` bytes, with
    /// its header, and makes its name durable. `predecessor` is 0 for the first. On an
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
        io: SegmentIo,
    ) -> Result<Segment> {
        let segment = Segment::create_unnamed(vfs, dir, database, number, predecessor, len, io)?;
        segment.named(vfs, dir)
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
        io: SegmentIo,
    ) -> Result<Segment> {
        let header = header(vfs, database, number, predecessor, len)?;
        let path = segment_path(dir, number);
        let file = vfs.create(&path).map_err(|e| Error::io("create", &path, e))?;
        unlinked_on_error(vfs, &path, || {
            fill(&path, &*file, &header, io != SegmentIo::Reserved)?;
            map(&path, &*file, len, io)
        })
        .map(|map| Segment { path, header, file, map })
    }

    /// What [`create`](Segment::create) does, with the file of segment `spare`, which is
    /// older than any that the manifest needs. Nothing of what it holds is left: it is
    /// zeroed whatever `io` is.
    ///
    /// # Errors
    ///
    /// As those of [`create`](Segment::create); the file is unlinked then, too.
    pub fn renew(
        vfs: &Arc<dyn Vfs>,
        (dir, spare): (&Path, u64),
        database: DatabaseId,
        number: u64,
        predecessor: u64,
        len: u64,
        io: SegmentIo,
    ) -> Result<Segment> {
        let header = header(vfs, database, number, predecessor, len)?;
        let (old, path) = (segment_path(dir, spare), segment_path(dir, number));
        let file = unlinked_on_error(vfs, &old, || {
            let file = vfs.open(&old, Access::ReadWrite).map_err(|e| Error::io("open", &old, e))?;
            let found = file.len().map_err(|e| Error::io("look at", &old, e))?;
            if spare >= number || found != len {
                return Err(Error::invalid(format!(
                    "log segment {spare} of {found} bytes cannot become {number} of {len}"
                )));
            }
            fill(&old, &*file, &header, true)?;
            vfs.rename(&old, &path).map_err(|e| Error::io("rename to", &path, e))?;
            Ok(file)
        })?;
        let map = unlinked_on_error(vfs, &path, || map(&path, &*file, len, io))?;
        Segment { path, header, file, map }.named(vfs, dir)
    }

    /// Makes its name durable.
    fn named(self, vfs: &Arc<dyn Vfs>, dir: &Path) -> Result<Segment> {
        // Nothing names it: if it stays, the next open removes it.
        unlinked_on_error(vfs, &self.path, || {
            vfs.sync_dir(dir).map_err(|e| {
                Error::io("sync the folder", dir, e)
                    .wrap(ErrorKind::Poisoned, "the names on disk are not known")
            })
        })?;
        Ok(self)
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

fn header(
    vfs: &Arc<dyn Vfs>,
    database: DatabaseId,
    number: u64,
    predecessor: u64,
    len: u64,
) -> Result<SegmentHeader> {
    if number == 0 || number > u64::from(u32::MAX) || predecessor >= number {
        return Err(Error::invalid(format!(
            "log segment {number} behind {predecessor}: numbers ascend from 1 to 2^32 - 1"
        )));
    }
    if !(Segment::len_for(0)..=SEGMENT_BYTES_MAX).contains(&len) {
        return Err(Error::invalid(format!("a log segment of {len} bytes")));
    }
    Ok(SegmentHeader { database, number, predecessor, salt: vfs.random(), len })
}

/// Nothing names the file: if it stays after all, the next open removes it.
fn unlinked_on_error<T>(
    vfs: &Arc<dyn Vfs>,
    path: &Path,
    make: impl FnOnce() -> Result<T>,
) -> Result<T> {
    make().inspect_err(|_| {
        let _ = vfs.unlink(path);
    })
}

fn fill(path: &Path, file: &dyn VfsFile, header: &SegmentHeader, zeroed: bool) -> Result<()> {
    let failed = |doing: &'static str| move |e: io::Error| Error::io(doing, path, e);
    file.reserve(header.len).map_err(failed("reserve the blocks of"))?;
    if zeroed {
        write_zeros(file, 0, header.len).map_err(failed("zero"))?;
    }
    write_all_at(file, 0, &header.encode()).map_err(failed("write the header of"))?;
    file.sync().map_err(failed("sync"))
}

/// The mapping that records are stored through, if they are.
fn map(
    path: &Path,
    file: &dyn VfsFile,
    len: u64,
    io: SegmentIo,
) -> Result<Option<Box<dyn SharedMap>>> {
    if io != SegmentIo::Mapped {
        return Ok(None);
    }
    let failed = |doing: &'static str| move |e: io::Error| Error::io(doing, path, e);
    let map = file.map_shared(len).map_err(failed("map"))?;
    map.populate(0, len).map_err(failed("bring into memory"))?;
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
