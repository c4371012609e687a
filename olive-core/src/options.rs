//! What a caller can choose. Only the face and the engine read these.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};

/// What an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// The death of the process. A background sync bounds what a power cut can
    /// take to the writes of the last [`Options::sync_interval`] and one sync.
    #[default]
    Buffered,
    /// A power cut: the write returns once its log record is synced. Writers
    /// that wait at the same time share one sync.
    Sync,
}

/// How the write-ahead log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WalIo {
    /// Buffered records are stored through a shared mapping, without a system
    /// call; large ones, by the mean of a segment, are written as with `Write`. The
    /// default of databases that are [`Durability::Buffered`], where the
    /// file system honours a reservation (ext4, xfs, tmpfs), since a store into a
    /// page without a block behind it would end the process.
    Mapped,
    /// Every record is one `pwrite`. The default elsewhere.
    Write,
}

/// How SSTables are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TableIo {
    /// In place, through a mapping. A disk error under a mapping ends the
    /// process with SIGBUS.
    #[default]
    Mapped,
    /// By `pread`, a block at a time: a disk error is an [`Error`].
    Read,
}

/// When a block of an SSTable is checked against its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ChecksumPolicy {
    /// The first time that it is read after open, in every compaction, and by
    /// `verify`.
    #[default]
    FirstRead,
    /// At every read of a block: each get, and each time that a cursor enters it.
    EveryRead,
}

/// What open does about a bad record in the write-ahead log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum RecoveryMode {
    /// A torn tail that was never synced is cut; a bad record before what was
    /// synced is [`ErrorKind::Corruption`](crate::ErrorKind), and open is refused.
    #[default]
    Strict,
    /// The log is cut at the first bad record, whatever was synced behind it. A keyspace
    /// whose drop was behind it is there again, and may lack entries: tables of dropped
    /// keyspaces go once the log has the drop.
    PointInTime,
    /// Bad records are skipped, and every readable one is taken.
    Salvage,
}

/// Who drives flushes, compactions and syncs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Maintenance {
    /// Background threads that open starts and close ends.
    #[default]
    Threads,
    /// The host, one step at a time, by [`Db::maintain`](crate::Db::maintain).
    /// A write that finds no room does the steps it needs itself.
    Manual,
}

/// How far a replay of the write-ahead log has come, and what it dropped.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RecoveryProgress {
    /// Bytes of log read.
    pub bytes_read: u64,
    /// Bytes of log there are.
    pub bytes_total: u64,
    /// Records applied.
    pub records: u64,
    /// Bad ranges that were cut off or skipped: file, offset and cause.
    pub dropped: Vec<String>,
    /// Whether this is the last report of this open.
    pub done: bool,
}

/// Is told how recovery gets on: from the thread that opens, about every 16 MiB.
pub(crate) type RecoveryListener = Arc<dyn Fn(&RecoveryProgress) + Send + Sync>;

/// How a database is opened: setters, then [`open`](Options::open).
///
/// ```
/// use olive_core::{Durability, Options};
/// # let dir = tempfile::tempdir().unwrap();
/// let db = Options::default()
///     .durability(Durability::Sync)
///     .memtable_bytes(16 << 20)
///     .open(dir.path().join("db"))?;
/// db.put("k", "v")?;
/// # Ok::<(), olive_core::Error>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    pub(crate) create_if_missing: bool,
    pub(crate) durability: Durability,
    pub(crate) sync_interval: Duration,
    pub(crate) wal_io: Option<WalIo>,
    pub(crate) wal_segment_bytes_max: u64,
    pub(crate) wal_mapped_record_bytes_max: u64,
    pub(crate) table_io: TableIo,
    pub(crate) checksum_policy: ChecksumPolicy,
    pub(crate) recovery_mode: RecoveryMode,
    pub(crate) maintenance: Maintenance,
    pub(crate) compaction_threads: usize,
    pub(crate) memtable_bytes: usize,
    pub(crate) memtables_max: usize,
    pub(crate) block_bytes: usize,
    pub(crate) filter_bits_per_key: u32,
    pub(crate) table_bytes: u64,
    pub(crate) level0_tables: usize,
    pub(crate) level_base_bytes: u64,
    pub(crate) level_multiplier: u32,
    pub(crate) recovery_listener: Option<RecoveryListener>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            create_if_missing: true,
            durability: Durability::Buffered,
            sync_interval: Duration::from_secs(1),
            wal_io: None,
            wal_segment_bytes_max: 64 << 20,
            wal_mapped_record_bytes_max: 6 << 10,
            table_io: TableIo::Mapped,
            checksum_policy: ChecksumPolicy::FirstRead,
            recovery_mode: RecoveryMode::Strict,
            maintenance: Maintenance::Threads,
            compaction_threads: 1,
            memtable_bytes: 64 << 20,
            memtables_max: 3,
            block_bytes: 4096,
            filter_bits_per_key: 10,
            table_bytes: 64 << 20,
            level0_tables: 4,
            level_base_bytes: 256 << 20,
            level_multiplier: 10,
            recovery_listener: None,
        }
    }
}

impl Options {
    /// The range of [`sync_interval`](Options::sync_interval), in milliseconds.
    pub const SYNC_INTERVAL_MS: RangeInclusive<u64> = 1..=3_600_000;
    /// The range of [`compaction_threads`](Options::compaction_threads).
    pub const COMPACTION_THREADS: RangeInclusive<usize> = 1..=64;
    /// The range of [`memtable_bytes`](Options::memtable_bytes).
    pub const MEMTABLE_BYTES: RangeInclusive<usize> = 1 << 10..=4 << 30;

    /// Whether a folder that is missing or empty becomes a new database. Default: true.
    #[must_use]
    pub fn create_if_missing(mut self, yes: bool) -> Self {
        self.create_if_missing = yes;
        self
    }

    /// What an acknowledged write survives, where the write itself does not say.
    /// Default: [`Durability::Buffered`].
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How long a buffered write may wait for its sync: 1 ms to 1 h. Default: 1 s.
    #[must_use]
    pub fn sync_interval(mut self, interval: Duration) -> Self {
        self.sync_interval = interval;
        self
    }

    /// How the write-ahead log is written. Default: by durability and file system, see
    /// [`WalIo`].
    #[must_use]
    pub fn wal_io(mut self, wal_io: WalIo) -> Self {
        self.wal_io = Some(wal_io);
        self
    }

    /// The size up to which log segments double, in bytes: 4 KiB to 1 GiB.
    /// Default: 64 MiB. The first segment has 64 KiB, or this if it is less.
    #[must_use]
    pub fn wal_segment_bytes_max(mut self, bytes: u64) -> Self {
        self.wal_segment_bytes_max = bytes;
        self
    }

    /// Up to which mean length of a log segment's records, in bytes, the next one but one
    /// is made for stores through a mapping, where the log is [`WalIo::Mapped`]: 0 to
    /// 1 GiB. Default: 6 KiB. Larger records are written.
    #[must_use]
    pub fn wal_mapped_record_bytes_max(mut self, bytes: u64) -> Self {
        self.wal_mapped_record_bytes_max = bytes;
        self
    }

    /// How SSTables are read. Default: [`TableIo::Mapped`].
    #[must_use]
    pub fn table_io(mut self, table_io: TableIo) -> Self {
        self.table_io = table_io;
        self
    }

    /// When blocks are checked. Default: [`ChecksumPolicy::FirstRead`].
    #[must_use]
    pub fn checksum_policy(mut self, policy: ChecksumPolicy) -> Self {
        self.checksum_policy = policy;
        self
    }

    /// What open does about a bad log record. Default: [`RecoveryMode::Strict`].
    #[must_use]
    pub fn recovery_mode(mut self, mode: RecoveryMode) -> Self {
        self.recovery_mode = mode;
        self
    }

    /// Who drives flushes and compactions. Default: [`Maintenance::Threads`].
    #[must_use]
    pub fn maintenance(mut self, maintenance: Maintenance) -> Self {
        self.maintenance = maintenance;
        self
    }

    /// How many threads compact: 1 to 64. Default: 1. One that flushes,
    /// one that syncs and one that prepares log segments come on top.
    #[must_use]
    pub fn compaction_threads(mut self, threads: usize) -> Self {
        self.compaction_threads = threads;
        self
    }

    /// When a memtable is full, in bytes of its arena: 1 KiB to 4 GiB. Default: 64 MiB.
    #[must_use]
    pub fn memtable_bytes(mut self, bytes: usize) -> Self {
        self.memtable_bytes = bytes;
        self
    }

    /// How many memtables there may be, the one that takes writes included,
    /// before writers wait for a flush: 2 to 64. Default: 3.
    #[must_use]
    pub fn memtables_max(mut self, memtables: usize) -> Self {
        self.memtables_max = memtables;
        self
    }

    /// The size that data blocks aim at, in bytes: 64 to 1 MiB. Default: 4096.
    #[must_use]
    pub fn block_bytes(mut self, bytes: usize) -> Self {
        self.block_bytes = bytes;
        self
    }

    /// Bits of bloom filter a key: 0 (no filters) to 32. Default: 10, about one
    /// false hit in a hundred.
    #[must_use]
    pub fn filter_bits_per_key(mut self, bits: u32) -> Self {
        self.filter_bits_per_key = bits;
        self
    }

    /// The size at which a compaction begins another table, in bytes: 1 KiB to
    /// 1 GiB. Default: 64 MiB.
    #[must_use]
    pub fn table_bytes(mut self, bytes: u64) -> Self {
        self.table_bytes = bytes;
        self
    }

    /// How many tables level 0 may have before they are compacted: 1 to 64. Default: 4.
    #[must_use]
    pub fn level0_tables(mut self, tables: usize) -> Self {
        self.level0_tables = tables;
        self
    }

    /// The largest target of the level below level 0, in bytes: 1 KiB to 1 TiB.
    /// Default: 256 MiB.
    #[must_use]
    pub fn level_base_bytes(mut self, bytes: u64) -> Self {
        self.level_base_bytes = bytes;
        self
    }

    /// How many times a level is larger than the one above: 2 to 100. Default: 10.
    #[must_use]
    pub fn level_multiplier(mut self, times: u32) -> Self {
        self.level_multiplier = times;
        self
    }

    /// Is told how recovery gets on, and what it dropped.
    #[must_use]
    pub fn recovery_listener(
        mut self,
        listener: impl Fn(&RecoveryProgress) + Send + Sync + 'static,
    ) -> Self {
        self.recovery_listener = Some(Arc::new(listener));
        self
    }

    /// Refuses an option out of its range, by name.
    pub(crate) fn check(&self) -> Result<()> {
        fn range<T: PartialOrd + fmt::Display>(
            name: &str,
            is: T,
            range: RangeInclusive<T>,
        ) -> Result<()> {
            if !range.contains(&is) {
                let (min, max) = range.into_inner();
                return Err(Error::invalid(format!("{name} is {is}: it must be {min} to {max}")));
            }
            Ok(())
        }
        let sync_interval_ms = u64::try_from(self.sync_interval.as_millis()).unwrap_or(u64::MAX);
        range("sync_interval (ms)", sync_interval_ms, Options::SYNC_INTERVAL_MS)?;
        range("wal_segment_bytes_max", self.wal_segment_bytes_max, 4 << 10..=1 << 30)?;
        range("wal_mapped_record_bytes_max", self.wal_mapped_record_bytes_max, 0..=1 << 30)?;
        range("compaction_threads", self.compaction_threads, Options::COMPACTION_THREADS)?;
        range("memtable_bytes", self.memtable_bytes, Options::MEMTABLE_BYTES)?;
        range("memtables_max", self.memtables_max, 2..=64)?;
        range("block_bytes", self.block_bytes, 64..=1 << 20)?;
        range("filter_bits_per_key", self.filter_bits_per_key, 0..=32)?;
        range("table_bytes", self.table_bytes, 1 << 10..=1 << 30)?;
        range("level0_tables", self.level0_tables, 1..=64)?;
        range("level_base_bytes", self.level_base_bytes, 1 << 10..=1 << 40)?;
        range("level_multiplier", self.level_multiplier, 2..=100)
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("create_if_missing", &self.create_if_missing)
            .field("durability", &self.durability)
            .field("sync_interval", &self.sync_interval)
            .field("wal_io", &self.wal_io)
            .field("wal_segment_bytes_max", &self.wal_segment_bytes_max)
            .field("wal_mapped_record_bytes_max", &self.wal_mapped_record_bytes_max)
            .field("table_io", &self.table_io)
            .field("checksum_policy", &self.checksum_policy)
            .field("recovery_mode", &self.recovery_mode)
            .field("maintenance", &self.maintenance)
            .field("compaction_threads", &self.compaction_threads)
            .field("memtable_bytes", &self.memtable_bytes)
            .field("memtables_max", &self.memtables_max)
            .field("block_bytes", &self.block_bytes)
            .field("filter_bits_per_key", &self.filter_bits_per_key)
            .field("table_bytes", &self.table_bytes)
            .field("level0_tables", &self.level0_tables)
            .field("level_base_bytes", &self.level_base_bytes)
            .field("level_multiplier", &self.level_multiplier)
            .finish_non_exhaustive()
    }
}

/// How one write is done: durability and deadline.
///
/// ```
/// use olive_core::{Durability, WriteOptions};
/// use std::time::Duration;
/// # let dir = tempfile::tempdir().unwrap();
/// # let db = olive_core::Db::open(dir.path().join("db"))?;
/// let careful = WriteOptions::default()
///     .durability(Durability::Sync)
///     .deadline(Duration::from_millis(50));
/// db.put_with("k", "v", &careful)?;
/// # Ok::<(), olive_core::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct WriteOptions {
    pub(crate) durability: Option<Durability>,
    pub(crate) deadline: Option<Duration>,
}

impl WriteOptions {
    /// What the acknowledged write survives. Default: the database's.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = Some(durability);
        self
    }

    /// How long the write may be held back before its record is appended; past
    /// it the write ends in [`ErrorKind::Stalled`](crate::ErrorKind) and nothing was
    /// written. A write that is not held back is done, whatever its deadline: zero means
    /// not to wait at all. Default: as long as it takes.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }
}
