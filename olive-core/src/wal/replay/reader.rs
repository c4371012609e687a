//! Segments in memory, one at a time, and what is gathered while they are read.

use std::io;
use std::path::PathBuf;

use super::{Record, ReplayPlan};
use crate::error::{Error, ErrorKind, Result};
use crate::format::BadBytes;
use crate::format::wal_record::{
    Promise, RECORD_ALIGN, RecordBytes, SEGMENT_HEADER_BYTES, Seed, SegmentHeader, promise_at,
    record_at,
};
use crate::key::SeqNo;
use crate::vfs::{Access, Vfs, VfsFile, read_exact_at};
use crate::wal::{WalPosition, segment_path};

/// Progress is told about this often.
const TELL_BYTES: u64 = 16 << 20;

/// Reads segments; keeps the greatest promise, counts, and what was dropped.
pub(super) struct Reader<'a> {
    pub(super) plan: &'a ReplayPlan<'a>,
    /// The greatest promise so far.
    pub(super) promise: WalPosition,
    /// Bytes of the segments that were read.
    pub(super) bytes: u64,
    pub(super) dropped: Vec<String>,
    vfs: &'a dyn Vfs,
    progress: &'a mut dyn FnMut(u64, u64),
    bytes_in_all: u64,
    /// Bytes of segments before the one that is being walked.
    bytes_before: u64,
    bytes_told: u64,
    /// Memory of a segment that is done with.
    spare: Vec<u8>,
}

/// A segment of this log, whole in memory, with a valid header.
pub(super) struct Loaded {
    pub(super) path: PathBuf,
    pub(super) header: SegmentHeader,
    seed: Seed,
    bytes: Vec<u8>,
}

/// What stands at an offset.
pub(super) enum Step<'a> {
    /// A whole record.
    Record(RecordBytes<'a>),
    /// No header, but zeros.
    Zeros,
    /// Neither.
    Bad(String),
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        vfs: &'a dyn Vfs,
        plan: &'a ReplayPlan<'a>,
        progress: &'a mut dyn FnMut(u64, u64),
    ) -> Result<Reader<'a>> {
        let promise = match plan.sealed {
            Some(segment) => WalPosition { segment, offset: u64::MAX },
            None => WalPosition::default(),
        };
        let mut reader = Reader {
            plan,
            promise,
            bytes: 0,
            dropped: Vec::new(),
            vfs,
            progress,
            bytes_in_all: 0,
            bytes_before: 0,
            bytes_told: 0,
            spare: Vec::new(),
        };
        for number in reader.behind(plan.oldest.saturating_sub(1)) {
            let path = reader.path(number);
            let metadata = vfs.metadata(&path).map_err(|e| Error::io("look at", &path, e))?;
            reader.bytes_in_all += metadata.len;
        }
        Ok(reader)
    }

    /// The segments in the folder with larger numbers, up to a checkpoint's last.
    pub(super) fn behind(&self, number: u64) -> Vec<u64> {
        let last = self.plan.sealed.unwrap_or(u64::MAX);
        let mut behind: Vec<u64> =
            self.plan.found.iter().copied().filter(|n| (number + 1..=last).contains(n)).collect();
        behind.sort_unstable();
        behind
    }

    pub(super) fn path(&self, number: u64) -> PathBuf {
        segment_path(self.plan.dir, number)
    }

    /// Reads segment `number`, which must follow `predecessor` if one is given; the
    /// inner error says why there is no such segment.
    pub(super) fn load(
        &mut self,
        number: u64,
        predecessor: Option<u64>,
    ) -> Result<std::result::Result<Loaded, String>> {
        self.bytes_before = self.bytes;
        let path = self.path(number);
        if !self.plan.found.contains(&number) {
            return Ok(Err("the segment is missing".to_owned()));
        }
        let file = self.vfs.open(&path, Access::Read).map_err(|e| Error::io("open", &path, e))?;
        self.load_from(&*file, path, number, predecessor)
    }

    fn load_from(
        &mut self,
        file: &dyn VfsFile,
        path: PathBuf,
        number: u64,
        predecessor: Option<u64>,
    ) -> Result<std::result::Result<Loaded, String>> {
        let failed = |doing: &'static str, e: io::Error| Error::io(doing, &path, e);
        let file_len = file.len().map_err(|e| failed("take the length of", e))?;
        let head_len = file_len.min(SEGMENT_HEADER_BYTES as u64);
        let mut head = vec![0; head_len as usize];
        read_exact_at(file, 0, &mut head).map_err(|e| failed("read", e))?;
        let header = match SegmentHeader::decode(&head) {
            Ok(header) => header,
            Err(bad) if bad.unsupported => return Err(unsupported(&path, &bad)),
            Err(bad) => return Ok(Err(bad.what)),
        };
        if let Some(what) = self.mismatch(&header, number, predecessor, file_len) {
            return Ok(Err(what));
        }
        let bytes = self.read_whole(file, header.len).map_err(|e| failed("read", e))?;
        // Beside a writer, which zeroes from the start on what it makes a new segment of: what
        // still has its header now was whole until it had been read.
        let mut again = vec![0; head.len()];
        read_exact_at(file, 0, &mut again).map_err(|e| failed("read", e))?;
        if again != head {
            return Ok(Err("the segment became another one while it was read".to_owned()));
        }
        self.bytes += header.len;
        Ok(Ok(Loaded { path, seed: header.seed(), header, bytes }))
    }

    fn mismatch(
        &self,
        header: &SegmentHeader,
        number: u64,
        predecessor: Option<u64>,
        file_len: u64,
    ) -> Option<String> {
        if header.database != self.plan.database {
            return Some(format!(
                "a segment of database {:032x}, not of {:032x}",
                header.database.0, self.plan.database.0
            ));
        }
        if header.number != number {
            return Some(format!("segment {} under the name of {number}", header.number));
        }
        if let Some(predecessor) = predecessor.filter(|&p| p != header.predecessor) {
            return Some(format!(
                "a segment that follows {}, announced by {predecessor}",
                header.predecessor
            ));
        }
        (file_len < header.len)
            .then(|| format!("a segment of {} bytes, {file_len} are there", header.len))
    }

    /// `len` is at most the length of the file.
    fn read_whole(&mut self, file: &dyn VfsFile, len: u64) -> io::Result<Vec<u8>> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut bytes = std::mem::take(&mut self.spare);
        if bytes.capacity() < len {
            bytes = Vec::new();
            bytes.try_reserve_exact(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        }
        bytes.resize(len, 0);
        read_exact_at(file, 0, &mut bytes)?;
        Ok(bytes)
    }

    /// Gives back the memory of a segment, for the next one.
    pub(super) fn recycle(&mut self, segment: Loaded) {
        if segment.bytes.capacity() > self.spare.capacity() {
            self.spare = segment.bytes;
        }
    }

    /// Counts a promise.
    #[inline]
    pub(super) fn note(&mut self, promise: Promise) {
        self.promise = self.promise.max(WalPosition::promised(promise));
    }

    /// Counts the promise of every valid header from `offset` on; says how many.
    ///
    /// A log's end that was not synced has a place for a header every 8 bytes, and one in
    /// 2^32 of them has its checksum by chance. Nobody promises what comes behind the promise:
    /// such a place hardly ever passes for one.
    pub(super) fn search(&mut self, segment: &Loaded, offset: usize) -> u64 {
        let mut records = 0;
        for offset in (offset..segment.bytes.len()).step_by(RECORD_ALIGN) {
            let Some(promise) = promise_at(&segment.bytes, offset, segment.seed) else { continue };
            let here = WalPosition { segment: segment.number(), offset: offset as u64 };
            if WalPosition::promised(promise) <= here {
                self.note(promise);
                records += 1;
            }
        }
        records
    }

    /// Tells of progress, now and then.
    #[inline]
    pub(super) fn tell(&mut self, offset: usize) {
        let bytes = self.bytes_before + offset as u64;
        if bytes >= self.bytes_told + TELL_BYTES {
            self.bytes_told = bytes;
            (self.progress)(bytes, self.bytes_in_all.max(bytes));
        }
    }
}

impl Loaded {
    /// Where the first record is.
    pub(super) const FIRST: usize = SEGMENT_HEADER_BYTES;

    pub(super) fn number(&self) -> u64 {
        self.header.number
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether a valid header stands at `offset`: a quick answer for most places.
    #[inline]
    pub(super) fn has_header(&self, offset: usize) -> bool {
        promise_at(&self.bytes, offset, self.seed).is_some()
    }

    /// What stands at `offset`; the error is that of a newer program's record.
    #[inline]
    pub(super) fn step(&self, offset: usize) -> Result<Step<'_>> {
        match record_at(&self.bytes, offset, self.seed) {
            Ok(Some(record)) => Ok(Step::Record(record)),
            Ok(None) => Ok(Step::Zeros),
            Err(bad) if bad.unsupported => Err(unsupported(&self.path, &bad)),
            Err(bad) => Ok(Step::Bad(bad.what)),
        }
    }

    /// The operations of `record`, which stands at `offset`.
    #[inline]
    pub(super) fn record<'a>(&self, offset: usize, record: &RecordBytes<'a>) -> Record<'a> {
        Record {
            position: WalPosition { segment: self.header.number, offset: offset as u64 },
            first: SeqNo(record.header.number),
            count: record.header.count,
            payload: record.payload,
        }
    }

    /// Whether nothing but zeros stand from `offset` on.
    pub(super) fn is_zero_from(&self, offset: usize) -> bool {
        const ZEROS: [u8; 256] = [0; 256];
        let rest = self.bytes.get(offset..).unwrap_or_default();
        rest.chunks(ZEROS.len()).all(|chunk| *chunk == ZEROS[..chunk.len()])
    }
}

fn unsupported(path: &std::path::Path, bad: &BadBytes) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("{} at offset {}: {}", path.display(), bad.offset, bad.what),
    )
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::{DATABASE, Scribe};
    use super::*;
    use crate::options::RecoveryMode;
    use crate::sync::{Arc, AtomicU64, Ordering};
    use crate::vfs::sim::SimVfs;
    use crate::vfs::{Mapping, SharedMap};
    use crate::wal::{Segment, SegmentIo};
    use std::ops::Range;
    use std::path::Path;

    /// Segment 1, which is made segment 3 before its `nth` read.
    #[derive(Debug)]
    struct Renewed {
        vfs: Arc<dyn Vfs>,
        file: Arc<dyn VfsFile>,
        reads: AtomicU64,
        nth: u64,
    }

    impl VfsFile for Renewed {
        fn len(&self) -> io::Result<u64> {
            self.file.len()
        }
        fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
            if self.reads.fetch_add(1, Ordering::Relaxed) + 1 == self.nth {
                let place = (Path::new("/"), 1);
                Segment::renew(&self.vfs, place, DATABASE, 3, 2, 4096, SegmentIo::Written).unwrap();
            }
            self.file.read_at(offset, buf)
        }
        fn write_at(&self, _: u64, _: &[u8]) -> io::Result<usize> {
            unreachable!("a replay reads")
        }
        fn reserve(&self, _: u64) -> io::Result<()> {
            unreachable!("a replay reads")
        }
        fn sync(&self) -> io::Result<()> {
            unreachable!("a replay reads")
        }
        fn sync_to(&self, _: u64) -> io::Result<()> {
            unreachable!("a replay reads")
        }
        fn write_back(&self, _: u64, _: Range<u64>) -> io::Result<()> {
            unreachable!("a replay reads")
        }
        fn map(&self, _: u64) -> io::Result<Mapping> {
            unreachable!("a replay reads")
        }
        fn map_shared(&self, _: u64) -> io::Result<Box<dyn SharedMap>> {
            unreachable!("a replay reads")
        }
    }

    /// Whether a replay takes the segment for whole.
    fn is_taken(nth: u64) -> bool {
        let vfs: Arc<dyn Vfs> = Arc::new(SimVfs::new(1));
        let dir = Path::new("/");
        let segment = Segment::create(&vfs, dir, DATABASE, 1, 0, 4096, SegmentIo::Written).unwrap();
        let mut scribe = Scribe::new(segment);
        while scribe.writer.fits(300) {
            scribe.append(1, 50, false);
        }
        let file = vfs.open(&segment_path(dir, 1), Access::Read).unwrap();
        let file = Renewed { vfs: Arc::clone(&vfs), file, reads: AtomicU64::new(0), nth };
        let plan = ReplayPlan {
            dir,
            database: DATABASE,
            oldest: 1,
            found: &[1],
            sealed: None,
            flushed: SeqNo::ZERO,
            mode: RecoveryMode::Strict,
        };
        let mut progress = |_, _| ();
        let mut reader = Reader::new(&*vfs, &plan, &mut progress).unwrap();
        let loaded = reader.load_from(&file, segment_path(dir, 1), 1, None).unwrap();
        if let Ok(loaded) = &loaded {
            assert!(matches!(loaded.step(Loaded::FIRST).unwrap(), Step::Record(_)));
        }
        loaded.is_ok()
    }

    #[test]
    fn a_segment_that_becomes_another_while_it_is_read_is_not_taken() {
        assert!(is_taken(u64::MAX), "nothing happens to it");
        assert!(!is_taken(1), "before its header is read");
        assert!(!is_taken(2), "after it, before its records are read");
        assert!(!is_taken(3), "when all has been read, but for the look that tells");
    }
}
