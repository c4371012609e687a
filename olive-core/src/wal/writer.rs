//! The append path: one record built in memory, stored or written at the end.
//!
//! A kill in the middle of a store, or a power cut that keeps some of its blocks,
//! leaves a record whose checksums do not hold, which is no record: so no order
//! between its bytes is needed. A record counts as appended, and can be synced and
//! promised, only once all its bytes are in the page cache.

use std::io;

use super::WalPosition;
use super::segment::{Segment, TAIL_BYTES, write_zeros};
use super::sync::{LogSync, Sealed};
use crate::error::{Error, ErrorKind, Result};
use crate::format::wal_record::{
    RECORD_HEADER_BYTES, RecordHeader, RecordKind, SEGMENT_HEADER_BYTES, Seed, encode_record,
    record_bytes,
};
use crate::key::SeqNo;
use crate::sync::Arc;
use crate::vfs::{Vfs, write_all_at};

/// Payloads up to this are copied behind their header, to be stored at once.
const COPY_BYTES_MAX: usize = 64 << 10;

/// Appends records. There is one; the commit lock guards it.
#[derive(Debug)]
pub struct LogWriter {
    segment: Segment,
    seed: Seed,
    /// Where the next record starts: past [`LogSync::appended`] by the promise
    /// records that were written since.
    offset: u64,
    /// Records of operations in the segment.
    records: u64,
    /// The promise of the last record.
    promised: WalPosition,
    buffer: Vec<u8>,
    sync: Arc<LogSync>,
}

impl LogWriter {
    /// A writer whose first segment is `segment`, and the handle by which others sync it;
    /// `vfs` tells how long that takes.
    #[must_use]
    pub fn new(segment: Segment, vfs: Arc<dyn Vfs>) -> (LogWriter, Arc<LogSync>) {
        let start = WalPosition { segment: segment.number(), offset: SEGMENT_HEADER_BYTES as u64 };
        let active = (segment.file.clone(), segment.path.clone());
        let sync = Arc::new(LogSync::new(start, active, vfs));
        let writer = LogWriter {
            seed: segment.header.seed(),
            segment,
            offset: start.offset,
            records: 0,
            promised: start,
            buffer: Vec::new(),
            sync: sync.clone(),
        };
        (writer, sync)
    }

    /// Whether a record of `payload_len` bytes fits into the active segment, an end
    /// mark behind it included.
    #[must_use]
    pub fn fits(&self, payload_len: usize) -> bool {
        self.has_room(record_bytes(payload_len) as u64 + TAIL_BYTES)
    }

    /// Bytes of the active segment that are taken.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.offset
    }

    /// Mean length of the records of operations in the active segment; 0: it has none.
    #[must_use]
    pub fn record_bytes_mean(&self) -> u64 {
        (self.offset - SEGMENT_HEADER_BYTES as u64).checked_div(self.records).unwrap_or(0)
    }

    /// Number of the active segment.
    #[must_use]
    pub fn segment(&self) -> u64 {
        self.segment.number()
    }

    /// Appends `payload`, the operations numbered from `first`; says where the log
    /// ends then. `by_write`: by `pwrite`, because a sync follows; otherwise as the
    /// segment was created for. On an error nothing is in the log.
    ///
    /// # Errors
    ///
    /// `DiskFull` or `Io`: the place and the sequence numbers are free again.
    /// `Poisoned`: now or before, a sync failed or an append could not be taken back.
    /// `InvalidArgument`: it does not [fit](LogWriter::fits), or holds no operation.
    pub fn append(
        &mut self,
        first: SeqNo,
        count: u32,
        payload: &[u8],
        by_write: bool,
    ) -> Result<WalPosition> {
        let fits = payload.len() <= u32::MAX as usize && self.fits(payload.len());
        if count == 0 || !fits {
            return Err(self.refused(count, payload.len()));
        }
        self.put(RecordKind::Operations, first.0, count, payload, by_write)?;
        self.records += 1;
        let end = self.position();
        self.sync.publish(end);
        Ok(end)
    }

    /// Appends a record that carries only the promise, if what was synced is not
    /// yet promised on disk; says whether it did.
    ///
    /// The record does not move [`LogSync::appended`]: it asks for no sync (which
    /// would call for another promise, and so on), and is synced with what comes
    /// behind it. Where only the end mark's room is left, the end mark promises.
    ///
    /// # Errors
    ///
    /// As those of [`append`](LogWriter::append).
    pub fn append_promise(&mut self) -> Result<bool> {
        self.sync.check()?;
        let wanted = self.sync.synced() > self.promised;
        if !wanted || !self.has_room(TAIL_BYTES) {
            return Ok(false);
        }
        self.put(RecordKind::Promise, 0, 0, &[], false)?;
        Ok(true)
    }

    /// Ends the active segment with a mark that announces `next`, and goes on there.
    /// The old one is synced by whoever syncs next.
    ///
    /// `next` must have been created with the active segment as its predecessor.
    ///
    /// # Errors
    ///
    /// As those of [`append`](LogWriter::append); the log goes on in the old segment.
    /// The file of `next` stays and must not be unlinked before the next open: part
    /// of a mark that announces it may be on disk.
    pub fn rotate(&mut self, next: Segment) -> Result<()> {
        if next.predecessor() != self.segment()
            || next.header.database != self.segment.header.database
        {
            return Err(Error::invalid(format!(
                "log segment {} was made to follow {}, not {}",
                next.number(),
                next.predecessor(),
                self.segment()
            )));
        }
        self.put(RecordKind::End, next.number(), 0, &[], false)?;
        let end = self.position();
        self.seed = next.header.seed();
        self.offset = SEGMENT_HEADER_BYTES as u64;
        self.records = 0;
        let old = std::mem::replace(&mut self.segment, next);
        let sealed = Sealed { file: old.file, path: old.path, end, map: old.map };
        let active = (self.segment.file.clone(), self.segment.path.clone());
        self.sync.rotate(sealed, active, self.position());
        Ok(())
    }

    /// Puts one record at the end, or leaves the log as it was.
    #[inline]
    fn put(
        &mut self,
        kind: RecordKind,
        number: u64,
        count: u32,
        payload: &[u8],
        by_write: bool,
    ) -> Result<()> {
        self.sync.check()?;
        let promised = self.sync.synced();
        let header = RecordHeader {
            kind,
            number,
            count,
            payload_len: payload.len() as u32,
            promise: promised.promise(),
        };
        let outcome = if payload.len() <= COPY_BYTES_MAX {
            self.buffer.clear();
            encode_record(&mut self.buffer, self.seed, self.offset, &header, payload);
            let record = std::mem::take(&mut self.buffer);
            let outcome = self.store(self.offset, &record, by_write);
            self.buffer = record;
            outcome
        } else {
            self.put_large(&header, payload, by_write)
        };
        let len = record_bytes(payload.len()) as u64;
        if let Err(error) = outcome {
            return Err(self.take_back(len, error));
        }
        self.offset += len;
        self.promised = promised;
        Ok(())
    }

    /// Without a copy: the payload goes first, since no header, no record. What pads
    /// it is zero already.
    fn put_large(
        &mut self,
        header: &RecordHeader,
        payload: &[u8],
        by_write: bool,
    ) -> io::Result<()> {
        let checksum = self.seed.payload_checksum(self.offset, payload);
        let bytes = header.encode(self.seed, self.offset, checksum);
        self.store(self.offset + RECORD_HEADER_BYTES as u64, payload, by_write)?;
        self.store(self.offset, &bytes, by_write)
    }

    #[inline]
    fn store(&mut self, offset: u64, bytes: &[u8], by_write: bool) -> io::Result<()> {
        match &mut self.segment.map {
            Some(map) if !by_write => {
                map.store(offset, bytes);
                Ok(())
            }
            _ => write_all_at(&*self.segment.file, offset, bytes),
        }
    }

    /// Zeroes what a failed append may have left, so that nothing of it is found
    /// behind the end of the log.
    #[cold]
    fn take_back(&mut self, len: u64, error: io::Error) -> Error {
        let error = Error::io("append to", &self.segment.path, error);
        if let Err(cause) = write_zeros(&*self.segment.file, self.offset, len) {
            let cause = Error::io("take back what was appended to", &self.segment.path, cause);
            return self.sync.poison(&cause.wrap(ErrorKind::Io, &error));
        }
        self.sync.sync_whole();
        error
    }

    #[cold]
    fn refused(&self, count: u32, payload_len: usize) -> Error {
        Error::invalid(format!(
            "a log record of {count} operations in {payload_len} bytes, {} of {} bytes taken in {}",
            self.offset,
            self.segment.len(),
            self.segment.path.display()
        ))
    }

    #[inline]
    fn has_room(&self, len: u64) -> bool {
        // No overflow: offset <= len <= 32 GiB, and lengths of memory are below 2^63.
        self.offset + len <= self.segment.header.len
    }

    #[inline]
    fn position(&self) -> WalPosition {
        WalPosition { segment: self.segment.header.number, offset: self.offset }
    }
}
