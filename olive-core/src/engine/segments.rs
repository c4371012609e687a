//! Log segments: made ahead by one thread, taken by the writer that needs one.
//!
//! ```text
//! active ──full──> prepared, if it is there ──too small for the record──> one of its own
//!                  else whoever comes first makes it
//!
//! sealed ──flushed──> spare, if it is as long as the next one is to be ──> the next one
//!                     else unlinked; and the spare, once nothing was flushed for a while
//! ```

use super::Engine;
use super::open::FIRST_SEGMENT_BYTES;
use super::stall::Cause;
use super::write::Commit;
use crate::error::{ErrorKind, Result};
use crate::format::file_names::FileKind;
use crate::wal::{Segment, SegmentIo};

/// Each segment is followed by one twice as large: that is prepared, or nearly, when a
/// writer of small entries, as fast as can be, has filled the one before it.
const GROWTH: u64 = 2;
/// A writer that has to make its segment itself makes a short one, whatever is due: it
/// waits for that, and the next one is prepared meanwhile.
const MADE_BY_WRITER_BYTES_MAX: u64 = 1 << 20;

/// Somebody makes a segment, or puts one into use: nobody else prepares one.
pub(super) struct Preparing<'a>(&'a Engine);

impl Drop for Preparing<'_> {
    fn drop(&mut self) {
        self.0.tree.lock().preparing = false;
        self.0.tree_changed.notify_all();
    }
}

impl Engine {
    /// Goes on in the next segment; says no while another thread makes it. A record that
    /// is larger gets a segment of its own behind it.
    pub(super) fn rotate_segment(&self, commit: &mut Commit, payload_len: usize) -> Result<bool> {
        let began = self.now();
        let mut made = false;
        let record_bytes = match commit.log.record_bytes_mean() {
            0 => payload_len as u64,
            mean => mean,
        };
        while !commit.log.fits(payload_len) {
            let (prepared, _preparing) = {
                let mut tree = self.tree.lock();
                if tree.preparing {
                    return Ok(false);
                }
                tree.preparing = true;
                (tree.prepared.take(), Preparing(self))
            };
            let segment = match prepared {
                Some(segment) => segment,
                None => {
                    made = true;
                    let len_min = Segment::len_for(payload_len);
                    let io = self.segment_io(record_bytes.max(payload_len as u64));
                    let is_quick = io == SegmentIo::Reserved;
                    let limit = if is_quick { u64::MAX } else { MADE_BY_WRITER_BYTES_MAX };
                    self.create_segment(commit.log.segment(), len_min, limit, io)?
                }
            };
            let (number, len) = (segment.number(), segment.len());
            commit.log.rotate(segment).map_err(|error| self.note_poison(error))?;
            let mut tree = self.tree.lock();
            tree.active_segment = number;
            tree.record_bytes = record_bytes;
            let max = self.options.wal_segment_bytes_max;
            tree.segment_bytes = tree.segment_bytes.max(len.min(max) * GROWTH).min(max);
            self.update_price(&tree);
        }
        self.threads.wake_prepare();
        if made {
            self.stalls.note(Cause::LogSegment, self.now().saturating_sub(began));
        }
        Ok(true)
    }

    /// Prepares the next log segment, if there is none; says whether it did.
    pub(super) fn prepare_segment(&self) -> Result<bool> {
        let (active, record_bytes, _preparing) = {
            let mut tree = self.tree.lock();
            if tree.prepared.is_some() || tree.preparing || self.check_open().is_err() {
                return Ok(false);
            }
            tree.preparing = true;
            (tree.active_segment, tree.record_bytes, Preparing(self))
        };
        let io = self.segment_io(record_bytes);
        let segment = self.create_segment(active, 0, u64::MAX, io)?;
        let mut tree = self.tree.lock();
        tree.prepared = Some(segment);
        self.update_price(&tree);
        Ok(true)
    }

    /// Creates the segment behind `predecessor`, of at least `len_min` bytes and of what
    /// is due, up to `limit`, and lists it. Where the disk has no room for the length that is due, the shortest one is
    /// tried: writes go on while there is room for any, flushes and compactions find
    /// room too, and lengths grow again from there.
    fn create_segment(
        &self,
        predecessor: u64,
        len_min: u64,
        limit: u64,
        io: SegmentIo,
    ) -> Result<Segment> {
        let shortest = FIRST_SEGMENT_BYTES.min(self.options.wal_segment_bytes_max).max(len_min);
        let due = self.tree.lock().segment_bytes.min(limit).max(len_min);
        let created = match self.create_segment_of(predecessor, due, io) {
            Err(error) if error.kind() == ErrorKind::DiskFull && due > shortest => {
                self.release_spare_segment();
                self.create_segment_of(predecessor, shortest, io)
            }
            created => created,
        };
        let segment = created.map_err(|error| self.note_poison(error))?;
        let mut tree = self.tree.lock();
        if segment.len() < due {
            tree.segment_bytes = segment.len();
        }
        tree.segments.push_back((segment.number(), segment.len()));
        Ok(segment)
    }

    fn create_segment_of(&self, predecessor: u64, len: u64, io: SegmentIo) -> Result<Segment> {
        if io == SegmentIo::Reserved {
            // What has no zeros to be written gains nothing from a file that is there.
            self.release_spare_segment();
        }
        // Before the spare one is taken: without a number it stays.
        let (vfs, dir, number) = (&self.vfs, &self.dir, self.next_number()?);
        let spare = self.tree.lock().spare_segment.take_if(|spare| spare.1 == len);
        let database = self.database;
        match spare {
            Some((spare, _)) => {
                Segment::renew(vfs, (dir, spare), database, number, predecessor, len, io)
            }
            None => Segment::create(vfs, dir, database, number, predecessor, len, io),
        }
    }

    /// How a segment for records of `record_bytes` takes them.
    fn segment_io(&self, record_bytes: u64) -> SegmentIo {
        match self.wal_io.into() {
            SegmentIo::Mapped if record_bytes > self.options.wal_mapped_record_bytes_max => {
                SegmentIo::Reserved
            }
            io => io,
        }
    }

    /// Unlinks the segments before `oldest`, which the manifest does not need any more, but
    /// for one that can become the next.
    pub(super) fn unlink_segments_before(&self, oldest: u64) {
        let mut gone = Vec::new();
        {
            let mut tree = self.tree.lock();
            let due = tree.segment_bytes;
            let is_renewed = self.segment_io(tree.record_bytes) != SegmentIo::Reserved;
            while let Some(&(number, len)) = tree.segments.front()
                && number < oldest
            {
                tree.segments.pop_front();
                if is_renewed && len == due && tree.spare_segment.is_none() {
                    tree.spare_segment = Some((number, len));
                } else {
                    gone.push(number);
                }
            }
        }
        for number in gone {
            self.unlink(FileKind::Segment(number));
        }
    }

    /// Unlinks the segment that was kept to become the next one.
    pub(super) fn release_spare_segment(&self) {
        let spare = self.tree.lock().spare_segment.take();
        if let Some((number, _)) = spare {
            self.unlink(FileKind::Segment(number));
        }
    }
}
