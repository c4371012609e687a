//! The log's promises.

mod append;
mod crash;
mod damage;
mod group;
mod renew;
#[cfg(olive_shuttle)]
mod shuttle;

use std::path::{Path, PathBuf};

use super::*;
use crate::batch::WriteBatch;
use crate::error::Result;
use crate::format::edit::DatabaseId;
use crate::format::file_names::FileKind;
use crate::key::SeqNo;
use crate::options::RecoveryMode;
use crate::sync::Arc;
use crate::vfs::{Access, OsVfs, Vfs, read_file, write_all_at};

pub(super) const DATABASE: DatabaseId = DatabaseId(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);

/// A folder on the real disk, and its vfs.
pub(super) struct Disk {
    _temp: tempfile::TempDir,
    pub(super) dir: PathBuf,
    pub(super) vfs: Arc<dyn Vfs>,
}

impl Disk {
    pub(super) fn new() -> Disk {
        let temp = tempfile::tempdir().unwrap();
        Disk { dir: temp.path().to_path_buf(), _temp: temp, vfs: Arc::new(OsVfs::default()) }
    }

    pub(super) fn segment(
        &self,
        number: u64,
        predecessor: u64,
        len: u64,
        io: SegmentIo,
    ) -> Segment {
        Segment::create(&self.vfs, &self.dir, DATABASE, number, predecessor, len, io).unwrap()
    }

    pub(super) fn path(&self, number: u64) -> PathBuf {
        segment_path(&self.dir, number)
    }

    pub(super) fn bytes(&self, number: u64) -> Vec<u8> {
        read_file(&*self.vfs, &self.path(number), 1 << 30).unwrap()
    }

    /// Puts a file in place of another, or beside it.
    pub(super) fn put(&self, number: u64, bytes: &[u8]) {
        let path = self.path(number);
        let _ = self.vfs.unlink(&path);
        write_all_at(&*self.vfs.create(&path).unwrap(), 0, bytes).unwrap();
    }

    pub(super) fn flip(&self, number: u64, bit: usize) {
        let file = self.vfs.open(&self.path(number), Access::ReadWrite).unwrap();
        let mut byte = [0];
        file.read_at(bit as u64 / 8, &mut byte).unwrap();
        file.write_at(bit as u64 / 8, &[byte[0] ^ 1 << (bit % 8)]).unwrap();
    }

    pub(super) fn replay(&self, oldest: u64, mode: RecoveryMode) -> Result<Log> {
        replayed(&*self.vfs, &self.dir, oldest, |plan| plan.mode = mode)
    }
}

/// What a replay gave: operations with their numbers, and its own answer.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) records: Vec<(u64, u32, Vec<u8>)>,
    pub(super) answer: Replayed,
}

impl Log {
    pub(super) fn last(&self) -> u64 {
        self.answer.last.0
    }
}

pub(super) fn replayed(
    vfs: &dyn Vfs,
    dir: &Path,
    oldest: u64,
    change: impl FnOnce(&mut ReplayPlan<'_>),
) -> Result<Log> {
    let mut found: Vec<u64> = vfs
        .list(dir)
        .unwrap()
        .iter()
        .filter_map(|name| match FileKind::of(name) {
            Some(FileKind::Segment(number)) => Some(number),
            _ => None,
        })
        .collect();
    found.sort_unstable();
    let mut plan = ReplayPlan {
        dir,
        database: DATABASE,
        oldest,
        found: &found,
        sealed: None,
        flushed: SeqNo::ZERO,
        mode: RecoveryMode::Strict,
    };
    change(&mut plan);
    let mut records = Vec::new();
    let answer = replay(vfs, &plan, &mut |read, all| assert!(read <= all), &mut |record| {
        records.push((record.first.0, record.count, record.payload.to_vec()));
        Ok(())
    })?;
    Ok(Log { records, answer })
}

/// The operations of one record: `count` puts, whose values are `value_len` bytes.
pub(super) fn ops(seq: u64, count: u32, value_len: usize) -> Vec<u8> {
    let mut batch = WriteBatch::new();
    for n in 0..u64::from(count) {
        batch.put((seq + n).to_be_bytes(), vec![(seq + n) as u8; value_len]);
    }
    batch.ops().to_vec()
}

/// Appends record after record and remembers what was appended.
pub(super) struct Scribe {
    pub(super) writer: LogWriter,
    pub(super) sync: Arc<LogSync>,
    pub(super) next: u64,
    pub(super) written: Vec<(u64, u32, Vec<u8>)>,
}

impl Scribe {
    pub(super) fn new(segment: Segment) -> Scribe {
        // A clock that stands still: here a sync takes no time.
        let (writer, sync) = LogWriter::new(segment, Arc::new(crate::vfs::sim::SimVfs::new(1)));
        Scribe { writer, sync, next: 1, written: Vec::new() }
    }

    pub(super) fn append(&mut self, count: u32, value_len: usize, by_write: bool) -> WalPosition {
        self.try_append(count, value_len, by_write).unwrap()
    }

    pub(super) fn try_append(
        &mut self,
        count: u32,
        value_len: usize,
        by_write: bool,
    ) -> Result<WalPosition> {
        let payload = ops(self.next, count, value_len);
        let end = self.writer.append(SeqNo(self.next), count, &payload, by_write)?;
        self.written.push((self.next, count, payload));
        self.next += u64::from(count);
        Ok(end)
    }
}

/// A reproducible source of numbers (splitmix64).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % below
    }
}
